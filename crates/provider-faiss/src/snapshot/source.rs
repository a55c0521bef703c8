//! One index as a [`Source`]: its schema, its identity, and its splits.
//!
//! A split is a range of rows in the order of the file; how many depends on the bytes of a record and on the target
//! size of a split, never on memory.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tranship_collection::{CollectionSchema, IdKinds, ServedGraph, VectorSpec};
use tranship_connector::{
    Batches, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::{Blob, BlobReader, SourceIdentity};

use super::grammar::{Codec, Header};
use super::place::{Place, unknown};
use super::plan::Plan;
use super::reader::{Input, Reader};
use super::served::{Names, served};
use crate::dialect::metric;
use crate::langchain::Docstore;

/// Bytes that a record takes in a batch besides its vector and document.
const ID_BYTES: u64 = 32;

/// One index.
pub struct FaissSource {
    place: Place,
    file: BlobReader,
    plan: Plan,
    schema: Arc<CollectionSchema>,
    options: OpenOptions,
    number_rows: bool,
}

/// An index that is ready to be read.
struct PreparedIndex<'a> {
    source: &'a FaissSource,
    documents: Option<Docstore>,
    record_bytes: u64,
    rows_per_split: u64,
}

impl FaissSource {
    /// The index at `place`, whose structure is known.
    pub fn new(place: Place, file: BlobReader, plan: Plan, options: &OpenOptions) -> Result<Self> {
        let number_rows = match options.option("ids") {
            None | Some("file") => false,
            Some("row") if place.pickle.is_none() => true,
            Some("row") => {
                return Err(unknown("ids", "row", "file where documents are read; or add -o docstore=ignore"));
            }
            Some(other) => return Err(unknown("ids", other, "file or row")),
        };
        let schema = Arc::new(schema_of(&place, &plan, options));
        Ok(FaissSource { place, file, plan, schema, options: options.clone(), number_rows })
    }

    fn read_documents(&self, memory_bytes: u64) -> Result<Option<Docstore>> {
        let Some(pickle) = &self.place.pickle else { return Ok(None) };
        let pickle = Blob::of_path(pickle)?;
        Docstore::read(&pickle, self.plan.rows, &self.options, memory_bytes).map(Some)
    }
}

impl Source for FaissSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        Ok(SourceIdentity::of(&self.place.files(), self.options.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let documents = self.read_documents(context.memory_bytes)?;
        let text_bytes = documents.as_ref().map_or(0, |documents| documents.file_bytes() / self.plan.rows.max(1));
        let record_bytes = self.schema.dense_row_bytes() as u64 + ID_BYTES + text_bytes;
        let rows_per_split = (context.split_bytes / record_bytes.max(1)).max(1);
        Ok(Box::new(PreparedIndex { source: self, documents, record_bytes, rows_per_split }))
    }

    fn served_graph(&self, vector: &str) -> Result<Option<ServedGraph>> {
        let Some(spec) = self.schema.vector(vector).filter(|_| self.plan.graph.is_some()) else { return Ok(None) };
        let documents = self.read_documents(u64::MAX)?;
        let names = Names { documents: documents.as_ref(), number_rows: self.number_rows };
        served(&self.file, &self.plan, spec.metric, &names)
    }
}

impl Prepared for PreparedIndex<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.source.schema
    }

    fn ledger(&self) -> RowLedger {
        let rows = Some(self.source.plan.rows);
        RowLedger { raw: rows, live: rows, ..RowLedger::default() }
    }

    fn notes(&self) -> Vec<String> {
        let approximate = &self.source.plan.approximate;
        let lossy = (!approximate.is_empty())
            .then(|| format!("the vectors are not exactly those that were added: {}", approximate.join("; ")));
        let documents = self.documents.iter().flat_map(|documents| documents.notes().iter().cloned());
        lossy.into_iter().chain(self.source.plan.notes.iter().cloned()).chain(documents).collect()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let rows = self.source.plan.rows;
        Ok(Box::new((0..rows.div_ceil(self.rows_per_split)).map(move |ordinal| {
            let start = ordinal * self.rows_per_split;
            let end = start.saturating_add(self.rows_per_split).min(rows);
            let bytes = (end - start).saturating_mul(self.record_bytes);
            Ok(Split { ordinal, start, end, bytes, first_row: start, ..Split::default() })
        })))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let input = Input {
            file: &self.source.file,
            plan: &self.source.plan,
            schema: &self.source.schema,
            documents: self.documents.as_ref(),
            number_rows: self.source.number_rows,
            record_bytes: self.record_bytes,
        };
        Ok(Box::new(Reader::new(input, split.start, split.end, rejects)?))
    }
}

/// The schema of an index.
pub fn schema_of(place: &Place, plan: &Plan, options: &OpenOptions) -> CollectionSchema {
    let ids = match (&place.pickle, plan.id_maps.is_empty(), plan.runs.first().and_then(|run| run.ids_at)) {
        (Some(_), ..) => "docstore",
        _ if options.option("ids") == Some("row") => "row number, on request",
        (None, false, _) => "id map",
        (None, true, Some(_)) => "inverted lists",
        (None, true, None) => "row number",
    };
    let types: Vec<String> = plan.types.iter().map(|fourcc| fourcc.to_string()).collect();
    let mut vendor = Map::from_iter([
        ("types".to_owned(), json!(types)),
        ("meaning".to_owned(), json!(plan.types.first().map(|fourcc| fourcc.shown()))),
        ("ids".to_owned(), json!(ids)),
    ]);
    vendor.extend(vendor_of(&plan.header));
    if plan.codec == Codec::Bits {
        vendor.insert("metric".to_owned(), json!("hamming"));
    }
    vendor.extend(plan.settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    if !plan.approximate.is_empty() {
        vendor.insert("approximate".to_owned(), json!(plan.approximate));
    }
    schema(place, vec![plan.vector()], vendor)
}

/// What the header alone tells, of an index that is not read.
pub fn schema_of_header(place: &Place, header: Option<&Header>) -> CollectionSchema {
    let Some(header) = header else { return schema(place, Vec::new(), Map::new()) };
    let vector = VectorSpec {
        dim: Some(header.dim as usize),
        metric: metric(header.metric).and_then(|(_, ours)| ours),
        ..VectorSpec::dense("", 0)
    };
    schema(place, vec![vector], vendor_of(header))
}

fn schema(place: &Place, vectors: Vec<VectorSpec>, vendor: Map<String, Value>) -> CollectionSchema {
    let mut schema = CollectionSchema::new(place.name.clone());
    schema.ids = if place.pickle.is_some() { IdKinds::Text } else { IdKinds::Integer };
    schema.vectors = vectors;
    schema.vendor.insert("faiss".to_owned(), Value::Object(vendor));
    schema
}

fn vendor_of(header: &Header) -> Map<String, Value> {
    let name = metric(header.metric).map(|(name, _)| name);
    let mut vendor =
        Map::from_iter([("metric".to_owned(), json!(name)), ("is_trained".to_owned(), json!(header.trained))]);
    if let Some(argument) = header.metric_arg {
        vendor.insert("metric_arg".to_owned(), json!(argument));
    }
    vendor
}

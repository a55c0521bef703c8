//! Bundles of targets that take records as JSON: one struct of data and small functions per provider.
//!
//! ```text
//! data/<stem>-00042-000.<extension>   start record between record .. end, each file under the target's caps
//! load.sh check.sh undo.sh            the common frame with the provider's own commands in it
//! ```
//!
//! A provider's [`JsonTarget`] says what stands around the records, how one record is written ([`JsonTarget::append`])
//! and how its parts are found again ([`JsonTarget::take`]). The same `take` reads what the provider's own export gives
//! back ([`pulled`]). Invariant: one JSON value per record, ids and metadata as the mapping has shaped them, floats with
//! the digits that read back as the same f32. Errors: limit (a record that no file can hold), damaged (a file of the
//! bundle that holds something else), rejects (an exported record that does not fit).

mod flat;
pub mod pulled;
mod records;
mod scripts;
mod writer;

use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::value::RawValue;
use tranship_collection::batch::RowText;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::json::{Entries, append_string};
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, Fault, IdKind, Metric, VectorKind, VectorSpec};
use tranship_connector::mapping::{EXACT_KEY, ID_KEY, NAMESPACE_KEY};
use tranship_connector::native::{FieldType, with_points};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, CollectionInfo, CreateOptions, Error, Grade, Locator, Loss, Mapping, OpenOptions, Reject, RejectSink,
    Result, Rules, Sink, Source, Survey,
};
use tranship_kernels::scan_f32_array;

use crate::form::{DataFile, Form, FormWriter, Parts};
use crate::rows::{Fitted, append_floats};
use crate::{BundleSink, BundleSource, Extra, Facts};

pub use flat::{Flat, append_dense, push_dense};
pub use records::BULK_ACTION;
use records::records;
pub use scripts::{Commands, fill, scripts};
use writer::JsonWriter;

/// Field of the unnamed vector wherever vectors have fields of their own.
const UNNAMED: &str = "vector";

/// One provider's form, as data and functions.
#[derive(Clone, Copy)]
pub struct JsonTarget {
    /// What the target can hold.
    pub rules: &'static Rules,
    /// What is wrong with a collection name, if anything.
    pub name_fault: fn(&str) -> Option<String>,
    /// See [`Form::settle`].
    pub settle: fn(&mut Mapping, &Survey) -> Result<()>,
    /// See [`Form::extras`].
    pub extras: fn(&Facts<'_>) -> Result<Vec<Extra>>,
    /// The field of the one vector, where every record has one only; else vectors have fields after their names.
    pub only_vector: Option<&'static str>,
    /// The files.
    pub files: FileShape,
    /// What stands before the first record of a file.
    pub start: fn(&Mapping) -> Result<Vec<u8>>,
    /// Appends one record.
    pub append: fn(&Given<'_>, &mut Vec<u8>) -> Result<()>,
    /// Takes one record apart.
    pub take: fn(&mut Taken<'_>, &str) -> Fitted<()>,
}

/// What stands around the records of a file, and how long it may become.
#[derive(Debug, Clone, Copy)]
pub struct FileShape {
    /// File name before the ordinal.
    pub stem: &'static str,
    /// Extension, without dot.
    pub extension: &'static str,
    /// Between two records.
    pub between: &'static [u8],
    /// After the last record.
    pub end: &'static [u8],
    /// The key that the list of records may stand under, in a bundle and in an export, also one within the other; none
    /// for one record per line. A `_bulk` body is told by its beginning.
    pub lists: &'static [&'static str],
    /// True if every file holds records of one namespace only.
    pub by_namespace: bool,
    /// Most bytes of a file.
    pub max_bytes: u64,
    /// Most records of a file.
    pub max_rows: u64,
    /// Most bytes of a record.
    pub max_record_bytes: u64,
}

/// A record on its way into a file.
pub struct Given<'a> {
    /// The batch, in the stored schema.
    pub view: &'a BatchView<'a>,
    /// Its row.
    pub row: usize,
    /// How it was shaped.
    pub mapping: &'a Mapping,
    /// The field of each vector, in the order of the batch.
    pub fields: &'a [String],
}

/// A record that is being put together again.
pub struct Taken<'a> {
    /// Takes the vectors.
    pub builder: &'a mut BatchBuilder,
    /// How it was shaped.
    pub mapping: &'a Mapping,
    /// The field of each vector, in the order of the batch.
    pub fields: &'a [String],
    /// The id, once found.
    pub id: Option<(String, IdKind)>,
    /// The document, where it has a field.
    pub document: Option<String>,
    /// The namespace, where every record has it; else it is that of the file.
    pub namespace: Option<String>,
    /// The metadata's entries so far, as the text of an object without its closing brace.
    metadata: Vec<u8>,
}

impl Given<'_> {
    /// Metadata entries in order.
    pub fn metadata(&self) -> Result<Vec<(std::borrow::Cow<'_, str>, &RawValue)>> {
        match self.view.metadata(self.row) {
            Some(text) => Ok(Entries::parse(text).map_err(broken)?.0),
            None => Ok(Vec::new()),
        }
    }
}

impl Taken<'_> {
    /// The position of the vector whose field this is.
    pub fn vector(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|own| own == field)
    }

    /// Sets a text id out of a JSON string.
    pub fn text_id(&mut self, value: &str) -> Fitted<()> {
        self.id = Some((text(value)?, IdKind::Text));
        Ok(())
    }

    /// Adds a metadata entry. A declared float may have lost its point on its way through the target.
    pub fn entry(&mut self, key: &str, value: &str) {
        let key = self.mapping.renamed_keys.own(key);
        let declared = self.mapping.fields.as_ref().and_then(|fields| fields.get(key));
        let out = &mut self.metadata;
        out.push(if out.is_empty() { b'{' } else { b',' });
        append_string(key, out);
        out.push(b':');
        match declared {
            Some(kind @ (FieldType::Float | FieldType::Floats)) => {
                out.extend_from_slice(with_points(value, *kind).as_bytes());
            }
            _ => out.extend_from_slice(value.as_bytes()),
        }
    }

    /// Adds the entries of an object.
    pub fn entries(&mut self, object: &str) -> Fitted<()> {
        for (key, value) in Entries::parse(object).map_err(display)?.0 {
            self.entry(&key, value.get());
        }
        Ok(())
    }
}

/// The text of a JSON string.
pub fn text(value: &str) -> Fitted<String> {
    serde_json::from_str(value).map_err(|e| format!("{value} is no text: {e}"))
}

/// Appends sparse vectors as two lists under the given keys.
pub fn append_sparse(keys: [&str; 2], indices: &[u32], values: &[f32], out: &mut Vec<u8>) {
    out.push(b'{');
    append_string(keys[0], out);
    out.push(b':');
    crate::rows::append_indices(indices, out);
    out.push(b',');
    append_string(keys[1], out);
    out.push(b':');
    match values.is_empty() {
        true => out.extend_from_slice(b"[]"),
        false => append_floats(values, out),
    }
    out.push(b'}');
}

/// Scans what [`append_sparse`] wrote.
pub fn push_sparse(builder: &mut BatchBuilder, column: usize, keys: [&str; 2], value: &str) -> Fitted<()> {
    let entries = Entries::parse(value).map_err(display)?.0;
    let under = |key: &str| {
        let found = entries.iter().find(|(own, _)| own == key).map(|(_, value)| value.get());
        found.ok_or_else(|| format!("a sparse vector without `{key}`"))
    };
    let indices: Vec<u32> = serde_json::from_str(under(keys[0])?).map_err(|e| format!("sparse vector: {e}"))?;
    let mut values = Vec::with_capacity(indices.len());
    scan_f32_array(under(keys[1])?.as_bytes(), 0, &mut values).map_err(|e| format!("sparse vector: {e}"))?;
    builder.push_sparse(column, &indices, &values).map_err(display)
}

/// The vectors that go to the target.
pub fn kept_vectors(mapping: &Mapping) -> impl Iterator<Item = &VectorSpec> {
    mapping.schema.stored_vectors().filter(|spec| !mapping.dropped_vectors.contains(&spec.name))
}

/// The field of each vector that goes to the target: `only`, or its name with `_` for what no identifier holds.
pub fn vector_fields(mapping: &Mapping, only: Option<&str>) -> Vec<String> {
    if let Some(field) = only {
        return kept_vectors(mapping).map(|_| field.to_owned()).collect();
    }
    let mut fields: Vec<String> = Vec::new();
    for spec in kept_vectors(mapping) {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let mut field: String = spec.name.chars().map(plain).take(100).collect();
        if field.is_empty() {
            UNNAMED.clone_into(&mut field);
        }
        if !field.starts_with(|c: char| c.is_ascii_alphabetic()) {
            field.insert_str(0, "v_");
        }
        let stem = field.clone();
        let mut number = 1;
        while fields.contains(&field) {
            number += 1;
            field = format!("{stem}_{number}");
        }
        fields.push(field);
    }
    fields
}

/// What the rules do not know of any JSON target: renamed vectors, metrics of sparse vectors, aliases.
pub fn common_losses(mapping: &Mapping, only: Option<&str>) -> Vec<Loss> {
    let mut losses = Vec::new();
    for (spec, field) in kept_vectors(mapping).zip(vector_fields(mapping, only)) {
        let path = vector_component(&spec.name);
        if !spec.name.is_empty() && spec.name != field {
            let to = format!("field {field}");
            losses.push(Loss::new("VECTOR_RENAMED", &path, spec.name.as_str(), to, Grade::Exact));
        }
        let other = spec.metric.filter(|metric| spec.kind == VectorKind::Sparse && *metric != Metric::Dot);
        let to = "dot, as all sparse vectors";
        losses.extend(other.map(|metric| Loss::new("METRIC", &path, metric.name(), to, Grade::Lossy)));
    }
    if !mapping.schema.aliases.is_empty() {
        let to = "kept in mapping.json; set them by hand at cut-over";
        losses.push(Loss::new("ALIASES", "collection", mapping.schema.aliases.join(", "), to, Grade::Exact));
    }
    losses
}

/// Declares the fields of a typed target: the keys whose every value has one of `types`, which `allowed` lets through,
/// at most `most` of them, those of the most records first. Errors: usage, for a document key that is no field name.
pub fn declare_fields(
    mapping: &mut Mapping,
    survey: &Survey,
    types: &[FieldType],
    most: usize,
    allowed: impl Fn(&str) -> bool,
) -> Result<()> {
    if let Some(key) = mapping.document_key.as_deref().filter(|key| !allowed(key)) {
        return Err(Error::usage(format!("`{key}` cannot be the name of a field at the target"))
            .hint("choose another --document-key"));
    }
    let records = |key: &String| survey.fields[key].types.values().sum::<u64>();
    let mut typed: Vec<(String, FieldType)> =
        survey.typed_fields().into_iter().filter(|(key, kind)| types.contains(kind) && allowed(key)).collect();
    typed.sort_by(|(a, _), (b, _)| records(b).cmp(&records(a)).then_with(|| a.cmp(b)));
    typed.truncate(most);
    mapping.fields = Some(typed.into_iter().collect());
    Ok(())
}

/// The metadata keys that are ours and hold text, as far as this mapping uses them.
pub fn reserved_keys(mapping: &Mapping) -> Vec<&str> {
    let exact = mapping.exact_key.as_deref();
    let own = [Some(mapping.id_key.as_str()), mapping.document_key.as_deref(), mapping.namespace_key.as_deref(), exact];
    own.into_iter().flatten().collect()
}

/// Name of a metadata key of ours where names cannot begin with `_`; all others keep theirs.
pub fn without_underscore(key: &str) -> &str {
    match key {
        ID_KEY | NAMESPACE_KEY | EXACT_KEY => &key[1..],
        _ => key,
    }
}

impl Form for JsonTarget {
    fn rules(&self) -> &'static Rules {
        self.rules
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        (self.name_fault)(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        (self.settle)(mapping, survey)
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        // One record as text (floats take up to 16 bytes where they had 4) and the buffers of the open files.
        let files = if self.files.by_namespace { writer::MOST_OPEN as u64 } else { 2 };
        files * (1 << 19) + 4 * schema.dense_row_bytes() as u64
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        Ok(Box::new(JsonWriter::new(self, parts, mapping, stored)?))
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        (self.extras)(facts)
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        3 * bytes + 2 * BATCH_BYTES as u64
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        let bytes = file.bytes()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| file.damaged("the file is not UTF-8"))?;
        let reader = Reader { target: self, mapping, stored, namespace: file.namespace.as_deref() };
        let batches = reader.batches(text, &file.label(), &mut NoRejects)?;
        Ok(Box::new(batches.into_iter().map(Ok)))
    }
}

/// A bundle is our own: a record that does not fit is damage.
struct NoRejects;

impl RejectSink for NoRejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        Err(Error::damaged(reject.reason).with("place", reject.place).hint("write the bundle anew"))
    }
}

/// Reads the records of one text.
struct Reader<'a> {
    target: &'a JsonTarget,
    mapping: &'a Mapping,
    stored: &'a Arc<CollectionSchema>,
    namespace: Option<&'a str>,
}

impl Reader<'_> {
    fn batches(&self, text: &str, file: &str, rejects: &mut dyn RejectSink) -> Result<Vec<RecordBatch>> {
        let bad_layout = |fault: Fault| Error::damaged(fault.to_string()).with("file", file);
        let mut builder = BatchBuilder::new(self.stored.clone()).map_err(bad_layout)?;
        let fields = vector_fields(self.mapping, self.target.only_vector);
        let mut batches = Vec::new();
        for (position, record) in records(text, self.target.files.lists, file)?.into_iter().enumerate() {
            if let Err(reason) = self.push(&mut builder, &fields, record) {
                builder.rollback();
                let record = (record.len() <= 64 << 10).then(|| record.to_owned());
                rejects.reject(Reject { place: format!("{file} record {position}"), id: None, reason, record })?;
            }
            if builder.bytes() >= BATCH_BYTES {
                batches.push(builder.finish().map_err(bad_layout)?);
            }
        }
        if builder.rows() > 0 {
            batches.push(builder.finish().map_err(bad_layout)?);
        }
        Ok(batches)
    }

    fn push(&self, builder: &mut BatchBuilder, fields: &[String], record: &str) -> Fitted<()> {
        let mapping = self.mapping;
        let namespace = self.namespace.map(str::to_owned);
        let mut taken = Taken { builder, mapping, fields, id: None, document: None, namespace, metadata: Vec::new() };
        (self.target.take)(&mut taken, record)?;
        let Taken { builder, id, document, namespace, mut metadata, .. } = taken;
        let (id, id_kind) = id.ok_or("a record without an id")?;
        if !metadata.is_empty() {
            metadata.push(b'}');
        }
        let metadata = std::str::from_utf8(&metadata).map_err(|_| "metadata that is not UTF-8")?;
        let namespace = namespace.as_deref().filter(|name| self.stored.namespaced && !name.is_empty());
        let metadata = Some(metadata).filter(|text| !text.is_empty());
        builder
            .finish_row(RowText { id: &id, id_kind, namespace, document: document.as_deref(), metadata })
            .map_err(display)
    }
}

/// Opens a bundle, or what [`pulled`] names.
pub fn open(target: &'static JsonTarget, locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    refuse_stream(target, locator)?;
    match pulled::is_pulled(&locator.path) {
        true => Ok(Box::new(pulled::PulledSource::open(target, &locator.path, options)?)),
        false => Ok(Box::new(BundleSource::open(target, &locator.path, options)?)),
    }
}

/// The one collection of a bundle.
pub fn list(target: &'static JsonTarget, locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    match pulled::is_pulled(&locator.path) {
        true => pulled::list(target, locator, options),
        false => crate::list(target, locator, options),
    }
}

/// Creates a bundle.
pub fn create(target: &'static JsonTarget, locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    refuse_stream(target, locator)?;
    Ok(Box::new(BundleSink::new(Box::new(*target), &locator.path, options)))
}

fn refuse_stream(target: &JsonTarget, locator: &Locator) -> Result<()> {
    match locator.is_stream() {
        true => {
            Err(Error::usage(format!("a {} bundle is a directory, not a stream", target.rules.title))
                .hint("give a path"))
        }
        false => Ok(()),
    }
}

fn broken(fault: Fault) -> Error {
    Error::bug(fault.to_string())
}

/// A fault as the reason of a reject.
pub fn display(fault: Fault) -> String {
    fault.to_string()
}

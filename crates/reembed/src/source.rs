//! A source with one vector column replaced or added: what the hook answered for each record's text.
//!
//! Invariant: every vector of the column lies in one space, named in the schema; a record without text has none, never its old one. No
//! call is made here: vectors come from the filled cache, or out of a bridge. Batches keep to [`BATCH_BYTES`] of vectors.
//!
//! Rejects: a record without text, with a text that is too long, or with one that the hook refused. Errors: changing (a text was not there
//! when the cache was filled), usage (the column is of another kind).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_select::filter::filter_record_batch;
use self_cell::{MutBorrow, self_cell};
use tranship_collection::{
    BatchView, CollectionSchema, Element, Metric, ServedGraph, VectorKind, VectorSpec, VectorValue, layout,
};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, Changed, Error, ErrorKind, LeftOut, Loss, PrepareContext, Prepared, Reject, RejectSink, Result, RowLedger,
    Source, Split, Splits,
};
use tranship_storage::SourceIdentity;

use crate::bridge::{Bridge, BridgeOptions, BridgeReport, Fitter, to_unit};
use crate::fill::{Filled, NO_TEXT, each_batch, too_long};
use crate::store::{ASKED, REFUSED};
use crate::text::{Made, Missing, Recipe};

/// Key under which the schema tells where the vectors come from.
pub const PROVENANCE: &str = "reembed";

/// The new column and where its values come from.
pub struct Target {
    /// The filled cache.
    pub filled: Filled,
    /// How texts are made.
    pub recipe: Recipe,
    /// Name of the vector.
    pub vector: String,
    /// Its metric, unless the old one declares one.
    pub metric: Option<Metric>,
    /// The map for records that were not embedded.
    pub bridge: Option<(BridgeOptions, Bridge, BridgeReport)>,
}

/// What a record gets.
enum Found {
    Vector,
    Nothing,
    Refused(String),
}

/// The spec of the vector called `name`, which must be dense if it is there.
pub fn old_vector<'a>(schema: &'a CollectionSchema, name: &str) -> Result<Option<&'a VectorSpec>> {
    match schema.vector(name) {
        Some(spec) if spec.kind != VectorKind::Dense => {
            Err(Error::usage(format!("`{name}` is not a dense vector, and a hook gives dense ones"))
                .hint("name another with --vector: one that is not there yet is added"))
        }
        found => Ok(found),
    }
}

impl Target {
    /// The collection as it will be.
    pub fn schema(&self, before: &CollectionSchema) -> Result<CollectionSchema> {
        let old = old_vector(before, &self.vector)?;
        let space = &self.filled.space;
        let model = match &self.bridge {
            None => space.model.clone(),
            Some((_, _, report)) => format!("{} (bridged, recall {:.3})", space.model, report.recall),
        };
        let spec = VectorSpec {
            element: Element::F32,
            dim: Some(space.dims),
            metric: old.and_then(|old| old.metric).or(self.metric),
            normalised: space.normalised,
            model: Some(model),
            index: old.and_then(|old| old.index.clone()),
            ..VectorSpec::dense(self.vector.clone(), space.dims)
        };
        let mut schema = before.clone();
        schema.vectors.retain(|vector| vector.name != self.vector);
        schema.vectors.push(spec);
        schema.vectors.sort_by(|a, b| a.name.cmp(&b.name));
        schema.vendor.insert(PROVENANCE.to_owned(), self.provenance(old));
        Ok(schema)
    }

    fn provenance(&self, old: Option<&VectorSpec>) -> serde_json::Value {
        let bridge = self
            .bridge
            .as_ref()
            .map(|(options, _, report)| serde_json::json!({ "options": options, "outcome": report }));
        serde_json::json!({
            "vector": self.vector,
            "space": self.filled.space,
            "before": old.map(|old| serde_json::json!({ "model": old.model, "dims": old.dim })),
            "recipe": self.recipe,
            "bridge": bridge,
        })
    }

    /// Fits the bridge on the records that were embedded.
    pub fn fit_bridge(&mut self, prepared: &dyn Prepared, options: &BridgeOptions) -> Result<()> {
        let spec = old_vector(prepared.schema(), &self.vector)?.filter(|spec| spec.dim.is_some());
        let Some(old_dims) = spec.and_then(|spec| spec.dim) else {
            return Err(Error::usage("a bridge leads from old vectors, and there are none").hint("leave --bridge out"));
        };
        let metric = spec.and_then(|spec| spec.metric).or(self.metric).unwrap_or(Metric::Cosine);
        let mut fitter = Fitter::new(options, old_dims, self.filled.space.dims, self.filled.space.normalised);
        let mut new = Vec::new();
        each_batch(prepared, |view| {
            let column = column(view, &self.vector);
            for row in 0..view.len() {
                let (namespace, id) = (view.namespace(row), view.id(row));
                let Some(old) = old_values(view, column, row).filter(|_| options.samples(namespace, id)) else {
                    continue;
                };
                new.clear();
                if matches!(self.embedded(view, row, &mut new)?, Found::Vector) {
                    fitter.add(namespace, id, &old, &new);
                }
            }
            Ok(true)
        })?;
        let (bridge, report) = fitter.fit(metric)?;
        self.bridge = Some((options.clone(), bridge, report));
        Ok(())
    }

    /// Appends the new vector of a record to `out`.
    fn vector(&self, view: &BatchView<'_>, row: usize, column: Option<usize>, out: &mut Vec<f32>) -> Result<Found> {
        if let Some((options, bridge, _)) = &self.bridge
            && let Some(old) = old_values(view, column, row)
            && (!options.samples(view.namespace(row), view.id(row)) || self.recipe.make(view, row) == Made::None)
        {
            bridge.map(&old, out);
            return Ok(Found::Vector);
        }
        self.embedded(view, row, out)
    }

    fn embedded(&self, view: &BatchView<'_>, row: usize, out: &mut Vec<f32>) -> Result<Found> {
        let pieces = match self.recipe.make(view, row) {
            Made::None if self.recipe.missing == Missing::Skip => return Ok(Found::Nothing),
            Made::None => return Ok(Found::Refused(NO_TEXT.to_owned())),
            Made::TooLong(chars) => return Ok(Found::Refused(too_long(chars, self.recipe.max_chars))),
            Made::Cut(piece) => vec![piece],
            Made::Texts(pieces) => pieces,
        };
        let mut read = Vec::new();
        for piece in &pieces {
            match self.filled.store.state(&piece.digest) {
                Some(REFUSED) => {
                    let reason = self.filled.refused.get(&piece.digest).cloned();
                    return Ok(Found::Refused(reason.unwrap_or_else(|| "the hook refused its text".to_owned())));
                }
                None | Some(ASKED) => return Err(changed(view.id(row))),
                Some(at) => self.filled.store.vector(at, &mut read)?,
            }
        }
        let dims = self.filled.space.dims;
        if pieces.len() == 1 {
            out.extend_from_slice(&read);
            return Ok(Found::Vector);
        }
        let mut mean = vec![0.0f32; dims];
        for vector in read.chunks_exact(dims) {
            mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value / pieces.len() as f32);
        }
        if self.filled.space.normalised {
            to_unit(&mut mean);
        }
        out.extend_from_slice(&mean);
        Ok(Found::Vector)
    }
}

/// True if a bridge lets the record be embedded: it is in the sample, or has no old vector.
pub fn is_embedded(options: &BridgeOptions, vector: &str, view: &BatchView<'_>, row: usize) -> bool {
    options.samples(view.namespace(row), view.id(row)) || old_values(view, column(view, vector), row).is_none()
}

fn column(view: &BatchView<'_>, vector: &str) -> Option<usize> {
    view.vector_specs().position(|spec| spec.name == vector)
}

fn old_values(view: &BatchView<'_>, column: Option<usize>, row: usize) -> Option<Vec<f32>> {
    match view.vector(column?, row)? {
        VectorValue::Dense(values) => Some(values.to_vec()),
        VectorValue::Widened(values) => Some(values),
        _ => None,
    }
}

fn changed(id: &str) -> Error {
    Error::new(ErrorKind::Changing, "a text was not there when the texts were embedded").with("id", id).hint(
        "the source changed in between: stop whoever writes to it and run the same command again; what is embedded is kept",
    )
}

/// A source with a new vector column.
pub struct EmbeddedSource {
    source: Box<dyn Source>,
    target: Arc<Target>,
    schema: CollectionSchema,
}

impl EmbeddedSource {
    /// Wraps `source`.
    pub fn new(source: Box<dyn Source>, target: Arc<Target>) -> Result<Self> {
        let schema = target.schema(source.schema())?;
        Ok(EmbeddedSource { source, target, schema })
    }
}

impl Source for EmbeddedSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        self.source.identity()
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let prepared = self.source.prepare(context)?;
        let schema = self.target.schema(prepared.schema())?;
        Ok(Box::new(EmbeddedPrepared { prepared, target: &self.target, schema }))
    }

    fn served_graph(&self, vector: &str) -> Result<Option<ServedGraph>> {
        // The dump's graph answers for the old vectors.
        if vector == self.target.vector { Ok(None) } else { self.source.served_graph(vector) }
    }
}

struct EmbeddedPrepared<'a> {
    prepared: Box<dyn Prepared + 'a>,
    target: &'a Target,
    schema: CollectionSchema,
}

impl Prepared for EmbeddedPrepared<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        self.prepared.ledger()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.prepared.notes();
        if let Some((options, _, report)) = &self.target.bridge {
            notes.push(format!(
                "vectors of {} are mapped, not embedded ({:?} bridge on a sample of {}): {:.3} of the true neighbours were found on held-out records",
                self.target.filled.space.model, report.kind, options.fraction, report.recall
            ));
        }
        notes
    }

    fn changes(&self) -> Vec<Loss> {
        self.prepared.changes()
    }

    fn left_out(&self) -> Option<LeftOut> {
        self.prepared.left_out()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        self.prepared.splits()
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        // The batch as it was read, its new vectors, and the batch as it goes on.
        self.prepared.split_memory_bytes(split) + 4 * BATCH_BYTES as u64
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let sink: Rc<RefCell<&'a mut dyn RejectSink>> = Rc::new(RefCell::new(rejects));
        let ordinal = split.ordinal;
        let batches = Lent::try_new(MutBorrow::new(Handle(sink.clone())), |handle| {
            self.prepared.open(split, handle.borrow_mut())
        })?;
        Ok(Box::new(Running { batches, sink, prepared: self, ordinal, before: 0, open: None }))
    }
}

/// The reader's way to the sink.
struct Handle<'a>(Rc<RefCell<&'a mut dyn RejectSink>>);

impl RejectSink for Handle<'_> {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        self.0.borrow_mut().reject(reject)
    }

    fn changed(&mut self, changed: &Changed) {
        self.0.borrow_mut().changed(changed);
    }
}

self_cell!(
    struct Lent<'a> {
        owner: MutBorrow<Handle<'a>>,
        #[not_covariant]
        dependent: Batches,
    }
);

/// The batches of one split with their new vectors.
struct Running<'a> {
    batches: Lent<'a>,
    sink: Rc<RefCell<&'a mut dyn RejectSink>>,
    prepared: &'a EmbeddedPrepared<'a>,
    ordinal: u64,
    before: u64,
    /// A batch of the source and how many of its rows are done.
    open: Option<(RecordBatch, usize)>,
}

impl Iterator for Running<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (batch, done) = match self.open.take() {
                Some(open) => open,
                None => match self.batches.with_dependent_mut(|_, batches| batches.next())? {
                    Ok(batch) => (batch, 0),
                    Err(error) => return Some(Err(error)),
                },
            };
            let most = (BATCH_BYTES / (4 * self.prepared.target.filled.space.dims)).max(1);
            let rows = most.min(batch.num_rows() - done);
            let piece = batch.slice(done, rows);
            if done + rows < batch.num_rows() {
                self.open = Some((batch, done + rows));
            }
            match self.embed(&piece) {
                Ok(batch) if batch.num_rows() == 0 => {}
                outcome => return Some(outcome),
            }
        }
    }
}

impl Running<'_> {
    fn embed(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let (target, inner) = (self.prepared.target, &self.prepared.prepared);
        let bug = |e: &dyn std::fmt::Display| Error::bug(format!("a batch cannot take its new vectors: {e}"));
        let view = BatchView::new(batch, inner.schema()).map_err(|fault| bug(&fault))?;
        let column = column(&view, &target.vector);
        let dims = target.filled.space.dims;
        let mut values = Vec::with_capacity(view.len() * dims);
        let (mut valid, mut keep) = (Vec::with_capacity(view.len()), Vec::with_capacity(view.len()));
        for row in 0..view.len() {
            let found = target.vector(&view, row, column, &mut values)?;
            keep.push(!matches!(found, Found::Refused(_)));
            valid.push(matches!(found, Found::Vector));
            values.resize((row + 1) * dims, 0.0);
            if let Found::Refused(reason) = found {
                let place = format!("split {} record {}", self.ordinal, self.before + row as u64);
                let reject = Reject { place, id: Some(view.id(row).to_owned()), reason, record: None };
                self.sink.borrow_mut().reject(reject)?;
            }
        }
        self.before += view.len() as u64;
        let nulls = NullBuffer::from(valid);
        let item = layout::item_field(layout::element_type(Element::F32));
        let vectors = FixedSizeListArray::try_new(item, dims as i32, Arc::new(Float32Array::from(values)), Some(nulls));
        let vectors: ArrayRef = Arc::new(vectors.map_err(|e| bug(&e))?);
        let arrow = layout::arrow_schema(&self.prepared.schema);
        let new = layout::vector_column(&VectorSpec::dense(target.vector.clone(), dims));
        let old: BTreeMap<&str, &ArrayRef> =
            batch.schema_ref().fields().iter().map(|field| field.name().as_str()).zip(batch.columns()).collect();
        let columns = arrow.fields().iter().map(|field| match field.name() == &new {
            true => Ok(vectors.clone()),
            false => old.get(field.name().as_str()).map(|array| (*array).clone()).ok_or_else(|| bug(&field.name())),
        });
        let whole = RecordBatch::try_new(arrow.clone(), columns.collect::<Result<_>>()?).map_err(|e| bug(&e))?;
        match keep.iter().all(|keep| *keep) {
            true => Ok(whole),
            false => filter_record_batch(&whole, &BooleanArray::from(keep)).map_err(|e| bug(&e)),
        }
    }
}

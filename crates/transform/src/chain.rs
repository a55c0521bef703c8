//! Steps one after another, over the batches of one split.
//!
//! Invariant: a step gives back as many rows as it was given, in its output schema, with a verdict on each; the chain takes out what
//! is not kept, counts it, and remembers which row of the source each row was.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use tranship_collection::{BatchView, CollectionSchema, Fault};
use tranship_connector::{Changed, Error, Loss, Reject, RejectSink, Result};

/// One change, to whole batches.
pub trait Step: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// The schema of what comes out of `schema`. Errors: usage, if it names what the schema lacks.
    fn output(&self, schema: &CollectionSchema) -> Result<CollectionSchema> {
        Ok(schema.clone())
    }

    /// What it changes of the collection, for reports.
    fn losses(&self, schema: &CollectionSchema) -> Vec<Loss>;

    /// What undoes it for every record that it lets pass.
    fn inverse(&self) -> Inverse {
        Inverse::None
    }

    /// The names of fields that it was told, with the line that says so; each must be found in at least one record.
    fn mentions(&self) -> Vec<(String, Option<usize>)> {
        Vec::new()
    }

    /// The factor of each vector that was scaled.
    fn scales(&self) -> BTreeMap<String, f32> {
        BTreeMap::new()
    }

    /// Does the work of one split.
    fn worker<'a>(
        &'a self,
        input: &'a CollectionSchema,
        output: &'a Arc<CollectionSchema>,
    ) -> Result<Box<dyn Worker + 'a>>;
}

/// How a step is undone.
pub enum Inverse {
    /// It is not.
    None,
    /// The records that it lets pass are as they were.
    Unneeded,
    /// By this `--map` file.
    Map(String),
}

/// A step at work on one split.
pub trait Worker {
    /// Changes one batch. Rows that are dropped or rejected must still be there.
    fn apply(&mut self, batch: &RecordBatch, view: &BatchView<'_>, pass: &mut Pass<'_>) -> Result<RecordBatch>;

    /// Which of the step's mentions were found so far.
    fn seen(&self) -> &[bool] {
        &[]
    }
}

#[derive(Clone)]
enum Verdict {
    Keep,
    Drop,
    Reject(String),
}

/// One batch on its way through one step.
pub struct Pass<'a> {
    /// Ordinal of the split.
    pub ordinal: u64,
    /// For each row, its number in the source's split.
    pub rows: &'a [u32],
    verdicts: Vec<Verdict>,
    step: &'static str,
    changed: &'a mut Changed,
}

impl Pass<'_> {
    /// Leaves the row out.
    pub fn drop(&mut self, row: usize) {
        self.verdicts[row] = Verdict::Drop;
    }

    /// Sets the row aside.
    pub fn reject(&mut self, row: usize, reason: impl Into<String>) {
        self.verdicts[row] = Verdict::Reject(reason.into());
    }

    /// Counts records that the step changes.
    pub fn count_changed(&mut self, records: u64) {
        self.change(self.step).changed += records;
    }

    /// The tally under `name`.
    pub fn change(&mut self, name: &str) -> &mut tranship_connector::Change {
        self.changed.entry(name.to_owned()).or_default()
    }
}

struct Stage {
    step: Box<dyn Step>,
    input: Arc<CollectionSchema>,
    output: Arc<CollectionSchema>,
}

/// The steps of a wrapped source.
pub struct Chain {
    base: Arc<CollectionSchema>,
    stages: Vec<Stage>,
}

impl Chain {
    /// No steps over `schema`.
    pub fn new(schema: &CollectionSchema) -> Self {
        Chain { base: Arc::new(schema.clone()), stages: Vec::new() }
    }

    /// Adds a step.
    pub fn push(&mut self, step: Box<dyn Step>) -> Result<()> {
        let input = self.stages.last().map_or(&self.base, |stage| &stage.output).clone();
        let output = Arc::new(step.output(&input)?);
        self.stages.push(Stage { step, input, output });
        Ok(())
    }

    /// The schema that comes out.
    pub fn output(&self) -> &CollectionSchema {
        self.stages.last().map_or(&self.base, |stage| &stage.output)
    }

    /// What all steps change.
    pub fn losses(&self) -> Vec<Loss> {
        self.stages.iter().flat_map(|stage| stage.step.losses(&stage.input)).collect()
    }

    /// The last step's mentions.
    pub fn mentions(&self) -> Vec<(String, Option<usize>)> {
        self.stages.last().map_or(Vec::new(), |stage| stage.step.mentions())
    }

    /// The map that undoes the chain for the records that pass it; only a chain of one changing step has one.
    pub fn inverse(&self) -> Option<String> {
        let inverses = self.stages.iter().map(|stage| stage.step.inverse());
        let mut changing = inverses.filter(|inverse| !matches!(inverse, Inverse::Unneeded));
        match (changing.next()?, changing.next()) {
            (Inverse::Map(text), None) => Some(text),
            _ => None,
        }
    }

    /// The factors of scaled vectors.
    pub fn scales(&self) -> Option<serde_json::Value> {
        let scales: BTreeMap<String, f32> = self.stages.iter().flat_map(|stage| stage.step.scales()).collect();
        (!scales.is_empty()).then(|| serde_json::json!(scales))
    }

    /// The chain at work on one split.
    pub fn runner(&self, ordinal: u64) -> Result<Runner<'_>> {
        let mut workers = Vec::new();
        for stage in &self.stages {
            workers.push((stage, stage.step.worker(&stage.input, &stage.output)?));
        }
        Ok(Runner { chain: self, ordinal, read: 0, workers, changed: Changed::new() })
    }
}

/// A chain at work on one split.
pub struct Runner<'a> {
    chain: &'a Chain,
    ordinal: u64,
    read: u32,
    workers: Vec<(&'a Stage, Box<dyn Worker + 'a>)>,
    changed: Changed,
}

/// What came through, and which rows of the source's split it was.
pub struct Taken {
    /// In the chain's output schema.
    pub batch: RecordBatch,
    /// Row numbers in the source's split.
    pub rows: Vec<u32>,
}

impl Runner<'_> {
    /// Takes one batch of the source through all steps.
    pub fn apply(&mut self, batch: RecordBatch, rejects: &mut dyn RejectSink) -> Result<Taken> {
        let first = self.read;
        self.read += batch.num_rows() as u32;
        let mut taken = Taken { rows: (first..self.read).collect(), batch };
        for (stage, worker) in &mut self.workers {
            let view = BatchView::new(&taken.batch, &stage.input).map_err(|fault| broken(&fault))?;
            let mut pass = Pass {
                ordinal: self.ordinal,
                rows: &taken.rows,
                verdicts: vec![Verdict::Keep; view.len()],
                step: stage.step.name(),
                changed: &mut self.changed,
            };
            let out = worker.apply(&taken.batch, &view, &mut pass)?;
            let verdicts = pass.verdicts;
            taken = settle(stage, &view, out, &taken.rows, &verdicts, self.ordinal, &mut self.changed, rejects)?;
        }
        Ok(taken)
    }

    /// Which mentions of the last step were found.
    pub fn seen(&self) -> &[bool] {
        self.workers.last().map_or(&[], |(_, worker)| worker.seen())
    }

    /// The schema of what comes out.
    pub fn schema(&self) -> &CollectionSchema {
        self.chain.output()
    }

    /// What the steps did.
    pub fn changed(&self) -> &Changed {
        &self.changed
    }
}

/// Takes out what the step did not keep.
fn settle(
    stage: &Stage,
    view: &BatchView<'_>,
    out: RecordBatch,
    rows: &[u32],
    verdicts: &[Verdict],
    ordinal: u64,
    changed: &mut Changed,
    rejects: &mut dyn RejectSink,
) -> Result<Taken> {
    let mut dropped = 0;
    for (row, verdict) in verdicts.iter().enumerate() {
        match verdict {
            Verdict::Keep => {}
            Verdict::Drop => dropped += 1,
            Verdict::Reject(reason) => rejects.reject(Reject {
                place: format!("split {ordinal}, record {}", rows[row]),
                id: Some(view.id(row).to_owned()),
                reason: format!("{}: {reason}", stage.step.name()),
                record: view.metadata(row).map(str::to_owned),
            })?,
        }
    }
    if dropped > 0 {
        changed.entry(stage.step.name().to_owned()).or_default().dropped += dropped;
    }
    let keep: Vec<bool> = verdicts.iter().map(|verdict| matches!(verdict, Verdict::Keep)).collect();
    if keep.iter().all(|keep| *keep) {
        return Ok(Taken { batch: out, rows: rows.to_vec() });
    }
    let rows = rows.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(row, _)| *row).collect();
    let batch = filter_record_batch(&out, &BooleanArray::from(keep)).map_err(|e| Error::bug(e.to_string()))?;
    Ok(Taken { batch, rows })
}

/// A batch that does not follow its own schema is a mistake of whoever made it.
pub fn broken(fault: &Fault) -> Error {
    Error::bug(fault.to_string())
}

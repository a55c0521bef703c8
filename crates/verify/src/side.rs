//! One side of a comparison: a prepared source and the form in which its records are compared.
//!
//! With a mapping, the source's records are projected (what the target does to them for good) and the target's are
//! undone (ids, documents and namespaces out of their reserved keys) and projected too, which changes nothing in
//! what the engine has already done. Without one, both are compared as read.

use arrow_array::RecordBatch;
use tranship_collection::digest::Digester;
use tranship_collection::{BatchView, CollectionSchema, Fault, SetFingerprint};
use tranship_connector::{Error, Mapping, Prepared, Reject, RejectSink, Result, Split};
use tranship_pipeline::{EngineOptions, execute};

/// In which form records are compared.
#[derive(Clone, Copy)]
pub enum Form<'a> {
    /// As the source has them.
    AsRead,
    /// As the target will hold them.
    Projected(&'a Mapping),
    /// Out of the target, brought back.
    Undone(&'a Mapping),
}

/// One side of a comparison.
pub struct Side<'a> {
    /// How messages call it.
    pub label: &'a str,
    /// The records.
    pub prepared: &'a dyn Prepared,
    /// The form.
    pub form: Form<'a>,
    schema: CollectionSchema,
}

impl<'a> Side<'a> {
    /// A side called `label`.
    pub fn new(label: &'a str, prepared: &'a dyn Prepared, form: Form<'a>) -> Self {
        let schema = match form {
            Form::AsRead => prepared.schema().clone(),
            Form::Projected(mapping) => mapping.projected_schema(prepared.schema()),
            Form::Undone(mapping) => mapping.projected_schema(&mapping.undone_schema(prepared.schema())),
        };
        Side { label, prepared, form, schema }
    }

    /// The schema of the batches that [`Self::each_batch`] hands out.
    pub fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    /// Hands every batch of one split to `visit`, in the side's form, with the number of rows before it.
    pub fn each_batch(&self, split: Split, mut visit: impl FnMut(&RecordBatch, u64) -> Result<()>) -> Result<()> {
        let ordinal = split.ordinal;
        let mut rows = 0;
        for batch in self.prepared.open(split, &mut NoRejects)? {
            let batch = self.formed(batch?).map_err(|(row, fault)| self.located(ordinal, rows + row as u64, &fault))?;
            visit(&batch, rows)?;
            rows += batch.num_rows() as u64;
        }
        Ok(())
    }

    /// An error about one record of this side.
    pub fn located(&self, ordinal: u64, row: u64, fault: &Fault) -> Error {
        Error::damaged(fault.to_string()).with("in", self.label).with("split", ordinal).with("record", row)
    }

    fn formed(&self, batch: RecordBatch) -> std::result::Result<RecordBatch, (usize, Fault)> {
        match self.form {
            Form::AsRead => Ok(batch),
            Form::Projected(mapping) => mapping.project(&batch, self.prepared.schema()),
            Form::Undone(mapping) => {
                let undone = mapping.undo(&batch, self.prepared.schema())?;
                mapping.project(&undone, &mapping.undone_schema(self.prepared.schema()))
            }
        }
    }
}

/// A comparison tolerates no bad record: it would compare less than the whole set.
struct NoRejects;

impl RejectSink for NoRejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        let error = Error::damaged(format!("{}: {}", reject.place, reject.reason));
        let error = match reject.id {
            Some(id) => error.with("id", id),
            None => error,
        };
        Err(error.hint("convert it with --max-rejects first: the archive then says what was set aside"))
    }
}

/// The fingerprint of one side, in one read.
pub fn fingerprint(side: &Side<'_>, engine: EngineOptions<'_>) -> Result<SetFingerprint> {
    let table_bytes = tranship_pipeline::run::table_bytes(side.schema())?;
    let mut total = SetFingerprint::new(side.schema());
    engine.progress.begin(&format!("read {}", side.label), None);
    execute(
        side.prepared,
        engine,
        table_bytes,
        |_| Ok(None),
        |split, stop| {
            let (mut set, mut digester) = (SetFingerprint::new(side.schema()), Digester::default());
            let (ordinal, bytes) = (split.ordinal, split.bytes);
            side.each_batch(split, |batch, rows| {
                stop.check()?;
                let view = BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, rows, &fault))?;
                set.add_batch(&view, &mut digester, |_, _| {})
                    .map_err(|(row, fault)| side.located(ordinal, rows + row as u64, &fault))?;
                engine.progress.advance(view.len() as u64, 0);
                Ok(())
            })?;
            engine.progress.advance(0, bytes);
            Ok(set)
        },
        |set| {
            total.merge(&set);
            Ok(())
        },
    )?;
    Ok(total)
}

//! A source in memory, with faults on request.

use arrow_array::RecordBatch;
use tranship_collection::CollectionSchema;
use tranship_connector::{
    Batches, Error, PrepareContext, Prepared, Reject, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::SourceIdentity;

/// Batches that are split evenly.
#[derive(Clone)]
pub struct MemorySource {
    schema: CollectionSchema,
    batches: Vec<RecordBatch>,
    per_split: usize,
    /// Fails when this split is opened.
    pub fail_at: Option<u64>,
    /// Panics when this split is opened.
    pub panic_at: Option<u64>,
    /// Rejects one record in each split up to this one.
    pub reject_below: u64,
}

impl MemorySource {
    /// `per_split` batches make a split.
    pub fn new(schema: CollectionSchema, batches: Vec<RecordBatch>, per_split: usize) -> Self {
        MemorySource { schema, batches, per_split, fail_at: None, panic_at: None, reject_below: 0 }
    }
}

impl Source for MemorySource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        Ok(SourceIdentity::default())
    }

    fn prepare<'a>(&'a self, _context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Ok(Box::new(self.clone()))
    }
}

impl Prepared for MemorySource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        let rows = self.batches.iter().map(|batch| batch.num_rows() as u64).sum();
        RowLedger { raw: Some(rows), live: Some(rows), ..RowLedger::default() }
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let splits = self.batches.len().div_ceil(self.per_split);
        let split = |ordinal: usize| {
            let start = ordinal * self.per_split;
            let end = (start + self.per_split).min(self.batches.len());
            Ok(Split {
                ordinal: ordinal as u64,
                start: start as u64,
                end: end as u64,
                bytes: 1 << 20,
                ..Split::default()
            })
        };
        Ok(Box::new((0..splits).map(split)))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        if self.fail_at == Some(split.ordinal) {
            return Err(Error::damaged("a fault on request").with("split", split.ordinal));
        }
        assert_ne!(self.panic_at, Some(split.ordinal), "a panic on request");
        if split.ordinal < self.reject_below {
            let place = format!("split {}", split.ordinal);
            rejects.reject(Reject {
                place,
                id: Some("bad".into()),
                reason: "a reject on request".into(),
                record: None,
            })?;
        }
        Ok(Box::new(self.batches[split.start as usize..split.end as usize].iter().cloned().map(Ok)))
    }
}

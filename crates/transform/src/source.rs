//! The source around a source.
//!
//! The rejects of one split go to one sink from two sides: from the reader, which borrows it for as long as it reads, and from the
//! chain, between batches. [`Lent`] holds the reader together with the handle that it borrows; both handles lead to the same sink.

use std::cell::RefCell;
use std::rc::Rc;

use arrow_array::RecordBatch;
use self_cell::{MutBorrow, self_cell};
use tranship_collection::CollectionSchema;
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, Changed, LeftOut, Loss, PrepareContext, Prepared, Reject, RejectSink, Result, RowLedger, Source, Split,
    Splits, Transforms,
};
use tranship_storage::SourceIdentity;

use crate::Steps;
use crate::chain::{Chain, Runner};
use crate::prepare;

/// A source whose records are changed.
pub struct ChangedSource {
    pub source: Box<dyn Source>,
    pub transforms: Transforms,
    pub steps: Steps,
    pub schema: CollectionSchema,
}

impl Source for ChangedSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        self.source.identity()
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        prepare::prepare(self, context)
    }
}

/// A prepared source whose records are changed.
pub struct ChangedPrepared<'a> {
    pub prepared: Box<dyn Prepared + 'a>,
    pub chain: Chain,
    pub schema: CollectionSchema,
    /// True if records may be left out.
    pub leaves_out: bool,
    /// The last split that a limit lets anything of through; later ones are not read.
    pub last_split: Option<u64>,
}

impl Prepared for ChangedPrepared<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        let ledger = self.prepared.ledger();
        RowLedger { live: ledger.live.filter(|_| !self.leaves_out), ..ledger }
    }

    fn notes(&self) -> Vec<String> {
        self.prepared.notes()
    }

    fn changes(&self) -> Vec<Loss> {
        self.prepared.changes().into_iter().chain(self.chain.losses()).collect()
    }

    fn left_out(&self) -> Option<LeftOut> {
        let live = self.prepared.ledger().live;
        self.leaves_out.then_some(LeftOut { live, cut: self.last_split.is_some() })
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let splits = self.prepared.splits()?;
        Ok(match self.last_split {
            None => splits,
            Some(last) => {
                Box::new(splits.take_while(move |split| split.as_ref().map_or(true, |split| split.ordinal <= last)))
            }
        })
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        // The batch as it was read, as it is changed, and texts on their way.
        self.prepared.split_memory_bytes(split) + 3 * BATCH_BYTES as u64
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let runner = self.chain.runner(split.ordinal)?;
        let sink: Rc<RefCell<&'a mut dyn RejectSink>> = Rc::new(RefCell::new(rejects));
        let handle = MutBorrow::new(Handle(sink.clone()));
        let batches = Lent::try_new(handle, |handle| self.prepared.open(split, handle.borrow_mut()))?;
        Ok(Box::new(Running { batches, sink, runner, done: false }))
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

/// The batches of one split, changed.
struct Running<'a> {
    batches: Lent<'a>,
    sink: Rc<RefCell<&'a mut dyn RejectSink>>,
    runner: Runner<'a>,
    done: bool,
}

impl Iterator for Running<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.batches.with_dependent_mut(|_, batches| batches.next()) {
                None => {
                    self.done = true;
                    self.sink.borrow_mut().changed(self.runner.changed());
                }
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(batch)) => match self.runner.apply(batch, &mut **self.sink.borrow_mut()) {
                    Ok(taken) if taken.rows.is_empty() => {}
                    taken => return Some(taken.map(|taken| taken.batch)),
                },
            }
        }
        None
    }
}

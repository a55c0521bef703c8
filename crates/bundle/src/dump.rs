//! Reads a bundle whose data is a dump of the engine's own form: by the provider's reader, split by split.
//!
//! Invariant: the data has the SHA-256 of the manifest before a record of it is taken, and as many records; they come
//! out in the stored schema, whatever columns and elements the reader has, and are undone like those of any bundle.
//! Errors: damaged, with the bundle's directory or what the reader says.

use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, Fault, VectorValue};
use tranship_connector::{
    Batches, Error, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};

use crate::source::BundleSource;

/// A dump in a bundle, ready to be read.
pub struct PreparedDump<'a> {
    bundle: &'a BundleSource,
    dump: Box<dyn Prepared + 'a>,
}

impl<'a> PreparedDump<'a> {
    /// Checks the data of `bundle` and prepares its reader.
    pub fn new(bundle: &'a BundleSource, dump: &'a dyn Source, context: &PrepareContext<'_>) -> Result<Self> {
        bundle.check_data()?;
        let dump = dump.prepare(context)?;
        match dump.ledger().live {
            Some(found) if found != bundle.records() => {
                let what = format!("the data holds {found} records, the manifest says {}", bundle.records());
                Err(Error::damaged(what).hint("write the bundle anew"))
            }
            _ => Ok(PreparedDump { bundle, dump }),
        }
    }
}

impl Prepared for PreparedDump<'_> {
    fn schema(&self) -> &CollectionSchema {
        self.bundle.schema()
    }

    fn ledger(&self) -> RowLedger {
        let rows = Some(self.bundle.records());
        RowLedger { raw: rows, live: rows, ..RowLedger::default() }
    }

    fn splits(&self) -> Result<Splits<'_>> {
        self.dump.splits()
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        self.dump.split_memory_bytes(split) + 2 * tranship_connector::source::BATCH_BYTES as u64
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let label = split.file.clone();
        let (bundle, given) = (self.bundle, self.dump.schema());
        let batches = self.dump.open(split, rejects)?;
        Ok(Box::new(batches.map(move |batch| {
            let stored = as_stored(&batch?, given, bundle.stored()).map_err(|fault| {
                Error::damaged(format!("a record does not fit its bundle: {fault}")).with("file", &label)
            })?;
            bundle.undo(&stored, &label)
        })))
    }
}

/// The same records in the stored schema.
fn as_stored(
    batch: &RecordBatch,
    given: &CollectionSchema,
    stored: &Arc<CollectionSchema>,
) -> std::result::Result<RecordBatch, Fault> {
    let view = BatchView::new(batch, given)?;
    let mut builder = BatchBuilder::new(stored.clone())?;
    let columns: Vec<(usize, usize)> = view
        .vector_specs()
        .enumerate()
        .filter_map(|(from, spec)| builder.vector_index(&spec.name).map(|to| (from, to)))
        .collect();
    for row in 0..view.len() {
        for (from, to) in &columns {
            match view.vector(*from, row) {
                None => {}
                Some(VectorValue::Dense(values)) => builder.push_dense(*to, values),
                Some(VectorValue::Widened(values)) => builder.push_dense(*to, &values),
                Some(VectorValue::Multi(values)) => builder.push_multi(*to, values),
                Some(VectorValue::Sparse(indices, values)) => builder.push_sparse(*to, indices, values)?,
                Some(VectorValue::Bits(bytes)) => builder.push_bytes(*to, bytes),
            }
        }
        builder.finish_row(RowText {
            id: view.id(row),
            id_kind: view.id_kind(row),
            namespace: view.namespace(row),
            document: view.document(row),
            metadata: view.metadata(row),
        })?;
    }
    builder.finish()
}

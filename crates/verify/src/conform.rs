//! Rows picked out of a prepared source, in a schema that is wide enough for two sources.
//!
//! Invariant: the values are those of the source; only the column of id kinds and an empty one of namespaces are added.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt8Array, new_null_array};
use arrow_select::filter::filter_record_batch;
use tranship_collection::digest::Digester;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{BatchView, CollectionSchema, Fault, IdKind, IdKinds, layout};
use tranship_connector::{Batches, Error, Prepared, RejectSink, Result, RowLedger, Split, Splits};

use crate::ids::{RowBits, id_of};

/// Which rows of a source are taken.
pub enum Rows {
    /// These.
    Only(RowBits),
    /// All but these.
    AllBut(RowBits),
    /// All but those with these id digests.
    Without(HashSet<u128>),
}

/// The picked rows as a source of their own.
pub struct Picked<'a> {
    inner: &'a dyn Prepared,
    rows: Rows,
    schema: CollectionSchema,
    /// True if ids are all that is kept.
    ids_only: bool,
    /// Ordinals of the inner splits, by position.
    ordinals: Vec<u64>,
    /// Rows that were taken, and rows that were not.
    counts: (AtomicU64, AtomicU64),
}

impl<'a> Picked<'a> {
    /// `rows` of `inner` in `schema`.
    pub fn new(inner: &'a dyn Prepared, rows: Rows, schema: CollectionSchema, ids_only: bool) -> Result<Self> {
        let ordinals = match &rows {
            Rows::Only(rows) => rows.ordinals().collect(),
            Rows::Without(_) | Rows::AllBut(_) => {
                inner.splits()?.map(|split| Ok(split?.ordinal)).collect::<Result<Vec<u64>>>()?
            }
        };
        let schema = match ids_only {
            true => CollectionSchema { vectors: Vec::new(), ..schema },
            false => schema,
        };
        Ok(Picked { inner, rows, schema, ids_only, ordinals, counts: Default::default() })
    }

    /// Number of splits.
    pub fn split_count(&self) -> u64 {
        self.ordinals.len() as u64
    }

    /// Rows that were taken so far, and rows that were not.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.0.load(Ordering::Relaxed), self.counts.1.load(Ordering::Relaxed))
    }

    fn pick(&self, batch: &RecordBatch, ordinal: u64, before: u64) -> Result<RecordBatch> {
        let view = BatchView::new(batch, self.inner.schema()).map_err(|fault| broken(&fault))?;
        let mut digester = Digester::default();
        let keep: Vec<bool> = match &self.rows {
            Rows::Only(rows) => (0..view.len()).map(|row| rows.has(ordinal, before + row as u64)).collect(),
            Rows::AllBut(rows) => (0..view.len()).map(|row| !rows.has(ordinal, before + row as u64)).collect(),
            Rows::Without(ids) => (0..view.len()).map(|row| !ids.contains(&id_of(&mut digester, &view, row))).collect(),
        };
        let taken = keep.iter().filter(|keep| **keep).count();
        self.counts.0.fetch_add(taken as u64, Ordering::Relaxed);
        self.counts.1.fetch_add((keep.len() - taken) as u64, Ordering::Relaxed);
        let kept = match keep.iter().all(|keep| *keep) {
            true => batch.clone(),
            false => filter_record_batch(batch, &BooleanArray::from(keep)).map_err(|e| Error::bug(e.to_string()))?,
        };
        conform(&kept, self.inner.schema(), &self.schema, self.ids_only)
    }
}

impl Prepared for Picked<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        RowLedger::default()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let inner = self.inner.splits()?;
        let wanted = move |split: &Result<Split>| {
            split.as_ref().map_or(true, |split| self.ordinals.binary_search(&split.ordinal).is_ok())
        };
        let renumbered =
            inner.filter(wanted).enumerate().map(|(position, split)| Ok(Split { ordinal: position as u64, ..split? }));
        Ok(Box::new(renumbered))
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        2 * self.inner.split_memory_bytes(split)
    }

    fn open<'b>(&'b self, split: Split, rejects: &'b mut dyn RejectSink) -> Result<Batches<'b>> {
        let ordinal = self.ordinals.get(split.ordinal as usize).copied();
        let ordinal = ordinal.ok_or_else(|| Error::bug("a split of no source"))?;
        let batches = self.inner.open(Split { ordinal, ..split }, rejects)?;
        let mut before = 0;
        Ok(Box::new(batches.map(move |batch| {
            let batch = batch?;
            let picked = self.pick(&batch, ordinal, before);
            before += batch.num_rows() as u64;
            picked
        })))
    }
}

/// One prepared source after another, of one schema.
pub struct Chained<'a> {
    /// In order.
    pub parts: Vec<Picked<'a>>,
    /// The fingerprint that all of it must have, if that is known before.
    pub stated: Option<FingerprintSummary>,
}

impl Chained<'_> {
    fn part_of(&self, ordinal: u64) -> Option<(&Picked<'_>, u64)> {
        let mut first = 0;
        for part in &self.parts {
            if ordinal < first + part.split_count() {
                return Some((part, first));
            }
            first += part.split_count();
        }
        None
    }
}

impl Prepared for Chained<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.parts[0].schema
    }

    fn ledger(&self) -> RowLedger {
        RowLedger::default()
    }

    fn stated_fingerprint(&self) -> Option<FingerprintSummary> {
        self.stated.clone()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let mut all: Vec<Splits<'_>> = Vec::new();
        for part in &self.parts {
            all.push(part.splits()?);
        }
        let numbered = all.into_iter().flatten().enumerate();
        Ok(Box::new(numbered.map(|(position, split)| Ok(Split { ordinal: position as u64, ..split? }))))
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        self.part_of(split.ordinal).map_or(0, |(part, _)| part.split_memory_bytes(split))
    }

    fn open<'b>(&'b self, split: Split, rejects: &'b mut dyn RejectSink) -> Result<Batches<'b>> {
        let (part, first) = self.part_of(split.ordinal).ok_or_else(|| Error::bug("a split of no source"))?;
        part.open(Split { ordinal: split.ordinal - first, ..split }, rejects)
    }
}

/// Brings a batch of `from` into `to`, which is the same or wider.
fn conform(batch: &RecordBatch, from: &CollectionSchema, to: &CollectionSchema, ids_only: bool) -> Result<RecordBatch> {
    let arrow = layout::arrow_schema(to);
    if !ids_only && *batch.schema_ref() == arrow {
        return Ok(batch.clone());
    }
    let rows = batch.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(arrow.fields().len());
    for field in arrow.fields() {
        let own = batch.column_by_name(field.name()).cloned();
        let dropped = ids_only && [layout::DOCUMENT, layout::METADATA].contains(&field.name().as_str());
        columns.push(match (field.name().as_str(), own) {
            _ if dropped => Arc::new(StringArray::new_null(rows)),
            (_, Some(own)) => own,
            (layout::ID_KIND, None) => {
                let kind = if from.ids == IdKinds::Integer { IdKind::Integer } else { IdKind::Text };
                Arc::new(UInt8Array::from_value(kind as u8, rows))
            }
            (layout::NAMESPACE, None) => new_null_array(&layout::namespace_type(), rows),
            (name, None) => return Err(Error::bug(format!("a batch without the column {name}"))),
        });
    }
    RecordBatch::try_new(arrow, columns).map_err(|e| Error::bug(e.to_string()))
}

fn broken(fault: &Fault) -> Error {
    Error::bug(fault.to_string())
}

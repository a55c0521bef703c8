//! Reads the live rows of one split: ids from the table, values from the stores, group by group.
//!
//! A group is as many live rows as every store serves in one request. A batch ends at about `BATCH_BYTES`.
//!
//! Rejects, each with shard, segment and row: values that cannot be decoded, payloads that are no JSON object, vectors
//! with NaN or infinities.

use std::ops::Range;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::json::check_object;
use tranship_collection::{BatchBuilder, VectorKind};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Reject, RejectSink, Result};

use super::cells::{Cells, Value};
use super::overlay::{Change, Part as ChangedPart, VectorValue};
use super::point_id::{PACKED_BYTES, PointId};
use super::prepare::{Part, PreparedSnapshot};
use super::stores::Store;

/// Most rows of a group.
const GROUP_ROWS: usize = 4096;
/// Bytes of dense vectors that a group aims at.
const GROUP_BYTES: u64 = 4 << 20;

/// Fills batches of one collection.
struct Rows<'a> {
    prepared: &'a PreparedSnapshot<'a>,
    builder: BatchBuilder,
    rejects: &'a mut dyn RejectSink,
    numbers: Vec<f32>,
    indices: Vec<u32>,
    scratch: Vec<u8>,
}

/// Why a point is set aside.
type Outcome = std::result::Result<(), String>;

impl<'a> Rows<'a> {
    fn new(prepared: &'a PreparedSnapshot<'a>, rejects: &'a mut dyn RejectSink) -> Result<Self> {
        let builder = BatchBuilder::new(prepared.schema.clone())
            .map_err(|fault| Error::bug(format!("a Qdrant collection that no batch holds: {fault}")))?;
        let (numbers, indices, scratch) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Rows { prepared, builder, rejects, numbers, indices, scratch })
    }

    fn is_full(&self) -> bool {
        self.builder.bytes() >= BATCH_BYTES
    }

    /// The batch of all rows so far.
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.builder.rows() == 0 {
            return Ok(None);
        }
        self.builder.finish().map(Some).map_err(|fault| Error::bug(format!("a batch does not fit: {fault}")))
    }

    /// Writes one vector into the open record.
    fn vector(&mut self, column: usize, value: &Value<'_>) -> Outcome {
        let declared = &self.prepared.source.columns[column];
        let bytes = match value {
            Value::Absent => return Ok(()),
            Value::Faulty(why) => return Err(named(&declared.name, why)),
            Value::Bytes(bytes) => *bytes,
        };
        match declared.kind {
            VectorKind::Sparse => {
                let (indices, values) = bytes.split_at(bytes.len() / 8 * 4);
                self.indices.clear();
                self.indices.extend(indices.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)));
                floats(values, &mut self.numbers);
                let pushed = self.builder.push_sparse(column, &self.indices, &self.numbers);
                pushed.map_err(|fault| fault.to_string())
            }
            VectorKind::Multi => {
                floats(bytes, &mut self.numbers);
                self.builder.push_multi(column, &self.numbers);
                Ok(())
            }
            VectorKind::Dense | VectorKind::Bits => {
                self.builder.push_bytes(column, bytes);
                Ok(())
            }
        }
    }

    /// Completes the open record.
    fn finish(&mut self, id: &PointId, shard: usize, payload: Value<'_>) -> Outcome {
        let text = match payload {
            Value::Absent => None,
            Value::Faulty(why) => return Err(format!("payload: {why}")),
            Value::Bytes(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| "payload: it is not UTF-8".to_owned())?;
                let has_keys = check_object(text, &mut self.scratch).map_err(|fault| fault.to_string())?;
                has_keys.then_some(text)
            }
        };
        let namespace = self.prepared.source.shards[shard].namespace.as_deref();
        let row = RowText { id: &id.text(), id_kind: id.kind(), namespace, document: None, metadata: text };
        self.builder.finish_row(row).map_err(|fault| fault.to_string())
    }

    /// Takes an unfinished record back.
    fn reject(&mut self, id: &PointId, place: String, reason: String) -> Result<()> {
        self.builder.rollback();
        self.rejects.reject(Reject { place, id: Some(id.text()), reason, record: None })
    }
}

/// Reads rows of a segment.
pub struct SegmentReader<'a> {
    rows: Rows<'a>,
    part: usize,
    next: u64,
    end: u64,
    payloads: Cells,
    vectors: Vec<Cells>,
}

impl<'a> SegmentReader<'a> {
    /// Over the live rows of a range.
    pub fn new(
        prepared: &'a PreparedSnapshot<'a>,
        part: usize,
        range: Range<u64>,
        rejects: &'a mut dyn RejectSink,
    ) -> Result<Self> {
        let vectors = prepared.source.columns.iter().map(|_| Cells::default()).collect();
        let rows = Rows::new(prepared, rejects)?;
        Ok(SegmentReader { rows, part, next: range.start, end: range.end, payloads: Cells::default(), vectors })
    }

    fn fill(&mut self) -> Result<Option<RecordBatch>> {
        while !self.rows.is_full() && self.next < self.end {
            self.group()?;
        }
        self.rows.batch()
    }

    /// Reads the next group of live rows.
    fn group(&mut self) -> Result<()> {
        let prepared = self.rows.prepared;
        let part: &'a Part = &prepared.parts[self.part];
        let most = (GROUP_BYTES / prepared.row_bytes.max(1)).clamp(1, GROUP_ROWS as u64) as usize;
        let live = (self.next..self.end).filter(|row| prepared.live.lives(self.part, *row));
        let group: Vec<u32> = live.take(most).map(|row| row as u32).collect();
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            self.next = self.end;
            return Ok(());
        };
        let ids = part.ids.range((*first).into(), u64::from(*last) + 1)?;
        let served = self.fetch(part, &group)?;
        for (position, row) in group[..served].iter().enumerate() {
            let packed = ids.as_chunks::<PACKED_BYTES>().0.get((row - first) as usize);
            let id = packed.and_then(PointId::unpack).ok_or_else(|| Error::bug(format!("row {row} has no id")))?;
            if let Err(reason) = self.append(position, &id, part.shard) {
                self.rows.reject(&id, format!("{}, row {row}", part.label), reason)?;
            }
            self.next = u64::from(*row) + 1;
        }
        Ok(())
    }

    /// Fetches the values of `group`; how many rows all stores served.
    fn fetch(&mut self, part: &Part, group: &[u32]) -> Result<usize> {
        let mut served = serve(&*part.segment.payloads, group, &mut self.payloads)?;
        for (store, cells) in part.segment.vectors.iter().zip(&mut self.vectors) {
            served = serve(&**store, &group[..served], cells)?;
        }
        Ok(served)
    }

    fn append(&mut self, position: usize, id: &PointId, shard: usize) -> Outcome {
        for (column, cells) in self.vectors.iter().enumerate() {
            self.rows.vector(column, &cells.get(position))?;
        }
        self.rows.finish(id, shard, self.payloads.get(position))
    }
}

impl Drop for SegmentReader<'_> {
    fn drop(&mut self) {
        self.rows.prepared.parts[self.part].segment.release();
    }
}

impl Iterator for SegmentReader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.fill();
        if batch.is_err() {
            self.next = self.end;
        }
        batch.transpose()
    }
}

/// Asks a store for `rows`; how many it served.
fn serve(store: &dyn Store, rows: &[u32], cells: &mut Cells) -> Result<usize> {
    cells.clear();
    store.fetch(rows, cells)?;
    match cells.len().min(rows.len()) {
        0 if !rows.is_empty() => Err(Error::bug("a store served no row")),
        served => Ok(served),
    }
}

/// Reads points that a log wrote.
pub struct OverlayReader<'a> {
    rows: Rows<'a>,
    part: usize,
    next: u64,
    end: u64,
    /// The segment that was read last.
    base: Option<usize>,
}

impl<'a> OverlayReader<'a> {
    /// Over the live points of a range.
    pub fn new(
        prepared: &'a PreparedSnapshot<'a>,
        part: usize,
        range: Range<u64>,
        rejects: &'a mut dyn RejectSink,
    ) -> Result<Self> {
        Ok(OverlayReader { rows: Rows::new(prepared, rejects)?, part, next: range.start, end: range.end, base: None })
    }

    /// Keeps blocks of one segment at a time.
    fn move_to(&mut self, base: Option<usize>) {
        if self.base != base {
            self.base.into_iter().for_each(|before| self.rows.prepared.parts[before].segment.release());
            self.base = base;
        }
    }

    fn fill(&mut self) -> Result<Option<RecordBatch>> {
        while !self.rows.is_full() && self.next < self.end {
            let row = self.next;
            self.next += 1;
            if self.rows.prepared.live.lives(self.part, row) {
                self.point(row)?;
            }
        }
        self.rows.batch()
    }

    fn point(&mut self, row: u64) -> Result<()> {
        let prepared = self.rows.prepared;
        let overlay = &prepared.overlays[self.part - prepared.parts.len()];
        let Some((id, Change::Written { vectors, payload, .. }, base)) = overlay.points.get(row as usize) else {
            return Err(Error::bug(format!("row {row} of a log is no point")));
        };
        if let Some(base) = base {
            self.move_to(Some(base.part));
        }
        let mut cells = Cells::default();
        let mut outcome = Ok(());
        for (column, vector) in vectors.iter().enumerate().take(prepared.source.columns.len()) {
            let written = match vector {
                ChangedPart::Absent => Ok(()),
                ChangedPart::Value(value) => self.write(column, value),
                ChangedPart::Stored => match base {
                    None => Ok(()),
                    Some(base) => {
                        serve(&*prepared.parts[base.part].segment.vectors[column], &[base.row], &mut cells)?;
                        self.rows.vector(column, &cells.get(0))
                    }
                },
            };
            outcome = outcome.and(written);
        }
        cells.clear();
        let payload = match (payload, base) {
            (ChangedPart::Value(text), _) => Value::Bytes(text.as_bytes()),
            (ChangedPart::Stored, Some(base)) => {
                serve(&*prepared.parts[base.part].segment.payloads, &[base.row], &mut cells)?;
                cells.get(0)
            }
            (ChangedPart::Absent, _) | (ChangedPart::Stored, None) => Value::Absent,
        };
        match outcome.and_then(|()| self.rows.finish(id, overlay.shard, payload)) {
            Ok(()) => Ok(()),
            Err(reason) => self.rows.reject(id, format!("{}, write-ahead log", overlay.label), reason),
        }
    }

    fn write(&mut self, column: usize, value: &VectorValue) -> Outcome {
        let builder = &mut self.rows.builder;
        match value {
            VectorValue::Dense(values) => builder.push_dense(column, values),
            VectorValue::Multi(values) => builder.push_multi(column, values),
            VectorValue::Sparse(indices, values) => {
                return builder.push_sparse(column, indices, values).map_err(|fault| fault.to_string());
            }
        }
        Ok(())
    }
}

impl Drop for OverlayReader<'_> {
    fn drop(&mut self) {
        self.move_to(None);
    }
}

impl Iterator for OverlayReader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.fill();
        if batch.is_err() {
            self.next = self.end;
        }
        batch.transpose()
    }
}

fn floats(bytes: &[u8], into: &mut Vec<f32>) {
    into.clear();
    into.extend(bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)));
}

fn named(vector: &str, why: &str) -> String {
    format!("{}: {why}", tranship_collection::fault::vector_label(vector))
}

//! Reads the records of one split: a range of rows of one segment, all fields in lockstep.
//!
//! Invariant: every row that lives is emitted or rejected; a batch ends at about `BATCH_BYTES`.
//! Rejects: a vector that is not finite or of another length, sparse indices that do not ascend, text that is not
//! UTF-8, JSON that is none, a key that is null.

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::json::{self, ObjectText};
use tranship_collection::{BatchBuilder, IdKind};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Reject, RejectSink, Result};

use super::cell::Cell;
use super::deletes::Key;
use super::segment::{MappedSegment, Stream};
use super::source::PreparedCollection;
use super::value::{append_dynamic, append_json, push_vector};
use crate::dialect::{DataType, Field};

/// Iterator over the batches of a split.
pub struct Reader<'a> {
    prepared: &'a PreparedCollection<'a>,
    segment: &'a MappedSegment,
    /// Position of the segment among the parts of the liveness.
    part: usize,
    row: u64,
    end: u64,
    namespace: Option<String>,
    streams: Vec<Option<Stream<'a>>>,
    /// Column of the batch for each vector field.
    vectors: Vec<(usize, usize)>,
    /// Some field holds JSON that the source vouches for, not we.
    checks_json: bool,
    builder: BatchBuilder,
    text: ObjectText,
    scratch: Vec<u8>,
    rejects: &'a mut dyn RejectSink,
}

impl<'a> Reader<'a> {
    /// For rows `start..end` of the segment that is part `part`.
    pub fn new(
        prepared: &'a PreparedCollection<'a>,
        part: usize,
        start: u64,
        end: u64,
        rejects: &'a mut dyn RejectSink,
    ) -> Result<Self> {
        let segment = prepared.segments.get(part).ok_or_else(|| Error::bug("a split of an unknown segment"))?;
        let end = end.min(segment.rows);
        let builder = BatchBuilder::new(prepared.schema.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
        let vectors = prepared.roles.vectors.iter();
        let vectors = vectors.filter_map(|(field, name)| Some((*field, builder.vector_index(name)?))).collect();
        let fields = &prepared.collection.fields;
        let of_json = |f: &Field| f.data_type == DataType::Json || f.element_type == Some(DataType::Json);
        Ok(Reader {
            segment,
            part,
            row: start,
            end,
            namespace: prepared.collection.namespace(segment.partition),
            streams: fields.iter().map(|f| segment.stream(f.id, start, end, prepared.limits)).collect(),
            vectors,
            checks_json: fields.iter().any(of_json),
            builder,
            text: ObjectText::default(),
            scratch: Vec::new(),
            rejects,
            prepared,
        })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.row < self.end && self.builder.bytes() < BATCH_BYTES {
            for stream in self.streams.iter_mut().flatten() {
                stream.advance()?;
            }
            if self.prepared.live.lives(self.part, self.row) {
                self.take_row()?;
            }
            self.row += 1;
        }
        match self.builder.rows() {
            0 => Ok(None),
            _ => self.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string())),
        }
    }

    fn take_row(&mut self) -> Result<()> {
        let Err((id, reason)) = self.append() else { return Ok(()) };
        self.builder.rollback();
        let key = self.prepared.collection.fields.get(self.prepared.roles.primary).map_or(0, |field| field.id);
        let place = format!("{} row {}", self.segment.file_of(key, self.row), self.row);
        self.rejects.reject(Reject { place, id, reason, record: None })
    }

    /// Adds the current row to the batch, or says why not.
    fn append(&mut self) -> std::result::Result<(), (Option<String>, String)> {
        let Reader { prepared, streams, builder, text, scratch, .. } = self;
        let roles = &prepared.roles;
        let fields = &prepared.collection.fields;
        let cell = |position: usize| streams.get(position).and_then(Option::as_ref).map(Stream::cell);
        let key = cell(roles.primary).as_ref().and_then(Key::of).map(|key| match key {
            Key::Integer(number) => (number.to_string(), IdKind::Integer),
            Key::Text(text) => (text.into_owned(), IdKind::Text),
        });
        let (id, id_kind) = key.ok_or_else(|| (None, "the primary key is null".to_owned()))?;
        let because = |reason: String| (Some(id.clone()), reason);
        for (position, column) in &self.vectors {
            if let (Some(field), Some(cell)) = (fields.get(*position), cell(*position)) {
                push_vector(field, &cell, *column, builder).map_err(because)?;
            }
        }
        text.clear();
        for position in &roles.scalars {
            let Some(field) = fields.get(*position) else { continue };
            let out = text.key(&field.name);
            match (cell(*position), &field.default) {
                (Some(cell), _) => append_json(field, &cell, out).map_err(because)?,
                // The field was added after the segment was written.
                (None, Some(default)) => out.extend_from_slice(default.to_string().as_bytes()),
                (None, None) => out.extend_from_slice(b"null"),
            }
        }
        if let Some(cell) = roles.dynamic.and_then(cell) {
            append_dynamic(&cell, fields, text).map_err(because)?;
        }
        let document = match prepared.document.and_then(cell) {
            Some(Cell::Text(text)) => Some(text),
            Some(Cell::Bytes(bytes)) => {
                Some(std::str::from_utf8(bytes).map_err(|error| because(format!("the document: {error}")))?)
            }
            Some(_) => None,
            // The field was added after the segment was written.
            None => prepared.document.and_then(|d| fields.get(d)?.default.as_ref()?.as_str()),
        };
        let metadata = text.close().map_err(|fault| because(fault.to_string()))?;
        if let Some(metadata) = metadata.filter(|_| self.checks_json) {
            json::check_object(metadata, scratch).map_err(|fault| because(fault.to_string()))?;
        }
        let namespace = self.namespace.as_deref();
        let row = RowText { id: &id, id_kind, namespace, document, metadata };
        builder.finish_row(row).map_err(|fault| because(fault.to_string()))
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.row = self.end;
        }
        batch.transpose()
    }
}

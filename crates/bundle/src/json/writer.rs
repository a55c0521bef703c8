//! Writes the data files of one shard, cut at the target's caps and, where it wants that, by namespace.
//!
//! Invariant: files are numbered in the order in which they were begun, so their names and bytes follow from the
//! records alone; at most [`MOST_OPEN`] of them are open, the one that was begun first is completed for another.

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::{BatchView, CollectionSchema};
use tranship_connector::{Error, Mapping, Result};
use tranship_storage::DurableFile;

use super::{Given, JsonTarget, broken, vector_fields};
use crate::form::{FormWriter, Part, Parts};

/// Most files that a shard writes at a time.
pub const MOST_OPEN: usize = 16;

/// The files of one shard.
pub struct JsonWriter<'a> {
    target: &'a JsonTarget,
    parts: Parts<'a>,
    mapping: &'a Mapping,
    stored: Arc<CollectionSchema>,
    fields: Vec<String>,
    start: Vec<u8>,
    begun: usize,
    open: Vec<OpenFile>,
    done: Vec<(usize, Part)>,
    record: Vec<u8>,
}

struct OpenFile {
    namespace: Option<String>,
    number: usize,
    file: DurableFile,
    rows: u64,
}

impl<'a> JsonWriter<'a> {
    /// The writer of one shard.
    pub fn new(
        target: &'a JsonTarget,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Self> {
        Ok(JsonWriter {
            target,
            parts,
            mapping,
            stored: stored.clone(),
            fields: vector_fields(mapping, target.only_vector),
            start: (target.start)(mapping)?,
            begun: 0,
            open: Vec::new(),
            done: Vec::new(),
            record: Vec::new(),
        })
    }

    fn push(&mut self, id: &str, namespace: Option<&str>) -> Result<()> {
        let shape = self.target.files;
        let needed = (self.record.len() + shape.between.len() + shape.end.len()) as u64;
        let most = shape.max_record_bytes.min(shape.max_bytes - self.start.len() as u64);
        if needed > most {
            return Err(Error::limit(format!("record `{id}` takes {needed} bytes, the target takes at most {most}"))
                .hint("shorten its document or metadata, or set the record aside"));
        }
        let is_full = |open: &OpenFile| open.file.bytes() + needed > shape.max_bytes || open.rows >= shape.max_rows;
        let at = match self.open.iter().position(|open| open.namespace.as_deref() == namespace) {
            Some(at) if is_full(&self.open[at]) => {
                self.close(at)?;
                self.begin(namespace)?
            }
            Some(at) => at,
            None => self.begin(namespace)?,
        };
        let open = &mut self.open[at];
        if open.rows > 0 {
            open.file.write_all(shape.between)?;
        }
        open.file.write_all(&self.record)?;
        open.rows += 1;
        Ok(())
    }

    fn begin(&mut self, namespace: Option<&str>) -> Result<usize> {
        if self.open.len() == MOST_OPEN {
            self.close(0)?;
        }
        let shape = self.target.files;
        let mut file = self.parts.create(shape.stem, self.begun, shape.extension)?;
        file.write_all(&self.start)?;
        self.open.push(OpenFile { namespace: namespace.map(str::to_owned), number: self.begun, file, rows: 0 });
        self.begun += 1;
        Ok(self.open.len() - 1)
    }

    fn close(&mut self, at: usize) -> Result<()> {
        let shape = self.target.files;
        let OpenFile { namespace, number, mut file, rows } = self.open.remove(at);
        file.write_all(shape.end)?;
        let name = (shape.stem, number, shape.extension);
        let part = self.parts.finish(file, name, Some(rows), namespace.filter(|_| shape.by_namespace))?;
        self.done.push((number, part));
        Ok(())
    }
}

impl FormWriter for JsonWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let stored = self.stored.clone();
        let view = BatchView::new(batch, &stored).map_err(broken)?;
        for row in 0..view.len() {
            self.record.clear();
            let given = Given { view: &view, row, mapping: self.mapping, fields: &self.fields };
            (self.target.append)(&given, &mut self.record)?;
            let namespace = self.target.files.by_namespace.then(|| view.namespace(row).unwrap_or(""));
            self.push(view.id(row), namespace)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Part>> {
        while !self.open.is_empty() {
            self.close(0)?;
        }
        self.done.sort_by_key(|(number, _)| *number);
        Ok(self.done.into_iter().map(|(_, part)| part).collect())
    }
}

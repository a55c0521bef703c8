//! Reads COPY BINARY files of a layout: those of a bundle, and what a server answered to `COPY (SELECT ..) TO STDOUT`.
//!
//! Invariant: every byte between the header and the trailer belongs to a row, and a row is one record in the target's
//! form. Memory is a batch and a row. Errors: damaged, with file and row.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::json::{Entries, ObjectText};
use tranship_collection::{BatchBuilder, CollectionSchema, IdKind, VectorKind};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, Result};
use tranship_storage::Blob;

use super::encode::{HEADER, TRAILER};
use super::layout::{Layout, VectorColumn};
use crate::dialect::Type;
use crate::rows::{Form, Next, Row, RowReader};
use crate::values::vector::{self, Sparse};
use crate::values::{Reason, binary};

/// Longest row: a gigabyte is what COPY itself takes.
const MAX_ROW_BYTES: usize = 1 << 30;

/// The batches of one file.
pub struct Reader {
    rows: RowReader<'static>,
    row: Row,
    number: u64,
    label: String,
    layout: Layout,
    width: usize,
    builder: BatchBuilder,
    sparse: Sparse,
    object: ObjectText,
    done: bool,
}

impl Reader {
    /// Opens the file at `path` for batches of `stored`.
    pub fn open(path: &Path, layout: Layout, stored: &Arc<CollectionSchema>) -> Result<Self> {
        let blob = Blob::of_path(path)?;
        let reader = blob.open()?;
        let (start, end) = (HEADER.len() as u64, blob.len().saturating_sub(TRAILER.len() as u64));
        let damaged = |what: &str| {
            Error::damaged(what.to_owned()).with("file", path.display()).hint("copy the file again, or make it anew")
        };
        if end < start || reader.range_to_vec(0, start, start)? != HEADER {
            return Err(damaged("the file does not begin as COPY BINARY does"));
        }
        if reader.range_to_vec(end, blob.len(), TRAILER.len() as u64)? != TRAILER {
            return Err(damaged("the file does not end with the trailer of COPY BINARY: it is cut short"));
        }
        let label = path.display().to_string();
        let width = layout.columns().len();
        let input = Box::new(reader.range(start, end));
        Ok(Reader {
            rows: RowReader::new(input, &Form::Binary, width, &label, start, MAX_ROW_BYTES),
            row: Row::default(),
            number: 0,
            label,
            width,
            builder: BatchBuilder::new(stored.clone()).map_err(|fault| Error::bug(fault.to_string()))?,
            layout,
            sparse: Sparse::default(),
            object: ObjectText::default(),
            done: false,
        })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while !self.done && self.builder.bytes() < BATCH_BYTES {
            match self.rows.next(&mut self.row)? {
                Next::Row(_) => {
                    self.append().map_err(|reason| self.damaged(reason))?;
                    self.number += 1;
                }
                Next::Malformed(_, reason) => return Err(self.damaged(reason)),
                Next::End => {
                    self.rows.finish()?;
                    self.done = true;
                }
            }
        }
        match self.builder.rows() {
            0 => Ok(None),
            _ => self.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string())),
        }
    }

    fn damaged(&self, reason: String) -> Error {
        Error::damaged(reason)
            .with("file", &self.label)
            .with("row", self.number)
            .hint("the columns are not those of mapping.json, or the file is damaged: make it anew")
    }

    fn append(&mut self) -> std::result::Result<(), Reason> {
        if self.row.len() != self.width {
            return Err(format!("{} fields where the table has {} columns", self.row.len(), self.width));
        }
        let mut fields = (0..self.width).map(|at| self.row.get(at));
        let mut next = || fields.next().flatten();
        let namespace = if self.layout.namespaced { Some(text(&Type::Text, next())?) } else { None };
        let id_type = if self.layout.bigint { Type::Integer(8) } else { Type::Text };
        let id = text(&id_type, next())?.ok_or("the id is NULL")?;
        for column in &self.layout.vectors {
            if let Some(bytes) = next() {
                let in_column = |reason| format!("column {:?}: {reason}", column.column);
                push_vector(&mut self.builder, column, bytes, &mut self.sparse).map_err(in_column)?;
            }
        }
        self.object.clear();
        let mut typed = false;
        for field in &self.layout.fields {
            if let Some(bytes) = next() {
                typed = true;
                let out = self.object.key(&field.key);
                binary::append(&field.kind(), bytes, out).map_err(|reason| format!("{:?}: {reason}", field.key))?;
            }
        }
        let document = text(&Type::Text, next())?;
        let jsonb = text(&Type::Jsonb, next())?;
        let metadata = match jsonb.as_deref() {
            Some(text) if typed => {
                for (key, value) in Entries::parse(text).map_err(|fault| fault.to_string())?.0 {
                    self.object.key(&key).extend_from_slice(value.get().as_bytes());
                }
                self.object.close().map_err(|fault| fault.to_string())?
            }
            None if typed => self.object.close().map_err(|fault| fault.to_string())?,
            plain => plain,
        };
        let row = RowText {
            id: &id,
            id_kind: IdKind::Text,
            namespace: namespace.as_ref().and_then(|name| name.as_deref()).filter(|name| !name.is_empty()),
            document: document.as_deref(),
            metadata,
        };
        self.builder.finish_row(row).map_err(|fault| fault.to_string())
    }
}

impl Iterator for Reader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        self.done |= batch.is_err();
        batch.transpose()
    }
}

fn text(kind: &Type, bytes: Option<&[u8]>) -> std::result::Result<Option<String>, Reason> {
    bytes.map(|bytes| binary::text(kind, bytes)).transpose()
}

fn push_vector(
    builder: &mut BatchBuilder,
    column: &VectorColumn,
    bytes: &[u8],
    sparse: &mut Sparse,
) -> std::result::Result<(), Reason> {
    let place = builder.vector_index(&column.name).ok_or("the collection has no such vector")?;
    match column.kind {
        VectorKind::Sparse => {
            sparse.read_binary(bytes)?;
            builder.push_sparse(place, &sparse.indices, &sparse.values).map_err(|fault| fault.to_string())
        }
        VectorKind::Bits => {
            let (bits, packed) = vector::binary_bits(bytes)?;
            if bits != column.dim as usize {
                return Err(format!("{bits} bits, the column has {}", column.dim));
            }
            builder.push_bytes(place, packed);
            Ok(())
        }
        VectorKind::Dense | VectorKind::Multi if column.half => {
            vector::binary_halves(bytes, builder.dense_values(place))
        }
        VectorKind::Dense | VectorKind::Multi => vector::binary_floats(bytes, builder.dense_values(place)),
    }
}

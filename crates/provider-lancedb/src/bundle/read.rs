//! Reads a data file back into stored records.
//!
//! Invariant: what was written comes back bit for bit, metadata as text. Errors: damaged, with file and row.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use tranship_bundle::DataFile;
use tranship_collection::batch::RowText;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema, VectorKind};
use tranship_connector::{Batches, Error, Mapping, Result};
use tranship_format_parquet::PartFile;
use tranship_format_parquet::decode::RawBatches;
use tranship_storage::Limits;

use super::columns::{self, DOCUMENT, ID, ID_IS_INTEGER, Ids, METADATA, NAMESPACE};
use super::write::GROUP_BYTES;

/// Memory for reading a file of so many bytes: a row group, a batch of it, and what is made of that.
pub fn memory_bytes(bytes: u64) -> u64 {
    bytes.min(4 * GROUP_BYTES as u64) * 2 + (32 << 20)
}

/// The batches of one file.
pub fn read<'a>(file: DataFile<'a>, mapping: &'a Mapping, stored: &Arc<CollectionSchema>) -> Result<Batches<'a>> {
    let part = PartFile::open(&file.checked_path()?, &Limits::default())?;
    let raw = part.raw_batches(0..part.row_groups().len(), None)?;
    let builder = BatchBuilder::new(stored.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
    Ok(Box::new(Reader { file, mapping, raw, builder }))
}

struct Reader<'a> {
    file: DataFile<'a>,
    mapping: &'a Mapping,
    raw: RawBatches,
    builder: BatchBuilder,
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first_row, batch) = match self.raw.next()? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        for row in 0..batch.num_rows() {
            if let Err(what) = append(&batch, row, self.mapping, &mut self.builder) {
                return Some(Err(self.file.damaged(what).with("row", first_row + row as u64)));
            }
        }
        Some(self.builder.finish().map_err(|fault| Error::bug(fault.to_string())))
    }
}

/// A part of a row, or why it does not fit.
type Fitted<T> = std::result::Result<T, String>;

fn append(batch: &RecordBatch, row: usize, mapping: &Mapping, builder: &mut BatchBuilder) -> Fitted<()> {
    for (position, (spec, name)) in columns::vectors(mapping).enumerate() {
        let values = column(batch, name)?;
        if values.is_valid(row) {
            push_vector(values, row, spec.kind, position, builder)
                .map_err(|what| format!("column `{name}`: {what}"))?;
        }
    }
    let (id, id_kind) = id(batch, row, Ids::of(mapping))?;
    let namespace = if builder.schema().namespaced { text(batch, NAMESPACE, row)? } else { None };
    let (document, metadata) = (text(batch, DOCUMENT, row)?, text(batch, METADATA, row)?);
    let record = RowText { id: &id, id_kind, namespace, document, metadata };
    builder.finish_row(record).map_err(|fault| fault.to_string())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Fitted<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| format!("there is no column `{name}`"))
}

fn text<'a>(batch: &'a RecordBatch, name: &str, row: usize) -> Fitted<Option<&'a str>> {
    let texts = column(batch, name)?.as_string_opt::<i32>().ok_or_else(|| format!("column `{name}` is no text"))?;
    Ok(texts.is_valid(row).then(|| texts.value(row)))
}

fn id(batch: &RecordBatch, row: usize, ids: Ids) -> Fitted<(String, IdKind)> {
    if ids == Ids::Integers {
        let integers = column(batch, ID)?.as_primitive_opt::<Int64Type>();
        let integers = integers.filter(|ids| ids.is_valid(row)).ok_or("there is no id")?;
        return Ok((integers.value(row).to_string(), IdKind::Integer));
    }
    let id = text(batch, ID, row)?.ok_or("there is no id")?.to_owned();
    let integer = match ids {
        Ids::Integers | Ids::Digits => true,
        Ids::Texts => false,
        Ids::Both => {
            let flags = column(batch, ID_IS_INTEGER)?.as_boolean_opt().ok_or("the kinds of ids are no booleans")?;
            flags.is_valid(row) && flags.value(row)
        }
    };
    Ok((id, if integer { IdKind::Integer } else { IdKind::Text }))
}

fn push_vector(
    column: &ArrayRef,
    row: usize,
    kind: VectorKind,
    position: usize,
    builder: &mut BatchBuilder,
) -> Fitted<()> {
    if kind == VectorKind::Sparse {
        let pair = column.as_struct_opt().filter(|pair| pair.num_columns() == 2).ok_or("no pair")?;
        let list = |at: usize| pair.column(at).as_list_opt::<i32>().map(|list| list.value(row));
        let (indices, values) = list(0).zip(list(1)).ok_or("no lists")?;
        let indices = indices.as_primitive_opt::<UInt32Type>().ok_or("indices of another type")?;
        return builder.push_sparse(position, indices.values(), floats(&values)?).map_err(|fault| fault.to_string());
    }
    let list = column.as_list_opt::<i32>().ok_or("no list")?.value(row);
    match kind {
        VectorKind::Bits => {
            let bytes = list.as_primitive_opt::<UInt8Type>().filter(|bytes| bytes.null_count() == 0);
            builder.push_bytes(position, bytes.ok_or("no bytes")?.values());
        }
        VectorKind::Multi => {
            let rows = list.as_list_opt::<i32>().ok_or("no list of lists")?;
            let mut values = Vec::new();
            for row in 0..rows.len() {
                values.extend_from_slice(floats(&rows.value(row))?);
            }
            builder.push_multi(position, &values);
        }
        _ => builder.push_dense(position, floats(&list)?),
    }
    Ok(())
}

fn floats(values: &ArrayRef) -> Fitted<&[f32]> {
    let floats = values.as_primitive_opt::<Float32Type>().filter(|floats| floats.null_count() == 0);
    floats.map(|floats| &floats.values()[..]).ok_or_else(|| "nulls, or numbers of another type".to_owned())
}

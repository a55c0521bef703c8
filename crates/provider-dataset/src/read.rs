//! Reads a dataset of our own back into stored records.
//!
//! Invariant: what was written comes back bit for bit, metadata by value. Errors: damaged, with file and row.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use tranship_bundle::DataFile;
use tranship_collection::batch::RowText;
use tranship_collection::json::{
    ObjectText, append_array_of, append_bool, append_float, append_integer, append_string,
};
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema, VectorKind};
use tranship_connector::native::FieldType;
use tranship_connector::{Batches, Error, Mapping, Result};
use tranship_format_parquet::PartFile;
use tranship_format_parquet::decode::RawBatches;
use tranship_storage::Limits;

use crate::layout::{EMPTY_METADATA, ID, INTEGER_ID, Ids, NAMESPACE};
use crate::write::{Columns, GROUP_BYTES, Key};

/// Memory for reading a file of so many bytes: a row group, a batch of it, and what is made of that.
pub fn memory_bytes(bytes: u64) -> u64 {
    bytes.min(4 * GROUP_BYTES as u64) * 2 + (32 << 20)
}

/// The batches of one file.
pub fn read<'a>(file: DataFile<'a>, mapping: &'a Mapping, stored: &Arc<CollectionSchema>) -> Result<Batches<'a>> {
    let part = PartFile::open(&file.checked_path()?, &Limits::default())?;
    let columns = Columns::of(mapping, stored);
    if part.arrow_schema().fields().len() != columns.arrow.fields().len() {
        return Err(file.damaged("the columns are not those that the mapping says"));
    }
    let raw = part.raw_batches(0..part.row_groups().len(), None)?;
    let builder = BatchBuilder::new(stored.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
    Ok(Box::new(Reader { file, columns, raw, builder }))
}

struct Reader<'a> {
    file: DataFile<'a>,
    columns: Columns,
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
        let mut metadata = ObjectText::default();
        for row in 0..batch.num_rows() {
            if let Err(what) = append(&batch, row, &self.columns, &mut self.builder, &mut metadata) {
                return Some(Err(self.file.damaged(what).with("row", first_row + row as u64)));
            }
        }
        Some(self.builder.finish().map_err(|fault| Error::bug(fault.to_string())))
    }
}

/// A part of a row, or why it does not fit.
type Fitted<T> = std::result::Result<T, String>;

fn append(
    batch: &RecordBatch,
    row: usize,
    columns: &Columns,
    builder: &mut BatchBuilder,
    metadata: &mut ObjectText,
) -> Fitted<()> {
    let stored = builder.schema().clone();
    for (position, spec) in stored.stored_vectors().enumerate() {
        let column = column(batch, &columns.layout.vector_column(spec))?;
        if column.is_valid(row) {
            push_vector(column, row, spec.kind, position, builder)?;
        }
    }
    metadata.clear();
    for key in &columns.keys {
        push_key(column(batch, &key.name)?, row, key, metadata)?;
    }
    let is_empty = flag(batch, EMPTY_METADATA, row)?;
    let object = metadata.close().map_err(|fault| fault.to_string())?;
    let (id, id_kind) = id(batch, row, columns.ids)?;
    let namespace = if stored.namespaced { text(batch, NAMESPACE, row)? } else { None };
    let record = RowText {
        id: &id,
        id_kind,
        namespace,
        document: text(batch, columns.layout.document, row)?,
        metadata: object.or(is_empty.then_some("{}")),
    };
    builder.finish_row(record).map_err(|fault| fault.to_string())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Fitted<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| format!("there is no column `{name}`"))
}

fn text<'a>(batch: &'a RecordBatch, name: &str, row: usize) -> Fitted<Option<&'a str>> {
    let texts = column(batch, name)?.as_string_opt::<i32>().ok_or_else(|| format!("column `{name}` is no text"))?;
    Ok(texts.is_valid(row).then(|| texts.value(row)))
}

fn flag(batch: &RecordBatch, name: &str, row: usize) -> Fitted<bool> {
    let flags = column(batch, name)?.as_boolean_opt().ok_or_else(|| format!("column `{name}` holds no booleans"))?;
    Ok(flags.is_valid(row) && flags.value(row))
}

fn id(batch: &RecordBatch, row: usize, ids: Ids) -> Fitted<(String, IdKind)> {
    if ids == Ids::Integers {
        let integers = column(batch, ID)?.as_primitive_opt::<arrow_array::types::Int64Type>();
        let integers = integers.filter(|ids| ids.is_valid(row)).ok_or("there is no id")?;
        return Ok((integers.value(row).to_string(), IdKind::Integer));
    }
    let id = text(batch, ID, row)?.ok_or("there is no id")?.to_owned();
    let integer = match ids {
        Ids::Integers | Ids::Digits => true,
        Ids::Texts => false,
        Ids::Both => flag(batch, INTEGER_ID, row)?,
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
    match kind {
        VectorKind::Dense => {
            let list = column.as_list_opt::<i32>().ok_or("a vector column is no list")?.value(row);
            builder.push_dense(position, floats(&list)?);
        }
        VectorKind::Multi => {
            let rows = column.as_list_opt::<i32>().ok_or("a multivector column is no list")?.value(row);
            let rows = rows.as_list_opt::<i32>().ok_or("a multivector column is no list of lists")?;
            let mut values = Vec::new();
            for row in 0..rows.len() {
                values.extend_from_slice(floats(&rows.value(row))?);
            }
            builder.push_multi(position, &values);
        }
        VectorKind::Sparse => {
            let pair =
                column.as_struct_opt().filter(|pair| pair.num_columns() == 2).ok_or("a sparse column is no pair")?;
            let list = |at: usize| pair.column(at).as_list_opt::<i32>().map(|list| list.value(row));
            let (indices, values) = list(0).zip(list(1)).ok_or("a sparse column has no lists")?;
            let indices = indices.as_primitive_opt::<UInt32Type>().ok_or("indices of another type")?;
            builder.push_sparse(position, indices.values(), floats(&values)?).map_err(|fault| fault.to_string())?;
        }
        VectorKind::Bits => {
            let signs = column.as_string_opt::<i32>().ok_or("a column of bits is no text")?.value(row);
            let byte = |signs: &[u8]| {
                signs.iter().enumerate().fold(0, |byte, (at, sign)| byte | u8::from(*sign == b'1') << (7 - at))
            };
            let bytes: Vec<u8> = signs.as_bytes().chunks(8).map(byte).collect();
            builder.push_bytes(position, &bytes);
        }
    }
    Ok(())
}

fn floats(values: &ArrayRef) -> Fitted<&[f32]> {
    let floats = values.as_primitive_opt::<Float32Type>().filter(|floats| floats.null_count() == 0);
    floats.map(|floats| &floats.values()[..]).ok_or_else(|| "a vector with nulls, or of another type".to_owned())
}

fn push_key(column: &ArrayRef, row: usize, key: &Key, out: &mut ObjectText) -> Fitted<()> {
    if column.is_null(row) {
        return Ok(());
    }
    let wrong = || format!("column `{}` has another type", key.name);
    match key.kind {
        FieldType::Bool | FieldType::Integer | FieldType::Float | FieldType::Text => {
            push_value(column, row, key.kind, out.key(&key.name)).ok_or_else(wrong)
        }
        list => {
            let kind = match list {
                FieldType::Bools => FieldType::Bool,
                FieldType::Integers => FieldType::Integer,
                FieldType::Floats => FieldType::Float,
                _ => FieldType::Text,
            };
            let items = column.as_list_opt::<i32>().ok_or_else(wrong)?.value(row);
            let mut fits = true;
            append_array_of(0..items.len(), out.key(&key.name), |item, out| {
                fits &= push_value(&items, item, kind, out).is_some();
            });
            if fits { Ok(()) } else { Err(wrong()) }
        }
    }
}

fn push_value(column: &ArrayRef, row: usize, kind: FieldType, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        FieldType::Bool => append_bool(column.as_boolean_opt()?.value(row), out),
        FieldType::Integer => {
            append_integer(column.as_primitive_opt::<arrow_array::types::Int64Type>()?.value(row).into(), out);
        }
        FieldType::Float => {
            append_float(column.as_primitive_opt::<arrow_array::types::Float64Type>()?.value(row), out);
        }
        _ => append_string(column.as_string_opt::<i32>()?.value(row), out),
    }
    Some(())
}

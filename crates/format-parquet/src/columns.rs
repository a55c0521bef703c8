//! The canonical layout and the plain one that stands in Parquet, column by column.
//!
//! Plain: vectors are `List<element>` (null where the record has none), namespaces plain text. Invariant:
//! `canonical_column(plain_column(x)) == x`, and no length of a foreign list is believed before it is checked against
//! the schema. Faults: wrong dimension with the row, nulls inside vectors, other column types.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float16Array, Float32Array, GenericListArray, Int8Array, ListArray,
    OffsetSizeTrait, StructArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::take::take;
use tranship_collection::layout;
use tranship_collection::{BatchView, CollectionSchema, Fault, VectorKind, VectorValue};

/// Bytes that one record takes, for cutting row groups; a function of the record alone.
pub fn row_bytes(view: &BatchView<'_>, schema: &CollectionSchema, row: usize) -> usize {
    let text = |text: Option<&str>| text.map_or(0, str::len);
    let of_any_length = schema
        .stored_vectors()
        .enumerate()
        .filter(|(_, spec)| matches!(spec.kind, VectorKind::Sparse | VectorKind::Multi));
    let vectors: usize = of_any_length
        .map(|(column, _)| match view.vector(column, row) {
            Some(VectorValue::Multi(values)) => 4 * values.len(),
            Some(VectorValue::Sparse(indices, values)) => 4 * (indices.len() + values.len()),
            _ => 0,
        })
        .sum();
    16 + schema.dense_row_bytes() + view.id(row).len() + text(view.document(row)) + text(view.metadata(row)) + vectors
}

/// The schema of the batches that are handed to the Parquet writer.
pub fn plain_schema(canonical: &SchemaRef) -> SchemaRef {
    let fields: Vec<Field> = canonical
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), plain_type(field.data_type()), field.is_nullable()))
        .collect();
    Arc::new(Schema::new(fields))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::FixedSizeList(item, _) => DataType::List(item.clone()),
        DataType::List(item) => {
            DataType::List(Arc::new(Field::new(item.name(), plain_type(item.data_type()), item.is_nullable())))
        }
        other => other.clone(),
    }
}

/// A canonical column in the plain layout.
pub fn plain_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Dictionary(_, value) => cast(column, value),
        DataType::FixedSizeList(..) => Ok(Arc::new(plain_list(column.as_fixed_size_list())?)),
        DataType::List(item) if matches!(item.data_type(), DataType::FixedSizeList(..)) => {
            let list = column.as_list::<i32>();
            let rows = plain_list(list.values().as_fixed_size_list())?;
            let field = Arc::new(Field::new(item.name(), rows.data_type().clone(), item.is_nullable()));
            Ok(Arc::new(ListArray::try_new(field, list.offsets().clone(), Arc::new(rows), list.nulls().cloned())?))
        }
        _ => Ok(column.clone()),
    }
}

/// Fixed-size rows as lists: a null row takes no values.
fn plain_list(list: &FixedSizeListArray) -> Result<ListArray, ArrowError> {
    let DataType::FixedSizeList(item, dim) = list.data_type() else {
        return Err(ArrowError::CastError("not a fixed-size list".to_owned()));
    };
    let dim = *dim;
    let mut offsets = Vec::with_capacity(list.len() + 1);
    let mut end = 0i32;
    offsets.push(0);
    for row in 0..list.len() {
        end += if list.is_valid(row) { dim } else { 0 };
        offsets.push(end);
    }
    let values = if list.null_count() == 0 { list.values().clone() } else { present_values(list, dim)? };
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    ListArray::try_new(item.clone(), offsets, values, list.nulls().cloned())
}

fn present_values(list: &FixedSizeListArray, dim: i32) -> Result<ArrayRef, ArrowError> {
    let dim = dim as u32;
    let rows = (0..list.len() as u32).filter(|row| list.is_valid(*row as usize));
    let positions: Vec<u32> = rows.flat_map(|row| row * dim..(row + 1) * dim).collect();
    take(list.values(), &UInt32Array::from(positions), None)
}

/// A column as it was read, in the canonical type `wanted`; `first_row` places faults.
pub fn canonical_column(column: &ArrayRef, wanted: &Field, first_row: u64) -> Result<ArrayRef, Fault> {
    if !wanted.is_nullable() && column.null_count() > 0 {
        return Err(fault(format!("column `{}` has no value in row {}", wanted.name(), first_null(column, first_row))));
    }
    let converted = match (column.data_type(), wanted.data_type()) {
        (DataType::List(_), DataType::FixedSizeList(item, dim)) => {
            fixed(column.as_list::<i32>(), item, *dim, wanted.name(), first_row)?
        }
        (DataType::List(_), DataType::List(item)) => list_of(column.as_list::<i32>(), item, wanted.name(), first_row)?,
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let pair = column.as_struct();
            let children = fields
                .iter()
                .map(|field| {
                    let child = pair
                        .column_by_name(field.name())
                        .ok_or_else(|| fault(format!("column `{}` has no child `{}`", wanted.name(), field.name())))?;
                    canonical_child(child, field, pair.nulls(), wanted.name(), first_row)
                })
                .collect::<Result<Vec<_>, Fault>>()?;
            Arc::new(StructArray::try_new(fields.clone(), children, pair.nulls().cloned()).map_err(layout_fault)?)
        }
        (DataType::Utf8, DataType::Dictionary(..)) => cast(column, wanted.data_type()).map_err(layout_fault)?,
        (have, want) if have == want => column.clone(),
        (have, want) => return Err(fault(format!("column `{}` is {have}, expected {want}", wanted.name()))),
    };
    if wanted.name() == layout::ID_KIND {
        let kinds = converted.as_primitive_opt::<UInt8Type>();
        if kinds.is_some_and(|kinds| kinds.values().iter().any(|kind| *kind > 1)) {
            return Err(fault("column `id_kind` holds something else than 0 and 1".to_owned()));
        }
    }
    Ok(converted)
}

/// A child of a sparse vector; where the whole vector is null the child has nothing.
fn canonical_child(
    child: &ArrayRef,
    field: &FieldRef,
    parents: Option<&NullBuffer>,
    name: &str,
    first_row: u64,
) -> Result<ArrayRef, Fault> {
    let (Some(list), DataType::List(item)) = (child.as_list_opt::<i32>(), field.data_type()) else {
        return Err(fault(format!("column `{name}` has an unexpected `{}`", field.name())));
    };
    for row in 0..list.len() {
        if list.is_null(row) && parents.is_none_or(|parents| parents.is_valid(row)) {
            return Err(fault(format!("column `{name}` has no `{}` in row {}", field.name(), first_row + row as u64)));
        }
    }
    let without_nulls = ListArray::try_new(item_of(list)?, list.offsets().clone(), list.values().clone(), None)
        .map_err(layout_fault)?;
    list_of(&without_nulls, item, name, first_row)
}

fn list_of(list: &ListArray, item: &FieldRef, name: &str, first_row: u64) -> Result<ArrayRef, Fault> {
    let (start, end) = value_range(list);
    let values = list.values().slice(start, end - start);
    let values = match item.data_type() {
        DataType::FixedSizeList(inner, dim) => {
            let rows = values.as_list_opt::<i32>().ok_or_else(|| fault(format!("column `{name}` is not nested")))?;
            fixed(rows, inner, *dim, name, first_row)?
        }
        wanted if wanted == values.data_type() => values,
        wanted => return Err(fault(format!("column `{name}` holds {}, expected {wanted}", values.data_type()))),
    };
    if values.null_count() > 0 {
        return Err(fault(format!("column `{name}` has a null inside a vector")));
    }
    let offsets: Vec<i32> = list.value_offsets().iter().map(|offset| offset - start as i32).collect();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let built = ListArray::try_new(item.clone(), offsets, values, list.nulls().cloned()).map_err(layout_fault)?;
    Ok(Arc::new(built))
}

/// Lists as rows of exactly `dim` elements; a null list becomes a null row.
fn fixed<O: OffsetSizeTrait>(
    list: &GenericListArray<O>,
    item: &FieldRef,
    dim: i32,
    name: &str,
    first_row: u64,
) -> Result<ArrayRef, Fault> {
    for row in 0..list.len() {
        let found = list.value_length(row).as_usize();
        if list.is_valid(row) && found != dim as usize {
            let row = first_row + row as u64;
            return Err(fault(format!("column `{name}` has {found} elements in row {row}, the collection has {dim}")));
        }
    }
    let values = values_with_gaps(list, dim as usize)?;
    if values.null_count() > 0 {
        return Err(fault(format!("column `{name}` has a null inside a vector")));
    }
    if values.data_type() != item.data_type() {
        return Err(fault(format!("column `{name}` holds {}, expected {}", values.data_type(), item.data_type())));
    }
    let built = FixedSizeListArray::try_new_with_length(item.clone(), dim, values, list.nulls().cloned(), list.len());
    Ok(Arc::new(built.map_err(layout_fault)?))
}

/// The values of the lists one after another, `dim` for every row: what a null row takes is of no account.
fn values_with_gaps<O: OffsetSizeTrait>(list: &GenericListArray<O>, dim: usize) -> Result<ArrayRef, Fault> {
    let (start, end) = value_range(list);
    if list.null_count() == 0 {
        return Ok(list.values().slice(start, end - start));
    }
    if start == end {
        return zeros(list.values().data_type(), dim * list.len());
    }
    let positions: UInt32Array = (0..list.len())
        .flat_map(|row| {
            let first = list.value_offsets()[row].as_usize();
            let present = list.is_valid(row);
            (0..dim).map(move |step| if present { first + step } else { start } as u32)
        })
        .collect();
    take(list.values(), &positions, None).map_err(layout_fault)
}

fn zeros(data_type: &DataType, len: usize) -> Result<ArrayRef, Fault> {
    Ok(match data_type {
        DataType::Float32 => Arc::new(Float32Array::from(vec![0.0; len])),
        DataType::Float16 => Arc::new(Float16Array::from(vec![half::f16::ZERO; len])),
        DataType::UInt16 => Arc::new(UInt16Array::from(vec![0; len])),
        DataType::Int8 => Arc::new(Int8Array::from(vec![0; len])),
        DataType::UInt8 => Arc::new(UInt8Array::from(vec![0; len])),
        other => return Err(fault(format!("{other} is no element of a vector"))),
    })
}

fn value_range<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> (usize, usize) {
    let offsets = list.value_offsets();
    (offsets[0].as_usize(), offsets[list.len()].as_usize())
}

fn item_of(list: &ListArray) -> Result<FieldRef, Fault> {
    match list.data_type() {
        DataType::List(item) => Ok(item.clone()),
        other => Err(fault(format!("{other} is not a list"))),
    }
}

fn first_null(column: &ArrayRef, first_row: u64) -> u64 {
    first_row + (0..column.len()).find(|row| column.is_null(*row)).unwrap_or(0) as u64
}

fn fault(reason: String) -> Fault {
    Fault::Layout { reason }
}

/// What Arrow says about a column that does not fit.
pub fn layout_fault(error: ArrowError) -> Fault {
    Fault::Layout { reason: error.to_string() }
}

//! Sparse vectors in foreign columns: a struct of `indices` (lists of integers) and `values` (lists of floats).
//!
//! Invariant: indices ascend in the record, whatever their order in the file. Faults: an index beyond u32 or given twice,
//! lists of different lengths, nulls within them.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Fields};
use tranship_collection::BatchBuilder;

/// The column of Pinecone's sparse values, and the name of that vector.
pub const SPARSE: &str = "sparse_values";

/// True for a struct of indices and values.
pub fn is_sparse(data_type: &DataType) -> bool {
    let list = |fields: &Fields, name: &str, fits: fn(&DataType) -> bool| {
        let found = fields.iter().find(|field| field.name() == name);
        found.is_some_and(|field| matches!(field.data_type(), DataType::List(item) if fits(item.data_type())))
    };
    matches!(data_type, DataType::Struct(fields) if fields.len() == 2
        && list(fields, "indices", DataType::is_integer) && list(fields, "values", DataType::is_floating))
}

/// Appends the sparse vector of `row`, if it has one.
pub fn push(column: &ArrayRef, row: usize, builder: &mut BatchBuilder) -> Result<(), String> {
    let pair = column.as_struct_opt().ok_or("the sparse column is no struct")?;
    if pair.is_null(row) {
        return Ok(());
    }
    let list = |name: &str| {
        let list = pair.column_by_name(name).and_then(|column| column.as_list_opt::<i32>());
        let list = list.ok_or_else(|| format!("{SPARSE} has no list `{name}`"))?;
        if list.is_null(row) { Ok(None) } else { Ok::<_, String>(Some(list.value(row))) }
    };
    let (Some(indices), Some(values)) = (list("indices")?, list("values")?) else { return Ok(()) };
    if indices.null_count() + values.null_count() > 0 {
        return Err(format!("{SPARSE}: an element is null"));
    }
    if indices.len() != values.len() {
        return Err(format!("{SPARSE}: {} indices for {} values", indices.len(), values.len()));
    }
    let indices = positions(&indices).ok_or_else(|| format!("{SPARSE}: an index is beyond 32 bits"))?;
    let mut pairs: Vec<(u32, f32)> = indices.into_iter().zip(floats(&values)?).collect();
    pairs.sort_by_key(|pair| pair.0);
    let (indices, values): (Vec<u32>, Vec<f32>) = pairs.into_iter().unzip();
    let place = builder.vector_index(SPARSE).ok_or("the collection has no sparse vector")?;
    builder.push_sparse(place, &indices, &values).map_err(|fault| fault.to_string())
}

fn positions(indices: &ArrayRef) -> Option<Vec<u32>> {
    match indices.data_type() {
        DataType::UInt32 => Some(indices.as_primitive::<UInt32Type>().values().to_vec()),
        DataType::Int32 => {
            indices.as_primitive::<Int32Type>().values().iter().map(|index| u32::try_from(*index).ok()).collect()
        }
        DataType::Int64 => {
            indices.as_primitive::<Int64Type>().values().iter().map(|index| u32::try_from(*index).ok()).collect()
        }
        DataType::UInt64 => {
            indices.as_primitive::<UInt64Type>().values().iter().map(|index| u32::try_from(*index).ok()).collect()
        }
        _ => None,
    }
}

fn floats(values: &ArrayRef) -> Result<Vec<f32>, String> {
    match values.data_type() {
        DataType::Float32 => Ok(values.as_primitive::<Float32Type>().values().to_vec()),
        DataType::Float64 => {
            let mut number = Vec::new();
            let narrow = |value: &f64| {
                crate::foreign_rows::narrow(*value, &mut number)
                    .ok_or_else(|| format!("{SPARSE}: {value} is no f32; make the values FLOAT if rounding is meant"))
            };
            values.as_primitive::<Float64Type>().values().iter().map(narrow).collect()
        }
        other => Err(format!("{SPARSE}: values are {other}")),
    }
}

//! Values of foreign columns as JSON, types kept apart.
//!
//! | Arrow | JSON |
//! |---|---|
//! | null | `null` |
//! | booleans, integers of all widths | literal; integers keep all digits |
//! | floats | always with `.` or an exponent; an `f32` in its shortest spelling; not finite: `{"$float": "NaN"}` |
//! | text | string |
//! | decimals | string with all digits: `"1.50"` |
//! | timestamps, dates, times of day | `{"$time": "2026-01-31T12:00:00.5Z"}` as RFC 3339 has it; `Z` only if the column is in UTC |
//! | bytes | `{"$bytes": "00ff"}`, lower-case hex |
//! | lists | array |
//! | structs, maps with text keys | object |
//! | other maps | array of `{"key": .., "value": ..}` |

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, MapArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use tranship_collection::json::append_string;
use tranship_kernels::print_f32;

/// True if values of this type can be written.
pub fn can_write(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::Boolean | DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_) => true,
        DataType::List(item) => can_write(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| can_write(field.data_type())),
        DataType::Map(entries, _) => can_write(entries.data_type()),
        other => other.is_integer() || other.is_floating() || is_time(other) || is_decimal(other),
    }
}

fn is_time(data_type: &DataType) -> bool {
    use DataType::{Date32, Date64, Time32, Time64, Timestamp};
    matches!(data_type, Timestamp(..) | Date32 | Date64 | Time32(_) | Time64(_))
}

fn is_decimal(data_type: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    matches!(data_type, Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..))
}

/// Appends the value of `row`. The reason if it has none in JSON.
pub fn write_json(column: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match column.data_type() {
        DataType::Boolean => text(if column.as_boolean().value(row) { "true" } else { "false" }, out),
        DataType::Int8 => text(&column.as_primitive::<Int8Type>().value(row).to_string(), out),
        DataType::Int16 => text(&column.as_primitive::<Int16Type>().value(row).to_string(), out),
        DataType::Int32 => text(&column.as_primitive::<Int32Type>().value(row).to_string(), out),
        DataType::Int64 => text(&column.as_primitive::<Int64Type>().value(row).to_string(), out),
        DataType::UInt8 => text(&column.as_primitive::<UInt8Type>().value(row).to_string(), out),
        DataType::UInt16 => text(&column.as_primitive::<UInt16Type>().value(row).to_string(), out),
        DataType::UInt32 => text(&column.as_primitive::<UInt32Type>().value(row).to_string(), out),
        DataType::UInt64 => text(&column.as_primitive::<UInt64Type>().value(row).to_string(), out),
        DataType::Float16 => write_f32(column.as_primitive::<Float16Type>().value(row).to_f32(), out),
        DataType::Float32 => write_f32(column.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => return write_f64(column.as_primitive::<Float64Type>().value(row), out),
        DataType::Utf8 => append_string(column.as_string::<i32>().value(row), out),
        DataType::Binary => write_bytes(column.as_binary::<i32>().value(row), out),
        DataType::FixedSizeBinary(_) => write_bytes(column.as_fixed_size_binary().value(row), out),
        DataType::List(_) => return write_list(&column.as_list::<i32>().value(row), out),
        DataType::Struct(fields) => {
            for (position, field) in fields.iter().enumerate() {
                out.push(if position == 0 { b'{' } else { b',' });
                append_string(field.name(), out);
                out.push(b':');
                write_json(column.as_struct().column(position), row, out)?;
            }
            text(if fields.is_empty() { "{}" } else { "}" }, out);
        }
        DataType::Map(..) => return write_map(column.as_map(), row, out),
        other if is_time(other) => {
            text("{\"$time\":", out);
            append_string(&formatted(&with_plain_zone(column), row)?, out);
            out.push(b'}');
        }
        _ => append_string(&formatted(column, row)?, out),
    }
    Ok(())
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

/// The column with its zone as an offset: Parquet knows UTC only, and names of zones need a database.
fn with_plain_zone(column: &ArrayRef) -> ArrayRef {
    const UTC: &str = "+00:00";
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => {
            Arc::new(column.as_primitive::<TimestampMillisecondType>().clone().with_timezone(UTC))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            Arc::new(column.as_primitive::<TimestampMicrosecondType>().clone().with_timezone(UTC))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => {
            Arc::new(column.as_primitive::<TimestampNanosecondType>().clone().with_timezone(UTC))
        }
        _ => column.clone(),
    }
}

fn formatted(column: &ArrayRef, row: usize) -> Result<String, String> {
    let options = FormatOptions::default().with_display_error(false);
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(|e| e.to_string())?;
    formatter.value(row).try_to_string().map_err(|e| e.to_string())
}

fn write_f32(value: f32, out: &mut Vec<u8>) {
    match value.is_finite() {
        true => print_f32(value, out),
        false => write_not_finite(f64::from(value), out),
    }
}

fn write_f64(value: f64, out: &mut Vec<u8>) -> Result<(), String> {
    match value.is_finite() {
        true => serde_json::to_writer(out, &value).map_err(|e| e.to_string()),
        false => {
            write_not_finite(value, out);
            Ok(())
        }
    }
}

fn write_not_finite(value: f64, out: &mut Vec<u8>) {
    let name = match (value.is_nan(), value > 0.0) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    };
    text(&format!("{{\"$float\":\"{name}\"}}"), out);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    text("{\"$bytes\":\"", out);
    bytes.iter().for_each(|byte| text(&format!("{byte:02x}"), out));
    text("\"}", out);
}

fn write_list(values: &ArrayRef, out: &mut Vec<u8>) -> Result<(), String> {
    out.push(b'[');
    for position in 0..values.len() {
        if position > 0 {
            out.push(b',');
        }
        write_json(values, position, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_map(map: &MapArray, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let entries = map.value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    let names = keys.as_string_opt::<i32>();
    out.push(if names.is_some() { b'{' } else { b'[' });
    for entry in 0..entries.len() {
        if entry > 0 {
            out.push(b',');
        }
        match names {
            Some(names) => {
                append_string(names.value(entry), out);
                out.push(b':');
                write_json(values, entry, out)?;
            }
            None => {
                text("{\"key\":", out);
                write_json(keys, entry, out)?;
                text(",\"value\":", out);
                write_json(values, entry, out)?;
                out.push(b'}');
            }
        }
    }
    out.push(if names.is_some() { b'}' } else { b']' });
    Ok(())
}

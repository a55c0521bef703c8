//! Files of rows without any magic, known by their extension.
//!
//! ```text
//! .fvecs .ivecs .bvecs            rows: i32 dims | dims numbers (f4, i4, u1)
//! .fbin .hbin .i8bin .u8bin       u32 rows | u32 dims | rows * dims numbers (f4, f2, i1, u1)
//! ```
//! All little-endian. Errors: damaged, naming file and sizes, where rows and size of the file do not fit each other.
//! Source: corpus-texmex.irisa.fr (vecs), big-ann-benchmarks (bin).

use tranship_connector::{Error, Result};
use tranship_storage::{Blob, Limits};

use crate::matrix::{Bytes, Matrix, Order};
use crate::number::{Class, Number};

/// The number type of `.fvecs` and its kin.
pub fn vecs_number(extension: &str) -> Option<Number> {
    Some(match extension {
        "fvecs" => Number::little(Class::Float, 4),
        "ivecs" => Number::little(Class::Signed, 4),
        "bvecs" => Number::little(Class::Unsigned, 1),
        _ => return None,
    })
}

/// The number type of `.fbin` and its kin.
pub fn bin_number(extension: &str) -> Option<Number> {
    Some(match extension {
        "fbin" => Number::little(Class::Float, 4),
        "hbin" => Number::little(Class::Float, 2),
        "i8bin" => Number::little(Class::Signed, 1),
        "u8bin" => Number::little(Class::Unsigned, 1),
        _ => return None,
    })
}

/// Rows that each state their dims.
pub fn vecs(blob: Blob, number: Number, limits: &Limits) -> Result<Matrix> {
    let reader = blob.open()?;
    let dims_at = |offset| {
        let mut bytes = [0; 4];
        reader.read_exact_at(offset, &mut bytes).map(|()| u64::from(u32::from_le_bytes(bytes)))
    };
    if blob.len() < 4 {
        return Err(damaged(&blob, "it is too short for a single row"));
    }
    let dim = checked_dim(dims_at(0)?, &blob, limits)?;
    let stride = 4 + (dim * number.bytes) as u64;
    if !blob.len().is_multiple_of(stride) {
        let over = blob.len() % stride;
        return Err(damaged(
            &blob,
            format!("{over} bytes are left over after rows of {stride} bytes ({dim} dimensions)"),
        ));
    }
    let last = dims_at(blob.len() - stride)?;
    if last != dim as u64 {
        return Err(damaged(&blob, format!("the last row states {last} dimensions, the first {dim}")));
    }
    let rows = blob.len() / stride;
    Ok(Matrix { bytes: Bytes::Plain(blob), start: 0, rows, dim, number, order: Order::RowsWithDims })
}

/// A header of rows and dims, then all rows.
pub fn bin(blob: Blob, number: Number, limits: &Limits) -> Result<Matrix> {
    if blob.len() < 8 {
        return Err(damaged(&blob, "it is too short for its header of 8 bytes"));
    }
    let mut head = [0; 8];
    blob.open()?.read_exact_at(0, &mut head)?;
    let [a, b, c, d, e, f, g, h] = head;
    let rows = u64::from(u32::from_le_bytes([a, b, c, d]));
    let dim = checked_dim(u64::from(u32::from_le_bytes([e, f, g, h])), &blob, limits)?;
    let row_bytes = (dim * number.bytes) as u64;
    let (there, over) = ((blob.len() - 8) / row_bytes, (blob.len() - 8) % row_bytes);
    if there != rows || over != 0 {
        let what = format!("the header states {rows} rows of {dim} dimensions, the file has {there} and {over} bytes");
        return Err(damaged(&blob, what)
            .hint("the file was cut, or cropped without its header: copy it again, or write the true number of rows into its first 4 bytes"));
    }
    Ok(Matrix { bytes: Bytes::Plain(blob), start: 8, rows, dim, number, order: Order::Rows })
}

fn checked_dim(dim: u64, blob: &Blob, limits: &Limits) -> Result<usize> {
    if dim == 0 {
        return Err(damaged(blob, "it states 0 dimensions"));
    }
    if dim > limits.max_dim as u64 {
        return Err(Error::limit(format!("{dim} dimensions, the limit is {}", limits.max_dim))
            .with("file", blob.label())
            .hint("if the vectors really are that long, raise the limit; else the file is of another format"));
    }
    Ok(dim as usize)
}

fn damaged(blob: &Blob, what: impl std::fmt::Display) -> Error {
    Error::damaged(what.to_string())
        .with("file", blob.label())
        .with("bytes", blob.len())
        .hint("the file was cut or is of another format; copy it again and compare sizes")
}

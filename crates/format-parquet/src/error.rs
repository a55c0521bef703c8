//! Turns errors of the Parquet and Arrow crates into ours, and their panics on hostile bytes into damage.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::errors::ParquetError;
use tranship_connector::{Error, ErrorKind};

/// An error met while writing: the file system's own where it is one.
pub fn parquet_error(operation: &str, error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => Error::from(*error),
            Err(inner) => Error::bug(format!("cannot {operation} Parquet: {inner}")),
        },
        error => Error::bug(format!("cannot {operation} Parquet")).caused_by(error),
    }
}

/// The error for a file that cannot be read as Parquet.
pub fn damaged(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::damaged(format!("{reason}"))
        .with("file", path.display())
        .hint("compare the file with the original, or read it with another tool to see what is left")
}

/// The error for a Parquet feature that is not read.
pub fn not_supported(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotRecognised, format!("{reason}")).with("file", path.display())
}

/// Runs foreign code over foreign bytes of `path`: a panic in there is damage of the file, not of the run.
pub fn guarded<T, E: std::fmt::Display>(
    path: &Path,
    what: &str,
    run: impl FnOnce() -> Result<T, E>,
) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(damaged(path, format!("cannot read the {what}: {error}"))),
        Err(_panic) => Err(damaged(path, format!("cannot read the {what}: it contradicts itself"))),
    }
}

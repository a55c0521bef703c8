//! The pieces that hold the rows of a collection: Parquet files of its manifest, then logs; and which rows live.
//!
//! Invariant: a key is unique in the collection, whatever the partition. Of its rows that with the highest sequence
//! number lives, unless a delete has a higher one, whatever partition that names. Rows and deletes of a log that is
//! also in a file have the same numbers there, so they change nothing.

use arrow_array::RecordBatch;
use tranship_connector::liveness::{LiveRows, Liveness, SameVersion};
use tranship_connector::{Error, OpenOptions, Result};
use tranship_format_parquet::PartFile;
use tranship_storage::Blob;

use super::columns::{Keys, SEQUENCE};
use super::directory::{Collection, Directory};
use super::wal::Wal;

/// Bytes of one message of a log at most.
const MESSAGE_BYTES: u64 = 2 << 30;

/// A piece.
pub struct Part {
    /// Its partition; in a log every row names its own.
    pub partition: Option<String>,
    /// Where the rows are.
    pub rows: Rows,
    /// Number of rows.
    pub count: u64,
}

/// Where rows are.
pub enum Rows {
    /// In a Parquet file.
    File(PartFile),
    /// In a log.
    Log(Blob),
}

/// All pieces of a collection.
pub struct Parts {
    /// Files by partition, then logs by number.
    pub parts: Vec<Part>,
    deletes: Vec<Rows>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

impl Parts {
    /// Finds them, and counts the rows of logs.
    pub fn find(directory: &Directory, collection: &Collection, options: &OpenOptions) -> Result<Self> {
        let (mut parts, mut deletes, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let open = |partition: &str, name: &str| {
            PartFile::open(directory.file(collection, partition, name)?.path(), &options.limits)
        };
        for (partition, files) in &collection.partitions {
            for name in &files.data {
                let file = open(partition, name)?;
                let count = file.rows();
                parts.push(Part { partition: Some(partition.clone()), rows: Rows::File(file), count });
            }
            for name in &files.delta {
                deletes.push(Rows::File(open(partition, name)?));
            }
        }
        for log in directory.logs(collection, "data") {
            let count = count_rows(&log, &mut notes)?;
            parts.push(Part { partition: None, rows: Rows::Log(log), count });
        }
        for log in directory.logs(collection, "delta") {
            count_rows(&log, &mut notes)?;
            deletes.push(Rows::Log(log));
        }
        Ok(Parts { parts, deletes, notes })
    }

    /// Finds out which rows live.
    pub fn survey(&self, primary: &str, scratch: &std::path::Path) -> Result<LiveRows> {
        let counts: Vec<u64> = self.parts.iter().map(|part| part.count).collect();
        let mut liveness = Liveness::new(scratch, &counts, SameVersion::RowLives);
        for (number, part) in (0u32..).zip(&self.parts) {
            each_key(&part.rows, primary, |keys, row, at| {
                liveness.row(keys.key(at).digest(), keys.sequence(at), number, row)
            })?;
        }
        for deletes in &self.deletes {
            each_key(deletes, primary, |keys, _, at| liveness.delete(keys.key(at).digest(), keys.sequence(at)))?;
        }
        liveness.finish()
    }
}

impl Rows {
    /// Where they are, for messages.
    pub fn label(&self) -> String {
        match self {
            Rows::File(file) => file.path().display().to_string(),
            Rows::Log(blob) => blob.label().to_owned(),
        }
    }

    /// The batches of row group `group`, or of the whole log; of a file only the columns `names`, if given. Each comes
    /// with the number of its first row.
    pub fn batches(
        &self,
        group: usize,
        names: Option<&[&str]>,
    ) -> Result<Box<dyn Iterator<Item = Result<(u64, RecordBatch)>>>> {
        match self {
            Rows::File(file) => Ok(Box::new(file.raw_batches(group..group + 1, names)?)),
            Rows::Log(blob) => Ok(Box::new(LogBatches { wal: Wal::open(blob, MESSAGE_BYTES)?, row: 0 })),
        }
    }

    /// Row groups of a file; a log is one.
    pub fn groups(&self) -> usize {
        match self {
            Rows::File(file) => file.row_groups().len(),
            Rows::Log(_) => 1,
        }
    }
}

struct LogBatches {
    wal: Wal,
    row: u64,
}

impl Iterator for LogBatches {
    type Item = Result<(u64, RecordBatch)>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.row;
        let batch = self.wal.next_batch().transpose()?;
        Some(batch.map(|batch| {
            self.row += batch.num_rows() as u64;
            (first, batch)
        }))
    }
}

fn count_rows(log: &Blob, notes: &mut Vec<String>) -> Result<u64> {
    let mut wal = Wal::open(log, MESSAGE_BYTES)?;
    let mut rows = 0;
    while let Some(batch) = wal.next_batch()? {
        rows += batch.num_rows() as u64;
    }
    if let Some(at) = wal.cut_at {
        notes.push(format!("{} ends within a write (at byte {at}): the {rows} rows before it were read", log.label()));
    }
    Ok(rows)
}

fn each_key(rows: &Rows, primary: &str, mut each: impl FnMut(&Keys<'_>, u64, usize) -> Result<()>) -> Result<()> {
    for group in 0..rows.groups() {
        for batch in rows.batches(group, Some(&[primary, SEQUENCE]))? {
            let (first, batch) = batch?;
            let keys = Keys::of(&batch, primary).map_err(|reason| bad_columns(rows, &reason))?;
            for at in 0..batch.num_rows() {
                each(&keys, first + at as u64, at)?;
            }
        }
    }
    Ok(())
}

/// The error for columns that are not those of the schema.
pub fn bad_columns(rows: &Rows, reason: &str) -> Error {
    Error::damaged(format!("{} does not fit the collection: {reason}", rows.label()))
        .hint("copy the whole directory again from its origin while the database is closed")
}

//! A column family: its tables, and the rows of the logs that are in none of them.
//!
//! Invariant: `rows` holds the newest change of each key that any log has, and nothing that the tables already hold.

use std::collections::BTreeMap;

use crate::batch::Change;
use crate::table::Table;

/// A column family.
#[derive(Debug, Default)]
pub struct Family {
    pub name: String,
    /// Logs with a lower number hold nothing of this family that is not in its tables.
    pub first_log: u64,
    pub tables: Vec<Table>,
    pub rows: BTreeMap<Vec<u8>, LogRow>,
}

/// The newest change of a key in the logs.
#[derive(Debug, Clone)]
pub struct LogRow {
    pub sequence: u64,
    /// `None` if the key was deleted.
    pub value: Option<Vec<u8>>,
}

impl Family {
    /// Takes a change of a log; returns the bytes that it takes in memory.
    pub fn take(&mut self, change: &Change<'_>) -> usize {
        let newer = self.rows.get(change.key).is_none_or(|row| row.sequence <= change.sequence);
        if newer {
            let row = LogRow { sequence: change.sequence, value: change.value.map(<[u8]>::to_vec) };
            self.rows.insert(change.key.to_vec(), row);
        }
        change.key.len() + change.value.map_or(0, <[u8]>::len) + size_of::<(Vec<u8>, LogRow)>()
    }
}

//! All live pairs of a column family in key order.
//!
//! Invariant: a k-way merge over the tables and the rows of the logs; of several entries of one key the newest counts
//! and the others are passed over. One block and one index per table are held.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, btree_map};

use tranship_connector::Result;

use crate::block::Rows;
use crate::cache::Cache;
use crate::family::{Family, LogRow};
use crate::footer::Handle;
use crate::table::{DataBlocks, Table, parts};

/// Keys and values of a column family.
pub struct Scan<'a> {
    cursors: Vec<Cursor<'a>>,
    /// The next entry of each table: least key first, newest first.
    heads: BinaryHeap<Reverse<Head>>,
    rows: std::iter::Peekable<btree_map::Iter<'a, Vec<u8>, LogRow>>,
    failed: bool,
}

/// Ordered by key, then newest first.
type Head = (Vec<u8>, Reverse<u64>, usize);

/// A place in a table.
struct Cursor<'a> {
    table: &'a Table,
    cache: &'a Cache,
    blocks: DataBlocks,
    rows: Option<(Handle, Rows)>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(family: &'a Family, cache: &'a Cache) -> Result<Self> {
        let rows: &'a BTreeMap<_, _> = &family.rows;
        let mut scan =
            Scan { cursors: Vec::new(), heads: BinaryHeap::new(), rows: rows.iter().peekable(), failed: false };
        for table in &family.tables {
            let blocks = table.data_blocks(&[], cache)?;
            scan.cursors.push(Cursor { table, cache, blocks, rows: None });
            scan.step(scan.cursors.len() - 1)?;
        }
        Ok(scan)
    }

    /// Moves table `number` to its next entry.
    fn step(&mut self, number: usize) -> Result<()> {
        let Some(cursor) = self.cursors.get_mut(number) else { return Ok(()) };
        if let Some((key, sequence)) = cursor.advance()? {
            self.heads.push(Reverse((key, Reverse(sequence), number)));
        }
        Ok(())
    }

    fn next_pair(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        loop {
            let in_tables = self.heads.peek().map(|Reverse((key, ..))| key);
            let Some(key) = in_tables.into_iter().chain(self.rows.peek().map(|(key, _)| *key)).min().cloned() else {
                return Ok(None);
            };
            let row = self.rows.next_if(|(row, _)| **row == key).map(|(_, row)| row);
            let mut newest = row.map(|row| row.sequence);
            let mut value = row.and_then(|row| row.value.clone());
            while self.heads.peek().is_some_and(|Reverse((head, ..))| *head == key) {
                let Some(Reverse((_, Reverse(sequence), number))) = self.heads.pop() else { break };
                if newest.is_none_or(|newest| newest < sequence) {
                    newest = Some(sequence);
                    value = self.cursors.get(number).map_or(Ok(None), Cursor::value)?;
                }
                self.step(number)?;
            }
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_pair();
        self.failed = next.is_err();
        next.transpose()
    }
}

impl Cursor<'_> {
    /// User key and sequence number of the next entry.
    fn advance(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        loop {
            if let Some((handle, rows)) = &mut self.rows {
                let bad = |_| self.table.bad_entry(*handle);
                if rows.advance().map_err(bad)? {
                    let (key, sequence, _) = parts(rows.key()).map_err(bad)?;
                    return Ok(Some((key.to_vec(), sequence)));
                }
            }
            let Some(handle) = self.blocks.next_handle(self.table, self.cache)? else { return Ok(None) };
            self.rows = Some((handle, Rows::new(self.table.block(handle)?)));
        }
    }

    /// The value of the entry that was reached last; `None` if it deletes its key.
    fn value(&self) -> Result<Option<Vec<u8>>> {
        let Some((handle, rows)) = &self.rows else { return Ok(None) };
        let (.., kind) = parts(rows.key()).map_err(|_| self.table.bad_entry(*handle))?;
        Ok(self.table.is_put(kind, *handle)?.then(|| rows.value().to_vec()))
    }
}

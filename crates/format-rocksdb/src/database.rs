//! A whole database: MANIFEST, tables and logs put together.

use std::collections::BTreeMap;

use tranship_connector::{Error, Result};
use tranship_storage::{Limits, Tree};

use crate::cache::Cache;
use crate::family::Family;
use crate::records::Records;
use crate::scan::Scan;
use crate::table::Table;
use crate::{backup, batch, damaged, manifest};

/// Bytes of blocks that a database keeps decoded.
pub const CACHE_BYTES: usize = 16 << 20;
/// Tables that a database keeps open; with more, files are opened for every read.
const OPEN_TABLES: usize = 32;

/// A database, opened for reading.
#[derive(Debug)]
pub struct Database {
    families: BTreeMap<u32, Family>,
    cache: Cache,
    notes: Vec<String>,
}

impl Database {
    /// True if `tree` looks like a database or a backup of one.
    pub fn is_in(tree: &Tree) -> bool {
        tree.get("CURRENT").is_some() || tree.dirs().contains(&"meta")
    }

    /// Opens the database whose files are in `tree`: a live directory, or the newest backup of a BackupEngine.
    pub fn open(tree: &Tree, limits: &Limits) -> Result<Self> {
        match tree.get("CURRENT") {
            Some(_) => Self::of_files(tree, limits),
            None => match backup::restored(tree, limits)? {
                Some(restored) => Self::of_files(&restored, limits),
                None => {
                    Err(Error::not_recognised("neither a RocksDB directory nor a backup of one: no CURRENT, no meta")
                        .with("directory", tree.label()))
                }
            },
        }
    }

    /// The names of the column families.
    pub fn column_families(&self) -> impl Iterator<Item = &str> {
        self.families.values().map(|family| family.name.as_str())
    }

    /// Entries of a column family, deletes and older versions included: an upper bound of its live keys.
    pub fn entries(&self, family: &str) -> u64 {
        let Some(family) = self.family(family) else { return 0 };
        let in_tables = family.tables.iter().map(|table| table.entries);
        in_tables.fold(family.rows.len() as u64, u64::saturating_add)
    }

    /// All live pairs in key order; `None` if there is no such column family.
    pub fn scan(&self, family: &str) -> Result<Option<Scan<'_>>> {
        self.family(family).map(|family| Scan::new(family, &self.cache)).transpose()
    }

    /// The value of `key`.
    pub fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(family) = self.family(family) else { return Ok(None) };
        let row = family.rows.get(key);
        let mut newest = row.map(|row| row.sequence);
        let mut value = row.and_then(|row| row.value.clone());
        for table in family.tables.iter().filter(|table| table.spans(key)) {
            if let Some(found) = table.find(key, &self.cache)?
                && newest.is_none_or(|newest| newest < found.sequence)
            {
                (newest, value) = (Some(found.sequence), found.value);
            }
        }
        Ok(value)
    }

    /// Drops the decoded blocks, which whoever reads next decodes again: of many databases few are read at a time.
    pub fn forget_blocks(&self) {
        self.cache.clear();
    }

    /// Things worth telling that are no error: logs that end in the middle of a record.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn family(&self, name: &str) -> Option<&Family> {
        self.families.values().find(|family| family.name == name)
    }

    fn of_files(tree: &Tree, limits: &Limits) -> Result<Self> {
        let (name, number) = current_manifest(tree, limits)?;
        let blob = tree.get(&name).ok_or_else(|| missing(tree, &name))?;
        let manifest = manifest::read(blob, number, limits)?;
        let mut database = Database { families: BTreeMap::new(), cache: Cache::new(CACHE_BYTES), notes: Vec::new() };
        if manifest.torn {
            database.notes.push(torn(blob.label()));
        }
        for unknown in tables_beyond(tree, &manifest) {
            if manifest.torn {
                let what = format!("it ends in the middle of a record and does not name {unknown}, which is there");
                return Err(damaged(blob.label(), blob.len(), what));
            }
            database.notes.push(format!("{} does not name {unknown}: left by a flush that was cut off", blob.label()));
        }
        let tables = manifest.families.values().map(|files| files.tables.len()).sum::<usize>();
        let keep_open = tables <= OPEN_TABLES;
        for (id, files) in manifest.families {
            let mut tables = Vec::new();
            for (number, described) in &files.tables {
                let name = format!("{number:06}.sst");
                let blob = tree.get(&name).ok_or_else(|| missing(tree, &name))?;
                tables.push(Table::open(blob, *number, described, keep_open, limits)?);
            }
            let family = Family { name: files.name, first_log: files.first_log, tables, rows: BTreeMap::new() };
            database.families.insert(id, family);
        }
        database.read_logs(tree, limits)?;
        Ok(database)
    }

    /// Takes in every log; only the last one with anything in it may be torn.
    fn read_logs(&mut self, tree: &Tree, limits: &Limits) -> Result<()> {
        let first = self.families.values().map(|family| family.first_log).min().unwrap_or(0);
        let mut logs: Vec<_> = tree
            .iter()
            .filter_map(|(name, blob)| Some((name.strip_suffix(".log")?.parse::<u64>().ok()?, blob)))
            .collect();
        logs.retain(|(number, blob)| *number >= first && !blob.is_empty());
        logs.sort_by_key(|(number, _)| *number);
        let mut bytes = 0;
        for (position, (number, blob)) in logs.iter().enumerate() {
            let mut records = Records::open(blob, *number, limits)?;
            loop {
                let place = records.position();
                let Some(record) = records.next_record()? else { break };
                batch::read(&record, blob.label(), place, |change| {
                    // A family that has been dropped since takes its changes with it.
                    let family = self.families.get_mut(&change.family).filter(|family| family.first_log <= *number);
                    bytes += family.map_or(0, |family| family.take(&change));
                    if bytes > limits.max_page_bytes { Err(too_much(blob.label(), limits)) } else { Ok(()) }
                })?;
            }
            if records.torn() {
                if position + 1 < logs.len() {
                    return Err(damaged(
                        blob.label(),
                        records.position(),
                        "a log ends in the middle of a record, and others follow",
                    ));
                }
                self.notes.push(torn(blob.label()));
            }
        }
        Ok(())
    }
}

/// The file that CURRENT names, and its number.
fn current_manifest(tree: &Tree, limits: &Limits) -> Result<(String, u64)> {
    let current = tree.get("CURRENT").ok_or_else(|| missing(tree, "CURRENT"))?;
    let bytes = current.read_all(limits.max_line_bytes as u64)?;
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let number = name.and_then(|name| name.strip_prefix("MANIFEST-")?.parse().ok());
    match (name, number) {
        (Some(name), Some(number)) => Ok((name.to_owned(), number)),
        _ => Err(damaged(current.label(), 0, "it does not name a MANIFEST")),
    }
}

/// Tables that the MANIFEST never named: outputs of a flush that was cut off, or the MANIFEST itself was cut.
fn tables_beyond<'a>(tree: &'a Tree, manifest: &manifest::Manifest) -> Vec<&'a str> {
    let known = |name: &str| {
        let number = name.strip_suffix(".sst").and_then(|stem| stem.parse::<u64>().ok());
        number.is_none_or(|number| manifest.mentioned.contains(&number))
    };
    tree.iter().map(|(name, _)| name).filter(|name| !known(name)).collect()
}

fn torn(label: &str) -> String {
    format!("{label} ends in the middle of a record, as after a crash")
}

fn missing(tree: &Tree, name: &str) -> Error {
    Error::damaged(format!("a RocksDB directory has no {name}"))
        .with("directory", tree.label())
        .hint("copy the whole directory again while its database is stopped, or take a new snapshot")
}

fn too_much(label: &str, limits: &Limits) -> Error {
    Error::limit(format!("RocksDB logs of more than {} bytes", limits.max_page_bytes))
        .with("file", label)
        .hint("start the database once, which moves its logs into tables, and stop it")
}

//! One pass over a file: the hashes of the prefix come out one by one, everything else is counted.
//!
//! Invariant: every key is counted once, under its database; the maps are bounded whatever the file holds.

use std::collections::BTreeMap;

use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader};

use super::fields::Fields;
use super::rdb::{Entry, Header, Key, Rdb};
use super::value::is_hash;
use crate::dialect;

/// Databases and facts at most.
const MANY: usize = 10_000;

/// A file at its beginning, with what is wanted of it.
pub struct Walk<'a> {
    /// The file.
    pub rdb: Rdb,
    /// What was counted so far.
    pub contents: Contents,
    /// The fields of the hash that came last.
    pub fields: Fields,
    prefix: &'a [u8],
    database: u64,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// Facts that the file tells of itself: version of the server, time.
    pub facts: BTreeMap<String, String>,
    /// Modules with data of their own, such as definitions of search indexes.
    pub modules: BTreeMap<String, u64>,
    /// By number.
    pub databases: BTreeMap<u64, Database>,
}

/// What a database holds.
#[derive(Debug, Default)]
pub struct Database {
    /// Number of keys as the file claims it.
    pub claimed_keys: Option<u64>,
    /// Hashes whose key has the prefix.
    pub hashes: u64,
    /// Hashes whose key has not.
    pub other_hashes: u64,
    /// Other values by what they are called.
    pub others: BTreeMap<&'static str, u64>,
    /// Values of modules by the module's name.
    pub modules: BTreeMap<String, u64>,
    /// Hashes of the prefix with an expiry time.
    pub expiring: u64,
    /// Fields of such hashes with an expiry time of their own.
    pub expiring_fields: u64,
}

/// A hash of the prefix; its fields are in [`Walk::fields`].
pub struct Hash {
    /// Number of the database.
    pub database: u64,
    /// The key.
    pub key: Key,
}

impl<'a> Walk<'a> {
    /// Begins; `fields` says what to watch for.
    pub fn begin(blob: &Blob, header: Header, prefix: &'a [u8], fields: Fields, checksummed: bool) -> Result<Self> {
        let reader: BlobReader = blob.open()?;
        let rdb = Rdb::new(reader, header, fields.limit(), checksummed)?;
        Ok(Walk { rdb, contents: Contents::default(), fields, prefix, database: 0 })
    }

    /// The next hash of the prefix, or `None` at the end mark.
    pub fn next_hash(&mut self) -> Result<Option<Hash>> {
        loop {
            match self.rdb.next()? {
                Entry::End => return Ok(None),
                Entry::Database(number) => {
                    self.database = number;
                    self.tally()?;
                }
                Entry::Keys(keys) => self.tally()?.claimed_keys = Some(keys),
                Entry::ModuleAux(name) => count(&mut self.contents.modules, name),
                Entry::Aux(name, value) => self.contents.note_fact(&name, &value),
                Entry::Key(key) => {
                    if let Some(hash) = self.key(key)? {
                        return Ok(Some(hash));
                    }
                }
            }
        }
    }

    fn key(&mut self, key: Key) -> Result<Option<Hash>> {
        if is_hash(key.kind) && key.name.starts_with(self.prefix) {
            self.rdb.read_hash(&key, &mut self.fields)?;
            let expiring_fields = self.fields.expiring;
            let tally = self.tally()?;
            tally.hashes += 1;
            tally.expiring += u64::from(key.expires);
            tally.expiring_fields += expiring_fields;
            return Ok(Some(Hash { database: self.database, key }));
        }
        let module = self.rdb.skip_value(&key)?;
        let tally = self.tally()?;
        match (module, dialect::plural(key.kind)) {
            (Some(module), _) => count(&mut tally.modules, module),
            (None, Some(kind)) => *tally.others.entry(kind).or_default() += 1,
            (None, None) => tally.other_hashes += 1,
        }
        Ok(None)
    }

    fn tally(&mut self) -> Result<&mut Database> {
        let databases = &mut self.contents.databases;
        if databases.len() >= MANY && !databases.contains_key(&self.database) {
            let message = format!("{} holds more than {MANY} databases", self.rdb.input.label());
            return Err(Error::limit(message).hint("this many databases are not read"));
        }
        Ok(databases.entry(self.database).or_default())
    }
}

impl Contents {
    fn note_fact(&mut self, name: &[u8], value: &[u8]) {
        let short = |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(1024)]).into_owned();
        if self.facts.len() < 100 {
            self.facts.insert(short(name), short(value));
        }
    }

    /// The server as the file names it.
    pub fn producer(&self, header: Header) -> String {
        let fact = |name: &str| self.facts.get(name);
        match (fact("valkey-ver"), fact("redis-ver")) {
            (Some(version), _) => format!("Valkey {version} (RDB {})", header.version),
            (_, Some(version)) => format!("Redis {version} (RDB {})", header.version),
            _ => dialect::producer(header.valkey, header.version),
        }
    }
}

/// Counts a name; what is beyond many names is counted together.
fn count(names: &mut BTreeMap<String, u64>, name: String) {
    let name = if names.len() < MANY || names.contains_key(&name) { name } else { "others".to_owned() };
    *names.entry(name).or_default() += 1;
}

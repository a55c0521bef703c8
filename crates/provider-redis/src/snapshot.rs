//! Reads an RDB file of Redis or Valkey: hashes with a raw vector in a field.
//!
//! A record is a hash that has the vector field; its id is the key, its other fields are its metadata. One file holds
//! up to some thousand numbered databases; each is a collection, called `db0` and so on.
//!
//! Invariant: the file is never written to. What precedes a key is read or passed over exactly, or there is an error:
//! nothing is guessed. Each hash of the chosen database and prefix is emitted, is a reject with its place, or is
//! counted as one without vector.
//!
//! Errors: not recognised for other files and for what is newer than the format described in `rdb`, damaged with the
//! offset, usage where there is a choice to make. Source of the format: Redis `src/rdb.c` and Valkey's; checked
//! against dumps of Redis 6.2 and 7.0 and Valkey 9.1.

mod checksum;
mod choice;
mod fields;
mod input;
mod look;
mod lzf;
mod packed;
mod rdb;
mod reader;
mod source;
mod survey;
mod value;
mod walk;

use std::path::{Path, PathBuf};

use tranship_collection::CollectionSchema;
use tranship_connector::{CollectionInfo, Count, Error, Locator, OpenOptions, Result, Score, Source};
use tranship_storage::{Blob, InputFile};

use choice::{Wishes, database_name};
use look::{LOOK_BYTES, Look};
use rdb::Header;
use source::RedisSource;

/// Name of the dump in a server's directory.
const DUMP: &str = "dump.rdb";

/// Recognises a file by its magic, and a server's directory by its dump.
pub fn probe(path: &Path) -> Option<Score> {
    let has_magic = |path: &Path| {
        let mut bytes = [0; 9];
        let found = InputFile::open(path).and_then(|file| file.read_at(0, &mut bytes)).unwrap_or(0);
        Header::parse(&bytes[..found]).is_some()
    };
    if path.is_dir() {
        return has_magic(&path.join(DUMP)).then_some(80);
    }
    has_magic(path).then_some(95)
}

/// The databases of a file, as far as the first 256 MiB tell; one that is named is looked for in all of it.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let (blob, mut look, wishes) = open_look(locator, options)?;
    let is_unseen = |number: &u64| !look.contents.databases.contains_key(number);
    if !look.whole && wishes.database.as_ref().is_some_and(is_unseen) {
        look = Look::take(&blob, look.header, &wishes.prefix, &options.limits, u64::MAX)?;
    }
    let numbers: Vec<u64> = match wishes.database {
        Some(_) => vec![wishes.settle_database(&look, blob.label(), options)?],
        None => look.contents.databases.keys().copied().collect(),
    };
    Ok(numbers.into_iter().map(|number| info(&blob, &look, &wishes, number, options)).collect())
}

/// Opens one database.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    let (blob, mut look, wishes) = open_look(locator, options)?;
    let mut choice = wishes.settle(&look, blob.label(), options);
    if choice.is_err() && !look.whole {
        look = Look::take(&blob, look.header, &wishes.prefix, &options.limits, u64::MAX)?;
        choice = wishes.settle(&look, blob.label(), options);
    }
    Ok(Box::new(RedisSource::new(blob, &look, choice?, options)))
}

fn open_look(locator: &Locator, options: &OpenOptions) -> Result<(Blob, Look, Wishes)> {
    if locator.is_stream() {
        return Err(Error::usage("an RDB file cannot come through a pipe, because it is read twice")
            .hint("save it to a file first"));
    }
    let wishes = Wishes::of(options)?;
    let blob = Blob::of_path(&file_of(&locator.path))?;
    let header = Header::read(&blob)?;
    let look = Look::take(&blob, header, &wishes.prefix, &options.limits, LOOK_BYTES)?;
    Ok((blob, look, wishes))
}

fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(DUMP) } else { path.to_owned() }
}

fn info(blob: &Blob, look: &Look, wishes: &Wishes, number: u64, options: &OpenOptions) -> CollectionInfo {
    let tally = &look.contents.databases[&number];
    let settled = wishes.settle_vectors(look, number, blob.label(), options);
    let mut notes: Vec<String> = tally.others_note(number).into_iter().chain(tally.module_notes()).collect();
    notes.extend(look.contents.aux_note());
    let mut exact = None;
    let schema = match &settled {
        Ok(choice) => {
            let hashes = |field: &str| look.fields.get(&number).and_then(|f| f.get(field.as_bytes())).map(|f| f.hashes);
            exact = match choice.vectors.as_slice() {
                _ if wishes.keep_without_vector => Some(tally.hashes),
                [one] => hashes(&one.field),
                _ => None,
            };
            choice.schema()
        }
        Err(error) => {
            let hint = error.next_step().map(|hint| format!("; {hint}")).unwrap_or_default();
            notes.push(format!("{}{hint}", error.message()));
            CollectionSchema::new(database_name(number))
        }
    };
    if !look.whole {
        notes.push(format!("only the first {} MiB were looked at", LOOK_BYTES >> 20));
    }
    let records = match (exact.filter(|_| look.whole), look.whole, tally.claimed_keys) {
        (Some(exact), _, _) => Count::Exact(exact),
        (None, true, _) => Count::UpTo(tally.hashes),
        (None, false, Some(keys)) => Count::UpTo(keys),
        (None, false, None) => Count::Unknown,
    };
    CollectionInfo {
        name: database_name(number),
        records,
        schema,
        producer: Some(look.contents.producer(look.header)),
        notes,
    }
}

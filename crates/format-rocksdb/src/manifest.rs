//! The MANIFEST: which column families there are, which table files each has, and which logs are not in them yet.
//!
//! The file is a log (see `records`) of version edits; an edit is a run of fields, each a varint tag and its value:
//! ```text
//!   1 comparator name       2 log number            3 next file     4 last sequence    5 level, key
//!   6 deleted file          7/100/102/103 new file  9 previous log 10 least log kept
//! 200 column family of this edit   201 it is new, name   202 it is dropped   203 highest column family
//! 300 edits left of an atomic group                     400/401 blob files
//! from 8192 on: sized values that may be passed over
//! ```
//! Edits of an atomic group count only if the whole group is there.

use std::collections::BTreeMap;

use tranship_connector::Result;
use tranship_storage::{Blob, Limits};

use crate::coding::Bytes;
use crate::records::Records;
use crate::{damaged, refused};

const IGNORABLE: u32 = 1 << 13;
const COMPARATOR: &[u8] = b"leveldb.BytewiseComparator";

/// A column family as the MANIFEST leaves it.
#[derive(Debug, Clone, Default)]
pub struct FamilyFiles {
    pub name: String,
    /// Logs with a lower number hold nothing of this family that is not in its tables.
    pub first_log: u64,
    /// By file number.
    pub tables: BTreeMap<u64, TableFile>,
}

/// A table file as the MANIFEST describes it.
#[derive(Debug, Clone)]
pub struct TableFile {
    pub bytes: u64,
    /// Least and greatest user key.
    pub smallest: Vec<u8>,
    pub largest: Vec<u8>,
}

/// What a MANIFEST says.
#[derive(Debug, Default)]
pub struct Manifest {
    /// By id.
    pub families: BTreeMap<u32, FamilyFiles>,
    /// Numbers of all table files that any edit named, deleted ones too.
    pub mentioned: std::collections::BTreeSet<u64>,
    /// True if the file ends in the middle of a record.
    pub torn: bool,
}

/// One version edit.
#[derive(Debug, Default)]
struct Edit {
    family: u32,
    added: Option<String>,
    dropped: bool,
    first_log: Option<u64>,
    deleted: Vec<u64>,
    new: Vec<(u64, TableFile)>,
    group_left: Option<u32>,
}

/// Reads the MANIFEST of number `number`.
pub fn read(blob: &Blob, number: u64, limits: &Limits) -> Result<Manifest> {
    let mut records = Records::open(blob, number, limits)?;
    let mut manifest = Manifest::default();
    manifest.families.insert(0, FamilyFiles { name: "default".to_owned(), ..FamilyFiles::default() });
    let mut group = Vec::new();
    loop {
        let place = records.position();
        let Some(record) = records.next_record()? else { break };
        let edit = Edit::read(&record, blob.label(), place)?;
        let group_open = edit.group_left.is_some_and(|left| left > 0);
        group.push(edit);
        if !group_open {
            group.drain(..).for_each(|edit| manifest.apply(edit));
        }
    }
    manifest.torn = records.torn() || !group.is_empty();
    Ok(manifest)
}

impl Manifest {
    fn apply(&mut self, edit: Edit) {
        self.mentioned.extend(edit.new.iter().map(|(number, _)| *number));
        if edit.dropped {
            self.families.remove(&edit.family);
            return;
        }
        if let Some(name) = edit.added {
            self.families.insert(edit.family, FamilyFiles { name, ..FamilyFiles::default() });
        }
        let Some(family) = self.families.get_mut(&edit.family) else { return };
        family.first_log = edit.first_log.unwrap_or(family.first_log);
        for number in edit.deleted {
            family.tables.remove(&number);
        }
        family.tables.extend(edit.new);
    }
}

impl Edit {
    fn read(record: &[u8], label: &str, place: u64) -> Result<Self> {
        let mut edit = Edit::default();
        let mut bytes = Bytes::new(record);
        while !bytes.is_empty() {
            let at = place + bytes.position() as u64;
            let tag = bytes.varint32().ok_or_else(|| damaged(label, at, "a version edit ends early"))?;
            match tag {
                400 | 401 => return Err(refused(label, "values in blob files")),
                1 if bytes.peek_sized() != Some(COMPARATOR) => {
                    return Err(refused(label, "keys in an order other than that of their bytes"));
                }
                _ => {}
            }
            edit.field(tag, &mut bytes)
                .ok_or_else(|| damaged(label, at, format_args!("field {tag} of a version edit cannot be read")))?;
        }
        Ok(edit)
    }

    fn field(&mut self, tag: u32, bytes: &mut Bytes<'_>) -> Option<()> {
        match tag {
            1 => drop(bytes.sized()?),
            2 => self.first_log = Some(bytes.varint64()?),
            3 | 4 | 9 | 10 => drop(bytes.varint64()?),
            5 => {
                bytes.varint32()?;
                bytes.sized()?;
            }
            6 => {
                bytes.varint32()?;
                self.deleted.push(bytes.varint64()?);
            }
            7 | 100 | 102 | 103 => self.new.push(new_file(tag, bytes)?),
            200 => self.family = bytes.varint32()?,
            201 => self.added = Some(String::from_utf8(bytes.sized()?.to_vec()).ok()?),
            202 => self.dropped = true,
            203 => drop(bytes.varint32()?),
            300 => self.group_left = Some(bytes.varint32()?),
            _ if tag & IGNORABLE != 0 => drop(bytes.sized()?),
            _ => return None,
        }
        Some(())
    }
}

/// level | number | [path, 102 only] | bytes | smallest key | largest key | [two sequence numbers, from 100 on]
/// | [tagged sized fields up to tag 1, 103 only]
fn new_file(tag: u32, bytes: &mut Bytes<'_>) -> Option<(u64, TableFile)> {
    bytes.varint32()?;
    let number = bytes.varint64()?;
    if tag == 102 {
        bytes.varint32()?;
    }
    let size = bytes.varint64()?;
    let (smallest, largest) = (user_key(bytes.sized()?)?, user_key(bytes.sized()?)?);
    if tag != 7 {
        bytes.varint64()?;
        bytes.varint64()?;
    }
    if tag == 103 {
        skip_fields(bytes)?;
    }
    Some((number, TableFile { bytes: size, smallest, largest }))
}

/// Field 1 ends them; those with bit 6 must be understood: 65 is the path, which is always 0 in one directory.
fn skip_fields(bytes: &mut Bytes<'_>) -> Option<()> {
    loop {
        match bytes.varint32()? {
            1 => return Some(()),
            field if field & 0x40 != 0 && field != 65 => return None,
            _ => drop(bytes.sized()?),
        }
    }
}

/// An internal key without its sequence number and type.
fn user_key(internal: &[u8]) -> Option<Vec<u8>> {
    internal.get(..internal.len().checked_sub(8)?).map(<[u8]>::to_vec)
}

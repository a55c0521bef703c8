//! The one pass over the whole file before it is read in parallel: counts, places where splits begin, the checksum.
//!
//! Invariant: a split begins at a hash of the chosen database and prefix and ends where the next begins; O(splits)
//! memory. The checksum is compared unless the file has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use tranship_connector::{Error, OpenOptions, Result, Split};
use tranship_storage::Blob;

use super::choice::{Choice, several_databases};
use super::fields::Fields;
use super::rdb::{Header, Rdb, Templates};
use super::walk::{Contents, Walk};

/// What the pass found.
pub struct Survey {
    /// What was counted.
    pub contents: Contents,
    /// Records of the chosen database.
    pub records: u64,
    /// Hashes of the chosen database and prefix that have no vector field.
    pub without_vector: u64,
    /// Where reading in parallel begins and ends.
    pub splits: Vec<Split>,
    /// Templates of hashes.
    pub templates: Arc<Templates>,
    /// What is worth telling of the end of the file.
    pub notes: Vec<String>,
}

impl Survey {
    /// Goes over all of `blob`.
    pub fn take(blob: &Blob, header: Header, choice: &Choice, options: &OpenOptions, split_bytes: u64) -> Result<Self> {
        let wishes = &choice.wishes;
        let fields = Fields::new(options.limits.max_line_bytes, choice.wanted());
        let mut walk = Walk::begin(blob, header, &wishes.prefix, fields, true)?;
        let mut cutter = Cutter { splits: Vec::new(), split_bytes };
        let mut with_vector = BTreeMap::<u64, u64>::new();
        let (mut hashes, mut end) = (0, 0);
        while let Some(hash) = walk.next_hash()? {
            *with_vector.entry(hash.database).or_default() += u64::from(walk.fields.has_wanted);
            if hash.database == choice.database {
                cutter.hash(hash.key.offset, hashes);
                hashes += 1;
                end = walk.rdb.input.offset();
            }
        }
        let notes = check_end(&mut walk.rdb, options)?;
        with_vector.retain(|_, count| *count > 0);
        if wishes.database.is_none() && with_vector.len() > 1 {
            let numbers: Vec<u64> = with_vector.keys().copied().collect();
            return Err(several_databases(blob.label(), &numbers));
        }
        let with_vector = with_vector.get(&choice.database).copied().unwrap_or(0);
        let without_vector = hashes - with_vector;
        Ok(Survey {
            records: if wishes.keep_without_vector { hashes } else { with_vector },
            without_vector,
            splits: cutter.finish(end),
            templates: walk.rdb.templates.clone(),
            contents: walk.contents,
            notes,
        })
    }
}

/// Cuts the file at hashes.
struct Cutter {
    splits: Vec<Split>,
    split_bytes: u64,
}

impl Cutter {
    fn hash(&mut self, offset: u64, hashes_before: u64) {
        let ordinal = self.splits.len() as u64;
        match self.splits.last_mut() {
            Some(last) if offset - last.start < self.split_bytes => return,
            Some(last) => last.end = offset,
            None => {}
        }
        self.splits.push(Split { ordinal, start: offset, end: offset, first_row: hashes_before, ..Split::default() });
    }

    fn finish(mut self, end: u64) -> Vec<Split> {
        if let Some(last) = self.splits.last_mut() {
            last.end = end;
        }
        self.splits.iter_mut().for_each(|split| split.bytes = split.end - split.start);
        self.splits
    }
}

/// Compares the checksum and looks for what follows it.
fn check_end(rdb: &mut Rdb, options: &OpenOptions) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let computed = rdb.input.checksum().unwrap_or(0);
    let at = rdb.input.offset();
    if rdb.header.valkey || rdb.header.version >= 5 {
        let stated = u64::from_le_bytes(rdb.input.array()?);
        if stated == 0 {
            notes.push("the file was written without a checksum (rdbchecksum no): damage may go unnoticed".to_owned());
        } else if stated != computed && options.allow_inconsistent {
            notes.push(format!("the checksum of the file is {computed:016x}, not {stated:016x} as it says"));
        } else if stated != computed {
            let what = format_args!("is damaged: its checksum is {computed:016x}, not {stated:016x} as it says");
            return Err(rdb.input.damaged_at(at, what));
        }
    }
    match rdb.input.remaining() {
        0 => {}
        left if options.allow_inconsistent => {
            notes.push(format!(
                "{left} bytes follow the end of the dump, such as a log of later writes: they were left out"
            ));
        }
        left => {
            let label = rdb.input.label();
            return Err(Error::not_recognised(format!("{left} bytes follow the end of the dump in {label}"))
                .with("byte", rdb.input.offset())
                .hint(
                    "if it is an append-only file with an RDB at its beginning, let the server write a dump (SAVE); \
                     --allow-inconsistent reads the dump and leaves the later writes out",
                ));
        }
    }
    Ok(notes)
}

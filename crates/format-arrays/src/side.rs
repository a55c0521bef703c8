//! Metadata and documents from a JSONL file with one object per row.
//!
//! Either every object has no other keys than `id` (text or integer), `metadata` (object or null) and `document`
//! (text or null), or each object as a whole is the metadata of its row, verbatim.
//!
//! Errors: damaged for another number of objects than rows, for a file in which only some have ids, and for ids that
//! contradict those given otherwise. Rejects: lines that are no JSON object of acceptable metadata, with their line.

use tranship_collection::json::{Entries, check_object};
use tranship_collection::schema::IdKinds;
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, Limits};

use crate::ids::{Id, Seen, json_id, same_number};
use crate::lines::{LineFile, LineReader};

/// A scanned file.
pub struct Side {
    file: LineFile,
    /// Objects of id, metadata and document.
    wrapped: bool,
    /// The kinds of the ids, if every object has one.
    pub ids: Option<IdKinds>,
}

/// What the file says about one row.
#[derive(Debug, Default)]
pub struct SideRow {
    /// Id, if there is one.
    pub id: Option<Id>,
    /// Metadata as JSON text.
    pub metadata: Option<String>,
    /// Document.
    pub document: Option<String>,
}

/// A row that cannot be taken over.
#[derive(Debug)]
pub struct BadRow {
    /// File and line.
    pub place: String,
    /// Why.
    pub reason: String,
    /// The line.
    pub record: String,
}

/// Reads rows in order.
pub struct SideReader<'a> {
    lines: LineReader,
    side: &'a Side,
    scratch: Vec<u8>,
}

impl Side {
    /// Reads the file once: its form, its ids, and whether it has one object for each row.
    pub fn scan(blob: &Blob, rows: u64, limits: &Limits) -> Result<Self> {
        let (mut wrapped, mut parsed, mut with_id, mut without) = (true, 0u64, 0u64, None);
        let mut seen = Seen::default();
        let file = LineFile::scan(blob.clone(), limits.max_line_bytes, |line, text| {
            // A line that is no object becomes a reject when its row is read.
            let Ok(entries) = Entries::parse(text) else { return Ok(()) };
            parsed += 1;
            wrapped &= entries.0.iter().all(|(key, value)| is_wrapper_entry(key, value.get()));
            match entries.0.iter().find(|(key, _)| key == "id").and_then(|(_, value)| json_id(value.get())) {
                Some(id) => {
                    with_id += 1;
                    seen.note(&id);
                }
                None => without = without.or(Some(line)),
            }
            Ok(())
        })?;
        same_number(file.rows, rows, "lines", file.label())?;
        let wrapped = wrapped && parsed > 0;
        if let (true, true, Some(line)) = (wrapped, with_id > 0, without) {
            return Err(Error::damaged("a row without an id, though others have one")
                .with("file", file.label())
                .with("line", line)
                .hint("give every row an id, or none and name the file of ids with -o ids="));
        }
        let ids = (wrapped && with_id > 0).then(|| seen.kinds());
        Ok(Side { file, wrapped, ids })
    }

    /// How the objects are taken.
    pub fn note(&self) -> String {
        let form =
            if self.wrapped { "objects of id, metadata and document" } else { "objects that are metadata as a whole" };
        format!("{}: read as {form}", self.file.label())
    }

    /// A reader whose next row is `row`.
    pub fn reader(&self, row: u64) -> Result<SideReader<'_>> {
        Ok(SideReader { lines: self.file.reader(row)?, side: self, scratch: Vec::new() })
    }
}

impl SideReader<'_> {
    /// What the file says about the next row.
    pub fn next_row(&mut self) -> Result<std::result::Result<SideRow, BadRow>> {
        let side = self.side;
        let Some((line, text)) = self.lines.next_row()? else {
            return Err(Error::damaged("the file ends before the rows do").with("file", side.file.label()));
        };
        Ok(parse(text, side.wrapped, &mut self.scratch).map_err(|reason| BadRow {
            place: format!("{} line {line}", side.file.label()),
            reason,
            record: text.to_owned(),
        }))
    }
}

fn parse(text: &str, wrapped: bool, scratch: &mut Vec<u8>) -> std::result::Result<SideRow, String> {
    let mut object = |text: &str| match check_object(text, scratch) {
        Ok(has_entries) => Ok(has_entries.then(|| text.to_owned())),
        Err(fault) => Err(fault.to_string()),
    };
    if !wrapped {
        return Ok(SideRow { metadata: object(text.trim())?, ..SideRow::default() });
    }
    let entries = Entries::parse(text).map_err(|fault| fault.to_string())?;
    let mut row = SideRow::default();
    let mut keys = Vec::new();
    for (key, value) in &entries.0 {
        if keys.contains(&key) {
            return Err(format!("duplicate key {key:?}"));
        }
        keys.push(key);
        match (key.as_ref(), value.get()) {
            (_, "null") => {}
            ("id", value) => row.id = json_id(value),
            ("metadata", value) => row.metadata = object(value)?,
            ("document", value) => row.document = Some(serde_json::from_str(value).map_err(|error| error.to_string())?),
            (key, _) => return Err(format!("the key {key:?} beside id, metadata and document")),
        }
    }
    Ok(row)
}

fn is_wrapper_entry(key: &str, value: &str) -> bool {
    match key {
        "id" => json_id(value).is_some(),
        "metadata" => value.starts_with('{') || value == "null",
        "document" => value.starts_with('"') || value == "null",
        _ => false,
    }
}

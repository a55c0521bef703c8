//! Ids of the rows: their numbers, or what a side file says.
//!
//! | source | kind |
//! |---|---|
//! | none | integer: the number of the row, from 0 |
//! | array of integers (`.npy`, member of an `.npz`) | integer |
//! | array of texts (`<U`, `\|S`) | text |
//! | `.jsonl`, `.ndjson`: `{"id": ..}` or the id itself on each line | integer or text, as the JSON says |
//! | any other file: one id per line | integer if all lines are canonical integers, else text |
//!
//! Invariant: there are as many ids as rows. Errors: damaged for another number of them and for ids that make no
//! sense, naming file and row or line; not recognised for arrays of other types.

use tranship_collection::json::Entries;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader, Limits};

use crate::lines::{LineFile, LineReader};
use crate::matrix::Bytes;
use crate::npy::{Descr, Header};
use crate::number::{Class, Number};

/// Where ids come from.
#[derive(Debug, Clone)]
pub enum IdsFrom {
    /// The rows' numbers, or the metadata file if it has them.
    Rows,
    /// A one-dimensional array.
    Array(Bytes, Header, String),
    /// A text file; true if its lines are JSON.
    Lines(Blob, bool),
}

/// Ids that can be read at any row.
#[derive(Debug, Clone)]
pub enum Ids {
    /// The rows' numbers.
    Rows,
    /// In the metadata file.
    WithMetadata,
    /// Items of so many bytes.
    Array {
        /// What they lie in.
        blob: Blob,
        /// Where the first one is.
        start: u64,
        /// Type of an item.
        descr: Descr,
    },
    /// Lines.
    Lines {
        /// The file.
        file: LineFile,
        /// `None` where each line says it itself, in JSON.
        kind: Option<IdKind>,
    },
}

/// One id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// Canonical text.
    pub text: String,
    /// Integer or text.
    pub kind: IdKind,
}

/// Which kinds of ids came by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    integer: bool,
    text: bool,
}

impl IdsFrom {
    /// The array of a header, if its items can be ids.
    pub fn array(bytes: Bytes, header: Header, label: &str) -> Result<Self> {
        let fits = match &header.descr {
            Descr::Number(number) => number.class != Class::Float,
            Descr::Utf32 { chars, .. } => *chars > 0,
            Descr::Bytes(bytes) => *bytes > 0,
            _ => false,
        };
        if header.shape.len() != 1 || !fits {
            let (name, shape) = (header.descr.name(), &header.shape);
            return Err(Error::not_recognised(format!(
                "ids must be a one-dimensional array of integers or texts, not {name} of shape {shape:?}"
            ))
            .with("file", label)
            .hint("save them with np.save(path, np.array(ids)), texts as np.array(ids, dtype=str)"));
        }
        Ok(IdsFrom::Array(bytes, header, label.to_owned()))
    }

    /// The kinds, as far as they are known before anything is read.
    pub fn expected(&self) -> IdKinds {
        match self {
            IdsFrom::Array(_, Header { descr: Descr::Number(_), .. }, _) | IdsFrom::Rows => IdKinds::Integer,
            IdsFrom::Array(..) | IdsFrom::Lines(..) => IdKinds::Text,
        }
    }

    /// Checks the number of ids, reads text files once and unpacks what is packed.
    pub fn settle(&self, rows: u64, scratch: &std::path::Path, limits: &Limits) -> Result<(Ids, IdKinds)> {
        match self {
            IdsFrom::Rows => Ok((Ids::Rows, IdKinds::Integer)),
            IdsFrom::Array(bytes, header, label) => {
                let count = header.shape.first().copied().unwrap_or(0);
                same_number(count, rows, "ids", label)?;
                let blob = bytes.settle(scratch, "ids.npy")?.plain()?.clone();
                Ok((Ids::Array { blob, start: header.data, descr: header.descr.clone() }, self.expected()))
            }
            IdsFrom::Lines(blob, true) => {
                let mut seen = Seen::default();
                let label = blob.label().to_owned();
                let file = LineFile::scan(blob.clone(), limits.max_line_bytes, |line, text| {
                    seen.note(&json_line(text).ok_or_else(|| no_id(&label, line))?);
                    Ok(())
                })?;
                same_number(file.rows, rows, "ids", file.label())?;
                Ok((Ids::Lines { file, kind: None }, seen.kinds()))
            }
            IdsFrom::Lines(blob, false) => {
                let mut integers = true;
                let file = LineFile::scan(blob.clone(), limits.max_line_bytes, |_, text| {
                    integers &= is_integer(text);
                    Ok(())
                })?;
                same_number(file.rows, rows, "ids", file.label())?;
                let (kind, kinds) = match integers {
                    true => (IdKind::Integer, IdKinds::Integer),
                    false => (IdKind::Text, IdKinds::Text),
                };
                Ok((Ids::Lines { file, kind: Some(kind) }, kinds))
            }
        }
    }
}

impl Seen {
    /// Notes one id.
    pub fn note(&mut self, id: &Id) {
        match id.kind {
            IdKind::Integer => self.integer = true,
            IdKind::Text => self.text = true,
        }
    }

    /// What came by; integers if nothing did.
    pub fn kinds(self) -> IdKinds {
        match (self.integer, self.text) {
            (true, true) => IdKinds::Mixed,
            (false, true) => IdKinds::Text,
            (_, false) => IdKinds::Integer,
        }
    }
}

/// Reads ids in order.
pub enum IdReader {
    /// Numbers of rows.
    Rows,
    /// In the metadata file.
    WithMetadata,
    /// Items of an array.
    Array {
        /// The array's bytes.
        reader: BlobReader,
        /// Where the first item is.
        start: u64,
        /// Type of an item.
        descr: Descr,
        /// Items read last.
        block: Vec<u8>,
    },
    /// Lines.
    Lines(LineReader, Option<IdKind>),
}

impl Ids {
    /// A reader whose next id is that of row `row`.
    pub fn reader(&self, row: u64) -> Result<IdReader> {
        Ok(match self {
            Ids::Rows => IdReader::Rows,
            Ids::WithMetadata => IdReader::WithMetadata,
            Ids::Array { blob, start, descr } => {
                IdReader::Array { reader: blob.open()?, start: *start, descr: descr.clone(), block: Vec::new() }
            }
            Ids::Lines { file, kind } => IdReader::Lines(file.reader(row)?, *kind),
        })
    }
}

impl IdReader {
    /// The ids of `count` rows from `first` on; each call goes on where the last one ended. `None` stands for an id
    /// that the metadata has.
    pub fn read(&mut self, first: u64, count: usize, out: &mut Vec<Option<Id>>) -> Result<()> {
        out.clear();
        match self {
            IdReader::Rows => {
                let numbers = first..first + count as u64;
                out.extend(numbers.map(|row| Some(Id { text: row.to_string(), kind: IdKind::Integer })));
            }
            IdReader::WithMetadata => out.resize(count, None),
            IdReader::Array { reader, start, descr, block } => {
                let width = descr.bytes().unwrap_or(1);
                block.resize(count * width as usize, 0);
                reader.read_exact_at(*start + first * width, block)?;
                for (row, item) in (first..).zip(block.chunks_exact_mut(width as usize)) {
                    let id = array_item(descr, item).ok_or_else(|| {
                        Error::damaged("an id that is empty or no Unicode text")
                            .with("file", reader.label())
                            .with("row", row)
                            .hint("give every row an id, texts as np.array(ids, dtype=str)")
                    })?;
                    out.push(Some(id));
                }
            }
            IdReader::Lines(reader, kind) => {
                for _ in 0..count {
                    let Some((line, text)) = reader.next_row()? else {
                        return Err(Error::damaged(format!("the ids end before row {}", first + out.len() as u64)));
                    };
                    let id = match kind {
                        Some(kind) => Some(Id { text: text.to_owned(), kind: *kind }),
                        None => Some(json_line(text).ok_or_else(|| no_id("the file of ids", line))?),
                    };
                    out.push(id);
                }
            }
        }
        Ok(())
    }
}

/// An id in JSON: a text or an integer.
pub fn json_id(text: &str) -> Option<Id> {
    if text.starts_with('"') {
        let text: String = serde_json::from_str(text).ok()?;
        return Some(Id { text, kind: IdKind::Text });
    }
    is_integer(text).then(|| Id { text: text.to_owned(), kind: IdKind::Integer })
}

/// Fails unless a side file has one entry for each row.
pub fn same_number(found: u64, rows: u64, what: &str, label: &str) -> Result<()> {
    if found == rows {
        return Ok(());
    }
    Err(Error::damaged(format!("{found} {what} for {rows} vectors"))
        .with("file", label)
        .hint("give the file that was written together with the vectors"))
}

fn json_line(text: &str) -> Option<Id> {
    let text = text.trim();
    if !text.starts_with('{') {
        return json_id(text);
    }
    let entries = Entries::parse(text).ok()?;
    entries.0.iter().find(|(key, _)| key == "id").and_then(|(_, value)| json_id(value.get()))
}

fn array_item(descr: &Descr, item: &mut [u8]) -> Option<Id> {
    let text = match descr {
        Descr::Number(number) => {
            number.make_little(item);
            return Some(Id { text: integer_text(*number, item)?, kind: IdKind::Integer });
        }
        Descr::Utf32 { big_endian, .. } => {
            let unit =
                |bytes: &[u8; 4]| if *big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
            let chars: Option<String> =
                item.as_chunks::<4>().0.iter().map(|bytes| char::from_u32(unit(bytes))).collect();
            chars?
        }
        _ => std::str::from_utf8(item).ok()?.to_owned(),
    };
    let text = text.trim_end_matches('\0');
    (!text.is_empty()).then(|| Id { text: text.to_owned(), kind: IdKind::Text })
}

fn integer_text(number: Number, word: &[u8]) -> Option<String> {
    number.integer(word).map(|integer| integer.to_string())
}

/// Decimal digits as a computer writes them: no sign but a minus, no leading zeros.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits.as_bytes() {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn no_id(label: &str, line: u64) -> Error {
    Error::damaged("a line without an id")
        .with("file", label)
        .with("line", line)
        .hint("each line is {\"id\": ..} with a text or an integer, or such an id itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_integers() {
        for text in ["0", "-1", "42", "18446744073709551616"] {
            assert!(is_integer(text), "{text}");
        }
        for text in ["", "-", "-0", "007", "+1", "1.0", "1e3", " 1", "١"] {
            assert!(!is_integer(text), "{text}");
        }
        assert_eq!(json_id("\"7\"").map(|id| id.kind), Some(IdKind::Text));
        assert_eq!(json_line("{\"x\": 1, \"id\": 7}").map(|id| id.kind), Some(IdKind::Integer));
        assert_eq!(json_id("1.5").or(json_id("null")).or(json_line("{\"x\": 1}")), None);
    }

    #[test]
    fn items_of_arrays_lose_their_padding_and_nothing_else() {
        let utf32 = |text: &str, big: bool| -> Vec<u8> {
            let bytes = |c: char| if big { (c as u32).to_be_bytes() } else { (c as u32).to_le_bytes() };
            text.chars().flat_map(bytes).collect()
        };
        let text = |descr: Descr, mut item: Vec<u8>| array_item(&descr, &mut item).map(|id| id.text);
        for big_endian in [false, true] {
            let descr = Descr::Utf32 { chars: 4, big_endian };
            assert_eq!(text(descr.clone(), utf32("é🙂 \0", big_endian)).as_deref(), Some("é🙂 "));
            assert_eq!(text(descr, utf32("\0\0\0\0", big_endian)), None);
        }
        assert_eq!(text(Descr::Bytes(3), b"ab\0".to_vec()).as_deref(), Some("ab"));
        assert_eq!(text(Descr::Bytes(2), b"\xff\xfe".to_vec()), None);
        assert_eq!(text(Descr::Utf32 { chars: 1, big_endian: false }, vec![0, 0xd8, 0, 0]), None);
        let big = Descr::Number(Number::named("i8", true).unwrap());
        assert_eq!(text(big, (-5i64).to_be_bytes().to_vec()).as_deref(), Some("-5"));
    }
}

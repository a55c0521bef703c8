//! The outer structure of an RDB file: a header, then opcodes and keys, one after another.
//!
//! ```text
//! "REDIS" dddd | "VALKEY" ddd          version in decimal
//! entry*                               opcode >= 242, or a kind of value with key and value
//! 255, checksum u64                    the checksum since version 5; 0 = none was taken
//!
//! 254 SELECTDB  number                 251 RESIZEDB  keys, expiring keys (numbers)
//! 253 EXPIRE    i32 seconds            252 EXPIREMS  i64 milliseconds
//! 250 AUX       name, value (strings)  249 FREQ  u8      248 IDLE  number
//! 247 MODULEAUX id, 2, when (numbers), parts             245 FUNCTION  string
//! 244 SLOTINFO  3 numbers              243 Redis: KEYMETA n, n * (u32, parts)
//! 242 TEMPLATE  id, n, n * string          Valkey: SLOTIMPORT string, n, 2n numbers
//!
//! number  00llllll | 01llllll l8 | 80 l32 | 81 l64 (big-endian) | 11...... an encoded string
//! string  number, bytes | c0 i8 | c1 i16 | c2 i32 (little-endian, decimal text) | c3 compressed, plain (numbers), LZF
//! parts   (1|2, number | 3, f32 | 4, f64 | 5, string)*, 0
//! ```
//!
//! Invariant: an opcode, kind or encoding that is not known ends in an error with its offset, because nothing after
//! it could be found. What precedes a key (its expiry and the like) belongs to it: [`Key::offset`] is where that
//! begins, and reading can start there.
//!
//! Errors: not recognised for another file or an unknown opcode, damaged with the offset for what does not hold
//! together, limit for strings beyond the limit. Source: Redis `src/rdb.c`, `src/rdb.h`; Valkey likewise.

use std::collections::BTreeMap;
use std::sync::Arc;

use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader};

use super::input::Input;
use super::lzf;
use crate::dialect;

/// Bytes of the magic with the version.
const HEADER_BYTES: usize = 9;
/// Bytes of all hash templates at most.
const TEMPLATE_BYTES: usize = 64 << 20;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// True if Valkey numbers it.
    pub valkey: bool,
}

/// Field names that hashes share, by the id of the template.
pub type Templates = BTreeMap<u64, Vec<Vec<u8>>>;

/// A file being read.
pub struct Rdb {
    /// The bytes.
    pub input: Input,
    /// What the first bytes say.
    pub header: Header,
    /// The templates met so far.
    pub templates: Arc<Templates>,
    template_bytes: usize,
    /// Bytes of one string at most.
    pub limit: usize,
}

/// What stands at the top level.
#[derive(Debug)]
pub enum Entry {
    /// A fact about the file.
    Aux(Vec<u8>, Vec<u8>),
    /// The keys after it belong to this database.
    Database(u64),
    /// Number of keys of the database, a hint.
    Keys(u64),
    /// Data of a module that belong to no key.
    ModuleAux(String),
    /// A key; its value is next and must be read or skipped.
    Key(Key),
    /// The end mark; the checksum is next.
    End,
}

/// A key.
#[derive(Debug)]
pub struct Key {
    /// Where it begins, with what precedes it.
    pub offset: u64,
    /// Kind of its value.
    pub kind: u8,
    /// Its name.
    pub name: Vec<u8>,
    /// It has an expiry time, past or to come.
    pub expires: bool,
}

/// A number, or how a string is encoded.
enum Length {
    Number(u64),
    Encoded(u8),
}

impl Header {
    /// Of the first bytes; `None` if they are of no RDB file.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let digits = |text: &[u8]| {
            let plain = text.iter().all(u8::is_ascii_digit);
            std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
        };
        let bytes = bytes.get(..HEADER_BYTES)?;
        match (bytes.strip_prefix(b"REDIS"), bytes.strip_prefix(b"VALKEY")) {
            (Some(version), _) => digits(version).map(|version| Header { version, valkey: false }),
            (_, Some(version)) => digits(version).map(|version| Header { version, valkey: true }),
            _ => None,
        }
    }

    /// Reads the header of a file.
    pub fn read(blob: &Blob) -> Result<Self> {
        let mut bytes = [0; HEADER_BYTES];
        let found = blob.open()?.read_at(0, &mut bytes)?;
        Header::parse(&bytes[..found]).filter(|header| header.version > 0).ok_or_else(|| {
            Error::not_recognised(format!("{} is no RDB file: it does not begin with REDIS or VALKEY", blob.label()))
                .hint("give the file that SAVE or BGSAVE wrote (CONFIG GET dir and dbfilename), uncompressed")
        })
    }

    /// True if the version is newer than what this was written for.
    pub fn is_newer(self) -> bool {
        self.version > if self.valkey { dialect::NEWEST_VALKEY } else { dialect::NEWEST_REDIS }
    }
}

impl Rdb {
    /// From the first entry on, taking the checksum if asked to.
    pub fn new(reader: BlobReader, header: Header, limit: usize, checksummed: bool) -> Result<Self> {
        let mut input = Input::new(reader, 0, checksummed);
        input.take(HEADER_BYTES)?;
        Ok(Rdb { input, header, templates: Arc::default(), template_bytes: 0, limit })
    }

    /// From an entry on that stands at `offset`.
    pub fn at(reader: BlobReader, offset: u64, header: Header, limit: usize, templates: Arc<Templates>) -> Self {
        Rdb { input: Input::new(reader, offset, false), header, templates, template_bytes: 0, limit }
    }

    /// The next entry.
    pub fn next(&mut self) -> Result<Entry> {
        let mut offset = self.input.offset();
        let mut expires = false;
        loop {
            let at = self.input.offset();
            match self.input.byte()? {
                255 => return Ok(Entry::End),
                254 => return Ok(Entry::Database(self.number()?)),
                253 => {
                    self.input.skip(4)?;
                    expires = true;
                }
                252 => {
                    self.input.skip(8)?;
                    expires = true;
                }
                251 => {
                    let keys = self.number()?;
                    self.number()?;
                    return Ok(Entry::Keys(keys));
                }
                250 => return Ok(Entry::Aux(self.new_string()?, self.new_string()?)),
                249 => self.input.skip(1)?,
                248 => drop(self.number()?),
                247 => return self.module_aux(),
                246 => return Err(self.unknown(at, "functions of a release candidate of Redis 7.0 (opcode 246)")),
                245 => {
                    self.skip_string()?;
                    offset = self.input.offset();
                }
                244 => {
                    (0..3).try_for_each(|_| self.number().map(drop))?;
                    offset = self.input.offset();
                }
                243 if self.header.valkey => {
                    self.slot_import()?;
                    offset = self.input.offset();
                }
                243 => self.key_metadata()?,
                242 if !self.header.valkey => {
                    self.template(at)?;
                    offset = self.input.offset();
                }
                kind if kind < 128 => {
                    let name = self.new_string()?;
                    return Ok(Entry::Key(Key { offset, kind, name, expires }));
                }
                opcode => return Err(self.unknown(at, format_args!("opcode {opcode}"))),
            }
        }
    }

    /// A number that is no encoding.
    pub fn number(&mut self) -> Result<u64> {
        let at = self.input.offset();
        match self.length()? {
            Length::Number(number) => Ok(number),
            Length::Encoded(_) => Err(self.input.damaged_at(at, "holds an encoded string where a number should be")),
        }
    }

    /// Appends a string to `out`.
    pub fn string(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let at = self.input.offset();
        match self.length()? {
            Length::Number(len) => {
                self.check_len(at, len)?;
                self.input.append(len, out)?;
            }
            Length::Encoded(3) => self.compressed(at, out)?,
            Length::Encoded(encoding) => {
                let integer = self.integer(at, encoding)?;
                out.extend_from_slice(integer.to_string().as_bytes());
            }
        }
        Ok(())
    }

    /// A string of its own.
    pub fn new_string(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.string(&mut out)?;
        Ok(out)
    }

    /// Passes over a string.
    pub fn skip_string(&mut self) -> Result<()> {
        let at = self.input.offset();
        match self.length()? {
            Length::Number(len) => self.input.skip(len),
            Length::Encoded(3) => {
                let compressed = self.number()?;
                self.number()?;
                self.input.skip(compressed)
            }
            Length::Encoded(encoding) => self.integer(at, encoding).map(drop),
        }
    }

    /// Passes over the parts of a module's value.
    pub fn skip_module_parts(&mut self) -> Result<()> {
        loop {
            let at = self.input.offset();
            match self.number()? {
                0 => return Ok(()),
                1 | 2 => drop(self.number()?),
                3 => self.input.skip(4)?,
                4 => self.input.skip(8)?,
                5 => self.skip_string()?,
                other => return Err(self.input.damaged_at(at, format_args!("holds a part of unknown type {other}"))),
            }
        }
    }

    /// Something that is known to exist, or to be unknown, and cannot be passed over.
    pub fn unknown(&self, at: u64, what: impl std::fmt::Display) -> Error {
        let header = self.header;
        Error::not_recognised(format!("{} holds {what}, which is not known", self.input.label())).with("byte", at).hint(
            format!(
                "the file says {}; without knowing it nothing after it can be found: load the file into a server of \
                 that version and export what you need, or report the version",
                dialect::producer(header.valkey, header.version)
            ),
        )
    }

    /// Fails if a string is beyond the limit or beyond the file.
    fn check_len(&self, at: u64, len: u64) -> Result<()> {
        if len > self.input.remaining() {
            let left = self.input.remaining();
            return Err(self.input.damaged_at(at, format_args!("claims a string of {len} bytes, but {left} are left")));
        }
        if len > self.limit as u64 {
            return Err(Error::limit(format!(
                "{} holds a string of {len} bytes, the limit is {}",
                self.input.label(),
                self.limit
            ))
            .with("byte", at)
            .hint("raise the limit on the bytes of one record"));
        }
        Ok(())
    }

    fn length(&mut self) -> Result<Length> {
        let at = self.input.offset();
        let first = self.input.byte()?;
        Ok(match (first >> 6, first) {
            (0, _) => Length::Number(u64::from(first)),
            (1, _) => Length::Number(u64::from(first & 63) << 8 | u64::from(self.input.byte()?)),
            (3, _) => Length::Encoded(first & 63),
            (_, 0x80) => Length::Number(u64::from(u32::from_be_bytes(self.input.array()?))),
            (_, 0x81) => Length::Number(u64::from_be_bytes(self.input.array()?)),
            _ => return Err(self.input.damaged_at(at, format_args!("holds a length of unknown form {first:#04x}"))),
        })
    }

    fn integer(&mut self, at: u64, encoding: u8) -> Result<i64> {
        Ok(match encoding {
            0 => i64::from(i8::from_le_bytes(self.input.array()?)),
            1 => i64::from(i16::from_le_bytes(self.input.array()?)),
            2 => i64::from(i32::from_le_bytes(self.input.array()?)),
            other => {
                return Err(self.input.damaged_at(at, format_args!("holds a string of unknown encoding {other}")));
            }
        })
    }

    fn compressed(&mut self, at: u64, out: &mut Vec<u8>) -> Result<()> {
        let (compressed, claimed) = (self.number()?, self.number()?);
        self.check_len(at, compressed)?;
        if claimed > self.limit as u64 || !lzf::is_possible(compressed, claimed) {
            let what = format_args!("claims that {compressed} compressed bytes stand for {claimed}");
            return Err(self.input.damaged_at(at, what));
        }
        let mut packed = Vec::with_capacity(compressed as usize);
        self.input.append(compressed, &mut packed)?;
        lzf::decompress(&packed, claimed as usize, out)
            .ok_or_else(|| self.input.damaged_at(at, "holds a compressed string that does not hold together"))
    }

    fn module_aux(&mut self) -> Result<Entry> {
        let name = dialect::module_name(self.number()?);
        let at = self.input.offset();
        if self.number()? != 2 {
            return Err(self.input.damaged_at(at, format_args!("holds data of module {name} without their place")));
        }
        self.number()?;
        self.skip_module_parts()?;
        Ok(Entry::ModuleAux(name))
    }

    fn key_metadata(&mut self) -> Result<()> {
        for _ in 0..self.number()? {
            self.input.skip(4)?;
            self.skip_module_parts()?;
        }
        Ok(())
    }

    fn slot_import(&mut self) -> Result<()> {
        self.skip_string()?;
        for _ in 0..self.number()? {
            self.number()?;
            self.number()?;
        }
        Ok(())
    }

    fn template(&mut self, at: u64) -> Result<()> {
        let (id, count) = (self.number()?, self.number()?);
        let mut names = Vec::new();
        for _ in 0..count {
            let name = self.new_string()?;
            self.template_bytes += name.len() + size_of::<Vec<u8>>();
            if self.template_bytes > TEMPLATE_BYTES {
                let message =
                    format!("{} holds more than {TEMPLATE_BYTES} bytes of hash templates", self.input.label());
                return Err(Error::limit(message).with("byte", at).hint("this many shapes of hashes are not read"));
            }
            names.push(name);
        }
        if names.is_empty() || Arc::make_mut(&mut self.templates).insert(id, names).is_some() {
            return Err(self.input.damaged_at(at, format_args!("defines hash template {id} twice or without fields")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_magic_tells_server_and_version() {
        let header = |version, valkey| Some(Header { version, valkey });
        assert_eq!(Header::parse(b"REDIS0009..."), header(9, false));
        assert_eq!(Header::parse(b"VALKEY080"), header(80, true));
        for other in [&b"REDIS000"[..], b"REDIS00x9", b"REDIS+009", b"RESP00001", b""] {
            assert_eq!(Header::parse(other), None);
        }
    }
}

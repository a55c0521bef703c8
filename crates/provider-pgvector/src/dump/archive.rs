//! The header and the table of contents of pg_dump's archives: custom format, `toc.dat` of directories and tars.
//!
//! ```text
//! "PGDMP" | u8 major | u8 minor | u8 revision | u8 int_size | u8 off_size | u8 format: 1 custom, 3 tar, 5 directory
//! compression: from 1.15 u8 0 none, 1 gzip, 2 lz4, 3 zstd; before INT level, 0 none
//! 7 INT date | STR database | STR server version | STR pg_dump version | INT entries | entries
//! entry: INT id | INT had_dumper | STR tableoid | STR oid | STR tag | STR desc | [1.11 INT section] | STR defn | STR drop
//!        | STR copy | STR namespace | STR tablespace | [1.14 STR access method] | [1.16 INT relkind] | STR owner
//!        | STR "false" | dependencies: STR .. until null | custom: u8 flag, offset; others: STR file name
//! STR: INT length, -1 null | bytes        offset flag: 1 not set, 2 set, 3 no data
//! ```
//! What a gzip archive calls gzip is a zlib stream in the custom format and a `.gz` file in a directory. PostgreSQL 9.0
//! to 18 write 1.11 to 1.16; older headers lack the fields marked here.
//!
//! Errors: damaged for lengths that are negative or beyond the limits and for tables that end early; not recognised
//! for versions before 1.10 and after 1.16, and for unknown formats and compressions.
//! Source: PostgreSQL 18 `src/bin/pg_dump/pg_backup_archiver.c` (ReadHead, ReadToc), `pg_backup_archiver.h`.

use std::io::{self, Read};

use tranship_connector::{Error, Result};
use tranship_storage::Limits;

use super::block::read_int;
use super::input::{Codec, Cursor, Input, read_error};

/// How an archive begins.
pub const MAGIC: &[u8] = b"PGDMP";

/// The layout that the data lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Blocks in the same file.
    Custom,
    /// Members of a tar.
    Tar,
    /// Files of a directory.
    Directory,
}

/// Header and table of contents.
#[derive(Debug, Clone)]
pub struct Archive {
    /// `1.16`.
    pub version: String,
    /// The layout.
    pub layout: Layout,
    /// Compression of the data.
    pub codec: Codec,
    /// Bytes of an INT after its sign.
    pub int_size: usize,
    /// The database.
    pub database: String,
    /// Version of the server.
    pub server: String,
    /// Version of pg_dump.
    pub pg_dump: String,
    /// All entries.
    pub entries: Vec<Entry>,
    /// Offset of what follows.
    pub end: u64,
}

/// An entry of the table of contents.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Dump id.
    pub id: i64,
    /// Name of the object.
    pub tag: String,
    /// `TABLE`, `TABLE DATA`, `INDEX`, `CONSTRAINT` ..
    pub kind: String,
    /// SQL that creates it.
    pub definition: String,
    /// The COPY statement of table data.
    pub copy: String,
    /// Schema.
    pub namespace: String,
    /// Where its data lies.
    pub place: Place,
}

/// Where the data of an entry lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// Nowhere.
    #[default]
    Nothing,
    /// In the block at this offset.
    Block(u64),
    /// In some block: the archive was written to a pipe.
    SomeBlock,
    /// In this file.
    File(String),
}

impl Archive {
    /// Reads header and table of contents of `input`.
    pub fn read(input: &Input, limits: &Limits) -> Result<Self> {
        let mut reader = TocReader {
            cursor: input.cursor(0)?,
            label: input.label().to_owned(),
            int_size: 4,
            off_size: 8,
            max_text: limits.max_page_bytes as u64,
        };
        reader.archive()
    }
}

struct TocReader {
    cursor: Cursor,
    label: String,
    int_size: usize,
    off_size: usize,
    max_text: u64,
}

impl TocReader {
    fn archive(&mut self) -> Result<Archive> {
        let magic: [u8; 5] = self.bytes()?;
        if magic != *MAGIC {
            return Err(Error::not_recognised("this is no pg_dump archive").with("file", &self.label));
        }
        let [major, minor, revision, int_size, off_size, format] = self.bytes()?;
        let version = format!("{major}.{minor}");
        if major != 1 || !(10..=16).contains(&minor) {
            return Err(Error::not_recognised(format!("archive version {version}.{revision} of pg_dump is not read"))
                .with("file", &self.label)
                .hint("versions 1.10 to 1.16 (PostgreSQL 8 to 18) are; turn it into SQL with `pg_restore -f dump.sql` and read that"));
        }
        if !(1..=8).contains(&int_size) || !(1..=8).contains(&off_size) {
            return Err(self.damaged("the header states integers of impossible sizes"));
        }
        (self.int_size, self.off_size) = (int_size.into(), off_size.into());
        let layout = match format {
            1 => Layout::Custom,
            3 => Layout::Tar,
            5 => Layout::Directory,
            other => {
                return Err(Error::not_recognised(format!("archive format {other} of pg_dump is not read"))
                    .with("file", &self.label)
                    .hint("custom (-Fc), directory (-Fd) and tar (-Ft) archives are"));
            }
        };
        let codec = self.codec(minor, layout)?;
        for _ in 0..7 {
            self.int()?;
        }
        let (database, server, pg_dump) = (self.text()?, self.text()?, self.text()?);
        let count = self.int()?;
        let count = u64::try_from(count).map_err(|_| self.damaged("a negative number of entries"))?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(self.entry(minor, layout)?);
        }
        let end = self.cursor.position();
        Ok(Archive { version, layout, codec, int_size: self.int_size, database, server, pg_dump, entries, end })
    }

    fn codec(&mut self, minor: u8, layout: Layout) -> Result<Codec> {
        let gzip = if layout == Layout::Custom { Codec::Zlib } else { Codec::Gzip };
        if minor < 15 {
            let level = self.int()?;
            return Ok(if level == 0 { Codec::None } else { gzip });
        }
        let [algorithm] = self.bytes()?;
        match algorithm {
            0 => Ok(Codec::None),
            1 => Ok(gzip),
            2 => Ok(Codec::Lz4),
            3 => Ok(Codec::Zstd),
            other => Err(Error::not_recognised(format!("compression {other} of pg_dump is not known"))
                .with("file", &self.label)
                .hint("none, gzip, lz4 and zstd are read")),
        }
    }

    fn entry(&mut self, minor: u8, layout: Layout) -> Result<Entry> {
        let id = self.int()?;
        self.int()?;
        self.text()?;
        self.text()?;
        let mut entry = Entry { id, tag: self.text()?, kind: self.text()?, ..Entry::default() };
        if minor >= 11 {
            self.int()?;
        }
        entry.definition = self.text()?;
        self.text()?;
        entry.copy = self.text()?;
        entry.namespace = self.text()?;
        self.text()?;
        if minor >= 14 {
            self.text()?;
        }
        if minor >= 16 {
            self.int()?;
        }
        self.text()?;
        self.text()?;
        while self.optional_text()?.is_some() {}
        entry.place = match layout {
            Layout::Custom => self.offset()?,
            Layout::Tar | Layout::Directory => match self.optional_text()? {
                Some(name) if !name.is_empty() => Place::File(name),
                _ => Place::Nothing,
            },
        };
        Ok(entry)
    }

    fn offset(&mut self) -> Result<Place> {
        let [flag] = self.bytes()?;
        let mut offset = 0u64;
        for at in 0..self.off_size {
            let [byte] = self.bytes()?;
            offset |= u64::from(byte) << (8 * at);
        }
        match flag {
            1 => Ok(Place::SomeBlock),
            2 => Ok(Place::Block(offset)),
            3 => Ok(Place::Nothing),
            other => Err(self.damaged(format!("an offset is marked {other}, which means nothing"))),
        }
    }

    fn text(&mut self) -> Result<String> {
        Ok(self.optional_text()?.unwrap_or_default())
    }

    fn optional_text(&mut self) -> Result<Option<String>> {
        let len = self.int()?;
        if len == -1 {
            return Ok(None);
        }
        let len = u64::try_from(len).ok().filter(|len| *len <= self.max_text);
        let len = len.ok_or_else(|| self.damaged("a text of the table of contents has an impossible length"))?;
        let mut bytes = Vec::new();
        let read = self.cursor.by_ref().take(len).read_to_end(&mut bytes);
        let read = read.map_err(|error| self.failed(error))?;
        if (read as u64) < len {
            return Err(self.failed(io::ErrorKind::UnexpectedEof.into()));
        }
        // Names in another encoding are refused later, with the encoding's name.
        Ok(Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())))
    }

    fn int(&mut self) -> Result<i64> {
        read_int(&mut self.cursor, self.int_size).map_err(|error| self.failed(error))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.cursor.read_exact(&mut bytes).map_err(|error| self.failed(error))?;
        Ok(bytes)
    }

    fn failed(&self, error: io::Error) -> Error {
        read_error(&self.label, self.cursor.position(), error)
    }

    fn damaged(&self, message: impl Into<String>) -> Error {
        Error::damaged(message)
            .with("file", &self.label)
            .with("byte", self.cursor.position())
            .hint("check the archive with `pg_restore --list`, and copy it again")
    }
}

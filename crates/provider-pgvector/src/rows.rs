//! Rows as fields, out of the bytes of a table in any of the forms that PostgreSQL writes.
//!
//! Invariant: every byte of the input belongs to a row, to a row that is told as malformed, or to what may stand between
//! rows; input that ends within a row is an error and never a row.
//!
//! Errors: damaged for input that ends too early or whose structure is lost, limit for a row that is too long.

pub mod binary;
pub mod copy_text;
pub mod csv;
pub mod inserts;

use std::io::Read;

use tranship_connector::{Error, Result};

use crate::dump::input::read_error;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// How the rows of a table are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// COPY's text format.
    Text(TextStyle),
    /// COPY's CSV format.
    Csv(CsvStyle),
    /// COPY's binary format, between its header and its trailer.
    Binary,
    /// INSERT statements.
    Inserts(InsertStyle),
}

/// Spelling of COPY text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextStyle {
    /// Between fields.
    pub delimiter: u8,
    /// The field that stands for NULL.
    pub null: Vec<u8>,
}

/// Spelling of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvStyle {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields; doubled inside.
    pub quote: u8,
    /// The unquoted field that stands for NULL.
    pub null: Vec<u8>,
}

/// Spelling of INSERT statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InsertStyle {
    /// Backslashes escape in plain strings (`standard_conforming_strings = off`).
    pub plain_escapes: bool,
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle { delimiter: b'\t', null: b"\\N".to_vec() }
    }
}

impl Default for CsvStyle {
    fn default() -> Self {
        CsvStyle { delimiter: b',', quote: b'"', null: Vec::new() }
    }
}

/// A field of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// NULL.
    Null,
    /// Left to the column's default, which only the database knows.
    Default,
    /// These bytes of the row's buffer.
    Value(usize, usize),
}

/// The fields of one row, unescaped.
#[derive(Debug, Clone, Default)]
pub struct Row {
    buffer: Vec<u8>,
    fields: Vec<Field>,
}

/// What a parser makes of the bytes in front of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A row of so many bytes.
    Row(usize),
    /// A row of so many bytes that cannot be taken apart, and why.
    Malformed(usize, String),
    /// So many bytes that are no row.
    Skip(usize),
    /// More bytes are needed.
    More,
    /// The end of the data stands here.
    End,
    /// The structure is lost so many bytes further on.
    Lost(usize, String),
}

/// Takes rows off the front of bytes.
pub trait Parse {
    /// Looks at `bytes`, which are all that is left if `last`.
    fn step(&mut self, bytes: &[u8], last: bool, row: &mut Row) -> Step;
}

/// What comes out of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A row stands in the [`Row`]; it began at this offset.
    Row(u64),
    /// A row at this offset cannot be taken apart, and why.
    Malformed(u64, String),
    /// No more rows.
    End,
}

/// Reads rows.
pub struct RowReader<'a> {
    input: Box<dyn Read + 'a>,
    parser: Box<dyn Parse + Send>,
    label: String,
    buffer: Vec<u8>,
    from: usize,
    offset: u64,
    ended: bool,
    max_row_bytes: usize,
}

impl Row {
    /// Forgets the fields.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.fields.clear();
    }

    /// Number of fields.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The bytes of field `at`; `None` for NULL and beyond the end.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        match self.fields.get(at)? {
            Field::Null | Field::Default => None,
            Field::Value(from, to) => self.buffer.get(*from..*to),
        }
    }

    /// Adds NULL.
    pub fn push_null(&mut self) {
        self.fields.push(Field::Null);
    }

    /// Adds DEFAULT.
    pub fn push_default(&mut self) {
        self.fields.push(Field::Default);
    }

    /// True if field `at` is left to its default.
    pub fn is_default(&self, at: usize) -> bool {
        self.fields.get(at) == Some(&Field::Default)
    }

    /// Adds a field.
    pub fn push(&mut self, bytes: &[u8]) {
        let from = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        self.fields.push(Field::Value(from, self.buffer.len()));
    }

    /// The buffer to append a field's bytes to; [`Row::close`] then makes them a field.
    pub fn open(&mut self) -> (usize, &mut Vec<u8>) {
        (self.buffer.len(), &mut self.buffer)
    }

    /// The bytes since `from` are a field.
    pub fn close(&mut self, from: usize) {
        self.fields.push(Field::Value(from, self.buffer.len()));
    }
}

impl<'a> RowReader<'a> {
    /// Rows of `input`, which begins at `offset` of what `label` names.
    pub fn new(
        input: Box<dyn Read + 'a>,
        form: &Form,
        columns: usize,
        label: &str,
        offset: u64,
        max_row_bytes: usize,
    ) -> Self {
        let parser: Box<dyn Parse + Send> = match form {
            Form::Text(style) => Box::new(copy_text::TextRows { style: style.clone() }),
            Form::Csv(style) => Box::new(csv::CsvRows { style: style.clone() }),
            Form::Binary => Box::new(binary::BinaryRows),
            Form::Inserts(style) => Box::new(inserts::InsertRows::new(*style, columns)),
        };
        RowReader {
            input,
            parser,
            label: label.to_owned(),
            buffer: Vec::new(),
            from: 0,
            offset,
            ended: false,
            max_row_bytes,
        }
    }

    /// The next row.
    pub fn next(&mut self, row: &mut Row) -> Result<Next> {
        loop {
            let bytes = self.buffer.get(self.from..).unwrap_or_default();
            if self.ended && bytes.is_empty() {
                return Ok(Next::End);
            }
            row.clear();
            let at = self.offset;
            match self.parser.step(bytes, self.ended, row) {
                Step::Row(len) => {
                    self.consume(len);
                    return Ok(Next::Row(at));
                }
                Step::Malformed(len, reason) => {
                    self.consume(len);
                    return Ok(Next::Malformed(at, reason));
                }
                Step::Skip(len) => self.consume(len),
                Step::End => return Ok(Next::End),
                Step::More if self.ended => return Err(self.cut_short()),
                Step::More => self.fill()?,
                Step::Lost(at, reason) => {
                    return Err(Error::damaged(reason)
                        .with("file", &self.label)
                        .with("byte", self.offset + at as u64)
                        .hint("the dump is damaged there; copy it again, or make a new one"));
                }
            }
        }
    }

    /// An error unless all of the input was used.
    pub fn finish(&self) -> Result<()> {
        if self.ended && self.from >= self.buffer.len() {
            return Ok(());
        }
        Err(Error::damaged("the end of the data stands in the middle of it")
            .with("file", &self.label)
            .with("byte", self.offset)
            .hint("the dump is damaged there; copy it again, or make a new one"))
    }

    fn consume(&mut self, len: usize) {
        self.from = (self.from + len).min(self.buffer.len());
        self.offset += len as u64;
    }

    /// Reads more, moving what is left to the front; twice as much each time a row does not fit.
    fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.from);
        self.from = 0;
        if self.buffer.len() > self.max_row_bytes {
            return Err(Error::limit(format!("a row is longer than {} bytes", self.max_row_bytes))
                .with("file", &self.label)
                .with("byte", self.offset)
                .hint("a row end may be missing, or the columns are not what they are said to be"));
        }
        let wanted = READ_BYTES.max(self.buffer.len());
        let read = self.input.by_ref().take(wanted as u64).read_to_end(&mut self.buffer);
        let at = self.offset + self.buffer.len() as u64;
        let read = read.map_err(|error| read_error(&self.label, at, error))?;
        self.ended = read < wanted;
        Ok(())
    }

    fn cut_short(&self) -> Error {
        cut_short(&self.label, self.offset)
    }
}

/// The data of `label` ends within the row at `offset`.
pub fn cut_short(label: &str, offset: u64) -> Error {
    Error::damaged("the data ends in the middle of a row: it is truncated")
        .with("file", label)
        .with("byte", offset)
        .hint("copy the dump again and compare sizes, or make a new one")
}

//! Walks over a plain SQL dump: what its statements declare, and where the rows of its tables stand.
//!
//! ```text
//! statements ;  COPY t (a, b) FROM stdin; LF  rows LF ..  \. LF  statements ; INSERT INTO t (a, b) VALUES (..), (..); ..
//! ```
//! Invariant: every row belongs to one [`Run`]; a run of COPY data ends before its `\.`, a run of INSERT statements of one
//! table and one column list at the end of the last of them. pg_dump writes keys and indexes behind the data, so only a
//! walk to the end knows them. Work memory is one statement's beginning and a few numbers per run and per 64 KiB.
//!
//! Errors: damaged for COPY data without its end, for a statement without its end, and for a dump of pg_dump without
//! its last line: it was cut. Source: `src/bin/pg_dump/pg_backup_archiver.c` (RestoreArchive), `pg_dump.c`.

use std::io::{BufRead, BufReader, Read};

use tranship_connector::{Error, Result};

use super::input::read_error;
use crate::bytes::position;
use crate::sql::catalog::{CopyHead, InsertHead};
use crate::sql::token::split_comments;
use crate::sql::{Catalog, Lexer, Stop, TableName};

/// Bytes kept of a statement.
const KEPT_BYTES: usize = 1 << 20;
/// INSERT statements are told apart for splitting after so many bytes.
const CUT_BYTES: u64 = 64 << 10;
const BUFFER_BYTES: usize = 1 << 20;
/// Runs of data: more means that single INSERT statements of several tables take turns.
const MAX_RUNS: usize = 1_000_000;

/// Statements that may stand between INSERT statements of one run: VALUES never stand in them.
const HARMLESS: [&str; 6] = ["set", "begin", "commit", "start", "lock", ";"];

const CHANGED: &str = "UPDATE, DELETE, MERGE or TRUNCATE behind its rows change them, which only PostgreSQL can do";

/// What pg_dump and pg_dumpall say first; with ` complete` behind it, it is what they say last.
pub const BEGUN: [&str; 2] = ["-- PostgreSQL database dump", "-- PostgreSQL database cluster dump"];

/// Rows of one table that stand together.
#[derive(Debug, Clone)]
pub struct Run {
    /// The table.
    pub table: TableName,
    /// Which database of the dump, counted by `\connect`.
    pub database: u32,
    /// The columns, if the statement lists them.
    pub columns: Option<Vec<String>>,
    /// INSERT statements, not COPY data.
    pub inserts: bool,
    /// Why the rows cannot be read, if they cannot.
    pub unreadable: Option<&'static str>,
    /// Offset of the first byte.
    pub start: u64,
    /// Offset behind the last byte.
    pub end: u64,
    /// Rows.
    pub rows: u64,
    /// Places between INSERT statements (offset, rows of the run before).
    pub cuts: Vec<(u64, u64)>,
}

/// What a walk found.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Declarations.
    pub catalog: Catalog,
    /// Data.
    pub runs: Vec<Run>,
    /// Version of the server, as the dump's first lines state it.
    pub server: Option<String>,
    /// Version of pg_dump.
    pub pg_dump: Option<String>,
    /// The walk came to the end.
    pub complete: bool,
}

/// Walks over `input`, called `label`, up to `limit` bytes.
pub fn scan(input: Box<dyn Read + Send>, label: &str, limit: Option<u64>) -> Result<Scan> {
    let mut walk = Walk::new(input, label, limit);
    walk.pass_byte_order_mark()?;
    while walk.statement()? {}
    Ok(walk.scan)
}

/// Takes in the statements of the end of a dump, as far as they can be told from data: for a first look.
pub fn glance_at_end(tail: &[u8], catalog: &mut Catalog) {
    let text = String::from_utf8_lossy(tail);
    let after_copy = text.rfind("\n\\.\n").map(|at| at + 4);
    let constraint = ["; Type: CONSTRAINT; ", "; Type: INDEX; "].iter().filter_map(|mark| text.find(mark)).min();
    let begin = constraint.and_then(|at| text.get(..at)?.rfind("--\n-- Name: "));
    let Some(rest) = after_copy.or(begin).and_then(|at| text.get(at..)) else { return };
    let (mut lexer, mut rest) = (Lexer::new(catalog.plain_escapes), rest);
    while let Some(end) = lexer.run(rest.as_bytes(), Stop::Statement) {
        let Some((statement, behind)) = rest.split_at_checked(end) else { return };
        catalog.statement(statement);
        rest = behind;
    }
}

struct Walk<'l> {
    input: BufReader<Box<dyn Read + Send>>,
    label: &'l str,
    limit: Option<u64>,
    offset: u64,
    lexer: Lexer,
    kept: Vec<u8>,
    scan: Scan,
    database: u32,
    /// A dump of pg_dump or pg_dumpall has begun and has not said that it is complete.
    open_dumps: [bool; 2],
    /// One of them began once more before it had.
    begun_twice: bool,
    /// Something stands behind the last run that its rows cannot go on behind.
    sealed: bool,
    /// What the last INSERT statement says before its values, and what that means.
    insert_head: (String, Option<InsertHead>),
}

impl<'l> Walk<'l> {
    fn new(input: Box<dyn Read + Send>, label: &'l str, limit: Option<u64>) -> Self {
        Walk {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            label,
            limit,
            offset: 0,
            lexer: Lexer::new(false),
            kept: Vec::new(),
            scan: Scan::default(),
            database: 0,
            open_dumps: [false; 2],
            begun_twice: false,
            sealed: false,
            insert_head: (String::new(), None),
        }
    }

    fn pass_byte_order_mark(&mut self) -> Result<()> {
        let bytes = self.input.fill_buf().map_err(|error| read_error(self.label, 0, error))?;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            self.consume(3);
        }
        Ok(())
    }

    /// Takes in one statement, and the data that follows it; false at the end.
    fn statement(&mut self) -> Result<bool> {
        let start = self.offset;
        let tuples = self.lexer.tuples;
        self.kept.clear();
        loop {
            if self.limit.is_some_and(|limit| self.offset >= limit) {
                return Ok(false);
            }
            let Walk { input, lexer, kept, .. } = self;
            let bytes = input.fill_buf().map_err(|error| read_error(self.label, self.offset, error))?;
            if bytes.is_empty() {
                self.end(start)?;
                return Ok(false);
            }
            let end = lexer.run(bytes, Stop::Statement);
            let used = end.unwrap_or(bytes.len());
            let room = KEPT_BYTES.saturating_sub(kept.len()).min(used);
            kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
            self.consume(used);
            if end.is_some() {
                break;
            }
        }
        let kept = std::mem::take(&mut self.kept);
        let text = String::from_utf8_lossy(&kept);
        let done = self.take(&text, start, self.lexer.tuples - tuples);
        self.kept = kept;
        done.map(|()| true)
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.offset += count as u64;
    }

    fn take(&mut self, text: &str, start: u64, tuples: u64) -> Result<()> {
        let (comments, statement) = split_comments(text);
        self.take_comments(comments);
        let begins = |word: &str| statement.get(..word.len()).is_some_and(|own| own.eq_ignore_ascii_case(word));
        if let Some(command) = statement.strip_prefix('\\') {
            self.take_command(command)?;
        } else if begins("insert") {
            self.take_insert(statement, start, tuples)?;
        } else if begins("copy") {
            self.take_copy(statement, true)?;
        } else {
            self.sealed |= !HARMLESS.iter().any(|word| begins(word));
            if let Some(table) = self.scan.catalog.changed_table(statement) {
                let runs = self.scan.runs.iter_mut().filter(|run| run.table == table && run.database == self.database);
                runs.for_each(|run| run.unreadable = Some(CHANGED));
            }
            self.scan.catalog.statement(statement);
            self.insert_head.0.clear();
            self.lexer.set_plain_escapes(self.scan.catalog.plain_escapes);
        }
        Ok(())
    }

    fn take_comments(&mut self, comments: &str) {
        for line in comments.lines().map(str::trim_end) {
            for (open, begun) in self.open_dumps.iter_mut().zip(BEGUN) {
                match line.strip_prefix(begun) {
                    Some("") => {
                        self.begun_twice |= *open;
                        *open = true;
                    }
                    Some(" complete") => *open = false,
                    _ => {}
                }
            }
            if let Some(version) = line.strip_prefix("-- Dumped from database version ") {
                self.scan.server.get_or_insert_with(|| version.trim().to_owned());
            }
            if let Some(version) = line.strip_prefix("-- Dumped by pg_dump version ") {
                self.scan.pg_dump.get_or_insert_with(|| version.trim().to_owned());
            }
        }
    }

    /// `whole_line`: the statement's line goes on behind it, and is no data.
    fn take_copy(&mut self, statement: &str, whole_line: bool) -> Result<()> {
        let Some(head) = self.scan.catalog.copy_head(statement) else { return Ok(()) };
        let unreadable = match head {
            CopyHead { elsewhere: true, .. } => Some("its rows are in another file, which its COPY statement names"),
            CopyHead { unusual: true, .. } => Some("its COPY data is not in the text format that pg_dump writes"),
            _ => None,
        };
        let run = Run {
            table: head.table,
            database: self.database,
            columns: head.columns,
            inserts: false,
            unreadable,
            start: self.offset,
            end: self.offset,
            rows: 0,
            cuts: Vec::new(),
        };
        if head.elsewhere {
            return self.push(run);
        }
        if whole_line {
            self.rest_of_line()?;
        }
        self.copy_data(run)
    }

    fn take_command(&mut self, command: &str) -> Result<()> {
        let mut words = command.split_whitespace();
        match words.next() {
            Some("connect" | "c") => self.database += 1,
            Some("encoding") => {
                self.scan.catalog.encoding = words.next().map(|name| name.trim_matches('\'').to_owned())
            }
            Some("copy") => return self.take_copy(command, false),
            // \restrict, \unrestrict, \echo and the like say nothing about data.
            _ => {}
        }
        Ok(())
    }

    fn take_insert(&mut self, statement: &str, start: u64, tuples: u64) -> Result<()> {
        // The heads of a million statements are mostly the same.
        let values = Lexer::new(self.scan.catalog.plain_escapes).run(statement.as_bytes(), Stop::Values);
        let text = values.and_then(|end| statement.get(..end)).unwrap_or(statement);
        if self.insert_head.0 != text {
            self.insert_head = (text.to_owned(), self.scan.catalog.insert_head(text));
        }
        let Some(head) = self.insert_head.1.clone() else { return Ok(()) };
        let unreadable = head.from_query.then_some("it is filled by INSERT .. SELECT, which only PostgreSQL can run");
        let end = self.offset;
        if let Some(run) = self.scan.runs.last_mut() {
            let same = !self.sealed
                && run.inserts
                && run.table == head.table
                && run.columns == head.columns
                && run.database == self.database;
            if same && run.unreadable == unreadable {
                let last_cut = run.cuts.last().map_or(run.start, |(offset, _)| *offset);
                if start - last_cut >= CUT_BYTES {
                    run.cuts.push((start, run.rows));
                }
                run.end = end;
                run.rows += tuples;
                return Ok(());
            }
        }
        let (table, columns, database) = (head.table, head.columns, self.database);
        self.push(Run {
            table,
            database,
            columns,
            inserts: true,
            unreadable,
            start,
            end,
            rows: tuples,
            cuts: Vec::new(),
        })
    }

    fn push(&mut self, run: Run) -> Result<()> {
        if self.scan.runs.len() >= MAX_RUNS {
            return Err(Error::limit(format!(
                "INSERT statements of several tables take turns more than {MAX_RUNS} times"
            ))
            .with("file", self.label)
            .hint("dump the one table, with `pg_dump -t`"));
        }
        self.scan.runs.push(run);
        self.sealed = false;
        Ok(())
    }

    /// Passes over the rows behind a COPY statement and counts them.
    fn copy_data(&mut self, mut run: Run) -> Result<()> {
        run.start = self.offset;
        let mut end = DataEnd::LineStart;
        loop {
            if self.limit.is_some_and(|limit| self.offset >= limit) {
                run.end = self.offset;
                return self.push(run);
            }
            let bytes = self.input.fill_buf().map_err(|error| read_error(self.label, self.offset, error))?;
            let at_end = bytes.is_empty();
            let found = if at_end { end.is_terminator().then_some(0) } else { end.find(bytes, &mut run.rows) };
            let used = found.unwrap_or(bytes.len());
            self.consume(used);
            if let Some(_end) = found {
                break;
            }
            if at_end {
                return Err(self.truncated("the rows of a COPY end without their `\\.` line"));
            }
        }
        run.end = self.offset - end.length();
        self.push(run)
    }

    fn rest_of_line(&mut self) -> Result<()> {
        loop {
            let bytes = self.input.fill_buf().map_err(|error| read_error(self.label, self.offset, error))?;
            if bytes.is_empty() {
                return Err(self.truncated("a COPY statement has no rows and no `\\.` line"));
            }
            let end = position(b'\n', bytes);
            let used = end.map_or(bytes.len(), |end| end + 1);
            self.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// The input is at its end, with what was kept since `start`.
    fn end(&mut self, start: u64) -> Result<()> {
        let kept = std::mem::take(&mut self.kept);
        let text = String::from_utf8_lossy(&kept);
        let (comments, _) = split_comments(&text);
        self.take_comments(&format!("{comments}\n"));
        if !self.lexer.is_between_statements() {
            return Err(self.truncated("the last statement has no end").with("begins at", start));
        }
        if self.begun_twice || self.open_dumps.contains(&true) {
            return Err(self.truncated("the last line of pg_dump, `-- PostgreSQL database dump complete`, is missing"));
        }
        self.scan.complete = true;
        Ok(())
    }

    fn truncated(&self, what: &str) -> Error {
        Error::damaged(format!("the dump is truncated: {what}"))
            .with("file", self.label)
            .with("byte", self.offset)
            .hint("copy the dump again and compare sizes, or make a new one")
    }
}

/// Finds the line `\.` in pieces of COPY data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DataEnd {
    LineStart,
    InLine,
    Backslash,
    Dot,
    DotReturn,
    /// The line with its line feed, which has so many bytes.
    Found(u64),
}

impl DataEnd {
    /// The offset behind the terminator's line feed; counts the rows before it.
    fn find(&mut self, bytes: &[u8], rows: &mut u64) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            *self = match (*self, byte) {
                (DataEnd::LineStart, b'\\') => DataEnd::Backslash,
                (DataEnd::Backslash, b'.') => DataEnd::Dot,
                (DataEnd::Dot, b'\r') => DataEnd::DotReturn,
                (DataEnd::Dot, b'\n') => DataEnd::Found(3),
                (DataEnd::DotReturn, b'\n') => DataEnd::Found(4),
                (_, b'\n') => {
                    *rows += 1;
                    DataEnd::LineStart
                }
                _ => DataEnd::InLine,
            };
            at += 1;
            if matches!(self, DataEnd::Found(_)) {
                return Some(at);
            }
            if *self == DataEnd::InLine {
                at += position(b'\n', bytes.get(at..).unwrap_or_default()).unwrap_or(bytes.len() - at);
            }
        }
        None
    }

    /// True if the input may end here: the terminator without its line feed.
    fn is_terminator(&self) -> bool {
        matches!(self, DataEnd::Dot | DataEnd::DotReturn)
    }

    /// Bytes of the terminator.
    fn length(&self) -> u64 {
        match self {
            DataEnd::Found(len) => *len,
            DataEnd::DotReturn => 3,
            _ => 2,
        }
    }
}

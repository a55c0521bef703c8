//! `chroma.sqlite3` of a directory: which tables it must have, and that the tables that are read are plain ones.
//!
//! How the file is opened without changing it or running anything in it is [`SqliteFile`]'s business. No table but those
//! named here is ever named in a statement, so that a view or virtual table of a hostile file (or the full-text index of
//! Chroma itself) is never evaluated.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tranship_connector::{Error, OpenOptions, Result};
use tranship_container::sqlite::{Owner, SqliteFile};
use tranship_storage::Limits;

/// Name of the database file.
pub const DATABASE: &str = "chroma.sqlite3";
/// Tables that every version has.
const REQUIRED_TABLES: [&str; 6] =
    ["collections", "segments", "embeddings", "embedding_metadata", "max_seq_id", "embeddings_queue"];
/// Tables that are read where they exist. No other is ever named in a statement, whatever else the file holds.
const OPTIONAL_TABLES: [&str; 5] =
    ["migrations", "databases", "collection_metadata", "segment_metadata", "embedding_metadata_array"];

static CHROMA: Owner = Owner {
    name: "Chroma",
    release: "stop the Chroma process, or copy the directory while it is stopped; --allow-inconsistent reads it anyway",
    repair: "check a copy with `sqlite3 chroma.sqlite3 'PRAGMA integrity_check'`, restore it from a backup, or rebuild it \
             with `sqlite3 chroma.sqlite3 .recover`",
};

/// An opened directory.
pub struct Database {
    /// The Chroma directory.
    pub root: PathBuf,
    /// What is worth telling about how it was opened.
    pub notes: Vec<String>,
    file: SqliteFile,
    limits: Limits,
}

impl Database {
    /// Checks and opens the database of `root`.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self> {
        let mut file = SqliteFile::open(&root.join(DATABASE), &CHROMA, options)?;
        let notes = std::mem::take(&mut file.notes);
        let database = Database { root: root.to_owned(), notes, file, limits: options.limits.clone() };
        database.check_tables()?;
        Ok(database)
    }

    /// A connection of its own, for one thread.
    pub fn connect(&self) -> Result<Connection> {
        self.file.connect()
    }

    /// A connection that writes to a private copy, which is what is read from then on.
    pub fn connect_to_copy(&mut self) -> Result<Connection> {
        self.file.connect_to_copy()
    }

    /// Checks a number of dimensions that the database claims.
    pub fn check_dim(&self, dim: usize) -> Result<usize> {
        if dim <= self.limits.max_dim {
            return Ok(dim);
        }
        Err(Error::limit(format!(
            "{} claims vectors of {dim} dimensions, the limit is {}",
            self.file.path().display(),
            self.limits.max_dim
        ))
        .hint("if the vectors really are that long, raise the limit"))
    }

    /// The database file and whatever lies beside it.
    pub fn files(&self) -> Vec<PathBuf> {
        self.file.files()
    }

    /// The columns of a table; empty if there is no such table.
    pub fn columns(&self, connection: &Connection, table: &str) -> Result<BTreeSet<String>> {
        let exists: bool = connection
            .query_row("SELECT count(*) FROM sqlite_master WHERE name = ?1", [table], |row| row.get(0))
            .map_err(|error| self.failed(error))?;
        if !exists {
            return Ok(BTreeSet::new());
        }
        let statement = connection.prepare(&format!("SELECT * FROM {table} LIMIT 0")).map_err(|e| self.failed(e))?;
        Ok(statement.column_names().map(str::to_owned).collect())
    }

    /// What a failed statement means for the user.
    pub fn failed(&self, error: rusqlite::Error) -> Error {
        self.file.failed(error)
    }

    /// Damage that SQLite itself does not see.
    pub fn damaged(&self, what: impl std::fmt::Display) -> Error {
        self.file.damaged(what)
    }

    fn check_tables(&self) -> Result<()> {
        let connection = self.connect()?;
        let mut statement = connection
            .prepare("SELECT name, type, coalesce(sql, '') FROM sqlite_master WHERE type IN ('table', 'view')")
            .map_err(|error| self.failed(error))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let objects: Vec<(String, String, String)> =
            rows.and_then(Iterator::collect).map_err(|error| self.failed(error))?;
        for table in REQUIRED_TABLES {
            if !objects.iter().any(|(name, _, _)| name == table) {
                return Err(Error::not_recognised(format!("{} has no table `{table}`", self.file.path().display()))
                    .hint("this is a SQLite file, but not one that Chroma 0.4 to 1.5 writes"));
            }
        }
        let is_plain = |kind: &str, sql: &str| {
            kind == "table" && sql.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("CREATE TABLE"))
        };
        let read = || REQUIRED_TABLES.iter().chain(&OPTIONAL_TABLES);
        let ours = |name: &str| read().any(|table| name.eq_ignore_ascii_case(table));
        match objects.iter().find(|(name, kind, sql)| ours(name) && !is_plain(kind, sql)) {
            Some((name, _, _)) => Err(self.damaged(format_args!("has `{name}` that is no plain table"))),
            None => Ok(()),
        }
    }
}

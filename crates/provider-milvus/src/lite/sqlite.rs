//! A SQLite file of Milvus Lite 2.x, opened so that nothing of it changes and nothing in it runs.
//!
//! Without a journal beside it the file is opened `immutable`, which takes no lock and creates nothing. With a `-wal`
//! or `-journal` it is copied together with them and the copy is recovered. Connections are read-only, defensive and
//! distrust the schema.
//!
//! Errors: damaged for a file that is cut or that SQLite finds corrupt, changing for one that is locked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tranship_connector::{Error, ErrorKind, OpenOptions, Result};
use tranship_storage::{InputFile, Limits, Scratch};

/// Suffixes of the files that belong to the database while it is in use.
const SIDE_FILES: [&str; 2] = ["-wal", "-journal"];
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The table that every database of Milvus Lite 2.x has.
pub const META_TABLE: &str = "collection_meta";
/// Where its definition stands: SQLite writes the first definitions into the first page.
const FIRST_PAGE_BYTES: usize = 64 << 10;

const DAMAGE_HINT: &str = "check a copy with `sqlite3 FILE 'PRAGMA integrity_check'`, restore it from a backup, or \
                           rebuild it with `sqlite3 FILE .recover`";

/// An opened file.
pub struct Sqlite {
    /// The database file of the source.
    pub path: PathBuf,
    /// What is worth telling about how it was opened.
    pub notes: Vec<String>,
    /// The file that is read: the source's, or the private copy.
    opened: PathBuf,
    limits: Limits,
    /// Holds the private copy, removed with this.
    _copy: Option<Scratch>,
}

/// True for a SQLite file with the table of collections.
pub fn is_database(path: &Path) -> bool {
    let mut page = vec![0; FIRST_PAGE_BYTES];
    let found = InputFile::open(path).and_then(|file| file.read_at(0, &mut page)).unwrap_or(0);
    let page = &page[..found];
    // The whole name: Chroma has a table that is called `collection_metadata`.
    let names_table = |window: &[u8]| match window.split_last() {
        Some((behind, name)) => name == META_TABLE.as_bytes() && !(behind.is_ascii_alphanumeric() || *behind == b'_'),
        None => false,
    };
    page.starts_with(MAGIC) && page.windows(META_TABLE.len() + 1).any(names_table)
}

impl Sqlite {
    /// Checks and opens the file.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        check_length(path)?;
        let mut notes = Vec::new();
        let side_files = side_files(path);
        check_lock(path, options.allow_inconsistent, &mut notes)?;
        let (copy, opened) = match side_files.as_slice() {
            [] => (None, path.to_owned()),
            files => {
                let copy = Scratch::new(None)?;
                let opened = copy_and_recover(&copy, path, files)?;
                notes.push(format!(
                    "{} has an unfinished journal: a private copy was recovered and read",
                    path.display()
                ));
                (Some(copy), opened)
            }
        };
        Ok(Sqlite { path: path.to_owned(), notes, opened, limits: options.limits.clone(), _copy: copy })
    }

    /// A connection of its own, for one thread.
    pub fn connect(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(uri(&self.opened, "mode=ro&immutable=1"), flags)
            .and_then(|connection| {
                harden(&connection, &self.limits)?;
                connection.execute_batch("PRAGMA query_only = ON")?;
                Ok(connection)
            })
            .map_err(|error| self.failed(error))
    }

    /// The file and whatever lies beside it.
    pub fn files(&self) -> Vec<PathBuf> {
        [vec![self.path.clone()], side_files(&self.path)].concat()
    }

    /// What a failed statement means for the user.
    pub fn failed(&self, error: rusqlite::Error) -> Error {
        failure(&self.path, error)
    }

    /// Damage that SQLite itself does not see.
    pub fn damaged(&self, what: impl std::fmt::Display) -> Error {
        Error::damaged(format!("{} {what}", self.path.display())).hint(DAMAGE_HINT)
    }
}

/// A name of a table as it stands in a statement.
pub fn quoted(table: &str) -> String {
    format!("\"{}\"", table.replace('"', "\"\""))
}

/// Compares the length with the number of pages in the header, where that is valid.
fn check_length(path: &Path) -> Result<()> {
    let file = InputFile::open(path)?;
    let mut head = [0; 100];
    if file.read_at(0, &mut head)? < head.len() || !head.starts_with(MAGIC) {
        return Err(Error::damaged(format!("{} is no SQLite database", path.display())).hint(DAMAGE_HINT));
    }
    let number = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let page = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        other => u64::from(other),
    };
    let claimed = page * u64::from(number(28));
    if number(24) == number(92) && claimed > file.len() && side_files(path).is_empty() {
        return Err(Error::damaged(format!("{} is cut off: {} of {claimed} bytes", path.display(), file.len()))
            .hint("copy the file again from its origin and compare sizes"));
    }
    Ok(())
}

/// Fails if a process holds the file's lock. Takes a shared lock for a moment; creates nothing.
fn check_lock(path: &Path, allowed: bool, notes: &mut Vec<String>) -> Result<()> {
    if !side_files(path).is_empty() {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let probed = Connection::open_with_flags(uri(path, "mode=ro"), flags).and_then(|connection| {
        connection.busy_timeout(Duration::ZERO)?;
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
    });
    let is_held = matches!(&probed, Err(rusqlite::Error::SqliteFailure(e, _)) if is_busy(e.code));
    if is_held && !allowed {
        return Err(changing(path));
    }
    if is_held {
        notes.push(format!("{} is locked by its database and was read all the same", path.display()));
    }
    // Any other trouble shows again, and with its place, when the file is really read.
    Ok(())
}

fn changing(path: &Path) -> Error {
    Error::new(ErrorKind::Changing, format!("{} is being written to: its database holds a lock", path.display()))
        .hint("close the MilvusClient, or copy the file while it is closed; --allow-inconsistent reads it anyway")
}

fn is_busy(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
}

fn side_files(path: &Path) -> Vec<PathBuf> {
    let beside = |suffix: &&str| tranship_storage::staging::with_suffix(path, suffix);
    let holds_something = |file: &PathBuf| file.metadata().is_ok_and(|metadata| metadata.len() > 0);
    SIDE_FILES.iter().map(beside).filter(holds_something).collect()
}

/// Copies the database with its journal and lets SQLite finish or undo what was under way, in the copy.
fn copy_and_recover(scratch: &Scratch, path: &Path, side_files: &[PathBuf]) -> Result<PathBuf> {
    let copy = scratch.copy_in(path)?;
    make_writable(&copy)?;
    for file in side_files {
        make_writable(&scratch.copy_in(file)?)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let recovered = Connection::open_with_flags(uri(&copy, "mode=rw"), flags).and_then(|connection| {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)
    });
    recovered.map_err(|error| failure(path, error))?;
    Ok(copy)
}

/// A copy of a read-only file is read-only too, and could not be recovered.
fn make_writable(copy: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(copy, std::fs::Permissions::from_mode(0o600))?)
}

fn harden(connection: &Connection, limits: &Limits) -> rusqlite::Result<()> {
    let max_value_bytes = i32::try_from(limits.max_line_bytes).unwrap_or(i32::MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, max_value_bytes)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")
}

fn failure(path: &Path, error: rusqlite::Error) -> Error {
    let shown = path.display();
    let converted = match error.sqlite_error_code() {
        Some(code) if is_busy(code) => return changing(path),
        Some(ErrorCode::TooBig) => Error::limit(format!("{shown} holds a row beyond the limit"))
            .hint("raise the limit on the bytes of one record"),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::new(ErrorKind::Io, format!("cannot read {shown}"))
                .hint("check the permissions of the file and its folders")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::damaged(format!("{shown} is damaged")).hint(DAMAGE_HINT)
        }
        _ => Error::damaged(format!("{shown} is not laid out as Milvus Lite does it")).hint(DAMAGE_HINT),
    };
    converted.caused_by(error)
}

/// `file:` URI with every byte escaped that could mean something there.
fn uri(path: &Path, parameters: &str) -> String {
    use std::os::unix::ffi::OsStrExt;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let escaped: String = absolute
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(*byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("file:{escaped}?{parameters}")
}

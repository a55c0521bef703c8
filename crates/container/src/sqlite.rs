//! A foreign SQLite file, opened so that nothing of it changes and nothing in it runs.
//!
//! Without journal files beside it the file is opened `immutable`, which takes no lock and creates nothing. With a
//! `-wal` or `-journal` it is copied together with them and the copy is recovered. Connections are read-only,
//! defensive and distrust the schema; a caller that names only plain tables never evaluates a view or a virtual table
//! of a hostile file.
//!
//! Errors: damaged for a file that is cut or that SQLite finds corrupt, changing for one whose lock is held, limit for a
//! value beyond `Limits::max_line_bytes`. Source: <https://sqlite.org/fileformat2.html>.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tranship_connector::{Error, ErrorKind, OpenOptions, Result};
use tranship_storage::{InputFile, Limits, Scratch};

/// Suffixes of the files that belong to the database while it is in use.
const SIDE_FILES: [&str; 2] = ["-wal", "-journal"];
/// How every SQLite file begins.
pub const MAGIC: &[u8] = b"SQLite format 3\0";

/// What messages call the file's owner, and what they advise.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The product.
    pub name: &'static str,
    /// What to do about a lock that is held.
    pub release: &'static str,
    /// What to do about damage.
    pub repair: &'static str,
}

/// An opened file.
pub struct SqliteFile {
    /// What is worth telling about how it was opened.
    pub notes: Vec<String>,
    /// The database file of the source.
    path: PathBuf,
    owner: &'static Owner,
    /// The file that is read: the source's, or the private copy.
    opened: PathBuf,
    limits: Limits,
    /// Holds the private copy, removed with this.
    copy: Option<Scratch>,
}

impl SqliteFile {
    /// Checks and opens the file.
    pub fn open(path: &Path, owner: &'static Owner, options: &OpenOptions) -> Result<Self> {
        let header = Header::read(path, owner)?;
        let mut notes = Vec::new();
        if !header.uses_wal {
            check_lock(path, owner, options.allow_inconsistent, &mut notes)?;
        }
        let side_files = side_files(path);
        if side_files.is_empty() {
            header.check_length(path)?;
        }
        let (copy, opened) = match side_files.as_slice() {
            [] => (None, path.to_owned()),
            files => {
                let copy = Scratch::new(None)?;
                let opened = copy_and_recover(&copy, path, owner, files)?;
                notes.push(format!(
                    "{} has an unfinished journal ({}): a private copy was recovered and read",
                    path.display(),
                    names(files)
                ));
                (Some(copy), opened)
            }
        };
        Ok(SqliteFile { notes, path: path.to_owned(), owner, opened, limits: options.limits.clone(), copy })
    }

    /// The database file of the source.
    pub fn path(&self) -> &Path {
        &self.path
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

    /// A connection that writes to a private copy, which is what is read from then on.
    pub fn connect_to_copy(&mut self) -> Result<Connection> {
        if self.copy.is_none() {
            let copy = Scratch::new(None)?;
            self.opened = copy.copy_in(&self.path)?;
            make_writable(&self.opened)?;
            self.copy = Some(copy);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(uri(&self.opened, "mode=rw"), flags)
            .and_then(|connection| {
                harden(&connection, &self.limits)?;
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
                connection.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;")?;
                Ok(connection)
            })
            .map_err(|error| self.failed(error))
    }

    /// The database file and whatever lies beside it.
    pub fn files(&self) -> Vec<PathBuf> {
        [vec![self.path.clone()], side_files(&self.path)].concat()
    }

    /// What a failed statement means for the user.
    pub fn failed(&self, error: rusqlite::Error) -> Error {
        failure(&self.path, self.owner, error)
    }

    /// Damage that SQLite itself does not see.
    pub fn damaged(&self, what: impl std::fmt::Display) -> Error {
        Error::damaged(format!("{} {what}", self.path.display())).hint(self.owner.repair)
    }
}

/// A name of a table or column as it stands in a statement.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The first bytes of the file: <https://sqlite.org/fileformat2.html#the_database_header>.
struct Header {
    uses_wal: bool,
    /// Length that the header claims; `None` if it makes no valid claim.
    bytes: Option<u64>,
}

impl Header {
    fn read(path: &Path, owner: &Owner) -> Result<Self> {
        let file = InputFile::open(path)?;
        let mut head = [0; 100];
        if file.read_at(0, &mut head)? < head.len() || !head.starts_with(MAGIC) {
            return Err(Error::damaged(format!("{} is no SQLite database", path.display())).hint(owner.repair));
        }
        let number = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let page = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 65_536,
            other => u64::from(other),
        };
        let claimed = (number(24) == number(92)).then(|| page * u64::from(number(28)));
        Ok(Header { uses_wal: head[18] == 2 || head[19] == 2, bytes: claimed.filter(|bytes| *bytes > 0) })
    }

    fn check_length(&self, path: &Path) -> Result<()> {
        let found = InputFile::open(path)?.len();
        match self.bytes {
            Some(claimed) if claimed > found => {
                Err(Error::damaged(format!("{} is cut off: {found} of {claimed} bytes", path.display()))
                    .hint("copy the file again from its origin and compare sizes"))
            }
            _ => Ok(()),
        }
    }
}

/// Fails if a database process holds the file's lock. Takes a shared lock for a moment; creates nothing.
fn check_lock(path: &Path, owner: &Owner, allowed: bool, notes: &mut Vec<String>) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let probed = Connection::open_with_flags(uri(path, "mode=ro"), flags).and_then(|connection| {
        connection.busy_timeout(Duration::ZERO)?;
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
    });
    let is_held = matches!(&probed, Err(rusqlite::Error::SqliteFailure(e, _)) if is_busy(e.code));
    if is_held && !allowed {
        return Err(changing(path, owner));
    }
    if is_held {
        notes.push(format!("{} is locked by its database and was read all the same", path.display()));
    }
    // Any other trouble shows again, and with its place, when the file is really read.
    Ok(())
}

fn changing(path: &Path, owner: &Owner) -> Error {
    Error::new(ErrorKind::Changing, format!("{} is being written to: its database holds a lock", path.display()))
        .hint(owner.release)
}

fn is_busy(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
}

fn side_files(path: &Path) -> Vec<PathBuf> {
    let beside = |suffix: &&str| tranship_storage::staging::with_suffix(path, suffix);
    let holds_something = |file: &PathBuf| file.metadata().is_ok_and(|metadata| metadata.len() > 0);
    SIDE_FILES.iter().map(beside).filter(holds_something).collect()
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().filter_map(|f| f.file_name()).map(|name| name.to_string_lossy()).collect();
    names.join(", ")
}

/// Copies the database with its journal and lets SQLite finish or undo what was under way, in the copy.
fn copy_and_recover(scratch: &Scratch, path: &Path, owner: &Owner, side_files: &[PathBuf]) -> Result<PathBuf> {
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
    recovered.map_err(|error| failure(path, owner, error))?;
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
    connection.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, 100)?;
    connection.set_limit(Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")
}

fn failure(path: &Path, owner: &Owner, error: rusqlite::Error) -> Error {
    let shown = path.display();
    let converted = match error.sqlite_error_code() {
        Some(code) if is_busy(code) => return changing(path, owner),
        Some(ErrorCode::TooBig) => Error::limit(format!("{shown} holds a text or vector beyond the limit"))
            .hint("raise the limit on the bytes of one record"),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::new(ErrorKind::Io, format!("cannot read {shown}"))
                .hint("check the permissions of the file and its folders")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::damaged(format!("{shown} is damaged")).hint(owner.repair)
        }
        _ => Error::damaged(format!("{shown} is not laid out as {} does it", owner.name)).hint(owner.repair),
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

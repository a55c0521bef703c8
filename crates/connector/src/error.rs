//! The one error type: what went wrong, where, and what to do next.
//!
//! An error ends the run. Its kind decides the exit code, its code (`TS0001`..) is stable, its context pairs name file
//! and place, and its hint is the next step. Nothing here prints.

use std::fmt;
use std::io;

use tranship_storage::StorageError;

/// Result of everything that can end a run.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of trouble it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line asks for something that makes no sense.
    Usage,
    /// Nobody recognises the input, or it is a known format that is not read.
    NotRecognised,
    /// The input contradicts itself or ends too early.
    Damaged,
    /// The input changes while it is read, or is held by its database.
    Changing,
    /// A limit would have to be raised.
    Limit,
    /// The target cannot represent something and the loss was not allowed.
    LossDenied,
    /// More records were rejected than the budget allows.
    TooManyRejects,
    /// The output is already there.
    OutputExists,
    /// The disk is full; the run can be resumed.
    DiskFull,
    /// Another failure of the system.
    Io,
    /// A run cannot be resumed because its plan is no longer the same.
    PlanChanged,
    /// A mistake of ours.
    Bug,
    /// Stopped by the user; the run can be resumed.
    Interrupted,
}

impl ErrorKind {
    /// Stable code of the kind.
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::Usage => "TS0002",
            ErrorKind::NotRecognised => "TS0010",
            ErrorKind::Damaged => "TS0011",
            ErrorKind::Changing => "TS0012",
            ErrorKind::Limit => "TS0020",
            ErrorKind::LossDenied => "TS0030",
            ErrorKind::TooManyRejects => "TS0040",
            ErrorKind::OutputExists => "TS0050",
            ErrorKind::DiskFull => "TS0051",
            ErrorKind::Io => "TS0052",
            ErrorKind::PlanChanged => "TS0060",
            ErrorKind::Bug => "TS0070",
            ErrorKind::Interrupted => "TS0130",
        }
    }

    /// Exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Usage => 2,
            ErrorKind::NotRecognised => 10,
            ErrorKind::Damaged | ErrorKind::Changing => 11,
            ErrorKind::Limit => 12,
            ErrorKind::LossDenied => 13,
            ErrorKind::TooManyRejects => 14,
            ErrorKind::OutputExists => 20,
            ErrorKind::DiskFull => 21,
            ErrorKind::Io => 22,
            ErrorKind::PlanChanged => 23,
            ErrorKind::Bug => 70,
            ErrorKind::Interrupted => 130,
        }
    }
}

/// Something that ends the run.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with its message: one sentence, no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), context: Vec::new(), hint: None, source: None }
    }

    /// Damaged input.
    pub fn damaged(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Damaged, message)
    }

    /// A known format that is not read, or an unknown one.
    pub fn not_recognised(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::NotRecognised, message)
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Usage, message)
    }

    /// A limit that would have to be raised.
    pub fn limit(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Limit, message)
    }

    /// A mistake of ours.
    pub fn bug(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Bug, message)
    }

    /// Adds a context pair such as ("file", path) or ("line", 17).
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((key, value.to_string()));
        self
    }

    /// Adds the next step.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Context pairs in the order in which they were added.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.context
    }

    /// True if the reader of our standard output has gone away, which the command line takes for success.
    pub fn is_broken_pipe(&self) -> bool {
        let cause = self.source.as_deref().and_then(|source| source.downcast_ref::<io::Error>());
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The next step.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if !self.context.is_empty() {
            let pairs: Vec<String> = self.context.iter().map(|(key, value)| format!("{key} {value}")).collect();
            write!(f, " ({})", pairs.join(", "))?;
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let kind = kind_of(&error.source);
        if kind == ErrorKind::OutputExists {
            return Error::new(kind, format!("{} is there already", error.path.display()))
                .hint("choose another output name or remove the old one; tranship never overwrites");
        }
        let message = format!("cannot {} {}", error.operation, error.path.display());
        let mut converted = Error::new(kind, message);
        if let Some(offset) = error.offset {
            converted = converted.with("byte", offset);
        }
        converted.hint = hint_for(kind, &error);
        converted.caused_by(error.source)
    }
}

impl From<io::Error> for Error {
    /// Unwraps a [`StorageError`] that travelled through `Read` or `Write`.
    fn from(error: io::Error) -> Self {
        match error.downcast::<StorageError>() {
            Ok(error) => error.into(),
            Err(error) => Error::new(kind_of(&error), "input or output failed").caused_by(error),
        }
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ErrorKind::Damaged,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::DiskFull,
        io::ErrorKind::AlreadyExists => ErrorKind::OutputExists,
        _ => ErrorKind::Io,
    }
}

fn hint_for(kind: ErrorKind, error: &StorageError) -> Option<String> {
    let hint = match (kind, error.source.kind()) {
        (ErrorKind::Damaged, _) => {
            "the file is shorter than its header says, or is being written to; copy it again and compare sizes"
        }
        (ErrorKind::DiskFull, _) => "free some space and run the same command again: finished parts are kept",
        (_, io::ErrorKind::NotFound) => "check the path",
        (_, io::ErrorKind::PermissionDenied) => "check the permissions of the file and its folders",
        (_, io::ErrorKind::NotSeekable) => "give a stream through standard input, as in jsonl:-, or save it to a file",
        (_, io::ErrorKind::ResourceBusy) => "wait for the other run to end, or write to another output",
        _ => return None,
    };
    Some(hint.to_owned())
}

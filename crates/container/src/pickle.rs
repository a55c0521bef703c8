//! Python pickles, protocols 0 to 5, as data.
//!
//! Nothing is ever executed: `GLOBAL`, `REDUCE`, `NEWOBJ`, `BUILD` and their relatives only build inert [`Object`]s,
//! and only for classes on the caller's allow-list ([`ANY_CLASS`] allows all); any other class is an error that names
//! it and its byte offset.
//! Persistent ids, the extension registry and out-of-band buffers reach outside the file and are refused.
//!
//! The input is read as a stream. Values are 16 bytes, strings lie one after another in one buffer, and entries of
//! dicts are offered to a visitor that may take them and have them dropped, so that a dict of a million ids costs what
//! the caller keeps of it. The decoder has no recursion; nesting costs the input as many bytes as us.
//!
//! Errors: damaged with the byte offset for whatever is no pickle or ends early, limit for what outgrows [`Bounds`].
//! Source of the format: CPython `Lib/pickletools.py` (3.13).

mod input;
mod literal;
mod machine;
mod store;

#[cfg(test)]
mod tests;

use std::io::Read;

use tranship_connector::{Error, Result};

pub use store::{Dict, Node, Object, Pickle, Values};

/// In the list of classes: any class may occur. It stays inert data all the same.
pub const ANY_CLASS: &str = "*";

/// What a pickle may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Values pushed in the course of decoding.
    pub max_items: usize,
    /// Bytes of memory held by the decoder at any time.
    pub max_memory_bytes: u64,
}

/// What becomes of a dict entry that the visitor has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It stays in the decoded dict.
    Yes,
    /// The visitor has taken what it needs.
    No,
}

/// Sees every dict entry: the text that stands before the dict (its own key in the dict around it, or empty), the
/// entry's key and its value.
pub type Visitor<'v> = &'v mut dyn FnMut(&str, Node<'_>, Node<'_>) -> Result<Keep>;

/// Decodes one pickle of at most `len` bytes from `input`. `classes` are the full names (`module.name`) that may occur,
/// or [`ANY_CLASS`].
pub fn decode(
    input: impl Read,
    len: u64,
    classes: &[&str],
    bounds: Bounds,
    visit: Visitor<'_>,
) -> Result<Pickle> {
    machine::Machine::new(input::Input::new(input, len), classes, bounds).run(visit)
}

/// Decodes a small pickle and keeps everything.
pub fn decode_slice(bytes: &[u8], classes: &[&str], bounds: Bounds) -> Result<Pickle> {
    decode(bytes, bytes.len() as u64, classes, bounds, &mut |_, _, _| Ok(Keep::Yes))
}

fn damaged(offset: u64, reason: impl std::fmt::Display) -> Error {
    Error::damaged(format!("the pickle is damaged: {reason}"))
        .with("byte", offset)
        .hint("copy the file again from its origin and compare sizes")
}

fn limit(offset: u64, what: &str, limit: u64) -> Error {
    Error::limit(format!("the pickle holds {what} than the limit of {limit}"))
        .with("byte", offset)
        .hint("a real index never needs this much; check where the file comes from")
}

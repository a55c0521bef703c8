//! What can be wrong with one record or one batch, before anybody knows which file it came from.
//!
//! A [`Fault`] has no place of its own: the reader that meets it adds file, line or row and turns it into a reject
//! (one record) or an error (the run).

use std::fmt;

/// A record or batch that does not fit the collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A vector has another length than the collection's.
    WrongDim {
        /// Name of the vector.
        vector: String,
        /// Elements that the schema states.
        expected: usize,
        /// Elements that the record has.
        found: usize,
    },
    /// A vector was given in another element type than the schema's, or ends within an element.
    WrongElement {
        /// Name of the vector.
        vector: String,
    },
    /// A vector holds NaN or an infinity.
    NonFinite {
        /// Name of the vector.
        vector: String,
    },
    /// A record names a vector that the schema does not have.
    UnknownVector {
        /// Name of the vector.
        vector: String,
    },
    /// Sparse indices are not strictly ascending, or differ in number from the values.
    BadSparse {
        /// Name of the vector.
        vector: String,
        /// What is wrong.
        reason: String,
    },
    /// An id of kind integer is not the canonical text of one.
    BadInteger {
        /// The id.
        id: String,
    },
    /// The JSON text of the metadata is not acceptable.
    BadJson {
        /// What is wrong.
        reason: String,
    },
    /// The batch does not have the canonical layout.
    Layout {
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::WrongDim { vector, expected, found } => {
                write!(f, "{}: {found} dimensions, the collection has {expected}", vector_label(vector))
            }
            Fault::WrongElement { vector } => {
                write!(f, "{}: not of the collection's element type, or cut off", vector_label(vector))
            }
            Fault::NonFinite { vector } => write!(f, "{}: NaN or infinity", vector_label(vector)),
            Fault::UnknownVector { vector } => write!(f, "{}: the schema has no such vector", vector_label(vector)),
            Fault::BadSparse { vector, reason } => write!(f, "{}: {reason}", vector_label(vector)),
            Fault::BadInteger { id } => write!(f, "the id {id:?} is said to be an integer"),
            Fault::BadJson { reason } => write!(f, "metadata: {reason}"),
            Fault::Layout { reason } => write!(f, "batch layout: {reason}"),
        }
    }
}

impl std::error::Error for Fault {}

/// How a vector is called in messages: the unnamed one is just "vector".
pub fn vector_label(name: &str) -> String {
    if name.is_empty() { "vector".to_owned() } else { format!("vector `{name}`") }
}

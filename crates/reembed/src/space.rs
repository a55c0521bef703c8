//! The space that vectors lie in: which model made them, how long they are, and what else makes two of them comparable.
//!
//! Invariant: vectors of two spaces never stand in one column and never in one file of the cache.

use serde::{Deserialize, Serialize};
use tranship_storage::durable::sha256_bytes;

/// What the hook says of its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// Name and version of the model.
    pub model: String,
    /// Elements of a vector.
    pub dims: usize,
    /// True if every vector has unit length.
    #[serde(default)]
    pub normalised: bool,
    /// Tokens of a text that the model looks at, if it is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Whatever else changes the vectors: a prefix, a pooling, a quantisation.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub parameters: serde_json::Value,
}

impl Space {
    /// Names the space in file names: 32 hex digits of a SHA-256.
    pub fn key(&self) -> String {
        let mut digest = sha256_bytes(self.to_json().as_bytes());
        digest.truncate(32);
        digest
    }

    /// Canonical JSON.
    pub fn to_json(&self) -> String {
        // Strings and numbers always become JSON; a failure would show as a space of its own.
        serde_json::to_string(self).unwrap_or_default()
    }
}

//! One record set aside, with its reason and its place.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::transforms::Changed;

/// A record that could not be taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// File and place: "dump.jsonl line 17", "chroma.sqlite3 embeddings.id 42".
    pub place: String,
    /// The record's id, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why.
    pub reason: String,
    /// The record as it stands in the source, where that is text of reasonable size: replayable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

/// Where readers put rejects.
pub trait RejectSink {
    /// Sets one record aside; an error (exit 14) once the budget is used up.
    fn reject(&mut self, reject: Reject) -> Result<()>;

    /// Takes what transforms did to the records of one split, told once, after its last batch.
    fn changed(&mut self, _changed: &Changed) {}
}

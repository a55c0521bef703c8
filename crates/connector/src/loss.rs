//! What a target cannot represent, known and graded before anything is written.

use serde::{Deserialize, Serialize};

/// How bad a loss is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Nothing is lost; stated because the form changes.
    Exact,
    /// Undone when the target's data is read back through the mapping.
    Reversible,
    /// Answers under the declared metric do not change.
    Equivalent,
    /// Something is approximated.
    Lossy,
    /// Something is left out.
    Dropped,
}

impl Grade {
    /// True if the loss must be allowed by name.
    pub fn needs_consent(self) -> bool {
        self >= Grade::Lossy
    }
}

/// One thing that the target represents differently or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Stable name, used by `--allow-loss`.
    pub code: String,
    /// What is concerned: "id", "vector", "metadata.key", "index".
    pub path: String,
    /// What it is at the source.
    pub from: String,
    /// What it becomes.
    pub to: String,
    /// How bad it is.
    pub grade: Grade,
}

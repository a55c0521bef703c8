//! What a target cannot represent, known and graded before anything is written.

use serde::{Deserialize, Serialize};

use crate::survey::Finding;

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
    /// Records that it concerns, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// The ids of the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl Loss {
    /// A loss that concerns the whole collection.
    pub fn new(code: &str, path: &str, from: impl Into<String>, to: impl Into<String>, grade: Grade) -> Self {
        let (code, path) = (code.to_owned(), path.to_owned());
        Loss { code, path, from: from.into(), to: to.into(), grade, records: None, examples: Vec::new() }
    }

    /// With the records that it was found in.
    pub fn of(mut self, finding: &Finding) -> Self {
        self.records = Some(finding.records);
        self.examples.clone_from(&finding.examples);
        self
    }
}

//! How a collection is indexed for search: the settings only, never the graph.
//!
//! Index settings live in the collection schema and nowhere else; each provider's dialect maps them both ways.

use serde::{Deserialize, Serialize};

/// The index over one vector column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IndexSpec {
    /// No index: exact scan.
    Flat,
    /// Hierarchical navigable small world graph.
    Hnsw {
        /// Links per node on the upper levels (level 0 has twice as many).
        m: u32,
        /// Candidates kept while building.
        ef_construction: u32,
        /// Candidates kept while searching; `None` where the origin leaves it to the query.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ef_search: Option<u32>,
    },
    /// Anything else, by the origin's own name and settings.
    Other {
        /// The origin's name of the index.
        name: String,
        /// The origin's settings, verbatim.
        settings: serde_json::Value,
    },
}

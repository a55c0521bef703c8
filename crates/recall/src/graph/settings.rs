//! The settings of an HNSW graph, as an index states them or as most databases start with.
//!
//! Invariant: settings within limits can be built by the flat engine. What was filled in or held back is said.

use serde::Serialize;
use tranship_collection::IndexSpec;

use super::Engine;

/// Links per node that can be asked for; the most is far beyond what any database takes.
const LINKS: std::ops::RangeInclusive<u32> = 2..=4_096;

/// The settings of a graph, complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HnswSettings {
    /// Links per node on the upper levels; level 0 has twice as many.
    pub m: u32,
    /// Candidates kept while building.
    pub ef_construction: u32,
    /// Candidates kept while searching.
    pub ef_search: u32,
}

impl Default for HnswSettings {
    /// What most databases start with.
    fn default() -> Self {
        HnswSettings { m: 16, ef_construction: 100, ef_search: 100 }
    }
}

impl HnswSettings {
    /// The settings of an index, the missing ones filled in; notes say what was filled in or held back. `None` for an
    /// index that is not a graph.
    pub fn from_spec(spec: Option<&IndexSpec>) -> (Option<Self>, Vec<String>) {
        let defaults = HnswSettings::default();
        match spec {
            None => (Some(defaults), vec![format!("no index settings known, assumed {defaults}")]),
            Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
                let asked = HnswSettings {
                    m: *m,
                    ef_construction: *ef_construction,
                    ef_search: ef_search.unwrap_or(defaults.ef_search),
                };
                let mut notes = Vec::new();
                if ef_search.is_none() {
                    notes.push(format!("ef_search is left to the query, assumed {}", defaults.ef_search));
                }
                (Some(asked.within_limits(&mut notes)), notes)
            }
            Some(IndexSpec::Flat | IndexSpec::Other { .. }) => (None, Vec::new()),
        }
    }

    pub(crate) fn within_limits(self, notes: &mut Vec<String>) -> Self {
        let m = self.m.clamp(*LINKS.start(), *LINKS.end());
        if m != self.m {
            notes.push(format!("m {} is out of the graph engine's range, built with m {m}", self.m));
        }
        HnswSettings { m, ef_construction: self.ef_construction.max(1), ef_search: self.ef_search.max(1) }
    }

    /// Bytes that a graph over `rows` vectors of `dim` elements takes while `engine` builds it, beside the vectors.
    pub fn graph_bytes(&self, engine: Engine, rows: usize, dim: usize) -> usize {
        let m = self.m as usize;
        let per_row = match engine {
            // A place of a list is a link and its length; half a list more for the levels above, codes, and the marks.
            Engine::Flat => (2 * m + m / 2) * 8 + dim + 32,
            Engine::HnswRs => REFERENCE_BYTES_PER_POINT + 2 * m * REFERENCE_BYTES_PER_LINK,
        };
        rows.saturating_mul(per_row)
    }
}

/// A point of hnsw_rs with its sixteen empty lists of links, measured on 64-bit Linux.
const REFERENCE_BYTES_PER_POINT: usize = 640;

/// A link of hnsw_rs: one counted allocation and the pointer to it.
const REFERENCE_BYTES_PER_LINK: usize = 64;

impl std::fmt::Display for HnswSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "m {}, ef_construction {}, ef_search {}", self.m, self.ef_construction, self.ef_search)
    }
}

/// The order in which rows go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertionOrder {
    /// By id: does not depend on how the rows lie.
    ById,
    /// Shuffled by a seed.
    Shuffled(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_over_and_missing_ones_are_said() {
        let spec = IndexSpec::Hnsw { m: 24, ef_construction: 300, ef_search: Some(77) };
        let (settings, notes) = HnswSettings::from_spec(Some(&spec));
        assert_eq!(settings, Some(HnswSettings { m: 24, ef_construction: 300, ef_search: 77 }));
        assert!(notes.is_empty());
        let spec = IndexSpec::Hnsw { m: 10_000, ef_construction: 0, ef_search: None };
        let (settings, notes) = HnswSettings::from_spec(Some(&spec));
        assert_eq!(settings, Some(HnswSettings { m: 4_096, ef_construction: 1, ef_search: 100 }));
        assert_eq!(notes.len(), 2);
        assert_eq!(HnswSettings::from_spec(Some(&IndexSpec::Flat)).0, None);
    }
}

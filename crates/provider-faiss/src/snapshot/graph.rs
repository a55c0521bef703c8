//! Graphs over vectors: stepped over, but for the settings that they were built with and where HNSW links stand.
//!
//! ```text
//! HNSW        [IHfP: u64 levels | vec<f32>] [IHNc, IHc2, IBHc: u8 | u8 | i32, IHc2: i32]
//!             vec<f64> assign_probas | vec<i32> neighbours up to each level | vec<i32> levels | vec<u64> offsets
//!             | vec<i32> neighbours | i32 entry point | i32 max level | i32 efConstruction | i32 efSearch | i32
//! NSG         i32 GK | u8 | i32 S | i32 R | i32 L | i32 iter
//!             | i32 ntotal | i32 R | i32 L | i32 C | i32 search_L | i32 entry | u8 is_built
//!             | if built: for each vector its neighbours, i32 each, ended by -1
//! NN-descent  i32 ntotal, d, K, S, R, L, iter, search_L, random_seed | u8 has_built | vec<i32> graph
//! ```

use tranship_connector::Result;

use super::cursor::{Cursor, Span};
use super::grammar::Header;
use crate::dialect::Fourcc;

/// The settings of an HNSW graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graph {
    /// Links per node on the upper levels.
    pub m: u32,
    /// Candidates kept while building.
    pub ef_construction: u32,
    /// Candidates kept while searching.
    pub ef_search: u32,
    /// Where its parts stand.
    pub parts: Parts,
}

/// Where the parts of an HNSW graph stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// i32 room for neighbours below each level, summed up.
    pub per_level: Span,
    /// i32 levels of each node, at least 1.
    pub levels: Span,
    /// u64 first neighbour of each node, and the end of the last.
    pub offsets: Span,
    /// i32 neighbours; -1 ends those of a level that has fewer than there is room for.
    pub neighbours: Span,
    /// Node where searches begin, -1 without nodes.
    pub entry: i32,
}

/// Steps over an HNSW graph.
pub fn hnsw(cursor: &mut Cursor<'_>, fourcc: Fourcc, header: &Header) -> Result<Graph> {
    match &fourcc.0 {
        b"IHfP" => {
            cursor.u64("the number of levels")?;
            cursor.vector(4, "the sums of the levels")?;
        }
        b"IHNc" | b"IBHc" => drop(cursor.block(1, 6, "the settings of the graph")?),
        b"IHc2" => drop(cursor.block(1, 10, "the settings of the graph")?),
        _ => {}
    }
    cursor.vector(8, "the probabilities of the graph")?;
    let per_level = cursor.vector(4, "the neighbours per level")?;
    let levels = cursor.vector(4, "the levels of the graph")?;
    if levels.count != header.rows {
        return Err(cursor.bad(format_args!("{} nodes in a graph over {} vectors", levels.count, header.rows)));
    }
    let offsets = cursor.vector(8, "the offsets of the graph")?;
    if offsets.count != levels.count + 1 {
        return Err(cursor.bad(format_args!("{} offsets for {} nodes", offsets.count, levels.count)));
    }
    let neighbours = cursor.vector(4, "the neighbours of the graph")?;
    let end = cursor.fork(offsets.at + 8 * levels.count).u64("the last offset")?;
    if end > neighbours.count {
        return Err(cursor.bad(format_args!("the graph ends at {end} of {} neighbours", neighbours.count)));
    }
    let entry = cursor.i32("the entry point")?;
    cursor.i32("the highest level")?;
    let ef_construction = cursor.i32("efConstruction")?;
    let ef_search = cursor.i32("efSearch")?;
    cursor.i32("the end of the graph")?;
    let positive = |number: i32| u32::try_from(number).unwrap_or(0);
    // Level 0 has twice as many neighbours as each level above it.
    let m = match per_level.count {
        0 | 1 => 0,
        _ => positive(cursor.fork(per_level.at + 4).i32("the neighbours per level")?) / 2,
    };
    let parts = Parts { per_level, levels, offsets, neighbours, entry };
    Ok(Graph { m, ef_construction: positive(ef_construction), ef_search: positive(ef_search), parts })
}

/// Steps over an NSG graph.
pub fn nsg(cursor: &mut Cursor<'_>, header: &Header) -> Result<()> {
    cursor.block(1, 21, "the settings of the graph")?;
    let nodes = cursor.i32("the nodes of the graph")?;
    cursor.block(5, 4, "the settings of the graph")?;
    if !cursor.flag("is_built")? {
        return Ok(());
    }
    if u64::try_from(nodes) != Ok(header.rows) {
        return Err(cursor.bad(format_args!("{nodes} nodes in a graph over {} vectors", header.rows)));
    }
    for _ in 0..nodes {
        while cursor.i32("the neighbours of a node")? != -1 {}
    }
    Ok(())
}

/// Steps over the graph of NN-descent.
pub fn nn_descent(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.block(9, 4, "the settings of the graph")?;
    cursor.flag("has_built")?;
    cursor.vector(4, "the graph").map(drop)
}

//! The graph that a collection was searched with, as its segment directory holds it.
//!
//! Invariant: a node stands for the live record whose vector lies there. Nodes of deleted records, and of records that
//! the queue has given another vector, stand for none: Chroma passes through them and drops them from its answers.
//! Records whose vector is only in the queue are in no graph; Chroma compares them one by one beside it.
//!
//! Under cosine the segment holds unit vectors and compares their inner products.

use tranship_collection::{IndexSpec, Metric, NodeRecord, ServedGraph, VectorSpec};
use tranship_connector::Result;

use super::catalog::Collection;
use super::database::Database;
use super::index::Index;
use super::vectors::{Located, Place};

/// The graph of `index`, whose records have been located.
pub fn served(
    index: &Index,
    located: &Located,
    database: &Database,
    collection: &Collection,
    spec: &VectorSpec,
) -> Result<ServedGraph> {
    let graph = index.read_graph()?;
    let records = records(graph.labels.len(), located, database, collection)?;
    let header = index.vectors.header();
    let ef_search = match spec.index {
        Some(IndexSpec::Hnsw { ef_search, .. }) => ef_search,
        _ => None,
    };
    Ok(ServedGraph {
        links: graph.links,
        records,
        values: graph.values,
        dim: header.dim(),
        metric: match spec.metric {
            Some(Metric::Cosine) | None => Metric::Dot,
            Some(metric) => metric,
        },
        m: header.m as u32,
        ef_construction: u32::try_from(header.ef_construction).unwrap_or(u32::MAX),
        ef_search,
    })
}

/// The live record of each node.
fn records(
    nodes: usize,
    located: &Located,
    database: &Database,
    collection: &Collection,
) -> Result<Vec<Option<NodeRecord>>> {
    let mut records = vec![None; nodes];
    let connection = database.connect()?;
    let failed = |error| database.failed(error);
    let mut statement = connection
        .prepare("SELECT id, embedding_id FROM embeddings WHERE segment_id = ?1 ORDER BY id")
        .map_err(failed)?;
    let mut rows = statement.query([&collection.metadata_segment]).map_err(failed)?;
    let mut places = located.rows.iter();
    while let Some(row) = rows.next().map_err(failed)? {
        let row_id: i64 = row.get(0).map_err(failed)?;
        // Both are in order of the row's id; a record added meanwhile is not in `located`.
        let Some(at) = places.find(|at| at.row_id >= row_id).filter(|at| at.row_id == row_id) else { break };
        let (Place::Index(node), Ok(Ok(id))) =
            (at.place, row.get_ref(1).map(|value| value.as_str().map(str::to_owned)))
        else {
            continue;
        };
        if let Some(record) = records.get_mut(node as usize) {
            *record = Some(NodeRecord { namespace: None, id });
        }
    }
    Ok(records)
}

//! The graph that an HNSW index was searched with, read link by link.
//!
//! Read where the index holds its vectors as f32: FAISS compares the stored codes, and those of other quantisers are not
//! compared here. Invariant: node n is row n, and the links are those of [`HnswLinks`].
//!
//! Errors: damaged, naming the file and the offset, for levels and offsets that lie outside the neighbours, and for links
//! that no search could follow. Memory: all of the graph's part of the file, and the vectors.

use tranship_collection::{Fault, HnswLinks, HnswLinksBuilder, Metric, NodeRecord, ServedGraph};
use tranship_connector::{Error, Result};
use tranship_storage::BlobReader;

use super::cursor::{Span, damaged};
use super::grammar::Codec;
use super::graph::Graph;
use super::labels::Labels;
use super::plan::{Plan, Run};
use crate::langchain::Docstore;

/// What names the rows.
pub struct Names<'a> {
    /// The documents, for a LangChain folder.
    pub documents: Option<&'a Docstore>,
    /// Rows are numbered, whatever ids the file has.
    pub number_rows: bool,
}

/// The graph of an index that is read as `plan` says; none where it has none or other codes than f32.
pub fn served(
    file: &BlobReader,
    plan: &Plan,
    metric: Option<Metric>,
    names: &Names<'_>,
) -> Result<Option<ServedGraph>> {
    let (Some(graph), Some(metric), Codec::F32, None) = (&plan.graph, metric, plan.codec, plan.centroids) else {
        return Ok(None);
    };
    let run = match plan.runs.as_slice() {
        [] => None,
        [run] if run.ids_at.is_none() && run.rows == plan.rows => Some(*run),
        _ => return Ok(None),
    };
    Ok(Some(ServedGraph {
        links: links(file, graph)?,
        records: run.map_or(Ok(Vec::new()), |run| records(file, plan, run, names))?,
        values: run.map_or(Ok(Vec::new()), |run| floats(file, plan, run))?,
        dim: plan.dim,
        // What the user calls cosine is an inner product of unit vectors to FAISS.
        metric: if metric == Metric::Cosine { Metric::Dot } else { metric },
        m: graph.m,
        ef_construction: graph.ef_construction,
        ef_search: Some(graph.ef_search).filter(|ef| *ef > 0),
    }))
}

fn links(file: &BlobReader, graph: &Graph) -> Result<HnswLinks> {
    let parts = &graph.parts;
    let per_level = numbers(file, parts.per_level, i32::from_le_bytes)?;
    let levels = numbers(file, parts.levels, i32::from_le_bytes)?;
    let offsets = numbers(file, parts.offsets, u64::from_le_bytes)?;
    let neighbours = numbers(file, parts.neighbours, i32::from_le_bytes)?;
    let mut builder = HnswLinksBuilder::with_capacity(levels.len(), neighbours.len());
    for (node, (level_count, first)) in levels.iter().zip(&offsets).enumerate() {
        builder.node();
        let bad =
            |what: &str| damaged(file.label(), parts.levels.at + 4 * node as u64, format_args!("node {node} {what}"));
        let count = usize::try_from(*level_count).ok().filter(|count| (1..per_level.len()).contains(count));
        let count = count.ok_or_else(|| bad("of the graph has levels that the graph has no room for"))?;
        for bounds in per_level.windows(2).take(count) {
            let place =
                |room: i32| first.checked_add(u64::try_from(room).ok()?).and_then(|at| usize::try_from(at).ok());
            let found = place(bounds[0]).zip(place(bounds[1])).and_then(|(start, end)| neighbours.get(start..end));
            let list = found.ok_or_else(|| bad("of the graph has its neighbours outside the list of them"))?;
            // A negative number that is no end mark becomes one that no node has, and is refused below.
            builder.list(list.iter().take_while(|&&link| link != -1).map(|&link| link as u32));
        }
    }
    let entry = if levels.is_empty() { 0 } else { parts.entry as u32 };
    builder.finish(entry).map_err(|fault| {
        let reason = match fault {
            Fault::Layout { reason } => reason,
            other => other.to_string(),
        };
        damaged(file.label(), parts.neighbours.at, reason)
    })
}

fn records(file: &BlobReader, plan: &Plan, run: Run, names: &Names<'_>) -> Result<Vec<Option<NodeRecord>>> {
    let mut labels = Labels::default();
    labels.read(file, plan, &run)?;
    let id_of = |row: usize| match (names.documents, names.number_rows) {
        // A row without a document is a reject, and so no record.
        (Some(documents), _) => documents.document(labels.get(row)).map(|(id, _)| id.to_owned()),
        (None, true) => Some(row.to_string()),
        (None, false) => Some(labels.get(row).to_string()),
    };
    Ok((0..run.rows as usize).map(|row| id_of(row).map(|id| NodeRecord { namespace: None, id })).collect())
}

fn floats(file: &BlobReader, plan: &Plan, run: Run) -> Result<Vec<f32>> {
    let count =
        run.rows.checked_mul(plan.dim as u64).ok_or_else(|| Error::limit("rows x dimension is out of range"))?;
    numbers(file, Span { at: run.codes_at, count }, f32::from_le_bytes)
}

/// The numbers of a span, which lies within the file.
fn numbers<const N: usize, T>(file: &BlobReader, span: Span, of: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let count = usize::try_from(span.count).map_err(|_| Error::limit("a list leaves the address space"))?;
    let (mut found, mut bytes) = (Vec::with_capacity(count), Vec::new());
    let per_read = (1usize << 20) / N;
    while found.len() < count {
        bytes.resize(N * per_read.min(count - found.len()), 0);
        file.read_exact_at(span.at + (N * found.len()) as u64, &mut bytes)?;
        found.extend(bytes.as_chunks::<N>().0.iter().map(|number| of(*number)));
    }
    Ok(found)
}

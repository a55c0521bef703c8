//! The graph of an index as it was saved: who links to whom on every level, with labels, deletions and vectors.
//!
//! Invariant: node n is record n, and the links are those of [`HnswLinks`], so that a search follows them unchecked. All
//! of it is held in memory, which is at most what the files have in bytes.
//!
//! Errors: damaged, naming file and record, for more links than there is room for, and for links that no search could
//! follow.
//!
//! Source: nmslib/hnswlib `hnswalg.h` (get_linklist0, get_linklist), chroma-core/hnswlib (persistDirty).

use std::ops::ControlFlow;

use tranship_collection::{Fault, HnswLinks, HnswLinksBuilder};
use tranship_connector::{Error, Result};
use tranship_storage::InputFile;

use crate::header::{HnswHeader, wrong};
use crate::links::UpperLinks;
use crate::vectors::{Record, VectorFile};

/// A graph with what stands at its nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredGraph {
    /// Who links to whom.
    pub links: HnswLinks,
    /// Labels by node.
    pub labels: Vec<u64>,
    /// Which nodes were deleted: they are passed through and never an answer.
    pub deleted: Vec<bool>,
    /// Vectors by node as the index compares them, row-major.
    pub values: Vec<f32>,
}

impl StoredGraph {
    /// Reads the records of `file` and the upper levels, which begin at byte `start` of `upper`.
    pub(crate) fn read(file: &VectorFile, upper: &InputFile, start: u64) -> Result<Self> {
        let header = file.header();
        // The header was checked against the length of the file.
        let nodes = file.len() as usize;
        let mut reading = Reading {
            file,
            upper: UpperLinks::new(upper, header, start),
            upper_path: upper.path(),
            links: HnswLinksBuilder::with_capacity(nodes, nodes.saturating_mul(header.max_m0 as usize)),
            labels: Vec::with_capacity(nodes),
            deleted: Vec::with_capacity(nodes),
            values: Vec::with_capacity(nodes * header.dim()),
        };
        let failure = file.scan(|record| match reading.take(header, &record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        let Reading { links, labels, deleted, values, .. } = reading;
        let links = links.finish(header.entry).map_err(|fault| contradiction(file, &fault))?;
        Ok(StoredGraph { links, labels, deleted, values })
    }
}

struct Reading<'a> {
    file: &'a VectorFile,
    upper: UpperLinks<'a>,
    upper_path: &'a std::path::Path,
    links: HnswLinksBuilder,
    labels: Vec<u64>,
    deleted: Vec<bool>,
    values: Vec<f32>,
}

impl Reading<'_> {
    fn take(&mut self, header: &HnswHeader, record: &Record<'_>) -> Result<()> {
        if u64::from(record.links) > header.max_m0 {
            return Err(overfull(self.file.path(), record.number, u64::from(record.links), header.max_m0));
        }
        self.links.node();
        self.links.list(record.neighbours());
        for (count, numbers) in self.upper.next_record(record.number)? {
            let Some(targets) = numbers.get(..count as usize) else {
                return Err(overfull(self.upper_path, record.number, count, header.max_m));
            };
            self.links.list(targets.iter().map(|bytes| u32::from_le_bytes(*bytes)));
        }
        self.labels.push(record.label);
        self.deleted.push(record.deleted);
        self.values.extend(record.values());
        Ok(())
    }
}

fn overfull(path: &std::path::Path, record: u64, links: u64, room: u64) -> Error {
    wrong(path, format_args!("inconsistent: record {record} has {links} links on a level with room for {room}"))
}

/// Links that each fit into the file, but not together.
fn contradiction(file: &VectorFile, fault: &Fault) -> Error {
    let reason = match fault {
        Fault::Layout { reason } => reason.clone(),
        other => other.to_string(),
    };
    wrong(file.path(), format_args!("inconsistent: {reason}"))
}

//! An HNSW graph as data: its nodes, and who links to whom on which level.
//!
//! [`HnswLinks`] is what every engine's graph comes down to, read from a dump or built here. [`ServedGraph`] is the graph that
//! a dump carries, with the vectors as its engine compares them and the records that its nodes stand for.
//!
//! Invariant of [`HnswLinks`]: links and the entry point are nodes, a node is linked only on levels that it reaches, and
//! none reaches higher than the entry point. So a search can follow links without a check.
//!
//! ```text
//! node n of level 2    lists firsts[n] (level 0), firsts[n] + 1, firsts[n] + 2
//! list i               targets[ends[i - 1] .. ends[i]]
//! ```
//!
//! Errors: [`Fault::Layout`] for links that break the invariant.

use crate::fault::Fault;
use crate::vector::Metric;

/// Links of an HNSW graph by node and level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HnswLinks {
    firsts: Vec<u32>,
    ends: Vec<u64>,
    targets: Vec<u32>,
    entry: u32,
}

/// Collects the links node by node.
#[derive(Debug, Clone, Default)]
pub struct HnswLinksBuilder {
    firsts: Vec<u32>,
    ends: Vec<u64>,
    targets: Vec<u32>,
}

impl HnswLinksBuilder {
    /// Room for so many nodes and links.
    pub fn with_capacity(nodes: usize, links: usize) -> Self {
        HnswLinksBuilder {
            firsts: Vec::with_capacity(nodes),
            ends: Vec::with_capacity(nodes + nodes / 8),
            targets: Vec::with_capacity(links),
        }
    }

    /// Begins the next node; its lists follow, level 0 first.
    pub fn node(&mut self) {
        self.firsts.push(self.ends.len() as u32);
    }

    /// The next list of the node begun last.
    pub fn list(&mut self, targets: impl IntoIterator<Item = u32>) {
        self.targets.extend(targets);
        self.ends.push(self.targets.len() as u64);
    }

    /// The graph, searched from `entry` on.
    ///
    /// # Errors
    /// A node without a list, a link or an entry point that is no node, a link on a level that its node does not
    /// reach, a node above the entry point, more than 2^32 - 1 lists.
    pub fn finish(self, entry: u32) -> Result<HnswLinks, Fault> {
        let links = HnswLinks { firsts: self.firsts, ends: self.ends, targets: self.targets, entry };
        links.check()?;
        Ok(links)
    }
}

impl HnswLinks {
    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.firsts.len()
    }

    /// The node that a search starts from; meaningless without nodes.
    pub fn entry(&self) -> u32 {
        self.entry
    }

    /// The highest level that a node reaches.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn level(&self, node: u32) -> usize {
        self.lists(node).len() - 1
    }

    /// The links of a node on a level that it reaches.
    ///
    /// # Panics
    /// If there is no such node, or the node does not reach the level.
    pub fn links(&self, node: u32, level: usize) -> &[u32] {
        let list = self.lists(node).start + level;
        let start = list.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.targets[start as usize..self.ends[list] as usize]
    }

    fn lists(&self, node: u32) -> std::ops::Range<usize> {
        let node = node as usize;
        let end = self.firsts.get(node + 1).map_or(self.ends.len(), |first| *first as usize);
        self.firsts[node] as usize..end
    }

    fn check(&self) -> Result<(), Fault> {
        let nodes = self.nodes();
        if u32::try_from(self.ends.len()).is_err() {
            return Err(layout(format!("{} lists of links", self.ends.len())));
        }
        if nodes == 0 {
            return Ok(());
        }
        if self.entry as usize >= nodes {
            return Err(layout(format!("entry point {} of {nodes} nodes", self.entry)));
        }
        if let Some(empty) = (0..nodes as u32).find(|node| self.lists(*node).is_empty()) {
            return Err(layout(format!("node {empty} is on no level")));
        }
        let top = self.level(self.entry);
        (0..nodes as u32).try_for_each(|node| self.check_node(node, top))
    }

    fn check_node(&self, node: u32, top: usize) -> Result<(), Fault> {
        let level = self.level(node);
        if level > top {
            return Err(layout(format!("node {node} reaches level {level}, the entry point only {top}")));
        }
        for level in 0..=level {
            for &target in self.links(node, level) {
                if target as usize >= self.nodes() {
                    return Err(layout(format!("node {node} links to {target} of {} nodes", self.nodes())));
                }
                if self.level(target) < level {
                    return Err(layout(format!(
                        "node {node} links to {target} on level {level}, which it does not reach"
                    )));
                }
            }
        }
        Ok(())
    }
}

fn layout(reason: String) -> Fault {
    Fault::Layout { reason: format!("graph: {reason}") }
}

/// The graph that a dump carries, as it served.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedGraph {
    /// Who links to whom.
    pub links: HnswLinks,
    /// The record of each node; none for a deleted one, which is passed through and never an answer.
    pub records: Vec<Option<NodeRecord>>,
    /// Vectors of all nodes as the engine compares them, row-major.
    pub values: Vec<f32>,
    /// Elements of a vector.
    pub dim: usize,
    /// What the engine orders by.
    pub metric: Metric,
    /// Links per node on the upper levels.
    pub m: u32,
    /// Candidates that were kept while building.
    pub ef_construction: u32,
    /// Candidates kept while searching, where the dump says so.
    pub ef_search: Option<u32>,
}

/// Which record a node stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its namespace, none for the default one.
    pub namespace: Option<String>,
    /// Its id.
    pub id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(nodes: &[&[&[u32]]], entry: u32) -> Result<HnswLinks, Fault> {
        let mut builder = HnswLinksBuilder::with_capacity(nodes.len(), 8);
        for lists in nodes {
            builder.node();
            lists.iter().for_each(|targets| builder.list(targets.iter().copied()));
        }
        builder.finish(entry)
    }

    #[test]
    fn links_come_back_by_node_and_level() {
        let links = built(&[&[&[1, 2]], &[&[0], &[2]], &[&[], &[1]]], 1).unwrap();
        assert_eq!((links.nodes(), links.entry()), (3, 1));
        assert_eq!((links.level(0), links.level(1)), (0, 1));
        assert_eq!((links.links(0, 0), links.links(1, 1), links.links(2, 0)), (&[1, 2][..], &[2][..], &[][..]));
    }

    #[test]
    fn links_that_a_search_could_not_follow_are_refused() {
        let refused = |nodes: &[&[&[u32]]], entry: u32| built(nodes, entry).unwrap_err().to_string();
        assert!(refused(&[&[&[]]], 1).contains("entry point 1 of 1 nodes"));
        assert!(refused(&[&[&[2]], &[&[]]], 0).contains("node 0 links to 2 of 2 nodes"));
        assert!(refused(&[&[&[], &[1]], &[&[]]], 0).contains("on level 1, which it does not reach"));
        assert!(refused(&[&[&[]], &[&[], &[]]], 0).contains("node 1 reaches level 1"));
        assert!(refused(&[&[]], 0).contains("node 0 is on no level"));
    }

    #[test]
    fn a_graph_without_nodes_is_a_graph() {
        assert_eq!(built(&[], 0).unwrap().nodes(), 0);
    }
}

//! Links by node and level, in arrays.
//!
//! ```text
//! level 0     list n                              node n
//! above       list first_upper[n] + level - 1     node n
//! a list      count, link, link, .., unused       1 + room words
//! ```
//!
//! Invariant: links are nodes that reach the level of the list, and no count is above the room of its list.

use tranship_collection::HnswLinks;

/// Links that a search follows.
pub(super) trait Links {
    /// The links of a node on a level that it reaches.
    fn of(&self, node: u32, level: usize) -> &[u32];
}

/// The links of a finished graph.
pub(super) enum Graph {
    /// Built here.
    Built(BuiltLinks),
    /// Read from a dump.
    Read(HnswLinks),
}

impl Graph {
    pub(super) fn nodes(&self) -> usize {
        match self {
            Graph::Built(links) => links.base.len(),
            Graph::Read(links) => links.nodes(),
        }
    }

    /// Where a search starts; none without nodes.
    pub(super) fn entry(&self) -> Option<u32> {
        match self {
            Graph::Built(links) => links.entry,
            Graph::Read(links) => (links.nodes() > 0).then(|| links.entry()),
        }
    }

    /// The highest level that a node reaches.
    pub(super) fn level(&self, node: u32) -> usize {
        match self {
            Graph::Built(links) => links.level(node),
            Graph::Read(links) => links.level(node),
        }
    }
}

impl Links for Graph {
    #[inline]
    fn of(&self, node: u32, level: usize) -> &[u32] {
        match self {
            Graph::Built(links) => links.of(node, level),
            Graph::Read(links) => links.links(node, level),
        }
    }
}

/// The links of a graph that was built here.
pub(super) struct BuiltLinks {
    pub(super) base: Lists,
    pub(super) upper: Lists,
    first_upper: Vec<u32>,
    pub(super) entry: Option<u32>,
}

impl BuiltLinks {
    /// Empty lists for nodes that reach these levels, with room for `m` links, twice as many on level 0.
    pub(super) fn new(levels: &[u8], m: usize) -> Self {
        let mut first_upper = Vec::with_capacity(levels.len() + 1);
        let mut lists = 0;
        for &level in levels {
            first_upper.push(lists);
            lists += u32::from(level);
        }
        first_upper.push(lists);
        let (base, upper) = (Lists::new(levels.len(), 2 * m), Lists::new(lists as usize, m));
        BuiltLinks { base, upper, first_upper, entry: None }
    }

    pub(super) fn level(&self, node: u32) -> usize {
        (self.first_upper[node as usize + 1] - self.first_upper[node as usize]) as usize
    }

    /// The number of a node's list, of those of level 0 or of those above.
    #[inline]
    pub(super) fn list(&self, node: u32, level: usize) -> usize {
        if level == 0 { node as usize } else { self.first_upper[node as usize] as usize + level - 1 }
    }
}

impl Links for BuiltLinks {
    #[inline]
    fn of(&self, node: u32, level: usize) -> &[u32] {
        let list = self.list(node, level);
        if level == 0 { self.base.links(list) } else { self.upper.links(list) }
    }
}

/// Lists with equal room.
pub(super) struct Lists {
    pub(super) words: Vec<u32>,
    pub(super) room: usize,
}

impl Lists {
    fn new(lists: usize, room: usize) -> Self {
        Lists { words: vec![0; lists * (room + 1)], room }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len() / (self.room + 1)
    }

    #[inline(always)]
    fn links(&self, list: usize) -> &[u32] {
        let words = &self.words[list * (self.room + 1)..][..self.room + 1];
        &words[1..=words[0] as usize]
    }
}

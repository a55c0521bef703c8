//! The nodes, one after another: their keys, and the proof that they end with the file.
//!
//! Invariant: a walk holds two windows of the file and nothing per node. Errors: damaged, naming file, node and byte.

use tranship_connector::Result;
use tranship_storage::InputFile;

use crate::header::{Layout, NODE_HEAD_BYTES, damaged};

/// Bytes read at once.
const WINDOW_BYTES: u64 = 512 << 10;

/// The key of a node that was removed.
pub const REMOVED: u64 = u64::MAX;

/// Walks the nodes in order.
pub struct Nodes<'a> {
    file: &'a InputFile,
    layout: &'a Layout,
    levels: Window,
    nodes: Window,
    next: u64,
    position: u64,
}

impl<'a> Nodes<'a> {
    /// From node `first` on, which begins at byte `position`.
    pub fn from(file: &'a InputFile, layout: &'a Layout, first: u64, position: u64) -> Self {
        Nodes { file, layout, levels: Window::default(), nodes: Window::default(), next: first, position }
    }

    /// Number and position of the node that comes next.
    pub fn place(&self) -> (u64, u64) {
        (self.next, self.position)
    }

    /// The key of the next node.
    pub fn next_key(&mut self) -> Result<u64> {
        let level: [u8; 2] = self.levels.take(self.file, self.layout.levels + 2 * self.next, self.layout.nodes)?;
        let head: [u8; NODE_HEAD_BYTES as usize] = self.nodes.take(self.file, self.position, self.file.len())?;
        let [key @ .., low, high] = head;
        let level = i16::from_le_bytes(level);
        let wrong = |what: String| damaged(self.file.path(), what).with("node", self.next).with("byte", self.position);
        let above = u64::try_from(level).ok().filter(|level| *level <= self.layout.max_level);
        let Some(above) = above.filter(|_| i16::from_le_bytes([low, high]) == level) else {
            let own = i16::from_le_bytes([low, high]);
            return Err(wrong(format!("the node is on level {own}, the list of levels says {level}")));
        };
        let end = self.position + self.layout.node_bytes + above * self.layout.level_bytes;
        if end > self.file.len() {
            return Err(wrong(format!("the node ends at {end}, the file at {}", self.file.len())));
        }
        self.next += 1;
        self.position = end;
        Ok(u64::from_le_bytes(key))
    }
}

/// The part of the file that was read last.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// `N` bytes at `position`; reads ahead, but not beyond `end`.
    fn take<const N: usize>(&mut self, file: &InputFile, position: u64, end: u64) -> Result<[u8; N]> {
        if let Some(found) = self.held(position) {
            return Ok(found);
        }
        let wanted = end.saturating_sub(position).clamp(N as u64, WINDOW_BYTES.max(N as u64));
        self.start = position;
        self.bytes.resize(wanted as usize, 0);
        file.read_exact_at(position, &mut self.bytes)?;
        self.held(position).ok_or_else(|| damaged(file.path(), "it ends within a node").with("byte", position))
    }

    fn held<const N: usize>(&self, position: u64) -> Option<[u8; N]> {
        let offset = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(offset..)?.first_chunk().copied()
    }
}

//! The decoded blocks that were used last, up to a number of bytes.
//!
//! Invariant: the blocks held never take more than the budget, except for the one put in last. A block is shared with
//! those who read it, so that dropping it here never takes it away from them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::block::Block;
use crate::index::Index;

/// A block of a table: table number and offset.
pub type Place = (u64, u64);

/// Something decoded.
#[derive(Debug, Clone)]
pub enum Cached {
    Rows(Arc<Block>),
    Index(Arc<Index>),
}

/// The blocks.
#[derive(Debug)]
pub struct Cache {
    budget: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    blocks: HashMap<Place, (Cached, u64)>,
    by_use: BTreeMap<u64, Place>,
    clock: u64,
    bytes: usize,
}

impl Cache {
    pub fn new(budget: usize) -> Self {
        Cache { budget, held: Mutex::default() }
    }

    pub fn get(&self, place: Place) -> Option<Cached> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clock += 1;
        let now = held.clock;
        let (cached, used) = held.blocks.get_mut(&place)?;
        let (cached, before) = (cached.clone(), std::mem::replace(used, now));
        held.by_use.remove(&before);
        held.by_use.insert(now, place);
        Some(cached)
    }

    /// Drops all blocks.
    pub fn clear(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Held::default();
    }

    pub fn put(&self, place: Place, cached: Cached) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clock += 1;
        let now = held.clock;
        held.bytes += cached.bytes();
        if let Some((old, used)) = held.blocks.insert(place, (cached, now)) {
            held.bytes -= old.bytes();
            held.by_use.remove(&used);
        }
        held.by_use.insert(now, place);
        while held.bytes > self.budget && held.blocks.len() > 1 {
            let Some((_, oldest)) = held.by_use.pop_first() else { break };
            if let Some((dropped, _)) = held.blocks.remove(&oldest) {
                held.bytes -= dropped.bytes();
            }
        }
    }
}

impl Cached {
    fn bytes(&self) -> usize {
        match self {
            Cached::Rows(block) => block.bytes(),
            Cached::Index(index) => index.bytes(),
        }
    }
}

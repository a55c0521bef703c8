//! Payloads in a Gridstore: the text of one JSON object each.

use tranship_connector::Result;
use tranship_storage::{Limits, Tree};

use super::cells::Cells;
use super::gridstore::{Gridstore, Stored};
use super::stores::Store;

/// The payloads of a segment.
pub struct Payloads(Gridstore);

impl Payloads {
    /// Opens `payload_storage`; `None` if it is empty.
    pub fn open(tree: &Tree, limits: &Limits) -> Result<Option<Self>> {
        Ok(Gridstore::open(tree, limits)?.map(Payloads))
    }
}

impl Store for Payloads {
    fn fetch(&self, rows: &[u32], cells: &mut Cells) -> Result<()> {
        self.0.fetch(rows, &mut |stored| {
            match stored {
                Stored::Value(text) => cells.push(text),
                Stored::None => cells.push_absent(),
                Stored::Faulty(why) => cells.push_faulty(why),
            }
            !cells.is_full()
        })
    }
}

//! The labels of rows: their ids in the lists, or their numbers, sent through the id maps.
//!
//! Labels that follow each other, which is what a flat index has, are looked up in one read. Those of inverted lists
//! lie anywhere in the map: they are looked up in ascending order through a window of 4 KiB, so that neither the map
//! nor an index of it is held in memory.

use tranship_connector::Result;
use tranship_storage::BlobReader;

use super::cursor::Span;
use super::plan::{Plan, Run};
use super::reader::stray_label;

/// Ids in a window of an id map.
const WINDOW_IDS: u64 = 512;

/// The labels of a run of rows.
#[derive(Default)]
pub struct Labels {
    labels: Vec<i64>,
    bytes: Vec<u8>,
    /// Positions in `labels`, by label.
    order: Vec<u32>,
}

impl Labels {
    /// Reads the labels of `run`.
    pub fn read(&mut self, file: &BlobReader, plan: &Plan, run: &Run) -> Result<()> {
        match run.ids_at {
            None => {
                self.labels.clear();
                self.labels.extend((run.first..run.first + run.rows).map(|row| row as i64));
            }
            Some(at) => self.read_ids(file, at, run.rows)?,
        }
        plan.id_maps.iter().try_for_each(|map| self.look_up(file, *map))
    }

    /// The label at a position.
    pub fn get(&self, position: usize) -> i64 {
        self.labels.get(position).copied().unwrap_or(-1)
    }

    fn read_ids(&mut self, file: &BlobReader, at: u64, count: u64) -> Result<()> {
        self.bytes.resize(8 * count as usize, 0);
        file.read_exact_at(at, &mut self.bytes)?;
        self.labels.clear();
        self.labels.extend(self.bytes.as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id)));
        Ok(())
    }

    /// Puts the ids of `map` in the place of the labels.
    fn look_up(&mut self, file: &BlobReader, map: Span) -> Result<()> {
        let inside = |label: i64| u64::try_from(label).ok().filter(|label| *label < map.count);
        if let Some(stray) = self.labels.iter().find(|label| inside(**label).is_none()) {
            return Err(stray_label(file, map.at, *stray, map.count));
        }
        let Some(first) = self.labels.first().copied().and_then(inside) else { return Ok(()) };
        if self.labels.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            return self.read_ids(file, map.at + 8 * first, self.labels.len() as u64);
        }
        self.order.clear();
        self.order.extend(0..self.labels.len() as u32);
        self.order.sort_unstable_by_key(|position| self.labels.get(*position as usize));
        let (mut window, mut ids) = (0..0, Vec::new());
        for position in &self.order {
            let Some(label) = self.labels.get_mut(*position as usize) else { continue };
            let wanted = label.unsigned_abs();
            if !window.contains(&wanted) {
                window = wanted..(wanted + WINDOW_IDS).min(map.count);
                ids.resize(8 * (window.end - window.start) as usize, 0);
                file.read_exact_at(map.at + 8 * window.start, &mut ids)?;
            }
            let chunk = ids.as_chunks::<8>().0.get((wanted - window.start) as usize);
            *label = chunk.map_or(-1, |id| i64::from_le_bytes(*id));
        }
        Ok(())
    }
}

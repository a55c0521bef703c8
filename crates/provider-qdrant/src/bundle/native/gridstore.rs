//! Writes a Gridstore: values of any size by row, in the order of the rows.
//!
//! ```text
//! config.json    sizes of pages, blocks and regions, the compression
//! tracker.dat    u32 rows, then 16 B per row: u32 tag (0 none), u32 page, u32 block, u32 bytes
//! page_<n>.dat   values from block to block; one that passes the end of a page goes on in the next
//! bitmask.dat    a bit per block, set where it is used
//! gaps.dat       6 B per region of 8,192 blocks: longest, leading and trailing run of free blocks, u16 each
//! ```
//!
//! Values stand without gaps, so the used blocks of the store are its first ones, and bitmask and gaps follow from their
//! number. Sizes are the engine's own. Errors: limit for a value of 4 GiB.

use serde_json::json;
use tranship_connector::{Error, Result};

use super::pieces::{Member, MemberRecipe, PieceFile};

const PAGE_BYTES: u64 = 32 << 20;
const BLOCK_BYTES: u64 = 128;
const REGION_BLOCKS: u64 = 8192;
const PAGE_BLOCKS: u64 = PAGE_BYTES / BLOCK_BYTES;
/// Least size of a tracker.
const TRACKER_BYTES: u64 = 1 << 20;

/// How values are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Each value as an LZ4 block with its size before it.
    Lz4,
    /// As they are.
    None,
}

/// A store under construction.
pub struct GridstoreWriter {
    directory: String,
    compression: Compression,
    tracker: Member,
    /// Rows up to the last one that has a value.
    rows: u64,
    seen: u64,
    page: Member,
    pages: Vec<MemberRecipe>,
    blocks: u64,
}

impl GridstoreWriter {
    /// A store in `directory` of a segment.
    pub fn new(directory: String, compression: Compression) -> Self {
        let (tracker, page, pages) = (Member::default(), Member::default(), Vec::new());
        GridstoreWriter { directory, compression, tracker, rows: 0, seen: 0, page, pages, blocks: 0 }
    }

    /// The value of the next row.
    pub fn push(&mut self, value: Option<&[u8]>, out: &mut PieceFile) -> Result<()> {
        self.seen += 1;
        let Some(value) = value else { return self.tracker.push(&[0; 16], out) };
        self.rows = self.seen;
        match self.compression {
            Compression::None => self.store(value, out),
            Compression::Lz4 => self.store(&lz4_flex::block::compress_prepend_size(value), out),
        }
    }

    fn store(&mut self, value: &[u8], out: &mut PieceFile) -> Result<()> {
        let too_large = |_| Error::limit("a payload or sparse vector of 4 GiB").hint("set the record aside");
        let bytes = u32::try_from(value.len()).map_err(too_large)?;
        let (page, block) = ((self.blocks / PAGE_BLOCKS) as u32, (self.blocks % PAGE_BLOCKS) as u32);
        let mut slot = [0; 16];
        for (word, number) in slot.as_chunks_mut::<4>().0.iter_mut().zip([1, page, block, bytes]) {
            *word = number.to_le_bytes();
        }
        self.tracker.push(&slot, out)?;
        let blocks = u64::from(bytes).div_ceil(BLOCK_BYTES);
        self.append(value, out)?;
        let padding = blocks * BLOCK_BYTES - u64::from(bytes);
        self.append(&[0; BLOCK_BYTES as usize][..padding as usize], out)?;
        self.blocks += blocks;
        Ok(())
    }

    /// Appends to the pages; a full one is completed.
    fn append(&mut self, mut bytes: &[u8], out: &mut PieceFile) -> Result<()> {
        while !bytes.is_empty() {
            let room = (PAGE_BYTES - self.page.bytes()) as usize;
            let (now, rest) = bytes.split_at(bytes.len().min(room));
            self.page.push(now, out)?;
            bytes = rest;
            if self.page.bytes() == PAGE_BYTES {
                self.end_page(out)?;
            }
        }
        Ok(())
    }

    fn end_page(&mut self, out: &mut PieceFile) -> Result<()> {
        let name = format!("{}/page_{}.dat", self.directory, self.pages.len());
        self.pages.push(std::mem::take(&mut self.page).finish(name, PAGE_BYTES, out)?);
        Ok(())
    }

    /// Completes the store.
    pub fn finish(mut self, out: &mut PieceFile) -> Result<Vec<MemberRecipe>> {
        if self.page.bytes() > 0 || self.pages.is_empty() {
            self.end_page(out)?;
        }
        let pages = self.pages.len() as u64;
        let directory = std::mem::take(&mut self.directory);
        let name = |file: &str| format!("{directory}/{file}");
        let compression = if self.compression == Compression::Lz4 { "LZ4" } else { "None" };
        let config = json!({
            "page_size_bytes": PAGE_BYTES, "block_size_bytes": BLOCK_BYTES, "region_size_blocks": REGION_BLOCKS,
            "compression": compression,
        });
        let mut members = vec![
            Member::of(name("config.json"), config.to_string().as_bytes(), out)?,
            self.tracker_file(name("tracker.dat"), out)?,
        ];
        members.push(Member::of(name("gaps.dat"), &gaps(self.blocks, pages), out)?);
        let mut bitmask = Member::default();
        bitmask.push(&ones(self.blocks), out)?;
        members.push(bitmask.finish(name("bitmask.dat"), pages * PAGE_BLOCKS / 8, out)?);
        members.append(&mut self.pages);
        Ok(members)
    }

    /// The slots, with the number of rows before them.
    fn tracker_file(&mut self, name: String, out: &mut PieceFile) -> Result<MemberRecipe> {
        let size = (4 + 16 * self.seen).next_power_of_two().max(TRACKER_BYTES);
        let mut header = Member::default();
        header.push(&(self.rows as u32).to_le_bytes(), out)?;
        let header = header.finish(String::new(), 4, out)?;
        let mut file = std::mem::take(&mut self.tracker).finish(name, size, out)?;
        file.pieces.splice(0..0, header.pieces);
        Ok(file)
    }
}

/// The first `count` bits set.
fn ones(count: u64) -> Vec<u8> {
    let mut bits = vec![0xff; (count / 8) as usize];
    if !count.is_multiple_of(8) {
        bits.push((1u8 << (count % 8)) - 1);
    }
    bits
}

/// The free runs of every region of a store whose first `used` blocks are in use.
fn gaps(used: u64, pages: u64) -> Vec<u8> {
    let mut gaps = Vec::new();
    for region in 0..pages * PAGE_BLOCKS / REGION_BLOCKS {
        let used = used.saturating_sub(region * REGION_BLOCKS).min(REGION_BLOCKS);
        let free = (REGION_BLOCKS - used) as u16;
        let leading = if used == 0 { free } else { 0 };
        [free, leading, free].iter().for_each(|run| gaps.extend_from_slice(&run.to_le_bytes()));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_runs_and_used_bits_follow_from_the_number_of_used_blocks() {
        assert_eq!(ones(11), [0xff, 0b111]);
        assert_eq!(ones(16), [0xff, 0xff]);
        let gaps = gaps(REGION_BLOCKS + 100, 1);
        let numbers: Vec<u16> = gaps.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        assert_eq!(numbers.len(), 96);
        assert_eq!(numbers[..9], [0, 0, 0, 8092, 0, 8092, 8192, 8192, 8192]);
    }
}

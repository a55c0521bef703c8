//! The links of the upper levels: not read, but followed, since they are what proves that a file is an `index.bin`.
//!
//! ```text
//! behind the records, for each record in order: u32 bytes | links, `level_bytes` for each level of the node above 0
//! ```
//!
//! Errors: damaged, naming file, record and byte.

use tranship_connector::{Error, Result};
use tranship_storage::InputFile;

use crate::header::{HnswHeader, wrong};

/// Bytes read at once.
const WINDOW_BYTES: u64 = 256 << 10;

/// Follows the links of the first `at_most` records from byte `start` on; those of all must end with the file.
pub(crate) fn walk(file: &InputFile, header: &HnswHeader, start: u64, at_most: u64) -> Result<()> {
    let most_bytes = header.level_bytes() * u64::try_from(header.max_level).unwrap_or(0);
    let mut window = Window { file, start: 0, bytes: Vec::new() };
    let mut position = start;
    for record in 0..header.cur_count.min(at_most) {
        let place = |error: Error| error.with("record", record).with("byte", position);
        let bytes = window.u32_at(position).map_err(place)?.map(u64::from);
        let end = bytes.and_then(|bytes| (position + 4).checked_add(bytes)).filter(|end| *end <= file.len());
        let (Some(bytes), Some(end)) = (bytes, end) else {
            return Err(place(wrong(file.path(), "cut off: it ends within the links of the upper levels")));
        };
        if bytes % header.level_bytes() != 0 || bytes > most_bytes {
            let whole = header.level_bytes();
            return Err(place(wrong(
                file.path(),
                format_args!(
                    "inconsistent: {bytes} bytes of links, not {whole} for each of up to {} levels",
                    header.max_level
                ),
            )));
        }
        position = end;
    }
    // As many bytes as there are records left is the least that must follow.
    let left = header.cur_count.saturating_sub(at_most);
    let fits = if left == 0 { position == file.len() } else { file.len() - position >= 4 * left };
    if fits {
        return Ok(());
    }
    let bytes = file.len() - position;
    Err(wrong(
        file.path(),
        format_args!(
            "not as long as its header says: {bytes} bytes follow byte {position}, links of {left} records should"
        ),
    ))
}

/// The part of the file that was read last.
struct Window<'a> {
    file: &'a InputFile,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The number at `position`; `None` if the file ends before.
    fn u32_at(&mut self, position: u64) -> Result<Option<u32>> {
        if let Some(found) = self.held(position) {
            return Ok(Some(found));
        }
        self.start = position;
        self.bytes.resize(WINDOW_BYTES as usize, 0);
        let count = self.file.read_at(position, &mut self.bytes)?;
        self.bytes.truncate(count);
        Ok(self.held(position))
    }

    fn held(&self, position: u64) -> Option<u32> {
        let offset = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }
}

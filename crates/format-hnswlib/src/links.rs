//! The links of the upper levels: followed, since they are what proves that a file is an `index.bin`, and read.
//!
//! ```text
//! behind the records, for each record in order: u32 bytes | links, `level_bytes` for each level of the node above 0
//! links of one level: u16 number | u16 unused | u32 records[maxM]
//! ```
//!
//! Errors: damaged, naming file, record and byte.

use tranship_connector::{Error, Result};
use tranship_storage::InputFile;

use crate::header::{HnswHeader, wrong};

/// Bytes read at once.
const WINDOW_BYTES: u64 = 256 << 10;

/// The links of the upper levels, record by record.
pub(crate) struct UpperLinks<'a> {
    file: &'a InputFile,
    header: &'a HnswHeader,
    window: Window<'a>,
    position: u64,
    bytes: Vec<u8>,
}

impl<'a> UpperLinks<'a> {
    /// From byte `start` of `file` on.
    pub(crate) fn new(file: &'a InputFile, header: &'a HnswHeader, start: u64) -> Self {
        UpperLinks { file, header, window: Window::new(file), position: start, bytes: Vec::new() }
    }

    /// The levels above 0 of the next record, each its number of links and the records.
    pub(crate) fn next_record(&mut self, record: u64) -> Result<impl Iterator<Item = (u64, &[[u8; 4]])>> {
        let place = |error: Error| error.with("record", record).with("byte", self.position);
        let bytes = bytes_of(self.file, self.header, &mut self.window, self.position).map_err(place)?;
        self.bytes.resize(bytes as usize, 0);
        if bytes > 0 {
            self.file.read_exact_at(self.position + 4, &mut self.bytes)?;
        }
        self.position += 4 + bytes;
        let levels = self.bytes.chunks_exact(self.header.level_bytes() as usize);
        Ok(levels.map(|level| {
            let (numbers, _) = level.as_chunks::<4>();
            // A level has its head and its links, so there is a first number.
            (u64::from(u16::from_le_bytes([numbers[0][0], numbers[0][1]])), &numbers[1..])
        }))
    }
}

/// Bytes of the upper links at `position`: a whole number of levels that lie within the file.
fn bytes_of(file: &InputFile, header: &HnswHeader, window: &mut Window<'_>, position: u64) -> Result<u64> {
    let most_bytes = header.level_bytes() * u64::try_from(header.max_level).unwrap_or(0);
    let bytes = window.u32_at(position)?.map(u64::from);
    let within = |bytes: &u64| (position + 4).checked_add(*bytes).is_some_and(|end| end <= file.len());
    let Some(bytes) = bytes.filter(within) else {
        return Err(wrong(file.path(), "cut off: it ends within the links of the upper levels"));
    };
    if bytes % header.level_bytes() != 0 || bytes > most_bytes {
        let whole = header.level_bytes();
        return Err(wrong(
            file.path(),
            format_args!(
                "inconsistent: {bytes} bytes of links, not {whole} for each of up to {} levels",
                header.max_level
            ),
        ));
    }
    Ok(bytes)
}

/// Follows the links of the first `at_most` records from byte `start` on; those of all must end with the file.
pub(crate) fn walk(file: &InputFile, header: &HnswHeader, start: u64, at_most: u64) -> Result<()> {
    let mut window = Window::new(file);
    let mut position = start;
    for record in 0..header.cur_count.min(at_most) {
        let place = |error: Error| error.with("record", record).with("byte", position);
        position += 4 + bytes_of(file, header, &mut window, position).map_err(place)?;
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

impl<'a> Window<'a> {
    fn new(file: &'a InputFile) -> Self {
        Window { file, start: 0, bytes: Vec::new() }
    }

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

//! The last 53 bytes of a table.
//!
//! ```text
//! formats 1 to 5: u8 checksum type | varint metaindex offset, size | varint index offset, size | zeros up to 41
//! format 6:       u8 checksum type | 3e 00 7a 00 | u32 checksum of the footer | u32 context checksum
//!                 | u32 size of the metaindex, which ends 5 bytes before the footer | 24 zeros
//! all:            .. 41: u32 format | u64 magic 0x88e241b785f4cff7
//! ```

use tranship_connector::Result;
use tranship_storage::BlobReader;

use crate::checksum::{Checksum, context_modifier};
use crate::coding::Bytes;
use crate::{damaged, refused};

/// Type byte and checksum after every block.
pub const TRAILER_BYTES: u64 = 5;
const FOOTER_BYTES: usize = 53;
const MAGIC: u64 = 0x88e2_41b7_85f4_cff7;
const MAGIC_OF_FORMAT_0: u64 = 0xdb47_7524_8b80_fb57;
const MAGIC_OF_PLAIN_TABLES: u64 = 0x8242_2296_63e6_5f00;
const EXTENDED_MAGIC: [u8; 4] = [0x3e, 0x00, 0x7a, 0x00];

/// Where a block lies, without its trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    pub offset: u64,
    pub size: u64,
}

/// What the footer says.
#[derive(Debug, Clone, Copy)]
pub struct Footer {
    pub checksum: Checksum,
    /// Makes the checksums of this table its own; 0 below format 6.
    pub context: u32,
    pub metaindex: Handle,
    /// `None` from format 6 on: the metaindex knows.
    pub index: Option<Handle>,
}

impl Footer {
    /// Reads and checks the footer.
    pub fn read(file: &BlobReader) -> Result<Self> {
        let label = file.label();
        let start = file.len().checked_sub(FOOTER_BYTES as u64);
        let Some(start) = start else { return Err(damaged(label, file.len(), "too short for a table")) };
        let mut bytes = [0; FOOTER_BYTES];
        file.read_exact_at(start, &mut bytes)?;
        let mut tail = Bytes::new(bytes.get(41..).unwrap_or_default());
        let (format, magic) = (tail.u32().unwrap_or_default(), tail.u64().unwrap_or_default());
        match magic {
            MAGIC => {}
            MAGIC_OF_FORMAT_0 => return Err(refused(label, "a table of format 0")),
            MAGIC_OF_PLAIN_TABLES => return Err(refused(label, "a plain table")),
            _ => return Err(damaged(label, start + 45, format_args!("a table ends with {magic:#x}, not {MAGIC:#x}"))),
        }
        let code = bytes[0];
        let checksum = Checksum::of_code(code)
            .ok_or_else(|| refused(label, format_args!("blocks with a checksum of type {code}")))?;
        let footer = match format {
            2..=5 => Footer::with_handles(&bytes, checksum),
            6 => Footer::with_context(bytes, checksum, start),
            _ => return Err(refused(label, format_args!("a table of format {format}"))),
        };
        footer.ok_or_else(|| damaged(label, start, "the footer of a table contradicts itself"))
    }

    fn with_handles(bytes: &[u8; FOOTER_BYTES], checksum: Checksum) -> Option<Self> {
        let mut fields = Bytes::new(bytes.get(1..41)?);
        let metaindex = Handle { offset: fields.varint64()?, size: fields.varint64()? };
        let index = Handle { offset: fields.varint64()?, size: fields.varint64()? };
        Some(Footer { checksum, context: 0, metaindex, index: Some(index) })
    }

    fn with_context(mut bytes: [u8; FOOTER_BYTES], checksum: Checksum, start: u64) -> Option<Self> {
        let mut fields = Bytes::new(bytes.get(1..41)?);
        let extended = fields.array::<4>()?;
        let (stored, context, size) = (fields.u32()?, fields.u32()?, u64::from(fields.u32()?));
        bytes.get_mut(5..9)?.fill(0);
        let computed = checksum.of(&bytes).wrapping_add(context_modifier(context, start));
        if extended != EXTENDED_MAGIC || (checksum != Checksum::None && computed != stored) {
            return None;
        }
        let offset = start.checked_sub(TRAILER_BYTES)?.checked_sub(size)?;
        Some(Footer { checksum, context, metaindex: Handle { offset, size }, index: None })
    }
}

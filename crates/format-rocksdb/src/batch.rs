//! Write batches: what one record of a write-ahead log holds.
//!
//! ```text
//! u64 sequence number of the first change | u32 number of changes | changes:
//!   u8 type | [varint column family] | sized key | [sized value]
//!   0 delete, 1 put, 7 single delete, in family 0;  4 delete, 5 put, 8 single delete, with a family
//!   3 log data (sized, no change)   13 nothing
//! ```
//! Changes take sequence numbers in turn.

use tranship_connector::Result;

use crate::coding::Bytes;
use crate::{damaged, refused};

/// One change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    pub family: u32,
    pub sequence: u64,
    pub key: &'a [u8],
    /// `None` deletes the key.
    pub value: Option<&'a [u8]>,
}

/// Hands every change of `record`, which stands at `place` of the file `label`, to `each`.
pub fn read(record: &[u8], label: &str, place: u64, mut each: impl FnMut(Change<'_>) -> Result<()>) -> Result<()> {
    let wrong = |what: &str| damaged(label, place, format_args!("a write batch {what}"));
    let mut bytes = Bytes::new(record);
    let (Some(mut sequence), Some(count)) = (bytes.u64(), bytes.u32()) else { return Err(wrong("ends early")) };
    let mut found = 0;
    while let Some(kind) = bytes.u8() {
        if let Some(what) = unsupported(kind) {
            return Err(refused(label, what));
        }
        match kind {
            3 => drop(bytes.sized().ok_or_else(|| wrong("ends early"))?),
            13 => {}
            0 | 1 | 4 | 5 | 7 | 8 => {
                let family = if matches!(kind, 4 | 5 | 8) { bytes.varint32() } else { Some(0) };
                let key = bytes.sized();
                let value = if matches!(kind, 1 | 5) { bytes.sized().map(Some) } else { Some(None) };
                let (Some(family), Some(key), Some(value)) = (family, key, value) else {
                    return Err(wrong("ends early"));
                };
                each(Change { family, sequence, key, value })?;
                sequence = sequence.saturating_add(1);
                found += 1;
            }
            _ => return Err(wrong(&format!("holds a change of the unknown type {kind}"))),
        }
    }
    if found != count {
        return Err(wrong(&format!("holds {found} changes and says {count}")));
    }
    Ok(())
}

/// What RocksDB calls the types of keys that are known and not read, in batches and in tables.
pub fn unsupported(kind: u8) -> Option<&'static str> {
    Some(match kind {
        2 | 6 => "a merge operand",
        9..=12 | 18 | 19 | 21 => "a transaction",
        14 | 15 => "a delete of a range of keys",
        16 | 17 => "a value in a blob file",
        20 => "a delete with a timestamp",
        22 | 23 => "a wide-column entity",
        24 | 25 => "a value with a preferred sequence number",
        _ => return None,
    })
}

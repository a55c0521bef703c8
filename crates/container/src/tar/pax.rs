//! PAX records: `<length> <key>=<value>\n`, the length in decimal and counting the whole record.

use super::sparse::{MAX_PIECES, Map};

/// The records of one extended header, in order.
#[derive(Default)]
pub struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Splits the data of an extended header.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, String> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (record, rest) = split(bytes).ok_or("PAX records that do not add up")?;
            records.push(record);
            bytes = rest;
        }
        Ok(Records(records))
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if something here is about one member and not about the whole tar.
    pub fn describes_members(&self) -> bool {
        self.0.iter().any(|(key, _)| matches!(key.as_slice(), b"path" | b"size") || key.starts_with(b"GNU.sparse."))
    }

    /// The name of the member.
    pub fn name(&self) -> Option<&[u8]> {
        self.get("GNU.sparse.name").or_else(|| self.get("path"))
    }

    /// Bytes of the member in the tar.
    pub fn size(&self) -> Result<Option<u64>, String> {
        self.number("size")
    }

    /// The map of a sparse member; of format 1.0 it stands in the data.
    pub fn sparse_map(&self) -> Result<Option<Map>, String> {
        match (self.number("GNU.sparse.major")?, self.number("GNU.sparse.minor")?) {
            (Some(1), Some(0)) => {
                let len = self.number("GNU.sparse.realsize")?.ok_or("a sparse member without its real size")?;
                return Ok(Some(Map { len, pieces: Vec::new(), map_in_data: true }));
            }
            (None, None) | (Some(0), Some(0 | 1)) => {}
            (major, minor) => return Err(format!("sparse format {major:?}.{minor:?} is unknown")),
        }
        let Some(len) = self.number("GNU.sparse.size")? else {
            return match self.0.iter().any(|(key, _)| key.starts_with(b"GNU.sparse.")) {
                true => Err("a sparse member without its size".to_owned()),
                false => Ok(None),
            };
        };
        let pieces = match self.get("GNU.sparse.map") {
            Some(map) => pairs(map.split(|byte| *byte == b',').filter(|number| !number.is_empty()))?,
            None => pairs(self.offsets_and_sizes().into_iter())?,
        };
        match self.number("GNU.sparse.numblocks")? {
            Some(stated) if stated != pieces.len() as u64 => {
                Err(format!("its sparse map has {} pieces, {stated} are stated", pieces.len()))
            }
            _ => Ok(Some(Map { len, pieces, map_in_data: false })),
        }
    }

    /// The values of format 0.0, which repeats its keys.
    fn offsets_and_sizes(&self) -> Vec<&[u8]> {
        let wanted = |key: &[u8]| matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
        self.0.iter().filter(|(key, _)| wanted(key)).map(|(_, value)| value.as_slice()).collect()
    }

    /// The last value of a key.
    fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(k, _)| k == key.as_bytes()).map(|(_, value)| value.as_slice())
    }

    fn number(&self, key: &str) -> Result<Option<u64>, String> {
        self.get(key).map(|value| decimal(value).ok_or_else(|| format!("PAX `{key}` is no number"))).transpose()
    }
}

fn split(bytes: &[u8]) -> Option<((Vec<u8>, Vec<u8>), &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(bytes.get(..space)?)?).ok()?;
    let record = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some(((record[..equals].to_vec(), record[equals + 1..].to_vec()), bytes.get(len..)?))
}

fn pairs<'a>(mut numbers: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(u64, u64)>, String> {
    let bad = || "a sparse map that is no list of numbers".to_owned();
    let mut pieces = Vec::new();
    while let Some(offset) = numbers.next() {
        let size = numbers.next().ok_or_else(bad)?;
        pieces.push((decimal(offset).ok_or_else(bad)?, decimal(size).ok_or_else(bad)?));
        if pieces.len() > MAX_PIECES {
            return Err(format!("more than {MAX_PIECES} pieces"));
        }
    }
    Ok(pieces)
}

/// A number of decimal digits and nothing else.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

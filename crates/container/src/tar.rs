//! tar files as trees of blobs that are read in place: nothing is unpacked.
//!
//! ```text
//! header 512 B | extension headers of a GNU sparse member | data, padded to 512 B | next header ..
//! .. two blocks of zeros
//! ```
//!
//! Read: ustar, GNU (long names `L` and `K`, sparse members `S`, base-256 numbers) and PAX (`path`, `size`, sparse
//! formats 0.0, 0.1 and 1.0); regular files and directories, also in the old spelling of V7. Offsets are bytes from
//! the start of the tar.
//!
//! Invariant: the tree holds exactly the regular members, a leading `./` taken off; every header's checksum is right,
//! every member lies within the tar, and the end mark is there. Work and memory are bounded by the headers that are
//! really there: nothing is allocated from a claimed size.
//!
//! Errors (damaged, with file, entry and byte): a wrong checksum or number, a name that is absolute, leaves the tree,
//! comes twice or is not UTF-8, a size that does not fit, sizes that contradict each other, a missing end mark; links and
//! devices, which no dump holds. Source: POSIX.1-2017 `pax`, GNU tar manual "Tar Internals".

mod header;
mod pax;
mod sparse;
#[cfg(test)]
mod tests;

use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader, Extent, Tree};

use header::Header;
use pax::Records;

/// Bytes of a block.
const BLOCK: u64 = 512;
/// Most bytes of a long name or of PAX records.
const MAX_EXTRA_BYTES: u64 = 1 << 20;
/// Most members, directories included.
const MAX_MEMBERS: usize = 4_000_000;

/// True if the file begins with a tar header whose checksum is right.
pub fn is_tar(blob: &Blob) -> bool {
    let mut block = [0; BLOCK as usize];
    let filled = blob.open().and_then(|reader| reader.read_exact_at(0, &mut block));
    filled.is_ok() && Header::parse(&block).is_ok_and(|header| header.is_some())
}

/// The regular members of a tar.
pub fn read(blob: &Blob) -> Result<Tree> {
    walk(blob, true)
}

/// The regular members of a tar whose writer may have left the end mark out: it may end after any member. Only for
/// tars that something else proves to be whole, as a tar around them does.
pub fn read_without_end(blob: &Blob) -> Result<Tree> {
    walk(blob, false)
}

fn walk(blob: &Blob, needs_end: bool) -> Result<Tree> {
    let blob = blob.kept_open()?;
    let tree = Tree::new(blob.label());
    let mut walk = Walk { reader: blob.open()?, tree, blob, offset: 0, members: 0, needs_end };
    while walk.member()? {}
    Ok(walk.tree)
}

/// A walk over the headers.
struct Walk {
    blob: Blob,
    reader: BlobReader,
    tree: Tree,
    /// Of the next header.
    offset: u64,
    members: usize,
    /// Without its end mark it is cut off.
    needs_end: bool,
}

/// What the headers before a member's own say of it.
#[derive(Default)]
struct Extra {
    long_name: Option<Vec<u8>>,
    pax: Records,
}

impl Walk {
    /// Reads one member with the headers before it; false at the end mark.
    fn member(&mut self) -> Result<bool> {
        let start = self.offset;
        let mut extra = Extra::default();
        loop {
            let Some(header) = self.header()? else {
                return match extra.is_empty() {
                    true => Ok(false),
                    false => Err(self.damaged(start, "the tar ends after an extended header")),
                };
            };
            match header.kind {
                b'L' => extra.long_name = Some(trimmed(self.extra_bytes(&header)?)),
                // The target of a link: the link itself comes next and is refused.
                b'K' => drop(self.extra_bytes(&header)?),
                b'x' => {
                    let at = self.offset;
                    let bytes = self.extra_bytes(&header)?;
                    extra.pax = Records::parse(&bytes).map_err(|why| self.damaged(at, why))?;
                }
                b'g' => {
                    let at = self.offset;
                    let bytes = self.extra_bytes(&header)?;
                    let records = Records::parse(&bytes).map_err(|why| self.damaged(at, why))?;
                    if records.describes_members() {
                        return Err(self.damaged(at, "global records that name or size every member"));
                    }
                }
                _ => {
                    self.take(start, &header, &extra)?;
                    return Ok(true);
                }
            }
        }
    }

    /// The header at the offset, which moves behind it; `None` at the end mark.
    fn header(&mut self) -> Result<Option<Header>> {
        let at = self.offset;
        let mut block = [0; BLOCK as usize];
        let filled = self.reader.read_at(at, &mut block)?;
        if filled == 0 && !self.needs_end && at == self.blob.len() {
            return Ok(None);
        }
        if filled < block.len() {
            let what = if filled == 0 { "the tar ends without its end mark" } else { "the tar ends within a header" };
            return Err(self.damaged(at, what));
        }
        self.members += 1;
        if self.members > MAX_MEMBERS {
            return Err(Error::limit(format!("more than {MAX_MEMBERS} members")).with("file", self.blob.label()));
        }
        let header = Header::parse(&block).map_err(|why| self.damaged(at, why))?;
        self.offset = at + BLOCK;
        if header.is_none() {
            self.check_end(at)?;
        }
        Ok(header)
    }

    /// A block of zeros ends the tar only together with another one.
    fn check_end(&self, at: u64) -> Result<()> {
        let mut block = [0; BLOCK as usize];
        let filled = self.reader.read_at(at + BLOCK, &mut block)?;
        match block[..filled].iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(self.damaged(at, "a block of zeros stands where a header should be")),
        }
    }

    /// The data of an extended header; the offset moves behind it.
    fn extra_bytes(&mut self, header: &Header) -> Result<Vec<u8>> {
        let at = self.offset;
        if header.size > MAX_EXTRA_BYTES {
            return Err(self.damaged(at, format!("an extended header of {} bytes", header.size)));
        }
        self.skip_data(header.size, "an extended header")?;
        Ok(self.reader.range_to_vec(at, at + header.size, MAX_EXTRA_BYTES)?)
    }

    /// Moves the offset behind `size` bytes of data and their padding.
    fn skip_data(&mut self, size: u64, name: &str) -> Result<()> {
        let at = self.offset;
        let end = at.checked_add(size).filter(|end| *end <= self.blob.len());
        let next = end.and_then(|end| end.checked_next_multiple_of(BLOCK));
        match next {
            Some(next) => {
                self.offset = next;
                Ok(())
            }
            None => {
                let what = format!("{size} bytes of data, the tar has {} more", self.blob.len().saturating_sub(at));
                Err(self.damaged_entry(at, name, what))
            }
        }
    }

    /// Puts a member into the tree; `start` is the offset of its first header.
    fn take(&mut self, start: u64, header: &Header, extra: &Extra) -> Result<()> {
        let raw_name = extra.name(header);
        let name =
            plain_name(&raw_name).map_err(|why| self.damaged_entry(start, &String::from_utf8_lossy(&raw_name), why))?;
        let is_directory = header.kind == b'5' || (header.is_old_regular() && raw_name.ends_with(b"/"));
        let stored = self.stored_size(start, &name, header, &extra.pax)?;
        if is_directory {
            // Directories may claim a size without having data.
            return Ok(());
        }
        if let Some(what) = header.refused() {
            return Err(self.damaged_entry(start, &name, format!("it is {what}, which is not read")));
        }
        let map = match header.kind {
            b'S' => Some(self.old_sparse_map(&name, header)?),
            _ => extra.pax.sparse_map().map_err(|why| self.damaged_entry(start, &name, why))?,
        };
        let data = self.offset;
        self.skip_data(stored, &name)?;
        let member = match map {
            None => self.blob.member(&name, data, stored)?,
            Some(map) => self.sparse_member(start, &name, data, stored, map)?,
        };
        match self.tree.insert(&name, member) {
            true => Ok(()),
            false => Err(self.damaged_entry(start, &name, "it comes twice, or its name leaves the tar")),
        }
    }

    /// Bytes of data that the member has in the tar. PAX may only repeat what the header can hold.
    fn stored_size(&self, start: u64, name: &str, header: &Header, pax: &Records) -> Result<u64> {
        match pax.size().map_err(|why| self.damaged_entry(start, name, why))? {
            Some(size) if size != header.size && size <= header::MAX_OCTAL_SIZE => {
                let what = format!("its header says {} bytes, its PAX records {size}", header.size);
                Err(self.damaged_entry(start, name, what))
            }
            Some(size) => Ok(size),
            None => Ok(header.size),
        }
    }

    /// The map of a GNU sparse member, of which all but four entries stand in blocks after the header.
    fn old_sparse_map(&mut self, name: &str, header: &Header) -> Result<sparse::Map> {
        let mut map = sparse::Map { len: header.real_size, pieces: header.sparse.clone(), map_in_data: false };
        let mut is_extended = header.is_extended;
        while is_extended {
            let at = self.offset;
            let mut block = [0; BLOCK as usize];
            if self.reader.read_at(at, &mut block)? < block.len() {
                return Err(self.damaged_entry(at, name, "the tar ends within its sparse map"));
            }
            is_extended =
                header::sparse_extension(&block, &mut map.pieces).map_err(|why| self.damaged_entry(at, name, why))?;
            if map.pieces.len() > sparse::MAX_PIECES {
                return Err(self.damaged_entry(at, name, format!("more than {} pieces", sparse::MAX_PIECES)));
            }
            self.offset = at + BLOCK;
        }
        Ok(map)
    }

    fn sparse_member(&self, start: u64, name: &str, data: u64, stored: u64, mut map: sparse::Map) -> Result<Blob> {
        let damaged = |why: String| self.damaged_entry(start, name, why);
        let mut position = data;
        if map.map_in_data {
            let mut numbers = sparse::Numbers::new(self.reader.range(data, data + stored));
            map.pieces = numbers.map().map_err(damaged)?;
            position = data + numbers.bytes_read().next_multiple_of(BLOCK);
        }
        let mut pieces = Vec::with_capacity(map.pieces.len());
        for (logical, len) in &map.pieces {
            pieces.push(Extent { logical: *logical, physical: position, len: *len });
            position = position.checked_add(*len).ok_or_else(|| damaged("its sparse map overflows".to_owned()))?;
        }
        if position != data + stored {
            let claimed = position.wrapping_sub(data);
            return Err(damaged(format!("its sparse map covers {claimed} bytes, {stored} are stored")));
        }
        Ok(self.blob.sparse_member(name, map.len, &pieces)?)
    }

    fn damaged(&self, at: u64, what: impl Into<String>) -> Error {
        Error::damaged(what)
            .with("file", self.blob.label())
            .with("byte", at)
            .hint("the tar is cut off or damaged; copy it again and compare sizes or checksums")
    }

    fn damaged_entry(&self, at: u64, name: &str, what: impl Into<String>) -> Error {
        self.damaged(at, what).with("entry", name)
    }
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.pax.is_empty()
    }

    /// The name of the member; PAX over GNU over the header.
    fn name(&self, header: &Header) -> Vec<u8> {
        match (self.pax.name(), &self.long_name) {
            (Some(name), _) => name.to_vec(),
            (None, Some(name)) => name.clone(),
            (None, None) => header.name.clone(),
        }
    }
}

/// A name as trees have them; the directory that everything lies in is the empty name.
fn plain_name(raw: &[u8]) -> std::result::Result<String, String> {
    let name = std::str::from_utf8(raw).map_err(|_| "its name is not UTF-8".to_owned())?;
    if name.starts_with('/') {
        return Err("its name is absolute".to_owned());
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    match parts.contains(&"..") || name.contains('\0') {
        true => Err("its name leaves the tar".to_owned()),
        false => Ok(parts.join("/")),
    }
}

/// Up to the first NUL.
fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}

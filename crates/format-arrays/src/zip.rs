//! Members of a ZIP archive: stored ones in place, deflated ones as a stream.
//!
//! ```text
//! members: local header, data, perhaps a descriptor | central directory | [ZIP64 end and its locator] | end record
//! local header:  "PK\3\4" .. u16 name length at 26, extra length at 28 | name | extra | data
//! central entry: "PK\1\2" .. u16 flags at 8, method at 10 | u32 crc at 16, packed at 20, size at 24
//!                | u16 name at 28, extra at 30, comment at 32, disk at 34 | u32 header offset at 42 | name | extra | comment
//! end record:    "PK\5\6" .. u16 entries at 10 | u32 directory bytes at 12, offset at 16 | u16 comment length at 20
//! ```
//! All numbers are little-endian; 2^32 - 1 (2^16 - 1) means that the ZIP64 extra field (end record) has the number.
//!
//! Invariant: an [`Archive`] has unique member names, and the data of each member lies before the central directory.
//! Sizes come from the central directory, never from descriptors. Reading a member to its end checks size and CRC-32;
//! output beyond the stated size is an error as soon as it comes, and a stated size that deflate cannot reach is one
//! before anything is unpacked.
//!
//! Errors: damaged, naming file, member and byte; not recognised for encrypted members, split archives and methods
//! other than stored and deflate. Source: PKWARE APPNOTE 6.3.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Write};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use tranship_connector::{Error, Result};
use tranship_storage::{Blob, BlobReader, StorageError};

const END_BYTES: usize = 22;
const MAX_COMMENT: usize = u16::MAX as usize;
const LOCATOR_BYTES: u64 = 20;
const END64_BYTES: usize = 56;
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
/// Deflate makes at most 258 bytes out of two bits.
const MOST_EXPANSION: u64 = 1032;

/// An archive and its members, in the order of the central directory.
#[derive(Debug, Clone)]
pub struct Archive {
    blob: Blob,
    members: Vec<Member>,
}

/// One member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Name within the archive.
    pub name: String,
    /// Bytes once unpacked.
    pub size: u64,
    /// True if the bytes stand in the archive as they are.
    pub stored: bool,
    crc: u32,
    packed: u64,
    header: u64,
    /// Where the central directory begins: no data reaches beyond.
    directory: u64,
}

impl Archive {
    /// Reads the central directory, which may have up to `limit` bytes.
    pub fn open(blob: &Blob, limit: u64) -> Result<Self> {
        let reader = blob.open()?;
        let end = End::find(&reader)?;
        let bytes = reader.range_to_vec(end.directory, end.directory + end.directory_bytes, limit)?;
        let mut members = Vec::new();
        let mut names = BTreeSet::new();
        let mut rest = bytes.as_slice();
        for _ in 0..end.entries {
            let at = end.directory + (bytes.len() - rest.len()) as u64;
            let (member, after) = entry(rest, &end, blob.label(), at)?;
            rest = after;
            if !names.insert(member.name.clone()) {
                return Err(damaged(blob.label(), format!("the member {:?} comes twice", member.name), at));
            }
            members.push(member);
        }
        if !rest.is_empty() {
            let at = end.directory + end.directory_bytes;
            return Err(damaged(blob.label(), format!("{} bytes follow the last entry", rest.len()), at));
        }
        Ok(Archive { blob: blob.clone(), members })
    }

    /// The members.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member's bytes as they stand in the archive: its own bytes if it is stored, else the deflated ones.
    pub fn data(&self, member: &Member) -> Result<Blob> {
        let reader = self.blob.open()?;
        let label = reader.label();
        let wrong = |what: String| damaged(label, format!("{what} of the member {:?}", member.name), member.header);
        let mut local = [0; LOCAL_BYTES];
        reader.read_exact_at(member.header, &mut local)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(wrong("no local header".to_owned()));
        }
        let names = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        let start = member.header + LOCAL_BYTES as u64 + names;
        if start.checked_add(member.packed).is_none_or(|end| end > member.directory) {
            return Err(wrong(format!("{} bytes do not fit before the directory: the data", member.packed)));
        }
        Ok(self.blob.member(&member.name, start, member.packed)?)
    }

    /// The member's own bytes as a stream that checks size and checksum at its end.
    pub fn stream(&self, member: &Member) -> Result<MemberStream> {
        let data = self.data(member)?.open()?;
        let raw = BufReader::with_capacity(256 << 10, data.range(0, member.packed));
        let raw: Box<dyn Read> = if member.stored { Box::new(raw) } else { Box::new(DeflateDecoder::new(raw)) };
        Ok(MemberStream { raw, crc: Crc::new(), wanted_crc: member.crc, left: member.size, ended: false })
    }

    /// Reads the member to its end and forgets it: its size and checksum are right.
    pub fn check(&self, member: &Member) -> Result<()> {
        self.unpack(member, &mut io::sink())
    }

    /// Writes the member's own bytes to `out`.
    pub fn unpack(&self, member: &Member, out: &mut impl Write) -> Result<()> {
        let mut stream = self.stream(member)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = stream.read(&mut buffer).map_err(|error| self.unreadable(member, error))?;
            if count == 0 {
                return Ok(());
            }
            out.write_all(&buffer[..count])?;
        }
    }

    /// The first bytes of the member, at most `limit`.
    pub fn beginning(&self, member: &Member, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut stream = self.stream(member)?.take(limit);
        stream.read_to_end(&mut bytes).map_err(|error| self.unreadable(member, error))?;
        Ok(bytes)
    }

    fn unreadable(&self, member: &Member, error: io::Error) -> Error {
        match error.downcast::<StorageError>() {
            Ok(error) => error.into(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => damaged(
                self.blob.label(),
                format!("the member {:?} cannot be unpacked: {error}", member.name),
                member.header,
            ),
            Err(error) => error.into(),
        }
    }
}

/// `Read` over one member.
pub struct MemberStream {
    raw: Box<dyn Read>,
    crc: Crc,
    wanted_crc: u32,
    left: u64,
    ended: bool,
}

impl Read for MemberStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let wrong = |what: &str| io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned());
        let count = self.raw.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => wrong("not deflate data"),
            _ => error,
        })?;
        if count as u64 > self.left {
            return Err(wrong("more bytes come out than the directory says"));
        }
        self.crc.update(&buffer[..count]);
        self.left -= count as u64;
        if count == 0 {
            self.ended = true;
            if self.left > 0 {
                return Err(wrong("fewer bytes come out than the directory says"));
            }
            if self.crc.sum() != self.wanted_crc {
                return Err(wrong("the checksum is wrong"));
            }
        }
        Ok(count)
    }
}

/// What the end records say.
struct End {
    entries: u64,
    directory: u64,
    directory_bytes: u64,
}

impl End {
    fn find(reader: &BlobReader) -> Result<Self> {
        let (len, label) = (reader.len(), reader.label());
        let tail_start = len.saturating_sub((END_BYTES + MAX_COMMENT) as u64);
        let tail = reader.range_to_vec(tail_start, len, (END_BYTES + MAX_COMMENT) as u64)?;
        // The last one that ends with the file: a comment may hold the signature.
        let is_end = |at: &usize| {
            let record = &tail[*at..*at + END_BYTES];
            record.starts_with(b"PK\x05\x06") && *at + END_BYTES + usize::from(u16_at(record, 20)) == tail.len()
        };
        let Some(at) = (0..(tail.len() + 1).saturating_sub(END_BYTES)).rev().find(is_end) else {
            return Err(damaged(label, "the ZIP archive has no end record: it is cut off", len));
        };
        let record = &tail[at..];
        let mut end = End {
            entries: u64::from(u16_at(record, 10)),
            directory: u64::from(u32_at(record, 16)),
            directory_bytes: u64::from(u32_at(record, 12)),
        };
        let mut at = tail_start + at as u64;
        let disks = (u16_at(record, 4), u16_at(record, 6));
        if let Some(found) = End::find_zip64(reader, at)? {
            (end, at) = found;
        } else if disks != (0, 0) || u16_at(record, 8) != u16_at(record, 10) {
            return Err(Error::not_recognised(format!("{label} is one piece of a split ZIP archive"))
                .hint("join the pieces, as in `zip -s 0 split.zip --out whole.zip`"));
        }
        if end.directory.checked_add(end.directory_bytes) != Some(at) {
            let End { directory, directory_bytes, .. } = end;
            let what = format!(
                "the directory of {directory_bytes} bytes at {directory} does not end where the end record begins"
            );
            return Err(damaged(label, what, at));
        }
        if end.entries > end.directory_bytes / ENTRY_BYTES as u64 {
            return Err(damaged(label, format!("{} entries in {} bytes", end.entries, end.directory_bytes), at));
        }
        Ok(end)
    }

    /// The ZIP64 end record that a locator before byte `at` points to, and where it begins.
    fn find_zip64(reader: &BlobReader, at: u64) -> Result<Option<(Self, u64)>> {
        let Some(locator_at) = at.checked_sub(LOCATOR_BYTES) else { return Ok(None) };
        let mut locator = [0; LOCATOR_BYTES as usize];
        reader.read_exact_at(locator_at, &mut locator)?;
        if !locator.starts_with(b"PK\x06\x07") {
            return Ok(None);
        }
        let start = u64_at(&locator, 8);
        let mut record = [0; END64_BYTES];
        let fits = start.checked_add(END64_BYTES as u64).is_some_and(|end| end <= locator_at);
        if fits {
            reader.read_exact_at(start, &mut record)?;
        }
        if !fits || !record.starts_with(b"PK\x06\x06") {
            return Err(damaged(reader.label(), "the ZIP64 locator points to no end record", locator_at));
        }
        let end =
            End { entries: u64_at(&record, 32), directory: u64_at(&record, 48), directory_bytes: u64_at(&record, 40) };
        Ok(Some((end, start)))
    }
}

/// The entry that `bytes` begin with, and what follows it.
fn entry<'b>(bytes: &'b [u8], end: &End, label: &str, at: u64) -> Result<(Member, &'b [u8])> {
    let wrong = |what: String| damaged(label, what, at);
    let Some((fixed, rest)) = bytes.split_at_checked(ENTRY_BYTES).filter(|(fixed, _)| fixed.starts_with(b"PK\x01\x02"))
    else {
        return Err(wrong("no entry of the directory where one should be".to_owned()));
    };
    let [name, extra, comment] = [28, 30, 32].map(|offset| usize::from(u16_at(fixed, offset)));
    let parts = rest.split_at_checked(name).and_then(|(name, rest)| {
        let (extra, rest) = rest.split_at_checked(extra)?;
        Some((name, extra, rest.get(comment..)?))
    });
    let Some((name, extra, rest)) = parts else { return Err(wrong("an entry that the directory cuts off".to_owned())) };
    let name = std::str::from_utf8(name).map_err(|_| wrong("a member whose name is not UTF-8".to_owned()))?;
    let mut wide = zip64_field(extra);
    let mut number = |offset| match u32_at(fixed, offset) {
        u32::MAX => wide.next().ok_or_else(|| wrong(format!("no ZIP64 sizes of the member {name:?}"))),
        narrow => Ok(u64::from(narrow)),
    };
    let (size, packed, header) = (number(24)?, number(20)?, number(42)?);
    let refused = |what: String, hint: &str| {
        Err(Error::not_recognised(format!("the member {name:?} is {what}")).with("file", label).hint(hint))
    };
    if u16_at(fixed, 8) & 1 == 1 {
        return refused("encrypted".to_owned(), "unpack the archive with its password and give the array itself");
    }
    let method = u16_at(fixed, 10);
    if method != 0 && method != 8 {
        return refused(format!("packed by method {method}"), "unpack the archive and give the array itself");
    }
    let stored = method == 0;
    let possible = if stored { packed == size } else { size / MOST_EXPANSION <= packed };
    if !possible || header >= end.directory {
        return Err(wrong(format!("{packed} bytes at {header} for {size} of the member {name:?}")));
    }
    let member = Member {
        name: name.to_owned(),
        size,
        stored,
        crc: u32_at(fixed, 16),
        packed,
        header,
        directory: end.directory,
    };
    Ok((member, rest))
}

/// The numbers of the ZIP64 extra field, in order.
fn zip64_field(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut field: &[u8] = &[];
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let Some((body, after)) = rest.split_at_checked(usize::from(u16_at(head, 2))) else { break };
        if u16_at(head, 0) == 1 {
            field = body;
        }
        extra = after;
    }
    field.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

fn damaged(label: &str, what: impl std::fmt::Display, at: u64) -> Error {
    Error::damaged(what.to_string())
        .with("file", label)
        .with("byte", at)
        .hint("copy the archive again and compare sizes; `unzip -t` tests it")
}

/// Bytes of a record whose size is known: one that reaches beyond is a fault of ours.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|offset| bytes[at + offset])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

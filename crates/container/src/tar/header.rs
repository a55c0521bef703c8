//! One header block of a tar.
//!
//! ```text
//! 0 name 100 | 124 size 12 | 148 checksum 8 | 156 type 1 | 257 magic 6 | 345 prefix 155 (ustar)
//! GNU sparse: 386 four times (offset 12, bytes 12) | 482 extended 1 | 483 real size 12
//! extension block: 21 times (offset 12, bytes 12) | 504 extended 1
//! ```
//!
//! Numbers are octal digits, ended by NUL or space, or base-256 with the highest bit of the first byte set. The
//! checksum is the sum of all bytes, its own field taken as spaces; old programs summed signed bytes.

/// Largest size that octal digits can say.
pub const MAX_OCTAL_SIZE: u64 = 0o777_7777_7777;

/// What a header says.
pub struct Header {
    /// Name with its prefix.
    pub name: Vec<u8>,
    /// Bytes of data in the tar.
    pub size: u64,
    /// Type flag.
    pub kind: u8,
    /// First pieces of a GNU sparse member: offset and bytes.
    pub sparse: Vec<(u64, u64)>,
    /// More pieces stand in the block after this one.
    pub is_extended: bool,
    /// Bytes of a GNU sparse member, holes included.
    pub real_size: u64,
}

impl Header {
    /// Parses a block; `None` for one of zeros.
    pub fn parse(block: &[u8; 512]) -> Result<Option<Self>, String> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        check_sum(block)?;
        let kind = block[156];
        let mut header = Header {
            name: name(block),
            size: number(&block[124..136], "size")?,
            kind,
            sparse: Vec::new(),
            is_extended: false,
            real_size: 0,
        };
        if kind == b'S' {
            pieces(&block[386..482], &mut header.sparse)?;
            header.is_extended = block[482] != 0;
            header.real_size = number(&block[483..495], "real size")?;
        }
        Ok(Some(header))
    }

    /// True for a type flag of times when a directory was a file whose name ends in a slash.
    pub fn is_old_regular(&self) -> bool {
        matches!(self.kind, b'0' | 0)
    }

    /// What a member is that is not read.
    pub fn refused(&self) -> Option<String> {
        let what = match self.kind {
            0 | b'0' | b'5' | b'7' | b'S' => return None,
            b'1' => "a hard link",
            b'2' => "a symbolic link",
            b'3' | b'4' => "a device",
            b'6' => "a pipe",
            b'M' => "the rest of a file from another volume",
            other => return Some(format!("of the unknown type {:?}", char::from(other))),
        };
        Some(what.to_owned())
    }
}

/// Appends the pieces of an extension block; true if another one follows.
pub fn sparse_extension(block: &[u8; 512], to: &mut Vec<(u64, u64)>) -> Result<bool, String> {
    pieces(&block[..504], to)?;
    Ok(block[504] != 0)
}

/// Pieces up to the first empty slot.
fn pieces(slots: &[u8], to: &mut Vec<(u64, u64)>) -> Result<(), String> {
    for slot in slots.chunks_exact(24).take_while(|slot| slot[0] != 0) {
        to.push((number(&slot[..12], "offset of a piece")?, number(&slot[12..], "size of a piece")?));
    }
    Ok(())
}

fn check_sum(block: &[u8; 512]) -> Result<(), String> {
    let stated = number(&block[148..156], "checksum")?;
    let counted = |at: usize| if (148..156).contains(&at) { b' ' } else { block[at] };
    let unsigned: u64 = (0..512).map(|at| u64::from(counted(at))).sum();
    let signed: i64 = (0..512).map(|at| i64::from(counted(at) as i8)).sum();
    match stated == unsigned || i64::try_from(stated) == Ok(signed) {
        true => Ok(()),
        false => Err(format!("a header with the checksum {stated}, its bytes sum up to {unsigned}")),
    }
}

fn name(block: &[u8; 512]) -> Vec<u8> {
    let field = |bytes: &[u8]| bytes.iter().copied().take_while(|byte| *byte != 0).collect::<Vec<u8>>();
    let name = field(&block[..100]);
    let prefix = if &block[257..263] == b"ustar\0" { field(&block[345..500]) } else { Vec::new() };
    if prefix.is_empty() { name } else { [prefix, name].join(&b'/') }
}

fn number(field: &[u8], what: &str) -> Result<u64, String> {
    let bad = || format!("a header whose {what} is no number");
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let digits = field.iter().enumerate().map(|(at, byte)| if at == 0 { byte & 0x7f } else { *byte });
        return digits
            .into_iter()
            .try_fold(0u64, |value, digit| value.checked_mul(256)?.checked_add(u64::from(digit)))
            .ok_or_else(bad);
    }
    let text: Vec<u8> = field.iter().copied().take_while(|byte| *byte != 0).collect();
    let digits = text.trim_ascii();
    digits
        .iter()
        .try_fold(0u64, |value, digit| match digit {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        })
        .ok_or_else(bad)
}

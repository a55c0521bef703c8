//! Writes tars as Qdrant's own: GNU headers, and members whose end is a hole as sparse ones.
//!
//! ```text
//! [header L, name] when the name has over 100 bytes | header | data, padded to 512 B | .. | two blocks of zeros
//! header: 0 name 100 | 100 mode 8, uid 8, gid 8 | 124 size 12 | 136 mtime 12 | 148 checksum 8 | 156 type 1
//!         257 "ustar  \0" | 386 sparse: offset 12, bytes 12, four times | 483 real size 12
//! ```
//!
//! Invariant: the bytes of a header depend on name and sizes alone; there is no time and no owner. A sparse member has
//! one piece from 0 on and an empty one where the file ends. Sizes are below 8 GiB. Source: GNU tar manual, "Tar
//! Internals".

const BLOCK: u64 = 512;
/// Two blocks of zeros.
pub const END: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];
const NAME_BYTES: usize = 100;

/// The headers of a member of `size` bytes, of which the first `stored` follow and the rest is a hole.
pub fn headers(name: &str, size: u64, stored: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if name.len() > NAME_BYTES {
        let long = name.len() as u64 + 1;
        out.extend_from_slice(&header("././@LongLink", b'L', long, None));
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len() + padding(long), 0);
    }
    let is_sparse = stored < size;
    out.extend_from_slice(&header(name, if is_sparse { b'S' } else { b'0' }, stored, is_sparse.then_some(size)));
    out
}

/// Zeros that follow `bytes` of data.
pub fn padding(bytes: u64) -> usize {
    (bytes.next_multiple_of(BLOCK) - bytes) as usize
}

/// Bytes that a member takes in the tar.
pub fn member_bytes(name: &str, size: u64, stored: u64) -> u64 {
    headers(name, size, stored).len() as u64 + stored.next_multiple_of(BLOCK)
}

fn header(name: &str, kind: u8, stored: u64, real_size: Option<u64>) -> [u8; BLOCK as usize] {
    let mut block = [0; BLOCK as usize];
    let kept = name.as_bytes();
    let kept = &kept[..kept.len().min(NAME_BYTES)];
    block[..kept.len()].copy_from_slice(kept);
    put(&mut block, 100, "0000644\0");
    put(&mut block, 108, "0000000\0");
    put(&mut block, 116, "0000000\0");
    put(&mut block, 124, &octal(stored));
    put(&mut block, 136, &octal(0));
    put(&mut block, 148, "        ");
    block[156] = kind;
    put(&mut block, 257, "ustar  \0");
    if let Some(size) = real_size {
        let pieces = if stored == 0 { vec![(size, 0)] } else { vec![(0, stored), (size, 0)] };
        for (position, (offset, bytes)) in pieces.into_iter().enumerate() {
            put(&mut block, 386 + 24 * position, &octal(offset));
            put(&mut block, 398 + 24 * position, &octal(bytes));
        }
        put(&mut block, 483, &octal(size));
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, &format!("{sum:06o}\0 "));
    block
}

fn put(block: &mut [u8], at: usize, text: &str) {
    block[at..at + text.len()].copy_from_slice(text.as_bytes());
}

fn octal(number: u64) -> String {
    format!("{number:011o}\0")
}

//! Small helpers over byte slices.

use std::io::BufRead;

/// The position of the first `byte`, at the speed of the standard library's search.
pub fn position(byte: u8, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    // Skipping in a slice cannot fail.
    let skipped = rest.skip_until(byte).unwrap_or(0);
    let last = skipped.checked_sub(1)?;
    (bytes.get(last) == Some(&byte)).then_some(last)
}

/// How often `byte` occurs.
pub fn count(byte: u8, bytes: &[u8]) -> u64 {
    // Sums of bytes in short blocks, which the compiler turns into vector instructions.
    bytes.chunks(128).map(|block| u64::from(block.iter().map(|b| u8::from(*b == byte)).sum::<u8>())).sum()
}

/// Removes one carriage return from the end: dumps that went through Windows have them.
pub fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_and_counted() {
        assert_eq!(position(b'b', b"abab"), Some(1));
        assert_eq!(position(b'c', b"abab"), None);
        assert_eq!(position(b'c', b""), None);
        assert_eq!(count(b'a', &[b'a'; 1000]), 1000);
        assert_eq!(count(b'a', b"bab"), 1);
    }
}

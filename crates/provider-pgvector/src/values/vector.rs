//! Vectors: pgvector's texts and bytes.
//!
//! ```text
//! text    vector, halfvec  [1,2.5,-1e-10]        sparsevec  {1:0.5,50:2.5}/100, counted from 1        bit  0101
//! binary  vector, halfvec  i16 dim | i16 0 | f32 or f16 per element
//!         sparsevec        i32 dim | i32 entries | i32 0 | i32 index per entry, counted from 0 | f32 per entry
//!         bit              i32 bits | bytes, the most significant bit first
//! ```
//! Everything binary is big-endian. Errors: texts and lengths that are none of these, indices out of order or range.
//! Source: pgvector/pgvector `src/{vector,halfvec,sparsevec}.c`, PostgreSQL `src/backend/utils/adt/varbit.c`.

use half::f16;
use tranship_kernels::float_scan::scan_f32_array;

use super::Reason;

/// Appends the floats of the text of a vector or halfvec.
pub fn floats(text: &[u8], out: &mut Vec<f32>) -> Result<(), Reason> {
    let from = out.len();
    match scan_f32_array(text, 0, out) {
        Ok(end) if end == text.len() && out.len() > from => Ok(()),
        Ok(end) => {
            let reason = if end < text.len() { "text behind the vector" } else { "a vector of no elements" };
            out.truncate(from);
            Err(reason.to_owned())
        }
        Err(error) => Err(format!("byte {} of the vector: {}", error.at, error.kind)),
    }
}

/// A sparse vector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sparse {
    /// Dimensions.
    pub dim: u32,
    /// Indices counted from 0.
    pub indices: Vec<u32>,
    /// Values.
    pub values: Vec<f32>,
}

impl Sparse {
    /// Reads the text of a sparsevec.
    pub fn read_text(&mut self, text: &str) -> Result<(), Reason> {
        self.clear();
        let parts = text.strip_prefix('{').and_then(|rest| rest.split_once("}/"));
        let (entries, dim) = parts.ok_or("no sparse vector: {index:value,..}/dimensions")?;
        self.dim = dim.parse().map_err(|_| "the dimensions of the sparse vector are no number".to_owned())?;
        for entry in entries.split(',').filter(|entry| !entry.is_empty()) {
            let (index, value) = entry.split_once(':').ok_or("an entry of the sparse vector has no `:`")?;
            let index: u32 = index.parse().map_err(|_| format!("sparse index {index:?} is no number"))?;
            let value: f32 = value.parse().map_err(|_| format!("sparse value {value:?} is no number"))?;
            self.indices.push(index.checked_sub(1).ok_or("sparse index 0: the text counts from 1")?);
            self.values.push(value);
        }
        self.check()
    }

    /// Reads the bytes of a sparsevec.
    pub fn read_binary(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.clear();
        let short = || "a sparse vector of the wrong length".to_owned();
        let (words, rest) = bytes.as_chunks::<4>();
        let [dim, entries, unused, words @ ..] = words else { return Err(short()) };
        let entries = u32::from_be_bytes(*entries) as usize;
        if !rest.is_empty() || entries.checked_mul(2) != Some(words.len()) {
            return Err(short());
        }
        if *unused != [0; 4] {
            return Err("not the bytes of a sparsevec".to_owned());
        }
        self.dim = u32::from_be_bytes(*dim);
        let (indices, values) = words.split_at(entries);
        self.indices.extend(indices.iter().map(|word| u32::from_be_bytes(*word)));
        self.values.extend(values.iter().map(|word| f32::from_be_bytes(*word)));
        self.check()
    }

    fn check(&self) -> Result<(), Reason> {
        match self.indices.iter().find(|index| **index >= self.dim) {
            Some(index) => Err(format!("sparse index {} of {} dimensions", u64::from(*index) + 1, self.dim)),
            None => Ok(()),
        }
    }

    fn clear(&mut self) {
        self.indices.clear();
        self.values.clear();
    }
}

/// Packs the text of a bit string, most significant bit first; the number of bits.
pub fn pack_bits(text: &str, out: &mut Vec<u8>) -> Result<usize, Reason> {
    out.clear();
    for (at, byte) in text.bytes().enumerate() {
        if !matches!(byte, b'0' | b'1') {
            return Err(format!("{:?} in a bit string", char::from(byte)));
        }
        if at.is_multiple_of(8) {
            out.push(0);
        }
        if let Some(last) = out.last_mut().filter(|_| byte == b'1') {
            *last |= 0x80 >> (at % 8);
        }
    }
    Ok(text.len())
}

/// The bits and packed bytes of a binary bit string.
pub fn binary_bits(bytes: &[u8]) -> Result<(usize, &[u8]), Reason> {
    let wrong = || "a bit string of the wrong length".to_owned();
    let (count, packed) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
    let bits = u32::from_be_bytes(*count) as usize;
    if bits.div_ceil(8) != packed.len() {
        return Err(wrong());
    }
    Ok((bits, packed))
}

/// The text of packed bits.
pub fn bits_text(bits: usize, packed: &[u8]) -> String {
    let bit = |at: usize| packed.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    (0..bits).map(|at| if bit(at) { '1' } else { '0' }).collect()
}

/// The big-endian elements of a binary vector or halfvec of `width` bytes each.
pub fn binary_elements(bytes: &[u8], width: usize) -> Result<&[u8], Reason> {
    let wrong = || "a vector of the wrong length".to_owned();
    let (head, elements) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
    let [a, b, c, d] = *head;
    let dim = usize::from(u16::from_be_bytes([a, b]));
    if dim * width != elements.len() || dim == 0 {
        return Err(wrong());
    }
    if [c, d] != [0, 0] {
        return Err("not the bytes of a vector".to_owned());
    }
    Ok(elements)
}

/// Appends the floats of a binary vector.
pub fn binary_floats(bytes: &[u8], out: &mut Vec<f32>) -> Result<(), Reason> {
    let elements = binary_elements(bytes, 4)?;
    out.extend(elements.as_chunks::<4>().0.iter().map(|word| f32::from_be_bytes(*word)));
    Ok(())
}

/// Appends the elements of a binary halfvec, widened.
pub fn binary_halves(bytes: &[u8], out: &mut Vec<f32>) -> Result<(), Reason> {
    let elements = binary_elements(bytes, 2)?;
    out.extend(elements.as_chunks::<2>().0.iter().map(|word| f16::from_bits(u16::from_be_bytes(*word)).to_f32()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparse_vectors_count_from_one_in_text_and_from_zero_in_bytes() {
        let (mut text, mut binary) = (Sparse::default(), Sparse::default());
        text.read_text("{1:0.5,50:2.5}/100").unwrap();
        let words: Vec<u8> = [100u32, 2, 0, 0, 49, 0.5f32.to_bits(), 2.5f32.to_bits()].iter().flat_map(|w| w.to_be_bytes()).collect();
        binary.read_binary(&words).unwrap();
        assert_eq!(text, binary);
        assert_eq!((text.dim, text.indices.as_slice()), (100, &[0, 49][..]));
        text.read_text("{}/5").unwrap();
        assert!(text.indices.is_empty());
        for wrong in ["", "{1:1}", "{0:1}/5", "{6:1}/5", "{a:1}/5", "{1}/5", "{1:x}/5", "{1:1}/x", "{1:1}/-1"] {
            assert!(text.read_text(wrong).is_err(), "{wrong}");
        }
        for end in 0..words.len() {
            assert!(binary.read_binary(&words[..end]).is_err());
        }
        let mut hostile = words.clone();
        hostile[4..8].copy_from_slice(&[0xff; 4]);
        assert!(binary.read_binary(&hostile).is_err());
    }

    #[test]
    fn bits_are_packed_from_the_left() {
        let mut packed = Vec::new();
        assert_eq!(pack_bits("1000000001", &mut packed), Ok(10));
        assert_eq!(packed, [0x80, 0x40]);
        assert_eq!(bits_text(10, &packed), "1000000001");
        assert!(pack_bits("012", &mut packed).is_err());
        assert_eq!(binary_bits(&[0, 0, 0, 10, 0x80, 0x40]), Ok((10, &[0x80, 0x40][..])));
        assert!(binary_bits(&[0xff, 0xff, 0xff, 0xff, 0]).is_err());
    }

    #[test]
    fn binary_vectors_have_the_length_that_they_state() {
        let mut out = Vec::new();
        binary_floats(&[0, 1, 0, 0, 0x3f, 0x80, 0, 0], &mut out).unwrap();
        binary_halves(&[0, 1, 0, 0, 0x3c, 0], &mut out).unwrap();
        assert_eq!(out, [1.0, 1.0]);
        for wrong in [&[0, 1, 0, 0, 0x3f][..], &[0, 0, 0, 0], &[0, 1], &[0, 1, 0, 1, 0, 0, 0, 0]] {
            assert!(binary_floats(wrong, &mut out).is_err());
        }
    }
}

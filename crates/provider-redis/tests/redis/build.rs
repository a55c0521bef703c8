//! RDB files made by hand, byte by byte.

/// A file that grows.
pub struct Rdb(pub Vec<u8>);

impl Rdb {
    pub fn new(magic: &str) -> Self {
        Rdb(magic.as_bytes().to_vec())
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn database(self, number: u8) -> Self {
        self.raw(&[254, number])
    }

    /// A key with a value of `kind`.
    pub fn key(self, kind: u8, name: &str, value: &[u8]) -> Self {
        self.raw(&[kind]).raw(&text(name.as_bytes())).raw(value)
    }

    /// A plain hash with the field `v` and others.
    pub fn hash(self, name: &str, vector: &[u8], others: &[(&str, &str)]) -> Self {
        let pairs: Vec<(&[u8], &[u8])> =
            [(&b"v"[..], vector)].into_iter().chain(others.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes()))).collect();
        self.key(4, name, &hash(&pairs))
    }

    /// The end mark with the right checksum.
    pub fn end(mut self) -> Vec<u8> {
        self.0.push(255);
        let sum = checksum(&self.0);
        self.0.extend_from_slice(&sum.to_le_bytes());
        self.0
    }
}

/// The checksum, bit by bit.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u64::from(*byte),
            |crc: u64, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0x95ac_9329_ac4b_c9b5 } else { crc >> 1 }
            },
        )
    })
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub fn number(value: u64) -> Vec<u8> {
    match value {
        0..64 => vec![value as u8],
        64..16_384 => vec![0x40 | (value >> 8) as u8, value as u8],
        16_384..0x1_0000_0000 => [&[0x80][..], &(value as u32).to_be_bytes()].concat(),
        _ => [&[0x81][..], &value.to_be_bytes()].concat(),
    }
}

pub fn text(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A string in LZF, literals only.
pub fn lzf(bytes: &[u8]) -> Vec<u8> {
    let packed: Vec<u8> = bytes.chunks(32).flat_map(|chunk| [&[chunk.len() as u8 - 1][..], chunk].concat()).collect();
    [vec![0xc3], number(packed.len() as u64), number(bytes.len() as u64), packed].concat()
}

pub fn hash(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let body = pairs.iter().flat_map(|(name, value)| [text(name), text(value)].concat());
    number(pairs.len() as u64).into_iter().chain(body).collect()
}

/// A listpack of texts in the shortest encodings that hold them, and numbers given as their encoding.
pub fn listpack(items: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for item in items {
        body.extend_from_slice(item);
        body.extend_from_slice(&back_length(item.len()));
    }
    let len = (body.len() + 7) as u32;
    [&len.to_le_bytes()[..], &(items.len() as u16).to_le_bytes(), &body, &[255]].concat()
}

fn back_length(len: usize) -> Vec<u8> {
    match len {
        0..=127 => vec![len as u8],
        128..=16_382 => vec![(len >> 7) as u8, len as u8 & 127 | 128],
        _ => vec![(len >> 14) as u8, (len >> 7) as u8 & 127 | 128, len as u8 & 127 | 128],
    }
}

/// An element of a listpack.
pub fn packed_text(bytes: &[u8]) -> Vec<u8> {
    match bytes.len() {
        len @ 0..64 => [&[0x80 | len as u8][..], bytes].concat(),
        len @ 64..4096 => [&[0xe0 | (len >> 8) as u8, len as u8][..], bytes].concat(),
        len => [&[0xf0][..], &(len as u32).to_le_bytes(), bytes].concat(),
    }
}

/// A ziplist of encoded elements.
pub fn ziplist(items: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut before = 0usize;
    for item in items {
        let mut entry =
            if before < 254 { vec![before as u8] } else { [&[254][..], &(before as u32).to_le_bytes()].concat() };
        entry.extend_from_slice(item);
        before = entry.len();
        body.extend_from_slice(&entry);
    }
    let (len, tail) = ((body.len() + 11) as u32, (body.len() + 10 - before) as u32);
    [&len.to_le_bytes()[..], &tail.to_le_bytes(), &(items.len() as u16).to_le_bytes(), &body, &[255]].concat()
}

/// An element of a ziplist.
pub fn zip_text(bytes: &[u8]) -> Vec<u8> {
    match bytes.len() {
        len @ 0..64 => [&[len as u8][..], bytes].concat(),
        len @ 64..16_384 => [&[0x40 | (len >> 8) as u8, len as u8][..], bytes].concat(),
        len => [&[0x80][..], &(len as u32).to_be_bytes(), bytes].concat(),
    }
}

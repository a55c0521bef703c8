//! Writes the vectors of one name: dense ones and multivectors in chunks, sparse ones in a Gridstore.
//!
//! ```text
//! vectors/config.json     chunk_size_bytes, chunk_size_vectors, dim, populate
//! vectors/status.dat      u64 number of rows
//! vectors/chunk_<n>.mmap  rows, zeros up to chunk_size_bytes
//! offsets/                multivectors: the same with one element of 12 B per point:
//!                         u32 first row of `vectors`, u32 rows, u32 room; rows of a point never cross a chunk
//! store/                  sparse: a Gridstore of u64 bytes, packed indices, u64 count, f32 values
//! deleted/status.dat      u64 number of flags, u64 0
//! deleted/flags_a.dat     a bit per point, set where it has no such vector
//! ```
//!
//! Errors: limit for a multivector that no chunk holds.

use serde_json::json;
use tranship_collection::{Element, VectorKind, VectorSpec, VectorValue};
use tranship_connector::mapping::unit_scale;
use tranship_connector::{Error, Result};

use super::gridstore::{Compression, GridstoreWriter};
use super::pieces::{Member, MemberRecipe, PieceFile};

/// Bytes of a chunk, of which whole rows are used.
const CHUNK_BYTES: u64 = 32 << 20;
/// Bytes of an entry of `offsets`.
const OFFSET_BYTES: u64 = 12;
/// Size of a file of flags; enough for as many points as a segment may have.
const FLAGS_BYTES: u64 = 1 << 20;
/// Most points of a segment.
pub const MAX_POINTS: u64 = FLAGS_BYTES * 8;

/// What a segment has to know of a vector.
#[derive(Debug, Clone)]
pub struct VectorShape {
    /// Empty for the unnamed vector.
    pub name: String,
    /// Dense, multi or sparse.
    pub kind: VectorKind,
    /// Element type in the files.
    pub element: Element,
    /// Elements of a row.
    pub dim: usize,
    /// True if rows are brought to unit length.
    pub to_unit: bool,
}

impl VectorShape {
    /// The shape of a vector of the stored schema that Qdrant keeps in `element`.
    pub fn of(spec: &VectorSpec, element: Element, to_unit: bool) -> Self {
        VectorShape { name: spec.name.clone(), kind: spec.kind, element, dim: spec.dim.unwrap_or(0), to_unit }
    }

    /// The vector's directory in a segment.
    pub fn directory(&self) -> String {
        if self.name.is_empty() { "vector_storage".to_owned() } else { format!("vector_storage-{}", self.name) }
    }

    /// Files that are open at a time.
    pub fn open_members(kind: VectorKind) -> usize {
        if kind == VectorKind::Dense { 2 } else { 3 }
    }
}

/// The vectors of one name under construction.
pub struct VectorWriter {
    shape: VectorShape,
    flags: Flags,
    store: Store,
    bytes: Vec<u8>,
}

enum Store {
    Dense(Chunks),
    Multi { rows: Chunks, offsets: Chunks },
    Sparse(GridstoreWriter),
}

impl VectorWriter {
    /// No vectors yet.
    pub fn new(shape: &VectorShape) -> Result<Self> {
        let directory = shape.directory();
        let chunks = |name: &str, dim: usize, width: u64| Chunks::new(format!("{directory}/{name}"), dim, width);
        let width = (shape.dim * shape.element.bytes()) as u64;
        let store = match shape.kind {
            VectorKind::Dense => Store::Dense(chunks("vectors", shape.dim, width)),
            VectorKind::Multi => {
                Store::Multi { rows: chunks("vectors", shape.dim, width), offsets: chunks("offsets", 1, OFFSET_BYTES) }
            }
            VectorKind::Sparse => Store::Sparse(GridstoreWriter::new(format!("{directory}/store"), Compression::None)),
            VectorKind::Bits => return Err(Error::bug("a bit vector on its way to Qdrant")),
        };
        Ok(VectorWriter { shape: shape.clone(), flags: Flags::default(), store, bytes: Vec::new() })
    }

    /// The vector of the next point.
    pub fn push(&mut self, value: Option<&VectorValue<'_>>, out: &mut PieceFile) -> Result<()> {
        self.flags.push(value.is_none(), out)?;
        self.bytes.clear();
        match (&mut self.store, value) {
            (Store::Dense(rows), value) => {
                match value {
                    None => self.bytes.resize(self.shape.dim * self.shape.element.bytes(), 0),
                    Some(VectorValue::Dense(values)) => self.shape.append(values, &mut self.bytes),
                    Some(VectorValue::Widened(values)) => self.shape.append(values, &mut self.bytes),
                    Some(_) => return Err(mixed()),
                }
                rows.push(&self.bytes, 1, out).map(drop)
            }
            (Store::Multi { offsets, .. }, None) => offsets.push(&[0; OFFSET_BYTES as usize], 1, out).map(drop),
            (Store::Multi { rows, offsets }, Some(VectorValue::Multi(values))) => {
                self.shape.append(values, &mut self.bytes);
                let count = (values.len() / self.shape.dim.max(1)) as u64;
                let first = rows.push(&self.bytes, count, out)?;
                let entry = [first as u32, count as u32, count as u32].map(u32::to_le_bytes);
                offsets.push(entry.as_flattened(), 1, out).map(drop)
            }
            (Store::Sparse(store), None) => store.push(None, out),
            (Store::Sparse(store), Some(VectorValue::Sparse(indices, values))) => {
                append_sparse(indices, values, &mut self.bytes);
                store.push(Some(&self.bytes), out)
            }
            _ => Err(mixed()),
        }
    }

    /// Completes the files.
    pub fn finish(self, out: &mut PieceFile) -> Result<Vec<MemberRecipe>> {
        let mut members = match self.store {
            Store::Dense(rows) => rows.finish(out)?,
            Store::Multi { rows, offsets } => [rows.finish(out)?, offsets.finish(out)?].concat(),
            Store::Sparse(store) => store.finish(out)?,
        };
        members.extend(self.flags.finish(&self.shape.directory(), out)?);
        Ok(members)
    }
}

fn mixed() -> Error {
    Error::bug("a vector of another kind than its column")
}

impl VectorShape {
    /// Appends rows as they stand in the files.
    fn append(&self, values: &[f32], out: &mut Vec<u8>) {
        if !self.to_unit {
            return append_elements(values.iter().copied(), self.element, out);
        }
        for row in values.chunks(self.dim.max(1)) {
            let scale = unit_scale(row);
            append_elements(row.iter().map(|value| value * scale), self.element, out);
        }
    }
}

fn append_elements(values: impl ExactSizeIterator<Item = f32>, element: Element, out: &mut Vec<u8>) {
    match element {
        Element::F16 => values.for_each(|value| out.extend_from_slice(&half::f16::from_f32(value).to_le_bytes())),
        Element::U8 => out.extend(values.map(|value| value as u8)),
        Element::F32 | Element::BF16 | Element::I8 => {
            // Room first, so that the loop is one over plain arrays.
            let start = out.len();
            out.resize(start + 4 * values.len(), 0);
            out[start..]
                .as_chunks_mut::<4>()
                .0
                .iter_mut()
                .zip(values)
                .for_each(|(to, value)| *to = value.to_le_bytes());
        }
    }
}

/// Appends a sparse vector: differences of the indices in the fewest bits that hold all of them, then the values.
fn append_sparse(indices: &[u32], values: &[f32], out: &mut Vec<u8>) {
    let packed = packed(indices);
    out.extend_from_slice(&(packed.len() as u64).to_le_bytes());
    out.extend_from_slice(&packed);
    out.extend_from_slice(&(values.len() as u64).to_le_bytes());
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

/// Six bits of width less eight, then each difference in so many bits, the lowest first.
fn packed(indices: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    let differences = || {
        let mut last = 0;
        indices.iter().map(move |index| u64::from(index - std::mem::replace(&mut last, *index)))
    };
    let Some(widest) = differences().max() else { return out };
    let width = (64 - widest.leading_zeros()).max(8);
    let (mut word, mut bits) = (u64::from(width - 8), 6);
    for difference in differences() {
        // At most 7 bits are left over and 32 come: the word never overflows.
        word |= difference << bits;
        bits += width;
        while bits >= 8 {
            out.push(word as u8);
            word >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(word as u8);
    }
    out
}

/// Rows of one width in files of one size.
struct Chunks {
    directory: String,
    dim: usize,
    width: u64,
    /// Rows of a chunk.
    capacity: u64,
    rows: u64,
    chunk: Member,
    done: Vec<MemberRecipe>,
}

impl Chunks {
    fn new(directory: String, dim: usize, width: u64) -> Self {
        let capacity = (CHUNK_BYTES / width.max(1)).max(1);
        Chunks { directory, dim, width, capacity, rows: 0, chunk: Member::default(), done: Vec::new() }
    }

    /// Appends rows that stand in one chunk; the number of the first of them.
    fn push(&mut self, rows: &[u8], count: u64, out: &mut PieceFile) -> Result<u64> {
        if count > self.capacity {
            let what = format!("a multivector of {count} rows; Qdrant keeps at most {} together", self.capacity);
            return Err(Error::limit(what).hint("set the record aside, or use --target-option form=bodies"));
        }
        let room = self.capacity - self.rows % self.capacity;
        if count > room {
            self.chunk.push_zeros(room * self.width, out)?;
            self.rows += room;
            self.end_if_full(out)?;
        }
        let first = self.rows;
        self.chunk.push(rows, out)?;
        self.rows += count;
        self.end_if_full(out)?;
        Ok(first)
    }

    fn end_if_full(&mut self, out: &mut PieceFile) -> Result<()> {
        if self.chunk.bytes() == self.capacity * self.width { self.end_chunk(out) } else { Ok(()) }
    }

    fn end_chunk(&mut self, out: &mut PieceFile) -> Result<()> {
        let name = format!("{}/chunk_{}.mmap", self.directory, self.done.len());
        self.done.push(std::mem::take(&mut self.chunk).finish(name, self.capacity * self.width, out)?);
        Ok(())
    }

    fn finish(mut self, out: &mut PieceFile) -> Result<Vec<MemberRecipe>> {
        if self.chunk.bytes() > 0 {
            self.end_chunk(out)?;
        }
        let config = json!({
            "chunk_size_bytes": self.capacity * self.width, "chunk_size_vectors": self.capacity, "dim": self.dim,
            "populate": true,
        });
        let name = |file: &str| format!("{}/{file}", self.directory);
        let mut members = vec![
            Member::of(name("config.json"), config.to_string().as_bytes(), out)?,
            Member::of(name("status.dat"), &self.rows.to_le_bytes(), out)?,
        ];
        members.append(&mut self.done);
        Ok(members)
    }
}

/// One bit per point.
#[derive(Default)]
struct Flags {
    bits: Member,
    byte: u8,
    count: u64,
}

impl Flags {
    fn push(&mut self, flag: bool, out: &mut PieceFile) -> Result<()> {
        self.byte |= u8::from(flag) << (self.count % 8);
        self.count += 1;
        if self.count.is_multiple_of(8) {
            self.bits.push(&[std::mem::take(&mut self.byte)], out)?;
        }
        Ok(())
    }

    fn finish(mut self, directory: &str, out: &mut PieceFile) -> Result<Vec<MemberRecipe>> {
        if !self.count.is_multiple_of(8) {
            self.bits.push(&[self.byte], out)?;
        }
        let status = [self.count.to_le_bytes(), 0u64.to_le_bytes()].concat();
        Ok(vec![
            Member::of(format!("{directory}/deleted/status.dat"), &status, out)?,
            self.bits.finish(format!("{directory}/deleted/flags_a.dat"), FLAGS_BYTES, out)?,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_packed_as_the_engine_packs_them() {
        // Eight bits suffice: six zeros, then 3 and 6 from bit 6 on.
        assert_eq!(packed(&[3, 9]), [0b1100_0000, 0b1000_0000, 0b0000_0001]);
        assert_eq!(packed(&[]), Vec::<u8>::new());
        let wide = packed(&[0, u32::MAX]);
        assert_eq!((wide.len(), wide[0] & 0x3f), ((6 + 64usize).div_ceil(8), 24));
    }
}

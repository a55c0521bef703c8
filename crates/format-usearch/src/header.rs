//! Where the parts of a file lie, and what its head says.
//!
//! ```text
//! head: "usearch" | u16 major, minor, patch | u8 metric | u8 scalar | u8 key | u8 slot | u64 present | u64 deleted
//!       | u64 dims | u8 multi | zeros to 64 bytes
//! ```
//! Invariant: a [`Layout`] exists only if the matrix, the head, the graph's header and the levels lie within the file
//! and agree with each other; what a node takes is at most 2^40 bytes.

use std::path::Path;

use tranship_collection::{Element, Metric};
use tranship_connector::{Error, Result};
use tranship_storage::{InputFile, Limits};

const MAGIC: &[u8; 7] = b"usearch";
const HEAD_BYTES: u64 = 64;
const GRAPH_BYTES: u64 = 40;
/// Key and level of a node.
pub const NODE_HEAD_BYTES: u64 = 10;
/// Links per node beyond which no index was ever built.
const MAX_LINKS: u64 = 1 << 20;
/// The kinds of keys and slots that we know.
const KEY_U64: u8 = 14;
const SLOTS: [(u8, u64); 3] = [(15, 4), (2, 5), (14, 8)];

/// How the elements of vectors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// As one of our element types.
    Is(Element),
    /// Doubles.
    F64,
    /// Bits, eight to a byte.
    Bits,
}

/// A file's parts.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Where row 0 begins.
    pub matrix: u64,
    /// Vectors, removed ones included.
    pub rows: u64,
    /// Bytes of one vector.
    pub row_bytes: u64,
    /// Version of usearch that wrote the file.
    pub version: [u16; 3],
    /// The letter of the metric.
    pub metric_letter: u8,
    /// Element type.
    pub scalar: Scalar,
    /// Vectors that were not removed.
    pub present: u64,
    /// Vectors that were removed and whose slots were not re-used.
    pub deleted: u64,
    /// Elements or bits of a vector.
    pub dims: u64,
    /// One key may have several vectors.
    pub multi: bool,
    /// Links per node on the upper levels.
    pub connectivity: u64,
    /// Links per node on level 0.
    pub connectivity_base: u64,
    /// Highest level.
    pub max_level: u64,
    /// Where the levels begin.
    pub levels: u64,
    /// Where the nodes begin.
    pub nodes: u64,
    /// Bytes of a node that is on level 0 only.
    pub node_bytes: u64,
    /// Bytes that each further level adds.
    pub level_bytes: u64,
}

/// True if a head lies where the beginning of the file says, or at the beginning.
pub fn has_magic(file: &InputFile) -> bool {
    matches!(find_head(file), Ok(Some(_)))
}

/// Where the matrix and the head begin, with rows and bytes of a row; a matrix of no size at 0 if it is left out.
struct Found {
    matrix: u64,
    rows: u64,
    row_bytes: u64,
    head: u64,
}

impl Layout {
    /// Reads and checks everything but the nodes.
    pub fn read(file: &InputFile, limits: &Limits) -> Result<Self> {
        let path = file.path();
        let Some(found) = find_head(file)? else {
            return Err(damaged(path, "no usearch head stands behind the matrix that the file begins with")
                .hint("the file is cut off, or no usearch index; copy it again and compare sizes"));
        };
        if found.head == 0 {
            return Err(Error::not_recognised(format!("{} holds a usearch graph without its vectors", path.display()))
                .hint("save the index again with its vectors, or read the vectors from where they are kept"));
        }
        let head = exact::<{ HEAD_BYTES as usize }>(file, found.head)?;
        let graph_at = found.head + HEAD_BYTES;
        let graph = exact::<{ GRAPH_BYTES as usize }>(file, graph_at)?;
        let slot_bytes = slot_bytes(path, &head)?;
        let layout = Layout {
            matrix: found.matrix,
            rows: found.rows,
            row_bytes: found.row_bytes,
            version: [u16_at(&head, 7), u16_at(&head, 9), u16_at(&head, 11)],
            metric_letter: head[13],
            scalar: scalar(path, head[14])?,
            present: u64_at(&head, 17),
            deleted: u64_at(&head, 25),
            dims: u64_at(&head, 33),
            multi: head[41] != 0,
            connectivity: u64_at(&graph, 8),
            connectivity_base: u64_at(&graph, 16),
            max_level: u64_at(&graph, 24),
            levels: graph_at + GRAPH_BYTES,
            nodes: 0,
            node_bytes: 0,
            level_bytes: 0,
        };
        layout.check(path, file.len(), u64_at(&graph, 0), slot_bytes, limits)
    }

    /// The metric, if it is one of ours.
    pub fn metric(&self) -> Option<Metric> {
        match (self.metric_letter, self.scalar) {
            (b'c', _) => Some(Metric::Cosine),
            (b'i', _) => Some(Metric::Dot),
            (b'e', _) => Some(Metric::L2),
            (b'b', _) => Some(Metric::Hamming),
            // Over bits the two are the same.
            (b'j' | b't', Scalar::Bits) => Some(Metric::Jaccard),
            _ => None,
        }
    }

    fn check(self, path: &Path, len: u64, size: u64, slot_bytes: u64, limits: &Limits) -> Result<Self> {
        if self.dims > limits.max_dim as u64 {
            return Err(Error::limit(format!("{} dimensions, the limit is {}", self.dims, limits.max_dim))
                .with("file", path.display())
                .hint("if the vectors really are that long, raise the limit"));
        }
        let wanted = match self.scalar {
            Scalar::Is(element) => self.dims * element.bytes() as u64,
            Scalar::F64 => self.dims * 8,
            Scalar::Bits => self.dims.div_ceil(8),
        };
        if self.dims == 0 || self.row_bytes != wanted {
            let row_bytes = self.row_bytes;
            return Err(damaged(path, format!("{} dimensions in {row_bytes} bytes, not {wanted}", self.dims)));
        }
        let counted = self.present.checked_add(self.deleted);
        if size != self.rows || counted != Some(size) {
            let Layout { rows, present, deleted, .. } = self;
            return Err(damaged(
                path,
                format!("{rows} vectors, {size} nodes, {present} present and {deleted} deleted keys"),
            ));
        }
        if self.connectivity > MAX_LINKS || self.connectivity_base > MAX_LINKS {
            let Layout { connectivity, connectivity_base, .. } = self;
            return Err(damaged(path, format!("{connectivity} and {connectivity_base} links per node")));
        }
        if size > 0 && self.max_level > i16::MAX as u64 {
            return Err(damaged(path, format!("a highest level of {}", self.max_level)));
        }
        let node_bytes = NODE_HEAD_BYTES + self.connectivity_base * slot_bytes + 4;
        let nodes = size.checked_mul(2).and_then(|bytes| bytes.checked_add(self.levels));
        let end = nodes.zip(size.checked_mul(node_bytes)).and_then(|(start, bytes)| start.checked_add(bytes));
        let (Some(nodes), Some(_)) = (nodes, end.filter(|end| *end <= len)) else {
            return Err(damaged(
                path,
                format!("{len} bytes are too few for {size} nodes of at least {node_bytes} bytes"),
            ));
        };
        Ok(Layout { nodes, node_bytes, level_bytes: self.connectivity * slot_bytes + 4, ..self })
    }
}

fn find_head(file: &InputFile) -> Result<Option<Found>> {
    let mut start = [0; 16];
    let count = file.read_at(0, &mut start)?;
    if magic_at(file, 0)? {
        return Ok(Some(Found { matrix: 0, rows: 0, row_bytes: 0, head: 0 }));
    }
    let narrow = (8, u64::from(u32_at(&start, 0)), u64::from(u32_at(&start, 4)));
    let wide = (16, u64_at(&start, 0), u64_at(&start, 8));
    for (matrix, rows, row_bytes) in [narrow, wide] {
        let head = rows.checked_mul(row_bytes).and_then(|bytes| bytes.checked_add(matrix));
        if let Some(head) = head.filter(|_| count as u64 >= matrix)
            && magic_at(file, head)?
        {
            return Ok(Some(Found { matrix, rows, row_bytes, head }));
        }
    }
    Ok(None)
}

/// True if a whole head and the header of a graph may stand at `offset`.
fn magic_at(file: &InputFile, offset: u64) -> Result<bool> {
    if offset.checked_add(HEAD_BYTES).is_none_or(|end| end > file.len()) {
        return Ok(false);
    }
    Ok(exact::<7>(file, offset)? == *MAGIC)
}

fn slot_bytes(path: &Path, head: &[u8; HEAD_BYTES as usize]) -> Result<u64> {
    let (key, slot) = (head[15], head[16]);
    let known = SLOTS.iter().find(|(kind, _)| *kind == slot).filter(|_| key == KEY_U64);
    known.map(|(_, bytes)| *bytes).ok_or_else(|| {
        Error::not_recognised(format!("the usearch index has keys of kind {key} and slots of kind {slot}"))
            .with("file", path.display())
            .hint("64-bit keys (kind 14) are read; add the vectors to an index with such keys")
    })
}

fn scalar(path: &Path, kind: u8) -> Result<Scalar> {
    Ok(match kind {
        1 => Scalar::Bits,
        4 => Scalar::Is(Element::BF16),
        10 => Scalar::F64,
        11 => Scalar::Is(Element::F32),
        12 => Scalar::Is(Element::F16),
        17 => Scalar::Is(Element::U8),
        23 => Scalar::Is(Element::I8),
        5..=8 | 13 => {
            return Err(Error::not_recognised(format!(
                "the usearch index stores floats of 8 bits or fewer (kind {kind})"
            ))
            .with("file", path.display())
            .hint("read the vectors from where they came from, or save the index with dtype f16"));
        }
        _ => {
            return Err(damaged(path, format!("scalars of the unknown kind {kind}")));
        }
    })
}

pub(crate) fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::damaged(format!("the usearch index contradicts itself: {what}"))
        .with("file", path.display())
        .hint("copy it again while nothing writes to it, and compare file sizes")
}

fn exact<const N: usize>(file: &InputFile, offset: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(offset, &mut bytes)?;
    Ok(bytes)
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

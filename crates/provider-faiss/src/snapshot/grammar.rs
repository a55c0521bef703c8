//! The structure of an index file: which index lies within which, and where its vectors stand.
//!
//! ```text
//! index      fourcc | header | what the type adds, other indexes among it
//! header     i32 d | i64 ntotal | i64 | i64 | u8 is_trained | i32 metric | f32 metric_arg, only if metric > 1
//! of binary  i32 d (bits) | i32 code_size | i64 ntotal | u8 is_trained | i32 metric
//! vec<T>     u64 count | T[count]
//!
//! IxF2 IxFI IxFl       header | vec<f32>
//! IxSQ                 header | scalar quantiser | vec<u8>
//! IxMp IxM2            header | index | vec<i64> ids
//! IxPT                 header | i32 n | transforms | index
//! IxRF                 header | base index | index of the vectors | f32
//! IBxF                 header | vec<u8>
//! scalar quantiser     i32 type | i32 range | f32 | u64 d | u64 code_size | vec<f32> trained
//! ```
//!
//! Graphs are drawn in [`super::graph`], inverted lists in [`super::lists`], quantisers that are only stepped over in
//! [`super::codes`]. Invariant: an [`Index`] says where every vector stands, all of it lies within the file, and the
//! counts and dimensions of an index and of those within it agree. Nothing of the vectors is read.
//!
//! Errors: damaged for what does not fit, not recognised for a type that is not read, limit for dimensions beyond
//! [`Limits::max_dim`]. Source: facebookresearch/faiss 1.15, `faiss/impl/{index_read,index_write}.cpp`.

use tranship_connector::{Error, Result};
use tranship_storage::Limits;

use super::cursor::{Cursor, Span};
use super::graph::{self, Graph};
use super::lists::{self, Lists};
use super::{codes, transform};
use crate::dialect::{Fourcc, Reading, Scalars, metric};

/// Indexes within indexes; FAISS itself builds five at most.
const MAX_DEPTH: usize = 16;
/// `d` beyond which FAISS refuses an index.
const MAX_FAISS_DIM: i32 = 1 << 20;

/// What every index begins with.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// Elements of a vector, bits of a binary one.
    pub dim: u64,
    /// Vectors in the index.
    pub rows: u64,
    /// The metric's number; without meaning for a binary index.
    pub metric: i32,
    /// The metric's parameter: p of an Lp distance.
    pub metric_arg: Option<f32>,
    /// False for an index that still has to be trained.
    pub trained: bool,
}

/// One index and those within it.
#[derive(Debug)]
pub struct Index {
    /// Its type.
    pub fourcc: Fourcc,
    /// Its header.
    pub header: Header,
    /// What it consists of.
    pub body: Body,
}

/// What an index consists of.
#[derive(Debug)]
pub enum Body {
    /// Vectors one after another; `count` counts them.
    Codes(Codec, Span),
    /// An index whose row numbers stand for the ids of this list.
    Mapped(Box<Index>, Span),
    /// A graph beside the index that holds the vectors.
    Graph(Option<Graph>, Box<Index>),
    /// Inverted lists.
    Lists(Lists),
    /// An index of vectors that were transformed before.
    Transformed(Vec<transform::Transform>, Box<Index>),
    /// An index of approximations, and one of the vectors.
    Refined(Box<Index>, Box<Index>),
    /// Codes from which the vectors cannot be told.
    Lossy,
}

/// How one vector is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As f32.
    F32,
    /// As bits.
    Bits,
    /// By a scalar quantiser, whose trained ranges stand at this place.
    Scalar(Scalars, Span),
}

impl Codec {
    /// Bytes of a vector of `dim` elements.
    pub fn row_bytes(self, dim: u64) -> u64 {
        match self {
            Codec::F32 => dim.saturating_mul(4),
            Codec::Bits => dim.div_ceil(8),
            Codec::Scalar(scalars, _) => scalars.row_bytes(dim),
        }
    }
}

/// Reads indexes.
pub struct Grammar<'a> {
    /// Where the next index stands.
    pub cursor: Cursor<'a>,
    limits: &'a Limits,
    depth: usize,
}

impl<'a> Grammar<'a> {
    /// For the index at the cursor.
    pub fn new(cursor: Cursor<'a>, limits: &'a Limits) -> Self {
        Grammar { cursor, limits, depth: 0 }
    }

    /// The index that fills the file.
    pub fn whole_file(mut self) -> Result<Index> {
        let index = self.index()?;
        match self.cursor.remaining() {
            0 => Ok(index),
            rest => Err(self.cursor.bad(format_args!("{rest} bytes follow after the end of the index"))),
        }
    }

    /// The index at the cursor.
    pub fn index(&mut self) -> Result<Index> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.cursor.bad(format_args!("more than {MAX_DEPTH} indexes within each other")));
        }
        let at = self.cursor.at();
        let fourcc = Fourcc(self.cursor.code("the type of an index")?);
        if !matches!(fourcc.meaning(), Some((Reading::Known, _))) {
            return Err(self.located(fourcc.refusal(), at));
        }
        let header = header(&mut self.cursor, fourcc)?;
        if header.dim > self.limits.max_dim as u64 {
            let error =
                Error::limit(format!("vectors of {} dimensions, the limit is {}", header.dim, self.limits.max_dim))
                    .hint("FAISS is not used with so many; check where the file comes from");
            return Err(self.located(error, at));
        }
        if header.dim == 0 && header.rows > 0 {
            return Err(self.cursor.bad(format_args!("{} vectors without dimensions", header.rows)));
        }
        let body = self.body(fourcc, &header)?;
        self.depth -= 1;
        Ok(Index { fourcc, header, body })
    }

    fn body(&mut self, fourcc: Fourcc, header: &Header) -> Result<Body> {
        match &fourcc.0 {
            b"IxF2" | b"IxFI" | b"IxFl" => self.codes(Codec::F32, header, 4, "the vectors"),
            b"IBxF" => self.codes(Codec::Bits, header, 1, "the vectors"),
            b"IxSQ" => {
                let codec = self.scalar_quantiser(header.dim)?;
                self.codes(codec, header, 1, "the codes")
            }
            b"IxMp" | b"IxM2" | b"IBMp" | b"IBM2" => {
                let inner = self.inner(fourcc, header)?;
                let ids = self.cursor.vector(8, "the id map")?;
                self.same(ids.count, header.rows, "ids in the id map")?;
                Ok(Body::Mapped(Box::new(inner), ids))
            }
            b"IHNf" | b"IHNs" | b"IHNp" | b"IHN2" | b"IHNc" | b"IHc2" | b"IHfP" | b"IH00" | b"IBHf" | b"IBHc" => {
                let graph = graph::hnsw(&mut self.cursor, fourcc, header)?;
                Ok(Body::Graph(Some(graph), Box::new(self.inner(fourcc, header)?)))
            }
            b"INSf" | b"INSs" | b"INSp" => {
                graph::nsg(&mut self.cursor, header)?;
                Ok(Body::Graph(None, Box::new(self.inner(fourcc, header)?)))
            }
            b"INNf" => {
                graph::nn_descent(&mut self.cursor)?;
                Ok(Body::Graph(None, Box::new(self.inner(fourcc, header)?)))
            }
            b"IxPT" => self.transformed(header),
            b"IxRF" => {
                let base = self.index()?;
                let refine = self.inner(fourcc, header)?;
                self.cursor.f32("the refinement factor")?;
                Ok(Body::Refined(Box::new(base), Box::new(refine)))
            }
            b"IxPQ" | b"IxPo" | b"IxPq" | b"IPfs" | b"Imiq" => {
                codes::step_over(&mut self.cursor, fourcc)?;
                Ok(Body::Lossy)
            }
            _ => lists::read(self, fourcc, header),
        }
    }

    /// The index within one of `rows` vectors of the same dimensions.
    pub fn inner(&mut self, outer: Fourcc, header: &Header) -> Result<Index> {
        let inner = self.index()?;
        self.same(inner.header.rows, header.rows, "vectors in the inner index")?;
        self.same(inner.header.dim, header.dim, "dimensions in the inner index")?;
        self.same_family(outer, &inner)?;
        Ok(inner)
    }

    /// An error unless `found` is `stated`.
    pub fn same(&self, found: u64, stated: u64, what: &str) -> Result<()> {
        match found == stated {
            true => Ok(()),
            false => Err(self.cursor.bad(format_args!("{found} {what}, where its header says {stated}"))),
        }
    }

    /// An error unless both or neither are binary.
    pub fn same_family(&self, outer: Fourcc, inner: &Index) -> Result<()> {
        match outer.is_binary() == inner.fourcc.is_binary() {
            true => Ok(()),
            false => Err(self.cursor.bad(format_args!("a {} index within {outer}", inner.fourcc))),
        }
    }

    /// The settings of a scalar quantiser for vectors of `dim` elements.
    pub fn scalar_quantiser(&mut self, dim: u64) -> Result<Codec> {
        let at = self.cursor.at();
        let number = self.cursor.i32("the type of the scalar quantiser")?;
        self.cursor.i32("the range of the scalar quantiser")?;
        self.cursor.f32("the range of the scalar quantiser")?;
        let own_dim = self.cursor.u64("the dimensions of the scalar quantiser")?;
        let code_size = self.cursor.u64("the code size of the scalar quantiser")?;
        let trained = self.cursor.vector(4, "the trained ranges of the scalar quantiser")?;
        let scalars = Scalars::of(number).map_err(|error| self.located(error, at))?;
        self.same(own_dim, dim, "dimensions in the scalar quantiser")?;
        self.same(code_size, scalars.row_bytes(dim), "bytes of code")?;
        if let Scalars::Steps { uniform, .. } = scalars {
            let ranges = if uniform { 1 } else { dim };
            // An untrained quantiser has none yet.
            if trained.count != 0 {
                self.same(trained.count, 2 * ranges, "numbers in the ranges of the scalar quantiser")?;
            }
        }
        Ok(Codec::Scalar(scalars, trained))
    }

    /// `error` with file and place.
    pub fn located(&self, error: Error, at: u64) -> Error {
        error.with("file", self.cursor.label()).with("offset", at)
    }

    /// The codes of all vectors, as a vector of items of `unit` bytes.
    fn codes(&mut self, codec: Codec, header: &Header, unit: u64, what: &str) -> Result<Body> {
        let span = self.cursor.vector(unit, what)?;
        let wanted = header.rows.checked_mul(codec.row_bytes(header.dim));
        if wanted != Some(span.count * unit) {
            let (rows, dim, bytes) = (header.rows, header.dim, span.count * unit);
            return Err(self.cursor.bad(format_args!("{rows} vectors of {dim} dimensions do not fill {bytes} bytes")));
        }
        Ok(Body::Codes(codec, Span { at: span.at, count: header.rows }))
    }

    fn transformed(&mut self, header: &Header) -> Result<Body> {
        let count = self.cursor.i32("the number of transforms")?;
        let Ok(count) = u64::try_from(count) else {
            return Err(self.cursor.bad(format_args!("{count} transforms")));
        };
        let mut dim = header.dim;
        let mut chain = Vec::new();
        for _ in 0..count {
            let transform = transform::read(&mut self.cursor)?;
            self.same(transform.dim_in, dim, "dimensions before a transform")?;
            dim = transform.dim_out;
            chain.push(transform);
        }
        let inner = self.index()?;
        self.same(inner.header.dim, dim, "dimensions in the inner index")?;
        if inner.fourcc.is_binary() {
            return Err(self.cursor.bad("a binary index within IxPT"));
        }
        Ok(Body::Transformed(chain, Box::new(inner)))
    }
}

/// The header at the cursor, of an index of type `fourcc`.
pub fn header(cursor: &mut Cursor<'_>, fourcc: Fourcc) -> Result<Header> {
    let dim = cursor.i32("the dimensions")?;
    if !(0..=MAX_FAISS_DIM).contains(&dim) {
        return Err(cursor.bad(format_args!("{dim} dimensions")));
    }
    if fourcc.is_binary() {
        let code_size = cursor.i32("the code size")?;
        if dim % 8 != 0 || code_size != dim / 8 {
            return Err(cursor.bad(format_args!("vectors of {dim} bits in {code_size} bytes")));
        }
    }
    let rows = cursor.i64("the number of vectors")?;
    let Ok(rows) = u64::try_from(rows) else {
        return Err(cursor.bad(format_args!("{rows} vectors")));
    };
    if !fourcc.is_binary() {
        cursor.block(2, 8, "the header")?;
    }
    let trained = cursor.flag("is_trained")?;
    let number = cursor.i32("the metric")?;
    if metric(number).is_none() {
        return Err(cursor.bad(format_args!("the metric {number} is unknown")));
    }
    let metric_arg = if number > 1 && !fourcc.is_binary() { Some(cursor.f32("the metric's parameter")?) } else { None };
    Ok(Header { dim: u64::from(dim.unsigned_abs()), rows, metric: number, metric_arg, trained })
}

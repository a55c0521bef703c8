//! What is read of an index: where its vectors and ids stand, and what is known of them.
//!
//! Invariant: the runs of a [`Plan`] are all rows of the index, numbered from 0 in the order of the file. The label of
//! a row is its id in the inverted lists, or its number; each id map then stands for the ids of the labels before it.
//! Vectors that are not exactly what was added are read only with `allow_lossy`, and `approximate` says why.
//!
//! Errors: loss denied for approximate vectors, not recognised for codes from which vectors cannot be told.

use serde_json::{Value, json};
use tranship_collection::{Element, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{Error, ErrorKind, Result};

use super::cursor::Span;
use super::grammar::{Body, Codec, Header, Index};
use super::graph::Graph;
use super::lists::Lists;
use super::transform::Transform;
use crate::dialect::{Fourcc, Scalars, metric};

/// How an index is read.
#[derive(Debug)]
pub struct Plan {
    /// The outermost header.
    pub header: Header,
    /// Types of the indexes within each other, outermost first.
    pub types: Vec<Fourcc>,
    /// Elements of a stored vector.
    pub dim: usize,
    /// Rows of all runs.
    pub rows: u64,
    /// How a vector is stored.
    pub codec: Codec,
    /// Where the f32 centroids stand that are to be added, by number of the list.
    pub centroids: Option<Span>,
    /// Rows that stand one after another.
    pub runs: Vec<Run>,
    /// Id maps, innermost first.
    pub id_maps: Vec<Span>,
    /// True if vectors were brought to unit length.
    pub normalised: bool,
    /// True if the user calls the inner product cosine.
    pub is_cosine: bool,
    /// How the index searches.
    pub index: Option<IndexSpec>,
    /// The HNSW graph over all rows, by their numbers.
    pub graph: Option<Graph>,
    /// Settings that only FAISS understands.
    pub settings: Vec<(&'static str, Value)>,
    /// Why vectors are not exactly what was added.
    pub approximate: Vec<String>,
    /// What else is worth telling.
    pub notes: Vec<String>,
}

const CALLED_COSINE: &str = "the index declares inner product and --metric says cosine: answers are the same only if all \
                             vectors, and all queries, have length 1";

/// Rows whose codes, and ids if they have any, stand one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Number of its first row.
    pub first: u64,
    /// Rows.
    pub rows: u64,
    /// Offset of the first code.
    pub codes_at: u64,
    /// Offset of the first id; `None` where a row's number is its label.
    pub ids_at: Option<u64>,
    /// Number of the list, for its centroid.
    pub list: u64,
}

impl Plan {
    /// How to read `index`.
    pub fn of(index: &Index, allow_lossy: bool) -> Result<Self> {
        let mut plan = Plan {
            header: index.header,
            types: Vec::new(),
            dim: 0,
            rows: 0,
            codec: Codec::F32,
            centroids: None,
            runs: Vec::new(),
            id_maps: Vec::new(),
            normalised: false,
            is_cosine: false,
            index: None,
            graph: None,
            settings: Vec::new(),
            approximate: Vec::new(),
            notes: Vec::new(),
        };
        plan.visit(index)?;
        match plan.approximate.is_empty() || allow_lossy {
            true => Ok(plan),
            false => Err(Error::new(
                ErrorKind::LossDenied,
                format!("the index keeps vectors that are not those that were added: {}", plan.approximate.join("; ")),
            )
            .hint("take the vectors from where they were added, or read what the index keeps with --allow-lossy")),
        }
    }

    /// Takes the user's word about an index of inner products: FAISS has no cosine but that of unit vectors.
    pub fn call_it(&mut self, said: Option<Metric>) {
        if said == Some(Metric::Cosine) && self.metric() == Some(Metric::Dot) {
            self.is_cosine = true;
            self.notes.push(CALLED_COSINE.to_owned());
        }
    }

    fn metric(&self) -> Option<Metric> {
        match self.codec {
            Codec::Bits => Some(Metric::Hamming),
            _ if self.is_cosine => Some(Metric::Cosine),
            _ => metric(self.header.metric).and_then(|(_, ours)| ours),
        }
    }

    /// The vector column.
    pub fn vector(&self) -> VectorSpec {
        let element = match (self.codec, self.centroids) {
            (Codec::Scalar(Scalars::Narrow(element), _), None) => element,
            (Codec::Scalar(Scalars::Signed, _), None) => Element::I8,
            (Codec::Bits, _) => Element::U8,
            _ => Element::F32,
        };
        let is_bits = self.codec == Codec::Bits;
        VectorSpec {
            kind: if is_bits { VectorKind::Bits } else { VectorKind::Dense },
            element,
            dim: Some(self.dim).filter(|dim| *dim > 0),
            metric: self.metric(),
            normalised: self.normalised,
            index: self.index.clone(),
            ..VectorSpec::dense("", self.dim)
        }
    }

    /// Bytes of one code.
    pub fn row_bytes(&self) -> u64 {
        self.codec.row_bytes(self.dim as u64)
    }

    /// The rows from `row` on that stand in one run, at most `most`, as a run of their own.
    pub fn piece(&self, row: u64, most: u64) -> Option<Run> {
        let next = self.runs.partition_point(|run| run.first <= row);
        let run = self.runs.get(next.checked_sub(1)?)?;
        let skipped = row - run.first;
        let rows = run.rows.checked_sub(skipped)?.min(most);
        Some(Run {
            first: row,
            rows,
            codes_at: run.codes_at + skipped * self.row_bytes(),
            ids_at: run.ids_at.map(|at| at + 8 * skipped),
            list: run.list,
        })
        .filter(|piece| piece.rows > 0)
    }

    fn visit(&mut self, index: &Index) -> Result<()> {
        self.types.push(index.fourcc);
        match &index.body {
            Body::Codes(codec, codes) => self.flat(index, *codec, *codes),
            Body::Mapped(inner, ids) => {
                self.visit(inner)?;
                self.id_maps.push(*ids);
                Ok(())
            }
            Body::Graph(graph, storage) => {
                match graph {
                    Some(graph) => {
                        self.searched(IndexSpec::Hnsw {
                            m: graph.m,
                            ef_construction: graph.ef_construction,
                            ef_search: Some(graph.ef_search).filter(|ef| *ef > 0),
                        });
                        self.graph = Some(*graph);
                    }
                    None => self.searched(other(index.fourcc, json!({}))),
                }
                self.visit(storage)
            }
            Body::Lists(lists) => self.lists(index, lists),
            Body::Transformed(transforms, inner) => {
                self.transformed(transforms);
                self.visit(inner)
            }
            Body::Refined(base, refine) => {
                self.searched(other(index.fourcc, json!({ "base": base.fourcc.shown() })));
                self.visit(refine)
            }
            Body::Lossy => Err(index.fourcc.refusal()),
        }
    }

    fn flat(&mut self, index: &Index, codec: Codec, codes: Span) -> Result<()> {
        self.stored(index, codec);
        self.searched(IndexSpec::Flat);
        if codes.count > 0 {
            self.runs = vec![Run { first: 0, rows: codes.count, codes_at: codes.at, ids_at: None, list: 0 }];
        }
        self.rows = codes.count;
        Ok(())
    }

    fn lists(&mut self, index: &Index, lists: &Lists) -> Result<()> {
        let Some(codec) = lists.codec else { return Err(index.fourcc.refusal()) };
        self.stored(index, codec);
        self.searched(other(index.fourcc, json!({ "nlist": lists.nlist, "nprobe": lists.nprobe })));
        if lists.by_residual && !lists.lists.is_empty() {
            self.centroids = Some(self.centroids_of(lists, codec)?);
        }
        let mut first = 0;
        for list in &lists.lists {
            let (codes_at, ids_at) = (list.codes_at, Some(list.ids_at));
            self.runs.push(Run { first, rows: list.rows, codes_at, ids_at, list: list.number });
            first += list.rows;
        }
        self.rows = first;
        Ok(())
    }

    /// Where the centroids stand that are to be added to what the lists hold.
    fn centroids_of(&mut self, lists: &Lists, codec: Codec) -> Result<Span> {
        if matches!(codec, Codec::Scalar(Scalars::Narrow(Element::U8) | Scalars::Signed, _)) {
            self.approximate.push("differences to a centroid, cut to bytes".to_owned());
        }
        if matches!(codec, Codec::Scalar(Scalars::Narrow(Element::F16 | Element::BF16), _)) {
            self.notes.push(
                "the index holds differences to centroids in 16 bits: vectors are what FAISS reconstructs of them, not bit for bit what was added"
                    .to_owned(),
            );
        }
        self.settings.push(("by_residual", json!(true)));
        let found = flat_f32(&lists.quantizer).filter(|centroids| centroids.count == lists.nlist);
        found.ok_or_else(|| {
            Error::not_recognised(format!(
                "the lists hold differences to the centroids of an index of type {}",
                lists.quantizer.fourcc.shown()
            ))
            .hint("only centroids of a flat index are read; take the vectors from index.reconstruct_n(0, index.ntotal)")
        })
    }

    fn stored(&mut self, index: &Index, codec: Codec) {
        self.codec = codec;
        self.dim = index.header.dim as usize;
        if let Codec::Scalar(scalars, _) = codec {
            self.settings.push(("scalar_quantizer", json!(scalars.name())));
            if let Scalars::Steps { bits, .. } = scalars {
                self.approximate.push(format!("each element was rounded to one of {} steps", 1u32 << bits));
            }
        }
    }

    fn transformed(&mut self, transforms: &[Transform]) {
        for transform in transforms {
            // Unit length is a property of a collection, not a loss; any other transform changes what a vector means.
            if transform.norm.is_none() {
                let fourcc = transform.fourcc;
                self.approximate.push(format!("they were {} before they were stored ({fourcc})", transform.meaning()));
            }
        }
        self.normalised |= transforms.last().is_some_and(Transform::normalises);
        let names: Vec<String> = transforms.iter().map(|transform| transform.fourcc.to_string()).collect();
        self.settings.push(("transforms", json!(names)));
    }

    /// The outermost way of searching counts.
    fn searched(&mut self, spec: IndexSpec) {
        self.index.get_or_insert(spec);
    }
}

fn other(fourcc: Fourcc, settings: Value) -> IndexSpec {
    let name = fourcc.meaning().map_or("unknown", |(_, meaning)| meaning).to_owned();
    IndexSpec::Other { name, settings }
}

/// Where the vectors of an index stand that has them as plain f32.
fn flat_f32(index: &Index) -> Option<Span> {
    match &index.body {
        Body::Codes(Codec::F32, codes) => Some(*codes),
        Body::Graph(_, storage) => flat_f32(storage),
        _ => None,
    }
}

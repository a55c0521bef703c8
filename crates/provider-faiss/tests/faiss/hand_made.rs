//! Layouts that the library of today no longer writes, or writes only after long training, byte by byte.

use std::path::{Path, PathBuf};

use half::f16;
use tranship_collection::Element;
use tranship_connector::{ErrorKind, OpenOptions};

use crate::support::{compare, list, open, options, read_plain, read_with};

/// A file in the making.
#[derive(Default, Clone)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    pub fn code(mut self, letters: &str) -> Self {
        self.0.extend(letters.bytes());
        self
    }

    pub fn u8s(mut self, values: &[u8]) -> Self {
        self.0.extend(values);
        self
    }

    pub fn i32s(mut self, values: &[i32]) -> Self {
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
        self
    }

    pub fn u64s(mut self, values: &[u64]) -> Self {
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
        self
    }

    pub fn f32s(mut self, values: &[f32]) -> Self {
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
        self
    }

    /// u64 count and items.
    pub fn floats(self, values: &[f32]) -> Self {
        self.u64s(&[values.len() as u64]).f32s(values)
    }

    pub fn ids(self, values: &[u64]) -> Self {
        self.u64s(&[values.len() as u64]).u64s(values)
    }

    pub fn bytes(self, values: &[u8]) -> Self {
        self.u64s(&[values.len() as u64]).u8s(values)
    }

    pub fn then(mut self, other: Bytes) -> Self {
        self.0.extend(other.0);
        self
    }

    pub fn header(self, letters: &str, dim: i32, rows: u64) -> Self {
        self.code(letters).i32s(&[dim]).u64s(&[rows, 1 << 20, 1 << 20]).u8s(&[1]).i32s(&[1])
    }

    pub fn write(&self, dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, &self.0).unwrap();
        path
    }
}

pub const ROWS: [[f32; 2]; 5] = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0], [8.0, 9.0]];

pub fn flat(rows: &[[f32; 2]]) -> Bytes {
    Bytes::default().header("IxF2", 2, rows.len() as u64).floats(rows.as_flattened())
}

pub fn no_direct_map() -> Bytes {
    Bytes::default().u8s(&[0]).u64s(&[0])
}

/// Lists of the rows 0 1 2, none, 3 4 with ids 10 11 12 and 13 14, after the header of `letters`.
pub fn lists(letters: &str) -> Bytes {
    Bytes::default().header(letters, 2, 5).u64s(&[3, 1]).then(flat(&ROWS[..3]))
}

pub fn array_lists(sizes: Bytes) -> Bytes {
    Bytes::default()
        .code("ilar")
        .u64s(&[3, 8])
        .then(sizes)
        .f32s(ROWS[..3].as_flattened())
        .u64s(&[10, 11, 12])
        .f32s(ROWS[3..].as_flattened())
        .u64s(&[13, 14])
}

pub fn ivf() -> Bytes {
    lists("IwFl").then(no_direct_map()).then(array_lists(Bytes::default().code("full").ids(&[3, 0, 2])))
}

pub fn id_map() -> Bytes {
    Bytes::default().header("IxMp", 2, 5).then(flat(&ROWS)).ids(&[10, 11, 12, 13, 14])
}

fn graph(rows: u64) -> Bytes {
    let offsets: Vec<u64> = (0..=rows).map(|row| 4 * row).collect();
    Bytes::default()
        .u64s(&[1, 0x3ff0_0000_0000_0000])
        .u64s(&[2])
        .i32s(&[0, 4])
        .u64s(&[rows])
        .i32s(&vec![1; rows as usize])
        .ids(&offsets)
        .u64s(&[4 * rows])
        .i32s(&vec![-1; 4 * rows as usize])
        .i32s(&[0, 0, 40, 16, 1])
}

pub fn hnsw(letters: &str, settings: Bytes) -> Bytes {
    Bytes::default().header(letters, 2, 5).then(settings).then(graph(5)).then(flat(&ROWS))
}

fn quantiser(kind: i32, code_size: u64) -> Bytes {
    Bytes::default().i32s(&[kind, 0]).f32s(&[0.0]).u64s(&[2, code_size, 0])
}

fn f16s(rows: &[[f32; 2]]) -> Vec<u8> {
    rows.as_flattened().iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
}

fn rows(first: usize) -> Vec<Vec<u32>> {
    ROWS[first..].iter().map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
}

fn check(name: &str, bytes: &Bytes) {
    let dir = tempfile::tempdir().unwrap();
    let path = bytes.write(dir.path(), "index.faiss");
    let outcome = read_plain(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    compare(name, &outcome, &[10, 11, 12, 13, 14], &rows(0));
}

fn failure(bytes: &Bytes) -> tranship_connector::Error {
    let dir = tempfile::tempdir().unwrap();
    read_plain(&bytes.write(dir.path(), "index.faiss")).unwrap_err()
}

#[test]
fn lists_of_old_releases_are_read() {
    let ids = Bytes::default().ids(&[10, 11, 12]).ids(&[]).ids(&[13, 14]);
    let (front, back) = (ROWS[..3].as_flattened(), ROWS[3..].as_flattened());
    let oldest = Bytes::default().floats(front).floats(&[]).floats(back);
    check("IvFl", &lists("IvFl").then(ids.clone()).then(no_direct_map()).then(oldest));
    let raw = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let old = Bytes::default().bytes(&raw(front)).bytes(&[]).bytes(&raw(back));
    check("IvFL", &lists("IvFL").then(ids.clone()).then(no_direct_map()).then(old));
    // IvSQ and IwSQ hold differences to the centroid of the list; with centroids 0 these are the vectors.
    let zero = [[0.0; 2]; 3];
    let header = |letters| Bytes::default().header(letters, 2, 5).u64s(&[3, 1]).then(flat(&zero));
    let codes = Bytes::default().bytes(&f16s(&ROWS[..3])).bytes(&[]).bytes(&f16s(&ROWS[3..]));
    check("IvSQ", &header("IvSQ").then(ids).then(no_direct_map()).then(quantiser(4, 4)).u64s(&[4]).then(codes));
    let codes = Bytes::default()
        .code("ilar")
        .u64s(&[3, 4])
        .code("full")
        .ids(&[3, 0, 2])
        .u8s(&f16s(&ROWS[..3]))
        .u64s(&[10, 11, 12])
        .u8s(&f16s(&ROWS[3..]))
        .u64s(&[13, 14]);
    check("IwSQ", &header("IwSQ").then(no_direct_map()).then(quantiser(4, 4)).u64s(&[4]).then(codes));
}

#[test]
fn sizes_of_lists_may_be_sparse_and_in_any_order() {
    check("full", &ivf());
    for pairs in [&[0, 3, 2, 2][..], &[2, 2, 0, 3], &[1, 0, 2, 2, 0, 3]] {
        let sizes = Bytes::default().code("sprs").ids(pairs);
        check("sprs", &lists("IwFl").then(no_direct_map()).then(array_lists(sizes)));
    }
    for pairs in [&[0, 3, 3, 2][..], &[0, 3, 0, 3], &[0, 3, 2], &[0, 3, 2, 1]] {
        let sizes = Bytes::default().code("sprs").ids(pairs);
        let error = failure(&lists("IwFl").then(no_direct_map()).then(array_lists(sizes)));
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
}

#[test]
fn graphs_from_the_gpu_are_stepped_over() {
    let mapped = |inner: Bytes| Bytes::default().header("IxM2", 2, 5).then(inner).ids(&[10, 11, 12, 13, 14]);
    check("IHNf", &mapped(hnsw("IHNf", Bytes::default())));
    check("IHNc", &mapped(hnsw("IHNc", Bytes::default().u8s(&[1, 0]).i32s(&[32]))));
    check("IHc2", &mapped(hnsw("IHc2", Bytes::default().u8s(&[1, 0]).i32s(&[32, 0]))));
    check("IHfP", &mapped(hnsw("IHfP", Bytes::default().u64s(&[2]).floats(&[0.0; 15]))));
    check("IH00", &mapped(hnsw("IH00", Bytes::default())));
}

#[test]
fn id_maps_stand_in_each_other_and_over_lists() {
    let inner = Bytes::default().header("IxM2", 2, 5).then(flat(&ROWS)).ids(&[4, 3, 2, 1, 0]);
    check("map of map", &Bytes::default().header("IxMp", 2, 5).then(inner).ids(&[14, 13, 12, 11, 10]));
    let stray = Bytes::default().header("IxMp", 2, 5).then(ivf()).ids(&[0; 5]);
    let error = failure(&stray);
    assert!(error.to_string().contains("row 10 of an id map of 5 ids"), "{error}");
}

#[test]
fn elements_that_are_not_finite_are_rejects_with_their_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = Bytes::default()
        .header("IxSQ", 2, 3)
        .then(quantiser(4, 4))
        .bytes(&f16s(&[[1.0, 2.0], [f32::NAN, 0.0], [3.0, f32::INFINITY]]))
        .write(dir.path(), "half.faiss");
    let outcome = read_plain(&path).unwrap();
    assert_eq!((outcome.records.len(), outcome.rejects.len()), (1, 2));
    assert_eq!(outcome.schema.vectors[0].element, Element::F16);
    assert!(outcome.rejects[0].place.ends_with("half.faiss row 1") && outcome.rejects[0].id.as_deref() == Some("1"));
    assert_eq!(outcome.rejects[1].reason, "vector: NaN or infinity");
}

#[test]
fn ids_that_come_twice_stay_so_unless_rows_are_numbered() {
    let dir = tempfile::tempdir().unwrap();
    let path = Bytes::default().header("IxMp", 2, 5).then(flat(&ROWS)).ids(&[7; 5]).write(dir.path(), "twice.faiss");
    let outcome = read_plain(&path).unwrap();
    assert!(outcome.records.iter().all(|record| record.id == "7") && outcome.records.len() == 5);
    let numbered = read_with(&path, &options(&[("ids", "row")])).unwrap();
    compare("numbered", &numbered, &[0, 1, 2, 3, 4], &rows(0));
}

#[test]
fn what_contradicts_itself_is_damaged() {
    let nested =
        (0..20).fold(flat(&ROWS), |inner, _| Bytes::default().header("IxMp", 2, 5).then(inner).ids(&[0, 1, 2, 3, 4]));
    let binary = Bytes::default().code("IBxF").i32s(&[16, 2]).u64s(&[5]).u8s(&[1]).i32s(&[1]).bytes(&[0; 10]);
    for (bytes, why) in [
        (flat(&ROWS).u8s(&[0]), "1 bytes follow after the end of the index"),
        (nested, "more than 16 indexes within each other"),
        (Bytes::default().header("IxMp", 16, 5).then(binary).ids(&[0; 5]), "a IBxF index within IxMp"),
        (Bytes::default().header("IxMp", 2, 4).then(flat(&ROWS)).ids(&[0; 4]), "5 vectors in the inner index"),
        (Bytes::default().header("IxMp", 3, 5).then(flat(&ROWS)).ids(&[0; 5]), "2 dimensions in the inner index"),
        (Bytes::default().header("IxMp", 2, 5).then(flat(&ROWS)).ids(&[0; 4]), "4 ids in the id map"),
        (Bytes::default().header("IxF2", 2, 5).floats(&[0.0; 9]), "5 vectors of 2 dimensions do not fill 36 bytes"),
        (Bytes::default().header("IxF2", 2, u64::MAX), "-1 vectors"),
        (Bytes::default().header("IxF2", 2, 1 << 62).floats(&[0.0; 9]), "4611686018427387904 vectors of 2 dimensions"),
        (Bytes::default().header("IxF2", 0, 1 << 62).floats(&[]), "vectors without dimensions"),
        (
            Bytes::default().header("IxF2", 2, 5).u64s(&[1 << 62]),
            "4611686018427387904 x 4 bytes, but only 0 bytes follow",
        ),
        (hnsw("IHNf", Bytes::default().u8s(&[0])), "the graph"),
    ] {
        let error = failure(&bytes);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains(why), "{why}: {error}");
        assert!(error.to_string().contains("index.faiss") && error.next_step().is_some(), "{error}");
    }
}

#[test]
fn lists_that_are_kept_elsewhere_are_refused_unless_there_are_none() {
    let error = failure(&lists("IwFl").then(no_direct_map()).code("il00"));
    assert_eq!(error.kind(), ErrorKind::NotRecognised);
    let empty = Bytes::default().header("IwFl", 2, 0).u64s(&[3, 1]).then(flat(&ROWS[..3])).then(no_direct_map());
    let dir = tempfile::tempdir().unwrap();
    let path = empty.code("il00").write(dir.path(), "empty.faiss");
    assert_eq!(read_plain(&path).unwrap().records.len(), 0);
    let slots = Bytes::default().code("ilod").u64s(&[3, 8, 0, 0]).bytes(b"/data/lists.ivfdata").u64s(&[0]);
    let error = failure(&lists("IwFl").then(no_direct_map()).then(slots));
    assert!(error.to_string().starts_with("the inverted lists are in another file, `/data/lists.ivfdata` (file "));
}

#[test]
fn an_index_beyond_the_limit_of_dimensions_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = Bytes::default().header("IxF2", 100_000, 0).floats(&[]).write(dir.path(), "wide.faiss");
    let error = open(&path, &OpenOptions::default()).err().unwrap();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Limit, "vectors of 100000 dimensions, the limit is 65536"));
    assert!(list(&path, &OpenOptions::default()).is_err());
}

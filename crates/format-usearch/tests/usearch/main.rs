//! Index files of usearch: stored ones, fresh ones, hand-made variants, damaged ones.

#![allow(clippy::disallowed_methods)]

#[path = "../../../format-arrays/tests/arrays/cases.rs"]
mod cases;

use std::path::{Path, PathBuf};

use tranship_collection::{IndexSpec, Metric};
use tranship_connector::{Count, ErrorKind, Locator, OpenOptions};
use tranship_format_usearch::CONNECTOR;
use tranship_testkit::damage::{Damage, cuts, flips, survey};
use tranship_testkit::reading::Vector;

use cases::{bits, read, stored, stored_matrix};

#[test]
fn stored_indexes_hold_their_vectors_and_no_removed_ones() {
    let (_dir, home) = stored();
    let truth = stored_matrix(&home);
    for kind in ["f32", "f64", "f16"] {
        let outcome = read(&CONNECTOR, &home.join(format!("usearch_{kind}.usearch")), &[]).unwrap();
        let found = outcome.by_id();
        for (row, wanted) in truth.iter().enumerate() {
            let id = (7 * row + 11).to_string();
            let Some(record) = found.get(&(None, id.as_str())) else {
                assert!((100..150).contains(&row), "{kind}: {row} is missing");
                continue;
            };
            let values = record.dense("").unwrap();
            match kind {
                "f16" => assert!(values.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= b.abs() / 1024.0 + 1e-7)),
                _ => assert_eq!(bits(values), bits(wanted)),
            }
        }
        let ledger = outcome.ledger;
        assert_eq!((found.len(), ledger.raw, ledger.live, ledger.deleted), (2950, Some(3000), Some(2950), 50));
        assert_eq!(outcome.schema.vectors[0].metric, Some(Metric::Cosine));
        assert!(matches!(outcome.schema.vectors[0].index, Some(IndexSpec::Hnsw { m: 16, .. })));
    }
}

#[test]
fn fresh_indexes_equal_what_usearch_answers() {
    assert_eq!(cases::compare_with_library(&CONNECTOR, "usearch", |_| false), 10);
}

#[test]
fn integers_in_place_of_vectors_are_read_only_on_request() {
    let (_dir, home) = stored();
    let path = home.join("usearch_i8.usearch");
    let error = read(&CONNECTOR, &path, &[]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::LossDenied);
    assert!(error.to_string().contains("usearch_i8.usearch") && error.next_step().unwrap().contains("--allow-lossy"));
    let outcome = read(&CONNECTOR, &path, &[("allow_lossy", "yes")]).unwrap();
    assert_eq!(outcome.records.len(), 2950);
    assert!(outcome.notes.iter().any(|note| note.contains("8-bit integers")), "{:?}", outcome.notes);
}

#[test]
fn headers_alone_tell_what_is_in_a_file() {
    let (_dir, home) = stored();
    let locator = Locator { provider: None, path: home.join("usearch_f16.usearch") };
    assert_eq!((CONNECTOR.probe)(&locator.path), Some(95));
    let infos = CONNECTOR.list.unwrap()(&locator, &OpenOptions::default()).unwrap();
    assert_eq!(infos[0].records, Count::Exact(2950));
    let error = read(&CONNECTOR, &home, &[]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotRecognised);
    assert!(error.next_step().unwrap().contains("NAME.usearch"), "{error}");
    assert!(infos[0].producer.as_deref().unwrap().starts_with("usearch 2.26"), "{:?}", infos[0].producer);
    let strangers = ["x.fvecs", "x.fbin", "x_be.npy", "x.npz", "hnswlib_l2.bin", "flat_l2.faiss", "x-angular.hdf5"];
    assert!(strangers.iter().all(|name| (CONNECTOR.probe)(&home.join(name)).is_none()));
}

/// A file written by hand.
#[derive(Clone)]
struct HandMade {
    wide: bool,
    metric: u8,
    scalar: u8,
    slot: u8,
    slot_bytes: usize,
    dims: u64,
    multi: bool,
    /// Key, level and vector of each node.
    nodes: Vec<(u64, i16, Vec<u8>)>,
}

impl HandMade {
    fn of(scalar: u8, dims: u64, vectors: &[&[u8]]) -> Self {
        let nodes = (5..).zip(vectors).map(|(key, bytes)| (key, (key % 2) as i16, bytes.to_vec())).collect();
        HandMade { wide: false, metric: b'e', scalar, slot: 15, slot_bytes: 4, dims, multi: false, nodes }
    }

    fn bytes(&self) -> Vec<u8> {
        let (rows, row_bytes) = (self.nodes.len() as u64, self.nodes.first().map_or(0, |node| node.2.len()) as u64);
        let mut out = Vec::new();
        for number in [rows, row_bytes] {
            if self.wide { out.extend(number.to_le_bytes()) } else { out.extend((number as u32).to_le_bytes()) }
        }
        self.nodes.iter().for_each(|(_, _, vector)| out.extend(vector));
        let deleted = self.nodes.iter().filter(|(key, ..)| *key == u64::MAX).count() as u64;
        let head = out.len();
        out.extend(b"usearch");
        [2u16, 26, 6].iter().for_each(|number| out.extend(number.to_le_bytes()));
        out.extend([self.metric, self.scalar, 14, self.slot]);
        [rows - deleted, deleted, self.dims].iter().for_each(|number| out.extend(number.to_le_bytes()));
        out.push(self.multi as u8);
        out.resize(head + 64, 0);
        [rows, 2, 4, 1, 0].iter().for_each(|number: &u64| out.extend(number.to_le_bytes()));
        self.nodes.iter().for_each(|(_, level, _)| out.extend(level.to_le_bytes()));
        for (key, level, _) in &self.nodes {
            out.extend(key.to_le_bytes());
            out.extend(level.to_le_bytes());
            out.resize(out.len() + 4 * self.slot_bytes + 4 + *level as usize * (2 * self.slot_bytes + 4), 7);
        }
        out
    }

    fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join("hand.usearch");
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }
}

#[test]
fn wide_dimensions_and_all_widths_of_slots_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let f32s = |values: [f32; 2]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (a, b, c) = (f32s([1.0, -0.0]), f32s([2.5, 3.0]), f32s([4.0, 5.0]));
    for (wide, slot, slot_bytes) in [(false, 15, 4), (true, 15, 4), (false, 2, 5), (true, 2, 5), (false, 14, 8)] {
        let mut file = HandMade { wide, slot, slot_bytes, ..HandMade::of(11, 2, &[&a, &b, &c]) };
        file.nodes[1].0 = u64::MAX;
        let outcome = read(&CONNECTOR, &file.write(dir.path()), &[]).unwrap();
        let ids: Vec<&str> = outcome.records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!((ids, outcome.ledger.deleted), (vec!["5", "7"], 1));
        assert_eq!(bits(outcome.records[0].dense("").unwrap()), bits(&[1.0, -0.0]));
    }
}

#[test]
fn every_kind_of_scalar_is_read_or_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let lossy = [("allow_lossy", "yes")];
    let bytes = HandMade::of(17, 3, &[&[1, 200, 3]]).write(dir.path());
    assert_eq!(read(&CONNECTOR, &bytes, &lossy).unwrap().records[0].dense(""), Some(&[1.0, 200.0, 3.0][..]));
    let bf16 = HandMade::of(4, 1, &[&[0x80, 0x3f]]).write(dir.path());
    assert_eq!(read(&CONNECTOR, &bf16, &[]).unwrap().records[0].dense(""), Some(&[1.0][..]));
    let padded = HandMade { metric: b't', ..HandMade::of(1, 12, &[&[0xff, 0xff]]) }.write(dir.path());
    let outcome = read(&CONNECTOR, &padded, &[]).unwrap();
    assert_eq!(outcome.records[0].vectors[""], Vector::Bits(vec![0xff, 0xf0]));
    assert_eq!(outcome.schema.vectors[0].metric, Some(Metric::Jaccard));
    for (kind, text) in [(6, "8 bits or fewer"), (99, "unknown kind 99")] {
        let error = read(&CONNECTOR, &HandMade::of(kind, 4, &[&[0; 4]]).write(dir.path()), &[]).err().unwrap();
        assert!(error.to_string().contains(text), "{error}");
    }
    let unknown = HandMade { metric: b'p', ..HandMade::of(11, 1, &[&[0; 4]]) }.write(dir.path());
    let outcome = read(&CONNECTOR, &unknown, &[]).unwrap();
    assert_eq!(outcome.schema.vectors[0].metric, None);
    assert!(outcome.notes.iter().any(|note| note.contains("'p'")), "{:?}", outcome.notes);
}

#[test]
fn a_double_that_no_f32_equals_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let doubles = |values: [f64; 2]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let path = HandMade::of(10, 2, &[&doubles([1.0, 0.5]), &doubles([2.0, 0.1])]).write(dir.path());
    let error = read(&CONNECTOR, &path, &[]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::LossDenied);
    assert!(error.to_string().contains("0.1") && error.to_string().contains("key 6, vector 1, dimension 1"), "{error}");
    let outcome = read(&CONNECTOR, &path, &[("allow_lossy", "yes")]).unwrap();
    assert_eq!(outcome.records[1].dense(""), Some(&[2.0, 0.1][..]));
}

#[test]
fn several_vectors_per_key_need_numbers_for_ids() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = HandMade { multi: true, ..HandMade::of(11, 1, &[&[0; 4], &[0; 4], &[0; 4]]) };
    assert_eq!(read(&CONNECTOR, &file.write(dir.path()), &[]).unwrap().records.len(), 3);
    file.nodes[2].0 = 5;
    let path = file.write(dir.path());
    let error = read(&CONNECTOR, &path, &[]).err().unwrap();
    assert!(
        error.to_string().contains("1 vectors have a key") && error.next_step().unwrap().contains("ids=row"),
        "{error}"
    );
    let outcome = read(&CONNECTOR, &path, &[("ids", "row")]).unwrap();
    let rows: Vec<_> = outcome.records.iter().map(|r| (r.id.as_str(), r.metadata.as_deref().unwrap())).collect();
    assert_eq!(rows, [("0", r#"{"key":5}"#), ("1", r#"{"key":6}"#), ("2", r#"{"key":5}"#)]);
    assert!(read(&CONNECTOR, &path, &[("ids", "key")]).is_err());
}

#[test]
fn files_without_vectors_and_foreign_keys_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hand.usearch");
    let whole = HandMade::of(11, 1, &[&[0; 4], &[0; 4]]).bytes();
    std::fs::write(&path, &whole[16..]).unwrap();
    assert_eq!((CONNECTOR.probe)(&path), Some(95));
    let error = read(&CONNECTOR, &path, &[]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotRecognised);
    assert!(error.to_string().contains("without its vectors"), "{error}");
    std::fs::write(&path, Damage::Patch(16 + 15, vec![3]).applied(&whole)).unwrap();
    assert!(read(&CONNECTOR, &path, &[]).err().unwrap().to_string().contains("keys of kind 3"));
}

#[test]
fn damage_ends_in_errors_that_name_the_file() {
    let (_dir, home) = stored();
    let path = home.join("usearch_f16.usearch");
    let len = std::fs::metadata(&path).unwrap().len();
    let head = 8 + 3000 * 48;
    let boundaries = [8, head, head + 64, head + 104, head + 104 + 6000];
    let cut = survey(&path, "usearch_f16.usearch", &cuts(len, &boundaries, 5), || read(&CONNECTOR, &path, &[]));
    assert_eq!((cut.told, cut.unnoticed), (cut.told, 0), "every cut is noticed");
    assert_eq!(cut.told, 0);
    survey(&path, "usearch_f16.usearch", &flips(len, 60, 6), || read(&CONNECTOR, &path, &[]));
    let in_heads: Vec<Damage> = flips(104, 120, 7)
        .into_iter()
        .map(|flip| if let Damage::Flip(at, bit) = flip { Damage::Flip(at + head, bit) } else { flip })
        .collect();
    survey(&path, "usearch_f16.usearch", &in_heads, || read(&CONNECTOR, &path, &[]));
    let huge = (1u64 << 63).to_le_bytes().to_vec();
    let fields = [0, head + 17, head + 25, head + 33, head + 64, head + 72, head + 80, head + 88];
    let patches: Vec<Damage> =
        fields.iter().flat_map(|at| [Damage::Patch(*at, huge.clone()), Damage::Patch(*at, vec![0xff; 8])]).collect();
    let hostile = survey(&path, "usearch_f16.usearch", &patches, || read(&CONNECTOR, &path, &[]));
    assert_eq!(hostile.errors, patches.len(), "{hostile:?}");
    std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut f| std::io::Write::write_all(&mut f, b"x"))
        .unwrap();
    assert!(read(&CONNECTOR, &path, &[]).err().unwrap().to_string().contains("the nodes end at byte"));
}

#[test]
fn every_cut_and_flip_of_a_small_file_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let path =
        HandMade { wide: true, multi: true, ..HandMade::of(12, 2, &[&[0; 4], &[0; 4], &[0; 4]]) }.write(dir.path());
    let len = std::fs::metadata(&path).unwrap().len();
    let cut = survey(&path, "hand.usearch", &cuts(len, &[], 1), || read(&CONNECTOR, &path, &[]));
    assert_eq!(cut.errors as u64, len);
    let every: Vec<Damage> = (0..len).flat_map(|byte| [0, 3, 7].map(|bit| Damage::Flip(byte, bit))).collect();
    survey(&path, "hand.usearch", &every, || read(&CONNECTOR, &path, &[]));
}

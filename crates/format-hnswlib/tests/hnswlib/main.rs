//! Index files of hnswlib: stored ones, fresh ones, damaged ones.

#![allow(clippy::disallowed_methods)]

#[path = "../../../format-arrays/tests/arrays/cases.rs"]
mod cases;

use std::path::Path;

use tranship_collection::{IndexSpec, Metric};
use tranship_connector::{Count, ErrorKind, Locator, OpenOptions};
use tranship_format_hnswlib::CONNECTOR;
use tranship_testkit::damage::{Damage, cuts, flips, survey};

use cases::{bits, open, read, stored, stored_matrix};

#[test]
fn stored_indexes_hold_their_vectors_and_no_deleted_ones() {
    let (_dir, home) = stored();
    let truth = stored_matrix(&home);
    for (file, space) in [("hnswlib_l2.bin", "l2"), ("hnswlib_cosine.bin", "cosine")] {
        let outcome = read(&CONNECTOR, &home.join(file), &[("space", space)]).unwrap();
        let found = outcome.by_id();
        assert_eq!(found.len(), 2950);
        for (row, wanted) in truth.iter().enumerate() {
            let id = (7 * row + 11).to_string();
            let Some(record) = found.get(&(None, id.as_str())) else {
                assert!((100..150).contains(&row), "{file}: {row} is missing");
                continue;
            };
            let values = record.dense("").unwrap();
            if space == "l2" {
                assert_eq!(bits(values), bits(wanted));
            } else {
                let norm = wanted.iter().map(|v| v * v).sum::<f32>().sqrt();
                assert!(values.iter().zip(wanted).all(|(a, b)| (a - b / norm).abs() < 1e-6));
            }
        }
        let ledger = outcome.ledger;
        assert_eq!((ledger.raw, ledger.live, ledger.deleted), (Some(3000), Some(2950), 50));
        let spec = &outcome.schema.vectors[0];
        assert_eq!(spec.normalised, space == "cosine");
        assert_eq!(spec.index, Some(IndexSpec::Hnsw { m: 12, ef_construction: 50, ef_search: None }));
    }
}

#[test]
fn fresh_indexes_equal_what_hnswlib_answers() {
    assert_eq!(cases::compare_with_library(&CONNECTOR, "hnswlib", |_| false), 4);
}

#[test]
fn what_the_file_does_not_tell_is_asked_for() {
    let (_dir, home) = stored();
    let path = home.join("hnswlib_l2.bin");
    let locator = Locator { provider: None, path: path.clone() };
    let infos = CONNECTOR.list.unwrap()(&locator, &OpenOptions::default()).unwrap();
    assert_eq!(infos[0].records, Count::UpTo(3000));
    assert_eq!((infos[0].name.as_str(), infos[0].schema.vectors[0].metric), ("hnswlib_l2", None));
    assert!(infos[0].notes[0].contains("-o space="), "{:?}", infos[0].notes);
    let error = open(&CONNECTOR, &path, &[("space", "cosine")]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("length 1, but record"), "{error}");
    assert!(open(&CONNECTOR, &path, &[("space", "hamming")]).is_err());
    assert!(open(&CONNECTOR, &path, &[("collection", "other")]).is_err());
    let cosine = OpenOptions { metric: Some(Metric::Cosine), ..OpenOptions::default() };
    assert!(CONNECTOR.open.unwrap()(&locator, &cosine).is_err(), "--metric is checked like the space");
}

#[test]
fn only_an_index_is_taken_for_one() {
    let (dir, home) = stored();
    assert_eq!((CONNECTOR.probe)(&home.join("hnswlib_l2.bin")), Some(70));
    let strangers =
        ["x.fvecs", "x.fbin", "x_be.npy", "x.npz", "usearch_f32.usearch", "flat_l2.faiss", "x-angular.hdf5"];
    assert!(strangers.iter().all(|name| (CONNECTOR.probe)(&home.join(name)).is_none()));
    let zeros = dir.path().join("zeros.bin");
    std::fs::write(&zeros, vec![0; 5000]).unwrap();
    assert_eq!((CONNECTOR.probe)(&zeros), None);
}

#[test]
fn a_directory_is_told_which_file_to_give() {
    let (dir, home) = stored();
    let told = |path: &Path| {
        let error = open(&CONNECTOR, path, &[]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotRecognised, "{error}");
        error.next_step().unwrap().to_owned()
    };
    let named = ["hnswlib_cosine.bin", "hnswlib_l2.bin"].map(|name| format!("hnswlib:{}", home.join(name).display()));
    assert!(told(&home).ends_with(&named.join(" or ")), "{}", told(&home));
    let segment = dir.path().join("segment");
    std::fs::create_dir(&segment).unwrap();
    assert!(told(&segment).ends_with("none lies in it"));
    std::fs::write(segment.join("header.bin"), "").unwrap();
    assert!(told(&segment).contains("chroma:"));
}

fn patched(path: &Path, offset: u64, bytes: &[u8]) -> String {
    let whole = std::fs::read(path).unwrap();
    std::fs::write(path, Damage::Patch(offset, bytes.to_vec()).applied(&whole)).unwrap();
    let error =
        read(&CONNECTOR, path, &[]).err().unwrap_or_else(|| panic!("the patch at {offset} is taken")).to_string();
    std::fs::write(path, whole).unwrap();
    error
}

#[test]
fn damage_ends_in_errors_that_name_the_file() {
    let (_dir, home) = stored();
    let path = home.join("hnswlib_l2.bin");
    let len = std::fs::metadata(&path).unwrap().len();
    let links = 96 + 3000 * 204;
    let cut =
        survey(&path, "hnswlib_l2.bin", &cuts(len, &[96, 96 + 204, links], 5)[..], || read(&CONNECTOR, &path, &[]));
    assert_eq!((cut.told, cut.unnoticed), (0, 0), "every cut is noticed");
    survey(&path, "hnswlib_l2.bin", &flips(len, 60, 6), || read(&CONNECTOR, &path, &[]));
    survey(&path, "hnswlib_l2.bin", &flips(96, 100, 7), || read(&CONNECTOR, &path, &[]));
    let huge = (1u64 << 63).to_le_bytes();
    for field in [0, 16, 24, 32, 40, 56, 64, 72] {
        patched(&path, field, &huge);
    }
    assert!(patched(&path, links, &[0xff; 4]).contains("ends within the links"));
    assert!(patched(&path, links, &5u32.to_le_bytes()).contains("5 bytes of links, not 52 for each"));
    assert!(patched(&path, 96, &[0xff, 0xff]).contains("record 0 has more links than the 24"));
    std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut f| std::io::Write::write_all(&mut f, b"x"))
        .unwrap();
    let error = read(&CONNECTOR, &path, &[]).err().unwrap().to_string();
    assert!(error.contains("1 bytes follow byte"), "{error}");
}

#[test]
fn a_vector_with_nan_is_a_reject_with_its_place() {
    let (_dir, home) = stored();
    let path = home.join("hnswlib_l2.bin");
    let whole = std::fs::read(&path).unwrap();
    let nan = Damage::Patch(96 + 204 * 2 + 100, f32::NAN.to_le_bytes().to_vec());
    std::fs::write(&path, nan.applied(&whole)).unwrap();
    let outcome = read(&CONNECTOR, &path, &[]).unwrap();
    assert_eq!((outcome.records.len(), outcome.rejects.len()), (2949, 1));
    assert!(outcome.rejects[0].place.ends_with("hnswlib_l2.bin record 2"), "{:?}", outcome.rejects);
}

#[test]
fn a_damaged_graph_ends_in_an_error_that_names_the_file_or_in_a_graph() {
    let (_dir, home) = stored();
    let path = home.join("hnswlib_l2.bin");
    let read_graph = || {
        let graph = open(&CONNECTOR, &path, &[("space", "l2")])?.served_graph("")?.expect("the space is known");
        assert_eq!(graph.links.nodes() * graph.dim, graph.values.len());
        read(&CONNECTOR, &path, &[])
    };
    let whole = open(&CONNECTOR, &path, &[("space", "l2")]).unwrap().served_graph("").unwrap().unwrap();
    assert_eq!((whole.links.nodes(), whole.m, whole.metric), (3000, 12, Metric::L2));
    assert_eq!(whole.records.iter().filter(|record| record.is_none()).count(), 50, "deleted ones stand for no record");
    assert!((0..3000).any(|node| whole.links.level(node) > 0), "the upper levels are read");
    assert!(
        open(&CONNECTOR, &path, &[]).unwrap().served_graph("").unwrap().is_none(),
        "without a space nothing compares"
    );
    let (records, len) = (3000 * 204, std::fs::metadata(&path).unwrap().len());
    let in_links = (0..200).map(|n| Damage::Flip(96 + n * 15 * 204 + n % 52, (n % 8) as u8));
    let in_upper = (0..200).map(|n| Damage::Flip(96 + records + n * (len - 96 - records) / 200, (n % 8) as u8));
    let damages: Vec<Damage> = in_links.chain(in_upper).chain(flips(96, 60, 8)).collect();
    let surveyed = survey(&path, "hnswlib_l2.bin", &damages, read_graph);
    assert!(surveyed.errors > 150, "{surveyed:?}");
    let stray = patched_graph(&path, 96 + 4, &5_000_u32.to_le_bytes());
    assert!(stray.contains("node 0 links to 5000 of 3000 nodes"), "{stray}");
    let entry = patched_graph(&path, 52, &3_000_u32.to_le_bytes());
    assert!(entry.contains("entry point 3000 of 3000 nodes"), "{entry}");
}

fn patched_graph(path: &Path, offset: u64, bytes: &[u8]) -> String {
    let whole = std::fs::read(path).unwrap();
    std::fs::write(path, Damage::Patch(offset, bytes.to_vec()).applied(&whole)).unwrap();
    let error = open(&CONNECTOR, path, &[("space", "l2")]).unwrap().served_graph("").unwrap_err();
    std::fs::write(path, whole).unwrap();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    error.to_string()
}

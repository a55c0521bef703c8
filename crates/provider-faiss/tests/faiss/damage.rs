//! Cuts, flips and hostile counts: every one ends in an error that names the file, or in records and rejects.

use std::path::Path;

use tranship_connector::{OpenOptions, Result};
use tranship_testkit::damage::{Damage, Survey, cuts, flips, survey};
use tranship_testkit::reading::{Outcome, read};

use crate::hand_made::{Bytes, ROWS, flat, hnsw, id_map, ivf};
use crate::langchain::folder;
use crate::support::{lossy, open, read_plain};

const HOSTILE: [u64; 3] = [u64::MAX, 1 << 61, (1 << 32) + 1];

fn small() -> Vec<(&'static str, Bytes)> {
    let unit = Bytes::default().code("VNrm").f32s(&[2.0]).i32s(&[2, 2]).u8s(&[1]);
    let transformed = Bytes::default().header("IxPT", 2, 5).i32s(&[1]).then(unit).then(flat(&ROWS));
    let binary = Bytes::default().code("IBxF").i32s(&[16, 2]).u64s(&[5]).u8s(&[1]).i32s(&[1]).bytes(&[0x5a; 10]);
    let quantiser = Bytes::default().i32s(&[0, 0]).f32s(&[0.0]).u64s(&[2, 2]).floats(&[0.0, 1.0, 2.0, 3.0]);
    let bytes = Bytes::default().header("IxSQ", 2, 5).then(quantiser).bytes(&[7; 10]);
    vec![
        ("flat", flat(&ROWS)),
        ("id map", id_map()),
        ("lists", ivf()),
        ("mapped lists", Bytes::default().header("IxMp", 2, 5).then(ivf()).ids(&[0; 5])),
        ("graph", hnsw("IHNf", Bytes::default())),
        ("transformed", transformed),
        ("binary", binary),
        ("quantised", bytes),
    ]
}

fn read_lossy(path: &Path) -> Result<Outcome> {
    read(&*open(path, &lossy())?)
}

#[test]
fn every_cut_and_a_flip_in_every_byte_of_small_indexes_is_told_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in small() {
        let path = bytes.write(dir.path(), "small.faiss");
        let len = bytes.0.len() as u64;
        let cut = survey(&path, "small.faiss", &cuts(len, &[], 1), || read_lossy(&path));
        assert_eq!(cut, Survey { errors: len as usize, told: 0, unnoticed: 0 }, "{name}");
        let all: Vec<Damage> =
            (0..len).flat_map(|byte| [0, byte as u8 % 7 + 1].map(|bit| Damage::Flip(byte, bit))).collect();
        let flipped = survey(&path, "small.faiss", &all, || read_lossy(&path));
        assert!(flipped.errors > 0, "{name}: {flipped:?}");
    }
}

#[test]
fn hostile_counts_at_any_offset_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for (_, bytes) in small() {
        let path = bytes.write(dir.path(), "small.faiss");
        let patch = |at: usize| HOSTILE.map(|number| Damage::Patch(at as u64, number.to_le_bytes().to_vec()));
        let patches: Vec<Damage> = (4..bytes.0.len() - 8).flat_map(patch).collect();
        let hurt = survey(&path, "small.faiss", &patches, || read_lossy(&path));
        assert!(hurt.errors > patches.len() / 10, "{hurt:?}");
    }
}

#[test]
fn real_indexes_stand_cuts_and_flips() {
    let dir = tempfile::tempdir().unwrap();
    tranship_testkit::fixtures::unpack("ann-files", dir.path());
    for name in ["idmap2_flat", "hnsw_flat", "ivfflat", "ivfsq8", "pretransform_l2norm", "binary_flat", "pq8"] {
        let file = format!("{name}.faiss");
        let path = dir.path().join("ann").join(&file);
        let len = std::fs::metadata(&path).unwrap().len();
        let mut places = cuts(len, &[33, 37, 41, 45], 7);
        places = places.into_iter().step_by(if len > 64 << 10 { 5 } else { 97 }).collect();
        let cut = survey(&path, &file, &places, || read_lossy(&path));
        assert_eq!((cut.errors, cut.unnoticed), (places.len(), 0), "{name}");
        survey(&path, &file, &flips(len, 8, 8), || read_lossy(&path));
        survey(&path, &file, &flips(400, 30, 9), || read_lossy(&path));
    }
}

#[test]
fn pickles_stand_cuts_flips_and_hostile_counts() {
    let (_dir, folder) = folder();
    let pickle = folder.join("index.pkl");
    let len = std::fs::metadata(&pickle).unwrap().len();
    let places: Vec<Damage> = cuts(len, &[], 1).into_iter().step_by(101).collect();
    let cut = survey(&pickle, "index.pkl", &places, || read_plain(&folder));
    assert_eq!(cut.errors, places.len());
    let flipped = survey(&pickle, "index", &flips(len, 300, 2), || read_plain(&folder));
    assert!(flipped.errors > 20, "{flipped:?}");
    let patches = flips(len - 8, 50, 3).into_iter().filter_map(|damage| match damage {
        Damage::Flip(at, _) => Some(Damage::Patch(at, vec![0xff; 8])),
        _ => None,
    });
    survey(&pickle, "index", &patches.collect::<Vec<_>>(), || read_plain(&folder));
}

#[test]
fn reading_changes_nothing() {
    let (_dir, folder) = folder();
    let before = open(&folder, &OpenOptions::default()).unwrap().identity().unwrap();
    read_plain(&folder).unwrap();
    let after = open(&folder, &OpenOptions::default()).unwrap().identity().unwrap();
    assert_eq!(before, after);
    assert_eq!(before.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["index.faiss", "index.pkl"]);
}

#[test]
fn a_damaged_graph_is_told_or_harmless_and_never_followed_out_of_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let path = hnsw("IHNf", Bytes::default()).write(dir.path(), "small.faiss");
    let read_graph = || {
        let graph = open(&path, &OpenOptions::default())?.served_graph("")?;
        if let Some(graph) = graph {
            assert_eq!(graph.links.nodes(), graph.records.len());
        }
        read_plain(&path)
    };
    assert!(open(&path, &OpenOptions::default()).unwrap().served_graph("").unwrap().is_some());
    let len = std::fs::metadata(&path).unwrap().len();
    let all: Vec<Damage> = (0..len).flat_map(|byte| (0..8).map(move |bit| Damage::Flip(byte, bit))).collect();
    let flipped = survey(&path, "small.faiss", &all, read_graph);
    assert!(flipped.errors > 0, "{flipped:?}");
}

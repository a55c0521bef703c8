//! Damaged snapshots: every cut and flip ends in an error that names the file, or in records; never in a panic.

use std::path::{Path, PathBuf};

use tranship_connector::Result;
use tranship_testkit::damage::{self, Damage, Survey};
use tranship_testkit::reading::Outcome;

use crate::dumps::read_all;
use crate::truth::Dump;

const SNAPSHOT: &str = "server119_u8_euclid.snapshot";

#[test]
fn a_snapshot_cut_off_anywhere_is_an_error() {
    let dump = Dump::unpack("qdrant-1.19-u8_euclid");
    let path = dump.path(SNAPSHOT);
    let tree = tranship_container::tar::read(&tranship_storage::Blob::of_path(&path).unwrap()).unwrap();
    let boundaries: Vec<u64> = tree.iter().flat_map(|(_, blob)| blob.extents()).map(|e| e.physical + e.len).collect();
    let len = path.metadata().unwrap().len();
    let mut cuts = damage::cuts(len, &boundaries, 1);
    // The end mark may lose its second block and still be one.
    cuts.retain(|cut| matches!(cut, Damage::Cut(at) if *at + 512 < len));
    let survey = damage::survey(&path, SNAPSHOT, &cuts, || read_all(&path));
    assert_eq!(survey, Survey { errors: cuts.len(), told: 0, unnoticed: 0 });
}

#[test]
fn a_flipped_bit_never_ends_in_a_panic() {
    let dump = Dump::unpack("qdrant-1.19-u8_euclid");
    let path = dump.path(SNAPSHOT);
    let flips = damage::flips(path.metadata().unwrap().len(), 150, 2);
    let survey = damage::survey(&path, "u8_euclid", &flips, || read_all(&path));
    // Most of the file are values, and pages of which parts are free.
    assert!(survey.errors + survey.told > 0, "{survey:?}");
}

/// The u8 collection as a directory, its files small enough to write anew for each damage.
struct Directory {
    _dump: Dump,
    collection: PathBuf,
    segment: PathBuf,
}

fn directory() -> Directory {
    let dump = Dump::unpack("qdrant-1.19-u8_euclid");
    let collection = dump.path("bytes");
    crate::layouts::extract(&dump.path(SNAPSHOT), &collection);
    crate::layouts::unpack_segments(&collection.join("0"));
    let segments = std::fs::read_dir(collection.join("0/segments")).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.max_by_key(|path| points(path)).unwrap();
    Directory { _dump: dump, collection, segment }
}

/// Bytes of the id tracker.
fn points(segment: &Path) -> u64 {
    let names = ["mutable_id_tracker.mappings", "id_tracker.mappings"];
    names.iter().filter_map(|name| segment.join(name).metadata().ok()).map(|metadata| metadata.len()).sum()
}

impl Directory {
    fn read(&self) -> Result<Outcome> {
        read_all(&self.collection)
    }

    /// Damages one file of the segment.
    fn survey(&self, name: &str, damages: &[Damage]) -> Survey {
        let file = self.segment.join(name);
        damage::survey(&file, "bytes", damages, || self.read())
    }
}

fn patches(offsets: &[u64], width: usize) -> Vec<Damage> {
    let values =
        [vec![0xff; width], [vec![0xff; width - 1], vec![0x7f]].concat(), [vec![0; width - 1], vec![1]].concat()];
    offsets.iter().flat_map(|at| values.iter().map(|bytes| Damage::Patch(*at, bytes.clone()))).collect()
}

#[test]
fn hostile_numbers_in_the_files_of_a_segment_are_errors_or_rejects() {
    let directory = directory();
    let whole = directory.read().unwrap();
    assert_eq!((whole.records.len(), whole.rejects.len()), (1120, 0));
    let vectors = directory.survey("vector_storage/vectors/status.dat", &patches(&[0], 8));
    assert_eq!(vectors.errors + vectors.told + vectors.unnoticed, 3);
    let flags = directory.survey("vector_storage/deleted/status.dat", &patches(&[0, 8], 8));
    assert_eq!(flags.errors, 6, "{flags:?}");
    // Slots: the page, the block, the bytes.
    let slots = directory.survey("payload_storage/tracker.dat", &patches(&[8, 12, 16, 4 + 16 * 40 + 12], 4));
    assert!(slots.told + slots.errors >= 9, "{slots:?}");
    let log = directory.survey(
        "mutable_id_tracker.mappings",
        &[Damage::Patch(0, vec![9]), Damage::Patch(9, vec![0xff; 4]), Damage::Patch(0, vec![0])],
    );
    assert_eq!(log.errors, 3, "{log:?}");
    let settings = ["vector_storage/vectors/config.json", "payload_storage/config.json", "segment.json"];
    for name in settings {
        let cut = directory.survey(name, &[Damage::Cut(0), Damage::Cut(9), Damage::Patch(0, b"[]".to_vec())]);
        assert_eq!(cut.errors, 3, "{name}: {cut:?}");
    }
}

#[test]
fn settings_that_cannot_be_are_errors() {
    let directory = directory();
    for (name, from, to, said) in [
        (
            "vector_storage/vectors/config.json",
            "\"chunk_size_bytes\":",
            "\"chunk_size_bytes\":1,\"x\":",
            "bytes in a chunk of 1",
        ),
        ("vector_storage/vectors/config.json", "\"chunk_size_vectors\":", "\"chunk_size_vectors\":0,\"x\":", "0 rows"),
        ("vector_storage/vectors/config.json", "\"dim\":", "\"dim\":7,\"x\":", "rows of 7 elements"),
        ("payload_storage/config.json", "\"block_size_bytes\":", "\"block_size_bytes\":0,\"x\":", "impossible sizes"),
        ("segment.json", "\"size\":", "\"size\":9999999,\"x\":", "9999999 dimensions, the limit is"),
        ("segment.json", "\"size\":", "\"size\":0,\"x\":", "no dimensions"),
        ("segment.json", "\"size\":", "\"size\":5,\"x\":", "the segment has"),
        ("segment.json", "\"Euclid\"", "\"Chess\"", "Chess"),
    ] {
        let file = directory.segment.join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let error = directory.read().unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("bytes"), "{name}: {error}");
        std::fs::write(&file, text).unwrap();
    }
}

#[test]
fn a_file_that_is_missing_is_an_error_and_not_a_smaller_collection() {
    let directory = directory();
    for name in [
        "mutable_id_tracker.mappings",
        "mutable_id_tracker.versions",
        "vector_storage/vectors/status.dat",
        "vector_storage/vectors/config.json",
        "vector_storage/vectors/chunk_0.mmap",
        "vector_storage/deleted/status.dat",
        "vector_storage/deleted/flags_a.dat",
        "payload_storage/config.json",
        "payload_storage/tracker.dat",
        "payload_storage/page_0.dat",
        "segment.json",
        "version.info",
    ] {
        let file = directory.segment.join(name);
        let aside = directory.collection.join("aside");
        std::fs::rename(&file, &aside).unwrap();
        match directory.read() {
            Err(error) => assert!(error.to_string().contains("bytes"), "{name}: {error}"),
            // The log still holds every operation, so that it may make good for a missing file.
            Ok(outcome) => {
                let is_told = !outcome.notes.is_empty() || !outcome.rejects.is_empty();
                assert!(is_told || outcome.records.len() == 1120, "{name}");
            }
        }
        std::fs::rename(&aside, &file).unwrap();
    }
    assert_eq!(directory.read().unwrap().records.len(), 1120);
}

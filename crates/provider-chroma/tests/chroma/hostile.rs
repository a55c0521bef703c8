//! Damaged and malicious directories: each ends in an error that names file and next step, or in the same records.

use std::fs;
use std::path::Path;

use tranship_connector::{Error, ErrorKind, Locator, OpenOptions};
use tranship_provider_chroma::CONNECTOR;

use crate::fixtures::{Outcome, dump, execute, read, read_with, segment_file, tolerant};

/// A damaged read must fail with a next step, or not have mattered.
fn fails_or_equals(result: Result<Outcome, Error>, original: &Outcome, what: &str) -> bool {
    match result {
        Err(error) => {
            assert!(error.next_step().is_some(), "{what}: {error}");
            assert!(!matches!(error.kind(), ErrorKind::Bug | ErrorKind::Usage), "{what}: {error}");
            true
        }
        Ok(outcome) => {
            assert!(outcome.records == original.records && outcome.rejects.is_empty(), "{what} went unnoticed");
            false
        }
    }
}

/// A small generator, so that every run damages the same places.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *seed >> 20
}

fn flip(path: &Path, bit: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

fn truncated(path: &Path, len: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[test]
fn every_truncation_of_the_index_header_is_an_error() {
    let dump = dump("chroma-1.5.9");
    let header = segment_file(&dump.root, "l2_32", "header.bin");
    for len in (0..100).rev() {
        truncated(&header, len);
        let error = read(&dump.root, "l2_32").unwrap_err();
        assert!(error.to_string().ends_with(&format!("header.bin is {len} bytes long, not 100")), "{error}");
    }
}

#[test]
fn flipped_bits_of_the_index_header_are_errors_or_harmless() {
    let dump = dump("chroma-1.5.9");
    let original = read(&dump.root, "l2_32").unwrap();
    let header = segment_file(&dump.root, "l2_32", "header.bin");
    let mut noticed = 0;
    for bit in (0..800).step_by(5) {
        flip(&header, bit);
        noticed += usize::from(fails_or_equals(read(&dump.root, "l2_32"), &original, &format!("header bit {bit}")));
        flip(&header, bit);
    }
    assert!(noticed > 80, "{noticed}");
}

#[test]
fn truncated_vector_files_are_errors() {
    let dump = dump("chroma-0.5.23");
    for (collection, file, reason) in
        [("l2_32", "data_level0.bin", "is too short"), ("cos64", "length.bin", "is too short")]
    {
        let path = segment_file(&dump.root, collection, file);
        let whole = fs::read(&path).unwrap();
        let used = if file == "length.bin" { 4 * 3000 } else { whole.len() as u64 };
        for len in [0, 1, used / 2, used - 1] {
            fs::write(&path, &whole).unwrap();
            truncated(&path, len);
            let error = read(&dump.root, collection).unwrap_err();
            assert!(error.to_string().contains(&format!("{file} {reason}")), "{error}");
        }
    }
}

#[test]
fn flipped_labels_and_deletion_bits_never_mix_records_up() {
    let dump = dump("chroma-1.5.9");
    let original = read(&dump.root, "l2_32").unwrap();
    let path = segment_file(&dump.root, "l2_32", "data_level0.bin");
    let record = 804_000 / 3000;
    let mut seed = 1;
    for _ in 0..60 {
        let number = random(&mut seed) % 3000;
        let label_bit = (number * record + record - 8) * 8 + random(&mut seed) % 64;
        let deleted_bit = (number * record + 2) * 8;
        for bit in [label_bit, deleted_bit] {
            flip(&path, bit);
            fails_or_equals(read(&dump.root, "l2_32"), &original, &format!("data bit {bit}"));
            flip(&path, bit);
        }
    }
}

#[test]
fn a_damaged_pickle_is_an_error_or_harmless() {
    for name in ["chroma-0.4.24", "chroma-1.5.9"] {
        let dump = dump(name);
        let original = read(&dump.root, "l2_32").unwrap();
        let path = segment_file(&dump.root, "l2_32", "index_metadata.pickle");
        let whole = fs::read(&path).unwrap();
        let mut seed = 7;
        for _ in 0..60 {
            fs::write(&path, &whole[..random(&mut seed) as usize % whole.len()]).unwrap();
            let error = read(&dump.root, "l2_32").unwrap_err();
            assert!(error.context().iter().any(|(key, _)| *key == "byte"), "{error}");
            assert!(error.to_string().contains("index_metadata.pickle"), "{error}");
            fs::write(&path, &whole).unwrap();
            let bit = random(&mut seed) % (8 * whole.len() as u64);
            flip(&path, bit);
            fails_or_equals(read(&dump.root, "l2_32"), &original, &format!("{name} pickle bit {bit}"));
        }
    }
}

#[test]
fn pages_of_zeros_and_a_cut_off_database_never_panic() {
    let dump = dump("chroma-1.5.9");
    let path = dump.root.join("chroma.sqlite3");
    let whole = fs::read(&path).unwrap();
    let mut seed = 3;
    let mut noticed = 0;
    for _ in 0..40 {
        let mut damaged = whole.clone();
        let page = random(&mut seed) as usize % (whole.len() / 4096);
        damaged[page * 4096..(page + 1) * 4096].fill(0);
        fs::write(&path, &damaged).unwrap();
        match read(&dump.root, "l2_32") {
            Err(error) => {
                noticed += 1;
                assert!(error.next_step().is_some(), "page {page}: {error}");
            }
            Ok(outcome) => assert!(outcome.records.len() + outcome.rejects.len() <= 2751, "page {page}"),
        }
    }
    assert!(noticed > 0);
    for len in [0, 50, 100, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        let error = read(&dump.root, "l2_32").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("chroma.sqlite3 is "), "{error}");
    }
}

#[test]
fn nan_in_the_index_is_a_reject_with_its_place() {
    let dump = dump("chroma-1.5.9");
    let original = read(&dump.root, "l2_32").unwrap();
    let path = segment_file(&dump.root, "l2_32", "data_level0.bin");
    let mut bytes = fs::read(&path).unwrap();
    let wanted = original.records[100].1.vector.as_ref().unwrap()[0].to_le_bytes();
    let at = (0..3000).map(|n| n * 268 + 132).find(|at| bytes[*at..*at + 4] == wanted).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let outcome = read(&dump.root, "l2_32").unwrap();
    assert_eq!((outcome.records.len(), outcome.rejects.len()), (2750, 1));
    let reject = &outcome.rejects[0];
    assert_eq!(reject.id.as_deref(), Some(original.records[100].0.as_str()));
    assert!(reject.place.contains(&format!("data_level0.bin record {}", at / 268)), "{}", reject.place);
    assert_eq!(reject.reason, "vector: NaN or infinity");
}

#[test]
fn a_cosine_vector_of_nan_is_a_reject_and_a_wrong_length_is_an_error() {
    let dump = dump("chroma-0.4.24");
    let data = segment_file(&dump.root, "cos64", "data_level0.bin");
    let lengths = segment_file(&dump.root, "cos64", "length.bin");
    let write = |path: &Path, at: usize, value: f32| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    let original = fs::read(&lengths).unwrap();
    let live = (0..3000).find(|n| fs::read(&data).unwrap()[n * 396 + 2] & 1 == 0).unwrap();
    write(&data, live * 396 + 132, f32::NAN);
    write(&lengths, live * 4, f32::NAN);
    let outcome = read(&dump.root, "cos64").unwrap();
    assert!(outcome.rejects.len() <= 1 && outcome.records.len() + outcome.rejects.len() == 2751);
    fs::write(&lengths, original).unwrap();
    write(&lengths, (live + 1) * 4, -1.0);
    let error = read(&dump.root, "cos64").unwrap_err().to_string();
    assert!(error.contains(&format!("length.bin gives record {} the length -1", live + 1)), "{error}");
}

#[test]
fn views_and_strange_segment_names_are_never_followed() {
    let view = dump("chroma-1.5.9");
    execute(
        &view.root,
        "ALTER TABLE collection_metadata RENAME TO kept; CREATE VIEW Collection_Metadata AS \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS collection_id FROM n;",
    );
    let error = read(&view.root, "tiny").unwrap_err();
    assert!(error.to_string().ends_with("chroma.sqlite3 has `Collection_Metadata` that is no plain table"), "{error}");
    let escape = dump("chroma-1.5.9");
    execute(
        &escape.root,
        "UPDATE segments SET id = '../../../../../../../../../etc/passwd' WHERE scope = 'VECTOR' AND collection = (SELECT id FROM collections WHERE name = 'tiny')",
    );
    let error = read(&escape.root, "tiny").unwrap_err();
    assert!(error.to_string().ends_with("etc/passwd\", which is no UUID"), "{error}");
}

#[test]
fn other_objects_of_the_database_do_not_matter() {
    let dump = dump("chroma-1.5.9");
    execute(
        &dump.root,
        "CREATE VIRTUAL TABLE embedding_fulltext USING fts5(id, string_value); CREATE VIEW mine AS SELECT 1;",
    );
    assert_eq!(read(&dump.root, "tiny").unwrap().records.len(), 2);
}

#[test]
fn a_cosine_vector_whose_square_underflows_is_read_as_zeros() {
    let dump = dump("chroma-1.5.9");
    let original = read(&dump.root, "cos64").unwrap();
    let lengths = segment_file(&dump.root, "cos64", "length.bin");
    let mut bytes = fs::read(&lengths).unwrap();
    bytes[..40].fill(0);
    fs::write(&lengths, &bytes).unwrap();
    let outcome = read(&dump.root, "cos64").unwrap();
    let zeros = outcome.records.iter().filter(|(_, r)| r.vector.iter().flatten().all(|value| *value == 0.0));
    assert!((1..=10).contains(&zeros.count()));
    assert_eq!(outcome.records.len(), original.records.len());
    bytes.fill(0);
    fs::write(&lengths, &bytes).unwrap();
    let error = read(&dump.root, "cos64").unwrap_err();
    assert!(error.to_string().contains("cosine, but length.bin gives 2700 of 2700 records no length"), "{error}");
}

#[test]
fn a_missing_segment_directory_is_named_and_the_other_collections_are_read() {
    let dump = dump("chroma-1.5.9");
    let dir = segment_file(&dump.root, "cos64", "").canonicalize().unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let error = read_with(&dump.root, &tolerant("cos64"), 1 << 20, 64 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(dir.file_name().unwrap().to_str().unwrap()), "{error}");
    assert_eq!(read(&dump.root, "l2_32").unwrap().records.len(), 2751);
}

#[test]
fn a_damaged_graph_is_an_error_with_a_next_step_or_a_graph() {
    let dump = dump("chroma-1.5.9");
    let graph = || {
        let options = OpenOptions { collection: Some("l2_32".to_owned()), ..OpenOptions::default() };
        let locator = Locator { provider: None, path: dump.root.clone() };
        CONNECTOR.open.unwrap()(&locator, &options)?.served_graph("")
    };
    let whole = graph().unwrap().unwrap();
    assert!(whole.links.nodes() > 1_000 && whole.records.iter().flatten().count() > 1_000);
    assert!(whole.ef_search.is_some() && whole.dim == 32);
    let mut noticed = 0;
    for name in ["link_lists.bin", "data_level0.bin", "header.bin"] {
        let path = segment_file(&dump.root, "l2_32", name);
        let bytes = fs::read(&path).unwrap();
        let mut seed = 11;
        for _ in 0..60 {
            let bit = random(&mut seed) % (8 * bytes.len() as u64);
            flip(&path, bit);
            if let Err(error) = graph() {
                assert!(error.next_step().is_some(), "{name} bit {bit}: {error}");
                assert!(!matches!(error.kind(), ErrorKind::Bug), "{name} bit {bit}: {error}");
                noticed += 1;
            }
            fs::write(&path, &bytes).unwrap();
        }
        truncated(&path, bytes.len() as u64 / 2);
        let error = graph().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        fs::write(&path, &bytes).unwrap();
    }
    assert!(noticed > 20, "{noticed}");
    fs::remove_file(segment_file(&dump.root, "l2_32", "link_lists.bin")).unwrap();
    assert!(graph().unwrap_err().to_string().contains("link_lists.bin is missing"));
}

//! Splits of files and of compressed streams, and damage in them.

use std::io::Write;

use proptest::prelude::*;
use tranship_connector::{ErrorKind, OpenOptions};
use tranship_storage::{Compression, Compressor};

use crate::samples::{read_text, read_with};

fn lines(count: usize) -> String {
    (0..count)
        .map(|id| format!("{{\"id\":{id},\"vector\":[{id}.5,1e-3],\"document\":\"{}\"}}\n", "d".repeat(id % 50)))
        .collect()
}

fn compress(text: &[u8], compression: Compression) -> Vec<u8> {
    let mut compressor = Compressor::new(compression).unwrap();
    compressor.write_all(text).unwrap();
    compressor.finish().unwrap()
}

#[test]
fn a_compressed_stream_is_cut_at_records_and_reads_twice_alike() {
    let text = lines(500_000);
    assert!(text.len() > 33 << 20);
    let whole = read_text(&text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl.zst");
    // Two frames, one after another.
    let (a, b) = text.as_bytes().split_at(text.len() / 3);
    let mut bytes = compress(a, Compression::Zstd);
    bytes.extend(compress(b, Compression::Zstd));
    std::fs::write(&path, bytes).unwrap();
    let first = read_with(&path, &OpenOptions::default(), 1).unwrap();
    let again = read_with(&path, &OpenOptions::default(), 1 << 40).unwrap();
    assert!(first.splits.len() == 3 && first.rejects.is_empty());
    assert_eq!(first.splits, again.splits);
    assert!(first.splits.iter().all(|split| split.digest.is_some()));
    assert_eq!(first.splits[1].start, first.splits[0].end);
    assert!(text.as_bytes()[..first.splits[0].end as usize].ends_with(b"\n"));
    assert_eq!(first.fingerprint(), whole.fingerprint());
}

#[test]
fn a_damaged_or_short_frame_is_an_error_never_an_early_end() {
    let text = lines(60_000);
    let dir = tempfile::tempdir().unwrap();
    for (name, compression) in [("c.jsonl.gz", Compression::Gzip), ("c.jsonl.zst", Compression::Zstd)] {
        let bytes = compress(text.as_bytes(), compression);
        let path = dir.path().join(name);
        for cut in [bytes.len() - 1, bytes.len() / 2] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let error = read_with(&path, &OpenOptions::default(), 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            assert!(error.to_string().contains(name));
        }
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 0x10;
        std::fs::write(&path, &flipped).unwrap();
        let error = read_with(&path, &OpenOptions::default(), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
}

#[test]
fn an_empty_input_is_an_empty_collection() {
    for text in ["", "\n\n"] {
        let read = read_text(text).unwrap();
        assert_eq!((read.rows(), read.rejects.len(), read.schema.vectors.len()), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn splits_of_any_size_give_the_same_records(split_bytes in 1u64..3000, count in 1usize..60, newline in any::<bool>()) {
        let mut text = lines(count);
        if !newline {
            text.pop();
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.jsonl");
        std::fs::write(&path, &text).unwrap();
        let read = read_with(&path, &OpenOptions::default(), split_bytes).unwrap();
        prop_assert!(read.rejects.is_empty());
        prop_assert_eq!(read.splits.last().unwrap().end, text.len() as u64);
        prop_assert!(read.splits.windows(2).all(|pair| pair[0].end == pair[1].start));
        prop_assert_eq!(read.fingerprint(), read_text(&text).unwrap().fingerprint());
    }
}

//! Our own parts: exact return, bytes that do not depend on batches, and hostile files.

use std::sync::Arc;

use arrow_array::RecordBatch;
use proptest::prelude::*;
use tranship_collection::CollectionSchema;
use tranship_connector::{ErrorKind, Result};
use tranship_format_parquet::{EncodeOptions, PartEncoder, PartFile};
use tranship_storage::Limits;

use crate::samples::{fingerprint, full_batch, full_schema, write};

fn encode(schema: &CollectionSchema, batches: &[RecordBatch], options: EncodeOptions) -> Vec<u8> {
    let mut encoder = PartEncoder::new(Vec::new(), schema, options).unwrap();
    batches.iter().for_each(|batch| encoder.write(batch).unwrap());
    encoder.finish().unwrap().0
}

fn decode(bytes: &[u8]) -> Result<(CollectionSchema, Vec<RecordBatch>)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.parquet");
    write(&path, bytes);
    let part = PartFile::open(&path, &Limits::default())?;
    // A flipped bit in the key makes it a foreign file, which is right.
    let schema = part.schema().cloned().unwrap_or_else(full_schema);
    let batches = part.batches(0..part.row_groups().len(), Arc::new(schema.clone()))?.collect::<Result<Vec<_>>>()?;
    Ok((schema, batches))
}

#[test]
fn every_kind_of_record_comes_back_bit_for_bit() {
    let schema = full_schema();
    let batch = full_batch(&schema, 0, 1000);
    for plain in [false, true] {
        let bytes = encode(&schema, std::slice::from_ref(&batch), EncodeOptions { plain });
        let (read_schema, read) = decode(&bytes).unwrap();
        assert_eq!(read_schema, schema);
        assert_eq!(fingerprint(&schema, &read), fingerprint(&schema, std::slice::from_ref(&batch)));
    }
}

#[test]
fn a_column_of_nulls_only_and_an_empty_collection_come_back() {
    let schema = full_schema();
    let batch = full_batch(&schema, 1, 1);
    let (_, read) = decode(&encode(&schema, std::slice::from_ref(&batch), EncodeOptions::default())).unwrap();
    assert_eq!(fingerprint(&schema, &read), fingerprint(&schema, &[batch]));
    let (read_schema, read) = decode(&encode(&schema, &[], EncodeOptions::default())).unwrap();
    assert_eq!((read_schema, read.len()), (schema, 0));
}

#[test]
fn large_rows_are_cut_into_row_groups_by_their_size() {
    let mut schema = CollectionSchema::new("wide");
    schema.vectors = vec![tranship_collection::VectorSpec::dense("", 16_384)];
    let mut builder = tranship_collection::BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    for row in 0..600 {
        builder.push_dense(0, &vec![row as f32; 16_384]);
        builder
            .finish_row(tranship_collection::batch::RowText {
                id: &row.to_string(),
                id_kind: tranship_collection::IdKind::Text,
                namespace: None,
                document: None,
                metadata: None,
            })
            .unwrap();
    }
    let batch = builder.finish().unwrap();
    let mut encoder = PartEncoder::new(Vec::new(), &schema, EncodeOptions::default()).unwrap();
    encoder.write(&batch).unwrap();
    let (bytes, stats) = encoder.finish().unwrap();
    assert_eq!((stats.rows, stats.row_groups), (600, 3));
    let (_, read) = decode(&bytes).unwrap();
    assert_eq!(fingerprint(&schema, &read), fingerprint(&schema, &[batch]));
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_names_it() {
    let schema = full_schema();
    let bytes = encode(&schema, &[full_batch(&schema, 0, 50)], EncodeOptions::default());
    for len in (0..bytes.len()).step_by(97) {
        let error = decode(&bytes[..len]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NotRecognised), "{error}");
        assert!(error.to_string().contains("part.parquet"), "{error}");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let schema = full_schema();
    let bytes = encode(&schema, &[full_batch(&schema, 0, 50)], EncodeOptions::default());
    for position in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x55;
        if let Err(error) = decode(&damaged) {
            assert!(error.to_string().contains("part.parquet"), "{error}");
        }
    }
}

#[test]
fn a_footer_that_claims_more_than_the_file_is_refused() {
    let schema = full_schema();
    let mut bytes = encode(&schema, &[full_batch(&schema, 0, 5)], EncodeOptions::default());
    let at = bytes.len() - 8;
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(decode(&bytes).unwrap_err().message().contains("footer claims"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_rows_give_the_same_bytes_however_they_are_cut(
        cuts in prop::collection::vec(1usize..400, 1..8), rows in 1usize..1500,
    ) {
        let schema = full_schema();
        let whole = full_batch(&schema, 0, rows);
        let mut pieces = Vec::new();
        let (mut start, mut turn) = (0, 0);
        while start < rows {
            let take = cuts[turn % cuts.len()].min(rows - start);
            // Half of them sliced out of the whole, half made anew with dictionaries of their own.
            pieces.push(match turn % 2 {
                0 => whole.slice(start, take),
                _ => full_batch(&schema, start, take),
            });
            start += take;
            turn += 1;
        }
        let options = EncodeOptions::default();
        prop_assert_eq!(encode(&schema, &pieces, options), encode(&schema, &[whole], options));
    }
}

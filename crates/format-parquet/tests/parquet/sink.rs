//! A directory of parts, interrupted and whole.

use std::path::Path;

use tranship_collection::SetFingerprint;
use tranship_connector::sink::Totals;
use tranship_connector::{OpenOptions, RowLedger, ShardOutput, Sink};
use tranship_format_parquet::{EncodeOptions, ParquetSink};
use tranship_storage::SourceIdentity;

use crate::samples::{fingerprint, full_batch, full_schema, read};

fn commit(sink: &ParquetSink, shards: &[ShardOutput]) {
    let schema = full_schema();
    sink.commit(&Totals {
        schema: &schema,
        shards,
        fingerprint: &SetFingerprint::new(&schema),
        expected: None,
        losses: &[],
        mapping: None,
        identity: &SourceIdentity::default(),
        ledger: RowLedger::default(),
    })
    .unwrap();
}

fn write_shard(sink: &ParquetSink, ordinal: u64) -> ShardOutput {
    let schema = full_schema();
    let mut shard = sink.open_shard(ordinal, &schema, None).unwrap();
    shard.write(&full_batch(&schema, ordinal as usize * 100, 100)).unwrap();
    let mut output = shard.finish().unwrap();
    sink.publish(&mut output).unwrap();
    output
}

fn part(target: &Path, number: u64) -> Vec<u8> {
    std::fs::read(target.join(format!("part-{number:05}.parquet"))).unwrap()
}

#[test]
fn an_interrupted_directory_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let schema = full_schema();
    let whole = dir.path().join("whole");
    let sink = ParquetSink::new(&whole, EncodeOptions::default());
    assert!(sink.begin("plan", &schema).unwrap().is_empty());
    let shards: Vec<_> = (0..3).map(|ordinal| write_shard(&sink, ordinal)).collect();
    assert_eq!(shards[0].null_vectors["vector"], 20);
    commit(&sink, &shards);

    let target = dir.path().join("resumed");
    let sink = ParquetSink::new(&target, EncodeOptions::default());
    sink.begin("plan", &schema).unwrap();
    write_shard(&sink, 0);
    write_shard(&sink, 1);
    drop(sink);
    let sink = ParquetSink::new(&target, EncodeOptions::default());
    let finished = sink.begin("plan", &schema).unwrap();
    assert_eq!(finished.keys().copied().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(finished[&1], ShardOutput { bytes: Vec::new(), ..shards[1].clone() });
    write_shard(&sink, 2);
    commit(&sink, &shards);
    assert!((0..3).all(|number| part(&whole, number) == part(&target, number)));

    let read = read(&target, &OpenOptions::default(), 1).unwrap();
    assert_eq!(read.splits.len(), 3);
    assert_eq!(fingerprint(&schema, &read.batches), fingerprint(&schema, &[full_batch(&schema, 0, 300)]));
}

#[test]
fn a_collection_without_records_keeps_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("empty");
    let sink = ParquetSink::new(&target, EncodeOptions::default());
    sink.begin("plan", &full_schema()).unwrap();
    commit(&sink, &[]);
    let read = read(&target, &OpenOptions::default(), 1).unwrap();
    assert_eq!((read.schema, read.batches.len()), (full_schema(), 0));
}

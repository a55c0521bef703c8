//! Short ways to read and write whole inputs.

use std::path::Path;

use arrow_array::RecordBatch;
use tranship_collection::fingerprint::SetFingerprint;
use tranship_collection::{BatchView, CollectionSchema};
use tranship_connector::sink::Totals;
use tranship_connector::{OpenOptions, PrepareContext, Reject, RejectSink, Result, RowLedger, Sink, Source, Split};
use tranship_format_jsonl::{JsonlSink, JsonlSource};
use tranship_storage::SourceIdentity;

/// Everything that reading an input gives.
#[derive(Debug)]
pub struct Read {
    pub schema: CollectionSchema,
    pub batches: Vec<RecordBatch>,
    pub rejects: Vec<Reject>,
    pub splits: Vec<Split>,
}

#[derive(Default)]
struct Rejects(Vec<Reject>);

impl RejectSink for Rejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        self.0.push(reject);
        Ok(())
    }
}

impl Read {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(|batch| batch.num_rows()).sum()
    }

    pub fn fingerprint(&self) -> SetFingerprint {
        let mut fingerprint = SetFingerprint::new(&self.schema);
        let mut digester = Default::default();
        for batch in &self.batches {
            fingerprint.add_batch(&BatchView::new(batch, &self.schema).unwrap(), &mut digester, |_, _| {}).unwrap();
        }
        fingerprint
    }
}

pub fn read_with(path: &Path, options: &OpenOptions, split_bytes: u64) -> Result<Read> {
    let source = JsonlSource::open(path, options)?;
    let context = PrepareContext { memory_bytes: 1 << 30, split_bytes, scratch: path.parent().unwrap() };
    let prepared = source.prepare(&context)?;
    let (mut batches, mut rejects, mut splits) = (Vec::new(), Rejects::default(), Vec::new());
    for split in prepared.splits()? {
        let split = split?;
        splits.push(Split { data: None, ..split.clone() });
        for batch in prepared.open(split, &mut rejects)? {
            batches.push(batch?);
        }
    }
    Ok(Read { schema: prepared.schema().clone(), batches, rejects: rejects.0, splits })
}

pub fn read_text(text: impl AsRef<[u8]>) -> Result<Read> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    std::fs::write(&path, text).unwrap();
    read_with(&path, &OpenOptions::default(), 1 << 30)
}

pub fn write(path: &Path, schema: &CollectionSchema, batches: &[RecordBatch]) {
    let sink = JsonlSink::new(path);
    sink.begin("{}", schema).unwrap();
    let mut shards = Vec::new();
    for (ordinal, batch) in batches.iter().enumerate() {
        let mut shard = sink.open_shard(ordinal as u64, schema, None).unwrap();
        shard.write(batch).unwrap();
        let mut output = shard.finish().unwrap();
        sink.publish(&mut output).unwrap();
        shards.push(output);
    }
    sink.commit(&Totals {
        schema,
        shards: &shards,
        fingerprint: &SetFingerprint::new(schema),
        expected: None,
        losses: &[],
        mapping: None,
        identity: &SourceIdentity::default(),
        ledger: RowLedger::default(),
    })
    .unwrap();
}

/// Reads `text`, writes it and reads that again.
pub fn there_and_back(text: &str, name: &str) -> (Read, Read) {
    let dir = tempfile::tempdir().unwrap();
    let first = read_text(text).unwrap();
    let path = dir.path().join(name);
    write(&path, &first.schema, &first.batches);
    let again = read_with(&path, &OpenOptions::default(), 1 << 30).unwrap();
    (first, again)
}

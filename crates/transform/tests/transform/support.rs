//! A source in memory that can be read more than once, and what comes out of it through a chain.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tranship_collection::CollectionSchema;
use tranship_connector::transforms::MapFile;
use tranship_connector::{
    Changed, PrepareContext, Prepared, Reject, RejectSink, Result, Source, Transforms, transforms,
};
use tranship_storage::SourceIdentity;
use tranship_storage::identity::FileIdentity;
use tranship_testkit::reading::{self, Outcome, Record, Vector};
use tranship_testkit::{Generator, MemorySource};

/// A source that has files, as far as anybody asks.
pub struct Filed(pub MemorySource);

impl Source for Filed {
    fn schema(&self) -> &CollectionSchema {
        Source::schema(&self.0)
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let file = FileIdentity {
            path: "memory".to_owned(),
            bytes: 1,
            mtime_ns: 0,
            inode: 0,
            edges: String::new(),
            sha256: None,
        };
        Ok(SourceIdentity { files: vec![file] })
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        self.0.prepare(context)
    }
}

pub fn source(generator: &Generator) -> MemorySource {
    MemorySource::new(generator.schema(), generator.batches(), 2)
}

/// What `source` holds after `transforms`.
pub fn read(source: MemorySource, transforms: &Transforms) -> Result<Outcome> {
    reading::read(&*tranship_transform::wrap(Box::new(Filed(source)), transforms)?)
}

pub fn plain(generator: &Generator) -> Outcome {
    read(source(generator), &Transforms::default()).unwrap()
}

pub fn changed(generator: &Generator, transforms: &Transforms) -> Outcome {
    read(source(generator), transforms).unwrap()
}

/// The message, context and next step of the error that reading ends with.
pub fn refusal(generator: &Generator, transforms: &Transforms) -> String {
    match read(source(generator), transforms) {
        Ok(_) => panic!("{transforms:?} was accepted"),
        Err(error) => format!("{error} | {}", error.next_step().unwrap_or_default()),
    }
}

pub fn map(text: &str) -> Transforms {
    let file = MapFile { path: "fields.toml".into(), text: text.to_owned() };
    Transforms { map: Some(file), ..Transforms::default() }
}

pub fn ids(outcome: &Outcome) -> BTreeSet<String> {
    outcome.records.iter().map(|record| record.id.clone()).collect()
}

/// Records by key, with metadata by value: an empty object is none.
pub fn by_value(records: &[Record]) -> BTreeMap<(Option<String>, String), (String, Option<String>, Value)> {
    let entry = |record: &Record| {
        let metadata = Some(record.json()).filter(|value| *value != serde_json::json!({})).unwrap_or_default();
        let vectors = format!("{:?} {:?}", record.kind, bits(&record.vectors));
        ((record.namespace.clone(), record.id.clone()), (vectors, record.document.clone(), metadata))
    };
    records.iter().map(entry).collect()
}

fn bits(vectors: &BTreeMap<String, Vector>) -> Vec<(String, Vec<u32>)> {
    let bits = |vector: &Vector| match vector {
        Vector::Dense(values) | Vector::Multi(values) => values.iter().map(|v| v.to_bits()).collect(),
        Vector::Sparse(indices, values) => indices.iter().copied().chain(values.iter().map(|v| v.to_bits())).collect(),
        Vector::Bits(bytes) => bytes.iter().map(|b| u32::from(*b)).collect(),
    };
    vectors.iter().map(|(name, vector)| (name.clone(), bits(vector))).collect()
}

/// What the steps count over all splits.
pub fn counted(source: MemorySource, transforms: &Transforms) -> Changed {
    struct Count(Changed);
    impl RejectSink for Count {
        fn reject(&mut self, _: Reject) -> Result<()> {
            Ok(())
        }
        fn changed(&mut self, changed: &Changed) {
            transforms::merge(&mut self.0, changed);
        }
    }
    let wrapped = tranship_transform::wrap(Box::new(Filed(source)), transforms).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let context = PrepareContext { memory_bytes: 64 << 20, split_bytes: 1 << 20, scratch: scratch.path() };
    let prepared = wrapped.prepare(&context).unwrap();
    let mut count = Count(Changed::new());
    for split in prepared.splits().unwrap() {
        prepared.open(split.unwrap(), &mut count).unwrap().for_each(|batch| drop(batch.unwrap()));
    }
    count.0
}

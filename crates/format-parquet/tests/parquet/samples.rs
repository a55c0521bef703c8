//! Small collections with everything in them, and short ways to read them back.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, SetFingerprint, VectorKind, VectorSpec};
use tranship_connector::{OpenOptions, PrepareContext, Reject, RejectSink, Result, Source, Split};
use tranship_format_parquet::ParquetSource;

pub fn full_schema() -> CollectionSchema {
    let mut schema = CollectionSchema::new("everything");
    schema.ids = IdKinds::Mixed;
    schema.namespaced = true;
    schema.vectors = vec![
        VectorSpec::dense("", 3),
        VectorSpec::dense("title", 2),
        VectorSpec { kind: VectorKind::Multi, ..VectorSpec::dense("colbert", 2) },
        VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense("splade", 0) },
    ];
    schema
}

/// `rows` records that have or lack each part in turn.
pub fn full_batch(schema: &CollectionSchema, first: usize, rows: usize) -> RecordBatch {
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    for row in first..first + rows {
        let value = row as f32;
        if row % 5 != 1 {
            builder.push_dense(0, &[value, -0.0, f32::from_bits(1)]);
        }
        if row % 3 == 0 {
            builder.push_dense(1, &[f32::MAX, 1.0 / (value + 1.0)]);
        }
        match row % 4 {
            0 => builder.push_multi(2, &[value, 1.0, 2.0, 3.0]),
            1 => builder.push_multi(2, &[]),
            _ => {}
        }
        match row % 4 {
            0 => builder.push_sparse(3, &[1, 7, u32::MAX], &[0.5, -1.0, value]).unwrap(),
            1 => builder.push_sparse(3, &[], &[]).unwrap(),
            _ => {}
        }
        let id_kind = if row % 2 == 0 { IdKind::Integer } else { IdKind::Text };
        let metadata = format!(r#"{{"b": 1.50, "a": {row}, "c": null}}"#);
        builder
            .finish_row(RowText {
                id: &row.to_string(),
                id_kind,
                namespace: [None, Some("blue"), Some("größer")][row % 3],
                document: (row % 3 != 0).then_some("Der Text, auch mit \u{1F600}"),
                metadata: (row % 4 != 0).then_some(metadata.as_str()),
            })
            .unwrap();
    }
    builder.finish().unwrap()
}

pub fn fingerprint(schema: &CollectionSchema, batches: &[RecordBatch]) -> SetFingerprint {
    let mut fingerprint = SetFingerprint::new(schema);
    let mut digester = Default::default();
    for batch in batches {
        let view = BatchView::new(batch, schema).unwrap();
        fingerprint.add_batch(&view, &mut digester, |_, _| {}).unwrap();
    }
    fingerprint
}

#[derive(Default)]
pub struct Rejects(pub Vec<Reject>);

impl RejectSink for Rejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        self.0.push(reject);
        Ok(())
    }
}

pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

/// Everything that reading an input gives.
#[derive(Debug)]
pub struct Read {
    pub schema: CollectionSchema,
    pub batches: Vec<RecordBatch>,
    pub rejects: Vec<Reject>,
    pub splits: Vec<Split>,
    pub notes: Vec<String>,
}

pub fn read(path: &Path, options: &OpenOptions, split_bytes: u64) -> Result<Read> {
    let source = ParquetSource::open(path, options)?;
    let prepared = source.prepare(&PrepareContext { memory_bytes: 1 << 30, split_bytes, scratch: path })?;
    let (mut batches, mut rejects, mut splits) = (Vec::new(), Rejects::default(), Vec::new());
    for split in prepared.splits()? {
        let split = split?;
        splits.push(split.clone());
        for batch in prepared.open(split, &mut rejects)? {
            batches.push(batch?);
        }
    }
    Ok(Read { schema: prepared.schema().clone(), batches, rejects: rejects.0, splits, notes: prepared.notes() })
}

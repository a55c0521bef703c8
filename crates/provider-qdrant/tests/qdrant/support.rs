//! Hand-made collections and the shortest way through sink and source.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema, IdKinds, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{
    CreateOptions, Error, Locator, OpenOptions, PrepareContext, Reject, RejectSink, Result, Sink,
};
use tranship_provider_qdrant::CONNECTOR;
use tranship_testkit::bundles;

/// The texts of a record, its vectors apart.
pub type Row = (&'static str, IdKind, Option<&'static str>, Option<&'static str>, Option<&'static str>);

pub const UUID: &str = "3f622591-baa6-5888-8a4f-6b3813e16a44";

/// Ids, namespaces, documents and metadata that are hard to carry.
pub const ROWS: [Row; 9] = [
    ("doc-1", IdKind::Text, None, Some("a \"document\"\n\u{1F980}"), Some(r#"{"a":1,"b":1.0,"c":null,"d":{"e":[]}}"#)),
    (UUID, IdKind::Text, None, None, None),
    ("3F622591-BAA6-5888-8A4F-6B3813E16A44", IdKind::Text, None, Some(""), Some("{}")),
    ("42", IdKind::Text, None, None, Some(r#" { "x" : "y" } "#)),
    ("42", IdKind::Integer, None, None, Some(r#"{"score":997833.0085806655,"n":[-0,1e22],"":""}"#)),
    ("-5", IdKind::Integer, None, None, Some(r#"{"big":123456789012345678901234567890}"#)),
    ("99999999999999999999", IdKind::Integer, None, Some("late"), None),
    ("42", IdKind::Integer, Some("tenant\tone"), None, Some(r#"{"@float":"NaN"}"#)),
    (UUID, IdKind::Text, Some("tenant\tone"), Some("d"), None),
];

/// A collection with the given metric and the rows above; record 1 has no vector.
pub fn dense(metric: Metric) -> (CollectionSchema, Vec<RecordBatch>) {
    let mut schema = CollectionSchema::new("notes & more");
    schema.ids = IdKinds::Mixed;
    schema.namespaced = true;
    schema.aliases = vec!["notes".to_owned()];
    let index = Some(IndexSpec::Hnsw { m: 16, ef_construction: 100, ef_search: Some(10) });
    schema.vectors = vec![VectorSpec { metric: Some(metric), index, ..VectorSpec::dense("", 3) }];
    let batches = build(&schema, &ROWS, |builder, row| {
        if row != 1 {
            builder.push_dense(0, &[row as f32 - 2.5, 0.1, f32::from_bits(0x15ae_43fd)]);
        }
    });
    (schema, batches)
}

/// A collection with dense, multi and sparse vectors by name.
pub fn named() -> (CollectionSchema, Vec<RecordBatch>) {
    let mut schema = CollectionSchema::new("named");
    schema.ids = IdKinds::Text;
    schema.vectors = vec![
        VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("a", 2) },
        VectorSpec { metric: Some(Metric::Cosine), kind: VectorKind::Multi, ..VectorSpec::dense("m", 2) },
        VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense("s", 0) },
    ];
    let batches = build(&schema, &ROWS[..4], |builder, row| {
        if row != 2 {
            builder.push_dense(0, &[1e-38, -0.0]);
        }
        if row % 2 == 0 {
            builder.push_multi(1, &[3.0, 4.0, 0.0, 2.0]);
        }
        let _sparse = builder.push_sparse(2, &[0, u32::MAX], &[0.5, -7.25]);
    });
    (schema, batches)
}

pub fn build(schema: &CollectionSchema, rows: &[Row], vectors: impl Fn(&mut BatchBuilder, usize)) -> Vec<RecordBatch> {
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    let mut batches = Vec::new();
    for (position, (id, id_kind, namespace, document, metadata)) in rows.iter().enumerate() {
        vectors(&mut builder, position);
        let (namespace, document, metadata) = (*namespace, *document, *metadata);
        builder.finish_row(RowText { id, id_kind: *id_kind, namespace, document, metadata }).unwrap();
        if position % 4 == 3 {
            batches.push(builder.finish().unwrap());
        }
    }
    batches.push(builder.finish().unwrap());
    batches
}

pub use tranship_testkit::bundles::fingerprint;

pub fn locator(path: &Path) -> Locator {
    Locator { provider: None, path: path.to_owned() }
}

pub fn sink(path: &Path, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    CONNECTOR.create.unwrap()(&locator(path), options)
}

/// Writes one shard per batch and commits.
pub fn write(path: &Path, schema: &CollectionSchema, batches: &[RecordBatch], options: &CreateOptions) -> Result<()> {
    bundles::write(&CONNECTOR, path, schema, batches, options).map(drop)
}

struct NoRejects;

impl RejectSink for NoRejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        Err(Error::damaged(format!("{}: {}", reject.place, reject.reason)))
    }
}

/// Reads everything that a locator holds.
pub fn read(path: &Path) -> Result<(CollectionSchema, Vec<RecordBatch>)> {
    let source = CONNECTOR.open.unwrap()(&locator(path), &OpenOptions::default())?;
    let scratch = std::env::temp_dir();
    let context = PrepareContext { memory_bytes: 1 << 30, split_bytes: 1 << 20, scratch: &scratch };
    let prepared = source.prepare(&context)?;
    let mut batches = Vec::new();
    for split in prepared.splits()? {
        for batch in prepared.open(split?, &mut NoRejects)? {
            batches.push(batch?);
        }
    }
    Ok((prepared.schema().clone(), batches))
}

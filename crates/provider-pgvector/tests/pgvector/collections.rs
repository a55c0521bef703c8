//! Hand-made collections for bundles, and the shortest way through sink and source.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::schema::IdKind;
use tranship_collection::{
    BatchBuilder, CollectionSchema, Element, IdKinds, IndexSpec, Metric, VectorKind, VectorSpec,
};
use tranship_connector::{
    CreateOptions, Error, Locator, Mapping, OpenOptions, PrepareContext, Reject, RejectSink, Result,
};
use tranship_provider_pgvector::CONNECTOR;
use tranship_testkit::bundles::{self, fingerprint};

pub type Collection = (CollectionSchema, Vec<RecordBatch>);
/// The texts of a record, its vectors apart.
pub type Row = (&'static str, IdKind, Option<&'static str>, Option<&'static str>, Option<&'static str>);

pub const ODD_NAME: &str = "Od\"d 't; \\ :y $x $$ é(,)";

const ODD_ROWS: [Row; 10] = [
    (
        "doc-1",
        IdKind::Text,
        None,
        Some("a \"document\"\n\t\\N \u{1F980}"),
        Some(r#"{"a":1,"b":1.0,"c":null,"d":{"e":[]}}"#),
    ),
    ("3F622591-BAA6-5888-8A4F-6B3813E16A44", IdKind::Text, None, Some(""), Some("{}")),
    ("42", IdKind::Text, None, None, Some(r#" { "x" : "y\n\\\"\u00e9" } "#)),
    ("42", IdKind::Integer, None, None, Some(r#"{"score":997833.0085806655,"n":[-0,1e22,{"x":-0.0}],"":"","z":-0.0}"#)),
    (
        "-5",
        IdKind::Integer,
        None,
        None,
        Some(r#"{"big":123456789012345678901234567890,"e":1e3,"f":100e-2,"t":5e-324}"#),
    ),
    ("99999999999999999999", IdKind::Integer, None, Some("late"), None),
    (
        "42",
        IdKind::Integer,
        Some("tenant\t'one"),
        None,
        Some(r#"{"nul":"a\u0000b","k\u0000":1,"l":["\u0000"],"n":1.7e308}"#),
    ),
    (
        "it's \"\\ id\n",
        IdKind::Text,
        Some("tenant\t'one"),
        Some("d"),
        Some(r#"{"tiny":1e-20000,"zero":0.0e-20000,"o":{"zero":0.0e-20000}}"#),
    ),
    ("\u{0}nul", IdKind::Text, None, None, None),
    ("last", IdKind::Text, Some("b"), None, Some(r#"{"fifty":1.50,"text":"_tranship_id"}"#)),
];

/// Every kind of vector, names that need quotes, ids and metadata that PostgreSQL has no place for.
pub fn odd() -> Collection {
    let mut schema = CollectionSchema::new(ODD_NAME);
    (schema.ids, schema.namespaced) = (IdKinds::Mixed, true);
    schema.aliases = vec!["other".to_owned()];
    let index = Some(IndexSpec::Hnsw { m: 48, ef_construction: 64, ef_search: Some(10) });
    let dense =
        |name: &str, metric, element| VectorSpec { metric: Some(metric), element, ..VectorSpec::dense(name, 3) };
    schema.vectors = vec![
        VectorSpec { index, ..dense("", Metric::L2, Element::F32) },
        VectorSpec { kind: VectorKind::Bits, dim: Some(11), ..dense("flags", Metric::Jaccard, Element::U8) },
        dense("half \"way\", (x", Metric::Cosine, Element::F16),
        dense("id", Metric::Dot, Element::I8),
        VectorSpec { kind: VectorKind::Sparse, dim: None, metric: None, ..VectorSpec::dense("terms", 0) },
    ];
    let batches = build(&schema, &ODD_ROWS, 3, |builder, row| {
        if row != 1 {
            builder.push_dense(0, &[row as f32 - 2.5, -0.0, f32::from_bits(0x15ae_43fd)]);
            builder.push_bytes(1, &[row as u8, 0xe0]);
        }
        if row != 2 {
            builder.push_dense(2, &[65504.0, -0.0, 6e-8f32.mul_add(0.0, row as f32)]);
            builder.push_dense(3, &[-128.0, 127.0, row as f32]);
        }
        if row % 2 == 0 {
            builder.push_sparse(4, &[0, 7, 999_999_999], &[0.5, if row == 4 { 0.0 } else { -7.25 }, 1e-45]).unwrap();
        } else {
            builder.push_sparse(4, &[], &[]).unwrap();
        }
    });
    (schema, batches)
}

const TYPED_ROWS: [Row; 5] = [
    (
        "1",
        IdKind::Integer,
        None,
        Some("d"),
        Some(
            r#"{"year":1999,"price":0.1,"title":"a\t'\"\\","ok":true,"tags":["x","y\n"],"n":[1,-2],"x":[0.5,-0.0],"b":[true,false]}"#,
        ),
    ),
    (
        "-9223372036854775808",
        IdKind::Integer,
        None,
        None,
        Some(r#"{"year":-9223372036854775808,"price":1e300,"title":"","ok":false,"tags":["NULL",""],"mixed":1}"#),
    ),
    ("3", IdKind::Integer, None, None, Some(r#"{"year":null,"price":-0.0,"title":"a\u0000","mixed":"two","id":7}"#)),
    ("4", IdKind::Integer, None, None, Some(r#"{"price":3.0,"Ünï \"q\"":5,"tags":[]}"#)),
    ("9223372036854775807", IdKind::Integer, None, None, None),
];

/// Integer ids and metadata of one type per key.
pub fn typed() -> Collection {
    let mut schema = CollectionSchema::new("typed");
    schema.ids = IdKinds::Integer;
    let index = Some(IndexSpec::Other { name: "ivfflat".to_owned(), settings: serde_json::json!({ "lists": 2 }) });
    schema.vectors = vec![VectorSpec { metric: Some(Metric::Cosine), index, ..VectorSpec::dense("", 2) }];
    let batches = build(&schema, &TYPED_ROWS, 2, |builder, row| builder.push_dense(0, &[0.25, row as f32 + 0.1]));
    (schema, batches)
}

pub fn build(
    schema: &CollectionSchema,
    rows: &[Row],
    batch_rows: usize,
    vectors: impl Fn(&mut BatchBuilder, usize),
) -> Vec<RecordBatch> {
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    let mut batches = Vec::new();
    for (position, (id, id_kind, namespace, document, metadata)) in rows.iter().enumerate() {
        vectors(&mut builder, position);
        let (namespace, document, metadata) = (*namespace, *document, *metadata);
        builder.finish_row(RowText { id, id_kind: *id_kind, namespace, document, metadata }).unwrap();
        if builder.rows() == batch_rows || position + 1 == rows.len() {
            batches.push(builder.finish().unwrap());
        }
    }
    batches
}

/// `--allow-loss` and `--target-option metadata=..`.
pub fn options(allow_loss: &[&str], metadata: Option<&str>) -> CreateOptions {
    let options = metadata.map(|value| ("metadata".to_owned(), value.to_owned()));
    CreateOptions {
        allow_loss: allow_loss.iter().map(|code| (*code).to_owned()).collect(),
        options: options.into_iter().collect(),
        ..CreateOptions::default()
    }
}

pub fn locator(path: &Path) -> Locator {
    Locator { provider: None, path: path.to_owned() }
}

pub fn write(path: &Path, collection: &Collection, options: &CreateOptions) -> Result<Mapping> {
    bundles::write(&CONNECTOR, path, &collection.0, &collection.1, options)
}

/// What `mapping.json` of a bundle says.
pub fn mapping(bundle: &Path) -> Mapping {
    serde_json::from_slice(&std::fs::read(bundle.join("mapping.json")).unwrap()).unwrap()
}

struct NoRejects;

impl RejectSink for NoRejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        Err(Error::damaged(format!("{}: {}", reject.place, reject.reason)))
    }
}

/// Reads everything that a locator holds.
pub fn read(path: &Path, options: &OpenOptions) -> Result<Collection> {
    let source = CONNECTOR.open.unwrap()(&locator(path), options)?;
    let scratch = tempfile::tempdir().unwrap();
    let context = PrepareContext { memory_bytes: 1 << 30, split_bytes: 1 << 20, scratch: scratch.path() };
    let prepared = source.prepare(&context)?;
    let mut batches = Vec::new();
    for split in prepared.splits()? {
        for batch in prepared.open(split?, &mut NoRejects)? {
            batches.push(batch?);
        }
    }
    Ok((prepared.schema().clone(), batches))
}

/// The fingerprint of what a locator holds in the target's form, undone.
pub fn undone(path: &Path, options: &OpenOptions, mapping: &Mapping) -> FingerprintSummary {
    let (schema, batches) = read(path, options).unwrap();
    let undone: Vec<RecordBatch> = batches.iter().map(|batch| mapping.undo(batch, &schema).unwrap()).collect();
    fingerprint(&mapping.undone_schema(&schema), &undone).summary()
}

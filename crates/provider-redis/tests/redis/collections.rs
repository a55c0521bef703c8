//! Hand-made collections for bundles, and the shortest way through sink and source.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema, Element, IdKinds, IndexSpec, Metric, VectorSpec};
use tranship_connector::{
    CreateOptions, Error, Locator, Mapping, OpenOptions, PrepareContext, Reject, RejectSink, Result,
};
use tranship_provider_redis::CONNECTOR;
use tranship_testkit::bundles::{self, fingerprint};

pub type Collection = (CollectionSchema, Vec<RecordBatch>);
/// The texts of a record, its vectors apart.
pub type Row = (&'static str, IdKind, Option<&'static str>, Option<&'static str>, Option<&'static str>);

pub const ODD_NAME: &str = "od*d [n]ame? '\"$(x)` \\ é-^";

const ODD_ROWS: [Row; 8] = [
    (
        "doc:1",
        IdKind::Text,
        None,
        Some("a \"document\"\r\n\t\u{1F980}"),
        Some(r#"{"a":1,"b":1.0,"c":null,"d":{"e":[]},"document":"x"}"#),
    ),
    ("line\r\nbreak\0", IdKind::Text, None, Some(""), Some("{}")),
    ("42", IdKind::Text, None, None, Some(r#" { "x" : "y\n\u0000" , "embedding": 1, "_metadata": 2 } "#)),
    ("42", IdKind::Integer, None, None, Some(r#"{"score":997833.0085806655,"n":[-0,1e22],"":"","z":-0.0,"a":2}"#)),
    ("99999999999999999999", IdKind::Integer, None, Some("late"), None),
    ("42", IdKind::Integer, Some("tenant:\t\n%41 é"), None, Some(r#"{"ok":true,"year":1999,"tag":"a,b"}"#)),
    (":", IdKind::Text, Some("tenant:\t\n%41 é"), Some("d"), Some(r#"{"ok":false,"year":2000}"#)),
    ("last", IdKind::Text, Some("b"), None, None),
];

/// Every element type, names and ids of any bytes, namespaces.
pub fn odd() -> Collection {
    let mut schema = CollectionSchema::new(ODD_NAME);
    (schema.ids, schema.namespaced) = (IdKinds::Mixed, true);
    let index = |m, ef_construction, ef_search| Some(IndexSpec::Hnsw { m, ef_construction, ef_search });
    let dense =
        |name: &str, metric, element| VectorSpec { metric: Some(metric), element, ..VectorSpec::dense(name, 3) };
    schema.vectors = vec![
        VectorSpec { index: index(1000, 100, Some(10)), ..dense("", Metric::L2, Element::F32) },
        VectorSpec { index: Some(IndexSpec::Flat), ..dense("brain", Metric::Dot, Element::BF16) },
        dense("document", Metric::Cosine, Element::F16),
        dense("signed", Metric::Dot, Element::I8),
        dense("unsigned", Metric::L2, Element::U8),
    ];
    let batches = build(&schema, &ODD_ROWS, 3, |builder, row| {
        let value = row as f32;
        if row != 7 {
            builder.push_dense(0, &[value - 2.5, -0.0, f32::from_bits(0x15ae_43fd)]);
            builder.push_dense(1, &[value, -0.0, 2f32.powi(-100)]);
        }
        if row % 2 == 0 {
            builder.push_dense(2, &[65504.0, -0.0, value]);
            builder.push_dense(3, &[-128.0, 127.0, value]);
            builder.push_dense(4, &[255.0, 0.0, value]);
        }
    });
    (schema, batches)
}

/// One vector of f32 under cosine; `namespaced` or not.
pub fn single(namespaced: bool) -> Collection {
    let mut schema = CollectionSchema::new("single");
    (schema.ids, schema.namespaced) = (IdKinds::Mixed, namespaced);
    schema.vectors = vec![VectorSpec { metric: Some(Metric::Cosine), ..VectorSpec::dense("v", 2) }];
    let rows: Vec<Row> = ODD_ROWS
        .iter()
        .filter(|row| namespaced || row.2.is_none())
        .map(|row| if row.0 == "doc:1" { ("doc:1", row.1, row.2, row.3, Some(r#"{"a":1}"#)) } else { *row })
        .collect();
    let batches = build(&schema, &rows, 3, |builder, row| builder.push_dense(0, &[row as f32 + 0.1, 1.0]));
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

/// `--allow-loss` and `--target-option form=..`.
pub fn options(allow_loss: &[&str], form: &str) -> CreateOptions {
    CreateOptions {
        allow_loss: allow_loss.iter().map(|code| (*code).to_owned()).collect(),
        options: [("form".to_owned(), form.to_owned())].into(),
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

/// The fingerprint of a dump that the bundle was loaded into, undone.
pub fn undone(dump: &Path, bundle: &Path) -> FingerprintSummary {
    let path = bundle.join("mapping.json").to_str().unwrap().to_owned();
    let own = [("bundle".to_owned(), path)].into();
    let (schema, batches) = read(dump, &OpenOptions { options: own, ..OpenOptions::default() }).unwrap();
    let mapping = mapping(bundle);
    let undone: Vec<RecordBatch> = batches.iter().map(|batch| mapping.undo(batch, &schema).unwrap()).collect();
    fingerprint(&mapping.undone_schema(&schema), &undone).summary()
}

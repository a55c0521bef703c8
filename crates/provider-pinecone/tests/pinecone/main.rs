//! Pinecone bundles: what the files hold, what Pinecone cannot take, pages read back, and what damage says.
#![allow(clippy::disallowed_methods)]

mod scripts;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::{Value, json};
use tranship_collection::batch::RowText;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{
    CreateOptions, Error, ErrorKind, Grade, Locator, Mapping, OpenOptions, PrepareContext, Reject, RejectSink, Result,
};
use tranship_provider_pinecone::CONNECTOR;
use tranship_testkit::bundles;

struct Record {
    id: &'static str,
    namespace: Option<&'static str>,
    dense: Option<[f32; 2]>,
    sparse: Option<(Vec<u32>, Vec<f32>)>,
    metadata: Option<String>,
}

fn plain(id: &'static str) -> Record {
    let sparse = Some((vec![1, 4_294_967_295], vec![0.5, -7.25]));
    Record { id, namespace: None, dense: Some([1.0, 0.1]), sparse, metadata: None }
}

fn spec(name: &str, metric: Metric) -> VectorSpec {
    VectorSpec { metric: Some(metric), ..VectorSpec::dense(name, 2) }
}

fn sparse_spec() -> VectorSpec {
    VectorSpec { kind: VectorKind::Sparse, dim: None, ..spec("terms", Metric::Dot) }
}

fn schema(vectors: Vec<VectorSpec>) -> CollectionSchema {
    let mut schema = CollectionSchema::new("things");
    schema.namespaced = true;
    schema.vectors = vectors;
    schema
}

fn batch(schema: &CollectionSchema, records: &[Record]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    for record in records {
        for (column, spec) in schema.stored_vectors().enumerate() {
            match (spec.kind, &record.dense, &record.sparse) {
                (VectorKind::Dense, Some(values), _) => builder.push_dense(column, values),
                (VectorKind::Sparse, _, Some((indices, values))) => {
                    builder.push_sparse(column, indices, values).unwrap()
                }
                _ => {}
            }
        }
        let metadata = record.metadata.as_deref();
        let row =
            RowText { id: record.id, id_kind: IdKind::Text, namespace: record.namespace, document: None, metadata };
        builder.finish_row(row).unwrap();
    }
    builder.finish().unwrap()
}

fn write(path: &Path, schema: &CollectionSchema, records: &[Record], allow: &[&str]) -> Result<Mapping> {
    let allow_loss = allow.iter().map(|code| (*code).to_owned()).collect();
    let options = CreateOptions { allow_loss, ..CreateOptions::default() };
    bundles::write(&CONNECTOR, path, schema, &[batch(schema, records)], &options)
}

struct NoRejects;

impl RejectSink for NoRejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        Err(Error::damaged(reject.reason).with("place", reject.place))
    }
}

fn read(path: &Path) -> Result<(CollectionSchema, Vec<RecordBatch>)> {
    let locator = Locator { provider: None, path: path.to_owned() };
    let source = CONNECTOR.open.unwrap()(&locator, &OpenOptions::default())?;
    let scratch = tempfile::tempdir().unwrap();
    let context = PrepareContext { memory_bytes: 64 << 20, split_bytes: 1 << 20, scratch: scratch.path() };
    let prepared = source.prepare(&context)?;
    let mut batches = Vec::new();
    for split in prepared.splits()? {
        let mut rejects = NoRejects;
        for batch in prepared.open(split?, &mut rejects)? {
            batches.push(batch?);
        }
    }
    Ok((prepared.schema().clone(), batches))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn files_stand_in_a_folder_per_namespace_and_read_back_as_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let schema = schema(vec![spec("", Metric::Dot), sparse_spec()]);
    let long = "x".repeat(600);
    let metadata = r#"{"a":1,"n":null,"l":["x"],"m":[1,2],"o":{"x":0.5},"w":1.0,"$d":true}"#.to_owned();
    let records = [
        Record { metadata: Some(metadata), ..plain("a") },
        Record { sparse: None, ..plain("a b\"\\") },
        Record { namespace: Some("tenant-a"), ..plain("a") },
        Record { namespace: Some("tenant ü/1"), ..plain("a") },
        Record { namespace: Some("__default__"), ..plain("a") },
        plain(long.leak()),
        plain("ümlaut"),
    ];
    let mapping = write(&path, &schema, &records, &[]).unwrap();
    let renamed = &mapping.form["namespaces"];
    assert_eq!(renamed.as_object().unwrap().keys().collect::<Vec<_>>(), ["__default__", "tenant ü/1"]);
    let folders: std::collections::BTreeSet<String> = fs::read_dir(path.join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let other = |name: &str| renamed[name].as_str().unwrap().to_owned();
    let wanted = ["__default__".to_owned(), "tenant-a".to_owned(), other("__default__"), other("tenant ü/1")];
    assert_eq!(folders, wanted.into_iter().collect());
    assert_eq!(
        json_of(&path.join("schema.json")),
        json!({"name": "things", "vector_type": "dense", "dimension": 2, "metric": "dotproduct",
            "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}, "deletion_protection": "disabled"})
    );
    let counts = fs::read_to_string(path.join("counts.tsv")).unwrap();
    assert!(counts.lines().count() == 4 && counts.contains("__default__\t4\n"), "{counts}");
    assert_eq!((CONNECTOR.probe)(&path), Some(95));
    let (back, batches) = read(&path).unwrap();
    assert_eq!(back, schema);
    let given = bundles::fingerprint(&schema, &[batch(&schema, &records)]).summary();
    assert_eq!(bundles::fingerprint(&back, &batches).summary(), given);
}

#[test]
fn each_record_that_pinecone_cannot_hold_is_refused_by_its_code_and_left_out_by_consent_alone() {
    let many: Vec<u32> = (0..1_001).collect();
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(40_960));
    let dense = schema(vec![spec("", Metric::Dot), sparse_spec()]);
    let cases = [
        (&dense, Record { dense: None, ..plain("bad") }, "VECTOR_MISSING"),
        (&dense, Record { dense: Some([0.0, -0.0]), ..plain("bad") }, "ZERO_VECTOR"),
        (&dense, Record { sparse: Some((vec![], vec![])), ..plain("bad") }, "EMPTY_SPARSE"),
        (&dense, Record { sparse: Some((many.clone(), vec![1.0; 1_001])), ..plain("bad") }, "SPARSE_TOO_LONG"),
        (&dense, Record { metadata: Some(large), ..plain("bad") }, "METADATA_TOO_LARGE"),
        (&schema(vec![sparse_spec()]), Record { sparse: None, ..plain("bad") }, "VECTOR_MISSING"),
    ];
    for (schema, bad, code) in cases {
        let dir = tempfile::tempdir().unwrap();
        let records = [plain("a"), bad, plain("c")];
        let error = write(&dir.path().join("refused"), schema, &records, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LossDenied, "{code}");
        assert!(error.message().contains("`bad`") && error.to_string().contains(code), "{error}");
        let path = dir.path().join("allowed");
        let mapping = write(&path, schema, &records, &[code]).unwrap();
        assert_eq!(mapping.left_out, [code]);
        let (back, batches) = read(&path).unwrap();
        let view = BatchView::new(&batches[0], &back).unwrap();
        assert_eq!((0..view.len()).map(|row| view.id(row)).collect::<Vec<_>>(), ["a", "c"], "{code}");
    }
}

#[test]
fn sparse_vectors_stand_beside_dense_ones_under_dot_only() {
    let dir = tempfile::tempdir().unwrap();
    let unit = Record { dense: Some([0.6, 0.8]), ..plain("a") };
    let losses = |name: &str, schema: &CollectionSchema, record: Record| {
        write(&dir.path().join(name), schema, &[record], &["VECTOR_DROPPED"]).unwrap().losses
    };
    let hybrid = schema(vec![spec("", Metric::Cosine), sparse_spec()]);
    let found = losses("unit", &hybrid, unit);
    assert!(found.iter().any(|loss| loss.code == "METRIC" && loss.grade == Grade::Equivalent), "{found:?}");
    assert_eq!(json_of(&dir.path().join("unit/schema.json"))["metric"], "dotproduct");
    let found = losses("other", &hybrid, plain("a"));
    assert!(found.iter().any(|loss| loss.code == "VECTOR_DROPPED" && loss.path.contains("terms")), "{found:?}");
    assert_eq!(json_of(&dir.path().join("other/schema.json"))["metric"], "cosine");
    let mut only = schema(vec![sparse_spec()]);
    only.vectors[0].index = Some(IndexSpec::Flat);
    let found = losses("sparse", &only, plain("a"));
    assert!(found.iter().any(|loss| loss.code == "INDEX_SETTINGS" && loss.grade == Grade::Lossy), "{found:?}");
    let body = json_of(&dir.path().join("sparse/schema.json"));
    assert_eq!((&body["vector_type"], body.get("dimension")), (&json!("sparse"), None));
}

#[test]
fn what_pinecone_has_no_form_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let create = |options: CreateOptions| {
        CONNECTOR.create.unwrap()(&Locator { provider: None, path: dir.path().join("b") }, &options)
    };
    let options = CreateOptions { collection: Some("Docs".into()), ..CreateOptions::default() };
    let dense = schema(vec![spec("", Metric::Dot)]);
    let error = create(options).unwrap().negotiate(&dense, &Default::default()).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.next_step().unwrap().contains("--as"), "{error}");
    let options = CreateOptions { options: [("cloud".into(), "moon".into())].into(), ..CreateOptions::default() };
    assert_eq!(create(options).err().unwrap().kind(), ErrorKind::Usage);
    let record = Record { dense: None, sparse: None, ..plain("a") };
    let error = write(&dir.path().join("bare"), &schema(vec![]), &[record], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LossDenied);
    let wide = schema(vec![VectorSpec { dim: Some(20_001), ..spec("", Metric::Dot) }]);
    let sink = create(CreateOptions::default()).unwrap();
    assert_eq!(sink.negotiate(&wide, &Default::default()).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn fetched_pages_are_the_stored_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let schema = schema(vec![spec("", Metric::Dot), sparse_spec()]);
    let records = [
        Record { metadata: Some(r#"{"a":1,"b":0.5,"n":null}"#.to_owned()), ..plain("a") },
        Record { namespace: Some("tenant ü"), sparse: None, ..plain("b") },
    ];
    let mapping = write(&path, &schema, &records, &[]).unwrap();
    let pages = dir.path().join("pages");
    fs::create_dir(&pages).unwrap();
    fs::copy(path.join("mapping.json"), pages.join("stored.json")).unwrap();
    // The index answers in any order of indices, and spells whole numbers with a point.
    let first = json!({"vectors": {"a": {"id": "a", "values": [1.0, 0.1],
        "sparseValues": {"indices": [4294967295u32, 1], "values": [-7.25, 0.5]},
        "metadata": {"a": 1.0, "b": 0.5, "_tranship_exact": "{\"n\":null}"}}}, "namespace": "__default__", "usage": {"readUnits": 1}});
    let renamed = mapping.form["namespaces"]["tenant ü"].as_str().unwrap();
    let second = json!({"vectors": {"b": {"id": "b", "values": [1.0, 0.1]}}, "namespace": renamed});
    fs::write(pages.join("page-00001.json"), first.to_string()).unwrap();
    fs::write(pages.join("page-00002.json"), second.to_string()).unwrap();
    assert_eq!((CONNECTOR.probe)(&pages), Some(90));
    let (stored, batches) = read(&pages).unwrap();
    let undone: Vec<RecordBatch> = batches.iter().map(|batch| mapping.undo(batch, &stored).unwrap()).collect();
    let found = bundles::fingerprint(&mapping.undone_schema(&stored), &undone).summary();
    assert_eq!(found, bundles::fingerprint(&schema, &[batch(&schema, &records)]).summary());
    fs::remove_file(pages.join("page-00001.json")).unwrap();
    let error = read(&pages).unwrap_err();
    assert!(error.kind() == ErrorKind::Damaged && error.message().contains("page 1"), "{error}");
}

#[test]
fn a_damaged_bundle_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = "data/__default__/part-00000-000.parquet";
    let damages: [(&str, fn(&Path)); 3] = [
        ("flipped", |path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("cut", |path| fs::write(path, &fs::read(path).unwrap()[..20]).unwrap()),
        ("missing", |path| fs::remove_file(path).unwrap()),
    ];
    for (name, damage) in damages {
        let path = dir.path().join(name);
        write(&path, &schema(vec![spec("", Metric::Dot)]), &[plain("a")], &[]).unwrap();
        damage(&path.join(file));
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("part-00000-000.parquet"), "{name}: {error}");
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io), "{name}: {error}");
    }
}

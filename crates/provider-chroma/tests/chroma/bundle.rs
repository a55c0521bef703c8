//! Bundles: what a body holds, what Chroma cannot take, and what damage says.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::{Value, json};
use tranship_collection::batch::RowText;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema, IdKinds, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{CreateOptions, Error, ErrorKind, Grade, Locator, Mapping, OpenOptions, Split};
use tranship_provider_chroma::{CONNECTOR, dialect};
use tranship_testkit::bundles;

struct Record {
    id: &'static str,
    vector: Option<[f32; 3]>,
    document: Option<&'static str>,
    metadata: Option<&'static str>,
}

const PLAIN: Record = Record { id: "a", vector: Some([1.0, 0.1, -0.0]), document: None, metadata: None };

fn schema(metric: Metric) -> CollectionSchema {
    let mut schema = CollectionSchema::new("things");
    schema.vectors = vec![VectorSpec { metric: Some(metric), ..VectorSpec::dense("", 3) }];
    schema
}

fn batch(schema: &CollectionSchema, records: &[Record]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    for record in records {
        if let Some(vector) = &record.vector {
            builder.push_dense(0, vector);
        }
        let integer = schema.ids == IdKinds::Integer;
        let text = RowText {
            id: record.id,
            id_kind: if integer { IdKind::Integer } else { IdKind::Text },
            namespace: None,
            document: record.document,
            metadata: record.metadata,
        };
        builder.finish_row(text).unwrap();
    }
    builder.finish().unwrap()
}

fn write(path: &Path, schema: &CollectionSchema, records: &[Record], allow: &[&str]) -> Result<Mapping, Error> {
    let allow_loss = allow.iter().map(|code| (*code).to_owned()).collect();
    let options = CreateOptions { allow_loss, ..CreateOptions::default() };
    bundles::write(&CONNECTOR, path, schema, &[batch(schema, records)], &options)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn read_all(path: &Path) -> Result<usize, Error> {
    let locator = Locator { provider: None, path: path.to_owned() };
    let source = CONNECTOR.open.unwrap()(&locator, &OpenOptions::default())?;
    let scratch = tempfile::tempdir().unwrap();
    let context =
        tranship_connector::PrepareContext { scratch: scratch.path(), memory_bytes: 64 << 20, split_bytes: 1 << 20 };
    let prepared = source.prepare(&context)?;
    let mut rows = 0;
    let splits: Vec<Split> = prepared.splits()?.collect::<Result<_, _>>()?;
    for split in splits {
        let mut rejects = Refused;
        for batch in prepared.open(split, &mut rejects)? {
            rows += batch?.num_rows();
        }
    }
    Ok(rows)
}

struct Refused;

impl tranship_connector::RejectSink for Refused {
    fn reject(&mut self, reject: tranship_connector::Reject) -> tranship_connector::Result<()> {
        panic!("{}", reject.reason)
    }
}

#[test]
fn a_body_is_what_upsert_takes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let mut schema = schema(Metric::Cosine);
    schema.vectors[0].index = Some(IndexSpec::Hnsw { m: 24, ef_construction: 200, ef_search: Some(64) });
    let full = r#"{"a":1,"n":null,"o":{"x":"y"},"l":[1,2],"mixed":[1,"x"],"z":-0.0,"big":9223372036854775808,"#
        .to_owned()
        + r#""$d":1,"chroma:own":true}"#;
    let records = [
        Record { document: Some("ä \"text\""), metadata: Some(full.leak()), ..PLAIN },
        Record { id: "42", metadata: Some("{}"), ..PLAIN },
    ];
    let mapping = write(&path, &schema, &records, &[]).unwrap();
    let body = json_of(&path.join("data/batch-00000-000.json"));
    assert_eq!(body["ids"], json!(["a", "42"]));
    assert_eq!(body["embeddings"], json!([[1.0, 0.1, -0.0], [1.0, 0.1, -0.0]]));
    assert_eq!(body["documents"], json!(["ä \"text\"", null]));
    let exact =
        r#"{"n":null,"o":{"x":"y"},"mixed":[1,"x"],"z":-0.0,"big":9223372036854775808,"$d":1,"chroma:own":true}"#;
    let metadata = &body["metadatas"][0];
    assert_eq!(metadata["_tranship_exact"], exact);
    assert_eq!((&metadata["a"], &metadata["l"], &metadata["o.x"]), (&json!(1), &json!([1, 2]), &json!("y")));
    assert!(metadata.get("n").is_none() && metadata.get("chroma:own").is_none() && metadata.get("$d").is_none());
    assert_eq!(body["metadatas"][1], Value::Null);
    assert_eq!(
        json_of(&path.join("schema.json")),
        json!({"name": "things", "get_or_create": false, "configuration": {"hnsw": {
            "space": "cosine", "max_neighbors": 24, "ef_construction": 200, "ef_search": 64}}})
    );
    assert_eq!(mapping.tolerance.get(""), Some(&dialect::COSINE_TOLERANCE));
    assert_eq!((CONNECTOR.probe)(&path), Some(95));
    assert_eq!(read_all(&path).unwrap(), 2);
}

#[test]
fn bodies_hold_no_more_records_than_chroma_takes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let ids = |row: usize| -> &'static str { row.to_string().leak() };
    let records: Vec<Record> = (0..dialect::BATCH_ROWS + 1).map(|row| Record { id: ids(row), ..PLAIN }).collect();
    write(&path, &schema(Metric::L2), &records, &[]).unwrap();
    let rows = |name: &str| json_of(&path.join("data").join(name))["ids"].as_array().unwrap().len();
    assert_eq!((rows("batch-00000-000.json"), rows("batch-00000-001.json")), (dialect::BATCH_ROWS, 1));
    assert_eq!(read_all(&path).unwrap(), dialect::BATCH_ROWS + 1);
}

#[test]
fn bodies_have_no_more_bytes_than_a_server_takes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let text: &'static str = "x".repeat(dialect::BATCH_BYTES / 3).leak();
    let records = ["a", "b", "c", "d"].map(|id| Record { id, document: Some(text), ..PLAIN });
    write(&path, &schema(Metric::L2), &records, &[]).unwrap();
    let sizes: Vec<u64> =
        fs::read_dir(path.join("data")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() == 2 && sizes.iter().all(|size| *size <= dialect::BATCH_BYTES as u64), "{sizes:?}");
    assert_eq!(read_all(&path).unwrap(), 4);
    let huge: &'static str = "x".repeat(dialect::BATCH_BYTES).leak();
    let record = Record { document: Some(huge), ..PLAIN };
    let error = write(&dir.path().join("huge"), &schema(Metric::L2), &[record], &[]).unwrap_err();
    assert!(error.kind() == ErrorKind::Limit && error.message().contains("`a`"), "{error}");
}

#[test]
fn each_record_that_chroma_cannot_hold_is_refused_by_its_code_and_left_out_by_consent_alone() {
    let cases = [
        (Metric::L2, None, "VECTOR_MISSING"),
        (Metric::Cosine, Some([3e38, 3e38, 0.0]), "NORM_OUT_OF_RANGE"),
        (Metric::Cosine, Some([1e-23, 0.0, 0.0]), "NORM_OUT_OF_RANGE"),
    ];
    for (metric, vector, code) in cases {
        let dir = tempfile::tempdir().unwrap();
        let records = [PLAIN, Record { id: "bad", vector, ..PLAIN }, Record { id: "c", ..PLAIN }];
        let error = write(&dir.path().join("refused"), &schema(metric), &records, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LossDenied);
        assert!(error.message().contains("`bad`") && error.to_string().contains(code), "{error}");
        let path = dir.path().join("allowed");
        let mapping = write(&path, &schema(metric), &records, &[code]).unwrap();
        assert_eq!(mapping.left_out, [code]);
        assert_eq!(json_of(&path.join("data/batch-00000-000.json"))["ids"], json!(["a", "c"]));
        assert!(fs::read_to_string(path.join("data/left-out-00000.jsonl")).unwrap().contains("\"bad\""));
    }
    // The same vectors are none of cosine's business elsewhere, and zeros are taken.
    let dir = tempfile::tempdir().unwrap();
    let large = Record { vector: Some([3e38, 3e38, 0.0]), ..PLAIN };
    write(&dir.path().join("l2"), &schema(Metric::L2), &[large], &[]).unwrap();
    let zero = Record { vector: Some([0.0; 3]), ..PLAIN };
    write(&dir.path().join("zero"), &schema(Metric::Cosine), &[zero], &[]).unwrap();
}

#[test]
fn what_chroma_has_no_form_for_needs_consent_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let sink = |name: &str| {
        let options = CreateOptions { collection: Some(name.to_owned()), ..CreateOptions::default() };
        CONNECTOR.create.unwrap()(&Locator { provider: None, path: path.clone() }, &options).unwrap()
    };
    let losses = |schema: &CollectionSchema| {
        let survey = bundles::survey(&*sink("things"), schema, &[]).unwrap();
        sink("things").negotiate(schema, &survey).unwrap().losses
    };
    let mut two = schema(Metric::L2);
    two.vectors.push(VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("second", 2) });
    two.vectors.push(VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense("terms", 0) });
    two.vectors[0].index = Some(IndexSpec::Flat);
    let found: Vec<(String, Grade)> = losses(&two).into_iter().map(|loss| (loss.path, loss.grade)).collect();
    let wanted = [("vector.second", Grade::Dropped), ("sparse.terms", Grade::Dropped), ("vector", Grade::Lossy)];
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for (path, grade) in wanted {
        assert!(found.iter().any(|(p, g)| (p == path || p == "vector.terms") && *g == grade), "{path} {found:?}");
    }
    assert!(losses(&schema(Metric::L1)).iter().any(|loss| loss.code == "METRIC" && loss.grade == Grade::Lossy));
    let error = sink("a").negotiate(&schema(Metric::L2), &Default::default()).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.next_step().unwrap().contains("--as"), "{error}");
    let bare = CollectionSchema::new("things");
    let error = write(&path, &bare, &[Record { vector: None, ..PLAIN }], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LossDenied);
    write(&path, &bare, &[], &[]).unwrap();
    assert_eq!(read_all(&path).unwrap(), 0);
}

#[test]
fn a_damaged_bundle_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let body = "data/batch-00000-000.json";
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
        write(&path, &schema(Metric::L2), &[PLAIN], &[]).unwrap();
        damage(&path.join(body));
        let error = read_all(&path).unwrap_err();
        assert!(error.to_string().contains("batch-00000-000.json"), "{name}: {error}");
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io), "{name}: {error}");
    }
}

//! What Qdrant cannot take is refused by name, with the next step.

use tranship_collection::schema::IdKind;
use tranship_collection::{CollectionSchema, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::Survey;
use tranship_connector::mapping::mapped_id;
use tranship_connector::{CreateOptions, Error, ErrorKind, Grade};
use tranship_testkit::bundles;

use crate::support::{Row, build, dense, read, sink, write};

fn negotiate_error(spec: VectorSpec) -> Error {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![spec];
    let dir = tempfile::tempdir().unwrap();
    sink(&dir.path().join("b"), &CreateOptions::default()).unwrap().negotiate(&schema, &Survey::default()).unwrap_err()
}

fn write_rows(rows: &[Row], options: &CreateOptions) -> Result<(), Error> {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec { metric: Some(Metric::Dot), ..VectorSpec::dense("", 1) }];
    let batches = build(&schema, rows, |builder, _| builder.push_dense(0, &[1.0]));
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("b"), &schema, &batches, options)
}

#[test]
fn vectors_that_qdrant_does_not_have_are_refused_before_anything_is_written() {
    let dense = VectorSpec { metric: Some(Metric::Dot), ..VectorSpec::dense("", 2) };
    let cases = [
        (VectorSpec { metric: None, ..dense.clone() }, ErrorKind::Usage, "by which metric"),
        (VectorSpec { dim: Some(65_537), ..dense.clone() }, ErrorKind::Limit, "65537"),
        (VectorSpec { name: "a/b".into(), ..dense.clone() }, ErrorKind::LossDenied, "'/'"),
        (VectorSpec { kind: VectorKind::Sparse, dim: None, ..dense }, ErrorKind::LossDenied, "under a name"),
    ];
    for (spec, kind, text) in cases {
        let error = negotiate_error(spec);
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(text), "{error}");
        assert!(error.next_step().is_some());
    }
}

#[test]
fn what_qdrant_has_no_form_for_needs_consent() {
    let dense = VectorSpec { metric: Some(Metric::Dot), ..VectorSpec::dense("", 2) };
    let cases = [
        (VectorSpec { metric: Some(Metric::Hamming), ..dense.clone() }, "METRIC", Grade::Lossy),
        (VectorSpec { kind: VectorKind::Bits, ..dense }, "VECTOR_DROPPED", Grade::Dropped),
    ];
    for (spec, code, grade) in cases {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = vec![spec];
        let dir = tempfile::tempdir().unwrap();
        let sink = sink(&dir.path().join("b"), &CreateOptions::default()).unwrap();
        let losses = sink.negotiate(&schema, &Survey::default()).unwrap().losses;
        assert!(losses.iter().any(|loss| loss.code == code && loss.grade == grade), "{losses:?}");
    }
}

#[test]
fn a_cosine_vector_whose_norm_overflows_is_refused_but_stands_in_a_snapshot() {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec { metric: Some(Metric::Cosine), ..VectorSpec::dense("", 2) }];
    let row = |id| (id, IdKind::Text, None, None, None);
    let vectors = [[3.0, 4.0], [3e38, -3e38], [0.0, 0.0]];
    let rows = [row("plain"), row("huge"), row("zero")];
    let batches = build(&schema, &rows, |builder, row| builder.push_dense(0, &vectors[row]));
    let dir = tempfile::tempdir().unwrap();
    let error = write(&dir.path().join("refused"), &schema, &batches, &CreateOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LossDenied);
    assert!(error.message().contains("huge") && error.message().contains("length squared"), "{error}");
    let options = CreateOptions { allow_loss: vec!["NORM_OUT_OF_RANGE".to_owned()], ..CreateOptions::default() };
    let path = dir.path().join("allowed");
    write(&path, &schema, &batches, &options).unwrap();
    let rows = |path: &std::path::Path| read(path).unwrap().1.iter().map(|batch| batch.num_rows()).sum::<usize>();
    assert_eq!(rows(&path), 2);
    let path = dir.path().join("snapshot");
    write(&path, &schema, &batches, &crate::native::snapshot_form()).unwrap();
    assert_eq!(rows(&path), 3);
}

#[test]
fn losses_are_graded_by_what_they_do() {
    let (mut schema, batches) = dense(Metric::Cosine);
    schema.vectors[0].index = Some(IndexSpec::Other { name: "IVF".into(), settings: serde_json::json!({}) });
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir.path().join("b"), &CreateOptions::default()).unwrap();
    let survey = bundles::survey(&*sink, &schema, &batches).unwrap();
    let negotiated = sink.negotiate(&schema, &survey).unwrap();
    let grades: Vec<(&str, Grade)> = negotiated.losses.iter().map(|loss| (loss.code.as_str(), loss.grade)).collect();
    assert_eq!(
        grades,
        [
            ("ID_TO_UUID", Grade::Reversible),
            ("NAMESPACE_IN_PAYLOAD", Grade::Reversible),
            ("DOCUMENT_IN_PAYLOAD", Grade::Reversible),
            ("METADATA_AS_TEXT", Grade::Reversible),
            ("INDEX_SETTINGS", Grade::Lossy),
            ("ALIASES", Grade::Exact),
            ("NORM", Grade::Equivalent),
        ]
    );
}

#[test]
fn a_record_that_uses_a_reserved_key_is_named() {
    for key in ["document", "_tranship_id", "_tranship_exact"] {
        let metadata: &'static str = Box::leak(format!("{{\"{key}\":1}}").into_boxed_str());
        let row: Row = ("mine", IdKind::Text, None, None, Some(metadata));
        let error = write_rows(&[row], &CreateOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LossDenied);
        assert!(error.message().contains("`mine`") && error.message().contains(key), "{error}");
        assert!(error.next_step().is_some());
    }
    let row: Row = ("mine", IdKind::Text, None, Some("text"), Some(r#"{"document":1}"#));
    let options = CreateOptions { document_key: Some("text".into()), ..CreateOptions::default() };
    write_rows(&[row], &options).unwrap();
    let options = CreateOptions { document_key: Some("_tranship_id".into()), ..CreateOptions::default() };
    assert_eq!(write_rows(&[row], &options).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn two_records_that_would_share_a_point_are_both_named() {
    let taken: &'static str = Box::leak(mapped_id("", IdKind::Text, "doc-1").to_string().into_boxed_str());
    let ids = ["a", "doc-1", "c", "d", "e", taken];
    let rows = ids.map(|id| (id, IdKind::Text, None, None, None));
    let error = write_rows(&rows, &CreateOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LossDenied);
    assert!(error.message().contains(taken), "{error}");
    let places: Vec<&str> = error.context().iter().map(|(_, place)| place.as_str()).collect();
    assert_eq!(places, ["record 1 of split 0", "record 1 of split 1"]);
}

#[test]
fn a_multivector_without_rows_is_refused_with_its_record() {
    let mut schema = CollectionSchema::new("c");
    schema.vectors =
        vec![VectorSpec { metric: Some(Metric::Dot), kind: VectorKind::Multi, ..VectorSpec::dense("m", 2) }];
    let rows: [Row; 1] = [("one", IdKind::Text, None, None, None)];
    let batches = build(&schema, &rows, |builder, _| builder.push_multi(0, &[]));
    let dir = tempfile::tempdir().unwrap();
    let error = write(&dir.path().join("b"), &schema, &batches, &CreateOptions::default()).unwrap_err();
    assert!(error.message().contains("record `one`: vector.m: a multivector without rows"), "{error}");
}

#[test]
fn an_output_that_is_there_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (schema, batches) = dense(Metric::Dot);
    let path = dir.path().join("b");
    write(&path, &schema, &batches, &CreateOptions::default()).unwrap();
    let error = write(&path, &schema, &batches, &CreateOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutputExists);
}

#[test]
fn a_collection_name_that_qdrant_refuses_can_be_replaced() {
    let (mut schema, _) = dense(Metric::Dot);
    schema.name = "a/b".into();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b");
    assert_eq!(
        sink(&path, &CreateOptions::default()).unwrap().negotiate(&schema, &Survey::default()).unwrap_err().kind(),
        ErrorKind::Usage
    );
    let options = CreateOptions { collection: Some("ab".into()), ..CreateOptions::default() };
    let mapping = sink(&path, &options).unwrap().negotiate(&schema, &Survey::default()).unwrap().mapping.unwrap();
    assert_eq!(mapping.collection, "ab");
}

//! One record per rule that breaks it, refused by its code, let through by exactly that consent.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{FixedSizeListArray, RecordBatch};
use tranship_collection::batch::RowText;
use tranship_collection::{BatchBuilder, CollectionSchema, IdKind, IdKinds, Metric, VectorKind, VectorSpec};
use tranship_connector::{CreateOptions, ErrorKind, Grade, Locator, Loss, Survey};
use tranship_testkit::{Generator, bundles, reading};

use crate::toy::{CONNECTOR, reopen};

fn schema(metric: Metric) -> CollectionSchema {
    let sparse =
        VectorSpec { kind: VectorKind::Sparse, dim: None, metric: Some(Metric::Dot), ..VectorSpec::dense("terms", 0) };
    let mut schema = CollectionSchema::new("c");
    schema.ids = IdKinds::Mixed;
    schema.vectors = vec![VectorSpec { metric: Some(metric), ..VectorSpec::dense("", 2) }, sparse];
    schema
}

/// A record: vector, sparse values, document, metadata.
type Record<'a> = (&'a str, Option<[f32; 2]>, usize, Option<&'a str>, Option<&'a str>);

fn batch(schema: &CollectionSchema, records: &[Record<'_>]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    for (id, vector, nonzeros, document, metadata) in records {
        if let Some(vector) = vector {
            builder.push_dense(0, vector);
        }
        let indices: Vec<u32> = (0..*nonzeros as u32).collect();
        builder.push_sparse(1, &indices, &vec![1.0; *nonzeros]).unwrap();
        let row = RowText { id, id_kind: IdKind::Text, namespace: None, document: *document, metadata: *metadata };
        builder.finish_row(row).unwrap();
    }
    with_nan(&builder.finish().unwrap(), schema)
}

/// Readers set records with NaN aside, so the builder takes none.
const STANDS_FOR_NAN: f32 = 77.0;

fn with_nan(batch: &RecordBatch, schema: &CollectionSchema) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    let at = batch.schema_ref().index_of("vector").unwrap();
    let (field, dim, values, nulls) = columns[at].as_fixed_size_list().clone().into_parts();
    let values = values
        .as_primitive::<Float32Type>()
        .unary::<_, Float32Type>(|v| if v == STANDS_FOR_NAN { f32::NAN } else { v });
    columns[at] = Arc::new(FixedSizeListArray::new(field, dim, Arc::new(values), nulls));
    RecordBatch::try_new(tranship_collection::layout::arrow_schema(schema), columns).unwrap()
}

fn losses(schema: &CollectionSchema, batch: &RecordBatch) -> Vec<Loss> {
    let nowhere = Locator { provider: None, path: "nowhere".into() };
    let sink = CONNECTOR.create.unwrap()(&nowhere, &CreateOptions::default()).unwrap();
    let survey = bundles::survey(&*sink, schema, std::slice::from_ref(batch)).unwrap();
    sink.negotiate(schema, &survey).unwrap().losses
}

const GOOD: Record<'static> = ("good", Some([1.0, 0.0]), 1, Some("text"), Some(r#"{"a":1}"#));

#[test]
fn every_rule_has_its_code_and_exactly_its_own_consent_lets_a_record_go() {
    let long = "x".repeat(201);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(300));
    let cases: [(&str, Record<'_>); 7] = [
        ("VECTOR_MISSING", ("bad", None, 1, None, None)),
        ("NON_FINITE", ("bad", Some([STANDS_FOR_NAN, 1.0]), 1, None, None)),
        ("ZERO_VECTOR", ("bad", Some([0.0, -0.0]), 1, None, None)),
        ("SPARSE_TOO_LONG", ("bad", Some([1.0, 2.0]), 4, None, None)),
        ("METADATA_TOO_LARGE", ("bad", Some([1.0, 2.0]), 1, None, Some(&large))),
        ("DOCUMENT_TOO_LARGE", ("bad", Some([1.0, 2.0]), 1, Some(&long), None)),
        ("RESERVED_KEY", ("bad", Some([1.0, 2.0]), 1, None, Some(r#"{"_tranship_id":1}"#))),
    ];
    let schema = schema(Metric::Cosine);
    let codes: Vec<String> = cases.iter().map(|(code, _)| (*code).to_owned()).collect();
    for (code, record) in &cases {
        let other = ("other", GOOD.1, GOOD.2, GOOD.3, GOOD.4);
        let batch = batch(&schema, &[GOOD, *record, other]);
        let found = losses(&schema, &batch);
        let loss = found.iter().find(|loss| loss.code == *code).unwrap_or_else(|| panic!("{code}: {found:?}"));
        assert_eq!(
            (loss.grade, loss.records, loss.examples.as_slice()),
            (Grade::Dropped, Some(1), &["bad".to_owned()][..])
        );
        let write = |allowed: &[String]| {
            let dir = tempfile::tempdir().unwrap();
            let options = CreateOptions { allow_loss: allowed.to_vec(), ..CreateOptions::default() };
            let path = dir.path().join("toy");
            let written = bundles::write(&CONNECTOR, &path, &schema, std::slice::from_ref(&batch), &options);
            written.map(|mapping| {
                let read = reading::read(&*reopen(&path).unwrap()).unwrap();
                let told = std::fs::read_to_string(path.join("data/left-out-00000.jsonl")).unwrap();
                (mapping, read.records.iter().map(|r| r.id.clone()).collect::<Vec<_>>(), told)
            })
        };
        let others: Vec<String> = codes.iter().filter(|other| other != code).cloned().collect();
        let refused = write(&others).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::LossDenied, "{code}");
        assert!(refused.message().contains("`bad`") && refused.next_step().unwrap().contains(code), "{refused}");
        let (mapping, kept, told) = write(&[(*code).to_owned()]).unwrap();
        assert_eq!(kept, ["good", "other"]);
        assert_eq!(mapping.left_out, [*code]);
        assert!(told.contains("\"bad\"") && told.contains(code), "{told}");
    }
}

#[test]
fn a_metric_is_replaced_in_silence_only_where_it_ranks_the_same() {
    let schema = schema(Metric::L2);
    let loss = |records: &[Record<'_>]| {
        let found = losses(&schema, &batch(&schema, records));
        found.into_iter().find(|loss| loss.code == "METRIC").unwrap().grade
    };
    assert_eq!(loss(&[GOOD]), Grade::Equivalent);
    assert_eq!(loss(&[GOOD, ("long", Some([3.0, 4.0]), 1, None, None)]), Grade::Lossy);
}

#[test]
fn what_the_target_has_no_place_for_is_named_before_anything_is_written() {
    let generator =
        Generator { all_vectors: true, bits: true, namespaced: true, mixed_ids: true, ..Generator::default() };
    let (schema, batches) = (generator.schema(), generator.batches());
    let nowhere = Locator { provider: None, path: "nowhere".into() };
    let sink = CONNECTOR.create.unwrap()(&nowhere, &CreateOptions::default()).unwrap();
    let survey = bundles::survey(&*sink, &schema, &batches).unwrap();
    let losses = sink.negotiate(&schema, &survey).unwrap().losses;
    let mut codes: Vec<&str> = losses.iter().map(|loss| loss.code.as_str()).collect();
    codes.dedup();
    for code in [
        "ID_TO_UUID",
        "ID_AS_TEXT",
        "NAMESPACE_IN_PAYLOAD",
        "DOCUMENT_IN_PAYLOAD",
        "METADATA_AS_TEXT",
        "VECTOR_DROPPED",
    ] {
        assert!(codes.contains(&code), "{code}: {codes:?}");
    }
    assert!(!std::path::Path::new("nowhere").exists());
}

#[test]
fn limits_and_names_that_no_consent_mends_are_errors() {
    let refused = |schema: &CollectionSchema, options: &CreateOptions| {
        let nowhere = Locator { provider: None, path: "nowhere".into() };
        let sink = CONNECTOR.create.unwrap()(&nowhere, options).unwrap();
        sink.negotiate(schema, &Survey::default()).unwrap_err()
    };
    let wide = CollectionSchema {
        vectors: vec![VectorSpec { metric: Some(Metric::Dot), ..VectorSpec::dense("", 17) }],
        ..schema(Metric::Dot)
    };
    let none = CollectionSchema { vectors: vec![VectorSpec::dense("", 2)], ..schema(Metric::Dot) };
    let named = CollectionSchema { name: "never".into(), ..schema(Metric::Dot) };
    let option =
        |key: &str, value: &str| CreateOptions { options: [(key.into(), value.into())].into(), ..Default::default() };
    for (schema, options, kind, text) in [
        (&wide, CreateOptions::default(), ErrorKind::Limit, "17"),
        (&none, CreateOptions::default(), ErrorKind::Usage, "metric"),
        (&named, CreateOptions::default(), ErrorKind::Usage, "never"),
        (&schema(Metric::Dot), option("vector", "nobody"), ErrorKind::Usage, "nobody"),
    ] {
        let error = refused(schema, &options);
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(text) && error.next_step().is_some(), "{error}");
    }
}

#[test]
fn a_damaged_bundle_is_an_error_that_names_the_file() {
    let schema = schema(Metric::Dot);
    let batch = batch(&schema, &[GOOD]);
    for damage in ["data/toys-00000-000.jsonl", "mapping.json", "MANIFEST.json"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("toy");
        bundles::write(&CONNECTOR, &path, &schema, std::slice::from_ref(&batch), &CreateOptions::default()).unwrap();
        let file = path.join(damage);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let error = reopen(&path).and_then(|source| reading::read(&*source)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{damage}: {error}");
        assert!(error.context().iter().any(|(_, value)| value.contains(damage)), "{damage}: {error:?}");
    }
}

#[test]
fn wild_records_come_back_from_a_target_of_flat_metadata_as_they_went() {
    for seed in 0..20 {
        let kinds = Generator { mixed_ids: seed % 2 == 0, namespaced: seed % 3 == 0, ..Generator::default() };
        let generator = Generator { seed, rows: 200, dim: 2, metric: Metric::Dot, wild: true, ..kinds };
        let (schema, batches) = (generator.schema(), generator.batches());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("toy");
        let allowed = ["VECTOR_MISSING", "METADATA_TOO_LARGE", "DOCUMENT_TOO_LARGE"].map(str::to_owned).to_vec();
        let options = CreateOptions { allow_loss: allowed, ..CreateOptions::default() };
        let mapping = bundles::write(&CONNECTOR, &path, &schema, &batches, &options).unwrap();
        let project = |batch| mapping.project(batch, &schema).unwrap();
        let projected: Vec<RecordBatch> = batches.iter().map(project).collect();
        let wanted = bundles::fingerprint(&mapping.projected_schema(&schema), &projected);
        assert!(wanted.records() > 50, "seed {seed}: nearly everything was left out");
        let source = reopen(&path).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let context =
            tranship_connector::PrepareContext { memory_bytes: 1 << 28, split_bytes: 1 << 20, scratch: scratch.path() };
        let prepared = source.prepare(&context).unwrap();
        let mut found = Vec::new();
        for split in prepared.splits().unwrap() {
            for batch in prepared.open(split.unwrap(), &mut NoRejects).unwrap() {
                found.push(batch.unwrap());
            }
        }
        let found = bundles::fingerprint(prepared.schema(), &found);
        assert_eq!(found.summary(), wanted.summary(), "seed {seed}");
    }
}

struct NoRejects;

impl tranship_connector::RejectSink for NoRejects {
    fn reject(&mut self, reject: tranship_connector::Reject) -> tranship_connector::Result<()> {
        panic!("{}: {}", reject.place, reject.reason)
    }
}

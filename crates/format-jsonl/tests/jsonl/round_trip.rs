//! What is written and read back is the same, bit for bit.

use std::sync::Arc;

use proptest::prelude::*;
use tranship_collection::batch::RowText;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchBuilder, BatchView, CollectionSchema, VectorKind, VectorSpec, VectorValue};
use tranship_connector::OpenOptions;

use crate::samples::{read_text, read_with, there_and_back, write};

#[test]
fn edge_values_of_f32_come_back_as_the_same_bits() {
    let text = "{\"id\":1,\"vector\":[-0.0,1e-45,1.1754942e-38,3.4028235e38,-3.4028235e38,0.1,16777217,1e-46]}\n";
    let (first, again) = there_and_back(text, "out.jsonl");
    let bits = |read: &crate::samples::Read| {
        let view = BatchView::new(&read.batches[0], &read.schema).unwrap();
        let Some(VectorValue::Dense(values)) = view.vector(0, 0) else { panic!("no vector") };
        values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let wanted = [-0.0f32, f32::from_bits(1), 1.1754942e-38, f32::MAX, f32::MIN, 0.1, 16_777_216.0, 0.0];
    assert_eq!(bits(&first), wanted.map(f32::to_bits));
    assert_eq!(bits(&again), bits(&first));
}

#[test]
fn ids_texts_and_metadata_come_back_verbatim() {
    let text = concat!(
        r#"{"id":18446744073709551616,"vector":[1.5],"metadata":{"b":1.50,"a":{"n":[1,2.0,null]},"big":123456789012345678901234567890},"document":"a\u0000\n\u00e9 😀"}"#,
        "\n",
        r#"{"id":"42","metadata":{ "z" : "x\ny" }}"#,
        "\n",
        r#"{"id":-7,"vector":null,"document":""}"#,
        "\n",
        r#"{"id":-0,"metadata":{}}"#,
        "\n",
    );
    let (first, again) = there_and_back(text, "out.jsonl");
    assert!(first.rejects.is_empty(), "{:?}", first.rejects);
    assert_eq!(first.batches, again.batches);
    let view = BatchView::new(&first.batches[0], &first.schema).unwrap();
    assert_eq!((view.id(0), view.id_kind(0)), ("18446744073709551616", IdKind::Integer));
    assert_eq!((view.id(1), view.id_kind(1)), ("42", IdKind::Text));
    assert_eq!((view.id(3), view.vector(0, 3)), ("0", None));
    assert_eq!(view.document(0), Some("a\0\né 😀"));
    assert_eq!(view.metadata(1), Some(r#"{ "z" : "x\ny" }"#));
    assert_eq!(first.fingerprint(), again.fingerprint());
}

#[test]
fn named_sparse_and_multi_vectors_come_back() {
    let text = concat!(
        r#"{"id":1,"namespace":"n","vectors":{"b":[[1,2],[3,4]],"a":[1.5],"s":{"indices":[1,4294967295],"values":[0.5,-1]}}}"#,
        "\n",
        r#"{"id":2,"vector":[1,2,3],"vectors":{"b":[],"s":{"indices":[],"values":[]}}}"#,
        "\n",
        r#"{"id":3,"vectors":{"a":null}}"#,
        "\n",
    );
    for name in ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"] {
        let (first, again) = there_and_back(text, name);
        assert!(first.rejects.is_empty(), "{:?}", first.rejects);
        assert_eq!(first.schema.vectors.len(), 4);
        assert_eq!(first.batches, again.batches);
        let view = BatchView::new(&first.batches[0], &first.schema).unwrap();
        assert_eq!(view.vector(2, 1), Some(VectorValue::Multi(&[])));
        assert_eq!(view.vector(3, 1), Some(VectorValue::Sparse(&[], &[])));
        assert!((0..4).all(|column| view.vector(column, 2).is_none()));
    }
}

#[test]
fn metadata_over_several_lines_becomes_one_line() {
    let mut schema = CollectionSchema::new("c");
    schema.ids = IdKinds::Text;
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    let metadata = "{\n  \"a b\": \"c \\\" \\n d\",\r\n  \"n\": 1.50\n}";
    let row = RowText { id: "x", id_kind: IdKind::Text, namespace: None, document: None, metadata: Some(metadata) };
    builder.finish_row(row).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    write(&path, &schema, &[builder.finish().unwrap()]);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "{\"id\":\"x\",\"metadata\":{\"a b\":\"c \\\" \\n d\",\"n\":1.50}}\n");
}

#[test]
fn aliases_name_foreign_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    std::fs::write(&path, "{\"_id\":\"a\",\"embedding\":[1,2],\"text\":\"t\"}\n").unwrap();
    let options = OpenOptions {
        id_column: Some("_id".into()),
        vector_column: Some("embedding".into()),
        document_column: Some("text".into()),
        ..OpenOptions::default()
    };
    let read = read_with(&path, &options, 1 << 20).unwrap();
    assert!(read.rejects.is_empty(), "{:?}", read.rejects);
    let view = BatchView::new(&read.batches[0], &read.schema).unwrap();
    assert_eq!((view.id(0), view.document(0)), ("a", Some("t")));
    let read = read_text("{\"_id\":\"a\",\"embedding\":[1,2]}\n").unwrap();
    assert!(read.rejects.is_empty() && read.rows() == 0 || read.rejects[0].reason.contains("_id"));
}

fn finite() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |value| value.is_finite())
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,30})",
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| serde_json::to_string(&v).unwrap()),
        any::<String>().prop_map(|v| serde_json::to_string(&v).unwrap()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(object),
        ]
    })
}

fn object(entries: std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        entries.iter().map(|(key, value)| format!("{}: {value}", serde_json::to_string(key).unwrap())).collect();
    format!("{{ {} }}", pairs.join(" ,"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_record_comes_back(
        rows in prop::collection::vec((
            prop::option::of(prop::collection::vec(finite(), 3)),
            prop::option::of(prop::collection::vec(finite(), 0..3)),
            prop::option::of(any::<String>()),
            prop::option::of(prop::collection::btree_map(any::<String>(), json_text(), 0..4)),
            prop_oneof![any::<i128>().prop_map(Ok), any::<String>().prop_map(Err)],
        ), 1..20),
        compressed in any::<bool>(),
    ) {
        let mut schema = CollectionSchema::new("out");
        schema.ids = IdKinds::Mixed;
        schema.vectors = vec![
            VectorSpec::dense("", 3),
            VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense("s", 0) },
        ];
        let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
        // The first record has everything, so that the schema can be inferred.
        builder.push_dense(0, &[1.0, 2.0, 3.0]);
        builder.push_sparse(1, &[1], &[1.0]).unwrap();
        builder.finish_row(RowText {
            id: "first", id_kind: IdKind::Text, namespace: None, document: None, metadata: None,
        }).unwrap();
        for (dense, sparse, document, metadata, id) in &rows {
            dense.iter().for_each(|values| builder.push_dense(0, values));
            if let Some(values) = sparse {
                let indices: Vec<u32> = (0..values.len() as u32).map(|i| i * 1000).collect();
                builder.push_sparse(1, &indices, values).unwrap();
            }
            let metadata = metadata.clone().map(object);
            let (id, id_kind) = match id {
                Ok(number) => (number.to_string(), IdKind::Integer),
                Err(text) => (text.clone(), IdKind::Text),
            };
            builder.finish_row(RowText {
                id: &id, id_kind, namespace: None, document: document.as_deref(), metadata: metadata.as_deref(),
            }).unwrap();
        }
        let batch = builder.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(if compressed { "out.jsonl.zst" } else { "out.jsonl" });
        write(&path, &schema, std::slice::from_ref(&batch));
        let read = read_with(&path, &OpenOptions::default(), 100).unwrap();
        prop_assert!(read.rejects.is_empty(), "{:?}", read.rejects);
        prop_assert_eq!(&read.schema, &schema);
        let first = crate::samples::Read { schema, batches: vec![batch], rejects: vec![], splits: vec![] };
        prop_assert_eq!(read.fingerprint(), first.fingerprint());
        let texts = |read: &crate::samples::Read| {
            let mut texts = Vec::new();
            for batch in &read.batches {
                let view = BatchView::new(batch, &read.schema).unwrap();
                texts.extend((0..view.len()).map(|row| {
                    let bits = match view.vector(0, row) {
                        Some(VectorValue::Dense(values)) => values.iter().map(|v| v.to_bits()).collect(),
                        _ => Vec::new(),
                    };
                    let text = |text: Option<&str>| text.map(str::to_owned);
                    (view.id(row).to_owned(), text(view.document(row)), text(view.metadata(row)), bits)
                }));
            }
            texts
        };
        prop_assert_eq!(texts(&read), texts(&first));
    }
}

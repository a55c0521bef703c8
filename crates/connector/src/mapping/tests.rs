//! What undo, shape and project promise each other.

use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, BatchView, VectorSpec, VectorValue};

use super::*;

fn mapping() -> Mapping {
    Mapping {
        id_key: "_id".into(),
        document_key: Some("document".into()),
        namespace_key: Some("_ns".into()),
        exact_key: Some("_exact".into()),
        metadata: MetadataRules { numbers: crate::rules::Numbers::Digits15, ..MetadataRules::JSON },
        normalised: vec![String::new()],
        ..Mapping::identity("qdrant", &CollectionSchema::new("c"))
    }
}

fn batch(schema: &CollectionSchema, id: &str, vector: &[f32], metadata: Option<&str>) -> RecordBatch {
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    builder.push_dense(0, vector);
    builder.finish_row(RowText { id, id_kind: IdKind::Text, namespace: None, document: None, metadata }).unwrap();
    builder.finish().unwrap()
}

#[test]
fn undo_takes_id_and_document_out_of_their_reserved_keys() {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec::dense("", 2)];
    let stored = batch(&schema, "uuid", &[3.0, 4.0], Some(r#"{"document":"text","a":1,"_id":"one"}"#));
    let undone = mapping().undo(&stored, &schema).unwrap();
    let target = mapping().undone_schema(&schema);
    let view = BatchView::new(&undone, &target).unwrap();
    assert_eq!((view.id(0), view.document(0), view.metadata(0)), ("one", Some("text"), Some(r#"{"a":1}"#)));
    let again = mapping().undo(&undone, &target).unwrap();
    assert_eq!(again, undone);
}

#[test]
fn undo_knows_integers_namespaces_and_entries_kept_as_text() {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec::dense("", 2)];
    let payload = [
        (r#"{"_id":-7,"_ns":"n","document":{"a":1}}"#, "-7", Some(r#"{"document":{"a":1}}"#)),
        (r#"{"_id":{"integer":"99999999999999999999"},"_ns":"n"}"#, "99999999999999999999", None),
        (
            r#"{"a":1.5,"_exact":"{\"a\":1.50000000000000011}","b":[],"_id":1,"_ns":"n"}"#,
            "1",
            Some(r#"{"a":1.50000000000000011,"b":[]}"#),
        ),
    ];
    for (given, id, metadata) in payload {
        let undone = mapping().undo(&batch(&schema, "uuid", &[3.0, 4.0], Some(given)), &schema).unwrap();
        let target = mapping().undone_schema(&schema);
        let view = BatchView::new(&undone, &target).unwrap();
        assert_eq!((view.id(0), view.id_kind(0), view.metadata(0)), (id, IdKind::Integer, metadata));
        assert_eq!(view.namespace(0), Some("n"));
    }
}

#[test]
fn projection_brings_vectors_to_unit_length_and_leaves_zeros() {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec::dense("", 2)];
    for (given, wanted) in [([3.0, 4.0], [0.6, 0.8]), ([0.0, 0.0], [0.0, 0.0])] {
        let projected = mapping().project(&batch(&schema, "a", &given, None), &schema).unwrap();
        let view = BatchView::new(&projected, &schema).unwrap();
        let Some(VectorValue::Dense(values)) = view.vector(0, 0) else { panic!("no vector") };
        assert!(values.iter().zip(wanted).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn narrow_vectors_are_projected_into_the_element_that_the_target_stores() {
    let narrow = |element| CollectionSchema {
        vectors: vec![VectorSpec { element, ..VectorSpec::dense("", 2) }],
        ..CollectionSchema::new("c")
    };
    let stored_as_f16 = Mapping { elements: [(String::new(), Element::F16)].into(), ..mapping() };
    for (mapping, given, stored) in [
        (&mapping(), Element::BF16, Element::F32),
        (&mapping(), Element::I8, Element::F32),
        (&stored_as_f16, Element::F16, Element::F16),
        (&stored_as_f16, Element::F32, Element::F16),
    ] {
        let schema = narrow(given);
        let projected = mapping.project(&batch(&schema, "a", &[1.0, 2.0], None), &schema).unwrap();
        let target = mapping.projected_schema(&schema);
        assert_eq!(target.vectors[0].element, stored);
        let view = BatchView::new(&projected, &target).unwrap();
        let values = match view.vector(0, 0) {
            Some(VectorValue::Dense(values)) => values.to_vec(),
            Some(VectorValue::Widened(values)) => values,
            other => panic!("{other:?}"),
        };
        let unit = [1.0 / 5.0f32.sqrt(), 2.0 / 5.0f32.sqrt()].map(|value| stored.nearest(value));
        assert!(values.iter().zip(unit).all(|(a, b)| (a - b).abs() < 1e-7), "{given:?}: {values:?}, {unit:?}");
    }
}

#[test]
fn a_number_that_was_changed_in_the_target_is_not_put_right_in_silence() {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec::dense("", 2)];
    let mapping = Mapping { exact_key: Some("_exact".into()), namespace_key: Some("_ns".into()), ..mapping() };
    let undone = |stored: &str| {
        let batch = batch(&schema, "a", &[3.0, 4.0], Some(stored));
        let undone = mapping.undo(&batch, &schema).unwrap();
        BatchView::new(&undone, &mapping.undone_schema(&schema)).unwrap().metadata(0).unwrap().to_owned()
    };
    let exact = r#""_exact":"{\"n\":0.12345678901234567}""#;
    assert_eq!(undone(&format!(r#"{{"n":0.12345678901234566,{exact}}}"#)), r#"{"n":0.12345678901234567}"#);
    assert_eq!(undone(&format!(r#"{{"n":5.0,{exact}}}"#)), r#"{"n":5.0}"#);
    assert_eq!(undone(r#"{"n":5.0,"_exact":7,"_ns":8}"#), r#"{"n":5.0,"_exact":7,"_ns":8}"#);
}

fn kept(ids: IdRules, id: &str, kind: IdKind) -> bool {
    let mut schema = CollectionSchema::new("c");
    schema.ids = tranship_collection::IdKinds::Mixed;
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    builder.finish_row(RowText { id, id_kind: kind, namespace: None, document: None, metadata: None }).unwrap();
    let batch = builder.finish().unwrap();
    let mapping = Mapping { ids, ..Mapping::identity("t", &schema) };
    !mapping.changes(&BatchView::new(&batch, &schema).unwrap(), 0).unwrap().id
}

#[test]
fn integers_and_canonical_uuids_stay_and_all_else_is_mapped() {
    let rules = IdRules::default();
    assert!(kept(rules, "18446744073709551615", IdKind::Integer));
    assert!(kept(rules, "3f622591-baa6-5888-8a4f-6b3813e16a44", IdKind::Text));
    for (kind, id) in [
        (IdKind::Text, "42"),
        (IdKind::Text, "3F622591-BAA6-5888-8A4F-6B3813E16A44"),
        (IdKind::Text, "3f622591baa658888a4f6b3813e16a44"),
        (IdKind::Text, ""),
        (IdKind::Integer, "-1"),
        (IdKind::Integer, "18446744073709551616"),
    ] {
        assert!(!kept(rules, id, kind), "{id}");
    }
}

#[test]
fn a_text_that_spells_an_integer_never_meets_the_integer() {
    use crate::rules::{Chars, IntegerIds, TextIds};
    let texts = TextIds::Text { max_bytes: 64, max_chars: 64, chars: Chars::Any };
    let rules = IdRules { integers: IntegerIds::AsText, texts };
    assert!(kept(rules, "42", IdKind::Integer) && !kept(rules, "42", IdKind::Text) && kept(rules, "042", IdKind::Text));
}

#[test]
fn mapped_ids_are_the_same_for_ever_and_apart_for_kind_and_namespace() {
    let id = mapped_id("", IdKind::Text, "doc-1");
    assert_eq!(id.to_string(), "075952c5-a927-591a-8587-0379fc8591fc");
    let all = [
        mapped_id("", IdKind::Text, "-1"),
        mapped_id("", IdKind::Integer, "-1"),
        mapped_id("n", IdKind::Text, "-1"),
        mapped_id("n", IdKind::Integer, "-1"),
    ];
    assert!(all.iter().enumerate().all(|(i, a)| all[..i].iter().all(|b| a != b)));
}

#[test]
fn an_id_with_u_0000_comes_back_through_metadata_that_holds_none() {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec::dense("", 1)];
    let mapping = Mapping { metadata: MetadataRules { nul: false, ..MetadataRules::JSON }, ..mapping() };
    for id in ["\0a\"\\", "json:\"x\"", "text:json:", "integer:5"] {
        let shaped = mapping.shape(&batch(&schema, id, &[1.0], None), &schema).unwrap().batch;
        let stored = mapping.stored_schema();
        let stored = CollectionSchema { vectors: schema.vectors.clone(), ..stored };
        let view = BatchView::new(&shaped, &stored).unwrap();
        assert!(!view.metadata(0).unwrap().contains(r#""\u0000"#), "{:?}", view.metadata(0));
        let undone = mapping.undo(&shaped, &stored).unwrap();
        let target = mapping.undone_schema(&stored);
        assert_eq!(BatchView::new(&undone, &target).unwrap().id(0), id);
    }
}

#[test]
fn a_projection_leaves_zeros_out_of_sparse_vectors_where_the_target_does() {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![
        VectorSpec { kind: tranship_collection::VectorKind::Sparse, dim: None, ..VectorSpec::dense("kept", 0) },
        VectorSpec { kind: tranship_collection::VectorKind::Sparse, dim: None, ..VectorSpec::dense("s", 0) },
    ];
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    builder.push_sparse(0, &[1, 5], &[0.0, 2.0]).unwrap();
    builder.push_sparse(1, &[1, 5, 9], &[0.0, 2.0, -0.0]).unwrap();
    builder
        .finish_row(RowText { id: "a", id_kind: IdKind::Text, namespace: None, document: None, metadata: None })
        .unwrap();
    let given = builder.finish().unwrap();
    let mapping = Mapping { without_zeros: vec!["s".into()], normalised: Vec::new(), ..mapping() };
    let projected = mapping.project(&given, &schema).unwrap();
    let view = BatchView::new(&projected, &schema).unwrap();
    assert_eq!(view.vector(0, 0), Some(VectorValue::Sparse(&[1, 5], &[0.0, 2.0])));
    assert_eq!(view.vector(1, 0), Some(VectorValue::Sparse(&[5], &[2.0])));
}

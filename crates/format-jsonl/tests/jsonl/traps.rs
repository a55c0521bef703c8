//! Lines that a fast reader gets wrong.

use proptest::prelude::*;
use tranship_collection::{BatchView, VectorValue};
use tranship_connector::{ErrorKind, OpenOptions};
use tranship_format_jsonl::{Keys, RecordDecoder};
use tranship_storage::Limits;

use crate::samples::{Read, read_text, read_with};

/// Reads `line` behind a good record; gives the reason of its reject.
fn reason(line: &str) -> String {
    let read = behind_good_records(line);
    assert_eq!((read.rows(), read.rejects.len()), (2, 1), "{line}: {:?}", read.rejects);
    assert!(read.rejects[0].place.contains("line 2"), "{}", read.rejects[0].place);
    read.rejects[0].reason.clone()
}

fn behind_good_records(line: &str) -> Read {
    read_text(format!("{{\"id\":1,\"vector\":[1,2]}}\n{line}\n{{\"id\":3,\"vector\":[5,6]}}\n")).unwrap()
}

fn vector_of(line: &str) -> Vec<f32> {
    let read = behind_good_records(line);
    assert!(read.rejects.is_empty(), "{line}: {:?}", read.rejects);
    let view = BatchView::new(&read.batches[0], &read.schema).unwrap();
    match view.vector(0, 1) {
        Some(VectorValue::Dense(values)) => values.to_vec(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn keys_spelled_with_escapes_are_the_same_keys() {
    assert_eq!(vector_of(r#"{"id":2,"vec\u0074or":[3,4]}"#), [3.0, 4.0]);
    assert_eq!(vector_of(r#"{"\u0069d":2,"vector":[3,4]}"#), [3.0, 4.0]);
    assert!(reason(r#"{"id":2,"vector":[3,4],"vec\u0074or":[3,4]}"#).contains("duplicate key \"vector\""));
    assert!(reason(r#"{"id":2,"vector":[3,4],"vector":[3,4]}"#).contains("duplicate key"));
    assert!(reason(r#"{"id":2,"id":2,"vector":[3,4]}"#).contains("duplicate key \"id\""));
    assert!(reason(r#"{"id":2,"vector":[3,4],"vectors":{"":[3,4]}}"#).contains("twice"));
}

#[test]
fn a_vector_inside_metadata_or_text_is_not_the_vector() {
    let nested = r#"{"metadata":{"vector":[9,9],"s":"\"vector\":[8,8]"},"id":2,"vector":[3,4]}"#;
    assert_eq!(vector_of(nested), [3.0, 4.0]);
    assert_eq!(vector_of(r#"{"document":"}, \"vector\":[8,8] \\","id":2 , "vector" : [ 3 , 4 ] }"#), [3.0, 4.0]);
}

#[test]
fn numbers_of_unusual_spelling_are_right_or_refused() {
    assert_eq!(vector_of(r#"{"id":2,"vector":[16777217,-0]}"#), [16_777_216.0, -0.0]);
    assert_eq!(vector_of(r#"{"id":2,"vector":[1E2,3.4028235677973366e38]}"#).len(), 2);
    for bad in ["1e39", "NaN", "Infinity", "-Infinity", "null", "\"1\"", "01", "1.", ".5", "+1", "[1]", "true", ""] {
        reason(&format!(r#"{{"id":2,"vector":[3,{bad}]}}"#));
    }
    assert!(reason(r#"{"id":2,"vector":[3,4}"#).len() > 4);
    assert!(reason(r#"{"id":2,"vector":[1,2,3]}"#).contains("3 dimensions, the collection has 2"));
    assert!(reason(r#"{"id":2,"vector":[]}"#).contains("empty"));
}

#[test]
fn everything_around_the_vector_stays_strict() {
    for bad in [
        r#"{"id":2,"vector":[3,4],}"#,
        r#"{"id":2,"vector":[3,4]} x"#,
        r#"{"id":2,"vector":[3,4],"metadata":{"a":01}}"#,
        r#"{"id":2,"vector":[3,4],"document":"a	b"}"#,
        r#"{"id":2,"vector":[3,4],"document":"\ud800"}"#,
        r#"{"id":2 "vector":[3,4]}"#,
        r#"{id:2,"vector":[3,4]}"#,
        r#"[1]"#,
        r#"{"id":2,"vector":[3,4],"metadata":[1]}"#,
        r#"{"id":2,"vector":[3,4],"metadata":{"a":1,"a":2}}"#,
        r#"{"id":2,"vector":[3,4],"document":7}"#,
        r#"{"id":2,"vector":{"indices":[1],"values":[1]}}"#,
        r#"{"id":null,"vector":[3,4]}"#,
        r#"{"vector":[3,4]}"#,
        r#"{"id":1.5,"vector":[3,4]}"#,
        r#"{"id":1e3,"vector":[3,4]}"#,
        r#"{"id":true,"vector":[3,4]}"#,
    ] {
        reason(bad);
    }
    assert!(reason(r#"{"id":2,"vector":[3,4],"title":"x"}"#).contains("belongs into `metadata`"));
}

#[test]
fn what_the_first_thousand_records_do_not_have_is_a_reject_later() {
    let mut text = "{\"id\":1,\"vector\":[1,2]}\n".repeat(1000);
    text.push_str("{\"id\":2,\"vectors\":{\"new\":[1]}}\n{\"id\":3,\"namespace\":\"n\"}\n");
    let read = read_text(text).unwrap();
    assert_eq!((read.rows(), read.rejects.len()), (1000, 2));
    assert!(read.rejects[0].reason.contains("vector `new`") && read.rejects[0].place.contains("line 1001"));
    assert!(read.rejects[1].reason.contains("namespace"));
}

#[test]
fn deep_nesting_is_a_reject_wherever_it_stands() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    reason(&format!(r#"{{"id":2,"metadata":{{"a":{deep}}}}}"#));
    reason(&format!(r#"{{"id":2,"vector":{deep}}}"#));
    reason(&format!(r#"{{"id":2,"vectors":{{"a":{deep}}}}}"#));
    reason(&format!(r#"{{"id":2,"other":{deep}}}"#));
    reason(&"[".repeat(10_000));
    reason(&r#"{"a":"#.repeat(10_000));
}

#[test]
fn byte_order_mark_crlf_and_blank_lines_are_no_records() {
    let read = read_text("\u{feff}{\"id\":1,\"vector\":[1]}\r\n\r\n  \n{\"id\":2,\"vector\":[2]}\r").unwrap();
    assert_eq!((read.rows(), read.rejects.len()), (2, 0), "{:?}", read.rejects);
    assert!(reason("\u{feff}{\"id\":2}").contains("expected value"));
}

#[test]
fn invalid_utf8_is_a_reject() {
    let mut text = b"{\"id\":1,\"vector\":[1]}\n{\"id\":\"".to_vec();
    text.extend_from_slice(&[0xff, 0xfe]);
    text.extend_from_slice(b"\"}\n{\"id\":3}\n");
    let read = read_text(text).unwrap();
    assert_eq!((read.rows(), read.rejects.len()), (2, 1));
    assert!(read.rejects[0].reason.contains("UTF-8"));
    assert_eq!(read.rejects[0].record, None);
}

#[test]
fn a_record_cut_off_at_the_end_is_an_error_with_its_place() {
    let whole = "{\"id\":1,\"vector\":[1,2]}\n{\"id\":\"é\",\"vector\":[1,2],\"document\":\"é\"}";
    let first = whole.find('\n').unwrap() + 1;
    assert_eq!(read_text(whole).unwrap().rows(), 2);
    for cut in first + 1..whole.len() {
        let error = read_text(&whole.as_bytes()[..cut]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{cut}");
        let text = error.to_string();
        assert!(text.contains("truncated") && text.contains("line 2") && text.contains(&format!("byte {first}")));
    }
}

#[test]
fn a_line_longer_than_allowed_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    let long = "x".repeat(3 << 20);
    std::fs::write(&path, format!("{{\"id\":1}}\n{{\"id\":2,\"document\":\"{long}\"}}\n")).unwrap();
    let limits = Limits { max_line_bytes: 1 << 20, ..Limits::default() };
    let options = OpenOptions { limits, ..OpenOptions::default() };
    for split_bytes in [4, 1 << 30] {
        let error = read_with(&path, &options, split_bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.to_string().contains("c.jsonl"), "{error}");
    }
}

#[test]
fn records_without_ids_get_their_row_numbers_in_every_split() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    std::fs::write(&path, "{\"vector\":[1]}\n".repeat(100)).unwrap();
    let read = read_with(&path, &OpenOptions::default(), 200).unwrap();
    assert!(read.splits.len() > 5 && read.rejects.is_empty());
    let mut ids = Vec::new();
    for batch in &read.batches {
        let view = BatchView::new(batch, &read.schema).unwrap();
        ids.extend((0..view.len()).map(|row| view.id(row).to_owned()));
    }
    assert_eq!(ids, (0..100).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[test]
fn rejects_can_be_replayed() {
    let read = behind_good_records(r#"{"id":"x","vector":[1,2,3]}"#);
    assert_eq!(read.rejects[0].id.as_deref(), Some("x"));
    assert_eq!(read.rejects[0].record.as_deref(), Some(r#"{"id":"x","vector":[1,2,3]}"#));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Witness: serde_json over the whole line, with the vector as `f32`.
    #[test]
    fn what_is_accepted_is_json_and_has_the_same_vector(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
    ) {
        const LINE: &str = r#"{"metadata":{"vector":[9,9],"k":"a\"b"},"id":2,"vector":[3.5,-4e1],"document":"vector"}"#;
        const BYTES: &[u8] = b"\"\\,:{}[]0123.eE-+ nvu\n\xc3";
        let mut line = LINE.as_bytes().to_vec();
        for (place, byte) in &changes {
            let at = place.index(line.len());
            line[at] = *byte.get(BYTES);
        }
        line.retain(|byte| *byte != b'\n');
        let mut schema = tranship_collection::CollectionSchema::new("c");
        schema.ids = tranship_collection::schema::IdKinds::Mixed;
        schema.vectors = vec![tranship_collection::VectorSpec::dense("", 2)];
        let builder = tranship_collection::BatchBuilder::new(std::sync::Arc::new(schema.clone())).unwrap();
        let mut decoder = RecordDecoder::new(builder, Keys::default(), false);
        if decoder.decode(&line, None).is_ok() {
            let batch = decoder.take_batch().unwrap();
            let value: serde_json::Value = serde_json::from_slice(&line).expect("accepted, but no JSON");
            let witness: Option<Vec<f32>> = serde_json::from_value(value["vector"].clone()).unwrap();
            let view = BatchView::new(&batch, &schema).unwrap();
            let found = match view.vector(0, 0) {
                Some(VectorValue::Dense(values)) => Some(values.to_vec()),
                _ => None,
            };
            prop_assert_eq!(found, witness);
        }
    }
}

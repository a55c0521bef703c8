//! What becomes of fields, ids, documents and namespaces.

use proptest::prelude::*;
use serde_json::json;
use tranship_collection::IdKinds;
use tranship_connector::Transforms;
use tranship_testkit::Generator;
use tranship_testkit::reading::Outcome;

use crate::support::{by_value, changed, map, plain, read, refusal, source};

fn generator(seed: u64) -> Generator {
    Generator { seed, rows: 150, namespaced: true, mixed_ids: true, all_vectors: true, ..Generator::default() }
}

/// The map that the schema says undoes what was done.
fn inverse(outcome: &Outcome) -> Option<String> {
    outcome.schema.vendor["transforms"][0]["inverse"].as_str().map(str::to_owned)
}

const INVERTIBLE: [&str; 4] = [
    "rename = { k0 = \"first\", row = \"line number\" }\n[vectors.rename]\ntitle = \"a\"\nimage = \"z\"",
    "flatten = \"/\"\nrename = { \"k1/deep/er\" = \"deepest\" }",
    "document.to = \"text\"\nnamespace.to = \"tenant\"",
    "rename = { k2 = \"k0x\" }\ndocument = { to = \"body\" }",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn a_map_and_its_inverse_give_back_what_was_there(seed in any::<u64>(), which in 0..INVERTIBLE.len()) {
        let generator = generator(seed);
        let all = plain(&generator);
        let there = changed(&generator, &map(INVERTIBLE[which]));
        prop_assert!(there.rejects.is_empty(), "{:?}", there.rejects);
        prop_assert_ne!(by_value(&there.records), by_value(&all.records));
        let text = inverse(&there).expect("names and places can be undone");
        let schema = there.schema.clone();
        let back = read(again(&generator, INVERTIBLE[which]), &map(&text)).unwrap();
        prop_assert_eq!(by_value(&back.records), by_value(&all.records), "{} after {}", text, schema.name);
        prop_assert_eq!(back.schema.namespaced, all.schema.namespaced);
        prop_assert_eq!(&back.schema.vectors, &all.schema.vectors);
    }

    #[test]
    fn a_selection_keeps_exactly_what_it_names(seed in any::<u64>(), document in any::<bool>()) {
        let mut select = vec!["k1".to_owned(), "row".to_owned()];
        select.extend(document.then(|| "document".to_owned()));
        let generator = generator(seed);
        let (all, some) = (plain(&generator), changed(&generator, &Transforms { select, ..Transforms::default() }));
        prop_assert_eq!(all.records.len(), some.records.len());
        for (own, kept) in all.records.iter().zip(&some.records) {
            prop_assert_eq!((&own.id, &own.namespace, &own.vectors), (&kept.id, &kept.namespace, &kept.vectors));
            prop_assert_eq!(own.document.as_ref().filter(|_| document), kept.document.as_ref());
            let wanted = own.json().as_object().cloned().unwrap_or_default();
            let wanted: serde_json::Map<_, _> =
                wanted.into_iter().filter(|(key, _)| key == "k1" || key == "row").collect();
            prop_assert_eq!(kept.json().as_object().cloned().unwrap_or_default(), wanted);
        }
    }

    #[test]
    fn the_empty_program_changes_nothing(seed in any::<u64>()) {
        let generator = Generator { wild: true, ..generator(seed) };
        let program = Transforms { map_jq: Some(".".to_owned()), ..Transforms::default() };
        let (all, same) = (plain(&generator), changed(&generator, &program));
        prop_assert!(same.rejects.is_empty(), "{:?}", same.rejects);
        prop_assert_eq!(canonical(&all), canonical(&same));
    }
}

/// The changed collection as a source of its own.
fn again(generator: &Generator, text: &str) -> tranship_testkit::MemorySource {
    use tranship_connector::{PrepareContext, Reject, RejectSink, Result};
    struct None;
    impl RejectSink for None {
        fn reject(&mut self, reject: Reject) -> Result<()> {
            panic!("{reject:?}")
        }
    }
    let wrapped = tranship_transform::wrap(Box::new(crate::support::Filed(source(generator))), &map(text)).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let context = PrepareContext { memory_bytes: 64 << 20, split_bytes: 1 << 20, scratch: scratch.path() };
    let prepared = wrapped.prepare(&context).unwrap();
    let mut batches = Vec::new();
    for split in prepared.splits().unwrap() {
        batches.extend(prepared.open(split.unwrap(), &mut None).unwrap().map(|batch| batch.unwrap()));
    }
    tranship_testkit::MemorySource::new(prepared.schema().clone(), batches, 2)
}

/// Metadata by the bytes that its digest is made of: integers of any size, floats apart from integers.
fn canonical(outcome: &Outcome) -> Vec<(String, Vec<u8>)> {
    let one = |record: &tranship_testkit::reading::Record| {
        let mut bytes = Vec::new();
        record.metadata.iter().for_each(|text| tranship_collection::json::canonical(text, &mut bytes).unwrap());
        (record.id.clone(), bytes)
    };
    outcome.records.iter().map(one).collect()
}

#[test]
fn fields_are_dropped_cast_defaulted_and_moved() {
    let text = r#"
drop = ["k1", "k2", "k3"]
rename = { k0 = "value" }
default = { source = "import", tags = ["a", 1, 2.0] }
[cast]
row = "text"
[id]
from = "row"
keep = "old_id"
prefix = "r-"
[vectors]
drop = ["rows", "terms"]
rename = { title = "" }
"#;
    let generator = generator(3);
    let (all, found) = (plain(&generator), changed(&generator, &map(text)));
    assert_eq!(found.schema.ids, IdKinds::Text);
    assert_eq!(found.schema.vectors.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["", "image"]);
    assert!(inverse(&found).is_none());
    // A record without the field has no id: it is set aside.
    let with_row: Vec<_> = all.records.iter().filter(|record| record.metadata.is_some()).collect();
    assert_eq!(found.records.len(), with_row.len());
    assert_eq!(found.rejects.len(), all.records.len() - with_row.len());
    assert!(found.rejects[0].reason.contains("no field `row`"), "{:?}", found.rejects[0]);
    assert!(found.rejects[0].place.starts_with("split 0, record "), "{:?}", found.rejects[0]);
    for (old, new) in with_row.iter().zip(&found.records) {
        let (old_json, new_json) = (old.json(), new.json());
        assert_eq!(new.id, format!("r-{}", old_json["row"]));
        let kept = if old.id.parse::<u64>().is_ok() && new_json["old_id"].is_number() {
            json!(old.id.parse::<u64>().unwrap())
        } else {
            json!(old.id)
        };
        assert_eq!(new_json["old_id"], kept);
        assert_eq!(new_json["tags"], json!(["a", 1, 2.0]));
        assert_eq!(new_json["source"], "import");
        assert_eq!(new_json.get("value"), old_json.get("k0"));
        let keys: Vec<&str> = new_json.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(keys.iter().all(|key| ["old_id", "tags", "source", "value"].contains(key)), "{keys:?}");
        assert_eq!(new.vectors.get(""), old.vectors.get("title"));
    }
}

#[test]
fn what_a_map_does_not_touch_keeps_its_spelling() {
    let found = changed(&generator(5), &map("[vectors]\ndrop = [\"image\"]"));
    let texts = |outcome: &Outcome| outcome.records.iter().map(|r| r.metadata.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&found), texts(&plain(&generator(5))));
    let renamed = changed(&generator(5), &map("rename = { row = \"r\" }"));
    assert!(renamed.records.iter().any(|record| record.metadata.as_deref().is_some_and(|text| text.contains("1.0"))));
}

#[test]
fn a_field_that_is_in_the_way_sets_the_record_aside() {
    let found = changed(&generator(1), &map("rename = { k0 = \"row\" }"));
    assert!(found.records.iter().all(|record| record.metadata.is_none()));
    assert!(found.rejects.iter().all(|reject| reject.reason.contains("field `row`")), "{:?}", found.rejects[0]);
    let found = changed(&generator(1), &map("document.to = \"row\""));
    assert!(
        !found.rejects.is_empty()
            && found.records.iter().all(|record| record.metadata.as_ref().is_none_or(|text| text.contains("row")))
    );
}

#[test]
fn mistakes_in_a_map_are_located() {
    let cases = [
        ("rename = { a = \"x\" }\ndorp = [\"b\"]", ["dorp", "line 2"]),
        ("[rename]\na = \"x\"\nb = \"x\"", ["both become `x`", "line 3"]),
        ("[rename]\nrow = \"x\"\nnowhere = \"y\"", ["no record has the field `nowhere`", "line 3"]),
        ("drop = [\"k0\",\n  \"missing\"]", ["no record has the field `missing`", "line 2"]),
        ("vectors.drop = [\"other\"]", ["the vector `other`", "`image`"]),
        ("[vectors.rename]\ntitle = \"image\"", ["two vectors would both be `image`", "rename"]),
        ("[cast]\nrow = \"number\"", ["number", "line 2"]),
        ("rename = { row = \"x\" }\ndrop = [\"row\"]", ["dropped and renamed", "line 2"]),
        ("", ["changes nothing", "fields.toml"]),
        ("rename = {", ["fields.toml", "line 1"]),
    ];
    for (text, parts) in cases {
        let message = refusal(&generator(1), &map(text)).replace("line=", "line ").replace("line: ", "line ");
        assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
    }
}

#[test]
fn a_program_makes_records_anew_and_its_errors_set_them_aside() {
    let program = |text: &str| Transforms { map_jq: Some(text.to_owned()), ..Transforms::default() };
    let generator = generator(9);
    let all = plain(&generator);
    let found = changed(
        &generator,
        &program(".metadata |= (. // {} | {row, big: 9007199254740993, half: (1/2)}) | del(.document)"),
    );
    assert!(found.rejects.is_empty());
    for (old, new) in all.records.iter().zip(&found.records) {
        assert_eq!(new.json(), json!({"row": old.json()["row"], "big": 9_007_199_254_740_993_u64, "half": 0.5}));
        assert_eq!((new.document.as_ref(), &new.vectors, &new.namespace), (None, &old.vectors, &old.namespace));
    }
    let with_row = all.records.iter().filter(|record| record.metadata.is_some()).count();
    let found = changed(&generator, &program("select(.metadata != {})"));
    assert_eq!((found.records.len(), found.rejects.len()), (with_row, 0));
    for (text, reason) in [
        ("if .metadata == {} then error(\"bare\") else . end", "bare"),
        ("if .metadata == {} then (., .) else . end", "more than one"),
        ("if .metadata == {} then .extra = 1 else . end", "`extra`"),
        ("if .metadata == {} then .metadata = [] else . end", "object"),
        ("if .metadata == {} then .metadata.x = nan else . end", "metadata"),
        ("if .metadata == {} then del(.id) else . end", "without id"),
        ("if .metadata == {} then 1 else . end", "not an object"),
    ] {
        let found = changed(&generator, &program(text));
        assert_eq!((found.records.len(), found.rejects.len()), (with_row, all.records.len() - with_row), "{text}");
        assert!(found.rejects.iter().all(|reject| reject.reason.contains(reason)), "{text}: {:?}", found.rejects[0]);
    }
}

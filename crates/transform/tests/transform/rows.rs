//! Which records are taken.

use tranship_connector::Transforms;
use tranship_connector::transforms::{Dedupe, Sample};
use tranship_testkit::reading::Record;
use tranship_testkit::{Generator, MemorySource};

use crate::support::{changed, counted, ids, plain, read, refusal, source};

fn generator() -> Generator {
    Generator { rows: 600, namespaced: true, mixed_ids: true, ..Generator::default() }
}

fn filter(text: &str) -> Transforms {
    Transforms { filter: Some(text.to_owned()), ..Transforms::default() }
}

fn filter_jq(text: &str) -> Transforms {
    Transforms { filter_jq: Some(text.to_owned()), ..Transforms::default() }
}

/// The expression, the same in jq, and the same in Rust.
type Case = (&'static str, &'static str, fn(&Record) -> bool);

const CASES: [Case; 9] = [
    ("row < 100", ".metadata | has(\"row\")? and .row < 100", |r| {
        r.json()["row"].as_u64().is_some_and(|row| row < 100)
    }),
    ("k0 = 1", ".metadata.k0 as $k | ($k == 1) or (($k | type) == \"array\" and any($k[]; . == 1))", |r| {
        let value = &r.json()["k0"];
        value.as_f64() == Some(1.0) || value.as_array().is_some_and(|list| list.contains(&1.into()))
    }),
    ("exists k1", "(.metadata != null) and (.metadata | has(\"k1\"))", |r| {
        r.json().as_object().is_some_and(|fields| fields.contains_key("k1"))
    }),
    ("not exists document", ".document == null", |r| r.document.is_none()),
    ("namespace = \"tenant ü\"", ".namespace == \"tenant ü\"", |r| r.namespace.as_deref() == Some("tenant ü")),
    ("id in [0, 21, \"id-4\"]", ".id as $id | any(0, 21, \"id-4\"; . == $id)", |r| {
        ["0", "21", "id-4"].contains(&r.id.as_str())
    }),
    (
        "k2 = true or (k3 = null and not k0 = \"x\")",
        ".metadata | . != null and (.k2 == true or (has(\"k3\") and .k3 == null and ((.k0 == \"x\") or ((.k0 | type) == \"array\" and any(.k0[]; . == \"x\")) | not)))",
        |r| {
            let json = r.json();
            let null = json.as_object().is_some_and(|fields| fields.get("k3").is_some_and(|v| v.is_null()));
            let x = json["k0"] == "x" || json["k0"].as_array().is_some_and(|list| list.contains(&"x".into()));
            json["k2"] == true || (null && !x)
        },
    ),
    ("k0.deep.er = true", ".metadata.k0 | type == \"object\" and any(.deep.er[]; . == true)", |r| {
        r.json()["k0"]["deep"]["er"].as_array().is_some_and(|list| list.contains(&true.into()))
    }),
    ("document >= 'text 5'", "(.document != null) and .document >= \"text 5\"", |r| {
        r.document.as_deref().is_some_and(|text| text >= "text 5")
    }),
];

#[test]
fn a_condition_takes_what_the_same_condition_takes_in_rust_and_in_jq() {
    let all = plain(&generator()).records;
    for (expression, program, wanted) in CASES {
        let wanted: Vec<&Record> = all.iter().filter(|record| wanted(record)).collect();
        assert!(!wanted.is_empty() && wanted.len() < all.len(), "{expression} tells nothing apart");
        for transforms in [filter(expression), filter_jq(program)] {
            let found = changed(&generator(), &transforms);
            assert_eq!(found.records.iter().collect::<Vec<_>>(), wanted, "{transforms:?}");
            assert!(found.rejects.is_empty(), "{transforms:?}: {:?}", found.rejects);
            let dropped: u64 = counted(source(&generator()), &transforms).values().map(|change| change.dropped).sum();
            assert_eq!(dropped as usize, all.len() - wanted.len(), "{transforms:?}");
        }
    }
}

#[test]
fn a_sample_is_the_same_in_whatever_order_records_come() {
    let sample = |seed| Transforms { sample: Some(Sample { records: 50, seed }), ..Transforms::default() };
    let first = changed(&generator(), &sample(1));
    let mut batches = generator().batches();
    batches.reverse();
    let turned = read(MemorySource::new(generator().schema(), batches, 5), &sample(1)).unwrap();
    assert_eq!(first.records.len(), 50);
    assert_eq!(ids(&first), ids(&turned));
    assert_ne!(ids(&first), ids(&changed(&generator(), &sample(2))));
    let more = Transforms { sample: Some(Sample { records: 10_000, seed: 1 }), ..Transforms::default() };
    assert_eq!(changed(&generator(), &more).records.len(), 600);
}

#[test]
fn a_limit_takes_the_first_records_and_leaves_later_splits_closed() {
    let limit = |n| Transforms { limit: Some(n), ..Transforms::default() };
    let all = plain(&generator()).records;
    for n in [1u64, 127, 128, 129, 600, 601] {
        let mut source = source(&generator());
        // A split behind the limit that cannot be opened is not missed.
        source.fail_at = Some(n.div_ceil(128)).filter(|split| *split < 5);
        assert_eq!(read(source, &limit(n)).unwrap().records, all[..(n as usize).min(600)], "limit {n}");
    }
    let both = Transforms { filter: Some("row >= 300".into()), ..limit(7) };
    let wanted: Vec<&Record> = all.iter().filter(|r| r.json()["row"].as_u64() >= Some(300)).take(7).collect();
    assert_eq!(changed(&generator(), &both).records.iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn a_dedupe_keeps_the_first_by_id_or_by_content() {
    let by = |by| Transforms { dedupe: Some(by), ..Transforms::default() };
    let twice = || {
        let batches = generator().batches();
        MemorySource::new(generator().schema(), [batches.clone(), batches].concat(), 3)
    };
    let all = plain(&generator()).records;
    assert_eq!(read(twice(), &by(Dedupe::Id)).unwrap().records, all);
    // Generated records that hold next to nothing are the same but for their ids.
    let content =
        |record: &Record| format!("{:?}", (&record.namespace, &record.vectors, &record.document, record.json()));
    let mut met = std::collections::HashSet::new();
    let wanted: Vec<&Record> = all.iter().filter(|record| met.insert(content(record))).collect();
    assert!(wanted.len() < all.len());
    assert_eq!(read(twice(), &by(Dedupe::Content)).unwrap().records.iter().collect::<Vec<_>>(), wanted);
    assert_eq!(counted(twice(), &by(Dedupe::Content))["dedupe"].dropped as usize, 1200 - wanted.len());
}

#[test]
fn the_readers_own_rejects_still_come_through() {
    let mut source = source(&generator());
    source.reject_below = 2;
    let outcome = read(source, &filter("row < 1000000")).unwrap();
    assert_eq!(outcome.rejects.len(), 2);
}

#[test]
fn mistakes_in_conditions_and_programs_are_marked() {
    let messages = [
        refusal(&generator(), &filter("row <")),
        refusal(&generator(), &filter_jq(".metadata | nowhere(1)")),
        refusal(&generator(), &filter_jq("now > 1")),
        refusal(&generator(), &filter_jq(".a | (")),
    ];
    for (message, at) in messages.iter().zip(["row <^", ".metadata | ^nowhere(1)", "^now > 1", ".a | (^"]) {
        assert!(message.contains(at), "{message}");
    }
}

#[test]
fn steps_over_the_whole_source_are_refused_for_streams() {
    for transforms in [
        Transforms { limit: Some(1), ..Transforms::default() },
        Transforms { dedupe: Some(Dedupe::Id), ..Transforms::default() },
        Transforms { sample: Some(Sample { records: 1, seed: 1 }), ..Transforms::default() },
    ] {
        // A source without files is a stream.
        let wrapped = tranship_transform::wrap(Box::new(source(&generator())), &transforms).unwrap();
        let error = tranship_testkit::reading::read(&*wrapped).unwrap_err();
        assert!(error.to_string().contains("standard input"), "{error}");
    }
    let sample = Transforms { sample: Some(Sample { records: u64::MAX, seed: 1 }), ..Transforms::default() };
    assert!(refusal(&generator(), &sample).contains("--memory"));
}

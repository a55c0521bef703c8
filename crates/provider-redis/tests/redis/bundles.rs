//! What a bundle holds, that it reads back as its source, what is refused and what damage does.

use std::fs;
use std::path::Path;

use tranship_collection::schema::IdKind;
use tranship_collection::{CollectionSchema, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{CreateOptions, ErrorKind, Grade, OpenOptions, Survey};
use tranship_provider_redis::CONNECTOR;
use tranship_testkit::Generator;
use tranship_testkit::bundles::{fingerprint, survey};

use crate::collections::{Collection, Row, build, locator, mapping, odd, options, read, single, write};

#[test]
fn a_bundle_reads_back_with_the_fingerprint_of_its_source() {
    for (collection, form) in [(odd(), "hash"), (single(true), "hash"), (single(true), "vset"), (single(false), "vset")]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        write(&path, &collection, &options(&[], form)).unwrap();
        assert_eq!((CONNECTOR.probe)(&path), Some(95));
        assert_eq!((CONNECTOR.list.unwrap())(&locator(&path), &OpenOptions::default()).unwrap().len(), 1);
        let (schema, batches) = read(&path, &OpenOptions::default()).unwrap();
        assert_eq!(schema, collection.0);
        let found = fingerprint(&schema, &batches).summary();
        assert_eq!(Some(&found), mapping(&path).expected_fingerprint.as_ref(), "{form}");
        assert_eq!(found, fingerprint(&collection.0, &collection.1).summary(), "{form}");
    }
}

/// The words of all commands of a file, by the shape that Redis documents.
fn words(path: &Path) -> Vec<Vec<Vec<u8>>> {
    let bytes = fs::read(path).unwrap();
    let (mut at, mut commands) = (0, Vec::new());
    let line = |at: &mut usize| -> usize {
        let end = *at + bytes[*at..].windows(2).position(|pair| pair == b"\r\n").unwrap();
        let number = std::str::from_utf8(&bytes[*at + 1..end]).unwrap().parse().unwrap();
        *at = end + 2;
        number
    };
    while at < bytes.len() {
        let mut command = Vec::new();
        for _ in 0..line(&mut at) {
            let len = line(&mut at);
            command.push(bytes[at..at + len].to_vec());
            at += len + 2;
        }
        commands.push(command);
    }
    commands
}

fn text(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[test]
fn a_hash_holds_raw_vectors_exact_metadata_and_its_scalars() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    write(&path, &odd(), &CreateOptions::default()).unwrap();
    let commands = words(&path.join("data/commands-00001-000.resp"));
    let last = &commands[2];
    assert_eq!(last[0], b"HSET");
    assert_eq!(last[1], format!("{}:tenant%3A%09%0A%2541%20%C3%A9:42", crate::collections::ODD_NAME).into_bytes());
    let fields: Vec<(&[u8], &[u8])> = last[2..].chunks(2).map(|pair| (&*pair[0], &*pair[1])).collect();
    let floats: Vec<u8> = [2.5f32, -0.0, f32::from_bits(0x15ae_43fd)].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(fields[0], (&b"embedding"[..], &*floats));
    assert_eq!((fields[1].0, fields[1].1.len()), (&b"brain"[..], 6));
    let exact = fields.iter().find(|(name, _)| *name == b"_metadata").unwrap().1;
    assert!(std::str::from_utf8(exact).unwrap().starts_with(r#"{"ok":true,"year":1999,"tag":"a,b","#));
    let scalars = [("ok", "true"), ("year", "1999"), ("tag", "a,b")].map(|(k, v)| (k.as_bytes(), v.as_bytes()));
    assert_eq!(fields[fields.len() - 3..], scalars);
}

#[test]
fn the_index_is_created_as_redis_documents_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let mapping = write(&path, &odd(), &CreateOptions::default()).unwrap();
    let commands = words(&path.join("index.resp"));
    let found = text(&commands[0]);
    let name = crate::collections::ODD_NAME;
    let prefix = format!("{name}:");
    assert_eq!(found[..8], ["FT.CREATE", name, "ON", "HASH", "PREFIX", "1", &prefix, "SCHEMA"]);
    let joined = found[8..].join(" ");
    for part in [
        "embedding VECTOR HNSW 12 TYPE FLOAT32 DIM 3 DISTANCE_METRIC L2 M 512 EF_CONSTRUCTION 100 EF_RUNTIME 10",
        "brain VECTOR FLAT 6 TYPE BFLOAT16 DIM 3 DISTANCE_METRIC IP",
        "_document VECTOR HNSW 10 TYPE FLOAT16 DIM 3 DISTANCE_METRIC COSINE M 16 EF_CONSTRUCTION 200",
        "signed VECTOR HNSW 10 TYPE INT8",
        "unsigned VECTOR HNSW 10 TYPE UINT8",
        "document TEXT",
        "a NUMERIC",
        "ok TAG SEPARATOR \u{1f} CASESENSITIVE",
        "year NUMERIC",
    ] {
        assert!(joined.contains(part), "{part}\n{joined}");
    }
    assert!(!joined.contains("_metadata"));
    let codes: Vec<(&str, Grade)> = mapping.losses.iter().map(|loss| (loss.code.as_str(), loss.grade)).collect();
    assert_eq!(
        codes,
        [("ID_TO_UUID", Grade::Reversible), ("ID_AS_TEXT", Grade::Reversible), ("INDEX_SETTINGS", Grade::Equivalent)]
    );
}

#[test]
fn vector_sets_are_not_quantised_and_hold_the_metadata_as_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let mapping = write(&path, &single(true), &options(&[], "vset")).unwrap();
    let commands = words(&path.join("data/commands-00000-000.resp"));
    let first = text(&commands[0]);
    assert_eq!(
        (&first[..3], &first[4..9]),
        (
            &["VADD", "single:", "FP32"].map(str::to_owned)[..],
            &["doc:1", "NOQUANT", "EF", "200", "SETATTR"].map(str::to_owned)[..]
        )
    );
    assert_eq!(first[10..], ["M", "16"]);
    let attributes: serde_json::Value = serde_json::from_str(&first[9]).unwrap();
    assert_eq!(attributes, serde_json::json!({"a": 1, "document": "a \"document\"\r\n\t\u{1F980}"}));
    assert!(mapping.losses.iter().any(|loss| loss.code == "NORM"));
    assert!(!path.join("index.resp").exists());
    let counts = fs::read_to_string(path.join("counts.tsv")).unwrap();
    assert!(counts.lines().any(|line| line == "1\t\"b\"\tsingle:b"), "{counts}");
}

fn losses(spec: VectorSpec, form: &str) -> Vec<(String, Grade)> {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![spec];
    let dir = tempfile::tempdir().unwrap();
    let sink = CONNECTOR.create.unwrap()(&locator(&dir.path().join("b")), &options(&[], form)).unwrap();
    let found = survey(&*sink, &schema, &[]).unwrap();
    sink.negotiate(&schema, &found).unwrap().losses.into_iter().map(|loss| (loss.code, loss.grade)).collect()
}

#[test]
fn what_redis_has_no_form_for_needs_consent() {
    let dense = VectorSpec { metric: Some(Metric::Cosine), ..VectorSpec::dense("", 2) };
    let own = |code: &str, grade| vec![(code.to_owned(), grade)];
    for kind in [VectorKind::Multi, VectorKind::Bits, VectorKind::Sparse] {
        assert_eq!(losses(VectorSpec { kind, ..dense.clone() }, "hash"), own("VECTOR_DROPPED", Grade::Dropped));
    }
    let other = Some(IndexSpec::Other { name: "IVF".to_owned(), settings: serde_json::Value::Null });
    let other = VectorSpec { index: other, ..dense.clone() };
    assert_eq!(losses(other, "hash"), own("INDEX_SETTINGS", Grade::Lossy));
    let l1 = VectorSpec { metric: Some(Metric::L1), ..dense.clone() };
    assert_eq!(losses(l1.clone(), "hash"), own("METRIC", Grade::Lossy));
    assert!(losses(l1, "vset").contains(&("METRIC".to_owned(), Grade::Lossy)));
    assert!(losses(dense, "hash").is_empty());
}

fn one(row: Row, vector: Option<[f32; 2]>) -> Collection {
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec { metric: Some(Metric::Cosine), ..VectorSpec::dense("", 2) }];
    let rows: [Row; 2] = [row, ("kept", IdKind::Text, None, None, None)];
    let batches = build(&schema, &rows, 9, |builder, row| match (row, vector) {
        (0, None) => {}
        (0, Some(values)) => builder.push_dense(0, &values),
        _ => builder.push_dense(0, &[1.0, 2.0]),
    });
    (schema, batches)
}

#[test]
fn a_record_that_a_vector_set_cannot_hold_is_left_out_by_consent_only() {
    let plain: Row = ("bad", IdKind::Text, None, None, None);
    let taken: Row = ("bad", IdKind::Text, None, None, Some(r#"{"document":1}"#));
    let cases = [
        ("VECTOR_MISSING", one(plain, None)),
        ("ZERO_VECTOR", one(plain, Some([0.0, -0.0]))),
        ("RESERVED_KEY", one(taken, Some([1.0, 0.0]))),
    ];
    for (code, collection) in cases {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&dir.path().join("no"), &collection, &options(&[], "vset")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LossDenied, "{error}");
        assert!(error.to_string().contains(code) && error.message().contains("`bad`"), "{error}");
        let path = dir.path().join("yes");
        write(&path, &collection, &options(&[code], "vset")).unwrap();
        let (_, batches) = read(&path, &OpenOptions::default()).unwrap();
        assert_eq!(batches.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 1, "{code}");
        write(&dir.path().join("hash"), &collection, &CreateOptions::default()).unwrap();
    }
}

#[test]
fn names_forms_and_dimensions_without_room_are_refused_with_the_next_step() {
    let create = |schema: &CollectionSchema| {
        let dir = tempfile::tempdir().unwrap();
        let sink = CONNECTOR.create.unwrap()(&locator(&dir.path().join("b")), &CreateOptions::default()).unwrap();
        sink.negotiate(schema, &Survey::default()).unwrap_err()
    };
    for name in ["line\nbreak", &"x".repeat(513)] {
        let error = create(&CollectionSchema::new(name));
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.next_step().is_some_and(|step| step.contains("--as")));
    }
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("", 32_769) }];
    assert_eq!(create(&schema).kind(), ErrorKind::Limit);
    schema.vectors = vec![VectorSpec::dense("", 2)];
    assert_eq!(create(&schema).kind(), ErrorKind::Usage);
    let dir = tempfile::tempdir().unwrap();
    let error = write(&dir.path().join("b"), &odd(), &options(&[], "json")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn a_damaged_bundle_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let generator = Generator::default();
    write(&path, &(generator.schema(), generator.batches()), &CreateOptions::default()).unwrap();
    let file = path.join("data/commands-00003-000.resp");
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (what, bytes) in
        [("flipped", Some(flipped)), ("cut", Some(whole[..whole.len() - 9].to_vec())), ("missing", None)]
    {
        match bytes {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let error = read(&path, &OpenOptions::default()).unwrap_err();
        assert!(error.to_string().contains("commands-00003-000.resp"), "{what}: {error}");
    }
    fs::write(&file, &whole).unwrap();
    read(&path, &OpenOptions::default()).unwrap();
}

//! What a bundle holds, that it reads back as its source, what is refused and what damage does.

use std::fs;

use tranship_collection::schema::IdKind;
use tranship_collection::{CollectionSchema, Element, IdKinds, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{CreateOptions, ErrorKind, Grade, OpenOptions, Survey};
use tranship_provider_pgvector::CONNECTOR;
use tranship_testkit::Generator;
use tranship_testkit::bundles::fingerprint;

use crate::collections::{Row, build, locator, mapping, odd, options, read, typed, write};

#[test]
fn a_bundle_reads_back_with_the_expected_fingerprint() {
    for (collection, metadata) in [(odd(), None), (odd(), Some("columns")), (typed(), None), (typed(), Some("columns"))]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        write(&path, &collection, &options(&[], metadata)).unwrap();
        assert_eq!((CONNECTOR.probe)(&path), Some(95));
        assert_eq!((CONNECTOR.list.unwrap())(&locator(&path), &OpenOptions::default()).unwrap().len(), 1);
        let (schema, batches) = read(&path, &OpenOptions::default()).unwrap();
        assert_eq!(schema, collection.0);
        assert_eq!(Some(fingerprint(&schema, &batches).summary()), mapping(&path).expected_fingerprint);
    }
}

#[test]
fn nothing_but_zeros_of_sparse_vectors_differs_from_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    write(&path, &odd(), &CreateOptions::default()).unwrap();
    let mapping = mapping(&path);
    let (source, expected) = (mapping.source_fingerprint.unwrap(), mapping.expected_fingerprint.unwrap());
    for (name, component) in &source.components {
        let differs = ["record", "vector.terms"].contains(&name.as_str());
        assert_eq!(expected.components[name] != *component, differs, "{name}");
    }
    let loss = mapping.losses.iter().find(|loss| loss.code == "SPARSE_ZEROS").unwrap();
    assert_eq!((loss.grade, loss.records), (Grade::Equivalent, Some(1)));
}

#[test]
fn names_stand_quoted_in_the_sql_and_nowhere_in_the_shell_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    write(&path, &odd(), &CreateOptions::default()).unwrap();
    let text = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    let schema = text("schema.sql");
    for line in [
        "CREATE TABLE \"Od\"\"d 't; \\ :y $x $$ é(,)\" (",
        "    \"namespace\" text NOT NULL DEFAULT '',",
        "    \"id\" text NOT NULL,",
        "    \"embedding\" vector(3),",
        "    \"flags\" bit(11),",
        "    \"half \"\"way\"\", (x\" halfvec(3),",
        "    \"vector_1\" vector(3),",
        "    \"terms\" sparsevec(1000000000),",
        "    \"metadata\" jsonb",
    ] {
        assert!(schema.lines().any(|own| own == line), "{line}\n{schema}");
    }
    let index = text("index.sql");
    for part in [
        "ADD PRIMARY KEY (namespace, id);",
        "USING hnsw (\"embedding\" vector_l2_ops) WITH (m = 48, ef_construction = 96);",
        "USING hnsw (\"flags\" bit_jaccard_ops)",
        "(\"half \"\"way\"\", (x\" halfvec_cosine_ops)",
        "(\"vector_1\" vector_ip_ops)",
        "(\"terms\" sparsevec_ip_ops)",
    ] {
        assert!(index.contains(part), "{part}\n{index}");
    }
    for script in ["load.sh", "check.sh", "undo.sh"] {
        assert!(!text(script).contains("Od\""), "{script}");
    }
}

#[test]
fn integer_ids_are_bigints_and_keys_of_one_type_are_columns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    write(&path, &typed(), &options(&[], Some("columns"))).unwrap();
    let schema = fs::read_to_string(path.join("schema.sql")).unwrap();
    let columns = [
        "\"id\" bigint NOT NULL",
        "\"b\" boolean[]",
        "\"n\" bigint[]",
        "\"ok\" boolean",
        "\"price\" double precision",
        "\"tags\" text[]",
        "\"title\" text",
        "\"x\" double precision[]",
        "\"year\" bigint",
        "\"Ünï \"\"q\"\"\" bigint",
    ];
    for column in columns {
        assert!(schema.contains(&format!("    {column},\n")), "{column}\n{schema}");
    }
    assert!(!schema.contains("mixed") && schema.matches("\"id\"").count() == 1, "{schema}");
    assert!(mapping(&path).losses.iter().all(|loss| loss.code != "ID_AS_TEXT"));
}

fn losses(collection: &(CollectionSchema, Vec<arrow_array::RecordBatch>)) -> Vec<(String, Grade)> {
    let dir = tempfile::tempdir().unwrap();
    let sink = CONNECTOR.create.unwrap()(&locator(&dir.path().join("b")), &CreateOptions::default()).unwrap();
    let survey = tranship_testkit::bundles::survey(&*sink, &collection.0, &collection.1).unwrap();
    let negotiated = sink.negotiate(&collection.0, &survey).unwrap();
    negotiated.losses.into_iter().map(|loss| (loss.code, loss.grade)).collect()
}

#[test]
fn losses_are_those_that_the_records_have() {
    let own =
        |pairs: &[(&str, Grade)]| pairs.iter().map(|(code, grade)| ((*code).to_owned(), *grade)).collect::<Vec<_>>();
    assert_eq!(
        losses(&odd()),
        own(&[
            ("ID_TO_UUID", Grade::Reversible),
            ("ID_AS_TEXT", Grade::Reversible),
            ("METADATA_AS_TEXT", Grade::Reversible),
            ("ELEMENT_WIDENED", Grade::Exact),
            ("SPARSE_ZEROS", Grade::Equivalent),
            ("INDEX_SETTINGS", Grade::Equivalent),
            ("EF_SEARCH", Grade::Equivalent),
            ("ALIASES", Grade::Equivalent),
        ])
    );
    let with = |spec: VectorSpec| {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = vec![spec];
        losses(&(schema, Vec::new()))
    };
    let dense = VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("", 2001) };
    assert_eq!(with(dense.clone()), own(&[("NOT_INDEXED", Grade::Equivalent)]));
    assert_eq!(with(VectorSpec { element: Element::F16, ..dense.clone() }), own(&[]));
    assert_eq!(with(VectorSpec { dim: Some(9), metric: None, ..dense.clone() }), own(&[("METRIC", Grade::Equivalent)]));
    let hamming = VectorSpec { dim: Some(9), metric: Some(Metric::Hamming), ..dense.clone() };
    assert_eq!(with(hamming), own(&[("METRIC", Grade::Lossy)]));
    let other = Some(IndexSpec::Other { name: "DISKANN".to_owned(), settings: serde_json::Value::Null });
    let other = VectorSpec { dim: Some(9), index: other, ..dense.clone() };
    assert_eq!(with(other), own(&[("INDEX_SETTINGS", Grade::Lossy)]));
    assert_eq!(with(VectorSpec { kind: VectorKind::Multi, ..dense }), own(&[("VECTOR_DROPPED", Grade::Dropped)]));
}

fn one(
    vectors: Vec<VectorSpec>,
    row: Row,
    push: impl Fn(&mut tranship_collection::BatchBuilder),
) -> crate::collections::Collection {
    let mut schema = CollectionSchema::new("c");
    (schema.ids, schema.namespaced, schema.vectors) = (IdKinds::Text, true, vectors);
    let rows: [Row; 2] = [row, ("kept", IdKind::Text, None, None, None)];
    let batches = build(&schema, &rows, 9, |builder, row| {
        if row == 0 {
            push(builder);
        }
    });
    (schema, batches)
}

#[test]
fn a_record_that_a_row_cannot_hold_is_left_out_by_consent_only() {
    let sparse = || vec![VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense("s", 0) }];
    let plain: Row = ("bad", IdKind::Text, None, None, None);
    let long: &'static str = Box::leak("n".repeat(1001).into_boxed_str());
    let cases = [
        ("NUL_IN_TEXT", one(vec![], ("bad", IdKind::Text, None, Some("a\0"), None), |_| ())),
        ("NUL_IN_TEXT", one(vec![], ("bad", IdKind::Text, Some("a\0"), None, None), |_| ())),
        ("NAMESPACE_TOO_LONG", one(vec![], ("bad", IdKind::Text, Some(long), None, None), |_| ())),
        ("SPARSE_INDEX_TOO_LARGE", one(sparse(), plain, |b| b.push_sparse(0, &[1_000_000_000], &[1.0]).unwrap())),
        (
            "SPARSE_TOO_LONG",
            one(sparse(), plain, |b| b.push_sparse(0, &(0..16_001).collect::<Vec<u32>>(), &[1.0; 16_001]).unwrap()),
        ),
    ];
    for (code, collection) in cases {
        let dir = tempfile::tempdir().unwrap();
        let error = write(&dir.path().join("no"), &collection, &CreateOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LossDenied, "{error}");
        assert!(error.to_string().contains(code) && error.message().contains("`bad`"), "{error}");
        let path = dir.path().join("yes");
        write(&path, &collection, &options(&[code], None)).unwrap();
        let (_, batches) = read(&path, &OpenOptions::default()).unwrap();
        assert_eq!(batches.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 1, "{code}");
    }
}

#[test]
fn names_and_dimensions_without_room_are_refused_with_the_next_step() {
    let create = |schema: &CollectionSchema| {
        let dir = tempfile::tempdir().unwrap();
        let sink = CONNECTOR.create.unwrap()(&locator(&dir.path().join("b")), &CreateOptions::default()).unwrap();
        sink.negotiate(schema, &Survey::default()).unwrap_err()
    };
    for name in ["line\nbreak", "tranship_loaded", &"é".repeat(32)] {
        let error = create(&CollectionSchema::new(name));
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.next_step().is_some_and(|step| step.contains("--as")));
    }
    let mut schema = CollectionSchema::new("c");
    schema.vectors = vec![VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("", 16_001) }];
    assert_eq!(create(&schema).kind(), ErrorKind::Limit);
    let dir = tempfile::tempdir().unwrap();
    let error = write(&dir.path().join("b"), &typed(), &options(&[], Some("both"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn a_damaged_bundle_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let generator = Generator::default();
    write(&path, &(generator.schema(), generator.batches()), &CreateOptions::default()).unwrap();
    let file = path.join("data/rows-00003-000.bin");
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
        assert!(error.to_string().contains("rows-00003-000.bin"), "{what}: {error}");
    }
    fs::write(&file, &whole).unwrap();
    read(&path, &OpenOptions::default()).unwrap();
}

#[test]
fn pulled_rows_that_are_cut_or_of_another_table_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (path, pulled) = (dir.path().join("bundle"), dir.path().join("pulled"));
    write(&path, &typed(), &CreateOptions::default()).unwrap();
    fs::create_dir(&pulled).unwrap();
    fs::copy(path.join("mapping.json"), pulled.join("mapping.json")).unwrap();
    let rows = fs::read(path.join("data/rows-00000-000.bin")).unwrap();
    let file = pulled.join("rows-00000.bin");
    fs::write(&file, &rows).unwrap();
    assert_eq!((CONNECTOR.probe)(&pulled), Some(95));
    assert_eq!(read(&pulled, &OpenOptions::default()).unwrap().1[0].num_rows(), 2);
    let without_a_field = [&rows[..20], &[3], &rows[21..]].concat();
    let of_a_row = [&rows[..rows.len() - 6], &rows[rows.len() - 2..]].concat();
    for (what, bytes) in
        [("cut", &rows[..rows.len() - 2]), ("fields", &without_a_field), ("row", &of_a_row), ("head", &rows[1..])]
    {
        fs::write(&file, bytes).unwrap();
        let error = read(&pulled, &OpenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{what}: {error}");
        assert!(error.to_string().contains("rows-00000.bin"), "{what}: {error}");
    }
}

//! What the user says, and what is said to the user.

use tranship_connector::{Count, ErrorKind};
use tranship_provider_redis::CONNECTOR;

use crate::build::{Rdb, floats, text};
use crate::reading::{list, locator, metadata, options, read_bytes, refuse, save};

fn vector() -> Vec<u8> {
    floats(&[0.5, -1.0])
}

fn two_databases() -> Vec<u8> {
    Rdb::new("REDIS0011")
        .database(0)
        .hash("doc:1", &vector(), &[("t", "a")])
        .hash("doc:2", &vector(), &[("t", "b")])
        .database(3)
        .hash("doc:1", &vector(), &[("t", "c")])
        .database(4)
        .key(0, "string", &text(b"x"))
        .end()
}

#[test]
fn several_databases_with_vectors_are_a_choice() {
    let file = two_databases();
    let error = refuse(&file, &[]);
    assert!(error.to_string().contains("several databases of") && error.to_string().contains("db0, db3"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Usage);
    for chosen in [("db", "3"), ("collection", "db3")] {
        let outcome = read_bytes(&file, &[chosen]);
        assert_eq!(metadata(&outcome)["doc:1"], r#"{"t":"c"}"#);
        assert_eq!(outcome.schema.name, "db3");
    }
    let saved = save(&file);
    let infos = list(&saved.path, &[]);
    let shown: Vec<_> = infos.iter().map(|info| (info.name.as_str(), info.records)).collect();
    assert_eq!(shown, [("db0", Count::Exact(2)), ("db3", Count::Exact(1)), ("db4", Count::UpTo(0))]);
    for chosen in [("db", "3"), ("collection", "db3")] {
        let infos = list(&saved.path, &[chosen]);
        assert_eq!(infos.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["db3"]);
    }
    let unknown = (CONNECTOR.list.unwrap())(&locator(&saved.path), &options(&[("db", "9")])).unwrap_err();
    assert!(unknown.to_string().contains("has no database 9"), "{unknown}");
    assert_eq!(unknown.next_step(), Some("it has db0, db3, db4"));
    assert!(refuse(&file, &[("db", "9")]).to_string().contains("has no database 9"));
    assert!(refuse(&file, &[("db", "x")]).to_string().contains("`db=x` is not understood"));
    assert!(refuse(&file, &[("collection", "docs")]).next_step().unwrap().contains("db0"));
    assert!(refuse(&file, &[("db", "4")]).to_string().contains("holds no hash in db4"));
}

#[test]
fn ids_and_documents_come_from_keys_or_fields() {
    let file = Rdb::new("REDIS0011")
        .hash("doc:1", &vector(), &[("title", "one"), ("sku", "A-1"), ("n", "5")])
        .hash("doc:2", &vector(), &[("title", "two"), ("n", "6")])
        .end();
    let outcome = read_bytes(&file, &[("prefix", "doc:"), ("strip-prefix", "true"), ("document", "title")]);
    assert_eq!(outcome.schema.name, "doc");
    let record = outcome.by_id()[&(None, "1")];
    assert_eq!(record.document.as_deref(), Some("one"));
    assert_eq!(record.metadata.as_deref(), Some(r#"{"sku":"A-1","n":"5"}"#));
    let outcome = read_bytes(&file, &[("id", "sku")]);
    assert_eq!(outcome.records[0].id, "A-1");
    assert_eq!(outcome.records[0].metadata.as_deref(), Some(r#"{"title":"one","n":"5"}"#));
    assert_eq!(outcome.rejects[0].reason, "it has no field `sku` for its id");
}

#[test]
fn several_vector_fields_become_named_vectors() {
    let file = Rdb::new("REDIS0011")
        .key(4, "1", &crate::build::hash(&[(b"b", &vector()), (b"a", &floats(&[0.25; 4])), (b"t", b"x")]))
        .key(4, "2", &crate::build::hash(&[(b"a", &floats(&[0.75; 4]))]))
        .end();
    let error = refuse(&file, &[]);
    assert!(error.to_string().contains("`a` (4 x f32, in 2 hashes), `b` (2 x f32, in 1 hashes)"), "{error}");
    let outcome = read_bytes(&file, &[("vector", "b, a")]);
    let names: Vec<_> = outcome.schema.vectors.iter().map(|v| (v.name.as_str(), v.dim)).collect();
    assert_eq!(names, [("a", Some(4)), ("b", Some(2))]);
    assert_eq!(outcome.records[0].dense("b"), Some(&[0.5, -1.0][..]));
    assert_eq!((outcome.records[1].dense("a").map(<[f32]>::len), outcome.records[1].dense("b")), (Some(4), None));
    let error = refuse(&file, &[("vector", "c")]);
    assert!(error.next_step().unwrap().ends_with("a (4 x f32), b (2 x f32), t"), "{error}");
}

#[test]
fn hashes_without_vector_are_left_out_or_kept() {
    let file = Rdb::new("REDIS0011").hash("1", &vector(), &[]).key(4, "2", &crate::build::hash(&[(b"t", b"x")])).end();
    let outcome = read_bytes(&file, &[]);
    assert_eq!((outcome.records.len(), outcome.ledger.raw), (1, Some(1)));
    assert!(outcome.notes[0].starts_with("1 hashes without `v` are not part of the collection"), "{:?}", outcome.notes);
    let outcome = read_bytes(&file, &[("without-vector", "keep")]);
    assert_eq!((outcome.records.len(), outcome.ledger.live), (2, Some(2)));
    assert_eq!((outcome.records[1].dense(""), outcome.notes.len()), (None, 1));
}

#[test]
fn other_elements_than_f32_are_not_guessed() {
    let doubles: Vec<u8> = [0.1f64, -0.73, 0.3333, 0.9, 0.17, 0.01].iter().flat_map(|v| v.to_le_bytes()).collect();
    let file = Rdb::new("REDIS0011").hash("1", &doubles, &[]).end();
    let error = refuse(&file, &[]);
    assert!(error.to_string().ends_with("does not look like f32"), "{error}");
    assert!(error.next_step().unwrap().contains("-o element=f64"));
    assert_eq!(read_bytes(&file, &[("element", "f32")]).schema.vectors[0].dim, Some(12));
    assert!(refuse(&file, &[("element", "double")]).next_step().unwrap().contains("f32, f64, f16"));
}

#[test]
fn narrow_elements_and_round_doubles_are_not_taken_for_f32() {
    // Values as of a normal distribution, near enough: sums of twelve draws.
    let mut state = 1u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let mut values: Vec<f32> = (0..256).map(|_| (0..12).map(|_| draw()).sum::<f32>() - 6.0).collect();
    for scale in [1.0, 0.05] {
        values.iter_mut().for_each(|value| *value *= scale);
        let halves: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
        let brains: Vec<u8> = values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
        let doubles: Vec<u8> = values.iter().flat_map(|v| f64::from((v * 8.0).round()).to_le_bytes()).collect();
        for (element, vector, dim) in [("f16", halves, 256), ("bf16", brains, 256), ("f64", doubles, 256)] {
            let file = Rdb::new("REDIS0011").hash("a", &vector, &[]).end();
            let error = refuse(&file, &[]);
            assert!(error.to_string().ends_with("does not look like f32"), "{element} {scale}: {error}");
            assert_eq!(read_bytes(&file, &[("element", element)]).schema.vectors[0].dim, Some(dim));
        }
        // True f32, with and without noise at their ends, are read and the default is told.
        let rounded: Vec<f32> = values.iter().map(|v| half::f16::from_f32(*v).to_f32()).collect();
        let decimal: Vec<f32> = values.iter().map(|v| (v * 100.0).round() / 100.0).collect();
        for floats_of in [&values, &rounded, &decimal] {
            let file = Rdb::new("REDIS0011").hash("a", &floats(floats_of), &[]).end();
            let outcome = read_bytes(&file, &[]);
            assert_eq!(outcome.schema.vectors[0].dim, Some(256));
            assert!(outcome.notes.iter().any(|note| note.contains("read as f32")), "{:?}", outcome.notes);
        }
    }
}

#[test]
fn files_without_vectors_say_what_they_hold() {
    let empty = Rdb::new("REDIS0011").end();
    assert!(refuse(&empty, &[]).to_string().contains("holds no hash in db0"));
    assert!(list(&save(&empty).path, &[]).is_empty());
    let texts = Rdb::new("REDIS0011").key(4, "1", &crate::build::hash(&[(b"t", b"text")])).end();
    let error = refuse(&texts, &[]);
    assert!(error.next_step().unwrap().ends_with("there are the fields t"), "{error}");
}

#[test]
fn files_are_known_by_their_magic() {
    let saved = save(&two_databases());
    assert_eq!((CONNECTOR.probe)(&saved.path), Some(95));
    let other = save(b"REDIS is great");
    assert_eq!((CONNECTOR.probe)(&other.path), None);
    assert_eq!((CONNECTOR.probe)(other.path.parent().unwrap()), None);
    let error = CONNECTOR.open.unwrap()(&crate::reading::locator(&other.path), &options(&[])).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotRecognised);
    assert!(error.to_string().contains("hand.rdb is no RDB file"), "{error}");
}

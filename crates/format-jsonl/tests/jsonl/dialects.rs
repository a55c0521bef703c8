//! Exports and pages of vendors, after their documentation.

use std::path::Path;

use serde_json::{Value, json};
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchView, VectorValue};
use tranship_connector::{ErrorKind, OpenOptions, Result};
use tranship_format_jsonl::CONNECTOR;

use crate::samples::{Read, read_with};

const ELASTIC: &str = r#"{"_index":"i","_id":"a","_score":1,"_source":{"title_vector":[1,2.5,-3],"text":"T \"x\"","n":{"o":[1,2]}}}
{"_index":"i","_id":"b","_score":1,"_source":{"title_vector":[4,5,6],"text":"U","year":1999}}
"#;
const BULK: &str = r#"{"index":{"_index":"i","_id":"a"}}
{"title_vector":[1,2.5,-3],"text":"T \"x\"","n":{"o":[1,2]}}
{"delete":{"_id":"z"}}
{"create":{"_id":"b"}}
{"title_vector":[4,5,6],"text":"U","year":1999}
"#;
const VESPA: &str = r#"{"id":"id:ns:doc::a","fields":{"title_vector":{"type":"tensor<float>(x[3])","values":[1,2.5,-3]},"text":"T \"x\"","n":{"o":[1,2]}}}
{"put":"id:ns:doc::b","fields":{"title_vector":{"type":"tensor<float>(x[3])","values":"4080000040a0000040c00000"},"text":"U","year":1999}}
"#;
const VESPA_PAGE: &str = r#"{"pathId":"/document/v1/ns/doc/docid","documents":[
  {"id":"id:ns:doc::a","fields":{"title_vector":[1,2.5,-3],"text":"T \"x\"","n":{"o":[1,2]}}},
  {"id":"id:ns:doc::b","fields":{"title_vector":[4,5,6],"text":"U","year":1999}}], "documentCount": 2}
"#;
const TYPESENSE: &str = r#"{"id":"a","title_vector":[1,2.5,-3],"text":"T \"x\"","n":{"o":[1,2]}}
{"id":"b","title_vector":[4,5,6],"text":"U","year":1999}
"#;
const MONGO: &str = r#"{"_id":{"$oid":"a"},"title_vector":[{"$numberDouble":"1.0"},{"$numberDouble":"2.5"},{"$numberInt":"-3"}],"text":"T \"x\"","n":{"o":[1,2]}}
{"_id":{"$oid":"b"},"title_vector":{"$binary":{"base64":"JwAAAIBAAACgQAAAwEA=","subType":"09"}},"text":"U","year":1999}
"#;
const TURBOPUFFER: &str = r#"{"rows":[{"id":"a","vector":[1,2.5,-3],"text":"T \"x\"","n":{"o":[1,2]}},
 {"id":"b","vector":"AACAQAAAoEAAAMBA","text":"U","year":1999,"$dist":0.5}],"billing":{}}
"#;
const AZURE: &str = r#"{"@odata.context":"https://x","value":[
{"@search.score":1.0,"id":"a","title_vector":[1,2.5,-3],"text":"T \"x\"","n":{"o":[1,2]}},
{"@search.score":1.0,"id":"b","title_vector":[4,5,6],"text":"U","year":1999}]}
"#;
const PINECONE: &str = r#"{"vectors":{"a":{"id":"a","values":[1,2.5,-3],"sparseValues":{"indices":[7,2],"values":[0.5,0.25]},"metadata":{"text":"T \"x\"","n":{"o":[1,2]}}},
"b":{"id":"b","values":[4,5,6],"metadata":{"text":"U","year":1999}}},"namespace":"blue","usage":{"readUnits":1}}
"#;
const WEAVIATE: &str = r#"{"objects":[{"class":"Doc","id":"a","creationTimeUnix":1,"properties":{"text":"T \"x\"","n":{"o":[1,2]}},"vector":[1,2.5,-3],"vectors":{"other":[1,2]},"tenant":"blue"},
{"class":"Doc","id":"b","properties":{"text":"U","year":1999},"vector":[4,5,6],"tenant":"blue"}]}
"#;

/// The same two records in every dialect.
const ALL: [(&str, &str); 10] = [
    ("elasticdump", ELASTIC),
    ("bulk", BULK),
    ("vespa", VESPA),
    ("vespa", VESPA_PAGE),
    ("typesense", TYPESENSE),
    ("mongoexport", MONGO),
    ("turbopuffer", TURBOPUFFER),
    ("azure", AZURE),
    ("pinecone", PINECONE),
    ("weaviate", WEAVIATE),
];

fn read_at(path: &Path, text: impl AsRef<[u8]>, options: &OpenOptions) -> Result<Read> {
    std::fs::write(path, text).unwrap();
    read_with(path, options, 1 << 20)
}

fn options(dialect: Option<&str>) -> OpenOptions {
    let options = dialect.map(|name| ("dialect".to_owned(), name.to_owned())).into_iter().collect();
    OpenOptions { options, ..OpenOptions::default() }
}

fn read_as(text: impl AsRef<[u8]>, options: &OpenOptions) -> Result<Read> {
    let dir = tempfile::tempdir().unwrap();
    read_at(&dir.path().join("export.jsonl"), text, options)
}

/// Id, unnamed vector, document, metadata of each record, and its namespace.
fn records(read: &Read) -> Vec<(String, Vec<f32>, Option<String>, Value, Option<String>)> {
    let mut found = Vec::new();
    for batch in &read.batches {
        let view = BatchView::new(batch, &read.schema).unwrap();
        let unnamed = view.vector_specs().position(|spec| spec.name.is_empty());
        for row in 0..view.len() {
            assert_eq!(view.id_kind(row), IdKind::Text);
            let vector = match unnamed.and_then(|column| view.vector(column, row)) {
                Some(VectorValue::Dense(values)) => values.to_vec(),
                _ => Vec::new(),
            };
            let metadata = view.metadata(row).map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
            let owned = |text: Option<&str>| text.map(str::to_owned);
            found.push((
                view.id(row).to_owned(),
                vector,
                owned(view.document(row)),
                metadata,
                owned(view.namespace(row)),
            ));
        }
    }
    found
}

#[test]
fn the_same_records_are_found_in_every_dialect() {
    for (name, text) in ALL {
        let read = read_as(text, &options(Some(name))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(read.rejects.is_empty(), "{name}: {:?}", read.rejects);
        let namespace = ["pinecone", "weaviate"].contains(&name).then(|| "blue".to_owned());
        let first = json!({ "n": { "o": [1, 2] } });
        let wanted = [
            ("a".to_owned(), vec![1.0, 2.5, -3.0], Some("T \"x\"".to_owned()), first, namespace.clone()),
            ("b".to_owned(), vec![4.0, 5.0, 6.0], Some("U".to_owned()), json!({ "year": 1999 }), namespace),
        ];
        assert_eq!(records(&read), wanted, "{name}");
    }
}

#[test]
fn a_dialect_is_told_from_the_first_record_and_generic_lines_are_none() {
    for (name, text) in ALL {
        if name != "typesense" {
            let read = read_as(text, &options(None)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!((read.rows(), read.rejects.len()), (2, 0), "{name}: {:?}", read.rejects);
        }
    }
    let generic = "{\"id\":1,\"vectors\":{\"a\":[1]},\"metadata\":{\"_id\":{\"$oid\":\"x\"},\"rows\":[{\"id\":1}]}}\n";
    assert_eq!(read_as(generic, &options(None)).unwrap().rows(), 1);
    let error = read_as(ELASTIC, &options(Some("solr"))).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.next_step().unwrap().contains("elasticdump"), "{error}");
    assert_eq!(read_as(ELASTIC, &options(Some("none"))).unwrap().rejects.len(), 2);
}

#[test]
fn named_sparse_and_chosen_vectors_keep_their_names() {
    let read = read_as(PINECONE, &options(None)).unwrap();
    let view = BatchView::new(&read.batches[0], &read.schema).unwrap();
    assert_eq!(view.vector(1, 0), Some(VectorValue::Sparse(&[2, 7], &[0.25, 0.5])));
    let read = read_as(WEAVIATE, &options(None)).unwrap();
    assert_eq!(read.schema.vectors.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["", "other"]);
    let two = r#"{"_id":"a","_source":{"v1":[1,2,3,4,5,6,7,8],"v2":[1,2,3,4,5,6,7,8,9],"short":[1,2],"tags":["x"]}}"#;
    let read = read_as(two, &options(None)).unwrap();
    assert_eq!(read.schema.vectors.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["v1", "v2"]);
    let chosen = OpenOptions { vector_column: Some("short".to_owned()), ..OpenOptions::default() };
    let read = read_as(two, &chosen).unwrap();
    assert_eq!(records(&read)[0].1, [1.0, 2.0]);
    assert!(records(&read)[0].3["v1"].is_array());
}

#[test]
fn an_export_without_vectors_is_refused_with_the_remedy() {
    let hints = [
        ("elasticdump", "exclude_vectors"),
        ("azure", "retrievable"),
        ("weaviate", "include=vector"),
        ("pinecone", "includeValues"),
        ("turbopuffer", "include_attributes"),
        ("mongoexport", "--fields"),
        ("vespa", "field-set"),
    ];
    for (name, remedy) in hints {
        let (_, text) = ALL.iter().find(|(own, _)| *own == name).unwrap();
        let mut without = (*text).to_owned();
        for gone in ["title_vector", "\"vector\"", "\"values\"", "sparseValues", "\"vectors\":{\"other"] {
            let renamed = gone.replace("vector", "left").replace("values", "score").replace("Values", "Left");
            without = without.replace(gone, &renamed);
        }
        for numbers in ["[1,2.5,-3]", "[4,5,6]", "\"AACAQAAAoEAAAMBA\""] {
            without = without.replace(numbers, "null");
        }
        if name == "mongoexport" {
            without = without.replace("$numberDouble", "$numberDecimal").replace("$binary", "$other");
        }
        if name == "vespa" {
            without = without.replace("\"type\":", "\"cells\":");
        }
        let error = read_as(&without, &options(Some(name))).err().unwrap_or_else(|| panic!("{name}: {without}"));
        assert_eq!(error.kind(), ErrorKind::NotRecognised, "{name}: {error}");
        assert!(
            error.to_string().contains("no vectors") && error.next_step().unwrap().contains(remedy),
            "{name}: {error}"
        );
        let lossy = OpenOptions { allow_lossy: true, ..options(Some(name)) };
        assert_eq!(read_as(&without, &lossy).unwrap().rows(), 2, "{name}");
    }
}

#[test]
fn every_cut_is_an_error_or_shows_fewer_records_never_others() {
    for (name, text) in ALL {
        let whole = records(&read_as(text, &options(Some(name))).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.jsonl");
        let mut errors = 0;
        for cut in 1..text.trim_end().len() {
            match read_at(&path, &text.as_bytes()[..cut], &options(Some(name))) {
                Err(error) => {
                    assert!(error.to_string().contains("export.jsonl"), "{name} cut at {cut}: {error}");
                    errors += 1;
                }
                Ok(read) => {
                    let ends_a_record =
                        text.as_bytes()[..cut].ends_with(b"}") || text.as_bytes()[..cut].ends_with(b"\n");
                    assert!(ends_a_record || !read.rejects.is_empty(), "{name} cut at {cut}: {}", &text[..cut]);
                    assert_eq!(records(&read), whole[..read.rows()], "{name} cut at {cut}");
                }
            }
        }
        assert!(errors * 10 > text.len() * 9, "{name}: {errors} of {}", text.len());
    }
}

#[test]
fn flipped_bits_end_in_errors_rejects_or_records_never_in_a_panic() {
    let mut random = random_numbers();
    for (name, text) in ALL {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export.jsonl");
        for _ in 0..400 {
            let mut bytes = text.as_bytes().to_vec();
            let at = random() as usize % bytes.len();
            bytes[at] ^= 1 << (random() % 8);
            if let Err(error) = read_at(&path, &bytes, &options(Some(name))) {
                assert!(error.to_string().contains("export.jsonl"), "{name}: {error}");
            }
        }
    }
}

/// SplitMix64.
fn random_numbers() -> impl FnMut() -> u64 {
    let mut state = 20_261_120u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
    }
}

#[test]
fn hostile_units_are_refused_or_rejected() {
    let deep = format!("{{\"_id\":\"a\",\"_source\":{}1{}}}\n", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (name, text) in [
        ("elasticdump", deep.as_str()),
        ("azure", nested.as_str()),
        ("pinecone", "{\"vectors\":{\"a\":1,\"b\":[],\"c\":null}}"),
        ("weaviate", "{\"objects\":[1,null,\"x\",[]]}"),
        ("bulk", "{\"index\":{}}\nnull\n{\"index\":1}\n{}\n"),
        ("bulk", "{\"update\":{\"_id\":\"a\"}}\n{\"doc\":{\"v\":[1,2]}}\n"),
        ("vespa", "{\"id\":7,\"fields\":[]}"),
        ("turbopuffer", "]]]}}}\n\n{\"rows\":{\"x\":{}}}"),
        ("mongoexport", "{\"_id\":{\"$oid\":\"a\",\"x\":1},\"v\":{\"$binary\":7}}\n"),
        ("azure", ""),
    ] {
        match read_as(text, &OpenOptions { allow_lossy: true, ..options(Some(name)) }) {
            Ok(read) => assert!(read.rows() <= 1, "{name}: {text}"),
            Err(error) => assert_ne!(error.kind(), ErrorKind::Bug, "{name}: {error}"),
        }
    }
    let mut limits = options(Some("azure"));
    limits.limits.max_page_bytes = 64;
    limits.limits.max_line_bytes = 64;
    let error = read_as(AZURE, &limits).unwrap_err();
    assert!(error.to_string().contains("export.jsonl"), "{error}");
}

#[test]
fn an_export_of_many_splits_reads_alike_plain_and_compressed() {
    let lines: String = (0..60_000)
        .map(|id| {
            format!("{{\"index\":{{\"_id\":\"r{id}\"}}}}\n{{\"emb\":[{id}.5,1e-3],\"text\":\"{}\"}}\n", "d".repeat(400))
        })
        .collect();
    assert!(lines.len() > 20 << 20);
    let dir = tempfile::tempdir().unwrap();
    let plain = read_at(&dir.path().join("b.ndjson"), &lines, &OpenOptions::default()).unwrap();
    assert_eq!((plain.rows(), plain.rejects.len()), (60_000, 0));
    assert!(plain.splits.len() > 1);
    let mut compressor = tranship_storage::Compressor::new(tranship_storage::Compression::Zstd).unwrap();
    std::io::Write::write_all(&mut compressor, lines.as_bytes()).unwrap();
    let packed =
        read_at(&dir.path().join("b.ndjson.zst"), compressor.finish().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!(plain.fingerprint(), packed.fingerprint());
    assert_eq!((CONNECTOR.probe)(&dir.path().join("b.ndjson")), Some(80));
}

/// A BSON document of these elements.
fn document(elements: &[u8]) -> Vec<u8> {
    let length = (elements.len() as i32 + 5).to_le_bytes();
    [length.as_slice(), elements, &[0]].concat()
}

fn text_element(name: &str, text: &str) -> Vec<u8> {
    let length = (text.len() as i32 + 1).to_le_bytes();
    [b"\x02", name.as_bytes(), b"\0", &length, text.as_bytes(), b"\0"].concat()
}

/// Records `a` and `b` as mongodump writes them: a list of doubles, and a vector in binary data.
fn mongodump() -> Vec<u8> {
    let doubles = [1.0f64, 2.5, -3.0].iter().zip("012".chars());
    let list: Vec<u8> =
        doubles.flat_map(|(value, at)| [&[1, at as u8, 0], &value.to_le_bytes()[..]].concat()).collect();
    let inner = document(&[b"\x04o\0".as_slice(), &document(b"\x100\0\x01\0\0\0\x101\0\x02\0\0\0")].concat());
    let first = [
        text_element("_id", "a"),
        [b"\x04title_vector\0".as_slice(), &document(&list)].concat(),
        text_element("text", "T \"x\""),
        [b"\x03n\0".as_slice(), &inner].concat(),
    ];
    let floats: Vec<u8> = [4f32, 5.0, 6.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let second = [
        text_element("_id", "b"),
        [b"\x05title_vector\0\x0e\0\0\0\x09\x27\0".as_slice(), &floats].concat(),
        text_element("text", "U"),
        b"\x10year\0\xcf\x07\0\0".to_vec(),
    ];
    [document(&first.concat()), document(&second.concat())].concat()
}

#[test]
fn documents_of_mongodump_are_the_same_records_and_every_damage_is_noticed() {
    let (bytes, mongo) = (mongodump(), read_as(MONGO, &options(None)).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.bson");
    let read = read_at(&path, &bytes, &OpenOptions::default()).unwrap();
    assert!(read.rejects.is_empty(), "{:?}", read.rejects);
    assert_eq!(records(&read), records(&mongo));
    assert_eq!((CONNECTOR.probe)(&path), Some(80));
    let first = i32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    for cut in 1..bytes.len() {
        match read_at(&path, &bytes[..cut], &options(Some("mongodump"))) {
            Ok(read) => assert_eq!((cut, records(&read)), (first, records(&mongo)[..1].to_vec())),
            Err(error) => assert!(error.to_string().contains("c.bson"), "{cut}: {error}"),
        }
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            if let Err(error) = read_at(&path, &flipped, &options(Some("mongodump"))) {
                assert!(error.to_string().contains("c.bson"), "{at}: {error}");
            }
        }
    }
    let archive = [&[0x6d, 0xe2, 0x99, 0x81], &bytes[..]].concat();
    let error = read_at(&path, &archive, &OpenOptions::default()).unwrap_err();
    assert!(error.next_step().unwrap().contains("without --archive"), "{error}");
}

//! The queue of writes, metadata and names, in directories of the real engine that were changed by hand.

use std::path::Path;

use tranship_collection::IndexSpec;
use tranship_connector::ErrorKind;

use crate::fixtures::{Dump, dump, execute, list, options, read, read_with, segment, tolerant};

/// A collection of three dimensions that was never persisted, with `writes` as (operation, id, vector) in its queue
/// and `live` in its table of records.
fn queue_of(writes: &[(u8, &str, Option<[f32; 3]>)], live: &[&str]) -> Dump {
    let dump = dump("chroma-1.5.9");
    let metadata = segment(&dump.root, "tiny", "METADATA");
    let connection = rusqlite::Connection::open(dump.root.join("chroma.sqlite3")).unwrap();
    let topic: String = connection
        .query_row("SELECT 'persistent://other/space/' || id FROM collections WHERE name = 'tiny'", [], |row| {
            row.get(0)
        })
        .unwrap();
    let clear = "DELETE FROM embedding_metadata WHERE id IN (SELECT id FROM embeddings WHERE segment_id = ?1)";
    connection.execute(clear, [&metadata]).unwrap();
    connection.execute("DELETE FROM embeddings WHERE segment_id = ?1", [&metadata]).unwrap();
    connection.execute("DELETE FROM embeddings_queue", []).unwrap();
    for (position, (operation, id, vector)) in writes.iter().enumerate() {
        let blob = vector.map(|v| v.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        let sql = "INSERT INTO embeddings_queue (seq_id, operation, topic, id, vector, encoding) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let encoding = vector.map(|_| "FLOAT32");
        connection.execute(sql, rusqlite::params![position as i64 + 1, operation, topic, id, blob, encoding]).unwrap();
    }
    for (position, id) in live.iter().enumerate() {
        let sql = "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (?1, ?2, ?3, 1)";
        connection.execute(sql, rusqlite::params![900_000 + position as i64, metadata, id]).unwrap();
    }
    dump
}

const A: Option<[f32; 3]> = Some([1.0, 0.0, 0.0]);
const B: Option<[f32; 3]> = Some([0.0, 2.0, 0.0]);

fn vectors(root: &Path) -> Vec<(String, Option<Vec<f32>>)> {
    let outcome = read(root, "tiny").unwrap();
    assert_eq!(outcome.rejects, []);
    let ledger = outcome.ledger;
    assert_eq!(ledger.raw.unwrap(), ledger.live.unwrap() + ledger.deleted + ledger.superseded);
    outcome.records.into_iter().map(|(id, record)| (id, record.vector)).collect()
}

#[test]
fn the_queue_is_replayed_as_chroma_replays_it() {
    let writes = [
        (0, "added twice", A),
        (0, "added twice", B),
        (0, "updated", A),
        (1, "updated", B),
        (0, "metadata only", A),
        (1, "metadata only", None),
        (2, "metadata only", None),
        (1, "ghost", A),
        (0, "gone", A),
        (3, "gone", None),
        (0, "back", A),
        (3, "back", None),
        (0, "back", B),
        (3, "never was", None),
        (4, "backfill", None),
        (2, "upserted", B),
    ];
    let live = ["added twice", "updated", "metadata only", "back", "upserted"];
    let dump = queue_of(&writes, &live);
    let found = vectors(&dump.root);
    let expected = [A, B, A, B, B].map(|v| v.map(|v| v.to_vec()));
    assert_eq!(found, live.iter().map(|id| id.to_string()).zip(expected).collect::<Vec<_>>());
    let ledger = read(&dump.root, "tiny").unwrap().ledger;
    assert_eq!((ledger.raw, ledger.superseded, ledger.deleted), (Some(10), 3, 2));
}

#[test]
fn an_unknown_operation_is_an_error_with_its_row() {
    let dump = queue_of(&[(0, "a", A), (9, "a", None)], &["a"]);
    let error = read(&dump.root, "tiny").unwrap_err();
    assert!(
        error.to_string().ends_with("chroma.sqlite3 has an unknown operation 9 in embeddings_queue row 2"),
        "{error}"
    );
}

/// Gives the queue row `seq_id` metadata, as Chroma writes them.
fn with_metadata(dump: &Dump, seq_id: i64, metadata: &str) {
    execute(&dump.root, &format!("UPDATE embeddings_queue SET metadata = '{metadata}' WHERE seq_id = {seq_id}"));
}

/// Makes the metadata segment of `tiny` have seen writes up to `seq_id` only.
fn seen_until(dump: &Dump, seq_id: &str) {
    let metadata = segment(&dump.root, "tiny", "METADATA");
    execute(&dump.root, &format!("UPDATE max_seq_id SET seq_id = {seq_id} WHERE segment_id = '{metadata}'"));
}

#[test]
fn writes_that_a_killed_chroma_had_not_applied_are_applied_in_a_private_copy() {
    let writes = [
        (0, "old", A),
        (0, "gone", A),
        (0, "untouched", A),
        (0, "new", A),
        (0, "old", B),
        (1, "old", None),
        (3, "gone", None),
        (2, "upserted", A),
        (2, "upserted", B),
        (1, "ghost", A),
        (3, "never was", None),
    ];
    let dump = queue_of(&writes, &["old", "gone", "untouched"]);
    execute(
        &dump.root,
        "INSERT INTO embedding_metadata (id, key, string_value, int_value) VALUES (900000, 'kept', NULL, 1), \
         (900000, 'removed', 'x', NULL), (900000, 'list', 'was text', NULL), (900001, 'kept', NULL, 2);",
    );
    with_metadata(
        &dump,
        4,
        r#"{"chroma:document": "text \u00e9", "f": 1.0, "b": true, "i": 9007199254740993, "n": null}"#,
    );
    with_metadata(&dump, 5, r#"{"kept": "an add of a known id says nothing"}"#);
    with_metadata(&dump, 6, r#"{"removed": null, "list": ["b", "a", "b"], "added": 0.5}"#);
    with_metadata(&dump, 8, r#"{"s": "first", "ones": [1, 2]}"#);
    with_metadata(&dump, 9, r#"{"s": "second", "ones": null}"#);
    with_metadata(&dump, 10, r#"{"s": "nobody"}"#);
    for seen in ["3", "x'0000000000000003'"] {
        seen_until(&dump, seen);
        let before = std::fs::read(dump.root.join("chroma.sqlite3")).unwrap();
        let outcome = read(&dump.root, "tiny").unwrap();
        let text = |id: &str| outcome.by_id()[id].metadata.clone().unwrap_or_default();
        let ids: Vec<_> = outcome.records.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["old", "untouched", "new", "upserted"]);
        assert_eq!(text("old"), r#"{"added":0.5,"kept":1,"list":["b","a","b"]}"#);
        assert_eq!(text("new"), r#"{"b":true,"f":1.0,"i":9007199254740993}"#);
        assert_eq!(text("upserted"), r#"{"s":"second"}"#);
        assert_eq!(outcome.by_id()["new"].document.as_deref(), Some("text é"));
        assert_eq!(outcome.by_id()["upserted"].vector, B.map(|v| v.to_vec()));
        assert_eq!(outcome.ledger.live, Some(4));
        assert!(outcome.notes[0].contains("the last 8 writes to ids and metadata of collection `tiny`"));
        assert!(std::fs::read(dump.root.join("chroma.sqlite3")).unwrap() == before);
    }
    let listed = list(&dump.root).unwrap().into_iter().find(|info| info.name == "tiny").unwrap();
    assert_eq!(listed.records, tranship_connector::Count::Exact(4));
}

#[test]
fn a_write_that_cannot_be_applied_is_an_error_or_is_left_out() {
    let dump = queue_of(&[(0, "a", A), (0, "b", B)], &["a"]);
    seen_until(&dump, "1");
    for (metadata, reason) in [
        (r#"{"i": 9223372036854775808}"#, "has metadata in embeddings_queue row 2 that hold an odd value of \"i\""),
        (r#"{"f": NaN}"#, "has metadata in embeddings_queue row 2 that are no JSON object: expected value"),
    ] {
        with_metadata(&dump, 2, metadata);
        let error = read(&dump.root, "tiny").unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        let outcome = read_with(&dump.root, &tolerant("tiny"), 1 << 20, 64 << 20).unwrap();
        assert_eq!((outcome.records.len(), outcome.notes.len()), (1, 3), "{:?}", outcome.notes);
    }
}

#[test]
fn records_without_a_vector_are_an_error_or_null_vectors() {
    let dump = queue_of(&[(0, "a", A), (0, "c", B)], &["a", "b"]);
    let error = read(&dump.root, "tiny").unwrap_err();
    assert!(
        error.to_string().starts_with(
            "chroma.sqlite3 and its index do not belong together: collection `tiny`: records without a vector: 1 (b); \
             vectors without a record: 1 (segment "
        ),
        "{error}"
    );
    let outcome = read_with(&dump.root, &tolerant("tiny"), 1 << 20, 64 << 20).unwrap();
    assert_eq!(outcome.notes.len(), 1);
    assert_eq!(outcome.by_id()["b"].vector, None);
    assert_eq!(outcome.by_id()["a"].vector, A.map(|v| v.to_vec()));
    assert_eq!((outcome.ledger.raw, outcome.ledger.deleted), (Some(3), 1));
}

#[test]
fn vectors_of_no_record_are_left_out_with_a_note() {
    let dump = queue_of(&[(0, "a", A), (0, "rolled back", B)], &["a"]);
    let outcome = read(&dump.root, "tiny").unwrap();
    assert_eq!(outcome.records.len(), 1);
    assert_eq!(outcome.notes, ["collection `tiny`: vectors without a record were left out, as Chroma does: 1"]);
    assert_eq!((outcome.ledger.raw, outcome.ledger.live, outcome.ledger.deleted), (Some(2), Some(1), 1));
}

#[test]
fn an_index_ahead_of_a_rolled_back_database_is_read_with_a_note() {
    let dump = dump("chroma-0.5.23");
    let [metadata, vectors] = ["METADATA", "VECTOR"].map(|scope| segment(&dump.root, "l2_32", scope));
    let connection = rusqlite::Connection::open(dump.root.join("chroma.sqlite3")).unwrap();
    let sql = "SELECT seq_id FROM max_seq_id WHERE segment_id = ?1";
    let indexed: [u8; 8] = connection.query_row(sql, [&vectors], |row| row.get(0)).unwrap();
    let indexed = i64::from_be_bytes(indexed);
    execute(
        &dump.root,
        &format!(
            "DELETE FROM embeddings WHERE segment_id = '{metadata}' \
             AND embedding_id IN (SELECT id FROM embeddings_queue WHERE seq_id > {indexed} AND topic LIKE \
             '%/' || (SELECT id FROM collections WHERE name = 'l2_32')); DELETE FROM embeddings_queue; UPDATE max_seq_id SET seq_id = 7 WHERE segment_id = '{metadata}'"
        ),
    );
    let outcome = read(&dump.root, "l2_32").unwrap();
    assert!(outcome.records.len() > 2000 && outcome.rejects.is_empty());
    assert!(outcome.notes[0].ends_with("of which the database took back those after 7"), "{:?}", outcome.notes);
}

#[test]
fn a_collection_that_never_got_its_segments_is_empty_and_others_are_read() {
    let dump = dump("chroma-1.5.9");
    let of = |name: &str| {
        format!("DELETE FROM segments WHERE collection = (SELECT id FROM collections WHERE name = '{name}')")
    };
    execute(&dump.root, &of("empty"));
    execute(&dump.root, &format!("{} AND scope = 'VECTOR'", of("cos64")));
    assert_eq!(list(&dump.root).unwrap().len(), 5);
    assert_eq!(read(&dump.root, "tiny").unwrap().records.len(), 2);
    let empty = read(&dump.root, "empty").unwrap();
    assert_eq!((empty.records.len(), empty.notes.len()), (0, 1));
    let error = read(&dump.root, "cos64").unwrap_err();
    assert!(error.to_string().ends_with("gives collection `cos64` 0 segments of scope VECTOR, not one"), "{error}");
    execute(&dump.root, &of("tiny"));
    let error = read(&dump.root, "tiny").unwrap_err();
    assert!(
        error.to_string().ends_with("gives collection `tiny` no segments but writes in embeddings_queue"),
        "{error}"
    );
}

#[test]
fn bad_queued_vectors_are_rejects_with_their_place() {
    let dump = queue_of(
        &[(0, "good", A), (0, "nan", Some([f32::NAN, 0.0, 0.0])), (0, "short", A), (0, "ints", A), (0, "text", A)],
        &["good", "nan", "short", "ints", "text"],
    );
    execute(
        &dump.root,
        "UPDATE embeddings_queue SET vector = x'00000000' WHERE id = 'short'; \
         UPDATE embeddings_queue SET encoding = 'INT32' WHERE id = 'ints'; \
         UPDATE embeddings_queue SET vector = 'text' WHERE id = 'text';",
    );
    let outcome = read(&dump.root, "tiny").unwrap();
    assert_eq!(outcome.records.len(), 1);
    let rejects: Vec<_> =
        outcome.rejects.iter().map(|r| format!("{:?} {}: {}", r.id.as_deref(), r.place, r.reason)).collect();
    assert_eq!(
        rejects,
        [
            "Some(\"nan\") chroma.sqlite3 embeddings.id 900001, vector in embeddings_queue.seq_id 2: vector: NaN or infinity",
            "Some(\"short\") chroma.sqlite3 embeddings.id 900002, vector in embeddings_queue.seq_id 3: the queued vector has 4 bytes, 3 dimensions have 12",
            "Some(\"ints\") chroma.sqlite3 embeddings.id 900003, vector in embeddings_queue.seq_id 4: the queued vector has the encoding Some(\"INT32\"), only FLOAT32 is known",
            "Some(\"text\") chroma.sqlite3 embeddings.id 900004, vector in embeddings_queue.seq_id 5: the queued vector is no blob",
        ]
    );
}

#[test]
fn metadata_keeps_its_types() {
    let dump = queue_of(&[(0, "a", A), (0, "b", A), (0, "c", A), (0, "d", A)], &["a", "b", "c", "d"]);
    execute(
        &dump.root,
        r#"INSERT INTO embedding_metadata (id, key, string_value, int_value, float_value, bool_value) VALUES
           (900000, 'whole', NULL, NULL, 1.0, NULL), (900000, 'big', NULL, 9007199254740993, NULL, NULL),
           (900000, 'nan', NULL, NULL, NULL, NULL), (900000, 'inf', NULL, NULL, 9e999, NULL),
           (900000, 'low', NULL, NULL, -9e999, NULL), (900000, 'yes', NULL, NULL, NULL, 1),
           (900000, 'chroma:document', 'text "quoted"', NULL, NULL, NULL), (900000, 'chroma:uri', 'file:a', NULL, NULL, NULL),
           (900000, 'tiny', NULL, NULL, 1e-300, NULL), (900000, '', 'empty key', NULL, NULL, NULL),
           (900002, 'twice', 'x', 1, NULL, NULL), (900003, 'both', 'x', NULL, NULL, NULL);
           INSERT INTO embedding_metadata_array (id, key, string_value, int_value, float_value, bool_value) VALUES
           (900000, 'list', 'b', NULL, NULL, NULL), (900000, 'ones', NULL, NULL, 1, NULL), (900000, 'list', 'a', NULL, NULL, NULL),
           (900000, 'flags', NULL, NULL, NULL, 0), (900003, 'both', 'y', NULL, NULL, NULL);"#,
    );
    let outcome = read(&dump.root, "tiny").unwrap();
    let records = outcome.by_id();
    assert_eq!(
        records["a"].metadata.as_deref(),
        Some(
            r#"{"":"empty key","big":9007199254740993,"chroma:uri":"file:a","flags":[false],"inf":{"$float":"inf"},"list":["b","a"],"low":{"$float":"-inf"},"nan":null,"ones":[1.0],"tiny":1e-300,"whole":1.0,"yes":true}"#
        )
    );
    assert_eq!(records["a"].document.as_deref(), Some(r#"text "quoted""#));
    assert_eq!((&records["b"].metadata, &records["b"].document), (&None, &None));
    let reasons: Vec<_> = outcome.rejects.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(reasons, ["metadata key \"twice\" has several values", "metadata key \"both\" stands twice"]);
}

#[test]
fn metadata_of_the_first_0_4_without_booleans_is_read() {
    let dump = dump("chroma-0.4.24");
    execute(&dump.root, "ALTER TABLE embedding_metadata DROP COLUMN bool_value");
    assert_eq!(read(&dump.root, "tiny").unwrap().records.len(), 2);
}

#[test]
fn collections_of_the_same_name_are_told_apart_by_tenant_and_database() {
    let dump = dump("chroma-1.5.9");
    execute(
        &dump.root,
        "INSERT INTO tenants VALUES ('acme'); INSERT INTO databases VALUES ('d2', 'prod', 'acme'); \
         INSERT INTO collections SELECT 'other', name, dimension, 'd2', config_json_str, schema_str FROM collections WHERE name = 'empty'; \
         INSERT INTO segments VALUES ('00000000-0000-0000-0000-00000000000a', 'urn:chroma:segment/vector/hnsw-local-persisted', 'VECTOR', 'other'), \
         ('00000000-0000-0000-0000-00000000000b', 'urn:chroma:segment/metadata/sqlite', 'METADATA', 'other');",
    );
    let names: Vec<_> = list(&dump.root).unwrap().into_iter().map(|i| i.name).collect();
    assert_eq!(
        names,
        ["acme/prod/empty", "cos64", "default_tenant/default_database/empty", "ip_16_bigsync", "l2_32", "tiny"]
    );
    assert_eq!(read(&dump.root, "acme/prod/empty").unwrap().records.len(), 0);
    assert_eq!(read(&dump.root, "default_tenant/default_database/tiny").unwrap().records.len(), 2);
    let error = read(&dump.root, "empty").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn dimensions_are_found_where_the_catalogue_has_none() {
    let dump = dump("chroma-1.5.9");
    let expected = ["l2_32", "tiny"].map(|name| read(&dump.root, name).unwrap().records);
    for none in ["NULL", "0"] {
        execute(&dump.root, &format!("UPDATE collections SET dimension = {none}"));
        assert!(["l2_32", "tiny"].map(|name| read(&dump.root, name).unwrap().records) == expected);
    }
    execute(&dump.root, "UPDATE embeddings_queue SET vector = x'00' WHERE vector IS NOT NULL");
    let outcome = read(&dump.root, "tiny").unwrap();
    assert_eq!((outcome.records.len(), outcome.rejects.len()), (0, 2));
    execute(&dump.root, "UPDATE collections SET dimension = 4000000000");
    assert_eq!(read(&dump.root, "tiny").unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn too_little_memory_is_a_limit_that_names_what_would_do() {
    let dump = dump("chroma-1.5.9");
    let error = read_with(&dump.root, &options("l2_32"), 1 << 20, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.to_string(), "locating the vectors of collection `l2_32` takes 6 MiB, 1 MiB are allowed");
    assert_eq!(error.next_step(), Some("give it at least 6 MiB (--memory)"));
    assert_eq!(read_with(&dump.root, &options("l2_32"), 1 << 20, 6 << 20).unwrap().records.len(), 2751);
}

#[test]
fn the_default_ef_search_of_a_directory_is_that_of_the_newest_version_that_wrote_it() {
    let dump = dump("chroma-0.5.23");
    let ef_search = |name: &str| {
        let info = list(&dump.root).unwrap().into_iter().find(|info| info.name == name).unwrap();
        match info.schema.vectors[0].index {
            Some(IndexSpec::Hnsw { ef_search, .. }) => ef_search,
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!(ef_search("l2_32"), Some(10));
    execute(
        &dump.root,
        r#"UPDATE collections SET config_json_str = '{"hnsw_configuration": {"ef_search": 100}}' WHERE name = 'tiny'"#,
    );
    assert_eq!(ef_search("l2_32"), Some(100));
    let metadata = "INSERT INTO segment_metadata (segment_id, key, int_value) SELECT id, 'hnsw:search_ef', 100 FROM segments \
                    WHERE scope = 'VECTOR' AND collection = (SELECT id FROM collections WHERE name = 'tiny')";
    execute(&dump.root, metadata);
    assert_eq!((ef_search("l2_32"), ef_search("tiny")), (Some(10), Some(100)));
}

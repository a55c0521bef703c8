//! Dumps whose rows would go missing, or come from nowhere, without a word.

use std::path::Path;

use serde_json::json;
use tranship_connector::{Count, ErrorKind};
use tranship_provider_pgvector::CONNECTOR;

use crate::reading::{file, list, load, options};
use crate::variants::gzip;

const CREATE: &str = "CREATE TABLE public.t (id integer NOT NULL PRIMARY KEY, e public.vector(2), doc text);\n";

/// The ids of the rows in `text` after the declaration, the same whether the dump is compressed or not.
fn ids(text: &str) -> Vec<String> {
    let text = format!("{CREATE}{text}");
    let mut found = Vec::new();
    for (name, bytes) in [("dump.sql", text.clone().into_bytes()), ("dump.sql.gz", gzip(text.as_bytes()))] {
        let (_dir, path) = file(name, bytes);
        let outcome = load(&path, &options(&[])).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(outcome.rejects.is_empty(), "{text}: {:?}", outcome.rejects);
        assert_eq!(outcome.ledger.raw, Some(outcome.records.len() as u64), "{text}");
        found.push(outcome.records.iter().map(|record| record.id.clone()).collect::<Vec<_>>());
    }
    assert_eq!(found[0], found[1], "{text}");
    found.remove(0)
}

fn refused(name: &str, bytes: impl AsRef<[u8]>) -> (ErrorKind, String) {
    let (_dir, path) = file(name, bytes);
    let error = load(&path, &options(&[])).expect_err("the dump cannot be read");
    (error.kind(), format!("{error}: {}", error.next_step().unwrap_or_default()))
}

#[test]
fn rows_in_the_bodies_of_routines_and_views_are_not_rows_of_the_dump() {
    for text in [
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql\n    BEGIN ATOMIC\n INSERT INTO public.t (id) VALUES (8);\n SELECT CASE 1 WHEN 1 THEN 2 END;\n INSERT INTO public.t VALUES (9);\nEND;\nINSERT INTO public.t VALUES (1, '[1,2]', 'a');",
        "INSERT INTO public.t VALUES (1, '[1,2]', 'a');\nCREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO public.t VALUES (9); END;",
        "CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql AS $_$\nBEGIN\nCOPY public.t FROM stdin;\nINSERT INTO public.t VALUES (9);\nEND;\n$_$;\nINSERT INTO public.t VALUES (1, '[1,2]', 'a');",
        "CREATE RULE r AS ON INSERT TO u DO ALSO (INSERT INTO public.t VALUES (8); INSERT INTO public.t VALUES (9););\nINSERT INTO public.t VALUES (1, '[1,2]', 'a');",
    ] {
        assert_eq!(ids(text), ["1"], "{text}");
    }
    let text = "INSERT INTO public.t VALUES (1, '[1,2]', 'a');\nCREATE VIEW v AS VALUES (8, '[8,8]', 'x'), (9, '[9,9]', 'y');\n\
        INSERT INTO public.t VALUES (2, '[1,2]', 'a');";
    assert_eq!(ids(text), ["1", "2"]);
}

#[test]
fn comments_and_a_byte_order_mark_hide_no_rows() {
    let text = "INSERT INTO public.t VALUES (1, '[1,2]', 'a'), /* two */ (2, '[1,2]', 'b') -- (3\n, /* /* ; */ ' */\n(4, '[1,2]', 'c');";
    assert_eq!(ids(text), ["1", "2", "4"]);
    let (_dir, path) = file("bom.sql", format!("\u{feff}{CREATE}INSERT INTO public.t VALUES (1, '[1,2]', 'a');"));
    assert_eq!(load(&path, &options(&[])).unwrap().records.len(), 1);
    let (kind, text) = refused(
        "bom.sql",
        format!("\u{feff}-- PostgreSQL database dump\n{CREATE}COPY public.t (id, e, doc) FROM stdin;\n\\.\n"),
    );
    assert_eq!(kind, ErrorKind::Damaged, "{text}");
}

#[test]
fn rows_that_are_elsewhere_are_asked_for() {
    for text in [
        "COPY public.t (id, e, doc) FROM '$$PATH$$/3452.dat';\n",
        "\\copy public.t from 'rows.csv' csv\n",
        "INSERT INTO public.t (id, e, doc) SELECT * FROM (VALUES (1, '[1,2]'::vector, 'a')) x;",
    ] {
        let (kind, text) = refused("restore.sql", format!("{CREATE}{text}"));
        assert_eq!(kind, ErrorKind::NotRecognised, "{text}");
        assert!(text.contains("public.t cannot be read"), "{text}");
    }
}

#[test]
fn rows_that_were_left_out_are_no_empty_table() {
    let other = "COPY public.u (id) FROM stdin;\n1\n\\.\n";
    for text in [CREATE.to_owned(), format!("{CREATE}{other}")] {
        let (_dir, path) = file("schema.sql", &text);
        assert_eq!(list(&path).unwrap()[0].records, Count::Unknown, "{text}");
        let (kind, message) = refused("schema.sql", &text);
        assert_eq!(kind, ErrorKind::NotRecognised);
        assert!(message.contains("left out") && message.contains("--schema-only"), "{message}");
    }
    let parts = "CREATE TABLE p (id int PRIMARY KEY, e vector(1)) PARTITION BY LIST (id);\nCREATE TABLE a (id int, e vector(1));\n\
        ALTER TABLE ONLY p ATTACH PARTITION a FOR VALUES IN (1);\n";
    assert!(refused("parts.sql", parts).1.contains("left out"));
    assert!(ids("COPY public.t (id, e, doc) FROM stdin;\n\\.\n").is_empty());
    assert!(ids("CREATE TABLE public.u (id int);\nINSERT INTO public.u VALUES (1);\n").is_empty());
}

#[test]
fn a_dump_that_was_cut_before_another_one_begins_is_truncated() {
    let begun = "--\n-- PostgreSQL database dump\n--\n\n";
    let whole = format!(
        "{begun}{CREATE}COPY public.t (id, e, doc) FROM stdin;\n\\.\n\n--\n-- PostgreSQL database dump complete\n--\n"
    );
    let (kind, text) = refused("two.sql", format!("{begun}CREATE TABLE u (id int);\n{whole}"));
    assert_eq!(kind, ErrorKind::Damaged, "{text}");
    let (_dir, path) = file("two.sql", format!("{whole}{}", whole.replace("public.t", "public.u")));
    assert_eq!(list(&path).unwrap().len(), 2);
}

#[test]
fn utf_16_of_powershell_is_named() {
    for name in ["dump.sql", "dump.txt"] {
        let bytes: Vec<u8> = format!("\u{feff}{CREATE}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (kind, text) = refused(name, bytes);
        assert_eq!(kind, ErrorKind::NotRecognised);
        assert!(text.contains("UTF-16") && text.contains("pg_dump -f"), "{text}");
    }
}

#[test]
fn tables_of_one_name_in_several_schemas_stay_apart() {
    let text = "CREATE TABLE a.t (id int, e vector(1));\nCREATE TABLE b.t (id int, e vector(1));\n\
        COPY a.t (id, e) FROM stdin;\n1\t[1]\n\\.\nCOPY b.t (id, e) FROM stdin;\n2\t[2]\n\\.\nCOPY a.t (id, e) FROM stdin;\n3\t[3]\n\\.\n";
    let (_dir, path) = file("s.sql", text);
    for (name, expected) in [("a.t", vec!["1", "3"]), ("b.t", vec!["2"])] {
        let outcome = load(&path, &options(&[("collection", name)])).unwrap();
        assert_eq!(outcome.records.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), expected);
    }
    assert!(load(&path, &options(&[])).is_err() && load(&path, &options(&[("collection", "t")])).is_err());
}

#[test]
fn a_header_says_where_its_columns_are_whatever_the_order_they_are_named_in() {
    let (_dir, path) = file("t.tsv", "doc\tid\te\na\t1\t[1,2]\n");
    let outcome = load(&path, &options(&[("columns", "id:int4,e:vector(2),doc:text")])).unwrap();
    assert_eq!(outcome.records.len(), 1);
    assert_eq!((outcome.records[0].id.as_str(), outcome.records[0].json()), ("1", json!({ "doc": "a" })));
}

#[test]
fn quotes_that_are_not_doubled_are_rejects() {
    let (_dir, path) = file("t.csv", "1,\"[1,2]\",\"C:\\dir\\\"\n2,\"[1,2]\",\"say \\\"hi\\\" now\"\n");
    let outcome = load(&path, &options(&[("columns", "id:int4,e:vector(2),doc:text")])).unwrap();
    assert_eq!((outcome.records.len(), outcome.rejects.len()), (1, 1));
    assert!(outcome.rejects[0].reason.contains("must be doubled"), "{}", outcome.rejects[0].reason);
    assert_eq!(outcome.records[0].json()["doc"], "C:\\dir\\");
}

#[test]
fn a_table_far_behind_the_beginning_is_told() {
    let long = "x".repeat(1 << 20);
    let rows: String = (0..65).map(|id| format!("{id}\t[1,2]\t{long}\n")).collect();
    let text = format!(
        "{CREATE}COPY public.t (id, e, doc) FROM stdin;\n{rows}\\.\n\n\\connect other\n\nCREATE TABLE public.far (id int, e public.vector(1));\n\
         COPY public.far (id, e) FROM stdin;\n1\t[1]\n\\.\n"
    );
    let (_dir, path) = file("all.sql", text);
    let error = load(&path, &options(&[])).expect_err("two tables");
    assert!(error.to_string().contains("2 tables with vectors"), "{error}");
    let outcome = load(&path, &options(&[("collection", "t")])).unwrap();
    assert_eq!(outcome.records.len(), 65);
    assert!(outcome.notes.iter().any(|note| note.contains("public.far")), "{:?}", outcome.notes);
}

#[test]
fn a_text_about_dumps_is_no_dump() {
    let probe = |name: &str, text: &str| {
        let (_dir, path) = file(name, text);
        (CONNECTOR.probe)(Path::new(&path))
    };
    assert_eq!(probe("a.jsonl", "{\"id\":\"1\",\"document\":\"-- PostgreSQL database dump\"}\n"), None);
    assert_eq!(probe("notes.md", "See -- PostgreSQL database dump complete\n"), None);
    assert_eq!(probe("a.txt", "--\r\n-- PostgreSQL database dump\r\n--\r\n"), Some(95));
}

#[test]
fn one_table_of_two_databases_is_not_read_with_the_columns_of_the_other() {
    let text = "CREATE TABLE t (id int, e vector(1), a text);\nINSERT INTO t VALUES (1, '[1]', 'x');\n\\connect other\n\
        CREATE TABLE t (id int, e vector(1), b text);\n";
    let (kind, message) = refused("all.sql", text);
    assert_eq!(kind, ErrorKind::NotRecognised);
    assert!(message.contains("creates t twice") && message.contains("pg_dumpall"), "{message}");
    let (_dir, path) = file(
        "all.sql",
        text.replace("CREATE TABLE t (id int, e vector(1), b", "CREATE TABLE IF NOT EXISTS t (id int, e vector(1), b"),
    );
    assert_eq!(load(&path, &options(&[])).unwrap().records[0].json(), json!({ "a": "x" }));
}

#[test]
fn columns_that_nothing_names_are_asked_for() {
    let (kind, message) = refused("data.sql", "INSERT INTO public.t VALUES (1, '[1,2]', 'a');\n");
    assert_eq!(kind, ErrorKind::NotRecognised);
    assert!(message.contains("names the columns of public.t") && message.contains("--column-inserts"), "{message}");
    let (_dir, path) = file("data.sql", "INSERT INTO public.t VALUES (1, '[1,2]', 'a');\n");
    assert!(list(&path).unwrap()[0].notes[0].contains("names the columns"));
}

#[test]
fn a_first_look_does_not_say_that_there_are_no_rows_where_it_did_not_look() {
    let long = "x".repeat(33 << 20);
    let insert = format!("{CREATE}INSERT INTO public.t VALUES (1, '[1,2]', '{long}'),\n(2, '[1,2]', '{long}');\n");
    let (_dir, path) = file("long.sql", &insert);
    let info = list(&path).unwrap().remove(0);
    assert_eq!(info.records, Count::Unknown);
    assert!(!info.notes.iter().any(|note| note.contains("no rows")), "{:?}", info.notes);
    assert_eq!(load(&path, &options(&[])).unwrap().records.len(), 2);
    let longer = format!(
        "{}, (3, NULL, '{long}'), (4, NULL, '{long}'), (5, NULL, '{long}');\n",
        insert.trim_end().trim_end_matches(';')
    );
    let (kind, message) = refused("long.sql.gz", gzip(longer.as_bytes()));
    assert_eq!(kind, ErrorKind::Limit);
    assert!(message.contains("an INSERT statement is longer") && message.contains("decompress"), "{message}");
}

#[test]
fn rows_that_are_changed_later_are_not_passed_off_as_they_were() {
    let rows = "COPY public.t (id, e, doc) FROM stdin WITH (FREEZE);\n1\t[1,2]\ta\n\\.\n";
    for change in ["DELETE FROM ONLY public.t WHERE id = 1;", "update public.t set doc = 'b';", "TRUNCATE public.t;"] {
        let (kind, message) = refused("changed.sql", format!("{CREATE}{rows}{change}\n"));
        assert_eq!(kind, ErrorKind::NotRecognised);
        assert!(message.contains("public.t cannot be read") && message.contains("behind its rows"), "{message}");
        assert_eq!(
            ids(&format!("{change}\n{rows}UPDATE pg_catalog.pg_index SET indisvalid = false;\nDELETE FROM other.t;\n")),
            ["1"]
        );
    }
}

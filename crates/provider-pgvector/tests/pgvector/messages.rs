//! What is refused, and what the refusal says.

use tranship_connector::{Error, ErrorKind, Locator, OpenOptions};
use tranship_provider_pgvector::CONNECTOR;

use crate::reading::{file, load, options, stored};
use crate::variants::Maker;

fn refused(name: &str, bytes: impl AsRef<[u8]>, pairs: &[(&str, &str)]) -> Error {
    let (_dir, path) = file(name, bytes);
    load(&path, &options(pairs)).expect_err(name)
}

fn check(error: &Error, kind: ErrorKind, message: &str, hint: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(message), "{error}");
    assert!(error.next_step().unwrap_or("").contains(hint), "{error}: {:?}", error.next_step());
}

fn list_of(path: &std::path::Path) -> tranship_connector::Result<Vec<tranship_connector::CollectionInfo>> {
    (CONNECTOR.list.unwrap())(&Locator { provider: None, path: path.to_owned() }, &OpenOptions::default())
}

const TABLE: &str =
    "CREATE TABLE t (a int, b int, e vector(1), g vector(1) GENERATED ALWAYS AS (e) STORED, PRIMARY KEY (a, b));\n";

#[test]
fn unclear_choices_list_what_there_is() {
    let (_dir, root) = stored();
    let toc = root.join("dirfmt/toc.dat");
    let folder = format!("give the folder: pgvector:{}", root.join("dirfmt").display());
    for error in [load(&toc, &options(&[])).unwrap_err(), list_of(&toc).unwrap_err()] {
        check(&error, ErrorKind::NotRecognised, "only the table of contents", &folder);
    }
    let error = load(&root.join("plain.sql"), &options(&[])).unwrap_err();
    check(&error, ErrorKind::Usage, "holds 2 tables with vectors", "app.Docs ,odd, public.plain");
    let error = load(&root.join("plain.sql"), &options(&[("collection", "nope")])).unwrap_err();
    check(&error, ErrorKind::Usage, "no table `nope`", "public.plain");
    let error = refused("t.sql", TABLE, &[]);
    check(&error, ErrorKind::Usage, "several columns: a, b", "--id-column b");
    let error = refused("t.sql", TABLE, &[("id", "a"), ("vector", "x")]);
    check(&error, ErrorKind::Usage, "no column \"x\"", "a, b, e");
    let error = refused("t.sql", TABLE, &[("id", "a"), ("vector", "g")]);
    check(&error, ErrorKind::Usage, "is generated", "a, b, e");
    let error = refused("t.sql", TABLE, &[("id", "a"), ("vector", "b")]);
    check(&error, ErrorKind::Usage, "not a vector", "columns");
    let error = refused("t.sql", TABLE, &[("id", "a"), ("document", "a")]);
    check(&error, ErrorKind::Usage, "cannot be the document and the id", "");
    let error = refused("t.sql", TABLE, &[("id", "a"), ("metadata", "b")]);
    check(&error, ErrorKind::Usage, "not json", "");
    let error = refused("t.sql", "CREATE TABLE t (a int);\n", &[]);
    check(&error, ErrorKind::Usage, "no table with a vector column", "t");
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let latin = "SET client_encoding = 'LATIN1';\nCREATE TABLE t (id int, e vector(1));\n";
    check(&refused("t.sql", latin, &[]), ErrorKind::NotRecognised, "encoding LATIN1", "--encoding=UTF8");
    let query = "CREATE TABLE t (id int, e vector(1));\nINSERT INTO t SELECT 1, '[1]';\n";
    check(&refused("t.sql", query, &[]), ErrorKind::NotRecognised, "INSERT .. SELECT", "pg_dump");
    let csv = "CREATE TABLE t (id int, e vector(1));\nCOPY t FROM stdin WITH (FORMAT csv);\n1,[1]\n\\.\n";
    check(&refused("t.sql", csv, &[]), ErrorKind::NotRecognised, "not in the text format", "pg_dump");
    let two = "CREATE TABLE t (id int, e vector(1));\nCOPY t FROM stdin;\n1\t[1]\n\\.\n\\connect other\nCOPY t FROM stdin;\n1\t[1]\n\\.\n";
    check(&refused("t.sql", two, &[]), ErrorKind::NotRecognised, "several databases", "pg_dump instead of pg_dumpall");
    let old = Maker::custom(9, 0).archive(b"");
    check(&refused("a.dump", &old, &[]), ErrorKind::NotRecognised, "archive version 1.9", "pg_restore");
    let oids = b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0\xff\xff";
    check(&refused("a.bin", oids, &[("columns", "id:int8")]), ErrorKind::NotRecognised, "WITH OIDS", "without oids");
}

#[test]
fn copy_files_say_what_they_need() {
    let binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    check(&refused("a.bin", binary, &[]), ErrorKind::Usage, "of 2 columns without their names", "id:int8");
    check(
        &refused("a.bin", binary, &[("columns", "id,e")]),
        ErrorKind::Usage,
        "\"id\" of a COPY BINARY file needs a type",
        "",
    );
    check(&refused("a.bin", binary, &[("columns", "id:point,e:vector")]), ErrorKind::Usage, "binary form", "text");
    check(&refused("a.tsv", "1\t[1]\n", &[]), ErrorKind::Usage, "does not name them", "-o columns");
    check(&refused("a.tsv", "1\t[1]\n", &[("columns", "id")]), ErrorKind::Usage, "2 fields, `columns` names 1", "");
    check(
        &refused("a.tsv", "1\t[1]\n", &[("columns", "a"), ("format", "parquet")]),
        ErrorKind::Usage,
        "text, csv or binary",
        "",
    );
    check(
        &refused("a.csv", "id,e\n", &[("columns", "x"), ("header", "true")]),
        ErrorKind::Usage,
        "no column \"x\"",
        "id, e",
    );
    check(
        &refused("a.tsv", "1\t[1]\n2\t[2", &[("columns", "id,e")]),
        ErrorKind::Damaged,
        "truncated",
        "copy the dump again",
    );
}

#[test]
fn truncated_dumps_say_so() {
    let (_dir, root) = stored();
    for (form, keep) in [("plain.sql", 500_000), ("inserts.sql", 500_000), ("plain.sql", 985_800)] {
        let bytes = std::fs::read(root.join(form)).unwrap();
        let error = refused(form, &bytes[..keep], &[("collection", "app.Docs ,odd")]);
        check(&error, ErrorKind::Damaged, "truncated", "copy the dump again");
    }
    let bytes = std::fs::read(root.join("custom.dump")).unwrap();
    let error = refused("custom.dump", &bytes[..200_000], &[("collection", "app.Docs ,odd")]);
    check(&error, ErrorKind::Damaged, "cut short", "copy the dump again");
}

#[test]
fn a_directory_without_data_or_toc_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let error = load(dir.path(), &options(&[])).unwrap_err();
    check(&error, ErrorKind::NotRecognised, "has no toc.dat", "pg_dump -Fd");
    let maker = Maker { format: 5, ..Maker::custom(16, 1) };
    std::fs::write(dir.path().join("toc.dat"), maker.toc(0, "7.dat", "")).unwrap();
    let error = load(dir.path(), &options(&[])).unwrap_err();
    check(&error, ErrorKind::Damaged, "the data of table public.t is missing", "every file");
}

#[test]
fn a_pipe_is_refused() {
    let error = CONNECTOR.open.unwrap()(&Locator { provider: None, path: "-".into() }, &OpenOptions::default());
    check(&error.err().unwrap(), ErrorKind::Usage, "cannot come through a pipe", "file");
}

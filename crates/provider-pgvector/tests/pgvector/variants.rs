//! Dumps that no engine at hand writes, put together here: other archive versions and codecs, dialects of SQL, CSV.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tranship_collection::{IdKinds, Metric};
use tranship_testkit::reading::{Outcome, Vector};

use crate::reading::{by_value, file, load, options};

/// Writes archives of any version from the parts of a real one.
pub struct Maker {
    pub minor: u8,
    pub int_size: usize,
    pub off_size: usize,
    /// 1 custom, 3 tar, 5 directory.
    pub format: u8,
    /// From 1.15 the algorithm, before the level.
    pub compression: u8,
    pub piped: bool,
}

pub const CREATE: &str = "CREATE TABLE public.t (id integer NOT NULL, e public.vector(2), doc text);\n";
pub const COPY: &str = "COPY public.t (id, e, doc) FROM stdin;\n";
pub const ROWS: &str = "1\t[1,2]\ta\\tb\n2\t[3,4]\t\\N\n\\.\n\n\n";

impl Maker {
    pub fn custom(minor: u8, compression: u8) -> Self {
        Maker { minor, int_size: 4, off_size: 8, format: 1, compression, piped: false }
    }

    fn int(&self, value: i64, out: &mut Vec<u8>) {
        out.push(u8::from(value < 0));
        out.extend_from_slice(&value.unsigned_abs().to_le_bytes()[..self.int_size]);
    }

    fn text(&self, text: Option<&str>, out: &mut Vec<u8>) {
        self.int(text.map_or(-1, |text| text.len() as i64), out);
        out.extend_from_slice(text.unwrap_or("").as_bytes());
    }

    fn offset(&self, flag: u8, offset: u64, out: &mut Vec<u8>) {
        out.push(flag);
        out.extend_from_slice(&offset.to_le_bytes()[..self.off_size]);
    }

    /// An entry; `place` is appended as it is.
    fn entry(
        &self,
        id: i64,
        kind: &str,
        tag: &str,
        definition: &str,
        copy: Option<&str>,
        place: &[u8],
        out: &mut Vec<u8>,
    ) {
        self.int(id, out);
        self.int(1, out);
        self.text(Some("0"), out);
        self.text(Some("0"), out);
        self.text(Some(tag), out);
        self.text(Some(kind), out);
        if self.minor >= 11 {
            self.int(2, out);
        }
        self.text(Some(definition), out);
        self.text(Some(""), out);
        self.text(copy, out);
        self.text(Some("public"), out);
        self.text(None, out);
        if self.minor >= 14 {
            self.text(Some("heap"), out);
        }
        if self.minor >= 16 {
            self.int(114, out);
        }
        self.text(Some("postgres"), out);
        self.text(Some("false"), out);
        self.text(Some("1"), out);
        self.text(None, out);
        out.extend_from_slice(place);
    }

    /// Header and table of contents; the data of table `t` is at `offset` or in `file`.
    pub fn toc(&self, offset: u64, file: &str, extra: &str) -> Vec<u8> {
        let mut out = b"PGDMP".to_vec();
        out.extend_from_slice(&[1, self.minor, 0, self.int_size as u8, self.off_size as u8, self.format]);
        match self.minor {
            15.. => out.push(self.compression),
            _ => self.int(if self.compression == 0 { 0 } else { -1 }, &mut out),
        }
        for number in [1, 2, 3, 4, 5, 126, 0] {
            self.int(number, &mut out);
        }
        for text in ["db", "17.2", "17.2"] {
            self.text(Some(text), &mut out);
        }
        let (mut nothing, mut data) = (Vec::new(), Vec::new());
        match self.format {
            1 => {
                self.offset(3, 0, &mut nothing);
                self.offset(if self.piped { 1 } else { 2 }, if self.piped { 0 } else { offset }, &mut data);
            }
            _ => {
                self.text(Some(""), &mut nothing);
                self.text(Some(file), &mut data);
            }
        }
        self.int(4, &mut out);
        self.entry(3, "ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n", None, &nothing, &mut out);
        self.entry(5, "TABLE", "t", CREATE, None, &nothing, &mut out);
        self.entry(7, "TABLE DATA", "t", "", Some(COPY), &data, &mut out);
        let key = format!("ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);\n{extra}");
        self.entry(9, "CONSTRAINT", "t t_pkey", &key, None, &nothing, &mut out);
        out
    }

    /// A data block of chunks of seven bytes.
    pub fn block(&self, id: i64, data: &[u8], out: &mut Vec<u8>) {
        out.push(1);
        self.int(id, out);
        for chunk in data.chunks(7) {
            self.int(chunk.len() as i64, out);
            out.extend_from_slice(chunk);
        }
        self.int(0, out);
    }

    /// A block of large objects.
    fn objects(&self, out: &mut Vec<u8>) {
        out.push(3);
        self.int(4, out);
        for oid in [16_400, 16_401] {
            self.int(oid, out);
            self.int(5, out);
            out.extend_from_slice(b"hello");
            self.int(0, out);
        }
        self.int(0, out);
    }

    /// A custom archive with `data` as rows of table `t`, compressed already.
    pub fn archive(&self, data: &[u8]) -> Vec<u8> {
        let len = self.toc(0, "", "").len() as u64;
        let mut blocks = Vec::new();
        self.objects(&mut blocks);
        self.block(6, b"data of another table", &mut blocks);
        let offset = len + blocks.len() as u64;
        self.block(7, data, &mut blocks);
        [self.toc(offset, "", ""), blocks].concat()
    }
}

pub fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn lz4(data: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).unwrap()
}

fn check(what: &str, outcome: &Outcome) {
    assert_eq!(outcome.rejects.first(), None, "{what}");
    let rows: Vec<_> =
        outcome.records.iter().map(|r| (r.id.as_str(), r.dense("").unwrap().to_vec(), r.json())).collect();
    let expected = [("1", vec![1.0, 2.0], json!({ "doc": "a\tb" })), ("2", vec![3.0, 4.0], json!({ "doc": null }))];
    assert_eq!(rows, expected, "{what}");
    assert_eq!(outcome.schema.ids, IdKinds::Integer, "{what}");
}

fn read_bytes(name: &str, bytes: &[u8]) -> Outcome {
    let (_dir, path) = file(name, bytes);
    load(&path, &options(&[])).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn custom_archives_of_every_version_and_codec_are_read() {
    let rows = ROWS.as_bytes();
    let stored: [(u8, Vec<u8>); 4] = [(0, rows.to_vec()), (1, zlib(rows)), (2, lz4(rows)), (3, zstd(rows))];
    for minor in 10..=16u8 {
        for (compression, data) in stored.iter().filter(|(codec, _)| minor >= 15 || *codec < 2) {
            for (int_size, off_size, piped) in [(4, 8, false), (4, 8, true), (8, 4, false), (4, 4, true)] {
                let maker = Maker { int_size, off_size, piped, ..Maker::custom(minor, *compression) };
                let what = format!("1.{minor} codec {compression} piped {piped}");
                check(&what, &read_bytes("a.dump", &maker.archive(data)));
                check(&what, &read_bytes("a.dump.gz", &gzip(&maker.archive(data))));
            }
        }
    }
}

#[test]
fn directories_with_every_codec_are_read() {
    let rows = ROWS.as_bytes();
    let stored = [
        (0, "7.dat", rows.to_vec()),
        (1, "7.dat.gz", gzip(rows)),
        (2, "7.dat.lz4", lz4(rows)),
        (3, "7.dat.zst", zstd(rows)),
    ];
    for minor in [14, 15, 16] {
        for (compression, name, data) in stored.iter().filter(|(codec, ..)| minor >= 15 || *codec < 2) {
            let dir = tempfile::tempdir().unwrap();
            let maker = Maker { format: 5, ..Maker::custom(minor, *compression) };
            std::fs::write(dir.path().join("toc.dat"), maker.toc(0, "7.dat", "")).unwrap();
            std::fs::write(dir.path().join(name), data).unwrap();
            check(name, &load(dir.path(), &options(&[])).unwrap());
            let beside = tempfile::tempdir().unwrap();
            let tar = beside.path().join("whole.tar");
            let (parent, own) = (dir.path().parent().unwrap(), dir.path().file_name().unwrap());
            let made = std::process::Command::new("tar").arg("cf").arg(&tar).arg("-C").arg(parent).arg(own).status();
            assert!(made.unwrap().success());
            check("tar of a directory", &load(&tar, &options(&[])).unwrap());
        }
    }
}

const HEAD: &str = "-- a dump of ours\nSET client_encoding = 'UTF8';\n\
    CREATE TABLE public.t (id integer NOT NULL PRIMARY KEY, e public.vector(2), doc text);\n";

fn sql(text: &str) -> (TempDir, PathBuf) {
    file("dump.sql", format!("{HEAD}{text}"))
}

fn read_sql(text: &str) -> Outcome {
    let (_dir, path) = sql(text);
    load(&path, &options(&[])).unwrap()
}

#[test]
fn insert_statements_of_all_dialects_are_read() {
    for text in [
        "INSERT INTO public.t VALUES (1, '[1,2]', E'a\\tb');\nINSERT INTO public.t VALUES (2, '[3,4]', NULL);",
        "insert into public.t (doc, id, e) values ('a\tb', 1, '[1,2]'::vector), (NULL, 2, '[3,4]'::public.vector(2))\n;",
        "INSERT INTO \"public\".\"t\" (id, e, doc) OVERRIDING SYSTEM VALUE VALUES\n\t(1, CAST('[1,2]' AS vector), 'a\tb'),\n\t(2, '[3,4]', NULL)\nON CONFLICT DO NOTHING;",
        "BEGIN; INSERT INTO public.t VALUES (1, '[1,2]', $$a\tb$$); INSERT INTO public.t VALUES (2, '[3,4]', null); COMMIT;",
        "\\restrict abc\nINSERT INTO public.t (id, e, doc) VALUES (1, '[1,2]', 'a\tb');\nINSERT INTO public.t (id, doc, e) VALUES (2, NULL, '[3,4]');\n\\unrestrict abc\n",
    ] {
        check(text, &read_sql(text));
    }
    let text =
        "INSERT INTO public.t VALUES (1, '[1,2]', '\nINSERT INTO public.t VALUES (9, ''[9,9]'', '';'');\n--\n');";
    let outcome = read_sql(text);
    assert_eq!(outcome.records.len(), 1);
    assert_eq!(outcome.records[0].json()["doc"], "\nINSERT INTO public.t VALUES (9, '[9,9]', ';');\n--\n");
}

#[test]
fn plain_escapes_are_believed_where_the_dump_says_so() {
    let text = "SET standard_conforming_strings = off;\nINSERT INTO public.t VALUES (1, '[1,2]', 'it\\'s; a\\tb');";
    let outcome = read_sql(text);
    assert_eq!(outcome.records[0].json()["doc"], "it's; a\tb");
}

#[test]
fn copy_data_of_windows_and_of_postgresql_18_is_read() {
    let rows = "1\t[1,2]\ta\\tb\n2\t[3,4]\t\\N\n\\.\n";
    check("unix", &read_sql(&format!("COPY public.t (id, e, doc) FROM stdin;\n{rows}\nSELECT 1;\n")));
    let windows = format!("COPY public.t (id, e, doc) FROM stdin;\n{rows}").replace('\n', "\r\n");
    check("windows", &read_sql(&windows));
    check("no list", &read_sql(&format!("COPY public.t FROM stdin;\n{rows}")));
    check(
        "twice",
        &read_sql(
            "COPY public.t FROM stdin;\n1\t[1,2]\ta\\tb\n\\.\n\nCOPY public.t (doc, e, id) FROM stdin;\n\\N\t[3,4]\t2\n\\.",
        ),
    );
    let mixed = "COPY public.t FROM stdin;\n1\t[1,2]\ta\\tb\n\\.\nINSERT INTO public.t VALUES (2, '[3,4]', NULL);\n";
    let outcome = read_sql(mixed);
    assert_eq!(outcome.ledger.raw, Some(2));
    check("mixed", &outcome);
    let (_dir, path) = file("x.sql.zst", zstd(format!("{HEAD}{mixed}").as_bytes()));
    check("zstd", &load(&path, &options(&[])).unwrap());
    let (_dir, path) = file("x.sql.gz", gzip(format!("{HEAD}{mixed}").as_bytes()));
    check("gzip", &load(&path, &options(&[])).unwrap());
}

#[test]
fn old_dumps_name_their_schema_by_the_search_path() {
    let text = "SET search_path = app, pg_catalog;\nCREATE TABLE \"T\" (\"Id\" bigint, \"E\" vector(2));\n\
        COPY \"T\" (\"Id\", \"E\") FROM stdin;\n7\t[1,2]\n\\.\nALTER TABLE ONLY \"T\" ADD CONSTRAINT p PRIMARY KEY (\"Id\");\n\
        CREATE INDEX i ON \"T\" USING ivfflat (\"E\");";
    let (_dir, path) = file("old.sql", text);
    let outcome = load(&path, &options(&[])).unwrap();
    assert_eq!((outcome.schema.name.as_str(), outcome.records[0].id.as_str()), ("app.T", "7"));
    assert_eq!(outcome.schema.vectors[0].metric, Some(Metric::L2));
}

#[test]
fn csv_files_keep_null_apart_from_empty_and_quotes_apart_from_data() {
    let text = "id,embedding,document,meta\n1,\"[1,2]\",\"a, \"\"b\"\"\nc\",\"{\"\"k\"\": 1}\"\n2,,\"\",\n3,\"[3,4]\",,\"[]\"\n";
    let (_dir, path) = file("rows.csv", text);
    let outcome = load(&path, &options(&[])).unwrap();
    let rows: Vec<_> = outcome
        .records
        .iter()
        .map(|r| (r.id.as_str(), r.dense("").is_some(), r.document.as_deref(), r.json()))
        .collect();
    let expected = [
        ("1", true, Some("a, \"b\"\nc"), json!({ "meta": { "k": 1 } })),
        ("2", false, Some(""), json!({ "meta": null })),
        ("3", true, None, json!({ "meta": [] })),
    ];
    assert_eq!(rows, expected);
    assert_eq!(outcome.schema.ids, IdKinds::Integer);

    let text = "1;'[1,2]';NIL\n2;NIL;'NIL'\n";
    let (_dir, path) = file("rows.txt", text);
    let chosen = options(&[
        ("format", "csv"),
        ("columns", "id:text,e:vector,doc:text"),
        ("delimiter", ";"),
        ("quote", "'"),
        ("null", "NIL"),
    ]);
    let outcome = load(&path, &chosen).unwrap();
    let docs: Vec<Value> = outcome.records.iter().map(|r| r.json()["doc"].clone()).collect();
    assert_eq!(docs, [Value::Null, Value::from("NIL")]);
    assert_eq!(outcome.schema.ids, IdKinds::Text);
}

#[test]
fn types_that_nobody_declares_are_guessed() {
    let text = "1\t[1,2]\t{1:0.5}/3\t2.50\t{\"a\":1}\tx\n2\t\\N\t{}/3\t3\t[]\t[x\n";
    let (_dir, path) = file("rows.tsv", text);
    let outcome = load(&path, &options(&[("columns", "id,e,s,n,j,t")])).unwrap();
    assert_eq!(outcome.records[0].vectors["e"], Vector::Dense(vec![1.0, 2.0]));
    assert_eq!(outcome.records[0].vectors["s"], Vector::Sparse(vec![0], vec![0.5]));
    assert_eq!(outcome.records[1].metadata.as_deref(), Some(r#"{"n":3,"j":[],"t":"[x"}"#));
    assert!(outcome.notes.iter().any(|note| note.contains("guessed")), "{:?}", outcome.notes);
}

#[test]
fn the_metadata_column_can_be_the_metadata() {
    let text = "CREATE TABLE l (uuid uuid PRIMARY KEY, embedding vector, document text, cmetadata json, c int);\n\
        COPY l (uuid, embedding, document, cmetadata, c) FROM stdin;\n\
        a\t[1]\td\t{\"k\": [1, 2], \"z\":null}\t5\nb\t[1]\td\t{\"c\": 1}\t5\nc\t[1]\td\t\\N\t\\N\nd\t[1,2]\td\t[]\t5\n\\.\n";
    let (_dir, path) = file("l.sql", text);
    let outcome = load(&path, &options(&[("metadata", "cmetadata")])).unwrap();
    let kept: Vec<_> = outcome.records.iter().map(|r| (r.id.as_str(), r.metadata.as_deref().unwrap())).collect();
    assert_eq!(kept, [("a", r#"{"k":[1, 2],"z":null,"c":5}"#), ("c", r#"{"c":null}"#)]);
    let reasons: Vec<&str> = outcome.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    assert!(reasons[0].contains("\"c\" is also the name of a column"), "{reasons:?}");
    assert!(reasons[1].contains("not an object"), "{reasons:?}");
}

#[test]
fn partitions_and_children_belong_to_their_parent() {
    let text = "CREATE TABLE p (id int, e vector(1)) PARTITION BY RANGE (id);\nCREATE TABLE p1 (e vector(1), id int);\n\
        ALTER TABLE ONLY p ATTACH PARTITION p1 DEFAULT;\nCREATE TABLE c (extra text) INHERITS (p);\n\
        COPY p1 (e, id) FROM stdin;\n[1]\t1\n\\.\nCOPY c (id, e, extra) FROM stdin;\n2\t[2]\tx\n\\.\n";
    let (_dir, path) = file("p.sql", text);
    let outcome = load(&path, &options(&[])).unwrap();
    let rows: Vec<_> = outcome.records.iter().map(|r| (r.id.as_str(), r.json())).collect();
    assert_eq!(rows, [("1", json!({ "extra": null })), ("2", json!({ "extra": "x" }))]);
    let child = load(&path, &options(&[("collection", "c")])).unwrap();
    assert_eq!(child.records.len(), 1);
}

#[test]
fn splits_do_not_change_the_records() {
    let mut rows = String::new();
    for id in 0..20_000 {
        rows.push_str(&format!("{id}\t[{id},0.5]\trow {id}, \\\\ \\n \"q\"\n"));
    }
    let copy = format!("{HEAD}COPY public.t (id, e, doc) FROM stdin;\n{rows}\\.\n");
    let inserts: String = (0..20_000)
        .map(|id| format!("INSERT INTO public.t VALUES ({id}, '[{id},0.5]', E'row {id}, \\\\ \\n \"q\"');\n"))
        .collect();
    let csv: String = (0..20_000).map(|id| format!("{id},\"[{id},0.5]\",\"row {id}, \\ \n \"\"q\"\"\"\n")).collect();
    let forms: [(&str, Vec<u8>); 6] = [
        ("a.sql", copy.clone().into_bytes()),
        ("a.sql.gz", gzip(copy.as_bytes())),
        ("b.sql", format!("{HEAD}{inserts}").into_bytes()),
        ("b.sql.zst", zstd(format!("{HEAD}{inserts}").as_bytes())),
        ("a.csv", csv.into_bytes()),
        ("a.dump", Maker::custom(16, 1).archive(&zlib(format!("{rows}\\.\n\n\n").as_bytes()))),
    ];
    let mut first = None;
    for (name, bytes) in forms {
        let (_dir, path) = file(name, bytes);
        let chosen =
            if name == "a.csv" { options(&[("columns", "id:int4,e:vector(2),doc:text")]) } else { options(&[]) };
        let outcome = load(Path::new(&path), &chosen).unwrap();
        assert_eq!((outcome.records.len(), outcome.rejects.len()), (20_000, 0), "{name}");
        let values: Vec<_> = outcome.records.iter().map(by_value).collect();
        assert!(*first.get_or_insert_with(|| values.clone()) == values, "{name}");
    }
}

#[test]
fn row_numbers_are_the_same_however_the_rows_are_cut() {
    let rows: String =
        (0..9000).map(|id| format!("[{id},0.5]\trow {id} of some length so that there are several splits\n")).collect();
    let head = "CREATE TABLE t (e vector(2), doc text);\n";
    let inserts: String = (0..9000)
        .map(|id| {
            format!(
                "INSERT INTO t VALUES ('[{id},0.5]', 'row {id} of some length so that there are several splits');\n"
            )
        })
        .collect();
    let forms = [
        ("a.sql", format!("{head}COPY t FROM stdin;\n{rows}\\.\n").into_bytes()),
        ("a.sql.gz", gzip(format!("{head}COPY t FROM stdin;\n{rows}\\.\n").as_bytes())),
        ("b.sql", format!("{head}{inserts}").into_bytes()),
        ("b.sql.gz", gzip(format!("{head}{inserts}").as_bytes())),
        ("c.tsv", rows.clone().into_bytes()),
    ];
    for (name, bytes) in forms {
        let (_dir, path) = file(name, bytes);
        let chosen = if name == "c.tsv" { options(&[("columns", "e:vector,doc:text")]) } else { options(&[]) };
        let outcome = load(&path, &chosen).unwrap();
        assert_eq!(outcome.records.len(), 9000, "{name}");
        for (at, record) in outcome.records.iter().enumerate() {
            assert_eq!(
                (record.id.as_str(), record.dense("").unwrap()[0]),
                (at.to_string().as_str(), at as f32),
                "{name}"
            );
        }
        assert!(outcome.notes.iter().any(|note| note.contains("row numbers")), "{name}");
    }
}

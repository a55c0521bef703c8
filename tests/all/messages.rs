//! What a user reads when something is wrong: every message here is a snapshot, so that no wording changes unseen.
//!
//! To renew after a deliberate change: `INSTA_UPDATE=always cargo nextest run -p tranship-tests messages`, then read the
//! difference.

use std::fmt::Write;
use std::path::Path;

use tranship_testkit::{Tranship, fixtures};

/// Runs a case in `dir` and appends command, exit code and talk to `page`, without paths of this machine.
fn case(page: &mut String, dir: &Path, arguments: &str) {
    let words = arguments.split(' ').map(|word| word.replace("DIR", &dir.display().to_string()));
    let ran = Tranship::run(words);
    let clean = |text: &str| text.replace(&dir.display().to_string(), "DIR");
    writeln!(
        page,
        "$ tranship {arguments}\n{}{}exit {:?}\n",
        clean(&ran.stdout),
        clean(&ran.stderr),
        ran.code.unwrap_or(-1)
    )
    .unwrap();
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

const GOOD: &str = "{\"id\":\"a\",\"vector\":[1,2]}\n";

#[test]
fn messages_about_json_lines() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let cases = [
        ("dim", "{\"id\":\"b\",\"vector\":[1,2,3]}\n"),
        ("nan", "{\"id\":\"b\",\"vector\":[1,NaN]}\n"),
        ("null", "{\"id\":\"b\",\"vector\":[1,null]}\n"),
        ("large", "{\"id\":\"b\",\"vector\":[1,1e39]}\n"),
        ("noid", "{\"vector\":[1,2]}\n"),
        ("key", "{\"id\":\"b\",\"vector\":[1,2],\"extra\":1}\n"),
        ("twice", "{\"id\":\"b\",\"vector\":[1,2],\"metadata\":{\"k\":1,\"k\":2}}\n"),
        ("surrogate", "{\"id\":\"b\",\"vector\":[1,2],\"metadata\":{\"k\":\"\\ud800\"}}\n"),
        ("text", "hello\n"),
        ("cut", "{\"id\":\"b\",\"vec"),
        ("same", GOOD),
    ];
    let mut page = String::new();
    for (name, second) in cases {
        write(dir, &format!("{name}.jsonl"), &format!("{GOOD}{second}"));
        case(&mut page, dir, &format!("convert jsonl:DIR/{name}.jsonl archive:DIR/out.tranship"));
    }
    insta::assert_snapshot!(page);
}

#[test]
fn messages_about_places_and_options() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "notes.txt", "nothing");
    write(dir, "good.jsonl", GOOD);
    std::fs::create_dir(dir.join("empty.tranship")).unwrap();
    fixtures::chroma("1.5.9", dir);
    let mut page = String::new();
    for arguments in [
        "inspect DIR/nowhere",
        "inspect DIR/notes.txt",
        "inspect chromma:DIR",
        "inspect archive:DIR/empty.tranship",
        "verify DIR/good.jsonl",
        "convert DIR/good.jsonl DIR/out",
        "convert DIR/good.jsonl archive:-",
        "convert DIR/good.jsonl qdrant:DIR/out",
        "convert DIR/good.jsonl archive:DIR/empty.tranship",
        "convert DIR/good.jsonl archive:DIR/out.tranship --memory 1MiB",
        "convert DIR/good.jsonl archive:DIR/out.tranship --memory 100MiB",
        "convert chroma:DIR/chroma-1.5.9 archive:DIR/out.tranship",
        "convert chroma:DIR/chroma-1.5.9 archive:DIR/out.tranship --collection nope",
        "migrate DIR/good.jsonl archive:DIR/out",
        "migrate DIR/good.jsonl qdrant:",
        "inspect chroma:",
        "migrate jsonl:- qdrant:DIR/out",
        "recall DIR/good.jsonl DIR/good.jsonl",
        "verify DIR/good.jsonl DIR/good.jsonl --mapping DIR/notes.txt",
    ] {
        case(&mut page, dir, arguments);
    }
    insta::assert_snapshot!(page);
}

#[test]
fn a_dump_one_level_below_or_above_still_packed_or_cut_is_pointed_at() {
    let dump = fixtures::shared("pgvector-0.8").join("pg");
    let packed = fixtures::path("pgvector-0.8.tar.zst");
    let directory = dump.join("dirfmt");
    let member = directory.join("3595.dat.gz");
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.usearch");
    std::fs::write(&cut, "usea").unwrap();
    let cases = [
        (&cut, format!("to be told what is wrong with it, give usearch:{}\n", cut.display())),
        (&dump, "give what lies in it: copy_bin.bin (pgvector), custom.dump (pgvector), ".to_owned()),
        (&member, format!("if it is a part of the dump around it, give pgvector:{}\n", directory.display())),
        (&packed, "unpack it (`zstd -d`, ".to_owned()),
    ];
    for (path, next) in cases {
        let ran = Tranship::run(["inspect", path.to_str().unwrap()]).expect(10);
        assert!(ran.stderr.contains(&next), "{}", ran.stderr);
    }
}

#[test]
fn a_collection_that_cannot_be_read_does_not_hide_the_others() {
    let indexes = fixtures::shared("ann-files").join("ann");
    let ran = Tranship::run(["inspect", "--full", indexes.to_str().unwrap()]).expect(1);
    assert!(ran.stdout.contains("flat_l2\n  records    3000 (exact)\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("  not read   TS0030: the index keeps vectors that are not"), "{}", ran.stdout);
    Tranship::run(["inspect", "--full", indexes.to_str().unwrap(), "--collection", "sq8"]).expect(13);
}

#[test]
fn messages_about_chroma_directories() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let copy = fixtures::chroma("wordnet", dir);
    let segment = std::fs::read_dir(&copy).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    let mut page = String::new();
    for (file, keep) in
        [("header.bin", 50), ("data_level0.bin", 1000), ("index_metadata.pickle", 100), ("length.bin", 10)]
    {
        let path = segment.join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..keep]).unwrap();
        case(&mut page, dir, "convert chroma:DIR/chroma-wordnet archive:DIR/out.tranship");
        std::fs::write(&path, whole).unwrap();
    }
    let database = copy.join("chroma.sqlite3");
    let whole = std::fs::read(&database).unwrap();
    std::fs::write(&database, &whole[..whole.len() / 2]).unwrap();
    case(&mut page, dir, "convert chroma:DIR/chroma-wordnet archive:DIR/out.tranship");
    std::fs::write(&database, "not a database at all").unwrap();
    case(&mut page, dir, "inspect chroma:DIR/chroma-wordnet");
    std::fs::write(&database, whole).unwrap();
    std::fs::rename(&segment, dir.join("gone")).unwrap();
    case(&mut page, dir, "convert chroma:DIR/chroma-wordnet archive:DIR/out.tranship");
    insta::assert_snapshot!(page.replace(&name, "SEGMENT"));
}

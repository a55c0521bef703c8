//! Cuts, flips and hostile sizes: each ends in an error that names the file, or in records and rejects.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tranship_connector::{ErrorKind, OpenOptions};
use tranship_testkit::damage::{Damage, Survey, cuts, flips, survey};

use crate::reading::{COLUMNS, file, load, options, stored};
use crate::variants::{Maker, ROWS, gzip, zlib};

/// A few damages of a file that takes long to read.
const CUTS_OF_LARGE: usize = 40;

fn small() -> Vec<(&'static str, Vec<u8>, OpenOptions)> {
    let sql = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n\nCREATE TABLE t (id integer NOT NULL, e vector(2), doc text);\n\n\
        COPY t (id, e, doc) FROM stdin;\n1\t[1,2]\ta\n2\t[3,4]\t\\N\n\\.\n\nALTER TABLE ONLY t\n    ADD CONSTRAINT p PRIMARY KEY (id);\n\n\
        --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict x\n\n";
    let inserts = sql.replace(
        "COPY t (id, e, doc) FROM stdin;\n1\t[1,2]\ta\n2\t[3,4]\t\\N\n\\.\n",
        "INSERT INTO t VALUES (1, '[1,2]', 'a'), (2, '[3,4]', E'x\\'');\n",
    );
    let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for id in [1u8, 2] {
        binary.extend_from_slice(&[
            0, 2, 0, 0, 0, 4, 0, 0, 0, id, 0, 0, 0, 12, 0, 2, 0, 0, 0x3f, 0x80, 0, 0, 0x40, 0, 0, 0,
        ]);
    }
    binary.extend_from_slice(&[0xff, 0xff]);
    let none = options(&[]);
    vec![
        ("a.sql", sql.into(), none.clone()),
        ("a.sql.gz", gzip(sql.as_bytes()), none.clone()),
        ("i.sql", inserts.into(), none.clone()),
        ("a.dump", Maker::custom(16, 1).archive(&zlib(ROWS.as_bytes())), none.clone()),
        ("n.dump", Maker::custom(14, 0).archive(ROWS.as_bytes()), none.clone()),
        ("p.dump", Maker { piped: true, ..Maker::custom(15, 1) }.archive(&zlib(ROWS.as_bytes())), none),
        ("a.bin", binary, options(&[("columns", "id:int4,e:vector")])),
        ("a.tsv", b"1\t[1,2]\n2\t[3,4]\n".to_vec(), options(&[("columns", "id:int4,e:vector")])),
        ("a.csv", b"id,e\n1,\"[1,2]\"\n2,\"[3,4]\"\n".to_vec(), options(&[("columns", "id:int4,e:vector")])),
    ]
}

/// Cutting at these lengths leaves a whole file of fewer rows, which nothing in the file contradicts.
fn may_be_shorter(name: &str) -> bool {
    matches!(name, "a.tsv" | "a.csv")
}

#[test]
fn no_cut_of_a_small_dump_reads_as_whole() {
    for (name, bytes, chosen) in small() {
        let (_dir, path) = file(name, &bytes);
        let whole = load(&path, &chosen).unwrap();
        assert_eq!((whole.records.len(), whole.rejects.len()), (2, 0), "{name}");
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len]).unwrap();
            match load(&path, &chosen) {
                Err(error) => assert!(error.kind() != ErrorKind::Bug, "{name} {len}: {error}"),
                Ok(outcome) if may_be_shorter(name) => {
                    assert!(bytes[..len].ends_with(b"\n"), "{name} {len}: {outcome:?}")
                }
                // What may be missing is what pg_dump writes behind its last words.
                Ok(outcome) => {
                    assert!(
                        after_complete(&bytes, len),
                        "{name} {len} of {}: {} records",
                        bytes.len(),
                        outcome.records.len()
                    );
                }
            }
        }
    }
}

fn after_complete(bytes: &[u8], len: usize) -> bool {
    String::from_utf8_lossy(&bytes[..len]).contains("-- PostgreSQL database dump complete")
}

#[test]
fn flips_of_small_dumps_end_in_errors_or_records() {
    for (name, bytes, chosen) in small() {
        let (_dir, path) = file(name, &bytes);
        let damages: Vec<Damage> = (0..bytes.len() as u64).map(|at| Damage::Flip(at, (at % 8) as u8)).collect();
        let survey = survey(&path, "", &damages, || load(&path, &chosen));
        assert!(survey.errors + survey.told > 0, "{name}: {survey:?}");
    }
}

fn copied(from: &Path) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let name = from.file_name().unwrap();
    assert!(std::process::Command::new("cp").arg("-r").arg(from).arg(dir.path()).status().unwrap().success());
    let path = dir.path().join(name);
    (dir, path)
}

#[test]
fn no_cut_of_a_stored_dump_reads_as_whole() {
    let (_dir, root) = stored();
    for form in ["plain.sql", "inserts.sql", "custom.dump", "custom_z0.dump", "tar.dump", "copy_bin.bin"] {
        let (_copy, path) = copied(&root.join(form));
        let chosen = match form {
            "copy_bin.bin" => options(&[("columns", COLUMNS)]),
            _ => options(&[("collection", "app.Docs ,odd")]),
        };
        let len = std::fs::metadata(&path).unwrap().len();
        let damages: Vec<Damage> = cuts(len, &[], 5).into_iter().step_by(500 / CUTS_OF_LARGE).collect();
        let Survey { errors, told, unnoticed } = survey(&path, form, &damages, || load(&path, &chosen));
        // Behind the table that is read come another one and the keys; a tar and a custom archive are cut there unnoticed
        // only if what was asked for is all there.
        assert!(errors >= damages.len() * 9 / 10, "{form}: {errors} {told} {unnoticed} of {}", damages.len());
    }
    let (_copy, path) = copied(&root.join("dirfmt"));
    let data = path.join("3595.dat.gz");
    let len = std::fs::metadata(&data).unwrap().len();
    let damages: Vec<Damage> = cuts(len, &[], 6).into_iter().step_by(500 / CUTS_OF_LARGE).collect();
    let chosen = options(&[("collection", "app.Docs ,odd")]);
    let found = survey(&data, "3595.dat.gz", &damages, || load(&path, &chosen));
    assert_eq!(found.errors, damages.len());
    let toc = path.join("toc.dat");
    let damages = cuts(std::fs::metadata(&toc).unwrap().len(), &[], 7);
    let damages: Vec<Damage> = damages.into_iter().step_by(50).collect();
    let found = survey(&toc, "toc.dat", &damages, || load(&path, &chosen));
    assert_eq!(found.errors, damages.len());
}

#[test]
fn flips_of_stored_dumps_never_panic() {
    let (_dir, root) = stored();
    for form in ["custom.dump", "custom_z0.dump", "tar.dump", "copy_bin.bin", "inserts.sql"] {
        let (_copy, path) = copied(&root.join(form));
        let chosen = match form {
            "copy_bin.bin" => options(&[("columns", COLUMNS)]),
            _ => options(&[("collection", "app.Docs ,odd")]),
        };
        let len = std::fs::metadata(&path).unwrap().len();
        let damages: Vec<Damage> = flips(len.min(20_000), 15, 8).into_iter().chain(flips(len, 15, 9)).collect();
        survey(&path, "", &damages, || load(&path, &chosen));
    }
}

#[test]
fn hostile_sizes_are_refused_before_anything_is_allocated() {
    let maker = Maker::custom(14, 0);
    let bytes = maker.archive(ROWS.as_bytes());
    let (_dir, path) = file("a.dump", &bytes);
    let huge = [0, 0xff, 0xff, 0xff, 0x7f];
    let damages: Vec<Damage> = (11..bytes.len() - 5).map(|at| Damage::Patch(at as u64, huge.to_vec())).collect();
    survey(&path, "", &damages, || load(&path, &options(&[])));
    for (at, value) in [(8, 0), (8, 9), (8, 255), (9, 0), (9, 200), (10, 2), (10, 9), (6, 17), (6, 9), (5, 2)] {
        let found = survey(&path, "a.dump", &[Damage::Patch(at, vec![value])], || load(&path, &options(&[])));
        assert_eq!(found.errors, 1, "byte {at} = {value}");
    }
    let (open, close) = ("(".repeat(100_000), ")".repeat(100_000));
    let deep = format!("CREATE TABLE t (id int, e vector(1));\nINSERT INTO t VALUES ({open}1{close}, '[1]');\n");
    let (_dir, path) = file("deep.sql", deep);
    assert_eq!(load(&path, &options(&[])).unwrap().rejects.len(), 1);
    let mut bomb = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x04\0\0\0\x01".to_vec();
    bomb.extend_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0, 0]);
    let (_dir, path) = file("a.bin", &bomb);
    let error = load(&path, &options(&[("columns", "id:int4,e:vector")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
}

#[test]
fn bad_rows_are_rejects_with_their_place() {
    let rows = "1\t[1,2]\n\\N\t[1,2]\nx\t[1,2]\n4\t[1,2\n5\t[1,2,3]\n6\t[1,NaN]\n7\n8\t[1,2]\textra\n9\t[1e39,1]\n10\t\n11\t[3,4]\n12\t\\\n";
    let text = format!("CREATE TABLE t (id int PRIMARY KEY, e vector);\nCOPY t (id, e) FROM stdin;\n{rows}\\.\n");
    let (_dir, path) = file("t.sql", &text);
    let outcome = load(&path, &options(&[])).unwrap();
    let ids: Vec<&str> = outcome.records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids, ["1", "11"]);
    assert_eq!(outcome.rejects.len(), 10);
    assert_eq!(outcome.ledger.raw, Some(12));
    let first_row = text.find("1\t[1,2]").unwrap();
    let reject = |at: usize| {
        (outcome.rejects[at].place.as_str(), outcome.rejects[at].id.as_deref(), outcome.rejects[at].reason.as_str())
    };
    let place = format!("{} byte {}", path.display(), first_row + 8);
    assert_eq!(reject(0), (place.as_str(), None, "column \"id\": the id is NULL"));
    assert_eq!(reject(1).2, "column \"id\": \"x\" is no integer");
    assert_eq!(reject(3).1, Some("5"));
    assert!(reject(3).2.contains("3 dimensions, the collection has 2"), "{}", reject(3).2);
    assert_eq!(outcome.rejects[2].record.as_deref(), Some("4\t[1,2"));
    assert_eq!(reject(5).2, "1 fields where the table has 2 columns");
    assert!(reject(9).2.contains("escape"), "{}", reject(9).2);
}

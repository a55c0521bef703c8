//! Same input and options, same bytes.

use crate::transfer::tree;
use tranship_testkit::{Tranship, fixtures};

use crate::support::locator;

#[test]
fn threads_memory_and_tmpdir_do_not_change_a_byte_of_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("in.jsonl");
    let five = locator("chroma", &fixtures::five_collections());
    Tranship::run(["convert", &five, &locator("jsonl", &lines), "--collection", "cos64"]).expect(0);
    for (name, source) in [("wordnet", "chroma:fixtures/chroma-wordnet"), ("lines", &locator("jsonl", &lines))] {
        let mut first = None;
        for (run, (threads, memory)) in
            [("1", "1GiB"), ("2", "1GiB"), ("7", "1GiB"), ("2", "256MiB"), ("2", "3GiB")].iter().enumerate()
        {
            let tmp = tempfile::tempdir().unwrap();
            let archive = dir.path().join(format!("{name}-{run}.tranship"));
            let status = Tranship::command()
                .args(["convert", source, &locator("archive", &archive), "--threads", threads, "--memory", memory])
                .env("TMPDIR", tmp.path())
                .status();
            assert!(status.is_ok_and(|status| status.success()), "{source} with {threads} threads, {memory}");
            let files = tree(&archive);
            assert!(files.len() >= 8, "{files:?}");
            assert!(*first.get_or_insert_with(|| files.clone()) == files, "{source} with {threads} threads, {memory}");
        }
    }
}

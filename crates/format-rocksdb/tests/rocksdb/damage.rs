//! Damage: every cut, flip and hostile number ends in an error that names the file, or changes nothing that is read.

use std::path::{Path, PathBuf};

use tranship_connector::{ErrorKind, Result};
use tranship_testkit::damage::{Damage, cuts, flips};
use tranship_testkit::fixtures;

use crate::stored::{databases, unpack_all};
use crate::{Content, content, open};

fn read(dir: &Path) -> Result<(Content, bool)> {
    let database = open(dir)?;
    Ok((content(&database)?, !database.notes().is_empty()))
}

/// A database of a fixture, where its segment's name begins with `segment`.
fn database(fixture: &str, segment: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fixtures::unpack(fixture, dir.path());
    unpack_all(dir.path());
    let mut found = databases(dir.path());
    found.retain(|path| {
        let path = path.to_str().unwrap();
        path.contains(&format!("/segments/{segment}")) && !path.contains("payload_index")
    });
    assert_eq!(found.len(), 1, "{found:?}");
    (dir, found.remove(0))
}

fn files(dir: &Path, holding: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, holding));
        } else if path.file_name().unwrap().to_str().unwrap().contains(holding) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Does each damage; `expected` judges what was read in spite of it.
fn survey(dir: &Path, file: &Path, damages: &[Damage], expected: impl Fn(&Content, bool) -> bool) -> usize {
    let whole = std::fs::read(file).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let mut errors = 0;
    for damage in damages {
        std::fs::write(file, damage.applied(&whole)).unwrap();
        match read(dir) {
            Err(error) => {
                assert!(error.to_string().contains(name), "{damage:?} of {name}: {error}");
                assert!(error.next_step().is_some(), "{damage:?} of {name}: {error}");
                errors += 1;
            }
            Ok((content, noted)) => assert!(expected(&content, noted), "{damage:?} of {name} changes what is read"),
        }
    }
    std::fs::write(file, whole).unwrap();
    errors
}

#[test]
fn a_damaged_backup_is_an_error_or_reads_the_same() {
    let (_dir, backup) = database("qdrant-1.10-u8_euclid", "440833e1");
    let (truth, _) = read(&backup).unwrap();
    let table = files(&backup, ".sst").into_iter().min_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let len = table.metadata().unwrap().len();
    let some: Vec<_> = cuts(len, &[], 1).into_iter().step_by(7).collect();
    assert_eq!(survey(&backup, &table, &some, |_, _| false), some.len());
    survey(&backup, &table, &flips(len, 400, 2), |content, _| *content == truth);
    // The footer: hostile handles, formats and checksums.
    let hostile = [vec![0xff; 10], vec![0; 40], vec![0xff; 53]];
    let patches: Vec<_> = hostile
        .iter()
        .flat_map(|bytes| {
            (len - 53..=len - bytes.len() as u64).map(|at| Damage::Patch(at, bytes.clone())).collect::<Vec<_>>()
        })
        .collect();
    survey(&backup, &table, &patches, |content, _| *content == truth);
    for name in ["MANIFEST-", "CURRENT"] {
        let file = files(&backup, name).remove(0);
        let len = file.metadata().unwrap().len();
        let all: Vec<_> = cuts(len, &[], 3).into_iter().chain(flips(len, 100, 4)).collect();
        assert_eq!(survey(&backup, &file, &all, |_, _| false), all.len(), "a backup's own checksums find it");
    }
    std::fs::remove_file(&table).unwrap();
    let error = read(&backup).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(table.file_name().unwrap().to_str().unwrap()), "{error}");
}

#[test]
fn a_cut_log_reads_up_to_the_cut_and_a_flipped_one_is_an_error() {
    let (_dir, live) = database("qdrant-1.10-crash_storage", "74962709");
    let (truth, noted) = read(&live).unwrap();
    assert!(!noted);
    let log = files(&live, ".log").remove(0);
    let len = log.metadata().unwrap().len();
    let some: Vec<_> = cuts(len, &[], 1).into_iter().step_by(53).collect();
    let rows = |content: &Content| content.values().map(|pairs| pairs.len()).sum::<usize>();
    assert_eq!(survey(&live, &log, &some, |content, _| rows(content) <= rows(&truth)), 0);
    let flipped = flips(len, 200, 2);
    let errors = survey(&live, &log, &flipped, |_, noted| noted);
    assert!(errors > 190, "{errors}");
    for name in ["MANIFEST-", ".sst"] {
        let file = files(&live, name).remove(0);
        let len = file.metadata().unwrap().len();
        let damages = flips(len, 200, 3);
        survey(&live, &file, &damages, |content, noted| noted || *content == truth);
    }
}

#[test]
fn tables_whose_checksums_are_switched_off_end_in_errors_or_pairs_and_never_in_a_panic() {
    let (_dir, backup) = database("qdrant-1.10-u8_euclid", "440833e1");
    let table = files(&backup, ".sst").into_iter().min_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut whole = std::fs::read(&table).unwrap();
    let footer = whole.len() - 53;
    whole[footer] = 0;
    let (mut errors, mut pairs) = (0, 0);
    for damage in flips(whole.len() as u64, 800, 7) {
        std::fs::write(&table, damage.applied(&whole)).unwrap();
        let read = || -> Result<usize> {
            let database = open(&backup)?;
            let mut found = 0;
            for family in database.column_families() {
                for pair in database.scan(family)?.unwrap() {
                    database.get(family, &pair?.0)?;
                    found += 1;
                }
            }
            Ok(found)
        };
        match read() {
            Ok(found) => pairs += found,
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 50 && pairs > 50_000, "{errors} errors, {pairs} pairs");
}

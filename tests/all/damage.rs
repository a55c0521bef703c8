//! Every damage of an archive is found.

use crate::transfer::{engine, tree, write};
use tranship_testkit::{Generator, MemorySource, Random, Tranship};
use tranship_verify::Level;
use tranship_verify::archive::{Subset, check};

use crate::support::locator;

const ALL: Subset = Subset { part: 0, of: 1 };

/// A small archive.
fn small(dir: &std::path::Path) -> std::path::PathBuf {
    let archive = dir.join("small.tranship");
    let generator = Generator { rows: 40, dim: 4, batch_rows: 20, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 1);
    write(&source, &locator("archive", &archive), engine(1, 512 << 20), 0).unwrap();
    archive
}

#[test]
fn every_single_bit_flip_of_a_small_archive_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let archive = small(dir.path());
    let scratch = dir.path();
    let mut flips = 0;
    for (name, bytes) in tree(&archive) {
        let path = archive.join(&name);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &damaged).unwrap();
            let found = match check(&archive, Level::L1, ALL, engine(1, 64 << 20), scratch) {
                Ok(report) => !report.faults.is_empty(),
                Err(_) => true,
            };
            assert!(found, "{}: bit {bit} of {} bytes", name.display(), bytes.len());
            flips += 1;
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    println!("{flips} flips, all found");
    assert!(check(&archive, Level::L3, ALL, engine(1, 64 << 20), scratch).unwrap().faults.is_empty());
}

#[test]
fn missing_extra_and_swapped_files_are_found_at_the_first_level_that_can_see_them() {
    let dir = tempfile::tempdir().unwrap();
    let archive = small(dir.path());
    let faults = |level| check(&archive, level, ALL, engine(1, 64 << 20), dir.path()).map(|report| report.faults);
    let (a, b) = (archive.join("data/part-00000.parquet"), archive.join("data/part-00001.parquet"));
    let (bytes_a, bytes_b) = (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());

    std::fs::remove_file(&a).unwrap();
    assert!(faults(Level::L0).unwrap().iter().any(|f| f.contains("part-00000")));
    std::fs::write(&a, &bytes_b).unwrap();
    std::fs::write(&b, &bytes_a).unwrap();
    assert!(!faults(Level::L1).unwrap().is_empty());
    std::fs::write(&a, &bytes_a).unwrap();
    std::fs::write(&b, &bytes_b).unwrap();
    std::fs::write(archive.join("data/part-00002.parquet"), &bytes_a).unwrap();
    assert!(faults(Level::L0).unwrap().iter().any(|f| f.contains("not in the manifest")));
    std::fs::remove_file(archive.join("data/part-00002.parquet")).unwrap();
    let schema = archive.join("data/collection.json");
    let text = std::fs::read(&schema).unwrap();
    std::fs::write(&schema, &text[1..]).unwrap();
    let ran = Tranship::run(["verify", archive.to_str().unwrap()]).expect(1);
    assert!(ran.stdout.contains("collection.json"), "{}", ran.stdout);
    std::fs::write(&schema, text).unwrap();
    std::fs::remove_file(archive.join("MANIFEST.json")).unwrap();
    assert!(faults(Level::L0).is_err());
}

#[test]
fn a_truncated_archive_file_never_passes() {
    let dir = tempfile::tempdir().unwrap();
    let archive = small(dir.path());
    for (name, bytes) in tree(&archive) {
        let path = archive.join(&name);
        for length in (0..bytes.len()).step_by(7) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let ok = check(&archive, Level::L0, ALL, engine(1, 64 << 20), dir.path())
                .is_ok_and(|report| report.faults.is_empty());
            assert!(!ok, "{} cut to {length}", name.display());
        }
        std::fs::write(&path, &bytes).unwrap();
    }
}

/// Flips bits all over a Chroma directory: every run ends with a located error, or with an archive whose proof against
/// the damaged source still holds; never with a panic, a hang or a half output.
#[test]
fn a_damaged_chroma_directory_gives_an_error_or_an_honest_archive() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tranship_testkit::fixtures::chroma("wordnet", dir.path());
    let files: Vec<_> = tree(&copy).into_iter().filter(|(name, _)| !name.ends_with("link_lists.bin")).collect();
    let mut random = Random::new(17);
    let mut errors = 0;
    for round in 0..60 {
        let (name, bytes) = &files[round % files.len()];
        let path = copy.join(name);
        let mut damaged = bytes.clone();
        match round % 3 {
            0 => damaged.truncate(random.below(bytes.len() as u64) as usize),
            _ => {
                for _ in 0..8 {
                    let at =
                        random.below(bytes.len().min(if round % 2 == 0 { 4096 } else { usize::MAX }) as u64) as usize;
                    damaged[at] ^= 1 << random.below(8);
                }
            }
        }
        std::fs::write(&path, &damaged).unwrap();
        let out = dir.path().join(format!("{round}.tranship"));
        let ran = Tranship::run(["convert", &locator("chroma", &copy), &locator("archive", &out)]);
        match ran.code {
            Some(0) => assert!(out.join("MANIFEST.json").is_file()),
            Some(code @ (2 | 10 | 11 | 12 | 14)) => {
                errors += 1;
                assert!(!out.exists(), "{}: exit {code} with an output", name.display());
                assert!(ran.stderr.starts_with("error[TS"), "{}", ran.stderr);
            }
            code => panic!("{} round {round}: exit {code:?}\n{}", name.display(), ran.stderr),
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(errors > 25, "only {errors} of 60 damages were noticed");
}

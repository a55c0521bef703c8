//! Cut and flipped files of both formats: errors that name the file, or the same records; never a panic.

use tranship_testkit::damage::{Damage, cuts, flips, survey};

use super::{dump, options, try_read};

#[test]
fn a_damaged_sqlite_file_never_ends_in_a_panic() {
    let dump = dump("2.5.1");
    let len = std::fs::metadata(&dump.path).unwrap().len();
    let some: Vec<Damage> = cuts(len, &[], 3).into_iter().step_by(12).chain(flips(len, 40, 4)).collect();
    let found = survey(&dump.path, "milvus-lite-2.5.1.db", &some, || try_read(&dump.path, &options("strpk")));
    assert!(found.errors >= some.len() - 40, "{found:?}");
    // The catalogue stands at the beginning.
    let start: Vec<Damage> = flips(8192, 60, 5);
    survey(&dump.path, "milvus-lite-2.5.1.db", &start, || try_read(&dump.path, &options("typed")));
}

#[test]
fn damaged_files_of_a_directory_never_end_in_a_panic() {
    let dump = dump("3.2.2");
    let place = dump.path.join("collections/strpk");
    for name in ["data/data_000001_000200.parquet", "delta/delta_000201_000201.parquet"] {
        let file = place.join("partitions/_default").join(name);
        let len = std::fs::metadata(&file).unwrap().len();
        let some: Vec<Damage> = cuts(len, &[], 6).into_iter().step_by(40).chain(flips(len, 80, 7)).collect();
        let found = survey(&file, "parquet", &some, || try_read(&dump.path, &options("strpk")));
        // The engine writes no checksums, so a changed value cannot be noticed.
        assert!(found.errors > 20, "{name}: {found:?}");
    }
    for name in ["schema.json", "manifest.json"] {
        let file = place.join(name);
        let len = std::fs::metadata(&file).unwrap().len();
        let some: Vec<Damage> = cuts(len, &[], 8).into_iter().step_by(9).collect();
        survey(&file, "strpk", &some, || try_read(&dump.path, &options("strpk")));
    }
}

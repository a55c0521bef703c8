//! What settling many rows takes: one partition and a bit per row, however many rows there are. Alone in its process,
//! so that the peak is its own.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods)]

use tranship_connector::{Liveness, SameVersion};

/// Peak resident memory of this process in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn twenty_million_rows_are_settled_within_a_small_memory() {
    const ROWS: u64 = 20_000_000;
    let dir = tempfile::tempdir().unwrap();
    let before = peak_mib();
    let mut rows = Liveness::new(dir.path(), &[ROWS / 2, ROWS / 2], SameVersion::RowLives);
    // Every key in both parts, the second time newer; every tenth is deleted after that.
    for row in 0..ROWS {
        let (part, row) = ((row >= ROWS / 2) as u32, row % (ROWS / 2));
        rows.row(
            u128::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            1 + u64::from(part),
            part,
            row,
        )
        .unwrap();
    }
    for row in (0..ROWS / 2).step_by(10) {
        rows.delete(u128::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835), 9).unwrap();
    }
    let found = rows.finish().unwrap();
    assert_eq!((found.live, found.deleted, found.superseded), (ROWS / 20 * 9, ROWS / 10, ROWS / 20 * 9));
    assert!(!found.lives(1, 0) && found.lives(1, 1) && !found.lives(0, 1));
    let taken = peak_mib() - before;
    println!("{taken} MiB");
    assert!(taken < 96, "{taken} MiB");
}

//! Repetition and definition levels of a page of dense vectors, written as runs and never level by level.
//!
//! A page holds whole rows. A row with a vector has `dim` levels: repetition 0, 1, 1.., definition 2 throughout; a row
//! without one has a single level 0 of either kind. So a page is a list of [`Run`]s.
//!
//! ```text
//! u32 bytes | repetition: per row a run of 0 and a run of 1, or for narrow vectors one bit per level
//! u32 bytes | definition: one run per stretch of rows with or without vector
//! ```
//!
//! Invariant: neighbouring runs of one kind are merged, so the bytes depend on the rows alone; and what is read is
//! exactly what would be written for the runs that come out. Source: apache/parquet-format 2.11, RLE / bit-packing hybrid.

use crate::page_header::{read_varint, write_varint};

/// Below this many elements a bit per level takes less than two runs per row.
const PACKED_BELOW_DIM: usize = 64;
const PRESENT: u8 = 2;
const ABSENT: u8 = 0;

/// Rows that all have a vector, or all have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub rows: usize,
    /// Whether they have a vector.
    pub present: bool,
}

/// Rows in `runs`, and those of them with a vector.
pub fn count_rows(runs: &[Run]) -> (usize, usize) {
    let present = runs.iter().filter(|run| run.present).map(|run| run.rows).sum();
    (runs.iter().map(|run| run.rows).sum(), present)
}

/// Levels of `runs` of vectors of `dim` elements, `dim > 0`.
pub fn count_levels(runs: &[Run], dim: usize) -> usize {
    runs.iter().map(|run| levels_of(run, dim)).sum()
}

/// Appends both kinds of levels.
pub fn write_levels(runs: &[Run], dim: usize, out: &mut Vec<u8>) {
    with_length(out, |out| write_repetition(runs, dim, out));
    with_length(out, |out| write_definition(runs, dim, out));
}

/// Takes the levels of a page, `count` of each kind, off `bytes`; the error says what is wrong.
pub fn read_levels(bytes: &mut &[u8], count: usize, dim: usize) -> Result<Vec<Run>, &'static str> {
    let repetition = section(bytes).ok_or("the repetition levels end after the page")?;
    let definition = section(bytes).ok_or("the definition levels end after the page")?;
    let runs = read_definition(definition, dim).ok_or("the definition levels are not those of vectors")?;
    if runs.iter().try_fold(0usize, |sum, run| sum.checked_add(levels_of(run, dim))) != Some(count) {
        return Err("there are not as many definition levels as the page states");
    }
    // Compared before the levels are made again: they take at least this much room.
    let least = if dim < PACKED_BELOW_DIM { count.div_ceil(8) } else { 4 * count_rows(&runs).1 };
    let mut expected = Vec::new();
    if least <= repetition.len() {
        write_repetition(&runs, dim, &mut expected);
    }
    if expected != repetition {
        return Err("the repetition levels are not those of vectors");
    }
    Ok(runs)
}

fn levels_of(run: &Run, dim: usize) -> usize {
    if run.present { run.rows.saturating_mul(dim) } else { run.rows }
}

fn write_repetition(runs: &[Run], dim: usize, out: &mut Vec<u8>) {
    if dim < PACKED_BELOW_DIM {
        return write_packed_repetition(runs, dim, out);
    }
    let mut zeros = 0;
    for run in runs {
        if !run.present {
            zeros += run.rows;
            continue;
        }
        for _ in 0..run.rows {
            write_run(zeros + 1, 0, out);
            write_run(dim - 1, 1, out);
            zeros = 0;
        }
    }
    if zeros > 0 {
        write_run(zeros, 0, out);
    }
}

/// One run of bits, the lowest of each byte first: 0 where a row begins.
fn write_packed_repetition(runs: &[Run], dim: usize, out: &mut Vec<u8>) {
    let levels = count_levels(runs, dim);
    let bytes = levels.div_ceil(8);
    write_varint((bytes as u64) << 1 | 1, out);
    let first = out.len();
    out.resize(first + bytes, 0xFF);
    let bits = &mut out[first..];
    let mut level = 0;
    for run in runs {
        let step = if run.present { dim } else { 1 };
        for _ in 0..run.rows {
            bits[level / 8] &= !(1 << (level % 8));
            level += step;
        }
    }
    if let Some(last) = bits.last_mut().filter(|_| !levels.is_multiple_of(8)) {
        *last &= (1 << (levels % 8)) - 1;
    }
}

fn write_definition(runs: &[Run], dim: usize, out: &mut Vec<u8>) {
    for stretch in runs.chunk_by(|a, b| a.present == b.present) {
        let level = if stretch[0].present { PRESENT } else { ABSENT };
        write_run(count_levels(stretch, dim), level, out);
    }
}

fn read_definition(mut bytes: &[u8], dim: usize) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    while !bytes.is_empty() {
        let header = read_varint(&mut bytes)?;
        let levels = usize::try_from(header >> 1).ok().filter(|levels| *levels > 0 && header & 1 == 0)?;
        let run = match *bytes.split_off_first()? {
            PRESENT if levels.is_multiple_of(dim) => Run { rows: levels / dim, present: true },
            ABSENT => Run { rows: levels, present: false },
            _ => return None,
        };
        if runs.last().is_some_and(|last| last.present == run.present) {
            return None;
        }
        runs.push(run);
    }
    Some(runs)
}

fn write_run(count: usize, level: u8, out: &mut Vec<u8>) {
    write_varint((count as u64) << 1, out);
    out.push(level);
}

fn with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    write(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn section<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (section, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(section)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn merged(runs: &[Run]) -> Vec<Run> {
        let rows = |stretch: &[Run]| Run { rows: count_rows(stretch).0, present: stretch[0].present };
        runs.chunk_by(|a, b| a.present == b.present).map(rows).collect()
    }

    proptest! {
        #[test]
        fn levels_come_back_as_merged_runs_and_no_prefix_of_them_does(
            runs in prop::collection::vec((1usize..40, any::<bool>()), 1..12), dim in prop::sample::select(vec![1, 3, 8, 63, 64, 100, 768]),
        ) {
            let runs: Vec<Run> = runs.into_iter().map(|(rows, present)| Run { rows, present }).collect();
            let count = count_levels(&runs, dim);
            let (mut bytes, mut again) = (Vec::new(), Vec::new());
            write_levels(&runs, dim, &mut bytes);
            write_levels(&merged(&runs), dim, &mut again);
            prop_assert_eq!(&bytes, &again);
            for len in 0..bytes.len() {
                prop_assert!(read_levels(&mut &bytes[..len], count, dim).is_err());
            }
            prop_assert!(read_levels(&mut &bytes[..], count + 1, dim).is_err());
            bytes.extend(b"values");
            let mut rest = &bytes[..];
            prop_assert_eq!(read_levels(&mut rest, count, dim).unwrap(), merged(&runs));
            prop_assert_eq!(rest, b"values");
        }
    }

    #[test]
    fn a_page_that_claims_billions_of_rows_is_refused_before_they_are_counted_out() {
        let mut bytes = vec![1, 0, 0, 0, 0];
        with_length(&mut bytes, |out| write_run(i32::MAX as usize, ABSENT, out));
        assert!(read_levels(&mut &bytes[..], i32::MAX as usize, 3).is_err());
        let mut bytes = vec![1, 0, 0, 0, 0];
        with_length(&mut bytes, |out| write_run(768 << 21, PRESENT, out));
        assert!(read_levels(&mut &bytes[..], 768 << 21, 768).is_err());
    }
}

//! Vectors as the engine stores what was sent.
//!
//! Rows of a cosine column in f32 or f16 are divided by their length, unless their squared length is below
//! [`f32::EPSILON`] or within 1e-6 of 1. f16 is rounded to the nearest, ties to even, after that; u8 is cast with
//! saturation. Entries of a sparse vector are put in the order of their indices.
//!
//! The squared length is summed in the order of the engine's x86-64 kernels, so that the quotients have its bits:
//! ```text
//! from 32 elements on (AVX): 4 x 8 sums, fused multiply-add, 32 elements a step;  from 16 on (SSE): 4 x 4 sums, 16 a step
//! the rest one by one
//! ```
//! A server that ran on another processor, or chose wider registers, differs by a unit in the last place.
//!
//! Source: qdrant/qdrant `lib/segment/src/spaces/{simple,simple_avx,simple_sse}.rs`.

use half::f16;
use tranship_collection::{Element, VectorKind};

use super::operation::Sent;
use crate::snapshot::overlay::VectorValue;
use crate::snapshot::schema::Column;

/// How the engine adds up the 4 x 8 sums of a squared length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summation {
    /// Each eight first: the releases that kept data in RocksDB.
    ByRegister,
    /// The four of each lane first: later releases.
    ByLane,
}

/// True if a column can hold a vector: of its kind, and every row of its width.
pub fn fits(sent: &Sent, column: &Column) -> bool {
    match (column.kind, sent) {
        (VectorKind::Dense | VectorKind::Multi, Sent::Row(row)) => row.len() == column.dim,
        (VectorKind::Multi, Sent::Rows(rows)) => rows.iter().all(|row| row.len() == column.dim),
        (VectorKind::Sparse, Sent::Sparse(indices, values)) => indices.len() == values.len(),
        (VectorKind::Sparse, Sent::Row(row)) => row.is_empty(),
        _ => false,
    }
}

/// What a column stores of a vector; `None` if the vector is of another kind.
pub fn stored(sent: Sent, column: &Column, summation: Summation) -> Option<VectorValue> {
    match (column.kind, sent) {
        (VectorKind::Dense, Sent::Row(row)) => Some(VectorValue::Dense(stored_row(row, column, summation))),
        (VectorKind::Multi, Sent::Rows(rows)) => {
            let rows = rows.into_iter().flat_map(|row| stored_row(row, column, summation));
            Some(VectorValue::Multi(rows.collect()))
        }
        // One row where several may be is that one row.
        (VectorKind::Multi, Sent::Row(row)) => Some(VectorValue::Multi(stored_row(row, column, summation))),
        (VectorKind::Sparse, Sent::Sparse(indices, values)) if indices.len() == values.len() => {
            let mut entries: Vec<(u32, f32)> = indices.into_iter().zip(values).collect();
            entries.sort_by_key(|(index, _)| *index);
            let (indices, values) = entries.into_iter().unzip();
            Some(VectorValue::Sparse(indices, values))
        }
        (VectorKind::Sparse, Sent::Row(row)) if row.is_empty() => Some(VectorValue::Sparse(Vec::new(), Vec::new())),
        _ => None,
    }
}

fn stored_row(mut row: Vec<f32>, column: &Column, summation: Summation) -> Vec<f32> {
    if column.is_normalised() {
        normalise(&mut row, summation);
    }
    match column.stored {
        Element::F16 => row.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32()),
        Element::U8 => row.iter_mut().for_each(|value| *value = f32::from(*value as u8)),
        _ => {}
    }
    row
}

fn normalise(row: &mut [f32], summation: Summation) {
    let squared = squared_length(row, summation);
    if squared < f32::EPSILON || (squared - 1.0).abs() <= 1.0e-6 {
        return;
    }
    let length = squared.sqrt();
    row.iter_mut().for_each(|value| *value /= length);
}

fn squared_length(row: &[f32], summation: Summation) -> f32 {
    let (mut total, rest) = match row.len() {
        32.. => {
            let (steps, rest) = row.as_chunks::<32>();
            let mut sums = [[0f32; 8]; 4];
            for step in steps {
                for (sums, eight) in sums.iter_mut().zip(step.as_chunks::<8>().0) {
                    sums.iter_mut().zip(eight).for_each(|(sum, value)| *sum = value.mul_add(*value, *sum));
                }
            }
            let total = match summation {
                Summation::ByRegister => {
                    let [a, b, c, d] = sums.map(|[a, b, c, d, e, f, g, h]| sum_of_4([a + e, b + f, c + g, d + h]));
                    a + b + c + d
                }
                Summation::ByLane => {
                    let [a, b, c, d] = sums;
                    let lane = |at: usize| (a[at] + b[at]) + (c[at] + d[at]);
                    let pair = |at: usize| lane(at) + lane(at + 4);
                    (pair(0) + pair(1)) + (pair(2) + pair(3))
                }
            };
            (total, rest)
        }
        16.. => {
            let (steps, rest) = row.as_chunks::<16>();
            let mut sums = [[0f32; 4]; 4];
            for step in steps {
                for (sums, four) in sums.iter_mut().zip(step.as_chunks::<4>().0) {
                    sums.iter_mut().zip(four).for_each(|(sum, value)| *sum += value * value);
                }
            }
            let [a, b, c, d] = sums.map(sum_of_4);
            (a + b + c + d, rest)
        }
        _ => (0.0, row),
    };
    rest.iter().for_each(|value| total += value * value);
    total
}

fn sum_of_4([a, b, c, d]: [f32; 4]) -> f32 {
    (a + c) + (b + d)
}

#[cfg(test)]
mod tests {
    use tranship_collection::Metric;

    use super::*;

    fn column(kind: VectorKind, stored: Element, metric: Metric) -> Column {
        Column { name: String::new(), kind, stored, dim: 2, metric: Some(metric) }
    }

    #[test]
    fn rows_are_normalised_then_rounded() {
        let row = || Sent::Row(vec![3.0, 4.0]);
        let dense = |stored_as, metric| {
            stored(row(), &column(VectorKind::Dense, stored_as, metric), Summation::ByLane).unwrap()
        };
        assert_eq!(dense(Element::F32, Metric::Cosine), VectorValue::Dense(vec![0.6, 0.8]));
        assert_eq!(dense(Element::F32, Metric::Dot), VectorValue::Dense(vec![3.0, 4.0]));
        let halves = vec![f16::from_f32(0.6).to_f32(), f16::from_f32(0.8).to_f32()];
        assert_eq!(dense(Element::F16, Metric::Cosine), VectorValue::Dense(halves));
        assert_eq!(dense(Element::U8, Metric::Cosine), VectorValue::Dense(vec![3.0, 4.0]));
        let bytes = Sent::Row(vec![-3.0, 300.7]);
        let bytes = stored(bytes, &column(VectorKind::Dense, Element::U8, Metric::L2), Summation::ByLane).unwrap();
        assert_eq!(bytes, VectorValue::Dense(vec![0.0, 255.0]));
    }

    #[test]
    fn short_and_unit_rows_stay_as_they_are() {
        let cosine = column(VectorKind::Multi, Element::F32, Metric::Cosine);
        let rows = vec![vec![0.0, 0.0], vec![1e-4, 0.0], vec![1.0, 1e-4], vec![0.0, 2.0]];
        let flat = vec![0.0, 0.0, 1e-4, 0.0, 1.0, 1e-4, 0.0, 1.0];
        assert_eq!(stored(Sent::Rows(rows), &cosine, Summation::ByLane), Some(VectorValue::Multi(flat)));
    }

    #[test]
    fn sparse_entries_are_sorted_and_kinds_are_kept_apart() {
        let sparse = column(VectorKind::Sparse, Element::F32, Metric::Dot);
        let sent = Sent::Sparse(vec![7, 2], vec![0.5, 1.5]);
        assert_eq!(
            stored(sent.clone(), &sparse, Summation::ByLane),
            Some(VectorValue::Sparse(vec![2, 7], vec![1.5, 0.5]))
        );
        assert_eq!(stored(sent, &column(VectorKind::Dense, Element::F32, Metric::Dot), Summation::ByLane), None);
        assert_eq!(stored(Sent::Sparse(vec![7], vec![]), &sparse, Summation::ByLane), None);
    }

    #[test]
    fn lengths_of_all_shapes_agree_with_a_plain_sum() {
        for len in [1, 15, 16, 17, 31, 32, 33, 100] {
            let row: Vec<f32> = (0..len).map(|at| (1.0 + at as f32 * 0.37).sin()).collect();
            let plain: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
            for summation in [Summation::ByRegister, Summation::ByLane] {
                let squared = f64::from(squared_length(&row, summation));
                assert!((squared - plain).abs() < 1e-5 * plain, "{len}");
            }
        }
    }
}

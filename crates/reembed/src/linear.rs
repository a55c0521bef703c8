//! The little linear algebra that a bridge needs, in f64.
//!
//! Matrices are row-major slices with their number of columns. Nothing here is fast beyond what the compiler does with plain loops: a
//! bridge decomposes one matrix of the vectors' dimensions.

/// Largest cosine between two columns that passes for orthogonal.
const ORTHOGONAL: f64 = 1e-13;
const MAX_SWEEPS: usize = 60;
/// Singular values below this part of the largest are directions that the sample does not show.
const UNSEEN: f64 = 1e-10;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (mut left, mut right) = (a.chunks_exact(8), b.chunks_exact(8));
    for (x, y) in left.by_ref().zip(right.by_ref()) {
        lanes.iter_mut().zip(x.iter().zip(y)).for_each(|(lane, (x, y))| *lane += x * y);
    }
    let tail: f64 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + tail
}

/// Turns two columns so that they are orthogonal.
fn rotate(a: &mut [f64], b: &mut [f64], cosine: f64, sine: f64) {
    for (x, y) in a.iter_mut().zip(b) {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    }
}

/// U V' of the singular value decomposition of `matrix` (`rows` x `columns`), and the sum of its singular values: the orthogonal
/// matrix nearest to it. One-sided Jacobi: columns are turned pair by pair until all are orthogonal.
pub fn nearest_orthogonal(matrix: &[f64], rows: usize, columns: usize) -> (Vec<f64>, f64) {
    // The columns of `matrix`, one after another, and those of V.
    let mut a: Vec<Vec<f64>> = (0..columns).map(|c| (0..rows).map(|r| matrix[r * columns + c]).collect()).collect();
    let mut v: Vec<Vec<f64>> =
        (0..columns).map(|c| (0..columns).map(|r| if r == c { 1.0 } else { 0.0 }).collect()).collect();
    for _ in 0..MAX_SWEEPS {
        let mut squares: Vec<f64> = a.iter().map(|column| dot(column, column)).collect();
        let floor = squares.iter().copied().fold(0.0, f64::max) * UNSEEN * UNSEEN;
        let mut turned = false;
        for p in 0..columns {
            for q in p + 1..columns {
                if squares[p] <= floor || squares[q] <= floor {
                    continue;
                }
                let (first, second) = a.split_at_mut(q);
                let (x, y) = (&mut first[p], &mut second[0]);
                let product = dot(x, y);
                if product.abs() <= ORTHOGONAL * (squares[p] * squares[q]).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (squares[q] - squares[p]) / (2.0 * product);
                let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                rotate(x, y, cosine, cosine * tangent);
                let (first, second) = v.split_at_mut(q);
                rotate(&mut first[p], &mut second[0], cosine, cosine * tangent);
                squares[p] -= tangent * product;
                squares[q] += tangent * product;
            }
        }
        if !turned {
            break;
        }
    }
    let lengths: Vec<f64> = a.iter().map(|column| dot(column, column).sqrt()).collect();
    let longest = lengths.iter().copied().fold(0.0, f64::max);
    let mut product = vec![0.0; rows * columns];
    for ((u, v), length) in a.iter().zip(&v).zip(&lengths).filter(|(_, length)| **length > longest * UNSEEN) {
        for (r, x) in u.iter().enumerate() {
            let scaled = x / length;
            product[r * columns..][..columns].iter_mut().zip(v).for_each(|(sum, y)| *sum += scaled * y);
        }
    }
    (product, lengths.iter().sum())
}

/// Solves `gram` X' = B' for the rows of B (`width` each); `gram` is symmetric and positive definite. `None` if it is not. In place of B.
pub fn solve(gram: &mut [f64], width: usize, b: &mut [f64]) -> Option<()> {
    for i in 0..width {
        for j in 0..=i {
            let (before, row) = gram.split_at_mut(i * width);
            let sum = match j == i {
                true => dot(&row[..j], &row[..j]),
                false => dot(&row[..j], &before[j * width..][..j]),
            };
            let value = row[j] - sum;
            row[j] = match j == i {
                true if value <= 0.0 || !value.is_finite() => return None,
                true => value.sqrt(),
                false => value / before[j * width + j],
            };
        }
    }
    for row in b.chunks_exact_mut(width) {
        for i in 0..width {
            row[i] = (row[i] - dot(&row[..i], &gram[i * width..][..i])) / gram[i * width + i];
        }
        for i in (0..width).rev() {
            let above: f64 = (i + 1..width).map(|k| gram[k * width + i] * row[k]).sum();
            row[i] = (row[i] - above) / gram[i * width + i];
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretched_rotation_has_the_rotation_nearest_to_it() {
        let (c, s) = (0.6, 0.8);
        // The rotation, times diag(3, 2), times another rotation and back.
        let rotation = [c, -s, s, c];
        let stretched = [3.0 * c, -2.0 * s, 3.0 * s, 2.0 * c];
        let (found, sum) = nearest_orthogonal(&stretched, 2, 2);
        for (a, b) in found.iter().zip(rotation) {
            assert!((a - b).abs() < 1e-12, "{found:?}");
        }
        assert!((sum - 5.0).abs() < 1e-12);
    }

    #[test]
    fn the_nearest_orthogonal_matrix_has_orthogonal_rows_whatever_its_shape() {
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        let (rows, columns) = (5, 12);
        let matrix: Vec<f64> = (0..rows * columns).map(|_| random()).collect();
        let (found, _) = nearest_orthogonal(&matrix, rows, columns);
        for i in 0..rows {
            for j in 0..rows {
                let product = dot(&found[i * columns..][..columns], &found[j * columns..][..columns]);
                assert!((product - if i == j { 1.0 } else { 0.0 }).abs() < 1e-9, "{i} {j} {product}");
            }
        }
    }

    #[test]
    fn equations_are_solved() {
        let mut gram = [4.0, 2.0, 2.0, 3.0];
        let mut b = [8.0, 7.0, 2.0, 1.0];
        solve(&mut gram, 2, &mut b).unwrap();
        let expected = [1.25, 1.5, 0.5, 0.0];
        assert!(b.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{b:?}");
        assert!(solve(&mut [0.0], 1, &mut [1.0]).is_none());
    }
}

//! Vectors that an engine recomputes: equal within a stated class, never silently.
//!
//! Two vectors are within tolerance `t` if no element differs by more than `t` times the largest element of the first.
//! NaN and infinities are within no tolerance of anything but themselves.

/// The largest difference of `a` and `b` relative to the largest element of `a`; infinite if they have different dims,
/// or differ where one of them is not finite.
pub fn relative_difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    let scale = a.iter().fold(0.0f32, |max, v| max.max(v.abs()));
    let mut difference = 0.0f32;
    for (x, y) in a.iter().zip(b).filter(|(x, y)| x.to_bits() != y.to_bits()) {
        // `f32::max` passes over NaN, which would make it equal to everything.
        if !(x.is_finite() && y.is_finite()) {
            return f32::INFINITY;
        }
        difference = difference.max((x - y).abs());
    }
    match (difference, scale) {
        (0.0, _) => 0.0,
        (_, scale) if scale == 0.0 || !scale.is_finite() => f32::INFINITY,
        _ => difference / scale,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_within_no_tolerance() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert_eq!(relative_difference(&[1.0, 2.0], &[1.0, nan]), inf);
        assert_eq!(relative_difference(&[nan, 2.0], &[1.0, 2.0]), inf);
        assert_eq!(relative_difference(&[inf, 2.0], &[inf, 9.0]), inf);
        assert_eq!(relative_difference(&[1.0, 2.0], &[1.0, inf]), inf);
        assert_eq!(relative_difference(&[nan, inf, 0.0], &[nan, inf, -0.0]), 0.0);
        assert_eq!(relative_difference(&[1.0, 2.0], &[1.0, 1.0]), 0.5);
    }
}

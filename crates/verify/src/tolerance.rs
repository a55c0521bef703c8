//! Vectors that an engine recomputes: equal within a stated class, never silently.
//!
//! Two vectors are within tolerance `t` if no element differs by more than `t` times the largest element of the first.

/// The largest difference of `a` and `b` relative to the largest element of `a`; infinite if they have different dims.
pub fn relative_difference(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    let scale = a.iter().fold(0.0f32, |max, v| max.max(v.abs()));
    let difference = a.iter().zip(b).fold(0.0f32, |max, (x, y)| max.max((x - y).abs()));
    match (difference, scale) {
        (0.0, _) => 0.0,
        (_, 0.0) => f32::INFINITY,
        _ => difference / scale,
    }
}

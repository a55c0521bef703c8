//! How sure a share of answers is: Wilson's 95 % interval, adjusted for answers that come in groups.
//!
//! The k answers of one query are not independent, so they do not count as k observations. Their effective number is
//! what the observed spread between queries says (at least the number of queries, at most all answers): the interval
//! of a share from a cluster sample. Source: Wilson 1927; Korn and Graubard 1998.

use crate::overlap::Judged;
use crate::report::Measure;

/// Two-sided 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// The share of right answers in all, with its interval; 1 where there was nothing to answer.
pub(crate) fn measure(judged: &[Judged]) -> Measure {
    let expected: usize = judged.iter().map(|query| query.expected).sum();
    if expected == 0 {
        return Measure { value: 1.0, low: 0.0, high: 1.0 };
    }
    let right: usize = judged.iter().map(|query| query.right).sum();
    let share = right as f64 / expected as f64;
    let (low, high) = wilson(share, effective_answers(judged, share, expected));
    Measure { value: share, low, high }
}

fn effective_answers(judged: &[Judged], share: f64, expected: usize) -> f64 {
    let queries = judged.iter().filter(|query| query.expected > 0).count() as f64;
    let deviations: f64 = judged.iter().map(|query| (query.share() - share).powi(2)).sum();
    let variance_of_mean = deviations / queries / (queries - 1.0).max(1.0);
    let if_independent = share * (1.0 - share);
    if if_independent == 0.0 || variance_of_mean == 0.0 {
        return queries;
    }
    (if_independent / variance_of_mean).clamp(queries, expected as f64)
}

fn wilson(share: f64, answers: f64) -> (f64, f64) {
    let z2 = Z * Z;
    let centre = (share + z2 / (2.0 * answers)) / (1.0 + z2 / answers);
    let half = Z / (1.0 + z2 / answers) * (share * (1.0 - share) / answers + z2 / (4.0 * answers * answers)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(right: usize) -> Judged {
        Judged { right, tied: 0, expected: 10 }
    }

    #[test]
    fn wilson_agrees_with_published_values() {
        // 15 of 50 (R: prop.test(15, 50, correct = FALSE)).
        let (low, high) = wilson(0.3, 50.0);
        assert!((low - 0.191_032).abs() < 1e-5 && (high - 0.437_506).abs() < 1e-5, "{low} {high}");
    }

    #[test]
    fn an_unanimous_sample_of_a_thousand_is_sure_to_four_in_a_thousand() {
        let measured = measure(&vec![judged(10); 1_000]);
        assert_eq!(measured.value, 1.0);
        assert!((measured.low - 0.996_173).abs() < 1e-5, "{measured:?}");
    }

    #[test]
    fn answers_that_fail_together_count_as_one() {
        let together: Vec<Judged> = (0..100).map(|query| judged(if query < 10 { 0 } else { 10 })).collect();
        let apart: Vec<Judged> = (0..100).map(|_| judged(9)).collect();
        let wide = measure(&together);
        assert_eq!(wide.value, 0.9);
        assert_eq!(measure(&apart).value, 0.9);
        assert!(wide.half_width() > 0.05, "{wide:?}");
    }

    #[test]
    fn no_answers_at_all_is_one_without_any_certainty() {
        assert_eq!(measure(&[]).half_width(), 0.5);
    }
}

//! What passes: the overlap and recalls that were asked for, against those that were found.
//!
//! Invariant: every threshold that is missed is a sentence in the report's failures, and without one it passes.

use serde::Serialize;

use crate::findings::Finding;
use crate::report::RecallReport;

/// What a comparison must reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Thresholds {
    /// Least exact overlap.
    pub min_overlap: f64,
    /// Least recall of B's index; none where only the drop counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_recall: Option<f64>,
    /// Largest drop of recall from A to B; the noise floor unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_drop: Option<f64>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { min_overlap: 0.999, min_recall: None, max_drop: None }
    }
}

impl Thresholds {
    /// The thresholds as people read them.
    pub(crate) fn text(&self) -> String {
        let recall = self.min_recall.map_or(String::new(), |recall| format!(", recall of B at least {recall}"));
        let drop = self.max_drop.map_or("the noise floor".to_owned(), |drop| drop.to_string());
        format!("asked for: exact overlap at least {}{recall}, drop at most {drop}", self.min_overlap)
    }
}

/// Fills in whether the report passes, and why not.
pub(crate) fn conclude(report: &mut RecallReport) {
    let mut failures = Vec::new();
    let thresholds = report.thresholds;
    if (report.a.rows == 0) != (report.b.rows == 0) {
        failures.push("one side has no vectors".to_owned());
    }
    if report.exact_overlap.value < thresholds.min_overlap {
        failures.push(format!("exact overlap {:.4} is below {}", report.exact_overlap.value, thresholds.min_overlap));
    }
    if let Some(failure) = recall_failure(report) {
        failures.push(failure);
    }
    if let (Some(drop), Some(floor)) = (report.drop, report.noise_floor) {
        let (most, what) = thresholds.max_drop.map_or((floor, "the noise floor "), |most| (most, ""));
        if drop > most {
            failures.push(format!("recall drops by {drop:.4}, more than {what}{most:.4}"));
            report.findings.push(Finding::Graph { a: report.a.settings, b: report.b.settings });
        }
    }
    report.passes = failures.is_empty();
    report.failures = failures;
}

fn recall_failure(report: &RecallReport) -> Option<String> {
    let least = report.thresholds.min_recall?;
    match report.b.recall {
        Some(recall) if recall.value >= least => None,
        Some(recall) => Some(format!("recall of B {:.4} is below {least}", recall.value)),
        None => Some(format!("recall of B was not measured, and at least {least} is asked for")),
    }
}

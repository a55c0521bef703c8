//! What a database calls a score, and what a cut-off on one side is on the other.
//!
//! Databases order alike and print different numbers: the cosine, 1 minus it, half of 1 plus it, the distance or its
//! square, the dot product or its negative. A cut-off is carried over in two ways, which agree where both sides order by one
//! metric and hold the same vectors: by the formulas, and by the data, as the score on B that keeps as many answers as the
//! cut-off keeps on A.
//!
//! Invariant: a form is a strictly monotonic function of our distance (see [`crate::set::distance`]); scores are f64.
//!
//! Errors: a form that does not belong to the metric, a cut-off that no distance reaches.

use rayon::ThreadPool;
use serde::Serialize;
use tranship_collection::Metric;
use tranship_connector::{Error, Result};

use crate::exact::{Nearest, exact_neighbours};
use crate::queries::QuerySet;
use crate::set::VectorSet;

/// Neighbours per query that a cut-off is looked for among, at least.
const DEPTH: usize = 100;

/// Queries that are asked, at most.
const MAX_QUERIES: usize = 300;

/// How a score is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreForm {
    /// cos
    Cosine,
    /// 1 - cos
    CosineDistance,
    /// (1 + cos) / 2
    HalfCosine,
    /// 1 / (2 - cos)
    InverseCosineDistance,
    /// The dot product.
    Dot,
    /// Its negative.
    NegatedDot,
    /// 1 - dot
    OneMinusDot,
    /// (1 + dot) / 2
    HalfDot,
    /// The Euclidean distance.
    L2,
    /// Its square.
    SquaredL2,
    /// 1 / (1 + L2)
    InverseL2,
    /// The sum of absolute differences.
    L1,
}

use ScoreForm::{
    Cosine, CosineDistance, Dot, HalfCosine, HalfDot, InverseCosineDistance, InverseL2, L1, L2, NegatedDot,
    OneMinusDot, SquaredL2,
};

/// Which database prints what. What is not here was not found stated without doubt.
///
/// Sources: Chroma docs "Configure collections"; hnswlib `space_*.h`; usearch `index_plugins.hpp`; Qdrant docs "Search" and
/// `simple.rs`; pgvector README, operators; FAISS wiki "MetricType and distances"; Milvus docs "Metric types"; MongoDB docs
/// "vectorSearchScore"; Redis docs "Vectors"; Typesense docs "Vector search"; turbopuffer docs "Query"; Amazon S3 Vectors
/// docs "Query vectors"; Azure AI Search docs "Relevance in vector search"; Pinecone docs "Similarity metrics".
pub const FORMS: &[(&str, Metric, ScoreForm)] = &[
    ("chroma", Metric::Cosine, CosineDistance),
    ("chroma", Metric::L2, SquaredL2),
    ("chroma", Metric::Dot, OneMinusDot),
    ("hnswlib", Metric::Cosine, CosineDistance),
    ("hnswlib", Metric::L2, SquaredL2),
    ("hnswlib", Metric::Dot, OneMinusDot),
    ("usearch", Metric::Cosine, CosineDistance),
    ("usearch", Metric::L2, SquaredL2),
    ("usearch", Metric::Dot, OneMinusDot),
    ("qdrant", Metric::Cosine, Cosine),
    ("qdrant", Metric::Dot, Dot),
    ("qdrant", Metric::L2, L2),
    ("qdrant", Metric::L1, L1),
    ("pgvector", Metric::Cosine, CosineDistance),
    ("pgvector", Metric::Dot, NegatedDot),
    ("pgvector", Metric::L2, L2),
    ("pgvector", Metric::L1, L1),
    ("faiss", Metric::Cosine, Cosine),
    ("faiss", Metric::Dot, Dot),
    ("faiss", Metric::L2, SquaredL2),
    ("faiss", Metric::L1, L1),
    ("milvus", Metric::Cosine, Cosine),
    ("milvus", Metric::Dot, Dot),
    ("milvus", Metric::L2, SquaredL2),
    ("pinecone", Metric::Cosine, Cosine),
    ("pinecone", Metric::Dot, Dot),
    ("mongodb", Metric::Cosine, HalfCosine),
    ("mongodb", Metric::Dot, HalfDot),
    ("mongodb", Metric::L2, InverseL2),
    ("redis", Metric::Cosine, CosineDistance),
    ("redis", Metric::Dot, OneMinusDot),
    ("typesense", Metric::Cosine, CosineDistance),
    ("turbopuffer", Metric::Cosine, CosineDistance),
    ("turbopuffer", Metric::L2, SquaredL2),
    ("s3vectors", Metric::Cosine, CosineDistance),
    ("azure", Metric::Cosine, InverseCosineDistance),
];

impl ScoreForm {
    /// What the database of this name prints under a metric.
    pub fn of(database: &str, metric: Metric) -> Option<Self> {
        FORMS.iter().find(|(name, of, _)| *name == database && *of == metric).map(|(_, _, form)| *form)
    }

    /// The formula.
    pub fn formula(self) -> &'static str {
        match self {
            Cosine => "cos",
            CosineDistance => "1 - cos",
            HalfCosine => "(1 + cos) / 2",
            InverseCosineDistance => "1 / (2 - cos)",
            Dot => "dot",
            NegatedDot => "-dot",
            OneMinusDot => "1 - dot",
            HalfDot => "(1 + dot) / 2",
            L2 => "L2",
            SquaredL2 => "L2 squared",
            InverseL2 => "1 / (1 + L2)",
            L1 => "L1",
        }
    }

    /// Whether a nearer record has a smaller score.
    pub fn ascends(self) -> bool {
        matches!(self, CosineDistance | NegatedDot | OneMinusDot | L2 | SquaredL2 | L1)
    }

    /// The metric that it is a score of.
    pub fn metric(self) -> Metric {
        match self {
            Cosine | CosineDistance | HalfCosine | InverseCosineDistance => Metric::Cosine,
            Dot | NegatedDot | OneMinusDot | HalfDot => Metric::Dot,
            L2 | SquaredL2 | InverseL2 => Metric::L2,
            L1 => Metric::L1,
        }
    }

    /// The score at a distance of ours: the negated cosine or dot product, the squared L2, the L1.
    pub fn score(self, distance: f64) -> f64 {
        match self {
            Cosine | Dot => -distance,
            CosineDistance | OneMinusDot => 1.0 + distance,
            HalfCosine | HalfDot => (1.0 - distance) / 2.0,
            InverseCosineDistance => 1.0 / (2.0 + distance),
            NegatedDot | SquaredL2 | L1 => distance,
            L2 => distance.max(0.0).sqrt(),
            InverseL2 => 1.0 / (1.0 + distance.max(0.0).sqrt()),
        }
    }

    /// The distance of ours at a score; none where no distance has it.
    pub fn distance(self, score: f64) -> Option<f64> {
        let distance = match self {
            Cosine | Dot => -score,
            CosineDistance | OneMinusDot => score - 1.0,
            HalfCosine | HalfDot => 1.0 - 2.0 * score,
            InverseCosineDistance => 1.0 / score - 2.0,
            NegatedDot | SquaredL2 | L1 => score,
            L2 if score < 0.0 => return None,
            L2 => score * score,
            InverseL2 if score <= 0.0 || score > 1.0 => return None,
            InverseL2 => (1.0 / score - 1.0).powi(2),
        };
        let possible = match self.metric() {
            Metric::Cosine => distance.abs() <= 1.0 + 1e-9,
            Metric::Dot => true,
            _ => distance >= 0.0,
        };
        (distance.is_finite() && possible).then_some(distance)
    }
}

/// A cut-off carried from A to B.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Translation {
    /// What A prints.
    pub form_a: ScoreForm,
    /// What B prints.
    pub form_b: ScoreForm,
    /// The cut-off on A.
    pub cutoff_a: f64,
    /// The same by the formulas; none where the metrics differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_formula: Option<f64>,
    /// The score on B that keeps as many answers as the cut-off on A; none where A keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_data: Option<f64>,
    /// Answers per query that the cut-off keeps on A.
    pub kept: f64,
    /// Neighbours per query that were looked at; where all are kept, the cut-off lies beyond them.
    pub of: usize,
    /// Of the answers that A keeps, the share that B keeps at the cut-off by data.
    pub agreement: f64,
}

/// Carries `cutoff` over, by `queries` records of A.
///
/// # Errors
/// A form of another metric than its side's, a cut-off that no distance reaches.
pub fn translate(
    a: &VectorSet,
    b: &VectorSet,
    forms: (ScoreForm, ScoreForm),
    cutoff: f64,
    (queries, seed): (usize, u64),
    pool: &ThreadPool,
) -> Result<Translation> {
    let (form_a, form_b) = forms;
    for (form, set, side) in [(form_a, a, "A"), (form_b, b, "B")] {
        if form.metric() != set.metric() {
            let message = format!(
                "a score of {} does not come from {side}, which orders by {}",
                form.formula(),
                set.metric().name()
            );
            return Err(Error::usage(message).hint("name the database that the scores are of"));
        }
    }
    let limit = form_a.distance(cutoff).ok_or_else(|| {
        Error::usage(format!("no record can have the score {cutoff} where it is {}", form_a.formula()))
            .hint("give a cut-off as the database of A prints scores")
    })?;
    let asked = QuerySet::from_rows(a, &QuerySet::sampled_rows(a, queries.min(MAX_QUERIES), seed));
    let there = asked.carried_to(a, b);
    let depth = DEPTH.min(a.len().max(1));
    let (found_a, found_b) = (exact_neighbours(a, &asked, depth, pool), exact_neighbours(b, &there, depth, pool));
    let keeps = |nearest: &Nearest, limit: f64| {
        nearest.neighbours().iter().take_while(|found| f64::from(found.distance) <= limit + tolerance(limit)).count()
    };
    let kept: usize = found_a.iter().map(|nearest| keeps(nearest, limit)).sum();
    let mut distances: Vec<f64> =
        found_b.iter().flat_map(Nearest::neighbours).map(|found| f64::from(found.distance)).collect();
    distances.sort_by(f64::total_cmp);
    let limit_b =
        kept.checked_sub(1).and_then(|last| distances.get(last.min(distances.len().saturating_sub(1))).copied());
    let both: usize = limit_b.map_or(0, |limit_b| {
        let pairs = found_a.iter().zip(&found_b);
        pairs
            .map(|(x, y)| {
                let rows: Vec<usize> =
                    y.neighbours().iter().take(keeps(y, limit_b)).filter_map(|n| a.find(b, n.row)).collect();
                x.neighbours().iter().take(keeps(x, limit)).filter(|found| rows.contains(&found.row)).count()
            })
            .sum()
    });
    Ok(Translation {
        form_a,
        form_b,
        cutoff_a: cutoff,
        by_formula: (a.metric() == b.metric()).then(|| form_b.score(limit)),
        by_data: limit_b.map(|limit| form_b.score(limit)),
        kept: kept as f64 / asked.len().max(1) as f64,
        of: depth,
        agreement: if kept == 0 { 1.0 } else { both as f64 / kept as f64 },
    })
}

/// The last bits of f32.
fn tolerance(limit: f64) -> f64 {
    1e-6 * limit.abs().max(1e-3)
}

impl Translation {
    /// The lines of the report.
    pub(crate) fn lines(&self) -> Vec<String> {
        let side = |form: ScoreForm| if form.ascends() { "at most" } else { "at least" };
        let (a, b) = (self.form_a, self.form_b);
        let mut lines = vec![format!(
            "scores: A prints {}, B prints {}; the cut-off {} {} keeps {:.1} of {} answers per query on A",
            a.formula(),
            b.formula(),
            side(a),
            self.cutoff_a,
            self.kept,
            self.of
        )];
        if let Some(score) = self.by_formula {
            lines.push(format!("cut-off on B by formula: {} {score:.6}", side(b)));
        }
        match self.by_data {
            Some(score) => lines.push(format!(
                "cut-off on B by data: {} {score:.6} keeps as many, {:.4} of them the same",
                side(b),
                self.agreement
            )),
            None => lines.push("cut-off on B by data: none, A keeps no answer".to_owned()),
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_turns_back_into_the_distance_that_it_came_of() {
        for (_, _, form) in FORMS {
            for distance in [0.0_f64, 0.25, 0.81, 1.0] {
                let back = form.distance(form.score(distance)).unwrap();
                assert!((back - distance).abs() < 1e-12, "{form:?} {distance} {back}");
            }
            let nearer = form.score(0.25) < form.score(0.81);
            assert_eq!(nearer, form.ascends(), "{form:?}");
        }
        assert_eq!(ScoreForm::of("chroma", Metric::Cosine), Some(CosineDistance));
        assert_eq!(HalfCosine.score(CosineDistance.distance(0.3).unwrap()), 0.85);
        assert_eq!(Cosine.distance(1.5), None);
        assert_eq!(SquaredL2.distance(-1.0), None);
    }
}

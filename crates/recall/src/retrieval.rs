//! Quality of retrieval by judgements: recall@k, the mean reciprocal rank, and nDCG@k, as trec_eval defines them.
//!
//! A judgement gives a record a grade for a query; above 0 it is relevant. nDCG divides the sum of grade / log2(place + 1)
//! over the first k answers by that of the best order of all judged records. Queries without a relevant record are left out.
//!
//! Judgements are lines of four words, as TREC has them: query, an unused word, id, grade.
//!
//! Errors: a line of another shape, with its number.

use std::collections::HashMap;

use serde::Serialize;
use tranship_connector::{Error, Result};

/// Grades by query and id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgements(HashMap<String, HashMap<String, f64>>);

/// Means over the judged queries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quality {
    /// Share of the relevant records that are among the first k.
    pub recall: f64,
    /// One through the place of the first relevant answer; 0 where there is none.
    pub mrr: f64,
    /// Discounted gain as a share of the best.
    pub ndcg: f64,
}

/// Quality of both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Retrieval {
    /// Queries that were judged.
    pub queries: usize,
    /// Answers of A.
    pub a: Quality,
    /// Answers of B.
    pub b: Quality,
}

impl Judgements {
    /// Reads the lines of `text`; `file` is its name for messages.
    ///
    /// # Errors
    /// A line that does not have four words, the last a number.
    pub fn read(text: &str, file: &str) -> Result<Self> {
        let mut found = Judgements::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let graded = match words.as_slice() {
                [query, _, id, grade] => {
                    grade.parse::<f64>().ok().filter(|grade| grade.is_finite()).map(|g| (*query, *id, g))
                }
                _ => None,
            };
            let Some((query, id, grade)) = graded else {
                return Err(Error::usage("a judgement is a line of query, 0, id and grade")
                    .with("file", file)
                    .with("line", number + 1)
                    .hint("give judgements as TREC has them, as in `q1 0 doc7 1`"));
            };
            found.0.entry(query.to_owned()).or_default().insert(id.to_owned(), grade);
        }
        Ok(found)
    }
}

impl Retrieval {
    /// Takes the answers to one query into account, if it is judged.
    pub(crate) fn add(&mut self, judgements: &Judgements, query: &str, k: usize, ids_a: &[String], ids_b: &[String]) {
        let Some(grades) = judgements.0.get(query).filter(|grades| grades.values().any(|grade| *grade > 0.0)) else {
            return;
        };
        self.queries += 1;
        self.a.add(quality(grades, k, ids_a));
        self.b.add(quality(grades, k, ids_b));
    }

    /// The means; none where nothing was judged.
    pub(crate) fn finished(self) -> Option<Retrieval> {
        let count = self.queries as f64;
        (self.queries > 0).then(|| Retrieval { a: self.a.divided(count), b: self.b.divided(count), ..self })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let side = |name: &str, quality: &Quality| {
            let Quality { recall, mrr, ndcg } = quality;
            format!(
                "{name} by judgements of {} queries: recall {recall:.4}, MRR {mrr:.4}, nDCG {ndcg:.4}",
                self.queries
            )
        };
        vec![side("A", &self.a), side("B", &self.b)]
    }
}

impl Quality {
    fn add(&mut self, other: Quality) {
        self.recall += other.recall;
        self.mrr += other.mrr;
        self.ndcg += other.ndcg;
    }

    fn divided(self, count: f64) -> Quality {
        Quality { recall: self.recall / count, mrr: self.mrr / count, ndcg: self.ndcg / count }
    }
}

fn quality(grades: &HashMap<String, f64>, k: usize, ids: &[String]) -> Quality {
    let grade = |id: &String| grades.get(id).copied().unwrap_or(0.0).max(0.0);
    let relevant = grades.values().filter(|grade| **grade > 0.0).count();
    let found = ids.iter().filter(|id| grade(id) > 0.0).count();
    let first = ids.iter().position(|id| grade(id) > 0.0);
    let gain = |place: usize, grade: f64| grade / (place as f64 + 2.0).log2();
    let mut best: Vec<f64> = grades.values().copied().filter(|grade| *grade > 0.0).collect();
    best.sort_by(|x, y| y.total_cmp(x));
    let ideal: f64 = best.iter().take(k).enumerate().map(|(place, grade)| gain(place, *grade)).sum();
    let reached: f64 = ids.iter().take(k).enumerate().map(|(place, id)| gain(place, grade(id))).sum();
    Quality {
        recall: found as f64 / relevant as f64,
        mrr: first.map_or(0.0, |place| 1.0 / (place as f64 + 1.0)),
        ndcg: if ideal > 0.0 { reached / ideal } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_what_trec_eval_computes() {
        let judgements = Judgements::read("q 0 a 3\nq 0 b 1\nq 0 c 0\n\n", "j").unwrap();
        let mut retrieval = Retrieval::default();
        let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        retrieval.add(&judgements, "q", 3, &ids(&["a", "b", "x"]), &ids(&["x", "b", "y"]));
        retrieval.add(&judgements, "unjudged", 3, &[], &[]);
        let found = retrieval.finished().unwrap();
        assert_eq!((found.queries, found.a), (1, Quality { recall: 1.0, mrr: 1.0, ndcg: 1.0 }));
        // 1 / log2(3) of 3 + 1 / log2(3).
        let expected = (1.0 / 3f64.log2()) / (3.0 + 1.0 / 3f64.log2());
        assert_eq!((found.b.recall, found.b.mrr), (0.5, 0.5));
        assert!((found.b.ndcg - expected).abs() < 1e-12);
        let error = Judgements::read("q 0 a 1\nq 0 a", "qrels.txt").unwrap_err().to_string();
        assert!(error.contains("qrels.txt") && error.contains('2'), "{error}");
    }
}

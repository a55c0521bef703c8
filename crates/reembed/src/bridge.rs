//! A map from the old space to the new one, fitted on a sample: a stopgap, and never called a re-embedding.
//!
//! Invariant: which records are embedded and which are mapped depends on their ids and the seed alone. The map is judged on sampled records
//! that it was not fitted on: their true new vectors ask, and the share of their true neighbours among the mapped ones is the
//! recall. Below the limit the map is refused (exit 13) without consent.
//!
//! Orthogonal: the rotation, with one factor, nearest to the sample (Procrustes). Affine: least squares with a ridge of a thousandth of the
//! mean variance. Source: P. Schönemann, A generalized solution of the orthogonal Procrustes problem, 1966.

use serde::Serialize;
use tranship_collection::Metric;
use tranship_connector::{Error, ErrorKind, Result};
use tranship_kernels::{cosine_similarity, dot, l1, l2_squared};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::linear::{nearest_orthogonal, solve};

/// Code of the consent to a map that does not fit.
pub const UNFIT: &str = "BRIDGE_UNFIT";
const RIDGE: f64 = 1e-3;
/// Part of the sample that judges.
const HELD_OUT: f64 = 0.2;
/// Records that judge at most: their neighbours are found by comparing all pairs.
const MAX_HELD: usize = 2000;
const MIN_HELD: usize = 30;
const NEIGHBOURS: usize = 10;

/// Which map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BridgeKind {
    /// A rotation.
    Orthogonal,
    /// Any matrix, and an offset.
    Affine,
}

/// How to bridge.
#[derive(Debug, Clone, Serialize)]
pub struct BridgeOptions {
    /// Part of the records that is embedded.
    pub fraction: f64,
    /// Which map.
    pub kind: BridgeKind,
    /// Seed of the sample.
    pub seed: u64,
    /// Least recall on held-out records.
    pub min_recall: f64,
}

/// How the map came out.
#[derive(Debug, Clone, Serialize)]
pub struct BridgeReport {
    /// Which map.
    pub kind: BridgeKind,
    /// Records that it was fitted on.
    pub fitted: u64,
    /// Records that judged it.
    pub held_out: u64,
    /// Share of true neighbours found among mapped vectors, by queries of the new model.
    pub recall: f64,
    /// Neighbours asked for.
    pub k: usize,
    /// Mean cosine of a mapped vector and the true one.
    pub cosine: f64,
    /// False if the recall is below the limit.
    pub fits: bool,
}

impl BridgeOptions {
    /// True if the record is embedded, and not mapped.
    pub fn samples(&self, namespace: Option<&str>, id: &str) -> bool {
        share(self.seed, namespace, id) < self.fraction
    }

    fn holds_out(&self, namespace: Option<&str>, id: &str) -> bool {
        share(self.seed ^ 0x9e37_79b9_7f4a_7c15, namespace, id) < HELD_OUT
    }
}

/// A number of 0..1 that belongs to the record.
fn share(seed: u64, namespace: Option<&str>, id: &str) -> f64 {
    let key = [namespace.unwrap_or("").as_bytes(), &[0], id.as_bytes()].concat();
    (xxh3_64_with_seed(&key, seed) >> 11) as f64 / (1u64 << 53) as f64
}

/// The map.
#[derive(Debug, Clone)]
pub struct Bridge {
    matrix: Vec<f32>,
    offset: Vec<f32>,
    old_dims: usize,
    normalised: bool,
}

impl Bridge {
    /// Appends the new vector of an old one.
    pub fn map(&self, old: &[f32], out: &mut Vec<f32>) {
        let start = out.len();
        let old = prepared(old, self.normalised);
        out.extend(
            self.matrix.chunks_exact(self.old_dims).zip(&self.offset).map(|(row, offset)| dot(row, &old) + offset),
        );
        if self.normalised {
            to_unit(&mut out[start..]);
        }
    }
}

/// Old vectors of any length become new ones of unit length, so only their direction counts.
fn prepared(old: &[f32], normalised: bool) -> Vec<f32> {
    let mut old = old.to_vec();
    if normalised {
        to_unit(&mut old);
    }
    old
}

/// Scales to unit length; zeros stay.
pub fn to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// Collects pairs of old and new vectors and fits the map.
pub struct Fitter<'a> {
    options: &'a BridgeOptions,
    old_dims: usize,
    new_dims: usize,
    normalised: bool,
    /// Sum of new x old', new_dims x width; for the affine map each old vector ends with 1.
    cross: Vec<f64>,
    /// Sum of old x old', width x width, for the affine map.
    gram: Vec<f64>,
    squares: f64,
    fitted: u64,
    held: Vec<(Vec<f32>, Vec<f32>)>,
}

impl<'a> Fitter<'a> {
    /// No pairs yet.
    pub fn new(options: &'a BridgeOptions, old_dims: usize, new_dims: usize, normalised: bool) -> Self {
        let affine = options.kind == BridgeKind::Affine;
        let width = old_dims + usize::from(affine);
        let gram = if affine { vec![0.0; width * width] } else { Vec::new() };
        let cross = vec![0.0; new_dims * width];
        Fitter { options, old_dims, new_dims, normalised, cross, gram, squares: 0.0, fitted: 0, held: Vec::new() }
    }

    /// Takes one sampled record.
    pub fn add(&mut self, namespace: Option<&str>, id: &str, old: &[f32], new: &[f32]) {
        if self.options.holds_out(namespace, id) {
            if self.held.len() < MAX_HELD {
                self.held.push((old.to_vec(), new.to_vec()));
            }
            return;
        }
        self.fitted += 1;
        let mut x: Vec<f64> = prepared(old, self.normalised).into_iter().map(f64::from).collect();
        self.squares += x.iter().map(|x| x * x).sum::<f64>();
        if self.options.kind == BridgeKind::Affine {
            x.push(1.0);
            add_outer(&mut self.gram, x.iter().copied(), &x);
        }
        add_outer(&mut self.cross, new.iter().map(|y| f64::from(*y)), &x);
    }

    /// The map and how well it does.
    pub fn fit(self, metric: Metric) -> Result<(Bridge, BridgeReport)> {
        if self.held.len() < MIN_HELD || self.fitted < MIN_HELD as u64 {
            return Err(Error::usage(format!(
                "the sample of the bridge has {} records to fit and {} to judge by: {MIN_HELD} of each are the least",
                self.fitted,
                self.held.len()
            ))
            .hint("give a larger --bridge, or leave it out"));
        }
        let bridge = match self.options.kind {
            BridgeKind::Orthogonal => self.rotation(),
            BridgeKind::Affine => self.affine()?,
        };
        let mapped: Vec<Vec<f32>> = self.held.iter().map(|(old, _)| mapped(&bridge, old)).collect();
        let truth: Vec<&[f32]> = self.held.iter().map(|(_, new)| new.as_slice()).collect();
        let recall = recall(&truth, &mapped.iter().map(Vec::as_slice).collect::<Vec<_>>(), metric);
        let cosines =
            truth.iter().zip(&mapped).map(|(truth, mapped)| f64::from(cosine_similarity(truth, mapped).unwrap_or(0.0)));
        let report = BridgeReport {
            kind: self.options.kind,
            fitted: self.fitted,
            held_out: truth.len() as u64,
            recall,
            k: NEIGHBOURS,
            cosine: cosines.sum::<f64>() / truth.len() as f64,
            fits: recall >= self.options.min_recall,
        };
        Ok((bridge, report))
    }

    fn bridge(&self, matrix: Vec<f32>, offset: Vec<f32>) -> Bridge {
        Bridge { matrix, offset, old_dims: self.old_dims, normalised: self.normalised }
    }

    fn rotation(&self) -> Bridge {
        let (rotation, sum) = nearest_orthogonal(&self.cross, self.new_dims, self.old_dims);
        let factor = if self.squares > 0.0 { sum / self.squares } else { 0.0 };
        self.bridge(rotation.into_iter().map(|x| (x * factor) as f32).collect(), vec![0.0; self.new_dims])
    }

    fn affine(&self) -> Result<Bridge> {
        let width = self.old_dims + 1;
        let (mut gram, mut rows) = (self.gram.clone(), self.cross.clone());
        let ridge = RIDGE * self.squares / self.old_dims as f64;
        (0..self.old_dims).for_each(|i| gram[i * width + i] += ridge);
        solve(&mut gram, width, &mut rows).ok_or_else(|| {
            Error::usage("no affine map fits the sample").hint("give a larger --bridge, or --bridge-map orthogonal")
        })?;
        let matrix = rows.chunks_exact(width).flat_map(|row| row[..self.old_dims].iter().map(|x| *x as f32)).collect();
        let offset = rows.chunks_exact(width).map(|row| row[self.old_dims] as f32).collect();
        Ok(self.bridge(matrix, offset))
    }
}

fn mapped(bridge: &Bridge, old: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    bridge.map(old, &mut out);
    out
}

fn add_outer(sum: &mut [f64], left: impl Iterator<Item = f64>, right: &[f64]) {
    for (row, x) in sum.chunks_exact_mut(right.len()).zip(left) {
        row.iter_mut().zip(right).for_each(|(sum, y)| *sum += x * y);
    }
}

/// Mean share of the true neighbours of each true vector that are its neighbours among the mapped ones.
fn recall(truth: &[&[f32]], mapped: &[&[f32]], metric: Metric) -> f64 {
    let found: usize = truth
        .iter()
        .enumerate()
        .map(|(query, vector)| {
            let expected = nearest(vector, truth, query, metric);
            nearest(vector, mapped, query, metric).iter().filter(|row| expected.contains(row)).count()
        })
        .sum();
    found as f64 / (truth.len() * NEIGHBOURS) as f64
}

fn nearest(query: &[f32], base: &[&[f32]], without: usize, metric: Metric) -> Vec<usize> {
    let score = |row: &[f32]| match metric {
        Metric::Dot => -dot(query, row),
        Metric::L2 => l2_squared(query, row),
        Metric::L1 => l1(query, row),
        Metric::Cosine | Metric::Hamming | Metric::Jaccard => -cosine_similarity(query, row).unwrap_or(-1.0),
    };
    let scored = base.iter().enumerate().filter(|(row, _)| *row != without);
    let mut scored: Vec<(f32, usize)> = scored.map(|(row, vector)| (score(vector), row)).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    scored.into_iter().take(NEIGHBOURS).map(|(_, row)| row).collect()
}

/// A map that does not do needs consent.
pub fn refuse_unfit(report: &BridgeReport, options: &BridgeOptions, allowed: &[String]) -> Result<()> {
    if report.fits || allowed.iter().any(|code| code == UNFIT) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LossDenied,
        format!("the bridge finds {:.3} of the true neighbours, {} are asked for: the two spaces do not fit", report.recall, options.min_recall),
    )
    .with("fitted on", report.fitted)
    .with("held out", report.held_out)
    .hint(format!(
        "re-embed everything (leave --bridge out: the sample is in the cache), try another --bridge-map or a larger sample, or accept with --allow-loss {UNFIT}"
    )))
}

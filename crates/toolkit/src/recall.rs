//! Will search still answer the same: fills two vector sets from two sources and compares their answers.
//!
//! A set that is too large for the memory budget is sampled by id digest, so that both sides are cut alike: a record
//! is in the sample of A exactly if it is in the sample of B. Equal fingerprints prove exact overlap.

use std::path::PathBuf;
use std::time::Duration;

use tranship_collection::digest::Digester;
use tranship_collection::{BatchView, SetFingerprint, VectorKind, VectorValue};
use tranship_connector::{Error, Mapping, OpenOptions, Result};
use tranship_pipeline::execute;
pub use tranship_recall::RecallReport;
use tranship_recall::{QueryChoice, VectorSet, VectorSetBuilder};
use tranship_verify::{Form, Side, fingerprint};

use crate::open;
use crate::settings::Settings;
use crate::verify::read_mapping;

/// What to compare and how much of it.
#[derive(Debug, Clone)]
pub struct RecallOptions {
    /// Locator of the source.
    pub a: String,
    /// Locator of the target.
    pub b: String,
    /// How to open A.
    pub open_a: OpenOptions,
    /// How to open B.
    pub open_b: OpenOptions,
    /// `mapping.json` of the bundle that B came through.
    pub mapping: Option<PathBuf>,
    /// Which vector; the unnamed one, or the only one.
    pub vector: Option<String>,
    /// Neighbours per query.
    pub k: usize,
    /// Queries sampled from A.
    pub queries: usize,
    /// Largest set that is searched; above it both sides are sampled.
    pub max_rows: usize,
    /// Time to keep to.
    pub budget: Option<Duration>,
    /// Seed of the samples.
    pub seed: u64,
}

impl Default for RecallOptions {
    fn default() -> Self {
        RecallOptions {
            a: String::new(),
            b: String::new(),
            open_a: OpenOptions::default(),
            open_b: OpenOptions::default(),
            mapping: None,
            vector: None,
            k: 10,
            queries: 1_000,
            max_rows: 100_000,
            budget: None,
            seed: 42,
        }
    }
}

/// Measures recall; `None` if neither side has a dense vector or any record with one.
pub fn recall(options: &RecallOptions, settings: &Settings<'_>) -> Result<Option<RecallReport>> {
    let opened_a = open::source(&options.a, &options.open_a)?;
    let opened_b = open::source(&options.b, &options.open_b)?;
    let mapping = options.mapping.as_deref().map(read_mapping).transpose()?;
    let (scratch_a, scratch_b) = (settings.scratch()?, settings.scratch()?);
    let split_bytes = 16 << 20;
    let prepared_a = open::prepare(&*opened_a.source, settings.prepare_bytes() / 2, split_bytes, scratch_a.path())?;
    let prepared_b = open::prepare(&*opened_b.source, settings.prepare_bytes() / 2, split_bytes, scratch_b.path())?;
    let (form_a, form_b) = forms(mapping.as_ref());
    let side_a = Side::new(&opened_a.label, &*prepared_a, form_a);
    let side_b = Side::new(&opened_b.label, &*prepared_b, form_b);
    let Some(name) = vector_name(&side_a, options)? else { return Ok(None) };

    let (set_a, set_b) = (fingerprint(&side_a, settings.engine())?, fingerprint(&side_b, settings.engine())?);
    let component = tranship_collection::fingerprint::vector_component(&name);
    let populations = (set_a.total(&component).count as usize, set_b.total(&component).count as usize);
    if populations.0 == 0 && populations.1 == 0 {
        return Ok(None);
    }
    let threshold = threshold(&side_a, &name, populations.0.max(populations.1), options, settings);
    let a = load(&side_a, &name, threshold, populations.0, settings)?;
    let b = load(&side_b, &name, threshold, populations.1, settings)?;
    let index = |side: &Side<'_>| side.schema().vector(&name).and_then(|spec| spec.index.clone());
    let recall_options = tranship_recall::RecallOptions {
        k: options.k,
        queries: QueryChoice::Sample(options.queries),
        seed: options.seed,
        identical: same_vectors(&set_a, &set_b, &component),
        index_a: index(&side_a),
        index_b: index(&side_b),
        population_a: Some(populations.0),
        population_b: Some(populations.1),
        time_budget: options.budget,
        ..tranship_recall::RecallOptions::default()
    };
    let pool = rayon_pool(settings)?;
    tranship_recall::compare(&a, &b, &recall_options, &pool).map(Some)
}

fn forms(mapping: Option<&Mapping>) -> (Form<'_>, Form<'_>) {
    match mapping {
        Some(mapping) => (Form::Projected(mapping), Form::Undone(mapping)),
        None => (Form::AsRead, Form::AsRead),
    }
}

/// Equal sums of ids and vectors: the same records have the same vectors.
fn same_vectors(a: &SetFingerprint, b: &SetFingerprint, component: &str) -> bool {
    [component, "id"].iter().all(|name| a.total(name) == b.total(name))
}

fn rayon_pool(settings: &Settings<'_>) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(settings.threads.max(1))
        .build()
        .map_err(|e| Error::bug("cannot start the worker threads").caused_by(e))
}

fn vector_name(side: &Side<'_>, options: &RecallOptions) -> Result<Option<String>> {
    let dense = || side.schema().stored_vectors().filter(|spec| spec.kind == VectorKind::Dense);
    if let Some(name) = &options.vector {
        let found = dense().find(|spec| &spec.name == name);
        if side.schema().vector(name).is_some_and(|spec| spec.kind == VectorKind::Bits) {
            return Err(Error::usage(format!("`{name}` is a bit vector: recall is measured for dense vectors only"))
                .hint("compare with `tranship verify` instead"));
        }
        return found.map(|spec| Some(spec.name.clone())).ok_or_else(|| {
            let shown = |name: &str| if name.is_empty() { "the unnamed one".to_owned() } else { format!("`{name}`") };
            let names: Vec<String> = dense().map(|spec| shown(&spec.name)).collect();
            Error::usage(format!("there is no dense vector `{name}`")).hint(format!("there are: {}", names.join(", ")))
        });
    }
    Ok(dense().find(|spec| spec.name.is_empty()).or_else(|| dense().next()).map(|spec| spec.name.clone()))
}

/// Id digests up to this are in the sample.
fn threshold(side: &Side<'_>, name: &str, population: usize, options: &RecallOptions, settings: &Settings<'_>) -> u128 {
    let dim = side.schema().vector(name).and_then(|spec| spec.dim).unwrap_or(1);
    // Two sets, each with its graph's own copy, must fit beside everything else.
    let row_bytes = VectorSet::bytes_for(1, dim, 32).max(1);
    let affordable = (settings.memory_bytes / 4) as usize / (2 * row_bytes);
    let rows = options.max_rows.min(affordable.max(1));
    if population <= rows { u128::MAX } else { u128::MAX / population as u128 * rows as u128 }
}

fn load(side: &Side<'_>, name: &str, threshold: u128, population: usize, settings: &Settings<'_>) -> Result<VectorSet> {
    let spec =
        side.schema().vector(name).ok_or_else(|| Error::usage(format!("{} has no vector `{name}`", side.label)))?;
    let metric = spec.metric.ok_or_else(|| {
        Error::usage(format!("{} declares no metric", side.label)).hint("say which, as in --metric cosine")
    })?;
    let expected = (population as f64 * (threshold as f64 / u128::MAX as f64)) as usize;
    let mut set = VectorSetBuilder::new(spec.dim.unwrap_or(0), metric, expected)?.element(spec.element);
    execute(
        side.prepared,
        settings.engine(),
        16 << 20,
        |_| Ok(None),
        |split, stop| {
            let (ordinal, mut rows, mut digester) = (split.ordinal, Vec::new(), Digester::default());
            side.each_batch(split, |batch, before| {
                stop.check()?;
                let view =
                    BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, before, &fault))?;
                let Some(column) = view.vector_specs().position(|spec| spec.name == name) else { return Ok(()) };
                for row in 0..view.len() {
                    if digester.id(view.namespace(row), view.id_kind(row) as u8, view.id(row)) > threshold {
                        continue;
                    }
                    let values = match view.vector(column, row) {
                        Some(VectorValue::Dense(values)) => values.to_vec(),
                        Some(VectorValue::Widened(values)) => values,
                        _ => continue,
                    };
                    rows.push((view.namespace(row).map(str::to_owned), view.id(row).to_owned(), values));
                }
                Ok(())
            })?;
            Ok(rows)
        },
        |rows| rows.iter().try_for_each(|(namespace, id, values)| set.push(namespace.as_deref(), id, values)),
    )?;
    set.finish()
}

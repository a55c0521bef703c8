//! Two sides that are compared vector by vector: opened, read once for their fingerprints, and held in memory.
//!
//! A set that is too large for the memory budget is sampled by id digest, so that both sides are cut alike: a record
//! is in the sample of A exactly if it is in the sample of B.

use serde_json::Value;
use tranship_collection::digest::Digester;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{
    BatchView, Filter, IndexSpec, Metric, ServedGraph, SetFingerprint, VectorKind, VectorSpec, VectorValue,
};
use tranship_connector::{Error, Mapping, Result, Source};
use tranship_pipeline::execute;
use tranship_recall::scores::{FORMS, ScoreForm};
use tranship_recall::{HnswSettings, Passing, VectorSet, VectorSetBuilder};
use tranship_verify::{Form, Side, fingerprint};

use super::RecallOptions;
use crate::open;
use crate::settings::Settings;
use crate::verify::read_mapping;

/// Bytes of source that a split of a comparison has.
const SPLIT_BYTES: u64 = 16 << 20;

/// Bytes that an id has on average, at most.
const ID_BYTES: usize = 32;

/// Both sides, ready to be loaded.
pub(super) struct Sides<'a> {
    pub(super) a: Side<'a>,
    pub(super) b: Side<'a>,
    source_a: &'a dyn Source,
    source_b: &'a dyn Source,
    /// Name of the vector.
    pub(super) name: String,
    /// Vectors of either side.
    pub(super) populations: (usize, usize),
    /// Equal sums of ids and vectors: the same records have the same vectors.
    pub(super) identical: bool,
    /// Connectors that read the sides.
    connectors: (&'static str, &'static str),
    threshold: u128,
    pub(super) settings: &'a Settings<'a>,
}

/// Opens both sides and hands them to `work`; none if neither has a dense vector or any record with one.
pub(super) fn with_sides<T>(
    options: &RecallOptions,
    settings: &Settings<'_>,
    work: impl FnOnce(&Sides<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let opened_a = open::source(&options.a, &options.open_a)?;
    let opened_b = open::source(&options.b, &options.open_b)?;
    let mapping = options.mapping.as_deref().map(read_mapping).transpose()?;
    let (scratch_a, scratch_b) = (settings.scratch()?, settings.scratch()?);
    let prepared_a = open::prepare(&*opened_a.source, settings.prepare_bytes() / 2, SPLIT_BYTES, scratch_a.path())?;
    let prepared_b = open::prepare(&*opened_b.source, settings.prepare_bytes() / 2, SPLIT_BYTES, scratch_b.path())?;
    let (form_a, form_b) = forms(mapping.as_ref());
    let a = Side::new(&opened_a.label, &*prepared_a, form_a);
    let b = Side::new(&opened_b.label, &*prepared_b, form_b);
    let Some(name) = vector_name(&a, options)? else { return Ok(None) };

    let (set_a, set_b) = (fingerprint(&a, settings.engine())?, fingerprint(&b, settings.engine())?);
    let component = vector_component(&name);
    let populations = (set_a.total(&component).count as usize, set_b.total(&component).count as usize);
    if populations.0 == 0 && populations.1 == 0 {
        return Ok(None);
    }
    let threshold = threshold(&a, &name, populations.0.max(populations.1), options, settings);
    let sides = Sides {
        a,
        b,
        source_a: &*opened_a.source,
        source_b: &*opened_b.source,
        name,
        populations,
        identical: same_vectors(&set_a, &set_b, &component),
        connectors: (opened_a.connector.name, opened_b.connector.name),
        threshold,
        settings,
    };
    work(&sides).map(Some)
}

impl Sides<'_> {
    /// The vectors of A, or of the sample.
    pub(super) fn load_a(&self) -> Result<VectorSet> {
        load(&self.a, &self.name, self.threshold, self.populations.0, &[], self.settings).map(|(set, _)| set)
    }

    /// The vectors of B, or of the sample.
    pub(super) fn load_b(&self) -> Result<VectorSet> {
        load(&self.b, &self.name, self.threshold, self.populations.1, &[], self.settings).map(|(set, _)| set)
    }

    /// The vectors of both sides, and which rows pass each filter.
    pub(super) fn load_filtered(&self, filters: &[Filter]) -> Result<[(VectorSet, Vec<Passing>); 2]> {
        let bits = (self.populations.0 + self.populations.1) as u64 / 4 * filters.len() as u64;
        if bits > self.settings.memory_bytes / 8 {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            return Err(Error::limit(format!(
                "{} filters over {} records take {} MiB",
                filters.len(),
                self.populations.0 + self.populations.1,
                mib(bits)
            ))
            .hint(format!("give at least --memory {}MiB, or replay the log in parts", mib(8 * bits))));
        }
        let a = load(&self.a, &self.name, self.threshold, self.populations.0, filters, self.settings)?;
        let b = load(&self.b, &self.name, self.threshold, self.populations.1, filters, self.settings)?;
        Ok([a, b])
    }

    /// What A declares of the vector.
    pub(super) fn spec_a(&self) -> Option<&VectorSpec> {
        self.a.schema().vector(&self.name)
    }

    /// What B declares of the vector.
    pub(super) fn spec_b(&self) -> Option<&VectorSpec> {
        self.b.schema().vector(&self.name)
    }

    /// Whether records were left out for memory.
    pub(super) fn is_sampled(&self) -> bool {
        self.threshold != u128::MAX
    }

    /// What the database of A prints as a score, or the one of this name.
    pub(super) fn scores_a(&self, named: Option<&str>) -> Result<ScoreForm> {
        score_form(&self.a, self.spec_a(), named, self.connectors.0, "--source-scores")
    }

    /// What the database of B prints as a score, or the one of this name.
    pub(super) fn scores_b(&self, named: Option<&str>) -> Result<ScoreForm> {
        score_form(&self.b, self.spec_b(), named, self.connectors.1, "--target-scores")
    }

    /// The graphs that the dumps carry, as far as they can be compared with what is loaded; notes say why not.
    pub(super) fn served(
        &self,
        form_is_own: bool,
        notes: &mut Vec<String>,
    ) -> Result<(Option<ServedGraph>, Option<ServedGraph>)> {
        let mut read = |source: &dyn Source,
                        spec: Option<&VectorSpec>,
                        rows: usize,
                        side: &str|
         -> Result<Option<ServedGraph>> {
            if !form_is_own {
                return Ok(None);
            }
            if self.is_sampled() && matches!(spec.and_then(|spec| spec.index.as_ref()), Some(IndexSpec::Hnsw { .. })) {
                // Whether there is a graph is known only by reading it.
                notes.push(format!(
                    "{side}: a sample is searched, so a graph that its dump may carry is not: search all {rows} with --max-rows {rows} and enough --memory"
                ));
                return Ok(None);
            }
            if self.is_sampled() {
                return Ok(None);
            }
            let bytes = graph_bytes(spec, rows);
            let room = self.settings.memory_bytes / 4;
            if bytes > room {
                let mib = |bytes: u64| bytes.div_ceil(1 << 20);
                notes.push(format!(
                    "{side}: a graph that its dump may carry is not read: it takes about {} MiB, a quarter of --memory is {} MiB",
                    mib(bytes),
                    mib(room)
                ));
                return Ok(None);
            }
            source.served_graph(&self.name)
        };
        let a = read(self.source_a, self.spec_a(), self.populations.0, "A")?;
        let b = read(self.source_b, self.spec_b(), self.populations.1, "B")?;
        Ok((a, b))
    }
}

/// The form of a side's scores: of the database that is named, that reads the files, or that an archive came from.
fn score_form(
    side: &Side<'_>,
    spec: Option<&VectorSpec>,
    named: Option<&str>,
    connector: &str,
    option: &str,
) -> Result<ScoreForm> {
    let metric = spec.and_then(|spec| spec.metric);
    let origins = side.schema().vendor.keys().map(String::as_str);
    let names: Vec<&str> = named.map_or_else(|| std::iter::once(connector).chain(origins).collect(), |name| vec![name]);
    let form = metric.and_then(|metric| names.iter().find_map(|name| ScoreForm::of(name, metric)));
    form.ok_or_else(|| {
        let mut known: Vec<&str> = FORMS.iter().map(|(name, ..)| *name).collect();
        known.dedup();
        let metric = metric.map_or("an unknown metric", Metric::name);
        Error::usage(format!("it is not known which scores {} gives under {metric}", side.label))
            .hint(format!("name a database with {option}: {}", known.join(", ")))
    })
}

/// Bytes that a graph of a dump takes in memory: its vectors, its links and who they belong to.
fn graph_bytes(spec: Option<&VectorSpec>, rows: usize) -> u64 {
    let dim = spec.and_then(|spec| spec.dim).unwrap_or(1) as u64;
    let m = match spec.and_then(|spec| spec.index.as_ref()) {
        Some(IndexSpec::Hnsw { m, .. }) => u64::from(*m),
        _ => 16,
    };
    (rows as u64).saturating_mul(4 * dim + 12 * m + 120)
}

fn forms(mapping: Option<&Mapping>) -> (Form<'_>, Form<'_>) {
    match mapping {
        Some(mapping) => (Form::Projected(mapping), Form::Undone(mapping)),
        None => (Form::AsRead, Form::AsRead),
    }
}

fn same_vectors(a: &SetFingerprint, b: &SetFingerprint, component: &str) -> bool {
    [component, "id"].iter().all(|name| a.total(name) == b.total(name))
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
    let spec = side.schema().vector(name);
    let dim = spec.and_then(|spec| spec.dim).unwrap_or(1);
    let (declared, _) = HnswSettings::from_spec(spec.and_then(|spec| spec.index.as_ref()));
    let graph = HnswSettings { m: options.index_b.m.unwrap_or(0), ..HnswSettings::default() };
    let m = declared.unwrap_or_default().m.max(graph.m);
    // Both sets and one graph at a time must fit into half the memory; the rest is for what dumps carry.
    let graph_bytes = HnswSettings { m, ..graph }.graph_bytes(options.engine, 1, dim);
    let row_bytes = 2 * VectorSet::bytes_for(1, dim, ID_BYTES) + graph_bytes;
    let affordable = (settings.memory_bytes / 2) as usize / row_bytes.max(1);
    let rows = options.max_rows.min(affordable.max(1));
    if population <= rows { u128::MAX } else { u128::MAX / population as u128 * rows as u128 }
}

fn load(
    side: &Side<'_>,
    name: &str,
    threshold: u128,
    population: usize,
    filters: &[Filter],
    settings: &Settings<'_>,
) -> Result<(VectorSet, Vec<Passing>)> {
    let spec =
        side.schema().vector(name).ok_or_else(|| Error::usage(format!("{} has no vector `{name}`", side.label)))?;
    let metric = spec.metric.ok_or_else(|| {
        Error::usage(format!("{} declares no metric", side.label)).hint("say which, as in --metric cosine")
    })?;
    let expected = (population as f64 * (threshold as f64 / u128::MAX as f64)) as usize;
    let mut set = VectorSetBuilder::new(spec.dim.unwrap_or(0), metric, expected)?.element(spec.element);
    let (mut passing, mut row) = (vec![Passing::default(); filters.len()], 0);
    let pick = |view: &BatchView<'_>, at: usize, digester: &mut Digester| {
        let column = view.vector_specs().position(|spec| spec.name == name)?;
        if digester.id(view.namespace(at), view.id_kind(at) as u8, view.id(at)) > threshold {
            return None;
        }
        let values = match view.vector(column, at)? {
            VectorValue::Dense(values) => values.to_vec(),
            VectorValue::Widened(values) => values,
            _ => return None,
        };
        let marks = marks(filters, view.metadata(at));
        Some((view.namespace(at).map(str::to_owned), view.id(at).to_owned(), values, marks))
    };
    scan(side, settings, pick, |(namespace, id, values, marks)| {
        set.push(namespace.as_deref(), &id, &values)?;
        for (passing, (strictly, loosely)) in passing.iter_mut().zip(marks) {
            if strictly {
                passing.strictly.mark(row);
            }
            if loosely {
                passing.loosely.mark(row);
            }
        }
        row += 1;
        Ok(())
    })?;
    Ok((set.finish()?, passing))
}

/// Whether metadata passes each filter, strictly and loosely.
fn marks(filters: &[Filter], metadata: Option<&str>) -> Vec<(bool, bool)> {
    if filters.is_empty() {
        return Vec::new();
    }
    let record = metadata_value(metadata);
    filters.iter().map(|filter| (filter.passes(&record), filter.passes_loosely(&record))).collect()
}

/// Metadata as a value; the batches were checked, so what does not parse is nothing but numbers beyond f64.
pub(super) fn metadata_value(metadata: Option<&str>) -> Value {
    metadata.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}

/// Shows every record of a side to `pick` on the worker threads, and what it picks, in order, to `take`.
pub(super) fn scan<T: Send>(
    side: &Side<'_>,
    settings: &Settings<'_>,
    pick: impl Fn(&BatchView<'_>, usize, &mut Digester) -> Option<T> + Sync,
    mut take: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    execute(
        side.prepared,
        settings.engine(),
        SPLIT_BYTES,
        |_| Ok(None),
        |split, stop| {
            let (ordinal, mut picked, mut digester) = (split.ordinal, Vec::new(), Digester::default());
            side.each_batch(split, |batch, before| {
                stop.check()?;
                let view =
                    BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, before, &fault))?;
                picked.extend((0..view.len()).filter_map(|row| pick(&view, row, &mut digester)));
                Ok(())
            })?;
            Ok(picked)
        },
        |picked| picked.into_iter().try_for_each(&mut take),
    )
}

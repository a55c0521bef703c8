//! Replaying a log of queries on both sides, and comparing two embedding models.
//!
//! Filters are checked while vectors are loaded, so that no metadata is held; of the records whose match changed, the
//! first are read once more to say what happened to them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use tranship_collection::Filter;
use tranship_collection::filter::Field;
use tranship_connector::{Error, Result};
use tranship_recall::replay::FilterFlips;
use tranship_recall::{Asked, Judgements, LoggedQuery, QuerySet, RecallReport, Replay, ReplayReport, VectorSet};
use tranship_verify::Side;

use super::log::{FilterDialect, QueryLog, read_text};
use super::sides::{Sides, metadata_value, scan, with_sides};
use super::{RecallOptions, compare, rayon_pool};
use crate::settings::Settings;

/// What is asked beside records of A.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// A log of queries.
    pub log: Option<PathBuf>,
    /// The dialect of its filters, neutral unless given.
    pub dialect: Option<String>,
    /// Judgements of the answers.
    pub judgements: Option<PathBuf>,
    /// Least overlap that was asked for; that of two models has no standard.
    pub min_overlap: Option<f64>,
}

/// Either kind of answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Certificate {
    /// Records of A were asked, and indexes measured.
    Recall(Box<RecallReport>),
    /// A log was asked, or models compared.
    Replay(Box<ReplayReport>),
}

impl Certificate {
    /// Whether all thresholds are met.
    pub fn passes(&self) -> bool {
        match self {
            Certificate::Recall(report) => report.passes,
            Certificate::Replay(report) => report.passes,
        }
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Certificate::Recall(report) => report.lines(),
            Certificate::Replay(report) => report.lines(),
        }
    }
}

/// Compares the two sides as their vectors allow: by recall, by a log, or as two models. `None` as for [`super::recall`].
pub fn certify(options: &RecallOptions, questions: &Questions, settings: &Settings<'_>) -> Result<Option<Certificate>> {
    let dialect = FilterDialect::named(questions.dialect.as_deref().unwrap_or("neutral"))?;
    let log = questions.log.as_deref().map(|path| QueryLog::read(path, dialect, options.k, settings.memory_bytes));
    let log = log.transpose()?;
    let judgements = questions.judgements.as_deref().map(|path| read_judgements(path, settings)).transpose()?;
    with_sides(options, settings, |sides| match log {
        None if !differs(sides) && judgements.is_none() => {
            compare(options, sides).map(|report| Certificate::Recall(Box::new(report)))
        }
        log => {
            let report = replay(options, questions, log, judgements.unwrap_or_default(), sides)?;
            Ok(Certificate::Replay(Box::new(report)))
        }
    })
}

fn read_judgements(path: &Path, settings: &Settings<'_>) -> Result<Judgements> {
    let text = read_text(path, settings.memory_bytes / 8, "the judgements")?;
    Judgements::read(&text, &path.display().to_string())
}

/// Whether vectors of the two sides have nothing to do with each other.
fn differs(sides: &Sides<'_>) -> bool {
    let (Some(a), Some(b)) = (sides.spec_a(), sides.spec_b()) else { return false };
    let models = a.model.as_ref().zip(b.model.as_ref()).is_some_and(|(a, b)| a != b);
    models || a.dim.zip(b.dim).is_some_and(|(a, b)| a != b)
}

fn replay(
    options: &RecallOptions,
    questions: &Questions,
    log: Option<QueryLog>,
    judgements: Judgements,
    sides: &Sides<'_>,
) -> Result<ReplayReport> {
    let different_models = differs(sides);
    let filters = log.as_ref().map(|log| log.filters.clone()).unwrap_or_default();
    let [(a, passing_a), (b, passing_b)] = sides.load_filtered(&filters)?;
    let queries = log.map_or_else(|| sampled(&a, &b, options), |log| log.queries);
    let mut thresholds = options.thresholds;
    if different_models {
        thresholds.min_overlap = questions.min_overlap.unwrap_or(0.0);
    }
    let asked = Replay {
        queries: &queries,
        passing_a: &passing_a,
        passing_b: &passing_b,
        different_models,
        judgements: &judgements,
        thresholds,
    };
    let pool = rayon_pool(sides.settings)?;
    let mut report = tranship_recall::replay(&a, &b, &asked, &pool)?;
    if sides.is_sampled() {
        report.notes.push(format!(
            "searched samples of {} of {} and {} of {} records, cut alike",
            a.len(),
            sides.populations.0,
            b.len(),
            sides.populations.1
        ));
    }
    explain(&mut report.filters, &filters, sides)?;
    Ok(report)
}

/// Records of both sides as queries.
fn sampled(a: &VectorSet, b: &VectorSet, options: &RecallOptions) -> Vec<LoggedQuery> {
    let rows = QuerySet::sampled_rows(a, a.len(), options.seed);
    let keys = rows.into_iter().map(|row| (a.namespace(row), a.id(row)));
    let common = keys.filter(|(namespace, id)| b.find_named(*namespace, id).is_some()).take(options.queries);
    common
        .map(|(namespace, id)| LoggedQuery {
            label: id.to_owned(),
            k: options.k,
            namespace: None,
            asked: Asked::Id { namespace: namespace.map(str::to_owned), id: id.to_owned() },
            filter: None,
        })
        .collect()
}

type Key = (Option<String>, String);

/// Says what happened to the metadata of the records that are named.
fn explain(flips: &mut [FilterFlips], filters: &[Filter], sides: &Sides<'_>) -> Result<()> {
    let wanted: HashMap<Key, ()> = flips
        .iter()
        .flat_map(|flips| &flips.records)
        .map(|flip| ((flip.namespace.clone(), flip.id.clone()), ()))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let (here, there) = (metadata(&sides.a, &wanted, sides)?, metadata(&sides.b, &wanted, sides)?);
    for flips in flips {
        let fields = filters.get(flips.filter).map(Filter::fields).unwrap_or_default();
        for flip in &mut flips.records {
            let key = (flip.namespace.clone(), flip.id.clone());
            let (a, b) = (here.get(&key).unwrap_or(&Value::Null), there.get(&key).unwrap_or(&Value::Null));
            let changes: Vec<String> = fields.iter().filter_map(|field| change(field, a, b)).collect();
            flip.what = changes.join("; ");
        }
    }
    Ok(())
}

fn metadata(side: &Side<'_>, wanted: &HashMap<Key, ()>, sides: &Sides<'_>) -> Result<HashMap<Key, Value>> {
    let mut found = HashMap::new();
    scan(
        side,
        sides.settings,
        |view, row, _| {
            let key = (view.namespace(row).map(str::to_owned), view.id(row).to_owned());
            wanted.contains_key(&key).then(|| (key, metadata_value(view.metadata(row))))
        },
        |(key, value)| {
            found.insert(key, value);
            Ok::<(), Error>(())
        },
    )?;
    Ok(found)
}

/// What became of a field; none if it is as it was.
fn change(field: &Field, a: &Value, b: &Value) -> Option<String> {
    let name = &field.name;
    match (field.value(a), field.value(b)) {
        (x, y) if x == y => None,
        (Some(x), Some(y)) => Some(format!("`{name}` is {} in A and {} in B", shown(x), shown(y))),
        (Some(x), None) => Some(match field.value_anywhere(b) {
            Some(_) => format!("`{name}` is {} in A and stands elsewhere in B: nested or flattened", shown(x)),
            None => format!("`{name}` is {} in A and missing in B", shown(x)),
        }),
        (None, Some(y)) => Some(match field.value_anywhere(a) {
            Some(_) => format!("`{name}` is {} in B and stands elsewhere in A: nested or flattened", shown(y)),
            None => format!("`{name}` is {} in B and missing in A", shown(y)),
        }),
        (None, None) => None,
    }
}

/// A value with its type, short.
fn shown(value: &Value) -> String {
    let kind = match value {
        Value::String(_) => "the text ",
        Value::Number(number) if number.is_f64() => "the float ",
        Value::Number(_) => "the integer ",
        _ => "",
    };
    let text: String = value.to_string().chars().take(60).collect();
    format!("{kind}{text}")
}

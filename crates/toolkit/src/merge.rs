//! Several sets into one archive: nodes, shards, acquisitions.
//!
//! Invariant: the archive holds every (namespace, id) of any input exactly once; which input it comes from is decided by
//! the policy, and how many records gave way is counted for each input. Sets of other vectors, metrics or models are
//! not mixed. Errors: usage (other form), damaged (an id twice, under the policy `fail`), limit (more ids than the
//! memory holds, under the others).

use std::collections::HashSet;

use serde::Serialize;
use tranship_collection::CollectionSchema;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{Error, Locator, OpenOptions, Prepared, Result};
use tranship_verify::conform::{Chained, Picked, Rows};
use tranship_verify::delta::common_schema;

use crate::diff::{ids_of, write_archive};
use crate::open;
use crate::providers::registry;
use crate::settings::Settings;

/// Whose record stays where several inputs have one of the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Nobody's: the run fails and names the id.
    Fail,
    /// That of the first input.
    First,
    /// That of the last input.
    Last,
}

/// What to merge.
#[derive(Debug, Clone)]
pub struct MergeOptions {
    /// Locators, in the order that the policy goes by.
    pub sources: Vec<String>,
    /// How to open them.
    pub open: OpenOptions,
    /// Locator of the archive.
    pub target: String,
    /// Who wins.
    pub policy: Policy,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct MergeReport {
    /// The archive.
    pub target: String,
    /// Records in it.
    pub records: u64,
    /// Its fingerprint.
    pub fingerprint: FingerprintSummary,
    /// What each input gave.
    pub inputs: Vec<MergedInput>,
}

/// One input.
#[derive(Debug, Clone, Serialize)]
pub struct MergedInput {
    /// Its locator.
    pub source: String,
    /// Records that are in the archive.
    pub taken: u64,
    /// Records that gave way to another input's.
    pub gave_way: u64,
}

/// Merges.
pub fn merge(options: &MergeOptions, settings: &Settings<'_>) -> Result<MergeReport> {
    let target = Locator::parse(&options.target, &registry());
    if target.provider.as_deref().is_some_and(|name| name != "archive") || target.is_stream() {
        return Err(Error::usage("sets are merged into an archive").hint("as in archive:./name.tranship; convert that"));
    }
    if options.sources.iter().any(|text| Locator::parse(text, &registry()).is_stream()) {
        return Err(Error::usage("a merge reads its inputs more than once, which standard input does not allow")
            .hint("put the set into a file first"));
    }
    let opened = options.sources.iter().map(|text| open::source(text, &options.open)).collect::<Result<Vec<_>>>()?;
    let scratch = settings.scratch()?;
    let memory = settings.prepare_bytes() / opened.len().max(1) as u64;
    let split_bytes = tranship_connector::source::SPLIT_BYTES;
    let prepared = opened
        .iter()
        .map(|opened| open::prepare(&*opened.source, memory, split_bytes, scratch.path()))
        .collect::<Result<Vec<_>>>()?;
    let schema = schema_of_all(&prepared, &options.sources)?;
    let taken = who_gives_way(&prepared, options.policy, settings)?;
    let mut parts = Vec::new();
    for (prepared, without) in prepared.iter().zip(taken) {
        parts.push(Picked::new(&**prepared, Rows::Without(without), schema.clone(), false)?);
    }
    let merged = Chained { parts, stated: None };
    let first = opened.first().ok_or_else(|| Error::usage("name the sets to merge"))?;
    let report = write_archive(&target.path, &*first.source, &merged, settings)?;
    let input = |(source, part): (&String, &Picked<'_>)| {
        let (taken, gave_way) = part.counts();
        MergedInput { source: source.clone(), taken, gave_way }
    };
    let inputs = options.sources.iter().zip(&merged.parts).map(input).collect();
    Ok(MergeReport { target: options.target.clone(), records: report.records, fingerprint: report.fingerprint, inputs })
}

fn schema_of_all(prepared: &[Box<dyn Prepared + '_>], labels: &[String]) -> Result<CollectionSchema> {
    let mut all = prepared.iter().zip(labels);
    let (first, _) = all.next().ok_or_else(|| Error::usage("name the sets to merge"))?;
    let mut schema = first.schema().clone();
    for (other, label) in all {
        let name = schema.name.clone();
        schema = common_schema(&schema, other.schema()).map_err(|e| e.with("in", label))?;
        schema.name = name;
        let model = |schema: &CollectionSchema| -> Vec<_> {
            schema.vectors.iter().filter_map(|v| Some((v.name.clone(), v.model.clone()?))).collect()
        };
        let (of_first, of_other) = (model(first.schema()), model(other.schema()));
        if !of_first.is_empty() && !of_other.is_empty() && of_first != of_other {
            return Err(Error::usage("the sets name different embedding models, whose vectors must not be mixed")
                .with("in", label)
                .hint("re-embed one of them first"));
        }
    }
    Ok(schema)
}

/// For each input the ids of those that go before it.
fn who_gives_way(
    prepared: &[Box<dyn Prepared + '_>],
    policy: Policy,
    settings: &Settings<'_>,
) -> Result<Vec<HashSet<u128>>> {
    let mut without = vec![HashSet::new(); prepared.len()];
    let order: Vec<usize> = match policy {
        Policy::Fail => return Ok(without),
        Policy::First => (0..prepared.len()).collect(),
        Policy::Last => (0..prepared.len()).rev().collect(),
    };
    for pair in order.windows(2) {
        let mut before = without[pair[0]].clone();
        before.extend(ids_of(&[&*prepared[pair[0]]], settings)?);
        without[pair[1]] = before;
    }
    Ok(without)
}

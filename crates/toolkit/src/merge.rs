//! Several sets into one archive: nodes, shards, acquisitions.
//!
//! Invariant: the archive holds every (namespace, id) of any input exactly once; which input it comes from is decided by
//! the policy, and how many records gave way is counted for each input. Sets of other vectors, metrics or models are
//! not mixed. The archive names the files of all inputs. Errors: usage (other form), damaged (an id twice, under the policy
//! `fail`).

use serde::Serialize;
use tranship_collection::CollectionSchema;
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{Error, Locator, OpenOptions, PrepareContext, Prepared, Result, Source};
use tranship_storage::SourceIdentity;
use tranship_verify::conform::{Chained, Picked, Rows};
use tranship_verify::delta::common_schema;
use tranship_verify::ids::{Repeated, repeated};
use tranship_verify::named::fetch;
use tranship_verify::{Form, Side};

use crate::diff::write_archive;
use crate::open::{self, Opened};
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
    /// Records that gave way.
    pub conflicts: u64,
    /// The first of them.
    pub first_conflicts: Vec<MergeConflict>,
}

/// One record that gave way.
#[derive(Debug, Clone, Serialize)]
pub struct MergeConflict {
    /// Its namespace and id.
    pub id: String,
    /// Whose record stays.
    pub kept: String,
    /// Whose record gave way.
    pub gave_way: String,
}

/// Conflicts named in a report; the others are counted.
const MAX_NAMED: usize = 100;

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
    let order: Vec<usize> = match options.policy {
        Policy::Fail => Vec::new(),
        Policy::First => (0..prepared.len()).collect(),
        Policy::Last => (0..prepared.len()).rev().collect(),
    };
    let sides: Vec<Side<'_>> =
        order.iter().map(|input| Side::new(&options.sources[*input], &*prepared[*input], Form::AsRead)).collect();
    let all: Vec<&Side<'_>> = sides.iter().collect();
    let mut found = repeated(&all, MAX_NAMED, settings.scratch()?.path(), settings.engine())?;
    let first_conflicts = named(&sides, &found)?;
    let mut parts = Vec::new();
    for (input, prepared) in prepared.iter().enumerate() {
        let position = order.iter().position(|other| *other == input);
        let without = position.map(|position| std::mem::take(&mut found.rows[position])).unwrap_or_default();
        parts.push(Picked::new(&**prepared, Rows::AllBut(without), schema.clone(), false)?);
    }
    let merged = Chained { parts, stated: None };
    let report = write_archive(&target.path, &Several(&opened), &merged, settings)?;
    let input = |(source, part): (&String, &Picked<'_>)| {
        let (taken, gave_way) = part.counts();
        MergedInput { source: source.clone(), taken, gave_way }
    };
    let inputs: Vec<MergedInput> = options.sources.iter().zip(&merged.parts).map(input).collect();
    Ok(MergeReport {
        target: options.target.clone(),
        records: report.records,
        fingerprint: report.fingerprint,
        conflicts: inputs.iter().map(|input| input.gave_way).sum(),
        first_conflicts,
        inputs,
    })
}

/// The first conflicts with their ids.
fn named(sides: &[Side<'_>], found: &Repeated) -> Result<Vec<MergeConflict>> {
    let mut conflicts = Vec::new();
    for (number, side) in sides.iter().enumerate() {
        let own: Vec<_> = found.conflicts.iter().filter(|conflict| conflict.gives_way.0 == number).collect();
        let places: Vec<_> = own.iter().map(|conflict| conflict.gives_way.1).collect();
        for (record, conflict) in fetch(side, &places)?.iter().zip(own) {
            let (kept, gave_way) = (sides[conflict.kept].label.to_owned(), side.label.to_owned());
            conflicts.push(MergeConflict { id: record.label(), kept, gave_way });
        }
    }
    Ok(conflicts)
}

/// The inputs as what the archive says it was made of.
struct Several<'a>(&'a [Opened]);

impl Source for Several<'_> {
    fn schema(&self) -> &CollectionSchema {
        self.0[0].source.schema()
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let mut all = SourceIdentity::default();
        for (number, opened) in self.0.iter().enumerate() {
            let files = opened.source.identity()?.files;
            all.files.extend(files.into_iter().map(|mut file| {
                file.path = format!("{}/{}", number + 1, file.path);
                file
            }));
        }
        Ok(all)
    }

    fn prepare<'a>(&'a self, _context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        Err(Error::bug("the inputs of a merge are prepared one by one"))
    }
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

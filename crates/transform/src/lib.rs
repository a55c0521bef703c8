//! Changes on the way: a source becomes another source whose records are filtered, mapped, cast or sampled.
//!
//! [`wrap`] puts a chain of steps around any source. Everything behind it (fingerprint, archive, bundle, proof) sees a source like any
//! other, so nothing else needs to know. The steps run in one order, whatever order they are asked for in: first which
//! records (`where`, `where_jq`, `sample`, `dedupe`, `limit`), then what is in them (`map`, `map_jq`, `select`, `truncate`,
//! `normalise`, `cast`). Names in `where` are those of the source.
//!
//! Invariants: what comes out is a function of the source's records and of what was asked, never of threads, memory or where splits
//! are cut; every record of the source is emitted, counted as left out by one step, or a reject with its place and that step's name.
//! What a step needs to know of the whole source (sample, dedupe, limit, the scale of signed bytes) is found in `prepare`, by passes of
//! its own. The schema says under `vendor.transforms` what was asked and, where there is one, the map that undoes it.
//!
//! Errors: usage (an expression, program or map that cannot be read, with its place; a name that nothing has; a whole-source
//! step over standard input), limit (a sample or dedupe that exceeds the memory).

mod chain;
mod columns;
mod eval;
mod filter;
mod jq;
mod map;
mod prepare;
mod rows;
mod select;
mod source;
mod vectors;

use tranship_collection::CollectionSchema;
use tranship_connector::{CollectionInfo, Count, Result, Source, Transforms};

use crate::chain::{Chain, Step};
use crate::source::ChangedSource;

/// Key of the schema's vendor settings that says what was changed.
pub const VENDOR_KEY: &str = "transforms";

/// The source with `transforms` carried out; the source itself if there are none.
pub fn wrap(source: Box<dyn Source>, transforms: &Transforms) -> Result<Box<dyn Source>> {
    if transforms.is_empty() {
        return Ok(source);
    }
    let steps = Steps::parse(transforms)?;
    // What is not known before the source is prepared (dimensions, vectors) is complained of there.
    let schema = steps.declare(source.schema(), transforms).unwrap_or_else(|_| source.schema().clone());
    Ok(Box::new(ChangedSource { source, transforms: transforms.clone(), steps, schema }))
}

/// Changes what is told of a collection before it is read.
pub fn declare(info: &mut CollectionInfo, transforms: &Transforms) -> Result<()> {
    if transforms.is_empty() {
        return Ok(());
    }
    let steps = Steps::parse(transforms)?;
    if let Ok(schema) = steps.declare(&info.schema, transforms) {
        info.schema = schema;
    }
    if transforms.leaves_out() {
        let least = |count: u64| {
            [transforms.limit, transforms.sample.map(|sample| sample.records)]
                .into_iter()
                .flatten()
                .fold(count, u64::min)
        };
        info.records = match info.records {
            Count::Exact(count) | Count::UpTo(count) => Count::UpTo(least(count)),
            Count::Unknown => Count::Unknown,
        };
    }
    Ok(())
}

/// The steps whose text has been read; those that need the whole source are made in `prepare`.
struct Steps {
    filter: Option<filter::Filter>,
    filter_jq: Option<jq::WhereJq>,
    map: Option<map::Map>,
    map_jq: Option<jq::MapJq>,
    select: Option<select::Select>,
}

impl Steps {
    fn parse(transforms: &Transforms) -> Result<Self> {
        let Transforms { filter, filter_jq, map, map_jq, select, .. } = transforms;
        Ok(Steps {
            filter: filter.as_deref().map(filter::Filter::parse).transpose()?,
            filter_jq: filter_jq.as_deref().map(jq::WhereJq::parse).transpose()?,
            map: map.as_ref().map(map::Map::parse).transpose()?,
            map_jq: map_jq.as_deref().map(jq::MapJq::parse).transpose()?,
            select: (!select.is_empty()).then(|| select::Select::parse(select)).transpose()?,
        })
    }

    /// The schema that comes out of `schema`.
    fn declare(&self, schema: &CollectionSchema, transforms: &Transforms) -> Result<CollectionSchema> {
        let mut chain = Chain::new(schema);
        for step in self.contents() {
            chain.push(step)?;
        }
        for step in vectors::steps(transforms) {
            chain.push(step)?;
        }
        Ok(stated(chain.output(), transforms, &chain))
    }

    /// The steps that change what is in a record, but for its vectors.
    fn contents(&self) -> Vec<Box<dyn Step>> {
        let map = self.map.clone().map(|step| Box::new(step) as Box<dyn Step>);
        let map_jq = self.map_jq.clone().map(|step| Box::new(step) as Box<dyn Step>);
        let select = self.select.clone().map(|step| Box::new(step) as Box<dyn Step>);
        [map, map_jq, select].into_iter().flatten().collect()
    }
}

/// The schema with what was asked, after what an earlier run asked, and the map that undoes it if there is one.
fn stated(schema: &CollectionSchema, transforms: &Transforms, chain: &Chain) -> CollectionSchema {
    let mut schema = schema.clone();
    let mut entry = serde_json::json!({ "asked": transforms });
    if let Some(inverse) = chain.inverse() {
        entry["inverse"] = inverse.into();
    }
    if let Some(scales) = chain.scales() {
        entry["scales"] = scales;
    }
    let stated = schema.vendor.entry(VENDOR_KEY.to_owned()).or_insert_with(|| serde_json::json!([]));
    match stated {
        serde_json::Value::Array(list) => list.push(entry),
        // Somebody else's entry of that name is kept beside ours.
        other => *other = serde_json::json!([other.take(), entry]),
    }
    schema
}

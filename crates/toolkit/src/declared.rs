//! A source with what the user declares about it: the metric that its files do not tell.
//!
//! Invariant: a metric that the source declares itself is never replaced.

use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{CollectionSchema, Metric};
use tranship_connector::{
    Batches, Error, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::SourceIdentity;

/// The source with `metric` for every vector that has none; an error if a vector declares another one.
pub fn with_metric(source: Box<dyn Source>, metric: Metric) -> Result<Box<dyn Source>> {
    if let Some(other) = source.schema().vectors.iter().find_map(|v| v.metric.filter(|own| *own != metric)) {
        return Err(Error::usage(format!("the source declares {}, not {}", other.name(), metric.name())).hint(
            "leave --metric out: it is for sources that declare none; of several collections, take this one by itself",
        ));
    }
    let schema = declared(source.schema(), metric);
    Ok(Box::new(Declared { source, metric, schema }))
}

fn declared(schema: &CollectionSchema, metric: Metric) -> CollectionSchema {
    let mut schema = schema.clone();
    schema.vectors.iter_mut().for_each(|vector| vector.metric = vector.metric.or(Some(metric)));
    schema
}

struct Declared {
    source: Box<dyn Source>,
    metric: Metric,
    schema: CollectionSchema,
}

impl Source for Declared {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        self.source.identity()
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let prepared = self.source.prepare(context)?;
        let schema = declared(prepared.schema(), self.metric);
        Ok(Box::new(DeclaredPrepared { prepared, schema }))
    }
}

struct DeclaredPrepared<'a> {
    prepared: Box<dyn Prepared + 'a>,
    schema: CollectionSchema,
}

impl Prepared for DeclaredPrepared<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        self.prepared.ledger()
    }

    fn stated_fingerprint(&self) -> Option<FingerprintSummary> {
        self.prepared.stated_fingerprint()
    }

    fn notes(&self) -> Vec<String> {
        self.prepared.notes()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        self.prepared.splits()
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        self.prepared.split_memory_bytes(split)
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        self.prepared.open(split, rejects)
    }
}

//! A source with what the user declares about it: the metric that its files do not tell.
//!
//! Invariant: the user's metric goes to each dense, multi-row and bit vector that declares none, and to nothing else. Sparse
//! vectors are compared by inner product whatever the others are compared by. What a source declares stays; a reader whose
//! format gives one name to two metrics (FAISS: inner product) has taken the user's word before this.
//!
//! Errors: usage if every vector that could take the metric declares another one.

use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{CollectionSchema, Metric, ServedGraph, VectorKind, VectorSpec};
use tranship_connector::{
    Batches, Error, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::SourceIdentity;

/// The source with `metric` for every vector that it is for.
pub fn with_metric(source: Box<dyn Source>, metric: Metric) -> Result<Box<dyn Source>> {
    let declared: Vec<Option<Metric>> =
        source.schema().vectors.iter().filter(|spec| takes_metric(spec)).map(|spec| spec.metric).collect();
    let fits = |own: &Option<Metric>| own.is_none_or(|own| own == metric);
    if let Some(Some(other)) = declared.first().filter(|_| !declared.iter().any(fits)) {
        return Err(Error::usage(format!("the source declares {}, not {}", other.name(), metric.name())).hint(
            "leave --metric out: it is for vectors that declare none; of several collections, take this one by itself",
        ));
    }
    let mut schema = source.schema().clone();
    declare(&mut schema, metric);
    Ok(Box::new(Declared { source, metric, schema }))
}

/// Gives `metric` to the vectors that it is for.
pub fn declare(schema: &mut CollectionSchema, metric: Metric) {
    let vectors = schema.vectors.iter_mut().filter(|spec| takes_metric(spec));
    vectors.for_each(|spec| spec.metric = spec.metric.or(Some(metric)));
}

fn takes_metric(spec: &VectorSpec) -> bool {
    spec.kind != VectorKind::Sparse
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

    fn served_graph(&self, vector: &str) -> Result<Option<ServedGraph>> {
        self.source.served_graph(vector)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let prepared = self.source.prepare(context)?;
        let mut schema = prepared.schema().clone();
        declare(&mut schema, self.metric);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_goes_to_all_vectors_that_declare_none_but_sparse_ones() {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = [VectorKind::Dense, VectorKind::Multi, VectorKind::Bits, VectorKind::Sparse]
            .map(|kind| VectorSpec { kind, ..VectorSpec::dense(format!("{kind:?}"), 8) })
            .into();
        schema.vectors.push(VectorSpec { metric: Some(Metric::L2), ..VectorSpec::dense("declared", 8) });
        declare(&mut schema, Metric::Cosine);
        let metrics: Vec<Option<Metric>> = schema.vectors.iter().map(|spec| spec.metric).collect();
        let cosine = Some(Metric::Cosine);
        assert_eq!(metrics, [cosine, cosine, cosine, None, Some(Metric::L2)]);
    }
}

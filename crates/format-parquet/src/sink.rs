//! Writes a directory of Parquet parts, one per split.
//!
//! Invariant: the directory appears under its name when all parts are in it; parts are numbered in split order and
//! depend on nothing but their records. A collection without records still has one part, for its schema.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use tranship_collection::{BatchView, CollectionSchema};
use tranship_connector::{
    Error, Job, Mapping, Negotiated, Result, ShardFile, ShardOutput, ShardWriter, Sink, Survey, Totals,
};
use tranship_storage::DurableFile;

use crate::encode::{EncodeOptions, PartEncoder, encoder_memory_bytes};

/// A directory of `part-00000.parquet`, `part-00001.parquet`..
pub struct ParquetSink {
    job: Job,
    options: EncodeOptions,
}

impl ParquetSink {
    /// A sink for the directory `target`. Nothing is touched before `begin`.
    pub fn new(target: &Path, options: EncodeOptions) -> Self {
        ParquetSink { job: Job::new(target), options }
    }

    fn part<'a>(&'a self, ordinal: u64, schema: &'a CollectionSchema) -> Result<PartShard<'a>> {
        let path = part_name(ordinal);
        let encoder = PartEncoder::new(self.job.create(&path)?, schema, self.options)?;
        Ok(PartShard { path, ordinal, schema, encoder, null_vectors: BTreeMap::new() })
    }
}

/// The file name of part `ordinal`.
pub fn part_name(ordinal: u64) -> String {
    format!("part-{ordinal:05}.parquet")
}

impl Sink for ParquetSink {
    fn negotiate(&self, _schema: &CollectionSchema, _survey: &Survey) -> Result<Negotiated> {
        Ok(Negotiated { losses: Vec::new(), mapping: None })
    }

    fn begin(&self, plan: &str, _schema: &CollectionSchema) -> Result<BTreeMap<u64, ShardOutput>> {
        self.job.begin(plan)
    }

    fn workdir(&self) -> Option<PathBuf> {
        Some(self.job.path())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        encoder_memory_bytes(schema)
    }

    fn open_shard<'a>(
        &'a self,
        ordinal: u64,
        schema: &'a CollectionSchema,
        _mapping: Option<&'a Mapping>,
    ) -> Result<Box<dyn ShardWriter + 'a>> {
        Ok(Box::new(self.part(ordinal, schema)?))
    }

    fn publish(&self, shard: &mut ShardOutput) -> Result<()> {
        self.job.record(shard)
    }

    fn abandon(&self) -> Result<()> {
        self.job.abandon_if_empty()
    }

    fn commit(&self, totals: &Totals<'_>) -> Result<()> {
        if totals.shards.is_empty() {
            Box::new(self.part(0, totals.schema)?).finish()?;
        }
        self.job.publish()?;
        Ok(())
    }
}

struct PartShard<'a> {
    path: String,
    ordinal: u64,
    schema: &'a CollectionSchema,
    encoder: PartEncoder<DurableFile>,
    null_vectors: BTreeMap<String, u64>,
}

impl ShardWriter for PartShard<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        count_null_vectors(batch, self.schema, &mut self.null_vectors)?;
        self.encoder.write(batch)
    }

    fn finish(self: Box<Self>) -> Result<ShardOutput> {
        let (file, stats) = self.encoder.finish()?;
        let digest = file.finish()?;
        let file = ShardFile { path: self.path, bytes: digest.bytes, sha256: digest.sha256 };
        Ok(ShardOutput {
            ordinal: self.ordinal,
            rows: stats.rows,
            files: vec![file],
            null_vectors: self.null_vectors,
            ..ShardOutput::default()
        })
    }
}

/// Adds the number of records without a vector, by the vector's column name.
pub fn count_null_vectors(
    batch: &RecordBatch,
    schema: &CollectionSchema,
    counts: &mut BTreeMap<String, u64>,
) -> Result<()> {
    let view =
        BatchView::new(batch, schema).map_err(|e| Error::bug("a batch does not fit its collection").caused_by(e))?;
    for spec in view.vector_specs() {
        let name = tranship_collection::layout::vector_column(spec);
        let nulls = batch.column_by_name(&name).map_or(0, |column| arrow_array::Array::null_count(column.as_ref()));
        *counts.entry(name).or_default() += nulls as u64;
    }
    Ok(())
}

//! One split on its way through a worker: decode, digest, project, encode.
//!
//! Invariant: what the shard's fragment says (rows, nulls, rejects, fingerprint, ids) was computed from the very
//! batches that were handed to the writer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tranship_collection::digest::Digester;
use tranship_collection::{BatchView, CollectionSchema, Fault, SetFingerprint};
use tranship_connector::{
    Changed, Error, Mapping, Prepared, Reject, Result, ShardFile, ShardOutput, ShardWriter, Sink, Split,
};
use tranship_storage::staging::make_parent;
use tranship_storage::write_whole;

use crate::duplicates;
use crate::engine::Stop;
use crate::progress::Progress;
use crate::rejects::{self, RejectBudget, ShardRejects};

/// What every shard of a run needs.
pub struct ShardContext<'a> {
    /// The source.
    pub prepared: &'a dyn Prepared,
    /// The target.
    pub sink: &'a dyn Sink,
    /// How records change form on the way, if they do.
    pub mapping: Option<&'a Mapping>,
    /// Where side files go.
    pub root: &'a Path,
    /// Rejects allowed.
    pub rejects: &'a RejectBudget,
    /// Told about progress.
    pub progress: &'a dyn Progress,
}

/// A finished shard with what the committer adds up.
pub struct Shard {
    /// The fragment.
    pub output: ShardOutput,
    /// Fingerprint of the records as read.
    pub fingerprint: SetFingerprint,
    /// Fingerprint of the projected records, if the target projects.
    pub expected: Option<SetFingerprint>,
    /// The records set aside.
    pub rejects: Vec<Reject>,
}

/// Path of the id file of a shard, relative to the side root.
pub fn ids_path(ordinal: u64) -> String {
    format!("job/split-{ordinal:05}.ids")
}

impl ShardContext<'_> {
    /// Carries one split from source to sink.
    pub fn carry(&self, split: Split, stop: &Stop<'_>) -> Result<Shard> {
        let (ordinal, digest, bytes) = (split.ordinal, split.digest.clone(), split.bytes);
        let schema = self.prepared.schema();
        let mut rejects = ShardRejects::new(self.rejects);
        let mut writer = self.sink.open_shard(ordinal, schema, self.mapping)?;
        let mut tally = Tally::new(schema, self.mapping.filter(|mapping| mapping.projects()));
        for batch in self.prepared.open(split, &mut rejects)? {
            stop.check()?;
            let batch = batch?;
            tally.take(&batch).map_err(|(row, fault)| located(ordinal, tally.rows + row as u64, &fault))?;
            writer.write(&batch)?;
            self.progress.advance(batch.num_rows() as u64, 0);
        }
        stop.check()?;
        let (rejects, changed) = rejects.into_parts();
        self.finish(writer, tally, rejects, changed, ordinal, digest).inspect(|_| self.progress.advance(0, bytes))
    }

    fn finish(
        &self,
        writer: Box<dyn ShardWriter + '_>,
        tally: Tally<'_>,
        rejects: Vec<Reject>,
        changed: Changed,
        ordinal: u64,
        digest: Option<String>,
    ) -> Result<Shard> {
        let mut output = writer.finish()?;
        output.ordinal = ordinal;
        output.rows = tally.rows;
        output.null_vectors = tally.null_vectors;
        output.rejected = rejects.len() as u64;
        output.changed = changed;
        output.split_digest = digest;
        if self.sink.workdir().is_some() {
            if !rejects.is_empty() {
                output.rejects = Some(
                    self.store(&format!("data/rejects-{ordinal:05}.jsonl.zst"), &rejects::to_file_bytes(&rejects)?)?,
                );
            }
            output
                .side_files
                .push(self.store(&format!("job/split-{ordinal:05}.fingerprint"), &tally.fingerprint.to_bytes())?);
            if let Some(expected) = &tally.expected {
                output.side_files.push(self.store(&format!("job/split-{ordinal:05}.expected"), &expected.to_bytes())?);
            }
        }
        output.side_files.push(self.store(&ids_path(ordinal), &duplicates::to_file_bytes(tally.ids))?);
        Ok(Shard { output, fingerprint: tally.fingerprint, expected: tally.expected, rejects })
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<ShardFile> {
        let path = self.root.join(name);
        make_parent(&path)?;
        let digest = write_whole(&path, bytes)?;
        Ok(ShardFile { path: name.to_owned(), bytes: digest.bytes, sha256: digest.sha256 })
    }

    /// Takes up a shard that an interrupted run has finished: its tables are read back from its side files.
    pub fn take_up(&self, output: ShardOutput) -> Result<Shard> {
        let table = |suffix: &str| -> Result<Option<SetFingerprint>> {
            let Some(file) = output.side_files.iter().find(|file| file.path.ends_with(suffix)) else {
                return Ok(None);
            };
            let path: PathBuf = self.root.join(&file.path);
            let input = tranship_storage::InputFile::open(&path)?;
            let mut bytes = vec![0; input.len() as usize];
            input.read_exact_at(0, &mut bytes)?;
            SetFingerprint::from_bytes(&bytes)
                .map(Some)
                .map_err(|fault| Error::damaged(fault.to_string()).with("file", path.display()))
        };
        let fingerprint = table(".fingerprint")?.unwrap_or_else(|| SetFingerprint::new(self.prepared.schema()));
        let expected = table(".expected")?;
        Ok(Shard { output, fingerprint, expected, rejects: Vec::new() })
    }
}

struct Tally<'a> {
    schema: &'a CollectionSchema,
    /// The mapping, with the schema of projected records.
    projection: Option<(&'a Mapping, CollectionSchema)>,
    digester: Digester,
    fingerprint: SetFingerprint,
    expected: Option<SetFingerprint>,
    ids: Vec<duplicates::Entry>,
    null_vectors: BTreeMap<String, u64>,
    rows: u64,
}

impl<'a> Tally<'a> {
    fn new(schema: &'a CollectionSchema, projection: Option<&'a Mapping>) -> Self {
        Tally {
            schema,
            projection: projection.map(|mapping| (mapping, mapping.projected_schema(schema))),
            digester: Digester::default(),
            fingerprint: SetFingerprint::new(schema),
            expected: projection.map(|mapping| SetFingerprint::new(&mapping.projected_schema(schema))),
            ids: Vec::new(),
            null_vectors: BTreeMap::new(),
            rows: 0,
        }
    }

    fn take(&mut self, batch: &arrow_array::RecordBatch) -> std::result::Result<(), (usize, Fault)> {
        let view = BatchView::new(batch, self.schema).map_err(|fault| (0, fault))?;
        let (ids, first) = (&mut self.ids, self.rows);
        self.fingerprint.add_batch(&view, &mut self.digester, |row, digest| {
            ids.push(duplicates::entry(digest.id, (first + row as u64) as u32))
        })?;
        if let (Some((mapping, target)), Some(expected)) = (&self.projection, &mut self.expected) {
            let projected = mapping.project(batch, self.schema)?;
            let view = BatchView::new(&projected, target).map_err(|fault| (0, fault))?;
            expected.add_batch(&view, &mut self.digester, |_, _| {})?;
        }
        for (column, spec) in view.vector_specs().enumerate() {
            let nulls = (0..view.len()).filter(|row| view.vector(column, *row).is_none()).count() as u64;
            if nulls > 0 {
                *self.null_vectors.entry(spec.name.clone()).or_default() += nulls;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }
}

fn located(ordinal: u64, row: u64, fault: &Fault) -> Error {
    Error::damaged(fault.to_string()).with("split", ordinal).with("record", row)
}

//! Writes an archive: one part per split, then the bag, then the manifest, then one rename.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use tranship_collection::CollectionSchema;
use tranship_connector::job::Job;
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    CreateOptions, Error, Locator, Mapping, Negotiated, Result, ShardFile, ShardOutput, ShardWriter, Sink, Survey,
    Totals,
};
use tranship_format_parquet::encode::{EncodeOptions, GROUP_BYTES, PartEncoder};
use tranship_storage::DurableFile;

use crate::bag;
use crate::manifest::{FileEntry, MANIFEST, Manifest, Origin, OriginFile, Part, VERSION};

/// An archive being written.
pub struct ArchiveSink {
    job: Job,
    encoding: EncodeOptions,
}

pub(crate) fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(Error::usage("an archive is a directory and cannot go to standard output")
            .hint("name one, as in archive:./name.tranship"));
    }
    Ok(Box::new(ArchiveSink::new(&locator.path, options.plain_encoding)))
}

impl ArchiveSink {
    /// An archive at `target`; `plain` for readers without BYTE_STREAM_SPLIT.
    pub fn new(target: &Path, plain: bool) -> Self {
        ArchiveSink { job: Job::new(target), encoding: EncodeOptions { plain } }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<FileEntry> {
        let mut file = self.job.create(path)?;
        file.write_all(bytes)?;
        let digest = file.finish()?;
        Ok(FileEntry { path: path.to_owned(), bytes: digest.bytes, sha256: digest.sha256 })
    }
}

impl Sink for ArchiveSink {
    fn negotiate(&self, _schema: &CollectionSchema, _survey: &Survey) -> Result<Negotiated> {
        Ok(Negotiated { losses: Vec::new(), mapping: None })
    }

    fn begin(&self, plan: &str, _schema: &CollectionSchema) -> Result<BTreeMap<u64, ShardOutput>> {
        self.job.begin(plan)
    }

    fn workdir(&self) -> Option<PathBuf> {
        Some(self.job.path())
    }

    fn shard_memory_bytes(&self, _schema: &CollectionSchema) -> u64 {
        // One row group buffered and being encoded, and one batch.
        3 * GROUP_BYTES as u64 + BATCH_BYTES as u64
    }

    fn open_shard<'a>(
        &'a self,
        ordinal: u64,
        schema: &'a CollectionSchema,
        _mapping: Option<&'a Mapping>,
    ) -> Result<Box<dyn ShardWriter + 'a>> {
        let path = format!("data/part-{ordinal:05}.parquet");
        let file = self.job.create(&path)?;
        Ok(Box::new(PartWriter { path, encoder: PartEncoder::new(file, schema, self.encoding)? }))
    }

    fn publish(&self, shard: &mut ShardOutput) -> Result<()> {
        self.job.record(shard)
    }

    fn abandon(&self) -> Result<()> {
        self.job.abandon_if_empty()
    }

    fn commit(&self, totals: &Totals<'_>) -> Result<()> {
        let collection =
            serde_json::to_vec_pretty(totals.schema).map_err(|e| Error::bug("cannot write the schema").caused_by(e))?;
        let collection = self.write("data/collection.json", &collection)?;
        let parts: Vec<Part> = totals.shards.iter().flat_map(parts_of).collect();
        let rejects = totals.shards.iter().filter_map(|shard| shard.rejects.as_ref());
        let rejects: Vec<FileEntry> = rejects.map(entry).collect();

        let mut payload: Vec<FileEntry> = totals.shards.iter().flat_map(|shard| &shard.files).map(entry).collect();
        payload.extend(rejects.iter().cloned());
        payload.push(collection.clone());

        let mut tags = vec![self.write("fingerprint.bin", &totals.fingerprint.to_bytes())?];
        tags.push(self.write("bagit.txt", bag::BAGIT.as_bytes())?);
        tags.push(self.write("bag-info.txt", bag::info(&payload).as_bytes())?);
        tags.push(self.write("manifest-sha256.txt", bag::manifest(&payload).as_bytes())?);
        let tag_manifest = self.write("tagmanifest-sha256.txt", bag::manifest(&tags).as_bytes())?;

        let mut files = rejects;
        files.push(collection);
        files.append(&mut tags);
        files.push(tag_manifest);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        self.write(MANIFEST, manifest(totals, parts, files).sealed()?.as_bytes())?;
        self.job.publish().map(drop)
    }
}

fn manifest(totals: &Totals<'_>, parts: Vec<Part>, files: Vec<FileEntry>) -> Manifest {
    let mut null_vectors = BTreeMap::new();
    for part in &parts {
        part.null_vectors.iter().for_each(|(name, nulls)| *null_vectors.entry(name.clone()).or_default() += nulls);
    }
    let origin = |file: &tranship_storage::FileIdentity| OriginFile {
        path: file.path.clone(),
        bytes: file.bytes,
        edges: file.edges.clone(),
        sha256: file.sha256.clone(),
    };
    Manifest {
        format: "tranship archive".to_owned(),
        version: VERSION,
        digest: String::new(),
        collection: totals.schema.name.clone(),
        records: parts.iter().map(|part| part.rows).sum(),
        rejected: parts.iter().map(|part| part.rejected).sum(),
        null_vectors,
        fingerprint: totals.fingerprint.summary(),
        parts,
        files,
        losses: totals.losses.to_vec(),
        source: Origin { files: totals.identity.files.iter().map(origin).collect(), ledger: totals.ledger },
    }
}

fn parts_of(shard: &ShardOutput) -> impl Iterator<Item = Part> + '_ {
    shard.files.iter().map(|file| Part {
        path: file.path.clone(),
        bytes: file.bytes,
        sha256: file.sha256.clone(),
        split: shard.ordinal,
        rows: shard.rows,
        rejected: shard.rejected,
        null_vectors: shard.null_vectors.clone(),
    })
}

fn entry(file: &ShardFile) -> FileEntry {
    FileEntry { path: file.path.clone(), bytes: file.bytes, sha256: file.sha256.clone() }
}

struct PartWriter {
    path: String,
    encoder: PartEncoder<DurableFile>,
}

impl ShardWriter for PartWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encoder.write(batch)
    }

    fn finish(self: Box<Self>) -> Result<ShardOutput> {
        let (file, stats) = self.encoder.finish()?;
        let digest = file.finish()?;
        let file = ShardFile { path: self.path, bytes: digest.bytes, sha256: digest.sha256 };
        Ok(ShardOutput { rows: stats.rows, files: vec![file], ..ShardOutput::default() })
    }
}

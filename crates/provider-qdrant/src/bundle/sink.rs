//! Writes a bundle: negotiates, encodes shards into request bodies, and commits the directory.
//!
//! A shard is the bodies of one split plus two side files of the run: its UUIDs (see `target_ids`) and its notes
//! (points per body, records per namespace). Errors: usage (a name, metric or vector that Qdrant does not have), loss
//! denied (see `encode`; two records with one point id), limit (a point beyond the body size).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tranship_collection::{BatchView, CollectionSchema, Element, Fault, VectorSpec};
use tranship_connector::job::Job;
use tranship_connector::{
    CreateOptions, Error, ErrorKind, Mapping, Negotiated, Result, ShardFile, ShardOutput, ShardWriter, Sink, Totals,
};
use tranship_storage::staging::JOB_DIR;
use tranship_storage::{DurableFile, InputFile, Scratch, StorageError};

use super::encode::PointEncoder;
use super::manifest::{BundleTotals, FileEntry, Manifest, SourceFile};
use super::points::{RawPoint, split_points};
use super::target_ids::{self, Place};
use super::{ALIASES, COUNTS, MANIFEST, MAPPING, README, SCHEMA, SCHEMA_AFTER_LOAD, plan, scripts};
use crate::dialect::{self, BODY_BYTES, DOCUMENT_KEY, EXACT_KEY, ID_KEY, NAMESPACE_KEY, PointId};

const BODY_START: &[u8] = b"{\"points\":[\n";
const BODY_BETWEEN: &[u8] = b",\n";
const BODY_END: &[u8] = b"\n]}\n";

/// The sink of one bundle.
pub struct BundleSink {
    job: Job,
    collection: Option<String>,
    document_key: String,
}

/// What a shard leaves for the commit.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ShardNotes {
    /// Points per body, in the order of the shard's files.
    body_rows: Vec<u64>,
    /// Records per namespace, `""` for the default one.
    namespaces: BTreeMap<String, u64>,
}

impl BundleSink {
    /// A sink for the directory `path`, which must not exist when the run begins.
    pub fn new(path: &Path, options: &CreateOptions) -> Result<Self> {
        let document_key = options.document_key.clone().unwrap_or_else(|| DOCUMENT_KEY.to_owned());
        if [ID_KEY, NAMESPACE_KEY, EXACT_KEY].contains(&document_key.as_str()) || document_key.is_empty() {
            return Err(Error::usage(format!("`{document_key}` cannot be the payload key of documents"))
                .hint("choose another --document-key"));
        }
        Ok(BundleSink { job: Job::new(path), collection: options.collection.clone(), document_key })
    }

    fn collection_name(&self, schema: &CollectionSchema) -> Result<String> {
        let name = self.collection.clone().unwrap_or_else(|| schema.name.clone());
        let fault = if name.is_empty() { Some("it is empty".to_owned()) } else { dialect::name_fault(&name) };
        match fault {
            None => Ok(name),
            Some(fault) => Err(Error::usage(format!("Qdrant takes no collection called `{name}`: {fault}"))
                .hint("give the collection another name at the target")),
        }
    }

    fn notes(&self, shard: &ShardOutput) -> Result<ShardNotes> {
        let path = self.job.path().join(notes_name(shard.ordinal));
        let text = fs::read(&path).map_err(|e| StorageError::new("read", &path, e))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::damaged("a shard's notes are torn").with("file", path.display()).caused_by(e))
    }

    fn refuse_duplicates(&self, shards: &[ShardOutput]) -> Result<()> {
        let open = |shard: &ShardOutput| InputFile::open(&self.job.path().join(ids_name(shard.ordinal)));
        let side_files = shards.iter().map(open).collect::<std::result::Result<Vec<_>, _>>()?;
        let scratch = Scratch::new(Some(&self.job.path().join(JOB_DIR)))?;
        let Some(duplicate) = target_ids::first_duplicate(&side_files, scratch.path())? else {
            return Ok(());
        };
        let [a, b] = duplicate.places;
        let (a, b) = (self.describe(shards, a)?, self.describe(shards, b)?);
        Err(Error::new(
            ErrorKind::LossDenied,
            format!("two records would share the point id {}: {a} and {b}", duplicate.id),
        )
        .hint("one id is the UUID that the other one is mapped to, or both are the same id: change one of them"))
    }

    /// Names a record by its own id and its place in the bundle.
    fn describe(&self, shards: &[ShardOutput], place: Place) -> Result<String> {
        let lost = || Error::bug("a point id leads to no record");
        let shard = shards.get(place.shard as usize).ok_or_else(lost)?;
        let mut row = u64::from(place.row);
        for (file, rows) in shard.files.iter().zip(self.notes(shard)?.body_rows) {
            if row < rows {
                let path = self.job.path().join(&file.path);
                let text = fs::read(&path).map_err(|e| StorageError::new("read", &path, e))?;
                let points = split_points(&text, &file.path)?;
                let point = points.get(row as usize).ok_or_else(lost)?;
                return Ok(format!("{} ({} point {row})", own_id(point.get()), file.path));
            }
            row -= rows;
        }
        Err(lost())
    }

    /// Writes a file of the bundle and enters it into the manifest.
    fn put(&self, manifest: &mut Manifest, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.job.create(name)?;
        file.write_all(bytes)?;
        let digest = file.finish()?;
        manifest.files.insert(name.to_owned(), FileEntry { bytes: digest.bytes, sha256: digest.sha256, rows: None });
        Ok(())
    }

    fn put_json(&self, manifest: &mut Manifest, name: &str, value: &impl Serialize) -> Result<()> {
        self.put(manifest, name, &pretty(value)?)
    }

    fn put_script(&self, manifest: &mut Manifest, name: &str, text: &str) -> Result<()> {
        self.put(manifest, name, text.as_bytes())?;
        let path = self.job.path().join(name);
        let executable = fs::set_permissions(&path, fs::Permissions::from_mode(0o755));
        Ok(executable.map_err(|e| StorageError::new("make executable", &path, e))?)
    }

    fn put_bodies(&self, manifest: &mut Manifest, mapping: &mut Mapping, shards: &[ShardOutput]) -> Result<()> {
        for shard in shards {
            let notes = self.notes(shard)?;
            for (namespace, records) in notes.namespaces {
                *mapping.records.entry(namespace).or_default() += records;
            }
            for (file, rows) in shard.files.iter().zip(notes.body_rows) {
                manifest.totals.rows += rows;
                manifest.totals.bodies += 1;
                manifest.totals.bytes += file.bytes;
                manifest.files.insert(file.path.clone(), entry(file, Some(rows)));
            }
            if let Some(rejects) = &shard.rejects {
                manifest.files.insert(rejects.path.clone(), entry(rejects, None));
            }
            manifest.totals.rejected += shard.rejected;
        }
        Ok(())
    }

    fn put_settings(&self, manifest: &mut Manifest, mapping: &Mapping) -> Result<()> {
        let schema = &mapping.schema;
        if let Some(body) = plan::create_body(schema) {
            self.put_json(manifest, SCHEMA, &body)?;
            let indexing = json!({ "optimizers_config": { "indexing_threshold": dialect::INDEXING_THRESHOLD_KB } });
            self.put_json(manifest, SCHEMA_AFTER_LOAD, &indexing)?;
        }
        if let Some(key) = &mapping.namespace_key {
            let tenant = json!({ "field_name": key, "field_schema": { "type": "keyword", "is_tenant": true } });
            self.put_json(manifest, "payload-index-000.json", &tenant)?;
        }
        if !schema.aliases.is_empty() {
            self.put_json(manifest, ALIASES, &plan::alias_body(&mapping.collection, &schema.aliases))?;
        }
        Ok(())
    }

    fn put_scripts(&self, manifest: &mut Manifest, mapping: &Mapping) -> Result<()> {
        let facts = scripts::Facts::new(mapping, manifest.totals);
        self.put(manifest, COUNTS, facts.counts().as_bytes())?;
        for (name, text) in facts.scripts() {
            self.put_script(manifest, name, &text)?;
        }
        self.put(manifest, README, facts.readme().as_bytes())
    }
}

impl Sink for BundleSink {
    fn negotiate(&self, schema: &CollectionSchema) -> Result<Negotiated> {
        let losses = plan::losses(schema, &self.document_key)?;
        let normalised: Vec<&VectorSpec> = schema.stored_vectors().filter(|spec| plan::is_normalised(spec)).collect();
        let narrow = schema.stored_vectors().map(|spec| (spec.name.clone(), plan::stored_element(spec)));
        let mapping = Mapping {
            target: "qdrant".to_owned(),
            collection: self.collection_name(schema)?,
            id_key: ID_KEY.to_owned(),
            document_key: self.document_key.clone(),
            namespace_key: schema.namespaced.then(|| NAMESPACE_KEY.to_owned()),
            exact_key: Some(EXACT_KEY.to_owned()),
            tolerance: normalised.iter().map(|spec| (spec.name.clone(), plan::tolerance(spec))).collect(),
            normalised: normalised.iter().map(|spec| spec.name.clone()).collect(),
            elements: narrow.filter(|(_, element)| *element != Element::F32).collect(),
            losses: losses.clone(),
            schema: schema.clone(),
            source_fingerprint: None,
            expected_fingerprint: None,
            records: BTreeMap::new(),
        };
        Ok(Negotiated { losses, mapping: Some(mapping) })
    }

    fn begin(&self, plan: &str, _schema: &CollectionSchema) -> Result<BTreeMap<u64, ShardOutput>> {
        self.job.begin(plan)
    }

    fn workdir(&self) -> Option<PathBuf> {
        Some(self.job.path())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        // One point as text (floats take up to 16 bytes where they had 4) and the buffers of two open files.
        (1 << 20) + 4 * schema.dense_row_bytes() as u64
    }

    fn open_shard<'a>(&'a self, ordinal: u64, schema: &'a CollectionSchema) -> Result<Box<dyn ShardWriter + 'a>> {
        Ok(Box::new(BodyWriter {
            job: &self.job,
            schema,
            encoder: PointEncoder::new(schema, &self.document_key),
            output: ShardOutput { ordinal, ..ShardOutput::default() },
            notes: ShardNotes::default(),
            ids: self.job.create(&ids_name(ordinal))?,
            body: None,
            point: Vec::new(),
        }))
    }

    fn publish(&self, shard: &mut ShardOutput) -> Result<()> {
        self.job.record(shard)
    }

    fn abandon(&self) -> Result<()> {
        self.job.abandon_if_empty()
    }

    fn commit(&self, totals: &Totals<'_>) -> Result<()> {
        self.refuse_duplicates(totals.shards)?;
        let mut mapping = match totals.mapping {
            Some(mapping) => mapping.clone(),
            None => self.negotiate(totals.schema)?.mapping.ok_or_else(|| Error::bug("a bundle without a mapping"))?,
        };
        let source = totals.fingerprint.summary();
        let expected = totals.expected.map_or_else(|| source.clone(), |expected| expected.summary());
        let mut manifest = Manifest::new(&mapping.collection, source.clone(), expected.clone());
        mapping.schema = totals.schema.clone();
        mapping.losses = totals.losses.to_vec();
        mapping.source_fingerprint = Some(source);
        mapping.expected_fingerprint = Some(expected);
        manifest.losses = totals.losses.to_vec();
        manifest.ledger = totals.ledger;
        manifest.source = totals.identity.files.iter().map(source_file).collect();
        self.put_bodies(&mut manifest, &mut mapping, totals.shards)?;
        check_total(&manifest.totals, &mapping)?;
        self.put_settings(&mut manifest, &mapping)?;
        self.put_scripts(&mut manifest, &mapping)?;
        self.put_json(&mut manifest, MAPPING, &mapping)?;
        let mut file = self.job.create(MANIFEST)?;
        file.write_all(&manifest.to_bytes()?)?;
        file.finish()?;
        self.job.publish()?;
        Ok(())
    }
}

/// A shard being written.
struct BodyWriter<'a> {
    job: &'a Job,
    schema: &'a CollectionSchema,
    encoder: PointEncoder,
    output: ShardOutput,
    notes: ShardNotes,
    ids: DurableFile,
    body: Option<(DurableFile, u64)>,
    point: Vec<u8>,
}

impl ShardWriter for BodyWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = BatchView::new(batch, self.schema).map_err(|fault: Fault| Error::bug(fault.to_string()))?;
        for row in 0..view.len() {
            self.point.clear();
            let id = self.encoder.append(&view, row, &mut self.point)?;
            self.append_point(view.id(row))?;
            if let PointId::Uuid(uuid) | PointId::Derived(uuid) = id {
                let row =
                    u32::try_from(self.output.rows).map_err(|_| Error::limit("more than 2^32 records in one split"))?;
                self.ids.write_all(&target_ids::record(uuid, row))?;
            }
            self.count(&view, row);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ShardOutput> {
        self.close_body()?;
        let ordinal = self.output.ordinal;
        let ids = shard_file(ids_name(ordinal), self.ids)?;
        let mut notes = self.job.create(&notes_name(ordinal))?;
        notes.write_all(&pretty(&self.notes)?)?;
        self.output.side_files = vec![ids, shard_file(notes_name(ordinal), notes)?];
        Ok(self.output)
    }
}

impl BodyWriter<'_> {
    fn append_point(&mut self, id: &str) -> Result<()> {
        let needed = (self.point.len() + BODY_BETWEEN.len() + BODY_END.len()) as u64;
        if needed + BODY_START.len() as u64 > BODY_BYTES {
            return Err(Error::limit(format!(
                "record `{id}` takes {} bytes as a point; a request body has at most {BODY_BYTES}",
                self.point.len()
            ))
            .hint("shorten its document or metadata, or raise the server's limit and load it by hand"));
        }
        if self.body.as_ref().is_some_and(|(body, _)| body.bytes() + needed > BODY_BYTES) {
            self.close_body()?;
        }
        let (body, rows) = match self.body.take() {
            Some((mut body, rows)) => {
                body.write_all(BODY_BETWEEN)?;
                (body, rows)
            }
            None => (self.new_body()?, 0),
        };
        let (body, rows) = self.body.insert((body, rows));
        body.write_all(&self.point)?;
        *rows += 1;
        Ok(())
    }

    fn new_body(&self) -> Result<DurableFile> {
        let mut body = self.job.create(&body_name(self.output.ordinal, self.output.files.len()))?;
        body.write_all(BODY_START)?;
        Ok(body)
    }

    fn close_body(&mut self) -> Result<()> {
        if let Some((mut body, rows)) = self.body.take() {
            body.write_all(BODY_END)?;
            let name = body_name(self.output.ordinal, self.output.files.len());
            self.output.files.push(shard_file(name, body)?);
            self.notes.body_rows.push(rows);
        }
        Ok(())
    }

    fn count(&mut self, view: &BatchView<'_>, row: usize) {
        self.output.rows += 1;
        let namespace = view.namespace(row).unwrap_or("");
        match self.notes.namespaces.get_mut(namespace) {
            Some(records) => *records += 1,
            None => {
                self.notes.namespaces.insert(namespace.to_owned(), 1);
            }
        }
        for (column, spec) in view.vector_specs().enumerate() {
            if view.vector(column, row).is_none() {
                *self.output.null_vectors.entry(spec.name.clone()).or_default() += 1;
            }
        }
    }
}

fn check_total(totals: &BundleTotals, mapping: &Mapping) -> Result<()> {
    let by_namespace: u64 = mapping.records.values().sum();
    let by_fingerprint = mapping.source_fingerprint.as_ref().map_or(0, |summary| summary.records);
    if totals.rows == by_namespace && totals.rows == by_fingerprint {
        return Ok(());
    }
    Err(Error::bug(format!(
        "the bundle holds {} points, {by_namespace} by namespace and {by_fingerprint} by fingerprint",
        totals.rows
    )))
}

/// The id that a point has at its source, for messages.
fn own_id(point: &str) -> String {
    let Ok(point) = serde_json::from_str::<RawPoint<'_>>(point) else {
        return "a record".to_owned();
    };
    let payload: Option<Value> = point.payload.and_then(|payload| serde_json::from_str(payload.get()).ok());
    let entry = |key: &str| payload.as_ref().and_then(|payload| payload.get(key)).map(Value::to_string);
    let id = entry(ID_KEY).unwrap_or_else(|| point.id.get().to_owned());
    match entry(NAMESPACE_KEY) {
        Some(namespace) => format!("{id} of namespace {namespace}"),
        None => id,
    }
}

fn pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| Error::bug("JSON cannot be serialised").caused_by(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn shard_file(path: String, file: DurableFile) -> Result<ShardFile> {
    let digest = file.finish()?;
    Ok(ShardFile { path, bytes: digest.bytes, sha256: digest.sha256 })
}

fn entry(file: &ShardFile, rows: Option<u64>) -> FileEntry {
    FileEntry { bytes: file.bytes, sha256: file.sha256.clone(), rows }
}

fn source_file(file: &tranship_storage::FileIdentity) -> SourceFile {
    SourceFile { path: file.path.clone(), bytes: file.bytes, edges: file.edges.clone() }
}

fn body_name(ordinal: u64, number: usize) -> String {
    format!("data/points-{ordinal:05}-{number:03}.json")
}

fn ids_name(ordinal: u64) -> String {
    format!("{JOB_DIR}/qdrant-{ordinal:05}.ids")
}

fn notes_name(ordinal: u64) -> String {
    format!("{JOB_DIR}/qdrant-{ordinal:05}.json")
}

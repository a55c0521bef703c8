//! Writes a bundle: negotiates, shapes records, hands them to the form, and commits the directory.
//!
//! A shard is the form's data files of one split plus two side files of the run: its UUIDs (see `target_ids`) and its
//! notes (records per file and per namespace). Errors: those of `plan`, loss denied (a record that the target cannot
//! hold, two records with one id at the target), limit (a record that no file can hold).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tranship_collection::{BatchView, CollectionSchema, Fault, IdKind};
use tranship_connector::mapping::RowFault;
use tranship_connector::{
    CreateOptions, DeltaOrder, Error, ErrorKind, Job, Mapping, Negotiated, Result, Rules, ShardFile, ShardOutput,
    ShardWriter, Sink, Survey, Totals,
};
use tranship_storage::DurableFile;
use tranship_storage::staging::JOB_DIR;
use uuid::Uuid;

use crate::facts::pretty;
use crate::form::{Form, FormWriter, Part, Parts};
use crate::{commit, deletes, plan, target_ids};

/// The sink of one bundle.
pub struct BundleSink {
    pub(crate) job: Job,
    pub(crate) form: Box<dyn Form>,
    options: CreateOptions,
    pub(crate) delta: Option<DeltaOrder>,
}

/// What a shard leaves for the commit.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ShardNotes {
    /// Per data file, in the order of the shard's files: records, and the namespace of all of them.
    pub files: Vec<(Option<u64>, Option<String>)>,
    /// Records per namespace, `""` for the default one.
    pub namespaces: BTreeMap<String, u64>,
    /// Records that were left out.
    pub left_out: u64,
}

impl BundleSink {
    /// A sink for the directory `path`, which must not exist when the run begins.
    pub fn new(form: Box<dyn Form>, path: &Path, options: &CreateOptions) -> Self {
        BundleSink { job: Job::new(path), form, options: options.clone(), delta: None }
    }

    fn collection_name(&self, schema: &CollectionSchema) -> Result<String> {
        let name = self.options.collection.clone().unwrap_or_else(|| schema.name.clone());
        let fault = if name.is_empty() { Some("it is empty".to_owned()) } else { self.form.name_fault(&name) };
        let title = self.form.rules().title;
        match fault {
            None => Ok(name),
            Some(fault) => Err(Error::usage(format!("{title} takes no collection called `{name}`: {fault}"))
                .hint("give it another name at the target with --as NAME")),
        }
    }
}

impl Sink for BundleSink {
    fn rules(&self) -> Option<&'static Rules> {
        Some(self.form.rules())
    }

    fn take_delta(&mut self, mut delta: DeltaOrder) -> Result<()> {
        let Some(deletes) = self.form.deletes() else {
            return Err(deletes::not_offered(self.form.rules().title));
        };
        (deletes.adapt)(&mut delta.mapping);
        self.delta = Some(delta);
        Ok(())
    }

    fn survey_with(&self, schema: &CollectionSchema) -> Result<Option<Mapping>> {
        if let Some(delta) = &self.delta {
            deletes::check_schema(schema, &delta.mapping)?;
            return Ok(Some(delta.mapping.clone()));
        }
        let name = self.collection_name(schema)?;
        plan::mapping(self.form.rules(), schema, &self.options, name).map(Some)
    }

    fn negotiate(&self, schema: &CollectionSchema, survey: &Survey) -> Result<Negotiated> {
        let rules = self.form.rules();
        if let Some(delta) = &self.delta {
            return deletes::negotiate(&*self.form, delta, survey, &self.options);
        }
        let mut mapping = plan::mapping(rules, schema, &self.options, self.collection_name(schema)?)?;
        plan::settle(rules, &mut mapping, survey, &self.options)?;
        self.form.settle(&mut mapping, survey)?;
        Ok(Negotiated { losses: mapping.losses.clone(), mapping: Some(mapping) })
    }

    fn split_bytes(&self) -> u64 {
        self.form.split_bytes()
    }

    fn begin(&self, plan: &str, _schema: &CollectionSchema) -> Result<BTreeMap<u64, ShardOutput>> {
        self.job.begin(plan)
    }

    fn workdir(&self) -> Option<PathBuf> {
        Some(self.job.path())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        self.form.shard_memory_bytes(schema) + tranship_connector::source::BATCH_BYTES as u64
    }

    fn open_shard<'a>(
        &'a self,
        ordinal: u64,
        schema: &'a CollectionSchema,
        mapping: Option<&'a Mapping>,
    ) -> Result<Box<dyn ShardWriter + 'a>> {
        let mapping = mapping.ok_or_else(|| Error::bug("a bundle without a mapping"))?;
        let stored = Arc::new(mapping.stored_schema());
        Ok(Box::new(BundleShard {
            job: &self.job,
            schema,
            mapping,
            writer: self.form.open(Parts::new(&self.job, ordinal), mapping, &stored)?,
            stored,
            ordinal,
            notes: ShardNotes::default(),
            ids: self.job.create(&ids_name(ordinal))?,
            left_out: None,
            rows: 0,
        }))
    }

    fn publish(&self, shard: &mut ShardOutput) -> Result<()> {
        self.job.record(shard)
    }

    fn abandon(&self) -> Result<()> {
        self.job.abandon_if_empty()
    }

    fn commit(&self, totals: &Totals<'_>) -> Result<()> {
        commit::commit(self, totals)
    }
}

/// A shard being written.
struct BundleShard<'a> {
    job: &'a Job,
    schema: &'a CollectionSchema,
    mapping: &'a Mapping,
    stored: Arc<CollectionSchema>,
    writer: Box<dyn FormWriter + 'a>,
    ordinal: u64,
    notes: ShardNotes,
    ids: DurableFile,
    left_out: Option<DurableFile>,
    rows: u64,
}

impl ShardWriter for BundleShard<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let given = BatchView::new(batch, self.schema).map_err(broken)?;
        let shaped = self.mapping.shape(batch, self.schema).map_err(|(row, fault)| refused(given.id(row), &fault))?;
        for (row, fault) in &shaped.left_out {
            self.leave_out(given.id(*row), given.namespace(*row), fault)?;
        }
        self.note(&shaped.batch, &given, &shaped.left_out)?;
        self.writer.write(&shaped.batch)
    }

    fn finish(self: Box<Self>) -> Result<ShardOutput> {
        let this = *self;
        let mut output = ShardOutput { ordinal: this.ordinal, rows: this.rows, ..ShardOutput::default() };
        let mut notes = this.notes;
        let mut beside = Vec::new();
        for Part { file, rows, namespace } in this.writer.finish()? {
            if Path::new(&file.path).starts_with(JOB_DIR) {
                beside.push(file);
                continue;
            }
            output.files.push(file);
            notes.files.push((rows, namespace));
        }
        if let Some(file) = this.left_out {
            output.files.push(shard_file(left_out_name(this.ordinal), file)?);
            notes.files.push((None, None));
        }
        let ids = shard_file(ids_name(this.ordinal), this.ids)?;
        let mut file = this.job.create(&notes_name(this.ordinal))?;
        file.write_all(&pretty(&notes)?)?;
        output.side_files = vec![ids, shard_file(notes_name(this.ordinal), file)?];
        output.side_files.append(&mut beside);
        Ok(output)
    }
}

impl BundleShard<'_> {
    /// Counts namespaces, and writes down every UUID that could fall together with another one.
    fn note(&mut self, stored: &RecordBatch, given: &BatchView<'_>, left_out: &[(usize, RowFault)]) -> Result<()> {
        let view = BatchView::new(stored, &self.stored).map_err(broken)?;
        let kept = (0..given.len()).filter(|row| !left_out.iter().any(|(left, _)| left == row));
        for (row, given_row) in kept.enumerate() {
            let namespace = given.namespace(given_row).unwrap_or("");
            match self.notes.namespaces.get_mut(namespace) {
                Some(records) => *records += 1,
                None => {
                    self.notes.namespaces.insert(namespace.to_owned(), 1);
                }
            }
            if view.id_kind(row) == IdKind::Text
                && let Ok(uuid) = Uuid::try_parse(view.id(row))
            {
                let place =
                    u32::try_from(self.rows).map_err(|_| Error::limit("more than 2^32 records in one split"))?;
                let scoped = match view.namespace(row) {
                    Some(namespace) => Uuid::new_v5(&uuid, namespace.as_bytes()),
                    None => uuid,
                };
                self.ids.write_all(&target_ids::record(scoped, place))?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn leave_out(&mut self, id: &str, namespace: Option<&str>, fault: &RowFault) -> Result<()> {
        let mut file = match self.left_out.take() {
            Some(file) => file,
            None => self.job.create(&left_out_name(self.ordinal))?,
        };
        let line =
            json!({ "id": id, "namespace": namespace, "code": fault.code, "path": fault.path, "reason": fault.what });
        writeln!(file, "{line}")?;
        self.notes.left_out += 1;
        self.left_out = Some(file);
        Ok(())
    }
}

fn refused(id: &str, fault: &RowFault) -> Error {
    let kind = if fault.code == "BROKEN" { ErrorKind::Damaged } else { ErrorKind::LossDenied };
    Error::new(kind, format!("the target cannot hold record `{id}`: {}: {}", fault.path, fault.what))
        .with("loss", fault.code)
        .hint(format!("set such records aside, or accept with --allow-loss {}", fault.code))
}

fn broken(fault: Fault) -> Error {
    Error::bug(fault.to_string())
}

fn shard_file(path: String, file: DurableFile) -> Result<ShardFile> {
    let digest = file.finish()?;
    Ok(ShardFile { path, bytes: digest.bytes, sha256: digest.sha256 })
}

fn left_out_name(ordinal: u64) -> String {
    format!("data/left-out-{ordinal:05}.jsonl")
}

/// Side file of a shard's UUIDs.
pub(crate) fn ids_name(ordinal: u64) -> String {
    format!("{JOB_DIR}/bundle-{ordinal:05}.ids")
}

/// Side file of a shard's notes.
pub(crate) fn notes_name(ordinal: u64) -> String {
    format!("{JOB_DIR}/bundle-{ordinal:05}.json")
}

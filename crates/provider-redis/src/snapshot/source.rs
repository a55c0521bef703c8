//! One database of a file as a [`Source`]: its schema, its identity, its splits and what is worth telling.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tranship_collection::CollectionSchema;
use tranship_connector::{
    Batches, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::{Blob, SourceIdentity};

use super::choice::Choice;
use super::look::Look;
use super::rdb::Header;
use super::reader::Reader;
use super::survey::Survey;
use super::walk::Database;
use crate::dialect;

/// One database of a file.
pub struct RedisSource {
    blob: Blob,
    header: Header,
    choice: Choice,
    schema: CollectionSchema,
    options: OpenOptions,
}

/// A file that was gone over.
pub struct PreparedFile<'a> {
    /// The file.
    pub blob: &'a Blob,
    /// Version of the format.
    pub header: Header,
    /// What is read.
    pub choice: &'a Choice,
    /// The options.
    pub options: &'a OpenOptions,
    /// Schema of every batch.
    pub schema: Arc<CollectionSchema>,
    /// What the pass found.
    pub survey: Survey,
    notes: Vec<String>,
}

impl RedisSource {
    /// What was settled after a first look.
    pub fn new(blob: Blob, look: &Look, choice: Choice, options: &OpenOptions) -> Self {
        let mut schema = choice.schema();
        let vendor = json!({
            "producer": look.contents.producer(look.header),
            "rdb_version": look.header.version,
            "database": choice.database,
            "prefix": String::from_utf8_lossy(&choice.wishes.prefix),
            "vector_fields": choice.vectors.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(),
            "element": choice.element.name(),
            "facts": look.contents.facts,
        });
        schema.vendor.insert("redis".to_owned(), vendor);
        RedisSource { blob, header: look.header, choice, schema, options: options.clone() }
    }

    /// The schema with what the pass counted.
    fn final_schema(&self, counted: &Database) -> CollectionSchema {
        let mut schema = self.schema.clone();
        if let Some(vendor) = schema.vendor.get_mut("redis").and_then(serde_json::Value::as_object_mut) {
            vendor.insert("expiring_keys".to_owned(), counted.expiring.into());
            vendor.insert("expiring_fields".to_owned(), counted.expiring_fields.into());
        }
        schema
    }

    fn notes(&self, survey: &Survey, counted: &Database) -> Vec<String> {
        let mut notes = survey.notes.clone();
        if self.header.is_newer() {
            let producer = survey.contents.producer(self.header);
            notes.push(format!("written by {producer}, newer than what tranship was tested with"));
        }
        if survey.contents.facts.get("aof-base").is_some_and(|value| value == "1") {
            notes.push(
                "the file is the base of an append-only log: writes in the .incr.aof files are not read".to_owned(),
            );
        }
        if survey.without_vector > 0 && !self.choice.wishes.keep_without_vector {
            let fields: Vec<String> = self.choice.vectors.iter().map(|v| format!("`{}`", v.field)).collect();
            notes.push(format!(
                "{} hashes without {} are not part of the collection (-o without-vector=keep takes them)",
                survey.without_vector,
                fields.join(" or ")
            ));
        }
        if counted.other_hashes > 0 {
            notes.push(format!("{} hashes lie outside the prefix", counted.other_hashes));
        }
        notes.extend(counted.others_note(self.choice.database));
        notes.extend(counted.module_notes());
        if counted.expiring + counted.expiring_fields > 0 {
            notes.push(format!(
                "{} records and {} fields have an expiry time: they are kept whether it is past or to come, and it is \
                 not carried over",
                counted.expiring, counted.expiring_fields
            ));
        }
        notes.extend(survey.contents.aux_note());
        notes.extend(self.choice.default_note());
        notes
    }
}

impl Source for RedisSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let path = self.blob.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let files: [(PathBuf, String); 1] = [(path.to_owned(), name)];
        Ok(SourceIdentity::of(&files, self.options.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let survey = Survey::take(&self.blob, self.header, &self.choice, &self.options, context.split_bytes)?;
        let nothing = Database::default();
        let counted = survey.contents.databases.get(&self.choice.database).unwrap_or(&nothing);
        Ok(Box::new(PreparedFile {
            blob: &self.blob,
            header: self.header,
            choice: &self.choice,
            options: &self.options,
            schema: Arc::new(self.final_schema(counted)),
            notes: self.notes(&survey, counted),
            survey,
        }))
    }
}

impl Prepared for PreparedFile<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        let records = Some(self.survey.records);
        RowLedger { raw: records, live: records, ..RowLedger::default() }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        Ok(Box::new(self.survey.splits.iter().cloned().map(Ok)))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        Ok(Box::new(Reader::new(self, split, rejects)?))
    }
}

impl Database {
    /// Keys that are no hashes.
    pub fn others_note(&self, number: u64) -> Option<String> {
        let shown: Vec<String> = self.others.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        (!shown.is_empty()).then(|| format!("db{number} also holds {}, which are not read", shown.join(", ")))
    }

    /// Values of modules.
    pub fn module_notes(&self) -> impl Iterator<Item = String> + '_ {
        self.modules
            .iter()
            .map(|(name, count)| format!("{count} values of `{name}` are not read: {}", dialect::advice(name)))
    }
}

impl super::walk::Contents {
    /// Data of modules that belong to no key.
    pub fn aux_note(&self) -> Option<String> {
        let names: Vec<String> = self.modules.keys().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| {
            format!(
                "data of the modules {} are not read; if they define search indexes, give the metric with --metric",
                names.join(", ")
            )
        })
    }
}

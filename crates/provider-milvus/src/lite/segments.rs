//! One collection of a directory as a [`Source`].
//!
//! A split is a row group of a Parquet file, or a log. Rows are flushed at 128 MiB, so that neither is large.
//!
//! Rejects: vectors of another dimension or with NaN, dynamic fields that are no JSON object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::json::ObjectText;
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, CollectionSchema};
use tranship_connector::liveness::LiveRows;
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, Error, OpenOptions, PrepareContext, Prepared, Reject, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::SourceIdentity;

use super::columns::{Key, Keys, PARTITION, append_value, push_vector, stands_for_null, text};
use super::directory::{Collection, Directory};
use super::parts::{Part, Parts, Rows, bad_columns};
use super::values::{Checked, append_dynamic};
use crate::dialect::{DEFAULT_PARTITION, Roles};

/// One collection of a directory.
pub struct DirectorySource {
    directory: Directory,
    collection: Collection,
    schema: CollectionSchema,
    options: OpenOptions,
}

/// A collection whose living rows are known.
struct PreparedParts<'a> {
    collection: &'a Collection,
    schema: Arc<CollectionSchema>,
    roles: Roles,
    primary: String,
    parts: Parts,
    live: LiveRows,
    notes: Vec<String>,
}

impl DirectorySource {
    /// Opens the collection that the options choose.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let directory = Directory::open(path, options)?;
        let collection = directory.choose(options)?;
        let schema = collection.schema(options)?;
        Ok(DirectorySource { directory, collection, schema, options: options.clone() })
    }

    fn files(&self) -> Vec<(PathBuf, String)> {
        let below = self.directory.tree.below(&self.collection.place);
        below.iter().map(|(name, blob)| (blob.path().to_owned(), name.to_owned())).collect()
    }
}

impl Source for DirectorySource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        Ok(SourceIdentity::of(&self.files(), self.options.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let roles = Roles::of(&self.collection.fields)?;
        let primary = self.collection.fields.get(roles.primary).map(|field| field.name.clone()).unwrap_or_default();
        let parts = Parts::find(&self.directory, &self.collection, &self.options)?;
        let live = parts.survey(&primary, context.scratch)?;
        let mut notes: Vec<String> =
            [&self.directory.notes, &self.collection.notes, &parts.notes].into_iter().flatten().cloned().collect();
        for (name, count) in self.zeros_for_null(&parts, &live)? {
            notes.push(format!(
                "{count} vectors `{name}` have zeros only, which is how Milvus Lite writes null: they are read as null; a \
                 vector that was inserted as zeros cannot be told from them"
            ));
        }
        Ok(Box::new(PreparedParts {
            collection: &self.collection,
            schema: Arc::new(self.schema.clone()),
            roles,
            primary,
            parts,
            live,
            notes,
        }))
    }
}

impl DirectorySource {
    /// How many living vectors of each nullable field are zeros that stand for null.
    fn zeros_for_null(&self, parts: &Parts, live: &LiveRows) -> Result<BTreeMap<&str, u64>> {
        let nullable = self.collection.fields.iter().filter(|field| field.nullable && field.data_type.is_vector());
        let names: Vec<&str> = nullable.map(|field| field.name.as_str()).collect();
        let mut counts = BTreeMap::new();
        let searched = if names.is_empty() { &[] } else { parts.parts.as_slice() };
        for (number, part) in searched.iter().enumerate() {
            for group in 0..part.rows.groups() {
                for batch in part.rows.batches(group, Some(&names))? {
                    let (first, batch) = batch?;
                    for name in &names {
                        let Some(column) = batch.column_by_name(name) else { continue };
                        let is_null = |row: &usize| {
                            live.lives(number, first.saturating_add(*row as u64)) && stands_for_null(column, *row)
                        };
                        let count = (0..batch.num_rows()).filter(is_null).count() as u64;
                        if count > 0 {
                            *counts.entry(*name).or_default() += count;
                        }
                    }
                }
            }
        }
        Ok(counts)
    }
}

impl Prepared for PreparedParts<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        RowLedger {
            raw: Some(self.parts.parts.iter().map(|part| part.count).sum()),
            live: Some(self.live.live),
            deleted: self.live.deleted,
            superseded: self.live.superseded,
            ..RowLedger::default()
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let groups = self.parts.parts.iter().enumerate().flat_map(|(number, part)| groups_of(number, part));
        let splits = groups.zip(0..).map(|(split, ordinal)| Ok(Split { ordinal, ..split }));
        Ok(Box::new(splits))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let part = usize::try_from(split.start).ok().and_then(|number| self.parts.parts.get(number));
        let part = part.ok_or_else(|| Error::bug("a split of no part"))?;
        let number = split.start as usize;
        let group = (split.end - split.start - 1) as usize;
        let builder = BatchBuilder::new(self.schema.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
        Ok(Box::new(Reader {
            batches: part.rows.batches(group, None)?,
            open: None,
            appender: Appender { prepared: self, part, number, builder, metadata: ObjectText::default() },
            rejects,
        }))
    }
}

/// The splits of a part: `start` is its number, `end` is past it by the number of the row group.
fn groups_of(number: usize, part: &Part) -> Vec<Split> {
    let split = |group: usize, first_row, bytes| Split {
        file: part.rows.label(),
        start: number as u64,
        end: (number + group + 1) as u64,
        first_row,
        bytes,
        ..Split::default()
    };
    match &part.rows {
        Rows::File(file) => {
            file.row_groups().iter().enumerate().map(|(n, group)| split(n, group.first_row, group.bytes)).collect()
        }
        Rows::Log(blob) => vec![split(0, 0, blob.len())],
    }
}

/// A split being read.
struct Reader<'a> {
    batches: Box<dyn Iterator<Item = Result<(u64, RecordBatch)>>>,
    /// The batch that is being taken over, the number of its first row, and the row to go on from.
    open: Option<(u64, RecordBatch, usize)>,
    appender: Appender<'a>,
    rejects: &'a mut dyn RejectSink,
}

/// Puts rows into a batch.
struct Appender<'a> {
    prepared: &'a PreparedParts<'a>,
    part: &'a Part,
    number: usize,
    builder: BatchBuilder,
    metadata: ObjectText,
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            (self.open, self.batches) = (None, Box::new(std::iter::empty()));
        }
        batch.transpose()
    }
}

impl Reader<'_> {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.appender.builder.bytes() < BATCH_BYTES {
            let Some((first, batch, mut row)) = self.open.take() else {
                match self.batches.next().transpose()? {
                    Some((first, batch)) => self.open = Some((first, batch, 0)),
                    None => break,
                }
                continue;
            };
            let keys = Keys::of(&batch, &self.appender.prepared.primary)
                .map_err(|reason| bad_columns(&self.appender.part.rows, &reason))?;
            while row < batch.num_rows() && self.appender.builder.bytes() < BATCH_BYTES {
                self.appender.row(&batch, &keys, first, row, self.rejects)?;
                row += 1;
            }
            if row < batch.num_rows() {
                self.open = Some((first, batch, row));
            }
        }
        if self.appender.builder.rows() == 0 {
            return Ok(None);
        }
        self.appender.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string()))
    }
}

impl Appender<'_> {
    fn row(
        &mut self,
        batch: &RecordBatch,
        keys: &Keys<'_>,
        first: u64,
        row: usize,
        rejects: &mut dyn RejectSink,
    ) -> Result<()> {
        let number = first + row as u64;
        if !self.prepared.live.lives(self.number, number) {
            return Ok(());
        }
        let (id, id_kind) = match keys.key(row) {
            Key::Integer(id) => (id.to_string(), IdKind::Integer),
            Key::Text(id) => (id.to_owned(), IdKind::Text),
        };
        if let Err(reason) = self.append(batch, row, &id, id_kind) {
            self.builder.rollback();
            let place = format!("{} row {number}", self.part.rows.label());
            rejects.reject(Reject { place, id: Some(id), reason, record: None })?;
        }
        Ok(())
    }

    /// Completes one record, or says why it must be rejected.
    fn append(&mut self, batch: &RecordBatch, row: usize, id: &str, id_kind: IdKind) -> Checked {
        let (fields, roles) = (&self.prepared.collection.fields, &self.prepared.roles);
        for (position, name) in &roles.vectors {
            let Some(field) = fields.get(*position) else { continue };
            let Some(column) = self.builder.vector_index(name) else { continue };
            push_vector(field, batch.column_by_name(&field.name), row, column, &mut self.builder)?;
        }
        self.metadata.clear();
        for position in &roles.scalars {
            let Some(field) = fields.get(*position) else { continue };
            append_value(field, batch.column_by_name(&field.name), row, self.metadata.key(&field.name))?;
        }
        if let Some(field) = roles.dynamic.and_then(|position| fields.get(position)) {
            let object = text(batch, &field.name, row)?.unwrap_or_default();
            append_dynamic(object, fields, &mut self.metadata)?;
        }
        let partition = match &self.part.partition {
            Some(partition) => Some(partition.as_str()),
            None => text(batch, PARTITION, row)?,
        };
        let namespace = partition.filter(|name| *name != DEFAULT_PARTITION);
        let metadata = self.metadata.close().map_err(|fault| fault.to_string())?;
        let text = RowText { id, id_kind, namespace, document: None, metadata };
        self.builder.finish_row(text).map_err(|fault| fault.to_string())
    }
}

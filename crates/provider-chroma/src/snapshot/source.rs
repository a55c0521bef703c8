//! One collection as a [`Source`]: its schema, its identity, and its splits.
//!
//! Records come in the order of `embeddings.id`; a split is a range of it. Their number per split depends on the
//! collection and on the target size of a split, never on memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;
use tranship_collection::{CollectionSchema, Element, ServedGraph, VectorKind, VectorSpec};
use tranship_connector::{
    Batches, Error, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_storage::SourceIdentity;

use super::catalog::{Catalog, Collection};
use super::database::Database;
use super::graph;
use super::index::{Index, segment_files, torn};
use super::reader::Reader;
use super::vectors::{Located, Locator};
use crate::dialect::{IndexSettings, SettingsPlaces, embedding_model};

/// Records per split at most: keeps the work of a split short where records are small.
const SPLIT_ROWS: u64 = 20_000;

/// One collection of a Chroma directory.
pub struct ChromaSource {
    database: Database,
    collection: Collection,
    schema: CollectionSchema,
    options: OpenOptions,
    row_bytes: u64,
    notes: Vec<String>,
}

/// A collection whose vectors have been located.
pub struct PreparedCollection<'a> {
    /// The database.
    pub database: &'a Database,
    /// The collection.
    pub collection: &'a Collection,
    /// Schema of every batch.
    pub schema: Arc<CollectionSchema>,
    /// Its index, if it was ever persisted.
    pub index: Option<Index>,
    /// Where vectors lie.
    pub located: Located,
    notes: Vec<String>,
    row_bytes: u64,
    rows_per_split: usize,
}

impl ChromaSource {
    /// Opens the collection that the options choose.
    pub fn new(database: Database, catalog: Catalog, options: &OpenOptions) -> Result<Self> {
        let collection = catalog.choose(options)?.clone();
        collection.check(&database)?;
        let schema = schema_of(&database, &catalog, &collection)?;
        let mut notes = database.notes.clone();
        if catalog.producer.contains("newer") {
            notes.push(format!("written by {}, newer than what tranship was tested with", catalog.producer));
        }
        if collection.is_unborn() {
            notes.push(format!(
                "collection `{}` was created, but Chroma was stopped before it could take records",
                collection.name
            ));
        }
        Ok(ChromaSource { database, collection, schema, options: options.clone(), row_bytes: catalog.row_bytes, notes })
    }

    /// The schema with the dimensions that the index has, which must be the catalogue's if that knows any.
    fn final_schema(&self, index: Option<&Index>) -> Result<CollectionSchema> {
        let mut schema = self.schema.clone();
        if let (Some(index), Some(spec)) = (index, schema.vectors.first_mut()) {
            let found = index.vectors.dim();
            match spec.dim.replace(found) {
                Some(dim) if dim != found => {
                    let header = index.vectors.path().with_file_name("header.bin");
                    let what = format_args!("has vectors of {found} dimensions, the collection has {dim}");
                    return Err(torn(&header, what));
                }
                _ => {}
            }
        }
        Ok(schema)
    }

    /// Finds the vectors of all records; the state may take `memory_bytes`.
    fn locate(&self, memory_bytes: u64) -> Result<(Option<Index>, Located)> {
        let collection = &self.collection;
        let spec = self.schema.vectors.first();
        let metric =
            spec.and_then(|spec| spec.metric).ok_or_else(|| Error::bug("a Chroma collection without metric"))?;
        let index = Index::open(&self.database.root, &collection.vector_segment, metric, &self.options.limits)?;
        let connection = self.database.connect()?;
        let locator = Locator {
            database: &self.database,
            connection: &connection,
            collection,
            index: index.as_ref(),
            metric,
            options: &self.options,
            memory_bytes,
        };
        let located = locator.locate()?;
        Ok((index, located))
    }

    fn files(&self) -> Vec<(PathBuf, String)> {
        let named = |path: PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (path, name)
        };
        let database = self.database.files().into_iter().map(named);
        database.chain(segment_files(&self.database.root, &self.collection.vector_segment)).collect()
    }
}

impl Source for ChromaSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        Ok(SourceIdentity::of(&self.files(), self.options.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let (index, mut located) = self.locate(context.memory_bytes)?;
        let schema = self.final_schema(index.as_ref())?;
        let row_bytes = self.row_bytes + schema.dense_row_bytes() as u64;
        let rows_per_split = (context.split_bytes / row_bytes.max(1)).clamp(1, SPLIT_ROWS) as usize;
        let notes = self.notes.iter().cloned().chain(located.notes.drain(..)).collect();
        Ok(Box::new(PreparedCollection {
            database: &self.database,
            collection: &self.collection,
            schema: Arc::new(schema),
            index,
            located,
            notes,
            row_bytes,
            rows_per_split,
        }))
    }

    fn served_graph(&self, vector: &str) -> Result<Option<ServedGraph>> {
        let Some(spec) = self.schema.vector(vector) else { return Ok(None) };
        let (Some(index), located) = self.locate(u64::MAX)? else { return Ok(None) };
        self.final_schema(Some(&index))?;
        graph::served(&index, &located, &self.database, &self.collection, spec).map(Some)
    }
}

impl Prepared for PreparedCollection<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        self.located.ledger
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let chunks = self.located.rows.chunks(self.rows_per_split).enumerate();
        Ok(Box::new(chunks.map(|(ordinal, rows)| {
            let (first, last) = (rows.first().map_or(0, |r| r.row_id), rows.last().map_or(0, |r| r.row_id));
            Ok(Split {
                ordinal: ordinal as u64,
                start: first as u64,
                end: last as u64 + 1,
                bytes: rows.len() as u64 * self.row_bytes,
                first_row: (ordinal * self.rows_per_split) as u64,
                ..Split::default()
            })
        })))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let rows = &self.located.rows;
        let position = |row_id: u64| rows.partition_point(|row| (row.row_id as u64) < row_id);
        let rows = &rows[position(split.start)..position(split.end).max(position(split.start))];
        Ok(Box::new(Reader::new(self, rows, rejects)?))
    }
}

/// What the catalogue tells about a collection.
pub fn schema_of(database: &Database, catalog: &Catalog, collection: &Collection) -> Result<CollectionSchema> {
    let places = SettingsPlaces {
        schema: collection.schema.as_deref(),
        config: collection.config.as_deref(),
        segment: &collection.segment_metadata,
        collection: &collection.metadata,
        default_ef_search: catalog.default_ef_search,
    };
    let settings = IndexSettings::find(places).map_err(|error| error.with("collection", &collection.shown_name))?;
    let dim = match collection.dimension {
        Some(dim) => Some(dim),
        None => queued_dim(database, collection)?,
    };
    let dim = dim.map(|dim| database.check_dim(dim)).transpose()?;
    let mut schema = CollectionSchema::new(collection.name.clone());
    schema.vectors = vec![VectorSpec {
        name: String::new(),
        kind: VectorKind::Dense,
        element: Element::F32,
        dim,
        metric: Some(settings.metric().map_err(|error| error.with("collection", &collection.shown_name))?),
        normalised: false,
        model: embedding_model(collection.schema.as_deref(), collection.config.as_deref())?,
        index: Some(settings.index()),
    }];
    schema.vendor.insert("chroma".to_owned(), vendor(catalog, collection));
    Ok(schema)
}

/// The origin's own configuration, verbatim where it is text.
fn vendor(catalog: &Catalog, collection: &Collection) -> serde_json::Value {
    json!({
        "producer": catalog.producer,
        "tenant": collection.tenant,
        "database": collection.database,
        "collection_id": collection.id,
        "vector_segment": collection.vector_segment,
        "metadata_segment": collection.metadata_segment,
        "collection_metadata": collection.metadata,
        "segment_metadata": collection.segment_metadata,
        "config_json_str": collection.config,
        "schema_str": collection.schema,
    })
}

/// Elements of the first queued vector, for a collection whose row does not say.
fn queued_dim(database: &Database, collection: &Collection) -> Result<Option<usize>> {
    if collection.records == 0 {
        return Ok(None);
    }
    let connection: Connection = database.connect()?;
    let sql = "SELECT length(vector) / 4 FROM embeddings_queue \
               WHERE substr(topic, -length(?1)) = ?1 AND vector IS NOT NULL ORDER BY seq_id LIMIT 1";
    let found = connection.query_row(sql, [format!("/{}", collection.id)], |row| row.get::<_, u32>(0));
    match found {
        Ok(dim) => Ok(Some(dim as usize).filter(|dim| *dim > 0)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => Err(database.failed(error)),
    }
}

/// Path of a file relative to the Chroma directory, for places in rejects.
pub fn relative<'p>(path: &'p Path, root: &Path) -> &'p Path {
    path.strip_prefix(root).unwrap_or(path)
}

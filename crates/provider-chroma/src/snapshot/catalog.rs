//! The SQL catalogue: which collections there are and which segments belong to them.
//!
//! Columns and tables that came with later versions are read where they exist. Orphaned segment directories and rows
//! of deleted collections are never looked at, because everything starts from `collections`.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde_json::{Map, Value};
use tranship_connector::{Error, OpenOptions, Result};

use super::database::Database;
use super::vectors::topic_of;
use crate::dialect;

const PERSISTED: &str = "urn:chroma:segment/vector/hnsw-local-persisted";
const IN_MEMORY: &str = "urn:chroma:segment/vector/hnsw-local-memory";
const METADATA: &str = "urn:chroma:segment/metadata/sqlite";

/// What `chroma.sqlite3` says about its collections.
#[derive(Debug)]
pub struct Catalog {
    /// Every collection, by tenant, database and name.
    pub collections: Vec<Collection>,
    /// Chroma's version as far as the migrations tell.
    pub producer: String,
    /// What that version searches with unless told otherwise.
    pub default_ef_search: u32,
    /// Size of the database file divided by its records: what a record's text costs about.
    pub row_bytes: u64,
}

/// One collection.
#[derive(Debug, Clone)]
pub struct Collection {
    /// UUID.
    pub id: String,
    /// Its own name.
    pub name: String,
    /// Tenant.
    pub tenant: String,
    /// Database within the tenant.
    pub database: String,
    /// Name to choose it by: the own one if unique, else `tenant/database/name`.
    pub shown_name: String,
    /// Elements per vector; `None` before the first record.
    pub dimension: Option<usize>,
    /// `config_json_str`, verbatim.
    pub config: Option<String>,
    /// `schema_str`, verbatim.
    pub schema: Option<String>,
    /// Rows of `collection_metadata`.
    pub metadata: Map<String, Value>,
    /// Rows of `segment_metadata` of the vector segment.
    pub segment_metadata: Map<String, Value>,
    /// UUID of the segment with the vectors: the name of its directory. Empty if there is none.
    pub vector_segment: String,
    /// UUID of the segment with ids and metadata. Empty if there is none.
    pub metadata_segment: String,
    /// All segments.
    segments: Vec<Segment>,
    /// Records.
    pub records: u64,
}

impl Collection {
    fn full_name(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.database, self.name)
    }

    /// What the 0.5 or 0.6 that created it searched with. A setting of its own is no standard; 0.5 copied it over.
    fn standard_ef_search(&self) -> Option<u32> {
        let own = [&self.segment_metadata, &self.metadata].iter().any(|keys| keys.contains_key("hnsw:search_ef"));
        self.config.as_deref().filter(|_| !own).and_then(dialect::standard_ef_search)
    }

    /// True if Chroma was interrupted before it gave the collection its segments, so that nothing was ever added.
    pub fn is_unborn(&self) -> bool {
        self.segments.is_empty()
    }

    /// Fails unless the collection has one local segment of either scope; other collections can be read all the same.
    pub fn check(&self, database: &Database) -> Result<()> {
        if self.is_unborn() {
            return self.check_unborn(database);
        }
        self.check_segment(database, "VECTOR", &[PERSISTED, IN_MEMORY])?;
        self.check_segment(database, "METADATA", &[METADATA])
    }

    fn check_unborn(&self, database: &Database) -> Result<()> {
        let sql = "SELECT count(*) FROM embeddings_queue WHERE substr(topic, -length(?1)) = ?1";
        let count = database.connect()?.query_row(sql, [topic_of(&self.id)], |row| row.get::<_, i64>(0));
        match count.map_err(|error| database.failed(error))? {
            0 => Ok(()),
            _ => Err(database
                .damaged(format_args!("gives collection `{}` no segments but writes in embeddings_queue", self.name))),
        }
    }

    /// A segment's id becomes part of a path, so it must be a UUID.
    fn check_segment(&self, database: &Database, scope: &str, kinds: &[&str]) -> Result<()> {
        let mut of_scope = self.segments.iter().filter(|segment| segment.scope == scope);
        let (Some(segment), None) = (of_scope.next(), of_scope.next()) else {
            let count = self.segments.iter().filter(|segment| segment.scope == scope).count();
            return Err(database
                .damaged(format_args!("gives collection `{}` {count} segments of scope {scope}, not one", self.name)));
        };
        if !kinds.contains(&segment.kind.as_str()) {
            return Err(Error::not_recognised(format!(
                "collection `{}` is kept in a segment of type `{}`",
                self.name, segment.kind
            ))
            .hint("only local persistent directories can be read; export it through a local chromadb first"));
        }
        let is_uuid = segment.id.len() == 36 && segment.id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !is_uuid {
            return Err(database.damaged(format_args!("names a segment {:?}, which is no UUID", segment.id)));
        }
        Ok(())
    }

    /// Id of the first segment of a scope, or nothing.
    fn segment(&self, scope: &str) -> String {
        let found = self.segments.iter().find(|segment| segment.scope == scope);
        found.map(|segment| segment.id.clone()).unwrap_or_default()
    }
}

impl Catalog {
    /// Reads the catalogue.
    pub fn read(database: &Database) -> Result<Self> {
        let connection = database.connect()?;
        let reader = Reader { database, connection: &connection };
        let [sysdb, metadb, queue] = reader.migrations()?;
        let mut collections = reader.collections()?;
        name_apart(&mut collections);
        let all_records = reader.one("SELECT count(*) FROM embeddings", &[])?.unsigned_abs();
        let file_bytes: u64 = database.files().iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
        // The newest version that ever created a collection here, which is the oldest that may have run last.
        let created = collections.iter().filter_map(Collection::standard_ef_search).max();
        Ok(Catalog {
            collections,
            producer: dialect::producer(sysdb, metadb, queue),
            default_ef_search: created.unwrap_or(10).max(if metadb <= 4 { 10 } else { 100 }),
            row_bytes: file_bytes / all_records.max(1),
        })
    }

    /// The collection that the user means.
    pub fn choose(&self, options: &OpenOptions) -> Result<&Collection> {
        let found = match &options.collection {
            Some(wanted) => self.collections.iter().find(|c| c.shown_name == *wanted || c.full_name() == *wanted),
            None if self.collections.len() == 1 => self.collections.first(),
            None => None,
        };
        found.ok_or_else(|| self.unclear(options.collection.as_deref()))
    }

    fn unclear(&self, wanted: Option<&str>) -> Error {
        let names: Vec<&str> = self.collections.iter().map(|c| c.shown_name.as_str()).collect();
        if names.is_empty() {
            return Error::usage("the Chroma directory holds no collection")
                .hint("check that it is the directory that was passed to chromadb.PersistentClient(path=..)");
        }
        let message = match wanted {
            Some(wanted) => format!("there is no collection `{wanted}`"),
            None => format!("the Chroma directory holds {} collections", names.len()),
        };
        Error::usage(message).hint(format!("choose with --collection one of: {}; or take --all", names.join(", ")))
    }
}

/// Gives collections whose name occurs twice their full name.
fn name_apart(collections: &mut [Collection]) {
    let mut uses = BTreeMap::<String, usize>::new();
    collections.iter().for_each(|c| *uses.entry(c.name.clone()).or_default() += 1);
    for collection in collections {
        if uses.get(&collection.name).is_some_and(|count| *count > 1) {
            collection.shown_name = collection.full_name();
        }
    }
}

struct Reader<'a> {
    database: &'a Database,
    connection: &'a Connection,
}

/// One row of `segments`.
#[derive(Debug, Clone)]
struct Segment {
    id: String,
    kind: String,
    scope: String,
}

impl Reader<'_> {
    /// Highest migrations of sysdb, metadb and queue.
    fn migrations(&self) -> Result<[i64; 3]> {
        if self.columns("migrations")?.is_empty() {
            return Ok([0; 3]);
        }
        let highest = |dir| self.one("SELECT coalesce(max(version), 0) FROM migrations WHERE dir = ?1", &[dir]);
        Ok([highest("sysdb")?, highest("metadb")?, highest("embeddings_queue")?])
    }

    fn collections(&self) -> Result<Vec<Collection>> {
        let columns = self.columns("collections")?;
        let optional = |name: &str| if columns.contains(name) { format!("c.{name}") } else { "NULL".to_owned() };
        let (tenant, join) = match self.columns("databases")?.is_empty() {
            true => ("'default_tenant', 'default_database'", ""),
            false => ("d.tenant_id, d.name", "LEFT JOIN databases d ON d.id = c.database_id"),
        };
        let sql = format!(
            "SELECT c.id, c.name, {}, {}, {}, {tenant} FROM collections c {join} ORDER BY 6, 7, 2, 1",
            optional("dimension"),
            optional("config_json_str"),
            optional("schema_str")
        );
        let partial = self.all(&sql, &[], |row| {
            Ok(Collection {
                id: row.get(0)?,
                name: row.get(1)?,
                shown_name: row.get(1)?,
                dimension: row.get::<_, Option<u32>>(2)?.map(|dim| dim as usize).filter(|dim| *dim > 0),
                config: row.get(3)?,
                schema: row.get(4)?,
                tenant: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                database: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
                metadata: Map::new(),
                segment_metadata: Map::new(),
                vector_segment: String::new(),
                metadata_segment: String::new(),
                segments: Vec::new(),
                records: 0,
            })
        })?;
        partial.into_iter().map(|collection| self.complete(collection)).collect()
    }

    fn complete(&self, mut collection: Collection) -> Result<Collection> {
        collection.segments =
            self.all("SELECT id, type, scope FROM segments WHERE collection = ?1", &[&collection.id], |row| {
                Ok(Segment { id: row.get(0)?, kind: row.get(1)?, scope: row.get(2)? })
            })?;
        collection.vector_segment = collection.segment("VECTOR");
        collection.metadata_segment = collection.segment("METADATA");
        collection.metadata = self.metadata("collection_metadata", "collection_id", &collection.id)?;
        collection.segment_metadata = self.metadata("segment_metadata", "segment_id", &collection.vector_segment)?;
        collection.records = self
            .one("SELECT count(*) FROM embeddings WHERE segment_id = ?1", &[&collection.metadata_segment])?
            .unsigned_abs();
        Ok(collection)
    }

    fn metadata(&self, table: &str, owner_column: &str, owner: &str) -> Result<Map<String, Value>> {
        let columns = self.columns(table)?;
        if columns.is_empty() {
            return Ok(Map::new());
        }
        let bool_value = if columns.contains("bool_value") { "bool_value" } else { "NULL" };
        let sql = format!(
            "SELECT key, str_value, int_value, float_value, {bool_value} FROM {table} WHERE {owner_column} = ?1"
        );
        let rows = self.all(&sql, &[owner], |row| Ok((row.get::<_, String>(0)?, json_value(row)?)))?;
        Ok(rows.into_iter().collect())
    }

    fn columns(&self, table: &str) -> Result<BTreeSet<String>> {
        self.database.columns(self.connection, table)
    }

    fn one(&self, sql: &str, parameters: &[&str]) -> Result<i64> {
        self.connection
            .query_row(sql, rusqlite::params_from_iter(parameters), |row| row.get(0))
            .map_err(|error| self.database.failed(error))
    }

    fn all<T>(
        &self,
        sql: &str,
        parameters: &[&str],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare(sql).map_err(|error| self.database.failed(error))?;
        let rows = statement.query_map(rusqlite::params_from_iter(parameters), read);
        rows.and_then(Iterator::collect).map_err(|error| self.database.failed(error))
    }
}

/// The value in columns 1 to 4: text, integer, float, boolean.
fn json_value(row: &Row<'_>) -> rusqlite::Result<Value> {
    if let ValueRef::Text(_) = row.get_ref(1)? {
        return row.get(1).map(Value::String);
    }
    if let Some(number) = row.get::<_, Option<i64>>(2)? {
        return Ok(number.into());
    }
    if let Some(number) = row.get::<_, Option<f64>>(3)? {
        return Ok(number.into());
    }
    Ok(row.get::<_, Option<bool>>(4)?.map_or(Value::Null, Value::Bool))
}

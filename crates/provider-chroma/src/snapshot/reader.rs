//! Reads the records of one split: ids and metadata from SQLite in one merge, vectors from where they lie.
//!
//! Every reader has its own connection. A batch ends at about `BATCH_BYTES`; the next one begins at the record after
//! it. Invariant: the rows that SQLite yields are exactly the rows that were located; a difference means that the
//! database changed in between.
//!
//! Rejects: NaN or infinite vectors, wrong dims or encodings of queued vectors, ids and metadata that are no text.

use arrow_array::RecordBatch;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, Rows, params};
use tranship_collection::batch::RowText;
use tranship_collection::{BatchBuilder, IdKind};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, ErrorKind, Reject, RejectSink, Result};

use super::database::{DATABASE, Database};
use super::metadata::Assembler;
use super::source::{PreparedCollection, relative};
use super::vectors::{Place, RowAt};

const IDS: &str = "SELECT id, embedding_id FROM embeddings NOT INDEXED \
                   WHERE id BETWEEN ?1 AND ?2 AND segment_id = ?3 ORDER BY id";
const VECTOR: &str = "SELECT vector, encoding FROM embeddings_queue WHERE seq_id = ?1";

/// Iterator over the batches of a split.
pub struct Reader<'a> {
    prepared: &'a PreparedCollection<'a>,
    connection: Connection,
    queries: Queries,
    rows: &'a [RowAt],
    builder: BatchBuilder,
    assembler: Assembler,
    scratch: Vec<u8>,
    rejects: &'a mut dyn RejectSink,
}

/// The statements of this version's tables.
struct Queries {
    scalars: String,
    /// `None` before 1.5.
    arrays: Option<String>,
}

impl<'a> Reader<'a> {
    pub fn new(
        prepared: &'a PreparedCollection<'a>,
        rows: &'a [RowAt],
        rejects: &'a mut dyn RejectSink,
    ) -> Result<Self> {
        let connection = prepared.database.connect()?;
        let queries = Queries::new(prepared.database, &connection)?;
        let builder = BatchBuilder::new(prepared.schema.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
        let (assembler, scratch) = (Assembler::default(), Vec::new());
        Ok(Reader { prepared, connection, queries, rows, builder, assembler, scratch, rejects })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while !self.rows.is_empty() && self.builder.rows() == 0 {
            self.fill()?;
        }
        match self.builder.rows() {
            0 => Ok(None),
            _ => self.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string())),
        }
    }

    /// Reads records until the batch is full or the split is done.
    fn fill(&mut self) -> Result<()> {
        let Reader { prepared, connection, queries, rows, builder, assembler, scratch, rejects } = self;
        let (database, connection) = (prepared.database, &*connection);
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let range = (first.row_id, last.row_id);
        let mut ids = cached(database, connection, IDS)?;
        let ids = ids.query(params![range.0, range.1, prepared.collection.metadata_segment]);
        let mut ids = ids.map_err(|error| database.failed(error))?;
        let mut scalars = cached(database, connection, &queries.scalars)?;
        let mut scalars = Merged::new(database, &mut scalars, range)?;
        let mut arrays = queries.arrays.as_deref().map(|sql| cached(database, connection, sql)).transpose()?;
        let mut arrays = arrays.as_mut().map(|arrays| Merged::new(database, arrays, range)).transpose()?;
        let mut vectors = VectorReader { prepared, queued: cached(database, connection, VECTOR)?, scratch };
        while let Some((row, rest)) = rows.split_first() {
            *rows = rest;
            let record = ids.next().map_err(|error| database.failed(error))?;
            let record = record.filter(|record| record.get(0).is_ok_and(|id: i64| id == row.row_id));
            let id = id_of(record.ok_or_else(|| changed(database, row))?);
            assembler.clear();
            scalars.take(row.row_id, |value| assembler.add_scalar(value))?;
            if let Some(arrays) = &mut arrays {
                arrays.take(row.row_id, |value| assembler.add_element(value))?;
            }
            if let Err(reason) = append(row, id, assembler, &mut vectors, builder)? {
                builder.rollback();
                let id = id.ok().map(str::to_owned);
                rejects.reject(Reject { place: vectors.describe(row), id, reason, record: None })?;
            }
            if builder.bytes() >= BATCH_BYTES {
                break;
            }
        }
        Ok(())
    }
}

/// Completes one record in the batch, or says why it must be rejected.
fn append(
    row: &RowAt,
    id: std::result::Result<&str, &str>,
    assembler: &mut Assembler,
    vectors: &mut VectorReader<'_>,
    builder: &mut BatchBuilder,
) -> Result<Appended> {
    let (id, assembled) = match (id, assembler.finish()) {
        (Ok(id), Ok(assembled)) => (id, assembled),
        (Err(reason), _) => return Ok(Err(reason.to_owned())),
        (_, Err(reason)) => return Ok(Err(reason)),
    };
    if let Err(reason) = vectors.append(row.place, builder)? {
        return Ok(Err(reason));
    }
    let (metadata, document) = (assembled.metadata, assembled.document);
    let text = RowText { id, id_kind: IdKind::Text, namespace: None, document, metadata };
    Ok(builder.finish_row(text).map_err(|fault| fault.to_string()))
}

fn id_of<'r>(record: &'r rusqlite::Row<'_>) -> std::result::Result<&'r str, &'static str> {
    match record.get_ref(1) {
        Ok(ValueRef::Text(bytes)) => std::str::from_utf8(bytes).map_err(|_| "the id is not valid UTF-8"),
        _ => Err("the id is no text"),
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.rows = &[];
        }
        batch.transpose()
    }
}

impl Queries {
    fn new(database: &Database, connection: &Connection) -> Result<Self> {
        let columns = database.columns(connection, "embedding_metadata")?;
        let bool_value = if columns.contains("bool_value") { "bool_value" } else { "NULL" };
        let scalars = format!(
            "SELECT id, key, string_value, int_value, float_value, {bool_value} FROM embedding_metadata \
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id, key"
        );
        let has_arrays = !database.columns(connection, "embedding_metadata_array")?.is_empty();
        let arrays = "SELECT id, key, string_value, int_value, float_value, bool_value FROM embedding_metadata_array \
                      WHERE id BETWEEN ?1 AND ?2 ORDER BY id, key, rowid";
        Ok(Queries { scalars, arrays: has_arrays.then(|| arrays.to_owned()) })
    }
}

/// Rows sorted by their first column, taken group by group.
struct Merged<'s> {
    database: &'s Database,
    rows: Rows<'s>,
}

impl<'s> Merged<'s> {
    fn new(database: &'s Database, statement: &'s mut CachedStatement<'_>, range: (i64, i64)) -> Result<Self> {
        let mut rows = statement.query(range).map_err(|error| database.failed(error))?;
        rows.advance().map_err(|error| database.failed(error))?;
        Ok(Merged { database, rows })
    }

    /// Shows the rows of `id` and skips those before it, which belong to other collections.
    fn take(&mut self, id: i64, mut show: impl FnMut(&rusqlite::Row<'_>)) -> Result<()> {
        while let Some(row) = self.rows.get() {
            match row.get::<_, i64>(0).map_err(|error| self.database.failed(error))? {
                later if later > id => break,
                same if same == id => show(row),
                _ => {}
            }
            self.rows.advance().map_err(|error| self.database.failed(error))?;
        }
        Ok(())
    }
}

/// What was wanted is in the open record, or there is a reason to reject it.
type Appended = std::result::Result<(), String>;

/// Fetches vectors from index or queue.
struct VectorReader<'r> {
    prepared: &'r PreparedCollection<'r>,
    queued: CachedStatement<'r>,
    scratch: &'r mut Vec<u8>,
}

impl VectorReader<'_> {
    /// Writes a vector into the open record; the inner error is a reason to reject it.
    fn append(&mut self, place: Place, builder: &mut BatchBuilder) -> Result<Appended> {
        match (place, &self.prepared.index) {
            (Place::Index(number), Some(index)) => {
                index.read_vector(number.into(), self.scratch, builder.dense_values(0)).map(Ok)
            }
            (Place::Queue(position), _) => self.append_queued(position, builder),
            _ => Ok(Ok(())),
        }
    }

    fn append_queued(&mut self, position: u32, builder: &mut BatchBuilder) -> Result<Appended> {
        let database = self.prepared.database;
        let seq_id = self.seq_id(position);
        let mut rows = self.queued.query([seq_id]).map_err(|error| database.failed(error))?;
        let Some(row) = rows.next().map_err(|error| database.failed(error))? else {
            return Ok(Err("the queued vector has vanished".to_owned()));
        };
        let (Ok(ValueRef::Blob(bytes)), Ok(encoding)) = (row.get_ref(0), row.get::<_, Option<String>>(1)) else {
            return Ok(Err("the queued vector is no blob".to_owned()));
        };
        if encoding.as_deref().is_some_and(|encoding| encoding != "FLOAT32") {
            return Ok(Err(format!("the queued vector has the encoding {encoding:?}, only FLOAT32 is known")));
        }
        let dim = self.prepared.schema.vectors.first().and_then(|spec| spec.dim).unwrap_or(0);
        if dim == 0 || bytes.len() != 4 * dim {
            return Ok(Err(format!("the queued vector has {} bytes, {dim} dimensions have {}", bytes.len(), 4 * dim)));
        }
        let values = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value));
        builder.dense_values(0).extend(values);
        Ok(Ok(()))
    }

    fn seq_id(&self, position: u32) -> i64 {
        self.prepared.located.queue.get(position as usize).copied().unwrap_or(-1)
    }

    /// Where a record and its vector stand.
    fn describe(&self, row: &RowAt) -> String {
        let vector = match (row.place, &self.prepared.index) {
            (Place::Index(number), Some(index)) => {
                let file = relative(index.vectors.path(), &self.prepared.database.root);
                format!(", vector in {} record {number}", file.display())
            }
            (Place::Queue(position), _) => format!(", vector in embeddings_queue.seq_id {}", self.seq_id(position)),
            _ => String::new(),
        };
        format!("{DATABASE} embeddings.id {}{vector}", row.row_id)
    }
}

fn cached<'c>(database: &Database, connection: &'c Connection, sql: &str) -> Result<CachedStatement<'c>> {
    connection.prepare_cached(sql).map_err(|error| database.failed(error))
}

fn changed(database: &Database, row: &RowAt) -> Error {
    let file = database.root.join(DATABASE);
    Error::new(ErrorKind::Changing, format!("{} changed while it was read", file.display()))
        .with("embeddings.id", row.row_id)
        .hint("stop the Chroma process, or copy the directory while it is stopped, and run the same command again")
}

//! Where the vector of every live record lies: in the index, in the queue of writes, or nowhere.
//!
//! 1. The index is as old as the sequence number that `max_seq_id` gives the vector segment (the pickle's own in 0.4).
//! 2. Rows of `embeddings_queue` after it are replayed in order: an add counts only if the id is absent, an update only
//!    if it is present, an update or upsert without vector keeps the old one, a delete removes.
//! 3. The result is joined with `embeddings` of the metadata segment, which says what is alive.
//!
//! The crash window is harmless: where index files are ahead of their sequence number, replaying the same operations
//! again ends in the same state. Invariant: [`Located::rows`] has one entry per live record, ascending by row id, and
//! every place in it exists. State while joining is about 56 bytes per index record, 136 per replayed row and 16 per
//! record; 16 per record remain.
//!
//! Errors: damaged for a torn copy (live records without a vector, a metadata segment that lags behind), limit when the state
//! outgrows the budget. With `allow_inconsistent` the former become notes and null vectors.

use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tranship_collection::Metric;
use tranship_connector::{Error, OpenOptions, Result, RowLedger};

use super::catalog::Collection;
use super::database::Database;
use super::index::{IdLabel, Index, LabelAt, id_hash};

/// Where one vector lies, in 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Record number in the index.
    Index(u32),
    /// Record number in the index, marked as deleted there.
    DeletedInIndex(u32),
    /// Not in the index although the pickle has a label for it.
    UnknownLabel,
    /// Row of `embeddings_queue`, by position in [`Located::queue`].
    Queue(u32),
    /// Nowhere.
    Nowhere,
}

/// One live record.
#[derive(Debug, Clone, Copy)]
pub struct RowAt {
    /// `embeddings.id`.
    pub row_id: i64,
    /// Where its vector lies.
    pub place: Place,
}

/// The outcome of locating.
#[derive(Debug, Default)]
pub struct Located {
    /// Live records, ascending by row id.
    pub rows: Vec<RowAt>,
    /// Sequence numbers of replayed rows.
    pub queue: Vec<i64>,
    /// How versions add up.
    pub ledger: RowLedger,
    /// What is odd but allowed.
    pub notes: Vec<String>,
}

/// What locating needs to know.
pub struct Locator<'a> {
    /// The database.
    pub database: &'a Database,
    /// A connection to it.
    pub connection: &'a Connection,
    /// The collection.
    pub collection: &'a Collection,
    /// Its index, if it was ever persisted.
    pub index: Option<&'a Index>,
    /// The declared metric.
    pub metric: Metric,
    /// The user's options.
    pub options: &'a OpenOptions,
    /// Bytes that the state may take.
    pub memory_bytes: u64,
}

/// What the queue did to an id.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// Where its vector is now; `None` once deleted.
    place: Option<Place>,
    /// Vectors that were ever stored for it, as far as they still lie somewhere.
    versions: u32,
    joined: bool,
}

/// The ids of the index, sorted by digest, and whether `embeddings` knows them.
#[derive(Default)]
struct Base {
    entries: Vec<IdLabel>,
    joined: Vec<bool>,
    /// Where labels lie, sorted.
    labels: Vec<LabelAt>,
}

impl Base {
    fn find(&self, hash: u128) -> Option<usize> {
        self.entries.binary_search_by_key(&hash, IdLabel::hash).ok()
    }

    fn place(&self, at: usize) -> Place {
        let Some(label) = self.entries.get(at).map(|entry| entry.label) else { return Place::Nowhere };
        match self.labels.binary_search_by_key(&label, |known| known.label).map(|found| self.labels[found]) {
            Ok(found) if found.deleted => Place::DeletedInIndex(found.number),
            Ok(found) => Place::Index(found.number),
            Err(_) => Place::UnknownLabel,
        }
    }
}

impl Locator<'_> {
    /// Locates every live record.
    pub fn locate(&self) -> Result<Located> {
        let vector_seq = self.max_seq_id(&self.collection.vector_segment)?;
        if self.index.is_none() && vector_seq.is_some() {
            return Err(self.missing_segment());
        }
        let mut located = Located::default();
        self.charge(0)?;
        let (mut base, pickled_seq) = self.read_index()?;
        let replay_from = vector_seq.or(pickled_seq).unwrap_or(-1);
        let (queued, last_write) = self.queued(replay_from)?;
        self.charge(queued)?;
        self.check_lag(last_write, replay_from, &mut located.notes)?;
        let mut changes = self.replay(replay_from, &base, &mut located)?;
        self.join(&mut base, &mut changes, &mut located)?;
        let index_records = self.index.map_or(0, |index| index.vectors.len());
        located.ledger = ledger(index_records, &changes, &located);
        Ok(located)
    }

    fn max_seq_id(&self, segment: &str) -> Result<Option<i64>> {
        max_seq_id(self.database, self.connection, segment)
    }

    fn missing_segment(&self) -> Error {
        let dir = self.database.root.join(&self.collection.vector_segment);
        let missing = if dir.is_dir() { dir.join("index_metadata.pickle") } else { dir };
        Error::damaged(format!(
            "{} is missing: {} says that vectors of collection `{}` were written there",
            missing.display(),
            super::database::DATABASE,
            self.collection.shown_name
        ))
        .hint("copy the whole directory, with its folders, not only chroma.sqlite3")
    }

    /// Refuses a state that would outgrow the budget, before it is built: the index first, then with `queued` rows.
    fn charge(&self, queued: u64) -> Result<()> {
        let index = self.index.map_or(0, Index::memory_bytes);
        let needed = (4 << 20) + index + 136 * queued + 16 * self.collection.records;
        if needed <= self.memory_bytes {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(Error::limit(format!(
            "locating the vectors of collection `{}` takes {} MiB, {} MiB are allowed",
            self.collection.shown_name,
            mib(needed),
            mib(self.memory_bytes)
        ))
        .hint(format!("give it at least {} MiB (--memory)", mib(needed))))
    }

    fn read_index(&self) -> Result<(Base, Option<i64>)> {
        let Some(index) = self.index else { return Ok(Default::default()) };
        let ids = index.id_labels(&self.options.limits)?;
        let labels = index.labels(self.metric)?;
        let joined = vec![false; ids.entries.len()];
        Ok((Base { entries: ids.entries, joined, labels }, ids.max_seq_id))
    }

    /// Rows of this collection's queue after `from`, and the last of them.
    fn queued(&self, from: i64) -> Result<(u64, Option<i64>)> {
        let sql = format!("SELECT count(*), max(seq_id) FROM embeddings_queue WHERE {QUEUE_ROWS}");
        self.prepare(&sql)?
            .query_row((from, self.topic()), |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))
            .map_err(|error| self.database.failed(error))
    }

    fn topic(&self) -> String {
        topic_of(&self.collection.id)
    }

    /// Ids and metadata are read from their tables as they are, so those must have seen every write of the queue. The
    /// index may have seen more: 0.5 and 0.6 write it before they commit, and a kill takes the commit back.
    fn check_lag(&self, last_write: Option<i64>, in_index: i64, notes: &mut Vec<String>) -> Result<()> {
        let seen = self.max_seq_id(&self.collection.metadata_segment)?.unwrap_or(-1);
        let Some(last_write) = last_write.filter(|last| *last > seen) else {
            if in_index > seen {
                notes.push(format!(
                    "the index of collection `{}` has seen writes up to {in_index}, of which the database took back those after {seen}",
                    self.collection.shown_name
                ));
            }
            return Ok(());
        };
        let what = format!(
            "ids and metadata of collection `{}` have seen writes up to {seen}, but there are writes up to {last_write}",
            self.collection.shown_name
        );
        if self.options.allow_inconsistent {
            notes.push(what);
            return Ok(());
        }
        Err(self.database.damaged(format_args!("was not shut down cleanly: {what}")).hint(
            "open a copy once with the same chromadb and call count() on the collection, or pass --allow-inconsistent to leave the newest writes out",
        ))
    }

    fn replay(&self, from: i64, base: &Base, located: &mut Located) -> Result<HashMap<u128, Change>> {
        let sql = format!(
            "SELECT seq_id, operation, id, vector IS NOT NULL FROM embeddings_queue WHERE {QUEUE_ROWS} ORDER BY seq_id"
        );
        let mut changes = HashMap::<u128, Change>::new();
        let mut statement = self.prepare(&sql)?;
        let mut rows = statement.query((from, self.topic())).map_err(|e| self.database.failed(e))?;
        while let Some(row) = rows.next().map_err(|e| self.database.failed(e))? {
            let read = || Ok((row.get(0)?, row.get(1)?, row.get_ref(2)?.as_str()?, row.get(3)?));
            let (seq_id, operation, id, has_vector): (i64, i64, &str, bool) =
                read().map_err(|e: rusqlite::Error| self.database.failed(e))?;
            let hash = id_hash(id);
            let change = changes.entry(hash).or_insert_with(|| {
                let place = base.find(hash).map(|at| base.place(at));
                let exists = matches!(place, Some(Place::Index(_) | Place::DeletedInIndex(_)));
                Change { place, versions: u32::from(exists), joined: false }
            });
            let queued = Place::Queue(located.queue.len() as u32);
            change.versions += u32::from(has_vector);
            change.place = match (operation, change.place, has_vector) {
                (0, None, true) | (1, Some(_), true) | (2, _, true) => Some(queued),
                (0..=2, place, _) => place,
                (3, _, _) => None,
                (4, place, _) => place,
                _ => {
                    return Err(self.database.damaged(format_args!(
                        "has an unknown operation {operation} in embeddings_queue row {seq_id}"
                    )));
                }
            };
            if has_vector {
                located.queue.push(seq_id);
            }
        }
        Ok(changes)
    }

    fn join(&self, base: &mut Base, changes: &mut HashMap<u128, Change>, located: &mut Located) -> Result<()> {
        let mut without = Examples::default();
        let mut twice = Examples::default();
        let mut statement =
            self.prepare("SELECT id, embedding_id FROM embeddings NOT INDEXED WHERE segment_id = ?1 ORDER BY id")?;
        let mut rows = statement.query([&self.collection.metadata_segment]).map_err(|e| self.database.failed(e))?;
        located.rows.reserve_exact(usize::try_from(self.collection.records).unwrap_or(0).min(1 << 28));
        while let Some(row) = rows.next().map_err(|e| self.database.failed(e))? {
            let row_id: i64 = row.get(0).map_err(|e| self.database.failed(e))?;
            if row_id < 0 {
                return Err(self.database.damaged(format_args!("has a negative number {row_id} in embeddings.id")));
            }
            // An id that is no text is rejected when the record is read; here it only has no vector.
            let id = row.get_ref(1).ok().and_then(|value| value.as_str().ok()).unwrap_or_default();
            let hash = id_hash(id);
            let (place, joined) = match changes.get_mut(&hash) {
                Some(change) => (change.place, &mut change.joined),
                None => match base.find(hash) {
                    Some(at) => (Some(base.place(at)), &mut base.joined[at]),
                    None => (None, &mut false),
                },
            };
            if std::mem::replace(joined, true) && place.is_some() {
                twice.add(id);
            }
            let place = match place {
                Some(place @ (Place::Index(_) | Place::Queue(_))) => place,
                _ => {
                    without.add(id);
                    Place::Nowhere
                }
            };
            located.rows.push(RowAt { row_id, place });
        }
        if located.rows.len() as u64 != self.collection.records {
            return Err(self.database.damaged(format_args!(
                "counts {} records by index and {} by table in collection `{}`",
                self.collection.records,
                located.rows.len(),
                self.collection.shown_name
            )));
        }
        if twice.count > 0 {
            return Err(self.database.damaged(format_args!("has ids twice in `embeddings`: {twice}")));
        }
        let orphans = self.orphans(base, changes);
        self.judge(&without, &orphans, &mut located.notes)
    }

    /// Vectors whose id has no row in `embeddings`.
    fn orphans(&self, base: &Base, changes: &HashMap<u128, Change>) -> Examples {
        let mut orphans = Examples::default();
        let not_joined = base.entries.iter().zip(&base.joined).filter(|(_, joined)| !**joined);
        let unchanged = not_joined.filter(|(entry, _)| !changes.contains_key(&entry.hash()));
        unchanged.for_each(|(entry, _)| orphans.add(&format!("label {}", entry.label)));
        let queued = changes.values().filter(|change| !change.joined && change.place.is_some());
        orphans.count += queued.count() as u64;
        orphans
    }

    /// A live record without its vector is a loss. A vector without a record is none: `embeddings` says what is alive,
    /// and Chroma, too, leaves behind the vectors of writes that were rolled back when it was killed.
    fn judge(&self, without: &Examples, orphans: &Examples, notes: &mut Vec<String>) -> Result<()> {
        let name = &self.collection.shown_name;
        if without.count == 0 {
            if orphans.count > 0 {
                notes.push(format!(
                    "collection `{name}`: vectors without a record were left out, as Chroma does: {orphans}"
                ));
            }
            return Ok(());
        }
        let what =
            format!("collection `{name}`: records without a vector: {without}; vectors without a record: {orphans}");
        if self.options.allow_inconsistent {
            notes.push(format!("torn copy, {what}"));
            return Ok(());
        }
        Err(Error::damaged(format!("{} and its index do not belong together: {what}", super::database::DATABASE))
            .with("segment", self.database.root.join(&self.collection.vector_segment).display())
            .hint("copy the whole directory again while Chroma is stopped; if the original lacks them too (Chroma 0.5.7 to 0.5.12 could purge the queued vectors of other collections), pass --allow-inconsistent to take such records without vector"))
    }

    fn prepare(&self, sql: &str) -> Result<rusqlite::Statement<'_>> {
        self.connection.prepare(sql).map_err(|error| self.database.failed(error))
    }
}

/// Rows after ?1 whose topic ends in ?2.
pub const QUEUE_ROWS: &str = "seq_id > ?1 AND substr(topic, -length(?2)) = ?2";

/// The end of a collection's topic; what stands before it differs between versions and tenants.
pub fn topic_of(collection_id: &str) -> String {
    format!("/{collection_id}")
}

/// The highest sequence number that a segment has seen: a big-endian blob up to 0.6, an integer later.
pub fn max_seq_id(database: &Database, connection: &Connection, segment: &str) -> Result<Option<i64>> {
    let failed = |error| database.failed(error);
    let mut statement =
        connection.prepare_cached("SELECT seq_id FROM max_seq_id WHERE segment_id = ?1").map_err(failed)?;
    let mut rows = statement.query([segment]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    let number = match row.get_ref(0).map_err(failed)? {
        ValueRef::Integer(number) => Some(number),
        ValueRef::Blob(bytes) => bytes.try_into().ok().map(i64::from_be_bytes),
        _ => None,
    };
    number
        .ok_or_else(|| database.damaged(format_args!("has a max_seq_id of segment {segment} that is no number")))
        .map(Some)
}

/// Versions are index records, replayed queue rows with a vector, and live records that have neither. The newest
/// version of a live record is live, its older ones are superseded, all others are deleted.
fn ledger(index_records: u64, changes: &HashMap<u128, Change>, located: &Located) -> RowLedger {
    let live = located.rows.len() as u64;
    let nowhere = located.rows.iter().filter(|row| row.place == Place::Nowhere).count() as u64;
    let raw = index_records + located.queue.len() as u64 + nowhere;
    let older = |change: &Change| match change.place {
        Some(Place::Index(_) | Place::Queue(_)) => u64::from(change.versions).saturating_sub(1),
        _ => u64::from(change.versions),
    };
    let superseded: u64 = changes.values().filter(|change| change.joined).map(older).sum();
    let deleted = raw.saturating_sub(live + superseded);
    RowLedger { raw: Some(raw), live: Some(live), deleted, superseded, ..RowLedger::default() }
}

/// A count with its first few members, for messages.
#[derive(Default)]
struct Examples {
    count: u64,
    first: Vec<String>,
}

impl Examples {
    fn add(&mut self, member: &str) {
        self.count += 1;
        if self.first.len() < 5 {
            self.first.push(member.chars().take(60).collect());
        }
    }
}

impl std::fmt::Display for Examples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.first.is_empty() {
            true => write!(f, "{}", self.count),
            false => {
                write!(f, "{} ({}{})", self.count, self.first.join(", "), if self.count > 5 { ", .." } else { "" })
            }
        }
    }
}

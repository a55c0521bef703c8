//! What puts a record in order, read from a side and spilled by session.
//!
//! ```text
//! entry = u128 session | u128 content | u64 place + 2^63 | u128 time + 2^127, or 0 for none | u64 split | u32 row
//! ref   = u128 id | u8 0 for a record, 1 for a reference to it | u64 split | u32 row            little-endian
//! ```
//!
//! Invariant: an entry's session and content are those of the record as it is called after the remap. A record without session or place is
//! counted, never dropped. Errors: those of reading.

use serde_json::Value;
use tranship_collection::json::{self, Entries};
use tranship_collection::{BatchView, VectorValue};
use tranship_connector::Result;
use tranship_pipeline::execute;
use tranship_storage::Spill;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::times::instant;
use super::{Places, Remap, SequenceFields, SequenceOptions};
use crate::join::Place;
use crate::side::Side;

pub(super) const ENTRY_BYTES: usize = 68;
pub(super) const REF_BYTES: usize = 29;
const TIME_BIAS: i128 = i128::MIN;

/// A record in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) session: u128,
    pub(super) place: i64,
    pub(super) content: u128,
    pub(super) time: Option<i128>,
    pub(super) at: (u64, u32),
}

impl Entry {
    pub(super) fn at(&self) -> Place {
        Place { ordinal: self.at.0, row: self.at.1 }
    }

    fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&self.content.to_le_bytes());
        out.extend_from_slice(&self.place.to_le_bytes());
        out.extend_from_slice(&self.time.unwrap_or(TIME_BIAS).to_le_bytes());
        out.extend_from_slice(&self.at.0.to_le_bytes());
        out.extend_from_slice(&self.at.1.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
            let mut part = [0; N];
            part.copy_from_slice(&bytes[at..at + N]);
            part
        }
        let time = i128::from_le_bytes(part(bytes, 40));
        Entry {
            session: u128::from_le_bytes(part(bytes, 0)),
            content: u128::from_le_bytes(part(bytes, 16)),
            place: i64::from_le_bytes(part(bytes, 32)),
            time: (time != TIME_BIAS).then_some(time),
            at: (u64::from_le_bytes(part(bytes, 56)), u32::from_le_bytes(part(bytes, 64))),
        }
    }
}

pub(super) fn sorted(bytes: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = bytes.chunks_exact(ENTRY_BYTES).map(Entry::read).collect();
    entries.sort_unstable();
    entries
}

/// One side's entries on disk.
pub(super) struct Spilled {
    pub(super) entries: Spill,
    pub(super) refs: Spill,
}

/// What could not be put in order.
#[derive(Default)]
pub(super) struct Unread {
    pub(super) unplaced: Places,
    pub(super) times: Places,
}

/// Entries of one split.
#[derive(Default)]
struct OfSplit {
    entries: Vec<u8>,
    refs: Vec<u8>,
    unplaced: Vec<(Place, &'static str)>,
    times: Vec<Place>,
}

/// Reads a side and spills what orders its records, by session.
pub(super) fn spill(
    side: &Side<'_>,
    name: &str,
    partitions: usize,
    remap: &Remap,
    options: SequenceOptions<'_>,
) -> Result<(Spilled, Unread)> {
    let mut spilled = Spilled {
        entries: Spill::new(options.scratch, &format!("sessions-{name}"), partitions, ENTRY_BYTES),
        refs: Spill::new(options.scratch, &format!("parents-{name}"), partitions, REF_BYTES),
    };
    let mut unread = Unread::default();
    options.engine.progress.begin(&format!("read {}", side.label), None);
    execute(
        side.prepared,
        options.engine,
        32 << 20,
        |_| Ok(None),
        |split, stop| {
            let (ordinal, mut found) = (split.ordinal, OfSplit::default());
            side.each_batch(split, |batch, before| {
                stop.check()?;
                let view =
                    BatchView::new(batch, side.schema()).map_err(|fault| side.located(ordinal, before, &fault))?;
                for row in 0..view.len() {
                    let at = (ordinal, (before + row as u64) as u32);
                    read_row(&view, row, at, remap, options.fields, &mut found)
                        .map_err(|fault| side.located(ordinal, before + row as u64, &fault))?;
                }
                options.engine.progress.advance(view.len() as u64, 0);
                Ok(())
            })?;
            Ok(found)
        },
        |found| {
            let partition = |entry: &[u8]| usize::from(u16::from_le_bytes([entry[0], entry[1]])) % partitions;
            for entry in found.entries.chunks_exact(ENTRY_BYTES) {
                spilled.entries.push(partition(entry), entry)?;
            }
            for entry in found.refs.chunks_exact(REF_BYTES) {
                spilled.refs.push(partition(entry), entry)?;
            }
            for (place, what) in found.unplaced {
                unread.unplaced.add(place, || what.to_owned(), options.max_named);
            }
            for place in found.times {
                unread.times.add(place, || "a time that cannot be read".to_owned(), options.max_named);
            }
            Ok(())
        },
    )?;
    Ok((spilled, unread))
}

fn read_row(
    view: &BatchView<'_>,
    row: usize,
    at: (u64, u32),
    remap: &Remap,
    fields: &SequenceFields,
    found: &mut OfSplit,
) -> std::result::Result<(), tranship_collection::Fault> {
    let place = Place { ordinal: at.0, row: at.1 };
    let namespace = view.namespace(row).unwrap_or("");
    let entries = Entries::parse(view.metadata(row).unwrap_or("{}"))?;
    let value = |key: &str| {
        let raw = entries.0.iter().find(|(name, _)| name == key).map(|(_, raw)| raw.get())?;
        serde_json::from_str::<Value>(raw).ok().filter(|value| !value.is_null())
    };
    let parent =
        fields.parent.as_deref().and_then(value).map(|value| plain(&value).unwrap_or_else(|| value.to_string()));
    if fields.parent.is_some() {
        reference(key(namespace, view.id(row)), 0, place, &mut found.refs);
        if let Some(parent) = &parent {
            reference(key(namespace, parent), 1, place, &mut found.refs);
        }
    }
    let Some(session) = value(&fields.session).as_ref().and_then(plain) else {
        found.unplaced.push((place, "a record without a session"));
        return Ok(());
    };
    let Some(position) = value(&fields.place).as_ref().and_then(Value::as_i64) else {
        found.unplaced.push((place, "a record whose place is no integer"));
        return Ok(());
    };
    let time = fields.time.as_deref().and_then(value);
    let read_time = time.as_ref().and_then(instant);
    if fields.time.is_some() && read_time.is_none() {
        found.times.push(place);
    }
    let renamed = |id: &str| remap.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let session = renamed(&session);
    let links = [
        (fields.session.as_str(), Some(session.clone())),
        (fields.parent.as_deref().unwrap_or(""), parent.as_deref().map(renamed)),
    ];
    let content = content(view, row, &renamed(view.id(row)), &entries, &links)?;
    Entry { session: key(namespace, &session), content, place: position, time: read_time, at }
        .append(&mut found.entries);
    Ok(())
}

/// The digest of a record under the name that it has in B; `links` are entries that hold ids.
fn content(
    view: &BatchView<'_>,
    row: usize,
    id: &str,
    entries: &Entries<'_>,
    links: &[(&str, Option<String>)],
) -> std::result::Result<u128, tranship_collection::Fault> {
    let mut hash = Xxh3::new();
    let mut part = |tag: u8, bytes: &[u8]| {
        hash.update(&[tag]);
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(1, id.as_bytes());
    for (column, spec) in view.vector_specs().enumerate() {
        if let Some(value) = view.vector(column, row) {
            part(2, spec.name.as_bytes());
            part(3, &bytes_of(&value));
        }
    }
    if let Some(document) = view.document(row) {
        part(4, document.as_bytes());
    }
    let mut text = b"{".to_vec();
    for (name, raw) in &entries.0 {
        text.extend_from_slice(if text.len() > 1 { b"," } else { b"" });
        json::append_string(name, &mut text);
        text.push(b':');
        match links.iter().find(|(key, _)| key == name) {
            Some((_, Some(id))) => json::append_string(id, &mut text),
            _ => text.extend_from_slice(raw.get().as_bytes()),
        }
    }
    text.push(b'}');
    let mut canonical = Vec::new();
    json::canonical(&String::from_utf8_lossy(&text), &mut canonical)?;
    part(5, &canonical);
    Ok(hash.digest128())
}

fn bytes_of(value: &VectorValue<'_>) -> Vec<u8> {
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect::<Vec<u8>>();
    match value {
        VectorValue::Dense(values) | VectorValue::Multi(values) => floats(values),
        VectorValue::Widened(values) => floats(values),
        VectorValue::Bits(bytes) => bytes.to_vec(),
        VectorValue::Sparse(indices, values) => {
            indices.iter().flat_map(|index| index.to_le_bytes()).chain(floats(values)).collect()
        }
    }
}

/// The digest of an id within its namespace.
fn key(namespace: &str, id: &str) -> u128 {
    let mut message = namespace.as_bytes().to_vec();
    message.push(0);
    message.extend_from_slice(id.as_bytes());
    xxh3_128(&message)
}

fn reference(id: u128, tag: u8, place: Place, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.to_le_bytes());
    out.push(tag);
    out.extend_from_slice(&place.ordinal.to_le_bytes());
    out.extend_from_slice(&place.row.to_le_bytes());
}

/// A text or an integer as an id.
pub(super) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

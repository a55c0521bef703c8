//! Are the records of conversations and sessions in order and complete, and are two sets of them the same session by session.
//!
//! A record names its session and its place in it by two metadata keys; a third may hold a time, a fourth the id of the
//! record that it answers. Proven of a set: every record has its place; no place is taken twice; places go up by one from 0
//! or 1; times do not go back; every answered record is there. Proven of two sets: the same sessions with the same records
//! in the same order, each with its id, vectors, document and metadata, after ids of A are replaced by those of a remap.
//!
//! ```text
//! entry = u128 session | u128 content | u64 place + 2^63 | u128 time + 2^127, or 0 for none | u64 split | u32 row
//! ref   = u128 id | u8 0 for a record, 1 for a reference to it | u64 split | u32 row            little-endian
//! ```
//!
//! Invariant: sessions are told apart within their namespace; ids of sessions and parents are compared as text, so 5 and "5"
//! are the same. What is not proven: that the last records of a session are there, unless another set is compared.
//! Memory: one partition of sessions at a time, the largest session at least. Errors: those of reading.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use tranship_collection::json::{self, Entries};
use tranship_collection::{BatchView, VectorValue};
use tranship_connector::{Error, Result};
use tranship_pipeline::{EngineOptions, execute};
use tranship_storage::Spill;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::ids::partitions;
use crate::join::Place;
use crate::named::fetch;
use crate::side::Side;

const ENTRY_BYTES: usize = 68;
const REF_BYTES: usize = 29;
const TIME_BIAS: i128 = i128::MIN;

/// The metadata keys of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SequenceFields {
    /// Key of the session.
    pub session: String,
    /// Key of the place in it, an integer.
    pub place: String,
    /// Key of the time: a number, or RFC 3339 text.
    pub time: Option<String>,
    /// Key of the id of the record that this one answers.
    pub parent: Option<String>,
}

/// Ids of A by what they are called in B.
pub type Remap = HashMap<String, String>;

/// A count and the first few, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// How many there are.
    pub count: u64,
    /// The first ones.
    pub first: Vec<String>,
}

/// What was found of one set.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SequenceSide {
    /// Records.
    pub records: u64,
    /// Sessions.
    pub sessions: u64,
    /// Records without a session or a place in it.
    pub unplaced: Findings,
    /// Places that are taken more than once.
    pub duplicates: Findings,
    /// Places that are left out.
    pub gaps: Findings,
    /// Times that are before the one of the place before, or that cannot be read.
    pub backwards: Findings,
    /// References to records that are not there.
    pub orphans: Findings,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct SequenceReport {
    /// The keys.
    pub fields: SequenceFields,
    /// The first set.
    pub a: SequenceSide,
    /// The second one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<SequenceSide>,
    /// Ids that were replaced before the comparison.
    pub remapped: usize,
    /// Sessions of A that B has not.
    pub missing: Findings,
    /// Sessions of B that A has not.
    pub extra: Findings,
    /// Sessions that differ, each with its first place that does.
    pub changed: Findings,
}

impl SequenceSide {
    fn parts(&self) -> [&Findings; 5] {
        [&self.unplaced, &self.duplicates, &self.gaps, &self.backwards, &self.orphans]
    }
}

impl SequenceReport {
    /// True if there is nothing wrong.
    pub fn holds(&self) -> bool {
        let sides = [Some(&self.a), self.b.as_ref()].into_iter().flatten();
        let mut all = sides.flat_map(SequenceSide::parts).chain([&self.missing, &self.extra, &self.changed]);
        all.all(|findings| findings.count == 0)
    }
}

/// How a check is made.
#[derive(Clone, Copy)]
pub struct SequenceOptions<'a> {
    /// The keys.
    pub fields: &'a SequenceFields,
    /// What ids of A are called in B.
    pub remap: &'a Remap,
    /// Threads, memory, cancellation, progress.
    pub engine: EngineOptions<'a>,
    /// Directory for spill files.
    pub scratch: &'a Path,
    /// Findings named per kind.
    pub max_named: usize,
}

/// Reads a remap: one pair per line, either `old<TAB>new` or `{"old id": "new id"}`. Two ids that become one are refused.
pub fn parse_remap(text: &str) -> Result<Remap> {
    let wrong = |line: usize| {
        Error::usage("a line is no pair of ids").with("line", line + 1).hint("write OLD<TAB>NEW, or {\"OLD\": \"NEW\"}")
    };
    let (mut remap, mut back) = (Remap::new(), HashMap::<String, String>::new());
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let pairs: Vec<(String, String)> = match text.split_once('\t') {
            Some((old, new)) => vec![(old.to_owned(), new.to_owned())],
            None => {
                let object: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(|_| wrong(line))?;
                let pairs = object.into_iter().map(|(old, new)| Some((old, plain(&new)?)));
                pairs.collect::<Option<_>>().ok_or_else(|| wrong(line))?
            }
        };
        for (old, new) in pairs {
            let former = back.insert(new.clone(), old.clone()).filter(|former| *former != old);
            let twice = remap.insert(old.clone(), new.clone()).filter(|former| *former != new);
            if let Some(other) = former.or(twice) {
                return Err(Error::usage(format!("`{old}` and `{other}` collide in the remap: `{new}`"))
                    .with("line", line + 1)
                    .hint("give every id a name of its own"));
            }
        }
    }
    Ok(remap)
}

/// Checks A alone, or A and B.
pub fn check(a: &Side<'_>, b: Option<&Side<'_>>, options: SequenceOptions<'_>) -> Result<SequenceReport> {
    let sides: Vec<&Side<'_>> = [Some(a), b].into_iter().flatten().collect();
    let count = partitions(&sides, ENTRY_BYTES, options.engine.memory_bytes);
    let none = Remap::new();
    let (mut spilled_a, unplaced_a) = spill(a, "a", count, options.remap, options)?;
    let mut spilled_b = b.map(|b| spill(b, "b", count, &none, options)).transpose()?;
    let mut found = Found::default();
    for partition in 0..count {
        let bytes_a = spilled_a.entries.take(partition)?;
        let bytes_b = spilled_b.as_mut().map(|(b, _)| b.entries.take(partition)).transpose()?;
        let entries_a = sorted(&bytes_a);
        let entries_b = bytes_b.as_deref().map(sorted);
        in_order(&entries_a, &mut found.a, options.max_named);
        if let Some(entries_b) = &entries_b {
            in_order(entries_b, &mut found.b, options.max_named);
            same_sessions(&entries_a, entries_b, &mut found, options.max_named);
        }
        orphans(&spilled_a.refs.take(partition)?, &mut found.a, options.max_named);
        if let Some((b, _)) = &mut spilled_b {
            orphans(&b.refs.take(partition)?, &mut found.b, options.max_named);
        }
    }
    let side_a = found.a.told(a, unplaced_a, options.fields)?;
    let side_b = match (b, spilled_b) {
        (Some(b), Some((_, unplaced))) => Some(found.b.told(b, unplaced, options.fields)?),
        _ => None,
    };
    let of_b = b.unwrap_or(a);
    Ok(SequenceReport {
        fields: options.fields.clone(),
        a: side_a,
        b: side_b,
        remapped: options.remap.len(),
        missing: found.missing.told(a, options.fields)?,
        extra: found.extra.told(of_b, options.fields)?,
        changed: found.changed.told(a, options.fields)?,
    })
}

/// A record in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    session: u128,
    place: i64,
    content: u128,
    time: Option<i128>,
    at: (u64, u32),
}

impl Entry {
    fn at(&self) -> Place {
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

fn sorted(bytes: &[u8]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = bytes.chunks_exact(ENTRY_BYTES).map(Entry::read).collect();
    entries.sort_unstable();
    entries
}

/// Findings by place, to be told when all are there.
#[derive(Default)]
struct Places {
    count: u64,
    first: Vec<(Place, String)>,
}

impl Places {
    fn add(&mut self, place: Place, what: impl FnOnce() -> String, keep: usize) {
        self.count += 1;
        if self.first.len() < keep {
            self.first.push((place, what()));
        }
    }

    fn told(self, side: &Side<'_>, fields: &SequenceFields) -> Result<Findings> {
        let places: Vec<Place> = self.first.iter().map(|(place, _)| *place).collect();
        let records = fetch(side, &places)?;
        let tell = |((_, what), record): ((Place, String), &crate::named::Fetched)| {
            let session = record.metadata_text(&fields.session).unwrap_or_else(|| "none".to_owned());
            format!("session {session}: {what} (id {})", record.label())
        };
        Ok(Findings { count: self.count, first: self.first.into_iter().zip(&records).map(tell).collect() })
    }
}

#[derive(Default)]
struct FoundSide {
    records: u64,
    sessions: u64,
    duplicates: Places,
    gaps: Places,
    backwards: Places,
    orphans: Places,
}

#[derive(Default)]
struct Found {
    a: FoundSide,
    b: FoundSide,
    missing: Places,
    extra: Places,
    changed: Places,
}

impl FoundSide {
    fn told(self, side: &Side<'_>, unread: Unread, fields: &SequenceFields) -> Result<SequenceSide> {
        let mut backwards = self.backwards.told(side, fields)?;
        let unread_times = unread.times.told(side, fields)?;
        backwards.count += unread_times.count;
        backwards.first.extend(unread_times.first);
        Ok(SequenceSide {
            records: self.records + unread.unplaced.count,
            sessions: self.sessions,
            unplaced: unread.unplaced.told(side, fields)?,
            duplicates: self.duplicates.told(side, fields)?,
            gaps: self.gaps.told(side, fields)?,
            backwards,
            orphans: self.orphans.told(side, fields)?,
        })
    }
}

fn in_order(entries: &[Entry], found: &mut FoundSide, keep: usize) {
    found.records += entries.len() as u64;
    for session in entries.chunk_by(|a, b| a.session == b.session) {
        found.sessions += 1;
        let first = session[0];
        if !(0..=1).contains(&first.place) {
            found.gaps.add(first.at(), || format!("begins with {}", first.place), keep);
        }
        let mut latest = first.time;
        for pair in session.windows(2) {
            let (before, next) = (pair[0], pair[1]);
            match next.place.checked_sub(before.place) {
                Some(0) => found.duplicates.add(next.at(), || format!("{} is taken twice", next.place), keep),
                Some(1) => {}
                _ => found.gaps.add(next.at(), || format!("after {} comes {}", before.place, next.place), keep),
            }
            if next.time.is_some() && next.time < latest {
                found.backwards.add(next.at(), || format!("{} is earlier than what is before it", next.place), keep);
            }
            latest = latest.max(next.time);
        }
    }
}

/// Joins the sessions of two partitions.
fn same_sessions(a: &[Entry], b: &[Entry], found: &mut Found, keep: usize) {
    let mut left = a.chunk_by(|x, y| x.session == y.session).peekable();
    let mut right = b.chunk_by(|x, y| x.session == y.session).peekable();
    loop {
        let (x, y) = match (left.peek(), right.peek()) {
            (None, None) => return,
            (x, y) => (x.map(|s| s[0].session), y.map(|s| s[0].session)),
        };
        let (in_a, in_b) =
            (y.is_none() || x.is_some_and(|x| Some(x) <= y), x.is_none() || y.is_some_and(|y| Some(y) <= x));
        match (left.next_if(|_| in_a), right.next_if(|_| in_b)) {
            (Some(x), Some(y)) => {
                if let Some((at, what)) = first_difference(x, y) {
                    found.changed.add(at, || what, keep);
                }
            }
            (Some(x), None) => found.missing.add(x[0].at(), || format!("{} records only in A", x.len()), keep),
            (None, Some(y)) => found.extra.add(y[0].at(), || format!("{} records only in B", y.len()), keep),
            (None, None) => return,
        }
    }
}

/// The place in A where two sessions begin to differ.
fn first_difference(a: &[Entry], b: &[Entry]) -> Option<(Place, String)> {
    let same = |(x, y): &(&Entry, &Entry)| (x.place, x.content) == (y.place, y.content);
    let equal = a.iter().zip(b).take_while(same).count();
    if equal == a.len() && equal == b.len() {
        return None;
    }
    let what = match (a.get(equal), b.get(equal)) {
        (Some(x), Some(y)) if x.place == y.place => format!("{} is another record in B", x.place),
        (Some(x), Some(y)) => format!("{} in A, {} in B", x.place, y.place),
        (Some(x), None) => format!("B ends before {}", x.place),
        (None, Some(y)) => format!("B has {} as well", y.place),
        (None, None) => String::new(),
    };
    let last = a.len().saturating_sub(1);
    Some((a[equal.min(last)].at(), what))
}

fn orphans(bytes: &[u8], found: &mut FoundSide, keep: usize) {
    let mut entries: Vec<&[u8]> = bytes.chunks_exact(REF_BYTES).collect();
    entries.sort_unstable_by_key(|entry| (&entry[..16], entry[16]));
    for same in entries.chunk_by(|a, b| a[..16] == b[..16]) {
        if same[0][16] == 0 {
            continue;
        }
        for entry in same {
            let ordinal = entry[17..25].try_into().map(u64::from_le_bytes).unwrap_or_default();
            let row = entry[25..29].try_into().map(u32::from_le_bytes).unwrap_or_default();
            found.orphans.add(Place { ordinal, row }, || "answers a record that is not there".to_owned(), keep);
        }
    }
}

/// One side's entries on disk.
struct Spilled {
    entries: Spill,
    refs: Spill,
}

/// What could not be put in order.
#[derive(Default)]
struct Unread {
    unplaced: Places,
    times: Places,
}

/// Entries of one split.
#[derive(Default)]
struct OfSplit {
    entries: Vec<u8>,
    refs: Vec<u8>,
    unplaced: Vec<(Place, &'static str)>,
    times: Vec<Place>,
}

fn spill(
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
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

/// Nanoseconds from a number of any unit (times 10^9), or from RFC 3339 text.
fn instant(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(i128::from(whole) * 1_000_000_000),
            None => number.as_f64().map(|value| (value * 1e9) as i128),
        },
        Value::String(text) => rfc3339(text),
        _ => None,
    }
}

/// `2026-01-31T23:59:59.5+01:00`; a space may stand for the T, and no zone is UTC.
fn rfc3339(text: &str) -> Option<i128> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-')?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':')?;
    let offset = match zone.as_bytes().first() {
        None | Some(b'Z' | b'z') => 0,
        Some(sign) => {
            let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
            let (hours, minutes) = digits.split_at_checked(2)?;
            let minutes = hours.parse::<i128>().ok()? * 60 + minutes.parse::<i128>().unwrap_or(0);
            if *sign == b'-' { -minutes } else { minutes }
        }
    };
    let nanos: i128 = match fraction {
        "" => 0,
        digits => format!("{digits:0<9}").get(..9)?.parse().ok()?,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    // Days from a civil date, with the year beginning in March.
    let (y, m) = (year - i128::from(month <= 2), (month + 9) % 12);
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1;
    Some((((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1_000_000_000 + nanos)
}

fn numbers(text: &str, between: char) -> Option<[i128; 3]> {
    let parts: Option<Vec<i128>> = text.split(between).map(|part| part.parse().ok().filter(|n| *n >= 0)).collect();
    parts?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ordered_across_zones_and_spellings() {
        let ordered = [
            "1999-12-31T23:59:59Z",
            "2024-02-29T00:30:00+01:00",
            "2024-02-29T00:00:00Z",
            "2024-02-29 00:00:00.000000001",
            "2024-03-01T00:00:00.5Z",
            "2024-02-29T23:30:00-01:00",
        ];
        let times: Vec<i128> = ordered.iter().map(|text| rfc3339(text).unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        assert_eq!(rfc3339("2024-02-29T01:00:00+01:00"), rfc3339("2024-02-29T00:00:00Z"));
        for wrong in ["", "2024", "2024-13-01T00:00:00Z", "2024-01-01", "yesterday at noon!", "2024-01-01T1:2"] {
            assert_eq!(rfc3339(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_remap_takes_lines_of_both_forms_and_refuses_ids_that_collide() {
        let remap = parse_remap("a\tx\n{\"b\": \"y\", \"c\": 7}\n\n").unwrap();
        assert_eq!([&remap["a"], &remap["b"], &remap["c"]], ["x", "y", "7"]);
        for wrong in ["a\tx\nb\tx\n", "a\tx\na\ty\n"] {
            assert!(parse_remap(wrong).unwrap_err().to_string().contains("collide"), "{wrong}");
        }
        assert!(parse_remap("a b\n").is_err() && parse_remap("{\"a\": [1]}\n").is_err());
    }
}

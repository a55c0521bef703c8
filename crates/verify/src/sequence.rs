//! Are the records of conversations and sessions in order and complete, and are two sets of them the same session by session.
//!
//! A record names its session and its place in it by two metadata keys; a third may hold a time, a fourth the id of the
//! record that it answers. Proven of a set: every record has its place; no place is taken twice; places go up by one from 0
//! or 1; times do not go back; every answered record is there. Proven of two sets: the same sessions with the same records
//! in the same order, each with its id, vectors, document and metadata, after ids of A are replaced by those of a remap.
//!
//! Invariant: sessions are told apart within their namespace; ids of sessions and parents are compared as text, so 5 and "5"
//! are the same. What is not proven: that the last records of a session are there, unless another set is compared.
//! Memory: one partition of sessions at a time, the largest session at least. Errors: those of reading.

mod entries;
mod times;

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use tranship_connector::{Error, Result};
use tranship_pipeline::EngineOptions;

use entries::{ENTRY_BYTES, Entry, REF_BYTES, Unread, plain, sorted, spill};

use crate::ids::partitions;
use crate::join::Place;
use crate::named::fetch;
use crate::side::Side;

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

#[cfg(test)]
mod tests {
    use super::*;

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

//! Replaying a log over the points of the segments.
//!
//! Invariant: an operation of number n is applied to a point only if the point's version is below n, or n itself when
//! the log brought it there; what the segments hold at version n already has it. A point that is written anew loses
//! what is not named (up to 1.13 it keeps its payload if none is sent); a partial change takes the rest as the segments hold it.
//!
//! Which points a filter finds cannot be asked of all points of the segments. Up to the newest version that the
//! segments have flushed it need not be: only points that the replay itself has brought back are asked. A filter
//! beyond that version, or a condition that is not understood, ends the replay; with `--allow-inconsistent` the
//! operation is left out and told.
//!
//! Memory: the points that differ from the segments.
//! Errors: changing (operations left to the server), damaged (payloads that are no JSON).

use std::collections::HashMap;

use serde_json::{Map, Value};
use tranship_connector::{Error, ErrorKind, Result};

use super::Release;
use super::filter::{Filter, NotUnderstood};
use super::operation::{Operation, Point, PointChange, Targets, UpdateMode, Vectors};
use super::payload::{JsonPath, Payload};
use super::vectors::{fits, stored};
use crate::snapshot::overlay::{BasePoints, Change, Overlay, Part, VectorValue};
use crate::snapshot::point_id::PointId;
use crate::snapshot::schema::Columns;

/// Most notes of one replay.
const MOST_NOTES: usize = 100;

/// Memory of a point beside its vectors and payload.
pub const POINT_BYTES: u64 = 256;

/// A replay under way.
pub struct Replay<'a> {
    columns: &'a Columns,
    release: Release,
    base: &'a dyn BasePoints,
    newest: Option<u64>,
    allow_inconsistent: bool,
    used_bytes: u64,
    points: HashMap<PointId, State>,
    notes: Vec<String>,
}

/// A point that the replay has touched.
enum State {
    Removed(u64),
    Live(Live),
}

struct Live {
    version: u64,
    vectors: Vec<Part<VectorValue>>,
    payload: Part<String>,
}

/// The operation that is being applied.
#[derive(Clone, Copy)]
struct Current<'a> {
    number: u64,
    name: &'a str,
    file: &'a str,
}

impl<'a> Replay<'a> {
    /// Nothing replayed yet. `newest` is the highest version that the segments have flushed.
    pub fn new(
        columns: &'a Columns,
        release: Release,
        base: &'a dyn BasePoints,
        newest: Option<u64>,
        allow_inconsistent: bool,
    ) -> Self {
        let (used_bytes, points, notes) = (0, HashMap::new(), Vec::new());
        Replay { columns, release, base, newest, allow_inconsistent, used_bytes, points, notes }
    }

    /// Applies the operation `name` of number `number`, which stands in `file`.
    pub fn apply(&mut self, number: u64, name: &str, file: &str, operation: Operation) -> Result<()> {
        let current = Current { number, name, file };
        if self.is_refused(&operation) {
            self.tell(format!(
                "{file}: operation {number}, {name}, holds a vector that the collection cannot hold: the server \
                 refused it, and it is left out"
            ));
            return Ok(());
        }
        match operation {
            Operation::Upsert(points) => points.into_iter().try_for_each(|point| self.write(point, current)),
            Operation::UpsertIf { points, condition, mode } => {
                points.into_iter().try_for_each(|point| self.write_if(point, &condition, mode, current))
            }
            Operation::Sync { from, to, points } => self.sync(from, to, points, current),
            Operation::UpdateVectors { points, condition } => points
                .into_iter()
                .try_for_each(|(id, vectors)| self.update_vectors(id, vectors, condition.as_ref(), current)),
            Operation::Change { of: Targets::Ids(ids), change } => {
                ids.into_iter().try_for_each(|id| self.change(id, &change, current))
            }
            Operation::Change { of: Targets::Filter(filter), change } => self.by_filter(&filter, &change, current),
            Operation::Raw(ids) => self.raw(&ids, current),
            Operation::Schema => Ok(()),
        }
    }

    /// The log takes operations in before their vectors are compared with the collection: one that does not fit
    /// fails, now as when the server starts again, and its points stay as they are.
    fn is_refused(&self, operation: &Operation) -> bool {
        let misfits = |vectors: &Vectors| {
            vectors.iter().any(|(name, sent)| self.columns.iter().any(|c| c.name == *name && !fits(sent, c)))
        };
        match operation {
            Operation::Upsert(points) | Operation::UpsertIf { points, .. } | Operation::Sync { points, .. } => {
                points.iter().any(|point| misfits(&point.vectors))
            }
            Operation::UpdateVectors { points, .. } => points.iter().any(|(_, vectors)| misfits(vectors)),
            Operation::Change { .. } | Operation::Raw(_) | Operation::Schema => false,
        }
    }

    /// Memory of the points that differ from the segments.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// What has become of the points.
    pub fn finish(self) -> Overlay {
        let points = self.points.into_iter().map(|(id, state)| {
            let change = match state {
                State::Removed(version) => Change::Removed { version },
                State::Live(Live { version, vectors, payload }) => Change::Written { version, vectors, payload },
            };
            (id, change)
        });
        Overlay { points: points.collect(), notes: self.notes }
    }

    fn write(&mut self, point: Point, current: Current<'_>) -> Result<()> {
        let newer = match self.points.get(&point.id) {
            Some(State::Removed(_)) => false,
            Some(State::Live(live)) => live.version > current.number,
            None => self.base.version(&point.id).is_some_and(|version| version >= current.number),
        };
        if newer {
            return Ok(());
        }
        let mut vectors = vec![Part::Absent; self.columns.len()];
        self.place(&mut vectors, point.vectors, current);
        let payload = match point.payload {
            Some(text) => Part::Value(text),
            None if self.release.upsert_keeps_payload => self.payload_part(&point.id),
            None => Part::Value("{}".to_owned()),
        };
        self.put(point.id, Live { version: current.number, vectors, payload });
        Ok(())
    }

    fn write_if(&mut self, point: Point, condition: &Filter, mode: UpdateMode, current: Current<'_>) -> Result<()> {
        let exists = self.exists(&point.id);
        let passes = match (mode, exists) {
            (UpdateMode::InsertOnly, exists) => !exists,
            (UpdateMode::UpdateOnly, false) => false,
            (UpdateMode::Upsert, false) => true,
            // A version that the segments have already flushed needs no asking.
            (_, true) => self.is_open(&point.id, current.number) && self.asked(&point.id, condition, current)?,
        };
        if passes { self.write(point, current) } else { Ok(()) }
    }

    /// Points of the range that are not listed go, the listed ones are written.
    fn sync(
        &mut self,
        from: Option<PointId>,
        to: Option<PointId>,
        points: Vec<Point>,
        current: Current<'_>,
    ) -> Result<()> {
        if self.is_beyond_segments(current.number) {
            return self.leave_out("removes a range of ids", current);
        }
        let listed: std::collections::HashSet<PointId> = points.iter().map(|point| point.id).collect();
        let inside = |id: &PointId| from.is_none_or(|from| from <= *id) && to.is_none_or(|to| *id < to);
        let gone: Vec<PointId> = self.points.keys().filter(|id| inside(id) && !listed.contains(id)).copied().collect();
        gone.into_iter().try_for_each(|id| self.change(id, &PointChange::Delete, current))?;
        points.into_iter().try_for_each(|point| self.write(point, current))
    }

    fn update_vectors(
        &mut self,
        id: PointId,
        vectors: Vectors,
        condition: Option<&Filter>,
        current: Current<'_>,
    ) -> Result<()> {
        if !self.is_open(&id, current.number) {
            return Ok(());
        }
        if let Some(condition) = condition
            && !self.asked(&id, condition, current)?
        {
            return Ok(());
        }
        let Some(mut live) = self.take(&id) else { return Ok(()) };
        self.place(&mut live.vectors, vectors, current);
        live.version = current.number;
        self.put(id, live);
        Ok(())
    }

    fn change(&mut self, id: PointId, change: &PointChange, current: Current<'_>) -> Result<()> {
        if !self.is_open(&id, current.number) {
            return Ok(());
        }
        let is_moved = !self.points.contains_key(&id) && self.base.is_moved_to_change(&id);
        let Some(mut live) = self.take(&id) else { return Ok(()) };
        match change {
            PointChange::Delete => {
                // A point that only the log ever held leaves nothing behind.
                if self.base.version(&id).is_some() {
                    self.used_bytes += POINT_BYTES;
                    self.points.insert(id, State::Removed(current.number));
                }
                return Ok(());
            }
            PointChange::DeleteVectors(names) => {
                for (column, part) in self.columns.iter().zip(&mut live.vectors) {
                    if names.contains(&column.name) {
                        *part = Part::Absent;
                    }
                }
            }
            // What is moved has a payload stored, if only an empty one.
            PointChange::ClearPayload if is_moved => live.payload = Part::Value("{}".to_owned()),
            PointChange::ClearPayload => live.payload = Part::Absent,
            PointChange::OverwritePayload(text) => live.payload = Part::Value(text.clone()),
            // Where no payload is stored at all, nothing is merged, and nulls stay.
            PointChange::SetPayload(text, None) if !self.has_payload(&id, &live.payload)? => {
                live.payload = Part::Value(text.clone());
            }
            PointChange::SetPayload(text, path) => {
                let mut payload = self.payload(&id, &live.payload, current)?;
                let path = path.as_deref().map(JsonPath::parse);
                payload.merge(&parsed(text, current)?, path.as_ref());
                live.payload = Part::Value(payload.text());
            }
            PointChange::DeletePayload(paths) => {
                let mut payload = self.payload(&id, &live.payload, current)?;
                paths.iter().for_each(|path| payload.remove(&JsonPath::parse(path)));
                live.payload = Part::Value(payload.text());
            }
        }
        live.version = current.number;
        self.put(id, live);
        Ok(())
    }

    fn by_filter(&mut self, filter: &Filter, change: &PointChange, current: Current<'_>) -> Result<()> {
        if self.is_beyond_segments(current.number) {
            return self.leave_out("chooses its points by a filter", current);
        }
        let mut candidates: Vec<PointId> = self.points.keys().copied().collect();
        candidates.sort_unstable();
        for id in candidates {
            if self.is_open(&id, current.number) && self.asked(&id, filter, current)? {
                self.change(id, change, current)?;
            }
        }
        Ok(())
    }

    fn raw(&mut self, ids: &[PointId], current: Current<'_>) -> Result<()> {
        let applied = |id: &PointId| self.base.version(id).is_some_and(|version| version >= current.number);
        match ids.iter().all(applied) && !self.is_beyond_segments(current.number) {
            true => Ok(()),
            false => self.leave_out("holds vectors in their storage form, which is not read", current),
        }
    }

    /// True if the filter lets a point that exists pass; what cannot be asked is left out.
    fn asked(&mut self, id: &PointId, filter: &Filter, current: Current<'_>) -> Result<bool> {
        let text = match self.payload_part(id) {
            Part::Value(text) => Some(text),
            Part::Absent => None,
            Part::Stored => self.base.payload(id)?,
        };
        let text = text.unwrap_or_else(|| "{}".to_owned());
        let payload: Map<String, Value> = serde_json::from_str(&text).map_err(|e| no_json(current).caused_by(e))?;
        match filter.matches(id, &payload) {
            Ok(answer) => Ok(answer),
            Err(NotUnderstood(condition)) => {
                self.leave_out(&format!("asks points for {condition:?}"), current).map(|()| false)
            }
        }
    }

    fn payload(&self, id: &PointId, part: &Part<String>, current: Current<'_>) -> Result<Payload> {
        match part {
            Part::Value(text) => parsed(text, current),
            Part::Absent => Ok(Payload::default()),
            Part::Stored => match self.base.payload(id)? {
                Some(text) => parsed(&text, current),
                None => Ok(Payload::default()),
            },
        }
    }

    /// True if a payload is stored, be it an empty one; clearing it takes it away.
    fn has_payload(&self, id: &PointId, part: &Part<String>) -> Result<bool> {
        match part {
            Part::Value(_) => Ok(true),
            Part::Absent => Ok(false),
            Part::Stored => Ok(self.base.payload(id)?.is_some()),
        }
    }

    /// The payload of a point as it is now.
    fn payload_part(&self, id: &PointId) -> Part<String> {
        match self.points.get(id) {
            Some(State::Live(live)) => live.payload.clone(),
            None if self.base.version(id).is_some() => Part::Stored,
            Some(State::Removed(_)) | None => Part::Absent,
        }
    }

    /// Puts vectors into their columns. Those of a name that the collection no longer has are told once.
    fn place(&mut self, parts: &mut [Part<VectorValue>], vectors: Vectors, current: Current<'_>) {
        for (name, sent) in vectors {
            let found = self.columns.iter().zip(parts.iter_mut()).find(|(column, _)| column.name == name);
            let value = found.and_then(|(column, part)| Some((part, stored(sent, column, self.release.summation)?)));
            match value {
                Some((part, value)) => *part = Part::Value(value),
                None => self.tell(format!(
                    "{}: operations hold vectors {name:?}, which the collection does not have: they are left out",
                    current.file
                )),
            }
        }
    }

    fn exists(&self, id: &PointId) -> bool {
        match self.points.get(id) {
            Some(State::Live(_)) => true,
            Some(State::Removed(_)) => false,
            None => self.base.version(id).is_some(),
        }
    }

    /// True if the point exists and operation `number` has not been applied to it.
    fn is_open(&self, id: &PointId, number: u64) -> bool {
        match self.points.get(id) {
            Some(State::Live(live)) => live.version <= number,
            Some(State::Removed(_)) => false,
            None => self.base.version(id).is_some_and(|version| version < number),
        }
    }

    /// True if the segments cannot have flushed operation `number`. Without any flush the replay knows every point.
    fn is_beyond_segments(&self, number: u64) -> bool {
        self.newest.is_some_and(|newest| number > newest)
    }

    /// The point as the replay has it, or as the segments hold it; it is put back by [`Self::put`].
    fn take(&mut self, id: &PointId) -> Option<Live> {
        match self.points.remove(id) {
            Some(State::Live(live)) => {
                self.used_bytes = self.used_bytes.saturating_sub(live.bytes());
                Some(live)
            }
            Some(State::Removed(_)) => None,
            None => self.base.version(id).map(|version| Live {
                version,
                vectors: vec![Part::Stored; self.columns.len()],
                payload: Part::Stored,
            }),
        }
    }

    fn put(&mut self, id: PointId, live: Live) {
        self.used_bytes += live.bytes();
        let before = self.points.insert(id, State::Live(live));
        let freed = match before {
            Some(State::Live(live)) => live.bytes(),
            Some(State::Removed(_)) => POINT_BYTES,
            None => 0,
        };
        self.used_bytes = self.used_bytes.saturating_sub(freed);
    }

    fn leave_out(&mut self, why: &str, current: Current<'_>) -> Result<()> {
        let Current { number, name, file } = current;
        if !self.allow_inconsistent {
            return Err(Error::new(
                ErrorKind::Changing,
                format!("operation {number} of the write-ahead log, {name}, {why} and is not in the segments yet"),
            )
            .with("file", file)
            .with("operation", number)
            .hint(
                "start the server once on a copy of the directory, so that it applies its log, and take a snapshot; \
                 or leave such operations out with --allow-inconsistent",
            ));
        }
        self.tell(format!("{file}: operation {number}, {name}, {why} and is left out"));
        Ok(())
    }

    fn tell(&mut self, note: String) {
        if self.notes.len() < MOST_NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
            if self.notes.len() == MOST_NOTES {
                self.notes.push("there is more of this that is not told".to_owned());
            }
        }
    }
}

impl Live {
    fn bytes(&self) -> u64 {
        let vectors = self.vectors.iter().map(|part| match part {
            Part::Value(VectorValue::Dense(row) | VectorValue::Multi(row)) => row.len() * 4,
            Part::Value(VectorValue::Sparse(indices, values)) => (indices.len() + values.len()) * 4,
            Part::Stored | Part::Absent => 0,
        });
        let payload = if let Part::Value(text) = &self.payload { text.len() } else { 0 };
        POINT_BYTES + (vectors.sum::<usize>() + payload + self.vectors.len() * size_of::<Part<VectorValue>>()) as u64
    }
}

fn parsed(text: &str, current: Current<'_>) -> Result<Payload> {
    Payload::parse(text).map_err(|fault| no_json(current).caused_by(fault))
}

fn no_json(current: Current<'_>) -> Error {
    Error::damaged(format!("the payload of a point that {} changes is no JSON object", current.name))
        .with("file", current.file)
        .with("operation", current.number)
        .hint("copy the whole directory again while its server is stopped, or take a new snapshot")
}

//! Counts rejects against the budget of the run and keeps those of one shard for its reject file.
//!
//! The budget is global; with the default of 0 the first reject ends the run. Invariant: a reject is either in a file
//! and in the counts, or the run has failed.

use std::sync::atomic::{AtomicU64, Ordering};

use tranship_connector::{Changed, Error, ErrorKind, Reject, RejectSink, Result, transforms};

/// How many rejects the whole run may have.
#[derive(Debug)]
pub struct RejectBudget {
    max: u64,
    used: AtomicU64,
}

impl RejectBudget {
    /// A budget of `max`, of which `used` are spent by an earlier part of the run.
    pub fn new(max: u64, used: u64) -> Self {
        RejectBudget { max, used: AtomicU64::new(used) }
    }
}

/// The rejects of one shard, and what transforms did to its records.
pub struct ShardRejects<'a> {
    budget: &'a RejectBudget,
    rejects: Vec<Reject>,
    changed: Changed,
}

impl<'a> ShardRejects<'a> {
    /// No rejects yet.
    pub fn new(budget: &'a RejectBudget) -> Self {
        ShardRejects { budget, rejects: Vec::new(), changed: Changed::new() }
    }

    /// The rejects in the order in which they were met, and the changes.
    pub fn into_parts(self) -> (Vec<Reject>, Changed) {
        (self.rejects, self.changed)
    }
}

impl RejectSink for ShardRejects<'_> {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        let used = self.budget.used.fetch_add(1, Ordering::Relaxed) + 1;
        if used > self.budget.max {
            return Err(over_budget(&reject, self.budget.max));
        }
        self.rejects.push(reject);
        Ok(())
    }

    fn changed(&mut self, changed: &Changed) {
        transforms::merge(&mut self.changed, changed);
    }
}

fn over_budget(reject: &Reject, max: u64) -> Error {
    let error = Error::new(ErrorKind::TooManyRejects, format!("{}: {}", reject.place, reject.reason));
    let error = match &reject.id {
        Some(id) => error.with("id", id),
        None => error,
    };
    error.with("rejects allowed", max).hint("mend the record, or set bad records aside with --max-rejects N")
}

/// The rejects as JSON lines in one zstd frame.
pub fn to_file_bytes(rejects: &[Reject]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for reject in rejects {
        serde_json::to_writer(&mut lines, reject)
            .map_err(|e| Error::bug("cannot write a reject as JSON").caused_by(e))?;
        lines.push(b'\n');
    }
    zstd::encode_all(lines.as_slice(), 3).map_err(|e| Error::bug("cannot compress rejects").caused_by(e))
}

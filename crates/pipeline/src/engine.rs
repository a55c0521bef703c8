//! Executes one task per split in parallel and hands the results over in split order.
//!
//! Invariant: tasks never wait for a channel, a lock or each other; only the producer waits, for byte credits. If
//! splits fail, the error reported is that of the first one in split order, whatever the timing. A panic in a task is
//! an error of kind bug that names the split.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tranship_connector::{Error, ErrorKind, Prepared, Result, Split};

use crate::budget::Budget;
use crate::progress::Progress;

/// What an execution may use.
#[derive(Clone, Copy)]
pub struct EngineOptions<'a> {
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Bytes in flight.
    pub memory_bytes: u64,
    /// Set from outside to stop; finished splits are kept.
    pub cancel: &'a AtomicBool,
    /// Told about progress.
    pub progress: &'a dyn Progress,
}

/// Lets a task notice that its result is no longer wanted.
pub struct Stop<'a> {
    ordinal: u64,
    failed: &'a AtomicU64,
    cancel: &'a AtomicBool,
}

impl Stop<'_> {
    /// An error if the run was interrupted or an earlier split has failed.
    pub fn check(&self) -> Result<()> {
        let obsolete = self.failed.load(Ordering::Relaxed) < self.ordinal;
        if obsolete || self.cancel.load(Ordering::Relaxed) { Err(interrupted()) } else { Ok(()) }
    }
}

/// The error of an interrupted run.
pub fn interrupted() -> Error {
    Error::new(ErrorKind::Interrupted, "interrupted")
        .hint("run the same command again to go on: finished parts are kept")
}

/// What a split yields on its way to the committer.
struct Done<T> {
    ordinal: u64,
    credits: u64,
    result: Result<T>,
}

/// Runs `task` for every split of `prepared` and `commit` for every result in split order.
///
/// `reuse` may answer for a split that was finished before, or refuse it. `shard_bytes` is what a task needs besides the split's own
/// memory; a split that does not fit the budget is an error of kind limit naming the memory that would do.
pub fn execute<T: Send>(
    prepared: &dyn Prepared,
    options: EngineOptions<'_>,
    shard_bytes: u64,
    reuse: impl Fn(&Split) -> Result<Option<T>> + Sync,
    task: impl Fn(Split, &Stop<'_>) -> Result<T> + Sync,
    mut commit: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.max(1))
        .thread_name(|number| format!("tranship-{number}"))
        .build()
        .map_err(|e| Error::bug("cannot start the worker threads").caused_by(e))?;
    let budget = Budget::new(options.memory_bytes);
    let failed = AtomicU64::new(u64::MAX);
    let (sender, receiver) = unbounded();
    let (task, reuse, failed, budget) = (&task, &reuse, &failed, &budget);
    std::thread::scope(|threads| {
        let producer = threads.spawn(move || {
            pool.in_place_scope(|scope| {
                for split in prepared.splits()? {
                    let split = split?;
                    if options.cancel.load(Ordering::Relaxed) {
                        return Err(interrupted());
                    }
                    if let Some(result) = reuse(&split)? {
                        options.progress.advance(0, split.bytes);
                        hand_over(&sender, Done { ordinal: split.ordinal, credits: 0, result: Ok(result) });
                        continue;
                    }
                    let credits = credits_for(prepared, &split, shard_bytes, budget)?;
                    if !budget.acquire(credits) {
                        return Ok(());
                    }
                    let sender = sender.clone();
                    scope.spawn(move |_| {
                        let stop = Stop { ordinal: split.ordinal, failed, cancel: options.cancel };
                        let ordinal = split.ordinal;
                        let result = guarded(ordinal, || stop.check().and_then(|()| task(split, &stop)));
                        if result.is_err() {
                            failed.fetch_min(ordinal, Ordering::Relaxed);
                            budget.close();
                        }
                        hand_over(&sender, Done { ordinal, credits, result });
                    });
                }
                Ok(())
            })
        });
        let committed = commit_in_order(receiver, budget, &mut commit);
        if committed.is_err() {
            failed.store(0, Ordering::Relaxed);
        }
        budget.close();
        let produced = producer.join().unwrap_or_else(|_| Err(Error::bug("the producer of splits panicked")));
        committed.and(produced)
    })
}

/// A receiver that is gone means that the run has failed already.
fn hand_over<T>(sender: &Sender<Done<T>>, done: Done<T>) {
    if sender.send(done).is_err() {}
}

fn commit_in_order<T>(
    receiver: Receiver<Done<T>>,
    budget: &Budget,
    commit: &mut impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for done in receiver {
        waiting.insert(done.ordinal, done);
        while let Some(done) = waiting.remove(&next) {
            commit(done.result?)?;
            budget.release(done.credits);
            next += 1;
        }
    }
    // Splits wait behind a gap only if the source numbers them wrongly: they must not be passed over.
    match waiting.pop_first() {
        Some((ordinal, done)) => {
            done.result?;
            Err(Error::bug(format!("split {ordinal} came, but not split {next}")))
        }
        None => Ok(()),
    }
}

fn credits_for(prepared: &dyn Prepared, split: &Split, shard_bytes: u64, budget: &Budget) -> Result<u64> {
    let needed = prepared.split_memory_bytes(split) + shard_bytes;
    if needed <= budget.total() {
        return Ok(needed);
    }
    let least = (needed * 2).div_ceil(1 << 20);
    Err(Error::limit(format!(
        "one split needs {needed} bytes of memory, and half of --memory, {} bytes, is for work in flight",
        budget.total()
    ))
    .with("split", split.ordinal)
    .hint(format!("give at least --memory {least}MiB")))
}

fn guarded<T>(ordinal: u64, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(Error::bug(format!("a worker panicked: {}", text.unwrap_or("no message")))
            .with("split", ordinal)
            .hint("this is a mistake in tranship; please report it with the kind of input you have"))
    })
}

//! Keeps one hook busy: the next batch is with it before the last one is answered.
//!
//! Invariant: every job taken ends in an answer handed over, or the run has an error. A hook that ends, hangs or talks
//! nonsense is killed and started anew; the batch it was at is asked again, each time after a longer pause, until its retries are used up. Those
//! behind it are not blamed. When the run stops, what has been asked is still waited for: it is paid.
//!
//! Errors: io (a batch used up its retries), plan changed (the hook started anew is another model).

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use tranship_connector::{Error, ErrorKind, Result};

use crate::fill::HookOptions;
use crate::process::{Look, Process};
use crate::protocol::{self, Row};
use crate::space::Space;
use crate::store::Digest;

/// Batches that a hook has at once: the one it is at and the one that it goes on with.
const DEPTH: usize = 2;
/// Answers of a hook that are kept on disk before its files are emptied.
const JOURNAL_BYTES: u64 = 64 << 20;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(5);

/// A text to be embedded, with the first record that needs it and what it is thought to cost.
#[derive(Debug)]
pub struct Wanted {
    pub digest: Digest,
    pub text: String,
    pub id: String,
    pub tokens: u32,
}

/// One call of the hook.
#[derive(Debug)]
pub struct Job {
    pub number: u64,
    pub wanted: Vec<Wanted>,
    pub attempts: u32,
}

/// An answered call.
pub struct Done {
    pub slot: usize,
    pub job: Job,
    pub rows: Vec<(Row, Option<u32>)>,
}

/// What the workers of one run share.
pub struct Shared<'a> {
    pub hook: &'a HookOptions,
    pub dir: &'a Path,
    pub space: &'a Space,
    pub cancel: &'a AtomicBool,
    pub stop: AtomicBool,
    pub error: Mutex<Option<Error>>,
    pub next_call: Mutex<Instant>,
    pub calls: AtomicU64,
    pub restarts: AtomicU64,
    /// Answers of each worker that are in the cache.
    pub kept: Vec<AtomicU64>,
}

impl Shared<'_> {
    /// Keeps the first error and stops the others.
    pub fn fail(&self, error: Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// True if no more should be asked.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.cancel.load(Ordering::Relaxed)
    }

    /// True if a call may be made now, which takes the turn.
    fn may_call(&self) -> bool {
        let Some(per_minute) = self.hook.calls_per_minute else { return true };
        let mut next = self.next_call.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = *next <= now;
        if may {
            *next = now + Duration::from_secs_f64(60.0 / per_minute);
        }
        may
    }
}

struct Flight {
    job: Job,
    since: Instant,
}

/// One hook and what it owes.
pub struct Worker<'a> {
    slot: usize,
    shared: &'a Shared<'a>,
    jobs: Receiver<Job>,
    done: Sender<Done>,
    process: Option<Process>,
    started: u64,
    flight: VecDeque<Flight>,
    again: VecDeque<Job>,
    not_before: Instant,
    handed_over: u64,
    drained: bool,
}

impl<'a> Worker<'a> {
    /// A worker, with a hook that is already running if there is one.
    pub fn new(
        slot: usize,
        shared: &'a Shared<'a>,
        jobs: Receiver<Job>,
        done: Sender<Done>,
        process: Option<Process>,
    ) -> Self {
        Worker {
            slot,
            shared,
            jobs,
            done,
            process,
            started: 0,
            flight: VecDeque::new(),
            again: VecDeque::new(),
            not_before: Instant::now(),
            handed_over: 0,
            drained: false,
        }
    }

    /// Works until there are no more jobs.
    pub fn run(mut self) {
        let outcome = self.work();
        if let Some(process) = self.process.take() {
            process.close(self.shared.hook.timeout);
        }
        if let Err(error) = outcome {
            self.shared.fail(error);
        }
    }

    fn work(&mut self) -> Result<()> {
        loop {
            let stopping = self.shared.stopping();
            if !stopping {
                self.refill()?;
            }
            if !self.flight.is_empty() {
                self.watch()?;
            } else if stopping || (self.drained && self.again.is_empty()) {
                return Ok(());
            }
        }
    }

    fn refill(&mut self) -> Result<()> {
        if !self.make_room()? || Instant::now() < self.not_before {
            return self.rest();
        }
        while self.flight.len() < DEPTH {
            if self.again.is_empty() && !self.take() {
                break;
            }
            if !self.shared.may_call() {
                return self.rest();
            }
            if let Some(job) = self.again.pop_front() {
                self.ask(job)?;
            }
        }
        Ok(())
    }

    /// With nothing to watch, time passes here.
    fn rest(&self) -> Result<()> {
        if self.flight.is_empty() {
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Takes the next job; false if there is none now.
    fn take(&mut self) -> bool {
        let job = match self.flight.is_empty() {
            true => self.jobs.recv_timeout(TICK).map_err(|e| e == RecvTimeoutError::Disconnected),
            false => self.jobs.try_recv().map_err(|e| e == TryRecvError::Disconnected),
        };
        match job {
            Ok(job) => self.again.push_back(job),
            Err(gone) => self.drained |= gone,
        }
        !self.again.is_empty()
    }

    /// Empties the files of the hook once they are large, which needs it to owe nothing; false while it does.
    fn make_room(&mut self) -> Result<bool> {
        let Some(process) = self.process.as_mut().filter(|process| process.answered_bytes() > JOURNAL_BYTES) else {
            return Ok(true);
        };
        let kept = self.shared.kept[self.slot].load(Ordering::Acquire);
        let idle = self.flight.is_empty() && kept == self.handed_over;
        if idle {
            process.forget()?;
        }
        Ok(idle)
    }

    fn ask(&mut self, job: Job) -> Result<()> {
        let process = match self.process.take() {
            Some(process) => process,
            None => match self.start() {
                Ok(process) => process,
                Err(error) if error.kind() != ErrorKind::Io => return Err(error),
                Err(error) => return self.ask_again(job, error),
            },
        };
        let process = self.process.insert(process);
        let texts: Vec<&str> = job.wanted.iter().map(|wanted| wanted.text.as_str()).collect();
        let digests: Vec<Digest> = job.wanted.iter().map(|wanted| wanted.digest).collect();
        let tokens: Vec<u32> = job.wanted.iter().map(|wanted| wanted.tokens).collect();
        process.ask(job.number, &digests, &tokens, protocol::question(job.number, &texts))?;
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        self.flight.push_back(Flight { job, since: Instant::now() });
        Ok(())
    }

    fn start(&mut self) -> Result<Process> {
        self.started += 1;
        let base = self.shared.dir.join(format!("hook-{}-{}-{}", std::process::id(), self.slot, self.started));
        let hook = self.shared.hook;
        let mut process = Process::start(&hook.command, &base, hook.batch, hook.timeout, self.shared.cancel)?;
        if process.space != *self.shared.space {
            let (then, now) = (self.shared.space.to_json(), process.space.to_json());
            process.kill();
            return Err(Error::new(
                ErrorKind::PlanChanged,
                "the hook has become another one: vectors of two spaces must not be mixed",
            )
            .with("then", then)
            .with("now", now)
            .hint("let every start of the hook give the same model, and run the same command again"));
        }
        Ok(process)
    }

    fn watch(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        match process.look()? {
            Look::Line(line) => self.take_answer(&line),
            Look::Ended(how) => self.lose(&format!("ended at batch {} ({how})", self.oldest())),
            Look::Nothing => {
                let timeout = self.shared.hook.timeout;
                if self.flight.front().is_some_and(|flight| flight.since.elapsed() > timeout) {
                    return self.lose(&format!(
                        "did not answer batch {} in {} s",
                        self.oldest(),
                        timeout.as_secs_f64()
                    ));
                }
                process.wait();
                Ok(())
            }
        }
    }

    fn oldest(&self) -> u64 {
        self.flight.front().map_or(0, |flight| flight.job.number)
    }

    fn take_answer(&mut self, line: &str) -> Result<()> {
        let texts = |batch| self.flight.iter().find(|flight| flight.job.number == batch).map(|f| f.job.wanted.len());
        let answer = match protocol::answered(line, self.shared.space.dims, texts) {
            Ok(answer) => answer,
            Err(why) => return self.lose(&why),
        };
        let position = self.flight.iter().position(|flight| flight.job.number == answer.batch);
        let Some(flight) = position.and_then(|position| self.flight.remove(position)) else { return Ok(()) };
        // What stood behind it is at work only now.
        self.flight.iter_mut().for_each(|flight| flight.since = Instant::now());
        match answer.rows {
            Ok(rows) => {
                self.handed_over += 1;
                // A committer that is gone has said why.
                let _taken = self.done.send(Done { slot: self.slot, job: flight.job, rows });
                Ok(())
            }
            Err(reason) => {
                let what = format!("gave up on batch {}: {}", flight.job.number, protocol::shortened(&reason));
                let error =
                    self.process.as_ref().map_or_else(|| Error::bug(what.clone()), |process| process.fault(&what));
                self.ask_again(flight.job, error)
            }
        }
    }

    /// Ends the hook; the oldest batch is blamed, all are asked again.
    fn lose(&mut self, why: &str) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill();
        self.shared.restarts.fetch_add(1, Ordering::Relaxed);
        let error = process.fault(why);
        let mut jobs: VecDeque<Job> = self.flight.drain(..).map(|flight| flight.job).collect();
        let Some(blamed) = jobs.pop_front() else { return Ok(()) };
        while let Some(job) = jobs.pop_back() {
            self.again.push_front(job);
        }
        self.ask_again(blamed, error)
    }

    /// Asks once more after a pause, or gives up with `error`.
    fn ask_again(&mut self, mut job: Job, error: Error) -> Result<()> {
        if job.attempts >= self.shared.hook.retries {
            return Err(error.with("tries", job.attempts + 1));
        }
        let backoff = (FIRST_BACKOFF * 2u32.saturating_pow(job.attempts.min(16))).min(LONGEST_BACKOFF);
        self.not_before = Instant::now() + backoff;
        job.attempts += 1;
        self.again.push_front(job);
        Ok(())
    }
}

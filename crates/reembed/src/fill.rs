//! Fills the cache: one pass over the source, every text that has no vector yet goes to a hook, once.
//!
//! One thread reads and asks, one per hook waits for answers, one puts answers into the cache (synced) before they count.
//! Invariant: equal texts are one; a text in the cache is never asked again, whichever run it was embedded in. Memory: the batches in
//! flight, and the index of the cache.
//!
//! The budget is that of the job, not of the process: what stands in the cache of this model counts. Tokens are the hook's count where it gives
//! one, else a quarter of the characters.
//!
//! Errors: limit (the budget is used up; says what is left), too many rejects, and those of `worker.rs`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;
use tranship_collection::BatchView;
use tranship_connector::{Error, ErrorKind, Prepared, Reject, RejectSink, Result};
use tranship_pipeline::Progress;
use tranship_pipeline::engine::interrupted;
use tranship_storage::Journal;

use crate::process::Process;
use crate::recover;
use crate::space::Space;
use crate::store::{ASKED, Digest, Embedded, REFUSED, Store};
use crate::text::{Made, Missing, Piece, Recipe, TooLong};
use crate::worker::{Done, Job, Shared, Wanted, Worker};

/// Characters of a batch, whatever its number of texts.
const BATCH_BYTES: usize = 1 << 20;

/// How the hook is run and what it may cost.
#[derive(Debug, Clone)]
pub struct HookOptions {
    /// The command, for `sh -c`.
    pub command: String,
    /// Hooks that run at once.
    pub concurrency: usize,
    /// Texts in a batch.
    pub batch: usize,
    /// Time for one batch, and for the version line.
    pub timeout: Duration,
    /// How often a batch is asked again.
    pub retries: u32,
    /// Most tokens of the whole job.
    pub max_tokens: Option<u64>,
    /// Most money of the whole job; needs a price.
    pub max_cost: Option<f64>,
    /// Money per 1,000 tokens.
    pub price: Option<f64>,
    /// Batches per minute.
    pub calls_per_minute: Option<f64>,
}

impl Default for HookOptions {
    fn default() -> Self {
        HookOptions {
            command: String::new(),
            concurrency: 1,
            batch: 32,
            timeout: Duration::from_secs(300),
            retries: 3,
            max_tokens: None,
            max_cost: None,
            price: None,
            calls_per_minute: None,
        }
    }
}

impl HookOptions {
    /// The budget in tokens.
    pub fn budget(&self) -> Result<Option<u64>> {
        let by_cost = match (self.max_cost, self.price) {
            (Some(_), None) => {
                return Err(
                    Error::usage("--max-cost needs --price").hint("say what 1,000 tokens cost, as in --price 0.00002")
                );
            }
            (Some(cost), Some(price)) if price > 0.0 => Some((cost / price * 1000.0) as u64),
            _ => None,
        };
        Ok([self.max_tokens, by_cost].into_iter().flatten().min())
    }

    /// What so many tokens cost.
    pub fn cost(&self, tokens: u64) -> Option<f64> {
        self.price.map(|price| tokens as f64 / 1000.0 * price)
    }
}

/// Where the cache is and what the pass may use.
#[derive(Clone, Copy)]
pub struct FillContext<'a> {
    /// Directory of the cache.
    pub cache: &'a Path,
    /// Memory of its index.
    pub memory_bytes: u64,
    /// Records that may be set aside.
    pub max_rejects: u64,
    /// Set from outside to stop.
    pub cancel: &'a AtomicBool,
    /// Told about progress.
    pub progress: &'a dyn Progress,
}

/// What the pass did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FillReport {
    /// Texts of the records, the parts of long ones included.
    pub texts: u64,
    /// Texts that the hook embedded in this run.
    pub embedded: u64,
    /// Batches that it was asked.
    pub calls: u64,
    /// Starts after a hook had ended, hung or talked nonsense.
    pub restarts: u64,
    /// Texts that were in the cache.
    pub cache_hits: u64,
    /// Texts that this run had met before.
    pub repeated: u64,
    /// Texts that the hook of a killed run had answered, taken up from its output.
    pub recovered: u64,
    /// Damaged records of the cache, embedded anew.
    pub damaged: u64,
    /// Tokens of what was embedded in this run.
    pub tokens: u64,
    /// Tokens of everything in the cache of this model.
    pub tokens_in_all: u64,
    /// What the tokens of this run cost, if a price was given.
    pub cost: Option<f64>,
    /// Texts that the hook refused.
    pub refused: u64,
    /// Records without text.
    pub without_text: u64,
    /// Records whose text was too long and is rejected.
    pub too_long: u64,
    /// Records whose text was cut.
    pub truncated: u64,
    /// Records whose text was parted, with the mean of the parts as vector.
    pub split: u64,
    /// Seconds of the pass.
    pub seconds: f64,
}

/// The filled cache.
pub struct Filled {
    /// Which space its vectors lie in.
    pub space: Space,
    /// The vectors.
    pub store: Store,
    /// Texts that the hook refused, and why.
    pub refused: HashMap<Digest, String>,
    /// What it took.
    pub report: FillReport,
}

/// Fills the cache with the texts of all records that `wants` picks.
pub fn fill(
    prepared: &dyn Prepared,
    recipe: &Recipe,
    wants: &(dyn Fn(&BatchView<'_>, usize) -> bool + Sync),
    hook: &HookOptions,
    context: FillContext<'_>,
) -> Result<Filled> {
    let started = Instant::now();
    let budget = hook.budget()?;
    let held = Journal::open(&context.cache.join("lock"))?;
    if !held.try_lock()? {
        return Err(Error::new(ErrorKind::Io, format!("another run is filling {}", context.cache.display()))
            .hint("wait for the other run to end, or give another --cache"));
    }
    let recovered = recover::recover(context.cache, context.memory_bytes, hook.timeout, context.cancel)?;
    let base = context.cache.join(format!("hook-{}-0-0", std::process::id()));
    let first = Process::start(&hook.command, &base, hook.batch, hook.timeout, context.cancel)?;
    let space = first.space.clone();
    let store = Store::open(context.cache, &space, context.memory_bytes)?;
    let report = FillReport { recovered, damaged: store.damaged(), ..FillReport::default() };
    let shared = Shared {
        hook,
        dir: context.cache,
        space: &space,
        cancel: context.cancel,
        stop: AtomicBool::new(false),
        error: Mutex::new(None),
        next_call: Mutex::new(started),
        calls: AtomicU64::new(0),
        restarts: AtomicU64::new(0),
        kept: (0..hook.concurrency.max(1)).map(|_| AtomicU64::new(0)).collect(),
    };
    let books = Books {
        spent: AtomicI64::new(store.tokens() as i64),
        rejected: AtomicU64::new(0),
        max_rejects: context.max_rejects,
        store: Mutex::new(store),
    };
    let (fed, kept) = run(prepared, recipe, wants, &shared, &books, budget, context, first, report);
    if kept.is_whole {
        recover::clear(context.cache)?;
    }
    let Shared { error, calls, restarts, .. } = shared;
    if let Some(error) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let (mut report, left) = fed?;
    let store = books.store.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(left) = left {
        return Err(used_up(hook, &store, left));
    }
    report.calls = calls.into_inner();
    report.restarts = restarts.into_inner();
    report.embedded = kept.embedded;
    report.tokens = kept.tokens;
    report.tokens_in_all = store.tokens();
    report.cost = hook.cost(kept.tokens);
    report.refused = kept.refused.len() as u64;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(Filled { space, store, refused: kept.refused, report })
}

fn run(
    prepared: &dyn Prepared,
    recipe: &Recipe,
    wants: &(dyn Fn(&BatchView<'_>, usize) -> bool + Sync),
    shared: &Shared<'_>,
    books: &Books,
    budget: Option<u64>,
    context: FillContext<'_>,
    first: Process,
    report: FillReport,
) -> (Result<(FillReport, Option<Left>)>, Kept) {
    let workers = shared.hook.concurrency.max(1);
    let (jobs, to_do) = bounded(4 * workers);
    let (done, answers) = bounded(4 * workers);
    let mut first = Some(first);
    std::thread::scope(|threads| {
        for slot in 0..workers {
            let worker = Worker::new(slot, shared, to_do.clone(), done.clone(), first.take());
            threads.spawn(move || worker.run());
        }
        drop((to_do, done));
        let keeper = threads.spawn(|| keep(&answers, shared, books));
        let mut feeder = Feeder {
            recipe,
            shared,
            books,
            jobs,
            budget,
            open: Vec::new(),
            open_bytes: 0,
            number: 0,
            left: None,
            known: books.store().len() as u32,
            report,
        };
        let fed = feeder.feed(prepared, wants, context);
        if fed.is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
        let Feeder { report, left, jobs, .. } = feeder;
        drop(jobs);
        let kept = keeper.join().unwrap_or_else(|_| {
            shared.fail(Error::bug("the keeper of answers panicked"));
            Kept::default()
        });
        (fed.map(|()| (report, left)), kept)
    })
}

/// What reader and keeper both write into.
struct Books {
    store: Mutex<Store>,
    /// Tokens in the cache and on their way.
    spent: AtomicI64,
    rejected: AtomicU64,
    max_rejects: u64,
}

impl Books {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One record more is set aside.
    fn reject(&self, id: &str, reason: &str) -> Result<()> {
        if self.rejected.fetch_add(1, Ordering::Relaxed) < self.max_rejects {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooManyRejects, format!("a record cannot be embedded: {reason}"))
            .with("id", id)
            .with("rejects allowed", self.max_rejects)
            .hint("mend the record, or set bad records aside with --max-rejects N; what is embedded is kept"))
    }
}

/// Texts that the budget does not reach.
struct Left {
    texts: u64,
    tokens: u64,
}

fn used_up(hook: &HookOptions, store: &Store, left: Left) -> Error {
    let needed = store.tokens() + left.tokens;
    let cost = |tokens| hook.cost(tokens).map(|cost| format!(" ({cost:.4})")).unwrap_or_default();
    let give = match (hook.max_cost, hook.cost(needed)) {
        (Some(_), Some(money)) => format!("--max-cost {:.4} or more", money * 1.05),
        _ => format!("--max-tokens {needed} or more"),
    };
    Error::limit(format!(
        "the budget is used up: {} texts of about {} tokens{} are left",
        left.texts,
        left.tokens,
        cost(left.tokens)
    ))
    .with("embedded", store.len())
    .with("tokens", format!("{}{}", store.tokens(), cost(store.tokens())))
    .hint(format!("give {give} and run the same command again: what is embedded is kept"))
}

#[derive(Default)]
struct Kept {
    embedded: u64,
    tokens: u64,
    refused: HashMap<Digest, String>,
    is_whole: bool,
}

/// Puts answers into the cache, all that wait at once, so that one sync serves many.
fn keep(answers: &Receiver<Done>, shared: &Shared<'_>, books: &Books) -> Kept {
    let mut kept = Kept { is_whole: true, ..Kept::default() };
    while let Ok(first) = answers.recv() {
        let batch: Vec<Done> = std::iter::once(first).chain(answers.try_iter()).collect();
        if !kept.is_whole {
            continue;
        }
        if let Err(error) = keep_batch(batch, shared, books, &mut kept) {
            // A refusal leaves everything in the cache; a full disk leaves the answers with the hook's files.
            kept.is_whole &= error.kind() == ErrorKind::TooManyRejects;
            shared.fail(error);
        }
    }
    kept
}

fn keep_batch(batch: Vec<Done>, shared: &Shared<'_>, books: &Books, kept: &mut Kept) -> Result<()> {
    let (mut embedded, mut refused, mut slots) = (Vec::new(), Vec::new(), Vec::new());
    for done in batch {
        slots.push(done.slot);
        for (wanted, (row, tokens)) in done.job.wanted.into_iter().zip(done.rows) {
            let tokens = tokens.unwrap_or(wanted.tokens);
            books.spent.fetch_add(i64::from(tokens) - i64::from(wanted.tokens), Ordering::Relaxed);
            kept.tokens += u64::from(tokens);
            match row {
                Ok(vector) => embedded.push(Embedded { digest: wanted.digest, tokens, vector }),
                Err(reason) => refused.push((wanted, reason)),
            }
        }
    }
    let mut store = books.store();
    store.append(&embedded)?;
    kept.embedded += embedded.len() as u64;
    for slot in slots {
        shared.kept[slot].fetch_add(1, Ordering::Release);
    }
    for (wanted, reason) in refused {
        store.mark(wanted.digest, REFUSED)?;
        let outcome = books.reject(&wanted.id, &reason);
        kept.refused.insert(wanted.digest, reason);
        outcome?;
    }
    Ok(())
}

/// Reads the source and makes the batches.
struct Feeder<'a> {
    recipe: &'a Recipe,
    shared: &'a Shared<'a>,
    books: &'a Books,
    jobs: Sender<Job>,
    budget: Option<u64>,
    open: Vec<Wanted>,
    open_bytes: usize,
    number: u64,
    left: Option<Left>,
    /// Rows of the cache that were there at the beginning.
    known: u32,
    report: FillReport,
}

impl Feeder<'_> {
    fn feed(
        &mut self,
        prepared: &dyn Prepared,
        wants: &(dyn Fn(&BatchView<'_>, usize) -> bool + Sync),
        context: FillContext<'_>,
    ) -> Result<()> {
        context.progress.begin("embed", None);
        each_batch(prepared, |view| {
            for row in 0..view.len() {
                if context.cancel.load(Ordering::Relaxed) {
                    return Err(interrupted());
                }
                if self.shared.stopping() {
                    return Ok(false);
                }
                if wants(view, row) {
                    self.add(view, row)?;
                }
                context.progress.advance(1, 0);
            }
            Ok(true)
        })?;
        self.send()
    }

    fn add(&mut self, view: &BatchView<'_>, row: usize) -> Result<()> {
        match self.recipe.make(view, row) {
            Made::None => {
                self.report.without_text += 1;
                match self.recipe.missing {
                    Missing::Skip => Ok(()),
                    Missing::Reject => self.books.reject(view.id(row), NO_TEXT),
                }
            }
            Made::TooLong(chars) => {
                self.report.too_long += 1;
                self.books.reject(view.id(row), &too_long(chars, self.recipe.max_chars))
            }
            Made::Cut(piece) => {
                self.report.truncated += 1;
                self.want(piece, view.id(row))
            }
            Made::Texts(pieces) => {
                self.report.split += u64::from(self.recipe.too_long == TooLong::Split && pieces.len() > 1);
                pieces.into_iter().try_for_each(|piece| self.want(piece, view.id(row)))
            }
        }
    }

    fn want(&mut self, Piece { digest, text }: Piece, id: &str) -> Result<()> {
        self.report.texts += 1;
        {
            let mut store = self.books.store();
            if let Some(state) = store.state(&digest) {
                let hit = state < self.known;
                self.report.cache_hits += u64::from(hit);
                self.report.repeated += u64::from(!hit);
                return Ok(());
            }
            store.mark(digest, ASKED)?;
        }
        let tokens = estimated_tokens(&text, self.shared.space);
        if let Some(left) = &mut self.left {
            left.texts += 1;
            left.tokens += u64::from(tokens);
            return Ok(());
        }
        if !self.affords(tokens) {
            self.left = Some(Left { texts: 1, tokens: u64::from(tokens) });
            return Ok(());
        }
        self.open_bytes += text.len();
        self.open.push(Wanted { digest, text, id: id.to_owned(), tokens });
        if self.open.len() >= self.shared.hook.batch.max(1) || self.open_bytes >= BATCH_BYTES {
            self.send()
        } else {
            Ok(())
        }
    }

    /// Takes the tokens out of the budget, if they are in it.
    fn affords(&self, tokens: u32) -> bool {
        let spent = self.books.spent.fetch_add(i64::from(tokens), Ordering::Relaxed) + i64::from(tokens);
        self.budget.is_none_or(|budget| spent <= budget as i64)
    }

    fn send(&mut self) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.number += 1;
        self.open_bytes = 0;
        let job = Job { number: self.number, wanted: std::mem::take(&mut self.open), attempts: 0 };
        // Workers that are all gone have said why.
        let _taken = self.jobs.send(job);
        Ok(())
    }
}

/// Why a record without text is set aside.
pub const NO_TEXT: &str = "it has no text to embed";

/// Why a record with a long text is set aside.
pub fn too_long(chars: usize, max: Option<usize>) -> String {
    format!("its text has {chars} characters, {} are allowed", max.unwrap_or(usize::MAX))
}

fn estimated_tokens(text: &str, space: &Space) -> u32 {
    let tokens = text.chars().count().div_ceil(4) as u64;
    tokens.min(space.max_tokens.unwrap_or(u64::MAX)).min(u64::from(u32::MAX)) as u32
}

/// Goes over all records, in the source's order, until `look` says no. Records that the reader sets aside are left to the run itself.
pub fn each_batch(prepared: &dyn Prepared, mut look: impl FnMut(&BatchView<'_>) -> Result<bool>) -> Result<()> {
    struct Skip;
    impl RejectSink for Skip {
        fn reject(&mut self, _: Reject) -> Result<()> {
            Ok(())
        }
    }
    for split in prepared.splits()? {
        let mut skipped = Skip;
        for batch in prepared.open(split?, &mut skipped)? {
            let batch = batch?;
            let view = BatchView::new(&batch, prepared.schema()).map_err(|fault| Error::bug(fault.to_string()))?;
            if !look(&view)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

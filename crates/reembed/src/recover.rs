//! Takes up what the hooks of a killed run answered: the calls were made, and are not made again.
//!
//! Invariant: a hook's files are read only when it has ended, and removed only when their vectors are in the cache. Lines that
//! are cut or mean nothing are passed over: their texts are asked again.
//!
//! Errors: io (the hook of the killed run is still at work after the time given to a batch).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tranship_connector::{Error, ErrorKind, Result};
use tranship_storage::{Journal, journal};

use crate::protocol;
use crate::store::{Digest, Embedded, Store};

#[derive(Deserialize)]
struct Sent {
    batch: u64,
    digests: Vec<String>,
    tokens: Vec<u32>,
}

/// Puts the answers of earlier hooks into the cache; how many texts that were.
pub fn recover(dir: &Path, memory_bytes: u64, timeout: Duration, cancel: &AtomicBool) -> Result<u64> {
    let mut found = 0;
    for base in bases(dir) {
        let answers = Journal::open(&with(&base, "answers"))?;
        wait_for_end(&answers, timeout, cancel)?;
        found += take_up(dir, &base, memory_bytes)?;
        remove(&base)?;
    }
    Ok(found)
}

/// Removes the files of all hooks, whose answers are in the cache.
pub fn clear(dir: &Path) -> Result<()> {
    bases(dir).iter().try_for_each(|base| remove(base))
}

fn remove(base: &Path) -> Result<()> {
    Ok(["sent", "stderr", "answers"].iter().try_for_each(|suffix| journal::remove(&with(base, suffix)))?)
}

/// Paths of the hooks' files without their suffixes, in order.
fn bases(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut bases: Vec<PathBuf> = names
        .filter(|name| name.starts_with("hook-"))
        .filter_map(|name| name.strip_suffix(".answers").map(|base| dir.join(base)))
        .collect();
    bases.sort();
    bases
}

fn with(base: &Path, suffix: &str) -> PathBuf {
    base.with_extension(suffix)
}

fn wait_for_end(answers: &Journal, timeout: Duration, cancel: &AtomicBool) -> Result<()> {
    let started = Instant::now();
    while !answers.try_lock()? {
        if cancel.load(Ordering::Relaxed) {
            return Err(tranship_pipeline::engine::interrupted());
        }
        if started.elapsed() > timeout {
            return Err(Error::new(ErrorKind::Io, "the hook of a killed run is still at work")
                .with("file", answers.path().display())
                .hint("wait until it has answered, or end it; then run the same command again"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn take_up(dir: &Path, base: &Path, memory_bytes: u64) -> Result<u64> {
    let text =
        |suffix: &str| std::fs::read(with(base, suffix)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (Ok(answers), Ok(sent)) = (text("answers"), text("sent")) else { return Ok(0) };
    let sent: HashMap<u64, Sent> =
        sent.lines().filter_map(|line| serde_json::from_str(line).ok()).map(|sent: Sent| (sent.batch, sent)).collect();
    // The last line may be cut: only what ends with a line's end counts.
    let mut lines = answers.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let Some(Ok(space)) = lines.next().map(protocol::greeted) else { return Ok(0) };
    let mut store = Store::open(dir, &space, memory_bytes)?;
    let (mut batch, mut found) = (Vec::new(), 0);
    for line in lines {
        let asked = |batch| sent.get(&batch).map(|sent: &Sent| sent.digests.len());
        let Ok(answer) = protocol::answered(line, space.dims, asked) else { continue };
        let (Ok(rows), Some(sent)) = (answer.rows, sent.get(&answer.batch)) else { continue };
        for (position, (row, tokens)) in rows.into_iter().enumerate() {
            let digest = sent.digests.get(position).and_then(|text| unhex(text));
            let tokens = tokens.or_else(|| sent.tokens.get(position).copied()).unwrap_or(0);
            if let (Ok(vector), Some(digest)) = (row, digest)
                && store.state(&digest).is_none()
            {
                batch.push(Embedded { digest, tokens, vector });
            }
        }
        store.append(&batch)?;
        found += batch.len() as u64;
        batch.clear();
    }
    Ok(found)
}

fn unhex(text: &str) -> Option<Digest> {
    let mut digest = [0; 16];
    (text.len() == 32 && text.is_ascii()).then_some(())?;
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

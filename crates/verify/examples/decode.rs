//! Decodes every record of an archive, with its fingerprint or without: what the bench `fingerprint` measures against each other.
//!
//! usage: `decode ARCHIVE [--fingerprint]`. Prints the records, and the fingerprint's digest.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tranship_archive::{Archive, ArchiveSource};
use tranship_connector::{Error, OpenOptions, PrepareContext, Result, Source};
use tranship_pipeline::{EngineOptions, Silent, execute};
use tranship_verify::{Form, Side, fingerprint};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or_else(|| Error::usage("usage: decode ARCHIVE [--fingerprint]"))?;
    let source = ArchiveSource::open(Archive::open(&PathBuf::from(path))?, &OpenOptions::default())?;
    let scratch = std::env::temp_dir();
    let split_bytes = 16 << 20;
    let prepared = source.prepare(&PrepareContext { memory_bytes: 512 << 20, split_bytes, scratch: &scratch })?;
    let cancel = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let engine = EngineOptions { threads, memory_bytes: 512 << 20, cancel: &cancel, progress: &Silent };
    let side = Side::new("the archive", &*prepared, Form::AsRead);
    if arguments.iter().any(|argument| argument == "--fingerprint") {
        let set = fingerprint(&side, engine)?;
        println!("{} {}", set.records(), set.summary().digest);
        return Ok(());
    }
    let records = AtomicU64::new(0);
    execute(
        &*prepared,
        engine,
        0,
        |_| Ok(None),
        |split, stop| {
            side.each_batch(split, |batch, _| {
                stop.check()?;
                records.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                Ok(())
            })
        },
        |()| Ok(()),
    )?;
    println!("{}", records.into_inner());
    Ok(())
}

//! Whole transfers in the test process: a source through the pipeline into a sink, and everything read back.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tranship_collection::fingerprint::FingerprintSummary;
use tranship_connector::{CreateOptions, OpenOptions, PrepareContext, Result, Source};
use tranship_pipeline::{EngineOptions, RunOptions, RunReport, Silent, run};
use tranship_toolkit::open;
use tranship_toolkit::survey::survey;
use tranship_verify::{Form, Side, fingerprint};

static NEVER: AtomicBool = AtomicBool::new(false);

/// Engine options for tests.
pub fn engine(threads: usize, memory_bytes: u64) -> EngineOptions<'static> {
    EngineOptions { threads, memory_bytes, cancel: &NEVER, progress: &Silent }
}

/// Writes `source` to the target that `locator` names.
pub fn write(source: &dyn Source, locator: &str, engine: EngineOptions<'_>, max_rejects: u64) -> Result<RunReport> {
    write_with(source, locator, &CreateOptions::default(), engine, max_rejects)
}

/// The same with options of the target.
pub fn write_with(
    source: &dyn Source,
    locator: &str,
    options: &CreateOptions,
    engine: EngineOptions<'_>,
    max_rejects: u64,
) -> Result<RunReport> {
    let scratch = tempfile::tempdir().expect("a directory for temporary files");
    let identity = source.identity()?;
    let prepared = source.prepare(&context(scratch.path()))?;
    let negotiate = |allow_loss: Vec<String>| {
        let (_, sink) = open::sink(locator, &CreateOptions { allow_loss, ..options.clone() })?;
        let found = survey(&*prepared, &*sink, true, engine)?;
        let negotiated = sink.negotiate(prepared.schema(), &found)?;
        Ok::<_, tranship_connector::Error>((sink, negotiated))
    };
    // Whatever the target cannot hold is accepted: the tests hold what comes out against the projection.
    let (sink, negotiated) = negotiate(negotiate(Vec::new())?.1.losses.into_iter().map(|loss| loss.code).collect())?;
    let options = RunOptions {
        engine,
        max_rejects,
        scratch: scratch.path(),
        plan: "test",
        sized: true,
        identity: &identity,
        allow_inconsistent: false,
    };
    run(source, &*prepared, &*sink, &negotiated, options)
}

/// Reads everything at `locator` and returns its fingerprint.
pub fn read(locator: &str, engine: EngineOptions<'_>) -> Result<FingerprintSummary> {
    let scratch = tempfile::tempdir().expect("a directory for temporary files");
    let opened = open::source(locator, &OpenOptions::default())?;
    let prepared = opened.source.prepare(&context(scratch.path()))?;
    Ok(fingerprint(&Side::new(locator, &*prepared, Form::AsRead), engine)?.summary())
}

fn context(scratch: &Path) -> PrepareContext<'_> {
    PrepareContext { memory_bytes: 256 << 20, split_bytes: 1 << 20, scratch }
}

/// Every file below `root` with its bytes, sorted by path.
pub fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    collect(root, root, &mut files);
    files.sort();
    files
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    if dir.is_file() {
        return files.push((PathBuf::new(), std::fs::read(dir).expect("a file can be read")));
    }
    for entry in std::fs::read_dir(dir).expect("a directory can be listed") {
        let path = entry.expect("an entry can be read").path();
        match path.is_dir() {
            true => collect(root, &path, files),
            false => {
                let name = path.strip_prefix(root).expect("below the root").to_owned();
                files.push((name, std::fs::read(&path).expect("a file can be read")));
            }
        }
    }
}

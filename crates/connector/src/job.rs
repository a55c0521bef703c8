//! An output directory that is written shard by shard and can be taken up again after an interruption.
//!
//! ```text
//! NAME.partial/                 held by one process (NAME.lock)
//!   job/plan.json               the plan's canonical text, written first
//!   job/split-00042.json        one fragment per finished shard, created whole, never changed
//!   ...                         the shards' files
//! ```
//!
//! Invariant: a shard counts as finished only if its fragment is exactly what was written and every file that it
//! lists has the size and SHA-256 stated there; anything else in the directory is removed when the job begins, so the
//! output never depends on what an interrupted run left. `job/` does not reach the published output.
//!
//! Errors: plan changed (another plan stands in the directory), output exists (the target is there, or
//! `NAME.partial` holds files of somebody else), and those of the file system.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tranship_storage::staging::{JOB_DIR, with_suffix};
use tranship_storage::{DurableFile, Staging, StorageError, sha256_file, write_whole};

use crate::error::{Error, ErrorKind, Result};
use crate::sink::{ShardFile, ShardOutput};

const PLAN: &str = "plan.json";

/// A directory of shards under construction. Nothing is touched before [`Job::begin`].
#[derive(Debug)]
pub struct Job {
    target: PathBuf,
    staging: Mutex<Option<Staging>>,
}

impl Job {
    /// The job that will write `target`.
    pub fn new(target: &Path) -> Self {
        Job { target: target.components().collect(), staging: Mutex::new(None) }
    }

    /// Where the output will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The directory that holds unfinished work.
    pub fn path(&self) -> PathBuf {
        with_suffix(&self.target, ".partial")
    }

    /// Takes up or begins the output for `plan` and returns the shards that are already finished.
    pub fn begin(&self, plan: &str) -> Result<BTreeMap<u64, ShardOutput>> {
        let staging = Staging::open(&self.target)?;
        let shards = match read_if_present(&self.job_path(PLAN))? {
            Some(found) if found == plan.as_bytes() => self.finished_shards(&staging)?,
            Some(_) if files_below(&self.path())?.iter().any(|name| is_fragment(name)) => {
                return Err(self.plan_changed());
            }
            // Nothing was finished under the other plan, so nothing is lost by forgetting it.
            Some(_) => {
                staging.clear()?;
                self.begin_anew(&staging, plan)?;
                BTreeMap::new()
            }
            None => {
                self.begin_anew(&staging, plan)?;
                BTreeMap::new()
            }
        };
        *self.lock() = Some(staging);
        Ok(shards)
    }

    /// Creates a file below the output, with its folders; `name` has `/` as separator.
    pub fn create(&self, name: &str) -> Result<DurableFile> {
        Ok(self.lock().as_ref().ok_or_else(not_begun)?.create(name)?)
    }

    /// Makes the fragment of a finished shard durable.
    pub fn record(&self, shard: &ShardOutput) -> Result<()> {
        let path = self.job_path(&fragment_name(shard.ordinal));
        write_whole(&path, &fragment(shard)?)?;
        Ok(())
    }

    /// Removes the job's own files and gives the output its name: the commit point.
    pub fn publish(&self) -> Result<PathBuf> {
        let staging = self.lock().take().ok_or_else(not_begun)?;
        Ok(staging.publish()?)
    }

    /// Removes the unfinished output if no shard of it is finished: there is nothing in it to go on from.
    pub fn abandon_if_empty(&self) -> Result<()> {
        let Some(staging) = self.lock().take() else { return Ok(()) };
        if files_below(&self.path())?.iter().any(|name| is_fragment(name)) {
            return Ok(());
        }
        Ok(staging.abandon()?)
    }

    fn begin_anew(&self, staging: &Staging, plan: &str) -> Result<()> {
        // An interruption before the plan was written leaves the beginning of it at most; more is not ours to remove.
        let unfinished_plan = Path::new(JOB_DIR).join("plan.json.tmp");
        if files_below(&self.path())?.iter().any(|name| *name != unfinished_plan) {
            return Err(Error::new(
                ErrorKind::OutputExists,
                format!("{} holds files but no plan of an interrupted run", self.path().display()),
            )
            .hint("remove it, or choose another output name"));
        }
        staging.clear()?;
        let plan_path = self.job_path(PLAN);
        tranship_storage::staging::make_parent(&plan_path)?;
        write_whole(&plan_path, plan.as_bytes())?;
        Ok(())
    }

    /// Reads and checks every fragment, and removes whatever no good fragment vouches for.
    fn finished_shards(&self, staging: &Staging) -> Result<BTreeMap<u64, ShardOutput>> {
        let names = files_below(&self.path())?;
        let mut shards = BTreeMap::new();
        let mut vouched = BTreeSet::new();
        for name in names.iter().filter(|name| is_fragment(name)) {
            match self.good_fragment(name)? {
                Some(shard) => {
                    vouched.extend(listed_files(&shard).map(|file| PathBuf::from(&file.path)));
                    shards.insert(shard.ordinal, shard);
                }
                None => staging.remove(&name.to_string_lossy())?,
            }
        }
        for name in names.iter().filter(|name| !name.starts_with(JOB_DIR) && !vouched.contains(*name)) {
            staging.remove_path(name)?;
        }
        Ok(shards)
    }

    fn good_fragment(&self, name: &Path) -> Result<Option<ShardOutput>> {
        let bytes = read_if_present(&self.path().join(name))?.unwrap_or_default();
        let Ok(shard) = serde_json::from_slice::<ShardOutput>(&bytes) else {
            return Ok(None);
        };
        let own_name = Path::new(JOB_DIR).join(fragment_name(shard.ordinal));
        if own_name != name || fragment(&shard)? != bytes {
            return Ok(None);
        }
        for file in listed_files(&shard) {
            if !self.is_whole(file)? {
                return Ok(None);
            }
        }
        Ok(Some(shard))
    }

    fn is_whole(&self, file: &ShardFile) -> Result<bool> {
        if !Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(false);
        }
        let path = self.path().join(&file.path);
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() && metadata.len() == file.bytes => {
                Ok(sha256_file(&path)?.sha256 == file.sha256)
            }
            _ => Ok(false),
        }
    }

    fn job_path(&self, name: &str) -> PathBuf {
        self.path().join(JOB_DIR).join(name)
    }

    fn plan_changed(&self) -> Error {
        let partial = self.path();
        Error::new(
            ErrorKind::PlanChanged,
            format!("{} was begun with another input, other options or another version", partial.display()),
        )
        .hint(format!("use the same options to go on, or remove {} to begin anew", partial.display()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Staging>> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_begun() -> Error {
    Error::bug("an output was written before its job began")
}

fn fragment_name(ordinal: u64) -> String {
    format!("split-{ordinal:05}.json")
}

fn is_fragment(name: &Path) -> bool {
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(JOB_DIR) && file.starts_with("split-") && file.ends_with(".json")
}

fn fragment(shard: &ShardOutput) -> Result<Vec<u8>> {
    serde_json::to_vec(shard).map_err(|e| Error::bug("a fragment cannot be serialised").caused_by(e))
}

fn listed_files(shard: &ShardOutput) -> impl Iterator<Item = &ShardFile> {
    shard.files.iter().chain(&shard.rejects).chain(&shard.side_files)
}

fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == NotFound => Ok(None),
        Err(e) => Err(StorageError::new("read", path, e).into()),
    }
}

/// Everything below `root` that is no folder, as relative paths in order. Links are not followed.
fn files_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let failed = |e| Error::from(StorageError::new("list", &path, e));
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() { folders.push(name) } else { files.push(name) }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use std::io::Write;

    use super::*;

    fn shard(job: &Job, ordinal: u64, text: &str) -> ShardOutput {
        let path = format!("data/part-{ordinal:05}");
        let mut file = job.create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let digest = file.finish().unwrap();
        let files = vec![ShardFile { path, bytes: digest.bytes, sha256: digest.sha256 }];
        ShardOutput { ordinal, rows: 1, files, ..ShardOutput::default() }
    }

    fn interrupted(target: &Path) {
        let job = Job::new(target);
        assert!(job.begin("{}").unwrap().is_empty());
        for ordinal in 0..3 {
            job.record(&shard(&job, ordinal, "abc")).unwrap();
        }
        shard(&job, 3, "no fragment");
    }

    #[test]
    fn a_job_goes_on_with_what_is_whole_and_removes_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        interrupted(&target);
        let partial = dir.path().join("out.partial");
        fs::write(partial.join("data/part-00001"), "abX").unwrap();
        fs::write(partial.join("job/split-00002.json"), "{\"ordinal\":2").unwrap();
        let job = Job::new(&target);
        let shards = job.begin("{}").unwrap();
        assert_eq!(shards.keys().copied().collect::<Vec<_>>(), [0]);
        let left: Vec<_> = files_below(&partial).unwrap();
        let wanted = ["data/part-00000", "job/plan.json", "job/split-00000.json"].map(PathBuf::from);
        assert_eq!(left, wanted);
        job.publish().unwrap();
        assert_eq!(files_below(&target).unwrap(), [PathBuf::from("data/part-00000")]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_plan_is_refused_with_the_directory_and_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        interrupted(&target);
        let error = Job::new(&target).begin("{\"other\":1}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PlanChanged);
        assert!(error.message().contains("out.partial"));
        assert!(error.next_step().unwrap().contains("remove"));
        assert_eq!(Job::new(&target).begin("{}").unwrap().len(), 3);
    }

    #[test]
    fn an_interruption_while_publishing_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        interrupted(&target);
        fs::rename(dir.path().join("out.partial/job"), dir.path().join("out.partial.job")).unwrap();
        assert_eq!(Job::new(&target).begin("{}").unwrap().len(), 3);
    }

    #[test]
    fn files_of_somebody_else_are_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("out.partial")).unwrap();
        fs::write(dir.path().join("out.partial/thesis.txt"), "years").unwrap();
        let error = Job::new(&dir.path().join("out")).begin("{}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutputExists);
        assert!(dir.path().join("out.partial/thesis.txt").exists());
    }

    #[test]
    fn a_fragment_cannot_name_files_outside_the_output() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        fs::write(dir.path().join("abc"), "abc").unwrap();
        let job = Job::new(&target);
        job.begin("{}").unwrap();
        let mut output = shard(&job, 0, "abc");
        output.files[0].path = "../abc".to_owned();
        job.record(&output).unwrap();
        drop(job);
        assert!(Job::new(&target).begin("{}").unwrap().is_empty());
        assert!(dir.path().join("abc").exists());
    }
}

//! One running hook: a program of the user's with our questions on its standard input and a file as its standard output.
//!
//! Invariant: an answer that the hook has written is never lost with us. Its output is a file in the cache, beside one that says
//! which texts each batch had; both outlive a killed run, and the next one takes the answers up (`recover.rs`) once the hook has
//! ended, which the lock on the file tells. The hook has a process group of its own: Ctrl-C is for us alone, and what it has
//! started ends with it.
//!
//! ```text
//! CACHE/hook-PID-SLOT-N.answers   the hook's lines        (locked while it runs)
//! CACHE/hook-PID-SLOT-N.sent      {"batch":7,"digests":["32 hex digits",..],"tokens":[..]}
//! CACHE/hook-PID-SLOT-N.stderr    its talk, of which errors quote the end
//! ```

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};
use tranship_connector::{Error, ErrorKind, Result};
use tranship_storage::{InputFile, Journal};

use crate::protocol;
use crate::space::Space;
use crate::store::Digest;

/// Longest pause between two looks at the answers.
const LONGEST_PAUSE: Duration = Duration::from_millis(2);
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const READ_BYTES: usize = 256 << 10;
/// The longest line that a hook may write.
const MAX_LINE_BYTES: usize = 1 << 30;

/// A hook that has said who it is.
pub struct Process {
    /// The space of its vectors.
    pub space: Space,
    child: Child,
    questions: Option<Sender<String>>,
    writer: Option<JoinHandle<()>>,
    answers: Journal,
    input: InputFile,
    read: u64,
    buffer: Vec<u8>,
    searched: usize,
    sent: Journal,
    stderr: PathBuf,
    pause: Duration,
}

/// What one look at the answers showed.
pub enum Look {
    /// A line.
    Line(String),
    /// Nothing yet.
    Nothing,
    /// The hook has ended and everything it wrote has been read; how it ended.
    Ended(String),
}

impl Process {
    /// Starts `command` and waits for its version line. `base` is the path of its files without the suffix.
    pub fn start(command: &str, base: &Path, batch: usize, timeout: Duration, cancel: &AtomicBool) -> Result<Self> {
        let path = |suffix: &str| tranship_storage::staging::with_suffix(base, suffix);
        let answers = Journal::open(&path(".answers"))?;
        answers.try_lock()?;
        let sent = Journal::open(&path(".sent"))?;
        let stderr = Journal::open(&path(".stderr"))?;
        let input = InputFile::open(answers.path())?;
        let child = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(answers.stdio()?)
            .stderr(stderr.stdio()?)
            .process_group(0)
            .spawn();
        let mut child =
            child.map_err(|e| Error::new(ErrorKind::Io, "cannot start a shell for the hook").caused_by(e))?;
        let (questions, lines) = unbounded::<String>();
        let writer = child.stdin.take().map(|mut stdin| {
            // A hook that does not read must not hold up whoever watches its clock. One that is gone shows by its end.
            std::thread::spawn(move || {
                for line in lines {
                    if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                        return;
                    }
                }
            })
        });
        let space = Space {
            model: String::new(),
            dims: 0,
            normalised: false,
            max_tokens: None,
            parameters: serde_json::Value::Null,
        };
        let mut process = Process {
            space,
            child,
            questions: Some(questions),
            writer,
            answers,
            input,
            read: 0,
            buffer: Vec::new(),
            searched: 0,
            sent,
            stderr: stderr.path().to_owned(),
            pause: FIRST_PAUSE,
        };
        if let Err(error) = process.greet(batch, timeout, cancel) {
            process.kill();
            return Err(error);
        }
        Ok(process)
    }

    fn greet(&mut self, batch: usize, timeout: Duration, cancel: &AtomicBool) -> Result<()> {
        self.say(protocol::greeting(batch));
        let started = Instant::now();
        loop {
            match self.look()? {
                Look::Line(line) => {
                    self.space = protocol::greeted(&line).map_err(|why| self.fault(&why))?;
                    return Ok(());
                }
                Look::Ended(how) => return Err(self.fault(&format!("ended before its version line ({how})"))),
                Look::Nothing if cancel.load(Ordering::Relaxed) => return Err(tranship_pipeline::engine::interrupted()),
                Look::Nothing if started.elapsed() > timeout => {
                    return Err(self.fault(&format!("did not say its version line in {} s", timeout.as_secs_f64())));
                }
                Look::Nothing => self.wait(),
            }
        }
    }

    /// An error about this hook, with the last thing it said on its standard error.
    pub fn fault(&self, what: &str) -> Error {
        let error = Error::new(ErrorKind::Io, format!("the hook {what}"));
        let error = match self.last_words() {
            Some(words) => error.with("stderr", words),
            None => error,
        };
        error.hint("mend the hook and run the same command again: what is embedded is kept; the protocol is in docs/hooks/README.md")
    }

    fn last_words(&self) -> Option<String> {
        let bytes = std::fs::read(&self.stderr).ok()?;
        let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4096)..]).into_owned();
        tail.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    }

    /// Notes what is asked, then asks.
    pub fn ask(&mut self, batch: u64, digests: &[Digest], tokens: &[u32], line: String) -> Result<()> {
        let note = serde_json::json!({ "batch": batch, "digests": digests.iter().map(hex).collect::<Vec<_>>(), "tokens": tokens });
        self.sent.append(format!("{note}\n").as_bytes())?;
        self.say(line);
        self.pause = FIRST_PAUSE;
        Ok(())
    }

    fn say(&self, line: String) {
        // A writer that is gone means a hook that is gone, which the next look shows.
        let _heard = self.questions.as_ref().map(|questions| questions.send(line));
    }

    /// The next line of the hook, if there is one.
    pub fn look(&mut self) -> Result<Look> {
        if let Some(line) = self.line() {
            return Ok(Look::Line(line));
        }
        // Asked before reading: what was written before the end is read after it.
        let ended =
            self.child.try_wait().map_err(|e| Error::new(ErrorKind::Io, "cannot ask after the hook").caused_by(e))?;
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let count = self.input.read_at(self.read, &mut self.buffer[before..])?;
        self.buffer.truncate(before + count);
        self.read += count as u64;
        if self.buffer.len() > MAX_LINE_BYTES {
            return Err(self.fault("writes a line of more than 1 GiB"));
        }
        match (self.line(), ended) {
            (Some(line), _) => Ok(Look::Line(line)),
            (None, Some(status)) if count == 0 => Ok(Look::Ended(status.to_string())),
            _ => Ok(Look::Nothing),
        }
    }

    fn line(&mut self) -> Option<String> {
        let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + at;
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..=end);
        self.searched = 0;
        self.pause = FIRST_PAUSE;
        Some(line)
    }

    /// Sleeps a little, longer each time until something comes.
    pub fn wait(&mut self) {
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Bytes of answers read so far.
    pub fn answered_bytes(&self) -> u64 {
        self.read
    }

    /// Empties the files of a hook that owes nothing and whose answers are all kept.
    pub fn forget(&mut self) -> Result<()> {
        self.answers.cut(0)?;
        self.sent.cut(0)?;
        self.read = 0;
        Ok(())
    }

    /// Ends its input and waits for its end.
    pub fn close(mut self, timeout: Duration) {
        self.questions = None;
        if let Some(writer) = self.writer.take() {
            let _joined = writer.join();
        }
        let started = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if started.elapsed() > timeout {
                return self.kill();
            }
            std::thread::sleep(LONGEST_PAUSE);
        }
    }

    /// Ends it and whatever it started.
    pub fn kill(&mut self) {
        self.questions = None;
        let group = format!("kill -KILL -- -{}", self.child.id());
        // Gone already is as good as killed.
        let _group = Command::new("sh").arg("-c").arg(group).stderr(Stdio::null()).status();
        let _child = self.child.kill();
        let _waited = self.child.wait();
        if let Some(writer) = self.writer.take() {
            let _joined = writer.join();
        }
    }
}

/// A digest in lower-case hex.
pub fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Progress on standard error: one bar on a terminal, else one plain line every 30 seconds.
//!
//! Both show records per second and MB/s of source, and the clock time at which the step will end if the source's
//! size is known.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use tranship_toolkit::progress::Progress;

use crate::args::ProgressKind;

const PLAIN_EVERY: Duration = Duration::from_secs(30);
const FIRST_PLAIN_AFTER: Duration = Duration::from_secs(5);

/// Shows progress in one of three ways.
pub struct Shown {
    bar: Option<ProgressBar>,
    plain: Option<Mutex<Instant>>,
    pass: Mutex<Pass>,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// One pass over a source.
struct Pass {
    step: String,
    total_bytes: Option<u64>,
    started: Instant,
}

impl Shown {
    /// Decides how, once.
    pub fn new(kind: ProgressKind) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = matches!((kind, terminal), (ProgressKind::Bar, _) | (ProgressKind::Auto, true));
        let plain = matches!((kind, terminal), (ProgressKind::Plain, _) | (ProgressKind::Auto, false));
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let now = Instant::now();
        Shown {
            bar: bar.then(|| ProgressBar::new_spinner().with_style(style)),
            plain: plain.then(|| Mutex::new(now + FIRST_PLAIN_AFTER)),
            pass: Mutex::new(Pass { step: String::new(), total_bytes: None, started: now }),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self) -> String {
        let pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = pass.started.elapsed().as_secs_f64().max(0.001);
        let (rows, bytes) = (self.rows.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let speed = format!(
            "{}: {rows} records, {:.0} records/s, {:.0} MB/s",
            pass.step,
            rows as f64 / seconds,
            bytes as f64 / 1e6 / seconds
        );
        match pass.total_bytes {
            Some(total) if bytes > 0 && bytes < total => {
                let left = seconds * (total - bytes) as f64 / bytes as f64;
                format!("{speed}, {:.0} %, ends about {}", 100.0 * bytes as f64 / total as f64, clock_in(left))
            }
            _ => speed,
        }
    }
}

/// The clock time (UTC) in so many seconds.
fn clock_in(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let minutes = (now.as_secs_f64() + seconds) as u64 / 60;
    format!("{:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
}

impl Progress for Shown {
    fn begin(&self, step: &str, total_bytes: Option<u64>) {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        *pass = Pass { step: step.to_owned(), total_bytes, started: Instant::now() };
        self.rows.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn advance(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_message(self.line());
            bar.tick();
        }
        let Some(Ok(mut next)) = self.plain.as_ref().map(Mutex::try_lock) else { return };
        if Instant::now() >= *next {
            *next = Instant::now() + PLAIN_EVERY;
            crate::render::to_stderr(&format!("{}\n", self.line()));
        }
    }
}

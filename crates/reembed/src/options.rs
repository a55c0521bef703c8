//! How a hook is run and paid, and what it did in the end.
//!
//! Units: tokens as the hook counts them, money in whatever currency the price is in. Errors: usage (a cost without a price).

use std::time::Duration;

use serde::Serialize;
use tranship_connector::{Error, Result};

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

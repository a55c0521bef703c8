//! How texts become vectors: the hook, what it may cost, and the bridge for the rest.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{SourceArgs, TargetArgs, ToleranceArgs, duration};

#[derive(Debug, Args)]
pub struct Reembed {
    /// Source locator
    pub source: String,
    /// Target locator; `jsonl:-` is standard output
    pub target: String,
    /// The hook: a command that embeds texts, as docs/hooks/README.md says
    #[arg(long, value_name = "COMMAND", help_heading = "Embedding")]
    pub with: String,
    /// Which vector is replaced or added [default: the unnamed one, else the only dense one]
    #[arg(long, value_name = "NAME", help_heading = "Embedding")]
    pub vector: Option<String>,
    /// The text of a record, such as '{title}\n{document}' [default: the document]
    #[arg(long, value_name = "TEMPLATE", help_heading = "Embedding")]
    pub text: Option<String>,
    /// Most characters of a text
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Embedding")]
    pub max_chars: Option<u64>,
    /// What becomes of longer ones
    #[arg(long, value_enum, default_value_t = TooLongArg::Reject, requires = "max_chars", help_heading = "Embedding")]
    pub too_long: TooLongArg,
    /// What becomes of a record without text
    #[arg(long, value_enum, default_value_t = NoTextArg::Reject, help_heading = "Embedding")]
    pub no_text: NoTextArg,
    /// Where the answers are kept [default: TARGET.embeddings]
    #[arg(long, value_name = "DIR", help_heading = "Embedding")]
    pub cache: Option<PathBuf>,
    /// Hooks that run at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Hook")]
    pub concurrency: u16,
    /// Texts in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65536), help_heading = "Hook")]
    pub batch: u32,
    /// Time for one batch
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration, help_heading = "Hook")]
    pub timeout: std::time::Duration,
    /// How often a batch is asked again
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Hook")]
    pub retries: u32,
    /// Batches per minute at most
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Hook")]
    pub rate: Option<f64>,
    /// Tokens that the whole job may take, with what is in the cache
    #[arg(long, value_name = "N", help_heading = "Budget")]
    pub max_tokens: Option<u64>,
    /// Money that the whole job may take
    #[arg(long, value_name = "MONEY", value_parser = positive, help_heading = "Budget")]
    pub max_cost: Option<f64>,
    /// Money per 1,000 tokens
    #[arg(long, value_name = "MONEY", value_parser = positive, help_heading = "Budget")]
    pub price: Option<f64>,
    /// Embed only this part of the records and map the old vectors of the others; not equal to re-embedding
    #[arg(long, value_name = "FRACTION", value_parser = fraction, help_heading = "Bridge")]
    pub bridge: Option<f64>,
    /// Which map
    #[arg(long, value_enum, default_value_t = BridgeMapArg::Orthogonal, requires = "bridge", help_heading = "Bridge")]
    pub bridge_map: BridgeMapArg,
    /// Least recall on held-out records
    #[arg(long, value_name = "X", default_value_t = 0.9, requires = "bridge", help_heading = "Bridge")]
    pub bridge_recall: f64,
    /// Seed of the sample
    #[arg(long, default_value_t = 42, requires = "bridge", help_heading = "Bridge")]
    pub seed: u64,
    #[command(flatten)]
    pub from: SourceArgs,
    #[command(flatten)]
    pub to: TargetArgs,
    #[command(flatten)]
    pub tolerance: ToleranceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TooLongArg {
    /// The record is set aside
    Reject,
    /// Its beginning is embedded
    Truncate,
    /// Its parts are embedded; the record gets their mean
    Split,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NoTextArg {
    /// The record is set aside
    Reject,
    /// It goes over without this vector
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BridgeMapArg {
    /// A rotation
    Orthogonal,
    /// Any matrix, and an offset
    Affine,
}

/// A number above zero.
fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err(format!("`{text}` is not above zero")) }
}

/// A part of a whole: above 0, below 1.
fn fraction(text: &str) -> Result<f64, String> {
    positive(text).and_then(|part| if part < 1.0 { Ok(part) } else { Err("a part is below 1, such as 0.2".to_owned()) })
}

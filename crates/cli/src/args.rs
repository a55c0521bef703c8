//! The command line: what can be said, and nothing of what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod change;
mod recall;
mod reembed;

pub use change::{ChangeArgs, Side};
pub use recall::{EngineArg, Queries, Recall};
pub use reembed::{BridgeMapArg, NoTextArg, Reembed, TooLongArg};

/// Moves whole vector collections between databases through files, and proves that nothing was lost.
#[derive(Debug, Parser)]
#[command(name = "tranship", version, about, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Resources and output")]
pub struct Common {
    /// Worker threads [default: one per core]
    #[arg(long, global = true, env = "TRANSHIP_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Memory for everything whose size depends on the input
    #[arg(long, global = true, env = "TRANSHIP_MEMORY", value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    pub memory: u64,
    /// Where spill files and private copies go [default: the system's directory for temporary files]
    #[arg(long, global = true, env = "TRANSHIP_TMPDIR", value_name = "DIR")]
    pub tmpdir: Option<PathBuf>,
    /// One JSON document on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// How progress is shown on standard error
    #[arg(long, global = true, env = "TRANSHIP_PROGRESS", value_enum, default_value_t = ProgressKind::Auto)]
    pub progress: ProgressKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressKind {
    /// A bar on a terminal, else plain lines
    Auto,
    /// A bar
    Bar,
    /// One line every 30 seconds
    Plain,
    /// Nothing
    None,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The whole migration: archive, bundle, proof, recall, verdict
    Migrate(Migrate),
    /// What is this: collections, counts, dimensions, metrics, index settings
    Inspect(Inspect),
    /// What a conversion would do; writes nothing
    Plan(Plan),
    /// Move a collection
    Convert(Convert),
    /// Is archive A whole; or are A and B the same, and if not which records differ
    Verify(Verify),
    /// What must be written and deleted to make A into B, and back: a delta and its inverse
    Diff(Diff),
    /// Apply a delta to the set that it was made from
    Apply(Apply),
    /// Several sets into one archive
    Merge(Merge),
    /// Will search still answer the same: exact overlap and index recall of A and B
    Recall(Recall),
    /// Move a collection and give it new vectors on the way: every text through a program of yours
    Reembed(Box<Reembed>),
    /// What can be read and written
    Connectors(Connectors),
}

/// How a source is opened.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Reading")]
pub struct SourceArgs {
    /// Which of several collections (of A, where there are two sources)
    #[arg(long, value_name = "NAME")]
    pub collection: Option<String>,
    /// Key or column of the id in foreign files
    #[arg(long, value_name = "NAME")]
    pub id_column: Option<String>,
    /// Key or column of the vector in foreign files
    #[arg(long, value_name = "NAME")]
    pub vector_column: Option<String>,
    /// Key or column of the document in foreign files
    #[arg(long, value_name = "NAME")]
    pub document_column: Option<String>,
    /// Metric of the dense and bit vectors that declare none (sparse ones stay dot); cosine also for FAISS inner product
    #[arg(long, value_enum)]
    pub metric: Option<MetricArg>,
    /// Read a source that is locked, changing or unclean; every verdict then says so
    #[arg(long)]
    pub allow_inconsistent: bool,
    /// Read what a dump holds only approximately: quantised vectors, doubles that no f32 holds
    #[arg(long)]
    pub allow_lossy: bool,
    /// Option of the source's connector (of A, where there are two); `tranship connectors` lists them
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE", value_parser = key_value)]
    pub options: Vec<(String, String)>,
    /// Digest whole input files for their identity, not only their edges
    #[arg(long)]
    pub hash_source: bool,
    /// Longest line of JSONL
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = line_size)]
    pub max_line: u64,
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// The second of two sources.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Second source")]
pub struct SecondArgs {
    /// Which collection of B, where B holds several
    #[arg(long, value_name = "NAME")]
    pub collection_b: Option<String>,
    /// Option of the connector of B
    #[arg(long = "option-b", value_name = "KEY=VALUE", value_parser = key_value, requires = "b")]
    pub options_b: Vec<(String, String)>,
    /// mapping.json of the bundle that B came through
    #[arg(long, value_name = "FILE", requires = "b")]
    pub mapping: Option<PathBuf>,
}

/// How a target is created.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Writing")]
pub struct TargetArgs {
    /// Name of the collection at the target [default: its own]
    #[arg(long = "as", value_name = "NAME")]
    pub rename: Option<String>,
    /// Payload key for documents, where the target has no document field [default: document]
    #[arg(long, value_name = "KEY")]
    pub document_key: Option<String>,
    /// Option of the target's connector; `tranship connectors` lists them
    #[arg(long = "target-option", value_name = "KEY=VALUE", value_parser = key_value)]
    pub target_options: Vec<(String, String)>,
    /// Write Parquet for readers without BYTE_STREAM_SPLIT
    #[arg(long, value_enum)]
    pub compat: Option<Compat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// Apache Spark and other readers of PLAIN encoding only
    Spark,
}

/// What a run may set aside or lose.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What may be lost")]
pub struct ToleranceArgs {
    /// Records that may be set aside before the run fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_rejects: u64,
    /// Accept a loss by its code
    #[arg(long, value_name = "CODE")]
    pub allow_loss: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Migrate {
    /// Source locator, such as chroma:./chroma_db
    pub source: String,
    /// Target provider and directory, such as qdrant:./out
    pub target: String,
    /// Every collection, each into DIR/<collection>
    #[arg(long, conflicts_with_all = ["collection", "rename"])]
    pub all: bool,
    #[command(flatten)]
    pub from: SourceArgs,
    #[command(flatten)]
    pub to: TargetArgs,
    #[command(flatten)]
    pub tolerance: ToleranceArgs,
    /// Time that recall may take per collection
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub recall_budget: std::time::Duration,
    /// Records that recall searches at most; above it a sample
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub recall_rows: usize,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// Source locator
    pub source: String,
    /// Read everything: exact counts, ledger, fingerprint
    #[arg(long)]
    pub full: bool,
    #[command(flatten)]
    pub from: SourceArgs,
}

#[derive(Debug, Args)]
pub struct Plan {
    /// Source locator
    pub source: String,
    /// Target locator
    pub target: String,
    #[command(flatten)]
    pub from: SourceArgs,
    #[command(flatten)]
    pub to: TargetArgs,
    /// Accept a loss by its code
    #[arg(long, value_name = "CODE", help_heading = "What may be lost")]
    pub allow_loss: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Convert {
    /// Source locator; `jsonl:-` is standard input
    pub source: String,
    /// Target locator; `jsonl:-` is standard output
    pub target: String,
    /// The source is a delta: write it for the database that this bundle was loaded into (or that one's last delta)
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["all", "rename", "document_key"])]
    pub onto: Option<PathBuf>,
    /// Every collection, each into DIR/<collection>; the target names the format, as in archive:DIR
    #[arg(long, conflicts_with_all = ["collection", "rename"])]
    pub all: bool,
    #[command(flatten)]
    pub from: SourceArgs,
    #[command(flatten)]
    pub to: TargetArgs,
    #[command(flatten)]
    pub tolerance: ToleranceArgs,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Archive to check, or first source to compare
    pub a: String,
    /// Second source
    pub b: Option<String>,
    #[command(flatten)]
    pub second: SecondArgs,
    /// Largest difference of a vector's elements, relative to its largest
    #[arg(long, value_name = "X", requires = "b")]
    pub tolerance: Option<f32>,
    /// A class of difference that makes no record another one, as in rounded-to-f16; may be repeated
    #[arg(long, value_name = "CLASS", requires = "b")]
    pub accept: Vec<String>,
    /// A set as it was before A: records only in B that it has are deletes that came back
    #[arg(long, value_name = "SET", requires = "b")]
    pub earlier: Option<String>,
    /// Metadata keys of session, place in it and time: are the sessions of A, or of A and B, in order, complete and the same
    #[arg(long, value_name = "SESSION,PLACE[,TIME]", value_parser = sequence, conflicts_with_all = ["tolerance", "accept", "earlier", "mapping", "level", "subset"])]
    pub sequence: Option<(String, String, Option<String>)>,
    /// Metadata key of the id of the record that one answers: it must be there
    #[arg(long, value_name = "KEY", requires = "sequence")]
    pub parent: Option<String>,
    /// What ids of A are called in B: lines of OLD<TAB>NEW or {"OLD": "NEW"}
    #[arg(long, value_name = "FILE", requires_all = ["sequence", "b"])]
    pub remap: Option<PathBuf>,
    /// How far A alone is proven [default: L3]
    #[arg(long, value_enum, conflicts_with = "b")]
    pub level: Option<LevelArg>,
    /// Digest only part N of T of the files, as in 1/10 (level L1)
    #[arg(long, value_name = "N/T", value_parser = subset, conflicts_with_all = ["b", "level"])]
    pub subset: Option<(usize, usize)>,
    /// Records named per kind of difference
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub max_named: usize,
    #[command(flatten)]
    pub from: SourceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum LevelArg {
    /// Manifest, presence and sizes
    L0,
    /// Digests of all files
    L1,
    /// Decoded, counted, fingerprinted
    L2,
    /// Values and duplicate ids
    L3,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// The set as it was, such as the archive that was loaded before the window
    pub a: String,
    /// The set as it is
    pub b: String,
    /// Directory of the delta; its inverse goes to DELTA.inverse
    #[arg(short = 'd', long, value_name = "DELTA")]
    pub delta: PathBuf,
    /// Which collection of B, where B holds several
    #[arg(long, value_name = "NAME")]
    pub collection_b: Option<String>,
    /// Option of the connector of B
    #[arg(long = "option-b", value_name = "KEY=VALUE", value_parser = key_value)]
    pub options_b: Vec<(String, String)>,
    #[command(flatten)]
    pub from: SourceArgs,
}

#[derive(Debug, Args)]
pub struct Apply {
    /// The set that the delta was made from
    pub base: String,
    /// Directory of the delta
    pub delta: PathBuf,
    /// The archive that comes of it, as in archive:./new.tranship
    pub target: String,
    #[command(flatten)]
    pub from: SourceArgs,
}

#[derive(Debug, Args)]
pub struct Merge {
    /// The sets, in the order that --keep goes by
    #[arg(required = true, num_args = 2..)]
    pub sources: Vec<String>,
    /// The archive that comes of it, as in archive:./all.tranship
    #[arg(long, value_name = "TARGET")]
    pub into: String,
    /// Whose record stays where several sets have one of the same id
    #[arg(long, value_enum, default_value_t = Keep::Fail)]
    pub keep: Keep,
    #[command(flatten)]
    pub from: SourceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    /// Nobody's: the run fails and names the id
    Fail,
    /// That of the first set
    First,
    /// That of the last set: the newest, if they are given from old to new
    Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MetricArg {
    Cosine,
    Dot,
    L2,
    L1,
}

#[derive(Debug, Args)]
pub struct Connectors {
    /// As a Markdown table
    #[arg(long)]
    pub markdown: bool,
}

/// `512MiB`, `2GB`, `1g`, `65536`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a size, such as 512MiB"))?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tib" => 1024.0f64.powi(4),
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(format!("`{unit}` is not a unit of size: use KiB, MiB, GiB")),
    };
    Ok((number * factor) as u64)
}

/// A size of at most 1 GiB: Arrow counts the text of a batch in 31 bits.
fn line_size(text: &str) -> Result<u64, String> {
    size(text)
        .and_then(|bytes| if bytes > 1 << 30 { Err("a line may have at most 1GiB".to_owned()) } else { Ok(bytes) })
}

/// `key=value`; the value may be empty and may hold further signs.
fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `90s`, `5m`, `2h`.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a time, such as 5m"))?;
    let factor = match unit {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is not a unit of time: use s, m, h")),
    };
    std::time::Duration::try_from_secs_f64(number * factor).map_err(|e| e.to_string())
}

/// `1/10`: the first tenth.
fn subset(text: &str) -> Result<(usize, usize), String> {
    let wrong = || format!("`{text}` is not a part, such as 1/10");
    let (part, of) = text.split_once('/').ok_or_else(wrong)?;
    let (part, of): (usize, usize) = (part.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
    if part == 0 || part > of { Err(wrong()) } else { Ok((part - 1, of)) }
}

/// `session_id,seq,time`.
fn sequence(text: &str) -> Result<(String, String, Option<String>), String> {
    let mut keys = text.split(',').map(|key| key.trim().to_owned());
    match (keys.next(), keys.next(), keys.next(), keys.next()) {
        (Some(session), Some(place), time, None)
            if !session.is_empty() && !place.is_empty() && time.as_ref().is_none_or(|time| !time.is_empty()) =>
        {
            Ok((session, place, time))
        }
        _ => Err(format!("`{text}` names no keys, such as session_id,seq or session_id,seq,time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_times_and_parts_are_read_as_people_write_them() {
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("1g"), Ok(1 << 30));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert!(size("lots").is_err() && size("3 parsecs").is_err());
        assert!(line_size("1GiB").is_ok() && line_size("2GiB").is_err());
        assert_eq!(duration("5m").map(|d| d.as_secs()), Ok(300));
        assert_eq!(subset("1/10"), Ok((0, 10)));
        assert!(subset("0/10").is_err() && subset("11/10").is_err());
        assert_eq!(sequence("s, n"), Ok(("s".to_owned(), "n".to_owned(), None)));
        assert!(sequence("s").is_err() && sequence("s,").is_err() && sequence("a,b,c,d").is_err());
    }
}

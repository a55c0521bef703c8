//! What recall compares, asks and tries.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{SecondArgs, SourceArgs, duration};

#[derive(Debug, Args)]
pub struct Recall {
    /// The source
    pub a: String,
    /// The target
    pub b: String,
    #[command(flatten)]
    pub second: SecondArgs,
    /// Which vector [default: the unnamed one, else the first]
    #[arg(long, value_name = "NAME")]
    pub vector: Option<String>,
    /// Neighbours per query
    #[arg(short, long, default_value_t = 10)]
    pub k: usize,
    /// Queries sampled from A, or a log of queries to replay: JSON lines with vector or id, k, namespace, filter
    #[arg(long, value_name = "N|FILE", default_value = "1000", value_parser = queries)]
    pub queries: Queries,
    /// How the filters of a log are written: neutral, chroma, pinecone, qdrant
    #[arg(long, value_name = "NAME")]
    pub filter_dialect: Option<String>,
    /// Judgements of answers, as TREC has them: query, 0, id, grade
    #[arg(long, value_name = "FILE")]
    pub qrels: Option<PathBuf>,
    /// Least exact overlap that passes [default: 0.999; none where the models differ]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub min_overlap: Option<f64>,
    /// Least recall of B's index that passes
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub min_recall: Option<f64>,
    /// Largest drop of recall from A to B that passes [default: the noise floor]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub max_drop: Option<f64>,
    /// Which engine builds graphs
    #[arg(long, value_enum, default_value_t = EngineArg::Flat)]
    pub engine: EngineArg,
    /// Candidates kept while searching, on both sides [default: what each index says]
    #[arg(long, value_name = "N")]
    pub ef: Option<u32>,
    /// Candidates that A keeps while searching
    #[arg(long, value_name = "N")]
    pub source_ef: Option<u32>,
    /// Candidates that B keeps while searching
    #[arg(long, value_name = "N")]
    pub target_ef: Option<u32>,
    /// Links per node of B's graph
    #[arg(long, value_name = "N")]
    pub target_m: Option<u32>,
    /// Candidates that B keeps while building
    #[arg(long, value_name = "N")]
    pub target_ef_construction: Option<u32>,
    /// A cut-off of scores as A's database prints them: what it is on B
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    pub cutoff: Option<f64>,
    /// Whose scores the cut-off is of [default: those of A's files]
    #[arg(long, value_name = "NAME", requires = "cutoff")]
    pub source_scores: Option<String>,
    /// Whose scores B will have [default: those of B's files]
    #[arg(long, value_name = "NAME", requires = "cutoff")]
    pub target_scores: Option<String>,
    /// Build B's graph at several settings and say which keep A's recall
    #[arg(long)]
    pub sweep: bool,
    /// Links per node that a sweep tries
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "8,16,32")]
    pub sweep_m: Vec<u32>,
    /// Candidates kept while building that a sweep tries
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "100,200")]
    pub sweep_ef_construction: Vec<u32>,
    /// Candidates kept while searching that a sweep tries
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "16,32,64,128,256")]
    pub sweep_ef: Vec<u32>,
    /// Build graphs anew even where a dump carries the one that served
    #[arg(long)]
    pub rebuild: bool,
    /// Largest set that is searched; above it both sides are sampled alike
    #[arg(long, default_value_t = 100_000)]
    pub max_rows: usize,
    /// Time to keep to
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub budget: Option<std::time::Duration>,
    /// Seed of the samples
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    #[command(flatten)]
    pub from: SourceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// Our own
    Flat,
    /// The crate hnsw_rs, the independent reference
    #[value(name = "hnsw_rs")]
    HnswRs,
}

/// Which queries recall asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queries {
    /// So many records of A.
    Sample(usize),
    /// Those of a log.
    Log(PathBuf),
}

/// `1000` or `log.jsonl`; the log is opened later.
fn queries(text: &str) -> Result<Queries, String> {
    Ok(text.parse().map_or_else(|_| Queries::Log(text.into()), Queries::Sample))
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a share, such as 0.99"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("`{text}` is not between 0 and 1")) }
}

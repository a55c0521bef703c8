//! What is changed on the way: filters, maps, casts.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tranship_connector::transforms::{CastTo, Dedupe, MapFile, Sample, Transforms};
use tranship_connector::{Error, Result};
use tranship_storage::StorageError;

/// Which records are taken and what becomes of them. Of two sources, A is changed unless `--change` says otherwise.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Changing")]
pub struct ChangeArgs {
    /// Take records that this is true of, such as 'year >= 2020 and lang in ["en", "de"] and not exists draft'
    #[arg(long = "where", value_name = "EXPR")]
    pub filter: Option<String>,
    /// Take records that this jq program is true of; it sees .id, .namespace, .document and .metadata
    #[arg(long = "where-jq", value_name = "PROGRAM")]
    pub filter_jq: Option<String>,
    /// Take N records, chosen by their ids: the same ones in whatever order they come
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: Option<u64>,
    /// Seed of --sample [default: 42]
    #[arg(long = "sample-seed", value_name = "SEED", requires = "sample")]
    pub sample_seed: Option<u64>,
    /// Take the first of records that are the same: in content whatever the id (the default), or in id
    #[arg(long, value_enum, value_name = "BY", num_args = 0..=1, require_equals = true, default_missing_value = "content")]
    pub dedupe: Option<DedupeBy>,
    /// Take the first N records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Rename, drop, cast and move fields, ids and vectors as this TOML file says
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Make every record anew with this jq program; no output leaves a record out
    #[arg(long, value_name = "PROGRAM")]
    pub map_jq: Option<String>,
    /// Metadata fields to keep, and `document`
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub select: Vec<String>,
    /// Keep the first N dimensions of dense vectors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub truncate_dims: Option<u32>,
    /// Bring dense vectors to unit length
    #[arg(long = "normalize", alias = "normalise")]
    pub normalise: bool,
    /// Store dense vectors in a narrower type; the report says how far they moved
    #[arg(long, value_enum)]
    pub cast: Option<Cast>,
    /// Which of two sources is changed
    #[arg(long = "change", value_enum, value_name = "SIDE", default_value_t = Side::A)]
    pub side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DedupeBy {
    /// Same namespace, vectors, document and metadata
    Content,
    /// Same namespace and id
    Id,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cast {
    /// 16-bit IEEE floats
    F16,
    /// bfloat16
    Bf16,
    /// Signed bytes with one scale per column
    I8,
    /// Signs, one bit per element
    Bits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Side {
    /// The first
    #[default]
    A,
    /// The second
    B,
    /// Both
    Both,
}

impl ChangeArgs {
    /// The changes as data; the file of a map is read.
    pub fn transforms(&self) -> Result<Transforms> {
        Ok(Transforms {
            filter: self.filter.clone(),
            filter_jq: self.filter_jq.clone(),
            sample: self.sample.map(|records| Sample { records, seed: self.sample_seed.unwrap_or(42) }),
            dedupe: self.dedupe.map(|by| match by {
                DedupeBy::Content => Dedupe::Content,
                DedupeBy::Id => Dedupe::Id,
            }),
            limit: self.limit,
            map: self.map.as_ref().map(map_file).transpose()?,
            map_jq: self.map_jq.clone(),
            select: self.select.clone(),
            truncate_dims: self.truncate_dims.map(|dims| dims as usize),
            normalise: self.normalise,
            cast: self.cast.map(|cast| match cast {
                Cast::F16 => CastTo::F16,
                Cast::Bf16 => CastTo::Bf16,
                Cast::I8 => CastTo::I8,
                Cast::Bits => CastTo::Bits,
            }),
        })
    }
}

fn map_file(path: &PathBuf) -> Result<MapFile> {
    let bytes = std::fs::read(path).map_err(|e| StorageError::new("read", path, e))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Error::usage("the map is no UTF-8 text").with("file", path.display()))?;
    Ok(MapFile { path: path.clone(), text })
}

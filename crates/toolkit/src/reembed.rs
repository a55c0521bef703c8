//! Moves a collection and gives it new vectors on the way: every text through the user's hook, once, then a conversion like any other.
//!
//! Invariant: the conversion makes no call; it reads the cache. A run that was killed or ran out of its budget goes on where it was: texts that
//! were answered are in the cache, splits that were finished are in the staged output.
//!
//! Errors: usage (standard input, no place for the cache), those of the hook and its budget, loss denied (a bridge that does not fit).

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tranship_collection::{CollectionSchema, VectorKind};
use tranship_connector::source::SPLIT_BYTES;
use tranship_connector::{Error, Locator, Result};
use tranship_reembed::bridge::refuse_unfit;
use tranship_reembed::source::{is_embedded, old_vector};
pub use tranship_reembed::{
    BridgeKind, BridgeOptions, BridgeReport, FillReport, HookOptions, Missing, Recipe, Space, TooLong,
};
use tranship_reembed::{EmbeddedSource, FillContext, Target, fill};
use tranship_storage::staging::with_suffix;

use crate::convert::{ConvertOptions, ConvertReport, convert_opened};
use crate::open;
use crate::providers::registry;
use crate::settings::Settings;

/// What to move, and what to ask the hook.
#[derive(Debug, Clone)]
pub struct ReembedOptions {
    /// What to move where.
    pub convert: ConvertOptions,
    /// The hook and its budget.
    pub hook: HookOptions,
    /// How texts are made.
    pub recipe: Recipe,
    /// Which vector; the unnamed one, or the only dense one. One that is not there is added.
    pub vector: Option<String>,
    /// Directory of the cache; beside the output by default.
    pub cache: Option<PathBuf>,
    /// Map most records instead.
    pub bridge: Option<BridgeOptions>,
}

/// What was moved and what the hook did.
#[derive(Debug, Clone, Serialize)]
pub struct ReembedReport {
    /// The conversion.
    #[serde(flatten)]
    pub convert: ConvertReport,
    /// Name of the vector.
    pub vector: String,
    /// The space of its values.
    pub space: Space,
    /// What the hook did.
    pub embedding: FillReport,
    /// How the bridge came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<BridgeReport>,
    /// Where the cache is.
    pub cache: PathBuf,
}

/// Embeds and moves one collection.
pub fn reembed(options: &ReembedOptions, settings: &Settings<'_>) -> Result<ReembedReport> {
    let ConvertOptions { source, target, open: open_options, max_rejects, allow_loss, .. } = &options.convert;
    let opened = open::source(source, open_options)?;
    if opened.source.identity()?.files.is_empty() {
        return Err(Error::usage("texts are embedded before they are moved, and standard input can be read only once")
            .hint("make an archive first: tranship convert jsonl:- archive:./name.tranship; then re-embed that"));
    }
    // What cannot be written should not cost a call.
    open::sink(target, &options.convert.create_options())?;
    let cache = cache_directory(options)?;
    let scratch = settings.scratch()?;
    let prepared = open::prepare(&*opened.source, settings.prepare_bytes() / 2, SPLIT_BYTES, scratch.path())?;
    let vector = vector_name(prepared.schema(), options.vector.as_deref())?;
    old_vector(prepared.schema(), &vector)?;
    let context = FillContext {
        cache: &cache,
        memory_bytes: settings.memory_bytes / 4,
        max_rejects: *max_rejects,
        cancel: settings.cancel,
        progress: settings.progress,
    };
    let wants = |view: &tranship_collection::BatchView<'_>, row: usize| {
        options.bridge.as_ref().is_none_or(|bridge| is_embedded(bridge, &vector, view, row))
    };
    let filled = fill(&*prepared, &options.recipe, &wants, &options.hook, context)?;
    let (space, embedding) = (filled.space.clone(), filled.report.clone());
    let mut target = Target {
        filled,
        recipe: options.recipe.clone(),
        vector: vector.clone(),
        metric: open_options.metric,
        bridge: None,
    };
    if let Some(bridge) = &options.bridge {
        target.fit_bridge(&*prepared, bridge)?;
    }
    let bridge = target.bridge.as_ref().map(|(_, _, report)| report.clone());
    if let (Some(options), Some(report)) = (&options.bridge, &bridge) {
        refuse_unfit(report, options, allow_loss)?;
    }
    drop(prepared);
    let source = Box::new(EmbeddedSource::new(opened.source, Arc::new(target))?);
    let convert = convert_opened(open::Opened { source, ..opened }, &options.convert, None, settings)?;
    Ok(ReembedReport { convert, vector, space, embedding, bridge, cache })
}

/// `NAME.embeddings` beside the output.
fn cache_directory(options: &ReembedOptions) -> Result<PathBuf> {
    if let Some(cache) = &options.cache {
        return Ok(cache.clone());
    }
    let target = Locator::parse(&options.convert.target, &registry());
    if target.is_stream() {
        return Err(Error::usage("standard output has no place beside it for what the hook answers")
            .hint("say where, as in --cache ./embeddings"));
    }
    let path: PathBuf = target.path.components().collect();
    Ok(with_suffix(&path, ".embeddings"))
}

fn vector_name(schema: &CollectionSchema, named: Option<&str>) -> Result<String> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let dense: Vec<&str> =
        schema.vectors.iter().filter(|spec| spec.kind == VectorKind::Dense).map(|spec| spec.name.as_str()).collect();
    match dense.as_slice() {
        [] => Ok(String::new()),
        [one] => Ok((*one).to_owned()),
        several if several.contains(&"") => Ok(String::new()),
        several => Err(Error::usage("the collection has several dense vectors")
            .hint(format!("say which is embedded anew with --vector: {}", several.join(", ")))),
    }
}

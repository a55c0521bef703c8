//! The verb `reembed`: from its arguments to the toolkit, and its report as text.

use tranship_connector::{Error, Result};
use tranship_toolkit::Settings;
use tranship_toolkit::reembed::{
    BridgeKind, BridgeOptions, HookOptions, Missing, Recipe, ReembedOptions, ReembedReport, TooLong, reembed,
};

use crate::args::{self, BridgeMapArg, NoTextArg, TooLongArg};
use crate::render;
use crate::verbs::{convert_options, keep_rejects};

/// Runs the verb.
pub fn run(args: args::Reembed, settings: &Settings<'_>, json: bool) -> Result<bool> {
    if json && args.target.ends_with(":-") {
        return Err(Error::usage("--json and data cannot both go to standard output")
            .hint("name a place on disk, as in jsonl:out.jsonl or archive:DIR"));
    }
    let report = reembed(&options(args)?, settings)?;
    keep_rejects(&report.convert.target, &report.convert.rejects)?;
    match json {
        true => render::json(&report)?,
        // Data may go to standard output, so the summary does not.
        false => render::to_stderr(&text(&report)),
    }
    Ok(true)
}

fn options(args: args::Reembed) -> Result<ReembedOptions> {
    let too_long = match args.too_long {
        TooLongArg::Reject => TooLong::Reject,
        TooLongArg::Truncate => TooLong::Truncate,
        TooLongArg::Split => TooLong::Split,
    };
    let missing = match args.no_text {
        NoTextArg::Reject => Missing::Reject,
        NoTextArg::Skip => Missing::Skip,
    };
    let kind = match args.bridge_map {
        BridgeMapArg::Orthogonal => BridgeKind::Orthogonal,
        BridgeMapArg::Affine => BridgeKind::Affine,
    };
    Ok(ReembedOptions {
        convert: convert_options(&args.source, &args.target, &args.from, &args.to, &args.tolerance)?,
        hook: HookOptions {
            command: args.with,
            concurrency: usize::from(args.concurrency),
            batch: args.batch as usize,
            timeout: args.timeout,
            retries: args.retries,
            max_tokens: args.max_tokens,
            max_cost: args.max_cost,
            price: args.price,
            calls_per_minute: args.rate,
        },
        recipe: Recipe::new(args.text, args.max_chars.map(|chars| chars as usize), too_long, missing)?,
        vector: args.vector,
        cache: args.cache,
        bridge: args.bridge.map(|fraction| BridgeOptions {
            fraction,
            kind,
            seed: args.seed,
            min_recall: args.bridge_recall,
        }),
    })
}

fn text(report: &ReembedReport) -> String {
    let mut text = render::converted(&report.convert);
    let (space, fill) = (&report.space, &report.embedding);
    let mut line = |name: &str, value: String| text.push_str(&render::one_line(&format!("  {name:<8} {value}")));
    line(
        "model",
        format!("{}, {} dimensions{}", space.model, space.dims, if space.normalised { ", unit length" } else { "" }),
    );
    line(
        "texts",
        format!(
            "{}: {} embedded, {} from the cache, {} met before, {} taken up from a killed run",
            fill.texts, fill.embedded, fill.cache_hits, fill.repeated, fill.recovered
        ),
    );
    let cost = fill.cost.map(|cost| format!(", cost {cost:.4}")).unwrap_or_default();
    line(
        "calls",
        format!("{}, {} restarts, {} tokens{cost}, {:.1} s", fill.calls, fill.restarts, fill.tokens, fill.seconds),
    );
    let apart = [
        (fill.refused, "refused by the hook"),
        (fill.without_text, "without text"),
        (fill.too_long, "too long"),
        (fill.truncated, "truncated"),
        (fill.split, "split"),
        (fill.damaged, "damaged in the cache"),
    ];
    let apart: Vec<String> =
        apart.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if !apart.is_empty() {
        line("apart", apart.join(", "));
    }
    if let Some(bridge) = &report.bridge {
        let verdict = if bridge.fits { "fits" } else { "DOES NOT FIT" };
        line(
            "bridge",
            format!(
                "{verdict}: recall@{} {:.3} and cosine {:.3} on {} held-out records, fitted on {}; this is no re-embedding",
                bridge.k, bridge.recall, bridge.cosine, bridge.held_out, bridge.fitted
            ),
        );
    }
    line("cache", report.cache.display().to_string());
    text
}

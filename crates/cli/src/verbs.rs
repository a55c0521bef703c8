//! From parsed arguments to one call of the toolkit. Each function says whether the answer is yes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tranship_collection::Metric;
use tranship_connector::{CreateOptions, Error, OpenOptions, Reject, Result, Transforms};
use tranship_storage::staging::with_suffix;
use tranship_storage::{Limits, write_whole};
use tranship_toolkit::convert::{ConvertOptions, convert};
use tranship_toolkit::delta_bundle::convert_delta;
use tranship_toolkit::diff::{ApplyOptions, DiffOptions, apply, diff};
use tranship_toolkit::inspect::{InspectOptions, inspect};
use tranship_toolkit::merge::{MergeOptions, Policy, merge};
use tranship_toolkit::migrate::{MigrateOptions, migrate};
use tranship_toolkit::plan::{PlanOptions, plan};
use tranship_toolkit::recall::{Engine, IndexChoice, Questions, RecallOptions, SweepGrid, Thresholds, certify, sweep};
use tranship_toolkit::verify::{VerifyOptions, verify};
use tranship_toolkit::{Settings, connectors, open};
use tranship_verify::Level;
use tranship_verify::archive::Subset;
use tranship_verify::sequence::SequenceFields;

use crate::args::{
    self, Cli, Common, EngineArg, Keep, LevelArg, MetricArg, Queries, SecondArgs, Side, SourceArgs, TargetArgs,
    ToleranceArgs, Verb,
};
use crate::progress::Shown;
use crate::render;

static CANCEL: AtomicBool = AtomicBool::new(false);

/// Runs the verb; `Ok(false)` if it ran and the answer is no.
pub fn run(cli: Cli) -> Result<bool> {
    cancel_on_interrupt()?;
    let shown = Shown::new(cli.common.progress);
    let settings = settings(&cli.common, &shown);
    let json = cli.common.json;
    let answer = match cli.verb {
        Verb::Migrate(args) => run_migrate(args, &settings, &shown, json),
        Verb::Inspect(args) => run_inspect(args, &settings, json),
        Verb::Plan(args) => run_plan(args, &settings, json),
        Verb::Convert(args) => run_convert(args, &settings, json),
        Verb::Verify(args) => run_verify(args, &settings, json),
        Verb::Diff(args) => run_diff(args, &settings, json),
        Verb::Apply(args) => run_apply(args, &settings, json),
        Verb::Merge(args) => run_merge(args, &settings, json),
        Verb::Recall(args) => run_recall(args, &settings, json),
        Verb::Reembed(args) => crate::reembed::run(*args, &settings, json),
        Verb::Connectors(args) => run_connectors(&args, json),
    };
    shown.clear();
    answer
}

/// The first Ctrl-C lets splits in flight end; the second ends the process at once.
fn cancel_on_interrupt() -> Result<()> {
    static PRESSED: AtomicU8 = AtomicU8::new(0);
    let handler = || {
        if PRESSED.fetch_add(1, Ordering::Relaxed) > 0 {
            std::process::exit(130);
        }
        CANCEL.store(true, Ordering::Relaxed);
        render::to_stderr("stopping; finished parts are kept (press Ctrl-C again to stop at once)\n");
    };
    ctrlc::set_handler(handler).map_err(|e| Error::bug("cannot listen for Ctrl-C").caused_by(e))
}

fn settings<'a>(common: &Common, shown: &'a Shown) -> Settings<'a> {
    Settings {
        threads: common
            .threads
            .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from),
        memory_bytes: common.memory,
        cancel: &CANCEL,
        progress: shown,
        scratch_parent: common.tmpdir.clone(),
    }
}

/// How the only source, or A, is opened.
fn open_options(args: &SourceArgs) -> Result<OpenOptions> {
    let transforms = if args.change.side == Side::B { Transforms::default() } else { args.change.transforms()? };
    Ok(OpenOptions {
        transforms,
        collection: args.collection.clone(),
        id_column: args.id_column.clone(),
        vector_column: args.vector_column.clone(),
        document_column: args.document_column.clone(),
        metric: args.metric.map(metric),
        allow_inconsistent: args.allow_inconsistent,
        allow_lossy: args.allow_lossy,
        options: args.options.iter().cloned().collect(),
        hash_source: args.hash_source,
        limits: Limits { max_line_bytes: args.max_line as usize, ..Limits::default() },
    })
}

/// How the one source of a verb is opened: there is no other that changes could be for.
fn open_only(args: &SourceArgs) -> Result<OpenOptions> {
    match args.change.side {
        Side::A => open_options(args),
        Side::B | Side::Both => {
            Err(Error::usage("--change names a second source, and there is none").hint("leave it out"))
        }
    }
}

/// B is opened like A, but for what names one of its own collections or options, and for what is changed.
fn open_second(args: &SecondArgs, from: &SourceArgs, open_a: &OpenOptions) -> Result<OpenOptions> {
    let options = args.options_b.iter().cloned().collect();
    let transforms = if from.change.side == Side::A { Transforms::default() } else { from.change.transforms()? };
    Ok(OpenOptions { collection: args.collection_b.clone(), options, transforms, ..open_a.clone() })
}

fn metric(arg: MetricArg) -> Metric {
    match arg {
        MetricArg::Cosine => Metric::Cosine,
        MetricArg::Dot => Metric::Dot,
        MetricArg::L2 => Metric::L2,
        MetricArg::L1 => Metric::L1,
    }
}

fn create_options(args: &TargetArgs) -> CreateOptions {
    CreateOptions {
        collection: args.rename.clone(),
        document_key: args.document_key.clone(),
        plain_encoding: args.compat.is_some(),
        allow_loss: Vec::new(),
        options: args.target_options.iter().cloned().collect(),
    }
}

/// The options of a conversion.
pub fn convert_options(
    source: &str,
    target: &str,
    from: &SourceArgs,
    to: &TargetArgs,
    tolerance: &ToleranceArgs,
) -> Result<ConvertOptions> {
    Ok(ConvertOptions {
        source: source.to_owned(),
        target: target.to_owned(),
        open: open_only(from)?,
        create: create_options(to),
        max_rejects: tolerance.max_rejects,
        allow_loss: tolerance.allow_loss.clone(),
    })
}

fn run_migrate(args: args::Migrate, settings: &Settings<'_>, shown: &Shown, json: bool) -> Result<bool> {
    let options = MigrateOptions {
        convert: convert_options(&args.source, &args.target, &args.from, &args.to, &args.tolerance)?,
        all: args.all,
        recall: RecallOptions {
            budget: Some(args.recall_budget),
            max_rows: args.recall_rows,
            ..RecallOptions::default()
        },
    };
    let report = migrate(&options, settings, |collection| {
        shown.clear();
        if !json {
            render::to_stdout(&render::migrated(collection));
        }
    })?;
    match json {
        true => render::json(&report)?,
        false => render::to_stdout(&render::migration_total(&report)),
    }
    Ok(report.ready)
}

fn run_inspect(args: args::Inspect, settings: &Settings<'_>, json: bool) -> Result<bool> {
    let options = InspectOptions { source: args.source, open: open_only(&args.from)?, full: args.full };
    let report = inspect(&options, settings)?;
    if json {
        render::json(&report)?
    } else {
        render::to_stdout(&render::inspected(&report))
    }
    Ok(report.is_complete())
}

fn run_plan(args: args::Plan, settings: &Settings<'_>, json: bool) -> Result<bool> {
    let options = PlanOptions {
        source: args.source,
        target: args.target,
        open: open_only(&args.from)?,
        create: CreateOptions { allow_loss: args.allow_loss, ..create_options(&args.to) },
    };
    let report = plan(&options, settings)?;
    if json {
        render::json(&report)?
    } else {
        render::to_stdout(&render::planned(&report))
    }
    Ok(true)
}

fn run_convert(args: args::Convert, settings: &Settings<'_>, json: bool) -> Result<bool> {
    let streams = args.target.ends_with(":-");
    if streams && (json || args.all) {
        let why = if json { "--json and data cannot both go to standard output" } else { "--all needs a directory" };
        return Err(Error::usage(why).hint("name a place on disk, as in jsonl:out.jsonl or archive:DIR"));
    }
    let options = convert_options(&args.source, &args.target, &args.from, &args.to, &args.tolerance)?;
    if let Some(onto) = &args.onto {
        let report = convert_delta(&options, onto, settings)?;
        keep_rejects(&options.target, &report.run.rejects)?;
        match json {
            true => render::json(&report)?,
            false => render::to_stderr(&render::delta_bundle(&report)),
        }
        return Ok(true);
    }
    let jobs = if args.all { one_per_collection(&options)? } else { vec![options] };
    let mut reports = Vec::new();
    for options in jobs {
        let report = convert(&options, settings)?;
        keep_rejects(&options.target, &report.rejects)?;
        if !json {
            // Data may go to standard output, so the summary does not.
            render::to_stderr(&render::converted(&report));
        }
        reports.push(report);
    }
    match reports.as_slice() {
        [one] if json => render::json(one)?,
        several if json => render::json(&several)?,
        _ => {}
    }
    Ok(true)
}

/// One conversion per collection, each into a place of its own below the target.
fn one_per_collection(options: &ConvertOptions) -> Result<Vec<ConvertOptions>> {
    let (provider, path) = options
        .target
        .split_once(':')
        .ok_or_else(|| Error::usage("--all needs a target with a format").hint("name it, as in archive:DIR"))?;
    let (_, infos) = open::list(&options.source, &options.open)?;
    let extension = match provider {
        "archive" => ".tranship",
        "jsonl" => ".jsonl",
        "parquet" => ".parquet",
        _ => "",
    };
    let jobs = tranship_toolkit::migrate::directories(&infos, Path::new(path))?;
    let job = |(name, directory): (Option<String>, std::path::PathBuf)| {
        tranship_storage::staging::make_parent(&directory)?;
        let target = format!("{provider}:{}", with_suffix(&directory, extension).display());
        let open = OpenOptions { collection: name, ..options.open.clone() };
        Ok(ConvertOptions { target, open, ..options.clone() })
    };
    jobs.into_iter().map(job).collect()
}

/// Rejects of an output that has no place for them go beside it, or to standard error for a stream.
pub fn keep_rejects(target: &str, rejects: &[Reject]) -> Result<()> {
    if rejects.is_empty() {
        return Ok(());
    }
    let mut lines = Vec::new();
    for reject in rejects {
        serde_json::to_writer(&mut lines, reject).map_err(|e| Error::bug("cannot write a reject").caused_by(e))?;
        lines.push(b'\n');
    }
    let path = Path::new(target.split_once(':').map_or(target, |(_, path)| path));
    if path == Path::new("-") {
        render::to_stderr(&String::from_utf8_lossy(&lines));
        return Ok(());
    }
    let file = with_suffix(path, ".rejects.jsonl");
    write_whole(&file, &lines)?;
    render::to_stderr(&format!("rejects: {}\n", file.display()));
    Ok(())
}

fn run_verify(args: args::Verify, settings: &Settings<'_>, json: bool) -> Result<bool> {
    let level = match args.level {
        Some(LevelArg::L0) => Level::L0,
        Some(LevelArg::L1) => Level::L1,
        Some(LevelArg::L2) => Level::L2,
        Some(LevelArg::L3) | None => Level::L3,
    };
    let (part, of) = args.subset.unwrap_or((0, 1));
    let open_a = if args.b.is_some() { open_options(&args.from)? } else { open_only(&args.from)? };
    let options = VerifyOptions {
        open_b: open_second(&args.second, &args.from, &open_a)?,
        a: args.a,
        b: args.b,
        open_a,
        mapping: args.second.mapping,
        tolerance: args.tolerance,
        accept: args.accept,
        earlier: args.earlier,
        sequence: args.sequence.map(|(session, place, time)| SequenceFields {
            session,
            place,
            time,
            parent: args.parent,
        }),
        remap: args.remap,
        level: if of > 1 { level.min(Level::L1) } else { level },
        subset: Subset { part, of },
        max_named: args.max_named,
    };
    let report = verify(&options, settings)?;
    if json {
        render::json(&report)?
    } else {
        render::to_stdout(&render::verified(&report))
    }
    Ok(report.holds())
}

fn run_diff(args: args::Diff, settings: &Settings<'_>, json: bool) -> Result<bool> {
    let open_a = open_options(&args.from)?;
    let second = SecondArgs { collection_b: args.collection_b, options_b: args.options_b, mapping: None };
    let open_b = open_second(&second, &args.from, &open_a)?;
    let report = diff(&DiffOptions { a: args.a, b: args.b, open_a, open_b, delta: args.delta }, settings)?;
    if json {
        render::json(&report)?
    } else {
        render::to_stdout(&render::differed(&report))
    }
    Ok(true)
}

fn run_apply(args: args::Apply, settings: &Settings<'_>, json: bool) -> Result<bool> {
    let open = open_only(&args.from)?;
    let report = apply(&ApplyOptions { base: args.base, open, delta: args.delta, target: args.target }, settings)?;
    if json {
        render::json(&report)?
    } else {
        render::to_stdout(&render::applied(&report))
    }
    Ok(true)
}

fn run_merge(args: args::Merge, settings: &Settings<'_>, json: bool) -> Result<bool> {
    let policy = match args.keep {
        Keep::Fail => Policy::Fail,
        Keep::First => Policy::First,
        Keep::Last => Policy::Last,
    };
    let options = MergeOptions { sources: args.sources, open: open_only(&args.from)?, target: args.into, policy };
    let report = merge(&options, settings)?;
    if json {
        render::json(&report)?
    } else {
        render::to_stdout(&render::merged(&report))
    }
    Ok(true)
}

fn run_recall(args: args::Recall, settings: &Settings<'_>, json: bool) -> Result<bool> {
    if args.sweep {
        return run_sweep(args, settings, json);
    }
    let questions = Questions {
        log: if let Queries::Log(path) = &args.queries { Some(path.clone()) } else { None },
        dialect: args.filter_dialect.clone(),
        judgements: args.qrels.clone(),
        min_overlap: args.min_overlap,
    };
    let certificate = certify(&recall_options(args)?, &questions, settings)?.ok_or_else(no_vectors)?;
    if json {
        render::json(&certificate)?
    } else {
        render::to_stdout(&render::lines(&certificate.lines()))
    }
    Ok(certificate.passes())
}

fn run_sweep(args: args::Recall, settings: &Settings<'_>, json: bool) -> Result<bool> {
    let grid = SweepGrid {
        m: args.sweep_m.clone(),
        ef_construction: args.sweep_ef_construction.clone(),
        ef_search: args.sweep_ef.clone(),
    };
    let report = sweep(&recall_options(args)?, &grid, settings)?.ok_or_else(no_vectors)?;
    if json {
        render::json(&report)?
    } else {
        render::to_stdout(&render::lines(&report.lines()))
    }
    Ok(report.passes)
}

fn no_vectors() -> Error {
    Error::usage("neither side has a dense vector, so there is no recall to measure")
}

fn recall_options(args: args::Recall) -> Result<RecallOptions> {
    let open_a = open_options(&args.from)?;
    let index_b = IndexChoice {
        m: args.target_m,
        ef_construction: args.target_ef_construction,
        ef_search: args.target_ef.or(args.ef),
    };
    Ok(RecallOptions {
        open_b: open_second(&args.second, &args.from, &open_a)?,
        a: args.a,
        b: args.b,
        open_a,
        mapping: args.second.mapping,
        vector: args.vector,
        k: args.k,
        queries: match args.queries {
            Queries::Sample(count) => count,
            Queries::Log(_) => 1_000,
        },
        max_rows: args.max_rows,
        budget: args.budget,
        seed: args.seed,
        thresholds: Thresholds {
            min_overlap: args.min_overlap.unwrap_or(Thresholds::default().min_overlap),
            min_recall: args.min_recall,
            max_drop: args.max_drop,
        },
        engine: match args.engine {
            EngineArg::Flat => Engine::Flat,
            EngineArg::HnswRs => Engine::HnswRs,
        },
        index_a: IndexChoice { ef_search: args.source_ef.or(args.ef), ..IndexChoice::default() },
        index_b,
        rebuild: args.rebuild,
        cutoff: args.cutoff,
        scores_of: (args.source_scores, args.target_scores),
    })
}

fn run_connectors(args: &args::Connectors, json: bool) -> Result<bool> {
    match (json, args.markdown) {
        (true, _) => render::json(&connectors::connectors())?,
        (false, true) => render::to_stdout(&connectors::markdown()),
        (false, false) => render::to_stdout(&render::connectors(&connectors::connectors())),
    }
    Ok(true)
}

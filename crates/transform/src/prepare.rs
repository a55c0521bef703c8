//! What a chain must know of the whole source before its first record can be handed out.
//!
//! Each whole-source step reads the source once, through the steps before it: a sample to find how small a digest must be, a dedupe to
//! find the later ones, a limit as far as it reaches, signed bytes to find the largest element. Names that a map or a selection
//! mentions are looked for until each was found, usually in the first batch. Passes are sequential and need no more memory than
//! what they find out; records that a reader or a step sets aside are passed over, and are met again when the split is read.

use std::collections::BTreeMap;

use tranship_collection::{BatchView, VectorKind, VectorValue};
use tranship_connector::transforms::CastTo;
use tranship_connector::{Error, PrepareContext, Prepared, Reject, RejectSink, Result, Transforms};

use crate::chain::{Chain, Runner, Taken, broken};
use crate::rows::{Dedupe, Limit, Sample};
use crate::source::{ChangedPrepared, ChangedSource};
use crate::vectors::Cast;
use crate::{stated, vectors};

/// Prepares the source and builds the chain over it.
pub fn prepare<'a>(changed: &'a ChangedSource, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
    let ChangedSource { source, transforms, steps, .. } = changed;
    let keeps_state = transforms.sample.is_some() || transforms.dedupe.is_some();
    let own_bytes = if keeps_state { context.memory_bytes / 2 } else { 0 };
    let inner = PrepareContext { memory_bytes: context.memory_bytes - own_bytes, ..*context };
    let prepared = source.prepare(&inner)?;
    let read = Reading { prepared: &*prepared, repeatable: !source.identity()?.files.is_empty(), own_bytes };
    let mut chain = Chain::new(prepared.schema());
    if let Some(filter) = &steps.filter {
        chain.push(Box::new(filter.clone()))?;
    }
    if let Some(filter) = &steps.filter_jq {
        chain.push(Box::new(filter.clone()))?;
    }
    let last_split = read.choose_rows(&mut chain, transforms)?;
    for step in steps.contents() {
        chain.push(step)?;
        read.refuse_unknown_names(&chain)?;
    }
    for step in vectors::steps(transforms).into_iter().filter(|step| step.name() != vectors::CAST) {
        chain.push(step)?;
    }
    if let Some(to) = transforms.cast {
        let scales = if to == CastTo::I8 { read.scales(&chain)? } else { BTreeMap::new() };
        chain.push(Box::new(Cast { to, scales }))?;
    }
    let schema = stated(chain.output(), transforms, &chain);
    let leaves_out = transforms.leaves_out();
    Ok(Box::new(ChangedPrepared { prepared, chain, schema, leaves_out, last_split }))
}

struct Reading<'a> {
    prepared: &'a dyn Prepared,
    repeatable: bool,
    own_bytes: u64,
}

impl Reading<'_> {
    /// Adds sample, dedupe and limit; gives the last split that is read, if not all are.
    fn choose_rows(&self, chain: &mut Chain, transforms: &Transforms) -> Result<Option<u64>> {
        if let Some(sample) = transforms.sample {
            self.refuse_stream("--sample")?;
            let mut step = Sample::new(sample, self.own_bytes)?;
            self.scan(chain, |view, _, _| {
                (0..view.len()).for_each(|row| step.meet(view, row));
                Ok(true)
            })?;
            chain.push(Box::new(step.found()))?;
        }
        if let Some(by) = transforms.dedupe {
            self.refuse_stream("--dedupe")?;
            let mut step = Dedupe::new(by, self.own_bytes);
            self.scan(chain, |view, rows, ordinal| step.meet(view, rows, ordinal).map(|()| true))?;
            chain.push(Box::new(step.found()))?;
        }
        let Some(limit) = transforms.limit else { return Ok(None) };
        self.refuse_stream("--limit")?;
        let mut step = Limit::new(limit);
        self.scan(chain, |_, rows, ordinal| Ok(step.meet(rows, ordinal)))?;
        let last_split = step.last_split();
        chain.push(Box::new(step))?;
        Ok(last_split)
    }

    /// The factor that spreads the largest element of each dense vector to 127.
    fn scales(&self, chain: &Chain) -> Result<BTreeMap<String, f32>> {
        self.refuse_stream("--cast i8")?;
        let mut largest: BTreeMap<String, f32> = BTreeMap::new();
        self.scan(chain, |view, _, _| {
            let dense = |(_, spec): &(usize, &tranship_collection::VectorSpec)| spec.kind == VectorKind::Dense;
            for (column, spec) in view.vector_specs().enumerate().filter(dense) {
                let largest = largest.entry(spec.name.clone()).or_default();
                for value in (0..view.len()).filter_map(|row| view.vector(column, row)) {
                    let found = match &value {
                        VectorValue::Dense(values) => largest_of(values),
                        VectorValue::Widened(values) => largest_of(values),
                        _ => 0.0,
                    };
                    *largest = largest.max(found);
                }
            }
            Ok(true)
        })?;
        let scale = |(name, largest): (String, f32)| {
            let scale = 127.0 / largest;
            (name, if scale.is_finite() { scale } else { 1.0 })
        };
        Ok(largest.into_iter().map(scale).collect())
    }

    /// A name that no record has is a mistake in the map, not a change of nothing.
    fn refuse_unknown_names(&self, chain: &Chain) -> Result<()> {
        let mentions = chain.mentions();
        if mentions.is_empty() || !self.repeatable {
            return Ok(());
        }
        let (mut seen, mut records) = (vec![false; mentions.len()], 0);
        self.scan_with(chain, |runner, _, read| {
            records += read;
            seen.iter_mut().zip(runner.seen()).for_each(|(seen, found)| *seen |= found);
            Ok(!seen.iter().all(|seen| *seen))
        })?;
        let missing = mentions.iter().zip(&seen).find(|(_, seen)| !**seen).filter(|_| records > 0);
        let Some(((name, line), _)) = missing else { return Ok(()) };
        let error = Error::usage(format!("no record has the field `{name}`")).with("records", records);
        let error = match line {
            Some(line) => error.with("line", line),
            None => error,
        };
        Err(error.hint("`tranship inspect SOURCE --full` lists the fields; take out what is not there"))
    }

    fn refuse_stream(&self, flag: &str) -> Result<()> {
        match self.repeatable {
            true => Ok(()),
            false => Err(Error::usage(format!("{flag} reads its source more than once, and standard input cannot be"))
                .hint("make an archive first: tranship convert jsonl:- archive:./name.tranship; then change that")),
        }
    }

    /// Reads the source through the chain until `visit` has seen enough.
    fn scan(&self, chain: &Chain, mut visit: impl FnMut(&BatchView<'_>, &[u32], u64) -> Result<bool>) -> Result<()> {
        self.scan_with(chain, |runner, (taken, ordinal), _| {
            let view = BatchView::new(&taken.batch, runner.schema()).map_err(|fault| broken(&fault))?;
            visit(&view, &taken.rows, ordinal)
        })
    }

    fn scan_with(
        &self,
        chain: &Chain,
        mut visit: impl FnMut(&Runner<'_>, (&Taken, u64), u64) -> Result<bool>,
    ) -> Result<()> {
        for split in self.prepared.splits()? {
            let split = split?;
            let ordinal = split.ordinal;
            let mut runner = chain.runner(ordinal)?;
            for batch in self.prepared.open(split, &mut Skip)? {
                let batch = batch?;
                let read = batch.num_rows() as u64;
                let taken = runner.apply(batch, &mut Skip)?;
                if !visit(&runner, (&taken, ordinal), read)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn largest_of(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

struct Skip;

impl RejectSink for Skip {
    fn reject(&mut self, _: Reject) -> Result<()> {
        Ok(())
    }
}

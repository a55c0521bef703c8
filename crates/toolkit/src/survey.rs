//! Measures a collection before a target that cannot hold everything is written: one parallel pass over the source.
//!
//! Invariant: what comes out depends on the records alone, not on threads. Records that the reader sets aside are not
//! counted; the run itself holds them against its budget. Errors: usage (standard input cannot be read twice).

use tranship_collection::BatchView;
use tranship_connector::{Error, Prepared, Reject, RejectSink, Result, Sink, Survey};
use tranship_pipeline::{EngineOptions, execute};

/// What the target needs to know of the records; nothing for a target that takes every record as it is.
pub fn survey(prepared: &dyn Prepared, sink: &dyn Sink, repeatable: bool, engine: EngineOptions<'_>) -> Result<Survey> {
    let schema = prepared.schema();
    let mut total = Survey::default();
    let Some(mapping) = sink.survey_with(schema)? else { return Ok(total) };
    if !repeatable {
        return Err(Error::usage(
            "a bundle measures its source before it writes, and standard input can be read only once",
        )
        .hint("make an archive first: tranship convert jsonl:- archive:./name.tranship; then convert that"));
    }
    engine.progress.begin("measure", None);
    execute(
        prepared,
        engine,
        0,
        |_| Ok(None),
        |split, stop| {
            let bytes = split.bytes;
            let (mut found, mut skipped) = (Survey::default(), Skip);
            for batch in prepared.open(split, &mut skipped)? {
                stop.check()?;
                let batch = batch?;
                let view = BatchView::new(&batch, schema).map_err(|fault| Error::bug(fault.to_string()))?;
                found.add(&view, &mapping);
                engine.progress.advance(view.len() as u64, 0);
            }
            engine.progress.advance(0, bytes);
            Ok(found)
        },
        |found| {
            total.merge(found);
            Ok(())
        },
    )?;
    Ok(total)
}

struct Skip;

impl RejectSink for Skip {
    fn reject(&mut self, _: Reject) -> Result<()> {
        Ok(())
    }
}

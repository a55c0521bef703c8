//! Bundles of deltas: beside the records to write, the ids to delete, in the provider's own form.
//!
//! ```text
//! data/deletes-00000-000.<extension>   ids in the target's own spelling, cut at the target's limits
//! undo.sh                              says how the delta is taken back: by the bundle of its inverse
//! ```
//!
//! Invariant: records and ids stand as the bundle that was loaded before has them, since its mapping is taken over; what is
//! loaded in the order deletes, then records, ends in the same state however often it is stopped and begun again. A form
//! that would leave parts of an old record behind deletes the ids of records to write as well. Errors: usage (a form without
//! deletes, sets of another shape), loss denied (a record that the target cannot hold).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt8Array, new_null_array};
use tranship_collection::{BatchView, CollectionSchema, IdKind, IdKinds, layout};
use tranship_connector::rules::RowRules;
use tranship_connector::{
    CreateOptions, DeltaOrder, Error, ErrorKind, Job, Mapping, Negotiated, PrepareContext, Reject, RejectSink, Result,
    ShardFile, Source, Survey,
};
use tranship_storage::Scratch;
use tranship_storage::staging::JOB_DIR;

use crate::facts::Extra;
use crate::form::{Form, Parts, TextParts, TextShape};
use crate::manifest::DeltaEntry;
use crate::plan;

/// File name of deletes before the ordinal.
pub const STEM: &str = "deletes";
/// Memory for the state of an archive of ids, bytes.
const PREPARE_BYTES: u64 = 64 << 20;

/// How ids are taken out of a target.
pub struct Deletes {
    /// The files; the stem is [`STEM`].
    pub shape: TextShape,
    /// True if a record written over an old one would leave parts of that behind.
    pub replaced_too: bool,
    /// Appends what deletes the record of one row, whose id is in the target's form.
    pub append: fn(&Mapping, &BatchView<'_>, usize, &mut Vec<u8>) -> Result<()>,
    /// Changes what is the loaded bundle's own and not the delta's.
    pub adapt: fn(&mut Mapping),
}

/// Leaves the mapping as it is.
pub fn as_loaded(_: &mut Mapping) {}

/// The error of a form without deletes.
pub fn not_offered(title: &str) -> Error {
    Error::usage(format!("tranship knows no form of deletes for {title}")).hint(
        "write the two archives of the delta by themselves: upserts.tranship as a bundle, deletes.tranship as jsonl:IDS.jsonl; \
         delete those ids with the vendor's tools before the records are loaded",
    )
}

/// The undo script of a delta.
pub fn undo(mapping: &Mapping) -> Extra {
    let target = &mapping.target;
    Extra::script(
        "undo.sh",
        format!(
            "#!/usr/bin/env bash\n# A delta is taken back by the bundle of its inverse, which lies beside the delta as DELTA.inverse.\n\
             printf '%s\\n' 'take it back with the inverse delta:' \\\n  '  tranship convert DELTA.inverse {target}:UNDO --onto THIS_BUNDLE' \\\n  \
             '  bash UNDO/load.sh' >&2\nexit 2\n"
        ),
    )
}

/// Refuses a delta of records that do not stand like those that were loaded.
pub fn check_schema(schema: &CollectionSchema, mapping: &Mapping) -> Result<()> {
    let loaded = &mapping.schema;
    let shape = |schema: &CollectionSchema| -> Vec<_> {
        schema.stored_vectors().map(|v| (v.name.clone(), v.kind, v.element, v.dim)).collect()
    };
    let what = if shape(schema) != shape(loaded) {
        "other vectors"
    } else if schema.ids != loaded.ids {
        "ids of another kind"
    } else if schema.namespaced != loaded.namespaced {
        "namespaces on one side only"
    } else {
        return Ok(());
    };
    Err(Error::usage(format!("the delta has {what} than what was loaded"))
        .hint("load the new set as a whole: tranship convert B PROVIDER:DIR"))
}

/// The mapping of what was loaded, and the losses that it does not know.
pub fn negotiate(form: &dyn Form, delta: &DeltaOrder, survey: &Survey, options: &CreateOptions) -> Result<Negotiated> {
    let mut mapping = delta.mapping.clone();
    let known = mapping.left_out.clone();
    let mut losses = plan::fault_losses(&mut mapping, survey, options)?;
    let replaced_too = form.deletes().is_some_and(|deletes| deletes.replaced_too);
    if let Some(loss) = losses.first().filter(|_| !replaced_too) {
        return Err(Error::new(ErrorKind::LossDenied, format!("the target cannot hold {}: {}", loss.path, loss.from))
            .with("ids", loss.examples.join(", "))
            .hint("left out of a delta, such a record would stay at the target as it was: mend it, and make the delta again"));
    }
    losses.retain(|loss| !known.contains(&loss.code));
    losses.extend(delta.mapping.losses.iter().filter(|loss| !loss.grade.needs_consent()).cloned());
    Ok(Negotiated { losses, mapping: Some(mapping) })
}

/// Writes the files of deletes.
pub(crate) fn write(
    job: &Job,
    delta: &DeltaOrder,
    form: &Deletes,
    mapping: &Mapping,
) -> Result<(DeltaEntry, Vec<ShardFile>)> {
    let ids = ids_mapping(mapping);
    let mut files = TextParts::new(Parts::new(job, 0), form.shape);
    let deletes = append_ids(job, &*delta.deletes, &ids, form, &mut files)?;
    if form.replaced_too {
        append_ids(job, &*delta.upserts, &ids, form, &mut files)?;
    }
    let parts = files.finish()?;
    let entry = DeltaEntry {
        base: delta.base.clone(),
        result: delta.result.clone(),
        deletes,
        files: parts.iter().map(|part| (part.file.path.clone(), part.rows.unwrap_or(0))).collect::<BTreeMap<_, _>>(),
    };
    Ok((entry, parts.into_iter().map(|part| part.file).collect()))
}

/// The mapping for records that are ids and nothing else.
fn ids_mapping(mapping: &Mapping) -> Mapping {
    let schema = CollectionSchema { vectors: Vec::new(), ..mapping.schema.clone() };
    Mapping { schema, rows: RowRules::ANY, left_out: Vec::new(), ..mapping.clone() }
}

fn append_ids(
    job: &Job,
    source: &dyn Source,
    mapping: &Mapping,
    form: &Deletes,
    files: &mut TextParts<'_>,
) -> Result<u64> {
    let scratch = Scratch::new(Some(&job.path().join(JOB_DIR)))?;
    let split_bytes = tranship_connector::source::SPLIT_BYTES;
    let context = PrepareContext { memory_bytes: PREPARE_BYTES, split_bytes, scratch: scratch.path() };
    let prepared = source.prepare(&context)?;
    let broken = |fault: tranship_collection::Fault| Error::bug(fault.to_string());
    let stored = CollectionSchema { vectors: Vec::new(), ..mapping.stored_schema() };
    let (mut rows, mut text) = (0, Vec::new());
    for split in prepared.splits()? {
        for batch in prepared.open(split?, &mut NoRejects)? {
            let batch = ids_only(&batch?, prepared.schema(), &mapping.schema)?;
            let shaped = mapping.shape(&batch, &mapping.schema).map_err(|(row, fault)| {
                Error::new(ErrorKind::LossDenied, format!("an id has no form at the target: {}", fault.what))
                    .with("row", row)
            })?;
            let view = BatchView::new(&shaped.batch, &stored).map_err(broken)?;
            for row in 0..view.len() {
                text.clear();
                (form.append)(mapping, &view, row, &mut text)?;
                files.push(&text, view.id(row))?;
            }
            rows += view.len() as u64;
        }
    }
    Ok(rows)
}

/// Ids and namespaces of a batch, in a schema without vectors.
fn ids_only(batch: &RecordBatch, from: &CollectionSchema, to: &CollectionSchema) -> Result<RecordBatch> {
    let (arrow, rows) = (layout::arrow_schema(to), batch.num_rows());
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in arrow.fields() {
        let own = batch.column_by_name(field.name()).cloned();
        columns.push(match (field.name().as_str(), own) {
            (layout::DOCUMENT | layout::METADATA, _) => Arc::new(StringArray::new_null(rows)),
            (_, Some(own)) => own,
            (layout::ID_KIND, None) => {
                let kind = if from.ids == IdKinds::Integer { IdKind::Integer } else { IdKind::Text };
                Arc::new(UInt8Array::from_value(kind as u8, rows))
            }
            (layout::NAMESPACE, None) => new_null_array(&layout::namespace_type(), rows),
            (name, None) => return Err(Error::bug(format!("ids without the column {name}"))),
        });
    }
    RecordBatch::try_new(arrow, columns).map_err(|e| Error::bug(e.to_string()))
}

struct NoRejects;

impl RejectSink for NoRejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        Err(Error::damaged(reject.reason).with("place", reject.place).hint("make the delta again"))
    }
}

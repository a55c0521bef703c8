//! Bundles made and read back in the test process, without a pipeline.

use std::path::Path;

use arrow_array::RecordBatch;
use tranship_collection::{BatchView, CollectionSchema, SetFingerprint};
use tranship_connector::{Connector, CreateOptions, Locator, Mapping, Result, Sink, Survey, Totals};
use tranship_storage::SourceIdentity;

/// What the sink's target needs to know of the records.
///
/// # Panics
/// If a batch does not follow the schema.
pub fn survey(sink: &dyn Sink, schema: &CollectionSchema, batches: &[RecordBatch]) -> Result<Survey> {
    let mut found = Survey::default();
    if let Some(mapping) = sink.survey_with(schema)? {
        for batch in batches {
            found.add(&BatchView::new(batch, schema).expect("batches follow their schema"), &mapping);
        }
    }
    Ok(found)
}

/// Writes one shard per batch and commits; goes on where an earlier call was stopped. Losses that need consent and are
/// not in `options` are not asked for: what they concern is refused record by record.
///
/// # Panics
/// If a batch does not follow the schema.
pub fn write(
    connector: &Connector,
    path: &Path,
    schema: &CollectionSchema,
    batches: &[RecordBatch],
    options: &CreateOptions,
) -> Result<Mapping> {
    let locator = Locator { provider: None, path: path.to_owned() };
    let sink = connector.create.expect("the connector writes")(&locator, options)?;
    let negotiated = sink.negotiate(schema, &survey(&*sink, schema, batches)?)?;
    let mapping = negotiated.mapping.expect("a bundle has a mapping");
    let mut finished = sink.begin("plan", schema)?;
    let mut shards = Vec::new();
    for (ordinal, batch) in batches.iter().enumerate() {
        if let Some(shard) = finished.remove(&(ordinal as u64)) {
            shards.push(shard);
            continue;
        }
        let mut writer = sink.open_shard(ordinal as u64, schema, Some(&mapping))?;
        writer.write(batch)?;
        let mut shard = writer.finish()?;
        sink.publish(&mut shard)?;
        shards.push(shard);
    }
    let project = |batch| mapping.project(batch, schema).expect("batches can be projected");
    let projected: Vec<RecordBatch> = batches.iter().map(project).collect();
    sink.commit(&Totals {
        schema,
        shards: &shards,
        fingerprint: &fingerprint(schema, batches),
        expected: Some(&fingerprint(&mapping.projected_schema(schema), &projected)),
        losses: &negotiated.losses,
        mapping: Some(&mapping),
        identity: &SourceIdentity::default(),
        ledger: Default::default(),
    })?;
    Ok(mapping)
}

/// The fingerprint of a set.
///
/// # Panics
/// If a batch does not follow the schema.
pub fn fingerprint(schema: &CollectionSchema, batches: &[RecordBatch]) -> SetFingerprint {
    let mut set = SetFingerprint::new(schema);
    let mut digester = tranship_collection::digest::Digester::default();
    for batch in batches {
        let view = BatchView::new(batch, schema).expect("batches follow their schema");
        set.add_batch(&view, &mut digester, |_, _| {}).expect("records have digests");
    }
    set
}

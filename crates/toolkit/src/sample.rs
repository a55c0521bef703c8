//! A small bundle of the first records, written to a scratch directory to learn what the whole one would hold.
//!
//! Invariant: nothing is written beside the scratch directory. Sizes of data are extrapolated by record, which is right
//! as far as the first records are like the others; the files beside the data are those of the real bundle, but for
//! counts in them.

use std::path::Path;

use serde::Serialize;
use tranship_collection::digest::Digester;
use tranship_collection::{BatchView, CollectionSchema, Fault, IndexSpec, SetFingerprint, VectorKind};
use tranship_connector::{
    Connector, CreateOptions, Error, Locator, Negotiated, Prepared, Reject, RejectSink, Result, RowLedger, Totals,
};
use tranship_storage::SourceIdentity;

/// Records of the sample.
const SAMPLE_ROWS: usize = 2_000;

/// What the target will hold and need.
#[derive(Debug, Clone, Serialize)]
pub struct TargetNeeds {
    /// Records that the sizes were taken from.
    pub sampled: u64,
    /// Bytes of all data files, extrapolated.
    pub data_bytes: u64,
    /// The files beside the data, with their sizes.
    pub files: Vec<(String, u64)>,
    /// Memory for vectors and links of an index in memory, by the declared settings.
    pub index_memory_bytes: u64,
}

/// Writes the sample and measures it; nothing for a source without records.
pub fn target_needs(
    prepared: &dyn Prepared,
    connector: &Connector,
    options: &CreateOptions,
    negotiated: &Negotiated,
    records: u64,
    scratch: &Path,
) -> Result<Option<TargetNeeds>> {
    let (Some(create), Some(mapping)) = (connector.create, &negotiated.mapping) else { return Ok(None) };
    let root = scratch.join("sample");
    let sink = create(&Locator { provider: None, path: root.clone() }, options)?;
    let schema = prepared.schema();
    sink.begin("sample", schema)?;
    let mut writer = sink.open_shard(0, schema, Some(mapping))?;
    let projected = mapping.projected_schema(schema);
    let (mut source, mut expected) = (SetFingerprint::new(schema), SetFingerprint::new(&projected));
    let mut rows = 0;
    'sample: for split in prepared.splits()? {
        for batch in prepared.open(split?, &mut Skip)? {
            let batch = batch?;
            let batch = batch.slice(0, batch.num_rows().min(SAMPLE_ROWS - rows));
            add(&mut source, &batch, schema)?;
            let kept = mapping.project(&batch, schema).map_err(|(_, fault)| broken(&fault))?;
            add(&mut expected, &kept, &projected)?;
            writer.write(&batch)?;
            rows += batch.num_rows();
            if rows == SAMPLE_ROWS {
                break 'sample;
            }
        }
    }
    if rows == 0 {
        return Ok(None);
    }
    let mut shard = writer.finish()?;
    sink.publish(&mut shard)?;
    sink.commit(&Totals {
        schema,
        shards: &[shard],
        fingerprint: &source,
        expected: Some(&expected),
        losses: &negotiated.losses,
        mapping: Some(mapping),
        identity: &SourceIdentity::default(),
        ledger: RowLedger::default(),
    })?;
    let data = bytes_below(&root.join("data"))?;
    Ok(Some(TargetNeeds {
        sampled: rows as u64,
        data_bytes: (u128::from(data) * u128::from(records) / rows as u128) as u64,
        files: files_beside_data(&root)?,
        index_memory_bytes: index_memory_bytes(&projected, records),
    }))
}

/// Vectors in their element type, and the links of HNSW: twice `m` on level 0, as many again on average for all others
/// and for what every engine keeps per node.
fn index_memory_bytes(schema: &CollectionSchema, records: u64) -> u64 {
    let per_record = |spec: &tranship_collection::VectorSpec| {
        let dim = spec.dim.unwrap_or(0) as u64;
        let vector = match spec.kind {
            VectorKind::Dense => dim * spec.element.bytes() as u64,
            VectorKind::Bits => dim.div_ceil(8),
            VectorKind::Sparse | VectorKind::Multi => 0,
        };
        let links = match spec.index {
            Some(IndexSpec::Hnsw { m, .. }) => 3 * u64::from(m) * 4,
            _ => 0,
        };
        vector + links
    };
    records * schema.stored_vectors().map(per_record).sum::<u64>()
}

/// Bytes of all files below a directory.
fn bytes_below(dir: &Path) -> Result<u64> {
    let failed = |e| Error::from(tranship_storage::StorageError::new("list", dir, e));
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn files_beside_data(root: &Path) -> Result<Vec<(String, u64)>> {
    let failed = |e| Error::from(tranship_storage::StorageError::new("list", root, e));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        if metadata.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

fn add(set: &mut SetFingerprint, batch: &arrow_array::RecordBatch, schema: &CollectionSchema) -> Result<()> {
    let view = BatchView::new(batch, schema).map_err(|fault| broken(&fault))?;
    set.add_batch(&view, &mut Digester::default(), |_, _| {}).map_err(|(_, fault)| broken(&fault))
}

fn broken(fault: &Fault) -> Error {
    Error::damaged(fault.to_string())
}

struct Skip;

impl RejectSink for Skip {
    fn reject(&mut self, _: Reject) -> Result<()> {
        Ok(())
    }
}

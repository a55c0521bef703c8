//! Puts the segments of all splits into one collection snapshot.
//!
//! Invariant: the bytes depend on the records and the mapping alone: segments in the order of the splits, names made of
//! the collection's name and their number, no time. Every byte is read once from the pieces and written once; memory is
//! one buffer. A collection without records gets one empty segment, for there must be one.

use std::io::Write;

use serde_json::{Value, json};
use tranship_bundle::form::{beside, read_whole};
use tranship_bundle::{Finished, Part};
use tranship_connector::{Error, Result, ShardFile};
use tranship_storage::{DurableFile, InputFile};
use uuid::Uuid;

use super::super::settings;
use super::pieces::{MemberRecipe, PieceFile, Recipe, SegmentRecipe};
use super::segment::{Layout, SegmentsWriter, VERSION};
use super::{SNAPSHOT, STEM, tar};
use crate::dialect;

/// Bytes of a recipe: some dozens per 256 KiB of segments.
const RECIPE_BYTES: u64 = 256 << 20;
const COPY_BYTES: u64 = 1 << 20;
/// Size of the empty log.
const LOG_BYTES: usize = 4096;
/// The node that the shard comes from; the server puts itself in its place.
const PEER: u64 = 1;

/// Writes the snapshot.
pub fn assemble(finished: &Finished<'_>) -> Result<Part> {
    let mut tar = Tar { file: finished.job.create(SNAPSHOT)?, buffer: vec![0; COPY_BYTES as usize] };
    let (mut rows, mut number) = (0, 0);
    let mut name = || {
        number += 1;
        Uuid::new_v5(&Uuid::nil(), format!("{}\n{number}", finished.mapping.collection).as_bytes())
    };
    for shard in finished.shards {
        let open = |extension| finished.job.path().join(beside(STEM, shard.ordinal, extension));
        let recipe: Recipe = serde_json::from_slice(&read_whole(&open("json"), RECIPE_BYTES)?)
            .map_err(|e| Error::damaged("a recipe is torn").with("file", open("json").display()).caused_by(e))?;
        let pieces = InputFile::open(&open("pieces"))?;
        rows += recipe.iter().map(|segment| segment.rows).sum::<u64>();
        recipe.iter().try_for_each(|segment| tar.segment(name(), segment, &pieces))?;
    }
    if rows == 0 {
        empty_segment(&mut tar, name(), finished)?;
    }
    tar.rest(finished)?;
    let digest = tar.file.finish()?;
    let file = ShardFile { path: SNAPSHOT.to_owned(), bytes: digest.bytes, sha256: digest.sha256 };
    Ok(Part { file, rows: Some(rows), namespace: None })
}

fn empty_segment(tar: &mut Tar, name: Uuid, finished: &Finished<'_>) -> Result<()> {
    const EMPTY: &str = "job/empty-segment.pieces";
    let layout = Layout::new(finished.mapping, &finished.mapping.stored_schema());
    let mut segments = SegmentsWriter::new(layout, PieceFile::new(finished.job.create(EMPTY)?));
    segments.write_empty()?;
    let (file, recipe) = segments.finish()?;
    file.into_file().finish()?;
    let pieces = InputFile::open(&finished.job.path().join(EMPTY))?;
    recipe.iter().try_for_each(|segment| tar.segment(name, segment, &pieces))
}

/// The snapshot under construction.
struct Tar {
    file: DurableFile,
    buffer: Vec<u8>,
}

impl Tar {
    /// A segment: a tar within the tar.
    fn segment(&mut self, name: Uuid, segment: &SegmentRecipe, pieces: &InputFile) -> Result<()> {
        let path = |member: &MemberRecipe| format!("snapshot/files/{}", member.name);
        let bytes = |member: &MemberRecipe| tar::member_bytes(&path(member), member.size, member.stored());
        let size = segment.members.iter().map(bytes).sum::<u64>() + tar::END.len() as u64;
        self.file.write_all(&tar::headers(&format!("0/segments/{name}.tar"), size, size))?;
        for member in &segment.members {
            self.file.write_all(&tar::headers(&path(member), member.size, member.stored()))?;
            member.pieces.iter().try_for_each(|(offset, bytes)| self.copy(pieces, *offset, *bytes))?;
            self.pad(member.stored())?;
        }
        self.file.write_all(&tar::END)?;
        self.pad(size)
    }

    /// The log, the shard and the collection around the segments.
    fn rest(&mut self, finished: &Finished<'_>) -> Result<()> {
        let mut log = vec![0; LOG_BYTES];
        log[..4].copy_from_slice(b"wal\0");
        let replica = json!({ "is_local": true, "this_peer_id": PEER, "peers": { PEER.to_string(): "Active" } });
        self.member(&format!("0/wal/closed-{}", VERSION + 1), &log)?;
        self.member("0/shard_config.json", b"{\"type\":\"ReplicaSet\"}")?;
        self.member("0/replica_state.json", replica.to_string().as_bytes())?;
        self.member("version.info", dialect::COLLECTION_VERSION.as_bytes())?;
        self.member("config.json", config(finished)?.to_string().as_bytes())?;
        self.member("payload_index.json", b"{\"schema\":{}}")?;
        self.file.write_all(&tar::END)?;
        Ok(())
    }

    fn member(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let size = content.len() as u64;
        self.file.write_all(&tar::headers(name, size, size))?;
        self.file.write_all(content)?;
        self.pad(size)
    }

    fn copy(&mut self, pieces: &InputFile, offset: u64, bytes: u64) -> Result<()> {
        let end = offset + bytes;
        for at in (offset..end).step_by(COPY_BYTES as usize) {
            let chunk = &mut self.buffer[..(end - at).min(COPY_BYTES) as usize];
            pieces.read_exact_at(at, chunk)?;
            self.file.write_all(chunk)?;
        }
        Ok(())
    }

    fn pad(&mut self, bytes: u64) -> Result<()> {
        let padding = tar::padding(bytes);
        self.file.write_all(&tar::END[..padding])?;
        Ok(())
    }
}

/// `config.json` of the collection: the settings of the bundle, the server's defaults for all else.
fn config(finished: &Finished<'_>) -> Result<Value> {
    let body = settings::create_body(finished.mapping).ok_or_else(|| Error::bug("a snapshot without vectors"))?;
    let mut params = json!({
        "vectors": body["vectors"], "shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1,
        "on_disk_payload": true,
    });
    if let Some(sparse) = body.get("sparse_vectors") {
        params["sparse_vectors"] = sparse.clone();
    }
    Ok(json!({
        "params": params,
        "hnsw_config": {
            "m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0, "on_disk": false,
        },
        "optimizer_config": {
            "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
            "max_segment_size": null, "memmap_threshold": null,
            "indexing_threshold": dialect::INDEXING_THRESHOLD_KB, "flush_interval_sec": 5,
            "max_optimization_threads": null,
        },
        "wal_config": { "wal_capacity_mb": 32, "wal_segments_ahead": 0 },
        "quantization_config": null,
    }))
}

//! The second form of a bundle (`--target-option form=snapshot`): one collection snapshot in Qdrant's own files, which
//! skips the API on its way into a cluster.
//!
//! ```text
//! NAME/
//!   data/collection.snapshot   takes the place of all request bodies and of schema.json
//!   load.sh                    POST /collections/{c}/snapshots/upload
//!   all else as in the other form
//!
//! collection.snapshot, a tar
//!   0/segments/<uuid>.tar      snapshot/files/<segment file>; see `segment`
//!   0/wal/closed-2             an empty log that begins above every point version
//!   0/shard_config.json 0/replica_state.json version.info config.json payload_index.json
//! ```
//!
//! A split becomes one segment, or several of about 192 MB; its bytes wait in `job/` (see `pieces`) until `collection`
//! puts all of them into the one tar that the server takes. That costs a second write of the data. The other ways are
//! worse: a snapshot per split would need custom sharding, which the collection would keep for ever, and a tar that
//! `load.sh` puts together is no file that `recover` or `--snapshot` takes.
//!
//! Invariant: nothing has an index, so the optimizer indexes after recovery. Cosine vectors are at unit length here, by
//! the projection's own rule, since no engine touches them on their way; `mapping.unit_in_bundle` says so. The empty log
//! is vital: without it a server numbers its first operations below the versions of the points and drops them unsaid.
//!
//! Errors: usage (no vectors: there is no such collection to recover), limit (a multivector that no chunk holds).
//! Source of the format: qdrant/qdrant v1.19.0; read by Qdrant 1.14 to 1.19 and qdrant-edge 0.9.0.

mod collection;
mod gridstore;
mod pieces;
mod segment;
mod tar;
mod vectors;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::json;
use tranship_bundle::{DataFile, Extra, Facts, Finished, Form, FormWriter, Part, Parts};
use tranship_collection::CollectionSchema;
use tranship_connector::{Batches, Error, Locator, Mapping, OpenOptions, Result, Rules, Source, Survey};

use self::pieces::PieceFile;
use self::segment::{Layout, SegmentsWriter};
use super::{Bodies, scripts};
use crate::{dialect, snapshot};

/// The data file.
pub const SNAPSHOT: &str = "data/collection.snapshot";
/// What `mapping.form` says of this form.
pub const FORM: &str = "snapshot";
const STEM: &str = "segments";

/// One native snapshot.
pub struct Native;

impl Form for Native {
    fn rules(&self) -> &'static Rules {
        &dialect::RULES_SNAPSHOT
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        dialect::name_fault(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        Bodies.settle(mapping, survey)?;
        if mapping.stored_schema().stored_vectors().next().is_none() {
            return Err(Error::usage("a snapshot of Qdrant needs a vector of known dimension, and there is none")
                .hint("use --target-option form=bodies"));
        }
        mapping.unit_in_bundle = true;
        for loss in mapping.losses.iter_mut().filter(|loss| loss.code == "NORM") {
            "unit length, in the snapshot already".clone_into(&mut loss.to);
        }
        mapping.form = json!({ "form": FORM });
        Ok(())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        Layout::memory_bytes(schema)
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        let out = PieceFile::new(parts.create_beside(STEM, "pieces")?);
        let segments = SegmentsWriter::new(Layout::new(mapping, stored), out);
        Ok(Box::new(NativeWriter { parts, stored: stored.clone(), segments }))
    }

    fn complete(&self, finished: &Finished<'_>) -> Result<Vec<Part>> {
        collection::assemble(finished).map(|part| vec![part])
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        let mut extras = super::requests(facts)?;
        extras.extend(scripts::extras(facts, &scripts::SNAPSHOT));
        Ok(extras)
    }

    fn dump(&self, root: &Path, options: &OpenOptions) -> Result<Option<Box<dyn Source>>> {
        let locator = Locator { provider: None, path: root.join(SNAPSHOT) };
        snapshot::open(&locator, options).map(Some)
    }

    fn read_memory_bytes(&self, _bytes: u64) -> u64 {
        0
    }

    fn read<'a>(
        &'a self,
        _file: DataFile<'a>,
        _mapping: &'a Mapping,
        _stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        Err(Error::bug("a snapshot is read as a dump"))
    }
}

/// The segments of one shard being written.
struct NativeWriter<'a> {
    parts: Parts<'a>,
    stored: Arc<CollectionSchema>,
    segments: SegmentsWriter,
}

impl FormWriter for NativeWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.segments.write(batch, &self.stored)
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        let (pieces, recipe) = self.segments.finish()?;
        let mut file = self.parts.create_beside(STEM, "json")?;
        let text = serde_json::to_vec(&recipe).map_err(|e| Error::bug("a recipe cannot be written").caused_by(e))?;
        file.write_all(&text)?;
        let pieces = self.parts.finish_beside(pieces.into_file(), STEM, "pieces")?;
        Ok(vec![pieces, self.parts.finish_beside(file, STEM, "json")?])
    }
}

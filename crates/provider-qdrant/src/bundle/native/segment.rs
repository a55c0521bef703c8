//! Writes the segments of one split: appendable and unindexed, as a server leaves them whose optimizer has not come by.
//!
//! ```text
//! segment.json                    vectors, storage types, the last operation
//! mutable_id_tracker.mappings     per point: u8 1, u64 id, u32 row | u8 2, 16 B UUID, u32 row
//! mutable_id_tracker.versions     u64 per row: the operation that wrote it
//! payload_storage/ payload_index/ vector_storage[-<name>]/
//! version.info                    last
//! ```
//!
//! Invariant: rows are the records in their order; a segment ends with the record that fills it, so where it ends
//! depends on the records alone. Every version is [`VERSION`], and the log of the shard goes on above it.

use arrow_array::RecordBatch;
use serde_json::{Map, Value, json};
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchView, CollectionSchema, Element, VectorKind, VectorSpec};
use tranship_connector::{Error, Mapping, Result};
use uuid::Uuid;

use super::super::settings;
use super::gridstore::{Compression, GridstoreWriter};
use super::pieces::{BUFFER_BYTES, Member, PieceFile, Recipe, SegmentRecipe};
use super::vectors::{MAX_POINTS, VectorShape, VectorWriter};
use crate::dialect;

/// The operation that all points come from.
pub const VERSION: u64 = 1;
/// Bytes after which a segment ends. The optimizer merges up to 200 MB by default for each of its threads.
const SEGMENT_BYTES: u64 = 192 << 20;

/// What all segments of a collection have in common.
pub struct Layout {
    shapes: Vec<VectorShape>,
    /// `segment.json`.
    config: Value,
}

impl Layout {
    /// The segments that records in `stored` make.
    pub fn new(mapping: &Mapping, stored: &CollectionSchema) -> Self {
        let (mut dense, mut sparse) = (Map::new(), Map::new());
        for spec in stored.stored_vectors() {
            if spec.kind == VectorKind::Sparse {
                let index = json!({ "full_scan_threshold": null, "index_type": "MutableRam" });
                sparse.insert(spec.name.clone(), json!({ "index": index, "storage_type": "mmap" }));
                continue;
            }
            let params = settings::dense_params(mapping, spec);
            let mut vector = json!({
                "size": params["size"], "distance": params["distance"], "storage_type": "InRamChunkedMmap",
                "index": { "type": "plain", "options": {} }, "quantization_config": null,
            });
            for key in ["datatype", "multivector_config"] {
                if let Some(value) = params.get(key) {
                    vector[key] = value.clone();
                }
            }
            dense.insert(spec.name.clone(), vector);
        }
        let config = json!({
            "vector_data": dense, "sparse_vector_data": sparse, "payload_storage_type": { "type": "mmap" },
        });
        let shape = |spec: &VectorSpec| {
            let to_unit = mapping.normalised.contains(&spec.name);
            VectorShape::of(spec, mapping.elements.get(&spec.name).copied().unwrap_or(Element::F32), to_unit)
        };
        Layout {
            shapes: stored.stored_vectors().map(shape).collect(),
            config: json!({ "initial_version": VERSION, "version": VERSION, "config": config }),
        }
    }

    /// Memory for one split being written, bytes.
    pub fn memory_bytes(schema: &CollectionSchema) -> u64 {
        let members: usize = schema.stored_vectors().map(|spec| VectorShape::open_members(spec.kind)).sum();
        // Ids, versions, payloads; one record beside the buffers.
        (2 * (members + 4) * BUFFER_BYTES + (1 << 20)) as u64 + 2 * schema.dense_row_bytes() as u64
    }
}

/// The segments of one split.
pub struct SegmentsWriter {
    layout: Layout,
    out: PieceFile,
    open: Option<Segment>,
    done: Recipe,
    /// Bytes after which a segment ends.
    segment_bytes: u64,
}

/// A segment under construction.
struct Segment {
    rows: u32,
    /// What the file of pieces had taken before.
    start: u64,
    ids: Member,
    versions: Member,
    payloads: GridstoreWriter,
    vectors: Vec<VectorWriter>,
}

impl SegmentsWriter {
    /// No segments yet.
    pub fn new(layout: Layout, out: PieceFile) -> Self {
        SegmentsWriter { layout, out, open: None, done: Recipe::new(), segment_bytes: SEGMENT_BYTES }
    }

    /// Appends the records of a batch of the stored schema.
    pub fn write(&mut self, batch: &RecordBatch, stored: &CollectionSchema) -> Result<()> {
        let view = BatchView::new(batch, stored).map_err(|fault| Error::bug(fault.to_string()))?;
        for row in 0..view.len() {
            let mut segment = match self.open.take() {
                Some(segment) => segment,
                None => Segment::new(&self.layout, self.out.pushed())?,
            };
            segment.push(&view, row, &mut self.out)?;
            match self.out.pushed() - segment.start >= self.segment_bytes || u64::from(segment.rows) == MAX_POINTS {
                true => self.done.push(segment.finish(&self.layout, &mut self.out)?),
                false => self.open = Some(segment),
            }
        }
        Ok(())
    }

    /// Appends a segment without points.
    pub fn write_empty(&mut self) -> Result<()> {
        let segment = Segment::new(&self.layout, self.out.pushed())?;
        self.done.push(segment.finish(&self.layout, &mut self.out)?);
        Ok(())
    }

    /// The file of pieces, and what is in it.
    pub fn finish(mut self) -> Result<(PieceFile, Recipe)> {
        if let Some(segment) = self.open.take() {
            self.done.push(segment.finish(&self.layout, &mut self.out)?);
        }
        Ok((self.out, self.done))
    }
}

impl Segment {
    fn new(layout: &Layout, start: u64) -> Result<Self> {
        Ok(Segment {
            rows: 0,
            start,
            ids: Member::default(),
            versions: Member::default(),
            payloads: GridstoreWriter::new("payload_storage".to_owned(), Compression::Lz4),
            vectors: layout.shapes.iter().map(VectorWriter::new).collect::<Result<_>>()?,
        })
    }

    fn push(&mut self, view: &BatchView<'_>, row: usize, out: &mut PieceFile) -> Result<()> {
        let bad_id = |id: &str| Error::bug(format!("`{id}` is no point id"));
        let id = view.id(row);
        match view.id_kind(row) {
            IdKind::Integer => {
                let number: u64 = id.parse().map_err(|_| bad_id(id))?;
                self.ids.push(&[1], out)?;
                self.ids.push(&number.to_le_bytes(), out)?;
            }
            IdKind::Text => {
                let uuid = Uuid::try_parse(id).map_err(|_| bad_id(id))?;
                self.ids.push(&[2], out)?;
                self.ids.push(uuid.as_bytes(), out)?;
            }
        }
        self.ids.push(&self.rows.to_le_bytes(), out)?;
        self.versions.push(&VERSION.to_le_bytes(), out)?;
        for (column, vector) in self.vectors.iter_mut().enumerate() {
            vector.push(view.vector(column, row).as_ref(), out)?;
        }
        // No payload and an empty one are the same to Qdrant.
        let payload = view.metadata(row).map(|text| text.trim_ascii().as_bytes()).filter(|text| *text != b"{}");
        self.payloads.push(payload, out)?;
        self.rows += 1;
        Ok(())
    }

    fn finish(self, layout: &Layout, out: &mut PieceFile) -> Result<SegmentRecipe> {
        let of = |name: &str, content: &str, out: &mut PieceFile| Member::of(name.to_owned(), content.as_bytes(), out);
        let mut members = vec![
            of("segment.json", &layout.config.to_string(), out)?,
            of("payload_index/config.json", "{\"indexed_fields\":{}}", out)?,
            self.ids.finish_whole("mutable_id_tracker.mappings".to_owned(), out)?,
            self.versions.finish_whole("mutable_id_tracker.versions".to_owned(), out)?,
        ];
        members.extend(self.payloads.finish(out)?);
        for vector in self.vectors {
            members.extend(vector.finish(out)?);
        }
        members.push(of("version.info", dialect::SEGMENT_VERSION, out)?);
        Ok(SegmentRecipe { rows: self.rows.into(), members })
    }
}

#[cfg(test)]
mod tests {
    use tranship_collection::batch::RowText;
    use tranship_collection::{BatchBuilder, IdKinds, Metric};
    use tranship_storage::DurableFile;

    use super::*;

    fn recipe(batches: &[RecordBatch], schema: &CollectionSchema, segment_bytes: u64) -> Recipe {
        let dir = tempfile::tempdir().unwrap();
        let out = PieceFile::new(DurableFile::create(&dir.path().join("pieces")).unwrap());
        let layout = Layout::new(&Mapping::identity("qdrant", schema), schema);
        let mut writer = SegmentsWriter { segment_bytes, ..SegmentsWriter::new(layout, out) };
        batches.iter().for_each(|batch| writer.write(batch, schema).unwrap());
        writer.finish().unwrap().1
    }

    #[test]
    fn where_a_segment_ends_depends_on_the_records_and_not_on_their_batches() {
        let mut schema = CollectionSchema::new("c");
        schema.ids = IdKinds::Integer;
        schema.vectors = vec![VectorSpec { metric: Some(Metric::Dot), ..VectorSpec::dense("", 10) }];
        let mut builder = BatchBuilder::new(std::sync::Arc::new(schema.clone())).unwrap();
        for row in 0..100 {
            builder.push_dense(0, &[row as f32; 10]);
            let id = &row.to_string();
            let text = RowText { id, id_kind: IdKind::Integer, namespace: None, document: None, metadata: None };
            builder.finish_row(text).unwrap();
        }
        let whole = builder.finish().unwrap();
        let one = recipe(std::slice::from_ref(&whole), &schema, 1000);
        assert_eq!(one.iter().map(|segment| segment.rows).sum::<u64>(), 100);
        // A point is 13 B of id, 8 of version, 40 of vector, 16 of tracker; a byte of flags for eight.
        assert_eq!(one.iter().map(|segment| segment.rows).collect::<Vec<_>>(), [13, 13, 13, 13, 13, 13, 13, 9]);
        assert_eq!(one, recipe(&[whole.slice(0, 7), whole.slice(7, 93)], &schema, 1000));
        assert_eq!(recipe(&[whole], &schema, SEGMENT_BYTES).len(), 1);
    }
}

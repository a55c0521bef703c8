//! Fills batches in the canonical layout, one record at a time.
//!
//! Invariant: a batch holds whole records only. Vector values may be written straight into a column's buffer before
//! the record is complete; [`BatchBuilder::finish_row`] checks them and either keeps the record or takes all of it
//! back, so a reject leaves no trace. A vector nobody wrote is null, never zeros.

mod vectors;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{StringBuilder, UInt8Builder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;

use self::vectors::VectorColumn;
pub use self::vectors::all_finite;
use crate::fault::Fault;
use crate::layout;
use crate::schema::{CollectionSchema, IdKind, IdKinds};
use crate::vector::{Element, VectorKind, VectorSpec};

/// Collects records into one batch.
pub struct BatchBuilder {
    schema: Arc<CollectionSchema>,
    arrow: SchemaRef,
    rows: usize,
    ids: StringBuilder,
    id_kinds: UInt8Builder,
    namespaces: NamespaceColumn,
    vectors: Vec<VectorColumn>,
    documents: StringBuilder,
    metadata: StringBuilder,
}

/// What a record consists of besides its vectors.
#[derive(Debug, Clone, Copy)]
pub struct RowText<'a> {
    /// Canonical id text.
    pub id: &'a str,
    /// Kind of the id; ignored unless the collection mixes kinds.
    pub id_kind: IdKind,
    /// Namespace, `None` for the default one.
    pub namespace: Option<&'a str>,
    /// Document text.
    pub document: Option<&'a str>,
    /// Metadata as the text of one JSON object, already checked by the reader.
    pub metadata: Option<&'a str>,
}

#[derive(Default)]
struct NamespaceColumn {
    keys: Vec<Option<i32>>,
    values: Vec<String>,
    lookup: HashMap<String, i32>,
}

impl BatchBuilder {
    /// A builder for batches of `schema`. Sparse vectors and multivectors must be `f32`.
    pub fn new(schema: Arc<CollectionSchema>) -> Result<Self, Fault> {
        let only_f32 = |v: &&VectorSpec| matches!(v.kind, VectorKind::Sparse | VectorKind::Multi);
        if let Some(spec) = schema.stored_vectors().filter(only_f32).find(|v| v.element != Element::F32) {
            return Err(Fault::Layout { reason: format!("{} is not f32", layout::vector_column(spec)) });
        }
        let vectors = schema.stored_vectors().map(VectorColumn::new).collect();
        Ok(BatchBuilder {
            arrow: layout::arrow_schema(&schema),
            schema,
            rows: 0,
            ids: StringBuilder::new(),
            id_kinds: UInt8Builder::new(),
            namespaces: NamespaceColumn::default(),
            vectors,
            documents: StringBuilder::new(),
            metadata: StringBuilder::new(),
        })
    }

    /// The schema that batches follow.
    pub fn schema(&self) -> &Arc<CollectionSchema> {
        &self.schema
    }

    /// Whole records so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes held so far, for cutting batches.
    pub fn bytes(&self) -> usize {
        let vectors: usize = self.vectors.iter().map(VectorColumn::bytes).sum();
        let text =
            self.ids.values_slice().len() + self.documents.values_slice().len() + self.metadata.values_slice().len();
        vectors + text + 16 * self.rows
    }

    /// Position of the vector called `name` among the stored vectors.
    pub fn vector_index(&self, name: &str) -> Option<usize> {
        self.vectors.iter().position(|v| v.name() == name)
    }

    /// The value buffer of a dense vector: append `dim` floats for the open record, or none. For a column of a
    /// narrower element the floats must be exactly representable in it, or the record is refused.
    pub fn dense_values(&mut self, column: usize) -> &mut Vec<f32> {
        self.vectors[column].floats()
    }

    /// Appends a whole dense vector for the open record.
    pub fn push_dense(&mut self, column: usize, values: &[f32]) {
        self.vectors[column].floats().extend_from_slice(values);
    }

    /// Appends elements of a dense vector or multivector, or all bits of a bit vector (most significant bit first),
    /// for the open record as they lie in a file: little-endian, in the column's element type, without any padding.
    pub fn push_bytes(&mut self, column: usize, bytes: &[u8]) {
        self.vectors[column].push_bytes(bytes);
    }

    /// Appends the sparse vector of the open record; indices need not be checked by the caller.
    pub fn push_sparse(&mut self, column: usize, indices: &[u32], values: &[f32]) -> Result<(), Fault> {
        self.vectors[column].push_sparse(indices, values)
    }

    /// Appends the multivector of the open record: rows of `dim` floats one after another, possibly none.
    pub fn push_multi(&mut self, column: usize, rows: &[f32]) {
        self.vectors[column].push_rows(rows);
    }

    /// Completes the open record, or takes it back and says why.
    pub fn finish_row(&mut self, row: RowText<'_>) -> Result<(), Fault> {
        self.vectors.iter_mut().for_each(VectorColumn::narrow);
        if let Some(fault) = self.vectors.iter().find_map(|v| v.fault(self.rows)) {
            self.rollback();
            return Err(fault);
        }
        let rows = self.rows;
        self.vectors.iter_mut().for_each(|v| v.close_row(rows));
        self.ids.append_value(row.id);
        if self.schema.ids == IdKinds::Mixed {
            self.id_kinds.append_value(row.id_kind as u8);
        }
        if self.schema.namespaced {
            self.namespaces.push(row.namespace);
        }
        self.documents.append_option(row.document);
        self.metadata.append_option(row.metadata);
        self.rows += 1;
        Ok(())
    }

    /// Forgets whatever was written for the open record.
    pub fn rollback(&mut self) {
        let rows = self.rows;
        self.vectors.iter_mut().for_each(|v| v.rollback(rows));
    }

    /// The batch of all whole records; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, Fault> {
        self.rollback();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.ids.finish())];
        if self.schema.ids == IdKinds::Mixed {
            columns.push(Arc::new(self.id_kinds.finish()));
        }
        if self.schema.namespaced {
            columns.push(self.namespaces.finish()?);
        }
        let first_vector = columns.len();
        for (position, vector) in self.vectors.iter_mut().enumerate() {
            columns.push(vector.finish(self.arrow.field(first_vector + position).data_type())?);
        }
        columns.push(Arc::new(self.documents.finish()));
        columns.push(Arc::new(self.metadata.finish()));
        self.rows = 0;
        RecordBatch::try_new(self.arrow.clone(), columns).map_err(layout_fault)
    }
}

impl NamespaceColumn {
    fn push(&mut self, namespace: Option<&str>) {
        let key = namespace.map(|name| {
            *self.lookup.entry(name.to_owned()).or_insert_with(|| {
                self.values.push(name.to_owned());
                (self.values.len() - 1) as i32
            })
        });
        self.keys.push(key);
    }

    fn finish(&mut self) -> Result<ArrayRef, Fault> {
        let column = std::mem::take(self);
        let keys = Int32Array::from(column.keys);
        let values = Arc::new(StringArray::from(column.values));
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).map_err(layout_fault)?))
    }
}

fn layout_fault(error: arrow_schema::ArrowError) -> Fault {
    Fault::Layout { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{BatchView, VectorValue};

    fn schema() -> Arc<CollectionSchema> {
        let mut schema = CollectionSchema::new("c");
        schema.namespaced = true;
        schema.vectors = vec![
            VectorSpec::dense("", 2),
            VectorSpec { kind: VectorKind::Multi, ..VectorSpec::dense("m", 2) },
            VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense("s", 0) },
        ];
        Arc::new(schema)
    }

    fn row(id: &str) -> RowText<'_> {
        RowText { id, id_kind: IdKind::Text, namespace: Some("n"), document: None, metadata: Some("{}") }
    }

    #[test]
    fn a_rejected_record_leaves_no_trace() {
        let mut builder = BatchBuilder::new(schema()).unwrap();
        builder.push_dense(0, &[1.0, 2.0]);
        builder.push_multi(1, &[1.0, 2.0, 3.0, 4.0]);
        builder.push_sparse(2, &[1, 7], &[0.5, 0.25]).unwrap();
        builder.finish_row(row("a")).unwrap();
        builder.push_dense(0, &[1.0, 2.0, 3.0]);
        builder.push_sparse(2, &[3], &[1.0]).unwrap();
        assert!(matches!(builder.finish_row(row("b")), Err(Fault::WrongDim { found: 3, .. })));
        builder.push_dense(0, &[f32::NAN, 0.0]);
        assert!(matches!(builder.finish_row(row("b")), Err(Fault::NonFinite { .. })));
        builder.finish_row(row("c")).unwrap();
        let batch = builder.finish().unwrap();
        let schema = schema();
        let view = BatchView::new(&batch, &schema).unwrap();
        assert_eq!(view.len(), 2);
        assert_eq!(view.vector(0, 0), Some(VectorValue::Dense(&[1.0, 2.0])));
        assert_eq!(view.vector(1, 0), Some(VectorValue::Multi(&[1.0, 2.0, 3.0, 4.0])));
        assert_eq!(view.vector(2, 0), Some(VectorValue::Sparse(&[1, 7], &[0.5, 0.25])));
        assert_eq!((view.vector(0, 1), view.vector(1, 1), view.vector(2, 1)), (None, None, None));
        assert_eq!((view.id(1), view.namespace(1)), ("c", Some("n")));
    }

    #[test]
    fn narrow_elements_and_bits_are_kept_as_they_lie_in_the_file() {
        let narrow = |name: &str, element, dim| VectorSpec { element, ..VectorSpec::dense(name, dim) };
        let mut schema = CollectionSchema::new("c");
        schema.vectors = vec![
            narrow("f16", Element::F16, 2),
            narrow("bf16", Element::BF16, 1),
            narrow("i8", Element::I8, 3),
            narrow("u8", Element::U8, 1),
            VectorSpec { kind: VectorKind::Bits, ..narrow("bits", Element::U8, 10) },
        ];
        let schema = Arc::new(schema);
        let mut builder = BatchBuilder::new(schema.clone()).unwrap();
        let row = RowText { namespace: None, ..row("a") };
        for (column, bytes) in
            [&[0, 0x3c, 0, 0xc0][..], &[0x80, 0x3f], &[1, 0xff, 0x80], &[200], &[0xa5, 0x7f]].into_iter().enumerate()
        {
            builder.push_bytes(column, bytes);
        }
        builder.finish_row(row).unwrap();
        builder.push_bytes(0, &[0, 0x7c, 0, 0]);
        assert!(matches!(builder.finish_row(row), Err(Fault::NonFinite { .. })));
        builder.push_bytes(0, &[0, 0, 0]);
        assert!(matches!(builder.finish_row(row), Err(Fault::WrongElement { .. })));
        builder.push_dense(0, &[0.5, 0.1]);
        assert!(matches!(builder.finish_row(row), Err(Fault::WrongElement { .. })));
        builder.push_bytes(4, &[0; 3]);
        assert!(matches!(builder.finish_row(row), Err(Fault::WrongDim { expected: 10, found: 24, .. })));
        builder.push_dense(0, &[0.5, -2.0]);
        builder.push_dense(2, &[1.0, -128.0, 127.0]);
        builder.finish_row(row).unwrap();
        builder.finish_row(row).unwrap();
        let batch = builder.finish().unwrap();
        let view = BatchView::new(&batch, &schema).unwrap();
        let widened = |values: &[f32]| Some(VectorValue::Widened(values.to_vec()));
        assert_eq!(view.vector(0, 0), widened(&[1.0, -2.0]));
        assert_eq!(view.vector(1, 0), widened(&[1.0]));
        assert_eq!(view.vector(2, 0), widened(&[1.0, -1.0, -128.0]));
        assert_eq!(view.vector(3, 0), widened(&[200.0]));
        assert_eq!(view.vector(4, 0), Some(VectorValue::Bits(&[0xa5, 0x40])));
        assert_eq!((view.vector(0, 1), view.vector(2, 1)), (widened(&[0.5, -2.0]), widened(&[1.0, -128.0, 127.0])));
        assert!((0..5).all(|column| view.vector(column, 2).is_none()));
    }

    #[test]
    fn sparse_indices_must_ascend() {
        let mut builder = BatchBuilder::new(schema()).unwrap();
        assert!(builder.push_sparse(2, &[2, 2], &[1.0, 1.0]).is_err());
        assert!(builder.push_sparse(2, &[2], &[]).is_err());
    }
}

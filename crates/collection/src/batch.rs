//! Fills batches in the canonical layout, one record at a time.
//!
//! Invariant: a batch holds whole records only. Vector values may be written straight into a column's buffer before
//! the record is complete; [`BatchBuilder::finish_row`] checks them and either keeps the record or takes all of it
//! back, so a reject leaves no trace. A vector nobody wrote is null, never zeros.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Int32BufferBuilder, StringBuilder, UInt8Builder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeListArray, Float32Array, Int32Array, ListArray, RecordBatch, StringArray,
    StructArray, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, SchemaRef};

use crate::fault::Fault;
use crate::layout;
use crate::schema::{CollectionSchema, IdKind, IdKinds};
use crate::vector::{Element, VectorKind};

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

/// Buffers of one vector column.
struct VectorColumn {
    name: String,
    kind: VectorKind,
    dim: usize,
    values: Vec<f32>,
    indices: Vec<u32>,
    /// Ends of rows: positions in `indices` (sparse) or in vector rows (multi).
    ends: Vec<i32>,
    present: Vec<bool>,
    /// Set by `touch`: the open record has this vector even if it holds no values.
    touched: bool,
}

#[derive(Default)]
struct NamespaceColumn {
    keys: Vec<Option<i32>>,
    values: Vec<String>,
    lookup: HashMap<String, i32>,
}

impl BatchBuilder {
    /// A builder for batches of `schema`. All dense vectors must be `f32`.
    pub fn new(schema: Arc<CollectionSchema>) -> Result<Self, Fault> {
        if let Some(spec) = schema.stored_vectors().find(|v| v.element != Element::F32) {
            return Err(Fault::Layout { reason: format!("{} is not f32", layout::vector_column(spec)) });
        }
        let vectors = schema.stored_vectors().map(|v| VectorColumn::new(&v.name, v.kind, v.dim.unwrap_or(0))).collect();
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
        let vectors: usize = self.vectors.iter().map(|v| 4 * (v.values.len() + v.indices.len())).sum();
        let text =
            self.ids.values_slice().len() + self.documents.values_slice().len() + self.metadata.values_slice().len();
        vectors + text + 16 * self.rows
    }

    /// Position of the vector called `name` among the stored vectors.
    pub fn vector_index(&self, name: &str) -> Option<usize> {
        self.vectors.iter().position(|v| v.name == name)
    }

    /// The value buffer of a dense vector: append `dim` floats for the open record, or none.
    pub fn dense_values(&mut self, column: usize) -> &mut Vec<f32> {
        &mut self.vectors[column].values
    }

    /// Appends a whole dense vector for the open record.
    pub fn push_dense(&mut self, column: usize, values: &[f32]) {
        self.vectors[column].values.extend_from_slice(values);
    }

    /// Appends the sparse vector of the open record; indices need not be checked by the caller.
    pub fn push_sparse(&mut self, column: usize, indices: &[u32], values: &[f32]) -> Result<(), Fault> {
        let target = &mut self.vectors[column];
        let bad = |reason: &str| Fault::BadSparse { vector: target.name.clone(), reason: reason.to_owned() };
        if indices.len() != values.len() {
            return Err(bad("indices and values differ in number"));
        }
        if indices.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(bad("indices are not strictly ascending"));
        }
        target.indices.extend_from_slice(indices);
        target.values.extend_from_slice(values);
        target.touched = true;
        Ok(())
    }

    /// Appends the multivector of the open record: rows of `dim` floats one after another, possibly none.
    pub fn push_multi(&mut self, column: usize, rows: &[f32]) {
        self.vectors[column].values.extend_from_slice(rows);
        self.vectors[column].touched = true;
    }

    /// Completes the open record, or takes it back and says why.
    pub fn finish_row(&mut self, row: RowText<'_>) -> Result<(), Fault> {
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

/// True if no value is NaN or infinite. Looks at all of them, which is faster than stopping at the first.
pub fn all_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |finite, value| finite & value.is_finite())
}

impl VectorColumn {
    fn new(name: &str, kind: VectorKind, dim: usize) -> Self {
        VectorColumn {
            name: name.to_owned(),
            kind,
            dim,
            values: Vec::new(),
            indices: Vec::new(),
            ends: Vec::new(),
            present: Vec::new(),
            touched: false,
        }
    }

    /// Values that belong to whole records.
    fn kept_values(&self, rows: usize) -> usize {
        match self.kind {
            VectorKind::Dense => rows * self.dim,
            VectorKind::Sparse => self.last_end(),
            VectorKind::Multi => self.last_end() * self.dim,
        }
    }

    fn last_end(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    fn fault(&self, rows: usize) -> Option<Fault> {
        let fresh = self.values.get(self.kept_values(rows)..).unwrap_or(&[]);
        let whole = match self.kind {
            VectorKind::Dense => fresh.is_empty() || fresh.len() == self.dim,
            VectorKind::Multi => self.dim > 0 && fresh.len().is_multiple_of(self.dim),
            VectorKind::Sparse => true,
        };
        if !whole {
            return Some(Fault::WrongDim { vector: self.name.clone(), expected: self.dim, found: fresh.len() });
        }
        (!all_finite(fresh)).then(|| Fault::NonFinite { vector: self.name.clone() })
    }

    fn close_row(&mut self, rows: usize) {
        let fresh = self.values.len() - self.kept_values(rows);
        let present = fresh > 0 || self.touched;
        match self.kind {
            VectorKind::Dense => self.values.resize((rows + 1) * self.dim, 0.0),
            VectorKind::Sparse => self.ends.push(self.indices.len() as i32),
            VectorKind::Multi => self.ends.push((self.values.len() / self.dim.max(1)) as i32),
        }
        self.present.push(present);
        self.touched = false;
    }

    fn rollback(&mut self, rows: usize) {
        let kept = self.kept_values(rows);
        self.values.truncate(kept);
        if self.kind == VectorKind::Sparse {
            self.indices.truncate(kept);
        }
        self.touched = false;
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, Fault> {
        let present = std::mem::take(&mut self.present);
        let nulls = present.iter().any(|p| !p).then(|| NullBuffer::from(present));
        let values = Float32Array::from(std::mem::take(&mut self.values));
        let ends = std::mem::take(&mut self.ends);
        match (self.kind, data_type) {
            (VectorKind::Dense, DataType::FixedSizeList(item, size)) => Ok(Arc::new(
                FixedSizeListArray::try_new(item.clone(), *size, Arc::new(values), nulls).map_err(layout_fault)?,
            )),
            (VectorKind::Multi, DataType::List(item)) => {
                let DataType::FixedSizeList(element, size) = item.data_type() else {
                    return Err(Fault::Layout { reason: format!("multi column of {data_type}") });
                };
                let rows = FixedSizeListArray::try_new(element.clone(), *size, Arc::new(values), None)
                    .map_err(layout_fault)?;
                Ok(Arc::new(
                    ListArray::try_new(item.clone(), offsets(&ends), Arc::new(rows), nulls).map_err(layout_fault)?,
                ))
            }
            (VectorKind::Sparse, DataType::Struct(fields)) => {
                let indices = UInt32Array::from(std::mem::take(&mut self.indices));
                let list = |item: ArrayRef| {
                    ListArray::try_new(layout::item_field(item.data_type().clone()), offsets(&ends), item, None)
                        .map_err(layout_fault)
                };
                let children: Vec<ArrayRef> =
                    vec![Arc::new(list(Arc::new(indices))?), Arc::new(list(Arc::new(values))?)];
                Ok(Arc::new(StructArray::try_new(fields.clone(), children, nulls).map_err(layout_fault)?))
            }
            _ => Err(Fault::Layout { reason: format!("{} column of {data_type}", self.name) }),
        }
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

fn offsets(ends: &[i32]) -> OffsetBuffer<i32> {
    let mut builder = Int32BufferBuilder::new(ends.len() + 1);
    builder.append(0);
    builder.append_slice(ends);
    OffsetBuffer::new(ScalarBuffer::from(builder.finish()))
}

fn layout_fault(error: arrow_schema::ArrowError) -> Fault {
    Fault::Layout { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::VectorSpec;
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
    fn sparse_indices_must_ascend() {
        let mut builder = BatchBuilder::new(schema()).unwrap();
        assert!(builder.push_sparse(2, &[2, 2], &[1.0, 1.0]).is_err());
        assert!(builder.push_sparse(2, &[2], &[]).is_err());
    }
}

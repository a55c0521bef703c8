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
    Array, ArrayRef, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Float32Array, Int8Array,
    Int32Array, ListArray, RecordBatch, StringArray, StructArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, SchemaRef};

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

/// Buffers of one vector column.
struct VectorColumn {
    name: String,
    kind: VectorKind,
    dim: usize,
    values: Values,
    /// Floats of the open record that are still to be narrowed to the column's element type.
    wide: Vec<f32>,
    indices: Vec<u32>,
    /// Ends of rows: positions in `indices` (sparse) or in vector rows (multi).
    ends: Vec<i32>,
    present: Vec<bool>,
    /// The open record has this vector even if it holds no values.
    touched: bool,
    /// Something of another element type, or a part of an element, was pushed for the open record.
    misfit: bool,
}

/// The elements of a column, in the type that they are stored in.
enum Values {
    F32(Vec<f32>),
    /// The bits of f16.
    F16(Vec<u16>),
    /// The bits of bfloat16.
    BF16(Vec<u16>),
    I8(Vec<i8>),
    U8(Vec<u8>),
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
        let vectors: usize = self.vectors.iter().map(|v| v.values.bytes() + 4 * v.indices.len()).sum();
        let text =
            self.ids.values_slice().len() + self.documents.values_slice().len() + self.metadata.values_slice().len();
        vectors + text + 16 * self.rows
    }

    /// Position of the vector called `name` among the stored vectors.
    pub fn vector_index(&self, name: &str) -> Option<usize> {
        self.vectors.iter().position(|v| v.name == name)
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
        let target = &mut self.vectors[column];
        target.misfit |= !target.values.extend_from_bytes(bytes);
        target.touched |= target.kind == VectorKind::Multi;
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
        target.floats().extend_from_slice(values);
        target.touched = true;
        Ok(())
    }

    /// Appends the multivector of the open record: rows of `dim` floats one after another, possibly none.
    pub fn push_multi(&mut self, column: usize, rows: &[f32]) {
        self.vectors[column].floats().extend_from_slice(rows);
        self.vectors[column].touched = true;
    }

    /// Completes the open record, or takes it back and says why.
    pub fn finish_row(&mut self, row: RowText<'_>) -> Result<(), Fault> {
        self.vectors.iter_mut().filter(|v| !v.wide.is_empty()).for_each(VectorColumn::narrow);
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

impl Values {
    fn new(element: Element) -> Self {
        match element {
            Element::F32 => Values::F32(Vec::new()),
            Element::F16 => Values::F16(Vec::new()),
            Element::BF16 => Values::BF16(Vec::new()),
            Element::I8 => Values::I8(Vec::new()),
            Element::U8 => Values::U8(Vec::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F16(values) | Values::BF16(values) => values.len(),
            Values::I8(values) => values.len(),
            Values::U8(values) => values.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Values::F32(values) => 4 * values.len(),
            Values::F16(values) | Values::BF16(values) => 2 * values.len(),
            Values::I8(_) | Values::U8(_) => self.len(),
        }
    }

    /// False if `bytes` end within an element.
    fn extend_from_bytes(&mut self, bytes: &[u8]) -> bool {
        match self {
            Values::F32(values) => {
                let (words, rest) = bytes.as_chunks::<4>();
                values.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
                rest.is_empty()
            }
            Values::F16(values) | Values::BF16(values) => {
                let (words, rest) = bytes.as_chunks::<2>();
                values.extend(words.iter().map(|word| u16::from_le_bytes(*word)));
                rest.is_empty()
            }
            Values::I8(values) => {
                values.extend(bytes.iter().map(|byte| *byte as i8));
                true
            }
            Values::U8(values) => {
                values.extend_from_slice(bytes);
                true
            }
        }
    }

    /// False if the element type cannot hold exactly this float.
    fn push_exact(&mut self, value: f32) -> bool {
        let same = |wide: f32| wide.to_bits() == value.to_bits() || (wide.is_nan() && value.is_nan());
        match self {
            Values::F32(values) => {
                values.push(value);
                true
            }
            Values::F16(values) => {
                let narrow = half::f16::from_f32(value);
                values.push(narrow.to_bits());
                same(narrow.to_f32())
            }
            Values::BF16(values) => {
                let narrow = half::bf16::from_f32(value);
                values.push(narrow.to_bits());
                same(narrow.to_f32())
            }
            Values::I8(values) => {
                values.push(value as i8);
                same(f32::from(value as i8))
            }
            Values::U8(values) => {
                values.push(value as u8);
                same(f32::from(value as u8))
            }
        }
    }

    fn resize(&mut self, len: usize) {
        match self {
            Values::F32(values) => values.resize(len, 0.0),
            Values::F16(values) | Values::BF16(values) => values.resize(len, 0),
            Values::I8(values) => values.resize(len, 0),
            Values::U8(values) => values.resize(len, 0),
        }
    }

    /// True if no value from `start` on is NaN or infinite.
    fn finite_from(&self, start: usize) -> bool {
        // An exponent of ones is what NaN and the infinities have in common.
        let finite = |values: &[u16], exponent: u16| {
            values[start.min(values.len())..].iter().fold(true, |all, bits| all & (bits & exponent != exponent))
        };
        match self {
            Values::F32(values) => all_finite(&values[start.min(values.len())..]),
            Values::F16(values) => finite(values, 0x7c00),
            Values::BF16(values) => finite(values, 0x7f80),
            Values::I8(_) | Values::U8(_) => true,
        }
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Values::F32(values) => Arc::new(Float32Array::from(std::mem::take(values))),
            Values::F16(values) => {
                let floats: ScalarBuffer<half::f16> =
                    ScalarBuffer::from(arrow_buffer::Buffer::from_vec(std::mem::take(values)));
                Arc::new(Float16Array::new(floats, None))
            }
            Values::BF16(values) => Arc::new(UInt16Array::from(std::mem::take(values))),
            Values::I8(values) => Arc::new(Int8Array::from(std::mem::take(values))),
            Values::U8(values) => Arc::new(UInt8Array::from(std::mem::take(values))),
        }
    }
}

impl VectorColumn {
    fn new(spec: &VectorSpec) -> Self {
        VectorColumn {
            name: spec.name.clone(),
            kind: spec.kind,
            dim: spec.dim.unwrap_or(0),
            values: Values::new(if spec.kind == VectorKind::Bits { Element::U8 } else { spec.element }),
            wide: Vec::new(),
            indices: Vec::new(),
            ends: Vec::new(),
            present: Vec::new(),
            touched: false,
            misfit: false,
        }
    }

    fn floats(&mut self) -> &mut Vec<f32> {
        match &mut self.values {
            Values::F32(values) => values,
            _ => &mut self.wide,
        }
    }

    /// Brings floats that were given for a column of narrower elements into these.
    fn narrow(&mut self) {
        let wide = std::mem::take(&mut self.wide);
        self.misfit |= self.kind == VectorKind::Bits && !wide.is_empty();
        self.misfit |= !wide.iter().all(|value| self.values.push_exact(*value));
    }

    /// Stored values of one row of a dense, multi or bit vector.
    fn width(&self) -> usize {
        if self.kind == VectorKind::Bits { self.dim.div_ceil(8) } else { self.dim }
    }

    /// Values that belong to whole records.
    fn kept_values(&self, rows: usize) -> usize {
        match self.kind {
            VectorKind::Dense | VectorKind::Bits => rows * self.width(),
            VectorKind::Sparse => self.last_end(),
            VectorKind::Multi => self.last_end() * self.dim,
        }
    }

    fn last_end(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    fn fault(&self, rows: usize) -> Option<Fault> {
        let kept = self.kept_values(rows);
        let fresh = self.values.len().saturating_sub(kept);
        let whole = match self.kind {
            VectorKind::Dense | VectorKind::Bits => fresh == 0 || fresh == self.width(),
            VectorKind::Multi => self.dim > 0 && fresh.is_multiple_of(self.dim),
            VectorKind::Sparse => true,
        };
        if self.misfit {
            return Some(Fault::WrongElement { vector: self.name.clone() });
        }
        if !whole {
            let found = if self.kind == VectorKind::Bits { 8 * fresh } else { fresh };
            return Some(Fault::WrongDim { vector: self.name.clone(), expected: self.dim, found });
        }
        (!self.values.finite_from(kept)).then(|| Fault::NonFinite { vector: self.name.clone() })
    }

    fn close_row(&mut self, rows: usize) {
        let fresh = self.values.len() - self.kept_values(rows);
        let present = fresh > 0 || self.touched;
        if self.kind == VectorKind::Bits && fresh > 0 {
            self.clear_bits_beyond_dim();
        }
        match self.kind {
            VectorKind::Dense | VectorKind::Bits => self.values.resize((rows + 1) * self.width()),
            VectorKind::Sparse => self.ends.push(self.indices.len() as i32),
            VectorKind::Multi => self.ends.push((self.values.len() / self.dim.max(1)) as i32),
        }
        self.present.push(present);
        self.touched = false;
    }

    /// What a source leaves in the last byte's unused bits is no part of the vector.
    fn clear_bits_beyond_dim(&mut self) {
        let unused = 8 * self.width() - self.dim;
        if let Values::U8(bytes) = &mut self.values
            && let Some(last) = bytes.last_mut()
        {
            *last &= u8::MAX << unused;
        }
    }

    fn rollback(&mut self, rows: usize) {
        let kept = self.kept_values(rows);
        if self.values.len() > kept {
            self.values.resize(kept);
        }
        if self.kind == VectorKind::Sparse {
            self.indices.truncate(kept);
        }
        self.wide.clear();
        (self.touched, self.misfit) = (false, false);
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, Fault> {
        let present = std::mem::take(&mut self.present);
        let nulls = present.iter().any(|p| !p).then(|| NullBuffer::from(present));
        let values = self.values.take();
        let ends = std::mem::take(&mut self.ends);
        match (self.kind, data_type) {
            (VectorKind::Dense, DataType::FixedSizeList(item, size)) => {
                Ok(Arc::new(FixedSizeListArray::try_new(item.clone(), *size, values, nulls).map_err(layout_fault)?))
            }
            (VectorKind::Bits, DataType::FixedSizeBinary(width)) => {
                let bytes = values.to_data().buffers()[0].clone();
                Ok(Arc::new(FixedSizeBinaryArray::try_new(*width, bytes, nulls).map_err(layout_fault)?))
            }
            (VectorKind::Multi, DataType::List(item)) => {
                let DataType::FixedSizeList(element, size) = item.data_type() else {
                    return Err(Fault::Layout { reason: format!("multi column of {data_type}") });
                };
                let rows = FixedSizeListArray::try_new(element.clone(), *size, values, None).map_err(layout_fault)?;
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
                let children: Vec<ArrayRef> = vec![Arc::new(list(Arc::new(indices))?), Arc::new(list(values)?)];
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

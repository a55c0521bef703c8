//! One vector column of a batch while it is filled.
//!
//! Invariant: values of whole records come first; what is behind them belongs to the open record and goes with it if the
//! record is refused. Elements are kept in the type of the column: floats that are given to a narrower one must be
//! exactly representable in it. The bits behind the last dimension of a bit vector are 0.
//!
//! Faults: wrong dimension, wrong element, non-finite, bad sparse.

use std::sync::Arc;

use arrow_array::builder::Int32BufferBuilder;
use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Float32Array, Int8Array, ListArray,
    StructArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use super::layout_fault;
use crate::fault::Fault;
use crate::layout;
use crate::vector::{Element, VectorKind, VectorSpec};

/// Buffers of one vector column.
pub(super) struct VectorColumn {
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
    /// An empty column.
    pub(super) fn new(spec: &VectorSpec) -> Self {
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

    /// Name of the vector.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.values.bytes() + 4 * self.indices.len()
    }

    /// Elements as they lie in a file.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.misfit |= !self.values.extend_from_bytes(bytes);
        self.touched |= self.kind == VectorKind::Multi;
    }

    /// Rows of a multivector, possibly none.
    pub(super) fn push_rows(&mut self, rows: &[f32]) {
        self.floats().extend_from_slice(rows);
        self.touched = true;
    }

    /// A sparse vector.
    pub(super) fn push_sparse(&mut self, indices: &[u32], values: &[f32]) -> Result<(), Fault> {
        let bad = |reason: &str| Fault::BadSparse { vector: self.name.clone(), reason: reason.to_owned() };
        if indices.len() != values.len() {
            return Err(bad("indices and values differ in number"));
        }
        if indices.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(bad("indices are not strictly ascending"));
        }
        self.indices.extend_from_slice(indices);
        self.floats().extend_from_slice(values);
        self.touched = true;
        Ok(())
    }

    /// Where floats of the open record go.
    pub(super) fn floats(&mut self) -> &mut Vec<f32> {
        match &mut self.values {
            Values::F32(values) => values,
            _ => &mut self.wide,
        }
    }

    /// Brings floats that were given for a column of narrower elements into these.
    pub(super) fn narrow(&mut self) {
        if self.wide.is_empty() {
            return;
        }
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

    /// What is wrong with the open record's vector, if `rows` records are whole.
    pub(super) fn fault(&self, rows: usize) -> Option<Fault> {
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

    /// Makes the open record's vector part of the column.
    pub(super) fn close_row(&mut self, rows: usize) {
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

    /// Forgets the open record's vector.
    pub(super) fn rollback(&mut self, rows: usize) {
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

    /// The column of all whole records; empty afterwards.
    pub(super) fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, Fault> {
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

fn offsets(ends: &[i32]) -> OffsetBuffer<i32> {
    let mut builder = Int32BufferBuilder::new(ends.len() + 1);
    builder.append(0);
    builder.append_slice(ends);
    OffsetBuffer::new(ScalarBuffer::from(builder.finish()))
}

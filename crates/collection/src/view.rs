//! A typed look at one batch in the canonical layout.
//!
//! Invariant: a [`BatchView`] exists only for a batch whose columns have exactly the layout's names and types, so
//! that accessors need no checks of their own. Rows are `0..len()`.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Int8Type, Int32Type, UInt8Type, UInt16Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, ListArray, RecordBatch, StringArray,
    StructArray, UInt8Array,
};

use crate::fault::Fault;
use crate::layout;
use crate::schema::{CollectionSchema, IdKind, IdKinds};
use crate::vector::{Element, VectorKind, VectorSpec};

/// One record's value in one vector column.
#[derive(Debug, Clone, PartialEq)]
pub enum VectorValue<'a> {
    /// `dim` floats in place.
    Dense(&'a [f32]),
    /// `dim` elements of a narrower type, widened to the floats that they stand for.
    Widened(Vec<f32>),
    /// Ascending indices and their values.
    Sparse(&'a [u32], &'a [f32]),
    /// Rows of `dim` floats, one after another.
    Multi(&'a [f32]),
    /// `dim` bits, the most significant of each byte first.
    Bits(&'a [u8]),
}

/// A batch whose layout has been checked.
pub struct BatchView<'a> {
    len: usize,
    ids: &'a StringArray,
    id_kinds: Result<&'a UInt8Array, IdKind>,
    namespaces: Option<(&'a DictionaryArray<Int32Type>, &'a StringArray)>,
    vectors: Vec<VectorColumn<'a>>,
    documents: &'a StringArray,
    metadata: &'a StringArray,
}

struct VectorColumn<'a> {
    spec: &'a VectorSpec,
    dim: usize,
    data: VectorData<'a>,
}

enum VectorData<'a> {
    Dense(&'a FixedSizeListArray),
    Sparse(&'a StructArray, &'a ListArray, &'a ListArray),
    Multi(&'a ListArray, &'a FixedSizeListArray),
    Bits(&'a FixedSizeBinaryArray),
}

impl<'a> BatchView<'a> {
    /// Checks the layout of `batch` against `schema`.
    pub fn new(batch: &'a RecordBatch, schema: &'a CollectionSchema) -> Result<Self, Fault> {
        let expected = layout::arrow_schema(schema);
        let found = batch.schema_ref();
        for (want, have) in expected.fields().iter().zip(found.fields()) {
            if want.name() != have.name() || want.data_type() != have.data_type() {
                return Err(mismatch(&format!(
                    "expected column `{}` of {}, found `{}` of {}",
                    want.name(),
                    want.data_type(),
                    have.name(),
                    have.data_type()
                )));
            }
        }
        if expected.fields().len() != found.fields().len() {
            return Err(mismatch(&format!("{} columns, expected {}", found.fields().len(), expected.fields().len())));
        }
        let mut columns = batch.columns().iter();
        let ids = text_column(next(&mut columns)?)?;
        let id_kinds = match schema.ids {
            IdKinds::Integer => Err(IdKind::Integer),
            IdKinds::Text => Err(IdKind::Text),
            IdKinds::Mixed => Ok(next(&mut columns)?
                .as_primitive_opt::<UInt8Type>()
                .ok_or_else(|| mismatch("id_kind is not UInt8"))?),
        };
        let namespaces = match schema.namespaced {
            true => Some(namespace_column(next(&mut columns)?)?),
            false => None,
        };
        let vectors = schema
            .stored_vectors()
            .map(|spec| VectorColumn::new(spec, next(&mut columns)?))
            .collect::<Result<Vec<_>, Fault>>()?;
        let documents = text_column(next(&mut columns)?)?;
        let metadata = text_column(next(&mut columns)?)?;
        Ok(BatchView { len: batch.num_rows(), ids, id_kinds, namespaces, vectors, documents, metadata })
    }

    /// Rows in the batch.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if the batch has no rows.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id's canonical text.
    pub fn id(&self, row: usize) -> &'a str {
        self.ids.value(row)
    }

    /// Whether the id is an integer or a text.
    pub fn id_kind(&self, row: usize) -> IdKind {
        match self.id_kinds {
            Err(kind) => kind,
            Ok(kinds) if kinds.value(row) == IdKind::Integer as u8 => IdKind::Integer,
            Ok(_) => IdKind::Text,
        }
    }

    /// The namespace, `None` for the default one.
    pub fn namespace(&self, row: usize) -> Option<&'a str> {
        let (keys, values) = self.namespaces?;
        keys.key(row).map(|key| values.value(key))
    }

    /// The vector columns, in the order of the schema's stored vectors.
    pub fn vector_specs(&self) -> impl Iterator<Item = &'a VectorSpec> + '_ {
        self.vectors.iter().map(|column| column.spec)
    }

    /// Elements per row of vector column `column`; 0 for sparse vectors.
    pub fn dim(&self, column: usize) -> usize {
        self.vectors.get(column).map_or(0, |vector| vector.dim)
    }

    /// The value of vector column `column` (position in [`Self::vector_specs`]); `None` if the record has none.
    pub fn vector(&self, column: usize, row: usize) -> Option<VectorValue<'a>> {
        self.vectors.get(column)?.value(row)
    }

    /// The document text.
    pub fn document(&self, row: usize) -> Option<&'a str> {
        self.documents.is_valid(row).then(|| self.documents.value(row))
    }

    /// The metadata object's JSON text.
    pub fn metadata(&self, row: usize) -> Option<&'a str> {
        self.metadata.is_valid(row).then(|| self.metadata.value(row))
    }
}

impl<'a> VectorColumn<'a> {
    fn new(spec: &'a VectorSpec, column: &'a ArrayRef) -> Result<Self, Fault> {
        let wrong = || mismatch(&format!("{} has an unexpected Arrow array", layout::vector_column(spec)));
        let data = match spec.kind {
            VectorKind::Dense => VectorData::Dense(column.as_fixed_size_list_opt().ok_or_else(wrong)?),
            VectorKind::Multi => {
                let list: &ListArray = column.as_list_opt().ok_or_else(wrong)?;
                VectorData::Multi(list, list.values().as_fixed_size_list_opt().ok_or_else(wrong)?)
            }
            VectorKind::Sparse => {
                let pair = column.as_struct_opt().ok_or_else(wrong)?;
                let indices = pair.column(0).as_list_opt().ok_or_else(wrong)?;
                VectorData::Sparse(pair, indices, pair.column(1).as_list_opt().ok_or_else(wrong)?)
            }
            VectorKind::Bits => VectorData::Bits(column.as_fixed_size_binary_opt().ok_or_else(wrong)?),
        };
        Ok(VectorColumn { spec, dim: spec.dim.unwrap_or(0), data })
    }

    fn value(&self, row: usize) -> Option<VectorValue<'a>> {
        match &self.data {
            VectorData::Dense(list) => list.is_valid(row).then(|| self.dense(list, row)),
            VectorData::Bits(bytes) => bytes.is_valid(row).then(|| VectorValue::Bits(bytes.value(row))),
            VectorData::Sparse(pair, indices, values) => pair.is_valid(row).then(|| {
                let (start, end) = bounds(indices, row);
                let (value_start, value_end) = bounds(values, row);
                VectorValue::Sparse(
                    &indices.values().as_primitive::<UInt32Type>().values()[start..end],
                    &values.values().as_primitive::<Float32Type>().values()[value_start..value_end],
                )
            }),
            VectorData::Multi(list, rows) => list.is_valid(row).then(|| {
                let (start, end) = bounds(list, row);
                let floats = rows.values().as_primitive::<Float32Type>().values();
                let first = rows.offset();
                VectorValue::Multi(&floats[(first + start) * self.dim..(first + end) * self.dim])
            }),
        }
    }

    fn dense(&self, list: &'a FixedSizeListArray, row: usize) -> VectorValue<'a> {
        let range = row * self.dim..(row + 1) * self.dim;
        let values = list.values();
        match self.spec.element {
            Element::F32 => VectorValue::Dense(&values.as_primitive::<Float32Type>().values()[range]),
            Element::F16 => widen(&values.as_primitive::<Float16Type>().values()[range], |v| v.to_f32()),
            Element::BF16 => {
                widen(&values.as_primitive::<UInt16Type>().values()[range], |v| half::bf16::from_bits(*v).to_f32())
            }
            Element::I8 => widen(&values.as_primitive::<Int8Type>().values()[range], |v| f32::from(*v)),
            Element::U8 => widen(&values.as_primitive::<UInt8Type>().values()[range], |v| f32::from(*v)),
        }
    }
}

fn widen<T>(values: &[T], to_f32: impl Fn(&T) -> f32) -> VectorValue<'static> {
    VectorValue::Widened(values.iter().map(to_f32).collect())
}

fn bounds(list: &ListArray, row: usize) -> (usize, usize) {
    let offsets = list.value_offsets();
    (offsets[row] as usize, offsets[row + 1] as usize)
}

fn mismatch(reason: &str) -> Fault {
    Fault::Layout { reason: reason.to_owned() }
}

fn next<'a>(columns: &mut impl Iterator<Item = &'a ArrayRef>) -> Result<&'a ArrayRef, Fault> {
    columns.next().ok_or_else(|| mismatch("a column is missing"))
}

fn text_column(column: &ArrayRef) -> Result<&StringArray, Fault> {
    column.as_string_opt::<i32>().ok_or_else(|| mismatch("a text column is not Utf8"))
}

fn namespace_column(column: &ArrayRef) -> Result<(&DictionaryArray<Int32Type>, &StringArray), Fault> {
    let keys = column.as_dictionary_opt::<Int32Type>().ok_or_else(|| mismatch("namespace is not a dictionary"))?;
    let values = keys.values().as_string_opt::<i32>().ok_or_else(|| mismatch("namespace values are not Utf8"))?;
    Ok((keys, values))
}

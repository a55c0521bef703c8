//! What a target does to records for good: vectors at unit length, sparse vectors without explicit zeros, vectors,
//! documents or records left out.

use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::{
    BatchBuilder, BatchView, CollectionSchema, Element, Fault, VectorKind, VectorSpec, VectorValue,
};

use super::Mapping;
use super::undo::Texts;

impl Mapping {
    /// The schema of projected records, for records that arrive in `schema`: a vector at unit length has the element
    /// type that the target stores it in, a vector that is left out is not there.
    pub fn projected_schema(&self, schema: &CollectionSchema) -> CollectionSchema {
        let mut projected = schema.clone();
        projected.vectors.retain(|spec| !self.dropped_vectors.contains(&spec.name));
        for spec in projected.vectors.iter_mut().filter(|spec| self.normalises(spec)) {
            spec.element = self.stored_element(&spec.name);
        }
        projected
    }

    fn normalises(&self, spec: &VectorSpec) -> bool {
        self.normalised.contains(&spec.name) && matches!(spec.kind, VectorKind::Dense | VectorKind::Multi)
    }

    fn stored_element(&self, name: &str) -> Element {
        self.elements.get(name).copied().unwrap_or(Element::F32)
    }

    /// Applies to a batch of the source what the target does to it for good. The batch that comes out follows
    /// [`Self::projected_schema`].
    pub fn project(&self, batch: &RecordBatch, schema: &CollectionSchema) -> Result<RecordBatch, (usize, Fault)> {
        if !self.projects() {
            return Ok(batch.clone());
        }
        let view = BatchView::new(batch, schema).map_err(|fault| (0, fault))?;
        let kept: Vec<(usize, Option<Element>, bool)> = view
            .vector_specs()
            .enumerate()
            .filter(|(_, spec)| !self.dropped_vectors.contains(&spec.name))
            .map(|(column, spec)| {
                let to_unit = self.normalises(spec).then(|| self.stored_element(&spec.name));
                (column, to_unit, self.without_zeros.contains(&spec.name))
            })
            .collect();
        let mut builder = BatchBuilder::new(Arc::new(self.projected_schema(schema))).map_err(|fault| (0, fault))?;
        for row in 0..view.len() {
            if self.leaves_out(&view, row).map_err(|fault| (row, fault))?.is_some() {
                continue;
            }
            for (target, (column, to_unit, without_zeros)) in kept.iter().enumerate() {
                if let (true, Some(VectorValue::Sparse(indices, values))) = (*without_zeros, view.vector(*column, row))
                {
                    let (indices, values): (Vec<u32>, Vec<f32>) = nonzero(indices, values).unzip();
                    builder.push_sparse(target, &indices, &values).map_err(|fault| (row, fault))?;
                    continue;
                }
                push_vector(&mut builder, target, view.vector(*column, row), *to_unit, view.dim(*column))
                    .map_err(|fault| (row, fault))?;
            }
            let texts = Texts::of(&view, row).without(self.drops_documents, self.drops_metadata);
            builder.finish_row(texts.as_row()).map_err(|fault| (row, fault))?;
        }
        builder.finish().map_err(|fault| (0, fault))
    }
}

/// The entries of a sparse vector that are not zero.
pub fn nonzero(indices: &[u32], values: &[f32]) -> impl Iterator<Item = (u32, f32)> {
    indices.iter().copied().zip(values.iter().copied()).filter(|(_, value)| *value != 0.0)
}

/// Appends a vector; at unit length in the element type `to_unit`, if there is one.
pub fn push_vector(
    builder: &mut BatchBuilder,
    column: usize,
    value: Option<VectorValue<'_>>,
    to_unit: Option<Element>,
    dim: usize,
) -> Result<(), Fault> {
    match value {
        None => {}
        Some(VectorValue::Dense(values)) => push_rows(builder.dense_values(column), values, to_unit, dim),
        Some(VectorValue::Widened(values)) => push_rows(builder.dense_values(column), &values, to_unit, dim),
        Some(VectorValue::Sparse(indices, values)) => builder.push_sparse(column, indices, values)?,
        Some(VectorValue::Multi(rows)) => {
            let mut scaled = Vec::with_capacity(rows.len());
            push_rows(&mut scaled, rows, to_unit, dim);
            builder.push_multi(column, &scaled);
        }
        Some(VectorValue::Bits(bytes)) => builder.push_bytes(column, bytes),
    }
    Ok(())
}

fn push_rows(out: &mut Vec<f32>, values: &[f32], to_unit: Option<Element>, dim: usize) {
    let Some(element) = to_unit.filter(|_| dim > 0) else {
        return out.extend_from_slice(values);
    };
    for row in values.chunks(dim) {
        let scale = unit_scale(row);
        out.extend(row.iter().map(|value| element.nearest(value * scale)));
    }
}

/// The factor that brings `row` to unit length; 1 for rows that are zero or already there, as Qdrant has it.
///
/// Summed in f64: engines add in lanes, and only the exact sum stays within one rounding of all of them at any `dim`.
pub fn unit_scale(row: &[f32]) -> f32 {
    let square: f64 = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    if square < f64::from(f32::EPSILON) || (square - 1.0).abs() <= 1e-6 { 1.0 } else { (1.0 / square.sqrt()) as f32 }
}

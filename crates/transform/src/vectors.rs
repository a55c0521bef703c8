//! What is done to vectors: fewer dimensions, unit length, narrower elements.
//!
//! Dense vectors alone are concerned; for unit length and fewer dimensions the rows of multivectors too. Each step makes the columns
//! that it changes anew and leaves the others where they are.
//!
//! A cast measures itself: the largest and the mean difference of an element (of signed bytes after scaling back), the least and the
//! mean cosine similarity between a vector and what became of it. Signed bytes have one scale per column, 127 over the largest element of
//! all records, so that neither metric changes its order but by rounding. A bit is set where the element is above zero.
//!
//! Rejects: a zero vector, which has no direction to bring to unit length; an element that the narrower type cannot hold.
//! Errors: usage, if no vector is concerned.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use tranship_collection::batch::RowText;
use tranship_collection::{
    BatchBuilder, BatchView, CollectionSchema, Element, IdKind, IndexSpec, Metric, VectorKind, VectorSpec, VectorValue,
    layout,
};
use tranship_connector::transforms::{CastError, CastTo};
use tranship_connector::{Error, Grade, Loss, Result, Transforms};

use crate::chain::{Pass, Step, Worker, broken};
use crate::columns::{Columns, rebuilt};

/// The name of the cast.
pub const CAST: &str = "cast";

/// The steps over vectors, the cast without what it has to measure first.
pub fn steps(transforms: &Transforms) -> Vec<Box<dyn Step>> {
    let truncate = transforms.truncate_dims.map(|dims| Box::new(Truncate { dims }) as Box<dyn Step>);
    let normalise = transforms.normalise.then(|| Box::new(Normalise) as Box<dyn Step>);
    let cast = transforms.cast.map(|to| Box::new(Cast { to, scales: BTreeMap::new() }) as Box<dyn Step>);
    [truncate, normalise, cast].into_iter().flatten().collect()
}

/// Keeps the first dimensions.
struct Truncate {
    dims: usize,
}

/// Brings to unit length.
struct Normalise;

/// Narrows the elements.
pub struct Cast {
    pub to: CastTo,
    /// The factor of each vector that becomes signed bytes.
    pub scales: BTreeMap<String, f32>,
}

impl Truncate {
    fn concerns(&self, spec: &VectorSpec) -> bool {
        has_rows(spec) && spec.dim.is_some_and(|dim| dim > self.dims)
    }
}

fn has_rows(spec: &VectorSpec) -> bool {
    matches!(spec.kind, VectorKind::Dense | VectorKind::Multi)
}

impl Step for Truncate {
    fn name(&self) -> &'static str {
        "truncate"
    }

    fn output(&self, schema: &CollectionSchema) -> Result<CollectionSchema> {
        let change = |spec: &mut VectorSpec| {
            spec.dim = Some(self.dims);
            spec.normalised = false;
        };
        changed_schema(schema, |spec| self.concerns(spec), change).ok_or_else(|| {
            let widest = schema.vectors.iter().filter(|spec| has_rows(spec)).filter_map(|spec| spec.dim).max();
            let widest = widest.map_or("there is none".to_owned(), |dim| format!("the widest has {dim}"));
            Error::usage(format!("no dense vector has more than {} dimensions: {widest}", self.dims))
                .hint("leave --truncate-dims out, or ask for fewer")
        })
    }

    fn losses(&self, schema: &CollectionSchema) -> Vec<Loss> {
        let to = || format!("the first {}", self.dims);
        let from = |spec: &VectorSpec| format!("{} dimensions", spec.dim.unwrap_or(0));
        each(
            schema,
            |spec| self.concerns(spec),
            |spec, path| Loss::new("CHANGED_VECTORS", path, from(spec), to(), Grade::Lossy),
        )
    }

    fn worker<'a>(
        &'a self,
        _: &'a CollectionSchema,
        output: &'a Arc<CollectionSchema>,
    ) -> Result<Box<dyn Worker + 'a>> {
        let change = move |spec: &VectorSpec, values: &[f32], pass: &mut Pass<'_>| {
            pass.count_changed(1);
            let dim = spec.dim.unwrap_or(1).max(1);
            Ok(Changed::Floats(values.chunks(dim).flat_map(|row| row.iter().take(self.dims)).copied().collect()))
        };
        Ok(Box::new(Columnwise { output, concerns: |spec: &VectorSpec| self.concerns(spec), change }))
    }
}

impl Step for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn output(&self, schema: &CollectionSchema) -> Result<CollectionSchema> {
        let change = |spec: &mut VectorSpec| {
            spec.element = Element::F32;
            spec.normalised = true;
        };
        changed_schema(schema, has_rows, change)
            .ok_or_else(|| Error::usage("there is no dense vector to normalise").hint("leave --normalize out"))
    }

    fn losses(&self, schema: &CollectionSchema) -> Vec<Loss> {
        let grade = |spec: &VectorSpec| {
            if spec.metric == Some(Metric::Cosine) { Grade::Equivalent } else { Grade::Lossy }
        };
        each(schema, has_rows, |spec, path| {
            Loss::new("CHANGED_VECTORS", path, "lengths as they are", "unit length", grade(spec))
        })
    }

    fn worker<'a>(
        &'a self,
        _: &'a CollectionSchema,
        output: &'a Arc<CollectionSchema>,
    ) -> Result<Box<dyn Worker + 'a>> {
        let change = |spec: &VectorSpec, values: &[f32], pass: &mut Pass<'_>| {
            pass.count_changed(1);
            let mut out = Vec::with_capacity(values.len());
            for row in values.chunks(spec.dim.unwrap_or(1).max(1)) {
                // In f64: lanes of f32 would lose digits, and the smallest and largest floats their squares.
                let length = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
                if length == 0.0 {
                    return Err("a zero vector has no direction".to_owned());
                }
                out.extend(row.iter().map(|v| (f64::from(*v) / length) as f32));
            }
            Ok(Changed::Floats(out))
        };
        Ok(Box::new(Columnwise { output, concerns: has_rows, change }))
    }
}

impl Cast {
    fn concerns(&self, spec: &VectorSpec) -> bool {
        let same = match self.to {
            CastTo::F16 => spec.element == Element::F16,
            CastTo::Bf16 => spec.element == Element::BF16,
            CastTo::I8 => spec.element == Element::I8,
            CastTo::Bits => false,
        };
        spec.kind == VectorKind::Dense && spec.dim.is_some() && !same
    }

    fn name_of(&self) -> &'static str {
        match self.to {
            CastTo::F16 => "f16",
            CastTo::Bf16 => "bf16",
            CastTo::I8 => "i8",
            CastTo::Bits => "bits",
        }
    }

    fn narrowed(&self, spec: &VectorSpec, values: &[f32]) -> Changed {
        match self.to {
            CastTo::F16 => Changed::Floats(values.iter().map(|v| Element::F16.nearest(*v)).collect()),
            CastTo::Bf16 => Changed::Floats(values.iter().map(|v| Element::BF16.nearest(*v)).collect()),
            CastTo::I8 => {
                let scale = self.scales.get(&spec.name).copied().unwrap_or(1.0);
                Changed::Floats(values.iter().map(|v| Element::I8.nearest(v * scale)).collect())
            }
            CastTo::Bits => {
                let byte = |bits: &[f32]| {
                    bits.iter().enumerate().fold(0, |byte, (at, v)| byte | u8::from(*v > 0.0) << (7 - at))
                };
                Changed::Bytes(values.chunks(8).map(byte).collect())
            }
        }
    }

    /// How far `values` moved. Bits are taken as -1 and 1 for the angle and have no differences.
    fn measure(&self, spec: &VectorSpec, values: &[f32], narrowed: &Changed, error: &mut CastError) {
        let scale = f64::from(self.scales.get(&spec.name).copied().unwrap_or(1.0));
        let became: Vec<f64> = match narrowed {
            Changed::Floats(floats) => floats.iter().map(|v| f64::from(*v) / scale).collect(),
            Changed::Bytes(_) => values.iter().map(|v| if *v > 0.0 { 1.0 } else { -1.0 }).collect(),
        };
        let (mut dot, mut own, mut other) = (0.0, 0.0, 0.0);
        for (a, b) in values.iter().map(|v| f64::from(*v)).zip(&became) {
            dot += a * b;
            own += a * a;
            other += b * b;
            if self.to != CastTo::Bits {
                error.largest = error.largest.max((a - b).abs());
                error.sum += (a - b).abs();
            }
        }
        error.elements += if self.to == CastTo::Bits { 0 } else { values.len() as u64 };
        // What is zero before and after has not turned.
        let lengths = (own * other).sqrt();
        let cosine = if lengths > 0.0 { dot / lengths } else { f64::from(own == other) };
        error.vectors += 1;
        error.least_cosine = error.least_cosine.min(cosine);
        error.sum_cosine += cosine;
    }
}

impl Step for Cast {
    fn name(&self) -> &'static str {
        CAST
    }

    fn output(&self, schema: &CollectionSchema) -> Result<CollectionSchema> {
        let change = |spec: &mut VectorSpec| {
            spec.normalised = false;
            match self.to {
                CastTo::F16 => spec.element = Element::F16,
                CastTo::Bf16 => spec.element = Element::BF16,
                CastTo::I8 => spec.element = Element::I8,
                CastTo::Bits => {
                    (spec.kind, spec.element, spec.metric) = (VectorKind::Bits, Element::U8, Some(Metric::Hamming));
                    // Settings of another kind of index were chosen for floats.
                    spec.index = spec.index.take().filter(|index| !matches!(index, IndexSpec::Other { .. }));
                }
            }
        };
        let is_dense = |spec: &VectorSpec| spec.kind == VectorKind::Dense && spec.dim.is_some();
        if !schema.vectors.iter().any(is_dense) {
            return Err(Error::usage("there is no dense vector to cast").hint("leave --cast out"));
        }
        Ok(changed_schema(schema, |spec| self.concerns(spec), change).unwrap_or_else(|| schema.clone()))
    }

    fn losses(&self, schema: &CollectionSchema) -> Vec<Loss> {
        let to = |spec: &VectorSpec| match self.scales.get(&spec.name) {
            Some(scale) => format!("{}, elements times {scale}", self.name_of()),
            None => self.name_of().to_owned(),
        };
        each(
            schema,
            |spec| self.concerns(spec),
            |spec, path| {
                Loss::new("CHANGED_VECTORS", path, format!("{:?}", spec.element).to_lowercase(), to(spec), Grade::Lossy)
            },
        )
    }

    fn scales(&self) -> BTreeMap<String, f32> {
        self.scales.clone()
    }

    fn worker<'a>(
        &'a self,
        _: &'a CollectionSchema,
        output: &'a Arc<CollectionSchema>,
    ) -> Result<Box<dyn Worker + 'a>> {
        let change = |spec: &VectorSpec, values: &[f32], pass: &mut Pass<'_>| {
            let narrowed = self.narrowed(spec, values);
            if matches!(&narrowed, Changed::Floats(floats) if !tranship_collection::batch::all_finite(floats)) {
                return Err(format!("an element is beyond {}", self.name_of()));
            }
            let name = if spec.name.is_empty() { CAST.to_owned() } else { format!("{CAST} {}", spec.name) };
            let tally = pass.change(&name);
            tally.changed += 1;
            self.measure(spec, values, &narrowed, tally.error.get_or_insert_default());
            Ok(narrowed)
        };
        Ok(Box::new(Columnwise { output, concerns: |spec: &VectorSpec| self.concerns(spec), change }))
    }
}

fn changed_schema(
    schema: &CollectionSchema,
    concerns: impl Fn(&VectorSpec) -> bool,
    change: impl Fn(&mut VectorSpec),
) -> Option<CollectionSchema> {
    let mut schema = schema.clone();
    let mut concerned = schema.vectors.iter_mut().filter(|spec| concerns(spec)).peekable();
    concerned.peek()?;
    concerned.for_each(change);
    Some(schema)
}

fn each(
    schema: &CollectionSchema,
    concerns: impl Fn(&VectorSpec) -> bool,
    loss: impl Fn(&VectorSpec, &str) -> Loss,
) -> Vec<Loss> {
    let concerned = schema.vectors.iter().filter(|spec| concerns(spec));
    concerned.map(|spec| loss(spec, &layout::vector_column(spec))).collect()
}

/// What became of one vector.
enum Changed {
    Floats(Vec<f32>),
    Bytes(Vec<u8>),
}

/// Makes the concerned vector columns anew, value by value.
struct Columnwise<'a, C, F> {
    output: &'a Arc<CollectionSchema>,
    concerns: C,
    change: F,
}

impl<C, F> Worker for Columnwise<'_, C, F>
where
    C: Fn(&VectorSpec) -> bool,
    F: FnMut(&VectorSpec, &[f32], &mut Pass<'_>) -> std::result::Result<Changed, String>,
{
    fn apply(&mut self, batch: &RecordBatch, view: &BatchView<'_>, pass: &mut Pass<'_>) -> Result<RecordBatch> {
        let mut anew = Columns::new();
        let concerned: Vec<(usize, VectorSpec)> = view
            .vector_specs()
            .enumerate()
            .filter(|(_, spec)| (self.concerns)(spec))
            .map(|(c, s)| (c, s.clone()))
            .collect();
        for (column, spec) in concerned {
            let target = self.output.vector(&spec.name).ok_or_else(|| Error::bug("a changed vector is gone"))?;
            let array = self.column(view, column, &spec, target, pass)?;
            anew.insert(layout::vector_column(target), array);
        }
        rebuilt(batch, self.output, &anew)
    }
}

impl<C, F> Columnwise<'_, C, F>
where
    F: FnMut(&VectorSpec, &[f32], &mut Pass<'_>) -> std::result::Result<Changed, String>,
{
    fn column(
        &mut self,
        view: &BatchView<'_>,
        column: usize,
        spec: &VectorSpec,
        target: &VectorSpec,
        pass: &mut Pass<'_>,
    ) -> Result<ArrayRef> {
        let mut alone = CollectionSchema::new("");
        alone.vectors.push(target.clone());
        let mut builder = BatchBuilder::new(Arc::new(alone)).map_err(|fault| broken(&fault))?;
        let no_text = RowText { id: "", id_kind: IdKind::Text, namespace: None, document: None, metadata: None };
        for row in 0..view.len() {
            let value = view.vector(column, row);
            let changed = match &value {
                Some(VectorValue::Dense(values) | VectorValue::Multi(values)) => {
                    Some((self.change)(spec, values, pass))
                }
                Some(VectorValue::Widened(values)) => Some((self.change)(spec, values, pass)),
                _ => None,
            };
            match changed {
                None => {}
                Some(Err(reason)) => pass.reject(row, reason),
                Some(Ok(Changed::Bytes(bytes))) => builder.push_bytes(0, &bytes),
                Some(Ok(Changed::Floats(floats))) if spec.kind == VectorKind::Multi => builder.push_multi(0, &floats),
                Some(Ok(Changed::Floats(floats))) => builder.push_dense(0, &floats),
            }
            if let Err(fault) = builder.finish_row(no_text) {
                pass.reject(row, fault.to_string());
                builder.finish_row(no_text).map_err(|fault| broken(&fault))?;
            }
        }
        let batch = builder.finish().map_err(|fault| broken(&fault))?;
        let name = layout::vector_column(target);
        batch.column_by_name(&name).cloned().ok_or_else(|| Error::bug(format!("no column {name}")))
    }
}

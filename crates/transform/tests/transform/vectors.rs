//! What becomes of vectors.

use proptest::prelude::*;
use tranship_collection::{Element, Metric, VectorKind};
use tranship_connector::Transforms;
use tranship_connector::transforms::CastTo;
use tranship_testkit::reading::{Outcome, Vector};
use tranship_testkit::{Generator, MemorySource};

use crate::support::{changed, counted, plain, read, refusal, source};

/// Vectors of moderate size: the awkward floats of the full generator are beyond f16.
fn generator(seed: u64) -> Generator {
    Generator { seed, rows: 120, dim: 12, metric: Metric::Cosine, ..Generator::default() }
}

fn pairs<'a>(before: &'a Outcome, after: &'a Outcome, name: &'a str) -> Vec<(&'a [f32], &'a [f32])> {
    let after = after.by_id();
    let dense = |record: &'a tranship_testkit::reading::Record| {
        let key = (record.namespace.as_deref(), record.id.as_str());
        Some((record.dense(name)?, after.get(&key)?.dense(name)?))
    };
    before.records.iter().filter_map(dense).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A source of which no element is beyond what f16 holds.
fn moderate(generator: &Generator) -> MemorySource {
    let keep = Transforms { normalise: true, ..Transforms::default() };
    let wrapped = tranship_transform::wrap(Box::new(source(generator)), &keep).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let context =
        tranship_connector::PrepareContext { memory_bytes: 64 << 20, split_bytes: 1 << 20, scratch: scratch.path() };
    let prepared = wrapped.prepare(&context).unwrap();
    struct None;
    impl tranship_connector::RejectSink for None {
        fn reject(&mut self, reject: tranship_connector::Reject) -> tranship_connector::Result<()> {
            panic!("{reject:?}")
        }
    }
    let mut batches = Vec::new();
    for split in prepared.splits().unwrap() {
        batches.extend(prepared.open(split.unwrap(), &mut None).unwrap().map(|batch| batch.unwrap()));
    }
    MemorySource::new(prepared.schema().clone(), batches, 2)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn vectors_at_unit_length_point_where_they_pointed(seed in any::<u64>()) {
        let generator = generator(seed);
        let (all, unit) = (plain(&generator), changed(&generator, &Transforms { normalise: true, ..Transforms::default() }));
        let found = pairs(&all, &unit, "");
        prop_assert!(found.len() > 50);
        for (old, new) in found {
            let length = new.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
            prop_assert!((length - 1.0).abs() < 1e-6, "{length}");
            prop_assert!(cosine(old, new) > 1.0 - 1e-6);
        }
        prop_assert!(unit.schema.vectors[0].normalised);
    }
}

#[test]
fn a_cast_says_how_far_vectors_moved() {
    let generator = generator(4);
    let all = read(moderate(&generator), &Transforms::default()).unwrap();
    for (to, element, bound) in
        [(CastTo::F16, Element::F16, 5e-4), (CastTo::Bf16, Element::BF16, 4e-3), (CastTo::I8, Element::I8, 4.1e-3)]
    {
        let transforms = Transforms { cast: Some(to), ..Transforms::default() };
        let cast = read(moderate(&generator), &transforms).unwrap();
        assert_eq!((cast.schema.vectors[0].element, cast.records.len()), (element, all.records.len()), "{to:?}");
        assert!(!cast.schema.vectors[0].normalised);
        let stated = cast.schema.vendor["transforms"].as_array().unwrap().last().unwrap();
        let scale = stated["scales"][""].as_f64().unwrap_or(1.0);
        assert_eq!(to == CastTo::I8, scale > 100.0, "{to:?}: {scale}");
        let (mut largest, mut sum, mut elements, mut least) = (0.0f64, 0.0, 0, 1.0f64);
        for (old, new) in pairs(&all, &cast, "") {
            for (a, b) in old.iter().zip(new) {
                let moved = (f64::from(*a) - f64::from(*b) / scale).abs();
                (largest, sum, elements) = (largest.max(moved), sum + moved, elements + 1);
            }
            least = least.min(cosine(old, new));
        }
        let told = counted(moderate(&generator), &transforms)["cast"].error.unwrap();
        assert!(largest > 0.0 && largest < bound, "{to:?}: {largest}");
        assert!((told.largest - largest).abs() < 1e-9 && told.elements == elements, "{to:?}: {told:?}, {largest}");
        assert!((told.mean() - sum / elements as f64).abs() < 1e-9 && (told.least_cosine - least).abs() < 1e-9);
    }
}

#[test]
fn bits_are_the_signs() {
    let generator = generator(6);
    let transforms = Transforms { cast: Some(CastTo::Bits), ..Transforms::default() };
    let (all, found) = (plain(&generator), changed(&generator, &transforms));
    let spec = &found.schema.vectors[0];
    assert_eq!((spec.kind, spec.dim, spec.metric), (VectorKind::Bits, Some(12), Some(Metric::Hamming)));
    let mut compared = 0;
    for (old, new) in all.records.iter().zip(&found.records) {
        let (Some(values), Some(Vector::Bits(bytes))) = (old.dense(""), new.vectors.get("")) else { continue };
        for (at, value) in values.iter().enumerate() {
            assert_eq!(bytes[at / 8] >> (7 - at % 8) & 1 == 1, *value > 0.0);
            compared += 1;
        }
    }
    assert!(compared > 1000);
    let told = counted(source(&generator), &transforms)["cast"].error.unwrap();
    assert!(told.elements == 0 && told.mean_cosine() > 0.5, "{told:?}");
}

#[test]
fn fewer_dimensions_are_the_first_ones_and_the_steps_combine() {
    let generator = Generator { all_vectors: true, ..generator(7) };
    let truncate = Transforms { truncate_dims: Some(5), ..Transforms::default() };
    let (all, found) = (plain(&generator), changed(&generator, &truncate));
    for name in ["title", "image"] {
        for (old, new) in pairs(&all, &found, name) {
            assert_eq!(&old[..5], new);
        }
    }
    for (old, new) in all.records.iter().zip(&found.records) {
        assert_eq!(old.vectors.get("terms"), new.vectors.get("terms"));
        if let (Some(Vector::Multi(old)), Some(Vector::Multi(new))) = (old.vectors.get("rows"), new.vectors.get("rows"))
        {
            let wanted: Vec<f32> = old.chunks(12).flat_map(|row| row[..5].to_vec()).collect();
            assert_eq!(&wanted, new);
        }
    }
    let combined = Transforms { normalise: true, cast: Some(CastTo::F16), ..truncate };
    let found = changed(&generator, &combined);
    let spec = found.schema.vector("title").unwrap();
    assert_eq!((spec.dim, spec.element), (Some(5), Element::F16));
    let with_zero = all.records.len() - found.records.len();
    assert_eq!(found.rejects.len(), with_zero, "only vectors without a direction are set aside");
    assert!(found.rejects.iter().all(|reject| reject.reason.contains("no direction")), "{:?}", found.rejects);
}

#[test]
fn steps_that_concern_no_vector_are_refused() {
    let generator = generator(1);
    let wide = refusal(&generator, &Transforms { truncate_dims: Some(12), ..Transforms::default() });
    assert!(wide.contains("the widest has 12"), "{wide}");
    let mut schema = generator.schema();
    schema.vectors.clear();
    let empty = || MemorySource::new(schema.clone(), Vec::new(), 1);
    for transforms in [
        Transforms { normalise: true, ..Transforms::default() },
        Transforms { cast: Some(CastTo::F16), ..Transforms::default() },
    ] {
        assert!(read(empty(), &transforms).unwrap_err().to_string().contains("no dense vector"));
    }
}

//! Every stored file against the array that it was made from, and fresh files against their libraries.

use std::path::Path;

use tranship_collection::{Element, Metric};
use tranship_connector::{Count, Locator, OpenOptions};
use tranship_format_arrays::CONNECTOR;
use tranship_testkit::reading::Outcome;

use crate::cases::{bits, compare_with_library, read, stored_matrix};
use crate::stored;

fn assert_matrix(outcome: &Outcome, truth: &[Vec<f32>], id: impl Fn(usize) -> String) {
    assert_eq!((outcome.records.len(), outcome.rejects.len()), (truth.len(), 0));
    assert_eq!((outcome.ledger.raw, outcome.ledger.live), (Some(truth.len() as u64), Some(truth.len() as u64)));
    for (row, (record, wanted)) in outcome.records.iter().zip(truth).enumerate() {
        assert_eq!(record.id, id(row));
        assert_eq!(bits(record.dense("").unwrap()), bits(wanted), "row {row}");
    }
}

#[test]
fn stored_files_hold_the_array_that_they_were_made_from() {
    let (_dir, home) = stored();
    let truth = stored_matrix(&home);
    let files = ["truth_X.npy", "x_be.npy", "x.fvecs", "x.fbin", "x.npz", "xc.npz"];
    for file in files.into_iter().chain(cfg!(feature = "hdf5").then_some("x-angular.hdf5")) {
        let outcome = read(&CONNECTOR, &home.join(file), &[]).unwrap_or_else(|error| panic!("{file}: {error}"));
        // The HDF5 file keeps the last hundred rows for queries.
        let rows = if file.ends_with("hdf5") { 2900 } else { 3000 };
        assert_matrix(&outcome, &truth[..rows], |row| row.to_string());
        let metric = file.ends_with("hdf5").then_some(Metric::Cosine);
        assert_eq!(outcome.schema.vectors[0].metric, metric);
    }
    let ids = home.join("truth_ids.npy");
    for (file, ids) in [("x.npz", "ids"), ("xc.npz", "ids"), ("x.fvecs", ids.to_str().unwrap())] {
        let outcome = read(&CONNECTOR, &home.join(file), &[("ids", ids)]).unwrap();
        assert_matrix(&outcome, &truth, |row| (7 * row + 11).to_string());
    }
}

#[test]
fn stored_files_of_narrow_elements_keep_them() {
    let (_dir, home) = stored();
    let halves = std::fs::read(home.join("x_f16.npy")).unwrap();
    let outcome = read(&CONNECTOR, &home.join("x_f16.npy"), &[]).unwrap();
    assert_eq!(outcome.schema.vectors[0].element, Element::F16);
    for (record, stored) in outcome.records.iter().zip(halves[128..].chunks_exact(48)) {
        let widened: Vec<f32> = stored.as_chunks::<2>().0.iter().map(|word| widen(u16::from_le_bytes(*word))).collect();
        assert_eq!(bits(record.dense("").unwrap()), bits(&widened));
    }
    let bytes = std::fs::read(home.join("truth_B.npy")).unwrap();
    for (file, start, lead) in [("x.u8bin", 8, 0), ("x.bvecs", 0, 4), ("truth_B.npy", 128, 0)] {
        let whole = std::fs::read(home.join(file)).unwrap();
        assert_eq!(bytes[128..].len(), 3000 * 8);
        let outcome = read(&CONNECTOR, &home.join(file), &[]).unwrap();
        assert_eq!((outcome.schema.vectors[0].element, outcome.records.len()), (Element::U8, 3000));
        for (record, stored) in outcome.records.iter().zip(whole[start..].chunks_exact(8 + lead)) {
            let wanted: Vec<f32> = stored[lead..].iter().map(|byte| f32::from(*byte)).collect();
            assert_eq!(record.dense(""), Some(&wanted[..]));
        }
    }
    let integers = read(&CONNECTOR, &home.join("x.ivecs"), &[]).unwrap();
    let whole = std::fs::read(home.join("x.ivecs")).unwrap();
    let dim = u32::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    for (record, stored) in integers.records.iter().zip(whole.chunks_exact(4 + 4 * dim)) {
        let wanted: Vec<f32> =
            stored[4..].as_chunks::<4>().0.iter().map(|word| i32::from_le_bytes(*word) as f32).collect();
        assert_eq!(record.dense(""), Some(&wanted[..]));
    }
}

/// Normal halves, as the fixture has them.
fn widen(half: u16) -> f32 {
    let (sign, exponent, mantissa) = (half >> 15, half >> 10 & 31, half & 1023);
    let value = match exponent {
        0 => f32::from(mantissa) / 16_777_216.0,
        _ => (1.0 + f32::from(mantissa) / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    };
    if sign == 1 { -value } else { value }
}

#[test]
fn fresh_files_equal_what_their_libraries_hold() {
    let skipped = |file: &str| file.ends_with(".hdf5") && !cfg!(feature = "hdf5");
    let wanted = if cfg!(feature = "hdf5") { 77 } else { 65 };
    assert_eq!(compare_with_library(&CONNECTOR, "arrays", skipped), wanted);
}

#[test]
fn headers_alone_tell_what_is_in_a_file() {
    let (_dir, home) = stored();
    let list = |name: &str| {
        let locator = Locator { provider: None, path: home.join(name) };
        CONNECTOR.list.unwrap()(&locator, &OpenOptions::default()).unwrap()
    };
    for (name, collection) in [("x.npz", "emb"), ("x.fvecs", "x"), ("x_f16.npy", "x_f16")] {
        let infos = list(name);
        assert_eq!((infos.len(), infos[0].name.as_str(), infos[0].records), (1, collection, Count::Exact(3000)));
        assert_eq!(infos[0].schema.vectors[0].dim, Some(24));
    }
    let probes =
        [("x_be.npy", 95), ("x.npz", 90), ("x.fvecs", 85), ("x.bvecs", 85), ("x.fbin", 85), ("x-angular.hdf5", 60)];
    for (name, score) in probes {
        assert_eq!((CONNECTOR.probe)(&home.join(name)), Some(score), "{name}");
    }
    for name in ["hnswlib_l2.bin", "usearch_f32.usearch", "flat_l2.faiss"] {
        assert_eq!((CONNECTOR.probe)(&home.join(name)), None, "{name}");
    }
    assert_eq!((CONNECTOR.probe)(Path::new("-")), None);
}

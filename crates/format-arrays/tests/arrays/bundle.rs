//! Bundles of arrays: opened by numpy, read back in every form, damaged.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_collection::{BatchView, Element, VectorValue};
use tranship_connector::{CreateOptions, ErrorKind, Locator, OpenOptions, Result};
use tranship_format_arrays::CONNECTOR;
use tranship_testkit::damage::{flips, survey};
use tranship_testkit::reading::{Outcome, read};
use tranship_testkit::{Generator, bundles, engines};

/// What a row of numbers is as the bits that numpy shows.
type Bits = fn(f32) -> u32;

/// Form, vector, numpy's type, bits of a number.
const FORMS: [(&str, &str, &str, Bits); 11] = [
    ("npy", "", "float32", f32::to_bits),
    ("npy", "half", "float16", |value| half_bits(value)),
    ("npy", "signed", "int8", |value| u32::from(value as i8 as u8)),
    ("npy", "byte", "uint8", |value| value as u32),
    ("npy", "brain", "float32", f32::to_bits),
    ("fvecs", "", "float32", f32::to_bits),
    ("fvecs", "byte", "float32", f32::to_bits),
    ("bvecs", "byte", "uint8", |value| value as u32),
    ("fbin", "half", "float32", f32::to_bits),
    ("hbin", "half", "float16", |value| half_bits(value)),
    ("i8bin", "signed", "int8", |value| u32::from(value as i8 as u8)),
];

/// The bits of an f32 that is an f16.
fn half_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    let sign = bits >> 16 & 0x8000;
    let exponent = (bits >> 23 & 0xff) as i32 - 127;
    match exponent {
        _ if value == 0.0 => sign,
        -14.. => sign | ((exponent + 15) as u32) << 10 | (bits >> 13 & 0x3ff),
        // Subnormal: the fraction in units of 2^-24.
        _ => sign | (value.abs() * 16_777_216.0) as u32,
    }
}

fn generator() -> Generator {
    Generator { narrow: true, mixed_ids: true, dim: 5, rows: 300, ..Generator::default() }
}

fn write(dir: &Path, options: &[(&str, &str)]) -> Result<PathBuf> {
    let path = dir.join("bundle");
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = CreateOptions { options, ..CreateOptions::default() };
    bundles::write(&CONNECTOR, &path, &generator().schema(), &generator().batches(), &options)?;
    Ok(path)
}

fn read_back(bundle: &Path) -> Result<Outcome> {
    let locator = Locator { provider: None, path: bundle.to_owned() };
    read(&*(CONNECTOR.open.unwrap())(&locator, &OpenOptions::default())?)
}

/// Id and numbers of each record that has the vector, in order.
fn given(vector: &str) -> Vec<(String, Vec<f32>)> {
    let schema = generator().schema();
    let column = schema.stored_vectors().position(|spec| spec.name == vector).unwrap();
    let mut rows = Vec::new();
    for batch in generator().batches() {
        let view = BatchView::new(&batch, &schema).unwrap();
        for row in 0..view.len() {
            match view.vector(column, row) {
                Some(VectorValue::Dense(values)) => rows.push((view.id(row).to_owned(), values.to_vec())),
                Some(VectorValue::Widened(values)) => rows.push((view.id(row).to_owned(), values)),
                _ => {}
            }
        }
    }
    rows
}

#[test]
fn numpy_opens_every_form_with_the_same_bits_and_reading_back_gives_the_source() {
    for (form, vector, dtype, bits) in FORMS {
        let dir = tempfile::tempdir().unwrap();
        let bundle = write(dir.path(), &[("form", form), ("vector", vector)]).unwrap();
        let out = dir.path().join("joined");
        let arguments = [OsStr::new("arrays"), bundle.as_os_str(), out.as_os_str()];
        let found: Value = serde_json::from_str(&engines::run("ann", "bundle_open.py", &arguments)).unwrap();
        assert_eq!(found["dtype"], dtype, "{form} {vector}");
        let rows = given(vector);
        let wanted: Vec<Vec<u32>> = rows.iter().map(|(_, values)| values.iter().map(|v| bits(*v)).collect()).collect();
        assert_eq!(found["rows"], json!(wanted), "{form} {vector}");
        let records = found["records"].as_array().unwrap();
        assert_eq!(records.len(), rows.len(), "{form} {vector}");
        for (record, (id, _)) in records.iter().zip(&rows) {
            assert_eq!(record["id"].as_str().map_or_else(|| record["id"].to_string(), str::to_owned), *id, "{form}");
        }
        let outcome = read_back(&bundle).unwrap();
        assert_eq!(outcome.schema.vectors, generator().schema().vectors, "{form} {vector}");
        let source =
            read(&tranship_testkit::MemorySource::new(generator().schema(), generator().batches(), 2)).unwrap();
        assert_eq!((outcome.records.len(), outcome.by_id()), (300, source.by_id()), "{form} {vector}");
    }
}

#[test]
fn a_form_that_cannot_hold_the_numbers_is_refused_with_a_next_step() {
    let refused = |options: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        let error = write(dir.path(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        format!("{error} {}", error.next_step().unwrap())
    };
    assert!(refused(&[("form", "bvecs")]).contains("f32"));
    assert!(refused(&[("form", "u8bin"), ("vector", "signed")]).contains("i8"));
    assert!(refused(&[("form", "csv")]).contains("npy, fvecs, bvecs, fbin, hbin, i8bin, u8bin"));
    assert!(refused(&[("vector", "nope")]).contains("`nope`"));
}

#[test]
fn the_part_of_a_bundle_is_an_array_that_our_own_reader_opens_with_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = write(dir.path(), &[("vector", "half")]).unwrap();
    let options = [("metadata", "data/records-00000-000.jsonl")];
    let options = options.map(|(key, name)| (key.to_owned(), bundle.join(name).display().to_string())).into();
    let locator = Locator { provider: None, path: bundle.join("data/vectors-00000-000.npy") };
    let source = (CONNECTOR.open.unwrap())(&locator, &OpenOptions { options, ..OpenOptions::default() }).unwrap();
    let outcome = read(&*source).unwrap();
    let rows = given("half");
    assert_eq!(outcome.schema.vectors[0].element, Element::F16);
    assert!(outcome.records.len() > 40 && outcome.rejects.is_empty());
    for (record, (_, values)) in outcome.records.iter().zip(&rows) {
        assert_eq!(record.dense(""), Some(values.as_slice()));
    }
}

#[test]
fn every_damage_to_a_data_file_is_found_and_names_the_file() {
    for form in ["npy", "fvecs", "fbin"] {
        let dir = tempfile::tempdir().unwrap();
        let bundle = write(dir.path(), &[("form", form)]).unwrap();
        let data = std::fs::read_dir(bundle.join("data")).unwrap();
        let files: Vec<PathBuf> = data.map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 15, "{form}: {files:?}");
        for file in &files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let len = std::fs::metadata(file).unwrap().len();
            let mut damages = flips(len, 10, 3);
            damages.extend([0, len / 2, len - 1].map(tranship_testkit::damage::Damage::Cut));
            let found = survey(file, &name, &damages, || read_back(&bundle));
            assert_eq!(found.errors, damages.len(), "{form}: {name}");
        }
        assert_eq!(read_back(&bundle).unwrap().records.len(), 300);
    }
}

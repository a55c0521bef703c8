//! LanceDB bundles: what is refused, and damaged ones. That the engine takes them is shown by `tests/all/lancedb_bundle.rs`.

#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};

use tranship_collection::VectorKind;
use tranship_connector::{CreateOptions, ErrorKind, Locator, OpenOptions, Result};
use tranship_provider_lancedb::CONNECTOR;
use tranship_testkit::damage::{Damage, flips, survey};
use tranship_testkit::reading::{Outcome, read};
use tranship_testkit::{Generator, bundles};

fn read_back(path: &Path) -> Result<Outcome> {
    let locator = Locator { provider: None, path: path.to_owned() };
    read(&*(CONNECTOR.open.unwrap())(&locator, &OpenOptions::default())?)
}

fn write(dir: &Path, generator: &Generator, options: &CreateOptions) -> Result<PathBuf> {
    let path = dir.join("bundle");
    bundles::write(&CONNECTOR, &path, &generator.schema(), &generator.batches(), options)?;
    Ok(path)
}

#[test]
fn more_dimensions_than_a_table_takes_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let generator = Generator { rows: 1, dim: 65_537, ..Generator::default() };
    let error = write(dir.path(), &generator, &CreateOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("65537") && error.next_step().is_some(), "{error}");
    assert!(!dir.path().join("bundle").exists());
}

#[test]
fn sparse_vectors_are_kept_and_that_nothing_searches_them_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let generator = Generator { all_vectors: true, ..Generator::default() };
    let path = dir.path().join("bundle");
    let (schema, batches) = (generator.schema(), generator.batches());
    let mapping = bundles::write(&CONNECTOR, &path, &schema, &batches, &CreateOptions::default()).unwrap();
    let sparse = schema.stored_vectors().find(|spec| spec.kind == VectorKind::Sparse).unwrap();
    let loss = mapping.losses.iter().find(|loss| loss.code == "SPARSE_NOT_SEARCHED").unwrap();
    assert!(loss.path.contains(&sparse.name) && loss.grade.needs_consent(), "{loss:?}");
}

#[test]
fn names_that_the_client_refuses_are_refused_with_another_proposed() {
    let dir = tempfile::tempdir().unwrap();
    let options = CreateOptions { collection: Some("a b".to_owned()), ..CreateOptions::default() };
    let error = write(dir.path(), &Generator::default(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("' '"), "{error}");
}

#[test]
fn every_damage_to_a_bundle_is_found_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), &Generator::default(), &CreateOptions::default()).unwrap();
    let file = path.join("data/rows-00001-000.parquet");
    let len = std::fs::metadata(&file).unwrap().len();
    let mut damages = flips(len, 60, 5);
    damages.extend((0..40).map(|part| Damage::Cut(len * part / 40)));
    let found = survey(&file, "rows-00001-000.parquet", &damages, || read_back(&path));
    assert_eq!(found.errors, damages.len());
    std::fs::remove_file(&file).unwrap();
    assert!(read_back(&path).unwrap_err().to_string().contains("rows-00001-000.parquet"));
}

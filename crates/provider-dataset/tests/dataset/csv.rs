//! CSV, as Python and DuckDB read it, against the source; and what comes back.

use std::ffi::OsStr;

use serde_json::{Value, json};
use tranship_testkit::damage::{Damage, flips, survey};
use tranship_testkit::reading::Vector;
use tranship_testkit::{Generator, engines};

use crate::engine::{everything, read_back, source, write};

#[test]
fn two_readers_find_every_cell_and_it_reads_back_bit_for_bit() {
    for generator in [Generator { wild: true, empty_multi: true, ..everything() }, Generator::default()] {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &generator, "csv").unwrap();
        let text = engines::run("readers", "dataset_files.py", &[OsStr::new("csv"), path.as_os_str()]);
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        let (source, back) = (source(&generator), read_back(&path).unwrap());
        assert_eq!((rows.len(), back.records.len()), (source.records.len(), source.records.len()));
        for ((row, record), own) in rows.iter().zip(&source.records).zip(&back.records) {
            assert_eq!((&row["id"], &row["namespace"]), (&json!(record.id), &json!(record.namespace)));
            assert_eq!((&row["document"], &row["metadata"]), (&json!(record.document), &json!(record.metadata)));
            let integer = record.kind == tranship_collection::IdKind::Integer;
            assert_eq!(row["id_kind"], if integer { "integer" } else { "text" });
            for (name, vector) in &record.vectors {
                let Vector::Dense(values) = vector else { continue };
                let cell = if name.is_empty() { &row["vector"] } else { &row["vectors"][name] };
                let found: Vec<u32> =
                    cell.as_array().unwrap().iter().map(|v| (v.as_f64().unwrap() as f32).to_bits()).collect();
                assert_eq!(found, values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), "{name}");
            }
            assert_eq!((own.kind, &own.id, &own.namespace), (record.kind, &record.id, &record.namespace));
            assert_eq!((&own.vectors, &own.document), (&record.vectors, &record.document));
            assert_eq!(own.metadata, record.metadata);
        }
    }
}

#[test]
fn every_damage_to_a_csv_file_is_found_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), &Generator::default(), "csv").unwrap();
    let file = path.join("data/records-00001-000.csv");
    let len = std::fs::metadata(&file).unwrap().len();
    let mut damages = flips(len, 60, 5);
    damages.extend((0..40).map(|part| Damage::Cut(len * part / 40)));
    let found = survey(&file, "records-00001-000.csv", &damages, || read_back(&path));
    assert_eq!(found.errors, damages.len());
}

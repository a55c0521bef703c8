//! LanceDB bundles, loaded by LanceDB's own client with their own scripts and read back from the table.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tranship_collection::batch::RowText;
use tranship_collection::{BatchBuilder, IndexSpec, VectorKind};
use tranship_testkit::reading::{Record, Vector, read};
use tranship_testkit::{Generator, MemorySource, Random, Tranship, engines};

use crate::support::{arg, convert, locator};
use crate::transfer;

/// The bits of floats, in the width of the column.
fn bits(values: &[f32], half: bool) -> Value {
    let one = |value: &f32| if half { u64::from(half_bits(*value)) } else { u64::from(value.to_bits()) };
    json!(values.iter().map(one).collect::<Vec<u64>>())
}

/// The bits of the half float with this value, which is one of f16.
fn half_bits(value: f32) -> u16 {
    let (sign, bits) = ((value.to_bits() >> 16 & 0x8000) as u16, value.abs());
    // The generator's halves are below 2: a normal one has an exponent of at least -14, others count units of 2^-24.
    let steps = bits * 2f32.powi(24);
    match bits < 2f32.powi(-14) {
        true => sign | steps as u16,
        false => sign | ((bits.to_bits() >> 13) - ((127 - 15) << 10)) as u16,
    }
}

fn wanted(record: &Record, name: &str, dim: usize, half: bool) -> Value {
    match record.vectors.get(name) {
        None => Value::Null,
        Some(Vector::Dense(values)) => bits(values, half),
        Some(Vector::Multi(values)) => json!(values.chunks(dim).map(|row| bits(row, false)).collect::<Vec<_>>()),
        Some(Vector::Sparse(indices, values)) => json!({ "indices": indices, "values": bits(values, false) }),
        Some(Vector::Bits(bytes)) => json!(bytes),
    }
}

fn load(dir: &Path, source: &MemorySource, allowed: &[&str]) -> Value {
    let archive = locator("archive", &dir.join("source.tranship"));
    transfer::write(source, &archive, transfer::engine(2, 512 << 20), 0).unwrap();
    let (bundle, database) = (dir.join("bundle"), dir.join("database"));
    let allowed: Vec<&str> = allowed.iter().flat_map(|code| ["--allow-loss", code]).collect();
    convert(&archive, &locator("lancedb", &bundle), &allowed);
    let binary = Tranship::path();
    let arguments = [arg(&bundle), arg(&database), arg(&binary), arg(Path::new(&archive))];
    let report: Value = serde_json::from_str(&engines::run("lancedb", "lancedb_apply.py", &arguments)).unwrap();
    let rows = report["rows"].as_array().unwrap().len() as u64;
    let stopped = report["rows_when_stopped"].as_u64().unwrap();
    assert!(0 < stopped && stopped < rows, "{stopped} of {rows}");
    for (step, code) in [("stopped", 1), ("refused", 1), ("load", 0), ("check", 0), ("tampered", 1), ("undo", 0)] {
        assert_eq!(report[step], code, "{step}");
    }
    assert_eq!((&report["anew"], &report["tables_after_undo"]), (&json!([0, 0]), &json!(["somebody"])));
    report
}

#[test]
fn a_table_holds_every_value_of_every_kind_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let generator = Generator {
        rows: 1_200,
        mixed_ids: true,
        namespaced: true,
        all_vectors: true,
        narrow: true,
        bits: true,
        wild: true,
        empty_multi: true,
        ..Generator::default()
    };
    let source = MemorySource::new(generator.schema(), generator.batches(), 6);
    let report = load(dir.path(), &source, &["SPARSE_NOT_SEARCHED"]);
    let records = read(&source).unwrap().records;
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(&records) {
        let integer = record.kind == tranship_collection::IdKind::Integer;
        assert_eq!((&row["id"], &row["id_is_integer"]), (&json!(record.id), &json!(integer)));
        assert_eq!((&row["namespace"], &row["document"]), (&json!(record.namespace), &json!(record.document)));
        assert_eq!(row["metadata"].as_str(), record.metadata.as_deref());
        for spec in generator.schema().stored_vectors() {
            let half = report["types"][&spec.name].as_str().unwrap().contains("halffloat");
            assert_eq!(half, ["half", "unit"].contains(&spec.name.as_str()), "{}", spec.name);
            assert_eq!(row[&spec.name], wanted(record, &spec.name, generator.dim, half), "{} {}", record.id, spec.name);
            let fixed = report["types"][&spec.name].as_str().unwrap().contains("fixed_size_list");
            assert_eq!(fixed, spec.kind != VectorKind::Sparse);
        }
        // Every record with metadata has an integer `row`, and nothing else there has one type.
        assert_eq!(row["row"], record.metadata.as_ref().map_or(Value::Null, |_| record.json()["row"].clone()));
    }
    assert_eq!(report["types"]["row"], "int64");
    assert_eq!(report["indexes"], json!({}));
}

#[test]
fn graphs_are_built_after_the_load_with_the_settings_of_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let mut schema = Generator { dim: 16, ..Generator::default() }.schema();
    schema.vectors[0].index = Some(IndexSpec::Hnsw { m: 12, ef_construction: 90, ef_search: None });
    let mut random = Random::new(9);
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    let mut batch = |number: usize| {
        for row in 0..90 {
            if row % 10 > 0 {
                let values: Vec<f32> = (0..16).map(|_| random.unit()).collect();
                builder.push_dense(0, &values);
            }
            let id = format!("{number}-{row}");
            let id_kind = tranship_collection::IdKind::Text;
            let text = RowText { id: &id, id_kind, namespace: None, document: None, metadata: None };
            builder.finish_row(text).unwrap();
        }
        builder.finish().unwrap()
    };
    let batches = (0..10).map(&mut batch).collect();
    let report = load(dir.path(), &MemorySource::new(schema, batches, 5), &[]);
    assert_eq!(report["indexes"]["vector"][0], "IvfHnswFlat");
    assert_eq!(report["indexes"]["vector"][1], 900);
    let settings: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("bundle/schema.json")).unwrap()).unwrap();
    assert_eq!(settings["vectors"][0]["index"]["m"], 12);
    assert_eq!(
        (&settings["vectors"][0]["index"]["ef_construction"], &settings["vectors"][0]["metric"]),
        (&json!(90), &json!("l2"))
    );
}

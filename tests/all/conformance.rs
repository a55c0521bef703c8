//! Every connector that reads and writes, against the same demands.

use crate::transfer::{engine, read, tree, write, write_with};
use tranship_collection::fingerprint::FingerprintSummary;
use tranship_collection::{Element, Metric};
use tranship_connector::{CreateOptions, ErrorKind, Locator, OpenOptions};
use tranship_storage::Limits;
use tranship_testkit::bundles::fingerprint;
use tranship_testkit::{Generator, MemorySource};
use tranship_toolkit::verify::read_mapping;
use tranship_toolkit::{open, providers};

const MEMORY: u64 = 512 << 20;

fn two_way_connectors() -> Vec<&'static str> {
    let registry = providers::registry();
    registry.connectors.iter().filter(|c| c.open.is_some() && c.create.is_some()).map(|c| c.name).collect()
}

/// The second form of Qdrant's bundles.
/// What connectors write on request only.
fn other_forms() -> [(&'static str, CreateOptions); 4] {
    let forms = [
        ("qdrant", "form", "snapshot"),
        ("milvus", "form", "json"),
        ("milvus", "version", "2.3"),
        ("dataset", "layout", "csv"),
    ];
    forms.map(|(name, key, value)| {
        let options = [(key.to_owned(), value.to_owned())].into();
        (name, CreateOptions { options, ..CreateOptions::default() })
    })
}

fn collections() -> Vec<(&'static str, Generator)> {
    let plain = Generator::default();
    let random = (0..8).map(|seed| {
        let flag = |bit: u64| seed & bit != 0;
        let metric = [Metric::Cosine, Metric::Dot, Metric::L2][seed as usize % 3];
        let kinds = Generator { mixed_ids: flag(1), namespaced: flag(2), all_vectors: flag(4), ..plain.clone() };
        (
            "random",
            Generator {
                seed: 100 + seed,
                rows: 40,
                dim: 4,
                metric,
                wild: true,
                narrow: flag(2),
                bits: flag(1),
                empty_multi: true,
                ..kinds
            },
        )
    });
    let named = vec![
        ("plain", plain.clone()),
        ("mixed ids", Generator { mixed_ids: true, ..plain.clone() }),
        ("namespaces", Generator { namespaced: true, ..plain.clone() }),
        ("all vectors", Generator { all_vectors: true, dim: 3, ..plain.clone() }),
        ("narrow elements", Generator { narrow: true, dim: 5, ..plain.clone() }),
        (
            "everything",
            Generator { mixed_ids: true, namespaced: true, all_vectors: true, narrow: true, seed: 7, ..plain.clone() },
        ),
        ("one record", Generator { rows: 1, ..plain.clone() }),
        ("no records", Generator { rows: 0, ..plain.clone() }),
    ];
    named.into_iter().chain(random).collect()
}

#[test]
fn what_is_written_reads_back_with_the_same_fingerprint() {
    let plain = two_way_connectors().into_iter().map(|name| (name, CreateOptions::default()));
    for (name, options) in plain.chain(other_forms()) {
        for (kind, generator) in collections() {
            let dir = tempfile::tempdir().unwrap();
            let target = format!("{name}:{}", dir.path().join("out").display());
            let source = MemorySource::new(generator.schema(), generator.batches(), 2);
            let report = write_with(&source, &target, &options, engine(2, MEMORY), 0)
                .unwrap_or_else(|e| panic!("{name}, {kind}: {e}"));
            let found = read(&target, engine(2, MEMORY)).unwrap_or_else(|e| panic!("{name}, {kind}: {e}"));
            let mapping = dir.path().join("out/mapping.json");
            let wanted = match mapping.is_file() {
                true => held(&mapping, &generator),
                false => report.fingerprint,
            };
            assert_eq!(found, wanted, "{name}, {kind}");
            assert_eq!(report.records, generator.rows as u64, "{name}, {kind}");
        }
    }
}

/// What a bundle holds: the source without what its mapping says is left out. Normalising is left to the engine, unless
/// the mapping says that the bundle has done it.
fn held(mapping: &std::path::Path, generator: &Generator) -> FingerprintSummary {
    let mut mapping = read_mapping(mapping).expect("a mapping");
    if !mapping.unit_in_bundle {
        mapping.normalised.clear();
    }
    let undeclared = |name: &String| !mapping.losses.iter().any(|loss| loss.path.ends_with(name.as_str()));
    assert!(!mapping.dropped_vectors.iter().any(undeclared), "a vector is dropped that no loss names");
    let declared = |code: &String| mapping.losses.iter().any(|loss| loss.code == *code && loss.grade.needs_consent());
    assert!(mapping.left_out.iter().all(declared), "records are left out that no loss names");
    let schema = generator.schema();
    let project = |batch| mapping.project(&batch, &schema).expect("batches can be projected");
    let projected: Vec<_> = generator.batches().into_iter().map(project).collect();
    fingerprint(&mapping.projected_schema(&schema), &projected).summary()
}

#[test]
fn bits_and_multivectors_without_rows_survive_in_our_own_formats() {
    let generator =
        Generator { all_vectors: true, narrow: true, bits: true, empty_multi: true, ..Generator::default() };
    for name in ["archive", "jsonl", "parquet"] {
        let dir = tempfile::tempdir().unwrap();
        let target = format!("{name}:{}", dir.path().join("out").display());
        let source = MemorySource::new(generator.schema(), generator.batches(), 2);
        let report = write(&source, &target, engine(2, MEMORY), 0).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read(&target, engine(2, MEMORY)).unwrap(), report.fingerprint, "{name}");
    }
}

#[test]
fn element_types_survive_in_parquet_and_become_f32_in_json_lines_with_the_same_values() {
    let generator = Generator { narrow: true, bits: true, ..Generator::default() };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, number: u8| format!("{name}:{}", dir.path().join(format!("{name}-{number}")).display());
    let source = MemorySource::new(generator.schema(), generator.batches(), 2);
    let report = write(&source, &at("archive", 0), engine(2, MEMORY), 0).unwrap();
    let hops = [("archive", 0, "parquet"), ("parquet", 0, "archive"), ("archive", 1, "jsonl"), ("jsonl", 0, "archive")];
    let mut elements = Vec::new();
    for (from, number, to) in hops {
        let opened = open::source(&at(from, number), &OpenOptions::default()).unwrap();
        elements.push(opened.source.schema().vectors.iter().map(|v| (v.name.clone(), v.element)).collect::<Vec<_>>());
        let next = if to == "archive" { elements.len() as u8 / 2 } else { 0 };
        let copied = write(&*opened.source, &at(to, next), engine(2, MEMORY), 0).unwrap();
        assert_eq!(copied.fingerprint, report.fingerprint, "{from} to {to}");
    }
    let given: Vec<_> = generator.schema().vectors.iter().map(|v| (v.name.clone(), v.element)).collect();
    assert!(elements[..3].iter().all(|found| *found == given), "{elements:?}");
    let f32_or_bits = |(name, element): &(String, Element)| *element == Element::F32 || name == "flags";
    assert!(elements[3].iter().all(f32_or_bits), "{elements:?}");
}

#[test]
fn output_bytes_depend_on_nothing_but_the_input() {
    let plain = two_way_connectors().into_iter().map(|name| (name, CreateOptions::default()));
    for (name, options) in plain.chain(other_forms()) {
        let generator = Generator { rows: 3_000, dim: 32, narrow: true, ..Generator::default() };
        let source = MemorySource::new(generator.schema(), generator.batches(), 4);
        let runs: Vec<_> = [(1, MEMORY), (2, MEMORY), (7, MEMORY), (7, MEMORY / 3)]
            .into_iter()
            .map(|(threads, memory)| {
                let dir = tempfile::tempdir().unwrap();
                let out = dir.path().join("out");
                let target = format!("{name}:{}", out.display());
                write_with(&source, &target, &options, engine(threads, memory), 0).unwrap();
                tree(&out)
            })
            .collect();
        assert!(!runs[0].is_empty() && runs.windows(2).all(|pair| pair[0] == pair[1]), "{name}");
    }
}

#[test]
fn a_failing_or_panicking_split_leaves_no_output_and_names_itself() {
    let generator = Generator::default();
    for name in two_way_connectors() {
        for panics in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let out = dir.path().join("out");
            let mut source = MemorySource::new(generator.schema(), generator.batches(), 1);
            (source.fail_at, source.panic_at) = if panics { (None, Some(3)) } else { (Some(3), None) };
            let error = write(&source, &format!("{name}:{}", out.display()), engine(3, MEMORY), 0).unwrap_err();
            assert_eq!(error.kind(), if panics { ErrorKind::Bug } else { ErrorKind::Damaged }, "{name}: {error}");
            assert!(error.to_string().contains("split 3"), "{name}: {error}");
            assert!(!out.exists(), "{name}");
        }
    }
}

#[test]
fn an_existing_output_is_never_overwritten() {
    let generator = Generator { rows: 10, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 1);
    for name in two_way_connectors() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let target = format!("{name}:{}", out.display());
        write(&source, &target, engine(1, MEMORY), 0).unwrap();
        let before = tree(&out);
        let error = write(&source, &target, engine(1, MEMORY), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutputExists, "{name}: {error}");
        assert_eq!(tree(&out), before, "{name}");
    }
}

#[test]
fn duplicate_ids_are_found_across_splits() {
    let generator = Generator { rows: 100, batch_rows: 10, ..Generator::default() };
    let mut batches = generator.batches();
    batches.push(batches[2].slice(3, 1));
    let source = MemorySource::new(generator.schema(), batches, 1);
    for name in two_way_connectors() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let error = write(&source, &format!("{name}:{}", out.display()), engine(2, MEMORY), 0).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("same id") && text.contains("split 2") && text.contains("ümlaut/23"), "{name}: {text}");
        assert!(!out.exists(), "{name}");
    }
}

#[test]
fn rejects_beyond_the_budget_end_the_run_and_within_it_are_counted() {
    let generator = Generator { rows: 100, batch_rows: 10, ..Generator::default() };
    for name in two_way_connectors() {
        let dir = tempfile::tempdir().unwrap();
        let mut source = MemorySource::new(generator.schema(), generator.batches(), 1);
        source.reject_below = 3;
        let target = format!("{name}:{}", dir.path().join("out").display());
        let error = write(&source, &target, engine(2, MEMORY), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyRejects, "{name}: {error}");
        let target = format!("{name}:{}", dir.path().join("second").display());
        let report = write(&source, &target, engine(2, MEMORY), 3).unwrap();
        assert_eq!((report.rejected, report.records), (3, 100), "{name}");
    }
}

#[test]
fn every_connector_says_no_to_a_path_that_is_something_else() {
    let registry = providers::registry();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "nothing that anybody reads").unwrap();
    for connector in &registry.connectors {
        assert_eq!((connector.probe)(&file), None, "{}", connector.name);
        assert_eq!((connector.probe)(dir.path()), None, "{}", connector.name);
    }
    let error = registry.resolve(&Locator { provider: None, path: file }).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotRecognised);
}

#[test]
fn a_memory_budget_that_is_too_small_names_the_one_that_would_do() {
    let generator = Generator { rows: 10, ..Generator::default() };
    let source = MemorySource::new(generator.schema(), generator.batches(), 1);
    let dir = tempfile::tempdir().unwrap();
    let error =
        write(&source, &format!("archive:{}", dir.path().join("a").display()), engine(1, 1 << 20), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.next_step().unwrap().contains("--memory"), "{error}");
    assert!(Limits::default().max_dim >= 65_536);
}

#[test]
fn a_stream_cannot_be_a_directory() {
    let error = open::sink("archive:-", &tranship_connector::CreateOptions::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

//! Snapshots that are written: read back by our reader, taken and worked on by Qdrant's own engine, cut and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use tranship_collection::{BatchBuilder, CollectionSchema, Metric, VectorKind, VectorSpec};
use tranship_connector::{CreateOptions, ErrorKind, Mapping, OpenOptions};
use tranship_storage::{Blob, Tree};
use tranship_testkit::{Generator, engines};

use crate::support::{ROWS, build, dense, fingerprint, locator, named, read, sink, write};

const SNAPSHOT: &str = "data/collection.snapshot";

pub fn snapshot_form() -> CreateOptions {
    CreateOptions { options: [("form".to_owned(), "snapshot".to_owned())].into(), ..CreateOptions::default() }
}

type Collection = (CollectionSchema, Vec<RecordBatch>);

fn generated(generator: &Generator) -> Collection {
    (generator.schema(), generator.batches())
}

fn bundle(dir: &Path, (schema, batches): &Collection) -> PathBuf {
    let path = dir.join("bundle");
    write(&path, schema, batches, &snapshot_form()).unwrap();
    path
}

fn mapping(bundle: &Path) -> Mapping {
    serde_json::from_slice(&fs::read(bundle.join("mapping.json")).unwrap()).unwrap()
}

/// Collections with every kind of vector and id, with and without each other.
fn collections() -> Vec<(&'static str, Collection)> {
    let plain = Generator { batch_rows: 300, ..Generator::default() };
    let only = |name: &str| {
        let (schema, batches) = generated(&Generator { all_vectors: true, rows: 200, seed: 5, ..plain.clone() });
        let mut mapping = Mapping::identity("qdrant", &schema);
        mapping.dropped_vectors =
            schema.vectors.iter().map(|spec| spec.name.clone()).filter(|own| own != name).collect();
        let batches = batches.iter().map(|batch| mapping.project(batch, &schema).unwrap()).collect();
        (mapping.projected_schema(&schema), batches)
    };
    vec![
        ("plain", generated(&plain)),
        ("cosine", generated(&Generator { metric: Metric::Cosine, dim: 65, ..plain.clone() })),
        (
            "mixed ids",
            generated(&Generator { mixed_ids: true, namespaced: true, metric: Metric::Dot, ..plain.clone() }),
        ),
        ("all vectors", generated(&Generator { all_vectors: true, dim: 3, seed: 2, ..plain.clone() })),
        ("narrow elements", generated(&Generator { narrow: true, dim: 5, seed: 3, ..plain.clone() })),
        (
            "everything",
            generated(&Generator {
                mixed_ids: true,
                namespaced: true,
                all_vectors: true,
                narrow: true,
                seed: 7,
                rows: 800,
                ..plain.clone()
            }),
        ),
        ("multivectors alone", only("rows")),
        ("sparse vectors alone", only("terms")),
        ("one record", generated(&Generator { rows: 1, ..plain.clone() })),
        ("no record", generated(&Generator { rows: 0, ..plain })),
        ("awkward rows", dense(Metric::Cosine)),
        ("names", named()),
    ]
}

#[test]
fn a_snapshot_reads_back_as_the_projected_records() {
    for (name, collection) in collections() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(dir.path(), &collection);
        let (schema, batches) = read(&bundle).unwrap();
        let expected = mapping(&bundle).expected_fingerprint.unwrap();
        assert_eq!(fingerprint(&schema, &batches).summary(), expected, "{name}");
        let elements = |schema: &CollectionSchema| {
            schema.vectors.iter().map(|spec| (spec.name.clone(), spec.element)).collect::<Vec<_>>()
        };
        let projected = mapping(&bundle).projected_schema(&collection.0);
        assert_eq!((elements(&schema), schema.ids), (elements(&projected), projected.ids), "{name}");
    }
}

#[test]
fn the_engine_takes_a_snapshot_bit_for_bit_and_goes_on_with_it() {
    for (name, collection) in collections() {
        let dir = tempfile::tempdir().unwrap();
        let (bundle, pages) = (bundle(dir.path(), &collection), dir.path().join("pages"));
        let scrolled = engines::run("qdrant", "qdrant_native.py", &[bundle.as_os_str(), pages.as_os_str()]);
        let mapping = mapping(&bundle);
        let expected = mapping.expected_fingerprint.clone().unwrap();
        assert_eq!(scrolled.trim(), expected.records.to_string(), "{name}");
        let (found, scrolled) = read(&pages).unwrap();
        let undone: Vec<_> = scrolled.iter().map(|batch| mapping.undo(batch, &found).unwrap()).collect();
        assert_eq!(fingerprint(&mapping.undone_schema(&found), &undone).summary(), expected, "{name}");
    }
}

#[test]
fn a_snapshot_is_found_by_itself_and_is_hardly_larger_than_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle(dir.path(), &generated(&Generator { all_vectors: true, rows: 100, ..Generator::default() }));
    let alone = bundle.join(SNAPSHOT);
    let (schema, batches) = read(&alone).unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    assert_eq!(schema.vectors.len(), 4);
    // Files of 32 MiB stand in it with what they hold; a header of two blocks for each of some dozens.
    let bytes = alone.metadata().unwrap().len();
    assert!(bytes < 200_000, "{bytes} bytes for 100 records");
    let whole = tranship_container::tar::read(&Blob::of_path(&alone).unwrap()).unwrap();
    let log = whole.get("0/wal/closed-2").expect("without it a server loses its first updates");
    assert_eq!(log.len(), 4096);
    let inside = segment(&whole);
    let versions = inside.get("snapshot/files/mutable_id_tracker.versions").unwrap().read_all(1 << 20).unwrap();
    assert!(versions.as_chunks::<8>().0.iter().all(|version| u64::from_le_bytes(*version) == 1));
    assert_eq!(inside.get("snapshot/files/payload_storage/page_0.dat").unwrap().len(), 32 << 20);
}

fn segment(whole: &Tree) -> Tree {
    let (_, segment) = whole.iter().find(|(name, _)| name.starts_with("0/segments/")).unwrap();
    tranship_container::tar::read(segment).unwrap()
}

#[test]
fn values_that_fill_pages_and_chunks_go_on_in_the_next() {
    let mut schema = CollectionSchema::new("large");
    schema.ids = tranship_collection::IdKinds::Integer;
    let dense = VectorSpec { metric: Some(Metric::Dot), ..VectorSpec::dense("dense", 65_536) };
    let multi = VectorSpec { kind: VectorKind::Multi, ..VectorSpec { name: "multi".to_owned(), ..dense.clone() } };
    schema.vectors = vec![dense, multi];
    let mut builder = BatchBuilder::new(std::sync::Arc::new(schema.clone())).unwrap();
    let mut random = tranship_testkit::generate::Random::new(3);
    let mut batches = Vec::new();
    for row in 0..150u32 {
        let values: Vec<f32> = (0..65_536 * 3).map(|_| random.unit()).collect();
        builder.push_dense(0, &values[..65_536]);
        if row % 3 == 0 {
            builder.push_multi(1, &values);
        }
        // Digits do not compress to nothing: 40 MB of them fill a page.
        let text: String = (0..30_000).map(|_| format!("{:09}", random.below(1_000_000_000))).collect();
        let metadata = format!("{{\"text\":\"{text}\"}}");
        let row = tranship_collection::batch::RowText {
            id: &row.to_string(),
            id_kind: tranship_collection::schema::IdKind::Integer,
            namespace: None,
            document: None,
            metadata: Some(&metadata),
        };
        builder.finish_row(row).unwrap();
        if builder.rows() == 50 {
            batches.push(builder.finish().unwrap());
        }
    }
    let all = arrow_select::concat::concat_batches(&batches[0].schema(), &batches).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle(dir.path(), &(schema.clone(), vec![all]));
    let whole = tranship_container::tar::read(&Blob::of_path(&bundle.join(SNAPSHOT)).unwrap()).unwrap();
    let inside = segment(&whole);
    for second in [
        "payload_storage/page_1.dat",
        "vector_storage-dense/vectors/chunk_1.mmap",
        "vector_storage-multi/vectors/chunk_1.mmap",
    ] {
        assert!(inside.get(&format!("snapshot/files/{second}")).is_some(), "{second}");
    }
    let (found, read) = read(&bundle).unwrap();
    assert_eq!(fingerprint(&found, &read).summary(), fingerprint(&schema, &batches).summary());
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let collection = generated(&Generator { all_vectors: true, metric: Metric::Cosine, ..Generator::default() });
    let dir = tempfile::tempdir().unwrap();
    let whole = bundle(dir.path(), &collection);
    let (schema, batches) = &collection;
    let again = dir.path().join("again");
    {
        let sink = sink(&again, &snapshot_form()).unwrap();
        let survey = tranship_testkit::bundles::survey(&*sink, schema, batches).unwrap();
        let mapping = sink.negotiate(schema, &survey).unwrap().mapping.unwrap();
        sink.begin("plan", schema).unwrap();
        for ordinal in 0..3 {
            let mut writer = sink.open_shard(ordinal, schema, Some(&mapping)).unwrap();
            writer.write(&batches[ordinal as usize]).unwrap();
            sink.publish(&mut writer.finish().unwrap()).unwrap();
        }
    }
    // What an interrupted commit leaves, and a shard whose pieces are not what its fragment says.
    let partial = dir.path().join("again.partial");
    fs::create_dir_all(partial.join("data")).unwrap();
    fs::write(partial.join(SNAPSHOT), "half").unwrap();
    fs::write(partial.join("job/segments-00001.pieces"), "torn").unwrap();
    write(&again, schema, batches, &snapshot_form()).unwrap();
    for file in [SNAPSHOT, "MANIFEST.json"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(again.join(file)).unwrap(), "{file}");
    }
    assert!(!again.join("job").exists());
}

#[test]
fn a_damaged_snapshot_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle(dir.path(), &generated(&Generator::default()));
    let path = bundle.join(SNAPSHOT);
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [Some(flipped), Some(whole[..whole.len() / 2].to_vec()), None] {
        match damaged {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = read(&bundle).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io), "{error}");
        assert!(error.to_string().contains("collection.snapshot"), "{error}");
    }
}

#[test]
fn forms_that_are_not_there_and_collections_without_vectors_are_refused_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        CreateOptions { options: [("form".to_owned(), "dump".to_owned())].into(), ..CreateOptions::default() };
    let error = sink(&dir.path().join("b"), &options).err().unwrap();
    assert!(error.next_step().unwrap().contains("bodies, snapshot"), "{error}");
    let schema = CollectionSchema::new("bare");
    let batches = build(&schema, &ROWS[..2], |_, _| {});
    let error = write(&dir.path().join("b"), &schema, &batches, &snapshot_form()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.next_step().unwrap().contains("form=bodies"), "{error}");
}

#[test]
fn the_mapping_says_that_vectors_are_at_unit_length_already() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle(dir.path(), &dense(Metric::Cosine));
    let mapping = mapping(&bundle);
    assert!(mapping.unit_in_bundle && mapping.normalised == [""]);
    let norm = mapping.losses.iter().find(|loss| loss.code == "NORM").unwrap();
    assert!(norm.to.contains("in the snapshot"), "{norm:?}");
    let options = OpenOptions { collection: Some("notes & more".to_owned()), ..OpenOptions::default() };
    let listed = tranship_provider_qdrant::CONNECTOR.list.unwrap()(&locator(&bundle), &options).unwrap();
    assert_eq!(listed[0].name, "notes & more");
}

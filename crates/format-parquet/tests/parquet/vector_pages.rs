//! Pages of dense vectors that are built by hand: the Parquet crate is the judge of what they say.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type};
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StringArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;
use tranship_collection::batch::RowText;
use tranship_collection::layout::SCHEMA_KEY;
use tranship_collection::{BatchBuilder, CollectionSchema, Element, IdKind, VectorSpec};
use tranship_connector::{ErrorKind, Result};
use tranship_format_parquet::{EncodeOptions, PartEncoder, PartFile};
use tranship_storage::Limits;

use crate::samples::write;

/// A column of `f32` and one of `f16`, both of `dim` elements.
fn schema(dim: usize) -> CollectionSchema {
    let mut schema = CollectionSchema::new("pages");
    schema.vectors =
        vec![VectorSpec::dense("", dim), VectorSpec { element: Element::F16, ..VectorSpec::dense("half", dim) }];
    schema
}

/// One record per item; it says whether the record has the vectors. Every value is exact in `f16`.
fn batch(schema: &CollectionSchema, present: &[bool]) -> RecordBatch {
    let dim = schema.vectors[0].dim.unwrap();
    let mut builder = BatchBuilder::new(Arc::new(schema.clone())).unwrap();
    for (row, present) in present.iter().enumerate() {
        if *present {
            let vector: Vec<f32> = (0..dim).map(|i| ((row * 31 + i * 7) % 2048) as f32 / -64.0).collect();
            builder.push_dense(0, &vector);
            builder.push_dense(1, &vector);
        }
        let id = row.to_string();
        let text = RowText { id: &id, id_kind: IdKind::Text, namespace: None, document: None, metadata: None };
        builder.finish_row(text).unwrap();
    }
    builder.finish().unwrap()
}

fn part(dir: &Path, schema: &CollectionSchema, batch: &RecordBatch, plain: bool) -> PartFile {
    let mut encoder = PartEncoder::new(Vec::new(), schema, EncodeOptions { plain }).unwrap();
    encoder.write(batch).unwrap();
    let path = dir.join("part.parquet");
    write(&path, &encoder.finish().unwrap().0);
    PartFile::open(&path, &Limits::default()).unwrap()
}

/// Vectors as bits, row by row.
fn bits(vectors: &ArrayRef) -> Vec<Option<Vec<u32>>> {
    let row = |row: ArrayRef| match row.data_type() {
        DataType::Float32 => row.as_primitive::<Float32Type>().values().iter().map(|v| v.to_bits()).collect(),
        _ => row.as_primitive::<Float16Type>().values().iter().map(|v| u32::from(v.to_bits())).collect(),
    };
    match vectors.as_fixed_size_list_opt() {
        Some(list) => list.iter().map(|vector| vector.map(row)).collect(),
        None => vectors.as_list::<i32>().iter().map(|vector| vector.map(row)).collect(),
    }
}

fn columns(batches: &[RecordBatch], name: &str) -> Vec<Option<Vec<u32>>> {
    batches.iter().flat_map(|batch| bits(batch.column_by_name(name).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_parquet_crate_and_our_reader_see_what_was_written(
        stretches in prop::collection::vec((1usize..900, any::<bool>()), 1..6),
        dim in prop::sample::select(vec![1usize, 3, 8, 63, 64, 65, 200, 768]), plain in any::<bool>(),
    ) {
        let present: Vec<bool> =
            stretches.iter().flat_map(|(rows, present)| std::iter::repeat_n(*present, *rows)).collect();
        let schema = schema(dim);
        let written = [batch(&schema, &present)];
        let dir = tempfile::tempdir().unwrap();
        let part = part(dir.path(), &schema, &written[0], plain);
        let groups = 0..part.row_groups().len();
        let theirs: Result<Vec<_>> = part.raw_batches(groups.clone(), None).unwrap().collect();
        let theirs: Vec<RecordBatch> = theirs.unwrap().into_iter().map(|(_, batch)| batch).collect();
        let ours: Vec<RecordBatch> =
            part.batches(groups, Arc::new(schema.clone())).unwrap().collect::<Result<_>>().unwrap();
        for name in ["vector", "vector.half"] {
            let wanted = columns(&written, name);
            prop_assert!(columns(&theirs, name) == wanted, "{} as the Parquet crate reads it", name);
            prop_assert!(columns(&ours, name) == wanted, "{} as our reader reads it", name);
        }
    }
}

#[test]
fn a_row_wider_than_a_page_has_a_page_of_its_own() {
    let schema = schema(200_000);
    let written = [batch(&schema, &[true, false, true, true, true, false])];
    let dir = tempfile::tempdir().unwrap();
    let part = part(dir.path(), &schema, &written[0], false);
    let ours: Result<Vec<_>> = part.batches(0..part.row_groups().len(), Arc::new(schema.clone())).unwrap().collect();
    assert!(columns(&ours.unwrap(), "vector") == columns(&written, "vector"));
}

#[test]
fn a_part_of_an_earlier_version_is_read_by_the_parquet_crate() {
    let mut schema = schema(3);
    schema.vectors.truncate(1);
    let values: Vec<f32> = (0..30).map(|i| i as f32 / 8.0).collect();
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let offsets = OffsetBuffer::from_lengths([3; 10]);
    let vectors =
        ListArray::new(item.clone(), offsets, Arc::new(arrow_array::Float32Array::from(values.clone())), None);
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    let fields = vec![
        text("id", false),
        Field::new("vector", DataType::List(item), true),
        text("document", true),
        text("metadata", true),
    ];
    let ids: StringArray = (0..10).map(|row| Some(row.to_string())).collect();
    let nothing: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 10]));
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(vectors), nothing.clone(), nothing];
    let plain = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let key = KeyValue::new(SCHEMA_KEY.to_owned(), serde_json::to_string(&schema).unwrap());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![key])).build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), plain.schema(), options).unwrap();
    writer.write(&plain).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("earlier.parquet");
    write(&path, &writer.into_inner().unwrap());

    let part = PartFile::open(&path, &Limits::default()).unwrap();
    let read: Result<Vec<_>> = part.batches(0..1, Arc::new(schema)).unwrap().collect();
    let wanted: Vec<_> = values.chunks(3).map(|row| Some(row.iter().map(|v| v.to_bits()).collect())).collect();
    assert_eq!(self::columns(&read.unwrap(), "vector"), wanted);
}

#[test]
fn damage_in_a_vector_page_names_the_file_the_column_and_the_byte() {
    let schema = schema(96);
    let dir = tempfile::tempdir().unwrap();
    let part = part(dir.path(), &schema, &batch(&schema, &[true; 300]), false);
    let good = std::fs::read(part.path()).unwrap();
    let footer = SerializedFileReader::new(std::fs::File::open(part.path()).unwrap()).unwrap();
    let start = footer.metadata().row_group(0).column(1).data_page_offset() as usize;
    let mut refused = 0;
    for offset in 0..40 {
        let mut bytes = good.clone();
        bytes[start + offset] ^= 0x41;
        write(part.path(), &bytes);
        let part = PartFile::open(part.path(), &Limits::default()).unwrap();
        let read: Result<Vec<_>> = part.batches(0..1, Arc::new(schema.clone())).unwrap().collect();
        if let Err(error) = read {
            let text = error.to_string();
            assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Limit), "{text}");
            assert!(text.contains("part.parquet") && text.contains("byte"), "{text}");
            refused += 1;
        }
    }
    assert!(refused >= 25, "{refused} of 40 damaged pages were refused");
}

//! Parquet files that others wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, MapBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{ArrowPrimitiveType, Float16Type, Float32Type, Float64Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field};
use parquet::arrow::ArrowWriter;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchView, VectorValue};
use tranship_connector::{ErrorKind, OpenOptions};

use crate::samples::{Read, read};

fn list<T: ArrowPrimitiveType>(rows: &[Option<&[T::Native]>]) -> ArrayRef {
    let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new());
    for row in rows {
        row.iter().for_each(|values| builder.values().append_slice(values));
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

fn texts(rows: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(rows.to_vec()))
}

fn write(dir: &Path, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let path = dir.join("foreign.parquet");
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn read_columns(columns: Vec<(&str, ArrayRef)>, options: &OpenOptions) -> tranship_connector::Result<Read> {
    let dir = tempfile::tempdir().unwrap();
    read(&write(dir.path(), columns), options, 1 << 20)
}

fn read_plainly(columns: Vec<(&str, ArrayRef)>) -> Read {
    read_columns(columns, &OpenOptions::default()).unwrap()
}

fn metadata(read: &Read, row: usize) -> String {
    BatchView::new(&read.batches[0], &read.schema).unwrap().metadata(row).unwrap().to_owned()
}

#[test]
fn roles_are_found_by_type_and_name() {
    let read = read_plainly(vec![
        ("pk", Arc::new(UInt64Array::from(vec![u64::MAX, 1]))),
        ("embedding", list::<Float32Type>(&[Some(&[1.0, -0.0]), None])),
        ("text", texts(&[Some("ein Text"), None])),
        ("year", Arc::new(Int64Array::from(vec![Some(1999), None]))),
    ]);
    assert_eq!((read.schema.ids, read.schema.name.as_str()), (IdKinds::Integer, "foreign"));
    let view = BatchView::new(&read.batches[0], &read.schema).unwrap();
    assert_eq!((view.id(0), view.document(0), view.document(1)), ("18446744073709551615", Some("ein Text"), None));
    assert_eq!(view.vector(0, 0), Some(VectorValue::Dense(&[1.0, -0.0])));
    assert_eq!(view.vector(0, 1), None);
    assert_eq!((view.metadata(0), view.metadata(1)), (Some(r#"{"year":1999}"#), Some(r#"{"year":null}"#)));
    assert_eq!(read.notes, ["ids are column `pk`", "vectors are column `embedding`", "documents are column `text`"]);
}

#[test]
fn every_type_keeps_its_kind_as_a_metadata_key() {
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v");
    map.append(true).unwrap();
    let pair: ArrayRef = Arc::new(StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Int64, true)), Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        (Arc::new(Field::new("y", DataType::Utf8, true)), texts(&[None])),
    ]));
    let read = read_plainly(vec![
        ("id", texts(&[Some("a")])),
        ("bool", Arc::new(BooleanArray::from(vec![true]))),
        ("double", Arc::new(Float64Array::from(vec![1e300]))),
        ("whole", Arc::new(Float64Array::from(vec![2.0]))),
        ("single", Arc::new(Float32Array::from(vec![0.1]))),
        ("nan", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_000_001]).with_timezone("UTC"))),
        ("local", Arc::new(TimestampMicrosecondArray::from(vec![0]))),
        ("price", Arc::new(Decimal128Array::from(vec![150]).with_precision_and_scale(10, 2).unwrap())),
        ("bytes", Arc::new(BinaryArray::from(vec![&[0u8, 255][..]]))),
        ("tags", list::<arrow_array::types::Int64Type>(&[Some(&[1, 2])])),
        ("pair", pair),
        ("map", Arc::new(map.finish())),
    ]);
    assert!(read.rejects.is_empty(), "{:?}", read.rejects);
    let wanted = concat!(
        r#"{"bool":true,"double":1e+300,"whole":2.0,"single":0.1,"nan":{"$float":"NaN"},"#,
        r#""at":{"$time":"2023-11-14T22:13:20.000001Z"},"local":{"$time":"1970-01-01T00:00:00"},"price":"1.50","#,
        r#""bytes":{"$bytes":"00ff"},"tags":[1,2],"pair":{"x":1,"y":null},"map":{"k":"v"}}"#,
    );
    assert_eq!(metadata(&read, 0), wanted);
}

#[test]
fn a_metadata_column_is_verbatim_and_other_columns_stand_behind_it() {
    let read = read_plainly(vec![
        ("id", texts(&[Some("a"), Some("b"), Some("c"), Some("d"), Some("e")])),
        ("metadata", texts(&[Some(r#"{ "b": 1.50 } "#), Some("{}"), None, Some("[1]"), Some(r#"{"n": 1}"#)])),
        ("n", Arc::new(Int64Array::from(vec![7; 5]))),
    ]);
    let found: Vec<String> = (0..3).map(|row| metadata(&read, row)).collect();
    assert_eq!(found, [r#"{ "b": 1.50,"n":7}"#, r#"{"n":7}"#, r#"{"n":7}"#]);
    assert_eq!(read.rejects.len(), 2);
    assert!(read.rejects[0].reason.contains("not an object") && read.rejects[0].place.ends_with("row 3"));
    assert!(read.rejects[1].reason.contains("duplicate key"));
    let alone = read_plainly(vec![("id", texts(&[Some("a")])), ("payload", texts(&[Some(r#"{ "b": 1.50 } "#)]))]);
    assert_eq!(metadata(&alone, 0), r#"{ "b": 1.50 } "#);
    let plain = read_plainly(vec![("id", texts(&[Some("a")])), ("metadata", texts(&[Some("just text")]))]);
    assert_eq!(metadata(&plain, 0), r#"{"metadata":"just text"}"#);
}

#[test]
fn doubles_are_taken_only_if_they_were_floats() {
    let read = read_plainly(vec![(
        "vector",
        list::<Float64Type>(&[
            Some(&[0.1, f64::from(0.1f32)]),
            Some(&[std::f64::consts::PI, 0.0]),
            Some(&[1e300, 0.0]),
            Some(&[f64::NAN, 0.0]),
            Some(&[-0.0, 0.5]),
        ]),
    )]);
    let view = BatchView::new(&read.batches[0], &read.schema).unwrap();
    assert_eq!(view.vector(0, 0), Some(VectorValue::Dense(&[0.1, 0.1])));
    let rejected: Vec<_> = read.rejects.iter().map(|reject| reject.id.clone().unwrap()).collect();
    assert_eq!((rejected, view.id(1)), (vec!["1".to_owned(), "2".to_owned(), "3".to_owned()], "4"));
    assert!(read.rejects[0].reason.contains("f32 cannot hold") && read.rejects[0].reason.contains("FLOAT"));
    let half = read_plainly(vec![("v", list::<Float16Type>(&[Some(&[half::f16::from_f32(0.1)])]))]);
    let view = BatchView::new(&half.batches[0], &half.schema).unwrap();
    assert_eq!(view.vector(0, 0), Some(VectorValue::Dense(&[half::f16::from_f32(0.1).to_f32()])));
}

#[test]
fn ragged_empty_and_non_finite_vectors_are_rejects_with_their_row() {
    let read = read_plainly(vec![
        ("id", texts(&[Some("a"), Some("b"), Some("c"), Some("d"), None])),
        ("vector", list::<Float32Type>(&[Some(&[1.0]), Some(&[1.0, 2.0]), Some(&[]), Some(&[f32::NAN]), Some(&[1.0])])),
    ]);
    let places: Vec<_> = read.rejects.iter().map(|r| r.place.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(places, ["1", "2", "3", "4"]);
    assert_eq!(read.batches[0].num_rows(), 1);
}

#[test]
fn several_vector_columns_need_a_flag() {
    let columns = || {
        vec![
            ("id", texts(&[Some("a")])),
            ("title_vec", list::<Float32Type>(&[Some(&[1.0])])),
            ("body_vec", list::<Float32Type>(&[Some(&[2.0, 3.0])])),
        ]
    };
    let error = read_columns(columns(), &OpenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRecognised);
    assert!(error.message().contains("title_vec, body_vec") && error.next_step().unwrap().contains("--vector-column"));
    let options = OpenOptions { vector_column: Some("body_vec".into()), ..OpenOptions::default() };
    let read = read_columns(columns(), &options).unwrap();
    let view = BatchView::new(&read.batches[0], &read.schema).unwrap();
    assert_eq!(view.vector(0, 0), Some(VectorValue::Dense(&[2.0, 3.0])));
    assert_eq!(view.metadata(0), Some(r#"{"title_vec":[1.0]}"#));
    let options = OpenOptions { id_column: Some("nope".into()), ..options };
    let error = read_columns(columns(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.next_step().unwrap().contains("body_vec"));
}

#[test]
fn files_of_a_directory_count_their_rows_on() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.parquet", "a.parquet"] {
        let path = write(dir.path(), vec![("emb", list::<Float32Type>(&[Some(&[1.0]), Some(&[2.0])]))]);
        std::fs::rename(path, dir.path().join(name)).unwrap();
    }
    let read = read(dir.path(), &OpenOptions::default(), 1).unwrap();
    let ids: Vec<String> = read
        .batches
        .iter()
        .flat_map(|batch| {
            let view = BatchView::new(batch, &read.schema).unwrap();
            (0..view.len()).map(|row| (view.id(row).to_owned(), view.id_kind(row))).collect::<Vec<_>>()
        })
        .map(|(id, kind)| if kind == IdKind::Integer { id } else { String::new() })
        .collect();
    assert_eq!(ids, ["0", "1", "2", "3"]);
    assert!(read.notes[0].contains("row numbers"));
    write(dir.path(), vec![("other", list::<Float32Type>(&[Some(&[1.0])]))]);
    let error = crate::samples::read(dir.path(), &OpenOptions::default(), 1).unwrap_err();
    assert!(error.to_string().contains("foreign.parquet"));
}

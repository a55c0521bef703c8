//! The stored dumps of the archive `ann-files`: ids 7 * i + 11, rows 100 to 199 removed from the IDMap, 5 to 9 from the lists.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use tranship_collection::Metric;
use tranship_connector::{ErrorKind, OpenOptions};

use crate::support::{Array, compare, compare_nearly, list, lossy, open, read_plain, read_with};

static DUMPS: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    tranship_testkit::fixtures::unpack("ann-files", dir.path());
    dir
});

fn dump(name: &str) -> PathBuf {
    DUMPS.path().join("ann").join(name)
}

struct Truth {
    rows: Vec<Vec<u32>>,
    ids: Vec<i64>,
}

impl Truth {
    fn load() -> Self {
        Truth { rows: Array::load(&dump("truth_X.npy")).rows(), ids: Array::load(&dump("truth_ids.npy")).integers() }
    }

    fn without(&self, removed: std::ops::Range<usize>) -> (Vec<i64>, Vec<Vec<u32>>) {
        let kept = (0..self.ids.len()).filter(|row| !removed.contains(row));
        kept.map(|row| (self.ids[row], self.rows[row].clone())).unzip()
    }

    fn numbered(&self) -> Vec<i64> {
        (0..self.rows.len() as i64).collect()
    }
}

#[test]
fn flat_and_graph_indexes_read_back_bit_for_bit() {
    let truth = Truth::load();
    for (name, metric) in [
        ("flat_l2.faiss", Metric::L2),
        ("flat_ip.faiss", Metric::Dot),
        ("flat_l1.faiss", Metric::L1),
        ("hnsw_flat.faiss", Metric::L2),
    ] {
        let outcome = read_plain(&dump(name)).unwrap();
        compare(name, &outcome, &truth.numbered(), &truth.rows);
        assert_eq!(outcome.schema.vectors[0].metric, Some(metric), "{name}");
    }
}

#[test]
fn removed_rows_are_gone_and_ids_are_those_of_the_map_or_the_lists() {
    let truth = Truth::load();
    for (name, removed) in [("idmap_flat.faiss", 100..200), ("idmap2_flat.faiss", 0..0), ("ivfflat.faiss", 5..10)] {
        let (ids, rows) = truth.without(removed);
        compare(name, &read_plain(&dump(name)).unwrap(), &ids, &rows);
    }
}

#[test]
fn bits_are_kept_as_they_are_packed() {
    let rows = Array::load(&dump("truth_B.npy")).rows();
    let outcome = read_plain(&dump("binary_flat.faiss")).unwrap();
    let numbers: Vec<i64> = (0..rows.len() as i64).collect();
    compare("binary_flat", &outcome, &numbers, &rows);
    assert_eq!(outcome.schema.vectors[0].metric, Some(Metric::Hamming));
}

#[test]
fn a_normalising_transform_gives_unit_vectors() {
    let truth = Truth::load();
    let outcome = read_plain(&dump("pretransform_l2norm.faiss")).unwrap();
    assert!(outcome.schema.vectors[0].normalised);
    let unit: Vec<Vec<u32>> = truth.rows.iter().map(|row| normalised(row)).collect();
    let ids: Vec<i64> = outcome.records.iter().map(|record| record.id.parse().unwrap()).collect();
    let by_id: BTreeMap<i64, &Vec<u32>> = truth.numbered().into_iter().zip(&unit).collect();
    let wanted: Vec<Vec<u32>> = ids.iter().map(|id| by_id[id].clone()).collect();
    compare_nearly("pretransform_l2norm", &outcome, &ids, &wanted);
    assert_eq!(ids.len(), truth.rows.len());
}

#[test]
fn inner_product_may_be_called_cosine_and_nothing_else_may() {
    let cosine = OpenOptions { metric: Some(Metric::Cosine), ..OpenOptions::default() };
    let says_so = |notes: &[String]| notes.iter().any(|note| note.contains("--metric says cosine"));
    for (name, metric, called) in [
        ("flat_ip.faiss", Metric::Cosine, true),
        ("flat_l2.faiss", Metric::L2, false),
        ("binary_flat.faiss", Metric::Hamming, false),
    ] {
        let info = list(&dump(name), &cosine).unwrap().remove(0);
        assert_eq!((info.schema.vectors[0].metric, says_so(&info.notes)), (Some(metric), called), "{name}");
        let outcome = read_with(&dump(name), &cosine).unwrap();
        assert_eq!((outcome.schema.vectors[0].metric, says_so(&outcome.notes)), (Some(metric), called), "{name}");
    }
    let l2 = OpenOptions { metric: Some(Metric::L2), ..OpenOptions::default() };
    assert_eq!(list(&dump("flat_ip.faiss"), &l2).unwrap()[0].schema.vectors[0].metric, Some(Metric::Dot));
}

fn normalised(row: &[u32]) -> Vec<u32> {
    let values: Vec<f32> = row.iter().map(|bits| f32::from_bits(*bits)).collect();
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    values.iter().map(|value| ((f64::from(*value) / length) as f32).to_bits()).collect()
}

#[test]
fn quantised_vectors_are_near_on_request_and_product_codes_are_refused() {
    let truth = Truth::load();
    for name in ["sq8.faiss", "ivfsq8.faiss"] {
        assert_eq!(open(&dump(name), &Default::default()).err().unwrap().kind(), ErrorKind::LossDenied);
        let outcome = read_with(&dump(name), &lossy()).unwrap();
        assert_eq!(outcome.records.len(), truth.rows.len(), "{name}");
        let numbers: BTreeMap<String, usize> = match name {
            "sq8.faiss" => truth.numbered().iter().enumerate().map(|(row, id)| (id.to_string(), row)).collect(),
            _ => outcome.records.iter().map(|r| (r.id.clone(), row_of(&r.id, &truth))).collect(),
        };
        for record in &outcome.records {
            let values = record.dense("").unwrap();
            for (value, wanted) in values.iter().zip(&truth.rows[numbers[&record.id]]) {
                assert!((value - f32::from_bits(*wanted)).abs() < 0.05, "{name}: {value} is far from the original");
            }
        }
    }
    let error = open(&dump("pq8.faiss"), &lossy()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotRecognised);
    assert!(error.to_string().contains("IxPq (product quantiser)"), "{error}");
}

/// The row of an id, whether the lists keep row numbers or ids of their own.
fn row_of(id: &str, truth: &Truth) -> usize {
    let id: i64 = id.parse().unwrap();
    truth.ids.iter().position(|known| *known == id && truth.ids.len() as i64 <= id).unwrap_or(id as usize)
}

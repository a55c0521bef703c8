//! How S3 Vectors calls things and what it cannot hold: data and pure functions.
//!
//! Source: the API reference and the page of limitations (2026): 500 vectors and 20 MiB per call, keys of 1,024
//! characters, 4,096 dimensions, 40 KB of metadata per vector of which 2 KB can be filtered by, 50 metadata keys, 10
//! keys that are not filtered by and are fixed when the index is made.

use tranship_collection::{Element, IndexSpec, Metric};
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, Lists, MetadataRules, Numbers, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Rules};

/// What S3 Vectors can hold.
pub const RULES: Rules = Rules {
    target: "s3vectors",
    title: "S3 Vectors",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: usize::MAX, max_chars: 1024, chars: Chars::NoNul },
    },
    namespaces: false,
    documents: false,
    metadata: Some(MetadataRules {
        lists: Lists::Texts,
        numbers: Numbers::Double,
        nul: false,
        keys: Keys::NoDollar,
        max_value_bytes: Some(FILTERABLE_BYTES),
        ..MetadataRules::FLAT
    }),
    vectors: VectorRules {
        elements: &[Element::F32],
        max_dim: 4096,
        max_dense: 1,
        max_sparse: 0,
        multi: false,
        bits: false,
        metrics: &[Metric::L2, Metric::Cosine],
        normalises: false,
    },
    rows: RowRules {
        vector_required: true,
        finite: true,
        nonzero_under_cosine: true,
        max_metadata_bytes: Some(40_000),
        max_native_bytes: Some(FILTERABLE_BYTES),
        ..RowRules::ANY
    },
};

/// Most vectors of a call.
pub const CALL_VECTORS: u64 = 500;
/// Most bytes of a call.
pub const CALL_BYTES: u64 = 20 << 20;
/// Most bytes of metadata that can be filtered by, a little below the 2 KB of the service, which may count otherwise.
pub const FILTERABLE_BYTES: usize = 2000;
/// Most metadata keys of a vector, without ours.
pub const MAX_FIELDS: usize = 46;

/// The name of a metric, if S3 Vectors has it.
pub fn distance_metric(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("cosine"),
        Metric::L2 => Some("euclidean"),
        _ => None,
    }
}

/// What an index loses: S3 Vectors has no settings.
pub fn index_loss(index: Option<&IndexSpec>, path: &str) -> Option<Loss> {
    let (from, grade) = match index? {
        IndexSpec::Flat => ("no index".to_owned(), Grade::Lossy),
        IndexSpec::Hnsw { m, ef_construction, .. } => (format!("hnsw {m}, {ef_construction}"), Grade::Equivalent),
        IndexSpec::Other { name, .. } => (format!("index {name}"), Grade::Lossy),
    };
    Some(Loss::new("INDEX_SETTINGS", path, from, "S3 Vectors' own index, which has no settings", grade))
}

/// What is wrong with an index name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !(3..=63).contains(&name.len()) {
        return Some("index names have 3 to 63 characters".to_owned());
    }
    let bytes = name.as_bytes();
    let good = bytes.iter().all(|b| plain(*b)) && edge(bytes.first()) && edge(bytes.last());
    (!good).then(|| {
        "index names consist of lower-case letters, digits, `-` and `.`, a letter or digit at both ends".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_checked() {
        assert!(["abc", "a.b-c", "0ab"].iter().all(|name| name_fault(name).is_none()));
        assert!(["ab", "Abc", "a_b", "-ab", "ab."].iter().all(|name| name_fault(name).is_some()));
    }
}

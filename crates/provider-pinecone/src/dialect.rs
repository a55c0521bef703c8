//! How Pinecone calls things and what it cannot hold: data and pure functions.
//!
//! Sources: Pinecone's pages on importing data, database limits and metadata, its own import skill and Python client, as
//! read in 2026. Nothing here has been run against the service; where its pages differ, the narrower statement counts.

use tranship_collection::{Element, Metric};
use tranship_connector::Rules;
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, Lists, MetadataRules, Nested, Numbers, RowRules, TextIds, VectorRules,
};

/// What Pinecone can hold.
pub const RULES: Rules = Rules {
    target: "pinecone",
    title: "Pinecone",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: 512, max_chars: 512, chars: Chars::Ascii },
    },
    namespaces: true,
    documents: false,
    metadata: Some(MetadataRules {
        nulls: false,
        nested: Nested::Flattened,
        lists: Lists::Texts,
        numbers: Numbers::Double,
        nul: false,
        keys: Keys::NoDollar,
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32],
        max_dim: 20_000,
        max_dense: 1,
        max_sparse: 1,
        multi: false,
        bits: false,
        metrics: &[Metric::L2, Metric::Cosine, Metric::Dot],
        normalises: false,
    },
    rows: RowRules {
        vector_required: true,
        finite: true,
        nonzero: true,
        sparse_values: true,
        max_nonzeros: Some(1_000),
        max_metadata_bytes: Some(40_960),
        ..RowRules::ANY
    },
};

/// The folder of the default namespace, and its name in answers.
pub const DEFAULT_NAMESPACE: &str = "__default__";
/// Most namespaces of one import.
pub const MAX_NAMESPACES: usize = 10_000;
/// Most files of one import.
pub const MAX_FILES: u64 = 100_000;
/// Longest namespace that we let stand.
pub const MAX_NAMESPACE_CHARS: usize = 200;
const MAX_INDEX_CHARS: usize = 45;

/// Pinecone's name of a metric, if it has it.
pub fn metric_name(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("cosine"),
        Metric::Dot => Some("dotproduct"),
        Metric::L2 => Some("euclidean"),
        Metric::L1 | Metric::Hamming | Metric::Jaccard => None,
    }
}

/// What is wrong with an index name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if name.len() > MAX_INDEX_CHARS {
        return Some(format!("it is longer than {MAX_INDEX_CHARS} characters"));
    }
    if !name.bytes().all(|b| plain(b) || b == b'-') {
        return Some("Pinecone takes lower-case letters, digits and `-`".to_owned());
    }
    let ends = [name.bytes().next(), name.bytes().last()];
    (!ends.into_iter().flatten().all(plain)).then(|| "it begins or ends with `-`".to_owned())
}

/// True if a namespace can be a folder in every object store, and cannot be taken for the default one.
pub fn is_plain_namespace(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty()
        && name != DEFAULT_NAMESPACE
        && !name.starts_with('.')
        && name.len() <= MAX_NAMESPACE_CHARS
        && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_pinecone_takes() {
        for name in ["a", "docs-2", &"a".repeat(45)] {
            assert_eq!(name_fault(name), None, "{name}");
        }
        for name in ["Docs", "a_b", "-a", "a-", &"a".repeat(46)] {
            assert!(name_fault(name).is_some(), "{name}");
        }
        assert!(["a", "A.b_c-d"].iter().all(|name| is_plain_namespace(name)));
        assert!(!["", "__default__", "..", "a/b", "ü", "a b"].iter().any(|name| is_plain_namespace(name)));
    }
}

//! How Vespa calls things and what it cannot hold: data and pure functions.
//!
//! Source: Vespa's documentation of schemas, the document JSON format and HNSW indexes (2026). An empty text or list is
//! the same as none there, and texts hold no control characters but tab and line ends; `texts` says how both survive.

use std::fmt::Write;

use tranship_bundle::json::{kept_vectors, reserved_keys, vector_fields, without_underscore};
use tranship_collection::{Element, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::native::FieldType;
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, MetadataRules, Nested, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Mapping, Rules};

use crate::texts::{EMPTY, ESCAPED};

/// What Vespa can hold.
pub const RULES: Rules = Rules {
    target: "vespa",
    title: "Vespa",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: 1024, max_chars: usize::MAX, chars: Chars::Ascii },
    },
    namespaces: false,
    documents: false,
    metadata: Some(MetadataRules {
        nulls: false,
        nested: Nested::AsText,
        keys: Keys::Identifier,
        nul: false,
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32, Element::BF16, Element::I8],
        max_dim: 65_536,
        max_dense: usize::MAX,
        max_sparse: usize::MAX,
        multi: true,
        bits: false,
        metrics: &[Metric::Cosine, Metric::L2, Metric::Dot],
        normalises: false,
    },
    rows: RowRules { finite: true, nonzero_under_cosine: true, multi_rows: true, ..RowRules::ANY },
};

/// Namespace within document ids.
pub const ID_NAMESPACE: &str = "tranship";
/// Most fields that are declared, without ours and the vectors.
pub const MAX_FIELDS: usize = 500;
/// Types of fields. A list of booleans is none.
pub const TYPES: &[FieldType] = &[
    FieldType::Bool,
    FieldType::Integer,
    FieldType::Float,
    FieldType::Text,
    FieldType::Integers,
    FieldType::Floats,
    FieldType::Texts,
];
/// Names that mean something else in a schema or an answer.
const TAKEN: &[&str] =
    &["id", "documentid", "sddocname", "relevance", "source", "summaryfeatures", "rankfeatures", "matchfeatures"];

/// Vespa's name of a metric, if it has it.
pub fn distance_metric(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("angular"),
        Metric::L2 => Some("euclidean"),
        Metric::Dot => Some("dotproduct"),
        _ => None,
    }
}

fn type_name(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Bool | FieldType::Bools => "bool",
        FieldType::Integer => "long",
        FieldType::Float => "double",
        FieldType::Text => "string",
        FieldType::Integers => "array<long>",
        FieldType::Floats => "array<double>",
        FieldType::Texts => "array<string>",
    }
}

/// True for a metadata key that can be a field's name.
pub fn allowed_field(mapping: &Mapping) -> impl Fn(&str) -> bool + use<> {
    let vectors = vector_fields(mapping, None);
    move |key| {
        let own = key.starts_with('_') || key.starts_with("tranship_") || TAKEN.contains(&key);
        Keys::Identifier.hold(key) && !own && !vectors.iter().any(|field| field == key)
    }
}

/// The settings of an HNSW index, with what they cannot carry.
pub fn hnsw(index: Option<&IndexSpec>, path: &str) -> (Option<(u32, u32)>, Vec<Loss>) {
    let loss = |from: String, to: &str| vec![Loss::new("INDEX_SETTINGS", path, from, to, Grade::Lossy)];
    match index {
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let explore = |ef: u32| {
                let to = format!("to be sent with each query as hnsw.exploreAdditionalHits, from {ef}");
                Loss::new("EF_SEARCH", path, format!("ef_search {ef} of the index"), to, Grade::Equivalent)
            };
            (Some((*m, *ef_construction)), ef_search.map(explore).into_iter().collect())
        }
        Some(IndexSpec::Other { name, .. }) => (Some((16, 200)), loss(format!("index {name}"), "HNSW, 16 and 200")),
        Some(IndexSpec::Flat) => (None, Vec::new()),
        None => (Some((16, 200)), Vec::new()),
    }
}

/// The tensor type of a vector.
pub fn tensor_type(spec: &VectorSpec) -> String {
    let cell = match spec.element {
        Element::BF16 => "bfloat16",
        Element::I8 => "int8",
        _ => "float",
    };
    let dim = spec.dim.unwrap_or(0);
    match spec.kind {
        VectorKind::Sparse => "tensor<float>(t{})".to_owned(),
        VectorKind::Multi => format!("tensor<float>(p{{}},x[{dim}])"),
        _ => format!("tensor<{cell}>(x[{dim}])"),
    }
}

/// The schema of the document type.
pub fn schema(mapping: &Mapping) -> String {
    let name = &mapping.collection;
    let mut text = format!("schema {name} {{\n  document {name} {{\n");
    for (spec, field) in kept_vectors(mapping).zip(vector_fields(mapping, None)) {
        text.push_str(&tensor_field(spec, &field, mapping));
    }
    let mut plain = |name: &str, kind: &str, indexing: &str| {
        let _infallible = writeln!(text, "    field {name} type {kind} {{\n      indexing: {indexing}\n    }}");
    };
    for (key, kind) in mapping.fields.iter().flatten() {
        plain(key, type_name(*kind), "attribute | summary");
    }
    for key in reserved_keys(mapping) {
        let indexing = if Some(key) == mapping.namespace_key.as_deref() {
            "attribute | summary"
        } else if Some(key) == mapping.document_key.as_deref() {
            "index | summary"
        } else {
            "summary"
        };
        plain(without_underscore(key), "string", indexing);
    }
    plain(EMPTY, "array<string>", "summary");
    plain(ESCAPED, "array<string>", "summary");
    text.push_str("  }\n}\n");
    text
}

fn tensor_field(spec: &VectorSpec, field: &str, mapping: &Mapping) -> String {
    let kind = tensor_type(spec);
    let metric = mapping.metrics.get(&spec.name).copied().and_then(distance_metric);
    let Some(metric) = metric.filter(|_| spec.kind != VectorKind::Sparse) else {
        return format!("    field {field} type {kind} {{\n      indexing: attribute | summary\n    }}\n");
    };
    let attribute = format!("      attribute {{\n        distance-metric: {metric}\n      }}\n");
    match hnsw(spec.index.as_ref(), "").0 {
        None => format!("    field {field} type {kind} {{\n      indexing: attribute | summary\n{attribute}    }}\n"),
        Some((links, explore)) => format!(
            "    field {field} type {kind} {{\n      indexing: attribute | index | summary\n{attribute}      index {{\n        \
             hnsw {{\n          max-links-per-node: {links}\n          neighbors-to-explore-at-insert: {explore}\n        \
             }}\n      }}\n    }}\n"
        ),
    }
}

/// The services of the smallest application.
pub fn services(name: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<services version=\"1.0\">\n  <container id=\"default\" version=\"1.0\">\n    \
         <document-api/>\n    <search/>\n  </container>\n  <content id=\"content\" version=\"1.0\">\n    \
         <min-redundancy>1</min-redundancy>\n    <documents>\n      <document type=\"{name}\" mode=\"index\"/>\n    \
         </documents>\n  </content>\n</services>\n"
    )
}

/// What is wrong with a document type's name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    let good = Keys::Identifier.hold(name) && !name.starts_with('_');
    (!good).then(|| "document types are called by a letter, then letters, digits and `_`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_have_types_by_kind_and_element() {
        let dense = VectorSpec::dense("v", 3);
        assert_eq!(tensor_type(&dense), "tensor<float>(x[3])");
        assert_eq!(tensor_type(&VectorSpec { element: Element::BF16, ..dense.clone() }), "tensor<bfloat16>(x[3])");
        assert_eq!(tensor_type(&VectorSpec { kind: VectorKind::Multi, ..dense.clone() }), "tensor<float>(p{},x[3])");
        assert_eq!(tensor_type(&VectorSpec { kind: VectorKind::Sparse, ..dense }), "tensor<float>(t{})");
        assert!(name_fault("a-b").is_some() && name_fault("notes_1").is_none());
    }
}

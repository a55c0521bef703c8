//! How Weaviate calls things and what it cannot hold: data and pure functions.
//!
//! Source: Weaviate's REST schema (`openapi-specs/schema.json`), `entities/schema/validation.go`,
//! `entities/vectorindex/hnsw/config.go`, and its pages on collections and distances (2026). Property names are told apart
//! without regard to case, and begin with a small letter whatever was asked for. A number passes through a double and comes
//! back without a point where it is whole; the property's type says what it is.

use serde_json::{Map, Value, json};
use tranship_bundle::json::{kept_vectors, reserved_keys, vector_fields};
use tranship_bundle::names::tamed;
use tranship_bundle::plan::clamped;
use tranship_collection::{Element, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::native::FieldType;
use tranship_connector::rules::{
    IdRules, IntegerIds, Keys, Lists, MetadataRules, Nested, Numbers, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Mapping, Rules};

/// What Weaviate can hold.
pub const RULES: Rules = Rules {
    target: "weaviate",
    title: "Weaviate",
    ids: IdRules { integers: IntegerIds::Mapped, texts: TextIds::Uuid },
    namespaces: true,
    documents: false,
    metadata: Some(MetadataRules {
        nulls: false,
        nested: Nested::AsText,
        lists: Lists::OneType,
        numbers: Numbers::I53,
        nul: false,
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32],
        max_dim: 65_535,
        max_dense: usize::MAX,
        max_sparse: 0,
        multi: true,
        bits: false,
        metrics: &[Metric::Cosine, Metric::Dot, Metric::L2, Metric::L1, Metric::Hamming],
        normalises: false,
    },
    rows: RowRules { finite: true, multi_rows: true, ..RowRules::ANY },
};

/// Most bytes of a body; gRPC takes 104,858,000, REST has no stated limit.
pub const BODY_BYTES: u64 = 10_000_000;
/// Most objects of a body.
pub const BODY_OBJECTS: u64 = 1_000;
/// Most properties that are declared, without ours.
pub const MAX_FIELDS: usize = 500;
/// Most tenants of one request.
pub const BODY_TENANTS: usize = 1_000;
/// Types of properties: all of them.
pub const TYPES: &[FieldType] = &[
    FieldType::Bool,
    FieldType::Integer,
    FieldType::Float,
    FieldType::Text,
    FieldType::Bools,
    FieldType::Integers,
    FieldType::Floats,
    FieldType::Texts,
];

const MAX_NAME: usize = 230;
const MAX_TENANT: usize = 64;
const RESERVED: [&str; 6] = ["id", "_id", "_additional", "vector", "_vector", "vectors"];
const RESERVED_ENDS: [&str; 6] =
    ["_searchable", "_rangeable", "_temp", "__meta_count", "_propertyLength", "_nullState"];
/// Name of a vector that Weaviate keeps for itself.
const RESERVED_VECTOR: &str = "default";

/// Weaviate's name of a metric, if it has it.
pub fn distance(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("cosine"),
        Metric::Dot => Some("dot"),
        Metric::L2 => Some("l2-squared"),
        Metric::L1 => Some("manhattan"),
        Metric::Hamming => Some("hamming"),
        Metric::Jaccard => None,
    }
}

/// The metric of a name, the other way round.
pub fn metric(distance_name: &str) -> Option<Metric> {
    RULES.vectors.metrics.iter().copied().find(|metric| distance(*metric) == Some(distance_name))
}

/// The class: a collection's name with its first letter in upper case, as Weaviate itself writes it.
pub fn class(name: &str) -> String {
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    first.to_ascii_uppercase() + rest
}

/// What is wrong with a collection name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    let class = class(name);
    if !class.starts_with(|c: char| c.is_ascii_uppercase()) {
        return Some("a class begins with a letter of ASCII".to_owned());
    }
    if !class.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Some("a class consists of letters, digits and `_` of ASCII".to_owned());
    }
    (class.len() > 255).then(|| "a class has at most 255 characters".to_owned())
}

/// True if a metadata key can be a property under its own name.
pub fn is_property(key: &str) -> bool {
    Keys::Identifier.hold(key)
        && key.len() <= MAX_NAME
        && !key.starts_with(|c: char| c.is_ascii_uppercase())
        && !key.starts_with("__")
        && !RESERVED.contains(&key)
        && !RESERVED_ENDS.iter().any(|end| key.ends_with(end))
}

/// The nearest name that a property can have.
pub fn property(key: &str) -> String {
    let mut name = tamed(key, MAX_NAME - 40, &['_']);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || name.starts_with("__") {
        name.insert(0, 'p');
    }
    name[..1].make_ascii_lowercase();
    if !is_property(&name) {
        name.push('_');
    }
    name
}

/// True if a tenant can have this name.
pub fn is_tenant(name: &str) -> bool {
    (1..=MAX_TENANT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The nearest name that a tenant can have.
pub fn tenant(namespace: &str) -> String {
    match namespace {
        "" => "default".to_owned(),
        name => tamed(name, 50, &['_', '-']),
    }
}

/// True if the one vector of a record stands beside its properties, without a name.
pub fn is_unnamed(mapping: &Mapping) -> bool {
    let mut kept = kept_vectors(mapping);
    let first = kept.next().is_some_and(|spec| spec.name.is_empty() && spec.kind == VectorKind::Dense);
    first && kept.next().is_none()
}

/// A vector's name at Weaviate for its field: the reserved one, and all that it would become, have one `_` more.
pub fn vector_name(field: &str) -> String {
    let reserved = field.trim_end_matches('_') == RESERVED_VECTOR;
    if reserved { format!("{field}_") } else { field.to_owned() }
}

/// Weaviate's name of a property's type.
pub fn data_type(field: FieldType) -> &'static str {
    match field {
        FieldType::Bool => "boolean",
        FieldType::Integer => "int",
        FieldType::Float => "number",
        FieldType::Text => "text",
        FieldType::Bools => "boolean[]",
        FieldType::Integers => "int[]",
        FieldType::Floats => "number[]",
        FieldType::Texts => "text[]",
    }
}

/// `vectorIndexType` and `vectorIndexConfig` of a vector, with what they cannot carry.
pub fn index(spec: &VectorSpec, metric: Option<Metric>, path: &str) -> (&'static str, Value, Vec<Loss>) {
    let mut config = Map::new();
    let mut losses = Vec::new();
    config.extend(metric.and_then(distance).map(|name| ("distance".to_owned(), json!(name))));
    let multi = spec.kind == VectorKind::Multi;
    let mut lost = |from: String, to: &str, grade| losses.push(Loss::new("INDEX_SETTINGS", path, from, to, grade));
    match &spec.index {
        Some(IndexSpec::Flat) if !multi => return ("flat", Value::Object(config), losses),
        Some(IndexSpec::Flat) => lost("no index".to_owned(), "HNSW, the only index of multivectors", Grade::Equivalent),
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let settings = [
                ("maxConnections", Some(*m), 4..=2_047),
                ("efConstruction", Some(*ef_construction), 4..=u32::MAX),
                ("ef", *ef_search, 1..=u32::MAX),
            ];
            for (name, value, range) in settings {
                let Some(value) = value else { continue };
                let (value, loss) = clamped(name, value, range, path);
                config.insert(name.to_owned(), json!(value));
                losses.extend(loss);
            }
        }
        Some(IndexSpec::Other { name, .. }) => {
            lost(format!("index {name}"), "HNSW with Weaviate's own settings", Grade::Lossy);
        }
        None => {}
    }
    // Newer servers compress whatever is not told to stay as it is.
    config.insert("skipDefaultQuantization".to_owned(), json!(true));
    if multi {
        config.insert("multivector".to_owned(), json!({ "enabled": true }));
    }
    ("hnsw", Value::Object(config), losses)
}

/// The index that a class states, the other way round. `ef` -1 leaves it to the query.
pub fn read_index(kind: &str, config: &Value) -> IndexSpec {
    let number = |key: &str| config[key].as_u64().and_then(|value| u32::try_from(value).ok());
    match kind {
        "flat" => IndexSpec::Flat,
        "hnsw" => IndexSpec::Hnsw {
            m: number("maxConnections").unwrap_or(32),
            ef_construction: number("efConstruction").unwrap_or(128),
            ef_search: number("ef"),
        },
        name => IndexSpec::Other { name: name.to_owned(), settings: config.clone() },
    }
}

/// The body of `POST /v1/schema`.
pub fn class_body(mapping: &Mapping) -> Value {
    let mut body = Map::new();
    body.insert("class".to_owned(), json!(mapping.collection));
    let metric = |spec: &VectorSpec| mapping.metrics.get(&spec.name).copied();
    let mut kept = kept_vectors(mapping).peekable();
    if is_unnamed(mapping) || kept.peek().is_none() {
        body.insert("vectorizer".to_owned(), json!("none"));
        if let Some(spec) = kept.next() {
            let (kind, config, _) = index(spec, metric(spec), "");
            body.insert("vectorIndexType".to_owned(), json!(kind));
            body.insert("vectorIndexConfig".to_owned(), config);
        }
    } else {
        let one = |(spec, field): (&VectorSpec, String)| {
            let (kind, config, _) = index(spec, metric(spec), "");
            let config = json!({ "vectorizer": { "none": {} }, "vectorIndexType": kind, "vectorIndexConfig": config });
            (vector_name(&field), config)
        };
        let vectors: Map<String, Value> = kept.zip(vector_fields(mapping, None)).map(one).collect();
        body.insert("vectorConfig".to_owned(), Value::Object(vectors));
    }
    body.insert("properties".to_owned(), Value::Array(properties(mapping)));
    if mapping.schema.namespaced {
        body.insert("multiTenancyConfig".to_owned(), json!({ "enabled": true }));
    }
    Value::Object(body)
}

/// Texts are filtered by as a whole, but for documents, which are searched by their words.
fn properties(mapping: &Mapping) -> Vec<Value> {
    let own = reserved_keys(mapping).into_iter().map(|key| {
        let searched = Some(key) == mapping.document_key.as_deref();
        let filtered = key == mapping.id_key;
        let tokens = if searched { "word" } else { "field" };
        json!({
            "name": key, "dataType": ["text"], "tokenization": tokens,
            "indexFilterable": filtered, "indexSearchable": searched,
        })
    });
    let declared = mapping.fields.iter().flatten().map(|(key, kind)| {
        let mut property = json!({ "name": mapping.renamed_keys.target(key), "dataType": [data_type(*kind)] });
        if matches!(kind, FieldType::Text | FieldType::Texts) {
            property["tokenization"] = json!("field");
        }
        property
    });
    own.chain(declared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_settings_go_both_ways_and_clamps_are_told() {
        let hnsw = |m, ef_construction, ef_search| IndexSpec::Hnsw { m, ef_construction, ef_search };
        let spec = |index| VectorSpec { index: Some(index), ..VectorSpec::dense("", 3) };
        for own in [hnsw(16, 200, Some(80)), hnsw(32, 128, None), IndexSpec::Flat] {
            let (kind, config, losses) = index(&spec(own.clone()), Some(Metric::Cosine), "");
            assert!(losses.is_empty() && config["distance"] == "cosine", "{config}");
            assert_eq!(read_index(kind, &config), own);
        }
        let (kind, config, losses) = index(&spec(hnsw(2, 1, None)), Some(Metric::L2), "vector");
        assert_eq!((kind, read_index(kind, &config)), ("hnsw", hnsw(4, 4, None)));
        assert_eq!(losses.len(), 2);
        assert!(losses.iter().all(|loss| loss.code == "INDEX_SETTINGS"));
        assert_eq!(read_index("hnsw", &json!({ "ef": -1 })), hnsw(32, 128, None));
    }

    #[test]
    fn every_metric_of_the_rules_goes_both_ways() {
        for own in RULES.vectors.metrics {
            assert_eq!(distance(*own).and_then(metric), Some(*own));
        }
    }

    #[test]
    fn names_become_ones_that_weaviate_takes() {
        for key in ["Title", "id", "a b", "9lives", "", "__x", "doc_searchable", "\u{fc}ber", "_id"] {
            assert!(!is_property(key) && is_property(&property(key)), "{key}: {}", property(key));
        }
        assert_eq!((property("Title"), property("odd key")), ("title".to_owned(), "odd_key".to_owned()));
        assert!(["tenant a|b", "", "\u{fc}"].iter().all(|name| !is_tenant(name) && is_tenant(&tenant(name))));
        assert_eq!((vector_name("default"), vector_name("default_")), ("default_".into(), "default__".into()));
        assert!(name_fault("notes_2").is_none() && ["2notes", "a-b", ""].iter().all(|n| name_fault(n).is_some()));
    }
}

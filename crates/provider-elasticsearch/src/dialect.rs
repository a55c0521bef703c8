//! How Elasticsearch and OpenSearch call things and what they cannot hold: data and pure functions.
//!
//! Sources: Elasticsearch's reference of `dense_vector`, `_bulk`, `_source` and dynamic mapping (8 and 9); OpenSearch's of
//! `knn_vector`, its methods and engines (2 and 3); Lucene's limits of HNSW.
//!
//! # Metadata
//! `_source` gives back what it was given, byte for byte, and the mapping is not dynamic: what it does not declare is
//! neither looked at nor refused. So metadata stays as it is, nested, null and of mixed types; the keys that have one type
//! (and nulls) are declared with it and can be filtered by. What stands as text is what the parser refuses even so, a key
//! with a point in it or a blank one, and integers beyond 64 bits.
//!
//! # Vectors
//! Elasticsearch 9.2 keeps vectors out of `_source` and puts them in again when asked, under cosine out of direction and
//! length: within rounding. Sparse vectors and multivectors stay in `_source` only: `sparse_vector` keeps nine bits of
//! positive weights.

use serde_json::{Map, Value, json};
use tranship_bundle::json::{kept_vectors, vector_fields};
use tranship_bundle::plan::clamped;
use tranship_collection::{Element, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::native::FieldType;
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, MetadataRules, Numbers, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Grade, Loss, Mapping, Rules, Survey};

/// What Elasticsearch can hold.
pub const ELASTICSEARCH: Rules = rules("elasticsearch", "Elasticsearch", 4096);
/// What OpenSearch can hold.
pub const OPENSEARCH: Rules = rules("opensearch", "OpenSearch", 16_000);

const fn rules(target: &'static str, title: &'static str, max_dim: usize) -> Rules {
    Rules {
        target,
        title,
        ids: IdRules {
            integers: IntegerIds::AsText,
            texts: TextIds::Text { max_bytes: 512, max_chars: usize::MAX, chars: Chars::NoNul },
        },
        namespaces: false,
        documents: false,
        metadata: Some(MetadataRules { numbers: Numbers::I64, keys: Keys::NoPoint, ..MetadataRules::JSON }),
        vectors: VectorRules {
            elements: &[Element::F32, Element::I8],
            max_dim,
            max_dense: usize::MAX,
            max_sparse: usize::MAX,
            multi: true,
            bits: false,
            metrics: &[Metric::Cosine, Metric::Dot, Metric::L2],
            normalises: false,
        },
        rows: RowRules { finite: true, nonzero_under_cosine: true, norm_in_f32: true, ..RowRules::ANY },
    }
}

/// Whose vectors they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// `dense_vector`.
    Elasticsearch,
    /// `knn_vector`.
    OpenSearch(Engine),
}

/// The engine of an OpenSearch index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Keeps vectors as they are.
    Lucene,
    /// Brings cosine vectors to unit length.
    Faiss,
}

impl Engine {
    /// OpenSearch's name.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Lucene => "lucene",
            Engine::Faiss => "faiss",
        }
    }
}

/// Most bytes of a body that we write; servers take 100 MB by default, and like 5 to 15 MB.
pub const BODY_BYTES: u64 = 10_000_000;
/// Most bytes of a record.
pub const RECORD_BYTES: u64 = BODY_BYTES - 1024;
/// Most keys that are declared; an index has at most 1,000 fields.
pub const MAX_FIELDS: usize = 900;
/// Largest difference of a cosine vector that was divided by its length and multiplied again, relative to its largest
/// element.
pub const COSINE_TOLERANCE: f32 = 1e-6;
/// Characters of a text up to which it is filtered by: a term has at most 32,766 bytes.
pub const FILTERED_CHARACTERS: usize = 8191;

/// The name of a metric, if the vendor has it. Elasticsearch's `dot_product` wants unit vectors, `max_inner_product` ranks
/// all vectors the same.
pub fn similarity(vendor: Vendor, metric: Metric) -> Option<&'static str> {
    match (vendor, metric) {
        (Vendor::Elasticsearch, Metric::Cosine) => Some("cosine"),
        (Vendor::Elasticsearch, Metric::Dot) => Some("max_inner_product"),
        (Vendor::Elasticsearch, Metric::L2) => Some("l2_norm"),
        (Vendor::OpenSearch(_), Metric::Cosine) => Some("cosinesimil"),
        (Vendor::OpenSearch(_), Metric::Dot) => Some("innerproduct"),
        (Vendor::OpenSearch(_), Metric::L2) => Some("l2"),
        _ => None,
    }
}

/// The metric of a name, the other way round.
pub fn metric(name: &str) -> Option<Metric> {
    match name {
        "cosine" | "cosinesimil" => Some(Metric::Cosine),
        "dot_product" | "max_inner_product" | "innerproduct" => Some(Metric::Dot),
        "l2_norm" | "l2" => Some(Metric::L2),
        "l1" => Some(Metric::L1),
        _ => None,
    }
}

/// The field of a dense vector, with what its index cannot carry.
pub fn vector_field(vendor: Vendor, spec: &VectorSpec, metric: Option<Metric>, path: &str) -> (Value, Vec<Loss>) {
    let similarity = metric.and_then(|metric| similarity(vendor, metric));
    let element = if spec.element == Element::I8 { "byte" } else { "float" };
    let (kind, parameters, losses) = index(vendor, spec.index.as_ref(), path);
    let field = match vendor {
        Vendor::Elasticsearch => {
            let mut options = parameters;
            options.insert("type".to_owned(), json!(kind));
            json!({
                "type": "dense_vector", "dims": spec.dim, "element_type": element, "index": true,
                "similarity": similarity, "index_options": options,
            })
        }
        Vendor::OpenSearch(engine) => json!({
            "type": "knn_vector", "dimension": spec.dim, "data_type": element,
            "method": { "name": kind, "engine": engine.name(), "space_type": similarity, "parameters": parameters },
        }),
    };
    (field, losses)
}

fn index(vendor: Vendor, index: Option<&IndexSpec>, path: &str) -> (&'static str, Map<String, Value>, Vec<Loss>) {
    let mut losses = Vec::new();
    let mut parameters = Map::new();
    let lost = |from: String, to: &str, grade| Loss::new("INDEX_SETTINGS", path, from, to, grade);
    match index {
        Some(IndexSpec::Flat) if vendor == Vendor::Elasticsearch => return ("flat", parameters, losses),
        Some(IndexSpec::Flat) => {
            losses.push(lost("no index".to_owned(), "HNSW; a script score scans", Grade::Equivalent));
        }
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            // Lucene's own limits; OpenSearch states narrower ones for links.
            let most = if vendor == Vendor::Elasticsearch { 512 } else { 100 };
            for (name, value, range) in [("m", *m, 2..=most), ("ef_construction", *ef_construction, 1..=3200)] {
                let (value, loss) = clamped(name, value, range, path);
                parameters.insert(name.to_owned(), json!(value));
                losses.extend(loss);
            }
            if let Some(ef) = ef_search {
                let to = match vendor {
                    Vendor::Elasticsearch => format!("to be sent with each query as num_candidates {ef}"),
                    Vendor::OpenSearch(_) => format!("to be sent with each query as method_parameters ef_search {ef}"),
                };
                let from = format!("ef_search {ef} of the index");
                losses.push(Loss::new("EF_SEARCH", path, from, to, Grade::Equivalent));
            }
        }
        Some(IndexSpec::Other { name, .. }) => {
            losses.push(lost(format!("index {name}"), "HNSW with the engine's own settings", Grade::Lossy));
        }
        None => {}
    }
    ("hnsw", parameters, losses)
}

/// The index that a vector's field states, the other way round.
pub fn read_index(field: &Value) -> IndexSpec {
    let (options, name) = match field["type"].as_str() {
        Some("knn_vector") => (&field["method"]["parameters"], &field["method"]["name"]),
        _ => (&field["index_options"], &field["index_options"]["type"]),
    };
    let number = |key: &str, standard| options[key].as_u64().and_then(|v| u32::try_from(v).ok()).unwrap_or(standard);
    match name.as_str().unwrap_or("hnsw") {
        "flat" => IndexSpec::Flat,
        "hnsw" => {
            let ef_search = options["ef_search"].as_u64().and_then(|value| u32::try_from(value).ok());
            IndexSpec::Hnsw { m: number("m", 16), ef_construction: number("ef_construction", 100), ef_search }
        }
        other => IndexSpec::Other { name: other.to_owned(), settings: options.clone() },
    }
}

/// True if a metadata key can be a field beside these vectors: names with `_` at their beginning are the server's.
pub fn is_field(key: &str, vectors: &[String]) -> bool {
    Keys::NoPoint.hold(key) && !key.starts_with('_') && !vectors.iter().any(|field| field == key)
}

fn field_type(kind: FieldType) -> Value {
    match kind {
        FieldType::Bool | FieldType::Bools => json!({ "type": "boolean" }),
        FieldType::Integer | FieldType::Integers => json!({ "type": "long" }),
        FieldType::Float | FieldType::Floats => json!({ "type": "double" }),
        FieldType::Text | FieldType::Texts => keyword(),
    }
}

fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": FILTERED_CHARACTERS })
}

/// The metadata keys that have one type but for nulls, those of the most records first, at most [`MAX_FIELDS`].
pub fn typed_keys(survey: &Survey) -> Vec<(&str, FieldType)> {
    let mut typed: Vec<(&str, FieldType, u64)> = Vec::new();
    for (key, field) in survey.fields.iter().filter(|(key, _)| Keys::NoPoint.hold(key)) {
        let mut types = field.types.iter();
        if let (Some((kind, records)), None) = (types.next(), types.next())
            && field.other == field.nulls
        {
            typed.push((key, *kind, *records));
        }
    }
    typed.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(b.0)));
    typed.truncate(MAX_FIELDS);
    typed.into_iter().map(|(key, kind, _)| (key, kind)).collect()
}

/// The body of `PUT /{index}`: no copies and no refresh while it is loaded.
pub fn index_body(vendor: Vendor, mapping: &Mapping, survey: &Survey) -> Value {
    let mut properties = Map::new();
    for (key, kind) in typed_keys(survey) {
        properties.insert(mapping.renamed_keys.target(key).to_owned(), field_type(kind));
    }
    properties.extend(mapping.document_key.iter().map(|key| (key.clone(), json!({ "type": "text" }))));
    properties.extend(mapping.namespace_key.iter().map(|key| (key.clone(), keyword())));
    // Such an integer stands within an object, which no keyword is.
    if survey.ids_beyond_i64 == 0 {
        properties.insert(mapping.id_key.clone(), keyword());
    }
    let mut settings = json!({ "index": { "number_of_replicas": 0, "refresh_interval": "-1" } });
    for (spec, field) in kept_vectors(mapping).zip(vector_fields(mapping, None)) {
        if spec.kind != VectorKind::Dense || spec.dim.is_none() {
            continue;
        }
        let metric = mapping.metrics.get(&spec.name).copied();
        properties.insert(field, vector_field(vendor, spec, metric, "").0);
        if vendor != Vendor::Elasticsearch {
            settings["index"]["knn"] = json!(true);
        }
    }
    json!({ "settings": settings, "mappings": { "dynamic": false, "properties": properties } })
}

/// What is wrong with an index name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > 255 {
        return Some("index names have 1 to 255 bytes".to_owned());
    }
    if name.chars().any(char::is_uppercase) {
        return Some("index names are in lower case".to_owned());
    }
    if name.starts_with(['-', '_', '+', '.']) {
        return Some("index names do not begin with `-`, `_`, `+` or `.`".to_owned());
    }
    let odd = name.chars().find(|c| c.is_control() || r#"\/*?"<>| ,#:"#.contains(*c));
    odd.map(|c| format!("it contains {c:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Vendor; 3] =
        [Vendor::Elasticsearch, Vendor::OpenSearch(Engine::Lucene), Vendor::OpenSearch(Engine::Faiss)];

    fn spec(index: IndexSpec) -> VectorSpec {
        VectorSpec { index: Some(index), ..VectorSpec::dense("", 3) }
    }

    #[test]
    fn index_settings_and_metrics_go_both_ways_and_clamps_are_told() {
        let hnsw = |m, ef_construction| IndexSpec::Hnsw { m, ef_construction, ef_search: None };
        for vendor in ALL {
            for own in [Metric::Cosine, Metric::Dot, Metric::L2] {
                assert_eq!(similarity(vendor, own).and_then(metric), Some(own));
            }
            let (field, losses) = vector_field(vendor, &spec(hnsw(24, 300)), Some(Metric::L2), "");
            assert!(losses.is_empty(), "{losses:?}");
            assert_eq!(read_index(&field), hnsw(24, 300), "{field}");
            let (field, losses) = vector_field(vendor, &spec(hnsw(1, 9000)), Some(Metric::L2), "");
            assert_eq!((read_index(&field), losses.len()), (hnsw(2, 3200), 2), "{field}");
        }
        assert_eq!(read_index(&vector_field(ALL[0], &spec(IndexSpec::Flat), None, "").0), IndexSpec::Flat);
        assert_eq!(vector_field(ALL[1], &spec(IndexSpec::Flat), None, "").1[0].grade, Grade::Equivalent);
    }

    #[test]
    fn index_names_are_checked() {
        assert!(["notes", "a-b_c.1", "\u{fc}"].iter().all(|name| name_fault(name).is_none()));
        assert!(["", "Notes", "_a", "a b", "a/b", "."].iter().all(|name| name_fault(name).is_some()));
    }

    #[test]
    fn keys_that_the_parser_refuses_or_that_are_taken_are_no_fields() {
        let vectors = ["vector".to_owned()];
        assert!(["title", "a b", "$x"].iter().all(|key| is_field(key, &vectors)));
        assert!(["", " \u{1c}", "a.b", ".", "_id", "vector"].iter().all(|key| !is_field(key, &vectors)));
    }
}

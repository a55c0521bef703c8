//! Chroma's names and types in tranship's vocabulary.
//!
//! The metric may stand in three places; [`IndexSettings::find`] asks them in the order in which Chroma itself does:
//! `schema_str` (1.3 and later), then `config_json_str` (1.0 and later), and where those hold nothing but defaults the
//! `hnsw:*` keys of segment and collection metadata (0.4 to 0.6, and directories upgraded from there). The
//! `hnsw_configuration` that 0.5 and 0.6 wrote holds that version's defaults whatever the settings really are: it
//! is never believed, but tells which version ran ([`standard_ef_search`]: 10, from 0.6.3 on 100).
//!
//! What Chroma can hold stands in [`RULES`], as measured against chromadb 1.5.9: of 5,000 random floats of 16 or 17 digits in
//! metadata 704 came back one unit in the last place off, of as many with 15 digits none; -0.0 becomes 0.0, integers beyond 64
//! bits become floats, keys that begin with `chroma:` vanish without an error.
//!
//! Errors: damaged for a configuration that is no JSON, not recognised for an unknown space.
//! Source: chroma-core/chroma `rust/types/src/{collection_schema,collection_configuration,hnsw_configuration}.rs`.

use serde_json::{Map, Value, json};
use tranship_bundle::plan::clamped;
use tranship_collection::{Element, IndexSpec, Metric};
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, Lists, MetadataRules, Nested, Numbers, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Error, Grade, Loss, Result, Rules};

/// Metadata key that holds the document.
pub const DOCUMENT_KEY: &str = "chroma:document";

/// What Chroma can hold.
pub const RULES: Rules = Rules {
    target: "chroma",
    title: "Chroma",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: usize::MAX, max_chars: usize::MAX, chars: Chars::Any },
    },
    namespaces: false,
    documents: true,
    metadata: Some(MetadataRules {
        nulls: false,
        nested: Nested::Flattened,
        lists: Lists::OneType,
        numbers: Numbers::SignedDigits15,
        keys: Keys::Chroma,
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32],
        max_dim: MAX_DIM,
        max_dense: 1,
        max_sparse: 0,
        multi: false,
        bits: false,
        metrics: &[Metric::L2, Metric::Cosine, Metric::Dot],
        normalises: false,
    },
    rows: RowRules { vector_required: true, finite: true, norm_in_f32: true, ..RowRules::ANY },
};

/// Most elements of a vector that we write. Chroma's own code states no limit; its cloud takes 4,096.
pub const MAX_DIM: usize = 65_536;
/// Most records of a batch: a little below the 5,461 that a Chroma with the least SQLite takes.
pub const BATCH_ROWS: usize = 5_000;
/// Most bytes of a batch as JSON. A server refuses 40 MiB (41,943,040 bytes).
pub const BATCH_BYTES: usize = 16_000_000;
/// How far a cosine vector may come back from what was given, relative to its largest element: Chroma divides by the
/// length, stores that, and multiplies again. Measured with chromadb 1.5.9: at most 1.4e-7 from 3 to 4,096 dimensions.
pub const COSINE_TOLERANCE: f32 = 1e-6;

/// Chroma's name of a metric, if it has it.
pub fn space(metric: Metric) -> Option<&'static str> {
    match metric {
        Metric::Cosine => Some("cosine"),
        Metric::Dot => Some("ip"),
        Metric::L2 => Some("l2"),
        Metric::L1 | Metric::Hamming | Metric::Jaccard => None,
    }
}

/// `configuration` of a collection for a vector's metric and index, with what it cannot carry.
pub fn configuration(metric: Option<Metric>, index: Option<&IndexSpec>, path: &str) -> (Value, Vec<Loss>) {
    let mut hnsw = Map::new();
    let mut losses = Vec::new();
    if let Some(space) = metric.and_then(space) {
        hnsw.insert("space".to_owned(), json!(space));
    }
    let other = |what: String| {
        Loss::new("INDEX_SETTINGS", path, what, "HNSW with Chroma's own settings, which is approximate", Grade::Lossy)
    };
    match index {
        None => {}
        Some(IndexSpec::Flat) => losses.push(other("exact search, no index".to_owned())),
        Some(IndexSpec::Other { name, .. }) => losses.push(other(format!("index {name}"))),
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let settings = [
                ("max_neighbors", Some(*m), 2..=MAX_NEIGHBORS),
                ("ef_construction", Some(*ef_construction), 1..=u32::MAX),
                ("ef_search", *ef_search, 1..=u32::MAX),
            ];
            for (name, value, range) in settings {
                let Some(value) = value else { continue };
                let (value, loss) = clamped(name, value, range, path);
                hnsw.insert(name.to_owned(), json!(value));
                losses.extend(loss);
            }
        }
    }
    (json!({ "hnsw": hnsw }), losses)
}

/// Most links per node: beyond it the HNSW library that Chroma uses cuts.
const MAX_NEIGHBORS: u32 = 10_000;

/// What is wrong with a collection name, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    if !(3..=512).contains(&name.len()) {
        return Some(format!("it has {} characters, Chroma takes 3 to 512", name.len()));
    }
    if !name.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-')) {
        return Some("Chroma takes letters, digits, `.`, `_` and `-` of ASCII".to_owned());
    }
    let ends = [name.bytes().next(), name.bytes().last()];
    let whole = ends.into_iter().flatten().all(plain);
    (!whole).then(|| "it begins or ends with something else than a letter or digit".to_owned())
}

/// Where index settings may stand.
#[derive(Debug, Clone, Copy)]
pub struct SettingsPlaces<'a> {
    /// `collections.schema_str`.
    pub schema: Option<&'a str>,
    /// `collections.config_json_str`.
    pub config: Option<&'a str>,
    /// Rows of `segment_metadata` of the vector segment.
    pub segment: &'a Map<String, Value>,
    /// Rows of `collection_metadata`.
    pub collection: &'a Map<String, Value>,
    /// What the directory's version searches with unless told otherwise.
    pub default_ef_search: u32,
}

/// The settings of one HNSW index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexSettings {
    space: String,
    m: u32,
    ef_construction: u32,
    ef_search: Option<u32>,
    /// Settings of no use elsewhere; they only tell whether everything stands at its default.
    sync_threshold: u64,
    batch_size: u64,
    resize_factor: f64,
}

impl Default for IndexSettings {
    fn default() -> Self {
        IndexSettings {
            space: "l2".to_owned(),
            m: 16,
            ef_construction: 100,
            ef_search: None,
            sync_threshold: 1000,
            batch_size: 100,
            resize_factor: 1.2,
        }
    }
}

impl IndexSettings {
    /// The settings that are in force. Fails on text that is no JSON.
    pub fn find(places: SettingsPlaces<'_>) -> Result<Self> {
        let segment = Self::legacy(places.segment);
        let declared = match (declared_in_schema(places.schema)?, declared_in_config(places.config)?) {
            (Some(schema), _) => Some(schema),
            (None, config) => config,
        };
        let found = match (declared, segment) {
            (Some(declared), Some(segment)) if declared.is_default() => segment,
            (Some(declared), _) if !declared.is_default() || places.schema.is_some() => declared,
            (_, Some(segment)) => segment,
            (declared, None) => Self::legacy(places.collection).or(declared).unwrap_or_default(),
        };
        Ok(IndexSettings { ef_search: found.ef_search.or(Some(places.default_ef_search)), ..found })
    }

    /// The declared metric.
    pub fn metric(&self) -> Result<Metric> {
        match self.space.as_str() {
            "cosine" => Ok(Metric::Cosine),
            "ip" => Ok(Metric::Dot),
            "l2" => Ok(Metric::L2),
            other => Err(Error::not_recognised(format!("Chroma's space `{other}` is unknown"))
                .hint("known are cosine, ip and l2; check hnsw:space in segment_metadata and collection_metadata")),
        }
    }

    /// The index as the collection declares it.
    pub fn index(&self) -> IndexSpec {
        IndexSpec::Hnsw { m: self.m, ef_construction: self.ef_construction, ef_search: self.ef_search }
    }

    fn is_default(&self) -> bool {
        let searched = IndexSettings { ef_search: self.ef_search.filter(|ef| *ef != 100), ..self.clone() };
        searched == IndexSettings::default()
    }

    /// Settings from `hnsw:*` keys; `None` without any.
    fn legacy(metadata: &Map<String, Value>) -> Option<Self> {
        let prefixed = Map::from_iter(
            metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix("hnsw:")?.to_owned(), value.clone()))),
        );
        (!prefixed.is_empty()).then(|| Self::from_keys(&prefixed, ["M", "construction_ef", "search_ef"]))
    }

    fn from_keys(object: &Map<String, Value>, [m, ef_construction, ef_search]: [&str; 3]) -> Self {
        let standard = IndexSettings::default();
        let number = |key: &str| object.get(key).and_then(Value::as_u64);
        let small = |key: &str| number(key).and_then(|n| u32::try_from(n).ok());
        IndexSettings {
            space: object.get("space").and_then(Value::as_str).map_or(standard.space, str::to_owned),
            m: small(m).unwrap_or(standard.m),
            ef_construction: small(ef_construction).unwrap_or(standard.ef_construction),
            ef_search: small(ef_search),
            sync_threshold: number("sync_threshold").unwrap_or(standard.sync_threshold),
            batch_size: number("batch_size").unwrap_or(standard.batch_size),
            resize_factor: object.get("resize_factor").and_then(Value::as_f64).unwrap_or(standard.resize_factor),
        }
    }
}

const NEW_NAMES: [&str; 3] = ["max_neighbors", "ef_construction", "ef_search"];

/// The vector index configuration in force within `schema_str`.
fn vector_config(schema: &str) -> Result<Option<Value>> {
    let Some(schema) = json("schema_str", schema)? else { return Ok(None) };
    let config = "float_list/vector_index/config";
    let at = |root: &str| schema.pointer(&format!("/{root}/{config}")).filter(|v| v.is_object()).cloned();
    Ok(at("keys/#embedding").or_else(|| at("defaults")))
}

fn declared_in_schema(schema: Option<&str>) -> Result<Option<IndexSettings>> {
    let Some(Value::Object(config)) = schema.map(vector_config).transpose()?.flatten() else { return Ok(None) };
    let mut hnsw = config.get("hnsw").and_then(Value::as_object).cloned().unwrap_or_default();
    hnsw.extend(config.get("space").map(|space| ("space".to_owned(), space.clone())));
    Ok(Some(IndexSettings::from_keys(&hnsw, NEW_NAMES)))
}

/// `{"vector_index": {"hnsw": {..}}}` or `{"hnsw": {..}}`; anything else declares nothing.
fn declared_in_config(config: Option<&str>) -> Result<Option<IndexSettings>> {
    let Some(config) = config.map(|text| json("config_json_str", text)).transpose()?.flatten() else { return Ok(None) };
    let hnsw = ["/vector_index/hnsw", "/hnsw"].iter().find_map(|path| config.pointer(path)).and_then(Value::as_object);
    Ok(hnsw.map(|hnsw| IndexSettings::from_keys(hnsw, NEW_NAMES)))
}

/// What the 0.5 or 0.6 that created a collection searched with unless told otherwise.
pub fn standard_ef_search(config: &str) -> Option<u32> {
    let config: Value = serde_json::from_str(config).ok()?;
    let number = config.pointer("/hnsw_configuration/ef_search")?.as_u64()?;
    u32::try_from(number).ok()
}

/// The embedding model that the collection's configuration names.
pub fn embedding_model(schema: Option<&str>, config: Option<&str>) -> Result<Option<String>> {
    let in_schema = schema.map(vector_config).transpose()?.flatten();
    let in_config = config.map(|text| json("config_json_str", text)).transpose()?.flatten();
    let function = [in_schema, in_config].into_iter().flatten().find_map(|v| v.get("embedding_function").cloned());
    let Some(function) = function.filter(|f| f.get("type").and_then(Value::as_str) == Some("known")) else {
        return Ok(None);
    };
    let text = |path: &str| function.pointer(path).and_then(Value::as_str).map(str::to_owned);
    Ok(text("/config/model_name").or_else(|| text("/name")))
}

/// Parses a configuration column; empty text and `null` are nothing.
fn json(column: &'static str, text: &str) -> Result<Option<Value>> {
    if matches!(text.trim(), "" | "null") {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| {
        Error::damaged(format!("collections.{column} is no JSON"))
            .caused_by(error)
            .hint("the metric of the collection stands there; restore the directory from another copy")
    })
}

/// Which Chroma wrote a directory with these highest migrations, as far as they tell.
pub fn producer(sysdb: i64, metadb: i64, queue: i64) -> String {
    let version = match (sysdb, metadb) {
        (11.., _) | (_, 7..) => "newer than 1.5",
        (_, 6) => "1.5",
        (_, 5) => "1.0 to 1.4",
        (5..=10, _) => "0.5 or 0.6",
        _ => "0.4",
    };
    format!("Chroma {version} (migrations sysdb {sysdb}, metadb {metadb}, embeddings_queue {queue})")
}

/// Appends a float as JSON that stays a float: `1.0`, `1e300`, `{"$float":"inf"}`; NaN is `null`.
pub fn append_float(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"null");
    } else {
        let name = if value > 0.0 { "inf" } else { "-inf" };
        out.extend_from_slice(format!("{{\"$float\":\"{name}\"}}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(schema: Option<&str>, config: Option<&str>, segment: Value, collection: Value) -> IndexSettings {
        let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let (segment, collection) = (map(&segment), map(&collection));
        let places =
            SettingsPlaces { schema, config, segment: &segment, collection: &collection, default_ef_search: 10 };
        IndexSettings::find(places).unwrap()
    }

    const DEFAULT_SCHEMA: &str = r##"{"keys":{"#embedding":{"float_list":{"vector_index":{"config":{"space":"l2",
        "hnsw":{"ef_construction":100,"max_neighbors":16,"ef_search":100,"num_threads":2}}}}}}}"##;

    #[test]
    fn the_configuration_of_0_5_is_not_believed() {
        let config = r#"{"hnsw_configuration": {"space": "l2", "M": 16}, "_type": "CollectionConfigurationInternal"}"#;
        let found = find(None, Some(config), json!({"hnsw:space": "cosine", "hnsw:M": 24}), json!({}));
        assert_eq!(found.metric().unwrap(), Metric::Cosine);
        assert_eq!(found.index(), IndexSpec::Hnsw { m: 24, ef_construction: 100, ef_search: Some(10) });
        assert_eq!(find(None, Some(config), json!({}), json!({"hnsw:space": "ip"})).metric().unwrap(), Metric::Dot);
        assert_eq!(find(None, Some("{}"), json!({}), json!({})).metric().unwrap(), Metric::L2);
    }

    #[test]
    fn the_configuration_of_0_5_and_0_6_tells_the_default_of_its_version() {
        let config = r#"{"hnsw_configuration": {"space": "l2", "ef_search": 100, "M": 16}}"#;
        assert_eq!(standard_ef_search(config), Some(100));
        assert_eq!(standard_ef_search("{}"), None);
        assert_eq!(standard_ef_search("no JSON"), None);
    }

    #[test]
    fn a_schema_counts_unless_it_is_all_default_and_the_segment_says_otherwise() {
        let cosine = DEFAULT_SCHEMA.replace(r#""space":"l2""#, r#""space":"cosine""#);
        assert_eq!(find(Some(&cosine), None, json!({"hnsw:space": "ip"}), json!({})).metric().unwrap(), Metric::Cosine);
        let segment = json!({"hnsw:space": "ip"});
        assert_eq!(find(Some(DEFAULT_SCHEMA), None, segment, json!({})).metric().unwrap(), Metric::Dot);
        let collection = json!({"hnsw:space": "ip"});
        assert_eq!(find(Some(DEFAULT_SCHEMA), None, json!({}), collection).metric().unwrap(), Metric::L2);
    }

    #[test]
    fn a_configuration_of_1_x_counts_where_there_is_no_schema() {
        for config in [
            r#"{"hnsw":{"space":"ip","max_neighbors":32}}"#,
            r#"{"vector_index":{"hnsw":{"space":"ip","max_neighbors":32}}}"#,
        ] {
            let found = find(None, Some(config), json!({"hnsw:space": "cosine"}), json!({}));
            assert_eq!(found.index(), IndexSpec::Hnsw { m: 32, ef_construction: 100, ef_search: Some(10) });
            assert_eq!(found.metric().unwrap(), Metric::Dot);
        }
    }

    #[test]
    fn index_settings_are_written_as_they_are_read() {
        let index = IndexSpec::Hnsw { m: 24, ef_construction: 80, ef_search: Some(50) };
        let (written, losses) = configuration(Some(Metric::Dot), Some(&index), "vector");
        assert!(losses.is_empty());
        let found = find(None, Some(&written.to_string()), json!({}), json!({}));
        assert_eq!((found.index(), found.metric().unwrap()), (index, Metric::Dot));
        let crashing = IndexSpec::Hnsw { m: 0, ef_construction: 0, ef_search: Some(0) };
        let (written, losses) = configuration(None, Some(&crashing), "vector");
        assert_eq!(written, json!({"hnsw": {"max_neighbors": 2, "ef_construction": 1, "ef_search": 1}}));
        assert!(losses.len() == 3 && losses.iter().all(|loss| loss.grade == Grade::Equivalent));
        assert_eq!(configuration(None, Some(&IndexSpec::Flat), "vector").1[0].grade, Grade::Lossy);
    }

    #[test]
    fn names_are_what_chroma_takes() {
        for name in ["abc", "a..b", "1.2.3.4", &"a".repeat(512)] {
            assert_eq!(name_fault(name), None, "{name}");
        }
        for name in ["ab", "_ab", "ab_", "a b", "ü12", &"a".repeat(513)] {
            assert!(name_fault(name).is_some(), "{name}");
        }
    }

    #[test]
    fn floats_stay_floats() {
        for (value, text) in
            [(1.0, "1.0"), (-0.0, "-0.0"), (0.1, "0.1"), (f64::INFINITY, r#"{"$float":"inf"}"#), (f64::NAN, "null")]
        {
            let mut out = Vec::new();
            append_float(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn the_embedding_model_is_named_where_the_configuration_names_it() {
        let config = r#"{"embedding_function":{"type":"known","name":"openai","config":{"model_name":"small"}}}"#;
        assert_eq!(embedding_model(None, Some(config)).unwrap().as_deref(), Some("small"));
        assert_eq!(embedding_model(None, Some(r#"{"embedding_function":{"type":"legacy"}}"#)).unwrap(), None);
    }
}

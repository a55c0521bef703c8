//! Chroma's names and types in tranship's vocabulary.
//!
//! The metric may stand in three places; [`IndexSettings::find`] asks them in the order in which Chroma itself does:
//! `schema_str` (1.3 and later), then `config_json_str` (1.0 and later), and where those hold nothing but defaults the
//! `hnsw:*` keys of segment and collection metadata (0.4 to 0.6, and directories upgraded from there). The
//! `hnsw_configuration` that 0.5 and 0.6 wrote holds that version's defaults whatever the settings really are: it
//! is never believed, but tells which version ran ([`standard_ef_search`]: 10, from 0.6.3 on 100).
//!
//! Errors: damaged for a configuration that is no JSON, not recognised for an unknown space.
//! Source: chroma-core/chroma `rust/types/src/{collection_schema,collection_configuration,hnsw_configuration}.rs`.

use serde_json::{Map, Value};
use tranship_collection::{IndexSpec, Metric};
use tranship_connector::{Error, Result};

/// Metadata key that holds the document.
pub const DOCUMENT_KEY: &str = "chroma:document";

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

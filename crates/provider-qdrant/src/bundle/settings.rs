//! The settings that a bundle asks Qdrant for, and what of the source's settings Qdrant has no name for.
//!
//! Errors: usage and loss denied, for a vector that Qdrant has no name for.

use serde_json::{Map, Value, json};
use tranship_bundle::plan::KEPT_ELSEWHERE;
use tranship_collection::{Element, Metric, VectorKind, VectorSpec};
use tranship_connector::{Error, ErrorKind, Grade, Loss, Mapping, Result};

use super::ALIASES;
use crate::dialect;

/// What the general rules do not know: vector names, index settings, sparse metrics, aliases.
pub fn losses(mapping: &Mapping) -> Result<Vec<Loss>> {
    let mut losses = Vec::new();
    for spec in kept_vectors(mapping) {
        losses.extend(vector_losses(spec)?);
    }
    if kept_vectors(mapping).next().is_none() {
        let to = "no create body: Qdrant creates collections by their vectors";
        losses.push(Loss::new("NO_DIMS", "vector", "no vector of known dimension", to, Grade::Exact));
    }
    if !mapping.schema.aliases.is_empty() {
        let to = format!("{ALIASES}, to be sent at cut-over");
        losses.push(Loss::new("ALIASES", "collection", mapping.schema.aliases.join(", "), to, Grade::Exact));
    }
    Ok(losses)
}

fn kept_vectors(mapping: &Mapping) -> impl Iterator<Item = &VectorSpec> {
    mapping.schema.stored_vectors().filter(|spec| !mapping.dropped_vectors.contains(&spec.name))
}

fn vector_losses(spec: &VectorSpec) -> Result<Vec<Loss>> {
    let path = tranship_collection::fingerprint::vector_component(&spec.name);
    if let Some(fault) = dialect::name_fault(&spec.name) {
        let what = format!("Qdrant cannot take {path}: its name: {fault}");
        let hint = "rename the vector at its origin; an archive keeps it as it is";
        return Err(Error::new(ErrorKind::LossDenied, what).hint(hint));
    }
    if spec.kind != VectorKind::Sparse {
        return Ok(dialect::hnsw_config(spec.index.as_ref(), &path).1);
    }
    if spec.name.is_empty() {
        let what = "Qdrant takes sparse vectors only under a name, and this one has none";
        return Err(Error::new(ErrorKind::LossDenied, what).hint(KEPT_ELSEWHERE));
    }
    let other = spec.metric.filter(|metric| *metric != Metric::Dot);
    let loss = |metric: Metric| Loss::new("METRIC", &path, metric.name(), "dot, as all sparse vectors", Grade::Lossy);
    Ok(other.map(loss).into_iter().collect())
}

/// The element type that Qdrant stores this vector in.
pub fn stored_element(spec: &VectorSpec) -> Element {
    if dialect::datatype(spec.element).is_some() { spec.element } else { Element::F32 }
}

/// How far this vector may come back from its projection, if Qdrant computes it anew.
pub fn tolerance(spec: &VectorSpec) -> f32 {
    if stored_element(spec) == Element::F16 { dialect::UNIT_TOLERANCE_F16 } else { dialect::UNIT_TOLERANCE }
}

/// True if Qdrant brings this vector to unit length, which it does not with bytes.
pub fn is_normalised(spec: &VectorSpec) -> bool {
    let floats = spec.kind != VectorKind::Sparse && stored_element(spec) != Element::U8;
    floats && spec.metric == Some(Metric::Cosine)
}

/// The body of `PUT /collections/{c}`; `None` without any vector.
pub fn create_body(mapping: &Mapping) -> Option<Value> {
    let mut dense = Map::new();
    let mut sparse = Map::new();
    for spec in kept_vectors(mapping) {
        match spec.kind {
            VectorKind::Sparse => sparse.insert(spec.name.clone(), json!({})),
            VectorKind::Dense | VectorKind::Multi => dense.insert(spec.name.clone(), dense_params(mapping, spec)),
            // Dropped by the rules.
            VectorKind::Bits => None,
        };
    }
    if dense.is_empty() && sparse.is_empty() {
        return None;
    }
    let unnamed = if dense.len() == 1 { dense.remove("") } else { None };
    let mut body = Map::new();
    match unnamed {
        Some(params) => body.insert("vectors".to_owned(), params),
        None => body.insert("vectors".to_owned(), Value::Object(dense)),
    };
    if !sparse.is_empty() {
        body.insert("sparse_vectors".to_owned(), Value::Object(sparse));
    }
    body.insert("optimizers_config".to_owned(), json!({ "indexing_threshold": 0 }));
    Some(Value::Object(body))
}

/// What Qdrant is asked for one dense vector or multivector.
pub fn dense_params(mapping: &Mapping, spec: &VectorSpec) -> Value {
    let metric = mapping.metrics.get(&spec.name).copied().or(spec.metric);
    let mut params = json!({ "size": spec.dim, "distance": metric.and_then(dialect::distance) });
    let element = stored_element(spec);
    if element != Element::F32 {
        params["datatype"] = json!(dialect::datatype(element));
    }
    if spec.kind == VectorKind::Multi {
        params["multivector_config"] = json!({ "comparator": "max_sim" });
    }
    if let (Some(hnsw), _) = dialect::hnsw_config(spec.index.as_ref(), "") {
        params["hnsw_config"] = hnsw;
    }
    params
}

/// The body of `POST /collections/aliases`.
pub fn alias_body(collection: &str, aliases: &[String]) -> Value {
    let create = |alias| json!({ "create_alias": { "collection_name": collection, "alias_name": alias } });
    json!({ "actions": aliases.iter().map(create).collect::<Vec<_>>() })
}

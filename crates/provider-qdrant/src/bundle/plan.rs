//! What a bundle changes or refuses, and the settings that it asks for: known from the schema alone.
//!
//! Errors: usage or limit, for a vector that Qdrant has no form for.

use serde_json::{Map, Value, json};
use tranship_collection::{CollectionSchema, Element, IdKinds, Metric, VectorKind, VectorSpec};
use tranship_connector::{Error, ErrorKind, Grade, Loss, Result};

use super::ALIASES;
use crate::dialect::{self, EXACT_KEY, ID_KEY, NAMESPACE_KEY};

/// Everything that Qdrant represents differently.
pub fn losses(schema: &CollectionSchema, document_key: &str) -> Result<Vec<Loss>> {
    let mut losses = id_losses(schema);
    let document_to = format!("payload key {}", document_key);
    losses.push(dialect::loss("DOCUMENT_IN_PAYLOAD", "document", "document", document_to, Grade::Reversible));
    let numbers_to = format!("rounded in the payload, exact as text under {EXACT_KEY}");
    let numbers_from = "numbers beyond 15 digits or 64 bits";
    losses.push(dialect::loss("NUMBER_AS_TEXT", "metadata", numbers_from, numbers_to, Grade::Reversible));
    for spec in &schema.vectors {
        losses.extend(vector_losses(spec)?);
    }
    if schema.stored_vectors().next().is_none() {
        let to = "no create body: Qdrant creates collections by their vectors";
        losses.push(dialect::loss("NO_DIMS", "vector", "no vector of known dimension", to, Grade::Exact));
    }
    if !schema.aliases.is_empty() {
        let to = format!("{ALIASES}, to be sent at cut-over");
        losses.push(dialect::loss("ALIASES", "collection", schema.aliases.join(", "), to, Grade::Exact));
    }
    Ok(losses)
}

fn id_losses(schema: &CollectionSchema) -> Vec<Loss> {
    let mut losses = Vec::new();
    if schema.ids != IdKinds::Integer || schema.namespaced {
        let to = format!("UUIDv5, the original in the payload under {ID_KEY}");
        let from = "ids that are neither u64 nor UUID, or stand in a namespace";
        losses.push(dialect::loss("ID_TO_UUID", "id", from, to, Grade::Reversible));
    }
    if schema.namespaced {
        let to = format!("payload key {NAMESPACE_KEY} with a tenant index");
        losses.push(dialect::loss("NAMESPACE_IN_PAYLOAD", "namespace", "namespace", to, Grade::Reversible));
    }
    losses
}

/// The next step where Qdrant has no place for a vector.
const KEPT_ELSEWHERE: &str = "an archive, Parquet or JSON lines keep it: convert to one of them";

fn vector_losses(spec: &VectorSpec) -> Result<Vec<Loss>> {
    let path = tranship_collection::fingerprint::vector_component(&spec.name);
    let refused = |what: String| Error::new(ErrorKind::LossDenied, format!("Qdrant cannot take {path}: {what}"));
    if let Some(fault) = dialect::name_fault(&spec.name) {
        return Err(
            refused(format!("its name: {fault}")).hint("rename the vector at its origin; an archive keeps it as it is")
        );
    }
    if spec.kind == VectorKind::Bits {
        return Err(refused("it has no bit vectors".to_owned()).hint(KEPT_ELSEWHERE));
    }
    if spec.kind == VectorKind::Sparse {
        return sparse_losses(spec, &path);
    }
    let Some(dim) = spec.dim else {
        return Ok(Vec::new());
    };
    if dim == 0 || dim > dialect::MAX_DIM {
        return Err(Error::limit(format!("Qdrant takes 1 to {} dimensions; {path} has {dim}", dialect::MAX_DIM))
            .hint(KEPT_ELSEWHERE));
    }
    let Some(metric) = spec.metric else {
        let what = "the source does not say by which metric its vectors compare";
        return Err(
            Error::usage(format!("Qdrant cannot take {path}: {what}")).hint("say it with --metric cosine|dot|l2|l1")
        );
    };
    if dialect::distance(metric).is_none() {
        return Err(refused(format!("it has no metric {}", metric.name())).hint(KEPT_ELSEWHERE));
    }
    let (_, mut losses) = dialect::hnsw_config(spec.index.as_ref(), &path);
    if dialect::datatype(spec.element).is_none() {
        let (from, to) = (format!("{:?}", spec.element).to_lowercase(), "f32 with the same values");
        losses.push(dialect::loss("ELEMENT_WIDENED", &path, from, to, Grade::Exact));
    }
    if is_normalised(spec) {
        let to = "unit length, made by Qdrant when it stores the vector";
        losses.push(dialect::loss("NORM", &path, "vectors of any length", to, Grade::Equivalent));
    }
    Ok(losses)
}

fn sparse_losses(spec: &VectorSpec, path: &str) -> Result<Vec<Loss>> {
    if spec.name.is_empty() {
        let what = "Qdrant takes sparse vectors only under a name, and this one has none";
        return Err(Error::new(ErrorKind::LossDenied, what).hint(KEPT_ELSEWHERE));
    }
    let other = spec.metric.filter(|metric| *metric != Metric::Dot);
    let loss =
        |metric: Metric| dialect::loss("METRIC", path, metric.name(), "dot, as all sparse vectors", Grade::Lossy);
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
pub fn create_body(schema: &CollectionSchema) -> Option<Value> {
    let mut dense = Map::new();
    let mut sparse = Map::new();
    for spec in schema.stored_vectors() {
        match spec.kind {
            VectorKind::Sparse => sparse.insert(spec.name.clone(), json!({})),
            VectorKind::Dense | VectorKind::Multi => dense.insert(spec.name.clone(), dense_params(spec)),
            // Refused when the target is negotiated.
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

fn dense_params(spec: &VectorSpec) -> Value {
    let mut params = json!({ "size": spec.dim, "distance": spec.metric.and_then(dialect::distance) });
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

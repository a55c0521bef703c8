//! A collection's schema in words, as `inspect` shows it. The JSON report has the same, field by field.

use tranship_collection::{CollectionSchema, IdKinds, IndexSpec, VectorKind, VectorSpec};

/// Which ids the records have, and whether they stand in namespaces.
pub fn ids(schema: &CollectionSchema) -> String {
    let kinds = match schema.ids {
        IdKinds::Integer => "integers",
        IdKinds::Text => "texts",
        IdKinds::Mixed => "integers and texts",
    };
    format!("{kinds}{}", if schema.namespaced { ", in namespaces" } else { "" })
}

/// What was changed of the collection on its way here, one line per run.
pub fn changes(schema: &CollectionSchema) -> Vec<String> {
    let entries = schema.vendor.get("transforms").and_then(serde_json::Value::as_array);
    entries.into_iter().flatten().map(|entry| entry["asked"].to_string()).collect()
}

/// Name, shape, metric and index of a vector.
pub fn vector(spec: &VectorSpec) -> String {
    let name = if spec.name.is_empty() { "vector" } else { &spec.name };
    let metric = spec.metric.map_or("no metric", |metric| metric.name());
    let unit = if spec.normalised { ", unit length" } else { "" };
    format!("{name:<10} {}, {metric}{unit}, {}", shape(spec), index(spec.index.as_ref()))
}

fn shape(spec: &VectorSpec) -> String {
    let element = format!("{:?}", spec.element).to_lowercase();
    match (spec.kind, spec.dim) {
        (VectorKind::Sparse, _) => format!("sparse {element}"),
        (_, None) => "no dimensions yet".to_owned(),
        (VectorKind::Dense, Some(dim)) => format!("{dim} x {element}"),
        (VectorKind::Multi, Some(dim)) => format!("rows of {dim} x {element}"),
        (VectorKind::Bits, Some(dim)) => format!("{dim} bits"),
    }
}

fn index(index: Option<&IndexSpec>) -> String {
    match index {
        None => "no index".to_owned(),
        Some(IndexSpec::Flat) => "flat".to_owned(),
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let search = ef_search.map_or(String::new(), |ef| format!(", ef_search {ef}"));
            format!("HNSW m {m}, ef_construction {ef_construction}{search}")
        }
        Some(IndexSpec::Other { name, settings }) => format!("{name} {settings}"),
    }
}

#[cfg(test)]
mod tests {
    use tranship_collection::{Element, Metric};

    use super::*;

    #[test]
    fn a_vector_is_described_by_its_shape() {
        let dense = VectorSpec { metric: Some(Metric::Cosine), normalised: true, ..VectorSpec::dense("", 8) };
        let graph = IndexSpec::Hnsw { m: 16, ef_construction: 100, ef_search: Some(10) };
        let cases = [
            (
                VectorSpec { index: Some(graph), ..dense.clone() },
                "vector     8 x f32, cosine, unit length, HNSW m 16, ef_construction 100, ef_search 10",
            ),
            (
                VectorSpec { kind: VectorKind::Bits, element: Element::U8, ..VectorSpec::dense("b", 64) },
                "b          64 bits, no metric, no index",
            ),
            (
                VectorSpec { kind: VectorKind::Multi, index: Some(IndexSpec::Flat), ..VectorSpec::dense("m", 4) },
                "m          rows of 4 x f32, no metric, flat",
            ),
            (
                VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense("s", 1) },
                "s          sparse f32, no metric, no index",
            ),
            (VectorSpec { dim: None, ..VectorSpec::dense("", 1) }, "vector     no dimensions yet, no metric, no index"),
        ];
        for (spec, expected) in cases {
            assert_eq!(vector(&spec), expected);
        }
    }
}

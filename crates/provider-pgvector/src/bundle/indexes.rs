//! The indexes over vectors that a bundle builds after the load, and what of the source's settings has no place in them.
//!
//! Limits: pgvector 0.8 `src/hnsw.h`, `src/ivfflat.h`, README: 2,000 dimensions of a vector, 4,000 of a halfvec, 64,000
//! bits, 1,000 values of a sparsevec; m 2 to 100, ef_construction 4 to 1000 and at least twice m, lists 1 to 32,768.

use tranship_bundle::plan::clamped;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{Grade, Loss, Mapping, Result, Survey};

use super::layout::{Layout, VectorColumn};
use crate::dialect::{self, Type};

/// pgvector's own settings where the source has none.
const DEFAULT_M: u32 = 16;
const DEFAULT_EF_CONSTRUCTION: u32 = 64;
const MAX_SPARSE_VALUES: u64 = 1000;

/// Settles metrics and indexes.
pub fn settle(mapping: &mut Mapping, survey: &Survey) -> Result<()> {
    let layout = Layout::of(mapping)?;
    let schema = mapping.schema.clone();
    for column in &layout.vectors {
        let Some(spec) = schema.vector(&column.name) else { continue };
        let path = vector_component(&spec.name);
        let most_values = survey.vectors.get(&spec.name).map_or(0, |found| found.most_values);
        match metric(spec) {
            Some(metric) => {
                mapping.metrics.insert(spec.name.clone(), metric);
            }
            None => {
                let from = spec.metric.map_or("no metric", Metric::name);
                let to = "no index: pgvector has no operator for it; distances are yours to choose in queries";
                let grade = if spec.metric.is_some() { Grade::Lossy } else { Grade::Equivalent };
                mapping.losses.push(Loss::new("METRIC", &path, from, to, grade));
                continue;
            }
        }
        if let Some(reason) = not_indexed(column, most_values) {
            mapping.losses.push(Loss::new("NOT_INDEXED", &path, "an index", reason, Grade::Equivalent));
        }
        mapping.losses.extend(settings(spec, &path).1);
    }
    if !schema.aliases.is_empty() {
        let to = "none: a view can stand for each at cut-over";
        mapping.losses.push(Loss::new("ALIASES", "collection", schema.aliases.join(", "), to, Grade::Equivalent));
    }
    Ok(())
}

/// The metric that an index over the vector has.
fn metric(spec: &VectorSpec) -> Option<Metric> {
    match (spec.kind, spec.metric) {
        (VectorKind::Bits, None) => Some(Metric::Hamming),
        (VectorKind::Bits, metric) => metric.filter(|metric| matches!(metric, Metric::Hamming | Metric::Jaccard)),
        (VectorKind::Sparse, None) => Some(Metric::Dot),
        (_, metric) => metric.filter(|metric| !matches!(metric, Metric::Hamming | Metric::Jaccard)),
    }
}

/// Why there is no index over the column, if there can be none.
fn not_indexed(column: &VectorColumn, most_values: u64) -> Option<String> {
    let max = match column.kind() {
        Type::Vector(_) => 2000,
        Type::HalfVec(_) => 4000,
        Type::Bit(_) => 64_000,
        _ if most_values > MAX_SPARSE_VALUES => {
            return Some(format!("none, every search scans: pgvector indexes up to {MAX_SPARSE_VALUES} values"));
        }
        _ => return None,
    };
    let half = match column.kind() {
        Type::Vector(_) if column.dim <= 4000 => "; index.sql shows one over half precision",
        _ => "",
    };
    (column.dim > max).then(|| format!("none, every search scans: pgvector indexes up to {max} dimensions{half}"))
}

/// The statements that build the indexes: what is built, and whether it is only shown.
pub fn statements(mapping: &Mapping, layout: &Layout, table: &str) -> Vec<(String, bool)> {
    let mut statements = Vec::new();
    for column in &layout.vectors {
        let spec = mapping.schema.vector(&column.name);
        let (Some(spec), Some(metric)) = (spec, mapping.metrics.get(&column.name)) else { continue };
        if spec.index == Some(IndexSpec::Flat) {
            continue;
        }
        let (method, _) = settings(spec, "");
        let refused =
            mapping.losses.iter().any(|loss| loss.code == "NOT_INDEXED" && loss.path == vector_component(&column.name));
        let name = dialect::identifier(&column.column);
        let over = match (column.kind(), refused) {
            (Type::Vector(_), true) if column.dim <= 4000 => {
                format!("(({name}::halfvec({})) {})", column.dim, dialect::operator_class("halfvec", *metric))
            }
            (_, true) => continue,
            (kind, false) => {
                let kind = kind.to_string();
                let kind = kind.split('(').next().unwrap_or("vector");
                format!("({name} {})", dialect::operator_class(kind, *metric))
            }
        };
        statements.push((format!("CREATE INDEX ON {table} USING {} {over} WITH {}", method.0, method.1), refused));
    }
    statements
}

/// Access method and its settings, with what they cannot carry.
fn settings(spec: &VectorSpec, path: &str) -> ((&'static str, String), Vec<Loss>) {
    let hnsw = |m: u32, ef: u32| ("hnsw", format!("(m = {m}, ef_construction = {ef})"));
    let default = hnsw(DEFAULT_M, DEFAULT_EF_CONSTRUCTION);
    match &spec.index {
        None | Some(IndexSpec::Flat) => (default, Vec::new()),
        Some(IndexSpec::Hnsw { m, ef_construction, ef_search }) => {
            let (m, m_loss) = clamped("m", *m, 2..=100, path);
            let (ef, ef_loss) = clamped("ef_construction", *ef_construction, (2 * m).max(4)..=1000, path);
            let search = ef_search.map(|ef| {
                let to = format!("to be set in each session: SET hnsw.ef_search = {}", ef.clamp(1, 1000));
                Loss::new("EF_SEARCH", path, format!("ef_search {ef} of the index"), to, Grade::Equivalent)
            });
            (hnsw(m, ef), [m_loss, ef_loss, search].into_iter().flatten().collect())
        }
        Some(IndexSpec::Other { name, settings }) => {
            let lists = dialect::ivf_lists(name, settings);
            let has_ivf = matches!(spec.kind, VectorKind::Dense) && spec.metric != Some(Metric::L1)
                || spec.kind == VectorKind::Bits && spec.metric != Some(Metric::Jaccard);
            match lists.filter(|_| has_ivf) {
                Some(lists) => {
                    let (lists, loss) = clamped("lists", lists, 1..=32_768, path);
                    (("ivfflat", format!("(lists = {lists})")), loss.into_iter().collect())
                }
                None => {
                    let to = format!("hnsw {}", default.1);
                    (default, vec![Loss::new("INDEX_SETTINGS", path, format!("index {name}"), to, Grade::Lossy)])
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(index: Option<IndexSpec>, metric: Metric) -> (&'static str, String, Vec<String>) {
        let spec = VectorSpec { index, metric: Some(metric), ..VectorSpec::dense("", 8) };
        let ((method, with), losses) = settings(&spec, "vector");
        (method, with, losses.into_iter().map(|loss| loss.code).collect())
    }

    #[test]
    fn settings_are_clamped_to_what_pgvector_takes() {
        let hnsw = |m, ef_construction, ef_search| Some(IndexSpec::Hnsw { m, ef_construction, ef_search });
        for (index, wanted, codes) in [
            (hnsw(16, 100, None), "(m = 16, ef_construction = 100)", &[][..]),
            (hnsw(48, 64, Some(80)), "(m = 48, ef_construction = 96)", &["INDEX_SETTINGS", "EF_SEARCH"]),
            (hnsw(1, 1, None), "(m = 2, ef_construction = 4)", &["INDEX_SETTINGS", "INDEX_SETTINGS"]),
            (hnsw(500, 2000, None), "(m = 100, ef_construction = 1000)", &["INDEX_SETTINGS", "INDEX_SETTINGS"]),
            (None, "(m = 16, ef_construction = 64)", &[]),
        ] {
            let (method, with, found) = built(index, Metric::L2);
            assert_eq!(
                (method, with.as_str(), found),
                ("hnsw", wanted, codes.iter().map(|c| (*c).to_owned()).collect())
            );
        }
    }

    #[test]
    fn inverted_lists_stay_where_pgvector_has_them() {
        let other = |name: &str, settings| Some(IndexSpec::Other { name: name.to_owned(), settings });
        let lists = serde_json::json!({ "lists": 100 });
        assert_eq!(
            built(other("ivfflat", lists.clone()), Metric::Dot),
            ("ivfflat", "(lists = 100)".to_owned(), vec![])
        );
        let many = serde_json::json!({ "nlist": 65_536 });
        let clamped = ("ivfflat", "(lists = 32768)".to_owned(), vec!["INDEX_SETTINGS".to_owned()]);
        assert_eq!(built(other("IVF_FLAT", many), Metric::Cosine), clamped);
        assert_eq!(built(other("ivfflat", lists), Metric::L1).0, "hnsw");
        assert_eq!(built(other("DISKANN", serde_json::json!({})), Metric::L2).2, ["INDEX_SETTINGS"]);
    }
}

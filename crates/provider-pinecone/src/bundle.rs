//! A bundle: Parquet files in a folder per namespace, as Pinecone's bulk import takes them.
//!
//! ```text
//! NAME/
//!   schema.json               body of POST https://api.pinecone.io/indexes
//!   counts.tsv                namespace at Pinecone and its records, tab-separated
//!   load.sh check.sh undo.sh README.md mapping.json MANIFEST.json
//!   data/NAMESPACE/part-00042-000.parquet    records of one namespace of split 42; `__default__` is the default one
//! ```
//!
//! Invariant: a file holds records of one namespace only; a namespace whose name is no plain folder name has another at
//! Pinecone, by the table `namespaces` in the mapping's `form`. Errors: usage and limit (a cloud that is none, more
//! namespaces or files than an import takes), loss denied (no vector at all), damaged.

mod pages;
mod parts;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tranship_bundle::facts::percent_encode;
use tranship_bundle::names::{renamed, tamed};
use tranship_bundle::pages::PageSource;
use tranship_bundle::plan::KEPT_ELSEWHERE;
use tranship_bundle::{BundleSink, BundleSource, DataFile, Extra, Facts, Form, FormWriter, Parts};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{CollectionSchema, IndexSpec, Metric, VectorKind, VectorSpec};
use tranship_connector::{
    Batches, CollectionInfo, Count, CreateOptions, Error, ErrorKind, Grade, Locator, Loss, Mapping, OpenOptions,
    Result, Rules, Score, Sink, Source, Survey,
};

use crate::dialect::{self, DEFAULT_NAMESPACE, MAX_FILES, MAX_NAMESPACES};

/// Scores a path: 95 for a bundle, 90 for fetched pages.
pub fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, "pinecone").or_else(|| tranship_bundle::pages::probe(path, "pinecone"))
}

/// The one collection of a bundle or of pages.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    if tranship_bundle::is_bundle(&locator.path) {
        return tranship_bundle::list(&READER, locator, options);
    }
    let schema = PageSource::open(&pages::Fetched, &locator.path, options)?.schema().clone();
    let producer = Some("pages fetched from Pinecone".to_owned());
    Ok(vec![CollectionInfo { name: schema.name.clone(), records: Count::Unknown, schema, producer, notes: Vec::new() }])
}

/// Opens a bundle or pages.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    no_stream(locator)?;
    if tranship_bundle::is_bundle(&locator.path) {
        return Ok(Box::new(BundleSource::open(&READER, &locator.path, options)?));
    }
    Ok(Box::new(PageSource::open(&pages::Fetched, &locator.path, options)?))
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    no_stream(locator)?;
    let option = |key: &str, standard: &str| options.options.get(key).map_or(standard, String::as_str).to_owned();
    let (cloud, region) = (option("cloud", "aws"), option("region", "us-east-1"));
    if !["aws", "gcp", "azure"].contains(&cloud.as_str()) {
        return Err(Error::usage(format!("`{cloud}` is no cloud of Pinecone"))
            .hint("give --target-option cloud=aws, gcp or azure, with region=NAME"));
    }
    Ok(Box::new(BundleSink::new(Box::new(Import { cloud, region }), &locator.path, options)))
}

fn no_stream(locator: &Locator) -> Result<()> {
    match locator.is_stream() {
        true => Err(Error::usage("a Pinecone bundle is a directory, not a stream").hint("give its path")),
        false => Ok(()),
    }
}

/// Files of the bulk import.
struct Import {
    cloud: String,
    region: String,
}

static READER: Import = Import { cloud: String::new(), region: String::new() };

/// What stands in the mapping's `form`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes {
    cloud: String,
    region: String,
    /// Namespaces whose name at Pinecone is another.
    #[serde(default)]
    namespaces: BTreeMap<String, String>,
}

impl Notes {
    fn of(mapping: &Mapping) -> Self {
        serde_json::from_value(mapping.form.clone()).unwrap_or_default()
    }

    /// The name at Pinecone.
    fn target<'a>(&'a self, namespace: &'a str) -> &'a str {
        match namespace {
            "" => DEFAULT_NAMESPACE,
            name => self.namespaces.get(name).map_or(name, String::as_str),
        }
    }

    /// The source's own name; `None` for the default one.
    fn source<'a>(&'a self, target: &'a str) -> Option<&'a str> {
        let changed = self.namespaces.iter().find(|(_, changed)| *changed == target).map(|(own, _)| own.as_str());
        Some(changed.unwrap_or(target)).filter(|name| !name.is_empty() && *name != DEFAULT_NAMESPACE)
    }
}

const SCRIPTS: [(&str, &str); 3] = [
    ("load.sh", include_str!("bundle/scripts/load.sh")),
    ("check.sh", include_str!("bundle/scripts/check.sh")),
    ("undo.sh", include_str!("bundle/scripts/undo.sh")),
];
const COMMON: &str = include_str!("bundle/scripts/common.sh");

impl Form for Import {
    fn rules(&self) -> &'static Rules {
        &dialect::RULES
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        dialect::name_fault(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        settle_vectors(mapping, survey)?;
        let mut notes = Notes { cloud: self.cloud.clone(), region: self.region.clone(), ..Notes::default() };
        if mapping.schema.namespaced {
            notes.namespaces = settle_namespaces(mapping, survey)?;
        }
        mapping.form = serde_json::to_value(notes).map_err(|e| Error::bug("notes are no JSON").caused_by(e))?;
        Ok(())
    }

    fn split_bytes(&self) -> u64 {
        parts::SPLIT_BYTES
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        // The columns of a split, which grow by doubling, and one file of them encoded.
        3 * parts::SPLIT_BYTES + 4 * schema.dense_row_bytes() as u64
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        Ok(Box::new(parts::Writer::new(parts, Notes::of(mapping), stored.clone())))
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        let (mapping, notes) = (facts.mapping, Notes::of(facts.mapping));
        if facts.totals.bodies > MAX_FILES {
            return Err(Error::limit(format!(
                "the bundle has {} files, an import of Pinecone takes {MAX_FILES}",
                facts.totals.bodies
            ))
            .hint("divide the collection by namespace and migrate the parts"));
        }
        let mut counts = String::new();
        for (namespace, records) in &mapping.records {
            let _infallible = writeln!(counts, "{}\t{records}", notes.target(namespace));
        }
        let mut extras = vec![Extra::text("counts.tsv", counts)];
        extras.extend(create_body(mapping, &notes).map(|body| Extra::json("schema.json", &body)).transpose()?);
        let fill = |script: &str| {
            script
                .replace("@COMMON@\n", COMMON)
                .replace("@INDEX@", &percent_encode(&mapping.collection))
                .replace("@ROWS@", &facts.totals.rows.to_string())
        };
        extras.extend(SCRIPTS.iter().map(|(name, script)| Extra::script(name, fill(script))));
        extras.push(facts.readme("Pinecone", STEPS, FILES));
        Ok(extras)
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        2 * bytes + parts::SPLIT_BYTES
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        parts::read(file, stored.clone())
    }
}

fn kept(mapping: &Mapping, kind: VectorKind) -> Option<&VectorSpec> {
    let dropped = |spec: &&VectorSpec| mapping.dropped_vectors.contains(&spec.name);
    mapping.schema.stored_vectors().filter(|spec| spec.kind == kind).find(|spec| !dropped(spec))
}

/// Dense and sparse vectors stand together under `dotproduct` only; indexes have no settings.
fn settle_vectors(mapping: &mut Mapping, survey: &Survey) -> Result<()> {
    let dense = kept(mapping, VectorKind::Dense).cloned();
    let sparse = kept(mapping, VectorKind::Sparse).cloned();
    if dense.is_none() && sparse.is_none() && survey.records > 0 {
        let what = "Pinecone takes no records without a dense or sparse vector";
        return Err(Error::new(ErrorKind::LossDenied, what).hint(KEPT_ELSEWHERE));
    }
    if let (Some(dense), Some(sparse)) = (&dense, &sparse) {
        let metric = mapping.metrics.get(&dense.name).copied().unwrap_or(Metric::Dot);
        let (dense_path, sparse_path) = (vector_component(&dense.name), vector_component(&sparse.name));
        if metric != Metric::Dot && survey.all_unit(&dense.name) {
            mapping.metrics.insert(dense.name.clone(), Metric::Dot);
            let to = "metric dot, which sparse vectors need beside it and which ranks vectors of unit length the same";
            let from = format!("metric {}", metric.name());
            mapping.losses.push(Loss::new("METRIC", &dense_path, from, to, Grade::Equivalent));
        } else if metric != Metric::Dot {
            let to = format!(
                "left out: Pinecone holds sparse vectors beside dense ones under dot only, not {}",
                metric.name()
            );
            mapping.losses.push(Loss::new("VECTOR_DROPPED", &sparse_path, "sparse vector", to, Grade::Dropped));
            mapping.dropped_vectors.push(sparse.name.clone());
        }
    }
    for spec in dense.iter().chain(&sparse) {
        let from = match &spec.index {
            Some(IndexSpec::Hnsw { m, ef_construction, .. }) => {
                format!("HNSW m {m}, ef_construction {ef_construction}")
            }
            Some(IndexSpec::Flat) => "exact search, no index".to_owned(),
            Some(IndexSpec::Other { name, .. }) => format!("index {name}"),
            None => continue,
        };
        let path = vector_component(&spec.name);
        let to = "Pinecone's own index, which has no settings";
        mapping.losses.push(Loss::new("INDEX_SETTINGS", &path, from, to, Grade::Lossy));
    }
    Ok(())
}

fn settle_namespaces(mapping: &mut Mapping, survey: &Survey) -> Result<BTreeMap<String, String>> {
    let names: Vec<&str> = survey.namespaces.keys().map(String::as_str).filter(|name| !name.is_empty()).collect();
    if survey.namespaces.len() > MAX_NAMESPACES {
        return Err(Error::limit(format!(
            "the collection has {} namespaces, an import of Pinecone takes {MAX_NAMESPACES}",
            survey.namespaces.len()
        ))
        .hint("divide the collection and migrate the parts"));
    }
    let table = renamed(names, dialect::is_plain_namespace, |name| tamed(name, 64, &['-']), "-");
    if !table.is_empty() {
        let to = "names of letters, digits, `-`, `_` and `.`; the table is in mapping.json";
        let mut loss =
            Loss::new("NAMESPACE_RENAMED", "namespace", "namespaces that are no folder name", to, Grade::Reversible);
        loss.records = Some(table.keys().filter_map(|name| survey.namespaces.get(name)).sum());
        mapping.losses.push(loss);
    }
    Ok(table)
}

/// The body of `POST /indexes`; `None` without any vector.
fn create_body(mapping: &Mapping, notes: &Notes) -> Option<Value> {
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(mapping.collection));
    match (kept(mapping, VectorKind::Dense), kept(mapping, VectorKind::Sparse)) {
        (Some(dense), _) => {
            let metric = mapping.metrics.get(&dense.name).copied().or(dense.metric)?;
            body.insert("vector_type".to_owned(), json!("dense"));
            body.insert("dimension".to_owned(), json!(dense.dim));
            body.insert("metric".to_owned(), json!(dialect::metric_name(metric)));
        }
        (None, Some(_)) => {
            body.insert("vector_type".to_owned(), json!("sparse"));
            body.insert("metric".to_owned(), json!("dotproduct"));
        }
        (None, None) => return None,
    }
    body.insert("spec".to_owned(), json!({ "serverless": { "cloud": notes.cloud, "region": notes.region } }));
    body.insert("deletion_protection".to_owned(), json!("disabled"));
    Some(Value::Object(body))
}

const STEPS: &str = "Copy the folders below `data/` to a directory in object storage that Pinecone may read, for instance

    aws s3 sync data s3://BUCKET/DIR --exclude '*' --include '*.parquet'
    export PINECONE_API_KEY=...  PINECONE_IMPORT_URI=s3://BUCKET/DIR   # and PINECONE_INTEGRATION_ID for private buckets
    bash load.sh                              # creates the index, starts the import, waits for its end
    bash check.sh                             # counts, fetches everything back, compares: GO or NO-GO
    bash undo.sh                              # deletes the index

An import goes into namespaces that do not exist yet, ends with the first bad record (`errorMode` abort), and needs a
Standard or Enterprise plan; records can be seen some ten minutes after it. `load.sh --resume` waits for the import that
was started. `check.sh` gives its verdict with `tranship verify`; without tranship it checks the counts and prints the command.
Neither has been run against the service.
";

const FILES: &str = "\
- `data/NAMESPACE/*.parquet`: columns `id`, `values`, `sparse_values`, `metadata`; `__default__` is the default namespace
- `schema.json`: body of `POST https://api.pinecone.io/indexes`, API version 2025-10
- `counts.tsv`: namespaces at Pinecone and their records
- `_tranship_id` and `_tranship_exact` in the metadata, and the document key, hold what Pinecone has no place for
";

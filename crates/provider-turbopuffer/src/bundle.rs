//! A bundle: write bodies for the namespaces of one collection, with the schema in each of them.
//!
//! ```text
//! data/rows-00042-000.json   {"distance_metric":..,"schema":{..},"upsert_rows":[{"id":"a","vector":[..],"key":..},..]}
//! files.tsv                  data file, records, namespace of the source; namespaces.tsv with turbopuffer's names
//! load.sh check.sh undo.sh README.md mapping.json MANIFEST.json
//! ```
//!
//! A body holds rows of one namespace. Invariant: a row is a record as the mapping has shaped it. Errors: usage (a
//! document key that is no attribute), limit (a record that no body can hold), damaged.

use std::path::Path;

use serde_json::json;
use tranship_bundle::facts::percent_encode;
use tranship_bundle::json::{
    self, Commands, FileShape, Flat, JsonTarget, append_dense, common_losses, kept_vectors, push_dense,
};
use tranship_bundle::{Extra, Facts};
use tranship_collection::fingerprint::vector_component;
use tranship_connector::{
    CollectionInfo, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Score, Sink, Source, Survey,
};

use crate::dialect;

static TARGET: JsonTarget = JsonTarget {
    rules: &dialect::RULES,
    name_fault: dialect::name_fault,
    settle,
    extras,
    only_vector: Some(dialect::VECTOR),
    files: FileShape {
        stem: "rows",
        extension: "json",
        between: b",\n",
        end: b"\n]}\n",
        lists: &["upsert_rows", "rows"],
        by_namespace: true,
        // A request may have 256 MB; smaller ones are sent again sooner.
        max_bytes: 32_000_000,
        max_rows: u64::MAX,
        max_record_bytes: 30_000_000,
    },
    start,
    append: |given, out| FLAT.append(given, "", out),
    take: |taken, text| FLAT.take(taken, text),
};

const FLAT: Flat = Flat { id: Some("id"), plain_names: false, vector: append_dense, push: push_dense };

/// Scores a path: 95 for a bundle.
pub fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, dialect::RULES.target)
}

/// The one collection of a bundle.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    json::list(&TARGET, locator, options)
}

/// Opens a bundle, or the pages that its `check.sh` has pulled.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    json::open(&TARGET, locator, options)
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    json::create(&TARGET, locator, options)
}

fn settle(mapping: &mut Mapping, survey: &Survey) -> Result<()> {
    json::declare_fields(mapping, survey, dialect::TYPES, dialect::MAX_FIELDS, dialect::allowed_field)?;
    let mut losses = common_losses(mapping, TARGET.only_vector);
    let index = |spec: &tranship_collection::VectorSpec| {
        dialect::index_loss(spec.index.as_ref(), &vector_component(&spec.name))
    };
    losses.extend(kept_vectors(mapping).filter_map(index));
    mapping.losses.extend(losses);
    Ok(())
}

fn start(mapping: &Mapping) -> Result<Vec<u8>> {
    let metric = kept_vectors(mapping).find_map(|spec| mapping.metrics.get(&spec.name)).copied();
    let metric = metric.and_then(dialect::distance_metric);
    let mut text = String::from("{");
    if let Some(metric) = metric {
        text.push_str(&format!("\"distance_metric\":{},", json!(metric)));
    }
    let schema = serde_json::to_string(&dialect::schema(mapping))
        .map_err(|e| Error::bug("a schema cannot be serialised").caused_by(e))?;
    text.push_str(&format!("\"schema\":{schema},\"upsert_rows\":[\n"));
    Ok(text.into_bytes())
}

fn extras(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    let mut namespaces = String::new();
    for (namespace, records) in &facts.mapping.records {
        let name = dialect::namespace(&facts.mapping.collection, namespace);
        namespaces.push_str(&format!("{}\t{name}\t{records}\t{}\n", percent_encode(namespace), json!(namespace)));
    }
    let mut extras = vec![Extra::text("namespaces.tsv", namespaces)];
    extras.extend(json::scripts(facts, &COMMANDS));
    extras.push(facts.readme("turbopuffer", STEPS, FILES));
    Ok(extras)
}

const COMMANDS: Commands = Commands {
    functions: include_str!("commands.sh"),
    variables: "# TURBOPUFFER_API_KEY   the key\n\
                # TURBOPUFFER_REGION    default gcp-us-central1; or TURBOPUFFER_URL, the whole address\n",
    needs: "curl",
};

const STEPS: &str = "    export TURBOPUFFER_API_KEY=... TURBOPUFFER_REGION=gcp-us-central1
    bash load.sh     # writes every body; namespaces come into being with their first row
    bash check.sh    # counts, pulls everything back, compares: GO or NO-GO
    bash undo.sh     # deletes the namespaces

The scripts follow turbopuffer's documentation and were not run against the service.
";

const FILES: &str = "\
- `data/rows-*.json`: bodies of `POST /v2/namespaces/{ns}`, the schema in each of them
- `files.tsv`: every body with its records and the namespace of the source
- `namespaces.tsv`: namespace of the source (percent-encoded), turbopuffer's name, records, the name as JSON
- attributes `_tranship_id` and `_tranship_exact`, and the document's, hold what turbopuffer has no place for
";

//! A bundle: bodies of PutVectors for one index.
//!
//! ```text
//! data/vectors-00042-000.json   {"vectors":[{"key":"a","data":{"float32":[..]},"metadata":{..}},..]}
//! index.json                    what CreateIndex takes: dimension, metric, the keys that are not filtered by
//! load.sh check.sh undo.sh files.tsv README.md mapping.json MANIFEST.json
//! ```
//!
//! The bucket is named when the bundle is loaded. Invariant: a vector is a record as the mapping has shaped it. Errors:
//! limit (a record that no call can hold), damaged.

use std::path::Path;

use serde_json::json;
use tranship_bundle::json::{
    self, Commands, FileShape, Given, JsonTarget, Taken, append_dense, common_losses, display, kept_vectors,
    push_dense, reserved_keys,
};
use tranship_bundle::rows::{Fitted, append_id};
use tranship_bundle::{Extra, Facts};
use tranship_collection::Metric;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::json::Entries;
use tranship_connector::{
    CollectionInfo, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Score, Sink, Source, Survey,
};

use crate::dialect;

static TARGET: JsonTarget = JsonTarget {
    rules: &dialect::RULES,
    name_fault: dialect::name_fault,
    settle,
    extras,
    only_vector: Some("data"),
    files: FileShape {
        stem: "vectors",
        extension: "json",
        between: b",\n",
        end: b"\n]}\n",
        lists: &["vectors"],
        by_namespace: false,
        // The names of bucket and index come on top.
        max_bytes: dialect::CALL_BYTES - 4096,
        max_rows: dialect::CALL_VECTORS,
        max_record_bytes: dialect::CALL_BYTES - 8192,
    },
    start: |_| Ok(b"{\"vectors\":[\n".to_vec()),
    append,
    take,
};

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
    // A vector has at most 50 keys. Where the collection has more, the commonest of one type stay.
    if survey.fields.len() > dialect::MAX_FIELDS || survey.too_many_fields {
        use tranship_connector::native::FieldType::{Bool, Float, Integer, Text, Texts};
        let types = [Bool, Float, Integer, Text, Texts];
        json::declare_fields(mapping, survey, &types, dialect::MAX_FIELDS, |_| true)?;
    }
    let mut losses = common_losses(mapping, TARGET.only_vector);
    for spec in kept_vectors(mapping) {
        losses.extend(dialect::index_loss(spec.index.as_ref(), &vector_component(&spec.name)));
    }
    mapping.losses.extend(losses);
    Ok(())
}

fn append(given: &Given<'_>, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"key\":");
    append_id(given.view, given.row, out);
    if let Some(value) = given.view.vector(0, given.row) {
        out.extend_from_slice(b",\"data\":{\"float32\":");
        if !append_dense(&value, 0, out) {
            return Err(Error::bug("a vector that is not dense on its way to S3 Vectors"));
        }
        out.push(b'}');
    }
    if let Some(text) = given.view.metadata(given.row) {
        out.extend_from_slice(b",\"metadata\":");
        out.extend_from_slice(text.trim_ascii().as_bytes());
    }
    out.push(b'}');
    Ok(())
}

fn take(taken: &mut Taken<'_>, text: &str) -> Fitted<()> {
    for (key, value) in Entries::parse(text).map_err(display)?.0 {
        match &*key {
            "key" => taken.text_id(value.get())?,
            "data" => {
                let data = Entries::parse(value.get()).map_err(display)?.0;
                let floats = data.iter().find(|(key, _)| key == "float32").ok_or("data without float32")?;
                let column = taken.vector("data").ok_or("the collection has no vector")?;
                push_dense(taken.builder, column, floats.1.get())?;
            }
            "metadata" => taken.entries(value.get())?,
            _ => {}
        }
    }
    Ok(())
}

fn extras(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    let mapping = facts.mapping;
    let mut index = json!({
        "dataType": "float32",
        "metadataConfiguration": { "nonFilterableMetadataKeys": unfiltered(mapping) },
    });
    if let Some(spec) = kept_vectors(mapping).next() {
        let metric = mapping.metrics.get(&spec.name).copied().unwrap_or(Metric::L2);
        index["dimension"] = json!(spec.dim);
        index["distanceMetric"] = json!(dialect::distance_metric(metric));
    }
    let mut extras = vec![Extra::json("index.json", &index)?];
    extras.extend(json::scripts(facts, &COMMANDS));
    extras.push(facts.readme("S3 Vectors", STEPS, FILES));
    Ok(extras)
}

/// Our own keys, but for the namespace, which is there to be filtered by.
fn unfiltered(mapping: &Mapping) -> Vec<&str> {
    let namespace = mapping.namespace_key.as_deref();
    reserved_keys(mapping).into_iter().filter(|key| Some(*key) != namespace).collect()
}

const COMMANDS: Commands = Commands {
    functions: include_str!("commands.sh"),
    variables: "# S3VECTORS_BUCKET   the vector bucket, which must exist\n\
                # AWS_PROFILE, AWS_REGION and whatever else the AWS CLI takes\n",
    needs: "the AWS CLI (aws s3vectors)",
};

const STEPS: &str = "    export S3VECTORS_BUCKET=my-vectors AWS_REGION=eu-central-1
    bash load.sh     # creates the index, puts every body; the CLI itself retries what is throttled
    bash check.sh    # lists everything back, counts, compares: GO or NO-GO
    bash undo.sh     # deletes the index

An index takes about 2,500 vectors per second. The scripts follow the API reference and were not run against the
service.
";

const FILES: &str = "\
- `data/vectors-*.json`: bodies of PutVectors without bucket and index, at most 500 vectors and 20 MiB each
- `index.json`: what CreateIndex takes besides names
- `files.tsv`: every body with its records
- `_tranship_*` and the document's key in the metadata hold what S3 Vectors has no place for; they are not filtered by,
  so they do not count against the 2 KB of filterable metadata
";

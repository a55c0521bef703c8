//! A bundle: batch files of records, to be copied to Cloud Storage, and the settings of the index made from them.
//!
//! ```text
//! data/records-00042-000.json   one record per line:
//!   {"id":"a","embedding":[..],"sparse_embedding":{"values":[..],"dimensions":[..]},
//!    "restricts":[{"namespace":"k","allow":["v"]}],"numeric_restricts":[{"namespace":"n","value_int":1}],
//!    "embedding_metadata":{..}}
//! index.json                    metadata of the index, for gcloud
//! load.sh check.sh undo.sh files.tsv README.md mapping.json MANIFEST.json
//! ```
//!
//! Restricts repeat what stands in the metadata and are not read back. Invariant: a record is one of the source as the
//! mapping has shaped it. Errors: limit (a record that no file can hold), damaged.

use std::path::Path;

use serde_json::{Value, json};
use tranship_bundle::json::{
    self, Commands, FileShape, Given, JsonTarget, Taken, append_dense, append_sparse, common_losses, display,
    kept_vectors, push_dense, push_sparse,
};
use tranship_bundle::rows::{Fitted, append_id};
use tranship_bundle::{Extra, Facts};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::json::{Entries, append_string};
use tranship_collection::{VectorKind, VectorValue};
use tranship_connector::native::field_type;
use tranship_connector::{
    CollectionInfo, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Score, Sink, Source, Survey,
};

use crate::dialect;

static TARGET: JsonTarget = JsonTarget {
    rules: &dialect::RULES,
    name_fault: dialect::name_fault,
    settle,
    extras,
    only_vector: Some("embedding"),
    files: FileShape {
        stem: "records",
        extension: "json",
        between: b"\n",
        end: b"\n",
        lists: &[],
        by_namespace: false,
        max_bytes: 64_000_000,
        max_rows: u64::MAX,
        max_record_bytes: 32_000_000,
    },
    start: |_| Ok(Vec::new()),
    append,
    take,
};

const SPARSE_KEYS: [&str; 2] = ["dimensions", "values"];

/// Scores a path: 95 for a bundle.
pub fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, dialect::RULES.target)
}

/// The one collection of a bundle.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    json::list(&TARGET, locator, options)
}

/// Opens a bundle, or the files that its `check.sh` has pulled.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    json::open(&TARGET, locator, options)
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    json::create(&TARGET, locator, options)
}

fn settle(mapping: &mut Mapping, survey: &Survey) -> Result<()> {
    let mut losses = common_losses(mapping, TARGET.only_vector);
    for spec in kept_vectors(mapping) {
        losses.extend(dialect::index_loss(spec.index.as_ref(), &vector_component(&spec.name)));
    }
    mapping.losses.extend(losses);
    mapping.form = json!({ "restricts": dialect::restricts(mapping, survey) });
    Ok(())
}

fn append(given: &Given<'_>, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"id\":");
    append_id(given.view, given.row, out);
    for column in 0..given.fields.len() {
        match given.view.vector(column, given.row) {
            None => {}
            Some(VectorValue::Sparse(indices, values)) => {
                out.extend_from_slice(b",\"sparse_embedding\":");
                append_sparse(SPARSE_KEYS, indices, values, out);
            }
            Some(value) => {
                out.extend_from_slice(b",\"embedding\":");
                if !append_dense(&value, 0, out) {
                    return Err(Error::bug("a vector that is neither dense nor sparse on its way to Vertex"));
                }
            }
        }
    }
    append_restricts(given, out)?;
    if let Some(text) = given.view.metadata(given.row) {
        out.extend_from_slice(b",\"embedding_metadata\":");
        out.extend_from_slice(text.trim_ascii().as_bytes());
    }
    out.push(b'}');
    Ok(())
}

fn append_restricts(given: &Given<'_>, out: &mut Vec<u8>) -> Result<()> {
    let kinds = &given.mapping.form["restricts"];
    let (mut allowed, mut numbers) = (Vec::new(), Vec::new());
    for (key, value) in given.metadata()? {
        let value = value.get();
        // A key of one type may be null, an object or a mixed list in some records.
        let (Some(kind), Some(found)) = (kinds.get(&*key).and_then(Value::as_str), field_type(value)) else { continue };
        if dialect::restrict_kind(found) != Some(kind) {
            continue;
        }
        let mut name = Vec::new();
        append_string(&key, &mut name);
        let name = String::from_utf8_lossy(&name);
        match kind {
            "allow" => allowed.push(format!("{{\"namespace\":{name},\"allow\":{}}}", tokens(value))),
            kind => numbers.push(format!("{{\"namespace\":{name},\"value_{kind}\":{value}}}")),
        }
    }
    for (key, entries) in [("restricts", allowed), ("numeric_restricts", numbers)] {
        if !entries.is_empty() {
            out.extend_from_slice(format!(",\"{key}\":[{}]", entries.join(",")).as_bytes());
        }
    }
    Ok(())
}

/// A text, boolean or list of texts as a list of texts.
fn tokens(value: &str) -> String {
    match value.as_bytes().first() {
        Some(b'[') => value.to_owned(),
        Some(b'"') => format!("[{value}]"),
        _ => format!("[\"{value}\"]"),
    }
}

fn take(taken: &mut Taken<'_>, record: &str) -> Fitted<()> {
    let column = |taken: &Taken<'_>, kind: VectorKind| {
        let column = kept_vectors(taken.mapping).position(|spec| spec.kind == kind);
        column.ok_or_else(|| "a vector that the collection has not".to_owned())
    };
    for (key, value) in Entries::parse(record).map_err(display)?.0 {
        let value = value.get();
        match &*key {
            "id" => taken.text_id(value)?,
            "embedding" => {
                let column = column(taken, VectorKind::Dense)?;
                push_dense(taken.builder, column, value)?;
            }
            "sparse_embedding" => {
                let column = column(taken, VectorKind::Sparse)?;
                push_sparse(taken.builder, column, SPARSE_KEYS, value)?;
            }
            "embedding_metadata" => taken.entries(value)?,
            _ => {}
        }
    }
    Ok(())
}

fn extras(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    if facts.totals.bodies > dialect::MAX_FILES {
        let (files, most) = (facts.totals.bodies, dialect::MAX_FILES);
        return Err(Error::limit(format!("the batch has {files} files, Vector Search takes {most}"))
            .hint("divide the collection into several"));
    }
    let mut extras = vec![Extra::json("index.json", &dialect::index(facts.mapping))?];
    extras.extend(json::scripts(facts, &COMMANDS));
    extras.push(facts.readme("Vertex AI Vector Search", STEPS, FILES));
    Ok(extras)
}

const COMMANDS: Commands = Commands {
    functions: include_str!("commands.sh"),
    variables: "# VERTEX_GCS       a folder of Cloud Storage for the batch alone, as gs://BUCKET/FOLDER\n\
                # VERTEX_REGION    region of the index, as europe-west4\n\
                # VERTEX_PROJECT   the project, default that of gcloud\n",
    needs: "the Google Cloud CLI (gcloud)",
};

const STEPS: &str = "    export VERTEX_GCS=gs://bucket/batch VERTEX_REGION=europe-west4
    bash load.sh     # copies the batch files, then makes an index from them, which takes about an hour
    bash check.sh    # refused records and count of the index, then the batch compared: GO or NO-GO
    bash undo.sh     # deletes the index and the batch

An index does not give its records back as files; so `check.sh` compares the batch in Cloud Storage with the source, and
the index by its count and by the records that it says it has refused. The scripts follow Google's documentation and
were not run against the service.
";

const FILES: &str = "\
- `data/records-*.json`: batch files, one record per line
- `index.json`: metadata of the index; `load.sh` puts the folder in
- `files.tsv`: every file with its records
- `_tranship_*` and the document's key in `embedding_metadata` hold what Vector Search has no place for
";

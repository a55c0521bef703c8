//! A bundle: JSON lines for the import endpoint of one collection.
//!
//! ```text
//! data/documents-00042-000.jsonl   {"id":"a","vector":[..],"key":value,..}, one document per line
//! schema.json                      body of POST /collections
//! load.sh check.sh undo.sh files.tsv README.md mapping.json MANIFEST.json
//! ```
//!
//! The endpoint answers 200 and one line per document, each of which says whether it was taken; `load.sh` looks at all
//! of them. Invariant: a document is a record as the mapping has shaped it. Errors: usage (a document key that is no
//! field), limit (a record that no file can hold), damaged.

use std::path::Path;

use tranship_bundle::json::{
    self, Commands, FileShape, Flat, JsonTarget, append_dense, common_losses, kept_vectors, push_dense,
};
use tranship_bundle::{Extra, Facts};
use tranship_collection::fingerprint::vector_component;
use tranship_connector::{
    CollectionInfo, CreateOptions, Locator, Mapping, OpenOptions, Result, Score, Sink, Source, Survey,
};

use crate::dialect;

static TARGET: JsonTarget = JsonTarget {
    rules: &dialect::RULES,
    name_fault: dialect::name_fault,
    settle,
    extras,
    only_vector: None,
    files: FileShape {
        stem: "documents",
        extension: "jsonl",
        between: b"\n",
        end: b"\n",
        lists: &[],
        by_namespace: false,
        max_bytes: 32_000_000,
        max_rows: 50_000,
        max_record_bytes: 16_000_000,
    },
    start: |_| Ok(Vec::new()),
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
    let allowed = dialect::allowed_field(mapping);
    json::declare_fields(mapping, survey, dialect::TYPES, dialect::MAX_FIELDS, allowed)?;
    let mut losses = common_losses(mapping, None);
    for spec in kept_vectors(mapping) {
        losses.extend(dialect::hnsw_params(spec.index.as_ref(), &vector_component(&spec.name)).1);
    }
    mapping.losses.extend(losses);
    Ok(())
}

fn extras(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    let mut extras = vec![Extra::json("schema.json", &dialect::schema(facts.mapping))?];
    extras.extend(json::scripts(facts, &COMMANDS));
    extras.push(facts.readme("Typesense", STEPS, FILES));
    Ok(extras)
}

const COMMANDS: Commands = Commands {
    functions: include_str!("commands.sh"),
    variables: "# TYPESENSE_URL       server, default http://127.0.0.1:8108\n# TYPESENSE_API_KEY   the key\n",
    needs: "curl",
};

const STEPS: &str = "    export TYPESENSE_URL=http://127.0.0.1:8108 TYPESENSE_API_KEY=...
    bash load.sh     # creates the collection, imports every file, looks at every document's own answer
    bash check.sh    # counts, exports everything, compares: GO or NO-GO
    bash undo.sh     # deletes the collection

The scripts follow Typesense's documentation and were not run against the server.
";

const FILES: &str = "\
- `data/documents-*.jsonl`: bodies of `POST /collections/{c}/documents/import?action=upsert`
- `schema.json`: body of `POST /collections`
- `files.tsv`: every file with its records
- fields `_tranship_*` and the document's hold what Typesense has no place for
";

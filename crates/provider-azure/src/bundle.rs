//! A bundle: batches of documents for one index.
//!
//! ```text
//! data/documents-00042-000.json   {"value":[{"@search.action":"upload","id":"a","vector":[..],"key":..},..]}
//! index.json                      body of PUT /indexes/{i}
//! load.sh check.sh undo.sh files.tsv README.md mapping.json MANIFEST.json
//! ```
//!
//! The service answers 207, and per document whether it was taken; `load.sh` looks at all of them. Invariant: a document
//! is a record as the mapping has shaped it. Errors: usage (a document key that is no field), limit (vectors of one
//! dimension, a record that no batch can hold), damaged.

use std::path::Path;

use tranship_bundle::json::{
    self, Commands, FileShape, Flat, JsonTarget, append_dense, common_losses, kept_vectors, push_dense,
};
use tranship_bundle::plan::KEPT_ELSEWHERE;
use tranship_bundle::{Extra, Facts};
use tranship_collection::VectorValue;
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
    only_vector: None,
    files: FileShape {
        stem: "documents",
        extension: "json",
        between: b",\n",
        end: b"\n]}\n",
        lists: &["value"],
        by_namespace: false,
        max_bytes: dialect::BODY_BYTES,
        max_rows: dialect::BODY_DOCUMENTS,
        max_record_bytes: dialect::BODY_BYTES - 1024,
    },
    start: |_| Ok(b"{\"value\":[\n".to_vec()),
    append: |given, out| FLAT.append(given, "\"@search.action\":\"upload\"", out),
    take: |taken, text| FLAT.take(taken, text),
};

const FLAT: Flat = Flat { id: Some(dialect::KEY), plain_names: true, vector: append_vector, push: push_dense };

/// Elements that are all whole numbers of a byte stand without a point, as `Edm.SByte` has them; they are singles, too.
fn append_vector(value: &VectorValue<'_>, dim: usize, out: &mut Vec<u8>) -> bool {
    let VectorValue::Widened(values) = value else { return append_dense(value, dim, out) };
    let whole = |value: &f32| f32::from(*value as i8) == *value && value.to_bits() != (-0f32).to_bits();
    if !values.iter().all(whole) {
        return append_dense(value, dim, out);
    }
    let texts: Vec<String> = values.iter().map(|value| (*value as i8).to_string()).collect();
    out.extend_from_slice(format!("[{}]", texts.join(",")).as_bytes());
    true
}

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
        let path = vector_component(&spec.name);
        if spec.dim.is_some_and(|dim| dim < dialect::MIN_DIM) {
            let what =
                format!("Azure AI Search takes vectors of at least {} dimensions; {path} has 1", dialect::MIN_DIM);
            return Err(Error::limit(what).hint(KEPT_ELSEWHERE));
        }
        losses.extend(dialect::algorithm(spec.index.as_ref(), None, &path).1);
    }
    mapping.losses.extend(losses);
    Ok(())
}

fn extras(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    let mut extras = vec![Extra::json("index.json", &dialect::index(facts.mapping))?];
    extras.extend(json::scripts(facts, &COMMANDS));
    extras.push(facts.readme("Azure AI Search", STEPS, FILES));
    Ok(extras)
}

const COMMANDS: Commands = Commands {
    functions: include_str!("commands.sh"),
    variables: "# AZURE_SEARCH_URL       the service, as https://NAME.search.windows.net\n\
                # AZURE_SEARCH_API_KEY   an admin key\n\
                # AZURE_SEARCH_VERSION   version of the REST interface, default 2024-07-01\n",
    needs: "curl",
};

const STEPS: &str = "    export AZURE_SEARCH_URL=https://NAME.search.windows.net AZURE_SEARCH_API_KEY=...
    bash load.sh     # creates the index, sends every batch, looks at every document's own status
    bash check.sh    # counts, pulls everything back, compares: GO or NO-GO
    bash undo.sh     # deletes the index

Counts follow the load by some seconds. The scripts follow Microsoft's reference and were not run against the service.
";

const FILES: &str = "\
- `data/documents-*.json`: bodies of `POST /indexes/{i}/docs/index`, at most 1,000 documents and 15 MB each
- `index.json`: body of `PUT /indexes/{i}`
- `files.tsv`: every batch with its records
- fields `tranship_*` and the document's hold what Azure AI Search has no place for
";

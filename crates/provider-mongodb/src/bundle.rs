//! A bundle: Extended JSON for mongoimport, one document per line.
//!
//! ```text
//! data/documents-00042-000.jsonl   {"_id":..,"vectors":{"vector":{"$binary":..}},"document":"..","metadata":{..}}
//! search-index.json                the vectorSearch index: vectors, and metadata to filter by
//! commands.js                      what mongosh does: make, count, index, drop
//! load.sh check.sh undo.sh files.tsv README.md mapping.json MANIFEST.json
//! ```
//!
//! Invariant: a document is a record as the mapping has shaped it; its vectors keep every bit. Errors: limit (a record
//! beyond 16 MB), damaged.

use std::path::Path;

use serde_json::json;
use tranship_bundle::json::{
    self, Commands, FileShape, Given, JsonTarget, Taken, common_losses, display, kept_vectors, text,
};
use tranship_bundle::rows::{Fitted, append_id, close_object, open_entry};
use tranship_bundle::{Extra, Facts};
use tranship_collection::IdKind;
use tranship_collection::json::{Entries, append_string};
use tranship_connector::{
    CollectionInfo, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Score, Sink, Source, Survey,
};

use crate::{dialect, vectors};

/// Most keys that the index filters by.
const MAX_FILTERS: usize = 100;

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
        max_bytes: 64_000_000,
        max_rows: u64::MAX,
        max_record_bytes: dialect::DOCUMENT_BYTES,
    },
    start: |_| Ok(Vec::new()),
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

/// Opens a bundle, or the export that its `check.sh` has pulled.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    json::open(&TARGET, locator, options)
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    json::create(&TARGET, locator, options)
}

fn settle(mapping: &mut Mapping, survey: &Survey) -> Result<()> {
    let mut losses = common_losses(mapping, None);
    for spec in kept_vectors(mapping) {
        losses.extend(dialect::vector_losses(spec, mapping, survey));
    }
    mapping.losses.extend(losses);
    let held = |key: &String| mapping.metadata.keys.hold(key) && !key.contains('\0');
    let filters: Vec<String> = survey.typed_fields().into_keys().filter(held).take(MAX_FILTERS).collect();
    mapping.form = json!({ "filters": filters });
    Ok(())
}

fn append(given: &Given<'_>, out: &mut Vec<u8>) -> Result<()> {
    let (view, row) = (given.view, given.row);
    out.extend_from_slice(b"{\"_id\":");
    append_id(view, row, out);
    out.extend_from_slice(b",\"vectors\":");
    let start = out.len();
    for (column, (spec, field)) in view.vector_specs().zip(given.fields).enumerate() {
        let Some(value) = view.vector(column, row) else { continue };
        open_entry(start, field, out);
        if !vectors::append(&value, spec, out) {
            return Err(Error::bug(format!("a vector `{field}` that MongoDB has no form for")));
        }
    }
    close_object(start, out);
    if let Some(document) = view.document(row) {
        out.extend_from_slice(b",\"document\":");
        append_string(document, out);
    }
    if let Some(metadata) = view.metadata(row) {
        out.extend_from_slice(b",\"metadata\":");
        out.extend_from_slice(metadata.trim_ascii().as_bytes());
    }
    out.push(b'}');
    Ok(())
}

fn take(taken: &mut Taken<'_>, record: &str) -> Fitted<()> {
    for (key, value) in Entries::parse(record).map_err(display)?.0 {
        let value = value.get();
        match &*key {
            "_id" if value.starts_with('"') => taken.text_id(value)?,
            "_id" => taken.id = Some((integer(value)?, IdKind::Integer)),
            "vectors" => take_vectors(taken, value)?,
            "document" => taken.document = Some(text(value)?),
            "metadata" => taken.entries(value)?,
            _ => {}
        }
    }
    Ok(())
}

fn integer(value: &str) -> Fitted<String> {
    let digits = match value.starts_with('{') {
        true => {
            let entries = Entries::parse(value).map_err(display)?.0;
            let long = entries.iter().find(|(key, _)| key == "$numberLong");
            text(long.ok_or_else(|| format!("{value} is no id"))?.1.get())?
        }
        false => value.to_owned(),
    };
    digits.parse::<i64>().map(|number| number.to_string()).map_err(|_| format!("{value} is no id"))
}

fn take_vectors(taken: &mut Taken<'_>, value: &str) -> Fitted<()> {
    for (field, value) in Entries::parse(value).map_err(display)?.0 {
        let column = taken.vector(&field).ok_or_else(|| format!("the collection has no vector `{field}`"))?;
        let spec = kept_vectors(taken.mapping).nth(column).ok_or("a vector without a column")?.clone();
        vectors::push(taken.builder, column, &spec, value.get())?;
    }
    Ok(())
}

fn extras(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    let mapping = facts.mapping;
    let filters: Vec<String> = serde_json::from_value(mapping.form["filters"].clone()).unwrap_or_default();
    let index = dialect::search_index(mapping, &filters);
    let commands = include_str!("commands.js")
        .replace("@NAME@", &json!(mapping.collection).to_string())
        .replace("@INDEX@", &index.to_string());
    let mut extras = vec![Extra::json("search-index.json", &index)?, Extra::text("commands.js", commands)];
    extras.extend(json::scripts(facts, &COMMANDS));
    extras.push(facts.readme("MongoDB", STEPS, FILES));
    Ok(extras)
}

const COMMANDS: Commands = Commands {
    functions: include_str!("commands.sh"),
    variables: "# MONGODB_URI   address with the database in it, as mongodb+srv://user:password@host/database\n",
    needs: "mongoimport, mongoexport and mongosh",
};

const STEPS: &str = "    export MONGODB_URI='mongodb+srv://user:password@cluster.example.net/database'
    bash load.sh     # makes the collection, imports every file, then makes the search index
    bash check.sh    # counts, exports everything, compares: GO or NO-GO
    bash undo.sh     # drops the collection

The search index needs Atlas. The files are read by pymongo's own parser in tranship's tests; the scripts follow
MongoDB's documentation and were not run against a server.
";

const FILES: &str = "\
- `data/documents-*.jsonl`: documents in Extended JSON for mongoimport; vectors are BSON binary of subtype 9
- `search-index.json`: the `vectorSearch` index that `load.sh` makes
- `commands.js`: what mongosh does
- `files.tsv`: every file with its records
- `_tranship_*` keys in the metadata hold what MongoDB has no place for
";

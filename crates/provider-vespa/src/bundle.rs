//! A bundle: an application package with the schema, and feed files for `vespa feed`.
//!
//! ```text
//! app/services.xml app/schemas/<type>.sd   what `vespa deploy` takes; or add the schema to your own application
//! data/feed-00042-000.jsonl                {"put":"id:tranship:<type>::<id>","fields":{..}}, one document per line
//! load.sh check.sh undo.sh files.tsv README.md mapping.json MANIFEST.json
//! ```
//!
//! Invariant: a document is a record as the mapping has shaped it, but for what `texts` says of empty texts and control
//! characters. Errors: usage (a document key that is no field), limit (a record that no file can hold), damaged.

use std::path::Path;

use serde_json::json;
use tranship_bundle::json::{
    self, Commands, FileShape, Flat, Given, JsonTarget, Taken, common_losses, display, kept_vectors, text,
    without_underscore,
};
use tranship_bundle::rows::{Fitted, close_object, open_entry};
use tranship_bundle::{Extra, Facts};
use tranship_collection::VectorValue;
use tranship_collection::fingerprint::vector_component;
use tranship_collection::json::{Entries, append_string};
use tranship_connector::{
    CollectionInfo, CreateOptions, Error, Locator, Mapping, OpenOptions, Result, Score, Sink, Source, Survey,
};

use crate::dialect::{self, ID_NAMESPACE};
use crate::tensors;
use crate::texts::{self, EMPTY, ESCAPED};

static TARGET: JsonTarget = JsonTarget {
    rules: &dialect::RULES,
    name_fault: dialect::name_fault,
    settle,
    extras,
    only_vector: None,
    files: FileShape {
        stem: "feed",
        extension: "jsonl",
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

const FLAT: Flat = Flat { id: None, plain_names: true, vector: tensors::append, push: tensors::push };

/// Scores a path: 95 for a bundle.
pub fn probe(path: &Path) -> Option<Score> {
    tranship_bundle::probe(path, dialect::RULES.target)
}

/// The one collection of a bundle.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    json::list(&TARGET, locator, options)
}

/// Opens a bundle, or the documents that its `check.sh` has pulled.
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
        losses.extend(dialect::hnsw(spec.index.as_ref(), &vector_component(&spec.name)).1);
    }
    mapping.losses.extend(losses);
    Ok(())
}

fn append(given: &Given<'_>, out: &mut Vec<u8>) -> Result<()> {
    let id = format!("id:{ID_NAMESPACE}:{}::{}", given.mapping.collection, given.view.id(given.row));
    out.extend_from_slice(b"{\"put\":");
    append_string(&id, out);
    out.extend_from_slice(b",\"fields\":");
    let start = out.len();
    let (mut empty, mut escaped) = (Vec::new(), Vec::new());
    for (column, field) in given.fields.iter().enumerate() {
        match given.view.vector(column, given.row) {
            None => {}
            Some(VectorValue::Sparse([], _)) => empty.push(field.clone()),
            Some(value) => {
                open_entry(start, field, out);
                if !tensors::append(&value, given.view.dim(column), out) {
                    return Err(Error::bug(format!("a vector `{field}` that Vespa has no form for")));
                }
            }
        }
    }
    for (key, value) in given.metadata()? {
        let field = without_underscore(&key);
        if value.get() == "\"\"" {
            empty.push(field.to_owned());
            continue;
        }
        open_entry(start, field, out);
        if texts::needs_escape(value.get()) {
            escaped.push(field.to_owned());
            out.extend_from_slice(texts::escaped(value.get()).as_bytes());
        } else {
            out.extend_from_slice(value.get().as_bytes());
        }
    }
    for (field, names) in [(EMPTY, empty), (ESCAPED, escaped)] {
        if !names.is_empty() {
            open_entry(start, field, out);
            out.extend_from_slice(json!(names).to_string().as_bytes());
        }
    }
    close_object(start, out);
    out.push(b'}');
    Ok(())
}

fn take(taken: &mut Taken<'_>, record: &str) -> Fitted<()> {
    for (key, value) in Entries::parse(record).map_err(display)?.0 {
        match &*key {
            "put" | "id" => {
                let id = text(value.get())?;
                let begin = format!("id:{ID_NAMESPACE}:{}::", taken.mapping.collection);
                let own = id.strip_prefix(&begin).ok_or_else(|| format!("{id} does not begin with {begin}"))?;
                taken.id = Some((own.to_owned(), tranship_collection::IdKind::Text));
            }
            "fields" => take_fields(taken, value.get())?,
            _ => {}
        }
    }
    Ok(())
}

fn take_fields(taken: &mut Taken<'_>, fields: &str) -> Fitted<()> {
    let entries = Entries::parse(fields).map_err(display)?.0;
    let names = |field: &str| -> Fitted<Vec<String>> {
        match entries.iter().find(|(own, _)| own == field) {
            Some((_, list)) => serde_json::from_str(list.get()).map_err(|e| format!("{field}: {e}")),
            None => Ok(Vec::new()),
        }
    };
    let (empty, escaped) = (names(EMPTY)?, names(ESCAPED)?);
    for (field, value) in &entries {
        let value = value.get();
        if *field == EMPTY || *field == ESCAPED || value == "\"\"" {
            continue;
        }
        match escaped.iter().any(|name| name == field) {
            true => FLAT.take_field(taken, field, &texts::unescaped(value)?)?,
            false => FLAT.take_field(taken, field, value)?,
        }
    }
    for field in empty {
        match taken.vector(&field) {
            Some(column) => taken.builder.push_sparse(column, &[], &[]).map_err(display)?,
            None => FLAT.take_field(taken, &field, "\"\"")?,
        }
    }
    Ok(())
}

fn extras(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    let name = &facts.mapping.collection;
    let mut extras = vec![
        Extra::text("app/services.xml", dialect::services(name)),
        Extra::text(&format!("app/schemas/{name}.sd"), dialect::schema(facts.mapping)),
    ];
    extras.extend(json::scripts(facts, &COMMANDS));
    extras.push(facts.readme("Vespa", STEPS, FILES));
    Ok(extras)
}

const COMMANDS: Commands = Commands {
    functions: include_str!("commands.sh"),
    variables: "# VESPA_TARGET   what `vespa --target` takes, default local; cloud targets as `vespa config` has them\n",
    needs: "the Vespa CLI",
};

const STEPS: &str =
    "    vespa deploy --wait 300 app   # or add app/schemas/*.sd to your own application and deploy that
    bash load.sh                  # feeds every file, looks at the metrics that `vespa feed` prints
    bash check.sh                 # counts, visits everything, compares: GO or NO-GO
    bash undo.sh                  # removes the documents

Deploying is left to you, since it may replace what runs. The scripts follow Vespa's documentation and were not run
against the engine.
";

const FILES: &str = "\
- `app/`: the smallest application package with the schema of this collection
- `data/feed-*.jsonl`: documents for `vespa feed`
- `files.tsv`: every file with its records
- fields `tranship_*` and the document's hold what Vespa has no place for: original ids and namespaces, metadata as exact
  text, names of fields that are empty, names of fields whose texts are escaped
";

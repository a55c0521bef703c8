//! A bundle: `_bulk` bodies for one index.
//!
//! ```text
//! data/bulk-00042-000.ndjson   {"index":{"_id":"a"}}  and on the next line its source:
//!                              {"vector":[..],"key":value,..}
//!     sparse vectors as {"indices":[..],"values":[..]}, multivectors as a list of rows
//! index.json                   body of PUT /{index}: settings for the load, and mappings
//! counts.tsv                   records, encoded namespace, body of _count     (collections with namespaces)
//! load.sh check.sh undo.sh files.tsv README.md mapping.json MANIFEST.json
//! ```
//!
//! The endpoint answers 200 and says within whether an item was refused; `load.sh` looks at all of them. Namespaces are a
//! keyword field, not routing: an `_id` is unique within a shard only, and two routings may meet in one. Invariant: a source
//! is a record as the mapping has shaped it, under the names of `mapping.renamed_keys`. Errors: usage (a key that can be no
//! field), limit (a record that no body can hold), damaged.

use std::collections::BTreeMap;

use serde_json::json;
use tranship_bundle::facts::percent_encode;
use tranship_bundle::json::{
    self, BULK_ACTION, Commands, FileShape, Given, JsonTarget, Taken, append_sparse, common_losses, display,
    kept_vectors, push_dense, push_sparse, reserved_keys, vector_fields,
};
use tranship_bundle::names::renamed;
use tranship_bundle::plan;
use tranship_bundle::rows::{Fitted, append_dense, append_id, append_multi, close_object, open_entry, push_multi};
use tranship_bundle::{Extra, Facts};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::json::Entries;
use tranship_collection::{Element, Metric, VectorKind, VectorSpec, VectorValue};
use tranship_connector::rules::Keys;
use tranship_connector::{Error, Grade, Loss, Mapping, Result, Rules, Survey};

use crate::dialect::{self, Engine, FILTERED_CHARACTERS, Vendor};

const SPARSE_KEYS: [&str; 2] = ["indices", "values"];

const fn target(
    rules: &'static Rules,
    settle: fn(&mut Mapping, &Survey) -> Result<()>,
    extras: fn(&Facts<'_>) -> Result<Vec<Extra>>,
) -> JsonTarget {
    JsonTarget {
        rules,
        name_fault: dialect::name_fault,
        settle,
        extras,
        only_vector: None,
        files: FileShape {
            stem: "bulk",
            extension: "ndjson",
            between: b"\n",
            end: b"\n",
            lists: &["hits"],
            by_namespace: false,
            max_bytes: dialect::BODY_BYTES,
            max_rows: u64::MAX,
            max_record_bytes: dialect::RECORD_BYTES,
        },
        start: |_| Ok(Vec::new()),
        append,
        take,
    }
}

/// What the connector `elasticsearch` does.
pub mod elasticsearch {
    use std::path::Path;

    use tranship_bundle::json::{self, Commands, JsonTarget};
    use tranship_connector::{CollectionInfo, CreateOptions, Locator, OpenOptions, Result, Score, Sink, Source};

    use crate::dialect::{self, Vendor};

    static TARGET: JsonTarget = super::target(
        &dialect::ELASTICSEARCH,
        |mapping, survey| super::settle(Vendor::Elasticsearch, mapping, survey),
        |facts| super::extras(facts, &COMMANDS, STEPS),
    );

    /// Scores a path: 95 for a bundle.
    pub fn probe(path: &Path) -> Option<Score> {
        tranship_bundle::probe(path, TARGET.rules.target)
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

    const COMMANDS: Commands = Commands {
        functions: concat!(include_str!("scripts/elasticsearch.sh"), include_str!("scripts/commands.sh")),
        variables: "# ELASTICSEARCH_URL       server, default http://127.0.0.1:9200\n\
                    # ELASTICSEARCH_API_KEY   key; or ELASTICSEARCH_USER (default elastic) and ELASTICSEARCH_PASSWORD\n\
                    # REPLICAS                copies of the index once it is loaded, default 1\n\
                    # PAGE_DOCUMENTS          documents per page that check.sh pulls, default 500\n",
        needs: "curl",
    };

    const STEPS: &str = "    export ELASTICSEARCH_URL=https://127.0.0.1:9200 ELASTICSEARCH_API_KEY=...
    bash load.sh     # creates the index, sends every body, looks at every item; then turns copies and refresh on
    bash check.sh    # counts, scrolls everything with its vectors, compares: GO or NO-GO
    bash undo.sh     # deletes the index

For Elasticsearch 8.13 and later. Vectors are indexed as they are, without the quantising that Elasticsearch 9 does by
default. The scripts follow Elastic's documentation and were not run against the server.
";
}

/// What the connector `opensearch` does.
pub mod opensearch {
    use std::path::Path;

    use tranship_bundle::json::{self, Commands, JsonTarget};
    use tranship_connector::{CollectionInfo, CreateOptions, Error, Locator, OpenOptions, Result, Score, Sink, Source};

    use crate::dialect::{self, Engine, Vendor};

    static LUCENE: JsonTarget = super::target(
        &dialect::OPENSEARCH,
        |mapping, survey| super::settle(Vendor::OpenSearch(Engine::Lucene), mapping, survey),
        |facts| super::extras(facts, &COMMANDS, STEPS),
    );
    static FAISS: JsonTarget = JsonTarget {
        settle: |mapping, survey| super::settle(Vendor::OpenSearch(Engine::Faiss), mapping, survey),
        ..super::target(&dialect::OPENSEARCH, |_, _| Ok(()), |facts| super::extras(facts, &COMMANDS, STEPS))
    };

    /// Scores a path: 95 for a bundle.
    pub fn probe(path: &Path) -> Option<Score> {
        tranship_bundle::probe(path, LUCENE.rules.target)
    }

    /// The one collection of a bundle.
    pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
        json::list(&LUCENE, locator, options)
    }

    /// Opens a bundle, or the pages that its `check.sh` has pulled.
    pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
        json::open(&LUCENE, locator, options)
    }

    /// Creates a bundle.
    pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
        match options.options.get("engine").map(String::as_str) {
            None | Some("lucene") => json::create(&LUCENE, locator, options),
            Some("faiss") => json::create(&FAISS, locator, options),
            Some(other) => {
                Err(Error::usage(format!("`{other}` is no engine of OpenSearch"))
                    .hint("the engines are: lucene, faiss"))
            }
        }
    }

    const COMMANDS: Commands = Commands {
        functions: concat!(include_str!("scripts/opensearch.sh"), include_str!("scripts/commands.sh")),
        variables: "# OPENSEARCH_URL        server, default http://127.0.0.1:9200\n\
                    # OPENSEARCH_PASSWORD   password of OPENSEARCH_USER (default admin), if the server wants one\n\
                    # REPLICAS              copies of the index once it is loaded, default 1\n\
                    # PAGE_DOCUMENTS        documents per page that check.sh pulls, default 500\n",
        needs: "curl",
    };

    const STEPS: &str = "    export OPENSEARCH_URL=https://127.0.0.1:9200 OPENSEARCH_USER=admin OPENSEARCH_PASSWORD=...
    bash load.sh     # creates the index, sends every body, looks at every item; then turns copies and refresh on
    bash check.sh    # counts, scrolls everything with its vectors, compares: GO or NO-GO
    bash undo.sh     # deletes the index

For OpenSearch 2.17 and later. The scripts follow OpenSearch's documentation and were not run against the server.
";
}

fn settle(vendor: Vendor, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
    let vectors = vector_fields(mapping, None);
    let title = if vendor == Vendor::Elasticsearch { "Elasticsearch" } else { "OpenSearch" };
    if let Some(key) = mapping.document_key.as_deref().filter(|key| !dialect::is_field(key, &vectors)) {
        return Err(Error::usage(format!("`{key}` cannot be the name of a field in {title}"))
            .hint("choose another --document-key"));
    }
    let mut losses = common_losses(mapping, None);
    losses.extend(rename_keys(mapping, survey, &vectors));
    losses.extend(not_indexed(survey));
    let specs: Vec<VectorSpec> = kept_vectors(mapping).cloned().collect();
    for spec in &specs {
        let path = vector_component(&spec.name);
        match spec.kind {
            VectorKind::Dense => losses.extend(dialect::vector_field(vendor, spec, None, &path).1),
            kind => {
                let from = format!("{kind:?} vector").to_lowercase();
                let to =
                    format!("a part of _source, whole but not indexed: {title} cannot search it as the source does");
                losses.push(Loss::new("VECTOR_NOT_INDEXED", &path, from, to, Grade::Lossy));
            }
        }
    }
    mapping.losses.extend(losses);
    let cosine = |mapping: &Mapping, spec: &VectorSpec| {
        let metric = mapping.metrics.get(&spec.name);
        spec.kind == VectorKind::Dense && spec.element != Element::I8 && metric == Some(&Metric::Cosine)
    };
    let of_cosine: Vec<&VectorSpec> = specs.iter().filter(|spec| cosine(mapping, spec)).collect();
    if vendor == Vendor::OpenSearch(Engine::Faiss) {
        let applies = |spec: &VectorSpec| of_cosine.iter().any(|own| own.name == spec.name);
        plan::normalise(mapping, survey, title, |_| dialect::COSINE_TOLERANCE, applies);
    } else if vendor == Vendor::Elasticsearch {
        mapping.tolerance.extend(of_cosine.iter().map(|spec| (spec.name.clone(), dialect::COSINE_TOLERANCE)));
    }
    mapping.form = dialect::index_body(vendor, mapping, survey);
    Ok(())
}

fn rename_keys(mapping: &mut Mapping, survey: &Survey, vectors: &[String]) -> Option<Loss> {
    let reserved = reserved_keys(mapping);
    let keys = survey.fields.keys().map(String::as_str);
    let keys = keys.filter(|key| Keys::NoPoint.hold(key) && !reserved.contains(key));
    let is_field = |key: &str| dialect::is_field(key, vectors) && !reserved.contains(&key);
    let table: BTreeMap<String, String> =
        renamed(keys, is_field, |key| format!("metadata_{}", key.trim_start_matches('_')), "_");
    let (own, changed) = table.first_key_value()?;
    let from = format!("{} keys that are the server's or a vector's, as `{own}`", table.len());
    let to = format!("fields under other names, as `{changed}`; the table is in mapping.json");
    mapping.renamed_keys = table.into();
    Some(Loss::new("KEY_RENAMED", "metadata", from, to, Grade::Reversible))
}

/// The keys that no declared field holds: they stay in `_source`, where nothing finds them.
fn not_indexed(survey: &Survey) -> Option<Loss> {
    let declared: Vec<&str> = dialect::typed_keys(survey).into_iter().map(|(key, _)| key).collect();
    let others: Vec<&str> = survey.fields.keys().map(String::as_str).filter(|key| !declared.contains(key)).collect();
    let from = match others.first() {
        Some(first) => {
            format!("{} keys of several types, of objects or beyond the limit of fields, as `{first}`", others.len())
        }
        None if survey.too_many_fields => "all keys, of which there are too many".to_owned(),
        None => return None,
    };
    let to = "whole in _source, not indexed; add fields to the mapping and run _update_by_query to filter by them";
    Some(Loss::new("METADATA_NOT_INDEXED", "metadata", from, to, Grade::Equivalent))
}

fn append(given: &Given<'_>, out: &mut Vec<u8>) -> Result<()> {
    let mapping = given.mapping;
    out.extend_from_slice(BULK_ACTION.as_bytes());
    out.extend_from_slice(b"\"_id\":");
    append_id(given.view, given.row, out);
    out.extend_from_slice(b"}}\n");
    let start = out.len();
    for (column, (spec, field)) in given.view.vector_specs().zip(given.fields).enumerate() {
        let Some(value) = given.view.vector(column, given.row) else { continue };
        open_entry(start, field, out);
        append_vector(spec, &value, given.view.dim(column), out)?;
    }
    let reserved = reserved_keys(mapping);
    for (key, value) in given.metadata()? {
        let name = mapping.renamed_keys.target(&key);
        if !reserved.contains(&name) && !dialect::is_field(name, given.fields) {
            return Err(Error::usage(format!("metadata key `{key}` cannot be a field of {}", mapping.target))
                .with("id", given.view.id(given.row))
                .hint("there are too many different keys to rename them all; rename this one at the source"));
        }
        open_entry(start, name, out);
        append_line(value.get(), out);
    }
    close_object(start, out);
    Ok(())
}

/// JSON text on one line: breaks stand between tokens only.
fn append_line(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}

fn append_vector(spec: &VectorSpec, value: &VectorValue<'_>, dim: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        VectorValue::Widened(values) if spec.element == Element::I8 => {
            let texts: Vec<String> = values.iter().map(|value| (*value as i8).to_string()).collect();
            out.extend_from_slice(format!("[{}]", texts.join(",")).as_bytes());
        }
        VectorValue::Sparse(indices, values) => append_sparse(SPARSE_KEYS, indices, values, out),
        VectorValue::Multi(values) => append_multi(values, dim, out),
        other if append_dense(other, out) => {}
        _ => return Err(Error::bug("a bit vector on its way into an index")),
    }
    Ok(())
}

fn take(taken: &mut Taken<'_>, record: &str) -> Fitted<()> {
    if record.starts_with(BULK_ACTION) {
        let (action, source) = record.split_once('\n').ok_or("an action without its source")?;
        let (_, target) = Entries::parse(action).map_err(display)?.0.into_iter().next().ok_or("no action")?;
        take_id(taken, target.get())?;
        return take_source(taken, source);
    }
    take_id(taken, record)?;
    let hit = Entries::parse(record).map_err(display)?.0;
    let (_, source) = hit.iter().find(|(key, _)| key == "_source").ok_or("a hit without _source")?;
    take_source(taken, source.get())
}

fn take_id(taken: &mut Taken<'_>, text: &str) -> Fitted<()> {
    let entries = Entries::parse(text).map_err(display)?.0;
    let (_, id) = entries.iter().find(|(key, _)| key == "_id").ok_or("a record without _id")?;
    taken.text_id(id.get())
}

fn take_source(taken: &mut Taken<'_>, source: &str) -> Fitted<()> {
    for (key, value) in Entries::parse(source).map_err(display)?.0 {
        let value = value.get();
        let Some(column) = taken.vector(&key) else {
            taken.entry(&key, value);
            continue;
        };
        if value == "null" {
            continue;
        }
        let spec = taken.builder.schema().stored_vectors().nth(column).cloned();
        let spec = spec.ok_or_else(|| format!("no vector stands in field `{key}`"))?;
        match spec.kind {
            VectorKind::Sparse => push_sparse(taken.builder, column, SPARSE_KEYS, value)?,
            VectorKind::Multi => push_multi(taken.builder, column, spec.dim.unwrap_or(0), value)?,
            _ => push_dense(taken.builder, column, value)?,
        }
    }
    Ok(())
}

fn extras(facts: &Facts<'_>, commands: &Commands, steps: &str) -> Result<Vec<Extra>> {
    let mapping = facts.mapping;
    let mut extras = vec![Extra::json("index.json", &mapping.form)?];
    if let Some(key) = &mapping.namespace_key {
        let mut counts = String::new();
        // A longer one is not indexed.
        let counted = mapping.records.iter().filter(|(name, _)| name.chars().count() <= FILTERED_CHARACTERS);
        for (namespace, records) in counted {
            let (name, query) = match namespace.as_str() {
                "" => ("-".to_owned(), json!({ "bool": { "must_not": { "exists": { "field": key } } } })),
                name => (percent_encode(name), json!({ "term": { key: name } })),
            };
            counts.push_str(&format!("{records}\t{name}\t{}\n", json!({ "query": query })));
        }
        extras.push(Extra::text("counts.tsv", counts));
    }
    extras.extend(json::scripts(facts, commands));
    let title = if mapping.target == dialect::ELASTICSEARCH.target { "Elasticsearch" } else { "OpenSearch" };
    extras.push(facts.readme(title, steps, FILES));
    Ok(extras)
}

const FILES: &str = "\
- `data/bulk-*.ndjson`: bodies of `POST /{index}/_bulk`, at most 10 MB each
- `index.json`: body of `PUT /{index}`; `dynamic` is false, so what is not declared stays in `_source` as it is
- `counts.tsv`: namespaces with their records, and the body of `_count` that asks for them (collections with namespaces)
- `files.tsv`: every body with its records
- fields `_tranship_*` and the document's hold what an index has no place for
";

//! A bundle: bodies of `POST /v1/batch/objects` for one class.
//!
//! ```text
//! data/objects-00042-000.json   {"objects":[{"class":"C","id":U,"properties":{..},"vector":[..]},..]}
//!     "vectors":{name:[..]|[[..],..]} in place of "vector" unless the one vector has no name; "tenant" with namespaces
//! class.json                    body of POST /v1/schema
//! tenants-000.json              bodies of POST /v1/schema/{C}/tenants        (collections with namespaces)
//! namespaces.tsv                encoded namespace, tenant, records, namespace as JSON (likewise)
//! load.sh check.sh undo.sh files.tsv README.md mapping.json MANIFEST.json
//! ```
//!
//! The endpoint answers 200 and per object whether it was taken; `load.sh` looks at all of them. Invariant: an object is a
//! record as the mapping has shaped it, under the names of `mapping.renamed_keys` and `mapping.renamed_namespaces`. Errors:
//! usage (a document key that is no property), limit (a record that no body can hold, namespaces that nobody can count),
//! damaged.

use std::path::Path;

use serde_json::{Value, json};
use tranship_bundle::facts::percent_encode;
use tranship_bundle::json::{
    self, Commands, FileShape, Given, JsonTarget, Taken, common_losses, display, kept_vectors, push_dense,
    reserved_keys,
};
use tranship_bundle::names::{renamed, renamed_by};
use tranship_bundle::rows::{Fitted, append_dense, append_id, append_multi, close_object, open_entry, push_multi};
use tranship_bundle::{Extra, Facts};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::json::{Entries, append_string};
use tranship_collection::{VectorKind, VectorValue};
use tranship_connector::{
    CollectionInfo, CreateOptions, Error, Grade, Locator, Loss, Mapping, OpenOptions, Result, Score, Sink, Source,
    Survey,
};

use crate::dialect;

static TARGET: JsonTarget = JsonTarget {
    rules: &dialect::RULES,
    name_fault: dialect::name_fault,
    settle,
    extras,
    only_vector: None,
    files: FileShape {
        stem: "objects",
        extension: "json",
        between: b",\n",
        end: b"\n]}\n",
        lists: &["objects"],
        by_namespace: false,
        max_bytes: dialect::BODY_BYTES,
        max_rows: dialect::BODY_OBJECTS,
        max_record_bytes: dialect::BODY_BYTES - 1024,
    },
    start: |_| Ok(b"{\"objects\":[\n".to_vec()),
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
    if let Some(key) = mapping.document_key.as_deref().filter(|key| !dialect::is_property(key)) {
        return Err(Error::usage(format!("`{key}` cannot be the name of a property in Weaviate"))
            .hint("choose another --document-key"));
    }
    json::declare_fields(mapping, survey, dialect::TYPES, dialect::MAX_FIELDS, |_| true)?;
    let mut losses = common_losses(mapping, None);
    losses.extend(rename_keys(mapping, survey));
    losses.extend(rename_namespaces(mapping, survey)?);
    for spec in kept_vectors(mapping) {
        losses.extend(dialect::index(spec, None, &vector_component(&spec.name)).2);
    }
    let class = dialect::class(&mapping.collection);
    if class != mapping.collection {
        let to = format!("class {class}");
        losses.push(Loss::new("COLLECTION_RENAMED", "collection", mapping.collection.as_str(), to, Grade::Exact));
    }
    mapping.collection = class;
    mapping.losses.extend(losses);
    Ok(())
}

/// Our own properties come first: where names fall together, they stay.
fn rename_keys(mapping: &mut Mapping, survey: &Survey) -> Option<Loss> {
    let fields = mapping.fields.iter().flatten().map(|(key, _)| key.as_str());
    let names = reserved_keys(mapping).into_iter().chain(fields);
    let table = renamed_by(names, dialect::is_property, dialect::property, "_", str::to_lowercase);
    let (own, changed) = table.first_key_value()?;
    let from = format!("{} keys that are no names of GraphQL, as `{own}`", table.len());
    let to = format!("properties under other names, as `{changed}`; the table is in mapping.json");
    let mut loss = Loss::new("KEY_RENAMED", "metadata", from, to, Grade::Reversible);
    let records = |key: &String| survey.fields.get(key).map_or(0, |field| field.types.values().sum::<u64>());
    loss.records = table.keys().map(records).max();
    mapping.renamed_keys = table.into();
    Some(loss)
}

fn rename_namespaces(mapping: &mut Mapping, survey: &Survey) -> Result<Option<Loss>> {
    if !mapping.schema.namespaced {
        return Ok(None);
    }
    if survey.namespaces.is_empty() && survey.records > 0 {
        return Err(Error::limit("the collection has more namespaces than tranship can make tenants of")
            .hint("divide the collection and migrate the parts"));
    }
    let names = survey.namespaces.keys().map(String::as_str);
    let table = renamed(names, dialect::is_tenant, dialect::tenant, "_");
    if table.is_empty() {
        return Ok(None);
    }
    let from = "namespaces that are no names of tenants, and the default one";
    let to = "tenants under other names; the table is in mapping.json";
    let mut loss = Loss::new("NAMESPACE_RENAMED", "namespace", from, to, Grade::Reversible);
    loss.records = Some(table.keys().filter_map(|name| survey.namespaces.get(name)).sum());
    mapping.renamed_namespaces = table.into();
    Ok(Some(loss))
}

fn append(given: &Given<'_>, out: &mut Vec<u8>) -> Result<()> {
    let (view, row, mapping) = (given.view, given.row, given.mapping);
    let start = out.len();
    open_entry(start, "class", out);
    append_string(&mapping.collection, out);
    open_entry(start, "id", out);
    append_id(view, row, out);
    if mapping.schema.namespaced {
        open_entry(start, "tenant", out);
        append_string(mapping.renamed_namespaces.target(view.namespace(row).unwrap_or("")), out);
    }
    open_entry(start, "properties", out);
    let inner = out.len();
    for (key, value) in given.metadata()? {
        open_entry(inner, mapping.renamed_keys.target(&key), out);
        out.extend_from_slice(value.get().as_bytes());
    }
    close_object(inner, out);
    append_vectors(given, start, out)?;
    close_object(start, out);
    Ok(())
}

fn append_vectors(given: &Given<'_>, start: usize, out: &mut Vec<u8>) -> Result<()> {
    let value = |column| given.view.vector(column, given.row);
    if dialect::is_unnamed(given.mapping) {
        if let Some(value) = value(0) {
            open_entry(start, "vector", out);
            append_vector(&value, given.view.dim(0), out)?;
        }
        return Ok(());
    }
    let present: Vec<_> =
        given.fields.iter().enumerate().filter_map(|(at, field)| Some((at, field, value(at)?))).collect();
    if present.is_empty() {
        return Ok(());
    }
    open_entry(start, "vectors", out);
    let inner = out.len();
    for (column, field, value) in &present {
        open_entry(inner, &dialect::vector_name(field), out);
        append_vector(value, given.view.dim(*column), out)?;
    }
    close_object(inner, out);
    Ok(())
}

fn append_vector(value: &VectorValue<'_>, dim: usize, out: &mut Vec<u8>) -> Result<()> {
    match value {
        VectorValue::Multi(values) => append_multi(values, dim, out),
        other if append_dense(other, out) => {}
        _ => return Err(Error::bug("a sparse or bit vector on its way to Weaviate")),
    }
    Ok(())
}

fn take(taken: &mut Taken<'_>, record: &str) -> Fitted<()> {
    for (key, value) in Entries::parse(record).map_err(display)?.0 {
        let value = value.get();
        if value == "null" {
            continue;
        }
        match &*key {
            "id" => taken.text_id(value)?,
            "tenant" => {
                let tenant = json::text(value)?;
                taken.namespace = Some(taken.mapping.renamed_namespaces.own(&tenant).to_owned());
            }
            "properties" => take_properties(taken, value)?,
            // The server answers so for a class whose vectors have names.
            "vector" if value == "[]" => {}
            "vector" => match dialect::is_unnamed(taken.mapping) {
                true => push_dense(taken.builder, 0, value)?,
                false => return Err("a vector without a name".to_owned()),
            },
            "vectors" => take_vectors(taken, value)?,
            _ => {}
        }
    }
    Ok(())
}

/// A property that an object does not have may come back as null; lists of ours are never empty.
fn take_properties(taken: &mut Taken<'_>, text: &str) -> Fitted<()> {
    for (key, value) in Entries::parse(text).map_err(display)?.0 {
        if !["null", "[]"].contains(&value.get()) {
            taken.entry(&key, value.get());
        }
    }
    Ok(())
}

fn take_vectors(taken: &mut Taken<'_>, text: &str) -> Fitted<()> {
    for (name, value) in Entries::parse(text).map_err(display)?.0 {
        let column = taken.fields.iter().position(|field| dialect::vector_name(field) == *name);
        let column = column.ok_or_else(|| format!("the collection has no vector `{name}`"))?;
        let spec = taken.builder.schema().stored_vectors().nth(column).cloned();
        match spec.filter(|spec| spec.kind == VectorKind::Multi) {
            Some(spec) => push_multi(taken.builder, column, spec.dim.unwrap_or(0), value.get())?,
            None => push_dense(taken.builder, column, value.get())?,
        }
    }
    Ok(())
}

fn extras(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    let mapping = facts.mapping;
    let mut extras = vec![Extra::json("class.json", &dialect::class_body(mapping))?];
    if mapping.schema.namespaced {
        let tenant = |namespace| mapping.renamed_namespaces.target(namespace);
        let mut table = String::new();
        for (namespace, records) in &mapping.records {
            let (encoded, name) = (percent_encode(namespace), tenant(namespace));
            table.push_str(&format!("{encoded}\t{name}\t{records}\t{}\n", json!(namespace)));
        }
        extras.push(Extra::text("namespaces.tsv", table));
        let tenants: Vec<Value> = mapping.records.keys().map(|name| json!({ "name": tenant(name) })).collect();
        for (number, some) in tenants.chunks(dialect::BODY_TENANTS).enumerate() {
            extras.push(Extra::json(&format!("tenants-{number:03}.json"), &some)?);
        }
    }
    extras.extend(json::scripts(facts, &COMMANDS));
    extras.push(facts.readme("Weaviate", STEPS, FILES));
    Ok(extras)
}

const COMMANDS: Commands = Commands {
    functions: include_str!("commands.sh"),
    variables: "# WEAVIATE_URL       server, default http://127.0.0.1:8080\n\
                # WEAVIATE_API_KEY   key, if the server wants one\n\
                # PAGE_OBJECTS       objects per page that check.sh pulls, default 500\n",
    needs: "curl",
};

const STEPS: &str = "    export WEAVIATE_URL=http://127.0.0.1:8080 WEAVIATE_API_KEY=...
    bash load.sh     # creates the class and its tenants, sends every body, looks at every object's own status
    bash check.sh    # counts, lists everything, compares: GO or NO-GO
    bash undo.sh     # deletes the class

For Weaviate 1.24 and later, with multivectors 1.29. It indexes while it loads; a server with `ASYNC_INDEXING=true` does so afterwards. Texts are filtered by as a whole
(tokenization `field`), documents searched by their words. The scripts follow Weaviate's documentation and were not run
against the server.
";

const FILES: &str = "\
- `data/objects-*.json`: bodies of `POST /v1/batch/objects`, at most 1,000 objects and 10 MB each
- `class.json`: body of `POST /v1/schema`
- `tenants-*.json`, `namespaces.tsv`: tenants, and the namespaces that they hold (collections with namespaces)
- `files.tsv`: every body with its records
- properties `_tranship_*` and the document's hold what Weaviate has no place for
";

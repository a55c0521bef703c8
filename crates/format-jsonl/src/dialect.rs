//! Other people's JSON: how exports and pages of vendors say what a generic line says, as data.
//!
//! | name | a unit of the input | id | vectors | everything else |
//! |---|---|---|---|---|
//! | elasticdump | a line | `_id` | fields of `_source` | the other fields |
//! | bulk | an action line and its source line | `_id` of the action | fields | the other fields |
//! | vespa | a line, or a page `documents` | behind `::` of `id` or `put` | fields of `fields` | the other fields |
//! | typesense | a line | `id` | fields | the other fields |
//! | mongoexport | a line of Extended JSON | `_id` | fields, also `$binary` of subtype 9 | the other fields |
//! | mongodump | a BSON document | `_id` | fields, also binary of subtype 9 | the other fields, as Extended JSON |
//! | turbopuffer | a line, or a page `rows` | `id` | `vector`, also as base64 | the other fields |
//! | azure | a page `value` | `id` or `--id-column` | fields | the other fields, without `@search` and `@odata` |
//! | pinecone | a page `vectors`, by id | the key | `values`, `sparseValues` | `metadata` |
//! | weaviate | a line, or a page `objects` | `id` | `vector`, `vectors` | `properties` |
//!
//! A record becomes a line of the generic form; there it is checked like any other. Which fields are vectors is settled by
//! the first records: arrays of numbers of one length, with a usual name or at least [`LEAST_DIM`] long, or the one that
//! `--vector-column` names. Invariant: no field is left out but what [`Dialect::ignored`] lists, which is about the
//! answer and not about the record. Errors: not recognised for an export without vectors, with the remedy.

mod bson;
mod record;
mod units;
mod vectors;

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tranship_collection::json::{Entries, Items};
use tranship_connector::{Error, ErrorKind, OpenOptions, Result};

pub use units::Translated;

/// True for the beginning of a file of BSON documents.
pub fn is_bson(sample: &[u8]) -> bool {
    bson::begins(sample)
}

/// Elements from which on an array of numbers is taken for a vector whatever it is called.
pub const LEAST_DIM: usize = 8;
const VECTOR_NAMES: [&str; 4] = ["vector", "embedding", "dense", "values"];
const DOCUMENT_NAMES: [&str; 5] = ["document", "text", "content", "page_content", "chunk"];

/// How one vendor's export says things.
#[derive(Debug, PartialEq, Eq)]
pub struct Dialect {
    /// As `-o dialect=` takes it.
    pub name: &'static str,
    /// For sentences.
    pub title: &'static str,
    /// What stands in the input one after another.
    pub unit: Unit,
    /// Key of a page's records: a list, or an object by id.
    pub page: Option<&'static str>,
    /// Keys of the id, the first that is there.
    pub id: &'static [&'static str],
    /// Key of the object that holds the fields; the record itself holds them if it is not there.
    pub fields: Option<&'static str>,
    /// Keys of the vector outside the fields.
    pub vector: &'static [&'static str],
    /// Keys of an object of named vectors.
    pub vectors: &'static [&'static str],
    /// Keys of a sparse vector.
    pub sparse: &'static [&'static str],
    /// Keys of the namespace, in the record or in its page.
    pub namespace: &'static [&'static str],
    /// Beginnings of keys that say nothing about the record.
    pub ignored: &'static [&'static str],
    /// Why there may be no vectors, and what to do.
    pub without_vectors: &'static str,
}

/// What stands in the input one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// JSON values, however they are broken into lines.
    Values,
    /// Lines.
    Lines,
    /// An action and its source, a line each.
    Pairs,
    /// BSON documents.
    Documents,
}

const PLAIN: Dialect = Dialect {
    name: "",
    title: "",
    unit: Unit::Lines,
    page: None,
    id: &["id"],
    fields: None,
    vector: &[],
    vectors: &[],
    sparse: &[],
    namespace: &[],
    ignored: &[],
    without_vectors: "",
};

const ELASTIC_HIDES: &str = "Elasticsearch 9.2 and later leave vectors out of _source: export again with \
    `_source.exclude_vectors: false` in the search, or set index.mapping.exclude_source_vectors to false";

/// All dialects.
pub static DIALECTS: [Dialect; 10] = [
    Dialect {
        name: "elasticdump",
        title: "elasticdump export",
        id: &["_id"],
        fields: Some("_source"),
        ignored: &["_index", "_type", "_score", "_version", "_seq_no", "_primary_term", "_routing", "sort"],
        without_vectors: ELASTIC_HIDES,
        ..PLAIN
    },
    Dialect {
        name: "bulk",
        title: "_bulk file",
        unit: Unit::Pairs,
        id: &["_id"],
        fields: Some("_source"),
        ignored: &["_index", "_type", "_version", "version", "routing", "_routing", "pipeline", "retry_on_conflict"],
        without_vectors: ELASTIC_HIDES,
        ..PLAIN
    },
    Dialect {
        name: "vespa",
        title: "Vespa export",
        unit: Unit::Values,
        page: Some("documents"),
        id: &["put", "id", "update"],
        fields: Some("fields"),
        ignored: &["create", "condition"],
        without_vectors: "visit with a field set that has the tensors: `vespa visit --field-set '[all]'`",
        ..PLAIN
    },
    Dialect {
        name: "typesense",
        title: "Typesense export",
        without_vectors: "export again without exclude_fields; embeddings that Typesense makes itself are fields too",
        ..PLAIN
    },
    Dialect {
        name: "mongoexport",
        title: "mongoexport file",
        id: &["_id"],
        without_vectors: "export again without --fields, or name the array of numbers with --vector-column",
        ..PLAIN
    },
    Dialect {
        name: "mongodump",
        title: "mongodump file",
        unit: Unit::Documents,
        id: &["_id"],
        without_vectors: "name the array of numbers with --vector-column",
        ..PLAIN
    },
    Dialect {
        name: "turbopuffer",
        title: "turbopuffer export",
        unit: Unit::Values,
        page: Some("rows"),
        vector: &["vector"],
        ignored: &["$dist"],
        without_vectors: "query again with `include_attributes: true`, which answers with vectors",
        ..PLAIN
    },
    Dialect {
        name: "azure",
        title: "Azure AI Search page",
        unit: Unit::Values,
        page: Some("value"),
        id: &["id", "key", "chunk_id", "uid"],
        ignored: &["@search", "@odata"],
        without_vectors: "the vector field must be retrievable and stored, and among the `select` of the search",
        ..PLAIN
    },
    Dialect {
        name: "pinecone",
        title: "Pinecone page",
        unit: Unit::Values,
        page: Some("vectors"),
        fields: Some("metadata"),
        vector: &["values"],
        sparse: &["sparseValues", "sparse_values"],
        namespace: &["namespace"],
        ignored: &["score"],
        without_vectors: "fetch by ids answers with values; a query or a list needs `includeValues: true`",
        ..PLAIN
    },
    Dialect {
        name: "weaviate",
        title: "Weaviate page",
        unit: Unit::Values,
        page: Some("objects"),
        id: &["id", "uuid"],
        fields: Some("properties"),
        vector: &["vector"],
        vectors: &["vectors"],
        namespace: &["tenant"],
        ignored: &["class", "creationTimeUnix", "lastUpdateTimeUnix", "vectorWeights", "additional"],
        without_vectors: "ask for them: GET /v1/objects?include=vector, or the client's iterator(include_vector=True)",
        ..PLAIN
    },
];

/// One dialect with the roles of its fields.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The dialect.
    pub dialect: &'static Dialect,
    /// Keys of the id, the user's own first.
    pub id: Vec<String>,
    /// Fields that are vectors.
    pub vectors: Vec<String>,
    /// The one of them that is the unnamed vector.
    pub unnamed: Option<String>,
    /// The field that is the document.
    pub document: Option<String>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// What the first records hold under one key.
#[derive(Debug, Default)]
struct Seen {
    dims: Option<usize>,
    records: usize,
    vectors: usize,
    texts: usize,
}

impl Reading {
    /// The dialect that `options` name, else the one that the beginning of the input speaks; `None` for generic lines.
    pub fn find(sample: &[u8], options: &OpenOptions) -> Result<Option<Reading>> {
        if bson::is_archive(sample) {
            return Err(Error::not_recognised("this is an archive of mongodump, which holds collections in slices")
                .hint("dump again without --archive, and give the .bson file of the collection"));
        }
        let dialect = match options.option("dialect") {
            Some("none") => None,
            Some(name) => {
                let found = DIALECTS.iter().find(|dialect| dialect.name == name);
                Some(found.ok_or_else(|| {
                    let names: Vec<&str> = DIALECTS.iter().map(|dialect| dialect.name).collect();
                    Error::usage(format!("`-o dialect={name}` is unknown"))
                        .hint(format!("known are none, {}", names.join(", ")))
                })?)
            }
            None => probe(sample),
        };
        dialect.map(|dialect| Reading::settle(dialect, sample, options)).transpose()
    }

    /// Settles which fields are vectors and which is the document.
    fn settle(dialect: &'static Dialect, sample: &[u8], options: &OpenOptions) -> Result<Self> {
        let own_id = options.id_column.iter().cloned();
        let id = own_id.chain(dialect.id.iter().map(|key| (*key).to_owned())).collect();
        let notes = vec![format!("read as {} (-o dialect={})", dialect.title, dialect.name)];
        let mut reading = Reading { dialect, id, vectors: Vec::new(), unnamed: None, document: None, notes };
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let (mut records, mut explicit) = (0, 0);
        for unit in units::whole(sample, dialect.unit) {
            reading.each_record(unit, &mut |record| {
                records += 1;
                explicit += usize::from(record.has_vector());
                record.fields.iter().for_each(|(key, value)| note(&mut seen, key, value));
            });
        }
        let is_vector = |name: &str, seen: &Seen| match &options.vector_column {
            Some(wanted) => wanted == name && seen.vectors > 0,
            None => {
                seen.vectors == seen.records
                    && seen.dims.is_some_and(|dims| dims >= LEAST_DIM || (dims > 1 && usual(name)))
            }
        };
        reading.vectors =
            seen.iter().filter(|(name, seen)| is_vector(name, seen)).map(|(name, _)| name.clone()).collect();
        if let ([only], 0) = (reading.vectors.as_slice(), explicit) {
            reading.unnamed = Some(only.clone());
        }
        let text = |name: &str| seen.get(name).is_some_and(|seen| seen.texts == seen.records);
        reading.document = match &options.document_column {
            Some(name) => Some(name.clone()),
            None => DOCUMENT_NAMES.iter().find(|name| text(name)).map(|name| (*name).to_owned()),
        };
        if records > 0 && explicit == 0 && reading.vectors.is_empty() {
            let what = format!("the first {records} records of this {} have no vectors", dialect.title);
            if !options.allow_lossy {
                return Err(Error::new(ErrorKind::NotRecognised, what)
                    .hint(format!("{}; --allow-lossy reads the rest without them", dialect.without_vectors)));
            }
            reading.notes.push(what);
        }
        reading.notes.extend(reading.vectors.iter().map(|name| format!("vectors are `{name}`")));
        reading.notes.extend(reading.document.iter().map(|name| format!("documents are `{name}`")));
        Ok(reading)
    }
}

fn note(seen: &mut BTreeMap<String, Seen>, key: &str, value: &RawValue) {
    if value.get() == "null" {
        return;
    }
    let own = seen.entry(key.to_owned()).or_default();
    own.records += 1;
    own.texts += usize::from(value.get().starts_with('"'));
    if let Some(dims) = vectors::dims(value.get()) {
        own.vectors += usize::from(own.dims.is_none_or(|first| first == dims));
        own.dims.get_or_insert(dims);
    }
}

fn usual(name: &str) -> bool {
    let name = name.to_lowercase();
    VECTOR_NAMES.iter().any(|usual| name.contains(usual)) || name == "emb" || name.ends_with("_emb")
}

/// The dialect that the first value of the input speaks.
fn probe(sample: &[u8]) -> Option<&'static Dialect> {
    if bson::begins(sample) {
        return DIALECTS.iter().find(|dialect| dialect.unit == Unit::Documents);
    }
    let first = units::whole(sample, Unit::Values).next()?;
    let text = std::str::from_utf8(first).ok()?;
    let entries = Entries::parse(text).ok()?;
    let name = spoken(&entries)?;
    DIALECTS.iter().find(|dialect| dialect.name == name)
}

fn spoken(entries: &Entries<'_>) -> Option<&'static str> {
    let get = |key: &str| entries.0.iter().find(|(own, _)| own == key).map(|(_, value)| value.get());
    let begins = |key: &str, byte: char| get(key).is_some_and(|text| text.starts_with(byte));
    let first_of = |key: &str| {
        let Items(items) = serde_json::from_str(get(key)?).ok()?;
        Entries::parse(items.first()?.get()).ok()
    };
    let has = |entries: &Entries<'_>, wanted: &str| entries.0.iter().any(|(key, _)| key.starts_with(wanted));
    if begins("_source", '{') && get("_id").is_some() {
        return Some("elasticdump");
    }
    if let [(action, target)] = entries.0.as_slice()
        && ["index", "create"].contains(&action.as_ref())
        && Entries::parse(target.get())
            .is_ok_and(|target| target.0.iter().all(|(_, value)| !value.get().starts_with('[')))
    {
        return Some("bulk");
    }
    let vespa_id = |text: &str| text.starts_with("\"id:") && text.contains("::");
    if begins("fields", '{') && ["id", "put"].iter().any(|key| get(key).is_some_and(vespa_id)) {
        return Some("vespa");
    }
    if first_of("documents").is_some_and(|first| has(&first, "fields")) {
        return Some("vespa");
    }
    if begins("class", '"') && begins("properties", '{') {
        return Some("weaviate");
    }
    if first_of("objects").is_some_and(|first| has(&first, "properties") || has(&first, "class")) {
        return Some("weaviate");
    }
    if entries.0.iter().any(|(key, _)| key.starts_with("@odata"))
        || first_of("value").is_some_and(|first| has(&first, "@search"))
    {
        return Some("azure");
    }
    if get("id").is_none() && begins("vectors", '{') {
        let vectors = Entries::parse(get("vectors")?).ok()?;
        let first = vectors.0.first().and_then(|(_, value)| Entries::parse(value.get()).ok());
        return first
            .filter(|first| has(first, "values") || has(first, "sparse") || has(first, "id"))
            .map(|_| "pinecone");
    }
    if first_of("rows").is_some_and(|first| has(&first, "id")) {
        return Some("turbopuffer");
    }
    get("_id").filter(|text| text.contains("\"$oid\"") || text.contains("\"$number")).map(|_| "mongoexport")
}

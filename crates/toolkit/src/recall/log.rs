//! A log of queries: JSON lines that say what was asked.
//!
//! ```text
//! {"vector": [..], "vector_b": [..], "id": "..", "k": 10, "namespace": "..", "filter": {..}, "query": ".."}
//! ```
//!
//! Either `vector` or `id` is there: what is near this vector, or this record. `vector_b` is the vector for B, where its
//! model is another. `namespace` restricts the search, the empty text to the default namespace; with `id` it is also the
//! record's. `query` names the query; else the number of its line does. `filter` is in the neutral form of
//! [`tranship_collection::filter`], or in the dialect of a database.
//!
//! Errors: usage, naming file and line, for lines of another shape, filters that are not understood, and a log larger than a
//! quarter of the memory.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tranship_collection::Filter;
use tranship_collection::filter::Parsed;
use tranship_connector::{Error, ErrorKind, Result};
use tranship_recall::{Asked, LoggedQuery};

/// Most neighbours that a query may ask for.
const MAX_K: usize = 10_000;

/// How filters are written.
#[derive(Debug, Clone, Copy)]
pub struct FilterDialect {
    /// Its name on the command line.
    pub name: &'static str,
    parse: fn(&Value) -> Parsed<Filter>,
}

/// All dialects; a new one is a line here.
pub const DIALECTS: [FilterDialect; 4] = [
    FilterDialect { name: "neutral", parse: Filter::of_json },
    FilterDialect { name: "chroma", parse: tranship_provider_chroma::filter::parse },
    FilterDialect { name: "pinecone", parse: tranship_provider_pinecone::filter::parse },
    FilterDialect { name: "qdrant", parse: tranship_provider_qdrant::filter::parse },
];

impl FilterDialect {
    /// The dialect of this name.
    ///
    /// # Errors
    /// An unknown name, with those that are known.
    pub fn named(name: &str) -> Result<Self> {
        DIALECTS.iter().find(|dialect| dialect.name == name).copied().ok_or_else(|| {
            let names: Vec<&str> = DIALECTS.iter().map(|dialect| dialect.name).collect();
            Error::usage(format!("there is no filter dialect `{name}`"))
                .hint(format!("there are: {}", names.join(", ")))
        })
    }
}

/// A log that was read.
#[derive(Debug, Default)]
pub struct QueryLog {
    /// The queries, in order.
    pub queries: Vec<LoggedQuery>,
    /// Their filters, each once.
    pub filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    vector: Option<Vec<f32>>,
    vector_b: Option<Vec<f32>>,
    id: Option<Value>,
    k: Option<usize>,
    namespace: Option<String>,
    filter: Option<Value>,
    query: Option<String>,
}

impl QueryLog {
    /// Reads `path`; queries without `k` ask for `k` neighbours.
    ///
    /// # Errors
    /// As the module says.
    pub fn read(path: &Path, dialect: FilterDialect, k: usize, memory_bytes: u64) -> Result<Self> {
        let text = read_text(path, memory_bytes / 4, "the log of queries")?;
        let (mut log, mut numbers) = (QueryLog::default(), HashMap::new());
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = |error: Error| error.with("file", path.display()).with("line", number + 1);
            log.take(line, number + 1, dialect, k, &mut numbers).map_err(place)?;
        }
        match log.queries.is_empty() {
            true => Err(Error::usage(format!("{} holds no queries", path.display()))
                .hint("give JSON lines, as in {\"vector\": [0.1, 0.2], \"k\": 10}")),
            false => Ok(log),
        }
    }

    fn take(
        &mut self,
        line: &str,
        number: usize,
        dialect: FilterDialect,
        k: usize,
        numbers: &mut HashMap<String, usize>,
    ) -> Result<()> {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            Error::usage(format!("a query that is not understood: {error}"))
                .hint("a query has vector or id, and may have k, namespace, filter, query and vector_b")
        })?;
        let asked = match (line.vector, line.id) {
            (Some(a), None) => Asked::Vectors { b: line.vector_b.unwrap_or_else(|| a.clone()), a },
            (None, Some(id)) => Asked::Id {
                namespace: line.namespace.clone().filter(|name| !name.is_empty()),
                id: id.as_str().map_or_else(|| id.to_string(), str::to_owned),
            },
            _ => return Err(Error::usage("a query asks for either a vector or an id").hint("give one of the two")),
        };
        let k = line.k.unwrap_or(k);
        if k == 0 || k > MAX_K {
            return Err(Error::usage(format!("k is {k}")).hint(format!("ask for 1 to {MAX_K} neighbours")));
        }
        let filter = line.filter.filter(|filter| !filter.is_null());
        let filter = filter.map(|filter| self.filter(&filter, dialect, numbers)).transpose()?;
        let label = line.query.unwrap_or_else(|| number.to_string());
        self.queries.push(LoggedQuery { label, k, namespace: line.namespace, asked, filter });
        Ok(())
    }

    fn filter(
        &mut self,
        filter: &Value,
        dialect: FilterDialect,
        numbers: &mut HashMap<String, usize>,
    ) -> Result<usize> {
        let text = filter.to_string();
        if let Some(known) = numbers.get(&text) {
            return Ok(*known);
        }
        let parsed = (dialect.parse)(filter).map_err(|reason| {
            Error::usage(format!("a filter that is not understood: {reason}"))
                .with("dialect", dialect.name)
                .hint("say in which dialect filters are with --filter-dialect, or write them in the neutral form of docs/recall.md")
        })?;
        self.filters.push(parsed);
        numbers.insert(text, self.filters.len() - 1);
        Ok(self.filters.len() - 1)
    }
}

/// The text of a small file that the user gives.
pub fn read_text(path: &Path, most_bytes: u64, what: &str) -> Result<String> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Io, format!("{what} {} cannot be read", path.display()))
            .hint("check the path")
            .caused_by(error)
    };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > most_bytes {
        let mib = bytes.div_ceil(1 << 20);
        return Err(Error::limit(format!("{what} {} has {mib} MiB", path.display()))
            .hint("give more --memory, or ask a part of it"));
    }
    std::fs::read_to_string(path).map_err(failed)
}

//! Raw scroll pages as a source: whatever came out of a Qdrant server.
//!
//! ```text
//! DIR/collection.json      answer of GET /collections/{c}                      optional; states metrics and indexes
//! DIR/scroll-00001.json    answers of POST /collections/{c}/points/scroll, with payload and vectors, in order
//! ```
//!
//! A single page file will do as well. Nothing is undone: ids are point ids, payloads are metadata; whoever knows the
//! bundle's mapping applies it. Without `collection.json` the vectors and their dimensions are found by one reading
//! of all pages in `prepare`. One split per page. Errors: damaged (no page, a page missing in the middle), rejects (a
//! point that does not fit).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tranship_collection::json::Entries;
use tranship_collection::{CollectionSchema, Element, IdKinds, VectorKind, VectorSpec};
use tranship_connector::{
    Batches, Error, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger, Source, Split, Splits,
};
use tranship_kernels::scan_f32_array;
use tranship_storage::{Limits, SourceIdentity, StorageError};

use super::points::{self, RawPoint, split_points};
use tranship_bundle::form::read_whole;

use super::body_memory_bytes;
use crate::dialect;

/// The name of the first page.
pub const FIRST_PAGE: &str = "scroll-00001.json";
const COLLECTION: &str = "collection.json";

/// Pages that have been found.
pub struct PageSource {
    pages: Vec<PathBuf>,
    collection: Option<PathBuf>,
    schema: CollectionSchema,
    limits: Limits,
    hash_all: bool,
}

impl PageSource {
    /// Finds the pages of a directory, or takes one file as the only page.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let pages = if path.is_dir() { pages_of(path)? } else { vec![path.to_owned()] };
        let collection = Some(path.join(COLLECTION)).filter(|file| file.is_file());
        let name = options.collection.clone().unwrap_or_else(|| "qdrant".to_owned());
        let mut schema = CollectionSchema::new(name);
        schema.ids = IdKinds::Mixed;
        if let Some(file) = &collection {
            schema.vectors = stated_vectors(file, &options.limits)?;
        }
        Ok(PageSource { pages, collection, schema, limits: options.limits.clone(), hash_all: options.hash_source })
    }

    /// What is known before `prepare`.
    pub fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn read(&self, page: &Path) -> Result<Vec<u8>> {
        read_whole(page, self.limits.max_page_bytes as u64)
    }

    fn found_vectors(&self) -> Result<Vec<VectorSpec>> {
        let mut found = BTreeMap::new();
        for page in &self.pages {
            let file = page.display().to_string();
            let text = self.read(page)?;
            for point in split_points(&text, &file)? {
                let point: Option<RawPoint<'_>> = serde_json::from_str(point.get()).ok();
                if let Some(vector) = point.and_then(|point| point.vector) {
                    look_at(vector, &mut found);
                }
            }
        }
        Ok(found.into_values().collect())
    }
}

impl Source for PageSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let named = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (path.clone(), name)
        };
        let files: Vec<(PathBuf, String)> = self.pages.iter().chain(&self.collection).map(named).collect();
        Ok(SourceIdentity::of(&files, self.hash_all)?)
    }

    fn prepare<'a>(&'a self, _context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let mut schema = self.schema.clone();
        if self.collection.is_none() {
            schema.vectors = self.found_vectors()?;
        }
        Ok(Box::new(PreparedPages { source: self, schema: Arc::new(schema) }))
    }
}

struct PreparedPages<'a> {
    source: &'a PageSource,
    schema: Arc<CollectionSchema>,
}

impl Prepared for PreparedPages<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn ledger(&self) -> RowLedger {
        RowLedger::default()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        Ok(Box::new(self.source.pages.iter().enumerate().map(|(ordinal, page)| {
            let bytes = fs::metadata(page).map_err(|e| StorageError::new("inspect", page, e))?.len();
            let file = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Split { ordinal: ordinal as u64, file, start: 0, end: bytes, bytes, ..Split::default() })
        })))
    }

    fn split_memory_bytes(&self, split: &Split) -> u64 {
        body_memory_bytes(split.bytes)
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let page = usize::try_from(split.ordinal).ok().and_then(|ordinal| self.source.pages.get(ordinal));
        let page = page.ok_or_else(|| Error::bug(format!("there is no page {}", split.ordinal)))?;
        let text = self.source.read(page)?;
        let (batches, _) = points::read_batches(&text, &page.display().to_string(), &self.schema, rejects)?;
        Ok(Box::new(batches.into_iter().map(Ok)))
    }
}

/// The pages of a directory in order, without a gap.
fn pages_of(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| StorageError::new("list", dir, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        names.extend(page_number(&name).map(|number| (number, name)));
    }
    names.sort();
    if names.is_empty() {
        return Err(Error::not_recognised("the directory is neither a Qdrant bundle nor scroll pages")
            .with("directory", dir.display())
            .hint(format!("a bundle has MANIFEST.json and mapping.json, pages are called {FIRST_PAGE} and so on")));
    }
    if let Some((position, _)) = names.iter().enumerate().find(|(position, (number, _))| *number != position + 1) {
        return Err(Error::damaged(format!("page {} is missing", position + 1))
            .with("directory", dir.display())
            .hint("scroll the collection again, with check.sh"));
    }
    Ok(names.into_iter().map(|(_, name)| dir.join(name)).collect())
}

fn page_number(name: &str) -> Option<usize> {
    name.strip_prefix("scroll-")?.strip_suffix(".json")?.parse().ok()
}

/// The vectors that the server's own description of the collection states.
fn stated_vectors(file: &Path, limits: &Limits) -> Result<Vec<VectorSpec>> {
    let damaged = || {
        Error::damaged("this is no answer of GET /collections/{c}")
            .with("file", file.display())
            .hint("fetch it again, or remove it to have the vectors found in the pages")
    };
    let text = read_whole(file, limits.max_page_bytes as u64)?;
    let answer: Value = serde_json::from_slice(&text).map_err(|e| damaged().caused_by(e))?;
    let config = answer.pointer("/result/config").ok_or_else(damaged)?;
    let hnsw = config.get("hnsw_config");
    let mut specs = Vec::new();
    match config.pointer("/params/vectors") {
        Some(params) if params.get("size").is_some_and(Value::is_u64) => {
            specs.push(dense_spec("", params, hnsw).ok_or_else(damaged)?);
        }
        Some(Value::Object(named)) => {
            for (name, params) in named {
                specs.push(dense_spec(name, params, hnsw).ok_or_else(damaged)?);
            }
        }
        _ => {}
    }
    if let Some(Value::Object(named)) = config.pointer("/params/sparse_vectors") {
        specs.extend(named.keys().map(|name| sparse_spec(name)));
    }
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(specs)
}

fn dense_spec(name: &str, params: &Value, hnsw: Option<&Value>) -> Option<VectorSpec> {
    let dim = usize::try_from(params.get("size")?.as_u64()?).ok().filter(|dim| *dim <= dialect::MAX_DIM)?;
    let multi = params.get("multivector_config").is_some_and(Value::is_object);
    let element = match params.get("datatype").and_then(Value::as_str) {
        // Rows of multivectors are f32 here, whatever the server keeps them in.
        Some(name) if !multi => dialect::element(name)?,
        _ => Element::F32,
    };
    Some(VectorSpec {
        element,
        kind: if multi { VectorKind::Multi } else { VectorKind::Dense },
        metric: Some(dialect::metric(params.get("distance")?.as_str()?)?),
        index: dialect::index_spec(params.get("hnsw_config"), hnsw),
        ..VectorSpec::dense(name, dim)
    })
}

fn sparse_spec(name: &str) -> VectorSpec {
    VectorSpec { kind: VectorKind::Sparse, dim: None, ..VectorSpec::dense(name, 0) }
}

/// Notes the vectors of one point that have not been seen yet. Whatever does not fit is rejected when it is read.
fn look_at(vector: &RawValue, found: &mut BTreeMap<String, VectorSpec>) {
    let text = vector.get();
    if !text.starts_with('{') {
        found.extend(spec_of("", text).filter(|_| !found.contains_key("")).map(|spec| (String::new(), spec)));
        return;
    }
    for (name, value) in Entries::parse(text).map(|entries| entries.0).unwrap_or_default() {
        if !found.contains_key(name.as_ref())
            && let Some(spec) = spec_of(&name, value.get())
        {
            found.insert(name.into_owned(), spec);
        }
    }
}

fn spec_of(name: &str, text: &str) -> Option<VectorSpec> {
    #[derive(Deserialize)]
    struct Rows<'a>(#[serde(borrow)] Vec<&'a RawValue>);
    if text.starts_with('{') {
        return Some(sparse_spec(name));
    }
    let dim = |text: &str| {
        let mut values = Vec::new();
        scan_f32_array(text.as_bytes(), 0, &mut values).ok()?;
        (1..=dialect::MAX_DIM).contains(&values.len()).then_some(values.len())
    };
    let rows: Rows<'_> = serde_json::from_str(text).ok()?;
    match rows.0.first()?.get() {
        row if row.starts_with('[') => {
            Some(VectorSpec { kind: VectorKind::Multi, ..VectorSpec::dense(name, dim(row)?) })
        }
        _ => Some(VectorSpec::dense(name, dim(text)?)),
    }
}

//! Directories of Parquet files that mean more than their files: VDF, and exports and imports of Pinecone.
//!
//! ```text
//! VDF        VDF_META.json | any directories that it names, with *.parquet each
//!            {"indexes": {name: [{"namespace", "data_path", "vector_columns", "metric", "model_name"}]}, "id_column"?}
//! Pinecone   <namespace>/*.parquet, `__default__` for the default one
//!            id | values | sparse_values: struct of indices and values | metadata: JSON text
//! ```
//!
//! Everything else is the files of one directory. Invariant: no path outside the directory is read, whatever VDF_META.json
//! says. Errors: damaged (a VDF_META.json that is none), usage (which of several indexes).
//! Sources: AI-Northstar-Tech/vector-io `src/vdf_io/meta_types.py`; Pinecone, import and backup export.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use tranship_collection::Metric;
use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::{InputFile, StorageError};

use crate::decode::PartFile;
use crate::source::parquet_files;

const VDF_META: &str = "VDF_META.json";
const DEFAULT_NAMESPACE: &str = "__default__";
/// A VDF_META.json names directories only; it is never longer than this.
const MAX_META_BYTES: u64 = 64 << 20;

/// The files of one collection.
#[derive(Debug, Default)]
pub struct Found {
    /// Name of the collection, where the directory does not give it.
    pub name: Option<String>,
    /// The files, each with the name by which splits know it and its namespace.
    pub files: Vec<FoundFile>,
    /// True if the files belong to namespaces.
    pub namespaced: bool,
    /// The options, with the columns that the directory states.
    pub options: OpenOptions,
    /// What else it states of the vectors.
    pub metric: Option<Metric>,
    /// The model that made the vectors.
    pub model: Option<String>,
    /// Further files that the source consists of.
    pub others: Vec<PathBuf>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

/// One file.
#[derive(Debug)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below the directory.
    pub name: String,
    /// The namespace of all its records.
    pub namespace: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    indexes: BTreeMap<String, Vec<NamespaceMeta>>,
    #[serde(default)]
    id_column: Option<String>,
}

#[derive(Deserialize)]
struct NamespaceMeta {
    #[serde(default)]
    namespace: String,
    data_path: String,
    #[serde(default)]
    vector_columns: Vec<String>,
    #[serde(default)]
    metric: Option<String>,
    #[serde(default)]
    model_name: Option<String>,
    #[serde(default)]
    exported_vector_count: Option<u64>,
}

/// How surely `path` is one of these directories.
pub fn probe(path: &Path) -> Option<u8> {
    if path.join(VDF_META).is_file() {
        return Some(90);
    }
    (!namespace_dirs(path, &OpenOptions::default()).ok()?.is_empty()).then_some(70)
}

/// The indexes that a VDF directory holds; nothing for other paths.
pub fn collections(path: &Path) -> Result<Vec<String>> {
    match path.join(VDF_META).is_file() {
        true => Ok(read_meta(path)?.indexes.into_keys().collect()),
        false => Ok(Vec::new()),
    }
}

/// The files at `path` and what is stated of them.
pub fn find(path: &Path, options: &OpenOptions) -> Result<Found> {
    if path.join(VDF_META).is_file() {
        return vdf(path, options);
    }
    let direct = parquet_files(path)?;
    let dirs = if direct.is_empty() { namespace_dirs(path, options)? } else { Vec::new() };
    if dirs.is_empty() {
        let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = direct.into_iter().map(|path| FoundFile { name: name(&path), path, namespace: None }).collect();
        return Ok(Found { files, options: options.clone(), ..Found::default() });
    }
    let mut found = Found { namespaced: true, options: options.clone(), ..Found::default() };
    for dir in dirs {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        add_files(&mut found.files, &dir, &name, Some(name.clone()).filter(|name| name != DEFAULT_NAMESPACE))?;
    }
    found.notes.push("namespaces are the names of the directories, as Pinecone has them".to_owned());
    Ok(found)
}

/// True for the columns of Pinecone's imports and exports.
pub fn is_pinecone(part: &PartFile) -> bool {
    let names: Vec<&str> = part.arrow_schema().fields().iter().map(|field| field.name().as_str()).collect();
    let known = ["id", "values", "sparse_values", "metadata", "namespace"];
    names.contains(&"id")
        && (names.contains(&"values") || names.contains(&"sparse_values"))
        && names.iter().all(|name| known.contains(name))
}

/// The directories below `path` that hold Parquet files, by name, if they have Pinecone's columns.
fn namespace_dirs(path: &Path, options: &OpenOptions) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |e| Error::from(StorageError::new("list", path, e));
    let mut dirs = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let dir = entry.map_err(failed)?.path();
        if dir.is_dir() && !parquet_files(&dir)?.is_empty() {
            dirs.push(dir);
        }
    }
    dirs.sort();
    let Some(first) = dirs.first() else { return Ok(dirs) };
    for file in parquet_files(first)?.iter().take(1) {
        if !is_pinecone(&PartFile::open(file, &options.limits)?) {
            dirs.clear();
        }
    }
    Ok(dirs)
}

fn add_files(files: &mut Vec<FoundFile>, dir: &Path, below: &str, namespace: Option<String>) -> Result<()> {
    for path in parquet_files(dir)? {
        let name = format!("{below}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        files.push(FoundFile { path, name, namespace: namespace.clone() });
    }
    Ok(())
}

fn read_meta(root: &Path) -> Result<Meta> {
    let path = root.join(VDF_META);
    let file = InputFile::open(&path)?;
    if file.len() > MAX_META_BYTES {
        return Err(Error::limit(format!("{VDF_META} has {} bytes, the limit is {MAX_META_BYTES}", file.len()))
            .with("file", path.display())
            .hint("read its Parquet files one by one"));
    }
    let mut text = vec![0; file.len() as usize];
    file.read_exact_at(0, &mut text)?;
    serde_json::from_slice(&text).map_err(|e| {
        Error::damaged(format!("{VDF_META} is not what vector-io writes"))
            .with("file", path.display())
            .with("line", e.line())
            .hint("copy the directory again, or read its Parquet files one by one")
            .caused_by(e)
    })
}

fn vdf(root: &Path, options: &OpenOptions) -> Result<Found> {
    let meta = read_meta(root)?;
    let names: Vec<&str> = meta.indexes.keys().map(String::as_str).collect();
    let (name, parts) = match (&options.collection, names.as_slice()) {
        (Some(asked), _) => meta.indexes.get_key_value(asked),
        (None, [_]) => meta.indexes.iter().next(),
        (None, _) => None,
    }
    .ok_or_else(|| {
        let what = match &options.collection {
            Some(asked) => format!("there is no index `{asked}` in {}", root.display()),
            None => format!("{} holds {} indexes", root.display(), names.len()),
        };
        Error::usage(what).hint(format!("choose with --collection one of: {}", names.join(", ")))
    })?;
    let mut found = Found { name: Some(name.clone()), options: options.clone(), ..Found::default() };
    found.others.push(root.join(VDF_META));
    found.options.collection = None;
    found.options.id_column = options.id_column.clone().or_else(|| meta.id_column.clone());
    found.namespaced = parts.iter().any(|part| !part.namespace.is_empty());
    for part in parts {
        let below = inside(root, &part.data_path)?;
        let namespace = Some(part.namespace.clone()).filter(|namespace| !namespace.is_empty());
        let before = found.files.len();
        add_files(&mut found.files, &root.join(&below), &below, namespace)?;
        if found.files.len() == before && part.exported_vector_count != Some(0) {
            return Err(Error::damaged(format!("there is no *.parquet file in {below}, which {VDF_META} names"))
                .with("file", root.join(VDF_META).display())
                .hint("copy the directory again"));
        }
    }
    if let Some(part) = parts.first() {
        let only = match part.vector_columns.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        found.options.vector_column = options.vector_column.clone().or(only);
        found.metric = part.metric.as_deref().and_then(metric);
        found.model = part.model_name.clone().filter(|name| !name.is_empty());
    }
    found.notes.push(format!("columns, namespaces and metric as {VDF_META} states them"));
    Ok(found)
}

/// The path below the directory that `stated` stands for; an absolute one of the exporter's machine by its end.
fn inside(root: &Path, stated: &str) -> Result<String> {
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let path = Path::new(stated);
    if plain(path) {
        return Ok(stated.to_owned());
    }
    let names: Vec<&std::ffi::OsStr> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let ends = (0..names.len()).map(|from| names[from..].iter().collect::<PathBuf>());
    let end = path.is_absolute().then(|| ends.into_iter().find(|end| root.join(end).is_dir())).flatten();
    end.map(|end| end.to_string_lossy().into_owned()).ok_or_else(|| {
        Error::damaged(format!("{VDF_META} names the directory {stated:?}, which is not within {}", root.display()))
            .hint("move that directory beside VDF_META.json")
    })
}

/// The metric by a name that exporters of vector-io write.
fn metric(name: &str) -> Option<Metric> {
    match name.to_lowercase().as_str() {
        "cosine" => Some(Metric::Cosine),
        "dot" | "dotproduct" | "dot_product" | "ip" | "inner_product" => Some(Metric::Dot),
        "euclid" | "euclidean" | "l2" | "l2-squared" => Some(Metric::L2),
        "manhattan" | "l1" => Some(Metric::L1),
        _ => None,
    }
}

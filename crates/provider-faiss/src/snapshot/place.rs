//! Which index files a locator means, and what lies beside them.

use std::path::{Path, PathBuf};

use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::StorageError;

/// One index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the collection.
    pub name: String,
    /// The index file.
    pub index: PathBuf,
    /// LangChain's documents.
    pub pickle: Option<PathBuf>,
}

impl Place {
    /// Who wrote it.
    pub fn producer(&self) -> &'static str {
        match self.pickle {
            Some(_) => "LangChain with FAISS (their files name no version)",
            None => "FAISS (its files name no version)",
        }
    }

    /// The files with their names within the source.
    pub fn files(&self) -> Vec<(PathBuf, String)> {
        let named = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (path.clone(), name)
        };
        std::iter::once(&self.index).chain(&self.pickle).map(named).collect()
    }
}

/// The indexes at `path`: the one file, or all of a folder.
pub fn find(path: &Path, options: &OpenOptions) -> Result<Vec<Place>> {
    let with_documents = match options.option("docstore") {
        None | Some("read") => true,
        Some("ignore") => false,
        Some(other) => return Err(unknown("docstore", other, "read or ignore")),
    };
    if !path.is_dir() {
        return Ok(vec![of_file(path, with_documents)]);
    }
    let places = in_folder(path, with_documents)?;
    if places.is_empty() {
        return Err(Error::not_recognised(format!("{} holds no index: no file there ends in .faiss", path.display()))
            .hint("give the index file itself; that of LlamaIndex is default__vector_store.json"));
    }
    Ok(places)
}

/// The one that the options choose.
pub fn choose(places: Vec<Place>, options: &OpenOptions) -> Result<Place> {
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    let hint = format!("choose with --collection one of: {}; or take --all", names.join(", "));
    match &options.collection {
        Some(wanted) => {
            let found = places.into_iter().find(|place| place.name == *wanted);
            found.ok_or_else(|| Error::usage(format!("there is no index `{wanted}`")).hint(hint))
        }
        None => match <[Place; 1]>::try_from(places) {
            Ok([place]) => Ok(place),
            Err(places) => Err(Error::usage(format!("the folder holds {} indexes", places.len())).hint(hint)),
        },
    }
}

/// An option with a value that it does not take.
pub fn unknown(key: &str, value: &str, known: &str) -> Error {
    Error::usage(format!("the option `{key}` cannot be `{value}`")).hint(format!("it takes {known}"))
}

/// All `.faiss` files of a folder, by name; LangChain's own is called as the folder.
pub fn in_folder(folder: &Path, with_documents: bool) -> Result<Vec<Place>> {
    let failed = |error| StorageError::new("list", folder, error);
    let mut places = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "faiss") {
            places.push(of_file(&path, with_documents));
        }
    }
    places.sort_by(|a, b| a.index.cmp(&b.index));
    if let [only] = places.as_mut_slice()
        && only.name == "index"
        && let Some(name) =
            folder.canonicalize().ok().and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
    {
        only.name = name;
    }
    Ok(places)
}

fn of_file(path: &Path, with_documents: bool) -> Place {
    let pickle = path.with_extension("pkl");
    let is_pair = with_documents && pickle != path && pickle.is_file();
    Place {
        name: stem(path).unwrap_or_else(|| "index".to_owned()),
        index: path.to_owned(),
        pickle: is_pair.then_some(pickle),
    }
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
}

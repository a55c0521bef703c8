//! From a path to the matrix (or the matrices, one after another) that lie there.
//!
//! Errors: not recognised for what is no matrix of numbers, usage for an unclear choice among several.

use std::fs;
use std::path::{Path, PathBuf};

use tranship_collection::Metric;
use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::{Blob, InputFile, Limits, StorageError};

use crate::matrix::{Bytes, Matrix, Order};
use crate::npy::{self, Descr, Header};
use crate::number::Number;
use crate::raw;
use crate::zip::Archive;

/// What a path holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One array of numpy.
    Npy,
    /// A ZIP archive of arrays.
    Npz,
    /// Rows that each state their dims.
    Vecs(Number),
    /// A header of rows and dims, then all rows.
    Bin(Number),
    /// HDF5.
    Hdf5,
    /// A directory of `.npy` files.
    Directory,
}

/// The names that `-o format=` takes.
pub const FORMATS: &str = "npy, npz, fvecs, ivecs, bvecs, fbin, hbin, i8bin, u8bin, hdf5";

/// Matrices that make one collection.
pub struct Found {
    /// Name of the collection.
    pub name: String,
    /// The matrices, each with its file's own name.
    pub parts: Vec<(String, Matrix)>,
    /// The files that they lie in.
    pub files: Vec<PathBuf>,
    /// The archive that they lie in, where ids may lie too.
    pub archive: Option<Archive>,
    /// The metric that the file states.
    pub metric: Option<Metric>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

impl Format {
    /// By magic, else by extension.
    pub fn of(path: &Path) -> Option<Self> {
        if path.is_dir() {
            return npy_files(path, None).ok().filter(|files| !files.is_empty()).map(|_| Format::Directory);
        }
        let mut head = [0; 8];
        let count = InputFile::open(path).ok()?.read_at(0, &mut head).ok()?;
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match head.get(..count)? {
            head if head.starts_with(npy::MAGIC) => Some(Format::Npy),
            head if head.starts_with(b"\x89HDF\r\n\x1a\n") => Some(Format::Hdf5),
            [b'P', b'K', ..] if extension == "npz" => Some(Format::Npz),
            _ => Format::named(&extension),
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "npy" => Some(Format::Npy),
            "npz" => Some(Format::Npz),
            "h5" | "hdf5" => Some(Format::Hdf5),
            name => raw::vecs_number(name).map(Format::Vecs).or_else(|| raw::bin_number(name).map(Format::Bin)),
        }
    }

    /// As `-o format=` says, else by magic or extension.
    fn chosen(path: &Path, options: &OpenOptions) -> Result<Self> {
        match options.option("format") {
            Some(name) => Format::named(name).ok_or_else(|| {
                Error::usage(format!("`-o format={name}` is unknown")).hint(format!("known are {FORMATS}"))
            }),
            None => Format::of(path).ok_or_else(|| not_known(path)),
        }
    }
}

/// The matrices at `path` that `options` choose.
pub fn find(path: &Path, options: &OpenOptions) -> Result<Found> {
    let format = Format::chosen(path, options)?;
    if format == Format::Npz {
        return find_in_npz(path, options);
    }
    let name = path.file_stem().map_or_else(|| "collection".into(), |stem| stem.to_string_lossy().into_owned());
    if let Some(asked) = options.collection.as_ref().filter(|asked| **asked != name) {
        return Err(Error::usage(format!("there is no collection `{asked}` in {}", path.display()))
            .hint(format!("leave out --collection: there is one, `{name}`")));
    }
    let files = match format {
        Format::Directory => npy_files(path, options.option("ids").map(Path::new))?,
        _ => vec![path.to_owned()],
    };
    let mut found = Found { name, parts: Vec::new(), files, archive: None, metric: None, notes: Vec::new() };
    match format {
        Format::Hdf5 => add_hdf5(&mut found, path, options)?,
        Format::Vecs(number) => {
            found.parts.push((file_name(path), raw::vecs(Blob::of_path(path)?, number, &options.limits)?))
        }
        Format::Bin(number) => {
            found.parts.push((file_name(path), raw::bin(Blob::of_path(path)?, number, &options.limits)?))
        }
        Format::Npy | Format::Npz | Format::Directory => {
            for file in &found.files {
                found.parts.push((file_name(file), npy_matrix(file, &options.limits)?));
            }
        }
    }
    refuse_differences(&found)?;
    if found.parts.iter().any(|(_, matrix)| matrix.order == Order::Columns) {
        found.notes.push(
            "the array lies column by column (Fortran order): reading it takes one read for each dimension and block of rows"
                .to_owned(),
        );
    }
    Ok(found)
}

/// The names of the matrices in an `.npz`; nothing for other formats.
pub fn names(path: &Path, options: &OpenOptions) -> Result<Vec<String>> {
    if Format::chosen(path, options)? != Format::Npz {
        return Ok(Vec::new());
    }
    let archive = open_npz(path, &options.limits)?;
    Ok(arrays(&archive)?.into_iter().filter(|(_, _, header)| is_matrix(header)).map(|(name, ..)| name).collect())
}

/// The one-dimensional array called `name` of an archive, if there is such a member.
pub fn array_in(archive: &Archive, name: &str) -> Result<Option<(Bytes, Header)>> {
    let found = arrays(archive)?.into_iter().find(|(found, ..)| found == name);
    Ok(found.map(|(_, bytes, header)| (bytes, header)))
}

/// The dimension, if there is at least one and no more than the limit.
pub fn checked_dim(dim: u64, label: &str, limits: &Limits) -> Result<usize> {
    if dim == 0 {
        return Err(Error::not_recognised("vectors without any dimension")
            .with("file", label)
            .hint("the array has no columns: it holds nothing"));
    }
    if dim > limits.max_dim as u64 {
        return Err(Error::limit(format!("{dim} dimensions, the limit is {}", limits.max_dim))
            .with("file", label)
            .hint("if the vectors really are that long, raise the limit; or is the array transposed?"));
    }
    Ok(dim as usize)
}

fn find_in_npz(path: &Path, options: &OpenOptions) -> Result<Found> {
    let archive = open_npz(path, &options.limits)?;
    let all = arrays(&archive)?;
    let matrices: Vec<&str> =
        all.iter().filter(|(_, _, header)| is_matrix(header)).map(|(name, ..)| name.as_str()).collect();
    let chosen = match (&options.collection, matrices.as_slice()) {
        (Some(asked), _) => asked.as_str(),
        (None, [only]) => only,
        (None, []) if all.len() == 1 => all.first().map_or("", |(name, ..)| name),
        (None, []) => {
            let there: Vec<String> = all.iter().map(|(name, _, header)| described(name, header)).collect();
            return Err(Error::not_recognised(format!("{} holds no matrix of numbers", path.display()))
                .hint(format!("vectors are an array of shape (rows, dims); there are {}", there.join(", "))));
        }
        (None, several) => {
            return Err(Error::usage(format!("{} holds several matrices", path.display()))
                .hint(format!("choose with --collection one of: {}; or take --all", several.join(", "))));
        }
    };
    let Some((name, bytes, header)) = all.iter().find(|(name, ..)| name == chosen) else {
        return Err(Error::usage(format!("there is no array `{chosen}` in {}", path.display()))
            .hint(format!("there are {}", matrices.join(", "))));
    };
    let label = format!("{}: {name}", path.display());
    let matrix = matrix_of(bytes.clone(), header, &label, &options.limits)?;
    Ok(Found {
        name: name.clone(),
        parts: vec![(file_name(path), matrix)],
        files: vec![path.to_owned()],
        archive: Some(archive),
        metric: None,
        notes: Vec::new(),
    })
}

fn open_npz(path: &Path, limits: &Limits) -> Result<Archive> {
    Archive::open(&Blob::of_path(path)?, limits.max_page_bytes as u64)
}

/// The arrays of an archive, by the names that numpy gives them.
fn arrays(archive: &Archive) -> Result<Vec<(String, Bytes, Header)>> {
    let mut found = Vec::new();
    for member in archive.members() {
        let Some(name) = member.name.strip_suffix(".npy") else { continue };
        let label = archive.data(member)?.label().to_owned();
        let header = Header::parse(&archive.beginning(member, npy::MOST_HEADER_BYTES)?, &label)?;
        header.check_size(member.size, &label)?;
        found.push((name.to_owned(), Bytes::Member(archive.clone(), member.clone()), header));
    }
    Ok(found)
}

fn npy_matrix(path: &Path, limits: &Limits) -> Result<Matrix> {
    let blob = Blob::of_path(path)?;
    let header = Header::read(&blob.open()?)?;
    matrix_of(Bytes::Plain(blob), &header, &path.display().to_string(), limits)
}

fn matrix_of(bytes: Bytes, header: &Header, label: &str, limits: &Limits) -> Result<Matrix> {
    let refused = |what: String, hint: &str| Err(Error::not_recognised(what).with("file", label).hint(hint));
    let number = match &header.descr {
        Descr::Number(number) => *number,
        Descr::Objects => {
            let hint = "it is a pickle, which is never loaded; save numbers: np.save(path, np.stack(list(a)).astype('float32'))";
            return refused("the array holds Python objects".to_owned(), hint);
        }
        other => {
            let hint = "save numbers, as in np.save(path, a.astype('float32')), or bits as np.packbits(a, axis=1) with -o bits=yes";
            return refused(format!("the array holds {}, not numbers", other.name()), hint);
        }
    };
    let [rows, dim] = header.shape.as_slice() else {
        let hint = match header.shape.len() {
            1 => "vectors are an array of shape (rows, dims); a single vector is a[None, :]",
            3 => "an array of several vectors per row is not read: save one row per vector, a.reshape(-1, a.shape[2])",
            _ => "vectors are an array of shape (rows, dims)",
        };
        return refused(
            format!("the array has {} dimensions, its shape is {:?}", header.shape.len(), header.shape),
            hint,
        );
    };
    let dim = checked_dim(*dim, label, limits)?;
    let order = if header.fortran_order { Order::Columns } else { Order::Rows };
    Ok(Matrix { bytes, start: header.data, rows: *rows, dim, number, order })
}

#[cfg(feature = "hdf5")]
fn add_hdf5(found: &mut Found, path: &Path, options: &OpenOptions) -> Result<()> {
    let dataset = crate::hdf5::find(path, options)?;
    found.parts.push((file_name(path), dataset.matrix));
    found.metric = dataset.metric;
    found.notes.extend(dataset.notes);
    Ok(())
}

#[cfg(not(feature = "hdf5"))]
fn add_hdf5(_: &mut Found, path: &Path, _: &OpenOptions) -> Result<()> {
    Err(Error::not_recognised(format!("{} is HDF5, which this build does not read", path.display())).hint(
        "build with the feature `hdf5`, or save the matrix as .npy: np.save('train.npy', h5py.File(path)['train'])",
    ))
}

fn is_matrix(header: &Header) -> bool {
    matches!(header.descr, Descr::Number(_)) && header.shape.len() == 2
}

fn described(name: &str, header: &Header) -> String {
    format!("{name} ({} {:?})", header.descr.name(), header.shape)
}

/// Parts of one collection have one width and one number type.
fn refuse_differences(found: &Found) -> Result<()> {
    let Some(((first_name, first), rest)) = found.parts.split_first() else { return Ok(()) };
    let same = |matrix: &Matrix| {
        matrix.dim == first.dim
            && matrix.number.class == first.number.class
            && matrix.number.bytes == first.number.bytes
    };
    let Some((name, other)) = rest.iter().find(|(_, matrix)| !same(matrix)) else { return Ok(()) };
    let shape = |matrix: &Matrix| format!("{} dimensions of {}", matrix.dim, matrix.number.name());
    Err(Error::damaged(format!("{name} has {}, {first_name} has {}", shape(other), shape(first)))
        .hint("the arrays of a directory are read as one collection; give the file itself, or move the others away"))
}

/// The `.npy` files of a directory but for `without`, numbers in their names counted as such: 2 comes before 10.
fn npy_files(dir: &Path, without: Option<&Path>) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::from(StorageError::new("list", dir, e));
    let without = without.and_then(|path| fs::canonicalize(path).ok());
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_array = path.extension().is_some_and(|extension| extension == "npy") && path.is_file();
        if is_array && (without.is_none() || fs::canonicalize(&path).ok() != without) {
            files.push(path);
        }
    }
    files.sort_by_cached_key(|path| (padded(&file_name(path)), path.clone()));
    Ok(files)
}

/// The text with its numbers filled up with zeros.
fn padded(name: &str) -> String {
    let (mut out, mut digits) = (String::new(), String::new());
    let flush = |digits: &mut String, out: &mut String| {
        if !digits.is_empty() {
            out.push_str(&format!("{:0>20}", digits));
            digits.clear();
        }
    };
    for character in name.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
        } else {
            flush(&mut digits, &mut out);
            out.push(character);
        }
    }
    flush(&mut digits, &mut out);
    out
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn not_known(path: &Path) -> Error {
    if path.extension().is_some_and(|extension| extension == "ibin") {
        return Error::not_recognised(format!("{} is a table of neighbours, not of vectors", path.display()))
            .hint("give the file of the base vectors (.fbin, .u8bin, .i8bin)");
    }
    Error::not_recognised(format!("{} is no array file by its beginning or extension", path.display()))
        .hint(format!("name its format with -o format=: {FORMATS}"))
}

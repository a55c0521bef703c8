//! Reads an index file of FAISS, alone or with LangChain's documents beside it.
//!
//! ```text
//! <name>.faiss                       one index, written by faiss.write_index or write_index_binary
//! <folder>/index.faiss, index.pkl    saved by LangChain: FAISS.save_local(folder, index_name="index")
//! default__vector_store.json         saved by LlamaIndex: an index file whatever its name says
//! ```
//!
//! The format has no version and no checksums; four letters name each type (see [`grammar`]). Invariant: the file is
//! understood to its last byte before any vector is read, and vectors are read in place, by ranges of rows.
//!
//! Errors: not recognised for what is no FAISS index or one of a type that is not read, loss denied for approximate
//! vectors, damaged for the rest.

mod codes;
mod cursor;
mod decode;
mod grammar;
mod graph;
mod labels;
mod lists;
mod place;
mod plan;
mod reader;
mod served;
mod source;
mod transform;

use std::path::Path;

use tranship_connector::{CollectionInfo, Count, Error, ErrorKind, Locator, OpenOptions, Result, Score, Source};
use tranship_storage::{Blob, BlobReader};

use crate::dialect::{Fourcc, Reading};
use cursor::Cursor;
use grammar::Grammar;
use place::Place;
use plan::Plan;
use source::FaissSource;

/// Recognises an index file by its first letters and its header, a folder by the index files in it.
pub fn probe(path: &Path) -> Option<Score> {
    if path.is_dir() {
        let places = place::in_folder(path, true).ok()?;
        let paired = places.iter().any(|place| place.pickle.is_some());
        let known = places.iter().any(|place| probe_file(&place.index).is_some());
        return known.then_some(if paired { 95 } else { 60 });
    }
    probe_file(path)
}

/// The indexes at a locator, told from their structure.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    place::find(&locator.path, options)?.iter().map(|place| describe(place, options)).collect()
}

/// Opens one index.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    let place = place::choose(place::find(&locator.path, options)?, options)?;
    let file = Blob::of_path(&place.index)?.open()?;
    let plan = read_plan(&file, options)?;
    Ok(Box::new(FaissSource::new(place, file, plan, options)?))
}

fn describe(place: &Place, options: &OpenOptions) -> Result<CollectionInfo> {
    let file = Blob::of_path(&place.index)?.open()?;
    let lossy = OpenOptions { allow_lossy: true, ..options.clone() };
    match read_plan(&file, &lossy) {
        Ok(plan) => {
            let mut notes = plan.notes.clone();
            if !plan.approximate.is_empty() && !options.allow_lossy {
                notes.push(format!("read only with --allow-lossy: {}", plan.approximate.join("; ")));
            }
            Ok(CollectionInfo {
                name: place.name.clone(),
                records: Count::Exact(plan.rows),
                schema: source::schema_of(place, &plan, options),
                producer: Some(place.producer().to_owned()),
                notes,
            })
        }
        Err(error) if error.kind() == ErrorKind::NotRecognised && probe_file(&place.index).is_some() => {
            Ok(unreadable(place, &file, &error))
        }
        Err(error) => Err(error),
    }
}

/// What is known of an index that is not read.
fn unreadable(place: &Place, file: &BlobReader, error: &Error) -> CollectionInfo {
    let mut cursor = Cursor::new(file, 0);
    let header =
        cursor.code("the type of an index").map(Fourcc).and_then(|fourcc| grammar::header(&mut cursor, fourcc));
    let hint = error.next_step().map(|hint| format!(": {hint}")).unwrap_or_default();
    CollectionInfo {
        name: place.name.clone(),
        records: header.as_ref().map_or(Count::Unknown, |header| Count::Exact(header.rows)),
        schema: source::schema_of_header(place, header.ok().as_ref()),
        producer: Some(place.producer().to_owned()),
        notes: vec![format!("cannot be read: {error}{hint}")],
    }
}

fn read_plan(file: &BlobReader, options: &OpenOptions) -> Result<Plan> {
    let letters = Fourcc(Cursor::new(file, 0).code("the type of an index")?);
    if letters.meaning().is_none() {
        return Err(Error::not_recognised(format!("{} is no FAISS index: it begins with `{letters}`", file.label()))
            .hint("give a file that faiss.write_index wrote, or the folder of a LangChain store"));
    }
    let index = Grammar::new(Cursor::new(file, 0), &options.limits).whole_file()?;
    let mut plan = Plan::of(&index, options.allow_lossy).map_err(|error| error.with("file", file.label()))?;
    plan.call_it(options.metric);
    Ok(plan)
}

/// How surely a file is an index: its letters, and a header that makes sense.
fn probe_file(path: &Path) -> Option<Score> {
    let file = Blob::of_path(path).ok().filter(|_| path.is_file())?.open().ok()?;
    let mut cursor = Cursor::new(&file, 0);
    let fourcc = Fourcc(cursor.code("the type of an index").ok()?);
    let (reading, _) = fourcc.meaning()?;
    let sensible = grammar::header(&mut cursor, fourcc).is_ok();
    match reading {
        Reading::Known => sensible.then_some(95),
        Reading::Lossy | Reading::Foreign => Some(if sensible { 90 } else { 60 }),
        Reading::NoVectors => sensible.then_some(60),
    }
}

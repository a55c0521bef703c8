//! A bundle: a directory of batches that Chroma's own client loads, and that reads back as the collection it was made of.
//!
//! ```text
//! NAME/
//!   schema.json               body of POST .../collections: name and index configuration
//!   load.py check.py undo.py  need the chromadb client only; load.sh check.sh undo.sh call them
//!   README.md mapping.json MANIFEST.json
//!   data/batch-00042-000.json   bodies of POST .../collections/{id}/upsert, split 42
//! body: {"ids":[".."],"embeddings":[[f32,..],..],"documents":[".."|null],"metadatas":[{..}|null]}
//! ```
//!
//! Invariant: the lists of a body have one entry per record, in order; a body has at most [`BATCH_ROWS`] records and
//! [`BATCH_BYTES`] bytes. Errors: loss denied (a collection without a vector), limit (a record larger than a body),
//! damaged (a body that is not what the manifest says).

mod deletes;
mod records;

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::json;
use tranship_bundle::rows::{append_dense, append_id};
use tranship_bundle::{BundleSink, BundleSource, DataFile, Deletes, Extra, Facts, Form, FormWriter, Part, Parts};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::json::check_object;
use tranship_collection::{BatchView, CollectionSchema, Fault, Metric};
use tranship_connector::{
    Batches, CreateOptions, Error, ErrorKind, Grade, Locator, Loss, Mapping, OpenOptions, Result, Rules, Sink, Source,
    Survey,
};

use crate::dialect::{self, BATCH_BYTES, BATCH_ROWS};

/// True for a directory that is, or was to be, a bundle.
pub fn is_bundle(locator: &Locator) -> bool {
    !locator.is_stream() && tranship_bundle::is_bundle(&locator.path)
}

/// Opens a bundle.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    Ok(Box::new(BundleSource::open(&Batched, &locator.path, options)?))
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(
            Error::usage("a Chroma bundle is a directory, not a stream").hint("give a path that does not exist")
        );
    }
    Ok(Box::new(BundleSink::new(Box::new(Batched), &locator.path, options)))
}

/// Bodies of `upsert`.
pub struct Batched;

const STEM: &str = "batch";
/// What stands in a body beside its four lists.
const FRAME_BYTES: usize = 128;
const COMMON: &str = include_str!("bundle/scripts/common.py");
const SCRIPTS: [(&str, &str); 3] = [
    ("load", include_str!("bundle/scripts/load.py")),
    ("check", include_str!("bundle/scripts/check.py")),
    ("undo", include_str!("bundle/scripts/undo.py")),
];

impl Form for Batched {
    fn rules(&self) -> &'static Rules {
        &dialect::RULES
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        dialect::name_fault(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        let stored = mapping.stored_schema();
        let Some(spec) = stored.stored_vectors().next() else {
            if survey.records == 0 {
                return Ok(());
            }
            return Err(Error::new(ErrorKind::LossDenied, "Chroma takes no records without a dense vector")
                .hint(tranship_bundle::plan::KEPT_ELSEWHERE));
        };
        let path = vector_component(&spec.name);
        let metric = mapping.metrics.get(&spec.name).copied();
        mapping.losses.extend(dialect::configuration(metric, spec.index.as_ref(), &path).1);
        if metric == Some(Metric::Cosine) {
            let to = "divided by their length and multiplied again when Chroma gives them back: f32 rounding";
            mapping.losses.push(Loss::new("ROUNDING", &path, "cosine vectors", to, Grade::Equivalent));
            mapping.tolerance.insert(spec.name.clone(), dialect::COSINE_TOLERANCE);
        }
        Ok(())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        // The lists of one body, which grow by doubling, and one record as text.
        2 * BATCH_BYTES as u64 + (1 << 20) + 4 * schema.dense_row_bytes() as u64
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        Ok(Box::new(Writer { parts, stored: stored.clone(), lists: Lists::default(), done: Vec::new() }))
    }

    fn deletes(&self) -> Option<Deletes> {
        Some(deletes::DELETES)
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        let mapping = facts.mapping;
        let stored = mapping.stored_schema();
        let spec = stored.stored_vectors().next();
        let metric = spec.and_then(|spec| mapping.metrics.get(&spec.name).copied());
        let (configuration, _) = dialect::configuration(metric, spec.and_then(|spec| spec.index.as_ref()), "");
        let body = json!({ "name": mapping.collection, "get_or_create": false, "configuration": configuration });
        let mut extras = vec![Extra::json("schema.json", &body)?];
        if let Some(delta) = &facts.manifest.delta {
            extras.extend(deletes::extras(facts, delta));
            return Ok(extras);
        }
        for (name, script) in SCRIPTS {
            extras.push(Extra::script(&format!("{name}.py"), script.replace("# @COMMON@\n", COMMON)));
            extras.push(Extra::script(&format!("{name}.sh"), shell(name)));
        }
        extras.push(facts.readme("Chroma", STEPS, FILES));
        Ok(extras)
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        3 * bytes + 2 * tranship_connector::source::BATCH_BYTES as u64
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        let batches = records::read(&file, stored)?;
        Ok(Box::new(batches.into_iter().map(Ok)))
    }
}

fn shell(name: &str) -> String {
    format!(
        "#!/usr/bin/env bash\n# The same as {name}.py, with the Python that has the chromadb client: PYTHON, default python3.\n\
         set -euo pipefail\nexec \"${{PYTHON:-python3}}\" \"$(cd \"$(dirname \"${{BASH_SOURCE[0]}}\")\" && pwd)/{name}.py\" \"$@\"\n"
    )
}

/// The lists of one body as text, without brackets.
#[derive(Default)]
struct Lists {
    ids: Vec<u8>,
    embeddings: Vec<u8>,
    documents: Vec<u8>,
    metadatas: Vec<u8>,
    rows: usize,
}

impl Lists {
    fn all(&mut self) -> [&mut Vec<u8>; 4] {
        [&mut self.ids, &mut self.embeddings, &mut self.documents, &mut self.metadatas]
    }

    fn bytes(&self) -> usize {
        self.ids.len() + self.embeddings.len() + self.documents.len() + self.metadatas.len() + FRAME_BYTES
    }

    fn append(&mut self, view: &BatchView<'_>, row: usize) -> Result<()> {
        if self.rows > 0 {
            self.all().into_iter().for_each(|list| list.extend_from_slice(b",\n"));
        }
        append_id(view, row, &mut self.ids);
        if let Some(value) = view.vector(0, row)
            && !append_dense(&value, &mut self.embeddings)
        {
            return Err(Error::bug("a vector that is not dense on its way to Chroma"));
        }
        match view.document(row) {
            Some(text) => tranship_collection::json::append_string(text, &mut self.documents),
            None => self.documents.extend_from_slice(b"null"),
        }
        // Chroma refuses an empty object.
        let metadata = view.metadata(row).map(str::trim_ascii).filter(|text| is_filled(text));
        self.metadatas.extend_from_slice(metadata.unwrap_or("null").as_bytes());
        self.rows += 1;
        Ok(())
    }

    /// Takes the last record out, which began where the lists had these lengths.
    fn split_off(&mut self, lengths: [usize; 4]) -> Lists {
        let mut taken = Lists { rows: 1, ..Lists::default() };
        for ((own, length), other) in self.all().into_iter().zip(lengths).zip(taken.all()) {
            let between = if length == 0 { 0 } else { 2 };
            other.extend_from_slice(&own[length + between..]);
            own.truncate(length);
        }
        self.rows -= 1;
        taken
    }
}

fn is_filled(text: &str) -> bool {
    check_object(text, &mut Vec::new()).unwrap_or(false)
}

/// The bodies of one shard being written.
struct Writer<'a> {
    parts: Parts<'a>,
    stored: Arc<CollectionSchema>,
    lists: Lists,
    done: Vec<Part>,
}

impl Writer<'_> {
    fn push(&mut self, view: &BatchView<'_>, row: usize) -> Result<()> {
        let lengths = self.lists.all().map(|list| list.len());
        self.lists.append(view, row)?;
        if self.lists.rows > BATCH_ROWS || (self.lists.bytes() > BATCH_BYTES && self.lists.rows > 1) {
            let last = self.lists.split_off(lengths);
            self.close()?;
            self.lists = last;
        }
        if self.lists.bytes() > BATCH_BYTES {
            let what =
                format!("record `{}` takes {} bytes, a body at most {BATCH_BYTES}", view.id(row), self.lists.bytes());
            return Err(Error::limit(what).hint("shorten its document or metadata, or set the record aside"));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let lists = std::mem::take(&mut self.lists);
        if lists.rows == 0 {
            return Ok(());
        }
        let number = self.done.len();
        let mut file = self.parts.create(STEM, number, "json")?;
        let named = [
            ("{\"ids\":[", &lists.ids),
            ("],\n\"embeddings\":[", &lists.embeddings),
            ("],\n\"documents\":[", &lists.documents),
            ("],\n\"metadatas\":[", &lists.metadatas),
        ];
        for (start, list) in named {
            file.write_all(start.as_bytes())?;
            file.write_all(list)?;
        }
        file.write_all(b"]}\n")?;
        self.done.push(self.parts.finish(file, (STEM, number, "json"), Some(lists.rows as u64), None)?);
        Ok(())
    }
}

impl FormWriter for Writer<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let stored = self.stored.clone();
        let view = BatchView::new(batch, &stored).map_err(|fault: Fault| Error::bug(fault.to_string()))?;
        (0..view.len()).try_for_each(|row| self.push(&view, row))
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Part>> {
        self.close()?;
        Ok(self.done)
    }
}

const STEPS: &str = "    pip install chromadb
    python load.py --path ./chroma_db         # a directory, or --host HOST --port PORT for a server
    python check.py --path ./chroma_db        # counts, reads everything back, compares: GO or NO-GO
    python undo.py --path ./chroma_db         # takes it back

The scripts need nothing but the chromadb client and Python (`load.sh` and the others call them with `PYTHON`). `load.py`
creates the collection, refuses one that is there, and marks every acknowledged body in `.loaded/`; after an interruption
`--resume` sends the rest. It cuts bodies smaller where the server asks for it, and retries 429 and 5xx. `check.py` gives its
verdict with `tranship verify`; without tranship it checks the counts and prints the command.

Chroma has no name for a collection's vector, so a directory that was loaded compares as `chroma:DIRECTORY` only if the
source's vector has none either; `check.py` writes the name back.
";

const FILES: &str = "\
- `data/batch-*.json`: bodies of `POST /api/v2/tenants/{t}/databases/{d}/collections/{id}/upsert`
- `schema.json`: body of `POST /api/v2/tenants/{t}/databases/{d}/collections`
- `_tranship_id`, `_tranship_namespace` and `_tranship_exact` in the metadata hold what Chroma has no place for
";

//! A bundle: a directory that loads one collection into Qdrant, and reads back as that collection. It holds request
//! bodies, or a snapshot (`native`).
//!
//! ```text
//! NAME/
//!   schema.json               body of PUT /collections/{c}, indexing off   (absent without dimensions)
//!   schema-after-load.json    body of PATCH /collections/{c}, indexing on  (likewise)
//!   payload-index-000.json    bodies of PUT /collections/{c}/index         (namespaced collections)
//!   aliases.json              body of POST /collections/aliases            (collections with aliases)
//!   counts.tsv                expected count per namespace, with the body that asks for it
//!   load.sh check.sh undo.sh README.md mapping.json MANIFEST.json
//!   data/points-00042-000.json   bodies of PUT /collections/{c}/points, split 42, each at most 24 MB
//! ```
//!
//! Invariant: a body holds the records as the mapping has shaped them, one point each. Errors: usage and limit (a name
//! or vector that Qdrant has no form for), damaged (a body that is not what the manifest says).

mod deletes;
mod encode;
mod native;
mod pages;
mod points;
mod scripts;
mod settings;

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Deserialize;
use serde_json::{Value, json};
use tranship_bundle::form::{TextParts, TextShape};
use tranship_bundle::{BundleSink, BundleSource, DataFile, Deletes, Extra, Facts, Form, FormWriter, Part, Parts, plan};
use tranship_collection::{BatchView, CollectionSchema, Element, Fault};
use tranship_connector::{
    Batches, CollectionInfo, Count, CreateOptions, Error, Locator, Mapping, OpenOptions, Reject, RejectSink, Result,
    Rules, Score, Sink, Source, Survey,
};

use self::native::Native;
use crate::dialect::{self, BODY_BYTES, NAMESPACE_KEY};

const SCHEMA: &str = "schema.json";
const SCHEMA_AFTER_LOAD: &str = "schema-after-load.json";
const ALIASES: &str = "aliases.json";
const COUNTS: &str = "counts.tsv";

/// Scores a path: 95 for a bundle, 60 for a directory of scroll pages.
pub fn probe(path: &Path) -> Option<Score> {
    if path.join(tranship_bundle::MANIFEST).is_file() {
        return tranship_bundle::probe(path, "qdrant");
    }
    path.join(pages::FIRST_PAGE).is_file().then_some(60)
}

/// The one collection of a bundle or of a directory of pages.
pub fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    if is_bundle(&locator.path) {
        return tranship_bundle::list(form_of(&locator.path), locator, options);
    }
    let pages = pages::PageSource::open(&locator.path, options)?;
    let producer = Some("Qdrant scroll pages".to_owned());
    let schema = pages.schema().clone();
    Ok(vec![CollectionInfo { name: schema.name.clone(), records: Count::Unknown, schema, producer, notes: Vec::new() }])
}

/// Opens a bundle, or the raw scroll pages that a server answered with.
pub fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    if locator.is_stream() {
        return Err(Error::usage("a Qdrant bundle is a directory, not a stream").hint("give its path"));
    }
    if is_bundle(&locator.path) {
        return Ok(Box::new(BundleSource::open(form_of(&locator.path), &locator.path, options)?));
    }
    Ok(Box::new(pages::PageSource::open(&locator.path, options)?))
}

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(
            Error::usage("a Qdrant bundle is a directory, not a stream").hint("give a path that does not exist")
        );
    }
    let form: Box<dyn Form> = match options.options.get("form").map(String::as_str) {
        None | Some("bodies") => Box::new(Bodies),
        Some(native::FORM) => Box::new(Native),
        Some(other) => {
            return Err(
                Error::usage(format!("a Qdrant bundle has no form `{other}`")).hint("the forms are: bodies, snapshot")
            );
        }
    };
    Ok(Box::new(BundleSink::new(form, &locator.path, options)))
}

/// The form that the bundle's mapping states; what cannot be read is told when the bundle is opened.
fn form_of(path: &Path) -> &'static dyn Form {
    #[derive(Deserialize)]
    struct Stated {
        #[serde(default)]
        form: Value,
    }
    let text = std::fs::read(path.join(tranship_bundle::MAPPING)).unwrap_or_default();
    let stated: Option<Stated> = serde_json::from_slice(&text).ok();
    let is_native = stated.is_some_and(|stated| stated.form.get("form").is_some_and(|form| form == native::FORM));
    if is_native { &Native } else { &Bodies }
}

/// True for a directory that is, or was to be, a bundle.
pub fn is_bundle(path: &Path) -> bool {
    tranship_bundle::is_bundle(path)
}

/// Request bodies.
struct Bodies;

const SHAPE: TextShape = TextShape {
    stem: "points",
    extension: "json",
    start: b"{\"points\":[\n",
    between: b",\n",
    end: b"\n]}\n",
    max_bytes: BODY_BYTES,
    max_rows: u64::MAX,
};

impl Form for Bodies {
    fn rules(&self) -> &'static Rules {
        &dialect::RULES
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        dialect::name_fault(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        mapping.losses.extend(settings::losses(mapping)?);
        plan::normalise(mapping, survey, "Qdrant", settings::tolerance, settings::is_normalised);
        let stored = mapping.schema.stored_vectors().map(|spec| (spec.name.clone(), settings::stored_element(spec)));
        mapping.elements = stored.filter(|(_, element)| *element != Element::F32).collect();
        Ok(())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        // One point as text (floats take up to 16 bytes where they had 4) and the buffers of two open files.
        (1 << 20) + 4 * schema.dense_row_bytes() as u64
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        Ok(Box::new(BodyWriter { stored: stored.clone(), bodies: TextParts::new(parts, SHAPE), point: Vec::new() }))
    }

    fn deletes(&self) -> Option<Deletes> {
        Some(deletes::DELETES)
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        if let Some(delta) = &facts.manifest.delta {
            return deletes::extras(facts, delta);
        }
        let mut extras = Vec::new();
        if let Some(body) = settings::create_body(facts.mapping) {
            extras.push(Extra::json(SCHEMA, &body)?);
            let indexing = json!({ "optimizers_config": { "indexing_threshold": dialect::INDEXING_THRESHOLD_KB } });
            extras.push(Extra::json(SCHEMA_AFTER_LOAD, &indexing)?);
        }
        extras.extend(requests(facts)?);
        extras.extend(scripts::extras(facts, &scripts::BODIES));
        Ok(extras)
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        body_memory_bytes(bytes)
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        let text = file.bytes()?;
        let (batches, _) = points::read_batches(&text, &file.label(), stored, &mut NoRejects)?;
        Ok(Box::new(batches.into_iter().map(Ok)))
    }
}

/// Bodies that follow the load whatever the form of the data.
fn requests(facts: &Facts<'_>) -> Result<Vec<Extra>> {
    let mut extras = Vec::new();
    if facts.mapping.namespace_key.is_some() {
        let tenant = json!({ "field_name": NAMESPACE_KEY, "field_schema": { "type": "keyword", "is_tenant": true } });
        extras.push(Extra::json("payload-index-000.json", &tenant)?);
    }
    let aliases = &facts.mapping.schema.aliases;
    if !aliases.is_empty() {
        extras.push(Extra::json(ALIASES, &settings::alias_body(&facts.mapping.collection, aliases))?);
    }
    Ok(extras)
}

/// A bundle is our own: a point that does not fit is damage.
struct NoRejects;

impl RejectSink for NoRejects {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        Err(Error::damaged(reject.reason).with("place", reject.place).hint("write the bundle anew"))
    }
}

/// The bodies of one shard being written.
struct BodyWriter<'a> {
    stored: Arc<CollectionSchema>,
    bodies: TextParts<'a>,
    point: Vec<u8>,
}

impl FormWriter for BodyWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let view = BatchView::new(batch, &self.stored).map_err(|fault: Fault| Error::bug(fault.to_string()))?;
        for row in 0..view.len() {
            self.point.clear();
            encode::append_point(&view, row, &mut self.point)?;
            self.bodies.push(&self.point, view.id(row))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Part>> {
        self.bodies.finish()
    }
}

/// Memory for one body or page: its text, the list of its points, its batches, and one of them undone.
fn body_memory_bytes(bytes: u64) -> u64 {
    3 * bytes + 2 * tranship_connector::source::BATCH_BYTES as u64
}

//! One index file as a collection.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tranship_collection::schema::IdKinds;
use tranship_collection::{BatchBuilder, CollectionSchema, Element, IndexSpec, VectorKind, VectorSpec};
use tranship_connector::{
    Batches, Error, ErrorKind, Liveness, OpenOptions, PrepareContext, Prepared, RejectSink, Result, RowLedger,
    SameVersion, Source, Split, Splits,
};
use tranship_storage::{InputFile, SourceIdentity};

use crate::header::{Layout, Scalar, damaged};
use crate::nodes::{Nodes, REMOVED};
use crate::reader::Reader;

/// Nodes between two remembered positions.
const CHECKPOINT_NODES: u64 = 4096;
/// What usearch takes unless told otherwise; the file does not say.
const DEFAULT_EXPANSION_ADD: u32 = 128;

/// One file.
pub struct UsearchSource {
    pub(crate) file: InputFile,
    pub(crate) layout: Layout,
    schema: CollectionSchema,
    /// Records are numbered; their keys become metadata.
    pub(crate) ids_are_rows: bool,
    pub(crate) allow_lossy: bool,
    path: PathBuf,
    hash_source: bool,
}

impl UsearchSource {
    /// Opens the file and reads all of its headers.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        if path.is_dir() {
            let message = format!("{} is a directory, and a usearch index is one file", path.display());
            return Err(Error::not_recognised(message).hint("give the file that Index.save wrote, often NAME.usearch"));
        }
        let file = InputFile::open(path)?;
        let layout = Layout::read(&file, &options.limits)?;
        let ids_are_rows = match options.option("ids") {
            None => false,
            Some("row") => true,
            Some(other) => {
                return Err(
                    Error::usage(format!("`-o ids={other}` is unknown")).hint("give `-o ids=row`, or leave it out")
                );
            }
        };
        let schema = schema(path, &layout);
        if let Some(asked) = options.collection.as_ref().filter(|asked| **asked != schema.name) {
            return Err(Error::usage(format!("there is no collection `{asked}` in {}", path.display()))
                .hint(format!("leave out --collection: there is one, `{}`", schema.name)));
        }
        let path = path.to_owned();
        let (hash_source, allow_lossy) = (options.hash_source, options.allow_lossy);
        Ok(UsearchSource { file, layout, schema, ids_are_rows, allow_lossy, path, hash_source })
    }

    /// Vectors that were not removed, as the head says.
    pub fn live(&self) -> u64 {
        self.layout.present
    }

    /// Who wrote the file.
    pub fn producer(&self) -> String {
        let [major, minor, patch] = self.layout.version;
        format!("usearch {major}.{minor}.{patch}")
    }

    /// What the file does not tell, and what is lost.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "usearch does not store its expansion: {DEFAULT_EXPANSION_ADD}, its default, stands for it in the schema"
        )];
        if self.layout.metric().is_none() {
            let letter = char::from(self.layout.metric_letter);
            notes.push(format!("the metric of usearch's kind {letter:?} has no name here; declare one with --metric"));
        }
        match self.layout.scalar {
            Scalar::Is(Element::I8 | Element::U8) => notes.push(QUANTISED.to_owned()),
            Scalar::F64 if self.allow_lossy => {
                notes.push("doubles that no f32 equals are rounded to the nearest one".to_owned());
            }
            Scalar::F64 => {
                notes.push(
                    "doubles are read as f32 if all are equal to one; --allow-lossy rounds the others".to_owned(),
                );
            }
            _ => {}
        }
        notes
    }

    /// Walks all nodes: where some of them begin, how many were removed, whether keys come twice.
    fn walk(&self, context: &PrepareContext<'_>) -> Result<(Vec<u64>, u64)> {
        let rows = self.layout.rows;
        let watch_keys = self.layout.multi && !self.ids_are_rows;
        let mut keys = watch_keys.then(|| Liveness::new(context.scratch, &[rows], SameVersion::RowLives));
        let (mut checkpoints, mut removed) = (Vec::new(), 0);
        let mut nodes = Nodes::from(&self.file, &self.layout, 0, self.layout.nodes);
        for row in 0..rows {
            if row % CHECKPOINT_NODES == 0 {
                checkpoints.push(nodes.place().1);
            }
            let key = nodes.next_key()?;
            if key == REMOVED {
                removed += 1;
            } else if let Some(keys) = &mut keys {
                keys.row(u128::from(key), 0, 0, row)?;
            }
        }
        let (path, end) = (self.file.path(), nodes.place().1);
        if end != self.file.len() {
            return Err(damaged(path, format!("the nodes end at byte {end}, the file at {}", self.file.len())));
        }
        if removed != self.layout.deleted {
            return Err(damaged(path, format!("{removed} nodes were removed, the head says {}", self.layout.deleted)));
        }
        if let Some(twice) = keys.map(Liveness::finish).transpose()?.map(|found| found.superseded).filter(|n| *n > 0) {
            return Err(Error::new(ErrorKind::Damaged, format!("{twice} vectors have a key that another vector has"))
                .with("file", path.display())
                .hint(
                    "the index holds several vectors per key; `-o ids=row` numbers them and keeps the keys as metadata",
                ));
        }
        Ok((checkpoints, removed))
    }
}

const QUANTISED: &str = "vectors are 8-bit integers: exact only if such were added; usearch cannot give back floats that it \
                         quantised (--allow-lossy reads the integers)";

impl Source for UsearchSource {
    fn schema(&self) -> &CollectionSchema {
        &self.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(SourceIdentity::of(&[(self.path.clone(), name)], self.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        if matches!(self.layout.scalar, Scalar::Is(Element::I8 | Element::U8)) && !self.allow_lossy {
            return Err(Error::new(ErrorKind::LossDenied, "the usearch index holds 8-bit integers in place of its vectors")
                .with("file", self.file.path().display())
                .hint("if integers were added they are exact: give --allow-lossy; else read the vectors from where they came from"));
        }
        let (checkpoints, removed) = self.walk(context)?;
        Ok(Box::new(UsearchPrepared { source: self, checkpoints, removed, split_bytes: context.split_bytes }))
    }
}

struct UsearchPrepared<'a> {
    source: &'a UsearchSource,
    checkpoints: Vec<u64>,
    removed: u64,
    split_bytes: u64,
}

impl Prepared for UsearchPrepared<'_> {
    fn schema(&self) -> &CollectionSchema {
        &self.source.schema
    }

    fn ledger(&self) -> RowLedger {
        let raw = self.source.layout.rows;
        RowLedger { raw: Some(raw), live: Some(raw - self.removed), deleted: self.removed, ..RowLedger::default() }
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        let Layout { rows, row_bytes, .. } = self.source.layout;
        let per_split = (self.split_bytes / row_bytes.max(1)).max(1);
        Ok(Box::new((0..rows.div_ceil(per_split)).map(move |ordinal| {
            let start = ordinal * per_split;
            let end = rows.min(start + per_split);
            Ok(Split { ordinal, start, end, bytes: (end - start) * row_bytes, first_row: start, ..Split::default() })
        })))
    }

    fn open<'a>(&'a self, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let source = self.source;
        let known = split.start / CHECKPOINT_NODES;
        let position = self.checkpoints.get(known as usize).copied();
        let position = position.ok_or_else(|| Error::bug(format!("row {} is in no split", split.start)))?;
        let mut nodes = Nodes::from(&source.file, &source.layout, known * CHECKPOINT_NODES, position);
        while nodes.place().0 < split.start {
            nodes.next_key()?;
        }
        let builder = BatchBuilder::new(Arc::new(source.schema.clone()))
            .map_err(|e| Error::bug("cannot build batches").caused_by(e))?;
        Ok(Box::new(Reader::new(source, nodes, split.end.min(source.layout.rows), builder, rejects)))
    }
}

fn schema(path: &Path, layout: &Layout) -> CollectionSchema {
    let name = path.file_stem().map_or_else(|| "collection".into(), OsStr::to_string_lossy);
    let mut schema = CollectionSchema::new(name);
    schema.ids = IdKinds::Integer;
    let (kind, element) = match layout.scalar {
        Scalar::Is(element) => (VectorKind::Dense, element),
        Scalar::F64 => (VectorKind::Dense, Element::F32),
        Scalar::Bits => (VectorKind::Bits, Element::U8),
    };
    schema.vectors = vec![VectorSpec {
        kind,
        element,
        metric: layout.metric(),
        index: Some(IndexSpec::Hnsw {
            // The header was checked: at most 2^20.
            m: layout.connectivity as u32,
            ef_construction: DEFAULT_EXPANSION_ADD,
            ef_search: None,
        }),
        ..VectorSpec::dense("", layout.dims as usize)
    }];
    let settings = json!({
        "scalar": scalar_name(layout.scalar), "metric": char::from(layout.metric_letter).to_string(), "multi": layout.multi,
        "connectivity": layout.connectivity, "connectivity_base": layout.connectivity_base,
    });
    schema.vendor.insert("usearch".to_owned(), settings);
    schema
}

fn scalar_name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Is(Element::F32) => "f32",
        Scalar::Is(Element::F16) => "f16",
        Scalar::Is(Element::BF16) => "bf16",
        Scalar::Is(Element::I8) => "i8",
        Scalar::Is(Element::U8) => "u8",
        Scalar::F64 => "f64",
        Scalar::Bits => "b1",
    }
}

//! A bundle of arrays: a matrix per part, and beside it everything that a matrix has no place for.
//!
//! ```text
//! NAME/
//!   data/vectors-00042-000.npy       the matrix; or .fvecs .bvecs .fbin .hbin .u8bin .i8bin
//!   data/records-00042-000.jsonl     line n: id, namespace, other vectors, metadata, document of row n
//!   data/rest-00042-000.jsonl        records without this vector
//!   load.py load.sh README.md mapping.json MANIFEST.json
//! ```
//!
//! Invariant: a matrix and its records have the same rows in the same order, and numbers keep their bits. Errors: usage
//! (a form that there is not, or that cannot hold the numbers of the vector), damaged (a file that is not what the
//! manifest says).

mod files;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tranship_bundle::aligned::{self, AlignedWriter, MatrixFile, main_of};
use tranship_bundle::{BundleSink, DataFile, Extra, Facts, Form, FormWriter, Parts};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{CollectionSchema, Element};
use tranship_connector::rules::{Chars, IdRules, IntegerIds, MetadataRules, RowRules, TextIds, VectorRules};
use tranship_connector::{Batches, CreateOptions, Error, Grade, Locator, Loss, Mapping, Result, Rules, Sink, Survey};

use files::ArrayFile;

/// What arrays with records beside them can hold.
pub const RULES: Rules = Rules {
    target: "arrays",
    title: "arrays",
    ids: IdRules {
        integers: IntegerIds::Any,
        texts: TextIds::Text { max_bytes: usize::MAX, max_chars: usize::MAX, chars: Chars::Any },
    },
    namespaces: true,
    documents: true,
    metadata: Some(MetadataRules::JSON),
    vectors: VectorRules {
        elements: &[Element::F32, Element::F16, Element::BF16, Element::I8, Element::U8],
        max_dim: 65_536,
        max_dense: usize::MAX,
        max_sparse: usize::MAX,
        multi: true,
        bits: true,
        metrics: &[],
        normalises: false,
    },
    rows: RowRules::ANY,
};

/// The form that bundles are read with.
pub static FORM: Arrays = Arrays { vector: None, form: None };

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(
            Error::usage("a bundle of arrays is a directory, not a stream").hint("give a path that does not exist")
        );
    }
    let form = options.options.get("form").map(|name| ArrayFile::family(name)).transpose()?;
    let form = Arrays { vector: options.options.get("vector").cloned(), form };
    Ok(Box::new(BundleSink::new(Box::new(form), &locator.path, options)))
}

/// True for a directory that is, or was to be, a bundle.
pub fn is_bundle(path: &Path) -> bool {
    tranship_bundle::is_bundle(path)
}

/// Matrices with records beside them.
pub struct Arrays {
    /// The vector that the matrix holds, as the user wants it.
    vector: Option<String>,
    /// The forms that the user's choice stands for, the wanted ones first.
    form: Option<&'static [ArrayFile]>,
}

impl Form for Arrays {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    fn name_fault(&self, _name: &str) -> Option<String> {
        // A name stands in no file name and in no command.
        None
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        let schema = mapping.schema.clone();
        let main = aligned::main_vector(&schema, self.vector.as_deref())?;
        let element = main.as_ref().and_then(|main| schema.vector(main)).map_or(Element::F32, |spec| spec.element);
        let file = ArrayFile::choose(self.form, element)?;
        mapping.form = json!({ "vector": main, "file": file.name() });
        let mut losses = Vec::new();
        if survey.records > 0 {
            let to = "the same lines of data/records-*; an array holds numbers only";
            losses.push(Loss::new("TEXT_IN_SIDE_FILE", "record", "ids, documents, metadata", to, Grade::Exact));
        }
        for spec in schema.stored_vectors() {
            let path = vector_component(&spec.name);
            if Some(&spec.name) != main.as_ref() {
                let to = "data/records-*; choose with --target-option vector=NAME";
                losses.push(Loss::new("VECTOR_IN_SIDE_FILE", &path, "another vector", to, Grade::Exact));
                continue;
            }
            let stored = file.element();
            if stored != spec.element {
                let (from, to) = (format!("{:?}", spec.element), format!("{stored:?} with the same values"));
                losses.push(Loss::new("ELEMENT_WIDENED", &path, from.to_lowercase(), to.to_lowercase(), Grade::Exact));
            }
            if let Some(found) = survey.vectors.get(&spec.name).filter(|found| found.present < survey.records) {
                let mut loss = Loss::new("NOT_IN_ARRAY", &path, "no vector", "data/rest-*, in no array", Grade::Exact);
                loss.records = Some(survey.records - found.present);
                losses.push(loss);
            }
            if let Some(metric) = spec.metric {
                let to = "mapping.json; an array has no metric";
                losses.push(Loss::new(
                    "METRIC_IN_MAPPING",
                    &path,
                    format!("metric {}", metric.name()),
                    to,
                    Grade::Exact,
                ));
            }
        }
        mapping.losses.extend(losses);
        Ok(())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        aligned::shard_memory_bytes(schema)
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        Ok(Box::new(AlignedWriter::new(parts, stored, ArrayFile::of(mapping), main_of(mapping), false)))
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        let file = ArrayFile::of(facts.mapping);
        let parts = || facts.data().filter(|(name, ..)| name.contains("vectors-"));
        let rows: u64 = parts().map(|(_, rows, _)| rows).sum();
        let load = LOAD
            .replace("@FORM@", file.name())
            .replace("@PARTS@", &parts().count().to_string())
            .replace("@ROWS@", &rows.to_string());
        let steps = format!("{STEPS}{}\n", file.joining());
        Ok(vec![
            Extra::script("load.py", load),
            Extra::script("load.sh", LOAD_SH),
            facts.readme("arrays", &steps, FILES),
        ])
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        aligned::read_memory_bytes(bytes)
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        aligned::read(file, ArrayFile::of(mapping), main_of(mapping), stored)
    }
}

const LOAD: &str = include_str!("bundle/load.py");
const LOAD_SH: &str = include_str!("bundle/load.sh");

const STEPS: &str = "    python3 load.py                # joins the parts: loaded/vectors.npy and loaded/records.jsonl

Needs numpy. In a program of your own, `from load import vectors, records` gives the array and an iterator over the lines.
Row n of a part belongs to line n of the `records` file with the same number.
";

const FILES: &str = "\
- `data/vectors-*`: the vectors, one part of the collection each
- `data/records-*.jsonl`: ids, namespaces, other vectors, metadata and documents, line by line as the rows
- `data/rest-*.jsonl`: records that have no such vector
";

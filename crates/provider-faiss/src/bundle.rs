//! A bundle: index files that `faiss.read_index` opens, and beside them everything that an index has no place for.
//!
//! ```text
//! NAME/
//!   data/index-00042-000.faiss       IndexFlat, or IndexIDMap2 over it where all ids are integers of 64 bits
//!   data/records-00042-000.jsonl     line n: id, namespace, other vectors, metadata, document of row n
//!   data/original-00042-000.npy      vectors before they were brought to unit length (cosine, where one was changed)
//!   data/rest-00042-000.jsonl        records without this vector
//!   load.py load.sh README.md mapping.json MANIFEST.json
//! ```
//!
//! Invariant: a part's index and its records have the same rows in the same order. Errors: usage (a vector or metric
//! that there is none of), damaged (an index that is not what the manifest says).

mod index;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tranship_bundle::aligned::{self, AlignedWriter, main_of};
use tranship_bundle::{BundleSink, DataFile, Extra, Facts, Form, FormWriter, Parts};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{CollectionSchema, IndexSpec, Metric};
use tranship_connector::rules::{IdRules, IntegerIds, MetadataRules, RowRules, VectorRules};
use tranship_connector::{Batches, CreateOptions, Error, Grade, Locator, Loss, Mapping, Result, Rules, Sink, Survey};

use crate::dialect;
use index::FlatFile;

/// What an index with records beside it can hold.
pub const RULES: Rules = Rules {
    target: "faiss",
    title: "FAISS",
    ids: IdRules { integers: IntegerIds::I64, texts: dialect::ANY_TEXT },
    namespaces: true,
    documents: true,
    metadata: Some(MetadataRules::JSON),
    vectors: VectorRules {
        elements: &[tranship_collection::Element::F32],
        max_dim: dialect::MAX_DIM,
        max_dense: usize::MAX,
        max_sparse: usize::MAX,
        multi: true,
        bits: true,
        metrics: &[Metric::L2, Metric::Dot, Metric::Cosine, Metric::L1, Metric::Hamming, Metric::Jaccard],
        normalises: true,
    },
    rows: RowRules::ANY,
};

/// The form that bundles are read with.
pub static FORM: Indexes = Indexes { vector: None };

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(Error::usage("a FAISS bundle is a directory, not a stream").hint("give a path that does not exist"));
    }
    let form = Indexes { vector: options.options.get("vector").cloned() };
    Ok(Box::new(BundleSink::new(Box::new(form), &locator.path, options)))
}

/// True for a directory that is, or was to be, a bundle.
pub fn is_bundle(path: &Path) -> bool {
    tranship_bundle::is_bundle(path)
}

/// Index files with records beside them.
pub struct Indexes {
    /// The vector to index, as the user wants it.
    vector: Option<String>,
}

impl Form for Indexes {
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
        // A label is one number for one record: namespaces, or ids that are no such number, need the row instead.
        let labels = survey.text_ids == 0 && survey.mapped_ids.records == 0 && !schema.namespaced;
        mapping.form = json!({ "vector": main, "labels": labels });
        let mut losses = Vec::new();
        if !labels && survey.records > 0 {
            let to = "row numbers in the index; the ids stand on the same lines of data/records-*";
            losses.push(Loss::new("ID_IN_SIDE_FILE", "id", "ids that are no labels of FAISS", to, Grade::Exact));
        }
        if survey.documents + survey.metadata > 0 {
            let to = "the same lines of data/records-*; an index holds vectors only";
            losses.push(Loss::new("TEXT_IN_SIDE_FILE", "metadata", "documents and metadata", to, Grade::Exact));
        }
        for spec in schema.stored_vectors() {
            let path = vector_component(&spec.name);
            if Some(&spec.name) != main.as_ref() {
                let to = "not indexed, kept in data/records-*; choose with --target-option vector=NAME";
                losses.push(Loss::new("VECTOR_IN_SIDE_FILE", &path, "another vector", to, Grade::Exact));
                continue;
            }
            let metric = mapping.metrics.get(&spec.name).copied().unwrap_or(Metric::L2);
            if dialect::metric_number(metric).is_none() {
                let hint = "give the metric that the vectors are to be compared by with --metric l2|dot|cosine";
                return Err(Error::usage(format!("FAISS has no metric {} for floats", metric.name())).hint(hint));
            }
            if let Some(found) = survey.vectors.get(&spec.name).filter(|found| found.present < survey.records) {
                let mut loss = Loss::new("NOT_INDEXED", &path, "no vector", "data/rest-*, in no index", Grade::Exact);
                loss.records = Some(survey.records - found.present);
                losses.push(loss);
            }
            if metric == Metric::Cosine {
                mapping.normalised.push(spec.name.clone());
                let to = "inner product over vectors of unit length; those before are in data/original-*";
                losses.push(Loss::new("NORM", &path, "cosine", to, Grade::Equivalent));
            }
            losses.extend(index_loss(spec.index.as_ref(), &path));
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
        let file = FlatFile::of(mapping);
        Ok(Box::new(AlignedWriter::new(parts, stored, file, main_of(mapping), file.labels)))
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        let (main, parts) = (main_of(facts.mapping), facts.data().filter(|(name, ..)| name.contains("index-")).count());
        let spec = main.and_then(|main| facts.mapping.schema.vector(main));
        let (m, ef) = match spec.and_then(|spec| spec.index.as_ref()) {
            Some(IndexSpec::Hnsw { m, ef_construction, .. }) => (*m, *ef_construction),
            _ => (dialect::HNSW_M, dialect::HNSW_EF_CONSTRUCTION),
        };
        let indexed: u64 = facts.data().filter(|(name, ..)| name.contains("index-")).map(|(_, rows, _)| rows).sum();
        let load = LOAD
            .replace("@PARTS@", &parts.to_string())
            .replace("@ROWS@", &indexed.to_string())
            .replace("@M@", &m.to_string())
            .replace("@EF@", &ef.to_string());
        Ok(vec![Extra::script("load.py", load), Extra::script("load.sh", LOAD_SH), facts.readme("FAISS", STEPS, FILES)])
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
        aligned::read(file, FlatFile::of(mapping), main_of(mapping), stored)
    }
}

/// An index is flat: exact, and slower than a graph for many vectors.
fn index_loss(index: Option<&IndexSpec>, path: &str) -> Option<Loss> {
    let (from, to) = match index {
        None | Some(IndexSpec::Flat) => return None,
        Some(IndexSpec::Hnsw { m, ef_construction, .. }) => {
            let to = "IndexFlat, whose answers are exact; load.py --hnsw builds the graph with these settings";
            (format!("HNSW, m {m}, ef_construction {ef_construction}"), to)
        }
        Some(IndexSpec::Other { name, .. }) => (format!("index {name}"), "IndexFlat, whose answers are exact"),
    };
    Some(Loss::new("INDEX_SETTINGS", path, from, to, Grade::Equivalent))
}

const LOAD: &str = include_str!("bundle/scripts/load.py");
const LOAD_SH: &str = include_str!("bundle/scripts/load.sh");

const STEPS: &str = "    python3 load.py                # joins the parts: loaded/index.faiss and loaded/records.jsonl
    python3 load.py --hnsw         # the same with a graph in place of the flat index

Needs faiss and numpy. Each part is an index by itself: `faiss.read_index(\"data/index-00000-000.faiss\")`. Row n of a part
belongs to line n of the `records` file with the same number; where all ids are integers, the index has them as labels
(`IndexIDMap2`), else a search answers with rows, to be looked up in `records`. Under cosine the metric is the inner product
and the vectors have unit length: bring queries to unit length as well (`faiss.normalize_L2`).
";

const FILES: &str = "\
- `data/index-*.faiss`: flat indexes, one part of the collection each
- `data/records-*.jsonl`: ids, namespaces, other vectors, metadata and documents, line by line as the rows of the index
- `data/original-*.npy`: the vectors before they were brought to unit length, if any was changed
- `data/rest-*.jsonl`: records that have no such vector
";

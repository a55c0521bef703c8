//! A bundle: Parquet files that the lancedb client loads into a table, and that read back.
//!
//! ```text
//! NAME/
//!   data/rows-00042-000.parquet   id | namespace | document | metadata | vectors | typed columns; one file per split
//!   schema.json                   table, columns of the vectors with dimensions and elements, indexes
//!   load.sh load.py check.sh check.py undo.sh README.md mapping.json MANIFEST.json
//! ```
//!
//! Metadata is one column of JSON text, verbatim. A key whose values all have one scalar type is a column of that type as
//! well, to filter by; such a column is derived and not read back. Invariant: nothing of a record is left out.
//! Errors: usage (names), damaged (a file that is not what the manifest says).

mod columns;
mod read;
mod write;

use std::sync::Arc;

use serde_json::{Value, json};
use tranship_bundle::{BundleSink, DataFile, Extra, Facts, Form, FormWriter, Parts};
use tranship_collection::{CollectionSchema, Element, VectorKind};
use tranship_connector::{Batches, CreateOptions, Error, Grade, Locator, Loss, Mapping, Result, Rules, Sink, Survey};

use crate::dialect;

/// The form of all bundles.
pub static FORM: LanceDb = LanceDb;

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(
            Error::usage("a LanceDB bundle is a directory, not a stream").hint("give a path that does not exist")
        );
    }
    Ok(Box::new(BundleSink::new(Box::new(LanceDb), &locator.path, options)))
}

/// Parquet for the lancedb client.
pub struct LanceDb;

impl Form for LanceDb {
    fn rules(&self) -> &'static Rules {
        &dialect::RULES
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        dialect::name_fault(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        mapping.form = columns::settle(mapping, survey);
        let typed = mapping.form["typed"].as_object().map_or(0, serde_json::Map::len);
        if !survey.fields.is_empty() || survey.too_many_fields {
            let from = format!("{} metadata keys", survey.fields.len());
            let to = format!("JSON text in one column; {typed} of them also as typed columns to filter by");
            mapping.losses.push(Loss::new("METADATA_AS_COLUMNS", "metadata", from, to, Grade::Reversible));
        }
        let losses = dialect::losses(mapping);
        mapping.losses.extend(losses);
        Ok(())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        write::memory_bytes(schema)
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        Ok(Box::new(write::Writer::new(parts, mapping, stored)))
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        let script = |text: &str| text.replace("@COMMON@\n", include_str!("bundle/scripts/common.sh"));
        Ok(vec![
            Extra::json("schema.json", &schema(facts))?,
            Extra::text("load.py", include_str!("bundle/scripts/load.py")),
            Extra::text("check.py", include_str!("bundle/scripts/check.py")),
            Extra::script("load.sh", script(include_str!("bundle/scripts/load.sh"))),
            Extra::script("check.sh", script(include_str!("bundle/scripts/check.sh"))),
            Extra::script("undo.sh", script(include_str!("bundle/scripts/undo.sh"))),
            facts.readme("LanceDB", STEPS, FILES),
        ])
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        read::memory_bytes(bytes)
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        read::read(file, mapping, stored)
    }
}

/// What the scripts need: files with their rows, vectors, indexes.
fn schema(facts: &Facts<'_>) -> Value {
    let mapping = facts.mapping;
    let vectors = columns::vectors(mapping).map(|(spec, column)| {
        let (index, _) = dialect::index(spec);
        let element = if spec.element == Element::F16 { "f16" } else { "f32" };
        let (kind, element, dim) = match spec.kind {
            VectorKind::Dense => ("dense", element, spec.dim),
            VectorKind::Multi => ("multi", "f32", spec.dim),
            VectorKind::Bits => ("bits", "u8", spec.dim),
            VectorKind::Sparse => ("sparse", "f32", None),
        };
        json!({
            "name": spec.name, "column": column, "kind": kind, "element": element, "dim": dim,
            "metric": dialect::metric(mapping, spec), "index": index,
        })
    });
    let files: Vec<Value> = facts.data().map(|(path, rows, _)| json!({ "path": path, "rows": rows })).collect();
    json!({
        "table": mapping.collection, "ids": mapping.form["ids"], "rows": facts.totals.rows,
        "vectors": vectors.collect::<Vec<_>>(), "typed": mapping.form["typed"], "namespaces": mapping.records,
        "files": files,
    })
}

const STEPS: &str = "    pip install lancedb
    export LANCEDB_URI=/path/of/the/database    # or s3://bucket/prefix, or db://name with LANCEDB_API_KEY
    bash load.sh                                # makes the table, adds file by file, then makes the indexes
    bash check.sh                               # counts, reads every row and compares: GO or NO-GO
    bash undo.sh                                # drops the table

Each file is one commit, so the rows of the table tell how far a load came: `load.sh --resume` goes on there. A table that
is there already is not touched.
";

const FILES: &str = "- `data/rows-*.parquet`: the records
- `schema.json`: table, vectors, indexes, files
- `load.py`, `check.py`: what the scripts run; `check.py` pulls all rows as JSON lines for `tranship verify --mapping`
";

//! A dataset: one file per split with a column for each thing that a record has; Parquet, or CSV ([`crate::csv`]).
//!
//! ```text
//! NAME/
//!   data/train-00042-000.parquet    id | namespace | text | embedding | other vectors | metadata keys | _tranship_*
//!   data/records-00042-000.csv      layout csv, instead
//!   VDF_META.json                   layout vdf
//!   README.md mapping.json MANIFEST.json
//! ```
//!
//! A metadata key whose values all have one type is a column of that type; whatever else there is stands as JSON text under
//! `_tranship_exact`; in CSV all metadata is one cell of JSON. Invariant: nothing of a record is left out. Errors: usage (a layout that there is not, ids that it
//! does not take), damaged (a file that is not what the manifest says).

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tranship_bundle::{BundleSink, DataFile, Extra, Facts, Form, FormWriter, Parts};
use tranship_collection::fingerprint::vector_component;
use tranship_collection::{CollectionSchema, Element, VectorSpec};
use tranship_connector::rules::{
    Chars, IdRules, IntegerIds, Keys, Lists, MetadataRules, Nested, Numbers, RowRules, TextIds, VectorRules,
};
use tranship_connector::{Batches, CreateOptions, Error, Grade, Locator, Loss, Mapping, Result, Rules, Sink, Survey};

use crate::layout::{Ids, Layout, MAX_FIELDS, vdf_meta};
use crate::{csv, read, write};

/// What columns can hold.
pub const RULES: Rules = Rules {
    target: "dataset",
    title: "Parquet datasets",
    ids: IdRules {
        integers: IntegerIds::I64,
        texts: TextIds::Text { max_bytes: usize::MAX, max_chars: usize::MAX, chars: Chars::Any },
    },
    namespaces: true,
    documents: true,
    metadata: Some(MetadataRules {
        nulls: false,
        nested: Nested::AsText,
        lists: Lists::OneType,
        numbers: Numbers::I64,
        keys: Keys::Any,
        ..MetadataRules::JSON
    }),
    vectors: VectorRules {
        elements: &[Element::F32],
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

/// The form that datasets are read with.
pub static FORM: Dataset = Dataset { layout: None };

/// Creates a dataset.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(Error::usage("a dataset is a directory, not a stream").hint("give a path that does not exist"));
    }
    let form: Box<dyn Form> = match options.options.get("layout").map(String::as_str) {
        Some(CSV) => Box::new(Csv),
        layout => Box::new(Dataset { layout: layout.map(Layout::named).transpose()? }),
    };
    Ok(Box::new(BundleSink::new(form, Path::new(&locator.path), options)))
}

/// Parquet files in one layout.
pub struct Dataset {
    layout: Option<&'static Layout>,
}

impl Form for Dataset {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    fn name_fault(&self, _name: &str) -> Option<String> {
        // A name stands in no file name.
        None
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        let layout = self.layout.unwrap_or(&crate::layout::LAYOUTS[0]);
        let integers = survey.records - survey.text_ids.min(survey.records);
        let ids = match survey.mapped_ids.records {
            0 if survey.text_ids == 0 && layout.text_ids => Ids::Digits,
            0 if survey.text_ids == 0 => Ids::Integers,
            0 if integers == 0 => Ids::Texts,
            _ => Ids::Both,
        };
        if layout.integer_ids && ids != Ids::Integers {
            let examples = survey.mapped_ids.examples.join(", ");
            return Err(Error::usage(format!(
                "{} takes integer ids of 64 bits only; this collection has others",
                layout.title
            ))
            .with("ids", if examples.is_empty() { "texts".to_owned() } else { examples })
            .hint("choose --target-option layout=hf"));
        }
        let taken = layout.taken(&mapping.schema);
        let mut fields = survey.typed_fields();
        fields.retain(|key, _| !taken.contains(key) && !key.is_empty() && !key.contains('\0'));
        if fields.len() > MAX_FIELDS {
            fields.clear();
        }
        if !survey.fields.is_empty() || survey.too_many_fields {
            let from = format!("{} metadata keys", survey.fields.len());
            let to = format!("{} typed columns; all else as JSON text in the column _tranship_exact", fields.len());
            mapping.losses.push(Loss::new("METADATA_AS_COLUMNS", "metadata", from, to, Grade::Reversible));
        }
        mapping.fields = Some(fields);
        mapping.form = json!({ "layout": layout.name, "ids": ids.word() });
        note_metrics(mapping);
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
        Ok(Box::new(write::Writer::new(parts, mapping, stored)?))
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        let layout = Layout::of(facts.mapping);
        let mut extras = Vec::new();
        if layout.name == "vdf" {
            extras.push(Extra::json("VDF_META.json", &vdf_meta(facts.mapping, layout, facts.totals.rows))?);
        }
        let steps = match layout.name {
            "vdf" => VDF,
            "vectordbbench" => BENCH,
            _ => HF,
        };
        extras.push(facts.readme(layout.title, steps, FILES));
        Ok(extras)
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        read::memory_bytes(bytes).max(csv::memory_bytes(bytes))
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        match mapping.form["layout"] == CSV {
            true => csv::read(&file, stored),
            false => read::read(file, mapping, stored),
        }
    }
}

fn note_metrics(mapping: &mut Mapping) {
    let note = |spec: &VectorSpec| {
        let (path, from) = (vector_component(&spec.name), format!("metric {}", spec.metric?.name()));
        Some(Loss::new("METRIC_IN_MAPPING", &path, from, "mapping.json; columns have no metric", Grade::Exact))
    };
    let notes: Vec<Loss> = mapping.schema.stored_vectors().filter_map(note).collect();
    mapping.losses.extend(notes);
}

/// The name of the layout.
const CSV: &str = "csv";

/// What CSV can hold: metadata is text there, and numbers are JSON.
const RULES_CSV: Rules = Rules {
    ids: IdRules { integers: IntegerIds::Any, ..RULES.ids },
    metadata: Some(MetadataRules::JSON),
    rows: RowRules { finite: true, ..RowRules::ANY },
    ..RULES
};

/// Text with one line per record.
struct Csv;

impl Form for Csv {
    fn rules(&self) -> &'static Rules {
        &RULES_CSV
    }

    fn name_fault(&self, _name: &str) -> Option<String> {
        None
    }

    fn settle(&self, mapping: &mut Mapping, _survey: &Survey) -> Result<()> {
        mapping.form = json!({ "layout": CSV });
        note_metrics(mapping);
        Ok(())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        (1 << 20) + 8 * schema.dense_row_bytes() as u64
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        Ok(Box::new(csv::Writer::new(parts, stored)))
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        Ok(vec![facts.readme("CSV", CSV_STEPS, CSV_FILES)])
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        csv::memory_bytes(bytes)
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        _mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        csv::read(&file, stored)
    }
}

const HF: &str = "    datasets.load_dataset(\"parquet\", data_files=\"data/*.parquet\")     # Hugging Face datasets
    duckdb: SELECT id, text, embedding FROM 'data/*.parquet'
    polars.scan_parquet(\"data/*.parquet\")
";
const BENCH: &str =
    "VectorDBBench wants the vectors in one file called `train.parquet` in the directory of a custom dataset, beside
`test.parquet` and `neighbors.parquet`, which only you can make. To join the parts:

    duckdb -c \"COPY (SELECT id, emb FROM 'data/*.parquet') TO 'train.parquet'\"
";
const VDF: &str = "    import_vdf --dir . <target>     # vector-io

`exported_at` in VDF_META.json is empty: the same records give the same bytes.
";
const FILES: &str = "\
- `data/*.parquet`: the records, one column for each thing that they have
- columns `_tranship_*`: what has no column of its own (metadata of mixed types, as JSON text), kinds of ids
";
const CSV_STEPS: &str =
    "    duckdb: SELECT id, document, vector::FLOAT[] FROM read_csv('data/*.csv', all_varchar = true)
    python: csv.DictReader(open(path, newline=\"\")), then json.loads of the cells metadata, vector and vectors
";
const CSV_FILES: &str = "\
- `data/records-*.csv`: id, id_kind, namespace, document, metadata, vector, vectors; the last three are JSON
";

//! A bundle: the files that Milvus' bulk import takes, for a server or for Zilliz Cloud, and that read back.
//!
//! ```text
//! NAME/
//!   schema.json               body of POST /v2/vectordb/collections/create, without indexes
//!   indexes.json              body of POST /v2/vectordb/indexes/create, for after the import
//!   import.json               body of POST /v2/vectordb/jobs/import/create; @PREFIX@ stands for the place in the bucket
//!   load.sh check.sh check.py undo.sh README.md mapping.json MANIFEST.json
//!   load.py                   what the scripts call where the server is a 2.3, which imports over gRPC only
//!   data/rows-00042-000.parquet   one file per split: the key, one column per vector, `$meta`     (form=parquet)
//!   data/rows-00042-000.json      {"rows":[..]}, at most 256 MB each                             (form=json)
//! ```
//!
//! Invariant: the collection has a primary key (Int64 where every id is an integer of 64 bits
//! other than 2^63 - 1, which Milvus 2.3.5 stores and counts but no query finds; else VarChar), one field
//! per vector, and everything else as dynamic keys in `$meta`, so no record is bent to a type. Errors: usage (options,
//! names), damaged (a file that is not what the manifest says).
//!
//! Source: the importer of Milvus 2.3 to 2.6 (`internal/util/importutilv2`). Bundles for 2.3 are loaded into a 2.3.5 server
//! and read back from it by the tests.

mod deletes;
mod fields;
mod json;
mod parquet;
mod settings;

use std::sync::Arc;

use tranship_bundle::{BundleSink, DataFile, Deletes, Extra, Facts, Form, FormWriter, Parts};
use tranship_collection::{CollectionSchema, IdKinds};
use tranship_connector::rules::IntegerIds;
use tranship_connector::{Batches, CreateOptions, Error, Locator, Mapping, Result, Rules, Sink, SourceOption, Survey};

pub use settings::{RULES, RULES_2_3};

/// What `--target-option` takes.
pub const OPTIONS: &[SourceOption] = &[
    SourceOption { key: "form", about: "`parquet` (default) or `json`: rows as JSON" },
    SourceOption {
        key: "version",
        about: "of the server: `2.3` has one vector per collection, f32 or bits; `2.4` and later (default) several, f16, bf16, sparse",
    },
    SourceOption { key: "vector", about: "name of the vector to take first, where not all can be taken" },
];

/// How the rows of a bundle stand in its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Parquet.
    Parquet,
    /// JSON.
    Json,
}

/// Which server a bundle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// 2.3: imports over gRPC, one vector field for each collection.
    V2_3,
    /// 2.4 and later: REST v2.
    V2_4,
}

/// The form of one bundle.
pub struct MilvusForm {
    rows: Rows,
    server: Server,
    /// The vector to take first.
    vector: Option<String>,
}

/// What reads bundles of every version and form: the mapping says which.
pub static FORM: MilvusForm = MilvusForm { rows: Rows::Parquet, server: Server::V2_4, vector: None };

/// Creates a bundle.
pub fn create(locator: &Locator, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    if locator.is_stream() {
        return Err(
            Error::usage("a Milvus bundle is a directory, not a stream").hint("give a path that does not exist")
        );
    }
    let option = |key: &str| options.options.get(key).map(String::as_str);
    let unknown = |key: &str, value: &str, known: &str| {
        Error::usage(format!("`{value}` is no {key} of a Milvus bundle")).hint(format!("there are {known}"))
    };
    let rows = match option("form") {
        None | Some("parquet") => Rows::Parquet,
        Some("json") => Rows::Json,
        Some(other) => return Err(unknown("form", other, "parquet and json")),
    };
    let server = match option("version") {
        Some("2.3") => Server::V2_3,
        None | Some("2.4" | "2.5" | "2.6") => Server::V2_4,
        Some(other) => return Err(unknown("version", other, "2.3, 2.4, 2.5 and 2.6")),
    };
    let form = MilvusForm { rows, server, vector: option("vector").map(str::to_owned) };
    Ok(Box::new(BundleSink::new(Box::new(form), &locator.path, options)))
}

impl MilvusForm {
    fn rows_of(mapping: &Mapping) -> Rows {
        if mapping.form["rows"] == "json" { Rows::Json } else { Rows::Parquet }
    }
}

impl Form for MilvusForm {
    fn rules(&self) -> &'static Rules {
        match self.server {
            Server::V2_3 => &RULES_2_3,
            Server::V2_4 => &RULES,
        }
    }

    fn name_fault(&self, name: &str) -> Option<String> {
        settings::name_fault(name)
    }

    fn settle(&self, mapping: &mut Mapping, survey: &Survey) -> Result<()> {
        let integers = mapping.schema.ids == IdKinds::Integer || survey.records > 0 && survey.text_ids == 0;
        let fit = survey.ids_beyond_i64 == 0 && survey.ids_at_i64_max == 0;
        if integers && fit && mapping.namespace_key.is_none() {
            mapping.ids.integers = IntegerIds::I64;
            mapping.losses.retain(|loss| loss.code != "ID_AS_TEXT");
        }
        if self.server == Server::V2_3 {
            fields::keep_one(mapping, self.vector.as_deref());
        }
        let rows = if self.rows == Rows::Json { "json" } else { "parquet" };
        mapping.form = fields::settle(mapping, survey, rows)?;
        mapping.losses.extend(settings::losses(mapping));
        Ok(())
    }

    fn shard_memory_bytes(&self, schema: &CollectionSchema) -> u64 {
        match self.rows {
            Rows::Parquet => parquet::GROUP_BYTES as u64 * 3 + (1 << 20),
            Rows::Json => (1 << 20) + 4 * schema.dense_row_bytes() as u64,
        }
    }

    fn open<'a>(
        &'a self,
        parts: Parts<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Box<dyn FormWriter + 'a>> {
        match Self::rows_of(mapping) {
            Rows::Parquet => Ok(Box::new(parquet::ParquetRows::new(parts, mapping, stored)?)),
            Rows::Json => Ok(Box::new(json::JsonRows::new(parts, mapping, stored))),
        }
    }

    fn deletes(&self) -> Option<Deletes> {
        // 2.3 has no REST calls that delete and import.
        (self.server == Server::V2_4).then_some(deletes::DELETES)
    }

    fn extras(&self, facts: &Facts<'_>) -> Result<Vec<Extra>> {
        if let Some(delta) = &facts.manifest.delta {
            return deletes::extras(facts, delta);
        }
        let mapping = facts.mapping;
        let files: Vec<Vec<String>> =
            facts.data().map(|(path, ..)| vec![path.replacen("data/", "@PREFIX@/", 1)]).collect();
        let import = serde_json::json!({ "collectionName": mapping.collection, "files": files });
        let common = match self.server {
            Server::V2_3 => include_str!("bundle/scripts/common-2.3.sh"),
            Server::V2_4 => include_str!("bundle/scripts/common.sh"),
        };
        let fill = |template: &str| {
            template
                .replace("@COMMON@\n", common)
                .replace("@COLLECTION@", &mapping.collection)
                .replace("@ROWS@", &facts.totals.rows.to_string())
        };
        let mut extras = vec![
            Extra::json("schema.json", &settings::create_body(mapping))?,
            Extra::json("indexes.json", &settings::index_body(mapping))?,
            Extra::json("import.json", &import)?,
            Extra::script("check.sh", fill(include_str!("bundle/scripts/check.sh"))),
            Extra::text("check.py", include_str!("bundle/scripts/check.py")),
            Extra::script("undo.sh", fill(include_str!("bundle/scripts/undo.sh"))),
        ];
        match self.server {
            Server::V2_3 => extras.extend([
                Extra::script("load.sh", fill(include_str!("bundle/scripts/load-2.3.sh"))),
                Extra::text("load.py", include_str!("bundle/scripts/load.py")),
                facts.readme("Milvus", STEPS_2_3, FILES_2_3),
            ]),
            Server::V2_4 => extras.extend([
                Extra::script("load.sh", fill(include_str!("bundle/scripts/load.sh"))),
                facts.readme("Milvus", STEPS, FILES),
            ]),
        }
        Ok(extras)
    }

    fn read_memory_bytes(&self, bytes: u64) -> u64 {
        3 * bytes
    }

    fn read<'a>(
        &'a self,
        file: DataFile<'a>,
        mapping: &'a Mapping,
        stored: &Arc<CollectionSchema>,
    ) -> Result<Batches<'a>> {
        match Self::rows_of(mapping) {
            Rows::Parquet => parquet::read(&file, mapping, stored),
            Rows::Json => json::read(&file, mapping, stored),
        }
    }
}

const STEPS: &str = "    export MILVUS_URI=http://127.0.0.1:19530    # and MILVUS_TOKEN=user:password, if the server wants one
    aws s3 cp --recursive data s3://BUCKET/PREFIX    # or mc, gsutil, cp: the bucket that the server itself uses
    MILVUS_PREFIX=PREFIX bash load.sh                # creates the collection, imports, then makes the indexes and loads it
    bash check.sh                                    # counts; with pymilvus it pulls every row and compares: GO or NO-GO
    bash undo.sh                                     # drops the collection

The import reads files from the server's own object storage, so they have to be there before `load.sh` runs; paths are
relative to the root of that bucket. A collection that exists is not touched: its rows could be there twice, since the
import does not look at keys. For Zilliz Cloud, the same files go into a stage or a bucket of your own, and the body of
`import.json` gets `objectUrls` and the access keys.
";

const FILES: &str = "- `data/rows-*`: what the import takes
- `schema.json`: body of `POST /v2/vectordb/collections/create`; `indexes.json`: body of `POST /v2/vectordb/indexes/create`
- `import.json`: body of `POST /v2/vectordb/jobs/import/create`, `@PREFIX@` for the place of the files
- `check.py`: pulls all rows with pymilvus, as JSON lines for `tranship verify --mapping`
";

const STEPS_2_3: &str = "    pip install 'pymilvus==2.3.*' 'setuptools<70' 'marshmallow<4'
    export MILVUS_URI=http://127.0.0.1:19530    # and MILVUS_TOKEN=user:password, if the server wants one
    aws s3 cp --recursive data s3://BUCKET/PREFIX    # or mc, gsutil, cp: the storage that the server itself uses
    MILVUS_PREFIX=PREFIX bash load.sh                # makes the collection, imports, makes the indexes and loads it
    bash check.sh                                    # counts, pulls every row and compares: GO or NO-GO
    bash undo.sh                                     # drops the collection

The import reads files from the server's own storage, so they have to be there before `load.sh` runs; paths are relative
to the root of that bucket, or absolute where the server keeps its files on a disk of its own. `load.sh --resume` goes on
where a load was stopped; each file is imported once, since the import does not look at keys.
";

const FILES_2_3: &str = "- `data/rows-*`: what the import takes
- `schema.json`, `indexes.json`, `import.json`: what `load.py` makes and imports, `@PREFIX@` for the place of the files
- `load.py`: the import with pymilvus; `check.py`: pulls all rows, as JSON lines for `tranship verify --mapping`
";

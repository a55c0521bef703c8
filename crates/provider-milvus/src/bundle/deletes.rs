//! The bundle of a delta: expressions that delete beside files to import, for a collection that is there.
//!
//! ```text
//! data/deletes-00000-000.txt   what stands between the brackets of `key in [..]`, escaped for a JSON string, at most 1,000 ids
//! data/rows-*                  what the import takes
//! ```
//!
//! The import does not look at keys, so records to write are deleted first as well, and it is begun once only.
//! Source: Milvus documentation, REST v2 `entities/delete`. Not run against a server.

use tranship_bundle::deletes::{self, Deletes, as_loaded};
use tranship_bundle::form::TextShape;
use tranship_bundle::manifest::DeltaEntry;
use tranship_bundle::{Extra, Facts};
use tranship_collection::IdKind;
use tranship_collection::json::append_string;
use tranship_connector::Result;

/// Elements of an expression.
pub const DELETES: Deletes = Deletes {
    shape: TextShape {
        stem: deletes::STEM,
        extension: "txt",
        start: b"",
        between: b", ",
        end: b"\n",
        max_bytes: 1 << 20,
        max_rows: 1_000,
    },
    replaced_too: true,
    append: |_, view, row, out| {
        match view.id_kind(row) {
            IdKind::Integer => out.extend_from_slice(view.id(row).as_bytes()),
            IdKind::Text => {
                // A text of the expression, within a text of the body.
                let mut element = Vec::new();
                append_string(view.id(row), &mut element);
                let mut inside = Vec::new();
                append_string(&String::from_utf8_lossy(&element), &mut inside);
                out.extend_from_slice(&inside[1..inside.len() - 1]);
            }
        }
        Ok(())
    },
    adapt: as_loaded,
};

/// Bodies, scripts and README.
pub fn extras(facts: &Facts<'_>, delta: &DeltaEntry) -> Result<Vec<Extra>> {
    let mapping = facts.mapping;
    let files: Vec<Vec<String>> = facts.data().map(|(path, ..)| vec![path.replacen("data/", "@PREFIX@/", 1)]).collect();
    let import = serde_json::json!({ "collectionName": mapping.collection, "files": files });
    let fill = |template: &str| {
        template
            .replace("@COMMON@\n", include_str!("scripts/common.sh"))
            .replace("@COLLECTION@", &mapping.collection)
            .replace("@KEY@", mapping.form["key"].as_str().unwrap_or("id"))
            .replace("@UPSERTS@", &facts.totals.rows.to_string())
            .replace("@DELETED@", &delta.deletes.to_string())
            .replace("@BASE@", &delta.base.records.to_string())
            .replace("@ROWS@", &delta.result.records.to_string())
    };
    let check = include_str!("scripts/check.sh").replace(
        ": \"${TRANSHIP_SOURCE:=$PWD}\"",
        ": \"${TRANSHIP_SOURCE:?set TRANSHIP_SOURCE to the set that it should be now, as archive:new.tranship}\"",
    );
    Ok(vec![
        Extra::json("import.json", &import)?,
        Extra::script("load.sh", fill(include_str!("scripts/load-delta.sh"))),
        Extra::script("check.sh", fill(&check)),
        Extra::text("check.py", include_str!("scripts/check.py")),
        deletes::undo(mapping),
        facts.readme("Milvus", &fill(STEPS), FILES),
    ])
}

const STEPS: &str = "This is a delta: it takes the collection from @BASE@ rows to @ROWS@. It deletes @DELETED@ and writes @UPSERTS@.

    export MILVUS_URI=http://127.0.0.1:19530    # and MILVUS_TOKEN=user:password, if the server wants one
    aws s3 cp --recursive data s3://BUCKET/PREFIX    # or mc, gsutil, cp: the bucket that the server itself uses
    MILVUS_PREFIX=PREFIX bash load.sh                # deletes, then imports
    TRANSHIP_SOURCE=archive:new.tranship bash check.sh    # compares with the new set: GO or NO-GO

A row that is written anew is deleted first, for the import does not look at keys; until it is done those rows are missing, so
stop the readers that must not miss them. Deletes are all sent before the one import is begun and never after it; stopped
anywhere, `bash load.sh --resume` goes on. These scripts were not run against a server. The delta is taken back by the bundle
of its inverse (`undo.sh` says how).
";

const FILES: &str = "\
- `data/deletes-*.txt`: keys for the filter of `POST /v2/vectordb/entities/delete`, those of the rows to write among them
- `data/rows-*`: what the import takes; `import.json`: body of `POST /v2/vectordb/jobs/import/create`
";

//! The bundle of a delta: ids to delete beside records to write, for a collection that is there.
//!
//! ```text
//! data/deletes-00000-000.json   {"ids":[..]}: bodies of POST .../collections/{id}/delete, at most 5,000 ids each
//! data/batch-*.json             bodies of POST .../collections/{id}/upsert
//! ```
//!
//! Chroma's upsert keeps metadata keys that the new record has no more, so records to write are deleted first as well.

use tranship_bundle::deletes::{self, Deletes, as_loaded};
use tranship_bundle::form::TextShape;
use tranship_bundle::manifest::DeltaEntry;
use tranship_bundle::rows::append_id;
use tranship_bundle::{Extra, Facts};

use super::{COMMON, SCRIPTS, shell};
use crate::dialect::BATCH_BYTES;

/// Deletes by id.
pub const DELETES: Deletes = Deletes {
    shape: TextShape {
        stem: deletes::STEM,
        extension: "json",
        start: b"{\"ids\":[\n",
        between: b",\n",
        end: b"\n]}\n",
        max_bytes: BATCH_BYTES as u64,
        max_rows: 5_000,
    },
    replaced_too: true,
    append: |_, view, row, out| {
        append_id(view, row, out);
        Ok(())
    },
    adapt: as_loaded,
};

/// Scripts and README.
pub fn extras(facts: &Facts<'_>, delta: &DeltaEntry) -> Vec<Extra> {
    let steps = STEPS
        .replace("@BASE@", &delta.base.records.to_string())
        .replace("@ROWS@", &delta.result.records.to_string())
        .replace("@DELETED@", &delta.deletes.to_string())
        .replace("@UPSERTS@", &facts.totals.rows.to_string());
    let mut extras = Vec::new();
    for (name, script) in [("load", include_str!("scripts/load_delta.py")), ("check", SCRIPTS[1].1)] {
        extras.push(Extra::script(&format!("{name}.py"), script.replace("# @COMMON@\n", COMMON)));
        extras.push(Extra::script(&format!("{name}.sh"), shell(name)));
    }
    extras.push(deletes::undo(facts.mapping));
    extras.push(facts.readme("Chroma", &steps, FILES));
    extras
}

const STEPS: &str = "This is a delta: it takes the collection from @BASE@ records to @ROWS@. It deletes @DELETED@ and writes @UPSERTS@.

    python load.py --path ./chroma_db         # a directory, or --host HOST --port PORT for a server
    python check.py --path ./chroma_db --source archive:new.tranship    # compares with the new set: GO or NO-GO

`load.py` refuses a collection that does not hold @BASE@ records. It deletes, then writes; a record that is written anew is
deleted first, for an upsert would keep metadata that the new record has no more. So stop the readers that must not miss it.
After an interruption `--resume` goes on. It is taken back by the bundle of the inverse delta (`undo.sh` says how).
";

const FILES: &str = "\
- `data/deletes-*.json`: ids for `collection.delete`, those of the records to write among them
- `data/batch-*.json`: bodies of `POST /api/v2/tenants/{t}/databases/{d}/collections/{id}/upsert`
";

//! The bundle of a delta: points to delete beside points to write, for a collection that is there.
//!
//! ```text
//! data/deletes-00000-000.json   bodies of POST /collections/{c}/points/delete, at most 10,000 ids each
//! data/points-*.json            bodies of PUT /collections/{c}/points, which replace a point as a whole
//! ```

use serde_json::Value;
use tranship_bundle::deletes::{self, Deletes};
use tranship_bundle::form::TextShape;
use tranship_bundle::manifest::DeltaEntry;
use tranship_bundle::rows::append_id;
use tranship_bundle::{Extra, Facts};
use tranship_connector::Result;

use super::{COUNTS, SCHEMA, scripts, settings};
use crate::dialect::BODY_BYTES;

/// Deletes by id.
pub const DELETES: Deletes = Deletes {
    shape: TextShape {
        stem: deletes::STEM,
        extension: "json",
        start: b"{\"points\":[\n",
        between: b",\n",
        end: b"\n]}\n",
        max_bytes: BODY_BYTES,
        max_rows: 10_000,
    },
    replaced_too: false,
    append: |_, view, row, out| {
        append_id(view, row, out);
        Ok(())
    },
    // A collection that came as a snapshot takes its changes as bodies, whose vectors the server brings to unit length.
    adapt: |mapping| {
        mapping.form = Value::Null;
        mapping.unit_in_bundle = false;
    },
};

/// Scripts and README.
pub fn extras(facts: &Facts<'_>, delta: &DeltaEntry) -> Result<Vec<Extra>> {
    let fill = |template: &str| {
        let text = template
            .replace("@BASE@", &delta.base.records.to_string())
            .replace("@DELETES@", &delta.files.len().to_string())
            .replace("@UPSERTS@", &facts.totals.rows.to_string())
            .replace("@DELETED@", &delta.deletes.to_string())
            .replace("@ROWS@", &delta.result.records.to_string());
        scripts::fill(facts, &text)
    };
    let check = scripts::CHECK
        .replace("default this bundle", "the set that the collection should be now, as archive:new.tranship")
        .replace(
            "${1:-qdrant:$here}",
            "${1:?name the set that it should be now, as in: bash check.sh archive:new.tranship}",
        );
    let mut extras = vec![
        Extra::text(COUNTS, ""),
        Extra::script("load.sh", fill(include_str!("scripts/load-delta.sh"))),
        Extra::script("check.sh", fill(&check)),
        deletes::undo(facts.mapping),
        facts.readme("Qdrant", &fill(STEPS), FILES),
    ];
    if let Some(body) = settings::create_body(facts.mapping) {
        extras.push(Extra::json(SCHEMA, &body)?);
    }
    Ok(extras)
}

const STEPS: &str = "This is a delta: it takes the collection from @BASE@ points to @ROWS@. It deletes @DELETED@ and writes @UPSERTS@.

    export QDRANT_URL=http://127.0.0.1:6333   # and QDRANT_API_KEY, if the server wants one
    bash load.sh                              # deletes, then writes
    bash check.sh archive:new.tranship        # counts, scrolls everything back, compares with the new set: GO or NO-GO

`load.sh` refuses a collection that does not hold @BASE@ points. It marks every acknowledged body in `.loaded/`; after an
interruption `bash load.sh --resume` sends the rest. Writing replaces a point as a whole, so nothing of the old one stays.
It is taken back by the bundle of the inverse delta (`undo.sh` says how).
";

const FILES: &str = "\
- `data/deletes-*.json`: bodies of `POST /collections/{c}/points/delete`
- `data/points-*.json`: bodies of `PUT /collections/{c}/points`
- `schema.json`: what the collection was made with; `load.sh` does not use it
";

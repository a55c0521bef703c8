//! The scripts and the README of a bundle.
//!
//! The scripts stand in `scripts/` with `@NAME@` where the bundle's own facts go: numbers and a percent-encoded
//! collection name, so nothing in them can be taken for shell syntax. They need bash and curl only.

use std::fmt::Write;

use serde_json::json;
use tranship_bundle::facts::percent_encode;
use tranship_bundle::{Extra, Facts};

use super::{ALIASES, COUNTS};
use crate::dialect::NAMESPACE_KEY;

const COMMON: &str = include_str!("scripts/common.sh");
/// The check of every form.
pub const CHECK: &str = include_str!("scripts/check.sh");
const UNDO: &str = include_str!("scripts/undo.sh");

/// What differs between the forms of a bundle.
pub struct Texts {
    load: &'static str,
    steps: &'static str,
    files: &'static str,
}

/// Request bodies.
pub const BODIES: Texts = Texts { load: include_str!("scripts/load.sh"), steps: STEPS, files: FILES };
/// A snapshot.
pub const SNAPSHOT: Texts =
    Texts { load: include_str!("scripts/load-snapshot.sh"), steps: SNAPSHOT_STEPS, files: SNAPSHOT_FILES };

/// Bytes that a scroll page should have.
const PAGE_BYTES: u64 = 16_000_000;

/// Scripts, counts and README of one bundle.
pub fn extras(facts: &Facts<'_>, texts: &Texts) -> Vec<Extra> {
    let scripts = [("load.sh", texts.load), ("check.sh", CHECK), ("undo.sh", UNDO)];
    let mut extras = vec![Extra::text(COUNTS, counts(facts))];
    extras.extend(scripts.map(|(name, template)| Extra::script(name, fill(facts, template))));
    let steps = fill(facts, steps(facts, texts));
    extras.push(facts.readme(
        "Qdrant",
        &format!("{steps}{}", aliases(facts)),
        &format!("{}{COMMON_FILES}", texts.files),
    ));
    extras
}

/// One line per namespace: count, name as JSON, body of `POST /collections/{c}/points/count`; tab-separated.
fn counts(facts: &Facts<'_>) -> String {
    let mut text = String::new();
    if facts.mapping.namespace_key.is_some() {
        for (namespace, records) in &facts.mapping.records {
            let condition = match namespace.as_str() {
                "" => json!({ "is_empty": { "key": NAMESPACE_KEY } }),
                name => json!({ "key": NAMESPACE_KEY, "match": { "value": name } }),
            };
            let body = json!({ "exact": true, "filter": { "must": [condition] } });
            // JSON escapes tabs and newlines, so a line has three columns whatever the name.
            let _infallible = writeln!(text, "{records}\t{}\t{body}", json!(namespace));
        }
    }
    text
}

fn aliases(facts: &Facts<'_>) -> String {
    if facts.mapping.schema.aliases.is_empty() {
        return String::new();
    }
    format!(
        "\nAt cut-over, point the aliases at the new collection:\n\n    curl -X POST \"$QDRANT_URL/collections/aliases\" \
         -H 'Content-Type: application/json' --data-binary @{ALIASES}\n"
    )
}

fn steps(facts: &Facts<'_>, texts: &Texts) -> &'static str {
    let has_vectors = facts.mapping.stored_schema().stored_vectors().next().is_some();
    match (has_vectors, facts.totals.rows) {
        (true, _) => texts.steps,
        (false, 0) => {
            "The source collection is empty and has no dimensions yet. Qdrant creates a collection by its vectors, so there\n\
             is no `schema.json`, and nothing to load.\n"
        }
        (false, _) => {
            "The source knows no vectors, only documents and metadata. Qdrant creates a collection by its vectors, so there is\n\
             no `schema.json`: create the collection with the vectors that you will add, then run `bash load.sh --resume`.\n"
        }
    }
}

/// Puts the bundle's own facts in.
pub fn fill(facts: &Facts<'_>, template: &str) -> String {
    let snapshot = facts.manifest.files.get(super::native::SNAPSHOT);
    template
        .replace("@COMMON@\n", COMMON)
        .replace("@COLLECTION@", &percent_encode(&facts.mapping.collection))
        .replace("@BODIES@", &facts.totals.bodies.to_string())
        .replace("@ROWS@", &facts.totals.rows.to_string())
        .replace("@PAGE_POINTS@", &page_points(facts).to_string())
        .replace("@SHA256@", snapshot.map_or("", |entry| &entry.sha256))
        .replace("@BYTES@", &snapshot.map_or(0, |entry| entry.bytes).to_string())
}

fn page_points(facts: &Facts<'_>) -> u64 {
    let point_bytes = facts.totals.bytes.checked_div(facts.totals.rows).unwrap_or(0).max(1);
    (PAGE_BYTES / point_bytes).clamp(1, 1000)
}

const STEPS: &str = "    export QDRANT_URL=http://127.0.0.1:6333   # and QDRANT_API_KEY, if the server wants one
    bash load.sh                              # creates the collection, loads it, then switches indexing on
    bash check.sh                             # counts, scrolls everything back, compares: GO or NO-GO
    bash undo.sh                              # takes it back

`load.sh` marks every acknowledged body in `.loaded/`; after an interruption `bash load.sh --resume` sends the rest. It
retries 429 and 5xx, sends `JOBS` bodies at a time (default 2), and needs nothing but bash and curl. `check.sh` gives its
verdict with `tranship verify`; without tranship it checks the counts and prints the command.
";

const FILES: &str = "\
- `data/points-*.json`: bodies of `PUT /collections/{c}/points`
- `schema.json`: body of `PUT /collections/{c}`, indexing off; `schema-after-load.json`: body of the `PATCH` that turns it on
";

const SNAPSHOT_STEPS: &str = "    export QDRANT_URL=http://127.0.0.1:6333   # and QDRANT_API_KEY, if the server wants one
    bash load.sh                              # uploads the snapshot, which creates the collection, and counts
    bash check.sh                             # counts, scrolls everything back, compares: GO or NO-GO
    bash undo.sh                              # takes it back

`load.sh` needs nothing but bash and curl; after an interruption `bash load.sh --resume` uploads once more. The server
(Qdrant 1.14 or newer) keeps the points as they stand in the snapshot and builds its index afterwards. Instead of
`load.sh`, a server that reaches the file over HTTP can fetch it:

    curl -X PUT \"$QDRANT_URL/collections/@COLLECTION@/snapshots/recover?wait=true\" -H 'Content-Type: application/json' \\
      -d '{\"location\":\"http://HOST/collection.snapshot\",\"priority\":\"snapshot\",\"checksum\":\"@SHA256@\"}'

and one that is not running yet can be started with `--snapshot collection.snapshot:NAME`. All records are in shard 0: in a
cluster the node that takes the snapshot has all of them, until shards are moved or resharded.
`check.sh` gives its verdict with `tranship verify`; without tranship it checks the counts and prints the command.
";

const SNAPSHOT_FILES: &str = "\
- `data/collection.snapshot`: the collection in Qdrant's own files, unindexed
";

const COMMON_FILES: &str = "\
- `payload-index-*.json`: bodies of `PUT /collections/{c}/index`
- `aliases.json`: body of `POST /collections/aliases`, if the source had aliases
- `counts.tsv`: expected counts per namespace, for `check.sh`
- `_tranship_id`, `_tranship_namespace` and `_tranship_exact` in the payload, and the document key, hold what Qdrant has no
  place for; so the inverse of the id mapping is in the collection itself, and there is no further file for it
";

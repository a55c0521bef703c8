//! The scripts and the README of a bundle.
//!
//! The scripts stand in `scripts/` with `@NAME@` where the bundle's own facts go: numbers and a percent-encoded
//! collection name, so nothing in them can be taken for shell syntax. They need bash and curl only.

use std::fmt::Write;

use serde_json::json;
use tranship_connector::Mapping;

use super::ALIASES;
use super::manifest::BundleTotals;
use crate::dialect::NAMESPACE_KEY;

const COMMON: &str = include_str!("scripts/common.sh");
const TEMPLATES: [(&str, &str); 3] = [
    ("load.sh", include_str!("scripts/load.sh")),
    ("check.sh", include_str!("scripts/check.sh")),
    ("undo.sh", include_str!("scripts/undo.sh")),
];
/// Bytes that a scroll page should have.
const PAGE_BYTES: u64 = 16_000_000;

/// What scripts and README say about one bundle.
pub struct Facts<'a> {
    mapping: &'a Mapping,
    totals: BundleTotals,
}

impl<'a> Facts<'a> {
    /// The facts of the bundle with this mapping.
    pub fn new(mapping: &'a Mapping, totals: BundleTotals) -> Self {
        Facts { mapping, totals }
    }

    /// Name and text of each script.
    pub fn scripts(&self) -> Vec<(&'static str, String)> {
        TEMPLATES.iter().map(|(name, template)| (*name, self.fill(template))).collect()
    }

    /// One line per namespace: count, name as JSON, body of `POST /collections/{c}/points/count`; tab-separated.
    pub fn counts(&self) -> String {
        let mut text = String::new();
        if self.mapping.namespace_key.is_some() {
            for (namespace, records) in &self.mapping.records {
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

    /// The README.
    pub fn readme(&self) -> String {
        let mapping = self.mapping;
        let aliases = match mapping.schema.aliases.is_empty() {
            true => String::new(),
            false => format!(
                "\nAt cut-over, point the aliases at the new collection:\n\n    curl -X POST \"$QDRANT_URL/collections/aliases\" -H 'Content-Type: application/json' --data-binary @{ALIASES}\n"
            ),
        };
        format!(
            "# Qdrant collection `{}`\n\n{} points in {} request bodies ({} bytes), written by tranship.\n\n{}{}{}{}",
            mapping.collection,
            self.totals.rows,
            self.totals.bodies,
            self.totals.bytes,
            self.steps(),
            aliases,
            self.changes(),
            FILES
        )
    }

    fn steps(&self) -> &'static str {
        let has_vectors = self.mapping.schema.stored_vectors().next().is_some();
        match (has_vectors, self.totals.rows) {
            (true, _) => STEPS,
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

    fn changes(&self) -> String {
        let mut text = "\n## What Qdrant holds differently\n\n".to_owned();
        if self.mapping.losses.is_empty() {
            text.push_str("Nothing.\n");
        }
        for loss in &self.mapping.losses {
            let grade = format!("{:?}", loss.grade).to_lowercase();
            let _infallible = writeln!(text, "- {} ({grade}), {}: {} -> {}", loss.code, loss.path, loss.from, loss.to);
        }
        text
    }

    fn fill(&self, template: &str) -> String {
        template
            .replace("@COMMON@\n", COMMON)
            .replace("@COLLECTION@", &percent_encode(&self.mapping.collection))
            .replace("@BODIES@", &self.totals.bodies.to_string())
            .replace("@ROWS@", &self.totals.rows.to_string())
            .replace("@PAGE_POINTS@", &self.page_points().to_string())
    }

    fn page_points(&self) -> u64 {
        let point_bytes = self.totals.bytes.checked_div(self.totals.rows).unwrap_or(0).max(1);
        (PAGE_BYTES / point_bytes).clamp(1, 1000)
    }
}

/// Everything but unreserved characters as `%XX` of its UTF-8 bytes.
fn percent_encode(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

const STEPS: &str = "    export QDRANT_URL=http://127.0.0.1:6333   # and QDRANT_API_KEY, if the server wants one
    bash load.sh                              # creates the collection, loads it, then switches indexing on
    bash check.sh                             # counts, scrolls everything back, compares: GO or NO-GO
    bash undo.sh                              # takes it back

`load.sh` marks every acknowledged body in `.loaded/`; after an interruption `bash load.sh --resume` sends the rest. It
retries 429 and 5xx, sends `JOBS` bodies at a time (default 2), and needs nothing but bash and curl. `check.sh` gives its
verdict with `tranship verify`; without tranship it checks the counts and prints the command.
";

const FILES: &str = "
`_tranship_id`, `_tranship_namespace` and `_tranship_exact` in the payload, and the document key, hold what Qdrant has no
place for; `mapping.json` says how to undo all of it. So the inverse of the id mapping is in the collection itself, and
there is no further file for it.

## Files

- `data/points-*.json`: bodies of `PUT /collections/{c}/points`
- `schema.json`: body of `PUT /collections/{c}`, indexing off; `schema-after-load.json`: body of the `PATCH` that turns it on
- `payload-index-*.json`: bodies of `PUT /collections/{c}/index`
- `aliases.json`: body of `POST /collections/aliases`, if the source had aliases
- `mapping.json`: the source's schema, what changes form, both fingerprints, records per namespace
- `counts.tsv`: expected counts per namespace, for `check.sh`
- `MANIFEST.json`: size, SHA-256 and points of every file

tranship reads the bundle back as `qdrant:DIRECTORY`, in the source's own form.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_the_shell_only_percent_encoded() {
        assert_eq!(percent_encode("a b'$(x)`é"), "a%20b%27%24%28x%29%60%C3%A9");
    }
}

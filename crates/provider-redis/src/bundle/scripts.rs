//! The scripts and the README of a bundle, and the files that they read.
//!
//! The shell scripts hold numbers and words of ours only. Names reach them through files, one per line: no name holds a
//! control character, and namespaces stand percent-encoded.

use std::fmt::Write;

use tranship_bundle::{Extra, Facts};

use super::layout::{Kind, Layout};
use super::{commands, index};

/// What every script begins with.
pub const COMMON: &str = include_str!("scripts/common.sh");
/// The check of a bundle.
pub const CHECK: &str = include_str!("scripts/check.sh");
const TEMPLATES: [(&str, &str); 3] =
    [("load.sh", include_str!("scripts/load.sh")), ("check.sh", CHECK), ("undo.sh", include_str!("scripts/undo.sh"))];

/// Index commands, lists, scripts and README of one bundle.
pub fn extras(facts: &Facts<'_>, layout: &Layout) -> Vec<Extra> {
    let mut extras = vec![
        Extra::text("files.tsv", files(facts)),
        Extra::text("counts.tsv", counts(facts, layout)),
        Extra::text("pattern.txt", format!("{}\n", all_keys(layout))),
    ];
    if layout.kind == Kind::Hash {
        let drop = ["FT.DROPINDEX".to_owned(), layout.collection.clone()];
        for (name, words) in [("index.resp", index::create(facts.mapping, layout)), ("drop-index.resp", drop.to_vec())]
        {
            let mut bytes = Vec::new();
            commands::append(&words, &mut bytes);
            extras.push(Extra { name: name.to_owned(), bytes, executable: false });
        }
    }
    let kind = if layout.kind == Kind::Hash { "hash" } else { "vset" };
    let fill = |template: &str| {
        template
            .replace("@COMMON@\n", COMMON)
            .replace("@FILES@", &facts.totals.bodies.to_string())
            .replace("@ROWS@", &facts.totals.rows.to_string())
            .replace("@FORM@", kind)
    };
    extras.extend(TEMPLATES.iter().map(|(name, template)| Extra::script(name, fill(template))));
    let keys = match layout.kind {
        Kind::Hash => HASH_STEPS,
        Kind::Set => SET_STEPS,
    };
    extras.push(facts.readme("Redis", &format!("{STEPS}{keys}"), FILES));
    extras
}

/// One line per data file: path, commands, SHA-256.
pub fn files(facts: &Facts<'_>) -> String {
    let mut text = String::new();
    for (path, records, _) in facts.data() {
        let sha256 = facts.manifest.files.get(path).map_or("", |entry| entry.sha256.as_str());
        let _infallible = writeln!(text, "{path}\t{records}\t{sha256}");
    }
    text
}

/// One line per namespace: records, name as JSON, pattern of its keys or key of its set.
fn counts(facts: &Facts<'_>, layout: &Layout) -> String {
    let mut text = String::new();
    let mut line = |records: u64, name: &str| {
        let prefix = layout.namespace_prefix(name);
        let keys = if layout.kind == Kind::Hash { format!("{}*", escaped(&prefix)) } else { prefix };
        let name = serde_json::Value::from(name);
        let _infallible = writeln!(text, "{records}\t{name}\t{keys}");
    };
    match layout.namespaced {
        true => facts.mapping.records.iter().for_each(|(name, records)| line(*records, name)),
        false => line(facts.totals.rows, ""),
    }
    text
}

/// The pattern of all keys.
pub fn all_keys(layout: &Layout) -> String {
    let any = if layout.kind == Kind::Set && !layout.namespaced { "" } else { "*" };
    format!("{}{any}", escaped(&layout.prefix()))
}

/// Without a meaning for `SCAN .. MATCH`.
fn escaped(prefix: &str) -> String {
    let mut out = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

const STEPS: &str = "    export REDIS_HOST=127.0.0.1 REDIS_PORT=6379   # or REDIS_SOCKET; REDISCLI_AUTH holds the password
    bash load.sh                              # sends the records, then creates the index
    bash check.sh                             # counts, fetches a dump, compares: GO or NO-GO
    bash undo.sh                              # takes it back

`load.sh` sends each file by `redis-cli --pipe` and marks it in `.loaded/` once every reply was good; after an
interruption `bash load.sh --resume` sends the rest. A command that is sent twice changes nothing. One server, no cluster.
";

const HASH_STEPS: &str = "
A record is a hash: `collection:id`, with namespaces `collection:namespace:id` (percent-encoded namespace). Vectors are
raw little-endian fields, `_metadata` is the exact metadata as JSON text, its scalars also stand as fields of their own for
filters. The index needs the search module (Redis 8, or Redis Stack); FLOAT16 and BFLOAT16 need Redis 7.4, INT8 and UINT8
Redis 8.0. `INDEX=no bash load.sh` leaves it out. The index was not run against an engine, the records were (6.2, Valkey 9).
`check.sh` fetches the dump by `redis-cli --rdb`, which the server must allow.
";

const SET_STEPS: &str = "
A namespace is a vector set (Redis 8.0 or newer), a record an element with its metadata as attributes; vectors are not
quantised (NOQUANT). `check.sh` counts elements; tranship reads no vector sets back, so it cannot say GO. This form was not
run against an engine.
";

const FILES: &str = "\
- `data/commands-*.resp`: one command per record in the server's protocol; `files.tsv` lists them
- `index.resp`, `drop-index.resp`: `FT.CREATE` and `FT.DROPINDEX` (hashes)
- `counts.tsv`, `pattern.txt`: expected records per namespace and the patterns of their keys
- `_tranship_id` in the metadata holds ids that Redis has no place for
";

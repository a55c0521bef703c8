//! The bundle of a delta: commands that delete beside commands that write, for keys that are there.
//!
//! ```text
//! data/deletes-00000-000.resp   UNLINK key          (hashes)      or   VREM key element      (vector sets)
//! data/commands-*.resp          as in any bundle
//! deletes.tsv files.tsv         file, commands, SHA-256, for load.sh
//! ```
//!
//! HSET keeps fields that the new record has no more, so records to write are deleted first as well.

use std::fmt::Write;

use tranship_bundle::deletes::{self, Deletes, as_loaded};
use tranship_bundle::form::TextShape;
use tranship_bundle::manifest::DeltaEntry;
use tranship_bundle::{Extra, Facts};

use super::layout::{Kind, Layout};
use super::{commands, scripts};

/// One command per id.
pub const DELETES: Deletes = Deletes {
    shape: TextShape {
        stem: deletes::STEM,
        extension: "resp",
        start: b"",
        between: b"",
        end: b"",
        max_bytes: 2_000_000_000,
        max_rows: u64::MAX,
    },
    replaced_too: true,
    append: |mapping, view, row, out| {
        let layout = Layout::of(mapping)?;
        let (prefix, id) = (layout.namespace_prefix(view.namespace(row).unwrap_or("")), view.id(row));
        match layout.kind {
            Kind::Hash => commands::append(&["UNLINK", &format!("{prefix}{id}")], out),
            Kind::Set => commands::append(&["VREM", &prefix, id], out),
        }
        Ok(())
    },
    adapt: as_loaded,
};

/// Lists, scripts and README.
pub fn extras(facts: &Facts<'_>, layout: &Layout, delta: &DeltaEntry) -> Vec<Extra> {
    let fill = |template: &str| {
        template
            .replace("@COMMON@\n", scripts::COMMON)
            .replace("@BASE@", &delta.base.records.to_string())
            .replace("@DELETED@", &delta.deletes.to_string())
            .replace("@UPSERTS@", &facts.totals.rows.to_string())
            .replace("@ROWS@", &delta.result.records.to_string())
            .replace("@FILES@", &(facts.totals.bodies as usize + delta.files.len()).to_string())
            .replace("@FORM@", if layout.kind == Kind::Hash { "hash" } else { "vset" })
    };
    let check = scripts::CHECK
        .replace("default this bundle", "the set that the keys should be now, as archive:new.tranship")
        .replace(
            "${1:-redis:$here}",
            "${1:?name the set that it should be now, as in: bash check.sh archive:new.tranship}",
        );
    let pattern = scripts::all_keys(layout);
    // Sets of several namespaces cannot be counted by one pattern of keys.
    let counts = match layout.kind == Kind::Set && layout.namespaced {
        true => String::new(),
        false if layout.kind == Kind::Set => format!("{}\t\"\"\t{}\n", delta.result.records, layout.prefix()),
        false => format!("{}\t\"all\"\t{pattern}\n", delta.result.records),
    };
    let mut listed = String::new();
    for (path, commands) in &delta.files {
        let sha256 = facts.manifest.files.get(path).map_or("", |entry| entry.sha256.as_str());
        let _infallible = writeln!(listed, "{path}\t{commands}\t{sha256}");
    }
    vec![
        Extra::text("files.tsv", scripts::files(facts)),
        Extra::text("deletes.tsv", listed),
        Extra::text("counts.tsv", counts),
        Extra::text("pattern.txt", format!("{pattern}\n")),
        Extra::script("load.sh", fill(include_str!("scripts/load-delta.sh"))),
        Extra::script("check.sh", fill(&check)),
        deletes::undo(facts.mapping),
        facts.readme("Redis", &fill(STEPS), FILES),
    ]
}

const STEPS: &str = "This is a delta: it takes the keys from @BASE@ records to @ROWS@. It deletes @DELETED@ and writes @UPSERTS@.

    export REDIS_HOST=127.0.0.1 REDIS_PORT=6379   # or REDIS_SOCKET; REDISCLI_AUTH holds the password
    bash load.sh                              # deletes, then writes; the index of hashes follows by itself
    bash check.sh archive:new.tranship        # counts, fetches a dump, compares with the new set: GO or NO-GO

`load.sh` refuses hashes that are not @BASE@. A record that is written anew is deleted first, for HSET would keep fields that the
new one has no more; so stop the readers that must not miss it. After an interruption `bash load.sh --resume` goes on. It is
taken back by the bundle of the inverse delta (`undo.sh` says how).
";

const FILES: &str = "\
- `data/deletes-*.resp`: `UNLINK` or `VREM`, one command per id, those of the records to write among them; `deletes.tsv` lists them
- `data/commands-*.resp`: one command per record in the server's protocol; `files.tsv` lists them
";

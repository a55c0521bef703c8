//! The bundle of a delta: one transaction deletes keys that are gone and writes rows anew, in a table that is there.
//!
//! ```text
//! data/deletes-00000-000.txt   [namespace TAB] id, one key per line, as COPY reads text
//! data/rows-*.bin              rows as COPY BINARY
//! delta.sql                    the transaction; load.sh runs it, psql alone will do
//! ```
//!
//! Invariant: other sessions see the table before or after, never in between. The mark of the delta in the table of marks is
//! set in the same transaction, so a second run changes nothing; the mark of a later delta takes its place.

use std::fmt::Write;

use tranship_bundle::deletes::{self, Deletes, as_loaded};
use tranship_bundle::form::TextShape;
use tranship_bundle::manifest::DeltaEntry;
use tranship_bundle::{Extra, Facts};

use super::ddl::{PROLOGUE, Scripts};
use super::layout::{ID, Layout, NAMESPACE};
use super::scripts;
use crate::dialect::{LEDGER, identifier, literal};

/// Keys as COPY reads text.
pub const DELETES: Deletes = Deletes {
    shape: TextShape {
        stem: deletes::STEM,
        extension: "txt",
        start: b"",
        between: b"",
        end: b"",
        max_bytes: 1_000_000_000,
        max_rows: u64::MAX,
    },
    // Rows that are written anew go by way of a table of their own.
    replaced_too: false,
    append: |mapping, view, row, out| {
        if Layout::of(mapping)?.namespaced {
            append_text(view.namespace(row).unwrap_or(""), out);
            out.push(b'\t');
        }
        append_text(view.id(row), out);
        out.push(b'\n');
        Ok(())
    },
    adapt: as_loaded,
};

fn append_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => out.push(byte),
        }
    }
}

/// SQL, scripts, checksums and README.
pub fn extras(facts: &Facts<'_>, layout: &Layout, delta: &DeltaEntry) -> Vec<Extra> {
    let sql = Scripts::new(facts, layout);
    let fill = |template: &str| {
        template
            .replace("@BASE@", &delta.base.records.to_string())
            .replace("@DELETED@", &delta.deletes.to_string())
            .replace("@UPSERTS@", &facts.totals.rows.to_string())
            .replace("@ROWS@", &delta.result.records.to_string())
            .replace("@FILES@", &(facts.totals.bodies as usize + delta.files.len()).to_string())
            .replace("@COMMON@\n", scripts::COMMON)
    };
    let check = scripts::CHECK
        .replace("default this bundle", "the set that the table should be now, as archive:new.tranship")
        .replace(
            "${1:-pgvector:$here}",
            "${1:?name the set that it should be now, as in: bash check.sh archive:new.tranship}",
        );
    let table = identifier(&facts.mapping.collection);
    let rows = delta.result.records;
    let counts = format!(
        "{PROLOGUE}SELECT 'records', {rows} AS wanted, count(*) AS found FROM {table} HAVING count(*) <> {rows};\n"
    );
    vec![
        Extra::text("delta.sql", transaction(facts, layout, delta)),
        Extra::text("check.sql", counts),
        Extra::text("pull.sql", sql.pull()),
        Extra::text("data.sha256", checksums(facts, delta)),
        Extra::script("load.sh", fill(include_str!("scripts/load-delta.sh"))),
        Extra::script("check.sh", fill(&check)),
        deletes::undo(facts.mapping),
        facts.readme("PostgreSQL", &format!("{}\nThe table is `{table}`.\n", fill(STEPS)), FILES),
    ]
}

/// Everything in one transaction, unless its mark is there.
fn transaction(facts: &Facts<'_>, layout: &Layout, delta: &DeltaEntry) -> String {
    let table = identifier(&facts.mapping.collection);
    let (target, step) = (literal(&facts.mapping.collection), literal(&format!("delta {}", delta.result.digest)));
    let (base, columns) = (delta.base.records, layout.column_list());
    let id = if layout.bigint { "bigint" } else { "text" };
    let (keys, same) = match layout.namespaced {
        true => (format!("{NAMESPACE} text, {ID} {id}"), format!("t.{NAMESPACE} = g.{NAMESPACE} AND t.{ID} = g.{ID}")),
        false => (format!("{ID} {id}"), format!("t.{ID} = g.{ID}")),
    };
    let mut text = format!(
        "{PROLOGUE}BEGIN;\n\
         CREATE TABLE IF NOT EXISTS {LEDGER} (target text, step text, sha256 text, records bigint,\n    \
         done timestamptz DEFAULT now(), PRIMARY KEY (target, step));\n\
         LOCK TABLE {LEDGER} IN SHARE ROW EXCLUSIVE MODE;\n\
         LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;\n\
         SELECT EXISTS (SELECT FROM {LEDGER} WHERE target = {target} AND step = {step}) AS done,\n    \
         (SELECT count(*) FROM {table}) = {base} AS fits \\gset\n\
         \\if :done\n\\else\n\\if :fits\n\\else\n\
         DO $$ BEGIN RAISE EXCEPTION 'the table does not hold the {base} rows that this delta was made from'\n    \
         USING HINT = 'load the set that it was made from first'; END $$;\n\\endif\n\
         CREATE TEMP TABLE tranship_gone ({keys}) ON COMMIT DROP;\n"
    );
    for path in delta.files.keys() {
        let _infallible = writeln!(text, "\\copy tranship_gone FROM {} WITH (FORMAT text)", literal(path));
    }
    let _infallible = write!(
        text,
        "DELETE FROM {table} t USING tranship_gone g WHERE {same};\n\
         CREATE TEMP TABLE tranship_new (LIKE {table}) ON COMMIT DROP;\n"
    );
    for (path, _, _) in facts.data() {
        let _infallible = writeln!(text, "\\copy tranship_new ({columns}) FROM {} WITH (FORMAT binary)", literal(path));
    }
    let _infallible = write!(
        text,
        "DELETE FROM {table} t USING tranship_new g WHERE {same};\n\
         INSERT INTO {table} ({columns}) SELECT {columns} FROM tranship_new;\n\
         DELETE FROM {LEDGER} WHERE target = {target} AND step LIKE 'delta %';\n\
         INSERT INTO {LEDGER} (target, step, records) VALUES ({target}, {step}, {});\n\
         \\endif\nCOMMIT;\nANALYZE {table};\n",
        facts.totals.rows
    );
    text
}

fn checksums(facts: &Facts<'_>, delta: &DeltaEntry) -> String {
    let mut text = String::new();
    for path in facts.data().map(|(path, ..)| path).chain(delta.files.keys().map(String::as_str)) {
        if let Some(entry) = facts.manifest.files.get(path) {
            let _infallible = writeln!(text, "{}  {path}", entry.sha256);
        }
    }
    text
}

const STEPS: &str = "This is a delta: it takes the table from @BASE@ rows to @ROWS@. It deletes @DELETED@ and writes @UPSERTS@.

    export PGHOST=127.0.0.1 PGUSER=me PGDATABASE=mine   # and PGPASSWORD or ~/.pgpass: psql's own variables
    bash load.sh                              # one transaction; `psql -X -f delta.sql` in this directory does the same
    bash check.sh archive:new.tranship        # counts, copies everything back, compares with the new set: GO or NO-GO

`load.sh` refuses a table that does not hold @BASE@ rows, and may be stopped and run again at any time: all of it is there, or
nothing. It is taken back by the bundle of the inverse delta (`undo.sh` says how).
";

const FILES: &str = "\
- `data/deletes-*.txt`: keys to delete, as COPY reads text; `data/rows-*.bin`: rows as COPY BINARY; `data.sha256` for both
- `delta.sql`: the transaction; `check.sql`, `pull.sql`: a count that is wrong; everything as COPY BINARY
";

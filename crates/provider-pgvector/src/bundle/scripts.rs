//! The scripts and the README of a bundle.
//!
//! The shell scripts hold numbers of the bundle's own and no names; names stand in the SQL only. They need bash and psql.

use std::fmt::Write;

use tranship_bundle::{Extra, Facts};

use super::ddl::Scripts;
use super::layout::Layout;
use crate::dialect::{LEDGER, identifier};

/// What every script begins with.
pub const COMMON: &str = include_str!("scripts/common.sh");
/// The check of a bundle.
pub const CHECK: &str = include_str!("scripts/check.sh");
const TEMPLATES: [(&str, &str); 3] =
    [("load.sh", include_str!("scripts/load.sh")), ("check.sh", CHECK), ("undo.sh", include_str!("scripts/undo.sh"))];
const LOAD_ALL: &str = "\\set ON_ERROR_STOP on\n\\ir schema.sql\n\\ir data.sql\n\\ir index.sql\n";

/// SQL, scripts, checksums and README of one bundle.
pub fn extras(facts: &Facts<'_>, layout: &Layout) -> Vec<Extra> {
    let sql = Scripts::new(facts, layout);
    let mut extras = vec![
        Extra::text("schema.sql", sql.schema()),
        Extra::text("data.sql", sql.data()),
        Extra::text("index.sql", sql.index()),
        Extra::text("load.sql", LOAD_ALL),
        Extra::text("check.sql", sql.check()),
        Extra::text("pull.sql", sql.pull()),
        Extra::text("undo.sql", sql.undo()),
        Extra::text("data.sha256", checksums(facts)),
    ];
    let fill = |template: &str| {
        template
            .replace("@COMMON@\n", COMMON)
            .replace("@FILES@", &facts.totals.bodies.to_string())
            .replace("@ROWS@", &facts.totals.rows.to_string())
    };
    extras.extend(TEMPLATES.iter().map(|(name, template)| Extra::script(name, fill(template))));
    let table = format!("\nThe table is `{}`.\n", identifier(&facts.mapping.collection));
    extras.push(facts.readme(
        "PostgreSQL",
        &format!("{STEPS}{table}{}", columns(layout)),
        &FILES.replace("@MARKS@", LEDGER),
    ));
    extras
}

fn checksums(facts: &Facts<'_>) -> String {
    let mut text = String::new();
    for (path, _, _) in facts.data() {
        if let Some(entry) = facts.manifest.files.get(path) {
            let _infallible = writeln!(text, "{}  {path}", entry.sha256);
        }
    }
    text
}

fn columns(layout: &Layout) -> String {
    let mut text = "\n| column | type |\n|---|---|\n".to_owned();
    for (name, kind) in layout.columns() {
        let _infallible = writeln!(text, "| `{}` | {kind} |", name.replace('|', "\\|"));
    }
    text
}

const STEPS: &str = "    export PGHOST=127.0.0.1 PGUSER=me PGDATABASE=mine   # and PGPASSWORD or ~/.pgpass: psql's own variables
    bash load.sh                              # creates the table, loads it, then builds keys and indexes
    bash check.sh                             # counts, copies everything back, compares: GO or NO-GO
    bash undo.sh                              # takes it back

With psql alone: `psql -X -f load.sql` in this directory. Each file is loaded in one transaction with its mark in the
table `tranship_loaded`, so `load.sh` may be stopped at any time and run again, and never loads a file twice. `JOBS` files
are loaded at a time (default 2). `check.sh` gives its verdict with `tranship verify`; without tranship it checks the
counts and prints the command. The extension `vector` 0.7 or newer must be there to be created (0.8 was tried).
Under cosine a zero vector has no distance: pgvector's indexes leave it out.
";

const FILES: &str = "\
- `data/rows-*.bin`: rows as COPY BINARY; `data.sha256` for `sha256sum --check`
- `schema.sql`, `data.sql`, `index.sql`: the table, the files, keys and indexes; `load.sql` runs the three
- `check.sql`, `pull.sql`, `undo.sql`: counts that are wrong; everything as COPY BINARY; drops the table and its marks in `@MARKS@`
- `_tranship_id` and `_tranship_exact` in the metadata hold what PostgreSQL has no place for
";

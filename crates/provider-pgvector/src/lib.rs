//! pgvector: reads tables with vectors out of PostgreSQL dumps, offline, and writes bundles that psql loads.
//!
//! ```text
//! dump     -> sections -> splits -> rows          -> records
//! catalog  -> plan (what each column becomes)     -> schema
//! ```
//! `sql` understands as much SQL as dumps are made of, `dump` finds declarations and data in every kind of dump, `section` cuts the
//! data into splits, `rows` takes rows apart, `values` reads what PostgreSQL's types look like, `plan` and `record` make
//! records of them. `dialect` maps names, types and index settings. `bundle` writes COPY BINARY with the scripts that load it.

pub mod bundle;
mod bytes;
pub mod dialect;
mod dump;
mod options;
mod plan;
mod record;
mod rows;
mod sample;
mod section;
mod source;
mod sql;
mod values;

use std::path::Path;

use tranship_connector::{
    Capabilities, CollectionInfo, Connector, Coverage, Known, Locator, OpenOptions, Result, Score, Source,
};

use dump::Kind;
use source::PgSource;

/// The connector.
pub static CONNECTOR: Connector = Connector {
    name: "pgvector",
    about: "PostgreSQL with pgvector: pg_dump, COPY, bundles (COPY BINARY)",
    extensions: &["sql", "sql.gz", "sql.zst", "dump"],
    capabilities: Capabilities {
        reads: "pg_dump plain, custom, directory, tar; COPY text, CSV, BINARY; bundles written by tranship",
        writes: "bundles: COPY BINARY files, table and indexes as SQL; load, check and undo scripts for psql",
        vectors: "vector (f32), halfvec (f16), sparsevec, bit; several per table by name",
        ids: "integers, text, uuid",
        metadata: "every other column: numbers, text, json, arrays, times, bytes",
        several_collections: true,
        bundles: true,
        proven_with: "PostgreSQL 15, 16, 18",
        covers: COVERAGE,
    },
    options: options::OPTIONS,
    target_options: bundle::TARGET_OPTIONS,
    probe,
    list: Some(list),
    open: Some(open),
    create: Some(bundle::create),
};

const COVERAGE: &[Coverage] = &[
    Coverage {
        what: "bundles written by tranship",
        known: Known::AgainstEngine,
        note: "loaded by load.sh into PostgreSQL 18 and 16 with pgvector 0.8.5, stopped and repeated, copied back and dumped",
    },
    Coverage {
        what: "pg_dump plain SQL, COPY and INSERT, PostgreSQL 16 and 18",
        known: Known::AgainstEngine,
        note: "also .gz, .zst, .lz4, which are decompressed twice: keys and indexes stand behind the data",
    },
    Coverage {
        what: "pg_dump custom, directory, tar; archive 1.15 and 1.16 (PostgreSQL 16 to 18), gzip or none",
        known: Known::AgainstEngine,
        note: "also written to a pipe, without offsets",
    },
    Coverage {
        what: "COPY text, CSV, BINARY files",
        known: Known::AgainstEngine,
        note: "columns by -o columns=.., or from a CSV header",
    },
    Coverage {
        what: "pg_dump of PostgreSQL 15: plain, INSERT, custom, directory, tar (archive 1.14)",
        known: Known::StoredDump,
        note: "2,700 rows, every column compared",
    },
    Coverage {
        what: "archives compressed by lz4 or zstd",
        known: Known::SheetOnly,
        note: "put together from a real archive's data; no pg_dump with these codecs was at hand",
    },
    Coverage {
        what: "archives 1.10 to 1.13 (PostgreSQL 8 to 11)",
        known: Known::SheetOnly,
        note: "their headers lack a few fields; older ones are refused",
    },
    Coverage {
        what: "plain dumps whose rows UPDATE, DELETE, MERGE or TRUNCATE change later, or INSERT .. SELECT fills",
        known: Known::Refused,
        note: "only PostgreSQL can run them: load the dump and dump it again",
    },
    Coverage {
        what: "tables whose rows were left out (--schema-only, --exclude-table-data), or whose columns nothing names (INSERT of \
               --data-only)",
        known: Known::Refused,
        note: "a directory's toc.dat alone, too: its data lie beside it",
    },
    Coverage {
        what: "dumps in other encodings than UTF-8 (SQL_ASCII is read as UTF-8), UTF-16 of PowerShell",
        known: Known::Refused,
        note: "`pg_dump --encoding=UTF8`",
    },
    Coverage {
        what: "COPY in a dump FROM a file or in another format than pg_dump's; COPY BINARY with oids, or of types whose binary \
               form is not known",
        known: Known::Refused,
        note: "write it again as text",
    },
    Coverage {
        what: "a table that a dump of several databases holds twice; archives before 1.10; dumps through a pipe",
        known: Known::Refused,
        note: "one dump per database; `pg_restore -f dump.sql`; a file",
    },
];

fn probe(path: &Path) -> Option<Score> {
    if let Some(score) = bundle::probe(path) {
        return Some(score);
    }
    let kind = dump::kind_of(path).ok()?;
    match kind {
        Some(Kind::Custom | Kind::Directory | Kind::Tar) => Some(98),
        Some(Kind::Copy | Kind::Sql) => Some(95),
        None if path.is_file() && dump::has_extension(path, ".sql") => Some(40),
        None => None,
    }
}

fn list(locator: &Locator, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    check_path(locator)?;
    if is_bundle(&locator.path) {
        return bundle::list(locator, options);
    }
    source::list(&locator.path, options)
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    check_path(locator)?;
    if is_bundle(&locator.path) {
        return bundle::open(locator, options);
    }
    Ok(Box::new(PgSource::open(&locator.path, options)?))
}

/// True for what tranship wrote or pulled.
fn is_bundle(path: &Path) -> bool {
    tranship_bundle::is_bundle(path)
}

fn check_path(locator: &Locator) -> Result<()> {
    if locator.is_stream() {
        return Err(tranship_connector::Error::usage("a PostgreSQL dump cannot come through a pipe")
            .hint("keys and indexes stand at its end, so it is read twice: put it into a file"));
    }
    Ok(())
}

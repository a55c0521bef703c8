//! pgvector: reads tables with vectors out of PostgreSQL dumps, offline.
//!
//! ```text
//! dump     -> sections -> splits -> rows          -> records
//! catalog  -> plan (what each column becomes)     -> schema
//! ```
//! `sql` understands as much SQL as dumps are made of, `dump` finds declarations and data in every kind of dump, `section` cuts the
//! data into splits, `rows` takes rows apart, `values` reads what PostgreSQL's types look like, `plan` and `record` make
//! records of them. `dialect` maps names, types and index settings.

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
    about: "PostgreSQL with pgvector: pg_dump and COPY",
    extensions: &["sql", "sql.gz", "sql.zst", "dump"],
    capabilities: Capabilities {
        reads: "pg_dump plain, custom, directory, tar; COPY text, CSV, BINARY",
        writes: "",
        vectors: "vector (f32), halfvec (f16), sparsevec, bit; several per table by name",
        ids: "integers, text, uuid",
        metadata: "every other column: numbers, text, json, arrays, times, bytes",
        several_collections: true,
        bundles: false,
        proven_with: "PostgreSQL 15, 16, 18",
        covers: COVERAGE,
    },
    options: options::OPTIONS,
    target_options: &[],
    probe,
    list: Some(list),
    open: Some(open),
    create: None,
};

const COVERAGE: &[Coverage] = &[
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
        what: "dumps in other encodings than UTF-8, COPY BINARY with oids, INSERT .. SELECT",
        known: Known::Refused,
        note: "with the way out",
    },
];

fn probe(path: &Path) -> Option<Score> {
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
    source::list(&locator.path, options)
}

fn open(locator: &Locator, options: &OpenOptions) -> Result<Box<dyn Source>> {
    check_path(locator)?;
    Ok(Box::new(PgSource::open(&locator.path, options)?))
}

fn check_path(locator: &Locator) -> Result<()> {
    if locator.is_stream() {
        return Err(tranship_connector::Error::usage("a PostgreSQL dump cannot come through a pipe")
            .hint("keys and indexes stand at its end, so it is read twice: put it into a file"));
    }
    Ok(())
}

//! A dump of any kind: what it declares, and which data it holds.
//!
//! | kind | told by | data |
//! |---|---|---|
//! | plain SQL | its first lines, also compressed | COPY rows and INSERT statements in the file |
//! | custom archive | `PGDMP` | blocks in the same file |
//! | directory, tar | `toc.dat` | a file or member per table |
//! | COPY file | its first bytes, or nothing | the file |
//!
//! Invariant: a dump that is [`Dump::complete`] knows all declarations and all data; the first look at a long plain
//! dump is not, because keys and indexes stand at its end.

pub mod archive;
pub mod bare;
pub mod block;
pub mod input;
pub mod plain;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tranship_connector::{Error, OpenOptions, Result};
use tranship_storage::{Blob, Tree};

use crate::dialect::Type;
use crate::rows::{Form, InsertStyle, TextStyle};
use crate::section::{Bytes, Data, Ending, Section, text_range};
use crate::sql::catalog::Column;
use crate::sql::{Catalog, Lexer, Stop, Table, TableName};
use archive::{Archive, Layout, MAGIC, Place};
use bare::BareFile;
use block::Block;
use input::{Codec, Input, read_error};
use plain::{Run, Scan};

/// The table of contents of a directory or tar.
pub const TOC: &str = "toc.dat";
/// Bytes of a plain dump that a first look reads.
const GLANCE_BYTES: u64 = 64 << 20;
/// Bytes of its end that it reads.
const GLANCE_TAIL_BYTES: u64 = 1 << 20;
/// Bytes in which the first INSERT statement names its columns.
const FIRST_STATEMENT_BYTES: u64 = 1 << 20;

/// What kind of dump it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Plain SQL.
    Sql,
    /// A custom archive.
    Custom,
    /// A directory.
    Directory,
    /// A tar.
    Tar,
    /// A COPY file.
    Copy,
}

/// A dump.
pub struct Dump {
    /// Its declarations.
    pub catalog: Catalog,
    /// Its data.
    pub data: Vec<TableData>,
    /// Versions of server and pg_dump.
    pub producer: Option<String>,
    /// What else its header says.
    pub facts: Value,
    /// Everything has been looked at.
    pub complete: bool,
    /// Columns of a COPY file whose types are not given.
    pub untyped: Vec<String>,
    path: PathBuf,
    input: Input,
    contents: Contents,
}

/// Data of one table.
#[derive(Debug, Clone)]
pub struct TableData {
    /// The table.
    pub table: TableName,
    /// Which database, where a dump holds several.
    pub database: u32,
    /// Number of rows, if it is known.
    pub rows: Option<u64>,
    /// Why it cannot be read, if so.
    pub unreadable: Option<&'static str>,
    columns: Option<Vec<String>>,
    place: DataPlace,
}

#[derive(Debug, Clone)]
enum DataPlace {
    Run(usize),
    Entry { id: i64, place: Place, inserts: bool },
    File,
}

enum Contents {
    Sql(Vec<Run>),
    Archive(Archive, Tree),
    Copy(BareFile),
}

/// Tells what lies at `path`, without reading more than its beginning.
pub fn kind_of(path: &Path) -> Result<Option<Kind>> {
    if path.is_dir() {
        return Ok(path.join(TOC).is_file().then_some(Kind::Directory));
    }
    let input = Input::of_path(path)?;
    let mut head = Vec::new();
    // A stream that cannot be decompressed is nobody's dump.
    if input.cursor(0)?.take(4096).read_to_end(&mut head).is_err() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&head);
    Ok(match () {
        () if head.starts_with(MAGIC) => Some(Kind::Custom),
        () if head.starts_with(b"toc.dat\0") && head.get(512..).is_some_and(|toc| toc.starts_with(MAGIC)) => {
            Some(Kind::Tar)
        }
        () if bare::is_binary(&head) => Some(Kind::Copy),
        () if is_sql(&text) => Some(Kind::Sql),
        () => None,
    })
}

/// Only whole lines count: a text about dumps, in a record of another format, is none.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    text.starts_with("\\restrict ") || text.lines().any(|line| plain::BEGUN.contains(&line.trim_end()))
}

/// The table of contents of a directory, or of a tar that was unpacked, without the data beside it.
fn only_contents(toc: &Path) -> Error {
    let folder = toc.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Error::not_recognised("the file is only the table of contents of a pg_dump directory, whose data lie beside it")
        .with("file", toc.display())
        .hint(format!("give the folder: pgvector:{}", folder.display()))
}

fn is_utf16(path: &Path) -> Result<bool> {
    let mut head = [0; 2];
    let count = Blob::of_path(path)?.open()?.read_at(0, &mut head)?;
    Ok(count == 2 && matches!(head, [0xff, 0xfe] | [0xfe, 0xff]))
}

impl Dump {
    /// Looks at the dump at `path`: at the beginning and the end of it if it is a long plain one.
    pub fn glance(path: &Path, options: &OpenOptions) -> Result<Self> {
        Dump::open(path, options, Some(GLANCE_BYTES))
    }

    /// Looks at all of it.
    pub fn read(path: &Path, options: &OpenOptions) -> Result<Self> {
        Dump::open(path, options, None)
    }

    fn open(path: &Path, options: &OpenOptions, limit: Option<u64>) -> Result<Self> {
        let kind = match kind_of(path)? {
            Some(kind) => kind,
            None if path.is_dir() => {
                return Err(Error::not_recognised(format!(
                    "{} has no {TOC}: it is no dump of pg_dump -Fd",
                    path.display()
                ))
                .hint("give the directory that was passed to `pg_dump -Fd -f`"));
            }
            None if is_utf16(path)? => {
                return Err(Error::not_recognised("the dump is in UTF-16, as `>` of Windows PowerShell writes it")
                    .with("file", path.display())
                    .hint("make it again with `pg_dump -f FILE`, without `>`; or convert plain SQL with `iconv -f UTF-16 -t UTF-8`"));
            }
            None if has_extension(path, ".sql") => Kind::Sql,
            None if tranship_container::tar::is_tar(&Blob::of_path(path)?) => Kind::Tar,
            None => Kind::Copy,
        };
        match kind {
            Kind::Sql => Dump::sql(path, limit),
            Kind::Custom | Kind::Directory | Kind::Tar => Dump::archive(path, kind, options),
            Kind::Copy => Dump::copy_file(path, options),
        }
    }

    fn sql(path: &Path, limit: Option<u64>) -> Result<Self> {
        let input = Input::of_path(path)?;
        let mut scan = plain::scan(Box::new(input.cursor(0)?), input.label(), limit)?;
        if !scan.complete
            && let Some(len) = input.len()
        {
            let from = len.saturating_sub(GLANCE_TAIL_BYTES);
            let tail = input.blob.open()?.range_to_vec(from, len, GLANCE_TAIL_BYTES)?;
            plain::glance_at_end(&tail, &mut scan.catalog);
        }
        let Scan { catalog, runs, server, pg_dump, complete } = scan;
        let data = runs.iter().enumerate().map(|(at, run)| TableData {
            table: run.table.clone(),
            database: run.database,
            rows: complete.then_some(run.rows),
            unreadable: run.unreadable,
            columns: run.columns.clone(),
            place: DataPlace::Run(at),
        });
        Ok(Dump {
            data: data.collect(),
            catalog,
            producer: producer(server.as_deref(), pg_dump.as_deref()),
            facts: json!({ "format": "plain", "server": server, "pg_dump": pg_dump }),
            complete,
            untyped: Vec::new(),
            path: path.to_owned(),
            input,
            contents: Contents::Sql(runs),
        })
    }

    fn archive(path: &Path, kind: Kind, options: &OpenOptions) -> Result<Self> {
        let tree = match kind {
            Kind::Directory => Tree::of_dir(path)?,
            Kind::Tar => tranship_container::tar::read(&Blob::of_path(path)?)?,
            _ => Tree::default(),
        };
        // A directory that was put into a tar afterwards keeps its own name in front.
        let wrapped =
            tree.dirs().into_iter().find(|dir| tree.get(&format!("{dir}/{TOC}")).is_some()).map(str::to_owned);
        let tree = match wrapped {
            Some(dir) if tree.get(TOC).is_none() => tree.below(&dir),
            _ => tree,
        };
        let input = match tree.get(TOC) {
            Some(toc) => Input { blob: toc.clone(), codec: Codec::None },
            None => Input::of_path(path)?,
        };
        let archive = Archive::read(&input, &options.limits)?;
        if archive.layout != Layout::Custom && tree.get(TOC).is_none() {
            return Err(only_contents(path));
        }
        let mut catalog = Catalog::default();
        let mut data = Vec::new();
        for entry in &archive.entries {
            catalog.default_schema.clone_from(&entry.namespace);
            if entry.kind != "TABLE DATA" {
                // Several statements may stand in one entry.
                each_statement(&entry.definition, |statement| catalog.statement(statement));
                continue;
            }
            let head = catalog.copy_head(&entry.copy);
            let inserts = head.is_none();
            let own = TableName { schema: entry.namespace.clone(), name: entry.tag.clone() };
            let (table, columns) = head.map_or((own, None), |head| (head.table, head.columns));
            if entry.place != Place::Nothing {
                let place = DataPlace::Entry { id: entry.id, place: entry.place.clone(), inserts };
                data.push(TableData { table, database: 0, rows: None, unreadable: None, columns, place });
            }
        }
        let format = match archive.layout {
            Layout::Custom => "custom",
            Layout::Directory => "directory",
            Layout::Tar => "tar",
        };
        Ok(Dump {
            catalog,
            data,
            producer: producer(Some(&archive.server), Some(&archive.pg_dump)),
            facts: json!({
                "format": format,
                "archive": archive.version,
                "database": archive.database,
                "server": archive.server,
                "pg_dump": archive.pg_dump,
            }),
            complete: true,
            untyped: Vec::new(),
            path: path.to_owned(),
            input,
            contents: Contents::Archive(archive, tree),
        })
    }

    fn copy_file(path: &Path, options: &OpenOptions) -> Result<Self> {
        let input = Input::of_path(path)?;
        let file = BareFile::open(input.clone(), options)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("collection");
        let table = TableName { schema: String::new(), name: name.to_owned() };
        let column = |(name, kind): &(String, Option<Type>)| Column {
            name: name.clone(),
            kind: kind.clone().unwrap_or(Type::Text),
            generated: false,
        };
        let mut catalog = Catalog::default();
        let columns = file.columns.iter().map(column).collect();
        catalog.tables.insert(table.clone(), Table { columns, ..Table::default() });
        let untyped = file.columns.iter().filter(|(_, kind)| kind.is_none()).map(|(name, _)| name.clone()).collect();
        let columns = Some(file.section.columns.clone());
        let data = TableData { table, database: 0, rows: None, unreadable: None, columns, place: DataPlace::File };
        let format = match file.section.form {
            Form::Csv(_) => "COPY csv",
            Form::Binary => "COPY binary",
            _ => "COPY text",
        };
        Ok(Dump {
            catalog,
            data: vec![data],
            producer: None,
            facts: json!({ "format": format }),
            complete: true,
            untyped,
            path: path.to_owned(),
            input,
            contents: Contents::Copy(file),
        })
    }

    /// True if an empty table leaves no trace among the data: COPY writes one down, INSERT does not.
    pub fn omits_empty_tables(&self) -> bool {
        matches!(&self.contents, Contents::Sql(runs) if !runs.is_empty() && runs.iter().all(|run| run.inserts))
    }

    /// The sections of the tables of `family`, in the order of the dump.
    pub fn sections(&self, family: &[TableName]) -> Result<Vec<Section>> {
        let chosen: Vec<&TableData> = self.data.iter().filter(|data| family.contains(&data.table)).collect();
        if let Some(pair) = chosen.windows(2).find(|pair| matches!(pair, [a, b] if a.database != b.database)) {
            let table = pair.first().map_or(String::new(), |data| data.table.to_string());
            return Err(Error::not_recognised(format!(
                "the dump holds several databases, and {table} in more than one of them"
            ))
            .with("file", self.path.display())
            .hint("dump each database by itself, with pg_dump instead of pg_dumpall"));
        }
        if let Some(table) = family.iter().find(|table| self.catalog.conflicting.contains(table)) {
            return Err(Error::not_recognised(format!("the dump creates {table} twice, with different columns"))
                .with("file", self.path.display())
                .hint("it may be of several databases: dump each by itself, with pg_dump instead of pg_dumpall"));
        }
        if let Some((data, why)) = chosen.iter().find_map(|data| Some((data, data.unreadable?))) {
            return Err(Error::not_recognised(format!("table {} cannot be read: {why}", data.table))
                .with("file", self.path.display())
                .hint("load the dump into PostgreSQL and dump it again with pg_dump"));
        }
        let sections = chosen.iter().map(|data| self.section(data)).collect::<Result<Vec<_>>>()?;
        match chosen.iter().zip(&sections).find(|(_, section)| section.columns.is_empty()) {
            None => Ok(sections),
            Some((data, _)) => {
                Err(Error::not_recognised(format!("nothing in the dump names the columns of {}", data.table))
                    .with("file", self.path.display())
                    .hint("dump again without --data-only, or with --column-inserts"))
            }
        }
    }

    fn section(&self, data: &TableData) -> Result<Section> {
        let (label, form, bytes) = match (&data.place, &self.contents) {
            (DataPlace::File, Contents::Copy(file)) => return Ok(file.section.clone()),
            (DataPlace::Run(at), Contents::Sql(runs)) => {
                let run = runs.get(*at).ok_or_else(|| Error::bug("a run of rows is missing"))?;
                return Ok(self.run_section(data, run));
            }
            (DataPlace::Entry { id, place, inserts }, Contents::Archive(archive, tree)) => {
                let form = match inserts {
                    true => Form::Inserts(InsertStyle { plain_escapes: self.catalog.plain_escapes }),
                    false => Form::Text(TextStyle::default()),
                };
                let block = |offset| Block {
                    archive: self.input.clone(),
                    int_size: archive.int_size,
                    offset,
                    first: archive.end,
                    id: *id,
                    codec: archive.codec,
                };
                let bytes = match place {
                    Place::Block(offset) => Bytes::Block(block(Some(*offset))),
                    Place::SomeBlock | Place::Nothing => Bytes::Block(block(None)),
                    Place::File(name) => {
                        let input = self.member(tree, name, &data.table)?;
                        Bytes::Window { input, start: 0, len: None }
                    }
                };
                (format!("{} of {}", data.table, self.path.display()), form, bytes)
            }
            _ => return Err(Error::bug("data and dump are of different kinds")),
        };
        let label = match &bytes {
            Bytes::Window { input, .. } => input.label().to_owned(),
            Bytes::Block(_) => label,
        };
        let columns = match (&data.columns, &form) {
            (None, Form::Inserts(style)) => self.inserted_columns(&bytes, &label, *style)?,
            (columns, _) => columns.clone(),
        };
        let columns = columns.unwrap_or_else(|| self.stored_columns(&data.table, &form));
        let data = match bytes {
            Bytes::Window { input, .. } if input.codec == Codec::None && matches!(form, Form::Text(_)) => {
                text_range(input.blob, 0, Ending::Terminator)?
            }
            bytes => Data::Stream { bytes, ending: Ending::Terminator },
        };
        Ok(Section { label, columns, form, rows: None, data })
    }

    fn run_section(&self, data: &TableData, run: &Run) -> Section {
        let form = match run.inserts {
            true => Form::Inserts(InsertStyle { plain_escapes: self.catalog.plain_escapes }),
            false => Form::Text(TextStyle::default()),
        };
        let columns = run.columns.clone().unwrap_or_else(|| self.stored_columns(&run.table, &form));
        let place = match self.input.codec {
            Codec::None => {
                Data::Range { blob: self.input.blob.clone(), start: run.start, end: run.end, cuts: run.cuts.clone() }
            }
            _ => {
                let len = Some(run.end.saturating_sub(run.start));
                let bytes = Bytes::Window { input: self.input.clone(), start: run.start, len };
                Data::Stream { bytes, ending: Ending::Exact }
            }
        };
        Section { label: self.input.label().to_owned(), columns, form, rows: data.rows, data: place }
    }

    /// The file of a table's data, with the extension of its compression or without.
    fn member(&self, tree: &Tree, name: &str, table: &TableName) -> Result<Input> {
        let names =
            [Codec::None, Codec::Gzip, Codec::Lz4, Codec::Zstd].map(|codec| format!("{name}{}", codec.extension()));
        match names.iter().find_map(|name| tree.get(name)) {
            Some(blob) => Input::of_blob(blob.clone()),
            None => Err(Error::damaged(format!("the data of table {table} is missing"))
                .with("file", format!("{}/{name}", self.path.display()))
                .hint("copy the whole dump again: every file that toc.dat names must be there")),
        }
    }

    /// The columns that the first INSERT statement names.
    fn inserted_columns(&self, bytes: &Bytes, label: &str, style: InsertStyle) -> Result<Option<Vec<String>>> {
        let mut head = Vec::new();
        let read = bytes.open()?.take(FIRST_STATEMENT_BYTES).read_to_end(&mut head);
        read.map_err(|error| read_error(label, 0, error))?;
        let end = Lexer::new(style.plain_escapes).run(&head, Stop::Values);
        let text = String::from_utf8_lossy(head.get(..end.unwrap_or(0)).unwrap_or_default());
        Ok(self.catalog.insert_head(&text).and_then(|head| head.columns))
    }

    /// The columns of rows that do not name them. COPY leaves generated ones out.
    fn stored_columns(&self, table: &TableName, form: &Form) -> Vec<String> {
        let all = matches!(form, Form::Inserts(_));
        let columns = self.catalog.tables.get(table).map(|table| table.columns.as_slice()).unwrap_or_default();
        columns.iter().filter(|column| all || !column.generated).map(|column| column.name.clone()).collect()
    }

    /// The files that were read or will be, for these sections, by name.
    pub fn files(&self, sections: &[Section]) -> Vec<(PathBuf, String)> {
        let mut files: Vec<PathBuf> = vec![self.input.blob.path().to_owned()];
        files.extend(sections.iter().map(|section| section.blob().path().to_owned()));
        files.sort();
        files.dedup();
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.into_iter().map(|path| (path.clone(), name(&path))).collect()
    }
}

fn each_statement(text: &str, mut take: impl FnMut(&str)) {
    let (mut lexer, mut rest) = (Lexer::new(false), text);
    while let Some((statement, behind)) =
        lexer.run(rest.as_bytes(), Stop::Statement).and_then(|end| rest.split_at_checked(end))
    {
        take(statement);
        rest = behind;
    }
    if !rest.trim().is_empty() {
        take(rest);
    }
}

/// True for `name.sql`, also compressed.
pub fn has_extension(path: &Path, extension: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    ["", ".gz", ".zst", ".lz4"].iter().any(|end| name.ends_with(&format!("{extension}{end}")))
}

fn producer(server: Option<&str>, pg_dump: Option<&str>) -> Option<String> {
    let server = server.filter(|version| !version.is_empty())?;
    Some(match pg_dump.filter(|version| !version.is_empty() && *version != server) {
        Some(pg_dump) => format!("PostgreSQL {server}, pg_dump {pg_dump}"),
        None => format!("PostgreSQL {server}"),
    })
}

//! One table of a dump as a [`Source`].
//!
//! Invariant: every row of the table's data in the dump is emitted or is a reject with its place; rows of partitions and children belong to the table that was
//! asked for. Memory: one row and one batch per split; the declarations of the dump; a few numbers per 64 KiB of
//! INSERT statements.
//!
//! Errors: usage for an unclear choice of table or column, not recognised for encodings other than UTF-8, and what the
//! modules below raise.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::{BatchBuilder, CollectionSchema};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{
    Batches, CollectionInfo, Count, Error, OpenOptions, PrepareContext, Prepared, Reject, RejectSink, Result,
    RowLedger, Source, Split, Splits,
};
use tranship_storage::{Limits, SourceIdentity};

use crate::dialect::Type;
use crate::dump::Dump;
use crate::options::NamedColumns;
use crate::plan::{Ingredients, Plan};
use crate::record::{Decoder, Refusal};
use crate::rows::{Form, Next, Row, RowReader};
use crate::sample;
use crate::section::splits::{SectionSplits, Settings};
use crate::section::{Data, Section};
use crate::sql::catalog::{Column, Index};
use crate::sql::{Table, TableName};

/// Encodings whose bytes are UTF-8, or are taken for it and checked.
const ENCODINGS: [&str; 5] = ["UTF8", "UTF-8", "UNICODE", "SQL_ASCII", "SQLASCII"];

/// One table.
pub struct PgSource {
    path: PathBuf,
    options: OpenOptions,
    dump: Dump,
    table: TableName,
    read: ReadTable,
}

/// A table whose columns are settled.
struct ReadTable {
    plan: Plan,
    sections: Vec<Section>,
}

/// The collections of a dump: its tables with vectors.
pub fn list(path: &Path, options: &OpenOptions) -> Result<Vec<CollectionInfo>> {
    let dump = Dump::glance(path, options)?;
    check_encoding(&dump, path)?;
    let tables = tables_with_vectors(&dump, options)?;
    Ok(tables.iter().map(|table| info(&dump, table, options)).collect())
}

impl PgSource {
    /// Opens the table that the options choose.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        let mut dump = Dump::glance(path, options)?;
        check_encoding(&dump, path)?;
        let table = match choose(&dump, options, path) {
            // A table may be declared behind what was looked at.
            Err(_) if !dump.complete => {
                dump = Dump::read(path, options)?;
                choose(&dump, options, path)?
            }
            chosen => chosen?,
        };
        let read = ReadTable::of(&dump, &table, options)?;
        Ok(PgSource { path: path.to_owned(), options: options.clone(), dump, table, read })
    }
}

impl PgSource {
    /// What the first look did not reach: one collection after another, nobody would miss them.
    fn unseen_tables(&self, whole: &Dump) -> Result<Option<String>> {
        if self.options.collection.is_none() {
            choose(whole, &self.options, &self.path)?;
        }
        let mut tables = tables_with_vectors(whole, &self.options)?;
        tables.retain(|table| !self.dump.catalog.tables.contains_key(table));
        Ok((!tables.is_empty()).then(|| {
            format!("the dump also holds {}, far behind its beginning: choose with --collection", joined(&tables))
        }))
    }
}

impl Source for PgSource {
    fn schema(&self) -> &CollectionSchema {
        &self.read.plan.schema
    }

    fn identity(&self) -> Result<SourceIdentity> {
        Ok(SourceIdentity::of(&self.dump.files(&self.read.sections), self.options.hash_source)?)
    }

    fn prepare<'a>(&'a self, context: &PrepareContext<'_>) -> Result<Box<dyn Prepared + 'a>> {
        let limits = &self.options.limits;
        let whole = if self.dump.complete { None } else { Some(Dump::read(&self.path, &self.options)?) };
        let ReadTable { mut plan, sections } = match &whole {
            None => ReadTable { plan: self.read.plan.clone(), sections: self.read.sections.clone() },
            Some(dump) => {
                check_encoding(dump, &self.path)?;
                let mut read = ReadTable::of(dump, &self.table, &self.options)?;
                read.plan.notes.extend(self.unseen_tables(dump)?);
                read
            }
        };
        if sections.is_empty() && rows_were_left_out(whole.as_ref().unwrap_or(&self.dump), &self.table) {
            return Err(Error::not_recognised(format!("the rows of {} were left out of the dump", self.table))
                .with("file", self.path.display())
                .hint("dump again without --schema-only and --exclude-table-data"));
        }
        let open = plan.without_dimensions();
        if !open.is_empty() {
            plan.set_dimensions(&sample::dimensions(&sections, &open, limits)?);
        }
        for spec in &plan.schema.vectors {
            if let Some(dim) = spec.dim.filter(|dim| *dim > limits.max_dim) {
                return Err(Error::limit(format!("vectors of {dim} dimensions; at most {} are read", limits.max_dim))
                    .with("file", self.path.display()));
            }
        }
        let rows = sections.iter().map(|section| section.rows).sum::<Option<u64>>();
        let settings = Settings {
            split_bytes: context.split_bytes.max(1),
            max_row_bytes: limits.max_line_bytes,
            count_rows: plan.ordinal_ids,
        };
        Ok(Box::new(PgPrepared { plan, sections, rows, settings, limits: limits.clone() }))
    }
}

struct PgPrepared {
    plan: Plan,
    sections: Vec<Section>,
    rows: Option<u64>,
    settings: Settings,
    limits: Limits,
}

impl Prepared for PgPrepared {
    fn schema(&self) -> &CollectionSchema {
        &self.plan.schema
    }

    fn ledger(&self) -> RowLedger {
        RowLedger { raw: self.rows, live: self.rows, ..RowLedger::default() }
    }

    fn notes(&self) -> Vec<String> {
        self.plan.notes.clone()
    }

    fn splits(&self) -> Result<Splits<'_>> {
        Ok(Box::new(SectionSplits::new(&self.sections, self.settings)))
    }

    fn open<'a>(&'a self, mut split: Split, rejects: &'a mut dyn RejectSink) -> Result<Batches<'a>> {
        let section = match split.file.as_str() {
            "" => self.sections.first(),
            number => number.parse().ok().and_then(|at: usize| self.sections.get(at)),
        };
        let section = section.ok_or_else(|| Error::bug(format!("a split of section {:?}", split.file)))?;
        let input: Box<dyn Read + 'a> = match (split.data.take(), &section.data) {
            (Some(data), _) => Box::new(Cursor::new(data)),
            (None, Data::Range { blob, .. }) => Box::new(blob.open()?.range(split.start, split.end)),
            (None, Data::Stream { .. }) => return Err(Error::bug("a split of a stream came without its bytes")),
        };
        let (form, width, max) = (&section.form, section.columns.len(), self.limits.max_line_bytes);
        let reader = RowReader::new(input, form, width, &section.label, split.start, max);
        let builder = BatchBuilder::new(Arc::new(self.plan.schema.clone()));
        let builder = builder.map_err(|fault| Error::bug("a planned schema cannot be built").caused_by(fault))?;
        let decoder = Decoder::new(&self.plan, builder, section);
        let row = Row::default();
        Ok(Box::new(PgBatches { reader, decoder, section, rejects, row, ordinal: split.first_row, ended: false }))
    }
}

/// Batches of one split.
struct PgBatches<'a> {
    reader: RowReader<'a>,
    decoder: Decoder<'a>,
    section: &'a Section,
    rejects: &'a mut dyn RejectSink,
    row: Row,
    ordinal: u64,
    ended: bool,
}

impl PgBatches<'_> {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.decoder.builder().bytes() < BATCH_BYTES {
            let next = self.reader.next(&mut self.row)?;
            let (at, refusal) = match next {
                Next::End => {
                    self.reader.finish()?;
                    self.ended = true;
                    break;
                }
                Next::Row(at) => (at, self.decoder.decode(&self.row, self.ordinal)?.err()),
                Next::Malformed(at, reason) => (at, Some(Refusal { id: None, reason })),
            };
            self.ordinal += 1;
            if let Some(Refusal { id, reason }) = refusal {
                let place = format!("{} byte {at}", self.section.label);
                let binary = self.section.form == Form::Binary;
                let record = self.reader.last_text().filter(|_| !binary).map(str::to_owned);
                self.rejects.reject(Reject { place, id, reason, record })?;
            }
        }
        if self.decoder.builder().rows() == 0 {
            return Ok(None);
        }
        let batch = self.decoder.builder().finish();
        batch.map(Some).map_err(|fault| Error::bug("a batch cannot be built").caused_by(fault))
    }
}

impl Iterator for PgBatches<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.next_batch();
        self.ended |= batch.is_err();
        batch.transpose()
    }
}

impl ReadTable {
    fn of(dump: &Dump, table: &TableName, options: &OpenOptions) -> Result<Self> {
        let family = dump.catalog.family(table);
        let sections = dump.sections(&family)?;
        let plan = plan(dump, table, &family, &sections, options)?;
        Ok(ReadTable { plan, sections })
    }
}

/// The plan of a table with all rows of its family.
fn plan(
    dump: &Dump,
    table: &TableName,
    family: &[TableName],
    sections: &[Section],
    options: &OpenOptions,
) -> Result<Plan> {
    let named = NamedColumns::of(options)?;
    let mut columns: Vec<(String, Option<Type>)> = Vec::new();
    let declared = family.iter().filter_map(|name| dump.catalog.tables.get(name)).flat_map(|table| &table.columns);
    for column in declared.filter(|column| !column.generated) {
        if !columns.iter().any(|(name, _)| *name == column.name) {
            let known = !dump.untyped.contains(&column.name);
            columns.push((column.name.clone(), known.then(|| column.kind.clone())));
        }
    }
    let generated = |name: &String| {
        let tables = family.iter().filter_map(|table| dump.catalog.tables.get(table));
        tables.flat_map(|table| &table.columns).any(|column| column.generated && column.name == *name)
    };
    for name in sections.iter().flat_map(|section| &section.columns).filter(|name| !generated(name)) {
        if !columns.iter().any(|(own, _)| own == name) {
            columns.push((name.clone(), None));
        }
    }
    for (name, kind) in &mut columns {
        *kind = named.kind(name).cloned().or(kind.take());
    }
    let untyped: Vec<String> =
        columns.iter().filter(|(_, kind)| kind.is_none()).map(|(name, _)| name.clone()).collect();
    let mut guessed = match untyped.is_empty() {
        true => Default::default(),
        false => sample::types(sections, &untyped, &options.limits)?,
    };
    let columns = columns.into_iter().map(|(name, kind)| {
        let kind = kind.or_else(|| guessed.remove(&name)).unwrap_or(Type::Text);
        (name, kind)
    });
    let mut plan = Plan::of(&Ingredients {
        name: table,
        table: dump.catalog.tables.get(table),
        columns: columns.collect(),
        options,
        facts: &dump.facts,
    })?;
    if !untyped.is_empty() {
        plan.notes.push(format!("types of {} are guessed from the first rows", untyped.join(", ")));
    }
    if sections.is_empty() && dump.complete {
        plan.notes.push(format!("the dump holds no rows of {table}"));
    }
    let missing =
        |name: &str| !sections.is_empty() && sections.iter().all(|s| !s.columns.iter().any(|own| own == name));
    for column in plan.columns.iter().filter(|column| missing(&column.name)) {
        plan.notes.push(format!("the dump holds no values of column {:?}", column.name));
    }
    Ok(plan)
}

fn info(dump: &Dump, table: &TableName, options: &OpenOptions) -> CollectionInfo {
    let family = dump.catalog.family(table);
    let data = dump.data.iter().filter(|data| family.contains(&data.table));
    let records = match data.map(|data| data.rows).sum::<Option<u64>>() {
        Some(0) if rows_were_left_out(dump, table) => Count::Unknown,
        Some(rows) if dump.complete => Count::Exact(rows),
        _ => Count::Unknown,
    };
    let planned = dump.sections(&family).and_then(|sections| plan(dump, table, &family, &sections, options));
    let (schema, mut notes) = match planned {
        Ok(plan) => (plan.schema, plan.notes),
        Err(error) => {
            let hint = error.next_step().map(|hint| format!("; {hint}")).unwrap_or_default();
            (CollectionSchema::new(table.to_string()), vec![format!("{error}{hint}")])
        }
    };
    if !dump.complete {
        notes.push("keys, indexes and counts stand behind the data of a plain dump: what was looked at is its beginning and end".to_owned());
    }
    CollectionInfo { name: table.to_string(), records, schema, producer: dump.producer.clone(), notes }
}

/// True if the dump does not even say that the table is empty. A table that is split into partitions has no rows itself.
fn rows_were_left_out(dump: &Dump, table: &TableName) -> bool {
    let family = dump.catalog.family(table);
    let create = dump.catalog.tables.get(table).map_or("", |table| table.create.as_str());
    let parted = create.contains("PARTITION BY") && family.len() == 1 && !dump.data.is_empty();
    !dump.omits_empty_tables() && !parted && !dump.data.iter().any(|data| family.contains(&data.table))
}

/// Tables with a column that is a vector, and are no part of another table.
fn tables_with_vectors(dump: &Dump, options: &OpenOptions) -> Result<Vec<TableName>> {
    let mut tables: Vec<TableName> = dump.catalog.tables.keys().cloned().collect();
    tables.extend(dump.data.iter().map(|data| data.table.clone()));
    tables.sort();
    tables.dedup();
    let mut found = Vec::new();
    for table in tables {
        if !dump.catalog.is_part(&table) && has_vectors(dump, &table, options)? {
            found.push(table);
        }
    }
    Ok(found)
}

fn has_vectors(dump: &Dump, name: &TableName, options: &OpenOptions) -> Result<bool> {
    match dump.catalog.tables.get(name) {
        Some(table) if dump.untyped.is_empty() && !table.columns.is_empty() => {
            let named = NamedColumns::of(options)?;
            let is_vector = |kind: &Type| kind.is_vector();
            let by_type = table.columns.iter().any(|c| is_vector(named.kind(&c.name).unwrap_or(&c.kind)));
            let asked = |c: &Column| options.vector_column.as_ref() == Some(&c.name) && c.kind.can_be_vector();
            Ok(by_type || has_bit_index(table) || table.columns.iter().any(asked))
        }
        // The declaration is not in the dump: the rows must tell.
        _ => {
            let family = [name.clone()];
            // One that cannot be read is told of rather than passed over.
            let Ok(sections) = dump.sections(&family) else { return Ok(true) };
            Ok(plan(dump, name, &family, &sections, options).is_ok_and(|plan| !plan.schema.vectors.is_empty()))
        }
    }
}

fn has_bit_index(table: &Table) -> bool {
    let over_bits = |index: &Index| {
        !index.computed && index.operator_class.as_deref().is_some_and(|class| class.starts_with("bit_"))
    };
    table.indexes.iter().any(over_bits)
}

fn choose(dump: &Dump, options: &OpenOptions, path: &Path) -> Result<TableName> {
    let Some(wanted) = options.collection.as_deref() else {
        let tables = tables_with_vectors(dump, options)?;
        return match tables.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(no_vectors(dump, path)),
            several => Err(Error::usage(format!("the dump holds {} tables with vectors", several.len()))
                .hint(format!("choose with --collection one of: {}; or take --all", joined(several)))),
        };
    };
    let mut tables: Vec<&TableName> =
        dump.catalog.tables.keys().chain(dump.data.iter().map(|data| &data.table)).collect();
    tables.sort();
    tables.dedup();
    let full = tables.iter().find(|table| table.to_string() == wanted || table.quoted() == wanted);
    if let Some(table) = full {
        return Ok((*table).clone());
    }
    let by_name: Vec<&&TableName> = tables.iter().filter(|table| table.name == wanted).collect();
    match by_name.as_slice() {
        [one] => Ok((**one).clone()),
        [] => Err(Error::usage(format!("there is no table `{wanted}` in the dump"))
            .with("file", path.display())
            .hint(format!("it has {}", joined_refs(&tables)))),
        several => Err(Error::usage(format!("{} tables are called `{wanted}`", several.len())).hint(format!(
            "name one with its schema: {}",
            several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn no_vectors(dump: &Dump, path: &Path) -> Error {
    let tables: Vec<&TableName> = dump.catalog.tables.keys().collect();
    let error = Error::usage("the dump holds no table with a vector column").with("file", path.display());
    match tables.as_slice() {
        [] => error.hint(
            "give a dump of a database that uses pgvector; a COPY file needs -o columns=\"id:int8,embedding:vector\"",
        ),
        some => error.hint(format!("name a table with --collection to read it all the same: {}", joined_refs(some))),
    }
}

fn joined(tables: &[TableName]) -> String {
    joined_refs(&tables.iter().collect::<Vec<_>>())
}

fn joined_refs(tables: &[&TableName]) -> String {
    const MOST: usize = 20;
    let mut names: Vec<String> = tables.iter().take(MOST).map(ToString::to_string).collect();
    if tables.len() > MOST {
        names.push(format!("and {} more", tables.len() - MOST));
    }
    names.join(", ")
}

fn check_encoding(dump: &Dump, path: &Path) -> Result<()> {
    match &dump.catalog.encoding {
        Some(name) if !ENCODINGS.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
            Err(Error::not_recognised(format!("the dump is in encoding {name}, and only UTF-8 is read"))
                .with("file", path.display())
                .hint("make it again with `pg_dump --encoding=UTF8`"))
        }
        _ => Ok(()),
    }
}

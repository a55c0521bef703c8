//! `--where-jq` and `--map-jq`: programs in the jq language, run by jaq.
//!
//! A program is given `{"id":.., "namespace":.., "document":.., "metadata":{..}}`, with null for a namespace or document that a record does
//! not have, and `{}` for no metadata; vectors are left out. A condition keeps the record if its one output is neither false nor null, and drops it if there is none. A map gives
//! one object of the same four keys, or none to leave the record out; a key that is missing or null is taken away.
//!
//! Numbers that a program does not compute with keep their spelling, integers of any size too; key order stays. A program is a function of
//! its record: what looks at the clock, the environment, the time zone or other input is not defined, nor is what writes or stops.
//!
//! Rejects: an error of the program, more than one output, an output that is no record, numbers that JSON lacks, an id of
//! a kind that the collection does not have. Errors: usage, with the place in the program marked by `^`.
//! Source of the language: the jq 1.7 manual; differences are those of jaq 3.

use std::sync::Arc;

use arrow_array::RecordBatch;
use jaq_core::load::{Arena, File, Loader, lex, parse};
use jaq_core::{Ctx, Filter, Vars, data, unwrap_valr};
use jaq_json::{Num, Val, read, write};
use tranship_collection::json::{append_string, check_object};
use tranship_collection::{BatchView, CollectionSchema, IdKind, IdKinds};
use tranship_connector::{Error, Grade, Loss, Result};

use crate::chain::{Inverse, Pass, Step, Worker};
use crate::columns::{TextColumns, Texts, rebuilt};

type Data = data::JustLut<Val>;
type Outcome<T> = std::result::Result<T, String>;

/// What a program must not use: its record alone decides.
const NOT_DEFINED: [&str; 18] = [
    "now",
    "env",
    "halt",
    "halt_error",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "input",
    "inputs",
    "localtime",
    "strflocaltime",
    "mktime_local",
    "repl",
    "input_filename",
    "input_line_number",
    "get_search_list",
    "rand",
];

/// A condition.
#[derive(Debug, Clone)]
pub struct WhereJq {
    code: String,
}

/// A map.
#[derive(Debug, Clone)]
pub struct MapJq {
    code: String,
}

impl WhereJq {
    pub fn parse(code: &str) -> Result<Self> {
        Program::compile(code, "--where-jq")?;
        Ok(WhereJq { code: code.to_owned() })
    }
}

impl MapJq {
    pub fn parse(code: &str) -> Result<Self> {
        Program::compile(code, "--map-jq")?;
        Ok(MapJq { code: code.to_owned() })
    }
}

impl Step for WhereJq {
    fn name(&self) -> &'static str {
        "where_jq"
    }

    fn losses(&self, _: &CollectionSchema) -> Vec<Loss> {
        let to = format!("those with {}", self.code);
        vec![Loss::new("CHANGED_RECORDS", "where_jq", "all records", to, Grade::Dropped)]
    }

    fn inverse(&self) -> Inverse {
        Inverse::Unneeded
    }

    fn worker<'a>(&'a self, _: &'a CollectionSchema, _: &'a Arc<CollectionSchema>) -> Result<Box<dyn Worker + 'a>> {
        // A program is not for several threads: each split has its own.
        Ok(Box::new(Filtering { program: Program::compile(&self.code, "--where-jq")? }))
    }
}

impl Step for MapJq {
    fn name(&self) -> &'static str {
        "map_jq"
    }

    fn losses(&self, _: &CollectionSchema) -> Vec<Loss> {
        vec![Loss::new("CHANGED_FIELDS", "map_jq", "records as they are", self.code.clone(), Grade::Lossy)]
    }

    fn worker<'a>(
        &'a self,
        _: &'a CollectionSchema,
        output: &'a Arc<CollectionSchema>,
    ) -> Result<Box<dyn Worker + 'a>> {
        let program = Program::compile(&self.code, "--map-jq")?;
        Ok(Box::new(Mapping { program, output, scratch: Vec::new() }))
    }
}

struct Filtering {
    program: Program,
}

impl Worker for Filtering {
    fn apply(&mut self, batch: &RecordBatch, view: &BatchView<'_>, pass: &mut Pass<'_>) -> Result<RecordBatch> {
        for row in 0..view.len() {
            match self.program.run(view, row) {
                Ok(None | Some(Val::Null | Val::Bool(false))) => pass.drop(row),
                Ok(Some(_)) => {}
                Err(reason) => pass.reject(row, reason),
            }
        }
        Ok(batch.clone())
    }
}

struct Mapping<'a> {
    program: Program,
    output: &'a CollectionSchema,
    scratch: Vec<u8>,
}

impl Worker for Mapping<'_> {
    fn apply(&mut self, batch: &RecordBatch, view: &BatchView<'_>, pass: &mut Pass<'_>) -> Result<RecordBatch> {
        let (mut texts, mut changed) = (TextColumns::default(), 0);
        for row in 0..view.len() {
            let own = Texts::of(view, row);
            let made = self.program.run(view, row).and_then(|made| made.map(|value| self.record(value)).transpose());
            match made {
                Ok(Some(made)) => {
                    changed += 1;
                    texts.push(made);
                    continue;
                }
                Ok(None) => pass.drop(row),
                Err(reason) => pass.reject(row, reason),
            }
            texts.push(own);
        }
        pass.count_changed(changed);
        rebuilt(batch, self.output, &texts.finish())
    }
}

impl Mapping<'_> {
    /// The record that a program has made.
    fn record(&mut self, value: Val) -> Outcome<Texts> {
        let Val::Obj(object) = value else { return Err(format!("the program made {}, not an object", shown(&value))) };
        let mut made = Texts { id: String::new(), kind: IdKind::Text, namespace: None, document: None, metadata: None };
        let mut has_id = false;
        for (key, value) in object.iter() {
            let key = text_of(key).ok_or_else(|| format!("the key {} is no text", shown(key)))?;
            match key.as_str() {
                "id" => {
                    has_id = true;
                    (made.id, made.kind) = self.id(value)?;
                }
                "namespace" => made.namespace = optional_text(value, "namespace")?,
                "document" => made.document = optional_text(value, "document")?,
                "metadata" => made.metadata = self.metadata(value)?,
                other => {
                    return Err(format!(
                        "the program made the key `{other}`; a record has id, namespace, document and metadata"
                    ));
                }
            }
        }
        if !has_id {
            return Err("the program made a record without id".to_owned());
        }
        if made.namespace.is_some() && !self.output.namespaced {
            return Err("the program made a namespace, and the collection has none: use --map for that".to_owned());
        }
        Ok(made)
    }

    fn id(&self, value: &Val) -> Outcome<(String, IdKind)> {
        let (id, kind) = match value {
            Val::Num(Num::Int(_) | Num::BigInt(_)) => (shown(value), IdKind::Integer),
            value => (text_of(value).ok_or_else(|| format!("{} is no id", shown(value)))?, IdKind::Text),
        };
        match (self.output.ids, kind) {
            (IdKinds::Integer, IdKind::Text) => {
                Err(format!("the id {id:?} is a text, and those of the collection are integers"))
            }
            (IdKinds::Text, IdKind::Integer) => {
                Err(format!("the id {id} is an integer, and those of the collection are texts"))
            }
            _ => Ok((id, kind)),
        }
    }

    fn metadata(&mut self, value: &Val) -> Outcome<Option<String>> {
        if matches!(value, Val::Null) {
            return Ok(None);
        }
        let text = shown(value);
        let has_fields = check_object(&text, &mut self.scratch).map_err(|fault| fault.to_string())?;
        Ok(has_fields.then_some(text))
    }
}

fn optional_text(value: &Val, what: &str) -> Outcome<Option<String>> {
    match value {
        Val::Null => Ok(None),
        value => text_of(value).map(Some).ok_or_else(|| format!("the {what} {} is no text", shown(value))),
    }
}

fn text_of(value: &Val) -> Option<String> {
    match value {
        Val::TStr(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

/// The value as JSON.
fn shown(value: &Val) -> String {
    let mut out = Vec::new();
    // Writing into a Vec cannot fail.
    let _written = write::write(&mut out, &write::Pp::default(), 0, value);
    String::from_utf8_lossy(&out).into_owned()
}

/// A compiled program.
struct Program {
    filter: Filter<Data>,
    input: Vec<u8>,
}

impl Program {
    fn compile(code: &str, flag: &str) -> Result<Self> {
        let is_defined = |name: &str| !NOT_DEFINED.contains(&name);
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).filter(|def| is_defined(def.name));
        let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs()).filter(|fun| is_defined(fun.0));
        let arena = Arena::default();
        let modules = Loader::new(defs).load(&arena, File { code, path: () }).map_err(|errors| {
            errors.into_iter().next().map_or_else(|| unreadable(flag), |(_, error)| not_loaded(code, flag, &error))
        })?;
        let filter = jaq_core::Compiler::default().with_funs(funs).compile(modules).map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            first.map_or_else(
                || unreadable(flag),
                |(name, kind)| wrong(code, flag, name, &format!("there is no {} `{name}`", kind.as_str())),
            )
        })?;
        Ok(Program { filter, input: Vec::new() })
    }

    /// The program's one output for a record; `None` if there is none.
    fn run(&mut self, view: &BatchView<'_>, row: usize) -> Outcome<Option<Val>> {
        self.describe(view, row);
        let input = read::parse_single(&self.input).map_err(|error| error.to_string())?;
        let context = Ctx::<Data>::new(&self.filter.lut, Vars::new([]));
        let mut outputs = self.filter.id.run((context, input)).map(unwrap_valr);
        let Some(first) = outputs.next() else { return Ok(None) };
        let first = first.map_err(|error| error.to_string())?;
        match outputs.next() {
            None => Ok(Some(first)),
            Some(Ok(_)) => Err("the program made more than one output".to_owned()),
            Some(Err(error)) => Err(error.to_string()),
        }
    }

    /// Writes the record as the program sees it.
    fn describe(&mut self, view: &BatchView<'_>, row: usize) {
        let out = &mut self.input;
        out.clear();
        out.extend_from_slice(b"{\"id\":");
        match view.id_kind(row) {
            IdKind::Integer => out.extend_from_slice(view.id(row).as_bytes()),
            IdKind::Text => append_string(view.id(row), out),
        }
        for (name, text) in [("namespace", view.namespace(row)), ("document", view.document(row))] {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            match text {
                Some(text) => append_string(text, out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b",\"metadata\":");
        out.extend_from_slice(view.metadata(row).unwrap_or("{}").as_bytes());
        out.push(b'}');
    }
}

fn not_loaded(code: &str, flag: &str, error: &jaq_core::load::Error<&str>) -> Error {
    use jaq_core::load::Error::{Io, Lex, Parse};
    match error {
        Io(errors) => errors
            .first()
            .map_or_else(|| unreadable(flag), |(name, _)| wrong(code, flag, name, "a program cannot read other files")),
        Lex(errors) => errors.first().map_or_else(
            || unreadable(flag),
            |(wanted, found): &lex::Error<&str>| wrong(code, flag, found, &format!("{} is expected", wanted.as_str())),
        ),
        Parse(errors) => errors.first().map_or_else(
            || unreadable(flag),
            |(wanted, found): &parse::Error<&str>| {
                wrong(code, flag, found, &format!("{} is expected", wanted.as_str()))
            },
        ),
    }
}

fn unreadable(flag: &str) -> Error {
    Error::usage(format!("{flag}: the program cannot be read"))
}

/// An error at `part`, which is a piece of `code`, or empty for its end.
fn wrong(code: &str, flag: &str, part: &str, what: &str) -> Error {
    let offset = (part.as_ptr() as usize).checked_sub(code.as_ptr() as usize);
    let at = offset.filter(|at| *at <= code.len() && code.is_char_boundary(*at)).unwrap_or(code.len());
    Error::usage(format!("{flag}: {what}"))
        .with("column", code[..at].chars().count() + 1)
        .with("at", format!("{}^{}", &code[..at], &code[at..]))
        .hint("a program sees .id, .namespace, .document and .metadata, such as .metadata.year >= 2020")
}

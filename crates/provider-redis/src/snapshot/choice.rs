//! What is to be read of a file: the database, the prefix, the vector fields and their elements.
//!
//! Errors: usage, with what there is to choose from, where the options and the first look leave it open.

use std::collections::BTreeMap;

use tranship_bundle::form::read_whole;
use tranship_collection::{CollectionSchema, VectorKind, VectorSpec};
use tranship_connector::{Error, Mapping, OpenOptions, Result};

use super::look::{FieldLook, Look};
use crate::bundle::Layout;
use crate::dialect::RawElement;

/// What the options say.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Type of the elements; `None` if it was not said.
    element: Option<RawElement>,
    /// Keys begin so.
    pub prefix: Vec<u8>,
    /// Ids are keys without the prefix.
    pub strip_prefix: bool,
    /// The database, if it was said.
    pub database: Option<u64>,
    /// Hashes without vector are records.
    pub keep_without_vector: bool,
    /// The bundle that was loaded.
    pub bundle: Option<Box<Loaded>>,
}

/// A bundle whose hashes are read as it wrote them.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its keys and fields.
    pub layout: Layout,
    /// The schema of records in its form.
    pub stored: CollectionSchema,
}

impl Loaded {
    /// By the path of its `mapping.json`.
    fn of(path: &str, options: &OpenOptions) -> Result<Self> {
        let text = read_whole(path.as_ref(), options.limits.max_page_bytes as u64)?;
        let mapping: Mapping = serde_json::from_slice(&text)
            .map_err(|e| Error::damaged("this is no mapping of a bundle").with("file", path).caused_by(e))?;
        Ok(Loaded { layout: Layout::of(&mapping)?, stored: mapping.stored_schema() })
    }
}

/// What is read.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The options.
    pub wishes: Wishes,
    /// Number of the database.
    pub database: u64,
    /// Type of the elements.
    pub element: RawElement,
    /// The vector fields, by the name of their column.
    pub vectors: Vec<VectorField>,
}

/// A field that is a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorField {
    /// Its name in the hashes.
    pub field: String,
    /// The name of the vector: none if there is one field only.
    pub name: String,
    /// Elements.
    pub dim: usize,
}

/// How a database is called where collections are.
pub fn database_name(number: u64) -> String {
    format!("db{number}")
}

impl Wishes {
    /// Understands the options.
    pub fn of(options: &OpenOptions) -> Result<Self> {
        let wrong = |key: &str, value: &str, known: &str| {
            Error::usage(format!("`{key}={value}` is not understood")).hint(format!("{key} takes {known}"))
        };
        let element = options
            .option("element")
            .map(|name| RawElement::parse(name).ok_or_else(|| wrong("element", name, "f32, f64, f16, bf16, i8 or u8")));
        let number = |text: &str, whole: &str| {
            text.parse().map_err(|_| wrong("db", whole, "the number of a database, as in db=0"))
        };
        let named = match (options.option("db"), options.collection.as_deref()) {
            (Some(text), _) => Some(number(text, text)?),
            (None, Some(name)) => match name.strip_prefix("db").and_then(|text| text.parse().ok()) {
                Some(number) => Some(number),
                None => {
                    return Err(Error::usage(format!("there is no collection `{name}`"))
                        .hint("the databases of an RDB file are called db0, db1 and so on"));
                }
            },
            (None, None) => None,
        };
        let strip_prefix = match options.option("strip-prefix") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(wrong("strip-prefix", other, "true or false")),
        };
        let keep_without_vector = match options.option("without-vector") {
            None | Some("skip") => false,
            Some("keep") => true,
            Some(other) => return Err(wrong("without-vector", other, "keep or skip")),
        };
        let bundle = options.option("bundle").map(|path| Loaded::of(path, options).map(Box::new)).transpose()?;
        let prefix = match &bundle {
            Some(loaded) => loaded.layout.prefix(),
            None => options.option("prefix").unwrap_or_default().to_owned(),
        };
        Ok(Wishes {
            element: element.transpose()?,
            prefix: prefix.into_bytes(),
            strip_prefix,
            database: named,
            keep_without_vector: keep_without_vector || bundle.is_some(),
            bundle,
        })
    }

    /// Settles what is read of the file that was looked at.
    pub fn settle(&self, look: &Look, label: &str, options: &OpenOptions) -> Result<Choice> {
        let database = self.settle_database(look, label, options)?;
        self.settle_vectors(look, database, label, options)
    }

    /// Settles which fields of a database are vectors.
    pub fn settle_vectors(&self, look: &Look, database: u64, label: &str, options: &OpenOptions) -> Result<Choice> {
        if let Some(loaded) = &self.bundle {
            let field = |vector: &crate::bundle::VectorField| VectorField {
                field: vector.field.clone(),
                name: vector.name.clone(),
                dim: vector.dim,
            };
            let vectors = loaded.layout.vectors.iter().map(field).collect();
            return Ok(Choice { wishes: self.clone(), database, element: self.element(), vectors });
        }
        let nothing = BTreeMap::new();
        let fields = look.fields.get(&database).unwrap_or(&nothing);
        let element = self.element();
        let vectors = match &options.vector_column {
            Some(wanted) => named_vectors(wanted, fields, element).map_err(|field| {
                let message = format!("no hash of {label} has a field `{field}` that could be a vector");
                Error::usage(message).hint(format!("there are the fields {}", list_fields(fields, element)))
            })?,
            None => self.found_vector(fields, database, label)?,
        };
        for vector in &vectors {
            self.check(vector, &fields[vector.field.as_bytes()], label, options)?;
        }
        Ok(Choice { wishes: self.clone(), database, element, vectors })
    }

    fn element(&self) -> RawElement {
        self.element.unwrap_or(RawElement::Kept(tranship_collection::Element::F32))
    }

    /// Settles which database is read.
    pub fn settle_database(&self, look: &Look, label: &str, options: &OpenOptions) -> Result<u64> {
        if let Some(number) = self.database {
            return match look.contents.databases.contains_key(&number) {
                true => Ok(number),
                false if !look.whole => Ok(number),
                false => {
                    let known: Vec<String> = look.contents.databases.keys().copied().map(database_name).collect();
                    Err(Error::usage(format!("{label} has no database {number}"))
                        .hint(format!("it has {}", known.join(", "))))
                }
            };
        }
        if self.bundle.is_some() {
            return Ok(look.fields.keys().next().copied().unwrap_or(0));
        }
        let element = self.element();
        let promising = |fields: &BTreeMap<Vec<u8>, FieldLook>| match &options.vector_column {
            Some(wanted) => named_vectors(wanted, fields, element).is_ok(),
            None => candidates(fields, element).next().is_some(),
        };
        let mut numbers = look.fields.iter().filter(|(_, fields)| promising(fields)).map(|(number, _)| *number);
        match (numbers.next(), numbers.next()) {
            (Some(number), None) => Ok(number),
            (None, _) => Ok(look.fields.keys().next().copied().unwrap_or(0)),
            (Some(first), Some(second)) => Err(several_databases(label, &[first, second])),
        }
    }

    fn found_vector(
        &self,
        fields: &BTreeMap<Vec<u8>, FieldLook>,
        database: u64,
        label: &str,
    ) -> Result<Vec<VectorField>> {
        let element = self.element();
        let found: Vec<VectorField> = candidates(fields, element).collect();
        match found.as_slice() {
            [one] => Ok(vec![VectorField { name: String::new(), ..one.clone() }]),
            [] if fields.is_empty() => Err(Error::usage(format!("{label} holds no hash {}", self.scope(database)))
                .hint("vectors are read from hashes; RedisJSON documents and vector sets are not read")),
            [] => Err(Error::usage(format!(
                "no field of the hashes {} of {label} looks like a vector",
                self.scope(database)
            ))
            .hint(format!(
                "name it with --vector-column, its type with -o element=f64|f16|bf16|i8|u8; there are the fields {}",
                list_fields(fields, element)
            ))),
            several => {
                let shown: Vec<String> = several
                    .iter()
                    .map(|v| {
                        let hashes = fields.get(v.field.as_bytes()).map_or(0, |field| field.hashes);
                        format!("`{}` ({} x {}, in {hashes} hashes)", v.field, v.dim, element.name())
                    })
                    .collect();
                Err(Error::usage(format!(
                    "several fields of the hashes {} of {label} look like vectors: {}",
                    self.scope(database),
                    shown.join(", ")
                ))
                .hint(
                    "choose with --vector-column NAME (several, separated by commas, become named vectors), or narrow \
                     the keys with -o prefix=doc:",
                ))
            }
        }
    }

    fn check(&self, vector: &VectorField, field: &FieldLook, label: &str, options: &OpenOptions) -> Result<()> {
        let (dim, limit) = (vector.dim, options.limits.max_dim);
        if dim > limit {
            let message = format!("`{}` of {label} has {dim} elements, the limit is {limit}", vector.field);
            return Err(Error::limit(message).hint("if the vectors really are that long, raise the limit"));
        }
        if self.element.is_none() && !field.is_plausibly_f32() {
            return Err(Error::usage(format!("`{}` of {label} does not look like f32", vector.field)).hint(
                "say what it is with -o element=f64|f16|bf16|i8|u8 (FT.INFO shows the TYPE), or insist with -o element=f32",
            ));
        }
        Ok(())
    }

    /// Which hashes, in words.
    fn scope(&self, database: u64) -> String {
        match self.prefix.as_slice() {
            [] => format!("in db{database}"),
            prefix => format!("in db{database} with the prefix `{}`", String::from_utf8_lossy(prefix)),
        }
    }
}

impl Choice {
    /// The schema of the collection.
    pub fn schema(&self) -> CollectionSchema {
        if let Some(loaded) = &self.wishes.bundle {
            return loaded.stored.clone();
        }
        let prefix = String::from_utf8_lossy(&self.wishes.prefix);
        let prefix = prefix.trim_end_matches([':', '/', '.', '-', '_']);
        let name = if prefix.is_empty() { database_name(self.database) } else { prefix.to_owned() };
        let mut schema = CollectionSchema::new(name);
        let spec = |vector: &VectorField| VectorSpec {
            kind: VectorKind::Dense,
            element: self.element.element(),
            ..VectorSpec::dense(vector.name.clone(), vector.dim)
        };
        schema.vectors = self.vectors.iter().map(spec).collect();
        schema
    }

    /// Tells that the type of the elements is the default and not what the file says, which says nothing of it.
    pub fn default_note(&self) -> Option<String> {
        let is_default = self.wishes.element.is_none() && self.wishes.bundle.is_none();
        is_default.then(|| {
            "the file does not tell the type of a vector's elements: they are read as f32; if FT.INFO shows another TYPE, \
             give -o element=f64|f16|bf16|i8|u8"
                .to_owned()
        })
    }

    /// The names of the vector fields.
    pub fn wanted(&self) -> Vec<Vec<u8>> {
        self.vectors.iter().map(|vector| vector.field.as_bytes().to_vec()).collect()
    }
}

/// The error for vectors in several databases.
pub fn several_databases(label: &str, numbers: &[u64]) -> Error {
    let names: Vec<String> = numbers.iter().copied().map(database_name).collect();
    Error::usage(format!("several databases of {label} hold vectors: {}", names.join(", ")))
        .hint("choose with --collection db0 or -o db=0, or take --all")
}

fn candidates<'f>(
    fields: &'f BTreeMap<Vec<u8>, FieldLook>,
    element: RawElement,
) -> impl Iterator<Item = VectorField> + 'f {
    fields.iter().filter_map(move |(name, field)| {
        let dim = field.looks_like(element)?;
        let name = String::from_utf8(name.clone()).ok()?;
        Some(VectorField { field: name.clone(), name, dim })
    })
}

/// The fields that the user names; the error is the one that is not there.
fn named_vectors(
    wanted: &str,
    fields: &BTreeMap<Vec<u8>, FieldLook>,
    element: RawElement,
) -> std::result::Result<Vec<VectorField>, String> {
    let find = |field: &str, name: &str| {
        let dim = fields.get(field.as_bytes())?.usual_dim(element)?;
        Some(VectorField { field: field.to_owned(), name: name.to_owned(), dim })
    };
    if let Some(one) = find(wanted, "") {
        return Ok(vec![one]);
    }
    let mut names: Vec<&str> = wanted.split(',').map(str::trim).collect();
    names.sort_unstable();
    names.dedup();
    let name_of = |field: &'_ str| if names.len() == 1 { String::new() } else { field.to_owned() };
    names.iter().map(|field| find(field, &name_of(field)).ok_or_else(|| (*field).to_owned())).collect()
}

/// The first fields, with those that look like vectors marked.
fn list_fields(fields: &BTreeMap<Vec<u8>, FieldLook>, element: RawElement) -> String {
    let shown = fields.iter().take(20).map(|(name, field)| {
        let name = String::from_utf8_lossy(name).into_owned();
        match field.looks_like(element) {
            Some(dim) => format!("{name} ({dim} x {})", element.name()),
            None => name,
        }
    });
    let mut shown: Vec<String> = shown.collect();
    if fields.len() > shown.len() {
        shown.push(format!("and {} more", fields.len() - shown.len()));
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

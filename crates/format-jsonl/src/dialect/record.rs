//! From a unit of the input to its records, and from a record to a generic line.

use std::borrow::Cow;

use serde_json::value::RawValue;
use tranship_collection::json::{Entries, Items, append_string};

use super::{Reading, bson, vectors};

/// One record of a unit, its parts still text.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// The id's JSON text.
    pub id: Option<Cow<'a, str>>,
    /// The namespace, a JSON string.
    pub namespace: Option<&'a str>,
    /// The vector outside the fields.
    pub vector: Option<&'a RawValue>,
    /// Named vectors.
    pub vectors: Option<&'a RawValue>,
    /// A sparse vector and its name.
    pub sparse: Option<&'a RawValue>,
    /// Everything else.
    pub fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// What cannot be told apart: it goes on as it is, to be refused where records are checked.
    pub broken: Option<&'a str>,
}

impl Record<'_> {
    /// True if it has a vector outside its fields.
    pub fn has_vector(&self) -> bool {
        let there = |value: &Option<&RawValue>| value.is_some_and(|value| !["null", "[]", "{}"].contains(&value.get()));
        there(&self.vector) || there(&self.vectors) || there(&self.sparse)
    }
}

impl Reading {
    /// Shows each record of a unit.
    pub fn each_record(&self, unit: &[u8], show: &mut dyn FnMut(&Record<'_>)) {
        if self.dialect.unit == super::Unit::Documents {
            return self.document(unit, show);
        }
        let Ok(text) = std::str::from_utf8(unit) else { return show(&broken("\u{fffd}")) };
        match self.dialect.unit {
            super::Unit::Pairs => self.pair(text, show),
            _ => self.value(text.trim(), show),
        }
    }

    fn document(&self, unit: &[u8], show: &mut dyn FnMut(&Record<'_>)) {
        let mut out = Vec::with_capacity(2 * unit.len());
        let read = bson::append_document(unit, &mut out);
        match read.and_then(|()| String::from_utf8(out).map_err(|e| e.to_string())) {
            Ok(text) => self.object(&text, None, None, show),
            // Refused as a key that is unknown, with the reason in it.
            Err(what) => {
                let mut line = b"{".to_vec();
                append_string(&format!("BSON: {what}"), &mut line);
                line.extend_from_slice(b":0}");
                show(&broken(&String::from_utf8_lossy(&line)));
            }
        }
    }

    fn pair(&self, text: &str, show: &mut dyn FnMut(&Record<'_>)) {
        let Some((action, source)) = text.trim_end().split_once('\n') else {
            // A deletion has no source line.
            return;
        };
        let target = Entries::parse(action).ok().and_then(|entries| entries.0.first().cloned());
        // The source of an update is a part of a record.
        let target = target.filter(|(action, _)| action != "update").map(|(_, target)| target);
        let (Some(target), Ok(source_entries)) = (target, Entries::parse(source)) else {
            return show(&broken(source));
        };
        let mut record = Record { fields: source_entries.0, ..Record::default() };
        if let Ok(target) = Entries::parse(target.get()) {
            record.id = target.0.iter().find(|(key, _)| key == "_id").map(|(_, id)| self.id_text(id.get()));
        }
        show(&record);
    }

    fn value(&self, text: &str, show: &mut dyn FnMut(&Record<'_>)) {
        if text.starts_with('[') {
            match serde_json::from_str::<Items<'_>>(text) {
                Ok(items) => items.0.iter().for_each(|item| self.object(item.get(), None, None, show)),
                Err(_) => show(&broken(text)),
            }
            return;
        }
        let Ok(entries) = Entries::parse(text) else { return show(&broken(text)) };
        let page = self.dialect.page.and_then(|key| entries.0.iter().find(|(own, _)| own == key));
        let Some((_, page)) = page.filter(|(_, value)| matches!(value.get().as_bytes().first(), Some(b'[' | b'{')))
        else {
            return self.object(text, None, None, show);
        };
        let namespace = self.text_of(&entries, self.dialect.namespace);
        if page.get().starts_with('[') {
            match serde_json::from_str::<Items<'_>>(page.get()) {
                Ok(items) => items.0.iter().for_each(|item| self.object(item.get(), None, namespace, show)),
                Err(_) => show(&broken(text)),
            }
            return;
        }
        match Entries::parse(page.get()) {
            Ok(by_id) => by_id.0.iter().for_each(|(id, item)| self.object(item.get(), Some(id), namespace, show)),
            Err(_) => show(&broken(text)),
        }
    }

    fn object(&self, text: &str, key: Option<&str>, page_namespace: Option<&str>, show: &mut dyn FnMut(&Record<'_>)) {
        let Ok(entries) = Entries::parse(text) else { return show(&broken(text)) };
        let dialect = self.dialect;
        let mut record = Record { namespace: page_namespace, ..Record::default() };
        let id_key = self.id.iter().find(|wanted| entries.0.iter().any(|(own, _)| own == wanted.as_str()));
        let mut own = Vec::new();
        for (name, value) in entries.0 {
            let is = |keys: &[&str]| keys.contains(&name.as_ref());
            if id_key.is_some_and(|key| *key == name) {
                record.id = Some(self.id_text(value.get()));
            } else if is(dialect.vector) {
                record.vector = Some(value);
            } else if is(dialect.vectors) {
                record.vectors = Some(value);
            } else if is(dialect.sparse) {
                record.sparse = Some(value);
            } else if is(dialect.namespace) && value.get().starts_with('"') {
                record.namespace = Some(value.get());
            } else if dialect.fields == Some(name.as_ref()) {
                match Entries::parse(value.get()) {
                    Ok(fields) => record.fields = fields.0,
                    Err(_) if value.get() == "null" => {}
                    Err(_) => return show(&broken(text)),
                }
            } else if !dialect.ignored.iter().any(|prefix| name.starts_with(prefix)) {
                own.push((name, value));
            }
        }
        if record.id.is_none()
            && let Some(key) = key
        {
            let mut id = Vec::new();
            append_string(key, &mut id);
            record.id = String::from_utf8(id).ok().map(Cow::Owned);
        }
        if let Some(wanted) = self.id.first().filter(|_| record.id.is_none()) {
            // The user's own id column may be one of the fields.
            if let Some(at) = record.fields.iter().position(|(name, _)| name == wanted) {
                record.id = Some(self.id_text(record.fields.remove(at).1.get()));
            }
        }
        record.fields.extend(own);
        show(&record);
    }

    fn text_of<'a>(&self, entries: &Entries<'a>, keys: &[&str]) -> Option<&'a str> {
        let found = entries.0.iter().find(|(own, _)| keys.contains(&own.as_ref()));
        found.map(|(_, value)| value.get()).filter(|text| text.starts_with('"') && *text != "\"\"")
    }

    /// The id as generic lines have it: `{"$oid": ..}` is its digits, `{"$numberLong": ..}` the number, a Vespa id what stands
    /// behind `::`.
    fn id_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.dialect.name == "vespa"
            && let Some((_, user)) = text.strip_prefix("\"id:").and_then(|rest| rest.split_once("::"))
        {
            return format!("\"{user}").into();
        }
        if !text.starts_with('{') {
            return text.into();
        }
        let Ok(entries) = Entries::parse(text) else { return text.into() };
        match entries.0.as_slice() {
            [(key, value)] if key == "$oid" || key == "$uuid" => value.get().to_owned().into(),
            [(key, value)] if key == "$numberLong" || key == "$numberInt" => {
                value.get().trim_matches('"').to_owned().into()
            }
            _ => text.into(),
        }
    }

    /// Appends the generic line of a record.
    pub fn append_line(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        if let Some(text) = record.broken {
            out.extend(text.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
            return out.push(b'\n');
        }
        let start = out.len();
        let key = |name: &str, out: &mut Vec<u8>| {
            out.push(if out.len() == start { b'{' } else { b',' });
            append_string(name, out);
            out.push(b':');
        };
        if let Some(id) = &record.id {
            key("id", out);
            flat(id, out);
        }
        if let Some(namespace) = record.namespace {
            key("namespace", out);
            out.extend_from_slice(namespace.as_bytes());
        }
        let is_vector =
            |name: &str, value: &RawValue| value.get() != "null" && self.vectors.iter().any(|vector| vector == name);
        let unnamed = record.fields.iter().find(|(name, _)| self.unnamed.as_deref() == Some(name.as_ref()));
        let vector = record.vector.or(unnamed.map(|(_, value)| *value));
        if let Some(vector) = vector.filter(|value| !["null", "[]"].contains(&value.get())) {
            key("vector", out);
            vectors::append(vector.get(), out);
        }
        let named = record
            .fields
            .iter()
            .filter(|(name, value)| self.unnamed.as_deref() != Some(name.as_ref()) && is_vector(name, value));
        let entries = record.vectors.and_then(|value| Entries::parse(value.get()).ok());
        let stated = entries.iter().flat_map(|entries| &entries.0).filter(|(_, value)| value.get() != "null");
        let sparse = record.sparse.filter(|value| value.get() != "null");
        let mut all = named.chain(stated).peekable();
        if all.peek().is_some() || sparse.is_some() {
            key("vectors", out);
            let inner = out.len();
            for (name, value) in all {
                out.push(if out.len() == inner { b'{' } else { b',' });
                append_string(name, out);
                out.push(b':');
                vectors::append(value.get(), out);
            }
            if let Some(sparse) = sparse {
                out.push(if out.len() == inner { b'{' } else { b',' });
                out.extend_from_slice(b"\"sparse_values\":");
                vectors::append_sparse(sparse.get(), out);
            }
            out.push(b'}');
        }
        let is_document = |name: &str, value: &RawValue| {
            self.document.as_deref() == Some(name) && (value.get().starts_with('"') || value.get() == "null")
        };
        if let Some((_, text)) = record.fields.iter().find(|(name, value)| is_document(name, value)) {
            key("document", out);
            out.extend_from_slice(text.get().as_bytes());
        }
        let mut rest = record.fields.iter().filter(|(name, value)| {
            !is_document(name, value) && !is_vector(name, value) && self.unnamed.as_deref() != Some(name.as_ref())
        });
        if let Some(first) = rest.next() {
            key("metadata", out);
            for (position, (name, value)) in std::iter::once(first).chain(rest).enumerate() {
                out.push(if position == 0 { b'{' } else { b',' });
                append_string(name, out);
                out.push(b':');
                flat(value.get(), out);
            }
            out.push(b'}');
        }
        if out.len() == start {
            out.push(b'{');
        }
        out.extend_from_slice(b"}\n");
    }
}

fn broken(text: &str) -> Record<'_> {
    Record { broken: Some(text), ..Record::default() }
}

/// JSON text without line breaks, which stand between tokens only.
fn flat(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
}

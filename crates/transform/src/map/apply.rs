//! A map at work: one record at a time, its metadata as entries whose values stay the texts that they are.

use std::borrow::Cow;

use arrow_array::RecordBatch;
use tranship_collection::json::{Entries, append_string};
use tranship_collection::{BatchView, CollectionSchema, IdKind, layout};
use tranship_connector::Result;
use tranship_connector::mapping::mapped_id;

use super::{IdAs, Map};
use crate::chain::{Pass, Worker};
use crate::columns::{Columns, TextColumns, Texts, rebuilt};

type Entry<'a> = (Cow<'a, str>, Cow<'a, str>);
type Outcome<T> = std::result::Result<T, String>;

/// The map over the batches of one split.
pub struct Mapping<'a> {
    map: &'a Map,
    output: &'a CollectionSchema,
    seen: Vec<bool>,
}

impl<'a> Mapping<'a> {
    pub fn new(map: &'a Map, output: &'a CollectionSchema) -> Self {
        Mapping { map, output, seen: vec![false; map.mentions.len()] }
    }

    /// Vector columns under their new names.
    fn vectors(&self, batch: &RecordBatch, view: &BatchView<'_>, anew: &mut Columns) {
        for spec in view.vector_specs() {
            let Some(name) = self.map.vector_rename.get(&spec.name) else { continue };
            let renamed = tranship_collection::VectorSpec { name: name.clone(), ..spec.clone() };
            if let Some(column) = batch.column_by_name(&layout::vector_column(spec)) {
                anew.insert(layout::vector_column(&renamed), column.clone());
            }
        }
    }
}

impl Worker for Mapping<'_> {
    fn apply(&mut self, batch: &RecordBatch, view: &BatchView<'_>, pass: &mut Pass<'_>) -> Result<RecordBatch> {
        let mut anew = Columns::new();
        if self.map.changes_texts() {
            let mut texts = TextColumns::default();
            let mut changed = 0;
            for row in 0..view.len() {
                let own = Texts::of(view, row);
                match self.map.record(view, row, &mut self.seen) {
                    Ok(record) => {
                        changed += u64::from(record != own);
                        texts.push(record);
                    }
                    Err(reason) => {
                        pass.reject(row, reason);
                        texts.push(own);
                    }
                }
            }
            pass.count_changed(changed);
            anew = texts.finish();
        }
        self.vectors(batch, view, &mut anew);
        rebuilt(batch, self.output, &anew)
    }

    fn seen(&self) -> &[bool] {
        &self.seen
    }
}

impl Map {
    fn record(&self, view: &BatchView<'_>, row: usize, seen: &mut [bool]) -> Outcome<Texts> {
        let mut record = Texts { metadata: None, ..Texts::of(view, row) };
        let Entries(entries) = Entries::parse(view.metadata(row).unwrap_or("{}")).map_err(|fault| fault.to_string())?;
        let original: Vec<Entry<'_>> =
            entries.into_iter().map(|(key, value)| (key, Cow::Borrowed(value.get()))).collect();
        let mut fields = self.fields(&original, seen)?;
        self.move_text(&mut fields, &mut record.document, (&self.document_from, &self.document_to), "document", seen)?;
        let places = (&self.namespace_from, &self.namespace_to);
        self.move_text(&mut fields, &mut record.namespace, places, "namespace", seen)?;
        if self.changes_ids() {
            self.identify(&mut fields, &mut record, seen)?;
        }
        if let Some(separator) = &self.unflatten {
            fields = unflatten(fields, separator)?;
        }
        record.metadata = match &fields {
            // What is not touched keeps its spelling, spaces included.
            same if *same == original => view.metadata(row).map(str::to_owned),
            fields => (!fields.is_empty()).then(|| object(fields)),
        };
        Ok(record)
    }

    /// The fields after `flatten`, `drop`, `rename`, `cast` and `default`.
    fn fields<'a>(&self, original: &[Entry<'a>], seen: &mut [bool]) -> Outcome<Vec<Entry<'a>>> {
        let mut fields = match &self.flatten {
            None => original.to_vec(),
            Some(separator) => {
                let mut fields = Vec::new();
                flatten(original, "", separator, &mut fields)?;
                fields
            }
        };
        fields.retain(|(key, _)| {
            let dropped = self.drop.get(key.as_ref());
            dropped.iter().for_each(|mention| seen[**mention] = true);
            dropped.is_none()
        });
        for (key, _) in &mut fields {
            if let Some(to) = self.rename.get(key.as_ref()) {
                seen[to.mention] = true;
                *key = Cow::Owned(to.what.clone());
            } else if let Some(from) = self.renamed.get(key.as_ref()) {
                // Two origins of one name could not be told apart any more.
                return Err(format!("there is a field `{key}`, which `{from}` is to be renamed to"));
            }
        }
        for (key, value) in &mut fields {
            if let Some(to) = self.cast.get(key.as_ref()) {
                seen[to.mention] = true;
                *value = Cow::Owned(to.what.cast(value).map_err(|reason| format!("field `{key}`: {reason}"))?);
            }
        }
        for (key, value) in &self.default {
            if fields.iter().all(|(told, _)| told != key) {
                fields.push((Cow::Owned(key.clone()), Cow::Owned(value.clone())));
            }
        }
        Ok(fields)
    }

    /// Moves a text between its own column and a field, out of the column first.
    fn move_text(
        &self,
        fields: &mut Vec<Entry<'_>>,
        column: &mut Option<String>,
        (from, to): (&Option<super::Told<String>>, &Option<String>),
        what: &str,
        seen: &mut [bool],
    ) -> Outcome<()> {
        let taken = match from {
            Some(from) => take(fields, &from.what).inspect(|_| seen[from.mention] = true),
            None => None,
        };
        if let Some(to) = to {
            refuse_taken(fields, to, what)?;
            if let Some(text) = column.take() {
                fields.push((Cow::Owned(to.clone()), Cow::Owned(literal(&text))));
            }
        }
        let Some(from) = from else { return Ok(()) };
        if column.is_some() {
            return Err(format!("the record has a {what} already, and the field `{}` is to become it", from.what));
        }
        if let Some(value) = taken {
            let text =
                serde_json::from_str(&value).map_err(|_| format!("field `{}` is no text: {value}", from.what))?;
            *column = Some(text);
        }
        Ok(())
    }

    fn identify(&self, fields: &mut Vec<Entry<'_>>, record: &mut Texts, seen: &mut [bool]) -> Outcome<()> {
        let taken = match &self.id_from {
            Some(from) => {
                let value =
                    take(fields, &from.what).ok_or_else(|| format!("there is no field `{}` for the id", from.what))?;
                seen[from.mention] = true;
                Some(value)
            }
            None => None,
        };
        if let Some(keep) = &self.id_keep {
            refuse_taken(fields, keep, "id")?;
            let old = if record.kind == IdKind::Integer { record.id.clone() } else { literal(&record.id) };
            fields.push((Cow::Owned(keep.clone()), Cow::Owned(old)));
        }
        if let Some(value) = taken {
            (record.id, record.kind) = match value.as_bytes().first() {
                Some(b'"') => (serde_json::from_str(&value).map_err(|error| error.to_string())?, IdKind::Text),
                Some(b'-' | b'0'..=b'9') if !value.contains(['.', 'e', 'E']) => (value.into_owned(), IdKind::Integer),
                _ => return Err(format!("{value} is no id: a text or an integer is")),
            };
        }
        let spelled = self.id_as.or((self.id_from.is_some() || self.id_prefix.is_some()).then_some(IdAs::Text));
        match spelled {
            None => {}
            Some(IdAs::Text) => record.kind = IdKind::Text,
            Some(IdAs::Uuid5) => {
                let namespace = record.namespace.as_deref().unwrap_or("");
                record.id = mapped_id(namespace, record.kind, &record.id).to_string();
                record.kind = IdKind::Text;
            }
            Some(IdAs::Integer) => {
                let canonical = record.id.parse::<i128>().is_ok_and(|number| number.to_string() == record.id);
                if !canonical {
                    return Err(format!("the id {:?} is no integer", record.id));
                }
                record.kind = IdKind::Integer;
            }
        }
        if let Some(prefix) = &self.id_prefix {
            record.id.insert_str(0, prefix);
        }
        Ok(())
    }
}

fn take<'a>(fields: &mut Vec<Entry<'a>>, name: &str) -> Option<Cow<'a, str>> {
    let position = fields.iter().position(|(key, _)| key == name)?;
    Some(fields.remove(position).1)
}

fn refuse_taken(fields: &[Entry<'_>], name: &str, what: &str) -> Outcome<()> {
    match fields.iter().any(|(key, _)| key == name) {
        true => Err(format!("there is a field `{name}`, which the {what} is to become")),
        false => Ok(()),
    }
}

/// Objects in objects become keys; empty objects and lists stay values.
fn flatten<'a>(entries: &[Entry<'a>], prefix: &str, separator: &str, fields: &mut Vec<Entry<'a>>) -> Outcome<()> {
    for (key, value) in entries {
        if key.contains(separator) {
            return Err(format!("the key {key:?} holds the separator {separator:?}"));
        }
        let name = format!("{prefix}{key}");
        let below = match value {
            Cow::Borrowed(text) if text.starts_with('{') => Entries::parse(text).map_err(|fault| fault.to_string())?.0,
            _ => Vec::new(),
        };
        match below.is_empty() {
            true => fields.push((Cow::Owned(name), value.clone())),
            false => {
                let below: Vec<Entry<'a>> =
                    below.into_iter().map(|(key, value)| (key, Cow::Borrowed(value.get()))).collect();
                flatten(&below, &format!("{name}{separator}"), separator, fields)?;
            }
        }
    }
    Ok(())
}

/// A key's value, or the keys below it.
enum Tree<'a> {
    Leaf(Cow<'a, str>),
    Node(Vec<(String, Tree<'a>)>),
}

fn unflatten<'a>(fields: Vec<Entry<'a>>, separator: &str) -> Outcome<Vec<Entry<'a>>> {
    let mut root = Vec::new();
    for (key, value) in fields {
        let parts: Vec<&str> = key.split(separator).collect();
        grow(&mut root, &parts, value).map_err(|()| format!("`{key}` and another field would both be one"))?;
    }
    Ok(root.into_iter().map(|(key, tree)| (Cow::Owned(key), tree.text())).collect())
}

fn grow<'a>(level: &mut Vec<(String, Tree<'a>)>, parts: &[&str], value: Cow<'a, str>) -> std::result::Result<(), ()> {
    let Some((first, rest)) = parts.split_first() else { return Err(()) };
    let found = level.iter_mut().find(|(key, _)| key == first);
    match (found, rest) {
        (Some((_, Tree::Node(below))), [_, ..]) => grow(below, rest, value),
        (Some(_), _) => Err(()),
        (None, []) => {
            level.push(((*first).to_owned(), Tree::Leaf(value)));
            Ok(())
        }
        (None, _) => {
            let mut below = Vec::new();
            grow(&mut below, rest, value)?;
            level.push(((*first).to_owned(), Tree::Node(below)));
            Ok(())
        }
    }
}

impl<'a> Tree<'a> {
    fn text(self) -> Cow<'a, str> {
        match self {
            Tree::Leaf(text) => text,
            Tree::Node(below) => {
                let fields: Vec<Entry<'a>> =
                    below.into_iter().map(|(key, tree)| (Cow::Owned(key), tree.text())).collect();
                Cow::Owned(object(&fields))
            }
        }
    }
}

fn object(fields: &[Entry<'_>]) -> String {
    let mut out = Vec::new();
    for (position, (key, value)) in fields.iter().enumerate() {
        out.push(if position == 0 { b'{' } else { b',' });
        append_string(key, &mut out);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

fn literal(text: &str) -> String {
    let mut out = Vec::new();
    append_string(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

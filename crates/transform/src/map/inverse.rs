//! The map that undoes a map.
//!
//! There is one for names and places: `rename`, `flatten`, moves of documents and namespaces, names of vectors. Why it undoes them: a
//! record in which a place is already taken is a reject, so that in the records that pass each new name has one origin.

use std::collections::BTreeMap;

use super::{Map, Told};

impl Map {
    /// The text of the inverse; `None` if something is lost, or a name is both left and taken.
    pub fn inverse_text(&self) -> Option<String> {
        let loses = !self.drop.is_empty() || !self.cast.is_empty() || !self.default.is_empty() || self.changes_ids();
        if loses || self.unflatten.is_some() || !self.vector_drop.is_empty() {
            return None;
        }
        let places = [&self.document_to, &self.namespace_to];
        let touched = |name: &String| self.rename.contains_key(name) || self.renamed.contains_key(name);
        if places.into_iter().flatten().any(touched) || self.renamed.keys().any(|name| self.rename.contains_key(name)) {
            return None;
        }
        let taken: Vec<&str> =
            [&self.document_from, &self.namespace_from].into_iter().flatten().map(|from| from.what.as_str()).collect();
        let mut text = String::new();
        let rename: BTreeMap<&str, &str> = self
            .renamed
            .iter()
            .filter(|(to, _)| !taken.contains(&to.as_str()))
            .map(|(to, from)| (to.as_str(), from.as_str()))
            .collect();
        table(&mut text, "rename", rename);
        table(&mut text, "document", self.moved(&self.document_from, &self.document_to));
        table(&mut text, "namespace", self.moved(&self.namespace_from, &self.namespace_to));
        table(
            &mut text,
            "vectors.rename",
            self.vector_rename.iter().map(|(from, to)| (to.as_str(), from.as_str())).collect(),
        );
        if let Some(separator) = &self.flatten {
            text = format!("unflatten = {}\n{text}", quoted(separator));
        }
        Some(text)
    }

    /// What was taken from a field goes back to the name that the field had.
    fn moved<'a>(&'a self, from: &'a Option<Told<String>>, to: &'a Option<String>) -> BTreeMap<&'a str, &'a str> {
        let origin = |from: &'a Told<String>| self.renamed.get(&from.what).unwrap_or(&from.what).as_str();
        let back = from.as_ref().map(|from| ("to", origin(from)));
        back.into_iter().chain(to.as_ref().map(|to| ("from", to.as_str()))).collect()
    }
}

fn table(text: &mut String, name: &str, entries: BTreeMap<&str, &str>) {
    if entries.is_empty() {
        return;
    }
    text.push_str(&format!("[{name}]\n"));
    entries.iter().for_each(|(key, value)| text.push_str(&format!("{} = {}\n", quoted(key), quoted(value))));
}

/// A string as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

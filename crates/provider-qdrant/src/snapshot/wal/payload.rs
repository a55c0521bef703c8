//! Changes of a payload: keys set, merged at a path and removed, with the order of keys and the spelling of numbers
//! kept.
//!
//! ```text
//! path = key (.key | [index] | [])*      key = letters, digits, _ and -, or anything but " and \ in quotes
//! ```
//! A text that is no path is taken for one key, as releases before 1.9 did. A null that is merged removes its key;
//! what stands in the way of a path is replaced; an index beyond an array and the removal of an element do nothing.
//!
//! Errors: text that is no JSON object, or that nests too deep.
//! Source: qdrant/qdrant `lib/segment/src/json_path/`, `lib/segment/src/utils`.

use std::collections::HashMap;

use serde_json::value::RawValue;
use tranship_collection::Fault;
use tranship_collection::json::{Entries, MAX_DEPTH, append_string};

/// A payload taken apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Payload(Map);

type Map = Vec<(String, Node)>;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// A string, number, boolean or null as it is spelled.
    Scalar(String),
    Array(Vec<Node>),
    Object(Map),
}

/// Where in a payload.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    /// Key of the payload.
    pub first: String,
    /// Steps from there.
    pub rest: Vec<Step>,
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Into an object.
    Key(String),
    /// To one element of an array.
    Index(usize),
    /// To all elements of an array.
    Each,
}

impl Payload {
    /// Takes the text of one JSON object apart.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        map(text, 0).map(Payload)
    }

    /// The text again.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        append_map(&self.0, &mut out);
        // What was appended is UTF-8 throughout.
        String::from_utf8(out).unwrap_or_default()
    }

    /// Sets the keys of `other`, at `path` if there is one.
    pub fn merge(&mut self, other: &Payload, path: Option<&JsonPath>) {
        match path {
            Some(path) => set_key(&path.first, &path.rest, &mut self.0, &other.0),
            None => merge(&mut self.0, &other.0),
        }
    }

    /// Removes what is at `path`.
    pub fn remove(&mut self, path: &JsonPath) {
        match path.rest.split_first() {
            None => remove_key(&mut self.0, &path.first),
            Some((head, rest)) => {
                if let Some(value) = get_mut(&mut self.0, &path.first) {
                    remove_at(head, rest, value);
                }
            }
        }
    }
}

impl JsonPath {
    /// Reads a path.
    pub fn parse(text: &str) -> Self {
        steps(text).unwrap_or_else(|| JsonPath { first: text.to_owned(), rest: Vec::new() })
    }
}

fn steps(text: &str) -> Option<JsonPath> {
    let (first, mut left) = key(text)?;
    let mut rest = Vec::new();
    while !left.is_empty() {
        if let Some(after) = left.strip_prefix('.') {
            let (name, after) = key(after)?;
            rest.push(Step::Key(name));
            left = after;
        } else if let Some(after) = left.strip_prefix("[]") {
            rest.push(Step::Each);
            left = after;
        } else {
            let (digits, after) = left.strip_prefix('[')?.split_once(']')?;
            rest.push(Step::Index(digits.parse().ok()?));
            left = after;
        }
    }
    Some(JsonPath { first, rest })
}

fn key(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, after) = quoted.split_once('"')?;
        return (!name.contains('\\')).then(|| (name.to_owned(), after));
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    (!name.is_empty()).then(|| (name.to_owned(), after))
}

fn merge(into: &mut Map, from: &Map) {
    // Where each key stands: payloads may have any number of them.
    let mut places: HashMap<String, usize> = HashMap::with_capacity(into.len());
    for (place, (key, _)) in into.iter().enumerate() {
        places.entry(key.clone()).or_insert(place);
    }
    for (key, value) in from {
        let place = places.get(key).copied();
        match (value, place) {
            (Node::Scalar(text), None) if text == "null" => {}
            (Node::Scalar(text), Some(place)) if text == "null" => {
                into.swap_remove(place);
                places.remove(key);
                if let Some((moved, _)) = into.get(place) {
                    places.insert(moved.clone(), place);
                }
            }
            (_, Some(place)) => into[place].1 = value.clone(),
            (_, None) => {
                places.insert(key.clone(), into.len());
                into.push((key.clone(), value.clone()));
            }
        }
    }
}

fn set_key(key: &str, rest: &[Step], into: &mut Map, from: &Map) {
    if let Some(value) = get_mut(into, key) {
        return set_at(rest, value, from);
    }
    let mut value = Node::Scalar("null".to_owned());
    set_at(rest, &mut value, from);
    into.push((key.to_owned(), value));
}

fn set_at(path: &[Step], into: &mut Node, from: &Map) {
    match path.split_first() {
        None => change_object(into, |map| merge(map, from)),
        Some((Step::Key(key), rest)) => change_object(into, |map| set_key(key, rest, map, from)),
        Some((step, rest)) => {
            let Node::Array(elements) = into else {
                *into = Node::Array(Vec::new());
                return;
            };
            match step {
                Step::Index(index) => elements.get_mut(*index).into_iter().for_each(|one| set_at(rest, one, from)),
                _ => elements.iter_mut().for_each(|one| set_at(rest, one, from)),
            }
        }
    }
}

/// Changes the object; whatever else was there gives way to a new one.
fn change_object(node: &mut Node, change: impl FnOnce(&mut Map)) {
    let mut map = match std::mem::replace(node, Node::Array(Vec::new())) {
        Node::Object(map) => map,
        _ => Map::new(),
    };
    change(&mut map);
    *node = Node::Object(map);
}

fn remove_at(head: &Step, rest: &[Step], value: &mut Node) {
    match (head, value, rest.split_first()) {
        (Step::Key(key), Node::Object(map), None) => remove_key(map, key),
        (Step::Each, Node::Array(elements), None) => elements.clear(),
        (Step::Key(key), Node::Object(map), Some((next, rest))) => {
            get_mut(map, key).into_iter().for_each(|value| remove_at(next, rest, value));
        }
        (Step::Index(index), Node::Array(elements), Some((next, rest))) => {
            elements.get_mut(*index).into_iter().for_each(|value| remove_at(next, rest, value));
        }
        (Step::Each, Node::Array(elements), Some((next, rest))) => {
            elements.iter_mut().for_each(|value| remove_at(next, rest, value));
        }
        _ => {}
    }
}

/// The last key takes the place of the removed one, as in the engine.
fn remove_key(map: &mut Map, key: &str) {
    if let Some(position) = map.iter().position(|(name, _)| name == key) {
        map.swap_remove(position);
    }
}

fn get_mut<'m>(map: &'m mut Map, key: &str) -> Option<&'m mut Node> {
    map.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn map(text: &str, depth: usize) -> Result<Map, Fault> {
    let entries = Entries::parse(text)?.0;
    entries.into_iter().map(|(key, value)| Ok((key.into_owned(), node(value.get(), depth + 1)?))).collect()
}

fn node(text: &str, depth: usize) -> Result<Node, Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::BadJson { reason: format!("nested deeper than {MAX_DEPTH} levels") });
    }
    match text.as_bytes().first() {
        Some(b'{') => map(text, depth).map(Node::Object),
        Some(b'[') => {
            let elements: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| Fault::BadJson { reason: error.to_string() })?;
            elements
                .into_iter()
                .map(|element| node(element.get(), depth + 1))
                .collect::<Result<_, _>>()
                .map(Node::Array)
        }
        _ => Ok(Node::Scalar(text.to_owned())),
    }
}

fn append_map(map: &Map, out: &mut Vec<u8>) {
    out.push(b'{');
    for (position, (key, value)) in map.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        append_string(key, out);
        out.push(b':');
        append_node(value, out);
    }
    out.push(b'}');
}

fn append_node(node: &Node, out: &mut Vec<u8>) {
    match node {
        Node::Scalar(text) => out.extend_from_slice(text.as_bytes()),
        Node::Object(map) => append_map(map, out),
        Node::Array(elements) => tranship_collection::json::append_array_of(elements, out, append_node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, other: &str, path: Option<&str>) -> String {
        let mut payload = Payload::parse(text).unwrap();
        payload.merge(&Payload::parse(other).unwrap(), path.map(JsonPath::parse).as_ref());
        payload.text()
    }

    fn removed(text: &str, path: &str) -> String {
        let mut payload = Payload::parse(text).unwrap();
        payload.remove(&JsonPath::parse(path));
        payload.text()
    }

    #[test]
    fn keys_are_set_in_place_and_nulls_remove() {
        assert_eq!(
            set(r#"{"z":1.50,"a":[1, 2]}"#, r#"{"z":2,"n":{"k":null}}"#, None),
            r#"{"z":2,"a":[1,2],"n":{"k":null}}"#
        );
        assert_eq!(set(r#"{"a":1,"b":2,"c":1e3}"#, r#"{"a":null}"#, None), r#"{"c":1e3,"b":2}"#);
    }

    #[test]
    fn many_keys_are_set_in_time_that_grows_with_their_number() {
        let many = |value: &str| {
            let keys: Vec<String> = (0..200_000).map(|key| format!("\"k{key}\":{value}")).collect();
            format!("{{{}}}", keys.join(","))
        };
        assert_eq!(set(&many("1"), &many("2"), None), many("2"));
        assert_eq!(set(&many("1"), &many("null"), None), "{}");
    }

    #[test]
    fn paths_lead_into_objects_and_arrays() {
        let text = r#"{"a":{"b":1,"x y":[{"c":1},{"d":2},3]},"s":5}"#;
        assert_eq!(set(text, r#"{"n":0}"#, Some("a")), r#"{"a":{"b":1,"x y":[{"c":1},{"d":2},3],"n":0},"s":5}"#);
        assert_eq!(
            set(text, r#"{"n":0}"#, Some(r#"a."x y"[1]"#)),
            r#"{"a":{"b":1,"x y":[{"c":1},{"d":2,"n":0},3]},"s":5}"#
        );
        assert_eq!(
            set(text, r#"{"n":0}"#, Some(r#"a."x y"[]"#)),
            r#"{"a":{"b":1,"x y":[{"c":1,"n":0},{"d":2,"n":0},{"n":0}]},"s":5}"#
        );
        assert_eq!(set(r#"{"s":5}"#, r#"{"n":0}"#, Some("s.t")), r#"{"s":{"t":{"n":0}}}"#);
        assert_eq!(set(r#"{"s":5}"#, r#"{"n":0}"#, Some("new[]")), r#"{"s":5,"new":[]}"#);
        assert_eq!(set(r#"{"s":[1]}"#, r#"{"n":0}"#, Some("s[7]")), r#"{"s":[1]}"#);
        assert_eq!(set(r#"{}"#, r#"{"n":0}"#, Some("no path!")), r#"{"no path!":{"n":0}}"#);
    }

    #[test]
    fn paths_are_removed() {
        let text = r#"{"a":{"b":1,"l":[{"c":1,"d":2},{"c":3}]}}"#;
        assert_eq!(removed(text, "a.b"), r#"{"a":{"l":[{"c":1,"d":2},{"c":3}]}}"#);
        assert_eq!(removed(text, "a.l[].c"), r#"{"a":{"b":1,"l":[{"d":2},{}]}}"#);
        assert_eq!(removed(text, "a.l[1].c"), r#"{"a":{"b":1,"l":[{"c":1,"d":2},{}]}}"#);
        assert_eq!(removed(text, "a.l[]"), r#"{"a":{"b":1,"l":[]}}"#);
        for nothing in ["a.l[0]", "b", "a.b.c", "a[0]"] {
            assert_eq!(removed(text, nothing), text);
        }
        assert!(Payload::parse("[]").is_err() && Payload::parse("").is_err());
    }
}

//! Metadata of a document as JSON text.
//!
//! Python's None, bool, int of any size, float, str, list, tuple, set and dict become what JSON has for them; non-finite
//! floats, bytes and times become the one-key wrappers; UUIDs and paths become texts; numpy scalars become numbers.
//! Anything else, a key that is no text, nesting beyond 128 levels (or a value that holds itself) and more than a limit
//! of bytes are reasons to reject the record.

use std::collections::HashMap;

use tranship_collection::json::{
    MAX_DEPTH, ObjectText, append_array_of, append_bool, append_bytes, append_float, append_integer, append_string,
};
use tranship_container::pickle::{Dict, Node, Values};

use super::python;

/// A value written, or why it cannot be.
type Written = Result<(), String>;

/// Writes the entries of a dict into `object`.
pub fn append_object(node: Node<'_>, object: &mut ObjectText, max_bytes: usize) -> Written {
    let Some(dict) = dict_of(node) else { return Err("the metadata is no dict".to_owned()) };
    for (key, value) in last_of_each(dict)? {
        append(value, object.key(key), 2, max_bytes).map_err(|reason| format!("metadata `{key}`: {reason}"))?;
    }
    Ok(())
}

fn append(node: Node<'_>, out: &mut Vec<u8>, depth: usize, max_bytes: usize) -> Written {
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    if out.len() > max_bytes {
        return Err(format!("more than {max_bytes} bytes of text"));
    }
    match node {
        Node::None => out.extend_from_slice(b"null"),
        Node::Bool(flag) => append_bool(flag, out),
        Node::Int(number) => append_integer(number.into(), out),
        Node::Long(bytes) => out.extend_from_slice(python::decimal(bytes).as_bytes()),
        Node::Float(number) => append_float(number, out),
        Node::Text(text) => append_string(text, out),
        Node::Bytes(bytes) => append_bytes(bytes, out),
        Node::List(values) | Node::Tuple(values) | Node::Set(values) => {
            return append_list(values, out, depth, max_bytes);
        }
        Node::Dict(dict) => return append_dict(dict, out, depth, max_bytes),
        Node::Class(name) => return Err(format!("the class {} has no form in JSON", name.escape_debug())),
        Node::Object(object) => {
            if let Some(items) = object.items() {
                return append_dict(items, out, depth, max_bytes);
            }
            if let Some(values) = python::set_of(object) {
                return append_list(values, out, depth, max_bytes);
            }
            python::append(object, out)?;
        }
    }
    Ok(())
}

fn append_list(values: Values<'_>, out: &mut Vec<u8>, depth: usize, max_bytes: usize) -> Written {
    let mut written = Ok(());
    append_array_of(values.iter(), out, |value, out| {
        if written.is_ok() {
            written = append(value, out, depth + 1, max_bytes);
        }
    });
    written
}

fn append_dict(dict: Dict<'_>, out: &mut Vec<u8>, depth: usize, max_bytes: usize) -> Written {
    out.push(b'{');
    for (position, (key, value)) in last_of_each(dict)?.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        append_string(key, out);
        out.push(b':');
        append(value, out, depth + 1, max_bytes)?;
    }
    out.push(b'}');
    Ok(())
}

fn dict_of(node: Node<'_>) -> Option<Dict<'_>> {
    match node {
        Node::Dict(dict) => Some(dict),
        Node::Object(object) => object.items(),
        _ => None,
    }
}

/// The entries of a dict, of a key that was set twice the last.
fn last_of_each(dict: Dict<'_>) -> Result<Vec<(&str, Node<'_>)>, String> {
    let mut entries = Vec::with_capacity(dict.len());
    for (key, value) in dict.iter() {
        match key {
            Node::Text(key) => entries.push((key, value)),
            _ => return Err("a key is no text".to_owned()),
        }
    }
    let last: HashMap<&str, usize> = entries.iter().enumerate().map(|(position, (key, _))| (*key, position)).collect();
    if last.len() < entries.len() {
        let kept = entries.iter().enumerate().filter(|(position, (key, _))| last.get(key) == Some(position));
        return Ok(kept.map(|(_, entry)| *entry).collect());
    }
    Ok(entries)
}

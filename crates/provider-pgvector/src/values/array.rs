//! The text of an array: `{1,2}`, `{"a,b",NULL,"x\\y",""}`, `{{1,2},{3,4}}`, `[0:1]={1,2}`.
//!
//! Bounds are dropped: JSON arrays have none. Errors: brackets that do not match, elements that their type refuses.
//! Source: PostgreSQL documentation, 8.15.6 Array Input and Output Syntax.

use super::{Reason, scalar};
use crate::dialect::Type;

/// Deepest nesting: PostgreSQL's own limit.
const MAX_DIMENSIONS: usize = 6;

/// Appends the array whose text is `text` as JSON.
pub fn append(element: &Type, text: &str, out: &mut Vec<u8>) -> Result<(), Reason> {
    let body = match text.strip_prefix('[') {
        Some(bounds) => bounds.split_once('=').map_or("", |(_, body)| body),
        None => text,
    };
    let mut parser = Parser { element, rest: body, value: String::new() };
    let done = parser.list(out, 1);
    match done {
        Ok(()) if parser.rest.is_empty() => Ok(()),
        Ok(()) => Err(format!("{} goes on behind its array", scalar::shown(text))),
        Err(reason) => Err(reason),
    }
}

struct Parser<'t> {
    element: &'t Type,
    rest: &'t str,
    value: String,
}

impl Parser<'_> {
    fn list(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), Reason> {
        if depth > MAX_DIMENSIONS {
            return Err("an array of more than six dimensions".to_owned());
        }
        if !self.take('{') {
            return Err(format!("{} is no array", scalar::shown(self.rest)));
        }
        out.push(b'[');
        if self.take('}') {
            out.push(b']');
            return Ok(());
        }
        loop {
            match self.rest.chars().next() {
                Some('{') => self.list(out, depth + 1)?,
                Some('"') => {
                    self.quoted()?;
                    scalar::append(self.element, &self.value, out)?;
                }
                _ => self.unquoted(out)?,
            }
            if self.take('}') {
                out.push(b']');
                return Ok(());
            }
            if !self.take(',') {
                return Err("an array is not closed".to_owned());
            }
            out.push(b',');
        }
    }

    fn take(&mut self, symbol: char) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn quoted(&mut self) -> Result<(), Reason> {
        self.value.clear();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or("");
                    return Ok(());
                }
                '\\' => self.value.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => self.value.push(c),
            }
        }
        Err("a text in an array is not closed".to_owned())
    }

    fn unquoted(&mut self, out: &mut Vec<u8>) -> Result<(), Reason> {
        let end = self.rest.find([',', '}', '{', '"']).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = text.trim();
        if text.is_empty() {
            return Err("an array has an empty element".to_owned());
        }
        if text.eq_ignore_ascii_case("null") {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        if !text.contains('\\') {
            return scalar::append(self.element, text, out);
        }
        let mut chars = text.chars();
        self.value.clear();
        while let Some(c) = chars.next() {
            self.value.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        scalar::append(self.element, &self.value, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(element: &Type, text: &str) -> Result<String, Reason> {
        let mut out = Vec::new();
        append(element, text, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn arrays_become_json_arrays() {
        for (element, text, expected) in [
            (Type::Text, r#"{"a,b","\"q\"",NULL,"x\\y","","NULL"}"#, r#"["a,b","\"q\"",null,"x\\y","","NULL"]"#),
            (Type::Integer(4), "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (Type::Integer(4), "[0:1]={1,2}", "[1,2]"),
            (Type::Integer(4), "[0:0][-1:0]={{1,2}}", "[[1,2]]"),
            (Type::Integer(4), "{}", "[]"),
            (Type::Float8, "{1,NaN}", r#"[1.0,{"$float":"nan"}]"#),
            (Type::Bool, "{t,f}", "[true,false]"),
            (Type::Vector(None), r#"{"[1,2]","[3,4]"}"#, "[[1.0,2.0],[3.0,4.0]]"),
        ] {
            assert_eq!(json_of(&element, text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn broken_arrays_are_refused() {
        for text in ["", "{", "{1", "{1,", "{1,}", "}", "{1}x", "{\"a", "{\"a\\", "{1 2}", "[0:1]", "{{{{{{{1}}}}}}}"] {
            assert!(json_of(&Type::Integer(4), text).is_err(), "{text}");
        }
    }
}

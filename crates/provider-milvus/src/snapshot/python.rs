//! Python literals as JSON values: what `print(collection.schema)` and `repr(describe_collection(..))` leave in a file.
//!
//! Read are dicts, lists, tuples, strings, numbers, `True`, `False`, `None`, and members of an enum as
//! `<DataType.INT64: 5>` (their number) or `DataType.INT64` (their name). Nothing is executed.
//!
//! Errors: the reason and the byte of what is no such literal. Nesting is bounded.

use serde_json::{Map, Value};

const MAX_DEPTH: usize = 32;

/// The value of `text`.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    match parser.rest() {
        "" => Ok(value),
        _ => Err(parser.wrong("the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn wrong(&self, expected: &str) -> String {
        let found: String = self.rest().chars().take(12).collect();
        format!("byte {}: {expected} expected, found {found:?}", self.at)
    }

    /// Takes `token` if it stands here.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(token)) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("byte {}: nested deeper than {MAX_DEPTH} levels", self.at));
        }
        self.space();
        match self.rest().chars().next() {
            Some('{') => self.dict(depth),
            Some('[') => self.list("[", "]", depth),
            Some('(') => self.list("(", ")", depth),
            Some('\'' | '"') => self.string().map(Value::String),
            Some('<') => self.member(),
            _ => self.word(),
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, String> {
        let mut entries = Map::new();
        self.expect("{")?;
        while !self.take("}") {
            let key = match self.value(depth + 1)? {
                Value::String(key) => key,
                other => other.to_string(),
            };
            self.expect(":")?;
            let value = self.value(depth + 1)?;
            entries.insert(key, value);
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Value::Object(entries))
    }

    fn list(&mut self, open: &str, close: &str, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        self.expect(open)?;
        while !self.take(close) {
            items.push(self.value(depth + 1)?);
            if !self.take(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(Value::Array(items))
    }

    fn string(&mut self) -> Result<String, String> {
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((offset, c)) = chars.next() {
            match c {
                _ if Some(c) == quote => {
                    self.at += offset + c.len_utf8();
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, escaped @ ('\\' | '\'' | '"'))) => text.push(escaped),
                    _ => return Err(self.wrong("a string without other escapes than \\n \\t \\r \\\\ \\' \\\"")),
                },
                c => text.push(c),
            }
        }
        Err(self.wrong("the end of the string"))
    }

    /// `<DataType.INT64: 5>`.
    fn member(&mut self) -> Result<Value, String> {
        let end = self.rest().find('>').ok_or_else(|| self.wrong("`>`"))?;
        let inside = self.rest().get(1..end).unwrap_or_default();
        let number = inside.rsplit_once(':').and_then(|(_, number)| number.trim().parse::<i64>().ok());
        let number = number.ok_or_else(|| self.wrong("a member of an enum with its number"))?;
        self.at += end + 1;
        Ok(number.into())
    }

    fn word(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"._+-".contains(c)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let value = match word {
            "True" | "true" => Value::Bool(true),
            "False" | "false" => Value::Bool(false),
            "None" | "null" => Value::Null,
            "" => return Err(self.wrong("a value")),
            number if serde_json::from_str::<serde_json::Number>(number).is_ok() => {
                serde_json::from_str(number).map_err(|_| self.wrong("a number"))?
            }
            name => Value::String(name.to_owned()),
        };
        self.at += end;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_printed_schema_becomes_json() {
        let text = "{'a': [{'type': <DataType.INT64: 5>, 'p': True, \"q\": None,}], 'd': DataType.BOOL, 'e': (1, -2.5), 's': 'it\\'s'}";
        let expected =
            json!({"a": [{"type": 5, "p": true, "q": null}], "d": "DataType.BOOL", "e": [1, -2.5], "s": "it's"});
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(r#"{"a": [true, null, 1]}"#), Ok(json!({"a": [true, null, 1]})));
    }

    #[test]
    fn what_is_no_literal_is_told_with_its_byte() {
        for text in ["", "{", "{'a' 1}", "[1", "'x", "<DataType.X>", "f(1)", "{'a': 1} x"] {
            assert!(parse(text).unwrap_err().contains("byte"), "{text}");
        }
        assert!(parse(&"[".repeat(10_000)).unwrap_err().contains("nested"));
    }
}

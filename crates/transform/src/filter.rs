//! `--where`: a small typed language over id, namespace, document and metadata.
//!
//! ```text
//! expression  any of "or" < "and" < "not", in parentheses
//! condition   FIELD (= | == | != | < | <= | > | >=) VALUE     FIELD in [VALUE, ..]     exists FIELD
//! FIELD       id, namespace, document; else a metadata key, dots lead into objects (meta.year); metadata.id for a key
//!             called like one of the three; `a.b` in backquotes for one key with any signs in it
//! VALUE       1, -2.5, "text" or 'text', true, false, null
//! ```
//!
//! Types are not mixed: a text is never equal to a number, and values of different types have no order. Integers and floats
//! compare as numbers. A list meets a condition if one of its elements does. A field that is not there meets none, so that
//! `!=` is exactly `not =`. Texts order by code point.
//!
//! Errors: usage, with the column and the place marked by `^`.

use std::sync::Arc;

use tranship_collection::CollectionSchema;
use tranship_connector::{Error, Grade, Loss, Result};

use crate::chain::{Inverse, Pass, Step, Worker};
use crate::eval::{Row, Value};
use crate::rows::Keep;

/// How deep an expression may nest.
const MAX_DEPTH: usize = 64;

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    root: Node,
}

/// One part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Compare(Field, Op, Value),
    In(Field, Vec<Value>),
    Exists(Field),
}

/// What of a record is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Id,
    Namespace,
    Document,
    /// Keys from the outermost object inwards, at least one.
    Metadata(Vec<String>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Self> {
        let tokens = tokens(text)?;
        let mut parser = Parser { text, tokens, next: 0, depth: 0 };
        let root = parser.any()?;
        match parser.peek() {
            Token::End => Ok(Filter { text: text.to_owned(), root }),
            _ => Err(parser.unexpected("`and`, `or` or the end")),
        }
    }
}

impl Step for Filter {
    fn name(&self) -> &'static str {
        "where"
    }

    fn losses(&self, _: &CollectionSchema) -> Vec<Loss> {
        vec![Loss::new("CHANGED_RECORDS", "where", "all records", format!("those with {}", self.text), Grade::Dropped)]
    }

    fn inverse(&self) -> Inverse {
        Inverse::Unneeded
    }

    fn worker<'a>(&'a self, _: &'a CollectionSchema, _: &'a Arc<CollectionSchema>) -> Result<Box<dyn Worker + 'a>> {
        Ok(Box::new(Keep(|view: &tranship_collection::BatchView<'_>, row: usize, _: &Pass<'_>| {
            Row::new(view, row).meets(&self.root)
        })))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// A key in backquotes.
    Key(String),
    Text(String),
    Number(String),
    Op(Op),
    Sign(char),
    End,
}

/// The tokens with the byte at which each begins.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>> {
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, c)) = rest.next() {
        let mut follows = |wanted: char| rest.next_if(|(_, c)| *c == wanted).is_some();
        let token = match c {
            _ if c.is_whitespace() => continue,
            '(' | ')' | '[' | ']' | ',' => Token::Sign(c),
            '=' => {
                follows('=');
                Token::Op(Op::Equal)
            }
            '!' if follows('=') => Token::Op(Op::NotEqual),
            '<' => Token::Op(if follows('=') { Op::LessOrEqual } else { Op::Less }),
            '>' => Token::Op(if follows('=') { Op::GreaterOrEqual } else { Op::Greater }),
            '"' | '\'' | '`' => {
                let mut value = String::new();
                loop {
                    match rest.next() {
                        None => return Err(wrong(text, start, &format!("the {c} is never closed"))),
                        Some((_, end)) if end == c => break,
                        Some((_, '\\')) => match rest.next() {
                            Some((_, 'n')) => value.push('\n'),
                            Some((_, 't')) => value.push('\t'),
                            Some((_, sign)) if sign == c || sign == '\\' => value.push(sign),
                            _ => return Err(wrong(text, start, "a backslash stands before n, t, itself or the quote")),
                        },
                        Some((_, sign)) => value.push(sign),
                    }
                }
                if c == '`' { Token::Key(value) } else { Token::Text(value) }
            }
            _ if is_word(c) => {
                let mut word = c.to_string();
                while let Some((_, c)) = rest.next_if(|(_, c)| is_word(*c) || *c == '+') {
                    word.push(c);
                }
                let number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
                if number { Token::Number(word) } else { Token::Word(word) }
            }
            _ => return Err(wrong(text, start, &format!("`{c}` means nothing here"))),
        };
        tokens.push((start, token));
    }
    tokens.push((text.len(), Token::End));
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$' | '@' | '/' | ':')
}

fn wrong(text: &str, at: usize, what: &str) -> Error {
    let column = text[..at].chars().count() + 1;
    Error::usage(format!("--where: {what}"))
        .with("column", column)
        .with("at", format!("{}^{}", &text[..at], &text[at..]))
        .hint("conditions are such as: year >= 2020 and lang in [\"en\", \"de\"] and not exists draft")
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].1
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        // The last token is the end, which stays.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn unexpected(&self, wanted: &str) -> Error {
        wrong(self.text, self.tokens[self.next].0, &format!("{wanted} is expected"))
    }

    fn is_keyword(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.is_keyword(word);
        if found {
            self.take();
        }
        found
    }

    fn any(&mut self) -> Result<Node> {
        let mut parts = vec![self.all()?];
        while self.takes("or") {
            parts.push(self.all()?);
        }
        Ok(single(parts, Node::Any))
    }

    fn all(&mut self) -> Result<Node> {
        let mut parts = vec![self.negated()?];
        while self.takes("and") {
            parts.push(self.negated()?);
        }
        Ok(single(parts, Node::All))
    }

    fn negated(&mut self) -> Result<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(wrong(self.text, self.tokens[self.next].0, "nested too deep"));
        }
        let node = if self.takes("not") {
            Node::Not(Box::new(self.negated()?))
        } else if *self.peek() == Token::Sign('(') {
            self.take();
            let node = self.any()?;
            self.sign(')')?;
            node
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn condition(&mut self) -> Result<Node> {
        if self.takes("exists") {
            return self.field().map(Node::Exists);
        }
        let field = self.field()?;
        if self.takes("in") {
            self.sign('[')?;
            let mut values = vec![self.value()?];
            while *self.peek() == Token::Sign(',') {
                self.take();
                values.push(self.value()?);
            }
            self.sign(']')?;
            return Ok(Node::In(field, values));
        }
        let Token::Op(op) = *self.peek() else { return Err(self.unexpected("=, !=, <, <=, >, >= or `in`")) };
        self.take();
        Ok(Node::Compare(field, op, self.value()?))
    }

    fn field(&mut self) -> Result<Field> {
        const RESERVED: [&str; 8] = ["and", "or", "not", "in", "exists", "true", "false", "null"];
        let field = match self.peek() {
            Token::Key(key) => Field::Metadata(vec![key.clone()]),
            Token::Word(word) if !RESERVED.contains(&word.to_ascii_lowercase().as_str()) => match word.as_str() {
                "id" => Field::Id,
                "namespace" => Field::Namespace,
                "document" => Field::Document,
                path => {
                    let path = path.strip_prefix("metadata.").unwrap_or(path);
                    Field::Metadata(path.split('.').map(str::to_owned).collect())
                }
            },
            _ => return Err(self.unexpected("a field")),
        };
        self.take();
        Ok(field)
    }

    fn value(&mut self) -> Result<Value> {
        let value = match self.peek() {
            Token::Text(text) => Some(Value::Text(text.clone())),
            Token::Number(text) => Value::number(text),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => Some(Value::Null),
            _ => None,
        };
        let value = value.ok_or_else(|| self.unexpected("a number, a text in quotes, true, false or null"))?;
        self.take();
        Ok(value)
    }

    fn sign(&mut self, sign: char) -> Result<()> {
        if *self.peek() != Token::Sign(sign) {
            return Err(self.unexpected(&format!("`{sign}`")));
        }
        self.take();
        Ok(())
    }
}

fn single(mut parts: Vec<Node>, several: fn(Vec<Node>) -> Node) -> Node {
    match parts.len() {
        1 => parts.remove(0),
        _ => several(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> String {
        Filter::parse(text).unwrap_err().context().iter().find(|(key, _)| *key == "at").unwrap().1.clone()
    }

    #[test]
    fn or_binds_less_than_and_and_that_less_than_not() {
        let Node::Any(parts) = Filter::parse("a = 1 or not b = 2 and c in [1, 'x']").unwrap().root else { panic!() };
        assert!(matches!(&parts[0], Node::Compare(_, Op::Equal, Value::Integer(1))));
        let Node::All(parts) = &parts[1] else { panic!("{parts:?}") };
        assert!(matches!(&parts[0], Node::Not(_)));
        assert!(matches!(&parts[1], Node::In(Field::Metadata(path), values) if path == &["c"] && values.len() == 2));
    }

    #[test]
    fn fields_are_told_from_keys_of_the_same_name() {
        let field = |text: &str| match Filter::parse(&format!("exists {text}")).unwrap().root {
            Node::Exists(field) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (field("id"), field("document"), field("namespace")),
            (Field::Id, Field::Document, Field::Namespace)
        );
        assert_eq!(field("metadata.id"), Field::Metadata(vec!["id".into()]));
        assert_eq!(field("a.b"), Field::Metadata(vec!["a".into(), "b".into()]));
        assert_eq!(field("`a.b \\` c`"), Field::Metadata(vec!["a.b ` c".into()]));
    }

    #[test]
    fn mistakes_are_marked_where_they_are() {
        assert_eq!(place("year >= and x = 1"), "year >= ^and x = 1");
        assert_eq!(place("ü = 'open"), "ü = ^'open");
        assert_eq!(place("(a = 1"), "(a = 1^");
        assert_eq!(place("a in [1, ]"), "a in [1, ^]");
        assert_eq!(place("a = 1 b = 2"), "a = 1 ^b = 2");
        assert_eq!(place("a ? 1"), "a ^? 1");
        assert_eq!(place("a = 1.2.3"), "a = ^1.2.3");
        assert_eq!(place(""), "^");
        assert!(Filter::parse(&"(".repeat(100_000)).is_err());
        assert!(Filter::parse(&"not ".repeat(100_000)).is_err());
    }
}

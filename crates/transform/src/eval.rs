//! Whether one record meets an expression.
//!
//! Metadata is split into its entries only if a condition asks for it, and only the values on the way are read. Integers beyond 128 bits
//! and comparisons of an integer with a float go by the nearest f64.

use std::cell::OnceCell;
use std::cmp::Ordering;

use tranship_collection::json::{Entries, Items};
use tranship_collection::{BatchView, IdKind};

use crate::filter::{Field, Node, Op};

/// A value of a record or of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
}

/// One record while conditions are asked of it.
pub struct Row<'a> {
    view: &'a BatchView<'a>,
    row: usize,
    entries: OnceCell<Option<Entries<'a>>>,
}

impl Value {
    /// The number that a literal stands for; `None` if it is none.
    pub fn number(text: &str) -> Option<Self> {
        let valid: serde_json::Result<&serde_json::value::RawValue> = serde_json::from_str(text);
        valid.ok()?;
        match text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
            false => text.parse().map(Value::Integer).or_else(|_| text.parse().map(Value::Float)).ok(),
            true => text.parse().map(Value::Float).ok(),
        }
    }

    fn of_json(text: &str) -> Option<Self> {
        match text.as_bytes().first()? {
            b'n' => Some(Value::Null),
            b't' => Some(Value::Bool(true)),
            b'f' => Some(Value::Bool(false)),
            b'"' => serde_json::from_str(text).map(Value::Text).ok(),
            b'{' | b'[' => None,
            _ => Value::number(text),
        }
    }

    fn order(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Null, Value::Null) => Some(Ordering::Equal),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Integer(a), Value::Integer(b)) => Some(a.cmp(b)),
            (Value::Integer(a), Value::Float(b)) => (*a as f64).partial_cmp(b),
            (Value::Float(a), Value::Integer(b)) => a.partial_cmp(&(*b as f64)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            _ => None,
        }
    }

    /// Nothing is less or greater than null.
    fn meets(&self, op: Op, wanted: &Value) -> bool {
        let order = self.order(wanted);
        match op {
            Op::Equal | Op::NotEqual => order == Some(Ordering::Equal),
            Op::Less => order == Some(Ordering::Less),
            Op::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Op::Greater => order == Some(Ordering::Greater),
            Op::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl<'a> Row<'a> {
    pub fn new(view: &'a BatchView<'a>, row: usize) -> Self {
        Row { view, row, entries: OnceCell::new() }
    }

    pub fn meets(&self, node: &Node) -> bool {
        match node {
            Node::Any(parts) => parts.iter().any(|part| self.meets(part)),
            Node::All(parts) => parts.iter().all(|part| self.meets(part)),
            Node::Not(part) => !self.meets(part),
            Node::Exists(field) => self.exists(field),
            Node::Compare(field, Op::NotEqual, wanted) => {
                !self.any_value(field, |value| value.meets(Op::Equal, wanted))
            }
            Node::Compare(field, op, wanted) => self.any_value(field, |value| value.meets(*op, wanted)),
            Node::In(field, wanted) => {
                self.any_value(field, |value| wanted.iter().any(|wanted| value.meets(Op::Equal, wanted)))
            }
        }
    }

    fn exists(&self, field: &Field) -> bool {
        match field {
            Field::Id => true,
            Field::Namespace => self.view.namespace(self.row).is_some(),
            Field::Document => self.view.document(self.row).is_some(),
            Field::Metadata(path) => self.json(path).is_some(),
        }
    }

    /// True if the field's value, or one of its list, is as `wanted`.
    fn any_value(&self, field: &Field, wanted: impl Fn(&Value) -> bool) -> bool {
        let text = |text: Option<&str>| text.is_some_and(|text| wanted(&Value::Text(text.to_owned())));
        match field {
            Field::Id => {
                let id = self.view.id(self.row);
                match self.view.id_kind(self.row) {
                    IdKind::Integer => Value::number(id).is_some_and(|value| wanted(&value)),
                    IdKind::Text => wanted(&Value::Text(id.to_owned())),
                }
            }
            Field::Namespace => text(self.view.namespace(self.row)),
            Field::Document => text(self.view.document(self.row)),
            Field::Metadata(path) => match self.json(path) {
                None => false,
                Some(json) if json.starts_with('[') => {
                    serde_json::from_str::<Items<'_>>(json).is_ok_and(|Items(items)| {
                        items.iter().any(|item| Value::of_json(item.get()).is_some_and(|v| wanted(&v)))
                    })
                }
                Some(json) => Value::of_json(json).is_some_and(|value| wanted(&value)),
            },
        }
    }

    /// The text of the value at the end of `path`.
    fn json(&self, path: &[String]) -> Option<&'a str> {
        let parse = || Entries::parse(self.view.metadata(self.row)?).ok();
        let (first, rest) = path.split_first()?;
        let mut found: &'a str = entry(self.entries.get_or_init(parse).as_ref()?, first)?;
        for key in rest {
            found = entry(&Entries::parse(found).ok()?, key)?;
        }
        Some(found)
    }
}

fn entry<'a>(entries: &Entries<'a>, key: &str) -> Option<&'a str> {
    entries.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
}

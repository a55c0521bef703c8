//! Metadata filters in one neutral form, and whether a record passes.
//!
//! The common subset of what databases offer: equal, one of, range, exists, and, or, not. As JSON:
//!
//! ```text
//! {"and": [FILTER, ..]}  {"or": [FILTER, ..]}  {"not": FILTER}
//! {"field": "price", "eq": VALUE}   also "ne"; VALUE is a text, a number or a boolean
//! {"field": "price", "in": [VALUE, ..]}   also "nin"
//! {"field": "price", "gt" | "gte" | "lt" | "lte": NUMBER}   several at once
//! {"field": "price", "exists": true}
//! ```
//!
//! A dot in a field leads into an object, unless the field was read as one key ([`Field::key`]).
//!
//! Invariant: values compare with their types, as typed databases do: `"true"` is not `true`, and `1` is not `1.0`, but a
//! range compares numbers by value. A list passes if one of its elements does. A field that is missing or null passes
//! nothing but a negation. [`Filter::passes_loosely`] forgets types and nesting: what passes so, and not strictly, was
//! changed in its type or its place.
//!
//! Errors: a sentence about the part of the filter that is not understood; filters nested deeper than [`MAX_DEPTH`].

use serde_json::{Map, Value};

/// How deep filters may nest.
pub const MAX_DEPTH: usize = 64;

/// A condition on a record's metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them.
    All(Vec<Filter>),
    /// At least one of them.
    Any(Vec<Filter>),
    /// Not this one.
    Not(Box<Filter>),
    /// A test on a field.
    Field(Field, Test),
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// The key, or keys joined by dots.
    pub name: String,
    /// Whether dots lead into objects.
    pub nested: bool,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// One of these.
    In(Vec<Value>),
    /// A number within these bounds.
    Range(Range),
    /// There, and not null.
    Exists,
}

/// Bounds of a number; none where there is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Range {
    /// Greater than.
    pub gt: Option<f64>,
    /// At least.
    pub gte: Option<f64>,
    /// Less than.
    pub lt: Option<f64>,
    /// At most.
    pub lte: Option<f64>,
}

/// What a part of a filter should have been.
pub type Parsed<T> = Result<T, String>;

impl Field {
    /// A field whose dots lead into objects.
    pub fn path(name: impl Into<String>) -> Self {
        Field { name: name.into(), nested: true }
    }

    /// A field that is one key, dots and all.
    pub fn key(name: impl Into<String>) -> Self {
        Field { name: name.into(), nested: false }
    }

    /// The value in a record, none where it is missing or null.
    pub fn value<'v>(&self, record: &'v Value) -> Option<&'v Value> {
        let found = if self.nested {
            self.name.split('.').try_fold(record, |value, key| value.get(key))
        } else {
            record.get(&self.name)
        };
        found.filter(|value| !value.is_null())
    }

    /// As [`Field::value`], but wherever it may have come to stand: nested, or under one key.
    pub fn value_anywhere<'v>(&self, record: &'v Value) -> Option<&'v Value> {
        let other = Field { name: self.name.clone(), nested: !self.nested };
        let joined = || {
            let key = ['_', '/'].map(|sign| self.name.replace('.', &sign.to_string()));
            key.iter().find_map(|key| record.get(key)).filter(|value| !value.is_null())
        };
        self.value(record).or_else(|| other.value(record)).or_else(joined)
    }
}

impl Filter {
    /// Reads the neutral form.
    ///
    /// # Errors
    /// What is not understood.
    pub fn of_json(value: &Value) -> Parsed<Filter> {
        neutral(value, 0)
    }

    /// That a field has this value.
    pub fn is(field: Field, value: Value) -> Filter {
        Filter::Field(field, Test::In(vec![value]))
    }

    /// The opposite.
    pub fn negated(self) -> Filter {
        Filter::Not(Box::new(self))
    }

    /// Whether a record with this metadata passes.
    pub fn passes(&self, record: &Value) -> bool {
        self.check(record, Field::value, strict)
    }

    /// Whether it passes if types and nesting do not count.
    pub fn passes_loosely(&self, record: &Value) -> bool {
        self.check(record, Field::value_anywhere, loose)
    }

    /// The fields that are looked at, each once.
    pub fn fields(&self) -> Vec<&Field> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found.sort();
        found.dedup();
        found
    }

    fn collect<'f>(&'f self, found: &mut Vec<&'f Field>) {
        match self {
            Filter::All(parts) | Filter::Any(parts) => parts.iter().for_each(|part| part.collect(found)),
            Filter::Not(part) => part.collect(found),
            Filter::Field(field, _) => found.push(field),
        }
    }

    fn check(
        &self,
        record: &Value,
        find: for<'v> fn(&Field, &'v Value) -> Option<&'v Value>,
        test: fn(&Test, &Value) -> bool,
    ) -> bool {
        match self {
            Filter::All(parts) => parts.iter().all(|part| part.check(record, find, test)),
            Filter::Any(parts) => parts.iter().any(|part| part.check(record, find, test)),
            Filter::Not(part) => !part.check(record, find, test),
            Filter::Field(field, wanted) => match find(field, record) {
                None => false,
                Some(Value::Array(elements)) => {
                    *wanted == Test::Exists || elements.iter().any(|element| test(wanted, element))
                }
                Some(value) => test(wanted, value),
            },
        }
    }
}

impl Range {
    fn holds(&self, number: f64) -> bool {
        self.gt.is_none_or(|bound| number > bound)
            && self.gte.is_none_or(|bound| number >= bound)
            && self.lt.is_none_or(|bound| number < bound)
            && self.lte.is_none_or(|bound| number <= bound)
    }

    /// Sets the bound that `operator` names; false for any other name.
    pub fn set(&mut self, operator: &str, bound: f64) -> bool {
        match operator {
            "gt" => self.gt = Some(bound),
            "gte" => self.gte = Some(bound),
            "lt" => self.lt = Some(bound),
            "lte" => self.lte = Some(bound),
            _ => return false,
        }
        true
    }
}

fn strict(test: &Test, value: &Value) -> bool {
    match test {
        // Integers and floats are different numbers to serde_json, too.
        Test::In(values) => values.contains(value),
        Test::Range(range) => value.as_f64().is_some_and(|number| range.holds(number)),
        Test::Exists => true,
    }
}

fn loose(test: &Test, value: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.to_lowercase(),
        other => other.to_string(),
    };
    let same = |a: &Value, b: &Value| match (number(a), number(b)) {
        (Some(x), Some(y)) => x == y,
        _ => text(a) == text(b),
    };
    match test {
        Test::In(values) => values.iter().any(|wanted| same(wanted, value)),
        Test::Range(range) => number(value).is_some_and(|number| range.holds(number)),
        Test::Exists => true,
    }
}

fn neutral(value: &Value, depth: usize) -> Parsed<Filter> {
    deep(depth)?;
    let object = object(value)?;
    let parts =
        |value: &Value| -> Parsed<Vec<Filter>> { list(value)?.iter().map(|part| neutral(part, depth + 1)).collect() };
    match only(object) {
        Some(("and", value)) => return parts(value).map(Filter::All),
        Some(("or", value)) => return parts(value).map(Filter::Any),
        Some(("not", value)) => return neutral(value, depth + 1).map(Filter::negated),
        _ => {}
    }
    let Some(Value::String(name)) = object.get("field") else {
        return Err(format!("{value} is neither a test of a field nor and, or, not"));
    };
    let tests = object.iter().filter(|(key, _)| *key != "field");
    operators(&Field::path(name), tests.map(|(key, value)| (key.as_str(), value)))
}

/// The tests that operators with these names make of a field: `eq`, `ne`, `in`, `nin`, `gt`, `gte`, `lt`, `lte`, `exists`.
///
/// # Errors
/// Another operator, no operator, or a value that it does not take.
pub fn operators<'a>(field: &Field, tests: impl Iterator<Item = (&'a str, &'a Value)>) -> Parsed<Filter> {
    let (mut parts, mut range) = (Vec::new(), Range::default());
    for (operator, value) in tests {
        let one_of = |values: Vec<Value>| Filter::Field(field.clone(), Test::In(values));
        match operator {
            "eq" => parts.push(one_of(vec![scalar(value)?])),
            "ne" => parts.push(one_of(vec![scalar(value)?]).negated()),
            "in" => parts.push(one_of(scalars(value)?)),
            "nin" => parts.push(one_of(scalars(value)?).negated()),
            "exists" => {
                let exists = Filter::Field(field.clone(), Test::Exists);
                let wanted = value.as_bool().ok_or_else(|| format!("`exists` is true or false, not {value}"))?;
                parts.push(if wanted { exists } else { exists.negated() });
            }
            bound => {
                let number = value.as_f64().ok_or_else(|| format!("`{bound}` compares numbers, not {value}"));
                if !["gt", "gte", "lt", "lte"].contains(&bound) {
                    return Err(format!("`{bound}` is no operator that is known"));
                }
                range.set(bound, number?);
            }
        }
    }
    if range != Range::default() {
        parts.push(Filter::Field(field.clone(), Test::Range(range)));
    }
    match parts.len() {
        0 => Err(format!("the field `{}` is not tested", field.name)),
        1 => Ok(parts.remove(0)),
        _ => Ok(Filter::All(parts)),
    }
}

/// Reads the form that several databases share: `{"field": VALUE}`, `{"field": {"$gt": 1}}`, `{"$and": [..]}`, `{"$or":
/// [..]}`; several fields are all to pass. Fields are keys, dots and all; only operators of `known` are taken.
///
/// # Errors
/// What is not understood.
pub fn of_dollars(value: &Value, known: &[&str]) -> Parsed<Filter> {
    dollars(value, known, 0)
}

fn dollars(value: &Value, known: &[&str], depth: usize) -> Parsed<Filter> {
    deep(depth)?;
    let mut parts = Vec::new();
    for (key, value) in object(value)? {
        let inner =
            || -> Parsed<Vec<Filter>> { list(value)?.iter().map(|part| dollars(part, known, depth + 1)).collect() };
        parts.push(match key.strip_prefix('$') {
            Some("and") => Filter::All(inner()?),
            Some("or") => Filter::Any(inner()?),
            Some(_) => return Err(format!("`{key}` stands where a field should")),
            None => dollar_field(&Field::key(key), value, known)?,
        });
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
}

fn dollar_field(field: &Field, value: &Value, known: &[&str]) -> Parsed<Filter> {
    let Value::Object(tests) = value else { return Ok(Filter::is(field.clone(), scalar(value)?)) };
    let mut named = Vec::new();
    for (operator, value) in tests {
        let name = operator.strip_prefix('$').filter(|name| known.contains(name));
        named.push((name.ok_or_else(|| format!("`{operator}` is no operator of this database"))?, value));
    }
    operators(field, named.into_iter())
}

/// An object.
pub fn object(value: &Value) -> Parsed<&Map<String, Value>> {
    value.as_object().ok_or_else(|| format!("{value} should be an object"))
}

/// A list.
pub fn list(value: &Value) -> Parsed<&Vec<Value>> {
    value.as_array().ok_or_else(|| format!("{value} should be a list"))
}

/// A text, a number or a boolean.
pub fn scalar(value: &Value) -> Parsed<Value> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
        other => Err(format!("{other} should be a text, a number or a boolean")),
    }
}

/// A list of them.
pub fn scalars(value: &Value) -> Parsed<Vec<Value>> {
    list(value)?.iter().map(scalar).collect()
}

/// Refuses filters that are nested too deep to be walked.
pub fn deep(depth: usize) -> Parsed<()> {
    if depth < MAX_DEPTH { Ok(()) } else { Err(format!("filters are nested deeper than {MAX_DEPTH} levels")) }
}

fn only(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) => Some((key.as_str(), value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn passes(filter: Value, record: Value) -> bool {
        Filter::of_json(&filter).unwrap().passes(&record)
    }

    fn loosely(filter: Value, record: Value) -> bool {
        Filter::of_json(&filter).unwrap().passes_loosely(&record)
    }

    #[test]
    fn tests_compare_values_with_their_types() {
        let flag = json!({"field": "a", "eq": true});
        assert!(passes(flag.clone(), json!({"a": true})));
        assert!(!passes(flag.clone(), json!({"a": "true"})) && loosely(flag, json!({"a": "true"})));
        let one = json!({"field": "a", "eq": 1});
        assert!(!passes(one.clone(), json!({"a": 1.0})) && loosely(one.clone(), json!({"a": 1.0})));
        assert!(loosely(one.clone(), json!({"a": "1"})) && !loosely(one, json!({"a": 2})));
        assert!(passes(json!({"field": "a", "gte": 1, "lt": 3}), json!({"a": 1.0})));
        assert!(!passes(json!({"field": "a", "gt": 1, "lt": 3}), json!({"a": 1})));
        assert!(passes(json!({"field": "a", "in": ["x", "y"]}), json!({"a": ["z", "y"]})), "one of a list is enough");
        assert!(passes(json!({"field": "a", "nin": ["x"]}), json!({})), "what is missing is not x");
        assert!(!passes(json!({"field": "a", "lt": 9}), json!({"a": null})));
    }

    #[test]
    fn conditions_combine_and_fields_lead_into_objects() {
        let filter = json!({"and": [{"field": "a.b", "eq": 1}, {"or": [{"field": "c", "exists": true}, {"not": {"field": "d", "eq": "x"}}]}]});
        assert!(passes(filter.clone(), json!({"a": {"b": 1}, "c": 0, "d": "x"})));
        assert!(!passes(filter.clone(), json!({"a": {"b": 1}, "d": "x"})));
        let flattened = json!({"a.b": 1, "c": 0});
        assert!(!passes(filter.clone(), flattened.clone()) && loosely(filter.clone(), flattened));
        let parsed = Filter::of_json(&filter).unwrap();
        let names: Vec<&str> = parsed.fields().iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["a.b", "c", "d"]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (filter, said) in [
            (json!(7), "should be an object"),
            (json!({"field": "a"}), "is not tested"),
            (json!({"field": "a", "like": "x"}), "`like` is no operator"),
            (json!({"field": "a", "gt": "x"}), "compares numbers"),
            (json!({"field": "a", "eq": [1]}), "should be a text"),
            (json!({"and": {}}), "should be a list"),
            (json!({"x": 1}), "neither a test"),
        ] {
            let error = Filter::of_json(&filter).unwrap_err();
            assert!(error.contains(said), "{filter}: {error}");
        }
        let deep = (0..100).fold(json!({"field": "a", "eq": 1}), |inner, _| json!({"not": inner}));
        assert!(Filter::of_json(&deep).unwrap_err().contains("deeper than 64"));
    }

    #[test]
    fn dollar_operators_are_those_of_the_database() {
        let known = ["eq", "ne", "gt"];
        let filter = of_dollars(&json!({"a.b": {"$gt": 1, "$ne": 3}, "c": "x"}), &known).unwrap();
        assert!(filter.passes(&json!({"a.b": 2, "c": "x"})) && !filter.passes(&json!({"a": {"b": 2}, "c": "x"})));
        assert!(of_dollars(&json!({"a": {"$in": [1]}}), &known).unwrap_err().contains("`$in` is no operator"));
        assert!(of_dollars(&json!({"$not": []}), &known).unwrap_err().contains("where a field should"));
        assert!(of_dollars(&json!({}), &known).unwrap().passes(&json!({})), "no condition lets everything through");
    }
}

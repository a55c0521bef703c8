//! Filters of operations, asked of one point at a time.
//!
//! Understood are `must`, `should`, `must_not`, `min_should`, nested filters, `has_id`, `is_empty`, `is_null`,
//! `match` with `value`, `any` or `except`, and `range` over numbers: what needs nothing but the point itself. All
//! else (texts, times, places, counts, nested objects, vectors) depends on indexes or is rarely used, and
//! [`Filter::matches`] says so.
//!
//! Source: qdrant/qdrant `lib/segment/src/payload_storage/{query_checker,condition_checker}.rs`.

use serde_json::{Map, Value};

use super::payload::{JsonPath, Step};
use crate::snapshot::point_id::PointId;

/// A filter as it was sent; UUIDs of `has_id` are text.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Value);

/// A condition that cannot be asked here, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood(pub String);

type Answer = Result<bool, NotUnderstood>;

impl Filter {
    /// Takes the text of a filter.
    pub fn new(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Filter)
    }

    /// True if the point passes.
    pub fn matches(&self, id: &PointId, payload: &Map<String, Value>) -> Answer {
        Candidate { id: id.text(), payload }.passes(&self.0)
    }
}

struct Candidate<'a> {
    id: String,
    payload: &'a Map<String, Value>,
}

impl Candidate<'_> {
    fn passes(&self, filter: &Value) -> Answer {
        let Some(filter) = filter.as_object() else { return not_understood("a filter that is no object") };
        for (clause, asked) in filter.iter().filter(|(_, asked)| !asked.is_null()) {
            let holds = match clause.as_str() {
                "must" => self.all(conditions(asked), true)?,
                "must_not" => self.all(conditions(asked), false)?,
                "should" => conditions(asked).is_empty() || self.count(conditions(asked))? > 0,
                "min_should" => {
                    let wanted = asked.get("min_count").and_then(Value::as_u64).unwrap_or(0);
                    self.count(asked.get("conditions").map(conditions).unwrap_or_default())? >= wanted
                }
                other => return not_understood(other),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn all(&self, conditions: &[Value], wanted: bool) -> Answer {
        for condition in conditions {
            if self.holds(condition)? != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn count(&self, conditions: &[Value]) -> Result<u64, NotUnderstood> {
        conditions.iter().try_fold(0, |count, condition| Ok(count + u64::from(self.holds(condition)?)))
    }

    fn holds(&self, condition: &Value) -> Answer {
        let Some(entries) = condition.as_object() else { return not_understood("a condition that is no object") };
        if let Some(ids) = entries.get("has_id") {
            let is_it = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned) == self.id;
            return Ok(ids.as_array().is_some_and(|ids| ids.iter().any(is_it)));
        }
        // `is_empty` and `is_null` also stand, mostly null, among the predicates of a field.
        match (entries.get("key"), entries.get("is_empty"), entries.get("is_null")) {
            (Some(Value::String(key)), ..) => self.field(&self.values(key), entries),
            (None, Some(field), _) => self.of_field(field, |values| values.iter().all(|value| is_empty(value))),
            (None, _, Some(field)) => self.of_field(field, |values| values.iter().any(|value| is_null(value))),
            _ if entries.contains_key("nested") => not_understood("nested"),
            _ if entries.contains_key("has_vector") => not_understood("has_vector"),
            _ => self.passes(condition),
        }
    }

    fn of_field(&self, field: &Value, check: impl Fn(&[&Value]) -> bool) -> Answer {
        match field.get("key").and_then(Value::as_str) {
            Some(key) => Ok(check(&self.values(key))),
            None => not_understood("a field without key"),
        }
    }

    /// True if any value passes any of the predicates.
    fn field(&self, values: &[&Value], entries: &Map<String, Value>) -> Answer {
        let mut holds = false;
        for (name, asked) in entries.iter().filter(|(name, asked)| *name != "key" && !asked.is_null()) {
            for value in values {
                let elements = value.as_array().map_or(std::slice::from_ref(*value), Vec::as_slice);
                for element in elements {
                    holds |= match name.as_str() {
                        "match" => is_match(element, asked)?,
                        "range" => in_range(element, asked)?,
                        other => return not_understood(other),
                    };
                }
            }
            if values.is_empty() && !matches!(name.as_str(), "match" | "range") {
                return not_understood(name);
            }
        }
        Ok(holds)
    }

    fn values(&self, key: &str) -> Vec<&Value> {
        let path = JsonPath::parse(key);
        let mut found: Vec<&Value> = self.payload.get(&path.first).into_iter().collect();
        for step in &path.rest {
            found = found.into_iter().flat_map(|value| stepped(value, step)).collect();
        }
        found
    }
}

fn stepped<'v>(value: &'v Value, step: &Step) -> Vec<&'v Value> {
    match (step, value) {
        (Step::Key(key), Value::Object(map)) => map.get(key).into_iter().collect(),
        (Step::Index(index), Value::Array(elements)) => elements.get(*index).into_iter().collect(),
        (Step::Each, Value::Array(elements)) => elements.iter().collect(),
        _ => Vec::new(),
    }
}

/// One condition stands for a list of one.
fn conditions(asked: &Value) -> &[Value] {
    asked.as_array().map_or(std::slice::from_ref(asked), Vec::as_slice)
}

fn is_match(value: &Value, asked: &Value) -> Answer {
    let Some((kind, asked)) = asked.as_object().and_then(|asked| asked.iter().find(|(_, asked)| !asked.is_null()))
    else {
        return not_understood("an empty match");
    };
    match (kind.as_str(), asked) {
        ("value", asked) => Ok(is_same(value, asked)),
        ("any", Value::Array(list)) => Ok(list.iter().any(|asked| is_same(value, asked))),
        ("except", Value::Array(list)) => Ok(!value.is_null() && !list.iter().any(|asked| is_same(value, asked))),
        (other, _) => not_understood(other),
    }
}

/// Texts, booleans and integers are equal by value; floats are never matched.
fn is_same(value: &Value, asked: &Value) -> bool {
    match (value, asked) {
        (Value::Number(value), Value::Number(asked)) => value.as_i64().is_some() && value.as_i64() == asked.as_i64(),
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => value == asked,
        _ => false,
    }
}

fn in_range(value: &Value, asked: &Value) -> Answer {
    let Some(asked) = asked.as_object() else { return not_understood("a range that is no object") };
    let bound = |name: &str| match asked.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(bound)) => Ok(bound.as_f64()),
        Some(_) => Err(NotUnderstood("a range of times".to_owned())),
    };
    let (lt, lte, gt, gte) = (bound("lt")?, bound("lte")?, bound("gt")?, bound("gte")?);
    let Some(value) = value.as_f64() else { return Ok(false) };
    Ok(lt.is_none_or(|bound| value < bound)
        && lte.is_none_or(|bound| value <= bound)
        && gt.is_none_or(|bound| value > bound)
        && gte.is_none_or(|bound| value >= bound))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.iter().all(Value::is_null),
        _ => false,
    }
}

fn is_null(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(|elements| elements.iter().any(Value::is_null))
}

fn not_understood<T>(what: &str) -> Result<T, NotUnderstood> {
    Err(NotUnderstood(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(filter: &str) -> Answer {
        let payload = r#"{"i":7,"f":0.5,"s":"x","l":[1,2,null],"e":[],"n":null,"o":{"k":[{"a":1},{"a":2}]}}"#;
        let payload: Map<String, Value> = serde_json::from_str(payload).unwrap();
        Filter::new(filter).unwrap().matches(&PointId::Number(5), &payload)
    }

    #[test]
    fn conditions_ask_the_point() {
        for holds in [
            r#"{}"#,
            r#"{"must":[{"key":"i","match":{"value":7},"range":null}],"should":null}"#,
            r#"{"must":[{"key":"i","range":{"gte":7.0,"lt":8,"gt":null}}]}"#,
            r#"{"must":{"key":"l","match":{"any":[9,2]}}}"#,
            r#"{"must":[{"key":"s","match":{"except":["y"]}},{"has_id":[1,5]}]}"#,
            r#"{"must_not":[{"key":"nothing","match":{"value":1}},{"has_id":["5b"]}]}"#,
            r#"{"should":[{"key":"i","match":{"value":1}},{"key":"o.k[].a","match":{"value":2}}]}"#,
            r#"{"must":[{"is_empty":{"key":"e"}},{"is_empty":{"key":"gone"}},{"is_null":{"key":"n"}},{"is_null":{"key":"l"}}]}"#,
            r#"{"min_should":{"conditions":[{"has_id":[5]},{"has_id":[6]},{"has_id":[5]}],"min_count":2}}"#,
            r#"{"must":[{"should":[{"has_id":[5]}]}]}"#,
        ] {
            assert_eq!(asked(holds), Ok(true), "{holds}");
        }
        for fails in [
            r#"{"must":[{"key":"i","match":{"value":"7"}}]}"#,
            r#"{"must":[{"key":"f","match":{"value":0.5}}]}"#,
            r#"{"must":[{"key":"i","range":{"gt":7}}]}"#,
            r#"{"must":[{"key":"n","match":{"except":["y"]}}]}"#,
            r#"{"must_not":[{"has_id":[5]}]}"#,
            r#"{"must":[{"is_empty":{"key":"i"}}]}"#,
        ] {
            assert_eq!(asked(fails), Ok(false), "{fails}");
        }
    }

    #[test]
    fn what_cannot_be_asked_says_so() {
        for (filter, name) in [
            (r#"{"must":[{"key":"s","match":{"text":"x"}}]}"#, "text"),
            (r#"{"must":[{"key":"gone","geo_radius":{}}]}"#, "geo_radius"),
            (r#"{"must":[{"nested":{"key":"o","filter":{}}}]}"#, "nested"),
            (r#"{"must":[{"key":"s","range":{"gt":"2024-01-01"}}]}"#, "a range of times"),
            (r#"{"unheard_of":[]}"#, "unheard_of"),
        ] {
            assert_eq!(asked(filter), Err(NotUnderstood(name.to_owned())), "{filter}");
        }
    }
}

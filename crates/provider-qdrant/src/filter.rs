//! Qdrant's filters in our neutral form.
//!
//! ```text
//! {"must": [COND, ..], "should": [COND, ..], "must_not": [COND, ..]}   a single condition may stand for a list
//! COND: a filter | {"key", "match": {"value" | "any" | "except"}} | {"key", "range": {"gt", "gte", "lt", "lte"}}
//!       | {"is_empty": {"key"}} | {"is_null": {"key"}}
//! ```
//!
//! A dot in a key leads into an object. `is_empty` and `is_null` are both taken for "does not exist": metadata has no
//! difference between a missing value and null that a search could see after a transfer.
//!
//! Source: Qdrant 1.19, "Filtering", and `types.rs`. Not read: full text, geo, datetime ranges, `has_id`, `nested`,
//! `values_count`, `min_should`.

use serde_json::Value;
use tranship_collection::filter::{Field, Filter, Parsed, Test, deep, object, operators};

/// The filter that `value` stands for.
///
/// # Errors
/// What is not understood.
pub fn parse(value: &Value) -> Parsed<Filter> {
    filter(value, 0)
}

fn filter(value: &Value, depth: usize) -> Parsed<Filter> {
    deep(depth)?;
    let mut parts = Vec::new();
    for (clause, conditions) in object(value)? {
        if conditions.is_null() {
            continue;
        }
        let each = conditions.as_array().map_or(std::slice::from_ref(conditions), Vec::as_slice);
        let inner: Vec<Filter> = each.iter().map(|one| condition(one, depth + 1)).collect::<Parsed<_>>()?;
        match clause.as_str() {
            "must" => parts.extend(inner),
            "should" if inner.is_empty() => {}
            "should" => parts.push(Filter::Any(inner)),
            "must_not" => parts.extend(inner.into_iter().map(Filter::negated)),
            other => return Err(format!("`{other}` is no clause that is read")),
        }
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
}

fn condition(value: &Value, depth: usize) -> Parsed<Filter> {
    let object = object(value)?;
    if let Some(empty) = object.get("is_empty").or_else(|| object.get("is_null")) {
        return Ok(Filter::Field(key(empty)?, Test::Exists).negated());
    }
    if !object.contains_key("key") {
        return filter(value, depth);
    }
    let field = key(value)?;
    let mut tests = object.iter().filter(|(name, test)| *name != "key" && !test.is_null());
    let (name, test) = tests.next().ok_or_else(|| format!("the key `{}` is not tested", field.name))?;
    if let Some((other, _)) = tests.next() {
        return Err(format!(
            "the key `{}` has both `{name}` and `{other}`: give each a condition of its own",
            field.name
        ));
    }
    let known: Parsed<Vec<(&str, &Value)>> = self::object(test)?
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(operator, value)| match (name.as_str(), operator.as_str()) {
            ("match", "value") => Ok(("eq", value)),
            ("match", "any") => Ok(("in", value)),
            ("match", "except") => Ok(("nin", value)),
            ("range", bound @ ("gt" | "gte" | "lt" | "lte")) => Ok((bound, value)),
            _ => Err(format!("`{name}` with `{operator}` is no condition that is read")),
        })
        .collect();
    operators(&field, known?.into_iter())
}

fn key(value: &Value) -> Parsed<Field> {
    let key = value.get("key").and_then(Value::as_str);
    key.map(Field::path).ok_or_else(|| format!("{value} should have a key"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clauses_and_conditions_read_as_qdrant_means_them() {
        let parsed = parse(&json!({
            "must": [{"key": "city.name", "match": {"any": ["Berlin", "Bonn"]}}, {"key": "size", "range": {"gte": 1.0, "lt": 5}}],
            "should": [{"key": "a", "match": {"value": true}}, {"must": {"key": "b", "match": {"except": [3]}}}],
            "must_not": {"is_empty": {"key": "size"}},
        }))
        .unwrap();
        assert!(parsed.passes(&json!({"city": {"name": "Bonn"}, "size": 1, "a": true, "b": 3})));
        assert!(parsed.passes(&json!({"city": {"name": "Bonn"}, "size": 1, "b": 4})));
        assert!(!parsed.passes(&json!({"city": {"name": "Bonn"}, "size": 1, "b": 3})));
        assert!(!parsed.passes(&json!({"city": {"name": "Bonn"}, "size": 5, "a": true})));
    }

    #[test]
    fn what_is_not_read_is_said() {
        for (filter, said) in [
            (json!({"must": [{"key": "a", "geo_radius": {"radius": 1}}]}), "`geo_radius` with `radius`"),
            (json!({"must": [{"key": "a", "match": {"text": "x"}}]}), "`match` with `text`"),
            (json!({"min_should": {}}), "no clause that is read"),
            (json!({"must": [{"key": "a"}]}), "is not tested"),
            (json!({"must": [{"key": "a", "match": {"value": 1}, "range": {"gt": 0}}]}), "both `match` and `range`"),
        ] {
            let error = parse(&filter).unwrap_err();
            assert!(error.contains(said), "{filter}: {error}");
        }
    }
}

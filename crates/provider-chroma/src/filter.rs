//! Chroma's `where`: metadata filters as its API takes them, in our neutral form.
//!
//! Keys are keys, dots and all; Chroma's metadata does not nest. A missing key passes `$ne` and `$nin`.
//!
//! Source: Chroma 1.5 (`Where` of the Python client, "Metadata filtering").

use serde_json::Value;
use tranship_collection::filter::{Filter, Parsed, of_dollars};

const OPERATORS: [&str; 8] = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"];

/// The filter that a `where` stands for.
///
/// # Errors
/// What is not understood: other operators, among them those on documents and `$contains`.
pub fn parse(value: &Value) -> Parsed<Filter> {
    of_dollars(value, &OPERATORS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_where_reads_as_chroma_means_it() {
        let parsed = parse(&json!({"$and": [{"lang": "de"}, {"year": {"$gte": 1990}}]})).unwrap();
        assert!(parsed.passes(&json!({"lang": "de", "year": 1990})));
        assert!(!parsed.passes(&json!({"lang": "de", "year": 1989})));
        assert!(parse(&json!({"x": {"$contains": 1}})).is_err());
    }
}

//! Pinecone's metadata filters in our neutral form.
//!
//! Keys are keys, dots and all; Pinecone's metadata does not nest. A list passes if one of its texts does.
//!
//! Source: Pinecone's guide "Filter by metadata" (API 2025-10).

use serde_json::Value;
use tranship_collection::filter::{Filter, Parsed, of_dollars};

const OPERATORS: [&str; 9] = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists"];

/// The filter that a `filter` of a query stands for.
///
/// # Errors
/// What is not understood.
pub fn parse(value: &Value) -> Parsed<Filter> {
    of_dollars(value, &OPERATORS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_filter_reads_as_pinecone_means_it() {
        let parsed = parse(&json!({"genre": {"$in": ["comedy"]}, "year": {"$exists": true}})).unwrap();
        assert!(parsed.passes(&json!({"genre": ["comedy", "drama"], "year": 2020})));
        assert!(!parsed.passes(&json!({"genre": "comedy"})));
        assert!(parse(&json!({"x": {"$regex": "a"}})).is_err());
    }
}

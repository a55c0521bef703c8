//! Finds the records in a text: lines, a list under a key, or the pairs of a `_bulk` body.
//!
//! Invariant: every record is a part of the text, whole and in order; what is none is damaged, with the file.

use serde_json::value::RawValue;
use tranship_collection::json::{Entries, Items};
use tranship_connector::{Error, Result};

/// How a record of a `_bulk` body begins; its source is the next line.
pub const BULK_ACTION: &str = "{\"index\":{";

/// The texts of the records in one file.
pub(super) fn records<'a>(text: &'a str, lists: &[&str], file: &str) -> Result<Vec<&'a str>> {
    let damaged = |what: String| {
        Error::damaged(what).with("file", file).hint("fetch it again, or write the bundle anew from the source")
    };
    if lists.is_empty() {
        return Ok(text.lines().filter(|line| !line.trim().is_empty()).collect());
    }
    if text.starts_with(BULK_ACTION) {
        return bulk_records(text).ok_or_else(|| damaged("an action without its source".to_owned()));
    }
    let mut list = text;
    while !list.starts_with('[') {
        let entries = Entries::parse(list).map_err(|fault| damaged(fault.to_string()))?.0;
        let inner = entries.iter().find(|(key, _)| lists.contains(&&**key)).map(|(_, list)| list.get());
        list = inner.ok_or_else(|| damaged(format!("there is no list `{}`", lists.join("` or `"))))?;
    }
    let Items(items) = serde_json::from_str(list).map_err(|e| damaged(e.to_string()))?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

/// The actions of a `_bulk` body, each with its source; `None` if the last one has none.
fn bulk_records(text: &str) -> Option<Vec<&str>> {
    let mut records = Vec::new();
    let mut rest = text;
    while !rest.trim().is_empty() {
        let source = rest.find('\n')? + 1;
        let end = rest[source..].find('\n').map_or(rest.len(), |end| source + end);
        if rest[source..end].trim().is_empty() {
            return None;
        }
        records.push(&rest[..end]);
        rest = rest.get(end + 1..).unwrap_or("");
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_in_lines_in_lists_and_in_pairs() {
        let found = |text, lists: &[&str]| records(text, lists, "f").unwrap().len();
        assert_eq!(found("{}\n\n{}", &[]), 2);
        assert_eq!(found(r#"{"hits":{"total":3,"hits":[{},{},{}]}}"#, &["hits"]), 3);
        let pair = "{\"index\":{\"_id\":\"a\"}}\n{\"x\":1}";
        assert_eq!(records(&format!("{pair}\n{pair}\n"), &["hits"], "f").unwrap(), [pair, pair]);
        for bad in [r#"{"hits":{"total":3}}"#, r#"{"hits":7}"#, "{\"index\":{\"_id\":\"a\"}}\n", "nonsense"] {
            assert_eq!(
                records(bad, &["hits"], "f").unwrap_err().kind(),
                tranship_connector::ErrorKind::Damaged,
                "{bad}"
            );
        }
    }
}

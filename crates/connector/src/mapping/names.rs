//! Names that are others at the target, and metadata entries as a typed target gives them back.
//!
//! Invariant: a table names what changes and nothing else, and no name at the target is one that stayed; so what has been
//! undone once already stays as it is. It is serialised as an object from own to target name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tranship_collection::Fault;
use tranship_collection::json::{Entries, append_string};

use super::Mapping;
use crate::native::{FieldType, with_points};

/// Own names and those at the target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Names {
    target: BTreeMap<String, String>,
    own: BTreeMap<String, String>,
}

impl From<BTreeMap<String, String>> for Names {
    fn from(target: BTreeMap<String, String>) -> Self {
        let own = target.iter().map(|(own, target)| (target.clone(), own.clone())).collect();
        Names { target, own }
    }
}

impl From<Names> for BTreeMap<String, String> {
    fn from(names: Names) -> Self {
        names.target
    }
}

impl Names {
    /// True if all names stay.
    pub fn is_empty(&self) -> bool {
        self.target.is_empty()
    }

    /// The name at the target.
    pub fn target<'a>(&'a self, own: &'a str) -> &'a str {
        self.target.get(own).map_or(own, String::as_str)
    }

    /// The source's own name.
    pub fn own<'a>(&'a self, target: &'a str) -> &'a str {
        self.own.get(target).map_or(target, String::as_str)
    }
}

impl Mapping {
    /// A metadata object with own names, and floats with the point that a typed target leaves out; `None` where nothing
    /// of that kind can have happened.
    pub(super) fn as_declared(&self, text: &str) -> Result<Option<String>, Fault> {
        let is_float = |kind: &FieldType| matches!(kind, FieldType::Float | FieldType::Floats);
        let any_float = self.fields.iter().flat_map(BTreeMap::values).any(is_float);
        if !any_float && self.renamed_keys.is_empty() {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(text.len() + 16);
        for (key, value) in Entries::parse(text)?.0 {
            let own = self.renamed_keys.own(&key);
            out.push(if out.is_empty() { b'{' } else { b',' });
            append_string(own, &mut out);
            out.push(b':');
            match self.fields.as_ref().and_then(|fields| fields.get(own)) {
                Some(kind) if is_float(kind) => out.extend_from_slice(with_points(value.get(), *kind).as_bytes()),
                _ => out.extend_from_slice(value.get().as_bytes()),
            }
        }
        if out.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        String::from_utf8(out).map(Some).map_err(|_| Fault::BadJson { reason: "no UTF-8".to_owned() })
    }
}

//! The scripts of a bundle of JSON: one frame for all providers, and the few commands that are a provider's own.
//!
//! A provider's commands are bash functions: `place` (what is loaded where, for messages and for marks), `is_there`,
//! `create`, `put FILE`, `finish`, `counts`, `pull`, `remove`. The frame does the rest: options, marks of what was
//! acknowledged, retries, several files at a time, the verdict. Invariant: names stand in scripts percent-encoded only.

use crate::facts::percent_encode;
use crate::{Extra, Facts};

const FRAME: [(&str, &str); 3] = [
    ("load.sh", include_str!("load.sh")),
    ("check.sh", include_str!("check.sh")),
    ("undo.sh", include_str!("undo.sh")),
];
const COMMON: &str = include_str!("common.sh");

/// A provider's own part of the scripts.
#[derive(Debug, Clone, Copy)]
pub struct Commands {
    /// The functions.
    pub functions: &'static str,
    /// Comment lines on the variables that they take.
    pub variables: &'static str,
    /// The programs that they need, in words.
    pub needs: &'static str,
}

/// `load.sh`, `check.sh`, `undo.sh` and `files.tsv`: data file, tab, records, tab, percent-encoded namespace.
pub fn scripts(facts: &Facts<'_>, commands: &Commands) -> Vec<Extra> {
    let mut files = String::new();
    for (path, rows, namespace) in facts.data() {
        files.push_str(&format!("{path}\t{rows}\t{}\n", percent_encode(namespace.unwrap_or(""))));
    }
    let mut extras = vec![Extra::text("files.tsv", files)];
    let one = |(name, frame): &(&str, &str)| {
        let text = frame
            .replace("@COMMON@\n", COMMON)
            .replace("@FUNCTIONS@\n", commands.functions)
            .replace("@VARIABLES@\n", commands.variables)
            .replace("@NEEDS@", commands.needs);
        Extra::script(name, fill(facts, &text))
    };
    extras.extend(FRAME.iter().map(one));
    extras
}

/// A template with the bundle's facts in it: target, encoded collection name, numbers.
pub fn fill(facts: &Facts<'_>, template: &str) -> String {
    template
        .replace("@TARGET@", &facts.mapping.target)
        .replace("@COLLECTION@", &percent_encode(&facts.mapping.collection))
        .replace("@BODIES@", &facts.totals.bodies.to_string())
        .replace("@ROWS@", &facts.totals.rows.to_string())
}

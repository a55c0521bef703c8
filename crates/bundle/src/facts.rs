//! What scripts and README of a bundle say about it.

use std::fmt::Write;

use serde::Serialize;
use tranship_connector::{Error, Mapping, Result};

use crate::manifest::{BundleTotals, Manifest};

/// One bundle, when its data is complete.
pub struct Facts<'a> {
    /// How records changed form; records per namespace are filled in.
    pub mapping: &'a Mapping,
    /// What the data adds up to.
    pub totals: BundleTotals,
    /// The files so far: data and rejects.
    pub manifest: &'a Manifest,
}

/// A file beside the data.
#[derive(Debug, Clone)]
pub struct Extra {
    /// Path within the bundle.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
    /// True for scripts.
    pub executable: bool,
}

impl Extra {
    /// A text file.
    pub fn text(name: &str, text: impl Into<String>) -> Self {
        Extra { name: name.to_owned(), bytes: text.into().into_bytes(), executable: false }
    }

    /// A script.
    pub fn script(name: &str, text: impl Into<String>) -> Self {
        Extra { executable: true, ..Extra::text(name, text) }
    }

    /// A JSON file.
    pub fn json(name: &str, value: &impl Serialize) -> Result<Self> {
        Ok(Extra { name: name.to_owned(), bytes: pretty(value)?, executable: false })
    }
}

impl Facts<'_> {
    /// The README: `steps` are the provider's own commands, `files` its own files.
    pub fn readme(&self, title: &str, steps: &str, files: &str) -> Extra {
        let totals = &self.totals;
        let text = format!(
            "# {title} collection `{}`\n\n{} records in {} files ({} bytes), written by tranship.\n\n{steps}\n{}\n## Files\n\n\
             {files}- `mapping.json`: the source's schema, what changes form, both fingerprints, records per namespace\n\
             - `MANIFEST.json`: size, SHA-256 and records of every file\n\n\
             tranship reads the bundle back as `{}:DIRECTORY`, in the source's own form.\n",
            self.mapping.collection,
            totals.rows,
            totals.bodies,
            totals.bytes,
            self.changes(title),
            self.mapping.target
        );
        Extra::text(crate::README, text)
    }

    fn changes(&self, title: &str) -> String {
        let mut text = format!("## What {title} holds differently\n\n");
        if self.mapping.losses.is_empty() {
            text.push_str("Nothing.\n");
        }
        for loss in &self.mapping.losses {
            let grade = format!("{:?}", loss.grade).to_lowercase();
            let records = loss.records.map_or_else(String::new, |records| format!(" ({records} records)"));
            let _infallible =
                writeln!(text, "- {} ({grade}), {}: {} -> {}{records}", loss.code, loss.path, loss.from, loss.to);
        }
        text
    }

    /// Paths of the data files with their records, in order.
    pub fn data(&self) -> impl Iterator<Item = (&str, u64, Option<&str>)> {
        self.manifest.bodies().map(|(path, entry, rows)| (path.as_str(), rows, entry.namespace.as_deref()))
    }
}

/// Two-space JSON with a newline at the end.
pub fn pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| Error::bug("JSON cannot be serialised").caused_by(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Everything but unreserved characters as `%XX` of its UTF-8 bytes: safe in a URL, a path and a shell.
pub fn percent_encode(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_the_shell_only_percent_encoded() {
        assert_eq!(percent_encode("a b'$(x)`é"), "a%20b%27%24%28x%29%60%C3%A9");
    }
}

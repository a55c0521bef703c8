//! The support matrix, from the capabilities that the connectors state.

use serde::Serialize;
use tranship_connector::{Capabilities, SourceOption};

use crate::providers::registry;
use crate::targets;

/// One row of the matrix.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectorRow {
    /// Name before the colon.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What it can do.
    #[serde(flatten)]
    pub capabilities: Capabilities,
    /// What `-o KEY=VALUE` takes.
    pub options: &'static [SourceOption],
    /// What `--target-option KEY=VALUE` takes.
    pub target_options: &'static [SourceOption],
}

/// All rows.
pub fn connectors() -> Vec<ConnectorRow> {
    let row = |connector: &&'static tranship_connector::Connector| ConnectorRow {
        name: connector.name,
        about: connector.about,
        capabilities: connector.capabilities,
        options: connector.options,
        target_options: connector.target_options,
    };
    registry().connectors.iter().map(row).collect()
}

/// The matrix as Markdown, then what each connector covers and the options that it takes: what `docs/providers.md`
/// holds.
pub fn markdown() -> String {
    let rows = connectors();
    let header = ["connector", "reads", "writes", "vectors", "ids", "metadata", "proven with"];
    let matrix = rows.iter().map(|row| {
        let c = row.capabilities;
        let name = format!("`{}`", row.name);
        [&name, c.reads, c.writes, c.vectors, c.ids, c.metadata, c.proven_with].map(str::to_owned)
    });
    let mut text = table(header, matrix);
    text.push_str(&targets::markdown());
    for row in &rows {
        let covers = row.capabilities.covers.iter().map(|c| [c.what, c.known.words(), c.note].map(str::to_owned));
        let described =
            |flag: &str, option: &SourceOption| [format!("`{flag} {}=`", option.key), option.about.to_owned()];
        let read = row.options.iter().map(|option| described("-o", option));
        let written = row.target_options.iter().map(|option| described("--target-option", option));
        let options: Vec<[String; 2]> = read.chain(written).collect();
        text.push_str(&format!("\n## `{}`\n\n{}.\n", row.name, row.about));
        if covers.len() > 0 {
            text.push_str(&format!("\n{}", table(["what", "how it is known", "note"], covers)));
        }
        if !options.is_empty() {
            text.push_str(&format!("\n{}", table(["option", "what it means"], options.into_iter())));
        }
    }
    text
}

pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut text = format!("| {} |\n|{}\n", header.join(" | "), "---|".repeat(N));
    for row in rows {
        let cells = row.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell.replace('|', "\\|") });
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

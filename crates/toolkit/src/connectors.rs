//! The support matrix, from the capabilities that the connectors state.

use serde::Serialize;
use tranship_connector::Capabilities;

use crate::providers::registry;

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
}

/// All rows.
pub fn connectors() -> Vec<ConnectorRow> {
    let row = |connector: &&'static tranship_connector::Connector| ConnectorRow {
        name: connector.name,
        about: connector.about,
        capabilities: connector.capabilities,
    };
    registry().connectors.iter().map(row).collect()
}

/// The matrix as Markdown: what `docs/providers.md` holds.
pub fn markdown() -> String {
    let mut text = String::from(
        "| connector | reads | writes | vectors | ids | metadata | proven with |\n|---|---|---|---|---|---|---|\n",
    );
    let cell = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    for row in connectors() {
        let c = row.capabilities;
        let cells = [c.reads, c.writes, c.vectors, c.ids, c.metadata, c.proven_with].map(cell);
        text.push_str(&format!("| `{}` | {} |\n", row.name, cells.join(" | ")));
    }
    text
}

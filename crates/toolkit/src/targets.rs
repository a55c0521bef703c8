//! What the targets of bundles hold, as a table made from their rules.

use std::path::PathBuf;

use tranship_collection::{Element, Metric};
use tranship_connector::rules::{Chars, IntegerIds, Keys, Lists, Nested, Numbers, Rules, TextIds};
use tranship_connector::{Connector, CreateOptions, Locator};

use crate::connectors::table;
use crate::providers::registry;

/// The tables as Markdown.
pub fn markdown() -> String {
    let all = all_rules();
    let header = ["target", "integer ids", "text ids", "namespaces", "documents", "metadata"];
    let records = all.iter().map(|(name, rules)| {
        let place = |own: bool| if own { "own field" } else { "in the metadata" }.to_owned();
        let documents =
            if rules.metadata.is_none() && !rules.documents { "none".to_owned() } else { place(rules.documents) };
        [code(name), integers(rules), texts(rules), place(rules.namespaces), documents, metadata(rules)]
    });
    let mut text = "\n## What targets hold\n\nAn id that a target does not take becomes a UUID made from namespace and id; metadata that it does not take stands as text \
         beside the rest. Both are undone when the target's data is read back. Made from the rules that `plan` checks.\n\n"
        .to_owned();
    text.push_str(&table(header, records));
    let header =
        ["target", "vectors of a record", "elements", "most dimensions", "metrics", "refused or left out by consent"];
    let vectors = all.iter().map(|(name, rules)| {
        [code(name), kinds(rules), elements(rules), rules.vectors.max_dim.to_string(), metrics(rules), refused(rules)]
    });
    text.push('\n');
    text.push_str(&table(header, vectors));
    text
}

fn all_rules() -> Vec<(&'static str, &'static Rules)> {
    let rules = |connector: &&'static Connector| {
        let create = connector.create.filter(|_| connector.capabilities.bundles)?;
        // Nothing is touched before a run begins.
        let nowhere = Locator { provider: None, path: PathBuf::from("nowhere") };
        let sink = create(&nowhere, &CreateOptions::default()).ok()?;
        Some((connector.name, sink.rules()?))
    };
    registry().connectors.iter().filter_map(rules).collect()
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

fn integers(rules: &Rules) -> String {
    match rules.ids.integers {
        IntegerIds::U64 => "0 to 2^64 - 1",
        IntegerIds::I64 => "64 bits with sign",
        IntegerIds::AsText => "as decimal digits",
        IntegerIds::Any => "any",
        IntegerIds::Mapped => "mapped",
    }
    .to_owned()
}

fn texts(rules: &Rules) -> String {
    match rules.ids.texts {
        TextIds::Uuid => "UUIDs".to_owned(),
        TextIds::Mapped => "mapped".to_owned(),
        TextIds::Text { max_bytes, max_chars, chars } => {
            let set = match chars {
                Chars::Any => "any characters",
                Chars::NoNul => "no U+0000",
                Chars::Ascii => "ASCII",
                Chars::Url => "letters, digits, `_`, `-`",
                Chars::UrlBase64 => "letters, digits, `_`, `-`, `=`",
            };
            match (max_bytes, max_chars) {
                (usize::MAX, usize::MAX) => set.to_owned(),
                (bytes, usize::MAX) => format!("{bytes} bytes; {set}"),
                (usize::MAX, chars) => format!("{chars} characters; {set}"),
                (bytes, chars) => format!("{chars} characters, {bytes} bytes; {set}"),
            }
        }
    }
}

fn metadata(rules: &Rules) -> String {
    let Some(metadata) = &rules.metadata else { return "none".to_owned() };
    let mut words = vec![match metadata.numbers {
        Numbers::Any => "numbers of any size",
        Numbers::I64 => "integers of 64 bits with sign, doubles",
        Numbers::U64 => "integers of 64 bits, doubles",
        Numbers::Double => "doubles",
        Numbers::I53 => "integers of 53 bits, doubles",
        Numbers::SignedDigits15 => "integers of 64 bits with sign, floats of 15 digits",
        Numbers::Decimal => "decimal numbers of any size",
        Numbers::Digits15 => "integers of 64 bits, floats of 15 digits",
    }];
    words.push(match metadata.lists {
        Lists::Any => "lists",
        Lists::OneType => "lists of one type",
        Lists::Texts => "lists of texts",
        Lists::AsText => "no lists",
    });
    words.push(match metadata.nested {
        Nested::Kept => "objects",
        Nested::Flattened => "objects flattened",
        Nested::AsText => "no objects",
    });
    words.extend((!metadata.nulls).then_some("no nulls"));
    words.extend(metadata.max_value_bytes.map(|_| "short values"));
    words.extend((!metadata.booleans).then_some("no booleans"));
    words.extend(match metadata.keys {
        Keys::Any => None,
        Keys::NoDollar => Some("keys not beginning with `$`"),
        Keys::NoDollarNoPoint => Some("keys without `.` and leading `$`"),
        Keys::NoPoint => Some("keys without `.`"),
        Keys::Chroma => Some("keys not beginning with `$`, `#` or `chroma:`"),
        Keys::Identifier => Some("keys of letters, digits, `_`"),
    });
    words.join("; ")
}

fn kinds(rules: &Rules) -> String {
    let count = |max: usize, what: &str| match max {
        0 => None,
        1 => Some(format!("one {what}")),
        usize::MAX => Some(format!("any number of {what}")),
        max => Some(format!("{max} {what}")),
    };
    let vectors = &rules.vectors;
    let mut kinds: Vec<String> =
        count(vectors.max_dense, "dense").into_iter().chain(count(vectors.max_sparse, "sparse")).collect();
    kinds.extend(vectors.multi.then(|| "multi".to_owned()));
    kinds.extend(vectors.bits.then(|| "bits".to_owned()));
    kinds.join(", ")
}

fn elements(rules: &Rules) -> String {
    let name = |element: &Element| format!("{element:?}").to_lowercase();
    rules.vectors.elements.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn metrics(rules: &Rules) -> String {
    let names: Vec<&str> = rules.vectors.metrics.iter().map(|metric: &Metric| metric.name()).collect();
    let normalised = if rules.vectors.normalises { " (cosine vectors are brought to unit length)" } else { "" };
    format!("{}{normalised}", names.join(", "))
}

fn refused(rules: &Rules) -> String {
    let rows = &rules.rows;
    let mut words = Vec::new();
    words.extend(rows.vector_required.then(|| "records without a vector".to_owned()));
    words.extend(rows.finite.then(|| "NaN and infinity".to_owned()));
    words.extend(rows.nonzero_under_cosine.then(|| "zero vectors under cosine".to_owned()));
    words.extend(rows.multi_rows.then(|| "multivectors without rows".to_owned()));
    words.extend(rows.max_nonzeros.map(|max| format!("sparse vectors of more than {max} values")));
    words.extend(rows.max_metadata_bytes.map(|max| format!("metadata of more than {max} bytes")));
    words.extend(rows.max_native_bytes.map(|max| format!("filterable metadata of more than {max} bytes")));
    words.extend(rows.max_document_bytes.map(|max| format!("documents of more than {max} bytes")));
    words.join("; ")
}

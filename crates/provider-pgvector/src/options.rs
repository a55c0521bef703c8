//! The options of this reader: `-o key=value`.
//!
//! Errors: usage, for values that make no sense.

use tranship_connector::{Error, OpenOptions, Result, SourceOption};

use crate::dialect::Type;
use crate::rows::{CsvStyle, TextStyle};
use crate::sql::token::tokens;

/// All of them.
pub const OPTIONS: &[SourceOption] = &[
    SourceOption {
        key: "columns",
        about: "columns in order, as name or name:type, separated by commas: of a COPY file, which has no names \
                (BINARY needs the types too), or types for columns whose types the dump does not tell",
    },
    SourceOption { key: "format", about: "of a COPY file: text, csv or binary; told by its first bytes and its name otherwise" },
    SourceOption { key: "header", about: "of a COPY file: true if its first line names the columns, false if not; told by itself otherwise" },
    SourceOption { key: "null", about: "of a COPY file: how NULL is spelled; \\N in text, nothing in csv otherwise" },
    SourceOption { key: "delimiter", about: "of a COPY file: the character between fields; a tab in text, a comma in csv otherwise" },
    SourceOption { key: "quote", about: "of a csv file: the character around fields; \" otherwise" },
    SourceOption { key: "namespace", about: "column whose value is the record's namespace (tenant); none otherwise" },
    SourceOption {
        key: "metadata",
        about: "json or jsonb column whose object is the metadata; other columns are added to it, and a key that is in both is a reject",
    },
];

/// Columns as the user names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedColumns(pub Vec<(String, Option<Type>)>);

/// How a bare COPY file is written, as far as the user says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Text.
    Text,
    /// CSV.
    Csv,
    /// Binary.
    Binary,
}

impl NamedColumns {
    /// The option `columns`.
    pub fn of(options: &OpenOptions) -> Result<Self> {
        match options.option("columns") {
            Some(text) => NamedColumns::parse(text),
            None => Ok(NamedColumns::default()),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut columns: Vec<(String, Option<Type>)> = Vec::new();
        for item in split_outside(text, ',') {
            let mut parts = split_outside(item, ':').into_iter();
            let name = unquoted(parts.next().unwrap_or("").trim());
            let kind: Vec<&str> = parts.collect();
            let kind = kind.join(":");
            let kind = (!kind.trim().is_empty()).then(|| Type::parse(&tokens(&kind), &|_| None));
            if name.is_empty() {
                return Err(Error::usage(format!("`columns` has an empty name: {text:?}"))
                    .hint("write it as -o columns=\"id:int8,embedding:vector,title\""));
            }
            if columns.iter().any(|(other, _)| *other == name) {
                return Err(Error::usage(format!("`columns` names {name:?} twice")));
            }
            columns.push((name, kind));
        }
        Ok(NamedColumns(columns))
    }

    /// The type given for `name`.
    pub fn kind(&self, name: &str) -> Option<&Type> {
        self.0.iter().find(|(own, _)| own == name).and_then(|(_, kind)| kind.as_ref())
    }

    /// True if none are named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The option `format`.
pub fn format(options: &OpenOptions) -> Result<Option<CopyFormat>> {
    match options.option("format") {
        None => Ok(None),
        Some("text") => Ok(Some(CopyFormat::Text)),
        Some("csv") => Ok(Some(CopyFormat::Csv)),
        Some("binary") => Ok(Some(CopyFormat::Binary)),
        Some(other) => Err(Error::usage(format!("`format` is text, csv or binary, not {other:?}"))),
    }
}

/// The option `header`.
pub fn header(options: &OpenOptions) -> Result<Option<bool>> {
    match options.option("header") {
        None => Ok(None),
        Some("true" | "yes" | "1") => Ok(Some(true)),
        Some("false" | "no" | "0") => Ok(Some(false)),
        Some(other) => Err(Error::usage(format!("`header` is true or false, not {other:?}"))),
    }
}

/// Spelling of a text file.
pub fn text_style(options: &OpenOptions) -> Result<TextStyle> {
    let style = TextStyle::default();
    Ok(TextStyle {
        delimiter: character(options, "delimiter")?.unwrap_or(style.delimiter),
        null: options.option("null").map_or(style.null, |null| null.as_bytes().to_vec()),
    })
}

/// Spelling of a CSV file.
pub fn csv_style(options: &OpenOptions) -> Result<CsvStyle> {
    let style = CsvStyle::default();
    Ok(CsvStyle {
        delimiter: character(options, "delimiter")?.unwrap_or(style.delimiter),
        quote: character(options, "quote")?.unwrap_or(style.quote),
        null: options.option("null").map_or(style.null, |null| null.as_bytes().to_vec()),
    })
}

fn character(options: &OpenOptions, key: &'static str) -> Result<Option<u8>> {
    match options.option(key).map(str::as_bytes) {
        None => Ok(None),
        Some(b"\\t" | b"tab") => Ok(Some(b'\t')),
        Some([byte]) if !matches!(byte, b'\n' | b'\r' | b'\\') => Ok(Some(*byte)),
        Some(_) => Err(Error::usage(format!("`{key}` is one character"))),
    }
}

/// Splits at `separator` outside quotes and parentheses.
fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut quoted) = (Vec::new(), 0, 0usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ if c == separator && !quoted && depth == 0 => {
                parts.push(text.get(from..at).unwrap_or(""));
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or(""));
    parts
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_with_or_without_types() {
        let columns = NamedColumns::parse("id:int8, \"Emb, x\":public.vector(3),n:numeric(10,2),Title").unwrap();
        let expected = [
            ("id", Some(Type::Integer(8))),
            ("Emb, x", Some(Type::Vector(Some(3)))),
            ("n", Some(Type::Numeric)),
            ("Title", None),
        ];
        assert_eq!(columns.0, expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert_eq!(columns.kind("n"), Some(&Type::Numeric));
        assert!(NamedColumns::parse("a,,b").is_err() && NamedColumns::parse("a,a").is_err());
    }
}

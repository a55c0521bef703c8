//! COPY's CSV format: fields between delimiters, in quotes where they hold delimiters, quotes or line ends; quotes are
//! doubled. NULL is told from an empty text by its missing quotes.
//!
//! Source: PostgreSQL documentation, COPY, CSV Format; RFC 4180.

use super::copy_text::TERMINATOR;
use super::{CsvStyle, Parse, Row, Step};
use crate::bytes::without_return;

/// Rows of CSV.
pub struct CsvRows {
    /// The spelling.
    pub style: CsvStyle,
}

impl Parse for CsvRows {
    fn step(&mut self, bytes: &[u8], _last: bool, row: &mut Row) -> Step {
        let Some(end) = record_end(bytes, self.style.quote) else { return Step::More };
        let record = without_return(bytes.get(..end.saturating_sub(1)).unwrap_or_default());
        if record == TERMINATOR {
            return Step::End;
        }
        match fields(record, &self.style, row) {
            Ok(()) => Step::Row(end),
            Err(reason) => Step::Malformed(end, reason),
        }
    }
}

/// The offset behind the line feed that ends the first record.
pub fn record_end(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut inside = false;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == quote {
            inside = !inside;
        } else if *byte == b'\n' && !inside {
            return Some(at + 1);
        }
    }
    None
}

/// COPY closes the quotes of a field at its end only.
const MISQUOTED: &str =
    "text behind the closing quote of a field; quotes inside must be doubled, not escaped in another way";

/// Takes a record apart.
pub fn fields(record: &[u8], style: &CsvStyle, row: &mut Row) -> Result<(), String> {
    let mut rest = record;
    loop {
        let (from, buffer) = row.open();
        let (mut quoted, mut inside, mut used) = (false, false, 0);
        let mut bytes = rest.iter().copied().peekable();
        let (mut delimited, mut closed) = (false, false);
        while let Some(byte) = bytes.next() {
            used += 1;
            if byte == style.quote {
                if inside && bytes.peek() == Some(&style.quote) {
                    bytes.next();
                    used += 1;
                    buffer.push(byte);
                } else {
                    closed |= inside;
                    inside = !inside;
                    quoted = true;
                }
            } else if byte == style.delimiter && !inside {
                delimited = true;
                break;
            } else if closed {
                return Err(MISQUOTED.to_owned());
            } else {
                buffer.push(byte);
            }
        }
        if inside {
            return Err("a quoted field is not closed".to_owned());
        }
        if !quoted && buffer.get(from..) == Some(style.null.as_slice()) {
            buffer.truncate(from);
            row.push_null();
        } else {
            row.close(from);
        }
        if !delimited {
            return Ok(());
        }
        rest = rest.get(used..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(record: &[u8]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut row = Row::default();
        fields(record, &CsvStyle::default(), &mut row)?;
        Ok((0..row.len()).map(|at| row.get(at).map(<[u8]>::to_vec)).collect())
    }

    #[test]
    fn quotes_protect_and_tell_texts_from_null() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(parse(br#"a,"b,c","d""e","#).unwrap(), [some("a"), some("b,c"), some("d\"e"), None]);
        assert_eq!(parse(br#""",,\N"#).unwrap(), [some(""), None, some("\\N")]);
        assert_eq!(parse(b"\"a\nb\",[1]").unwrap(), [some("a\nb"), some("[1]")]);
        assert!(parse(b"\"a").is_err());
        assert!(parse(br#""say \"hi\" now",1"#).is_err());
        assert_eq!(parse(br#""C:\dir\",1"#).unwrap(), [some("C:\\dir\\"), some("1")]);
        assert_eq!(record_end(b"\"a\nb\"\nc\n", b'"'), Some(6));
        assert_eq!(record_end(b"\"a\n", b'"'), None);
    }
}

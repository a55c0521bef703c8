//! COPY's text format.
//!
//! ```text
//! field TAB field TAB .. LF        \N = NULL    \b \f \n \r \t \v \\    \ooo octal    \xHH hexadecimal    \c = c
//! ```
//! A line feed always ends a row: one inside a value is written `\n`. NULL is told before unescaping. A carriage return
//! before the line feed comes from a conversion on the way; PostgreSQL writes its own as `\r`.
//! Source: PostgreSQL documentation, COPY, Text Format; `src/backend/commands/copyfromparse.c`.

use super::{Parse, Row, Step, TextStyle};
use crate::bytes::{position, without_return};

/// The line that ends the data.
pub const TERMINATOR: &[u8] = b"\\.";

/// Rows of COPY text.
pub struct TextRows {
    /// The spelling.
    pub style: TextStyle,
}

impl Parse for TextRows {
    fn step(&mut self, bytes: &[u8], _last: bool, row: &mut Row) -> Step {
        let Some(end) = position(b'\n', bytes) else { return Step::More };
        let line = without_return(bytes.get(..end).unwrap_or_default());
        if line == TERMINATOR {
            return Step::End;
        }
        match fields(line, &self.style, row) {
            Ok(()) => Step::Row(end + 1),
            Err(reason) => Step::Malformed(end + 1, reason),
        }
    }
}

/// Takes a line apart.
pub fn fields(line: &[u8], style: &TextStyle, row: &mut Row) -> Result<(), String> {
    let mut rest = line;
    loop {
        let end = position(style.delimiter, rest).unwrap_or(rest.len());
        let field = rest.get(..end).unwrap_or_default();
        if field == style.null {
            row.push_null();
        } else if position(b'\\', field).is_none() {
            row.push(field);
        } else {
            let (from, buffer) = row.open();
            unescape(field, buffer)?;
            row.close(from);
        }
        match rest.get(end + 1..) {
            Some(behind) => rest = behind,
            None => return Ok(()),
        }
    }
}

fn unescape(field: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut rest = field;
    while let Some(at) = position(b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let behind = rest.get(at + 1..).unwrap_or_default();
        let Some((code, after)) = behind.split_first() else {
            return Err("a field ends within an escape".to_owned());
        };
        let (byte, used) = match code {
            b'b' => (8, 0),
            b'f' => (12, 0),
            b'n' => (b'\n', 0),
            b'r' => (b'\r', 0),
            b't' => (b'\t', 0),
            b'v' => (11, 0),
            b'0'..=b'7' => {
                let (value, digits) = digits(behind, 8, 3);
                (value, digits - 1)
            }
            b'x' if after.first().is_some_and(u8::is_ascii_hexdigit) => digits(after, 16, 2),
            other => (*other, 0),
        };
        out.push(byte);
        rest = after.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The value of up to `most` digits, and how many there were; only the low byte counts, as in PostgreSQL.
fn digits(text: &[u8], radix: u32, most: usize) -> (u8, usize) {
    let values = text.iter().take(most).map_while(|byte| char::from(*byte).to_digit(radix));
    let (value, count) = values.fold((0u32, 0), |(value, count), digit| (value * radix + digit, count + 1));
    ((value & 0xff) as u8, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut row = Row::default();
        fields(line, &TextStyle::default(), &mut row)?;
        Ok((0..row.len()).map(|at| row.get(at).map(<[u8]>::to_vec)).collect())
    }

    #[test]
    fn fields_are_split_and_unescaped() {
        let some = |text: &[u8]| Some(text.to_vec());
        assert_eq!(parse(b"a\t\\N\t\tb").unwrap(), [some(b"a"), None, some(b""), some(b"b")]);
        assert_eq!(parse(b"\\\\N\t\\\\.").unwrap(), [some(b"\\N"), some(b"\\.")]);
        assert_eq!(parse(br"\b\f\n\r\t\v\\\q").unwrap(), [some(b"\x08\x0c\n\r\t\x0b\\q")]);
        assert_eq!(parse(br"\101\7x\x41\x4g\xz").unwrap(), [some(b"A\x07xA\x04gxz")]);
        assert_eq!(parse(b"").unwrap(), [some(b"")]);
        assert!(parse(b"a\\").is_err());
    }

    #[test]
    fn the_end_of_the_data_is_no_row() {
        let mut rows = TextRows { style: TextStyle::default() };
        let mut row = Row::default();
        assert_eq!(rows.step(b"\\.\n", true, &mut row), Step::End);
        assert_eq!(rows.step(b"a\r\nb", false, &mut row), Step::Row(3));
        assert_eq!(row.get(0), Some(&b"a"[..]));
        assert_eq!(rows.step(b"b", true, &mut row), Step::More);
    }
}

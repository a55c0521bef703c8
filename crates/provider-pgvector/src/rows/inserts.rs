//! INSERT statements of one table: every tuple behind VALUES is a row.
//!
//! A value is a string of any kind (`'..'`, `E'..'`, `B'..'`, `X'..'`, `$$..$$`), a number, NULL, TRUE, FALSE or DEFAULT, with any
//! casts (`'[1,2]'::public.vector(2)`, `CAST('..' AS vector)`) behind it. Anything else is an expression that only PostgreSQL
//! can compute: the row is malformed.
//! Source: PostgreSQL documentation, 4.1.2 Constants; `src/bin/pg_dump/pg_dump.c` (dumpTableData_insert).

use super::{InsertStyle, Parse, Row, Step};
use crate::sql::{Lexer, Stop};

/// Deepest nesting of parentheses and casts around a constant.
const MAX_DEPTH: usize = 16;

/// Tuples of INSERT statements.
pub struct InsertRows {
    style: InsertStyle,
    columns: usize,
    /// Behind VALUES.
    in_values: bool,
}

impl InsertRows {
    /// Rows for so many columns.
    pub fn new(style: InsertStyle, columns: usize) -> Self {
        InsertRows { style, columns, in_values: false }
    }

    fn lexer(&self) -> Lexer {
        Lexer::new(self.style.plain_escapes)
    }

    /// Between statements: on to the values of the next one.
    fn find_values(&mut self, bytes: &[u8], last: bool) -> Step {
        let mut lexer = self.lexer();
        match lexer.run(bytes, Stop::Values) {
            // SET and the like end before any VALUES.
            Some(len) if bytes.get(len.saturating_sub(1)) == Some(&b';') => Step::Skip(len),
            Some(len) => {
                self.in_values = true;
                // The byte that ended the word may be the first parenthesis.
                let open = bytes.get(len.saturating_sub(1)) == Some(&b'(');
                Step::Skip(len - usize::from(open))
            }
            None if last && lexer.is_between_statements() => Step::Skip(bytes.len()),
            None => Step::More,
        }
    }

    fn tuple(&mut self, bytes: &[u8], row: &mut Row) -> Step {
        let Some(len) = self.lexer().run(bytes, Stop::Tuple) else { return Step::More };
        let inner = bytes.get(1..len.saturating_sub(1)).unwrap_or_default();
        let read = match std::str::from_utf8(inner) {
            Ok(text) => Values { rest: text, plain_escapes: self.style.plain_escapes }.read(row),
            Err(error) => Err(format!("no UTF-8 at byte {} of the row", error.valid_up_to())),
        };
        match read {
            Ok(()) => Step::Row(len),
            Err(reason) => Step::Malformed(len, reason),
        }
    }
}

impl Parse for InsertRows {
    fn step(&mut self, bytes: &[u8], last: bool, row: &mut Row) -> Step {
        if !self.in_values {
            return self.find_values(bytes, last);
        }
        let blank = bytes.iter().take_while(|b| b.is_ascii_whitespace() || **b == b',').count();
        if blank > 0 {
            return Step::Skip(blank);
        }
        match bytes {
            [b'(', ..] => {
                let step = self.tuple(bytes, row);
                match step {
                    Step::Row(len) if row.len() > self.columns => {
                        Step::Malformed(len, format!("{} values for {} columns", row.len(), self.columns))
                    }
                    step => step,
                }
            }
            [] | [b'-'] | [b'/'] => Step::More,
            [b'-', b'-', ..] => match crate::bytes::position(b'\n', bytes) {
                Some(end) => Step::Skip(end + 1),
                None => Step::More,
            },
            [b'/', b'*', ..] => match block_comment_end(bytes) {
                Some(end) => Step::Skip(end),
                None => Step::More,
            },
            // The end of the statement, with ON CONFLICT or RETURNING before it.
            _ => match self.lexer().run(bytes, Stop::Statement) {
                Some(len) => {
                    self.in_values = false;
                    Step::Skip(len)
                }
                None => Step::More,
            },
        }
    }
}

/// The values of one tuple.
struct Values<'t> {
    rest: &'t str,
    plain_escapes: bool,
}

impl Values<'_> {
    fn read(mut self, row: &mut Row) -> Result<(), String> {
        loop {
            self.value(row, 0)?;
            self.blank();
            if self.rest.is_empty() {
                return Ok(());
            }
            self.rest = self.rest.strip_prefix(',').ok_or_else(|| self.unreadable())?;
        }
    }

    fn value(&mut self, row: &mut Row, depth: usize) -> Result<(), String> {
        self.blank();
        if depth > MAX_DEPTH {
            return Err(self.unreadable());
        }
        let cast = self.word_is("cast") && self.rest.get(4..).is_some_and(|rest| rest.trim_start().starts_with('('));
        if cast {
            self.rest = self.rest.split_once('(').map_or("", |(_, rest)| rest);
            self.value(row, depth + 1)?;
            self.rest = after_closing(self.rest).ok_or_else(|| self.unreadable())?;
            return self.casts();
        }
        if self.rest.starts_with('(') {
            self.rest = self.rest.get(1..).unwrap_or("");
            self.value(row, depth + 1)?;
            self.blank();
            self.rest = self.rest.strip_prefix(')').ok_or_else(|| self.unreadable())?;
            return self.casts();
        }
        self.constant(row)?;
        self.casts()
    }

    fn constant(&mut self, row: &mut Row) -> Result<(), String> {
        let prefixed = |letter: u8| {
            let bytes = self.rest.as_bytes();
            bytes.first().is_some_and(|b| b.eq_ignore_ascii_case(&letter)) && bytes.get(1) == Some(&b'\'')
        };
        if self.rest.starts_with('\'') {
            return self.string(1, self.plain_escapes, row);
        }
        if prefixed(b'e') {
            return self.string(2, true, row);
        }
        if prefixed(b'b') || prefixed(b'n') {
            return self.string(2, false, row);
        }
        if prefixed(b'x') {
            return self.hex_bits(row);
        }
        if self.rest.starts_with('$') {
            return self.dollar_quoted(row);
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '+' | '-' | '_'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let upper = word.to_ascii_uppercase();
        match upper.as_str() {
            "NULL" => row.push_null(),
            "DEFAULT" => row.push_default(),
            "TRUE" => row.push(b"t"),
            "FALSE" => row.push(b"f"),
            _ if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => {
                row.push(word.as_bytes())
            }
            _ => return Err(self.unreadable()),
        }
        self.rest = rest;
        Ok(())
    }

    /// A string whose first character stands at `from`.
    fn string(&mut self, from: usize, escapes: bool, row: &mut Row) -> Result<(), String> {
        let text = self.rest.get(from..).unwrap_or("").as_bytes();
        let (start, out) = row.open();
        let mut at = 0;
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let special = rest.iter().position(|b| *b == b'\'' || (escapes && *b == b'\\'));
            let special = special.ok_or("a string is not closed")?;
            out.extend_from_slice(rest.get(..special).unwrap_or_default());
            at += special + 1;
            let (mark, next) = (rest.get(special), rest.get(special + 1));
            match (mark, next) {
                (Some(b'\''), Some(b'\'')) => {
                    out.push(b'\'');
                    at += 1;
                }
                (Some(b'\''), _) => break,
                _ => at += escape(text.get(at..).unwrap_or_default(), out)?,
            }
        }
        row.close(start);
        self.rest = self.rest.get(from + at..).ok_or("a string ends within a character")?;
        self.continued(row)
    }

    /// A string goes on in another one if only white space with a line feed lies between: nobody dumps that.
    fn continued(&mut self, _row: &mut Row) -> Result<(), String> {
        let rest = self.rest.trim_start();
        if rest.starts_with('\'') { Err(self.unreadable()) } else { Ok(()) }
    }

    fn hex_bits(&mut self, row: &mut Row) -> Result<(), String> {
        let (digits, rest) =
            self.rest.get(2..).and_then(|rest| rest.split_once('\'')).ok_or("a bit string is not closed")?;
        let mut bits = String::new();
        for digit in digits.chars() {
            let value = digit.to_digit(16).ok_or_else(|| format!("{digit:?} in a hexadecimal bit string"))?;
            bits.push_str(&format!("{value:04b}"));
        }
        row.push(bits.as_bytes());
        self.rest = rest;
        Ok(())
    }

    fn dollar_quoted(&mut self, row: &mut Row) -> Result<(), String> {
        let end = self.rest.get(1..).and_then(|rest| rest.find('$')).ok_or_else(|| self.unreadable())?;
        let (tag, rest) = self.rest.split_at(end + 2);
        let (text, rest) = rest.split_once(tag).ok_or("a dollar-quoted string is not closed")?;
        row.push(text.as_bytes());
        self.rest = rest;
        Ok(())
    }

    /// Passes over `::type` as often as it comes: the column's own type says how to read the text.
    fn casts(&mut self) -> Result<(), String> {
        loop {
            self.blank();
            let Some(rest) = self.rest.strip_prefix("::") else { return Ok(()) };
            let mut depth = 0usize;
            let mut quoted = false;
            let end = rest.char_indices().find(|(_, c)| match c {
                '"' => {
                    quoted = !quoted;
                    false
                }
                _ if quoted => false,
                '(' | '[' => {
                    depth += 1;
                    false
                }
                ')' | ']' if depth > 0 => {
                    depth -= 1;
                    false
                }
                ',' | ')' | ':' => depth == 0,
                _ => false,
            });
            self.rest = rest.get(end.map_or(rest.len(), |(at, _)| at)..).unwrap_or("");
        }
    }

    fn blank(&mut self) {
        self.rest = crate::sql::token::split_comments(self.rest).1;
    }

    fn word_is(&self, word: &str) -> bool {
        self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    }

    fn unreadable(&self) -> String {
        format!("{} is an expression, not a constant", crate::values::scalar::shown(self.rest))
    }
}

/// What follows the parenthesis that closes the one before `text`: passes over `AS type`.
fn after_closing(text: &str) -> Option<&str> {
    let mut depth = 0usize;
    let end = text.find(|c| match c {
        '(' => {
            depth += 1;
            false
        }
        ')' if depth > 0 => {
            depth -= 1;
            false
        }
        other => other == ')',
    })?;
    text.get(end + 1..)
}

/// The offset behind the block comment that `bytes` begin with; comments nest.
fn block_comment_end(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    loop {
        let pair = bytes.get(at..at + 2)?;
        (depth, at) = match pair {
            b"/*" => (depth + 1, at + 2),
            b"*/" => (depth.saturating_sub(1), at + 2),
            _ => (depth, at + 1),
        };
        if depth == 0 {
            return Some(at);
        }
    }
}

/// What a backslash in an escape string stands for; the bytes used behind it.
fn escape(text: &[u8], out: &mut Vec<u8>) -> Result<usize, String> {
    let value = |digits: &[u8], radix: u32| {
        let digits = digits.iter().map_while(|b| char::from(*b).to_digit(radix));
        digits.fold((0u32, 0usize), |(value, count), digit| (value.wrapping_mul(radix).wrapping_add(digit), count + 1))
    };
    let start = |from: usize, most: usize| text.get(from..text.len().min(from + most)).unwrap_or_default();
    let byte = match text.first().ok_or("a string ends within an escape")? {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0'..=b'7' => {
            let (value, used) = value(start(0, 3), 8);
            out.push((value & 0xff) as u8);
            return Ok(used);
        }
        b'x' if start(1, 1).first().is_some_and(u8::is_ascii_hexdigit) => {
            let (value, used) = value(start(1, 2), 16);
            out.push((value & 0xff) as u8);
            return Ok(used + 1);
        }
        kind @ (b'u' | b'U') => {
            let most = if *kind == b'u' { 4 } else { 8 };
            let (value, used) = value(start(1, most), 16);
            let found =
                char::from_u32(value).filter(|_| used == most).ok_or("a Unicode escape that is no character")?;
            out.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(used + 1);
        }
        other => *other,
    };
    out.push(byte);
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Result<Vec<Option<String>>, String>> {
        let mut parser = InsertRows::new(InsertStyle::default(), 4);
        let (mut rest, mut row, mut found) = (text.as_bytes(), Row::default(), Vec::new());
        while !rest.is_empty() {
            row.clear();
            let used = match parser.step(rest, true, &mut row) {
                Step::Row(used) => {
                    let field = |at| row.get(at).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                    found.push(Ok((0..row.len()).map(field).collect()));
                    used
                }
                Step::Malformed(used, reason) => {
                    found.push(Err(reason));
                    used
                }
                Step::Skip(used) => used,
                step => panic!("{step:?} at {}", String::from_utf8_lossy(rest)),
            };
            rest = &rest[used..];
        }
        found
    }

    fn one(text: &str) -> Vec<Option<String>> {
        let mut found = rows(&format!("INSERT INTO t VALUES ({text});"));
        assert_eq!(found.len(), 1, "{text}");
        found.remove(0).unwrap()
    }

    #[test]
    fn constants_of_every_kind_are_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(one("1, -2.5e3, NULL, true"), [some("1"), some("-2.5e3"), None, some("t")]);
        assert_eq!(one("'it''s', '(a);', ' -- '"), [some("it's"), some("(a);"), some(" -- ")]);
        assert_eq!(one(r"E'a\'b\\\n\x41\101\u00e9', 'a\', DEFAULT"), [some("a'b\\\nAAé"), some("a\\"), None]);
        assert_eq!(one("B'0101', x'a5', $q$a'$b$q$"), [some("0101"), some("10100101"), some("a'$b")]);
        assert_eq!(
            one("'[1,2]'::public.vector(2), 'a'::character varying(3)::text , 1::int"),
            [some("[1,2]"), some("a"), some("1")]
        );
        assert_eq!(one("CAST('[1]' AS vector(1)), ('x'), /* c */ 'é'"), [some("[1]"), some("x"), some("é")]);
    }

    #[test]
    fn rows_come_one_by_one_whatever_stands_between_them() {
        let text = "-- Data\nSET a = 1;\nINSERT INTO t (a, b) VALUES\n (1, 'x'),\n(2, now()) , -- c\n (3,'\n')\nON CONFLICT (a) DO NOTHING;\n\
                    INSERT INTO t (a) VALUES(4);\n\n-- end\n";
        let found = rows(text);
        assert_eq!(found.len(), 4);
        assert!(found[1].as_ref().unwrap_err().contains("now()"));
        assert_eq!(found[2].as_ref().unwrap()[1].as_deref(), Some("\n"));
        assert_eq!(found[3].as_ref().unwrap().len(), 1);
    }

    #[test]
    fn comments_between_tuples_hide_none_of_them() {
        let found = rows("INSERT INTO t VALUES /* a */ (1), /* ( /* ; */ ' */ (2) -- )\n, (3);");
        assert_eq!(found.len(), 3);
        assert_eq!(found[2].as_ref().unwrap()[0].as_deref(), Some("3"));
    }

    #[test]
    fn values_cut_anywhere_are_no_rows() {
        let text = br"INSERT INTO t VALUES (1, E'\'', 'a'::text, $$x$$, cast('1' as int));";
        for end in 1..text.len() - 1 {
            let (mut parser, mut row, mut from) = (InsertRows::new(InsertStyle::default(), 9), Row::default(), 0);
            loop {
                match parser.step(&text[from..end], true, &mut row) {
                    Step::Skip(used) if used > 0 && from + used < end => from += used,
                    Step::Row(_) => {
                        assert_eq!(end, text.len() - 1);
                        break;
                    }
                    _ => break,
                }
            }
        }
    }
}

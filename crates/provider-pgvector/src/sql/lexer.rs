//! Where SQL statements, value lists and their tuples end, in text that comes in pieces.
//!
//! Invariant: the state after some bytes does not depend on the pieces that they came in. Quotes, escape strings,
//! dollar quotes, quoted identifiers and comments are skipped as PostgreSQL skips them, so that a `;` or a parenthesis in a
//! text never ends anything. The `;` within the `BEGIN ATOMIC .. END` of a routine end nothing either. Nothing here can
//! fail: a text that ends early just leaves the state open.
//!
//! Source: PostgreSQL `src/backend/parser/scan.l`, `src/fe_utils/psqlscan.l` (the words that open a routine).

use crate::bytes::position;

/// Longest dollar tag and longest word that is looked at, bytes.
const WORD_BYTES: usize = 64;
/// Words of `CREATE OR REPLACE FUNCTION`.
const ROUTINE_WORDS: usize = 4;

/// What to stop after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The `;` of a statement, or the end of the line of a psql command.
    Statement,
    /// The word `VALUES` outside parentheses (or the statement's end).
    Values,
    /// The `)` that closes the outermost parenthesis (or the statement's end).
    Tuple,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Normal,
    Quoted {
        escapes: bool,
    },
    /// Behind a backslash in an escape string.
    Escaped,
    /// Behind a quote that ends the string, unless another one follows.
    QuoteEnd {
        escapes: bool,
    },
    Identifier,
    /// Between the dollars of an opening tag.
    DollarTag(Vec<u8>),
    /// Inside a dollar-quoted text; `matched` bytes of its closing tag were just seen.
    DollarBody {
        tag: Vec<u8>,
        matched: usize,
    },
    LineComment,
    BlockComment {
        depth: u32,
        last: u8,
    },
    /// A psql command: a backslash at the beginning of a statement.
    Command,
}

/// Walks over SQL.
#[derive(Debug, Clone)]
pub struct Lexer {
    state: State,
    /// Backslashes escape in plain strings too (`standard_conforming_strings = off`).
    plain_escapes: bool,
    last: u8,
    word: Vec<u8>,
    depth: u32,
    /// Initials of the statement's first words, as far as they may create a routine.
    opening: Vec<u8>,
    /// `BEGIN` and `CASE` of a routine's body that have no `END` yet.
    blocks: u32,
    /// Something of the statement has been seen.
    begun: bool,
    in_values: bool,
    /// Tuples of values begun in the statements so far.
    pub tuples: u64,
}

impl Lexer {
    /// At the beginning of a statement.
    pub fn new(plain_escapes: bool) -> Self {
        Lexer {
            state: State::Normal,
            plain_escapes,
            last: b' ',
            word: Vec::new(),
            depth: 0,
            opening: Vec::new(),
            blocks: 0,
            begun: false,
            in_values: false,
            tuples: 0,
        }
    }

    /// From here on, backslashes escape in plain strings or do not.
    pub fn set_plain_escapes(&mut self, on: bool) {
        self.plain_escapes = on;
    }

    /// True where nothing but white space and comments came since the last statement.
    pub fn is_between_statements(&self) -> bool {
        self.state == State::Command || (!self.begun && matches!(self.state, State::Normal | State::LineComment))
    }

    /// Goes on with `bytes`; the offset after the byte that the walk stops at, `None` if all were taken in.
    pub fn run(&mut self, bytes: &[u8], stop: Stop) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let skip = self.skippable(rest);
            at += skip;
            let Some(byte) = bytes.get(at) else { break };
            at += 1;
            if self.step(*byte, stop) {
                return Some(at);
            }
        }
        None
    }

    /// Bytes at the start of `rest` that change nothing.
    fn skippable(&self, rest: &[u8]) -> usize {
        let until = |byte: u8| position(byte, rest).unwrap_or(rest.len());
        match &self.state {
            State::Quoted { escapes: false } => until(b'\''),
            State::Quoted { escapes: true } => {
                rest.iter().position(|b| matches!(b, b'\'' | b'\\')).unwrap_or(rest.len())
            }
            State::Identifier => until(b'"'),
            State::LineComment | State::Command => until(b'\n'),
            State::DollarBody { matched: 0, .. } => until(b'$'),
            _ => 0,
        }
    }

    /// Takes in one byte; true if it ends what was asked for.
    fn step(&mut self, byte: u8, stop: Stop) -> bool {
        match &mut self.state {
            State::Normal => return self.normal(byte, stop),
            State::Quoted { escapes } => match byte {
                b'\'' => self.state = State::QuoteEnd { escapes: *escapes },
                b'\\' if *escapes => self.state = State::Escaped,
                _ => {}
            },
            State::Escaped => self.state = State::Quoted { escapes: true },
            State::QuoteEnd { escapes } => {
                let escapes = *escapes;
                if byte == b'\'' {
                    self.state = State::Quoted { escapes };
                } else {
                    self.state = State::Normal;
                    self.last = b'\'';
                    return self.normal(byte, stop);
                }
            }
            State::Identifier => {
                if byte == b'"' {
                    self.state = State::Normal;
                    self.last = b'"';
                }
            }
            State::DollarTag(tag) => {
                if byte == b'$' {
                    let tag = std::mem::take(tag);
                    self.state = State::DollarBody { tag, matched: 0 };
                } else if is_word(byte) && tag.len() < WORD_BYTES {
                    tag.push(byte);
                } else {
                    self.state = State::Normal;
                    return self.normal(byte, stop);
                }
            }
            State::DollarBody { tag, matched } => {
                let wanted = match *matched {
                    0 => b'$',
                    n => tag.get(n - 1).copied().unwrap_or(b'$'),
                };
                *matched = match byte == wanted {
                    true => *matched + 1,
                    false => usize::from(byte == b'$'),
                };
                if *matched == tag.len() + 2 {
                    self.state = State::Normal;
                    self.last = b'$';
                }
            }
            State::LineComment => {
                if byte == b'\n' {
                    self.state = State::Normal;
                    self.last = b'\n';
                }
            }
            State::BlockComment { depth, last } => {
                match (*last, byte) {
                    (b'*', b'/') => *depth -= 1,
                    (b'/', b'*') => *depth = depth.saturating_add(1),
                    _ => {}
                }
                let closed = *depth == 0;
                // The second byte of a pair is not the first one of the next.
                *last = if matches!((*last, byte), (b'*', b'/') | (b'/', b'*')) { b' ' } else { byte };
                if closed {
                    self.state = State::Normal;
                    self.last = b' ';
                }
            }
            State::Command => {
                if byte == b'\n' {
                    self.end_statement();
                    return true;
                }
            }
        }
        false
    }

    fn normal(&mut self, byte: u8, stop: Stop) -> bool {
        let last = std::mem::replace(&mut self.last, byte);
        // A dollar within a word belongs to it; any other begins a dollar quote.
        if is_word(byte) && (byte != b'$' || is_word(last)) {
            self.begun = true;
            if self.word.len() < WORD_BYTES {
                self.word.push(byte.to_ascii_lowercase());
            }
            return false;
        }
        let ended_values = self.end_word();
        self.begun |= !byte.is_ascii_whitespace() && !matches!(byte, b'-' | b'/' | b'*' | b';');
        match byte {
            b'\'' => {
                let prefixed = matches!(ended_values, Word::EscapePrefix) && matches!(last, b'e' | b'E');
                self.state = State::Quoted { escapes: prefixed || self.plain_escapes };
            }
            b'"' => self.state = State::Identifier,
            b'$' => self.state = State::DollarTag(Vec::new()),
            b'-' if last == b'-' => {
                self.state = State::LineComment;
                self.last = b' ';
            }
            b'*' if last == b'/' => self.state = State::BlockComment { depth: 1, last: b' ' },
            b'(' => {
                self.tuples += u64::from(self.depth == 0 && self.in_values);
                self.depth = self.depth.saturating_add(1);
            }
            b')' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 && stop == Stop::Tuple {
                    return true;
                }
            }
            b';' if self.depth == 0 && self.blocks == 0 => {
                self.end_statement();
                return true;
            }
            b'\\' if !matches!(self.state, State::Command) && self.at_start(last) => self.state = State::Command,
            _ => {}
        }
        matches!(ended_values, Word::Values) && stop == Stop::Values
    }

    /// True if a backslash behind `last` begins a psql command.
    fn at_start(&self, last: u8) -> bool {
        self.depth == 0 && self.word.is_empty() && !self.in_values && last.is_ascii_whitespace()
    }

    fn end_word(&mut self) -> Word {
        let word = std::mem::take(&mut self.word);
        if word.is_empty() || self.depth > 0 {
            return if word == b"e" { Word::EscapePrefix } else { Word::Other };
        }
        self.note_word(&word);
        self.in_values = word == b"values" || (self.in_values && word == b"e");
        match word.as_slice() {
            b"values" => Word::Values,
            b"e" => Word::EscapePrefix,
            _ => Word::Other,
        }
    }

    /// Follows the blocks of `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`, as psql does.
    fn note_word(&mut self, word: &[u8]) {
        if self.opening.len() < ROUTINE_WORDS {
            let initial = match word {
                b"create" | b"or" | b"replace" | b"function" | b"procedure" => word.first(),
                _ => None,
            };
            self.opening.push(initial.copied().unwrap_or(b'?'));
        }
        if !matches!(self.opening.as_slice(), [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']) {
            return;
        }
        match word {
            b"begin" => self.blocks = self.blocks.saturating_add(1),
            b"case" if self.blocks > 0 => self.blocks = self.blocks.saturating_add(1),
            b"end" => self.blocks = self.blocks.saturating_sub(1),
            _ => {}
        }
    }

    fn end_statement(&mut self) {
        self.state = State::Normal;
        self.last = b' ';
        self.word.clear();
        self.depth = 0;
        self.opening.clear();
        self.blocks = 0;
        self.begun = false;
        self.in_values = false;
    }
}

enum Word {
    Values,
    EscapePrefix,
    Other,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<&str> {
        let (mut lexer, mut found, mut from) = (Lexer::new(false), Vec::new(), 0);
        while let Some(end) = lexer.run(&text.as_bytes()[from..], Stop::Statement) {
            found.push(text[from..from + end].trim());
            from += end;
        }
        found
    }

    #[test]
    fn a_semicolon_in_a_text_ends_nothing() {
        let whole = [
            "a 'x;''y;' b;",
            r"a E'x\';' ;",
            r"a 'x\';",
            r#"a "x;""y;" ;"#,
            "f $$ ; $x$ ; $$ ;",
            "f $tag$ ; $$ ; $ta$tag$ ;",
            "a -- ;\n b;",
            "a /* ; /* ; */ ; */ b;",
            "a $1 ; ",
            "x - 1 ;",
            "(a ; b) ;",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); SELECT CASE 1 WHEN 1 THEN 2 END; END;",
            "create or replace procedure p() BEGIN ATOMIC a; END;",
            "BEGIN;",
            "CREATE TABLE a (b int);",
            "END;",
        ];
        let text = whole.concat();
        assert_eq!(statements(&text).len(), whole.len(), "{:?}", statements(&text));
    }

    #[test]
    fn pieces_do_not_matter() {
        let text = br"INSERT INTO t VALUES (1, E'\';', $q$;$q$), (2, '(') -- ;
            ; \connect a;b
            SELECT 1;";
        let mut whole = Lexer::new(false);
        let mut ends = Vec::new();
        let mut from = 0;
        while let Some(end) = whole.run(&text[from..], Stop::Statement) {
            from += end;
            ends.push(from);
        }
        let mut bytewise = Lexer::new(false);
        let found: Vec<usize> = (0..text.len())
            .filter(|at| bytewise.run(&text[*at..=*at], Stop::Statement).is_some())
            .map(|at| at + 1)
            .collect();
        assert_eq!(found, ends);
        assert_eq!((ends.len(), whole.tuples, bytewise.tuples), (3, 2, 2));
        assert!(whole.is_between_statements());
    }

    #[test]
    fn values_and_tuples_are_found() {
        let text = b"INSERT INTO \"values\" (a, b) OVERRIDING SYSTEM VALUE VALUES ((1), ')'), (2, 'b');";
        let mut lexer = Lexer::new(false);
        let values = lexer.run(text, Stop::Values).unwrap();
        assert!(text[..values].ends_with(b"VALUES "));
        let first = values + lexer.run(&text[values..], Stop::Tuple).unwrap();
        assert!(text[..first].ends_with(b"')')"));
    }
}

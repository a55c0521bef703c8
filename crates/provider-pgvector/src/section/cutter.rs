//! Where rows end in a buffer that grows.
//!
//! Invariant: what stands before [`Cutter::row_end`] is whole rows, whatever pieces the buffer grew by.

use crate::bytes::position;
use crate::rows::Form;
use crate::rows::binary::{Extent, extent};
use crate::sql::{Lexer, Stop};

/// Finds row ends.
pub struct Cutter {
    kind: Kind,
    /// Bytes of the buffer that have been looked at.
    looked: usize,
    /// Behind the last whole row.
    row_end: usize,
    /// Rows so far; for lines they are counted when they are cut.
    pub rows: u64,
}

enum Kind {
    Lines,
    Csv { quote: u8, inside: bool },
    Binary { ended: bool },
    Statements(Lexer),
}

impl Cutter {
    /// For rows written in `form`.
    pub fn new(form: &Form) -> Self {
        let kind = match form {
            Form::Text(_) => Kind::Lines,
            Form::Csv(style) => Kind::Csv { quote: style.quote, inside: false },
            Form::Binary => Kind::Binary { ended: false },
            Form::Inserts(style) => Kind::Statements(Lexer::new(style.plain_escapes)),
        };
        Cutter { kind, looked: 0, row_end: 0, rows: 0 }
    }

    /// Behind the last whole row.
    pub fn row_end(&self) -> usize {
        self.row_end
    }

    /// True if it cuts between statements, not between rows.
    pub fn cuts_statements(&self) -> bool {
        matches!(self.kind, Kind::Statements(_))
    }

    /// Looks at what the buffer has grown by.
    pub fn look(&mut self, buffer: &[u8]) -> Result<(), String> {
        let fresh = buffer.get(self.looked..).unwrap_or_default();
        match &mut self.kind {
            Kind::Lines => {
                if let Some(last) = fresh.iter().rposition(|byte| *byte == b'\n') {
                    self.row_end = self.looked + last + 1;
                }
            }
            Kind::Csv { quote, inside } => {
                for (at, byte) in fresh.iter().enumerate() {
                    if *byte == *quote {
                        *inside = !*inside;
                    } else if *byte == b'\n' && !*inside {
                        self.row_end = self.looked + at + 1;
                        self.rows += 1;
                    }
                }
            }
            Kind::Binary { ended } => {
                while !*ended {
                    match extent(buffer.get(self.row_end..).unwrap_or_default(), |_| ()) {
                        Extent::Whole(len) => {
                            self.row_end += len;
                            self.rows += 1;
                        }
                        Extent::Cut => break,
                        Extent::Trailer => *ended = true,
                        Extent::Wrong => return Err("no row begins here".to_owned()),
                    }
                }
                if *ended && buffer.len() > self.row_end + 2 {
                    return Err("data behind the end of the rows".to_owned());
                }
            }
            Kind::Statements(lexer) => {
                let mut at = 0;
                while let Some(end) = lexer.run(fresh.get(at..).unwrap_or_default(), Stop::Statement) {
                    at += end;
                    self.row_end = self.looked + at;
                    self.rows = lexer.tuples;
                }
            }
        }
        self.looked = buffer.len();
        Ok(())
    }

    /// The first `count` bytes of the buffer are gone.
    pub fn cut(&mut self, count: usize) {
        self.looked = self.looked.saturating_sub(count);
        self.row_end = self.row_end.saturating_sub(count);
    }

    /// True if the data may end with `rest` behind the last whole row.
    pub fn may_end(&self, rest: &[u8]) -> bool {
        match &self.kind {
            Kind::Lines | Kind::Csv { .. } => rest.is_empty(),
            Kind::Binary { ended } => *ended,
            Kind::Statements(lexer) => lexer.is_between_statements(),
        }
    }
}

/// The offset behind the next line feed in `bytes`.
pub fn line_end(bytes: &[u8]) -> Option<usize> {
    position(b'\n', bytes).map(|at| at + 1)
}

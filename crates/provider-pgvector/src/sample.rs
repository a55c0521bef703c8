//! What only the rows tell: types of columns that nothing declares, dimensions of columns that declare none.
//!
//! Types are guessed from the first rows; a later value that does not fit is a reject. Dimensions are those of the first
//! value, however far it is to that.

use std::collections::BTreeMap;

use tranship_connector::Result;
use tranship_storage::Limits;

use crate::dialect::Type;
use crate::rows::{Form, Next, Row, RowReader};
use crate::section::Section;
use crate::values::{scalar, vector};

const SAMPLE_ROWS: usize = 1000;
const SAMPLE_BYTES: u64 = 1 << 20;

/// The types of `names` as the first rows of `sections` suggest them; text where there is no value.
pub fn types(sections: &[Section], names: &[String], limits: &Limits) -> Result<BTreeMap<String, Type>> {
    let mut guesses: BTreeMap<String, Guess> = names.iter().map(|name| (name.clone(), Guess::default())).collect();
    for section in sections.iter().filter(|section| section.form != Form::Binary) {
        let mut reader = reader(section, limits)?;
        let mut row = Row::default();
        for _ in 0..SAMPLE_ROWS {
            match reader.next(&mut row)? {
                Next::End => break,
                Next::Malformed(..) => continue,
                Next::Row(at) if at.saturating_sub(section.start()) > SAMPLE_BYTES => break,
                Next::Row(_) => {}
            }
            for (at, name) in section.columns.iter().enumerate() {
                if let (Some(guess), Some(value)) = (guesses.get_mut(name), row.get(at)) {
                    guess.look(value);
                }
            }
        }
    }
    Ok(guesses.into_iter().map(|(name, guess)| (name, guess.kind())).collect())
}

/// The dimensions of the first value of each of these columns.
pub fn dimensions(sections: &[Section], columns: &[(String, Type)], limits: &Limits) -> Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    for section in sections {
        let place = |name: &String| section.columns.iter().position(|own| own == name);
        let mut open: Vec<(&String, &Type, usize)> = columns
            .iter()
            .filter(|(name, _)| !found.contains_key(name))
            .filter_map(|(name, kind)| Some((name, kind, place(name)?)))
            .collect();
        if open.is_empty() {
            continue;
        }
        let binary = section.form == Form::Binary;
        let mut reader = reader(section, limits)?;
        let mut row = Row::default();
        while !open.is_empty() {
            match reader.next(&mut row)? {
                Next::End => break,
                Next::Malformed(..) => continue,
                Next::Row(_) => {}
            }
            open.retain(|(name, kind, at)| match row.get(*at).and_then(|value| dim(kind, value, binary)) {
                Some(dim) => {
                    found.insert((*name).clone(), dim);
                    false
                }
                None => true,
            });
        }
    }
    Ok(found)
}

fn reader(section: &Section, limits: &Limits) -> Result<RowReader<'static>> {
    let (input, start) = (section.open()?, section.start());
    Ok(RowReader::new(input, &section.form, section.columns.len(), &section.label, start, limits.max_line_bytes))
}

fn dim(kind: &Type, value: &[u8], binary: bool) -> Option<usize> {
    match (kind, binary) {
        (Type::Bit(_), true) => vector::binary_bits(value).ok().map(|(bits, _)| bits),
        (Type::Bit(_), false) => Some(value.len()),
        (Type::HalfVec(_), true) => vector::binary_elements(value, 2).ok().map(|elements| elements.len() / 2),
        (_, true) => vector::binary_elements(value, 4).ok().map(|elements| elements.len() / 4),
        (_, false) => {
            let mut values = Vec::new();
            vector::floats(value, &mut values).ok().map(|()| values.len())
        }
    }
    .filter(|dim| *dim > 0)
}

/// What the values of a column have in common.
#[derive(Debug, Clone, Copy)]
struct Guess {
    values: usize,
    integers: bool,
    numbers: bool,
    vectors: bool,
    sparse: bool,
    json: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Guess { values: 0, integers: true, numbers: true, vectors: true, sparse: true, json: true }
    }
}

impl Guess {
    fn look(&mut self, value: &[u8]) {
        let Ok(text) = std::str::from_utf8(value) else {
            *self = Guess { values: 1, integers: false, numbers: false, vectors: false, sparse: false, json: false };
            return;
        };
        self.values += 1;
        self.integers = self.integers && scalar::is_integer(text) && text.parse::<i64>().is_ok();
        self.numbers = self.numbers && scalar::is_number(text);
        self.vectors = self.vectors && vector::floats(value, &mut Vec::new()).is_ok();
        self.sparse = self.sparse && vector::Sparse::default().read_text(text).is_ok();
        self.json = self.json && text.starts_with(['{', '[']) && scalar::append(&Type::Json, text, &mut Vec::new()).is_ok();
    }

    fn kind(self) -> Type {
        match self {
            Guess { values: 0, .. } => Type::Text,
            Guess { vectors: true, .. } => Type::Vector(None),
            Guess { sparse: true, .. } => Type::SparseVec(None),
            Guess { integers: true, .. } => Type::Integer(8),
            Guess { numbers: true, .. } => Type::Numeric,
            Guess { json: true, .. } => Type::Json,
            _ => Type::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_from_what_all_values_have_in_common() {
        let guess = |values: &[&str]| {
            let mut guess = Guess::default();
            values.iter().for_each(|value| guess.look(value.as_bytes()));
            guess.kind()
        };
        assert_eq!(guess(&["[1,2]", "[0.5]"]), Type::Vector(None));
        assert_eq!(guess(&["{1:0.5}/3"]), Type::SparseVec(None));
        assert_eq!(guess(&["1", "-2"]), Type::Integer(8));
        assert_eq!(guess(&["1", "2.5"]), Type::Numeric);
        assert_eq!(guess(&["{\"a\":1}", "[]"]), Type::Json);
        assert_eq!(guess(&["007"]), Type::Text);
        assert_eq!(guess(&["1", "a"]), Type::Text);
        assert_eq!(guess(&[]), Type::Text);
        assert_eq!(guess(&["{a,b}"]), Type::Text);
    }
}

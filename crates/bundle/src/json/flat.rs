//! Records as one flat object: id, vectors and metadata side by side.
//!
//! ```text
//! {"<id>":"a","<vector field>":[..],"key":value,..}
//! ```
//!
//! Invariant: no metadata key is the id's or a vector's field, which [`super::declare_fields`] sees to; what is null is
//! not there. Keys that begin with `$` or `@` are the target's own.

use tranship_collection::json::Entries;
use tranship_collection::{BatchBuilder, VectorValue};
use tranship_connector::{Error, Result};
use tranship_kernels::scan_f32_array;

use super::{Given, Taken, display, without_underscore};
use crate::rows::{Fitted, append_id, close_object, open_entry};

/// The layout of flat records.
#[derive(Clone, Copy)]
pub struct Flat {
    /// Field of the id; `None` if it stands elsewhere.
    pub id: Option<&'static str>,
    /// True if our own metadata keys lose their underscore.
    pub plain_names: bool,
    /// Appends one vector, whose rows have so many elements; `false` for a kind that the target has not.
    pub vector: fn(&VectorValue<'_>, usize, &mut Vec<u8>) -> bool,
    /// Takes one vector into a column.
    pub push: fn(&mut BatchBuilder, usize, &str) -> Fitted<()>,
}

impl Flat {
    /// Appends the object of a record; `first` is what stands before all else in it, without braces.
    pub fn append(&self, given: &Given<'_>, first: &str, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        if !first.is_empty() {
            out.push(b'{');
            out.extend_from_slice(first.as_bytes());
        }
        if let Some(id) = self.id {
            open_entry(start, id, out);
            append_id(given.view, given.row, out);
        }
        for (column, field) in given.fields.iter().enumerate() {
            let Some(value) = given.view.vector(column, given.row) else { continue };
            open_entry(start, field, out);
            if !(self.vector)(&value, given.view.dim(column), out) {
                return Err(Error::bug(format!("a vector `{field}` that the target has no form for")));
            }
        }
        for (key, value) in given.metadata()? {
            open_entry(start, if self.plain_names { without_underscore(&key) } else { &key }, out);
            out.extend_from_slice(value.get().as_bytes());
        }
        close_object(start, out);
        Ok(())
    }

    /// Takes the object of a record apart.
    pub fn take(&self, taken: &mut Taken<'_>, text: &str) -> Fitted<()> {
        for (field, value) in Entries::parse(text).map_err(display)?.0 {
            self.take_field(taken, &field, value.get())?;
        }
        Ok(())
    }

    /// Takes one entry of the object.
    pub fn take_field(&self, taken: &mut Taken<'_>, field: &str, value: &str) -> Fitted<()> {
        if Some(field) == self.id {
            return taken.text_id(value);
        }
        // A list that a record has is never empty; some targets answer so for one that it has not.
        if value == "null" || value == "[]" || field.starts_with(['$', '@']) {
            return Ok(());
        }
        if let Some(column) = taken.vector(field) {
            return (self.push)(taken.builder, column, value);
        }
        let own = super::reserved_keys(taken.mapping).into_iter().find(|key| without_underscore(key) == field);
        match own.filter(|_| self.plain_names) {
            Some(key) => taken.entry(key, value),
            None => taken.entry(field, value),
        }
        Ok(())
    }
}

/// Appends a dense vector as a list.
pub fn append_dense(value: &VectorValue<'_>, _dim: usize, out: &mut Vec<u8>) -> bool {
    crate::rows::append_dense(value, out)
}

/// Scans a list of floats into a column.
pub fn push_dense(builder: &mut BatchBuilder, column: usize, text: &str) -> Fitted<()> {
    let values = builder.dense_values(column);
    let before = values.len();
    scan_f32_array(text.as_bytes(), 0, values).map_err(|e| format!("vector: {e}"))?;
    // An empty list would pass for an absent vector.
    if builder.dense_values(column).len() == before { Err("a vector is empty".to_owned()) } else { Ok(()) }
}

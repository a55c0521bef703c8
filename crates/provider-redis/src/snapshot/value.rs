//! Values by their kind: hashes are read, everything is passed over.
//!
//! ```text
//!  0 string                                  15 19 21 26 27  stream, see `skip_stream`
//!  1 list 2 set  n strings                   16 hash in a listpack   17 sorted set 20 set in listpacks
//!  3 sorted set  n (string, text score)      22 Redis: n (ttl, field, value)  Valkey: n (field, value, i64 ms)
//!  4 hash        n (field, value)            23 hash and expiries in a listpack
//!  5 sorted set  n (string, f64)             24 i64 ms, n (ttl, field, value)
//!  7 module      id, parts                   25 i64 ms, hash and expiries in a listpack
//!  9 hash in a zipmap   10 list, 12 sorted   28 array: n, 0 | 1 cursor, n (index, tag, payload)
//!    set, 13 hash in ziplists  11 intset     30 hash in a listpack: id of the template, values
//! 14 n ziplists  18 n (1 plain | 2 listpack) 32 hash: id of the template, values
//! ```
//! 6 (modules of a release candidate), 29 and 31 (hashes in the answer to DUMP) and 33 do not occur in files.
//!
//! Source: Redis `src/rdb.c`, `rdbLoadObject`; Valkey likewise; kinds from 26 on after descriptions of Redis 8.6 to
//! 8.10.

use tranship_connector::Result;

use super::fields::Fields;
use super::packed::{self, Checked, Item, Show, Wrong};
use super::rdb::{Key, Rdb};
use crate::dialect;

/// True for kinds that are hashes.
pub fn is_hash(kind: u8) -> bool {
    matches!(kind, 4 | 9 | 13 | 16 | 22..=25 | 30 | 32)
}

impl Rdb {
    /// Passes over a value; returns the module's name if it is one of a module.
    pub fn skip_value(&mut self, key: &Key) -> Result<Option<String>> {
        let valkey = self.header.valkey;
        match key.kind {
            0 | 9..=13 | 16 | 17 | 20 => self.skip_string()?,
            1 | 2 | 14 => self.skip_each(Self::skip_string)?,
            3 => self.skip_each(Self::skip_text_score)?,
            4 => self.skip_each(Self::skip_pair)?,
            5 => self.skip_each(|rdb| rdb.skip_string_and(8))?,
            7 => {
                let name = dialect::module_name(self.number()?);
                self.skip_module_parts()?;
                return Ok(Some(name));
            }
            15 | 19 | 21 => self.skip_stream(key.kind)?,
            18 => self.skip_each(Self::skip_node)?,
            22 if valkey => self.skip_each(|rdb| rdb.skip_string().and_then(|()| rdb.skip_string_and(8)))?,
            26 | 27 if !valkey => self.skip_stream(key.kind)?,
            22..=25 if !valkey => {
                if key.kind >= 24 {
                    self.input.skip(8)?;
                }
                match key.kind {
                    22 | 24 => self.skip_each(|rdb| rdb.number().and_then(|_| rdb.skip_pair()))?,
                    _ => self.skip_string()?,
                }
            }
            28 if !valkey => self.skip_array()?,
            30 if !valkey => self.skip_string()?,
            32 if !valkey => (0..self.template_names(key)?.len()).try_for_each(|_| self.skip_string())?,
            6 => return Err(self.unknown(key.offset, "a module value of a release candidate of Redis 4.0 (kind 6)")),
            kind => return Err(self.unknown(key.offset, format_args!("a value of kind {kind}"))),
        }
        Ok(None)
    }

    /// Reads a hash.
    pub fn read_hash(&mut self, key: &Key, fields: &mut Fields) -> Result<()> {
        fields.clear();
        match key.kind {
            4 => self.read_pairs(fields),
            9 => self.read_packed(key, fields, 2, packed::zipmap),
            13 => self.read_packed(key, fields, 2, packed::ziplist),
            16 => self.read_packed(key, fields, 2, packed::listpack),
            22 if self.header.valkey => self.read_pairs_then_expiry(fields),
            22 => self.read_expiring_pairs(fields),
            23 => self.read_packed(key, fields, 3, packed::listpack),
            24 => {
                self.input.skip(8)?;
                self.read_expiring_pairs(fields)
            }
            25 => {
                self.input.skip(8)?;
                self.read_packed(key, fields, 3, packed::listpack)
            }
            30 => self.read_packed_template(key, fields),
            _ => self.read_template(key, fields),
        }
    }

    fn read_pairs(&mut self, fields: &mut Fields) -> Result<()> {
        (0..self.number()?).try_for_each(|_| self.read_pair(fields))
    }

    fn read_expiring_pairs(&mut self, fields: &mut Fields) -> Result<()> {
        for _ in 0..self.number()? {
            fields.expiring += u64::from(self.number()? > 0);
            self.read_pair(fields)?;
        }
        Ok(())
    }

    fn read_pairs_then_expiry(&mut self, fields: &mut Fields) -> Result<()> {
        for _ in 0..self.number()? {
            self.read_pair(fields)?;
            fields.expiring += u64::from(i64::from_le_bytes(self.input.array()?) >= 0);
        }
        Ok(())
    }

    fn read_pair(&mut self, fields: &mut Fields) -> Result<()> {
        fields.add(|out| {
            self.string(out)?;
            let middle = out.len();
            self.string(out)?;
            Ok(middle)
        })
    }

    /// A hash in one string, with `width` elements for each field: name, value and perhaps expiry.
    fn read_packed(
        &mut self,
        key: &Key,
        fields: &mut Fields,
        width: usize,
        unpack: for<'s, 'a> fn(&'a [u8], Show<'s, 'a>) -> Checked,
    ) -> Result<()> {
        let bytes = self.new_string()?;
        let mut row = Vec::with_capacity(width);
        let unpacked = unpack(&bytes, &mut |item| {
            row.push(item);
            if let [name, value, expiry @ ..] = &row[..]
                && row.len() == width
            {
                fields.expiring += u64::from(matches!(expiry, [Item::Number(1..)]));
                add(fields, *name, *value);
                row.clear();
            }
            Ok(())
        });
        let whole: Checked = if row.is_empty() { Ok(()) } else { Err("a field is incomplete") };
        unpacked.and(whole).map_err(|wrong| self.bad_hash(key, wrong))
    }

    /// Values in a listpack, after the id of the template that has their names.
    fn read_packed_template(&mut self, key: &Key, fields: &mut Fields) -> Result<()> {
        let bytes = self.new_string()?;
        let templates = self.templates.clone();
        let mut names = None;
        let unpacked = packed::listpack(&bytes, &mut |item| {
            match (&mut names, item) {
                (None, Item::Number(id)) => {
                    let found = u64::try_from(id).ok().and_then(|id| templates.get(&id));
                    names = Some(found.ok_or("its template is not defined")?.iter());
                }
                (None, Item::Text(_)) => return Err("it does not name its template"),
                (Some(names), value) => {
                    let name = names.next().ok_or("it has more values than its template has fields")?;
                    add(fields, Item::Text(name), value);
                }
            }
            Ok(())
        });
        let whole: Checked = match names.map(|rest| rest.len()) {
            Some(0) => Ok(()),
            _ => Err("it has fewer values than its template has fields"),
        };
        unpacked.and(whole).map_err(|wrong| self.bad_hash(key, wrong))
    }

    fn read_template(&mut self, key: &Key, fields: &mut Fields) -> Result<()> {
        for name in self.template_names(key)? {
            fields.add(|out| {
                out.extend_from_slice(&name);
                let middle = out.len();
                self.string(out)?;
                Ok::<_, tranship_connector::Error>(middle)
            })?;
        }
        Ok(())
    }

    fn template_names(&mut self, key: &Key) -> Result<Vec<Vec<u8>>> {
        let id = self.number()?;
        self.templates.get(&id).cloned().ok_or_else(|| self.bad_hash(key, "its template is not defined"))
    }

    fn bad_hash(&self, key: &Key, wrong: Wrong) -> tranship_connector::Error {
        let name = String::from_utf8_lossy(&key.name);
        self.input.damaged_at(key.offset, format_args!("holds a hash `{name}` that does not hold together: {wrong}"))
    }

    fn skip_each(&mut self, skip: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        (0..self.number()?).try_for_each(|_| skip(self))
    }

    fn skip_pair(&mut self) -> Result<()> {
        self.skip_string()?;
        self.skip_string()
    }

    fn skip_string_and(&mut self, bytes: u64) -> Result<()> {
        self.skip_string()?;
        self.input.skip(bytes)
    }

    fn skip_text_score(&mut self) -> Result<()> {
        self.skip_string()?;
        match self.input.byte()? {
            // NaN and the infinities have no text.
            253..=255 => Ok(()),
            len => self.input.skip(u64::from(len)),
        }
    }

    fn skip_node(&mut self) -> Result<()> {
        let at = self.input.offset();
        match self.number()? {
            1 | 2 => self.skip_string(),
            other => Err(self.input.damaged_at(at, format_args!("holds a list node of unknown form {other}"))),
        }
    }

    /// ```text
    /// n (id string, listpack), items, last id (2); from 19: first id (2), highest deleted id (2), added
    /// n groups: name, last id (2), from 19: read
    ///           n (16 bytes, 8 bytes, count)
    ///           n consumers: name, 8 bytes, from 21: 8 bytes, n * 16 bytes
    ///           from 27: n * 16 bytes
    /// from 26: duration, most entries, n producers: name, n (id string, 2 numbers); added, duplicates
    /// ```
    fn skip_stream(&mut self, kind: u8) -> Result<()> {
        self.skip_each(Self::skip_pair)?;
        self.skip_numbers(if kind >= 19 { 8 } else { 3 })?;
        self.skip_each(|rdb| rdb.skip_stream_group(kind))?;
        if kind >= 26 {
            self.skip_numbers(2)?;
            self.skip_each(|rdb| {
                rdb.skip_string()?;
                rdb.skip_each(|rdb| {
                    rdb.skip_string()?;
                    rdb.skip_numbers(2)
                })
            })?;
            self.skip_numbers(2)?;
        }
        Ok(())
    }

    fn skip_stream_group(&mut self, kind: u8) -> Result<()> {
        self.skip_string()?;
        self.skip_numbers(if kind >= 19 { 3 } else { 2 })?;
        self.skip_each(|rdb| {
            rdb.input.skip(24)?;
            rdb.skip_numbers(1)
        })?;
        self.skip_each(|rdb| {
            rdb.skip_string_and(if kind >= 21 { 16 } else { 8 })?;
            rdb.skip_each(|rdb| rdb.input.skip(16))
        })?;
        match kind {
            27 => self.skip_each(|rdb| rdb.input.skip(16)),
            _ => Ok(()),
        }
    }

    fn skip_array(&mut self) -> Result<()> {
        let count = self.number()?;
        let at = self.input.offset();
        match self.number()? {
            0 => {}
            1 => self.skip_numbers(1)?,
            other => return Err(self.input.damaged_at(at, format_args!("holds an array of unknown form {other}"))),
        }
        for _ in 0..count {
            self.skip_numbers(1)?;
            let at = self.input.offset();
            match self.number()? {
                0 | 3 => self.skip_string()?,
                1 | 2 => self.input.skip(8)?,
                other => {
                    return Err(self
                        .input
                        .damaged_at(at, format_args!("holds an array element of unknown type {other}")));
                }
            }
        }
        Ok(())
    }

    fn skip_numbers(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }
}

fn add(fields: &mut Fields, name: Item<'_>, value: Item<'_>) {
    let added = fields.add(|out| {
        append(name, out);
        let middle = out.len();
        append(value, out);
        Ok::<_, std::convert::Infallible>(middle)
    });
    let Ok(()) = added;
}

fn append(item: Item<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Text(text) => out.extend_from_slice(text),
        Item::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
    }
}

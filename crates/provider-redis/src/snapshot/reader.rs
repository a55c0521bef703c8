//! Reads the records of one split: the hashes from one byte of the file to another.
//!
//! Rejects: ids and field names that are no UTF-8 text, documents that are none, vectors of another length or with
//! NaN or infinities, fields that come twice. Errors: damage; a hash beyond the limit; doubles that no f32 holds.

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::json::{ObjectText, append_bytes, append_string};
use tranship_collection::{BatchBuilder, IdKind};
use tranship_connector::source::BATCH_BYTES;
use tranship_connector::{Error, ErrorKind, Reject, RejectSink, Result, Split};

use super::fields::Fields;
use super::rdb::{Entry, Key, Rdb};
use super::source::PreparedFile;
use super::value::is_hash;
use crate::bundle::append_record;
use crate::dialect::RawElement;

/// A split being read.
pub struct Reader<'a> {
    prepared: &'a PreparedFile<'a>,
    rdb: Rdb,
    end: u64,
    fields: Fields,
    builder: BatchBuilder,
    metadata: ObjectText,
    rejects: &'a mut dyn RejectSink,
}

/// A record is in the batch, or there is a reason to reject it.
type Appended = std::result::Result<(), String>;

impl<'a> Reader<'a> {
    /// Opens a split.
    pub fn new(prepared: &'a PreparedFile<'a>, split: Split, rejects: &'a mut dyn RejectSink) -> Result<Self> {
        let limit = prepared.options.limits.max_line_bytes;
        let (reader, templates) = (prepared.blob.open()?, prepared.survey.templates.clone());
        let builder = BatchBuilder::new(prepared.schema.clone()).map_err(|fault| Error::bug(fault.to_string()))?;
        Ok(Reader {
            prepared,
            rdb: Rdb::at(reader, split.start, prepared.header, limit, templates),
            end: split.end,
            fields: Fields::new(limit, prepared.choice.wanted()),
            builder,
            metadata: ObjectText::default(),
            rejects,
        })
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.rdb.input.offset() < self.end && self.builder.bytes() < BATCH_BYTES {
            // Opcodes between keys were all looked at before; those of a database cannot be here.
            if let Entry::Key(key) = self.rdb.next()? {
                self.key(&key)?;
            }
        }
        if self.builder.rows() == 0 {
            return Ok(None);
        }
        self.builder.finish().map(Some).map_err(|fault| Error::bug(fault.to_string()))
    }

    fn key(&mut self, key: &Key) -> Result<()> {
        let wishes = &self.prepared.choice.wishes;
        if !is_hash(key.kind) || !key.name.starts_with(&wishes.prefix) {
            return self.rdb.skip_value(key).map(drop);
        }
        self.rdb.read_hash(key, &mut self.fields)?;
        if !self.fields.has_wanted && !wishes.keep_without_vector {
            return Ok(());
        }
        if self.fields.is_too_large {
            return Err(self.too_large(key));
        }
        if let Err(reason) = self.append(key)? {
            self.builder.rollback();
            let id = std::str::from_utf8(&key.name).ok().map(str::to_owned);
            let place = format!("{} byte {}", self.rdb.input.label(), key.offset);
            self.rejects.reject(Reject { place, id, reason, record: None })?;
        }
        Ok(())
    }

    fn append(&mut self, key: &Key) -> Result<Appended> {
        if let Some(name) = self.fields.repeated() {
            return Ok(Err(format!("the field `{}` comes twice", String::from_utf8_lossy(name))));
        }
        if let Some(loaded) = &self.prepared.choice.wishes.bundle {
            let fields: Vec<(&[u8], &[u8])> = self.fields.iter().collect();
            return Ok(append_record(&loaded.layout, &key.name, &fields, &mut self.builder));
        }
        if let Err(reason) = self.append_vectors(key)? {
            return Ok(Err(reason));
        }
        Ok(self.append_texts(key))
    }

    fn append_vectors(&mut self, key: &Key) -> Result<Appended> {
        let choice = self.prepared.choice;
        for (column, vector) in choice.vectors.iter().enumerate() {
            let Some(bytes) = self.fields.get(vector.field.as_bytes()) else { continue };
            if bytes.len() != vector.dim * choice.element.bytes() {
                return Ok(Err(format!(
                    "`{}` has {} bytes, {} elements of {} have {}",
                    vector.field,
                    bytes.len(),
                    vector.dim,
                    choice.element.name(),
                    vector.dim * choice.element.bytes()
                )));
            }
            match choice.element {
                RawElement::Kept(_) => self.builder.push_bytes(column, bytes),
                RawElement::F64 => {
                    let doubles = bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
                    let rounded = narrow(doubles, self.builder.dense_values(column));
                    if rounded && !self.prepared.options.allow_lossy {
                        return Err(self.rounded(key, &vector.field));
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    fn append_texts(&mut self, key: &Key) -> Appended {
        let (options, choice) = (self.prepared.options, self.prepared.choice);
        let taken = |column: &Option<String>, name: &[u8]| column.as_ref().is_some_and(|c| c.as_bytes() == name);
        let text_of = |column: &str| match self.fields.get(column.as_bytes()).map(std::str::from_utf8) {
            Some(Err(_)) => Err(format!("`{column}` is not valid UTF-8")),
            Some(Ok(text)) => Ok(Some(text)),
            None => Ok(None),
        };
        let id = match &options.id_column {
            Some(column) => text_of(column)?.ok_or_else(|| format!("it has no field `{column}` for its id"))?,
            None => {
                let skipped = if choice.wishes.strip_prefix { choice.wishes.prefix.len() } else { 0 };
                let id = key.name.get(skipped..).unwrap_or_default();
                std::str::from_utf8(id).map_err(|_| "the key is not valid UTF-8".to_owned())?
            }
        };
        let document = options.document_column.as_deref().map(text_of).transpose()?.flatten();
        self.metadata.clear();
        for (name, value) in self.fields.iter() {
            let is_vector = choice.vectors.iter().any(|vector| vector.field.as_bytes() == name);
            if is_vector || taken(&options.id_column, name) || taken(&options.document_column, name) {
                continue;
            }
            let name = std::str::from_utf8(name)
                .map_err(|_| format!("the name of the field `{}` is not valid UTF-8", String::from_utf8_lossy(name)))?;
            match std::str::from_utf8(value) {
                Ok(text) => append_string(text, self.metadata.key(name)),
                Err(_) => append_bytes(value, self.metadata.key(name)),
            }
        }
        let metadata = self.metadata.close().map_err(|fault| fault.to_string())?;
        let text = RowText { id, id_kind: IdKind::Text, namespace: None, document, metadata };
        self.builder.finish_row(text).map_err(|fault| fault.to_string())
    }

    fn too_large(&self, key: &Key) -> Error {
        let (name, limit) = (String::from_utf8_lossy(&key.name), self.fields.limit());
        Error::limit(format!("the hash `{name}` in {} has more than {limit} bytes", self.rdb.input.label()))
            .with("byte", key.offset)
            .hint("raise the limit on the bytes of one record")
    }

    fn rounded(&self, key: &Key, field: &str) -> Error {
        let name = String::from_utf8_lossy(&key.name);
        let label = self.rdb.input.label();
        Error::new(ErrorKind::LossDenied, format!("`{field}` of `{name}` in {label} holds doubles that no f32 holds"))
            .with("byte", key.offset)
            .hint("--allow-lossy rounds them to the nearest f32")
    }
}

/// Appends doubles as floats; true if one had to be rounded.
fn narrow(doubles: impl Iterator<Item = f64>, out: &mut Vec<f32>) -> bool {
    let mut rounded = false;
    for double in doubles {
        let float = double as f32;
        rounded |= f64::from(float) != double && !double.is_nan();
        out.push(float);
    }
    rounded
}

impl Iterator for Reader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.end = 0;
        }
        batch.transpose()
    }
}

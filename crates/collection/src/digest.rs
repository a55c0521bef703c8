//! The digests of one record, each component bound to the record that holds it.
//!
//! Two records that swap their vectors, or their documents, change every digest involved, because the digest of a
//! value is taken together with the key of its record. H is XXH3-128: it guards against accidents, not adversaries.
//!
//! ```text
//! id        = H(01 | u32 len, namespace | id kind | id)        kind: 0 integer, 1 text; no namespace = length 0
//! vector    = H(02 | id | u32 len, name | shape | u32 dim | H(values))   shape: 0 dense, 1 sparse, 2 multi, 3 bits
//! document  = H(03 | id | H(text))
//! metadata  = H(04 | id | H(canonical JSON))                   absent, null and {} have no component
//! record    = H(00 | id | vectors present, by name | document | metadata)
//! ```
//!
//! All integers and digests are little-endian. Values are f32 (narrower elements widen), NaN in one canonical form,
//! -0.0 kept; `dim` counts the elements of a row. The full text with test vectors is `docs/fingerprint.md`.

use xxhash_rust::xxh3::xxh3_128;

use crate::fault::Fault;
use crate::json;
use crate::view::{BatchView, VectorValue};

/// A 128-bit digest.
pub type Digest = u128;

/// The digests of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordDigest {
    /// Digest of namespace and id: the record's key.
    pub id: Digest,
    /// One per vector column of the schema, `None` where the record has none.
    pub vectors: Vec<Option<Digest>>,
    /// Digest of the document.
    pub document: Option<Digest>,
    /// Digest of the metadata by value.
    pub metadata: Option<Digest>,
    /// Digest of all of the above.
    pub record: Digest,
}

/// Buffers that digesting reuses from record to record.
#[derive(Default)]
pub struct Digester {
    message: Vec<u8>,
    canonical: Vec<u8>,
    floats: Vec<u8>,
    by_name: Vec<usize>,
}

impl Digester {
    /// The digests of row `row`.
    pub fn digest(&mut self, view: &BatchView<'_>, row: usize) -> Result<RecordDigest, Fault> {
        let id = self.id(view.namespace(row), view.id_kind(row) as u8, view.id(row));
        self.bound_to(id, view, row)
    }

    /// A digest of everything that row `row` holds but its id: records of one namespace that differ in their ids alone share it.
    pub fn content(&mut self, view: &BatchView<'_>, row: usize) -> Result<Digest, Fault> {
        // No id kind has this number, so that it is nobody's key.
        let namespace = self.id(view.namespace(row), 2, "");
        Ok(self.bound_to(namespace, view, row)?.record)
    }

    fn bound_to(&mut self, id: Digest, view: &BatchView<'_>, row: usize) -> Result<RecordDigest, Fault> {
        let names: Vec<&str> = view.vector_specs().map(|spec| spec.name.as_str()).collect();
        let vectors: Vec<Option<Digest>> = names
            .iter()
            .enumerate()
            .map(|(column, name)| view.vector(column, row).map(|value| self.vector(id, name, &value, view.dim(column))))
            .collect();
        let document = view.document(row).map(|text| self.bound(3, id, xxh3_128(text.as_bytes())));
        let metadata = match view.metadata(row) {
            Some(text) => self.metadata(id, text)?,
            None => None,
        };
        let record = self.record(id, &names, &vectors, document, metadata);
        Ok(RecordDigest { id, vectors, document, metadata, record })
    }

    /// The digest of a record's key.
    pub fn id(&mut self, namespace: Option<&str>, kind: u8, id: &str) -> Digest {
        let namespace = namespace.unwrap_or("");
        self.message.clear();
        self.message.push(1);
        self.message.extend_from_slice(&(namespace.len() as u32).to_le_bytes());
        self.message.extend_from_slice(namespace.as_bytes());
        self.message.push(kind);
        self.message.extend_from_slice(id.as_bytes());
        xxh3_128(&self.message)
    }

    fn vector(&mut self, id: Digest, name: &str, value: &VectorValue<'_>, dim: usize) -> Digest {
        let (shape, values) = match value {
            VectorValue::Dense(values) => (0u8, self.floats(values)),
            VectorValue::Widened(values) => (0, self.floats(values)),
            VectorValue::Multi(values) => (2, self.floats(values)),
            VectorValue::Bits(bytes) => (3, xxh3_128(bytes)),
            VectorValue::Sparse(indices, values) => {
                let values = self.floats(values);
                self.floats.clear();
                indices.iter().for_each(|index| self.floats.extend_from_slice(&index.to_le_bytes()));
                self.floats.extend_from_slice(&values.to_le_bytes());
                (1, xxh3_128(&self.floats))
            }
        };
        self.message.clear();
        self.message.push(2);
        self.message.extend_from_slice(&id.to_le_bytes());
        self.message.extend_from_slice(&(name.len() as u32).to_le_bytes());
        self.message.extend_from_slice(name.as_bytes());
        self.message.push(shape);
        self.message.extend_from_slice(&(dim as u32).to_le_bytes());
        self.message.extend_from_slice(&values.to_le_bytes());
        xxh3_128(&self.message)
    }

    fn metadata(&mut self, id: Digest, text: &str) -> Result<Option<Digest>, Fault> {
        self.canonical.clear();
        json::canonical(text, &mut self.canonical)?;
        if json::is_nothing(&self.canonical) {
            return Ok(None);
        }
        let value = xxh3_128(&self.canonical);
        Ok(Some(self.bound(4, id, value)))
    }

    fn record(
        &mut self,
        id: Digest,
        names: &[&str],
        vectors: &[Option<Digest>],
        document: Option<Digest>,
        metadata: Option<Digest>,
    ) -> Digest {
        self.by_name.clear();
        self.by_name.extend(0..names.len());
        self.by_name.sort_by_key(|position| names[*position]);
        self.message.clear();
        self.message.push(0);
        self.message.extend_from_slice(&id.to_le_bytes());
        let parts = self.by_name.iter().filter_map(|position| vectors[*position]).chain(document).chain(metadata);
        parts.for_each(|part| self.message.extend_from_slice(&part.to_le_bytes()));
        xxh3_128(&self.message)
    }

    fn bound(&mut self, tag: u8, id: Digest, value: Digest) -> Digest {
        self.message.clear();
        self.message.push(tag);
        self.message.extend_from_slice(&id.to_le_bytes());
        self.message.extend_from_slice(&value.to_le_bytes());
        xxh3_128(&self.message)
    }

    /// Digest of the little-endian bytes of `values`, with one NaN.
    fn floats(&mut self, values: &[f32]) -> Digest {
        // Every byte is overwritten, so vectors of one dimension leave the length alone; the loop has no branch, so
        // that several values are taken at a time.
        self.floats.resize(values.len() * 4, 0);
        let (words, _) = self.floats.as_chunks_mut::<4>();
        for (word, value) in words.iter_mut().zip(values) {
            let bits = if value.is_nan() { 0x7fc0_0000u32 } else { value.to_bits() };
            *word = bits.to_le_bytes();
        }
        xxh3_128(&self.floats)
    }
}

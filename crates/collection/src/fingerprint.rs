//! The fingerprint of a set of records: the same for the same set, whatever its order, format or split.
//!
//! For every component (id, each vector by name, document, metadata, whole record) and each of [`BUCKETS`] buckets by
//! id digest it keeps a count and the sum of digests mod 2^128. Sums commute, so shards are digested apart and merged,
//! and two sets that differ show in which buckets they do.
//!
//! ```text
//! "TSFP" | u32 version = 1 | u32 components | names (u32 len, UTF-8) | u32 non-empty buckets
//! then per non-empty bucket, ascending: u32 bucket | per component: u64 count | u128 sum       little-endian
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::digest::{Digest, Digester, RecordDigest};
use crate::fault::Fault;
use crate::schema::{CollectionSchema, IdKind};
use crate::view::BatchView;

/// Buckets of a fingerprint.
pub const BUCKETS: usize = 4096;
const MAGIC: &[u8; 8] = b"TSFP\x01\0\0\0";

/// Most components of a fingerprint: every table holds [`BUCKETS`] sums for each of them.
pub const MAX_COMPONENTS: usize = 1024;
/// Components besides the vectors.
const OTHER_COMPONENTS: usize = 4;

/// Count and sum of one component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Records that have this component.
    pub count: u64,
    /// Sum of their digests mod 2^128.
    pub sum: Digest,
}

impl Sum {
    fn add(&mut self, digest: Digest) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(digest);
    }

    fn merge(&mut self, other: Sum) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// The fingerprint of a set of records.
#[derive(Clone, PartialEq, Eq)]
pub struct SetFingerprint {
    components: Vec<String>,
    sums: Vec<Sum>,
}

/// The totals of a fingerprint in the form that manifests and reports carry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerprintSummary {
    /// One digest over all component totals.
    pub digest: String,
    /// Records in the set.
    pub records: u64,
    /// Per component that occurs: how many records have it, and the sum of the digests in hex.
    pub components: BTreeMap<String, ComponentSummary>,
}

/// One component's total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentSummary {
    /// Records that have it.
    pub count: u64,
    /// Sum of the digests mod 2^128, 32 hex digits.
    pub sum: String,
}

/// Position of the bucket of an id digest: its top 12 bits.
pub fn bucket_of(id: Digest) -> usize {
    (id >> 116) as usize
}

/// The component name of a vector.
pub fn vector_component(name: &str) -> String {
    if name.is_empty() { "vector".to_owned() } else { format!("vector.{name}") }
}

impl SetFingerprint {
    /// An empty fingerprint for sets of `schema`. Vectors are known by name, in the order of the stored vectors.
    pub fn new(schema: &CollectionSchema) -> Self {
        let vectors = schema.stored_vectors().map(|v| vector_component(&v.name));
        let components =
            ["record", "id", "document", "metadata"].into_iter().map(str::to_owned).chain(vectors).collect();
        Self::with_components(components)
    }

    /// Bytes of a table for sets of `schema`; a fault if it has more vectors than a fingerprint has room for.
    pub fn table_bytes(schema: &CollectionSchema) -> Result<u64, Fault> {
        let components = OTHER_COMPONENTS + schema.stored_vectors().count();
        if components > MAX_COMPONENTS {
            let (found, most) = (components - OTHER_COMPONENTS, MAX_COMPONENTS - OTHER_COMPONENTS);
            return Err(Fault::Layout { reason: format!("{found} vectors per record, {most} are the most") });
        }
        Ok((BUCKETS * components * size_of::<Sum>()) as u64)
    }

    fn with_components(components: Vec<String>) -> Self {
        let sums = vec![Sum::default(); BUCKETS * components.len()];
        SetFingerprint { components, sums }
    }

    /// Digests every row of `view` into the set, integer ids only in their one spelling; `each` sees every record's digests with its row.
    pub fn add_batch(
        &mut self,
        view: &BatchView<'_>,
        digester: &mut Digester,
        mut each: impl FnMut(usize, &RecordDigest),
    ) -> Result<(), (usize, Fault)> {
        for row in 0..view.len() {
            if view.id_kind(row) == IdKind::Integer && !is_canonical_integer(view.id(row)) {
                return Err((row, Fault::BadInteger { id: view.id(row).to_owned() }));
            }
            let digest = digester.digest(view, row).map_err(|fault| (row, fault))?;
            self.add(&digest);
            each(row, &digest);
        }
        Ok(())
    }

    /// Adds one record.
    pub fn add(&mut self, digest: &RecordDigest) {
        let width = self.components.len();
        let start = bucket_of(digest.id) * width;
        let sums = &mut self.sums[start..start + width];
        let parts = [Some(digest.record), Some(digest.id), digest.document, digest.metadata];
        for (sum, part) in sums.iter_mut().zip(parts.iter().chain(&digest.vectors)) {
            if let Some(part) = part {
                sum.add(*part);
            }
        }
    }

    /// Adds another set's records; components are matched by name.
    pub fn merge(&mut self, other: &SetFingerprint) {
        let places: Vec<usize> = other.components.iter().map(|name| self.place_of(name)).collect();
        let (width, other_width) = (self.components.len(), other.components.len());
        for bucket in 0..BUCKETS {
            for (position, place) in places.iter().enumerate() {
                self.sums[bucket * width + place].merge(other.sums[bucket * other_width + position]);
            }
        }
    }

    fn place_of(&mut self, name: &str) -> usize {
        if let Some(place) = self.components.iter().position(|own| own == name) {
            return place;
        }
        let old = std::mem::replace(self, {
            let mut components = self.components.clone();
            components.push(name.to_owned());
            Self::with_components(components)
        });
        self.merge(&old);
        self.components.len() - 1
    }

    /// Records in the set.
    pub fn records(&self) -> u64 {
        self.total("record").count
    }

    /// Component names, `record` first.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// The total of one component; zero if there is none of that name.
    pub fn total(&self, component: &str) -> Sum {
        let mut total = Sum::default();
        (0..BUCKETS).for_each(|bucket| total.merge(self.bucket(component, bucket)));
        total
    }

    /// One component in one bucket; zero if there is none of that name.
    pub fn bucket(&self, component: &str, bucket: usize) -> Sum {
        let Some(place) = self.components.iter().position(|name| name == component) else {
            return Sum::default();
        };
        self.sums.get(bucket * self.components.len() + place).copied().unwrap_or_default()
    }

    /// The totals, components that never occur left out so that a null column is the same as no column.
    pub fn summary(&self) -> FingerprintSummary {
        let mut components = BTreeMap::new();
        let mut message = Vec::new();
        for name in &self.components {
            let total = self.total(name);
            if total.count > 0 {
                components
                    .insert(name.clone(), ComponentSummary { count: total.count, sum: format!("{:032x}", total.sum) });
            }
        }
        for (name, component) in &components {
            message.extend_from_slice(format!("{name}\0{}\0{}\n", component.count, component.sum).as_bytes());
        }
        FingerprintSummary { digest: format!("{:032x}", xxh3_128(&message)), records: self.records(), components }
    }

    /// The file form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let width = self.components.len();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&(width as u32).to_le_bytes());
        for name in &self.components {
            out.extend_from_slice(&(name.len() as u32).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        let filled: Vec<usize> =
            (0..BUCKETS).filter(|b| self.sums[b * width..(b + 1) * width].iter().any(|s| s.count > 0)).collect();
        out.extend_from_slice(&(filled.len() as u32).to_le_bytes());
        for bucket in filled {
            out.extend_from_slice(&(bucket as u32).to_le_bytes());
            for sum in &self.sums[bucket * width..(bucket + 1) * width] {
                out.extend_from_slice(&sum.count.to_le_bytes());
                out.extend_from_slice(&sum.sum.to_le_bytes());
            }
        }
        out
    }

    /// Reads the file form; any deviation is a fault.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader { bytes };
        if reader.take(8)? != MAGIC {
            return Err(torn("not a fingerprint file of version 1"));
        }
        let width = reader.u32()? as usize;
        if width > MAX_COMPONENTS {
            return Err(torn("too many components"));
        }
        let mut components = Vec::with_capacity(width);
        for _ in 0..width {
            let length = reader.u32()? as usize;
            let name = std::str::from_utf8(reader.take(length)?).map_err(|_| torn("a component name is not UTF-8"))?;
            components.push(name.to_owned());
        }
        let mut set = Self::with_components(components);
        let mut last = None;
        for _ in 0..reader.u32()? {
            let bucket = reader.u32()? as usize;
            if bucket >= BUCKETS || last.is_some_and(|last| bucket <= last) {
                return Err(torn("buckets are out of order"));
            }
            last = Some(bucket);
            for sum in &mut set.sums[bucket * width..(bucket + 1) * width] {
                sum.count = u64::from_le_bytes(reader.array()?);
                sum.sum = u128::from_le_bytes(reader.array()?);
            }
        }
        if !reader.bytes.is_empty() {
            return Err(torn("bytes after the last bucket"));
        }
        Ok(set)
    }
}

/// True for decimal digits without leading zeros, `-` before them if the number is below zero.
fn is_canonical_integer(text: &str) -> bool {
    match text.strip_prefix('-').unwrap_or(text).as_bytes() {
        [b'0'] => text == "0",
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

impl fmt::Debug for SetFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary().fmt(f)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (head, tail) = self.bytes.split_at_checked(length).ok_or_else(|| torn("ends too early"))?;
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }
}

fn torn(reason: &str) -> Fault {
    Fault::Layout { reason: format!("fingerprint file: {reason}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::{BatchBuilder, RowText};
    use crate::vector::VectorSpec;

    type Row<'a> = (&'a str, [f32; 2], &'a str, &'a str);

    fn fingerprint(rows: &[Row<'_>]) -> SetFingerprint {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = vec![VectorSpec::dense("", 2)];
        let schema = Arc::new(schema);
        let mut builder = BatchBuilder::new(schema.clone()).unwrap();
        for (id, vector, document, metadata) in rows {
            builder.push_dense(0, vector);
            let row = RowText {
                id,
                id_kind: IdKind::Text,
                namespace: None,
                document: Some(document),
                metadata: Some(metadata),
            };
            builder.finish_row(row).unwrap();
        }
        let batch = builder.finish().unwrap();
        let mut set = SetFingerprint::new(&schema);
        set.add_batch(&BatchView::new(&batch, &schema).unwrap(), &mut Digester::default(), |_, _| {}).unwrap();
        set
    }

    const A: Row<'_> = ("a", [1.0, 2.0], "first", r#"{"k":1}"#);
    const B: Row<'_> = ("b", [3.0, 4.0], "second", r#"{"k":2}"#);

    #[test]
    fn order_does_not_matter_and_shards_merge() {
        let mut merged = fingerprint(&[B]);
        merged.merge(&fingerprint(&[A]));
        assert_eq!(merged, fingerprint(&[A, B]));
        assert_eq!(fingerprint(&[A, B]).summary(), fingerprint(&[B, A]).summary());
    }

    #[test]
    fn swapped_vectors_or_documents_change_the_fingerprint() {
        let honest = fingerprint(&[A, B]).summary();
        let vectors = fingerprint(&[("a", B.1, A.2, A.3), ("b", A.1, B.2, B.3)]).summary();
        let documents = fingerprint(&[("a", A.1, B.2, A.3), ("b", B.1, A.2, B.3)]).summary();
        assert_ne!(honest.components["vector"], vectors.components["vector"]);
        assert_eq!(honest.components["document"], vectors.components["document"]);
        assert_ne!(honest.components["document"], documents.components["document"]);
        assert_ne!(honest.digest, vectors.digest);
    }

    #[test]
    fn negative_zero_is_distinct_and_empty_metadata_is_none() {
        let zero = |z: f32| fingerprint(&[("a", [z, 1.0], "d", "{}")]).summary();
        assert_ne!(zero(0.0).digest, zero(-0.0).digest);
        assert!(!zero(0.0).components.contains_key("metadata"));
    }

    #[test]
    fn the_file_form_round_trips_and_every_truncation_is_a_fault() {
        let set = fingerprint(&[A, B]);
        let bytes = set.to_bytes();
        assert_eq!(SetFingerprint::from_bytes(&bytes).unwrap(), set);
        assert!((0..bytes.len()).all(|end| SetFingerprint::from_bytes(&bytes[..end]).is_err()));
    }

    /// The published test vector: `docs/fingerprint.md`.
    #[test]
    fn the_published_test_vector_holds() {
        let summary = fingerprint(&[A, B]).summary();
        let doc = include_str!("../../../docs/fingerprint.md");
        assert!(doc.contains(&summary.digest), "digest is {}", summary.digest);
        for (name, component) in &summary.components {
            assert!(doc.contains(&component.sum), "component {name} is {}", component.sum);
        }
    }

    #[test]
    fn more_vectors_than_a_fingerprint_has_room_for_are_a_fault() {
        let mut schema = CollectionSchema::new("c");
        schema.vectors = (0..MAX_COMPONENTS - 4).map(|n| VectorSpec::dense(n.to_string(), 1)).collect();
        assert!(SetFingerprint::table_bytes(&schema).is_ok());
        schema.vectors.push(VectorSpec::dense("one more", 1));
        assert!(SetFingerprint::table_bytes(&schema).is_err());
    }

    #[test]
    fn an_integer_id_has_one_spelling() {
        for (text, canonical) in [
            ("0", true),
            ("-7", true),
            ("123456789012345678901234567890", true),
            ("-0", false),
            ("007", false),
            ("+7", false),
            ("", false),
            ("-", false),
            ("1.0", false),
            ("\u{2}69", false),
        ] {
            let schema =
                Arc::new(CollectionSchema { ids: crate::schema::IdKinds::Integer, ..CollectionSchema::new("c") });
            let mut builder = BatchBuilder::new(schema.clone()).unwrap();
            let row = RowText { id: text, id_kind: IdKind::Integer, namespace: None, document: None, metadata: None };
            builder.finish_row(row).unwrap();
            let batch = builder.finish().unwrap();
            let view = BatchView::new(&batch, &schema).unwrap();
            let added = SetFingerprint::new(&schema).add_batch(&view, &mut Digester::default(), |_, _| {});
            assert_eq!(added.is_ok(), canonical, "{text:?}");
        }
    }
}

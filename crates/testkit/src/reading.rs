//! Everything that a source yields, record by record, for comparing with what its engine said.

use std::collections::BTreeMap;

use tranship_collection::digest::Digester;
use tranship_collection::{BatchView, CollectionSchema, IdKind, VectorValue};
use tranship_connector::{PrepareContext, Reject, RejectSink, Result, RowLedger, Source};

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Namespace, `None` for the default one.
    pub namespace: Option<String>,
    /// Canonical id.
    pub id: String,
    /// Integer or text.
    pub kind: IdKind,
    /// The vectors that it has, by name.
    pub vectors: BTreeMap<String, Vector>,
    /// Document text.
    pub document: Option<String>,
    /// Metadata, verbatim.
    pub metadata: Option<String>,
}

/// A vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Vector {
    /// Elements, widened to f32.
    Dense(Vec<f32>),
    /// Indices and values.
    Sparse(Vec<u32>, Vec<f32>),
    /// Rows one after another.
    Multi(Vec<f32>),
    /// Bits, most significant first.
    Bits(Vec<u8>),
}

/// What reading came to.
#[derive(Debug)]
pub struct Outcome {
    /// The final schema.
    pub schema: CollectionSchema,
    /// How the rows add up.
    pub ledger: RowLedger,
    /// Notes of the source.
    pub notes: Vec<String>,
    /// All records, in order.
    pub records: Vec<Record>,
    /// All rejects.
    pub rejects: Vec<Reject>,
}

impl Outcome {
    /// Records by namespace and id.
    ///
    /// # Panics
    /// If one comes twice.
    pub fn by_id(&self) -> BTreeMap<(Option<&str>, &str), &Record> {
        let mut found = BTreeMap::new();
        for record in &self.records {
            let twice = found.insert((record.namespace.as_deref(), record.id.as_str()), record);
            assert!(twice.is_none(), "{} comes twice", record.id);
        }
        found
    }
}

impl Record {
    /// The dense vector called `name`.
    pub fn dense(&self, name: &str) -> Option<&[f32]> {
        match self.vectors.get(name)? {
            Vector::Dense(values) => Some(values),
            _ => None,
        }
    }

    /// The metadata as a value; null if there is none.
    pub fn json(&self) -> serde_json::Value {
        let text = self.metadata.as_deref().unwrap_or("null");
        serde_json::from_str(text).unwrap_or_else(|e| panic!("metadata of {} ({e}): {text}", self.id))
    }
}

struct Collect(Vec<Reject>);

impl RejectSink for Collect {
    fn reject(&mut self, reject: Reject) -> Result<()> {
        self.0.push(reject);
        Ok(())
    }
}

/// Reads all of `source` in small splits, checking the layout and the digests of every batch on the way.
pub fn read(source: &dyn Source) -> Result<Outcome> {
    read_within(source, 256 << 20)
}

/// The same, with a budget for `prepare`.
pub fn read_within(source: &dyn Source, memory_bytes: u64) -> Result<Outcome> {
    let scratch = tempfile::tempdir().expect("a directory for temporary files");
    let context = PrepareContext { memory_bytes, split_bytes: 64 << 10, scratch: scratch.path() };
    let prepared = source.prepare(&context)?;
    let schema = prepared.schema().clone();
    let mut rejects = Collect(Vec::new());
    let (mut records, mut digester) = (Vec::new(), Digester::default());
    for (ordinal, split) in prepared.splits()?.enumerate() {
        let split = split?;
        assert_eq!(split.ordinal, ordinal as u64, "splits are numbered from 0");
        for batch in prepared.open(split, &mut rejects)? {
            let batch = batch?;
            let view = BatchView::new(&batch, &schema).unwrap_or_else(|e| panic!("a batch has the wrong layout: {e}"));
            for row in 0..view.len() {
                digester.digest(&view, row).unwrap_or_else(|e| panic!("record {}: {e}", view.id(row)));
                records.push(record(&view, row));
            }
        }
    }
    Ok(Outcome { ledger: prepared.ledger(), notes: prepared.notes(), schema, records, rejects: rejects.0 })
}

fn record(view: &BatchView<'_>, row: usize) -> Record {
    let vectors = view.vector_specs().enumerate().filter_map(|(column, spec)| {
        let vector = match view.vector(column, row)? {
            VectorValue::Dense(values) => Vector::Dense(values.to_vec()),
            VectorValue::Widened(values) => Vector::Dense(values),
            VectorValue::Sparse(indices, values) => Vector::Sparse(indices.to_vec(), values.to_vec()),
            VectorValue::Multi(rows) => Vector::Multi(rows.to_vec()),
            VectorValue::Bits(bytes) => Vector::Bits(bytes.to_vec()),
        };
        Some((spec.name.clone(), vector))
    });
    Record {
        namespace: view.namespace(row).map(str::to_owned),
        id: view.id(row).to_owned(),
        kind: view.id_kind(row),
        vectors: vectors.collect(),
        document: view.document(row).map(str::to_owned),
        metadata: view.metadata(row).map(str::to_owned),
    }
}

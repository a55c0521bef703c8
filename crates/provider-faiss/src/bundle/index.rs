//! Writes flat indexes as `faiss.write_index` does, and finds the vectors in them again.
//!
//! ```text
//! labels:  "IxM2" | header | flat | u64 rows | i64 label[rows]
//! flat:    "IxF2" (L2) "IxFI" (inner product) "IxFl" (others) | header | u64 rows * d | f32[rows * d]
//! header:  i32 d | i64 rows | i64 2^20 | i64 2^20 | u8 trained | i32 metric | f32 argument, only if metric > 1
//! ```
//!
//! Invariant: what is written is what the reader of `snapshot::grammar` reads. Source: facebookresearch/faiss 1.15,
//! `faiss/impl/index_write.cpp`.

use std::io::{self, Write};

use tranship_bundle::aligned::{Layout, MatrixFile, Rows, Shape, main_of};
use tranship_collection::{Element, Metric};
use tranship_connector::Mapping;

use crate::dialect;

/// One flat index, with or without labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlatFile {
    /// FAISS's number of the metric.
    metric: i32,
    /// Cosine is inner product over unit vectors.
    unit: bool,
    /// True if ids are labels of the index.
    pub labels: bool,
}

/// What FAISS writes where older versions had two numbers.
const FILLER: i64 = 1 << 20;

/// All forms that there are: a writer borrows the one that it needs.
static FORMS: [FlatFile; 8] = {
    const fn form(metric: i32, unit: bool, labels: bool) -> FlatFile {
        FlatFile { metric, unit, labels }
    }
    [
        form(dialect::L2, false, false),
        form(dialect::L2, false, true),
        form(dialect::INNER_PRODUCT, false, false),
        form(dialect::INNER_PRODUCT, false, true),
        form(dialect::INNER_PRODUCT, true, false),
        form(dialect::INNER_PRODUCT, true, true),
        form(dialect::L1, false, false),
        form(dialect::L1, false, true),
    ]
};

impl FlatFile {
    /// The form that a mapping settles on.
    pub fn of(mapping: &Mapping) -> &'static FlatFile {
        let metric = main_of(mapping).and_then(|main| mapping.metrics.get(main)).copied().unwrap_or(Metric::L2);
        let labels = mapping.form.get("labels").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let number = dialect::metric_number(metric).unwrap_or(dialect::L2);
        let wanted = FlatFile { metric: number, unit: metric == Metric::Cosine, labels };
        FORMS.iter().find(|form| **form == wanted).unwrap_or(&FORMS[0])
    }

    fn fourcc(self) -> &'static [u8; 4] {
        match self.metric {
            dialect::L2 => b"IxF2",
            dialect::INNER_PRODUCT => b"IxFI",
            _ => b"IxFl",
        }
    }

    fn append_header(self, fourcc: &[u8; 4], shape: Shape, out: &mut Vec<u8>) {
        out.extend_from_slice(fourcc);
        out.extend_from_slice(&(shape.dim as i32).to_le_bytes());
        out.extend_from_slice(&(shape.rows as i64).to_le_bytes());
        out.extend_from_slice(&FILLER.to_le_bytes());
        out.extend_from_slice(&FILLER.to_le_bytes());
        out.push(1);
        out.extend_from_slice(&self.metric.to_le_bytes());
        if self.metric > dialect::L2 {
            out.extend_from_slice(&0f32.to_le_bytes());
        }
    }

    /// Everything before the numbers.
    fn head(self, shape: Shape) -> Vec<u8> {
        let mut head = Vec::new();
        if self.labels {
            self.append_header(b"IxM2", shape, &mut head);
        }
        self.append_header(self.fourcc(), shape, &mut head);
        head.extend_from_slice(&((shape.rows * shape.dim) as u64).to_le_bytes());
        head
    }
}

impl MatrixFile for FlatFile {
    fn stem(&self) -> &'static str {
        "index"
    }

    fn extension(&self) -> &'static str {
        "faiss"
    }

    fn element(&self) -> Element {
        Element::F32
    }

    fn unit_length(&self) -> bool {
        self.unit
    }

    fn write(&self, rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.head(rows.shape))?;
        rows.write_values(&[], out)?;
        if self.labels {
            out.write_all(&(rows.ids.len() as u64).to_le_bytes())?;
            let labels: Vec<u8> = rows.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            out.write_all(&labels)?;
        }
        Ok(())
    }

    fn layout(&self, bytes: &[u8], shape: Shape) -> std::result::Result<Layout, String> {
        let head = self.head(shape);
        match bytes.starts_with(&head) {
            true => Ok(Layout { start: head.len(), stride: 4 * shape.dim }),
            false => Err(format!("it is no flat index of {} vectors of {} dimensions", shape.rows, shape.dim)),
        }
    }
}

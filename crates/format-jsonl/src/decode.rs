//! Turns lines into records of a batch.
//!
//! The array of the unnamed vector is found by walking the keys and scanned in place, straight into the batch; the
//! rest of the line, with `null` where the array was, goes through serde_json. Invariant: a line is accepted exactly
//! when serde_json accepts the whole of it, every key is known and unique, and the record fits the collection. A record
//! that is not accepted leaves nothing in the batch.
//!
//! Rejects: not JSON, not UTF-8, unknown or duplicate keys, an id that is missing, null or not an integer or string,
//! vectors of other shape, dimension or name, elements that are null or not finite as `f32`, metadata that is no
//! object, holds duplicate keys or nests too deeply.

use std::borrow::Cow;

use arrow_array::RecordBatch;
use serde::Deserialize;
use serde_json::value::RawValue;
use tranship_collection::batch::RowText;
use tranship_collection::json::{self, Entries};
use tranship_collection::schema::IdKind;
use tranship_collection::{BatchBuilder, Fault, VectorKind};
use tranship_kernels::scan_f32_array;

use crate::record::{Fields, Keys, find_array, present, string};

/// Why a line is no record of the collection, and the record's id as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The sentence.
    pub reason: String,
    /// The id.
    pub id: Option<String>,
}

/// Reads lines into batches of one collection.
pub struct RecordDecoder {
    keys: Keys,
    /// Ids are row numbers: the sample had none.
    ordinal_ids: bool,
    builder: BatchBuilder,
    kinds: Vec<VectorKind>,
    /// Position of the unnamed dense vector.
    unnamed: Option<usize>,
    rest: Vec<u8>,
    canonical: Vec<u8>,
    floats: Vec<f32>,
}

/// What the fast path leaves to serde_json.
struct Cut {
    /// Column that the array went to.
    column: usize,
    /// Where `null` stands in the rest.
    at: usize,
}

impl RecordDecoder {
    /// A decoder that fills `builder`. With `ordinal_ids`, records have no ids of their own.
    pub fn new(builder: BatchBuilder, keys: Keys, ordinal_ids: bool) -> Self {
        let kinds: Vec<VectorKind> = builder.schema().stored_vectors().map(|spec| spec.kind).collect();
        let unnamed = builder.vector_index("").filter(|column| kinds.get(*column) == Some(&VectorKind::Dense));
        RecordDecoder {
            keys,
            ordinal_ids,
            builder,
            kinds,
            unnamed,
            rest: Vec::new(),
            canonical: Vec::new(),
            floats: Vec::new(),
        }
    }

    /// Bytes in the batch so far.
    pub fn batch_bytes(&self) -> usize {
        self.builder.bytes()
    }

    /// Records in the batch so far.
    pub fn rows(&self) -> usize {
        self.builder.rows()
    }

    /// The batch of everything decoded so far.
    pub fn take_batch(&mut self) -> Result<RecordBatch, Fault> {
        self.builder.finish()
    }

    /// Adds the record of one line, or says why it is none. `ordinal` is its row number, for records without ids.
    pub fn decode(&mut self, line: &[u8], ordinal: Option<u64>) -> Result<(), Refusal> {
        let decoded = self.decode_fast(line, ordinal);
        let decoded = match decoded {
            Some(decoded) => decoded,
            None => self.decode_whole(line, ordinal).map_err(|refusal| self.blame_vector(line, refusal)),
        };
        if decoded.is_err() {
            self.builder.rollback();
        }
        decoded
    }

    /// `None` if the line is unusual and has to be parsed whole.
    fn decode_fast(&mut self, line: &[u8], ordinal: Option<u64>) -> Option<Result<(), Refusal>> {
        let column = self.unnamed?;
        let start = find_array(line, self.keys.vector.as_bytes())?;
        let values = self.builder.dense_values(column);
        let before = values.len();
        let end = scan_f32_array(line, start, values).ok()?;
        if values.len() == before {
            return None;
        }
        self.rest.clear();
        self.rest.extend_from_slice(&line[..start]);
        self.rest.extend_from_slice(b"null");
        self.rest.extend_from_slice(&line[end..]);
        let rest = std::mem::take(&mut self.rest);
        let finished = self.finish(&rest, Some(Cut { column, at: start }), ordinal);
        self.rest = rest;
        if finished.is_none() {
            self.builder.rollback();
        }
        finished
    }

    /// A line that is no JSON because of its vector (`NaN`, a missing comma) is told so, not "expected value".
    fn blame_vector(&mut self, line: &[u8], refusal: Refusal) -> Refusal {
        let array = find_array(line, self.keys.vector.as_bytes()).filter(|_| refusal.id.is_none());
        self.floats.clear();
        match array.map(|start| scan_f32_array(line, start, &mut self.floats)) {
            Some(Err(fault)) => refuse(format!("vector: {fault} of the line"), None),
            _ => refusal,
        }
    }

    fn decode_whole(&mut self, line: &[u8], ordinal: Option<u64>) -> Result<(), Refusal> {
        self.finish(line, None, ordinal).unwrap_or_else(|| Err(refuse("the line cannot be parsed", None)))
    }

    /// Parses what is left of a line. `None` if the array that was cut out turns out not to be the unnamed vector.
    fn finish(&mut self, text: &[u8], cut: Option<Cut>, ordinal: Option<u64>) -> Option<Result<(), Refusal>> {
        let text = match str::from_utf8(text) {
            Ok(text) => text,
            Err(e) => return Some(Err(refuse(format!("not UTF-8 after {} bytes", e.valid_up_to()), None))),
        };
        let fields = match Fields::parse(text, &self.keys) {
            Ok(fields) => fields,
            Err(e) => return Some(Err(refuse(json_reason(&e), None))),
        };
        let place = |value: Option<&RawValue>| value.map(|raw| raw.get().as_ptr() as usize - text.as_ptr() as usize);
        let scanned = match cut {
            Some(cut) if place(fields.vector) == Some(cut.at) => Some(cut.column),
            Some(_) => return None,
            None => None,
        };
        Some(self.add(&fields, scanned, ordinal))
    }

    fn add(&mut self, fields: &Fields<'_>, scanned: Option<usize>, ordinal: Option<u64>) -> Result<(), Refusal> {
        let (id, id_kind) = self.id(fields, ordinal).map_err(|reason| refuse(reason, None))?;
        self.add_rest(fields, scanned, &id, id_kind).map_err(|reason| refuse(reason, Some(&id)))
    }

    fn add_rest(
        &mut self,
        fields: &Fields<'_>,
        scanned: Option<usize>,
        id: &str,
        id_kind: IdKind,
    ) -> Result<(), String> {
        let namespace = text_field(fields.namespace, "namespace")?;
        let document = text_field(fields.document, &self.keys.document)?;
        if namespace.is_some() && !self.builder.schema().namespaced {
            return Err("a namespace, but the first records have none: put one that has it among them".to_owned());
        }
        let metadata = present(fields.metadata);
        if let Some(text) = metadata {
            json::check_object(text, &mut self.canonical).map_err(|fault| fault.to_string())?;
        }
        let mut seen = scanned.into_iter().collect::<Vec<_>>();
        if let Some(text) = present(fields.vector) {
            self.add_vector("", text, &mut seen)?;
        }
        if let Some(text) = present(fields.vectors) {
            let entries = Entries::parse(text).map_err(|_| "`vectors` is not an object".to_owned())?;
            for (name, value) in entries.0.iter().filter(|(_, value)| value.get() != "null") {
                self.add_vector(name, value.get(), &mut seen)?;
            }
        }
        let row = RowText { id, id_kind, namespace: namespace.as_deref(), document: document.as_deref(), metadata };
        self.builder.finish_row(row).map_err(|fault| fault.to_string())
    }

    fn id<'a>(&self, fields: &Fields<'a>, ordinal: Option<u64>) -> Result<(Cow<'a, str>, IdKind), String> {
        match (present(fields.id), ordinal) {
            (Some(_), _) if self.ordinal_ids => {
                Err(format!("`{}` is given, but the first records have none: give all records ids", self.keys.id))
            }
            (None, Some(ordinal)) if self.ordinal_ids => Ok((ordinal.to_string().into(), IdKind::Integer)),
            (None, _) => Err(format!("there is no `{}`", self.keys.id)),
            (Some(text), _) => id_of(text).ok_or_else(|| format!("id {text} is neither an integer nor a string")),
        }
    }

    fn add_vector(&mut self, name: &str, text: &str, seen: &mut Vec<usize>) -> Result<(), String> {
        let label = tranship_collection::fault::vector_label(name);
        let Some(column) = self.builder.vector_index(name) else {
            let fault = Fault::UnknownVector { vector: name.to_owned() };
            return Err(format!("{fault}; the schema comes from the first records: put one that has it among them"));
        };
        if seen.contains(&column) {
            return Err(format!("{label} is given twice"));
        }
        seen.push(column);
        let shape = shape_of(text).ok_or_else(|| format!("{label} is neither an array nor a sparse object"))?;
        match (self.kinds.get(column), shape) {
            (Some(VectorKind::Dense), Shape::Numbers) => {
                let values = self.builder.dense_values(column);
                let before = values.len();
                scan_f32_array(text.as_bytes(), 0, values).map_err(|e| format!("{label}: {e} of the array"))?;
                if values.len() == before {
                    return Err(format!("{label} is empty; leave it out if the record has none"));
                }
                Ok(())
            }
            (Some(VectorKind::Multi), Shape::Rows | Shape::Empty) => {
                let dim = self.builder.schema().vector(name).and_then(|spec| spec.dim).unwrap_or(0);
                self.floats.clear();
                scan_rows(text, dim, &mut self.floats).map_err(|reason| format!("{label}: {reason}"))?;
                self.builder.push_multi(column, &self.floats);
                Ok(())
            }
            (Some(VectorKind::Sparse), Shape::Pair) => {
                let pair: SparseText<'_> = serde_json::from_str(text).map_err(|e| format!("{label}: {e}"))?;
                self.floats.clear();
                scan_f32_array(pair.values.get().as_bytes(), 0, &mut self.floats)
                    .map_err(|e| format!("{label}: values: {e}"))?;
                self.builder.push_sparse(column, &pair.indices, &self.floats).map_err(|fault| fault.to_string())
            }
            (Some(VectorKind::Bits), Shape::Bits) => {
                let text: BitsText<'_> = serde_json::from_str(text).map_err(|e| format!("{label}: {e}"))?;
                let dim = self.builder.schema().vector(name).and_then(|spec| spec.dim).unwrap_or(0);
                let packed = pack_bits(text.bits, dim).map_err(|reason| format!("{label}: {reason}"))?;
                self.builder.push_bytes(column, &packed);
                Ok(())
            }
            (Some(VectorKind::Dense), Shape::Empty) => {
                Err(format!("{label} is empty; leave it out if the record has none"))
            }
            (kind, _) => Err(format!("{label} has another shape than in the first records ({})", kind_name(kind))),
        }
    }
}

/// The shapes that a vector may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `[]`.
    Empty,
    /// `[1, 2]`.
    Numbers,
    /// `[[1, 2], [3, 4]]`.
    Rows,
    /// `{"indices": [1], "values": [2]}`.
    Pair,
    /// `{"bits": "0110"}`.
    Bits,
}

/// A bit vector as it is written: one sign per bit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitsText<'a> {
    /// `0` and `1`, as many as the vector has dimensions.
    #[serde(borrow)]
    pub bits: &'a str,
}

/// A sparse vector as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparseText<'a> {
    /// Ascending positions.
    pub indices: Vec<u32>,
    /// Their values, an array.
    #[serde(borrow)]
    pub values: &'a RawValue,
}

/// The shape of the JSON text of a vector.
pub fn shape_of(text: &str) -> Option<Shape> {
    let mut characters = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    match (characters.next()?, characters.next()?) {
        (b'[', b']') => Some(Shape::Empty),
        (b'[', b'[') => Some(Shape::Rows),
        (b'[', _) => Some(Shape::Numbers),
        (b'{', _) if serde_json::from_str::<BitsText<'_>>(text).is_ok() => Some(Shape::Bits),
        (b'{', _) => Some(Shape::Pair),
        _ => None,
    }
}

/// Appends the rows of an array of arrays, each of `dim` numbers. `text` is known to be one JSON array.
pub fn scan_rows(text: &str, dim: usize, out: &mut Vec<f32>) -> Result<(), String> {
    let rows: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| json_reason(&e))?;
    for (number, row) in rows.iter().enumerate() {
        let before = out.len();
        scan_f32_array(row.get().as_bytes(), 0, out).map_err(|e| format!("row {number}: {e} of the row"))?;
        let found = out.len() - before;
        if found != dim {
            return Err(format!("row {number} has {found} dimensions, the collection has {dim}"));
        }
    }
    Ok(())
}

/// The bytes of `dim` bits that are written as signs, the most significant first.
pub fn pack_bits(signs: &str, dim: usize) -> Result<Vec<u8>, String> {
    if signs.len() != dim {
        return Err(format!("{} bits, the collection has {dim}", signs.len()));
    }
    let mut bytes = vec![0; dim.div_ceil(8)];
    for (position, sign) in signs.bytes().enumerate() {
        match sign {
            b'1' => bytes[position / 8] |= 0x80 >> (position % 8),
            b'0' => {}
            _ => return Err(format!("sign {position} is neither 0 nor 1")),
        }
    }
    Ok(bytes)
}

/// The id that a JSON text stands for: an integer in canonical spelling, or a string as it is.
pub fn id_of(text: &str) -> Option<(Cow<'_, str>, IdKind)> {
    if text.starts_with('"') {
        return string(text).map(|id| (id, IdKind::Text));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    integer.then_some((Cow::Borrowed(if text == "-0" { "0" } else { text }), IdKind::Integer))
}

fn text_field<'a>(value: Option<&'a RawValue>, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    match present(value) {
        None => Ok(None),
        Some(text) => string(text).map(Some).ok_or_else(|| format!("`{name}` is not a string")),
    }
}

fn kind_name(kind: Option<&VectorKind>) -> &'static str {
    match kind {
        Some(VectorKind::Dense) => "an array of numbers",
        Some(VectorKind::Multi) => "an array of arrays",
        Some(VectorKind::Sparse) => "an object of indices and values",
        Some(VectorKind::Bits) => "an object of bits",
        None => "none",
    }
}

/// The reason without serde_json's own place, which counts from the start of a cut line.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("not the JSON of a record: {}", &text[..end]),
        None => text,
    }
}

fn refuse(reason: impl Into<String>, id: Option<&str>) -> Refusal {
    Refusal { reason: reason.into(), id: id.map(str::to_owned) }
}

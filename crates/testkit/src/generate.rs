//! Seeded collections that hold everything the model allows: awkward ids, floats, texts and metadata.

use std::sync::Arc;

use arrow_array::RecordBatch;
use tranship_collection::batch::RowText;
use tranship_collection::schema::{IdKind, IdKinds};
use tranship_collection::{BatchBuilder, CollectionSchema, Element, Metric, VectorKind, VectorSpec};

/// SplitMix64: the same numbers for the same seed, for ever.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Seeded.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.number() % n.max(1)
    }

    /// A float in -1..1.
    pub fn unit(&mut self) -> f32 {
        (self.number() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct Generator {
    /// Seed of everything.
    pub seed: u64,
    /// Records.
    pub rows: usize,
    /// Elements of the dense vectors.
    pub dim: usize,
    /// Metric of the unnamed vector.
    pub metric: Metric,
    /// Integer ids among text ids.
    pub mixed_ids: bool,
    /// Records of several namespaces.
    pub namespaced: bool,
    /// A named dense, a sparse and a multi vector beside the unnamed one.
    pub all_vectors: bool,
    /// Dense vectors of f16, bf16, i8 and u8 elements beside the others.
    pub narrow: bool,
    /// A vector of `dim` + 3 bits beside the others.
    pub bits: bool,
    /// Multivectors without rows among the others, which not every target takes.
    pub empty_multi: bool,
    /// Metadata that hardly any target takes: numbers of any size, U+0000, empty lists and objects, odd keys.
    pub wild: bool,
    /// Records per batch.
    pub batch_rows: usize,
}

impl Default for Generator {
    fn default() -> Self {
        Generator {
            seed: 1,
            rows: 500,
            dim: 8,
            metric: Metric::L2,
            mixed_ids: false,
            namespaced: false,
            all_vectors: false,
            narrow: false,
            bits: false,
            empty_multi: false,
            wild: false,
            batch_rows: 64,
        }
    }
}

impl Generator {
    /// The schema of the collection.
    pub fn schema(&self) -> CollectionSchema {
        let mut schema = CollectionSchema::new("generated");
        schema.ids = if self.mixed_ids { IdKinds::Mixed } else { IdKinds::Text };
        schema.namespaced = self.namespaced;
        let dense = |name: &str, metric| VectorSpec { metric: Some(metric), ..VectorSpec::dense(name, self.dim) };
        if self.all_vectors {
            schema.vectors = vec![
                dense("image", Metric::Dot),
                VectorSpec { kind: VectorKind::Multi, ..dense("rows", Metric::Cosine) },
                VectorSpec {
                    kind: VectorKind::Sparse,
                    dim: None,
                    metric: Some(Metric::Dot),
                    ..dense("terms", Metric::Dot)
                },
                dense("title", self.metric),
            ];
        } else {
            schema.vectors = vec![dense("", self.metric)];
        }
        let narrow = |name: &str, element, metric| VectorSpec { element, ..dense(name, metric) };
        if self.narrow {
            schema.vectors.extend([
                narrow("brain", Element::BF16, Metric::Cosine),
                narrow("byte", Element::U8, Metric::Cosine),
                narrow("half", Element::F16, Metric::L2),
                narrow("signed", Element::I8, Metric::Dot),
                narrow("unit", Element::F16, Metric::Cosine),
            ]);
        }
        if self.bits {
            let bits = narrow("flags", Element::U8, Metric::Hamming);
            schema.vectors.push(VectorSpec { kind: VectorKind::Bits, dim: Some(self.dim + 3), ..bits });
        }
        schema.vectors.sort_by(|a, b| a.name.cmp(&b.name));
        schema
    }

    /// The records, in batches.
    pub fn batches(&self) -> Vec<RecordBatch> {
        let schema = Arc::new(self.schema());
        let mut random = Random::new(self.seed);
        let mut builder = BatchBuilder::new(schema.clone()).expect("a generated schema has f32 vectors");
        let mut batches = Vec::new();
        for row in 0..self.rows {
            self.push(&mut builder, &schema, row, &mut random);
            if builder.rows() == self.batch_rows || row + 1 == self.rows {
                batches.push(builder.finish().expect("generated rows fit"));
            }
        }
        batches
    }

    fn push(&self, builder: &mut BatchBuilder, schema: &CollectionSchema, row: usize, random: &mut Random) {
        for (column, spec) in schema.stored_vectors().enumerate() {
            if random.below(10) == 0 {
                continue;
            }
            match spec.kind {
                VectorKind::Dense if spec.element != Element::F32 => {
                    builder.push_bytes(column, &elements(spec.element, self.dim, random));
                }
                VectorKind::Dense => builder.push_dense(column, &floats(self.dim, random)),
                VectorKind::Multi => {
                    let rows = random.below(3) as usize + usize::from(!self.empty_multi);
                    builder.push_multi(column, &floats(rows * self.dim, random));
                }
                VectorKind::Bits => {
                    let width = spec.dim.unwrap_or(0).div_ceil(8);
                    builder.push_bytes(column, &bytes(width, random));
                }
                VectorKind::Sparse => {
                    let indices: Vec<u32> =
                        (0..random.below(6) as u32).map(|i| i * 1000 + random.below(999) as u32).collect();
                    let values = floats(indices.len(), random);
                    builder.push_sparse(column, &indices, &values).expect("indices ascend");
                }
            }
        }
        let integer = self.mixed_ids && row.is_multiple_of(3);
        let id = if integer { (row as u64 * 7).to_string() } else { text_id(row) };
        let namespace = ["", "tenant-a", "tenant ü"][random.below(3) as usize];
        let document = (random.below(4) > 0)
            .then(|| format!("text {row} \"quoted\"\n\t\u{1F600} {}", "lorem ".repeat(random.below(9) as usize)));
        let metadata = (random.below(5) > 0).then(|| if self.wild { wild(row, random) } else { metadata(row, random) });
        let text = RowText {
            id: &id,
            id_kind: if integer { IdKind::Integer } else { IdKind::Text },
            namespace: (self.namespaced && !namespace.is_empty()).then_some(namespace),
            document: document.as_deref(),
            metadata: metadata.as_deref(),
        };
        builder.finish_row(text).expect("a generated row fits");
    }
}

fn bytes(count: usize, random: &mut Random) -> Vec<u8> {
    (0..count).map(|_| random.number() as u8).collect()
}

/// Elements, as they lie in a file.
fn elements(element: Element, count: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes(count * element.bytes(), random);
    if element.bytes() == 2 {
        // Without the highest bit of the exponent a float is smaller than 2: neither NaN nor infinite.
        bytes.iter_mut().skip(1).step_by(2).for_each(|high| *high &= !0x40);
    }
    bytes
}

fn text_id(row: usize) -> String {
    match row % 4 {
        0 => format!("id-{row}"),
        1 => format!("{row}"),
        2 => format!("{row:08x}-1111-4222-8333-444455556666"),
        _ => format!("ümlaut/{row} \"x\""),
    }
}

/// Floats with the awkward ones among them.
fn floats(count: usize, random: &mut Random) -> Vec<f32> {
    const AWKWARD: [f32; 8] = [0.0, -0.0, 1.0, f32::MIN_POSITIVE, 1e-45, 16_777_216.0, -3.4e38, 0.1];
    let awkward = |random: &mut Random| AWKWARD[random.below(8) as usize];
    (0..count).map(|_| if random.below(12) == 0 { awkward(random) } else { random.unit() }).collect()
}

/// One of each kind of value under one of each kind of key.
fn wild(row: usize, random: &mut Random) -> String {
    const KEYS: [&str; 10] = ["a", "a.b", "$set", "", "_x", "ü", "with space", "null\\u0000", "A", "a.b.c"];
    const VALUES: [&str; 16] = [
        "18446744073709551616",
        "-9223372036854775809",
        "9007199254740993",
        "18446744073709551615",
        "0.1234567890123456789",
        "1e308",
        "-0",
        "2.0",
        "[]",
        "{}",
        "[\"x\", \"y\"]",
        "[1, 2]",
        "[true, 1]",
        "\"nul \\u0000 inside\"",
        "{\"b\": 1, \"b.c\": null, \"\": {\"$x\": [[1.5]]}}",
        "null",
    ];
    let start = random.below(10) as usize;
    let keys = (0..random.below(6) as usize).map(|step| KEYS[(start + step) % 10]);
    let mut entries: Vec<String> =
        keys.map(|key| format!("\"{key}\": {}", VALUES[random.below(16) as usize])).collect();
    entries.push(format!("\"row\": {row}"));
    format!("{{{}}}", entries.join(", "))
}

fn metadata(row: usize, random: &mut Random) -> String {
    let values = [
        "1".to_owned(),
        "1.0".to_owned(),
        "-0.0".to_owned(),
        "9223372036854775807".to_owned(),
        "true".to_owned(),
        "null".to_owned(),
        "\"text \\u00e9 \\\"q\\\"\"".to_owned(),
        "[1, 2.5, \"x\", null]".to_owned(),
        "{\"deep\": {\"er\": [true, {}]}}".to_owned(),
        format!("{}", random.below(1 << 53)),
    ];
    let keys = random.below(5) as usize;
    let mut entries: Vec<String> =
        (0..keys).map(|key| format!("\"k{key}\": {}", values[random.below(10) as usize])).collect();
    entries.push(format!("\"row\": {row}"));
    format!("{{{}}}", entries.join(", "))
}

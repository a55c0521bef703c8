//! What Redis calls things: element types of vectors, versions of the file format, kinds of values.
//!
//! Source: Redis `src/rdb.h`, `FT.CREATE` (TYPE), release notes.

use tranship_collection::{Element, Metric};
use tranship_connector::Rules;
use tranship_connector::rules::{Chars, IdRules, IntegerIds, MetadataRules, RowRules, TextIds, VectorRules};

/// What hashes with a search index can hold. Keys and fields take any bytes; the limits are those of a string.
pub const HASH_RULES: Rules = Rules {
    target: "redis",
    title: "Redis",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: MAX_ID_BYTES, max_chars: usize::MAX, chars: Chars::Any },
    },
    namespaces: true,
    documents: true,
    metadata: Some(MetadataRules::JSON),
    vectors: VectorRules {
        elements: &[Element::F32, Element::F16, Element::BF16, Element::I8, Element::U8],
        max_dim: 32_768,
        max_dense: 200,
        max_sparse: 0,
        multi: false,
        bits: false,
        metrics: &[Metric::Cosine, Metric::Dot, Metric::L2],
        normalises: false,
    },
    rows: RowRules {
        max_metadata_bytes: Some(MAX_STRING_BYTES),
        max_document_bytes: Some(MAX_STRING_BYTES),
        ..RowRules::ANY
    },
};

/// What a vector set can hold: one vector per element, compared by cosine, and attributes as one JSON object.
pub const SET_RULES: Rules = Rules {
    documents: false,
    vectors: VectorRules { elements: &[Element::F32], max_dense: 1, metrics: &[Metric::Cosine], ..HASH_RULES.vectors },
    rows: RowRules { vector_required: true, finite: true, nonzero_under_cosine: true, ..HASH_RULES.rows },
    ..HASH_RULES
};

/// Most bytes of an id.
const MAX_ID_BYTES: usize = 1 << 20;
/// Most bytes of a string that a server takes: `proto-max-bulk-len` is 512 MiB.
const MAX_STRING_BYTES: usize = 500 << 20;
/// Most bytes of the name of a collection.
const MAX_NAME_BYTES: usize = 512;

/// What is wrong with the name of a collection, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    if name.len() > MAX_NAME_BYTES {
        return Some(format!("it is longer than {MAX_NAME_BYTES} bytes"));
    }
    name.chars().find(|c| c.is_control()).map(|c| format!("it contains {c:?}"))
}

/// `FT.CREATE`'s name of an element type. FLOAT16 and BFLOAT16 are known since Redis 7.4, INT8 and UINT8 since 8.0.
pub fn vector_type(element: Element) -> &'static str {
    match element {
        Element::F32 => "FLOAT32",
        Element::F16 => "FLOAT16",
        Element::BF16 => "BFLOAT16",
        Element::I8 => "INT8",
        Element::U8 => "UINT8",
    }
}

/// `FT.CREATE`'s name of a metric.
pub fn distance(metric: Metric) -> &'static str {
    match metric {
        Metric::Dot => "IP",
        Metric::L2 => "L2",
        _ => "COSINE",
    }
}

/// The type of a raw vector's elements, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawElement {
    /// Kept as it is.
    Kept(Element),
    /// FLOAT64: becomes f32.
    F64,
}

impl RawElement {
    /// By the name that the option takes.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "f32" => RawElement::Kept(Element::F32),
            "f16" => RawElement::Kept(Element::F16),
            "bf16" => RawElement::Kept(Element::BF16),
            "i8" => RawElement::Kept(Element::I8),
            "u8" => RawElement::Kept(Element::U8),
            "f64" => RawElement::F64,
            _ => return None,
        })
    }

    /// The name that the option takes.
    pub fn name(self) -> &'static str {
        match self {
            RawElement::Kept(Element::F32) => "f32",
            RawElement::Kept(Element::F16) => "f16",
            RawElement::Kept(Element::BF16) => "bf16",
            RawElement::Kept(Element::I8) => "i8",
            RawElement::Kept(Element::U8) => "u8",
            RawElement::F64 => "f64",
        }
    }

    /// Bytes of one element in the file.
    pub fn bytes(self) -> usize {
        match self {
            RawElement::Kept(element) => element.bytes(),
            RawElement::F64 => 8,
        }
    }

    /// The type of the elements of the collection.
    pub fn element(self) -> Element {
        match self {
            RawElement::Kept(element) => element,
            RawElement::F64 => Element::F32,
        }
    }
}

/// Newest version of `REDIS` files that this was written for.
pub const NEWEST_REDIS: u32 = 15;
/// Newest version of `VALKEY` files that this was written for.
pub const NEWEST_VALKEY: u32 = 80;

/// Servers that write a version, where the file does not name its own.
pub fn producer(valkey: bool, version: u32) -> String {
    let servers = match (valkey, version) {
        (true, _) => "Valkey 9 or newer",
        (false, ..=5) => "Redis up to 2.4",
        (false, 6) => "Redis 2.6 to 3.0",
        (false, 7) => "Redis 3.2",
        (false, 8) => "Redis 4.0",
        (false, 9) => "Redis 5.0 to 6.2",
        (false, 10) => "Redis 7.0",
        (false, 11) => "Redis 7.2 or Valkey 7.2 to 8.1",
        (false, 12) => "Redis 7.4 to 8.4",
        (false, 13) => "Redis 8.6",
        (false, 14) => "Redis 8.8",
        (false, 15) => "Redis 8.10",
        (false, _) => "a Redis newer than 8.10",
    };
    format!("{servers} (RDB {version})")
}

/// What a kind of value is called in notes; `None` for hashes and modules.
pub fn plural(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0 => "strings",
        1 | 10 | 14 | 18 => "lists",
        2 | 11 | 20 => "sets",
        3 | 5 | 12 | 17 => "sorted sets",
        15 | 19 | 21 | 26 | 27 => "streams",
        28 => "arrays",
        _ => return None,
    })
}

/// What to do about values of a module.
pub fn advice(module: &str) -> &'static str {
    match module {
        "ReJSON-RL" => "RedisJSON documents; export them with JSON.GET into JSON Lines and read those",
        "vectorset" => {
            "vector sets, quantised unless NOQUANT was given; export them with VEMB and VGETATTR into JSON Lines"
        }
        _ => "values of a module",
    }
}

const MODULE_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The name in a module's id: nine letters of 6 bits each, then 10 bits of version.
pub fn module_name(id: u64) -> String {
    let letter = |position: u32| MODULE_LETTERS[(id >> (10 + 6 * position) & 63) as usize];
    (0..9).rev().map(|position| char::from(letter(position))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_ids_spell_their_names() {
        let letters = b"ReJSON-RL";
        let id = letters
            .iter()
            .fold(0u64, |id, letter| id << 6 | MODULE_LETTERS.iter().position(|known| known == letter).unwrap() as u64);
        assert_eq!(module_name(id << 10 | 3), "ReJSON-RL");
    }

    #[test]
    fn elements_are_known_by_the_names_that_they_tell() {
        for name in ["f32", "f64", "f16", "bf16", "i8", "u8"] {
            assert_eq!(RawElement::parse(name).map(RawElement::name), Some(name));
        }
        assert_eq!(RawElement::parse("float32"), None);
    }
}

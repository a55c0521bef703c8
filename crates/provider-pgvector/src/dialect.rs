//! PostgreSQL's and pgvector's names in tranship's vocabulary: types, operator classes, index settings.
//!
//! Types are told by their last name: extensions live in any schema (`public.vector`, `extensions.vector`).
//! An index on a cast of the column (`(emb::halfvec(3072)) halfvec_cosine_ops`) tells the column's metric as well as an
//! index on the column itself; an index on `binary_quantize(..)` tells nothing about it.
//!
//! Errors: none; what is unknown stays [`Type::Other`] or an index of another kind, by its own name.
//! Source: pgvector 0.8 `README.md`, `src/hnsw.h` (m 16, ef_construction 64), `src/ivfflat.h` (lists 100).

use std::fmt;

use serde_json::{Map, Value};
use tranship_collection::{Element, IndexSpec, Metric};
use tranship_connector::Rules;
use tranship_connector::rules::{Chars, IdRules, IntegerIds, MetadataRules, Numbers, RowRules, TextIds, VectorRules};

use crate::sql::token::Token;

/// What a table with pgvector can hold.
///
/// jsonb prints numbers as numeric does: without exponent, with all digits behind the point that they were written with,
/// without negative zero (measured with PostgreSQL 16 and 18). Ids and namespaces are keys of a B-tree, whose rows have
/// 2,704 bytes at most.
pub const RULES: Rules = Rules {
    target: "pgvector",
    title: "PostgreSQL with pgvector",
    ids: IdRules {
        integers: IntegerIds::AsText,
        texts: TextIds::Text { max_bytes: MAX_KEY_BYTES, max_chars: usize::MAX, chars: Chars::NoNul },
    },
    namespaces: true,
    documents: true,
    metadata: Some(MetadataRules { numbers: Numbers::Decimal, nul: false, ..MetadataRules::JSON }),
    vectors: VectorRules {
        elements: &[Element::F32, Element::F16],
        max_dim: 16_000,
        max_dense: MAX_VECTORS,
        max_sparse: MAX_VECTORS,
        multi: false,
        bits: true,
        metrics: &[],
        normalises: false,
    },
    rows: RowRules {
        finite: true,
        max_nonzeros: Some(16_000),
        max_sparse_index: Some(MAX_SPARSE_DIM - 1),
        max_metadata_bytes: Some(255 << 20),
        max_document_bytes: Some(512 << 20),
        no_nul: true,
        max_namespace_bytes: Some(MAX_KEY_BYTES),
        ..RowRules::ANY
    },
};

/// Most bytes of an id or a namespace.
pub const MAX_KEY_BYTES: usize = 1000;
/// Most vectors of each kind; a table has 1,600 columns at most.
const MAX_VECTORS: usize = 200;
/// Most typed columns of metadata.
pub const MAX_FIELDS: usize = 1000;
/// Most dimensions of a sparsevec.
pub const MAX_SPARSE_DIM: u32 = 1_000_000_000;
/// Most bytes of a name.
pub const MAX_NAME_BYTES: usize = 63;
/// Columns that every table has.
pub const SYSTEM_COLUMNS: [&str; 7] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "oid"];

/// What is wrong with the name of a table, if anything.
pub fn name_fault(name: &str) -> Option<String> {
    if name.len() > MAX_NAME_BYTES {
        return Some(format!("it is longer than {MAX_NAME_BYTES} bytes"));
    }
    if name == LEDGER {
        return Some("this is where loaded files are noted".to_owned());
    }
    name.chars().find(|c| c.is_control()).map(|c| format!("it contains {c:?}"))
}

/// The table in which a load notes the files that it has taken.
pub const LEDGER: &str = "tranship_loaded";

/// `name` as an identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a literal, under `standard_conforming_strings`.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The type of a column, as far as it matters for reading its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Signed integers of so many bytes: 2, 4 or 8.
    Integer(usize),
    /// Unsigned integers of four bytes.
    Oid,
    /// real
    Float4,
    /// double precision
    Float8,
    /// numeric, decimal
    Numeric,
    /// boolean
    Bool,
    /// text, varchar, char, citext, xml, and enums, which are texts in every form of a dump.
    Text,
    /// json
    Json,
    /// jsonb
    Jsonb,
    /// uuid
    Uuid,
    /// bytea
    Bytea,
    /// date
    Date,
    /// time without time zone
    Time,
    /// time with time zone
    TimeTz,
    /// timestamp without time zone
    Timestamp,
    /// timestamp with time zone
    TimestampTz,
    /// interval
    Interval,
    /// vector, with its declared dimensions.
    Vector(Option<usize>),
    /// halfvec, with its declared dimensions.
    HalfVec(Option<usize>),
    /// sparsevec, with its declared dimensions.
    SparseVec(Option<usize>),
    /// bit(n), or bit varying, which has no fixed length.
    Bit(Option<usize>),
    /// An array of these, of any number of dimensions.
    Array(Box<Type>),
    /// Anything else, by its name: its text stands for it.
    Other(String),
}

impl Type {
    /// True for pgvector's own types.
    pub fn is_vector(&self) -> bool {
        matches!(self, Type::Vector(_) | Type::HalfVec(_) | Type::SparseVec(_))
    }

    /// True for types that can be read as a vector when asked to.
    pub fn can_be_vector(&self) -> bool {
        self.is_vector() || matches!(self, Type::Bit(_))
    }

    /// The type that tokens such as `public.vector(8)`, `timestamp(3) with time zone` or `text[]` name; `resolve` knows
    /// the types that the dump declares itself.
    pub fn parse(tokens: &[Token], resolve: &dyn Fn(&str) -> Option<Type>) -> Type {
        let Spelling { name, numbers, extra, dims } = Spelling::of(tokens);
        let first = numbers.first().and_then(|n| usize::try_from(*n).ok());
        let base = match name.as_str() {
            "smallint" | "int2" | "smallserial" => Type::Integer(2),
            "integer" | "int" | "int4" | "serial" => Type::Integer(4),
            "bigint" | "int8" | "bigserial" => Type::Integer(8),
            "oid" => Type::Oid,
            "real" | "float4" => Type::Float4,
            "float" if first.is_some_and(|bits| bits <= 24) => Type::Float4,
            "float8" | "float" | "double" => Type::Float8,
            "numeric" | "decimal" => Type::Numeric,
            "boolean" | "bool" => Type::Bool,
            "text" | "varchar" | "character" | "char" | "bpchar" | "name" | "citext" | "xml" => Type::Text,
            "json" => Type::Json,
            "jsonb" => Type::Jsonb,
            "uuid" => Type::Uuid,
            "bytea" => Type::Bytea,
            "date" => Type::Date,
            "timetz" => Type::TimeTz,
            "time" if extra.starts_with("with ") => Type::TimeTz,
            "time" => Type::Time,
            "timestamptz" => Type::TimestampTz,
            "timestamp" if extra.starts_with("with ") => Type::TimestampTz,
            "timestamp" => Type::Timestamp,
            "interval" => Type::Interval,
            "vector" => Type::Vector(first),
            "halfvec" => Type::HalfVec(first),
            "sparsevec" => Type::SparseVec(first),
            "varbit" => Type::Bit(None),
            "bit" if extra.starts_with("varying") => Type::Bit(None),
            "bit" => Type::Bit(first.or(Some(1))),
            other => resolve(other).unwrap_or_else(|| Type::Other(other.to_owned())),
        };
        if dims { Type::Array(Box::new(base)) } else { base }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sized = |f: &mut fmt::Formatter<'_>, name: &str, dim: &Option<usize>| match dim {
            Some(dim) => write!(f, "{name}({dim})"),
            None => f.write_str(name),
        };
        let name = match self {
            Type::Vector(dim) => return sized(f, "vector", dim),
            Type::HalfVec(dim) => return sized(f, "halfvec", dim),
            Type::SparseVec(dim) => return sized(f, "sparsevec", dim),
            Type::Bit(Some(bits)) => return write!(f, "bit({bits})"),
            Type::Array(element) => return write!(f, "{element}[]"),
            Type::Other(name) => name,
            Type::Bit(None) => "bit varying",
            Type::Integer(2) => "smallint",
            Type::Integer(4) => "integer",
            Type::Integer(_) => "bigint",
            Type::Oid => "oid",
            Type::Float4 => "real",
            Type::Float8 => "double precision",
            Type::Numeric => "numeric",
            Type::Bool => "boolean",
            Type::Text => "text",
            Type::Json => "json",
            Type::Jsonb => "jsonb",
            Type::Uuid => "uuid",
            Type::Bytea => "bytea",
            Type::Date => "date",
            Type::Time => "time",
            Type::TimeTz => "time with time zone",
            Type::Timestamp => "timestamp",
            Type::TimestampTz => "timestamp with time zone",
            Type::Interval => "interval",
        };
        f.write_str(name)
    }
}

/// The parts of a type's name.
struct Spelling {
    name: String,
    numbers: Vec<u64>,
    extra: String,
    dims: bool,
}

impl Spelling {
    fn of(tokens: &[Token]) -> Self {
        let mut spelling = Spelling { name: String::new(), numbers: Vec::new(), extra: String::new(), dims: false };
        let mut in_parentheses = false;
        let mut qualified = false;
        for token in tokens {
            match token {
                Token::Symbol('.') => qualified = true,
                Token::Symbol('(') => in_parentheses = true,
                Token::Symbol(')') => in_parentheses = false,
                Token::Symbol('[') => spelling.dims = true,
                Token::Word(word) if in_parentheses => spelling.numbers.extend(word.parse::<u64>()),
                Token::Word(word) if word == "array" => spelling.dims = true,
                Token::Word(name) | Token::Quoted(name) if spelling.name.is_empty() || qualified => {
                    spelling.name.clone_from(name);
                    qualified = false;
                }
                Token::Word(word) if !spelling.dims => {
                    spelling.extra.push_str(word);
                    spelling.extra.push(' ');
                }
                _ => {}
            }
        }
        if let Some(element) = spelling.name.strip_prefix('_').map(str::to_owned) {
            spelling.name = element;
            spelling.dims = true;
        }
        spelling
    }
}

/// The metric of an operator class.
pub fn metric(operator_class: &str) -> Option<Metric> {
    let (kind, rest) = operator_class.split_once('_')?;
    let name = rest.strip_suffix("_ops")?;
    let known = matches!(kind, "vector" | "halfvec" | "sparsevec" | "bit");
    match name {
        _ if !known => None,
        "l2" => Some(Metric::L2),
        "ip" => Some(Metric::Dot),
        "cosine" => Some(Metric::Cosine),
        "l1" => Some(Metric::L1),
        "hamming" => Some(Metric::Hamming),
        "jaccard" => Some(Metric::Jaccard),
        _ => None,
    }
}

/// The operator class that an index uses when none is named.
pub fn default_metric(method: &str, column: &Type) -> Option<Metric> {
    match column {
        Type::Vector(_) if method == "ivfflat" => Some(Metric::L2),
        _ => None,
    }
}

/// The operator class of vectors of type `kind` under `metric`.
pub fn operator_class(kind: &str, metric: Metric) -> String {
    let name = match metric {
        Metric::Dot => "ip",
        other => other.name(),
    };
    format!("{kind}_{name}_ops")
}

/// The lists of an inverted index: pgvector's own or one whose settings call them `nlist`.
pub fn ivf_lists(name: &str, settings: &Value) -> Option<u32> {
    let is_ivf = matches!(name.to_ascii_lowercase().as_str(), "ivfflat" | "ivf_flat");
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let lists = ["lists", "nlist"].into_iter().find_map(|key| settings.get(key).and_then(number));
    lists.filter(|_| is_ivf).map(|lists| u32::try_from(lists).unwrap_or(u32::MAX))
}

/// Index settings from the access method and its `WITH (..)`.
pub fn index(method: &str, settings: &[(String, String)]) -> IndexSpec {
    let number = |key: &str, default: u32| {
        settings.iter().find(|(own, _)| own == key).and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
    };
    match method {
        "hnsw" => {
            IndexSpec::Hnsw { m: number("m", 16), ef_construction: number("ef_construction", 64), ef_search: None }
        }
        _ => {
            let mut map: Map<String, Value> =
                settings.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
            if method == "ivfflat" {
                map.insert("lists".to_owned(), Value::from(number("lists", 100)));
            }
            IndexSpec::Other { name: method.to_owned(), settings: Value::Object(map) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::token::tokens;

    fn parse(text: &str) -> Type {
        Type::parse(&tokens(text), &|name| (name == "emb").then_some(Type::Vector(Some(3))))
    }

    #[test]
    fn types_are_told_by_their_last_name() {
        let array = |of| Type::Array(Box::new(of));
        for (text, expected) in [
            ("public.vector(8)", Type::Vector(Some(8))),
            ("extensions.vector", Type::Vector(None)),
            ("\"public\".halfvec(4)", Type::HalfVec(Some(4))),
            ("sparsevec(100)", Type::SparseVec(Some(100))),
            ("bit(12)", Type::Bit(Some(12))),
            ("bit", Type::Bit(Some(1))),
            ("bit varying(5)", Type::Bit(None)),
            ("character varying(20)", Type::Text),
            ("double precision", Type::Float8),
            ("timestamp(3) with time zone", Type::TimestampTz),
            ("timestamp without time zone", Type::Timestamp),
            ("time with time zone", Type::TimeTz),
            ("numeric(10,2)", Type::Numeric),
            ("text[]", array(Type::Text)),
            ("timestamp with time zone[]", array(Type::TimestampTz)),
            ("integer[3][3]", array(Type::Integer(4))),
            ("_int8", array(Type::Integer(8))),
            ("app.emb", Type::Vector(Some(3))),
            ("app.mood", Type::Other("mood".to_owned())),
        ] {
            assert_eq!(parse(text), expected, "{text}");
            assert_eq!(parse(&expected.to_string()), expected, "{expected}");
        }
    }

    #[test]
    fn operator_classes_and_settings_are_mapped() {
        assert_eq!(metric("vector_cosine_ops"), Some(Metric::Cosine));
        assert_eq!(metric("halfvec_ip_ops"), Some(Metric::Dot));
        assert_eq!(metric("sparsevec_l1_ops"), Some(Metric::L1));
        assert_eq!(metric("bit_jaccard_ops"), Some(Metric::Jaccard));
        assert_eq!(metric("text_pattern_ops"), None);
        for kind in ["vector", "halfvec", "sparsevec"] {
            for own in [Metric::L2, Metric::Dot, Metric::Cosine, Metric::L1] {
                assert_eq!(metric(&operator_class(kind, own)), Some(own));
            }
        }
        assert_eq!(operator_class("bit", Metric::Jaccard), "bit_jaccard_ops");
        let settings = [("m".to_owned(), "24".to_owned())];
        assert_eq!(index("hnsw", &settings), IndexSpec::Hnsw { m: 24, ef_construction: 64, ef_search: None });
        let lists = IndexSpec::Other { name: "ivfflat".to_owned(), settings: serde_json::json!({"lists": 100}) };
        assert_eq!(index("ivfflat", &[]), lists);
    }
}

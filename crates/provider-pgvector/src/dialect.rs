//! PostgreSQL's and pgvector's names in tranship's vocabulary: types, operator classes, index settings.
//!
//! Types are told by their last name: extensions live in any schema (`public.vector`, `extensions.vector`).
//! An index on a cast of the column (`(emb::halfvec(3072)) halfvec_cosine_ops`) tells the column's metric as well as an
//! index on the column itself; an index on `binary_quantize(..)` tells nothing about it.
//!
//! Errors: none; what is unknown stays [`Type::Other`] or an index of another kind, by its own name.
//! Source: pgvector 0.8 `README.md`, `src/hnsw.h` (m 16, ef_construction 64), `src/ivfflat.h` (lists 100).

use serde_json::{Map, Value};
use tranship_collection::{IndexSpec, Metric};

use crate::sql::token::Token;

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

/// Index settings from the access method and its `WITH (..)`.
pub fn index(method: &str, settings: &[(String, String)]) -> IndexSpec {
    let number = |key: &str, default: u32| {
        settings.iter().find(|(own, _)| own == key).and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
    };
    match method {
        "hnsw" => IndexSpec::Hnsw { m: number("m", 16), ef_construction: number("ef_construction", 64), ef_search: None },
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
        }
    }

    #[test]
    fn operator_classes_and_settings_are_mapped() {
        assert_eq!(metric("vector_cosine_ops"), Some(Metric::Cosine));
        assert_eq!(metric("halfvec_ip_ops"), Some(Metric::Dot));
        assert_eq!(metric("sparsevec_l1_ops"), Some(Metric::L1));
        assert_eq!(metric("bit_jaccard_ops"), Some(Metric::Jaccard));
        assert_eq!(metric("text_pattern_ops"), None);
        let settings = [("m".to_owned(), "24".to_owned())];
        assert_eq!(index("hnsw", &settings), IndexSpec::Hnsw { m: 24, ef_construction: 64, ef_search: None });
        let lists = IndexSpec::Other { name: "ivfflat".to_owned(), settings: serde_json::json!({"lists": 100}) };
        assert_eq!(index("ivfflat", &[]), lists);
    }
}

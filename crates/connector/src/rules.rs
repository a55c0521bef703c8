//! What a target can hold, as data: ids, namespaces, documents, metadata, vectors, and what each record must be.
//!
//! A provider states its [`Rules`] once; [`Shaper`](crate::shape::Shaper) brings records into that form,
//! [`Survey`](crate::survey::Survey) measures beforehand what that will change, and [`Mapping`](crate::Mapping) carries
//! what is needed to undo it. Invariant: rules are plain values, so they mean the same wherever a bundle is read back.

use serde::{Deserialize, Serialize};
use tranship_collection::{Element, Metric};

/// Everything that a target can hold.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rules {
    /// Name of the connector.
    pub target: &'static str,
    /// The provider's own name, for sentences.
    pub title: &'static str,
    /// Ids.
    pub ids: IdRules,
    /// True if the target has namespaces of its own within which ids are unique.
    pub namespaces: bool,
    /// True if the target has a field for the document.
    pub documents: bool,
    /// Metadata; `None` if the target has none at all.
    pub metadata: Option<MetadataRules>,
    /// Vectors.
    pub vectors: VectorRules,
    /// What each record must be.
    pub rows: RowRules,
}

/// Which ids stay as they are. All others become a UUID made from namespace and id, with the original in the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRules {
    /// Integers.
    pub integers: IntegerIds,
    /// Texts.
    pub texts: TextIds,
}

/// What becomes of integer ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegerIds {
    /// 0 to 2^64 - 1 stay integers.
    U64,
    /// -2^63 to 2^63 - 1 stay integers.
    I64,
    /// Their decimal digits become a text.
    AsText,
    /// None stays.
    Mapped,
    /// All stay, of any size.
    Any,
}

/// What becomes of text ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextIds {
    /// Only a UUID in canonical spelling stays.
    Uuid,
    /// Texts within these bounds stay.
    Text {
        /// Most bytes of UTF-8.
        max_bytes: usize,
        /// Most characters.
        max_chars: usize,
        /// Which characters.
        chars: Chars,
    },
    /// None stays.
    Mapped,
}

/// A set of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chars {
    /// Any.
    Any,
    /// Any but U+0000.
    NoNul,
    /// ASCII from the space to the tilde.
    Ascii,
    /// `A-Z a-z 0-9 _ -`: needs no encoding in a URL.
    Url,
    /// `A-Z a-z 0-9 _ - =`, not beginning with `_`.
    UrlBase64,
}

/// Which metadata stays as it is. Whatever else there is stands as JSON text under a reserved key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataRules {
    /// Null values.
    pub nulls: bool,
    /// Objects within the metadata.
    pub nested: Nested,
    /// Lists.
    pub lists: Lists,
    /// Numbers.
    pub numbers: Numbers,
    /// Booleans.
    pub booleans: bool,
    /// U+0000 within texts.
    pub nul: bool,
    /// Keys at depth one.
    pub keys: Keys,
    /// How deep the metadata may nest.
    pub max_depth: usize,
    /// Most bytes of one value as JSON.
    #[serde(default)]
    pub max_value_bytes: Option<usize>,
}

/// What becomes of objects within metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nested {
    /// They stay.
    Kept,
    /// Their entries stand as `outer.inner`, and the whole as text.
    Flattened,
    /// Only the text stays.
    AsText,
}

/// Which lists stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lists {
    /// Any.
    Any,
    /// Not empty, scalars of one type.
    OneType,
    /// Texts only.
    Texts,
    /// None.
    AsText,
}

/// Which numbers come back as they went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// All that metadata may hold.
    Any,
    /// Integers of 64 bits with sign; doubles.
    I64,
    /// Integers of 64 bits, with or without sign; doubles.
    U64,
    /// Doubles only: integers up to 2^53 stay, since the target writes a whole number without a point.
    Double,
    /// Integers up to 2^53; doubles. For typed fields, whose type tells a whole number's.
    I53,
    /// As Qdrant's parser takes them: integers of 64 bits, floats of at most 15 digits.
    Digits15,
    /// Decimals without exponent, as PostgreSQL's jsonb prints them: integers of any size; floats that keep a digit
    /// behind the point and are no negative zero.
    Decimal,
    /// As Chroma's parser takes them: the same, but integers with sign only and no negative zero.
    SignedDigits15,
}

/// Which keys stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// Any.
    Any,
    /// Not empty and not beginning with `$`.
    NoDollar,
    /// Not empty, without point, not beginning with `$`; at any depth.
    NoDollarNoPoint,
    /// Not blank, without point; at any depth.
    NoPoint,
    /// Not empty, not beginning with `$`, `#` or `chroma:`.
    Chroma,
    /// A letter or `_`, then letters, digits and `_`; at most 255 bytes.
    Identifier,
}

/// Which vectors a collection at the target may have.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct VectorRules {
    /// Element types that dense vectors are stored in; all others are widened to the first.
    pub elements: &'static [Element],
    /// Most elements of a dense vector.
    pub max_dim: usize,
    /// Most dense vectors of a record.
    pub max_dense: usize,
    /// Most sparse vectors of a record.
    pub max_sparse: usize,
    /// True if it has multivectors.
    pub multi: bool,
    /// True if it has bit vectors.
    pub bits: bool,
    /// Metrics of dense vectors.
    pub metrics: &'static [Metric],
    /// True if cosine vectors are brought to unit length when they are stored.
    pub normalises: bool,
}

/// What each record must be. A record that is not can only be left out, by consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRules {
    /// It has every dense vector; where the collection has none, every sparse one.
    pub vector_required: bool,
    /// It has every other vector as well.
    pub every_vector: bool,
    /// No NaN and no infinity.
    pub finite: bool,
    /// No zero vector under cosine.
    pub nonzero_under_cosine: bool,
    /// No zero vector under any metric.
    #[serde(default)]
    pub nonzero: bool,
    /// The square of a cosine vector's length is a number that an f32 holds, so that dividing by the length and
    /// multiplying again gives the vector back.
    #[serde(default)]
    pub norm_in_f32: bool,
    /// Sparse vectors have values.
    #[serde(default)]
    pub sparse_values: bool,
    /// Multivectors have rows.
    pub multi_rows: bool,
    /// Most values of a sparse vector that are not zero.
    pub max_nonzeros: Option<usize>,
    /// Most bytes of the metadata as the target will hold it.
    pub max_metadata_bytes: Option<usize>,
    /// Most bytes of the entries that it can filter by: all but the reserved ones.
    #[serde(default)]
    pub max_native_bytes: Option<usize>,
    /// Most bytes of the document.
    pub max_document_bytes: Option<usize>,
    /// Largest index of a sparse vector.
    #[serde(default)]
    pub max_sparse_index: Option<u32>,
    /// No U+0000 in documents and in namespaces that the target has itself.
    #[serde(default)]
    pub no_nul: bool,
    /// Most bytes of a namespace that the target has itself.
    #[serde(default)]
    pub max_namespace_bytes: Option<usize>,
}

impl Default for IdRules {
    fn default() -> Self {
        IdRules { integers: IntegerIds::U64, texts: TextIds::Uuid }
    }
}

impl MetadataRules {
    /// Any JSON object by value.
    pub const JSON: MetadataRules = MetadataRules {
        nulls: true,
        nested: Nested::Kept,
        lists: Lists::Any,
        numbers: Numbers::Any,
        booleans: true,
        nul: true,
        keys: Keys::Any,
        max_depth: tranship_collection::json::MAX_DEPTH,
        max_value_bytes: None,
    };
    /// Scalars only, under plain keys.
    pub const FLAT: MetadataRules = MetadataRules {
        nulls: false,
        nested: Nested::Flattened,
        lists: Lists::AsText,
        numbers: Numbers::I64,
        ..MetadataRules::JSON
    };
}

impl RowRules {
    /// Any record will do.
    pub const ANY: RowRules = RowRules {
        vector_required: false,
        every_vector: false,
        finite: false,
        nonzero_under_cosine: false,
        nonzero: false,
        norm_in_f32: false,
        sparse_values: false,
        multi_rows: false,
        max_nonzeros: None,
        max_metadata_bytes: None,
        max_native_bytes: None,
        max_document_bytes: None,
        max_sparse_index: None,
        no_nul: false,
        max_namespace_bytes: None,
    };
}

impl Chars {
    /// True if every character of `text` belongs to the set.
    pub fn hold(self, text: &str) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        match self {
            Chars::Any => true,
            Chars::NoNul => !text.contains('\0'),
            Chars::Ascii => text.bytes().all(|b| (0x20..0x7f).contains(&b)),
            Chars::Url => text.bytes().all(plain),
            Chars::UrlBase64 => text.bytes().all(|b| plain(b) || b == b'=') && !text.starts_with('_'),
        }
    }
}

impl Keys {
    /// True if `key` may stand at depth one.
    pub fn hold(self, key: &str) -> bool {
        let dollar = key.is_empty() || key.starts_with('$');
        match self {
            Keys::Any => true,
            Keys::NoDollar => !dollar,
            Keys::NoDollarNoPoint => !dollar && !key.contains('.'),
            Keys::NoPoint => !key.contains('.') && !key.chars().all(|c| c.is_whitespace() || c.is_control()),
            Keys::Chroma => !dollar && !key.starts_with('#') && !key.starts_with("chroma:"),
            Keys::Identifier => is_identifier(key),
        }
    }
}

fn is_identifier(key: &str) -> bool {
    let first = key.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && key.len() <= 255
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Numbers {
    /// True if the JSON number comes back from the target as the same value of the same type.
    pub fn hold(self, text: &str) -> bool {
        let integer = !text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
        match (self, integer) {
            (Numbers::Any, _) | (Numbers::Decimal, true) => true,
            (Numbers::Decimal, false) => decimal_with_digits(text),
            (Numbers::Digits15, false) => float_of_15_digits(text),
            (Numbers::SignedDigits15, false) => float_of_15_digits(text) && !is_negative_zero(text),
            (Numbers::Double, false) => text.parse::<f64>().is_ok_and(|value| value.fract() != 0.0),
            (_, false) => text.parse::<f64>().is_ok_and(f64::is_finite),
            _ if text == "-0" => false,
            (Numbers::I64 | Numbers::SignedDigits15, true) => text.parse::<i64>().is_ok(),
            (Numbers::Double | Numbers::I53, true) => {
                text.parse::<i64>().is_ok_and(|value| value.unsigned_abs() <= 1 << 53)
            }
            (Numbers::U64 | Numbers::Digits15, true) => text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok(),
        }
    }
}

impl Numbers {
    /// True if the target takes the JSON number, be it rounded or as another type; an integer that it has no type for it
    /// refuses.
    pub fn takes(self, text: &str) -> bool {
        let integer = !text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
        match (self, integer) {
            // A numeric has up to 131,072 digits before the point and 16,383 behind it; an f64 needs 1,100 at most.
            (Numbers::Decimal, _) => text.len() <= 4096 && decimals(text).is_some_and(|count| count.abs() <= 8192),
            (Numbers::I64 | Numbers::SignedDigits15, true) => text.parse::<i64>().is_ok(),
            (Numbers::U64, true) => text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok(),
            _ => text.parse::<f64>().is_ok_and(f64::is_finite),
        }
    }
}

/// Digits behind the point once a JSON number is written without exponent; negative for zeros before the point.
fn decimals(text: &str) -> Option<i64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let fraction = mantissa.split_once('.').map_or(0, |(_, digits)| digits.len() as i64);
    Some(fraction.saturating_sub(exponent.parse::<i64>().ok()?))
}

/// jsonb keeps trailing zeros, so a float stays one as long as a digit is left behind the point.
fn decimal_with_digits(text: &str) -> bool {
    let negative_zero = || text.starts_with('-') && text.parse::<f64>() == Ok(0.0);
    Numbers::Decimal.takes(text) && decimals(text).is_some_and(|count| count > 0) && !negative_zero()
}

fn is_negative_zero(text: &str) -> bool {
    text.starts_with('-') && text.parse::<f64>().is_ok_and(|value| value == 0.0)
}

/// Qdrant parses floats by one multiplication or division in f64: few digits and a moderate magnitude survive that.
fn float_of_15_digits(text: &str) -> bool {
    let Ok(value) = text.parse::<f64>() else { return false };
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|b| *b == b'0').collect();
    let significant = digits.iter().rposition(|b| *b != b'0').map_or(0, |last| last + 1);
    value == 0.0 || (significant <= 15 && (1e-7..1e15).contains(&value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_target_would_change_are_recognised() {
        let kept = |rules: Numbers, texts: &[&str]| texts.iter().all(|text| rules.hold(text));
        let changed = |rules: Numbers, texts: &[&str]| !texts.iter().any(|text| rules.hold(text));
        assert!(kept(Numbers::Digits15, &["0", "-1", "18446744073709551615", "1.5", "0.0", "-0.0", "1e3", "3.14e-5"]));
        assert!(changed(Numbers::Digits15, &["-0", "18446744073709551616", "997833.0085806655", "1e22", "1e400"]));
        assert!(kept(Numbers::I64, &["9223372036854775807", "0.1", "1e22"]));
        assert!(changed(Numbers::I64, &["9223372036854775808", "1e400"]));
        assert!(kept(Numbers::SignedDigits15, &["-9223372036854775808", "0.0", "1.5"]));
        assert!(changed(Numbers::SignedDigits15, &["9223372036854775808", "-0.0", "0.12345678901234567"]));
        assert!(kept(Numbers::I53, &["9007199254740992", "1.0"]) && changed(Numbers::I53, &["9007199254740993"]));
        assert!(kept(Numbers::Double, &["9007199254740992", "-3", "0.5"]));
        assert!(changed(Numbers::Double, &["9007199254740993", "1.0", "-0.0", "1e3"]));
        assert!(Numbers::Double.takes("99999999999999999999") && Numbers::I64.takes("-0") && Numbers::U64.takes("0.1"));
        assert!(!Numbers::I64.takes("9223372036854775808") && !Numbers::U64.takes("99999999999999999999"));
        let digits = "123456789012345678901234567890";
        assert!(kept(Numbers::Decimal, &[digits, "-0", "0.0", "1.50", "100e-2", "3.14e-5", "5e-324", "1.25e1"]));
        assert!(changed(
            Numbers::Decimal,
            &["-0.0", "-0.0e-3", "1e3", "0.1e1", "1e22", "0e10", "0.0e-20000", "1e-99999"]
        ));
        assert!(["-0.0", "1e3", "5e-324", "1.7e308"].iter().all(|text| Numbers::Decimal.takes(text)));
        assert!(!["0.0e-20000", "1e-20000", "0e99999999999999999999"].iter().any(|text| Numbers::Decimal.takes(text)));
    }

    #[test]
    fn keys_and_characters_are_sets() {
        assert!(Keys::Identifier.hold("_a1") && !Keys::Identifier.hold("1a") && !Keys::Identifier.hold("a-b"));
        assert!(Keys::NoDollar.hold("a.b") && !Keys::NoDollar.hold("$a") && !Keys::NoDollar.hold(""));
        assert!(!Keys::NoDollarNoPoint.hold("a.b"));
        assert!(Keys::Chroma.hold("a.b") && ["", "$a", "#a", "chroma:a"].iter().all(|key| !Keys::Chroma.hold(key)));
        assert!(Chars::Url.hold("a_b-9") && !Chars::Url.hold("a=") && Chars::UrlBase64.hold("a="));
        assert!(!Chars::Ascii.hold("é") && Chars::Any.hold("\0") && !Chars::NoNul.hold("\0"));
    }
}

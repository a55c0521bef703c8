//! Any JSON number, digit by digit, and the words that stand where a number should.
//!
//! Invariant: accepts exactly the grammar `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?` followed by
//! whitespace, `,` or `]`; values are correctly rounded to `f32`.

use super::{Number, ScanErrorKind, ends_number};

/// Powers of ten that an `f64` holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// As many decimal digits as always fit a `u64`.
const MANTISSA_DIGITS: u32 = 19;

/// The number at `at`: settled in `f64` where possible, else by `fast-float2`.
#[inline(never)]
pub(super) fn number(text: &[u8], at: usize) -> Result<Number, ScanErrorKind> {
    let decimal = Decimal::read(text, at)?;
    match decimal.settle() {
        Some(value) => Ok((value, decimal.end)),
        None => correctly_rounded(&text[at..decimal.end]).map(|value| (value, decimal.end)),
    }
}

/// The number at `at`, always by `fast-float2`.
pub(super) fn number_plain(text: &[u8], at: usize) -> Result<Number, ScanErrorKind> {
    let decimal = Decimal::read(text, at)?;
    correctly_rounded(&text[at..decimal.end]).map(|value| (value, decimal.end))
}

fn correctly_rounded(token: &[u8]) -> Result<f32, ScanErrorKind> {
    match fast_float2::parse::<f32, _>(token) {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(ScanErrorKind::NonFinite),
        Err(_) => Err(ScanErrorKind::NotANumber),
    }
}

/// Rounds to `f32` an `f64` that is within 16384 ulp of the true, non-negative value.
///
/// Gives nothing where that error could decide the rounding: near the middle between two `f32`, and outside
/// the range of normal `f32`, where the middles lie elsewhere.
#[inline(always)]
pub(super) fn narrow(value: f64) -> Option<f32> {
    const ULPS: u64 = 16384;
    const BELOW_F32: u64 = (1 << 29) - 1;
    const MIDDLE: u64 = 1 << 28;
    let in_range = value >= f64::from(f32::MIN_POSITIVE) && value <= f64::from(f32::MAX);
    let from_middle = (value.to_bits() & BELOW_F32).abs_diff(MIDDLE);
    (in_range && from_middle > ULPS).then_some(value as f32)
}

/// A number of the text: `mantissa * 10^exponent`, less the digits beyond the nineteenth.
struct Decimal {
    negative: bool,
    mantissa: u64,
    /// Significant digits in `mantissa`, at most [`MANTISSA_DIGITS`].
    digits: u32,
    exponent: i64,
    end: usize,
}

impl Decimal {
    fn read(text: &[u8], at: usize) -> Result<Self, ScanErrorKind> {
        let negative = text.get(at) == Some(&b'-');
        let mut number = Self { negative, mantissa: 0, digits: 0, exponent: 0, end: at + usize::from(negative) };
        match text.get(number.end) {
            Some(b'0') => number.end += 1,
            Some(b'1'..=b'9') => number.read_digits(text, 0),
            _ => return Err(word_in_place_of_number(&text[at..])),
        }
        if text.get(number.end) == Some(&b'.') {
            number.end += 1;
            digit_at(text, number.end)?;
            number.read_digits(text, -1);
        }
        if let Some(b'e' | b'E') = text.get(number.end) {
            number.end += 1;
            number.read_exponent(text)?;
        }
        match text.get(number.end) {
            Some(&byte) if ends_number(byte) => Ok(number),
            Some(_) => Err(ScanErrorKind::NotANumber),
            None => Err(ScanErrorKind::Truncated),
        }
    }

    /// Takes digits into the mantissa; `place` is -1 where each digit makes the number ten times finer.
    fn read_digits(&mut self, text: &[u8], place: i64) {
        while let Some(&byte @ b'0'..=b'9') = text.get(self.end) {
            let digit = u64::from(byte - b'0');
            if self.digits < MANTISSA_DIGITS {
                self.mantissa = 10 * self.mantissa + digit;
                self.digits += u32::from(self.mantissa != 0);
                self.exponent += place;
            } else {
                self.exponent += place + 1;
            }
            self.end += 1;
        }
    }

    fn read_exponent(&mut self, text: &[u8]) -> Result<(), ScanErrorKind> {
        let negative = text.get(self.end) == Some(&b'-');
        if let Some(b'+' | b'-') = text.get(self.end) {
            self.end += 1;
        }
        digit_at(text, self.end)?;
        let mut size = 0i64;
        while let Some(&byte @ b'0'..=b'9') = text.get(self.end) {
            size = size.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
            self.end += 1;
        }
        let size = if negative { -size } else { size };
        self.exponent = self.exponent.saturating_add(size);
        Ok(())
    }

    /// The `f32` value, if `f64` arithmetic is exact enough to tell: it errs here by less than 3 ulp.
    fn settle(&self) -> Option<f32> {
        let magnitude = if self.mantissa == 0 {
            0.0
        } else {
            let power = *POWERS_OF_TEN.get(usize::try_from(self.exponent.unsigned_abs()).ok()?)?;
            let mantissa = self.mantissa as f64;
            narrow(if self.exponent < 0 { mantissa / power } else { mantissa * power })?
        };
        Some(if self.negative { -magnitude } else { magnitude })
    }
}

fn digit_at(text: &[u8], at: usize) -> Result<(), ScanErrorKind> {
    match text.get(at) {
        Some(b'0'..=b'9') => Ok(()),
        Some(_) => Err(ScanErrorKind::NotANumber),
        None => Err(ScanErrorKind::Truncated),
    }
}

/// What an element is that does not begin like a number.
fn word_in_place_of_number(element: &[u8]) -> ScanErrorKind {
    let unsigned = element.strip_prefix(b"-").or(element.strip_prefix(b"+")).unwrap_or(element);
    let starts = |word: &[u8]| unsigned.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    match element.first() {
        None => ScanErrorKind::Truncated,
        Some(b'[') => ScanErrorKind::NestedArray,
        Some(_) if element.starts_with(b"null") => ScanErrorKind::NullElement,
        Some(_) if starts(b"nan") || starts(b"inf") => ScanErrorKind::NonFinite,
        Some(b'-') if element.len() == 1 => ScanErrorKind::Truncated,
        Some(_) if is_cut_word(element, unsigned) => ScanErrorKind::Truncated,
        Some(_) => ScanErrorKind::NotANumber,
    }
}

/// Whether the text ended inside `null`, `NaN` or an infinity.
fn is_cut_word(element: &[u8], unsigned: &[u8]) -> bool {
    let cut = |word: &str, of: &[u8]| !of.is_empty() && word.as_bytes().starts_with(of);
    cut("null", element) || cut("nan", unsigned) || cut("NaN", unsigned) || cut("Inf", unsigned)
}

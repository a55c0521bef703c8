//! Reads the text of a JSON array of numbers into `f32` values.
//!
//! Invariant: a value is the `f32` nearest to the decimal in the text (ties to even), as
//! `str::parse::<f32>` gives it: parsed straight to `f32`, never rounded twice. The grammar is JSON's
//! (RFC 8259, section 6) without exception, so an array is accepted here exactly when a strict JSON parser
//! accepts it and every element is a number inside the range of `f32`.
//!
//! Offsets are bytes from the start of the text. Everything else ends with a [`ScanError`], and then `out`
//! is as long as it was before.
//!
//! Four paths, each falling back to the next:
//! 1. `runs`: many elements like `-0.0123456789` at once, on CPUs with AVX-512;
//! 2. `swar`: one such element, eight digits per multiplication;
//! 3. `decimal`: any JSON number, digit by digit, scaled in `f64`;
//! 4. `fast-float2`: whatever `f64` cannot settle.

mod decimal;
pub(crate) mod runs;
mod swar;

use std::fmt;

use crate::dispatch::Kernels;

/// Why and where a text is not an array of finite `f32` numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanError {
    /// Byte offset in the text that was given, of the element or character at fault.
    pub at: usize,
    /// What is wrong there.
    pub kind: ScanErrorKind,
}

/// What is wrong at the place of a [`ScanError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanErrorKind {
    /// There is no `[` at the start.
    NotAnArray,
    /// The element is not a JSON number: a string, an object, `01`, `+1`, `1.`, or nothing before `,` or `]`.
    NotANumber,
    /// The element is `NaN` or an infinity, or a number that overflows `f32`, such as `1e39`.
    NonFinite,
    /// The element is itself an array.
    NestedArray,
    /// The element is `null`.
    NullElement,
    /// An element is followed by neither `,` nor `]`.
    MissingComma,
    /// The text ends before the closing `]`.
    Truncated,
}

impl fmt::Display for ScanErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnArray => "expected an array of numbers",
            Self::NotANumber => "element is not a JSON number",
            Self::NonFinite => "element is not a finite f32",
            Self::NestedArray => "element is an array where a number was expected",
            Self::NullElement => "element is null where a number was expected",
            Self::MissingComma => "expected ',' or ']' after an element",
            Self::Truncated => "text ends before the closing ']'",
        })
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.at)
    }
}

impl std::error::Error for ScanError {}

/// Appends the numbers of the array whose `[` is at `text[start]` to `out`, and gives the offset after its `]`.
///
/// Bytes after that `]` are not looked at.
///
/// # Errors
/// [`ScanError`] with the offset in `text`; `out` is then left as it was.
pub fn scan_f32_array(text: &[u8], start: usize, out: &mut Vec<f32>) -> Result<usize, ScanError> {
    scan_f32_array_with(Kernels::detect(), text, start, out)
}

/// [`scan_f32_array`] with chosen kernels.
///
/// # Errors
/// As [`scan_f32_array`].
pub fn scan_f32_array_with(
    kernels: &Kernels,
    text: &[u8],
    start: usize,
    out: &mut Vec<f32>,
) -> Result<usize, ScanError> {
    let run = |text: &[u8], at: usize, out: &mut Vec<f32>| kernels.take_run(text, at, out);
    scan_array(text, start, out, run, |text, at| match swar::number(text, at) {
        Some(number) => Ok(number),
        None => decimal::number(text, at),
    })
}

/// The plain twin of [`scan_f32_array`]: same grammar, every value by `fast-float2`.
///
/// # Errors
/// As [`scan_f32_array`].
pub fn scan_f32_array_plain(text: &[u8], start: usize, out: &mut Vec<f32>) -> Result<usize, ScanError> {
    scan_array(text, start, out, |_, at, _| at, decimal::number_plain)
}

/// A value and the offset after its last character.
type Number = (f32, usize);

/// A run that is shorter was not worth the attempt; the rest of the array is then read element by element.
const SHORTEST_RUN_BYTES: usize = 128;

/// Walks the array and restores `out` on error; `run` reads as many elements as it likes from an offset on and gives the offset
/// of the next one, `number` reads the element at an offset.
#[inline(always)]
fn scan_array(
    text: &[u8],
    start: usize,
    out: &mut Vec<f32>,
    run: impl Fn(&[u8], usize, &mut Vec<f32>) -> usize,
    number: impl Fn(&[u8], usize) -> Result<Number, ScanErrorKind>,
) -> Result<usize, ScanError> {
    let before = out.len();
    let scanned = scan_elements(text, start, out, run, number);
    if scanned.is_err() {
        out.truncate(before);
    }
    scanned
}

#[inline(always)]
fn scan_elements(
    text: &[u8],
    start: usize,
    out: &mut Vec<f32>,
    run: impl Fn(&[u8], usize, &mut Vec<f32>) -> usize,
    number: impl Fn(&[u8], usize) -> Result<Number, ScanErrorKind>,
) -> Result<usize, ScanError> {
    match text.get(start) {
        Some(b'[') => {}
        Some(_) => {
            return Err(ScanError { at: start, kind: ScanErrorKind::NotAnArray });
        }
        None => return Err(truncated(text)),
    }
    let mut at = skip_whitespace(text, start + 1);
    if text.get(at) == Some(&b']') {
        return Ok(at + 1);
    }
    let mut runs = true;
    loop {
        if runs {
            let next = run(text, at, out);
            runs = next - at >= SHORTEST_RUN_BYTES;
            at = skip_whitespace(text, next);
        }
        let (value, end) = number(text, at).map_err(|kind| locate(kind, text, at))?;
        out.push(value);
        at = skip_whitespace(text, end);
        match text.get(at) {
            Some(b',') => at = skip_whitespace(text, at + 1),
            Some(b']') => return Ok(at + 1),
            Some(_) => {
                return Err(ScanError { at, kind: ScanErrorKind::MissingComma });
            }
            None => return Err(truncated(text)),
        }
    }
}

fn locate(kind: ScanErrorKind, text: &[u8], element: usize) -> ScanError {
    match kind {
        ScanErrorKind::Truncated => truncated(text),
        kind => ScanError { at: element, kind },
    }
}

fn truncated(text: &[u8]) -> ScanError {
    ScanError { at: text.len(), kind: ScanErrorKind::Truncated }
}

#[inline(always)]
fn skip_whitespace(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// Whether `byte` may stand directly after a number inside an array.
#[inline(always)]
fn ends_number(byte: u8) -> bool {
    matches!(byte, b',' | b']' | b' ' | b'\n' | b'\r' | b'\t')
}

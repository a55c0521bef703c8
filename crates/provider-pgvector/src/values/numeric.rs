//! The bytes of a numeric as its text.
//!
//! ```text
//! u16 digits | i16 weight | u16 sign | u16 scale | u16 per digit, each 0..9999
//! ```
//! The value is the sum of `digit[i] * 10000^(weight - i)`, shown with `scale` decimals. Big-endian. Signs: 0 positive,
//! 0x4000 negative, 0xC000 NaN, 0xD000 infinity, 0xF000 minus infinity.
//! Source: PostgreSQL `src/backend/utils/adt/numeric.c` (numeric_send, get_str_from_var).

use super::Reason;

/// Most decimals that a numeric can have.
const MAX_SCALE: usize = 0x3fff;

/// The text that PostgreSQL prints.
pub fn text(bytes: &[u8]) -> Result<String, Reason> {
    let wrong = || "not the bytes of a numeric".to_owned();
    let (words, rest) = bytes.as_chunks::<2>();
    let words: Vec<u16> = words.iter().map(|word| u16::from_be_bytes(*word)).collect();
    let [count, weight, sign, scale, digits @ ..] = words.as_slice() else { return Err(wrong()) };
    if !rest.is_empty() || usize::from(*count) != digits.len() || digits.iter().any(|digit| *digit > 9999) {
        return Err(wrong());
    }
    let sign = match sign {
        0 => "",
        0x4000 => "-",
        0xc000 => return Ok("NaN".to_owned()),
        0xd000 => return Ok("Infinity".to_owned()),
        0xf000 => return Ok("-Infinity".to_owned()),
        _ => return Err(wrong()),
    };
    let (weight, scale) = (i32::from(weight.cast_signed()), usize::from(*scale));
    if scale > MAX_SCALE {
        return Err(wrong());
    }
    let digit = |place: i32| usize::try_from(weight - place).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let whole: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", digit(place))).collect();
    let whole = whole.trim_start_matches('0');
    let mut text = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let groups = i32::try_from(scale.div_ceil(4)).unwrap_or(0);
        let fraction: String = (1..=groups).map(|place| format!("{:04}", digit(-place))).collect();
        text.push('.');
        text.push_str(fraction.get(..scale).unwrap_or(&fraction));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Result<String, Reason> {
        let head = [digits.len() as u16, weight.cast_unsigned(), sign, scale];
        let bytes: Vec<u8> = head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect();
        text(&bytes)
    }

    #[test]
    fn digits_are_put_where_the_weight_says() {
        assert_eq!(numeric(0, 0, 16, &[385, 7142, 8571, 4285, 7143]).as_deref(), Ok("385.7142857142857143"));
        assert_eq!(numeric(-1, 0x4000, 2, &[1200]).as_deref(), Ok("-0.12"));
        assert_eq!(numeric(-2, 0, 8, &[5]).as_deref(), Ok("0.00000005"));
        assert_eq!(numeric(2, 0, 0, &[1]).as_deref(), Ok("100000000"));
        assert_eq!(numeric(0, 0, 0, &[]).as_deref(), Ok("0"));
        assert_eq!(numeric(0, 0, 2, &[400]).as_deref(), Ok("400.00"));
        assert_eq!(numeric(0, 0xc000, 0, &[]).as_deref(), Ok("NaN"));
        assert_eq!(numeric(0, 0xf000, 0, &[]).as_deref(), Ok("-Infinity"));
        assert!(numeric(0, 1, 0, &[]).is_err() && numeric(0, 0, 0, &[10000]).is_err());
        assert!(text(&[0, 1, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(text(&[0xff; 9]).is_err());
        assert_eq!(numeric(i16::MAX, 0, 0x3fff, &[1]).unwrap().len(), 131_069 + 1 + 0x3fff);
    }
}

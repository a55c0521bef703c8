//! Times of records as nanoseconds: numbers of any unit, or RFC 3339 text.
//!
//! Invariant: texts compare as the instants that they name, whatever their zone and spelling; no zone is UTC. What is neither has
//! no time. Source: RFC 3339; days from civil dates by the year that begins in March.

use serde_json::Value;

/// Nanoseconds from a number of any unit (times 10^9), or from RFC 3339 text.
pub(super) fn instant(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(i128::from(whole) * 1_000_000_000),
            None => number.as_f64().map(|value| (value * 1e9) as i128),
        },
        Value::String(text) => rfc3339(text),
        _ => None,
    }
}

/// `2026-01-31T23:59:59.5+01:00`; a space may stand for the T, and no zone is UTC.
fn rfc3339(text: &str) -> Option<i128> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-')?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':')?;
    let offset = match zone.as_bytes().first() {
        None | Some(b'Z' | b'z') => 0,
        Some(sign) => {
            let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
            let (hours, minutes) = digits.split_at_checked(2)?;
            let minutes = hours.parse::<i128>().ok()? * 60 + minutes.parse::<i128>().unwrap_or(0);
            if *sign == b'-' { -minutes } else { minutes }
        }
    };
    let nanos: i128 = match fraction {
        "" => 0,
        digits => format!("{digits:0<9}").get(..9)?.parse().ok()?,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    // Days from a civil date, with the year beginning in March.
    let (y, m) = (year - i128::from(month <= 2), (month + 9) % 12);
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1;
    Some((((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1_000_000_000 + nanos)
}

fn numbers(text: &str, between: char) -> Option<[i128; 3]> {
    let parts: Option<Vec<i128>> = text.split(between).map(|part| part.parse().ok().filter(|n| *n >= 0)).collect();
    parts?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ordered_across_zones_and_spellings() {
        let ordered = [
            "1999-12-31T23:59:59Z",
            "2024-02-29T00:30:00+01:00",
            "2024-02-29T00:00:00Z",
            "2024-02-29 00:00:00.000000001",
            "2024-03-01T00:00:00.5Z",
            "2024-02-29T23:30:00-01:00",
        ];
        let times: Vec<i128> = ordered.iter().map(|text| rfc3339(text).unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        assert_eq!(rfc3339("2024-02-29T01:00:00+01:00"), rfc3339("2024-02-29T00:00:00Z"));
        for wrong in ["", "2024", "2024-13-01T00:00:00Z", "2024-01-01", "yesterday at noon!", "2024-01-01T1:2"] {
            assert_eq!(rfc3339(wrong), None, "{wrong}");
        }
    }
}

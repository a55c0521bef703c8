//! Milvus's times as text.
//!
//! A timestamptz is a number of microseconds since 1970 in UTC; its text is RFC 3339, wrapped as `{"$time": ..}`.
//! Source: milvus-io/milvus `pkg/util/timestamptz`.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Appends `{"$time":"2026-01-31T12:00:00.5Z"}`.
pub fn append_timestamptz(micros: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!(r#"{{"$time":"{}"}}"#, rfc3339(micros)).as_bytes());
}

/// RFC 3339 in UTC, with as many digits after the second as are not zero.
pub fn rfc3339(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(MICROS_PER_SECOND), micros.rem_euclid(MICROS_PER_SECOND));
    let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match fraction {
        0 => String::new(),
        _ => format!(".{}", format!("{fraction:06}").trim_end_matches('0')),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of the proleptic Gregorian calendar, `days` after 1 January 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 1 March of year 0, so that the leap day is the last day of a year; eras have 400 years.
    let from_march = days + 719_468;
    let (era, day_of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_text_of_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_500_000, "2000-02-29T00:00:00.5Z"),
            (1_767_225_599_000_000, "2025-12-31T23:59:59Z"),
            (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(micros), text);
        }
        assert!(rfc3339(i64::MIN).starts_with('-') && rfc3339(i64::MAX).ends_with('Z'));
    }
}

//! Dates, times and intervals from their bytes to the text that PostgreSQL prints (`DateStyle` ISO, time zone UTC,
//! `IntervalStyle` postgres).
//!
//! A date is i32 days, a timestamp i64 microseconds since 2000-01-01; the extremes stand for the infinities. A time is
//! i64 microseconds since midnight, with an i32 of seconds west of Greenwich where it has a zone. An interval is i64
//! microseconds, i32 days, i32 months.
//! Source: PostgreSQL `src/backend/utils/adt/{date,timestamp,datetime}.c`.

use std::fmt::Write;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
const DAY: i64 = 86_400_000_000;

/// The text of a date.
pub fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (date, era) = civil(i64::from(days) + EPOCH_DAYS);
            date + era
        }
    }
}

/// The text of a timestamp; `zone` is `+00` or empty.
pub fn timestamp(micros: i64, zone: &str) -> String {
    match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        micros => {
            let (date, era) = civil(micros.div_euclid(DAY) + EPOCH_DAYS);
            format!("{date} {}{zone}{era}", clock(micros.rem_euclid(DAY)))
        }
    }
}

/// The text of a time.
pub fn time(micros: i64) -> String {
    clock(micros.clamp(0, DAY))
}

/// The text of a time with its zone, seconds west.
pub fn time_tz(micros: i64, west: i32) -> String {
    let sign = if west > 0 { '-' } else { '+' };
    let seconds = west.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{}{sign}{hours:02}", time(micros));
    // Writing into a String cannot fail.
    if minutes > 0 || seconds > 0 {
        let _ = write!(text, ":{minutes:02}");
    }
    if seconds > 0 {
        let _ = write!(text, ":{seconds:02}");
    }
    text
}

/// The text of an interval.
pub fn interval(micros: i64, days: i32, months: i32) -> String {
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return "infinity".to_owned(),
        (i64::MIN, i32::MIN, i32::MIN) => return "-infinity".to_owned(),
        _ => {}
    }
    let mut text = String::new();
    let mut before = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if text.is_empty() { "" } else { " " };
        let sign = if before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        let _ = write!(text, "{space}{sign}{value} {unit}{plural}");
        before = value < 0;
    }
    if text.is_empty() || micros != 0 {
        let space = if text.is_empty() { "" } else { " " };
        let sign = match micros < 0 {
            true => "-",
            false if before => "+",
            false => "",
        };
        let _ = write!(text, "{space}{sign}{}", clock_unsigned(micros.unsigned_abs()));
    }
    text
}

/// `HH:MM:SS[.ffffff]`, without zeros at the end.
fn clock(micros: i64) -> String {
    clock_unsigned(micros.unsigned_abs())
}

fn clock_unsigned(micros: u64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text
}

/// The Gregorian date of a day since 1970-01-01, and ` BC` for years before 1.
fn civil(days: i64) -> (String, &'static str) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (year, suffix) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_postgresql_prints_them() {
        assert_eq!(date(0), "2000-01-01");
        assert_eq!(date(-730_119), "0001-01-01");
        assert_eq!(date(-730_120), "0001-12-31 BC");
        assert_eq!(date(i32::MAX), "infinity");
        assert_eq!(date(i32::MAX - 1), "5881610-07-10");
        assert_eq!(timestamp(757_476_245_678_901, "+00"), "2024-01-02 02:04:05.678901+00");
        assert_eq!(timestamp(-1, ""), "1999-12-31 23:59:59.999999");
        assert_eq!(timestamp(i64::MIN, ""), "-infinity");
        assert_eq!(timestamp(-730_120 * DAY, "+00"), "0001-12-31 00:00:00+00 BC");
        assert_eq!(time(DAY), "24:00:00");
        assert_eq!(time_tz(3_600_500_000, -19_800), "01:00:00.5+05:30");
        assert_eq!(time_tz(0, 3600), "00:00:00-01");
        for extreme in [i64::MAX - 1, i64::MIN + 1] {
            timestamp(extreme, "");
            time(extreme);
            interval(extreme, i32::MIN, i32::MIN);
        }
    }

    #[test]
    fn intervals_read_as_postgresql_prints_them() {
        assert_eq!(interval(0, 0, 0), "00:00:00");
        assert_eq!(interval(14_706_000_000, 3, 14), "1 year 2 mons 3 days 04:05:06");
        assert_eq!(interval(-14_706_500_000, 0, 0), "-04:05:06.5");
        assert_eq!(interval(0, 1, -13), "-1 years -1 mons +1 day");
        assert_eq!(interval(1_000_000, -1, 0), "-1 days +00:00:01");
    }
}

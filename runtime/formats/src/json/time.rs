//! Dates and times from text, on the proleptic Gregorian calendar, years 0001 to 9999: what every destination holds.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotTime {
    /// Written in another way than allowed.
    Form,
    /// There is no such day, hour, or year.
    Range,
}

/// `YYYY-MM-DD` → days since 1970.
pub fn date(text: &[u8]) -> Result<i32, NotTime> {
    match text.split_first_chunk() {
        Some((date, [])) => days(date),
        _ => Err(NotTime::Form),
    }
}

/// `YYYY-MM-DD`, `T` or a blank, `HH:MM:SS`, up to nine digits of a fraction, then `Z`, `±HH:MM`, `±HHMM` or nothing
/// (UTC) → microseconds since 1970. Digits beyond microseconds are dropped; second 60 is the next minute's first.
#[inline]
pub fn timestamp(text: &[u8]) -> Result<i64, NotTime> {
    let (date, rest) = text.split_first_chunk::<10>().ok_or(NotTime::Form)?;
    let (clock, rest) = rest.split_first_chunk::<9>().ok_or(NotTime::Form)?;
    let [b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2] = *clock else { return Err(NotTime::Form) };
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return Err(NotTime::Range);
    }
    let (micros, rest) = fraction(rest)?;
    let ahead = i64::from(offset_minutes(rest)?) * 60;
    let seconds = i64::from(hour * 3600 + minute * 60 + second) - ahead;
    let total = (i64::from(days(date)?) * SECONDS_PER_DAY + seconds) * MICROS_PER_SECOND + i64::from(micros);
    in_years(total).ok_or(NotTime::Range)
}

/// Milliseconds since 1970 → microseconds.
pub fn from_epoch_millis(millis: i64) -> Option<i64> {
    millis.checked_mul(1000).and_then(in_years)
}

#[inline]
fn in_years(micros: i64) -> Option<i64> {
    const FIRST: i64 = -62_135_596_800 * MICROS_PER_SECOND; // 0001-01-01T00:00:00Z
    const END: i64 = 253_402_300_800 * MICROS_PER_SECOND; // 10000-01-01T00:00:00Z
    (FIRST..END).contains(&micros).then_some(micros)
}

#[inline]
fn two(tens: u8, ones: u8) -> Result<u32, NotTime> {
    match (tens, ones) {
        (b'0'..=b'9', b'0'..=b'9') => Ok(u32::from(tens - b'0') * 10 + u32::from(ones - b'0')),
        _ => Err(NotTime::Form),
    }
}

#[inline]
fn days(text: &[u8; 10]) -> Result<i32, NotTime> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return Err(NotTime::Form) };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year == 0 || !(1..=12).contains(&month) || !(1..=last).contains(&day) {
        return Err(NotTime::Range);
    }
    // A year that begins in March ends with its leap day, so months have the same lengths in every year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days_from_march_0000 = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    Ok(days_from_march_0000.cast_signed() - 719_468)
}

/// Microseconds, and what follows.
#[inline]
fn fraction(text: &[u8]) -> Result<(u32, &[u8]), NotTime> {
    let Some(text) = text.strip_prefix(b".") else { return Ok((0, text)) };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&digits) {
        return Err(NotTime::Form);
    }
    let micros = (0..6).fold(0, |micros, at| micros * 10 + if at < digits { u32::from(text[at] - b'0') } else { 0 });
    Ok((micros, &text[digits..]))
}

#[inline]
fn offset_minutes(text: &[u8]) -> Result<i32, NotTime> {
    let (sign, hours, minutes) = match *text {
        [] | [b'Z' | b'z'] => return Ok(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            (sign, two(h1, h2)?, two(m1, m2)?)
        }
        _ => return Err(NotTime::Form),
    };
    if hours > 23 || minutes > 59 {
        return Err(NotTime::Range);
    }
    let total = (hours * 60 + minutes).cast_signed();
    Ok(if sign == b'-' { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_moment_is_the_same_moment() {
        let spellings = [
            "2024-02-29T12:30:45.678901Z",
            "2024-02-29t12:30:45.678901z",
            "2024-02-29 12:30:45.678901",
            "2024-02-29T12:30:45.678901999",
            "2024-02-29T14:00:45.678901+01:30",
            "2024-02-29T02:30:45.678901-1000",
            "2024-03-01T00:15:45.678901+11:45",
        ];
        for text in spellings {
            assert_eq!(timestamp(text.as_bytes()), Ok(1_709_209_845_678_901), "{text}");
        }
        assert_eq!(from_epoch_millis(1_709_209_845_678), Some(1_709_209_845_678_000));
        assert_eq!(timestamp(b"1969-12-31T23:59:59.5Z"), Ok(-500_000));
        assert_eq!(timestamp(b"2016-12-31T23:59:60Z"), timestamp(b"2017-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "2024-02-29", "2024-02-29T12:30", "2024-02-29T12:30:45.", "2024-02-29T12:30:45.1234567890"] {
            assert_eq!(timestamp(text.as_bytes()), Err(NotTime::Form), "{text}");
        }
        for text in ["2024-02-29T12:30:45 Z", "2024-02-29T12:30:45+1", "2024-02-29_12:30:45", "+024-02-29T12:30:45Z"] {
            assert_eq!(timestamp(text.as_bytes()), Err(NotTime::Form), "{text}");
        }
        for text in ["2023-02-29T12:30:45Z", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "0000-01-01T00:00:00Z"] {
            assert_eq!(timestamp(text.as_bytes()), Err(NotTime::Range), "{text}");
        }
        assert_eq!(timestamp(b"0001-01-01T00:00:00+00:01"), Err(NotTime::Range));
        assert_eq!(timestamp(b"9999-12-31T23:59:59-00:01"), Err(NotTime::Range));
        assert_eq!(from_epoch_millis(i64::MAX), None);
    }

    #[test]
    fn each_day_is_followed_by_the_next() {
        let mut expected = date(b"0001-01-01").expect("the first day");
        assert_eq!(expected, -719_162);
        for year in 1..=9999 {
            for month in 1..=12 {
                for day in 1..=31 {
                    match date(format!("{year:04}-{month:02}-{day:02}").as_bytes()) {
                        Ok(days) => assert_eq!(days, expected, "{year}-{month}-{day}"),
                        Err(fault) => {
                            assert!(day > 28 && fault == NotTime::Range);
                            continue;
                        }
                    }
                    expected += 1;
                }
            }
        }
        assert_eq!(expected - 1, 2_932_896);
    }
}

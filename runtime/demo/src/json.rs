/// Appends pieces of JSON to a buffer. Callers pass names and texts that need no escaping.
pub struct Json<'a>(pub &'a mut Vec<u8>);

impl Json<'_> {
    pub fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        self.raw(itoa::Buffer::new().format(number))
    }

    /// Cents as units: `12345` is `123.45`.
    pub fn money(&mut self, cents: u64) -> &mut Self {
        self.number(cents / 100).raw(".").two(cents % 100)
    }

    /// Two digits.
    pub fn two(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
        self
    }

    /// Sixteen hexadecimal digits.
    pub fn hex(&mut self, number: u64) -> &mut Self {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digits: [u8; 16] = std::array::from_fn(|at| DIGITS[(number >> (60 - 4 * at) & 15) as usize]);
        self.0.extend_from_slice(&digits);
        self
    }

    /// `2026-11-27T08:15:30.123Z` from milliseconds since 1970; earlier times count as 1970.
    pub fn time(&mut self, millis: i64) -> &mut Self {
        let millis = u64::try_from(millis).unwrap_or(0);
        let (year, month, day) = civil(millis / 86_400_000);
        let (seconds, rest) = (millis / 1000 % 86_400, millis % 1000);
        self.number(year).raw("-").two(month).raw("-").two(day).raw("T");
        self.two(seconds / 3600).raw(":").two(seconds / 60 % 60).raw(":").two(seconds % 60);
        self.raw(".").number(rest / 100).two(rest % 100).raw("Z")
    }
}

/// Year, month and day of a day since 1970. Years begin in March, so that the leap day is their last.
fn civil(day: u64) -> (u64, u64, u64) {
    const FROM_YEAR_ZERO: u64 = 719_468;
    const FOUR_CENTURIES: u64 = 146_097;
    let day = day + FROM_YEAR_ZERO;
    let (era, of_era) = (day / FOUR_CENTURIES, day % FOUR_CENTURIES);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (FOUR_CENTURIES - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year + u64::from(month < 3), month, of_year - (153 * march_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_calendars_have_them() {
        let written = |millis| {
            let mut out = Vec::new();
            Json(&mut out).time(millis);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(written(1_795_766_400_007), "2026-11-27T08:00:00.007Z");
        assert_eq!(written(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(written(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn money_keeps_its_cents() {
        let mut out = Vec::new();
        Json(&mut out).money(5).raw(" ").money(123_450);
        assert_eq!(out, b"0.05 1234.50");
    }
}

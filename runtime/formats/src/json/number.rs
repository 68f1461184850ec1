use super::scanner::Scanner;
use crate::reject::{Reject, Step};

/// Why a number's text is no DECIMAL of a certain precision and scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotDecimal {
    /// It has digits other than zero behind the scale.
    Finer,
    /// It has more digits than the precision allows.
    Larger,
}

/// `value × 10^scale`, from the digits themselves: a DECIMAL never passes through a float.
/// `text` is a JSON number.
pub fn decimal(text: &str, precision: u8, scale: u8) -> Result<i128, NotDecimal> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let leading_zeros = digits().take_while(|digit| *digit == b'0').count();
    let significant = whole.len() + fraction.len() - leading_zeros;
    if significant == 0 {
        return Ok(0);
    }
    // Only an exponent beyond every record's length fails to parse or saturates; its sign alone decides then.
    let beyond = if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
    let exponent: i64 = exponent.parse().unwrap_or(beyond).clamp(i64::MIN / 4, i64::MAX / 4);
    let shift = exponent - fraction.len() as i64 + i64::from(scale);
    let kept = significant as i64 + shift.min(0);
    let behind = digits().skip(leading_zeros).skip(kept.max(0) as usize);
    if shift < 0 && behind.into_iter().any(|digit| digit != b'0') {
        return Err(NotDecimal::Finer);
    }
    if significant as i64 + shift > i64::from(precision) {
        return Err(NotDecimal::Larger);
    }
    let value = digits().skip(leading_zeros).take(kept.max(0) as usize);
    let value = value.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let value = value * 10_i128.pow(shift.max(0) as u32);
    Ok(if negative { -value } else { value })
}

/// A number's unscaled digits and how many of them stand behind the point.
struct Short {
    negative: bool,
    digits: u64,
    fraction: u32,
}

const SHORT_DIGITS_MAX: usize = 18;

/// The usual number, read in one pass: up to 18 digits, no exponent. Otherwise `None` and the scanner where it was.
#[inline]
fn short(scanner: &mut Scanner) -> Option<Short> {
    let rest = scanner.rest();
    let negative = rest.first() == Some(&b'-');
    let start = usize::from(negative);
    let (whole, digits) = leading_digits(&rest[start..], 0);
    let (mut at, mut all, mut fraction) = (start + whole, digits, 0);
    if rest.get(at) == Some(&b'.') {
        (fraction, all) = leading_digits(&rest[at + 1..], digits);
        at += 1 + fraction;
        if fraction == 0 {
            return None;
        }
    }
    let strict = whole == 1 || (whole > 1 && rest[start] != b'0');
    if !strict || whole + fraction > SHORT_DIGITS_MAX || matches!(rest.get(at), Some(b'e' | b'E')) {
        return None;
    }
    scanner.at += at;
    Some(Short { negative, digits: all, fraction: fraction as u32 })
}

/// How many there are, and their value behind that of `before`; too many wrap around.
#[inline]
fn leading_digits(text: &[u8], before: u64) -> (usize, u64) {
    let (mut count, mut value) = (0, before);
    while let Some(digit) = text.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
    }
    (count, value)
}

/// The DECIMAL that stands here.
#[inline]
pub fn read_decimal(scanner: &mut Scanner, precision: u8, scale: u8) -> Step<i128> {
    let start = scanner.at;
    if let Some(Short { negative, digits, fraction }) = short(scanner)
        && fraction <= u32::from(scale)
    {
        let value = i128::from(digits).checked_mul(POWERS[(u32::from(scale) - fraction) as usize]);
        if let Some(value) = value.filter(|value| *value < POWERS[precision as usize]) {
            return Ok(if negative { -value } else { value });
        }
    }
    scanner.at = start;
    let text = scanner.number()?;
    decimal(text, precision, scale).map_err(|fault| out_of_range(fault, precision, scale))
}

/// 10^0 to 10^38.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

#[cold]
pub fn out_of_range(fault: NotDecimal, precision: u8, scale: u8) -> Box<Reject> {
    let expected = match fault {
        NotDecimal::Finer => format!("DECIMAL({precision},{scale}) holds at most {scale} digits behind the point"),
        NotDecimal::Larger => format!("DECIMAL({precision},{scale}) holds at most {precision} digits"),
    };
    Reject::new("out-of-range", expected)
}

/// The BIGINT that stands here; `7.0` and `7e2` are integers too.
#[inline]
pub fn read_integer(scanner: &mut Scanner, expected: &str) -> Step<i64> {
    let start = scanner.at;
    if let Some(Short { negative, digits, fraction: 0 }) = short(scanner) {
        let value = digits.cast_signed();
        return Ok(if negative { -value } else { value });
    }
    scanner.at = start;
    let text = scanner.number()?;
    let value = decimal(text, 38, 0).and_then(|value| i64::try_from(value).map_err(|_| NotDecimal::Larger));
    value.map_err(|fault| match fault {
        NotDecimal::Finer => Reject::new("wrong-type", format!("{expected} expected, a number with a fraction found")),
        NotDecimal::Larger => Reject::new("out-of-range", format!("{expected} holds -2^63 to 2^63-1")),
    })
}

/// The DOUBLE that stands here: the nearest there is.
pub fn read_double(scanner: &mut Scanner) -> Step<f64> {
    let text = scanner.number()?;
    let value: f64 = text.parse().expect("JSON's numbers are a part of what Rust reads");
    if value.is_finite() { Ok(value) } else { Err(Reject::new("out-of-range", "DOUBLE holds up to 1.8e308")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_exact_or_refused() {
        let cases = [
            ("0", 3, 2, Ok(0)),
            ("-0.00", 3, 2, Ok(0)),
            ("1.2", 3, 2, Ok(120)),
            ("-9.99", 3, 2, Ok(-999)),
            ("10", 3, 2, Err(NotDecimal::Larger)),
            ("1.230000", 3, 2, Ok(123)),
            ("1.231", 3, 2, Err(NotDecimal::Finer)),
            ("12.3e-1", 3, 2, Ok(123)),
            ("0.0123e2", 3, 2, Ok(123)),
            ("1e0000000000000000000000000000000000001", 3, 1, Ok(100)),
            ("0e99999999999999999999999", 3, 2, Ok(0)),
            ("1e99999999999999999999999", 3, 2, Err(NotDecimal::Larger)),
            ("1e-99999999999999999999999", 3, 2, Err(NotDecimal::Finer)),
            ("0.10000000000000000000000000000000000001", 38, 38, Ok(10_i128.pow(37) + 1)),
            ("99999999999999999999999999999999999999", 38, 0, Ok(10_i128.pow(38) - 1)),
            ("100000000000000000000000000000000000000", 38, 0, Err(NotDecimal::Larger)),
        ];
        for (text, precision, scale, wanted) in cases {
            assert_eq!(decimal(text, precision, scale), wanted, "{text} as DECIMAL({precision},{scale})");
            let read = read_decimal(&mut Scanner::new(text), precision, scale);
            assert_eq!(read.is_ok().then(|| read.expect("just looked")), wanted.ok(), "{text}, the short way");
        }
    }

    #[test]
    fn integers_reach_both_ends_of_their_range() {
        let read = |text: &str| read_integer(&mut Scanner::new(text), "BIGINT").map_err(|reject| reject.row(0).code);
        assert_eq!(read("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(read("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(read("9223372036854775808"), Err("out-of-range"));
        assert_eq!(read("7.0"), Ok(7));
        assert_eq!(read("7e2"), Ok(700));
        assert_eq!(read("7.5"), Err("wrong-type"));
        assert_eq!(read("-"), Err("not-json"));
        assert_eq!(read("1."), Err("not-json"));
    }
}

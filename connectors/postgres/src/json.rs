//! What `jsonb` cannot hold, though it is JSON.

/// Of `numeric`, which is what its numbers are.
const WHOLE_DIGITS_MAX: i64 = 131_072;
const DIGITS_BEHIND_POINT_MAX: i64 = 16_383;

/// Why the server can never take it.
pub fn unfit(json: &[u8]) -> Option<&'static str> {
    let (mut rest, mut in_text) = (json, false);
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if after.starts_with(b"u0000") => return Some("a text in JSON has a zero byte"),
            b'\\' => rest = after.get(1..).unwrap_or_default(),
            b'0'..=b'9' if !in_text => {
                let digits =
                    after.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
                let length = digits.count();
                if !fits(&json[json.len() - after.len() - 1..][..length + 1]) {
                    return Some("a number in JSON has more digits than numeric");
                }
                rest = &after[length..];
            }
            _ => {}
        }
    }
    None
}

/// Without its sign.
fn fits(number: &[u8]) -> bool {
    let text = std::str::from_utf8(number).unwrap_or_default();
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let whole = whole.trim_start_matches('0').len() as i64;
    let behind = fraction.len() as i64;
    whole.saturating_add(exponent) <= WHOLE_DIGITS_MAX && behind.saturating_sub(exponent) <= DIGITS_BEHIND_POINT_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zero_character_is_found_where_it_is_one() {
        assert!(unfit(br#"{"a":"x\u0000"}"#).is_some() && unfit(br#""\\\u0000""#).is_some());
        assert!(unfit(br#""\\u0000""#).is_none() && unfit(br#""\u0001""#).is_none() && unfit(b"\"\\").is_none());
    }

    #[test]
    fn numbers_are_measured_where_they_are_numbers() {
        let fits = |json: &str| unfit(json.as_bytes()).is_none();
        assert!(fits("[1e131071,-0.5e-16382,1E+5,{\"1e999999\":\"1e999999\"}]") && fits("12345678901234567890.5"));
        assert!(
            !fits("1e131072")
                && !fits("{\"a\":[1,-10e131071]}")
                && !fits("1e-16384")
                && !fits("1e99999999999999999999")
        );
    }
}

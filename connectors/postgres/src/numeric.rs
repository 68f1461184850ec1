//! DECIMAL → PostgreSQL's binary `numeric`: groups of four decimal digits, the most significant first.

const GROUP: u128 = 10_000;
const DIGITS_OF_GROUP: u32 = 4;
const NEGATIVE: u16 = 0x4000;

/// Appends the value `unscaled / 10^scale`, without its length.
pub fn put(out: &mut Vec<u8>, unscaled: i128, scale: u32) {
    let (mut groups, whole_groups) = groups(unscaled.unsigned_abs(), scale);
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    groups.truncate(groups.len() - trailing.min(groups.len()));
    groups.drain(..leading.min(groups.len()));
    let weight = if groups.is_empty() { 0 } else { whole_groups as i16 - 1 - leading as i16 };
    let sign = if unscaled < 0 { NEGATIVE } else { 0 };
    out.extend_from_slice(&(groups.len() as i16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(scale as u16).to_be_bytes());
    groups.iter().for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
}

/// All groups, and how many of them stand before the point.
fn groups(value: u128, scale: u32) -> (Vec<u16>, usize) {
    let (mut whole, mut fraction) = (value / power(scale), value % power(scale));
    let mut groups = Vec::new();
    while whole > 0 {
        groups.push((whole % GROUP) as u16);
        whole /= GROUP;
    }
    groups.reverse();
    let whole_groups = groups.len();
    let mut left = scale;
    while left > 0 {
        let digits = left.min(DIGITS_OF_GROUP);
        left -= digits;
        // The last group is filled up on its right.
        groups.push((fraction / power(left) * power(DIGITS_OF_GROUP - digits)) as u16);
        fraction %= power(left);
    }
    (groups, whole_groups)
}

fn power(of_ten: u32) -> u128 {
    10_u128.pow(of_ten)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the server's own documentation has the format, read back.
    fn text(unscaled: i128, scale: u32) -> String {
        let mut bytes = Vec::new();
        put(&mut bytes, unscaled, scale);
        let word = |at: usize| u16::from_be_bytes([bytes[2 * at], bytes[2 * at + 1]]);
        let (count, weight, sign, dscale) = (word(0), word(1).cast_signed(), word(2), word(3));
        assert_eq!(bytes.len(), 8 + 2 * usize::from(count));
        let group = |power: i16| {
            let at = weight - power;
            if (0..count.cast_signed()).contains(&at) { word(4 + at as usize) } else { 0 }
        };
        let whole: String = (0..=weight.max(0)).rev().map(|power| format!("{:04}", group(power))).collect();
        let fraction: String =
            (1..=dscale.div_ceil(4).cast_signed()).map(|place| format!("{:04}", group(-place))).collect();
        let whole = whole.trim_start_matches('0');
        let sign = if sign == NEGATIVE { "-" } else { "" };
        format!("{sign}{}.{}", if whole.is_empty() { "0" } else { whole }, &fraction[..usize::from(dscale)])
    }

    #[test]
    fn every_digit_stands_where_it_belongs() {
        assert_eq!(text(0, 2), "0.00");
        assert_eq!(text(-1, 0), "-1.");
        assert_eq!(text(1_050, 2), "10.50");
        assert_eq!(text(-12_345_678_905, 5), "-123456.78905");
        assert_eq!(text(7, 9), "0.000000007");
        assert_eq!(text(100_000_000, 0), "100000000.");
        assert_eq!(text(10_000, 4), "1.0000");
        let most = 99_999_999_999_999_999_999_999_999_999_999_999_999;
        assert_eq!(text(most, 38), format!("0.{}", "9".repeat(38)));
        assert_eq!(text(-most, 0), format!("-{}.", "9".repeat(38)));
        assert_eq!(text(most, 18), format!("{}.{}", "9".repeat(20), "9".repeat(18)));
    }
}

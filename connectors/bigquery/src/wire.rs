//! Protobuf's wire format, as far as rows need it.

use prost::encoding::encode_varint;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const DELIMITED: u32 = 2;
const DIGITS_MAX: usize = 39;

/// Number and kind of a field, as they stand in front of each of its values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    bytes: [u8; 5],
    length: u8,
}

impl Tag {
    pub fn new(number: u32, is_delimited: bool, is_fixed: bool) -> Tag {
        let kind = match (is_delimited, is_fixed) {
            (true, _) => DELIMITED,
            (false, true) => FIXED64,
            (false, false) => VARINT,
        };
        let mut made = Vec::with_capacity(5);
        varint(u64::from(number << 3 | kind), &mut made);
        let mut bytes = [0; 5];
        bytes[..made.len()].copy_from_slice(&made);
        Tag { bytes, length: made.len() as u8 }
    }

    #[inline]
    pub fn write(self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.bytes[..usize::from(self.length)]);
    }
}

#[inline]
pub fn varint(value: u64, into: &mut Vec<u8>) {
    if value < 0x80 { into.push(value as u8) } else { encode_varint(value, into) }
}

/// What is written, behind its length.
#[inline]
pub fn delimited(into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = into.len();
    into.push(0);
    write(into);
    let length = into.len() - at - 1;
    if length < 0x80 {
        into[at] = length as u8;
        return;
    }
    // Longer than was thought: what was written moves by the few bytes that its length takes more.
    let end = into.len();
    encode_varint(length as u64, into);
    let more = into.len() - end - 1;
    let mut bytes = [0; 10];
    bytes[..=more].copy_from_slice(&into[end..]);
    into.truncate(end + more);
    into.copy_within(at + 1..end, at + 1 + more);
    into[at..=at + more].copy_from_slice(&bytes[..=more]);
}

/// With all digits behind the point, as in SQL.
pub fn decimal(value: i128, scale: u8, into: &mut Vec<u8>) {
    let (scale, mut digits, mut at) = (usize::from(scale), [b'0'; DIGITS_MAX + 1], DIGITS_MAX + 1);
    let mut left = value.unsigned_abs();
    while left > u128::from(u64::MAX) {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    let mut left = left as u64;
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    // At least one digit before the point.
    at = at.min(DIGITS_MAX - scale);
    if value < 0 {
        into.push(b'-');
    }
    let point = DIGITS_MAX + 1 - scale;
    into.extend_from_slice(&digits[at..point]);
    if scale > 0 {
        into.push(b'.');
        into.extend_from_slice(&digits[point..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::encoding::decode_varint;

    #[test]
    fn what_is_written_stands_behind_its_length_however_long_it_is() {
        for length in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_152] {
            let content: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut bytes = b"before".to_vec();
            delimited(&mut bytes, |into| into.extend_from_slice(&content));
            let mut rest = &bytes[6..];
            assert_eq!(decode_varint(&mut rest).expect("a length"), length as u64);
            assert!(rest == content && bytes.starts_with(b"before"), "{length}");
        }
    }

    #[test]
    fn a_decimal_is_written_with_all_its_digits() {
        let text = |value, scale| {
            let mut bytes = Vec::new();
            decimal(value, scale, &mut bytes);
            String::from_utf8(bytes).expect("digits")
        };
        let most = 10_i128.pow(38) - 1;
        assert_eq!(text(1_250, 2), "12.50");
        assert_eq!(text(-1, 2), "-0.01");
        assert_eq!(text(0, 0), "0");
        assert_eq!(text(0, 3), "0.000");
        assert_eq!(text(-7, 0), "-7");
        assert_eq!(text(most, 0), "9".repeat(38));
        assert_eq!(text(-most, 38), format!("-0.{}", "9".repeat(38)));
        assert_eq!(text(i128::from(u64::MAX) + 1, 1), "1844674407370955161.6");
    }

    #[test]
    fn a_tag_holds_number_and_kind() {
        let bytes = |number, is_delimited, is_fixed| {
            let mut bytes = Vec::new();
            Tag::new(number, is_delimited, is_fixed).write(&mut bytes);
            bytes
        };
        assert_eq!(bytes(1, false, false), [0x08]);
        assert_eq!(bytes(2, true, false), [0x12]);
        assert_eq!(bytes(15, false, true), [0x79]);
        assert_eq!(bytes(2_002, true, false), [0x92, 0x7d]);
    }
}

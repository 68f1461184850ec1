//! Which of two rows of one key is the newer, as the service compares it: sections of hexadecimal digits, each an
//! unsigned number. All have 16 digits, so that the text sorts as the numbers do.

use std::hash::Hasher;
use twox_hash::XxHash64;

const DIGITS: usize = 16;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// One section where 64 bits hold every version of the column, else two. The kind of the column decides, never the
/// value: numbers of unlike shape do not compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    Narrow(i64),
    Wide(i128),
}

/// Where a row comes from. What compares partitions of two topics is arbitrary, and always the same.
pub fn place(topic: &str, partition: i64) -> u64 {
    let mut hash = XxHash64::with_seed(0);
    hash.write(topic.as_bytes());
    (hash.finish() & 0xffff_ffff_0000_0000) | (partition.cast_unsigned() & 0xffff_ffff)
}

/// `<version>/<place>/<offset>`
pub fn write(version: Version, place: u64, offset: i64, into: &mut Vec<u8>) {
    match version {
        Version::Narrow(version) => section(rising(version), into),
        Version::Wide(version) => {
            let version = version.cast_unsigned() ^ (1 << 127);
            section((version >> 64) as u64, into);
            into.push(b'/');
            section(version as u64, into);
        }
    }
    into.push(b'/');
    section(place, into);
    into.push(b'/');
    section(rising(offset), into);
}

/// Bytes of one of them.
pub fn length(version: Version) -> usize {
    let sections = if matches!(version, Version::Narrow(_)) { 3 } else { 4 };
    sections * (DIGITS + 1) - 1
}

/// Negative numbers before positive ones, as unsigned numbers.
fn rising(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}

fn section(number: u64, into: &mut Vec<u8>) {
    let mut digits = [0; DIGITS];
    for (at, digit) in digits.iter_mut().enumerate() {
        *digit = HEX[(number >> (60 - 4 * at)) as usize & 15];
    }
    into.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: Version, place: u64, offset: i64) -> String {
        let mut bytes = Vec::new();
        write(version, place, offset, &mut bytes);
        assert_eq!(bytes.len(), length(version));
        String::from_utf8(bytes).expect("digits")
    }

    /// As the service is documented to compare.
    fn sections(text: &str) -> Vec<u64> {
        text.split('/').map(|section| u64::from_str_radix(section, 16).expect("at most 16 digits")).collect()
    }

    fn rises(all: &[String]) {
        for two in all.windows(2) {
            assert!(two[0] < two[1] && sections(&two[0]) < sections(&two[1]), "{two:?}");
            assert_eq!(two[0].len(), two[1].len());
        }
    }

    #[test]
    fn a_greater_version_is_a_greater_number_also_where_it_is_negative_or_extreme() {
        let versions = [i64::MIN, i64::MIN + 1, -(1 << 32), -16, -1, 0, 1, 15, 16, 1 << 32, i64::MAX - 1, i64::MAX];
        rises(&versions.map(|version| text(Version::Narrow(version), 7, 7)));
        let most = 10_i128.pow(38) - 1;
        let versions = [i128::MIN, -most, -(1 << 64), -(1 << 63) - 1, -1, 0, 1, 1 << 63, (1 << 64) - 1, 1 << 64, most];
        rises(&versions.map(|version| text(Version::Wide(version), 7, 7)));
    }

    #[test]
    fn the_version_decides_before_the_place_and_the_place_before_the_offset() {
        let at = |version, partition, offset| text(Version::Narrow(version), place("orders", partition), offset);
        rises(&[
            at(-5, 9, 9),
            at(-4, 0, 0),
            at(-4, 0, 1),
            at(-4, 0, i64::MAX),
            at(-4, 1, 0),
            at(-4, 15, 0),
            at(3, 0, 0),
        ]);
    }

    #[test]
    fn no_two_places_are_alike() {
        let all = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 1_000_000)].map(|(topic, at)| place(topic, at));
        assert!((1..all.len()).all(|at| !all[..at].contains(&all[at])));
        assert_eq!(place("orders", 3), place("orders", 3));
    }

    #[test]
    fn it_is_written_as_it_always_was() {
        let golden = "8000000000000001/8fcbf6e700000002/8000000000000003";
        let place = 0x8fcb_f6e7_0000_0002;
        assert_eq!(text(Version::Narrow(1), place, 3), golden);
        let wide = text(Version::Wide(-1), place, 3);
        assert_eq!(wide, "7fffffffffffffff/ffffffffffffffff/8fcbf6e700000002/8000000000000003");
    }
}

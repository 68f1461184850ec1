use std::fmt::Write;
use std::hash::Hasher;
use twox_hash::XxHash64;

/// What Hive, Spark, DuckDB and others read as null.
pub const NULL: &str = "__HIVE_DEFAULT_PARTITION__";
/// Where it is a folder's whole name, without `column=` before it.
pub const NULL_AS_FOLDER: &str = "%5F_HIVE_DEFAULT_PARTITION__";

const BYTES_MAX: usize = 150;

/// A value as a part of a key: no slash, no `..`, nothing that a store or a shell takes for something else. Two
/// values never come to the same text, but for null and nothing.
pub fn escape(value: &str) -> String {
    if value.is_empty() {
        return NULL.to_owned();
    }
    let mut out = String::with_capacity(value.len());
    for (index, byte) in value.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'-';
        // At the beginning, a dot or an underscore hides a folder from query engines.
        if plain || (index > 0 && (byte == b'.' || byte == b'_')) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes all");
        }
    }
    if out.len() > BYTES_MAX {
        let mut hash = XxHash64::with_seed(0);
        hash.write(value.as_bytes());
        out.truncate(BYTES_MAX);
        // Not within an escape.
        if let Some(at) = out[BYTES_MAX - 2..].find('%') {
            out.truncate(BYTES_MAX - 2 + at);
        }
        write!(out, "%00{:016x}", hash.finish()).expect("a String takes all");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_leaves_its_folder() {
        assert_eq!(escape("DE"), "DE");
        assert_eq!(escape(".."), "%2E.");
        assert_eq!(escape("../../etc/passwd"), "%2E.%2F..%2Fetc%2Fpasswd");
        assert_eq!(escape("a b"), "a%20b");
        assert_eq!(escape("_x"), "%5Fx");
        assert_eq!(escape("ü"), "%C3%BC");
        assert_eq!(escape(""), NULL);
        assert_eq!(escape(NULL), "%5F_HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn a_long_value_is_cut_and_still_its_own() {
        let (one, two) = ("é".repeat(500) + "1", "é".repeat(500) + "2");
        assert!(escape(&one).len() <= BYTES_MAX + 20);
        assert_ne!(escape(&one), escape(&two));
        for length in 140..160 {
            let text = escape(&format!("{}é/é/é/é/é/é/é", "a".repeat(length)));
            let escapes = text.split('%').skip(1);
            assert!(escapes.into_iter().all(|rest| rest.len() >= 2 && rest.is_char_boundary(2)), "{text}");
        }
    }
}

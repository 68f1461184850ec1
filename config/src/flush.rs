use crate::{limits, section::Section};
use std::time::Duration;

/// What seals a batch, whichever comes first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flush {
    pub rows: u64,
    /// Of raw records.
    pub bytes: u64,
    pub age: Duration,
}

impl Default for Flush {
    fn default() -> Flush {
        let (rows, bytes) = (limits::FLUSH_ROWS_DEFAULT, limits::FLUSH_BYTES_DEFAULT);
        Flush { rows, bytes, age: limits::FLUSH_AGE_DEFAULT }
    }
}

pub fn flush(connector: &Section<'_>) -> Flush {
    let default = Flush::default();
    let Some(section) = connector.section("flush", &["rows", "bytes", "age"]) else { return default };
    Flush {
        rows: section.number("rows", limits::FLUSH_ROWS, default.rows),
        bytes: section.size("bytes", limits::FLUSH_BYTES, default.bytes),
        age: section.duration("age", limits::FLUSH_AGE, default.age),
    }
}

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

/// What was said of it; all else is as it was.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlushChange {
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    pub age: Option<Duration>,
}

impl FlushChange {
    pub fn over(&self, flush: &Flush) -> Flush {
        Flush {
            rows: self.rows.unwrap_or(flush.rows),
            bytes: self.bytes.unwrap_or(flush.bytes),
            age: self.age.unwrap_or(flush.age),
        }
    }
}

pub fn flush_change(parent: &Section<'_>) -> FlushChange {
    let default = Flush::default();
    let Some(section) = parent.section("flush", &["rows", "bytes", "age"]) else { return FlushChange::default() };
    FlushChange {
        rows: section.get("rows").map(|_| section.number("rows", limits::FLUSH_ROWS, default.rows)),
        bytes: section.get("bytes").map(|_| section.size("bytes", limits::FLUSH_BYTES, default.bytes)),
        age: section.get("age").map(|_| section.duration("age", limits::FLUSH_AGE, default.age)),
    }
}

//! Raw records → Arrow columns, and columns → files.
//!
//! [`JsonDecoder`] reads JSON by a connector's declared model:
//!
//! | column | reads | else |
//! |---|---|---|
//! | BIGINT | a number without a fraction; `7.0` and `7e2` count | |
//! | DOUBLE | a number; the nearest double | beyond 1.8e308: `out-of-range` |
//! | BOOLEAN | `true`, `false` | |
//! | VARCHAR | a string | |
//! | DATE | `"YYYY-MM-DD"` | |
//! | TIMESTAMP | a moment as a string or a number, see below | years other than 0001 to 9999: `out-of-range` |
//! | DECIMAL(p,s) | a number, or a string that holds one; exact | more digits: `out-of-range`; zeros are none |
//! | STRUCT | an object; fields that it does not name are skipped, missing ones are null | |
//! | ARRAY | an array | |
//! | MAP | an object | |
//! | JSON | any value: its text as it came; `null` is null | |
//!
//! A moment is `YYYY-MM-DDTHH:MM:SS` with `T` or a blank, up to nine digits of a fraction (those beyond microseconds
//! are dropped), and `Z`, `±HH:MM`, `±HHMM` or nothing, which means UTC; or whole milliseconds since 1970 as a number.
//!
//! Whatever is written otherwise is `wrong-type`. `null` and a missing field are null; in a required column they are
//! `missing-required`. Of a key that an object repeats, the last counts (each must fit); in MAP as well. `_unknown`
//! holds the unknown fields of the top level as they came, repeated ones too. Two columns may read the same field, or
//! one the object and another a field within.
//!
//! Codes of rejected records: `null-payload`, `empty-payload`, `too-large`, `registry-payload`, `not-utf8`, `not-json`,
//! `not-an-object`, `too-deep`, `wrong-type`, `out-of-range`, `missing-required`, `unknown-field`. A record that has
//! several faults is rejected for the first that is met. Messages name fields, never values.

//!
//! A filtered model (`Model::filtered`) skips what it leaves out, whatever stands there, and delivers a hashed VARCHAR
//! as the lower-case hexadecimal SHA-256 of its UTF-8 bytes; null stays null.
//!
//! [`FieldPath`] finds one scalar of a raw record, for routing, without reading the rest.

mod json;
pub mod ndjson;
pub mod parquet;
mod reject;
mod schema;

pub use json::{DEPTH_MAX, FieldPath, FieldPathError, JsonDecoder, RECORD_BYTES_MAX};
pub use ndjson::{NdjsonCompression, NdjsonOptions};
pub use parquet::{ParquetCompression, ParquetOptions};
pub use schema::{is_json, sql_type};

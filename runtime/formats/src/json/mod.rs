//! Raw JSON records → columns, in one pass over the bytes.

mod blocks;
mod column;
mod decoder;
mod field_path;
mod keys;
mod lineage;
mod nested;
mod number;
mod record;
mod scanner;
mod shape;
mod time;

pub use decoder::{JsonDecoder, RECORD_BYTES_MAX};
pub use field_path::{FieldPath, FieldPathError};
pub use scanner::DEPTH_MAX;

use crate::Rows;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

/// Raw records → columns, by a connector's declared model. Pure: the same rows give the same columns, at any time,
/// on any machine; a batch that is read again after a crash must come out as it did before.
pub trait Decoder: Send + Sync {
    fn schema(&self) -> SchemaRef;

    /// Columns of the rows that fit, in their order; and those that do not. Every row is in exactly one of the two.
    fn decode(&self, rows: &Rows) -> Decoded;
}

pub struct Decoded {
    /// One batch, or several of at least some ten thousand rows.
    pub batches: Vec<RecordBatch>,
    /// Rising by index.
    pub rejected: Vec<RejectedRow>,
}

/// A poison record is an answer, not an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RejectedRow {
    /// Index into the [`Rows`] that were given.
    pub index: usize,
    /// Stable, kebab-case: `not-json`, `wrong-type`, `missing-required`, …
    pub code: &'static str,
    /// For the dead letter's header: which field, what was expected. At most 500 bytes.
    pub message: String,
}

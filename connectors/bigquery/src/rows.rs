//! A batch → requests with rows, each as Arrow's own message of a record batch.

use crate::{
    arrays::{converted, others, with_null_elements},
    types::{Column, schema},
};
use arrow_array::RecordBatch;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message};
use arrow_schema::{ArrowError, Schema};
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use outflow_api::{BatchId, Encoded, Fault, Piece, SealedBatch};
use std::{ops::Range, sync::Arc};

/// One piece is one request. Its name ends in the piece's number.
pub fn encode(batch: &SealedBatch, columns: &[Column], request_bytes_max: usize) -> Result<Encoded, Fault> {
    let mut requests = Requests { id: batch.id, bytes_max: request_bytes_max, encoded: Encoded::default() };
    let schema = schema(columns);
    let mut first = 0;
    for rows in &batch.batches {
        let kept = requests.without_null_elements(rows, columns, first);
        let shaped = shape(kept.rows.as_ref().unwrap_or(rows), columns, &schema)?;
        requests.cut(&shaped, &kept)?;
        first += rows.num_rows();
    }
    requests.encoded.rejected.sort_by_key(|(row, _)| *row);
    Ok(requests.encoded)
}

/// Indices of rows in the batch, and why each can never be taken.
type Refused = Vec<(usize, String)>;

/// All rows as BigQuery takes them, and those that it never takes.
pub fn shaped(batch: &SealedBatch, columns: &[Column]) -> Result<(Vec<RecordBatch>, Refused), Fault> {
    let mut requests = Requests { id: batch.id, bytes_max: usize::MAX, encoded: Encoded::default() };
    let (schema, mut first, mut shaped) = (schema(columns), 0, Vec::new());
    for rows in &batch.batches {
        let kept = requests.without_null_elements(rows, columns, first);
        shaped.push(shape(kept.rows.as_ref().unwrap_or(rows), columns, &schema)?);
        first += rows.num_rows();
    }
    Ok((shaped, requests.encoded.rejected))
}

fn shape(rows: &RecordBatch, columns: &[Column], schema: &Arc<Schema>) -> Result<RecordBatch, Fault> {
    let arrays = rows.columns().iter().zip(columns).map(|(array, column)| converted(array, column));
    RecordBatch::try_new(Arc::clone(schema), arrays.collect()).map_err(broken)
}

/// As the first request of a connection has it.
pub fn schema_message(columns: &[Column]) -> Result<Bytes, Fault> {
    message_of_schema(&schema(columns)).map_err(broken)
}

fn broken(error: ArrowError) -> Fault {
    Fault::halt("rows-not-encoded", "the rows of a batch do not fit its own schema: this is a bug").because(error)
}

struct Requests {
    id: BatchId,
    bytes_max: usize,
    encoded: Encoded,
}

/// Rows of one record batch that go on.
struct Kept {
    /// None: all of them.
    rows: Option<RecordBatch>,
    /// In the whole batch, of each row.
    indices: Indices,
}

enum Indices {
    From(usize),
    Each(Vec<usize>),
}

impl Indices {
    fn of(&self, row: usize) -> usize {
        match self {
            Indices::From(first) => first + row,
            Indices::Each(indices) => indices[row],
        }
    }
}

impl Requests {
    fn without_null_elements(&mut self, rows: &RecordBatch, columns: &[Column], first: usize) -> Kept {
        let found = rows.columns().iter().zip(columns);
        let found = found.filter_map(|(array, column)| Some((with_null_elements(array)?, &column.name)));
        let found: Vec<_> = found.filter(|(rows, _)| rows.count_set_bits() > 0).collect();
        let Some(all) = found.iter().map(|(rows, _)| rows.clone()).reduce(|one, other| &one | &other) else {
            return Kept { rows: None, indices: Indices::From(first) };
        };
        for row in all.set_indices() {
            let name = found.iter().find(|(rows, _)| rows.value(row)).map_or("", |(_, name)| name.as_str());
            let why = format!("{name}: an array holds null, and BigQuery's arrays hold none");
            self.encoded.rejected.push((first + row, why));
        }
        let indices = (0..rows.num_rows()).filter(|row| !all.value(*row)).map(|row| first + row).collect();
        let rows = filter_record_batch(rows, &others(&all)).expect("one flag for each row");
        Kept { rows: Some(rows), indices: Indices::Each(indices) }
    }

    /// Into requests of about the same size, none too large.
    fn cut(&mut self, rows: &RecordBatch, kept: &Kept) -> Result<(), Fault> {
        let bytes: usize =
            rows.columns().iter().map(|array| array.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        let count = rows.num_rows();
        let requests = bytes.div_ceil(self.bytes_max).max(1);
        let step = count.div_ceil(requests).max(1);
        (0..count).step_by(step).try_for_each(|from| self.push(rows, from..(from + step).min(count), kept))
    }

    fn push(&mut self, all: &RecordBatch, rows: Range<usize>, kept: &Kept) -> Result<(), Fault> {
        let message = message(&all.slice(rows.start, rows.len())).map_err(broken)?;
        if message.len() <= self.bytes_max {
            let name = format!("{}/{}", self.id, self.encoded.pieces.len());
            self.encoded.pieces.push(Piece { name, rows: rows.len() as u64, bytes: vec![message] });
            return Ok(());
        }
        if rows.len() == 1 {
            let (bytes, most) = (message.len(), self.bytes_max);
            let why = format!("the row takes {bytes} bytes, and a request to BigQuery has at most {most}");
            self.encoded.rejected.push((kept.indices.of(rows.start), why));
            return Ok(());
        }
        let middle = rows.start + rows.len() / 2;
        self.push(all, rows.start..middle, kept)?;
        self.push(all, middle..rows.end, kept)
    }
}

fn message(rows: &RecordBatch) -> Result<Bytes, ArrowError> {
    let (options, mut context) = (IpcWriteOptions::default(), IpcWriteContext::default());
    let mut dictionaries = DictionaryTracker::new(false);
    let (_, encoded) = IpcDataGenerator::default().encode(rows, &mut dictionaries, &options, &mut context)?;
    let mut bytes = Vec::with_capacity(encoded.arrow_data.len() + encoded.ipc_message.len() + 64);
    write_message(&mut bytes, encoded, &options)?;
    Ok(bytes.into())
}

fn message_of_schema(schema: &Schema) -> Result<Bytes, ArrowError> {
    let (options, mut dictionaries) = (IpcWriteOptions::default(), DictionaryTracker::new(false));
    let generator = IpcDataGenerator::default();
    let encoded = generator.schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, &options);
    let mut bytes = Vec::new();
    write_message(&mut bytes, encoded, &options)?;
    Ok(bytes.into())
}

//! A batch → requests with changed rows, each as the service's own message of serialized rows.

use crate::{
    arrays::with_null_elements,
    cells::{self, Cells},
    sequence::{self, Version},
    types::{Column, Kind},
    upsert::Upsert,
    wire::{Tag, delimited, varint},
};
use arrow_array::{
    Array, BooleanArray, Int64Array, RecordBatch, StringArray,
    cast::AsArray,
    types::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType},
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use outflow_api::{BatchId, Encoded, Piece, SealedBatch};

/// Decimals of so many digits are 64-bit numbers.
const NARROW_DIGITS: u8 = 18;
/// In front of each row.
const ROWS_FIELD: u32 = 1;

/// One piece is one request. Its name ends in the piece's number.
///
/// # Panics
/// If the rows are not of the columns' model.
pub fn encode(batch: &SealedBatch, columns: &[Column], upsert: &Upsert, bytes_max: usize) -> Encoded {
    let mut requests = Requests { id: batch.id, bytes_max, bytes: Vec::new(), rows: 0, encoded: Encoded::default() };
    let mut first = 0;
    for rows in &batch.batches {
        Rows::of(rows, columns, upsert).write(first, &mut requests);
        first += rows.num_rows();
    }
    requests.close();
    requests.encoded
}

/// One record batch.
struct Rows<'a> {
    cells: Vec<Cells<'a>>,
    count: usize,
    /// Rows that cannot go, by the reason.
    refused: Vec<(BooleanBuffer, String)>,
    deleted: Option<&'a BooleanArray>,
    versions: Versions<'a>,
    topics: &'a StringArray,
    partitions: &'a Int64Array,
    offsets: &'a Int64Array,
    change_type: Tag,
    change_sequence_number: Tag,
}

enum Versions<'a> {
    Narrow(&'a [i64]),
    Days(&'a [i32]),
    Decimal { values: &'a [i128], is_wide: bool },
}

impl<'a> Rows<'a> {
    fn of(rows: &'a RecordBatch, columns: &[Column], upsert: &Upsert) -> Rows<'a> {
        let arrays = || rows.columns().iter().map(|array| &**array);
        let array = |at: usize| &**rows.column(at);
        let mut refused: Vec<(BooleanBuffer, String)> = Vec::new();
        for at in &upsert.key {
            let why = format!("{}: without the key no row is named", columns[*at].name);
            refused.extend(nulls(array(*at)).map(|rows| (rows, why)));
        }
        let why = format!("{}: without a version a row is neither newer nor older", columns[upsert.version].name);
        refused.extend(nulls(array(upsert.version)).map(|rows| (rows, why)));
        for (array, column) in arrays().zip(columns) {
            let why = format!("{}: an array holds null, and BigQuery's arrays hold none", column.name);
            refused.extend(with_null_elements(array).map(|rows| (rows, why)));
        }
        refused.retain(|(rows, _)| rows.count_set_bits() > 0);
        let number = columns.len() as u32;
        Rows {
            cells: cells::of(arrays(), columns),
            count: rows.num_rows(),
            refused,
            deleted: upsert.deleted.map(|at| array(at).as_boolean()),
            versions: Versions::of(array(upsert.version), &columns[upsert.version].kind),
            topics: array(upsert.topic).as_string(),
            partitions: array(upsert.partition).as_primitive::<Int64Type>(),
            offsets: array(upsert.offset).as_primitive::<Int64Type>(),
            change_type: Tag::new(number + 1, true, false),
            change_sequence_number: Tag::new(number + 2, true, false),
        }
    }

    fn write(&self, first: usize, requests: &mut Requests) {
        let mut known: Option<(&str, i64, u64)> = None;
        for row in 0..self.count {
            if let Some((_, why)) = self.refused.iter().find(|(rows, _)| rows.value(row)) {
                requests.encoded.rejected.push((first + row, why.clone()));
                continue;
            }
            let (topic, partition) = (self.topics.value(row), self.partitions.value(row));
            let place = match known {
                Some((same, at, place)) if at == partition && same == topic => place,
                _ => sequence::place(topic, partition),
            };
            known = Some((topic, partition, place));
            requests.push(first + row, |into| self.write_row(row, place, into));
        }
    }

    fn write_row(&self, row: usize, place: u64, into: &mut Vec<u8>) {
        self.cells.iter().for_each(|cells| cells.write(row, into));
        let is_gone = self.deleted.is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row));
        let change = if is_gone { b"DELETE" } else { b"UPSERT" };
        self.change_type.write(into);
        varint(change.len() as u64, into);
        into.extend_from_slice(change);
        let version = self.versions.of_row(row);
        self.change_sequence_number.write(into);
        varint(sequence::length(version) as u64, into);
        sequence::write(version, place, self.offsets.value(row), into);
    }
}

fn nulls(array: &dyn Array) -> Option<BooleanBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0).map(NullBuffer::inner).map(|valid| !valid)
}

impl<'a> Versions<'a> {
    fn of(array: &'a dyn Array, kind: &Kind) -> Versions<'a> {
        match kind {
            Kind::Timestamp => Versions::Narrow(array.as_primitive::<TimestampMicrosecondType>().values()),
            Kind::Date => Versions::Days(array.as_primitive::<Date32Type>().values()),
            Kind::Numeric { precision, .. } | Kind::BigNumeric { precision, .. } => {
                let values = array.as_primitive::<Decimal128Type>().values();
                Versions::Decimal { values, is_wide: *precision > NARROW_DIGITS }
            }
            _ => Versions::Narrow(array.as_primitive::<Int64Type>().values()),
        }
    }

    fn of_row(&self, row: usize) -> Version {
        match self {
            Versions::Narrow(values) => Version::Narrow(values[row]),
            Versions::Days(values) => Version::Narrow(i64::from(values[row])),
            Versions::Decimal { values, is_wide: true } => Version::Wide(values[row]),
            Versions::Decimal { values, is_wide: false } => Version::Narrow(values[row] as i64),
        }
    }
}

struct Requests {
    id: BatchId,
    bytes_max: usize,
    /// Of the request that is being filled.
    bytes: Vec<u8>,
    rows: u64,
    encoded: Encoded,
}

impl Requests {
    fn push(&mut self, index: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        Tag::new(ROWS_FIELD, true, false).write(&mut self.bytes);
        delimited(&mut self.bytes, write);
        let row = self.bytes.len() - before;
        if row > self.bytes_max {
            self.bytes.truncate(before);
            let most = self.bytes_max;
            let why = format!("the row takes {row} bytes, and a request to BigQuery has at most {most}");
            self.encoded.rejected.push((index, why));
            return;
        }
        if self.bytes.len() > self.bytes_max {
            let next = self.bytes.split_off(before);
            self.close();
            self.bytes = next;
        }
        self.rows += 1;
    }

    fn close(&mut self) {
        if self.rows == 0 {
            return;
        }
        let name = format!("{}/{}", self.id, self.encoded.pieces.len());
        let (mut bytes, rows) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.rows));
        bytes.shrink_to_fit();
        self.encoded.pieces.push(Piece { name, rows, bytes: vec![bytes.into()] });
    }
}

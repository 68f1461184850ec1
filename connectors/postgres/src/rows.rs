//! Columns → rows as `COPY … WITH (FORMAT binary)` takes them.

use crate::{
    json, numeric,
    types::{Column, Kind},
    upsert::KEY_BYTES_MAX,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, cast::AsArray,
};
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use outflow_api::Fault;
use outflow_formats::{NdjsonOptions, ndjson};
use std::{collections::BTreeMap, sync::Arc};

const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const CHUNK_BYTES: usize = 256 << 10;
const NULL: i32 = -1;
const JSONB_VERSION: u8 = 1;
/// From 1970 to 2000, where the server counts from.
const DAYS: i64 = 10_957;
const MICROS: i64 = DAYS * 86_400_000_000;
/// Julian day 0, which is the server's first one, and its last; in days from 2000.
const DAY_MIN: i64 = -2_451_545;
const DAY_MAX: i64 = 2_145_031_948;
/// From 2000.
const MICROS_MIN: i64 = -211_813_488_000_000_000;

pub struct Copied {
    pub chunks: Vec<Bytes>,
    pub rows: u64,
    /// Indices of rows over all batches, with the reason.
    pub rejected: Vec<(usize, String)>,
}

/// `id`: of the batch, in a column of its own behind the others.
pub fn copy(batches: &[RecordBatch], columns: &[Column], id: &[u8; 16]) -> Result<Copied, Fault> {
    let mut out = Out { chunks: Vec::new(), open: HEAD.to_vec() };
    let (mut rejected, mut rows, mut first) = (BTreeMap::new(), 0, 0);
    for batch in batches {
        let values = batch.columns().iter().zip(columns).map(|(array, column)| Values::of(array, &column.kind));
        let values = values.collect::<Result<Vec<Values<'_>>, Fault>>()?;
        for row in 0..batch.num_rows() {
            if let Some(why) = unfit(&values, columns, row) {
                rejected.insert(first + row, why);
                continue;
            }
            rows += 1;
            out.open.extend_from_slice(&(columns.len() as i16 + 1).to_be_bytes());
            values.iter().for_each(|values| values.put(row, &mut out.open));
            out.put_whole(id);
            out.cut();
        }
        first += batch.num_rows();
    }
    out.open.extend_from_slice(&(-1_i16).to_be_bytes());
    out.chunks.push(out.open.into());
    Ok(Copied { chunks: out.chunks, rows, rejected: rejected.into_iter().collect() })
}

/// Why the server can never take this row.
fn unfit(values: &[Values<'_>], columns: &[Column], row: usize) -> Option<String> {
    let mut key_bytes = 0;
    for (values, column) in values.iter().zip(columns) {
        let why = match values {
            _ if values.is_null(row) => column.required.then_some("a row needs a value here"),
            values => values.unfit(row),
        };
        if let Some(why) = why {
            return Some(format!("column {:?}: {why}", column.name));
        }
        if let (true, Values::Text(array)) = (column.in_key, values) {
            key_bytes += array.value(row).len();
        }
    }
    (key_bytes > KEY_BYTES_MAX).then(|| format!("a key of {key_bytes} bytes; at most {KEY_BYTES_MAX} are indexed"))
}

struct Out {
    chunks: Vec<Bytes>,
    open: Vec<u8>,
}

impl Out {
    fn put_whole(&mut self, value: &[u8]) {
        put(&mut self.open, value);
    }

    fn cut(&mut self) {
        if self.open.len() >= CHUNK_BYTES {
            self.chunks.push(std::mem::take(&mut self.open).into());
        }
    }
}

fn put(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&(value.len() as i32).to_be_bytes());
    out.extend_from_slice(value);
}

/// One column of a batch.
enum Values<'a> {
    BigInt(&'a Int64Array),
    Double(&'a Float64Array),
    Boolean(&'a BooleanArray),
    Text(&'a StringArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Numeric(&'a Decimal128Array, u32),
    Json(&'a StringArray),
    /// Its values' texts.
    Nested(&'a ArrayRef, Vec<Bytes>),
}

impl<'a> Values<'a> {
    fn of(array: &'a ArrayRef, kind: &Kind) -> Result<Values<'a>, Fault> {
        Ok(match kind {
            Kind::BigInt => Values::BigInt(array.as_primitive()),
            Kind::Double => Values::Double(array.as_primitive()),
            Kind::Boolean => Values::Boolean(array.as_boolean()),
            Kind::Text => Values::Text(array.as_string()),
            Kind::Date => Values::Date(array.as_primitive()),
            Kind::Timestamp => Values::Timestamp(array.as_primitive()),
            Kind::Numeric { scale, .. } => Values::Numeric(array.as_primitive(), u32::from(*scale)),
            Kind::Json => Values::Json(array.as_string()),
            Kind::Nested => Values::Nested(array, texts(array)?),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Values::BigInt(array) => array.is_null(row),
            Values::Double(array) => array.is_null(row),
            Values::Boolean(array) => array.is_null(row),
            Values::Text(array) | Values::Json(array) => array.is_null(row),
            Values::Date(array) => array.is_null(row),
            Values::Timestamp(array) => array.is_null(row),
            Values::Numeric(array, _) => array.is_null(row),
            Values::Nested(array, _) => array.is_null(row),
        }
    }

    /// Of a value that is not null.
    fn unfit(&self, row: usize) -> Option<&'static str> {
        match self {
            Values::Text(array) => array.value(row).as_bytes().contains(&0).then_some("a text has a zero byte"),
            Values::Json(array) => json::unfit(array.value(row).as_bytes()),
            Values::Nested(_, texts) => json::unfit(&texts[row]),
            Values::Date(array) => {
                let day = i64::from(array.value(row)) - DAYS;
                (!(DAY_MIN..=DAY_MAX).contains(&day)).then_some("a date before 4714 BC, or after 5874897")
            }
            Values::Timestamp(array) => {
                let micros = array.value(row).checked_sub(MICROS);
                micros.is_none_or(|micros| micros < MICROS_MIN).then_some("a time before 4714 BC")
            }
            _ => None,
        }
    }

    fn put(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(&NULL.to_be_bytes());
        }
        match self {
            Values::BigInt(array) => put(out, &array.value(row).to_be_bytes()),
            Values::Double(array) => put(out, &array.value(row).to_be_bytes()),
            Values::Boolean(array) => put(out, &[u8::from(array.value(row))]),
            Values::Text(array) => put(out, array.value(row).as_bytes()),
            Values::Date(array) => put(out, &((i64::from(array.value(row)) - DAYS) as i32).to_be_bytes()),
            Values::Timestamp(array) => put(out, &(array.value(row) - MICROS).to_be_bytes()),
            Values::Numeric(array, scale) => {
                let at = out.len();
                out.extend_from_slice(&[0; 4]);
                numeric::put(out, array.value(row), *scale);
                let length = (out.len() - at - 4) as i32;
                out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
            Values::Json(array) => put_json(out, array.value(row).as_bytes()),
            Values::Nested(_, texts) => put_json(out, &texts[row]),
        }
    }
}

fn put_json(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as i32 + 1).to_be_bytes());
    out.push(JSONB_VERSION);
    out.extend_from_slice(text);
}

/// JSON of each value; empty where there is none.
fn texts(array: &ArrayRef) -> Result<Vec<Bytes>, Fault> {
    const NAME: &str = "v";
    const BEFORE: &[u8] = b"{\"v\":";
    let schema = Arc::new(Schema::new(vec![Field::new(NAME, array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::clone(array)]);
    let batch =
        batch.map_err(|error| Fault::halt("columns-unfit", "a column is not of its own type").because(error))?;
    let lines = ndjson::encode(&[batch], &NdjsonOptions { nulls: true, ..NdjsonOptions::default() })?;
    let mut texts = Vec::with_capacity(array.len());
    let mut rest = lines;
    // Between its tokens JSON of this writer has no line ends, and within them it cannot.
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = rest.split_to(end + 1);
        let value = line.strip_prefix(BEFORE).map_or(0..0, |value| BEFORE.len()..BEFORE.len() + value.len() - 2);
        texts.push(line.slice(value));
    }
    Ok(texts)
}

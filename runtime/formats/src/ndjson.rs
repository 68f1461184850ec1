//! Columns → newline-delimited JSON in memory.

use crate::schema::is_json;
use arrow_array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray, cast::AsArray};
use arrow_json::writer::{
    Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder, Writer, WriterBuilder,
};
use arrow_schema::{ArrowError, DataType, FieldRef, TimeUnit};
use bytes::Bytes;
use flate2::{GzBuilder, write::GzEncoder};
use outflow_api::Fault;
use std::{
    io::{self, Write},
    sync::Arc,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NdjsonCompression {
    #[default]
    None,
    Gzip,
    Zstd,
}

/// Same options and batches, same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NdjsonOptions {
    pub compression: NdjsonCompression,
    /// They are written as `null`, and not left out.
    pub nulls: bool,
}

const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 6;

/// One line per row. DECIMAL is a number with all its digits, TIMESTAMP is RFC 3339 in UTC
/// (`2024-02-29T12:30:45.678901Z`), DATE is `2024-02-29`, MAP is an object; a JSON column's value stands there as the
/// JSON that it is, without blanks and line ends between its tokens.
pub fn encode(batches: &[RecordBatch], options: &NdjsonOptions) -> Result<Bytes, Fault> {
    compressed(batches, *options).map(Bytes::from).map_err(|error| {
        Fault::halt("ndjson-not-written", "columns could not be written as JSON; this is a defect of Outflow")
            .because(error)
    })
}

fn compressed(batches: &[RecordBatch], options: NdjsonOptions) -> Result<Vec<u8>, ArrowError> {
    Ok(match options.compression {
        NdjsonCompression::None => write(batches, options.nulls, Vec::new())?,
        NdjsonCompression::Gzip => {
            // A header without a time: the same rows are the same bytes tomorrow.
            let gzip: GzEncoder<Vec<u8>> =
                GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
            write(batches, options.nulls, gzip)?.finish()?
        }
        NdjsonCompression::Zstd => {
            write(batches, options.nulls, zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?)?.finish()?
        }
    })
}

fn write<W: Write>(batches: &[RecordBatch], nulls: bool, to: W) -> Result<W, ArrowError> {
    let builder = WriterBuilder::new().with_encoder_factory(Arc::new(OwnEncoders)).with_explicit_nulls(nulls);
    let mut writer: Writer<io::BufWriter<W>, LineDelimited> = builder.build(io::BufWriter::new(to));
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()?;
    writer.into_inner().into_inner().map_err(|error| ArrowError::from(error.into_error()))
}

/// Writes JSON columns as JSON, and moments in UTC without the time zone tables that the arrow project's writer would
/// need for the name "UTC". Everything else is the arrow project's.
#[derive(Debug)]
struct OwnEncoders;

impl EncoderFactory for OwnEncoders {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder> = match array.data_type() {
            DataType::Utf8 if is_json(field) => Box::new(JsonText(array.as_string())),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if **zone == *"UTC" => {
                Box::new(Moments(array.as_primitive()))
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct JsonText<'a>(&'a StringArray);

impl Encoder for JsonText<'_> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        append_without_blanks(self.0.value(index), out);
    }
}

struct Moments<'a>(&'a TimestampMicrosecondArray);

impl Encoder for Moments<'_> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        const MICROS_PER_DAY: i64 = 86_400_000_000;
        let micros = self.0.value(index);
        let (year, month, day) = civil(micros.div_euclid(MICROS_PER_DAY));
        let within_day = micros.rem_euclid(MICROS_PER_DAY);
        let (seconds, fraction) = (within_day / 1_000_000, within_day % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(out, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z\"")
            .expect("memory takes every write");
    }
}

/// Days since 1970 → year, month, day.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097; // 400 years
    let from_march_0000 = days + 719_468;
    let (era, day) = (from_march_0000.div_euclid(DAYS_PER_ERA), from_march_0000.rem_euclid(DAYS_PER_ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// A line end between two tokens would end the row.
fn append_without_blanks(json: &str, out: &mut Vec<u8>) {
    let (mut within_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if within_string || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            out.push(byte);
        }
        within_string ^= byte == b'"' && !escaped;
        escaped = within_string && byte == b'\\' && !escaped;
    }
}

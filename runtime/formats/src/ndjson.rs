//! Columns → newline-delimited JSON in memory.

use crate::schema::is_json;
use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_json::writer::{
    Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder, Writer, WriterBuilder,
};
use arrow_schema::{ArrowError, FieldRef};
use bytes::Bytes;
use flate2::{GzBuilder, write::GzEncoder};
use outflow_api::Fault;
use std::io::{self, Write};
use std::sync::Arc;

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
}

const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 6;

/// One line per row. Nulls are left out. DECIMAL is a number with all its digits, TIMESTAMP is RFC 3339 in UTC
/// (`2024-02-29T12:30:45.678901Z`), DATE is `2024-02-29`, MAP is an object; a JSON column's value stands there as the
/// JSON that it is, without blanks and line ends between its tokens.
pub fn encode(batches: &[RecordBatch], options: &NdjsonOptions) -> Result<Bytes, Fault> {
    compressed(batches, options.compression).map(Bytes::from).map_err(|error| {
        Fault::halt("ndjson-not-written", "columns could not be written as JSON; this is a defect of Outflow")
            .because(error)
    })
}

fn compressed(batches: &[RecordBatch], compression: NdjsonCompression) -> Result<Vec<u8>, ArrowError> {
    Ok(match compression {
        NdjsonCompression::None => write(batches, Vec::new())?,
        NdjsonCompression::Gzip => {
            // A header without a time: the same rows are the same bytes tomorrow.
            let gzip: GzEncoder<Vec<u8>> =
                GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
            write(batches, gzip)?.finish()?
        }
        NdjsonCompression::Zstd => write(batches, zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?)?.finish()?,
    })
}

fn write<W: Write>(batches: &[RecordBatch], to: W) -> Result<W, ArrowError> {
    let mut writer: Writer<io::BufWriter<W>, LineDelimited> =
        WriterBuilder::new().with_encoder_factory(Arc::new(RawJson)).build(io::BufWriter::new(to));
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()?;
    writer.into_inner().into_inner().map_err(|error| ArrowError::from(error.into_error()))
}

/// Writes JSON columns as JSON, everything else as the arrow project does.
#[derive(Debug)]
struct RawJson;

impl EncoderFactory for RawJson {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let texts = array.as_string_opt::<i32>().filter(|_| is_json(field));
        Ok(texts.map(|texts| NullableEncoder::new(Box::new(JsonText(texts)), array.nulls().cloned())))
    }
}

struct JsonText<'a>(&'a StringArray);

impl Encoder for JsonText<'_> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        append_without_blanks(self.0.value(index), out);
    }
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

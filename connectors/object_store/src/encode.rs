use crate::{
    settings::{Compression, File, FileKind},
    split::{Part, split},
    template::Template,
};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use outflow_api::{Blame, Encoded, Fault, Piece, SealedBatch};
use outflow_formats::{NdjsonCompression, NdjsonOptions, ParquetCompression, ParquetOptions, ndjson, parquet};
use std::sync::Arc;

/// Of one request, at every store.
const OBJECT_BYTES_MAX: usize = 4 << 30;

pub fn encode(template: &Template, pieces_max: usize, file: &File, batch: &SealedBatch) -> Result<Encoded, Fault> {
    let parts = split(template, pieces_max, batch)?;
    let pieces = parts.into_iter().map(|part| piece(file, part)).collect::<Result<_, _>>()?;
    Ok(Encoded { pieces, rejected: Vec::new() })
}

fn piece(file: &File, part: Part) -> Result<Piece, Fault> {
    let rows: usize = part.batches.iter().map(RecordBatch::num_rows).sum();
    let bytes = match file.kind {
        FileKind::Parquet => parquet::encode(&part.batches, &parquet_options(file))?,
        FileKind::Ndjson => ndjson::encode(&part.batches, &ndjson_options(file))?,
    };
    let piece = Piece { name: part.key, rows: rows as u64, bytes: vec![bytes] };
    if piece.len() > OBJECT_BYTES_MAX {
        let hint =
            format!("{} would be {} bytes, more than one request may send: lower flush.bytes", piece.name, piece.len());
        return Err(Fault::park(Blame::Us, "object-too-large", hint));
    }
    Ok(piece)
}

/// A file of the kind that its key names, without a row: what stays under the key of an object whose rows are removed.
pub fn empty(key: &str, schema: &SchemaRef) -> Result<Bytes, Fault> {
    if key.ends_with(".parquet") {
        return parquet::encode(&[RecordBatch::new_empty(Arc::clone(schema))], &ParquetOptions::default());
    }
    let compression = match key.rsplit_once('.') {
        Some((_, "gz")) => NdjsonCompression::Gzip,
        Some((_, "zst")) => NdjsonCompression::Zstd,
        _ => NdjsonCompression::None,
    };
    ndjson::encode(&[], &NdjsonOptions { compression, ..NdjsonOptions::default() })
}

fn parquet_options(file: &File) -> ParquetOptions {
    let defaults = ParquetOptions::default();
    let compression = match (file.compression, file.level) {
        (None | Some(Compression::Zstd), Some(level)) => ParquetCompression::Zstd { level },
        (Some(Compression::Zstd), None) => ParquetCompression::Zstd { level: 1 },
        (Some(Compression::Snappy), _) => ParquetCompression::Snappy,
        (Some(Compression::Lz4), _) => ParquetCompression::Lz4,
        (Some(Compression::Gzip | Compression::None), _) => ParquetCompression::None,
        (None, None) => defaults.compression,
    };
    ParquetOptions { compression, ..defaults }
}

fn ndjson_options(file: &File) -> NdjsonOptions {
    let compression = match file.compression() {
        Compression::Gzip => NdjsonCompression::Gzip,
        Compression::Zstd => NdjsonCompression::Zstd,
        Compression::Snappy | Compression::Lz4 | Compression::None => NdjsonCompression::None,
    };
    NdjsonOptions { compression, ..NdjsonOptions::default() }
}

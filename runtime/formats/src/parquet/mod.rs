//! Columns → one Parquet file in memory.

mod encodings;

use arrow_array::RecordBatch;
use bytes::Bytes;
use encodings::Leaves;
use outflow_api::Fault;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ParquetCompression {
    /// Zstd of level 1, and Snappy in small files: see [`SMALL_FILE_ROWS`].
    #[default]
    Automatic,
    /// Levels 1 to 22.
    Zstd {
        level: u8,
    },
    Snappy,
    /// Raw LZ4 blocks: Parquet's `LZ4_RAW`, never the deprecated `LZ4`.
    Lz4,
    None,
}

/// Same options and batches, same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParquetOptions {
    pub compression: ParquetCompression,
    /// A row group ends at whichever comes first.
    pub row_group_rows: usize,
    /// Encoded, before compression.
    pub row_group_bytes: usize,
}

impl Default for ParquetOptions {
    fn default() -> ParquetOptions {
        ParquetOptions {
            compression: ParquetCompression::default(),
            row_group_rows: 1_000_000,
            row_group_bytes: 128 * 1024 * 1024,
        }
    }
}

/// Files with fewer rows are small: to set up zstd, dictionaries and an offset index for each of their columns would
/// cost several times what their rows cost, and from here on saves two fifths of the bytes. They have none of these;
/// zstd they have where it was asked for.
pub const SMALL_FILE_ROWS: usize = 3_000;

/// One file of all batches, which share a schema. No rows make a file that has the schema and no rows.
pub fn encode(batches: &[RecordBatch], options: &ParquetOptions) -> Result<Bytes, Fault> {
    let Some(first) = batches.first() else {
        return Err(Fault::halt("parquet-without-schema", "a Parquet file is made of at least one batch, given none"));
    };
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let properties = properties(batches, rows, options)?;
    // Arrow's own copy of the schema says nothing that Parquet's types do not, and doubles a small file.
    let writer_options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let write = || -> Result<Vec<u8>, ParquetError> {
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), first.schema(), writer_options)?;
        batches.iter().try_for_each(|batch| writer.write(batch))?;
        writer.into_inner()
    };
    let bytes = write().map_err(|error| {
        Fault::halt("parquet-not-written", "columns could not be written as Parquet; this is a defect of Outflow")
            .because(error)
    })?;
    Ok(Bytes::from(bytes))
}

fn properties(batches: &[RecordBatch], rows: usize, options: &ParquetOptions) -> Result<WriterProperties, Fault> {
    let small = rows < SMALL_FILE_ROWS;
    let compression = match options.compression {
        ParquetCompression::Automatic if small => Compression::SNAPPY,
        ParquetCompression::Automatic => Compression::ZSTD(zstd_level(1)?),
        ParquetCompression::Zstd { level } => Compression::ZSTD(zstd_level(level)?),
        ParquetCompression::Snappy => Compression::SNAPPY,
        ParquetCompression::Lz4 => Compression::LZ4_RAW,
        ParquetCompression::None => Compression::UNCOMPRESSED,
    };
    if options.row_group_rows == 0 || options.row_group_bytes == 0 {
        let hint = "row_group_rows and row_group_bytes must be at least 1";
        return Err(Fault::park(outflow_api::Blame::Us, "parquet-options-refused", hint));
    }
    let mut builder = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(small)
        .set_max_row_group_row_count(Some(options.row_group_rows))
        .set_max_row_group_bytes(Some(options.row_group_bytes));
    for leaf in Leaves::of(batches) {
        builder = builder.set_column_encoding(leaf.path.clone(), leaf.encoding());
        if !small && leaf.repeats_its_values() {
            builder = builder.set_column_dictionary_enabled(leaf.path, true);
        }
    }
    Ok(builder.build())
}

fn zstd_level(level: u8) -> Result<ZstdLevel, Fault> {
    ZstdLevel::try_new(i32::from(level)).map_err(|error| {
        let hint = format!("zstd has no level {level}; choose one from 1 to 22");
        Fault::park(outflow_api::Blame::Us, "parquet-options-refused", hint).because(error)
    })
}

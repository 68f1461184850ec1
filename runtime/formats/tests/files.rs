mod common;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use common::{batch, model};
use outflow_api::{Model, UnknownFields};
use outflow_formats::{NdjsonCompression, NdjsonOptions, ParquetCompression, ParquetOptions, ndjson, parquet};
use parquet_files::{
    arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
    basic::{Compression, Encoding},
};
use std::{io::Read, slice::from_ref, sync::Arc};

extern crate parquet as parquet_files;

/// Every type, nulls at every level, texts that repeat and texts that do not.
fn events(count: usize) -> RecordBatch {
    let model = Model {
        unknown: UnknownFields::Keep,
        lineage: true,
        ..model(&[
            "id! BIGINT",
            "status VARCHAR",
            "note VARCHAR",
            "ratio DOUBLE",
            "paid BOOLEAN",
            "day DATE",
            "at TIMESTAMP",
            "small DECIMAL(9,2)",
            "total DECIMAL(18,2)",
            "huge DECIMAL(38,10)",
            "context JSON",
            "items ARRAY<STRUCT<sku VARCHAR, price DECIMAL(18,2), tags ARRAY<VARCHAR>>>",
            "labels MAP<VARCHAR, BIGINT>",
        ])
    };
    let texts: Vec<String> = (0..count).map(event).collect();
    batch(&model, &texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn event(index: usize) -> String {
    if index % 7 == 3 {
        return format!(r#"{{"id":{index},"items":[null,{{"tags":[]}}],"labels":{{}},"ratio":-0.0}}"#);
    }
    let status = ["paid", "shipped", "pending"][index % 3];
    format!(
        r#"{{"id":{index},"status":"{status}","note":"note {} é","ratio":{index}.25,"paid":{},"day":"2024-02-{:02}",
        "at":"2024-02-29T12:30:45.{index:06}Z","small":-{}.5,"total":{index}.99,
        "huge":"12345678901234567890.{index:010}",
        "context":{{"a": [1, "x \" y"],
        "b": {{}} }},"items":[{{"sku":"s{index}","price":{index}.10,"tags":["t",null]}}],
        "labels":{{"k":{index}}},"more":{index}}}"#,
        index * 7919,
        index.is_multiple_of(2),
        index % 28 + 1,
        index % 100,
    )
}

fn read(file: Bytes) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file").build().expect("readable");
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("readable")).collect();
    concat_batches(&batches[0].schema(), &batches).expect("one schema")
}

const COMPRESSIONS: [ParquetCompression; 5] = [
    ParquetCompression::Automatic,
    ParquetCompression::Zstd { level: 3 },
    ParquetCompression::Snappy,
    ParquetCompression::Lz4,
    ParquetCompression::None,
];

#[test]
fn what_is_written_as_parquet_is_read_back() {
    for count in [1, 100, 5000] {
        let written = events(count);
        for compression in COMPRESSIONS {
            let options = ParquetOptions { compression, row_group_rows: 1700, ..ParquetOptions::default() };
            let file =
                parquet::encode(&[written.slice(0, count / 2), written.slice(count / 2, count - count / 2)], &options);
            let read = read(file.expect("encodes"));
            assert_eq!(read.columns(), written.columns(), "{count} rows, {compression:?}");
            for (read, written) in read.schema().fields().iter().zip(written.schema().fields()) {
                assert_eq!((read.name(), read.is_nullable()), (written.name(), written.is_nullable()));
            }
        }
    }
}

#[test]
fn the_same_batches_are_the_same_bytes() {
    for count in [100, 5000] {
        let (once, again) = ([events(count)], [events(count)]);
        for compression in COMPRESSIONS {
            let options = ParquetOptions { compression, ..ParquetOptions::default() };
            assert_eq!(
                parquet::encode(&once, &options).expect("encodes"),
                parquet::encode(&again, &options).expect("encodes")
            );
        }
        for compression in [NdjsonCompression::None, NdjsonCompression::Gzip, NdjsonCompression::Zstd] {
            let options = NdjsonOptions { compression, ..NdjsonOptions::default() };
            assert_eq!(
                ndjson::encode(&once, &options).expect("encodes"),
                ndjson::encode(&again, &options).expect("encodes")
            );
        }
    }
}

#[test]
fn encodings_follow_the_values_and_small_files_stay_cheap() {
    let metadata = |count: usize| {
        let file = parquet::encode(&[events(count)], &ParquetOptions::default()).expect("encodes");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
        builder.metadata().row_group(0).columns().to_vec()
    };
    let large = metadata(5000);
    let has = |name: &str, encoding: Encoding| {
        let column = large.iter().find(|column| column.column_path().string() == name).expect("the column is there");
        column.encodings().any(|used| used == encoding)
    };
    assert!(has("status", Encoding::RLE_DICTIONARY) && has("_topic", Encoding::RLE_DICTIONARY));
    assert!(!has("note", Encoding::RLE_DICTIONARY) && !has("items.list.element.sku", Encoding::RLE_DICTIONARY));
    for name in ["id", "at", "total", "items.list.element.price", "labels.key_value.value", "_offset"] {
        assert!(has(name, Encoding::DELTA_BINARY_PACKED), "{name}");
    }
    assert!(large.iter().all(|column| matches!(column.compression(), Compression::ZSTD(_))));
    assert!(large.iter().all(|column| column.statistics().is_some()));
    let small = metadata(100);
    assert!(small.iter().all(|column| column.compression() == Compression::SNAPPY));
    assert!(small.iter().all(|column| column.dictionary_page_offset().is_none()));
}

#[test]
fn a_compression_that_was_asked_for_is_kept_in_small_files() {
    let codec = |compression: ParquetCompression, count: usize| {
        let options = ParquetOptions { compression, ..ParquetOptions::default() };
        let file = parquet::encode(&[events(count)], &options).expect("encodes");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
        builder.metadata().row_group(0).column(0).compression()
    };
    assert!(matches!(codec(ParquetCompression::Zstd { level: 1 }, 10), Compression::ZSTD(_)));
    assert_eq!(codec(ParquetCompression::None, 10), Compression::UNCOMPRESSED);
    assert_eq!(codec(ParquetCompression::Automatic, parquet::SMALL_FILE_ROWS - 1), Compression::SNAPPY);
    assert!(matches!(codec(ParquetCompression::Automatic, parquet::SMALL_FILE_ROWS), Compression::ZSTD(_)));
}

#[test]
fn wrong_parquet_options_are_refused() {
    let refused = |options: ParquetOptions| parquet::encode(&[events(1)], &options).expect_err("refused").hint;
    let compression = ParquetCompression::Zstd { level: 23 };
    assert!(refused(ParquetOptions { compression, ..ParquetOptions::default() }).contains("1 to 22"));
    assert!(refused(ParquetOptions { row_group_rows: 0, ..ParquetOptions::default() }).contains("row_group_rows"));
    assert_eq!(parquet::encode(&[], &ParquetOptions::default()).expect_err("refused").code, "parquet-without-schema");
}

fn plain(file: &[u8], compression: NdjsonCompression) -> String {
    let mut text = String::new();
    match compression {
        NdjsonCompression::None => text.push_str(std::str::from_utf8(file).expect("text")),
        NdjsonCompression::Gzip => drop(flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip")),
        NdjsonCompression::Zstd => {
            text = String::from_utf8(zstd::decode_all(file).expect("zstd")).expect("text");
        }
    }
    text
}

#[test]
fn nulls_are_left_out_of_ndjson_or_written() {
    let columns = StructArray::from(vec![(
        Arc::new(Field::new("a", DataType::Int64, true)),
        Arc::new(Int64Array::from(vec![None, Some(1)])) as ArrayRef,
    )]);
    let field = Field::new("item", columns.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(columns)]).expect("it fits");
    let text = |nulls| ndjson::encode(from_ref(&batch), &NdjsonOptions { nulls, ..NdjsonOptions::default() });
    assert_eq!(text(false).expect("encodes"), "{\"item\":{}}\n{\"item\":{\"a\":1}}\n");
    assert_eq!(text(true).expect("encodes"), "{\"item\":{\"a\":null}}\n{\"item\":{\"a\":1}}\n");
}

#[test]
fn ndjson_holds_every_value_exactly() {
    for compression in [NdjsonCompression::None, NdjsonCompression::Gzip, NdjsonCompression::Zstd] {
        let file =
            ndjson::encode(&[events(5)], &NdjsonOptions { compression, ..NdjsonOptions::default() }).expect("encodes");
        let text = plain(&file, compression);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        let wanted = concat!(
            r#"{"id":1,"status":"shipped","note":"note 7919 é","ratio":1.25,"paid":false,"day":"2024-02-02","#,
            r#""at":"2024-02-29T12:30:45.000001Z","small":-1.50,"total":1.99,"huge":12345678901234567890.0000000001,"#,
            r#""context":{"a":[1,"x \" y"],"b":{}},"items":[{"sku":"s1","price":1.10,"tags":["t",null]}],"#,
            r#""labels":{"k":1},"#,
            r#""_unknown":{"more":1},"_topic":"orders","_partition":2,"_offset":3,"#,
            r#""_timestamp":"2023-11-14T22:13:20.001000Z"}"#,
        );
        assert_eq!(lines[1], wanted);
        assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }
}

#[test]
fn a_moment_in_ndjson_is_read_back_as_the_same_moment() {
    let model = model(&["at TIMESTAMP"]);
    let moments =
        ["0001-01-01T00:00:00Z", "1600-02-29T23:59:59.999999Z", "1969-12-31T23:59:59.5Z", "9999-12-31T00:00:00Z"];
    let mut texts: Vec<String> = moments.iter().map(|moment| format!(r#"{{"at":"{moment}"}}"#)).collect();
    texts.extend(
        (-60_000_000..60_000_000).step_by(70_001).map(|minutes: i64| format!(r#"{{"at":{}}}"#, minutes * 60_000 / 2)),
    );
    let written = batch(&model, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let file = ndjson::encode(std::slice::from_ref(&written), &NdjsonOptions::default()).expect("encodes");
    let lines: Vec<&str> = std::str::from_utf8(&file).expect("text").lines().collect();
    assert_eq!(batch(&model, &lines), written);
    assert_eq!(lines[2], r#"{"at":"1969-12-31T23:59:59.500000Z"}"#);
}

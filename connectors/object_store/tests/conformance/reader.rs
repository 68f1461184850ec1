use arrow_array::{Int64Array, cast::AsArray, types::Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The values of column `row`.
///
/// # Panics
/// If it is no whole Parquet file.
pub fn rows_of(name: &str, file: Bytes) -> Vec<i64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file);
    let reader = reader.and_then(|builder| builder.build()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap_or_else(|error| panic!("{name}: {error}"));
        let column: &Int64Array = batch.column_by_name("row").expect("every file has it").as_primitive::<Int64Type>();
        rows.extend(column.values());
    }
    rows
}

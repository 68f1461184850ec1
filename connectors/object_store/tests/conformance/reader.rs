use arrow_array::{Int64Array, cast::AsArray, types::Int64Type};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;

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

/// What versitygw names the bytes of an object that is put over another, for the moment before it renames them. S3 has
/// no such thing, and no reader of `*.parquet` takes it for a file of the lake.
const OF_THE_SERVER: &str = ".parquet.sgwtmp.";

/// Everything that a lister sees, read whole.
///
/// # Panics
/// If something that is visible cannot be read.
pub async fn listed(store: &impl ObjectStore) -> BTreeMap<String, Vec<i64>> {
    let objects: Vec<_> = store.list(None).try_collect().await.expect("the store can be listed");
    let mut found = BTreeMap::new();
    for object in objects {
        let name = object.location.to_string();
        if name.contains(OF_THE_SERVER) {
            continue;
        }
        let got = store.get(&object.location).await.expect("what is visible stays");
        let bytes = got.bytes().await.expect("what is visible can be read");
        found.insert(name.clone(), rows_of(&name, bytes));
    }
    found
}

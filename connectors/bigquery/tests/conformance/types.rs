//! Every type of a model, out and back.

use crate::{
    model::{context, sealed},
    open_with,
    server::Server,
    settings,
};
use arrow_array::RecordBatch;
use arrow_cast::{
    cast,
    display::{ArrayFormatter, FormatOptions},
};
use arrow_schema::DataType;
use outflow_api::{CommitOutcome, CommitPermit, SealedBatch};
use serde_json::{Value, json};
use std::sync::Arc;

pub const COLUMNS: [(&str, &str); 13] = [
    ("number", "BIGINT"),
    ("ratio", "DOUBLE"),
    ("yes", "BOOLEAN"),
    ("name", "VARCHAR"),
    ("day", "DATE"),
    ("at", "TIMESTAMP"),
    ("price", "DECIMAL(38,9)"),
    ("exact", "DECIMAL(38,20)"),
    ("tags", "ARRAY<VARCHAR>"),
    ("item", "STRUCT<sku VARCHAR, sizes ARRAY<BIGINT>>"),
    ("lines", "ARRAY<STRUCT<sku VARCHAR, price DECIMAL(18,2)>>"),
    ("extra", "MAP<VARCHAR, DECIMAL(38,20)>"),
    ("raw", "JSON"),
];

/// Usual values, none at all, the lowest, the highest.
pub fn records() -> Vec<String> {
    let records = [
        r#"{"number": 7, "ratio": 0.1, "yes": true, "name": "Zoë \"q\" \\ 🛒", "day": "2026-11-27",
            "at": "2026-11-27T23:59:59.123456+02:00", "price": "12.50", "exact": "0.00000000000000000001",
            "tags": ["a", "ü\""], "item": {"sku": "x", "sizes": [3, 4]},
            "lines": [{"sku": "a", "price": 1.5}, {"sku": null, "price": "-0.01"}],
            "extra": {"k": 1, "n": null}, "raw": {"b": [1, {"c": "d"}]}}"#,
        "{}",
        r#"{"number": -9223372036854775808, "ratio": -1.7976931348623157e308, "yes": false, "name": "",
            "day": "0001-01-01", "at": "0001-01-01T00:00:00Z",
            "price": "-99999999999999999999999999999.999999999",
            "exact": "-999999999999999999.99999999999999999999",
            "tags": [], "item": {}, "lines": [], "extra": {}, "raw": "text"}"#,
        r#"{"number": 9223372036854775807, "ratio": 5e-324, "day": "9999-12-31", "at": "9999-12-31T23:59:59.999999Z",
            "price": 0.000000001, "exact": "999999999999999999.99999999999999999999",
            "item": {"sku": null, "sizes": []}, "raw": [null, true, -0.5]}"#,
    ];
    records.map(str::to_owned).to_vec()
}

/// Delivers a batch; answers rows that the destination can never take.
pub async fn deliver(settings: &Value, columns: &[(&str, &str)], batch: &SealedBatch) -> Vec<(usize, String)> {
    let sink = open_with(settings, context(settings, columns));
    let encoded = sink.encode(batch).expect("it can be encoded");
    let prepared =
        sink.prepare(batch.id, &encoded).await.expect("the service takes it").prepared().expect("no row is refused");
    let committed = sink.commit(&CommitPermit::mint(prepared), None).await.expect("the service takes it");
    assert_eq!(committed, CommitOutcome::Committed);
    encoded.rejected
}

/// As Arrow prints it; nothing for null.
fn printed(rows: &RecordBatch, row: usize) -> Vec<String> {
    let options = FormatOptions::default();
    let print = |(name, _): &(&str, &str)| {
        let column = rows.column_by_name(name).expect("the table has it");
        // Of zones the printer knows those with numbers alone.
        let column = match column.data_type() {
            DataType::Timestamp(unit, _) => cast(column, &DataType::Timestamp(*unit, Some("+00:00".into()))),
            _ => Ok(Arc::clone(column)),
        };
        ArrayFormatter::try_new(&column.expect("times are times"), &options)
            .expect("it can be printed")
            .value(row)
            .to_string()
    };
    COLUMNS.iter().map(print).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_went_with_its_extremes() {
    let server = Server::start(0).await;
    let settings = settings(&server, "types", json!({}));
    assert_eq!(deliver(&settings, &COLUMNS, &sealed(&COLUMNS, &records())).await, []);
    let rows = server.warehouse.rows("types");
    let printed: Vec<Vec<String>> = (0..4).map(|row| printed(&rows[0], row)).collect();
    let usual = [
        "7",
        "0.1",
        "true",
        "Zoë \"q\" \\ 🛒",
        "2026-11-27",
        "2026-11-27T21:59:59.123456Z",
        "12.500000000",
        "0.00000000000000000001",
        "[a, ü\"]",
        "{sku: x, sizes: [3, 4]}",
        "[{sku: a, price: 1.50}, {sku: , price: -0.01}]",
        "[{key: k, value: 1.00000000000000000000}, {key: n, value: }]",
        r#"{"b": [1, {"c": "d"}]}"#,
    ];
    assert_eq!(printed[0], usual);
    // An array that is missing is an empty one, for BigQuery has no other.
    assert_eq!(printed[1], ["", "", "", "", "", "", "", "", "[]", "", "[]", "[]", ""]);
    let lowest = [
        "-9223372036854775808",
        "-1.7976931348623157e308",
        "false",
        "",
        "0001-01-01",
        "0001-01-01T00:00:00Z",
        "-99999999999999999999999999999.999999999",
        "-999999999999999999.99999999999999999999",
        "[]",
        "{sku: , sizes: []}",
        "[]",
        "[]",
        "\"text\"",
    ];
    assert_eq!(printed[2], lowest);
    let highest = [
        "9223372036854775807",
        "5e-324",
        "",
        "",
        "9999-12-31",
        "9999-12-31T23:59:59.999999Z",
        "0.000000001",
        "999999999999999999.99999999999999999999",
        "[]",
        "{sku: , sizes: []}",
        "[]",
        "[]",
        "[null, true, -0.5]",
    ];
    assert_eq!(printed[3], highest);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_becomes_one_of_bigquery_and_lineage_gets_names_that_it_allows() {
    let server = Server::start(0).await;
    deliver(&settings(&server, "types", json!({})), &COLUMNS, &sealed(&COLUMNS, &records())).await;
    let body = server.warehouse.body("types").expect("it was made");
    let short = |field: &Value| format!("{} {} {}", field["name"], field["type"], field["mode"]).replace('"', "");
    let fields = body["schema"]["fields"].as_array().expect("it has fields");
    let expected = [
        "number INT64 NULLABLE",
        "ratio FLOAT64 NULLABLE",
        "yes BOOL NULLABLE",
        "name STRING NULLABLE",
        "day DATE NULLABLE",
        "at TIMESTAMP NULLABLE",
        "price NUMERIC NULLABLE",
        "exact BIGNUMERIC NULLABLE",
        "tags STRING REPEATED",
        "item RECORD NULLABLE",
        "lines RECORD REPEATED",
        "extra RECORD REPEATED",
        "raw JSON NULLABLE",
        "_kafka_topic STRING REQUIRED",
        "_kafka_partition INT64 REQUIRED",
        "_kafka_offset INT64 REQUIRED",
        "_kafka_timestamp TIMESTAMP NULLABLE",
    ];
    assert_eq!(fields.iter().map(short).collect::<Vec<_>>(), expected);
    let entries: Vec<String> = fields[11]["fields"].as_array().expect("entries").iter().map(short).collect();
    assert_eq!(entries, ["key STRING NULLABLE", "value BIGNUMERIC NULLABLE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_arrays_hold_null_and_rows_too_large_are_dead_letters_and_the_others_arrive() {
    let server = Server::start(0).await;
    let settings = settings(&server, "types", json!({ "request_bytes_max": 20_000 }));
    let large = format!(r#"{{"number": 4, "name": "{}"}}"#, "x".repeat(30_000));
    let records = [
        r#"{"number": 1, "tags": ["a"]}"#,
        r#"{"number": 2, "tags": ["a", null]}"#,
        r#"{"number": 3, "lines": [{"sku": "a"}, null]}"#,
        &large,
        r#"{"number": 5, "item": {"sizes": [null]}}"#,
        r#"{"number": 6, "extra": {"k": null}}"#,
    ];
    let rejected = deliver(&settings, &COLUMNS, &sealed(&COLUMNS, &records.map(str::to_owned))).await;
    assert_eq!(rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(rejected[0].1.starts_with("tags: an array holds null"), "{rejected:?}");
    assert!(rejected[2].1.contains("a request to BigQuery has at most 20000"), "{rejected:?}");
    let rows = server.warehouse.rows("types");
    let numbers: Vec<String> =
        rows.iter().flat_map(|rows| (0..rows.num_rows()).map(|row| printed(rows, row).remove(0))).collect();
    assert_eq!(numbers, ["1", "6"]);
}

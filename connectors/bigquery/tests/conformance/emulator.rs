//! The same against an emulator that others wrote, with SQL of its own. It cannot tell that a stream was committed
//! before, so it does not keep the whole contract.

use crate::{
    model::{context, sealed},
    open_with,
    types::{deliver, records},
};
use outflow_api::{CommitOutcome, CommitPermit};
use outflow_rig::BigQuery;
use serde_json::{Value, json};
use std::sync::OnceLock;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// As the records of `types` have them. The emulator lacks BIGNUMERIC, and tells the columns of a table without those
/// of its STRUCTs.
const COLUMNS: [(&str, &str); 9] = [
    ("number", "BIGINT"),
    ("ratio", "DOUBLE"),
    ("yes", "BOOLEAN"),
    ("name", "VARCHAR"),
    ("day", "DATE"),
    ("at", "TIMESTAMP"),
    ("price", "DECIMAL(38,9)"),
    ("tags", "ARRAY<VARCHAR>"),
    ("raw", "JSON"),
];

/// Lanes of one server share a connection, and that lives as long as the runtime that made it: one for all tests.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("threads can be made"))
}

/// One for all tests; nobody kills it.
fn emulator() -> &'static BigQuery {
    static EMULATOR: OnceLock<(TempDir, BigQuery)> = OnceLock::new();
    let start = || {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let emulator = BigQuery::start(folder.path());
        emulator.create_dataset("lake");
        (folder, emulator)
    };
    &EMULATOR.get_or_init(start).1
}

fn settings(table: &str) -> Value {
    json!({
        "project": BigQuery::PROJECT, "dataset": "lake", "table": table,
        "endpoint": emulator().endpoint(), "rest_endpoint": emulator().rest_endpoint(),
        "allow_http": true, "anonymous": true, "request_bytes_max": 100_000,
    })
}

/// Rows of values, as the emulator prints them.
fn query(sql: &str) -> Vec<Vec<Option<String>>> {
    let answer: Value = serde_json::from_str(&emulator().query(sql)).expect("it answers JSON");
    assert!(answer["errors"].is_null(), "{sql}: {}", answer["errors"]);
    let rows = answer["rows"].as_array().cloned().unwrap_or_default();
    let value = |value: &Value| value["v"].as_str().map(str::to_owned);
    let row = |row: &Value| row["f"].as_array().expect("a row has values").iter().map(value).collect();
    rows.iter().map(row).collect()
}

#[test]
fn a_batch_of_many_requests_is_invisible_until_it_is_committed_and_whole_then() {
    let (model, settings) = ([("row", "BIGINT"), ("text", "VARCHAR")], settings("whole"));
    let records: Vec<String> =
        (0..5_000).map(|row| format!(r#"{{"row": {row}, "text": "{}"}}"#, "x".repeat(100))).collect();
    let (sink, batch) = (open_with(&settings, context(&settings, &model)), sealed(&model, &records));
    let encoded = sink.encode(&batch).expect("it can be encoded");
    assert!(encoded.pieces.len() > 3);
    let prepared = runtime().block_on(sink.prepare(batch.id, &encoded)).expect("the emulator takes it").prepared();
    let permit = CommitPermit::mint(prepared.expect("no row is refused"));
    let count = "SELECT COUNT(*), COUNT(DISTINCT row), SUM(row), COUNT(DISTINCT _kafka_offset) FROM lake.whole";
    let numbers = |numbers: [&str; 4]| vec![numbers.map(|number| Some(number.to_owned())).to_vec()];
    assert_eq!(query(count)[0][0].as_deref(), Some("0"));
    let committed = runtime().block_on(sink.commit(&permit, None));
    assert_eq!(committed.expect("the emulator takes it"), CommitOutcome::Committed);
    assert_eq!(query(count), numbers(["5000", "5000", "12497500", "5000"]));
}

#[test]
fn every_type_is_read_back_by_sql() {
    let settings = settings("types");
    let rejected = runtime().block_on(deliver(&settings, &COLUMNS, &sealed(&COLUMNS, &records())));
    assert_eq!(rejected, []);
    let printed = COLUMNS.map(|(name, sql_type)| match sql_type {
        "ARRAY<VARCHAR>" | "JSON" => format!("TO_JSON_STRING(`{name}`)"),
        _ => format!("CAST(`{name}` AS STRING)"),
    });
    let expected: [[Option<&str>; 9]; 4] = [
        [
            Some("7"),
            Some("0.1"),
            Some("true"),
            Some("Zoë \"q\" \\ 🛒"),
            Some("2026-11-27"),
            Some("2026-11-27 21:59:59.123456+00"),
            Some("12.500000000"),
            Some(r#"["a","ü\""]"#),
            Some(r#"{"b":[1,{"c":"d"}]}"#),
        ],
        [None, None, None, None, None, None, None, Some("[]"), None],
        [
            Some("-9223372036854775808"),
            Some("-1.7976931348623157e+308"),
            Some("false"),
            Some(""),
            Some("0001-01-01"),
            Some("0001-01-01 00:00:00+00"),
            Some("-99999999999999999999999999999.999999999"),
            Some("[]"),
            Some("\"text\""),
        ],
        [
            Some("9223372036854775807"),
            Some("5e-324"),
            None,
            None,
            Some("9999-12-31"),
            Some("9999-12-31 23:59:59.999999+00"),
            Some("0.000000001"),
            Some("[]"),
            Some("[null,true,-0.5]"),
        ],
    ];
    let all = format!("SELECT {} FROM lake.types ORDER BY _kafka_offset", printed.join(", "));
    assert_eq!(query(&all), expected.map(|row| row.map(|value| value.map(str::to_owned)).to_vec()).to_vec());
}

//! Tables are made and changed as settings allow, and never otherwise.

use crate::{
    model::{context, sealed},
    open_with,
    server::Server,
    settings,
    types::deliver,
};
use outflow_api::{Blame, Fault, Sink, Verdict};
use serde_json::{Value, json};
use std::sync::Arc;

const MODEL: [(&str, &str); 3] = [("row", "BIGINT"), ("at", "TIMESTAMP"), ("item", "STRUCT<sku VARCHAR, size BIGINT>")];

fn records() -> Vec<String> {
    (0..10).map(|row| format!(r#"{{"row": {row}, "item": {{"size": {row}}}}}"#)).collect()
}

fn sink(settings: &Value) -> Arc<dyn Sink> {
    open_with(settings, context(settings, &MODEL))
}

/// What preparing a batch comes to.
async fn fault(settings: &Value) -> Fault {
    let (sink, batch) = (sink(settings), sealed(&MODEL, &records()));
    let encoded = sink.encode(&batch).expect("it can be encoded");
    sink.prepare(batch.id, &encoded).await.expect_err("it cannot be staged")
}

fn parks(fault: &Fault, code: &str, hint: &str) {
    assert_eq!((fault.verdict, fault.blame, fault.code), (Verdict::Park, Blame::Merchant, code), "{fault}");
    assert!(fault.hint.contains(hint), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_with_its_partitions_and_clusters_or_asked_for() {
    let server = Server::start(0).await;
    let layout = json!({ "partition_by": "at", "partition_unit": "hour", "cluster_by": "row" });
    deliver(&settings(&server, "made", layout), &MODEL, &sealed(&MODEL, &records())).await;
    let body = server.warehouse.body("made").expect("it was made");
    assert_eq!(body["timePartitioning"], json!({ "type": "HOUR", "field": "at" }));
    assert_eq!(body["clustering"]["fields"], json!(["row"]));
    assert_eq!(server.warehouse.visible("made").into_values().flatten().count(), 10);
    let never = settings(&server, "missing", json!({ "create": false }));
    parks(&fault(&never).await, "table-missing", "set create: true");
    assert!(server.warehouse.body("missing").is_none());
    let elsewhere = settings(&server, "made", json!({ "dataset": "nowhere" }));
    parks(&fault(&elsewhere).await, "dataset-missing", "make it");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_added_at_any_depth_and_rows_follow_or_they_are_asked_for() {
    let server = Server::start(0).await;
    let fields = json!([
        { "name": "theirs", "type": "GEOGRAPHY", "mode": "NULLABLE" },
        { "name": "ROW", "type": "INTEGER", "mode": "NULLABLE" },
        { "name": "item", "type": "RECORD", "mode": "NULLABLE",
          "fields": [{ "name": "sku", "type": "STRING", "mode": "NULLABLE" }] },
    ]);
    server.warehouse.make("orders", fields);
    parks(
        &fault(&settings(&server, "orders", json!({ "add_columns": false }))).await,
        "column-missing",
        "add at, item.size, _kafka_topic",
    );
    let settings = settings(&server, "orders", json!({}));
    let added = fault(&settings).await;
    assert_eq!((added.verdict, added.code), (Verdict::Retry { after: None }, "schema-spreads"), "{added}");
    deliver(&settings, &MODEL, &sealed(&MODEL, &records())).await;
    let body = server.warehouse.body("orders").expect("it is there");
    let names = body["schema"]["fields"].as_array().expect("fields").iter().map(|field| field["name"].clone());
    let expected = ["theirs", "ROW", "item", "at", "_kafka_topic", "_kafka_partition", "_kafka_offset"];
    assert_eq!(names.take(7).collect::<Vec<_>>(), expected);
    assert_eq!(
        body["schema"]["fields"][2]["fields"][1],
        json!({ "name": "size", "type": "INT64", "mode": "NULLABLE" })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_another_type_parks_before_a_row_is_sent() {
    let server = Server::start(0).await;
    server.warehouse.make("orders", json!([{ "name": "row", "type": "STRING", "mode": "NULLABLE" }]));
    let settings = settings(&server, "orders", json!({}));
    parks(&fault(&settings).await, "column-type", "column row is STRING, and rows need INT64");
    let examined = sink(&settings).examine().await.into_iter().find_map(|finding| finding.result.err());
    parks(&examined.expect("a check sees it too"), "column-type", "column row is STRING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_would_be_made_and_makes_nothing() {
    let server = Server::start(0).await;
    let told = async |settings: &Value| {
        let findings = sink(settings).examine().await;
        let told = findings.into_iter().map(|finding| finding.result.map_err(|fault| fault.code));
        told.collect::<Vec<Result<String, &str>>>()
    };
    let settings_of = |changes: Value| settings(&server, "orders", changes);
    let made = told(&settings_of(json!({}))).await;
    assert_eq!(made, [Ok("it is not there, and is made when the first rows come".to_owned())]);
    assert!(server.warehouse.body("orders").is_none());
    assert_eq!(told(&settings_of(json!({ "create": false }))).await, [Err("table-missing")]);
    assert_eq!(told(&settings_of(json!({ "dataset": "nowhere" }))).await, [Err("dataset-missing")]);
    server.warehouse.make("orders", json!([{ "name": "row", "type": "INT64", "mode": "NULLABLE" }]));
    let added = told(&settings_of(json!({}))).await;
    assert!(added[1].as_ref().is_ok_and(|told| told.starts_with("at, item, _kafka_topic")), "{added:?}");
    assert_eq!(told(&settings_of(json!({ "add_columns": false }))).await[1], Err("column-missing"));
}

//! Rows that a table refuses when they are sent, for a reason of its own.

use crate::{
    model::{context as context_of, sealed},
    open_with,
    server::Server,
    settings,
};
use outflow_api::{CommitOutcome, CommitPermit, Fault, PrepareOutcome, SealedBatch, Sink, Verdict};
use serde_json::json;
use std::sync::Arc;

const MODEL: [(&str, &str); 3] = [("number", "BIGINT"), ("name", "VARCHAR"), ("tags", "ARRAY<VARCHAR>")];

/// A table with a limit that its owner made, which no batch can know beforehand.
fn make_table(server: &Server) {
    let fields = json!([
        { "name": "number", "type": "INT64", "mode": "NULLABLE" },
        { "name": "name", "type": "STRING", "mode": "NULLABLE", "maxLength": "3" },
        { "name": "tags", "type": "STRING", "mode": "REPEATED" },
    ]);
    server.warehouse.make("orders", fields);
}

fn open(server: &Server) -> Arc<dyn Sink> {
    let settings = settings(server, "orders", json!({ "request_bytes_max": 20_000 }));
    open_with(&settings, context_of(&settings, &MODEL))
}

/// Lineage columns are added first.
async fn prepare(sink: &dyn Sink, batch: &SealedBatch) -> Result<PrepareOutcome, Fault> {
    let encoded = sink.encode(batch).expect("it can be encoded");
    match sink.prepare(batch.id, &encoded).await {
        Err(fault) if fault.code == "schema-spreads" => sink.prepare(batch.id, &encoded).await,
        answer => answer,
    }
}

fn record(number: usize, name: &str, tags: &str) -> String {
    format!(r#"{{"number": {number}, "name": "{name}", "tags": [{tags}]}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_table_refuses_are_named_by_their_place_in_the_batch_and_nothing_is_visible() {
    let server = Server::start(0).await;
    make_table(&server);
    let sink = open(&server);
    // The second is refused by the encoder already: it is not sent, and counts all the same.
    let records = [("abc", "\"x\""), ("abc", "null"), ("abcd", ""), ("", "\"x\", \"y\""), ("hunter2", ""), ("ab", "")];
    let records: Vec<_> = records.iter().enumerate().map(|(row, (name, tags))| record(row, name, tags)).collect();
    let batch = sealed(&MODEL, &records);
    assert_eq!(sink.encode(&batch).expect("it can be encoded").rejected.len(), 1);
    let Ok(PrepareOutcome::Refused { rows }) = prepare(&*sink, &batch).await else { panic!("two rows are too long") };
    let why = |length| format!("Field name: maximum length 3, length {length}");
    assert_eq!(rows, [(2, why(4)), (4, why(7))]);
    assert!(server.warehouse.rows("orders").is_empty());
    let good: Vec<_> = [0, 3, 5].map(|row| records[row].clone()).into();
    let left = sealed(&MODEL, &good);
    let prepared = prepare(&*sink, &left).await.expect("calm").prepared().expect("what is left is taken");
    let committed = sink.commit(&CommitPermit::mint(prepared), None).await;
    assert_eq!(committed.expect("calm"), CommitOutcome::Committed);
    assert_eq!(server.warehouse.rows("orders").iter().map(|rows| rows.num_rows()).sum::<usize>(), 3);
}

/// In several requests: whether those behind one that was refused are looked at is the service's own affair.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_refused_rows_are_named_at_once_as_the_service_says() {
    for (checks_offsets_first, named) in [(false, vec![10, 900]), (true, vec![10])] {
        let server = Server::start(0).await;
        make_table(&server);
        server.warehouse.state().checks_offsets_first = checks_offsets_first;
        let name = |row: usize| if [10, 900].contains(&row) { "too long" } else { "ab" };
        let records: Vec<_> = (0..1_000).map(|row| record(row, name(row), "")).collect();
        let outcome = prepare(&*open(&server), &sealed(&MODEL, &records)).await;
        let Ok(PrepareOutcome::Refused { rows }) = outcome else { panic!("two rows are too long") };
        assert_eq!(rows.into_iter().map(|(row, _)| row).collect::<Vec<_>>(), named);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_the_table_does_not_take_parks_and_refuses_no_row() {
    let server = Server::start(0).await;
    server.warehouse.make("orders", json!([{ "name": "number", "type": "STRING", "mode": "NULLABLE" }]));
    let fault = prepare(&*open(&server), &sealed(&MODEL, &[record(1, "ab", "")])).await.expect_err("another type");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "column-type"), "{fault}");
}

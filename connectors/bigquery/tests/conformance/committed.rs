//! Rows that are seen as soon as they are appended, each once.

use crate::{
    model::{context as context_of, sealed},
    open, open_with,
    server::Server,
    settings,
};
use outflow_api::{CommitOutcome, CommitPermit, Encoded, Sink, Verdict};
use outflow_conformance::sink::{Batch, Size};
use serde_json::{Value, json};
use std::sync::Arc;

/// So that a large batch is some dozen requests.
const REQUEST_BYTES: usize = 20_000;

fn committed(server: &Server, changes: Value) -> Value {
    let mut all = json!({ "stream": "committed", "request_bytes_max": REQUEST_BYTES });
    all.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    settings(server, "orders", all)
}

fn sink(server: &Server) -> Arc<dyn Sink> {
    open(&committed(server, json!({})))
}

async fn decided(sink: &Arc<dyn Sink>, batch: &Batch) -> (CommitPermit, Encoded) {
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    let prepared = sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused");
    (CommitPermit::mint(prepared), encoded)
}

async fn deliver(sink: &Arc<dyn Sink>, batch: &Batch) -> CommitOutcome {
    let (permit, encoded) = decided(sink, batch).await;
    sink.commit(&permit, Some(&encoded)).await.expect("calm")
}

/// In the order in which they are in the table.
fn rows(server: &Server) -> Vec<i64> {
    server.warehouse.visible("orders").into_values().flatten().collect()
}

fn of(batches: &[&Batch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.rows.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_follow_each_other_share_one_stream() {
    let server = Server::start(0).await;
    let sink = sink(&server);
    let batches: Vec<Batch> =
        (0..20).map(|at| Batch::new(if at == 7 { Size::Large } else { Size::Small }, 1)).collect();
    for batch in &batches {
        assert_eq!(deliver(&sink, batch).await, CommitOutcome::Committed);
    }
    assert_eq!(rows(&server), of(&batches.iter().collect::<Vec<_>>()));
    assert_eq!(server.warehouse.state().streams_made, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_never_decided_leaves_no_hole_before_those_behind_it() {
    let server = Server::start(0).await;
    let sink = sink(&server);
    let batches = [1, 1, 1, 1].map(|age| Batch::new(Size::Small, age));
    deliver(&sink, &batches[0]).await;
    let (_, _) = decided(&sink, &batches[1]).await;
    deliver(&sink, &batches[2]).await;
    deliver(&sink, &batches[3]).await;
    assert_eq!(rows(&server), of(&[&batches[0], &batches[2], &batches[3]]));
    assert_eq!(server.warehouse.state().streams_made, 2);
}

/// What the README says of visibility: a batch appears request by request.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_cut_off_in_the_middle_goes_on_where_it_stopped_whoever_goes_on() {
    let server = Server::start(0).await;
    let sink = sink(&server);
    deliver(&sink, &Batch::new(Size::Small, 1)).await;
    for (requests, heir) in [(1, Arc::clone(&sink)), (5, self::sink(&server)), (9, self::sink(&server))] {
        let batch = Batch::new(Size::Large, 1);
        let (permit, encoded) = decided(&sink, &batch).await;
        assert!(encoded.pieces.len() > 12);
        let before = rows(&server).len() as u64;
        server.warehouse.state().appends_left = Some(requests);
        let fault = sink.commit(&permit, Some(&encoded)).await.expect_err("it is cut off");
        assert!(matches!(fault.verdict, Verdict::Retry { .. }), "{fault}");
        let there: u64 = encoded.pieces.iter().take(requests as usize).map(|piece| piece.rows).sum();
        assert_eq!(rows(&server).len() as u64, before + there);
        server.warehouse.state().appends_left = None;
        let (one, other) = tokio::join!(heir.commit(&permit, Some(&encoded)), sink.commit(&permit, Some(&encoded)));
        one.and(other).expect("calm");
        let outcome = sink.commit(&permit, Some(&encoded)).await.expect("calm");
        assert_eq!(outcome, CommitOutcome::AlreadyCommitted);
        let mut seen = rows(&server).split_off(before as usize);
        seen.sort_unstable();
        assert_eq!(seen, of(&[&batch]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_batch_is_lost_for_good_whoever_commits_it() {
    let server = Server::start(0).await;
    let sink = sink(&server);
    let (lost, kept) = (Batch::new(Size::Large, 1), Batch::new(Size::Small, 1));
    deliver(&sink, &Batch::new(Size::Small, 1)).await;
    let before = rows(&server);
    let (permit, encoded) = decided(&sink, &lost).await;
    sink.abort(permit.prepared()).await.expect("calm");
    for sink in [&sink, &self::sink(&server)] {
        assert_eq!(sink.commit(&permit, Some(&encoded)).await.expect("calm"), CommitOutcome::Lost);
    }
    assert_eq!(rows(&server), before);
    assert_eq!(deliver(&sink, &kept).await, CommitOutcome::Committed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_expired_parks_what_was_decided_and_is_replaced_for_what_was_not() {
    let server = Server::start(0).await;
    let sink = sink(&server);
    let (batch, next) = (Batch::new(Size::Small, 1), Batch::new(Size::Small, 1));
    let (permit, encoded) = decided(&sink, &batch).await;
    server.warehouse.forget_streams();
    let fault = sink.commit(&permit, Some(&encoded)).await.expect_err("it is not known");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "stream-gone"), "{fault}");
    assert!(fault.hint.contains(&batch.id.to_string()) && fault.hint.contains("three days"), "{fault}");
    deliver(&sink, &next).await;
    server.warehouse.forget_streams();
    assert_eq!(deliver(&sink, &batch).await, CommitOutcome::Committed, "an idle lane goes on with a new stream");
    let mut seen = rows(&server);
    seen.sort_unstable();
    assert_eq!(seen, of(&[&batch, &next]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_takes_its_rows_along_and_that_is_said() {
    let server = Server::start(0).await;
    let sink = sink(&server);
    let (permit, encoded) = decided(&sink, &Batch::new(Size::Small, 1)).await;
    server.warehouse.drop_table("orders");
    let fault = sink.commit(&permit, Some(&encoded)).await.expect_err("it is gone");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "table-missing"), "{fault}");
}

/// "There are rows at this offset" would else be taken for "all of this request is there".
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_cut_into_other_requests_than_it_was_prepared_with_parks() {
    let server = Server::start(0).await;
    let sink = sink(&server);
    let batch = Batch::new(Size::Large, 1);
    let (permit, _) = decided(&sink, &batch).await;
    let other = open(&committed(&server, json!({ "request_bytes_max": REQUEST_BYTES * 2 })));
    let encoded = other.encode(&batch.sealed()).expect("it can be encoded");
    let fault = other.commit(&permit, Some(&encoded)).await.expect_err("they do not match");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "requests-differ"), "{fault}");
    assert_eq!(rows(&server), [] as [i64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_service_refuses_are_named_without_their_values() {
    let server = Server::start(0).await;
    let fields = json!([
        { "name": "number", "type": "INT64", "mode": "NULLABLE" },
        { "name": "name", "type": "STRING", "mode": "NULLABLE", "maxLength": "3" },
    ]);
    server.warehouse.make("orders", fields);
    let model = [("number", "BIGINT"), ("name", "VARCHAR")];
    let settings = committed(&server, json!({}));
    let sink = open_with(&settings, context_of(&settings, &model));
    let records = ["abc", "hunter2"].map(|name| format!(r#"{{"number": 1, "name": "{name}"}}"#));
    let batch = sealed(&model, &records);
    let encoded = sink.encode(&batch).expect("it can be encoded");
    let fault = sink.prepare(batch.id, &encoded).await.expect_err("columns are added first");
    assert_eq!(fault.code, "schema-spreads");
    let prepared = sink.prepare(batch.id, &encoded).await.expect("now they are there").prepared();
    let permit = CommitPermit::mint(prepared.expect("no row is refused yet"));
    let fault = sink.commit(&permit, Some(&encoded)).await.expect_err("rows are refused");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "rows-refused"), "{fault}");
    assert!(fault.hint.contains("refuses 1 rows") && fault.hint.contains("row 1: Field name: maximum"), "{fault}");
    assert!(!fault.to_string().contains("hunter2"), "{fault}");
}

//! What the service says of a stream, and what the sink makes of it.

use crate::{
    model::{context as context_of, sealed},
    open, open_with,
    server::Server,
    settings,
};
use outflow_api::{CommitOutcome, CommitPermit, Fault, Prepared, Reach, Sink, Verdict};
use outflow_conformance::sink::{Batch, Size};
use serde_json::json;
use std::sync::Arc;

async fn prepared(sink: &Arc<dyn Sink>, batch: &Batch) -> Result<Prepared, Fault> {
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    Ok(sink.prepare(batch.id, &encoded).await?.prepared().expect("no row is refused"))
}

/// Committed so long ago, or never: the service's answer is the same, and no guess is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_service_has_forgotten_parks_whether_it_was_committed_or_not() {
    let server = Server::start(0).await;
    let sink = open(&settings(&server, "orders", json!({})));
    for is_committed in [false, true] {
        let batch = Batch::new(Size::Small, 1);
        let permit = CommitPermit::mint(prepared(&sink, &batch).await.expect("calm"));
        if is_committed {
            assert_eq!(sink.commit(&permit, None).await.expect("calm"), CommitOutcome::Committed);
        }
        server.warehouse.forget_streams();
        let fault = sink.commit(&permit, None).await.expect_err("it is not known");
        assert_eq!((fault.verdict, fault.code), (Verdict::Park, "stream-gone"), "{fault}");
        assert!(fault.hint.contains(&batch.id.to_string()), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_commit_finds_the_stream_committed() {
    let server = Server::start(0).await;
    let sink = open(&settings(&server, "orders", json!({})));
    let permit = CommitPermit::mint(prepared(&sink, &Batch::new(Size::Small, 1)).await.expect("calm"));
    assert_eq!(sink.commit(&permit, None).await.expect("calm"), CommitOutcome::Committed);
    assert_eq!(sink.commit(&permit, None).await.expect("calm"), CommitOutcome::AlreadyCommitted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_takes_its_decided_rows_along_and_that_is_said() {
    let server = Server::start(0).await;
    let sink = open(&settings(&server, "orders", json!({})));
    let permit = CommitPermit::mint(prepared(&sink, &Batch::new(Size::Small, 1)).await.expect("calm"));
    server.warehouse.drop_table("orders");
    let fault = sink.commit(&permit, None).await.expect_err("it is gone");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "table-missing"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_named_and_tried_again_for_all_of_the_credential() {
    let server = Server::start(0).await;
    let sink = open(&settings(&server, "orders", json!({})));
    prepared(&sink, &Batch::new(Size::Small, 1)).await.expect("calm");
    server.warehouse.state().quota = Some(1);
    let fault = prepared(&sink, &Batch::new(Size::Small, 1)).await.expect_err("the quota is used up");
    assert_eq!((fault.code, fault.reach), ("quota-exceeded", Reach::Credential), "{fault}");
    assert!(matches!(fault.verdict, Verdict::Retry { .. }) && fault.hint.contains("CreateWriteStream"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_goes_in_requests_within_the_limit_and_in_order() {
    let server = Server::start(0).await;
    let sink = open(&settings(&server, "orders", json!({ "request_bytes_max": 50_000 })));
    let batch = Batch::new(Size::Large, 1);
    let permit = CommitPermit::mint(prepared(&sink, &batch).await.expect("calm"));
    sink.commit(&permit, None).await.expect("calm");
    let largest = server.warehouse.state().largest_request;
    assert!((40_000..51_000).contains(&largest), "the largest request has {largest} bytes");
    let rows: Vec<i64> = server.warehouse.visible("orders").into_values().flatten().collect();
    assert_eq!(rows, batch.rows.collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_which_no_row_is_left_needs_no_stream() {
    let server = Server::start(0).await;
    let model = [("tags", "ARRAY<VARCHAR>")];
    let settings = settings(&server, "orders", json!({}));
    let sink = open_with(&settings, context_of(&settings, &model));
    let batch = sealed(&model, &[r#"{"tags": [null]}"#.to_owned()]);
    let encoded = sink.encode(&batch).expect("it can be encoded");
    assert_eq!((encoded.pieces.len(), encoded.rejected.len()), (0, 1));
    let prepared = sink.prepare(batch.id, &encoded).await.expect("nothing is asked").prepared();
    let permit = CommitPermit::mint(prepared.expect("no row is refused"));
    assert_eq!(sink.commit(&permit, Some(&encoded)).await.expect("nothing is asked"), CommitOutcome::AlreadyCommitted);
    assert_eq!(server.warehouse.state().streams_made, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_unreachable_for_all_of_its_host() {
    let server = Server::start(0).await;
    let nobody = |scheme: &str| format!("{scheme}://127.0.0.1:{}", outflow_rig::free_port());
    for endpoint in [nobody("http"), nobody("https"), server.endpoint().replace("http:", "https:")] {
        let sink = open(&settings(&server, "orders", json!({ "endpoint": endpoint })));
        let fault = prepared(&sink, &Batch::new(Size::Small, 1)).await.expect_err("nobody answers");
        assert!(matches!(fault.verdict, Verdict::Retry { .. }), "{endpoint}: {fault}");
        assert_eq!((fault.code, fault.reach), ("unreachable", Reach::Host), "{endpoint}: {fault}");
    }
    let nowhere = json!({ "rest_endpoint": nobody("http") });
    let sink = open(&settings(&server, "orders", nowhere));
    let fault = prepared(&sink, &Batch::new(Size::Small, 1)).await.expect_err("the table cannot be made");
    assert_eq!((fault.code, fault.reach), ("unreachable", Reach::Host), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_lanes_open_without_a_request() {
    let server = Server::start(0).await;
    let lane =
        |n: u32| open(&settings(&server, &format!("orders_{n}"), json!({ "endpoint": "https://nobody.invalid" })));
    let lanes: Vec<Arc<dyn Sink>> = (0..10_000).map(lane).collect();
    assert_eq!(lanes.len(), 10_000);
    assert!(lanes.windows(2).all(|two| two[0].remote() == two[1].remote()));
}

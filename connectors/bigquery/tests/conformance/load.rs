//! A batch is loaded from a file by a job that has a name of ours.

use crate::{
    model::{context as context_of, sealed},
    open, open_with,
    server::Server,
    settings,
    types::records,
};
use outflow_api::{CommitOutcome, CommitPermit, Encoded, Fault, Sink, Verdict};
use outflow_bigquery::DESCRIPTOR;
use outflow_conformance::sink::{Batch, Size, context};
use serde_json::{Value, json};
use std::sync::Arc;

pub fn load(server: &Server, table: &str) -> Value {
    let staging = json!({ "mode": "load", "staging": "gs://lake/staging", "staging_endpoint": server.rest_endpoint() });
    settings(server, table, staging)
}

async fn decided(sink: &Arc<dyn Sink>, batch: &Batch) -> (CommitPermit, Encoded) {
    let encoded = sink.encode(&batch.sealed()).expect("it can be encoded");
    let prepared = sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused");
    (CommitPermit::mint(prepared), encoded)
}

fn rows(server: &Server) -> Vec<i64> {
    server.warehouse.visible("orders").into_values().flatten().collect()
}

fn is_retry(outcome: Result<CommitOutcome, Fault>, code: &str) -> Fault {
    let fault = outcome.expect_err("it is not done");
    assert!(matches!(fault.verdict, Verdict::Retry { .. }) && fault.code == code, "{fault}");
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_is_asked_for_and_its_file_goes_when_it_is_done() {
    let server = Server::start(0).await;
    let (sink, heir) = (open(&load(&server, "orders")), open(&load(&server, "orders")));
    let batch = Batch::new(Size::Large, 1);
    let (permit, _) = decided(&sink, &batch).await;
    assert_eq!(server.warehouse.state().objects.len(), 1);
    server.warehouse.state().job_turns = 3;
    let fault = is_retry(sink.commit(&permit, None).await, "load-runs");
    assert!(matches!(fault.verdict, Verdict::Retry { after: Some(_) }), "it says when");
    is_retry(heir.commit(&permit, None).await, "load-runs");
    assert_eq!(rows(&server), [] as [i64; 0]);
    is_retry(sink.commit(&permit, None).await, "load-runs");
    assert_eq!(heir.commit(&permit, None).await.expect("done"), CommitOutcome::AlreadyCommitted);
    assert_eq!(sink.commit(&permit, None).await.expect("done"), CommitOutcome::AlreadyCommitted);
    assert_eq!(rows(&server), batch.rows.collect::<Vec<i64>>());
    let state = server.warehouse.state();
    assert_eq!((state.objects.len(), state.jobs.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_job_follows_one_that_failed_under_another_name_and_one_of_them_loads() {
    let server = Server::start(0).await;
    let (sink, heir) = (open(&load(&server, "orders")), open(&load(&server, "orders")));
    let batch = Batch::new(Size::Small, 1);
    let (permit, _) = decided(&sink, &batch).await;
    let failures = [("backendError", "try again"), ("internalError", "again")];
    server.warehouse.state().job_failures.extend(failures.map(|(reason, said)| (reason.to_owned(), said.to_owned())));
    let mut calls = 0;
    while sink.commit(&permit, None).await.is_err() {
        let _ = heir.commit(&permit, None).await;
        calls += 1;
        assert!(calls < 20, "it is done some time");
    }
    assert_eq!(rows(&server), batch.rows.clone().collect::<Vec<i64>>());
    assert_eq!(heir.commit(&permit, None).await.expect("done"), CommitOutcome::AlreadyCommitted);
    assert_eq!(server.warehouse.state().jobs.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_refused_parks_with_what_was_said_and_is_tried_ever_more_seldom() {
    let server = Server::start(0).await;
    let sink = open(&load(&server, "orders"));
    let (permit, _) = decided(&sink, &Batch::new(Size::Small, 1)).await;
    server.warehouse.state().job_failures.extend((0..100).map(|_| ("invalid".to_owned(), "a bad row".to_owned())));
    for _ in 0..40 {
        let fault = sink.commit(&permit, None).await.expect_err("refused, or running");
        assert!(["load-runs", "load-refused"].contains(&fault.code), "{fault}");
        assert!(fault.code == "load-runs" || fault.verdict == Verdict::Park && fault.hint.contains("a bad row"));
    }
    let jobs = server.warehouse.state().jobs.len();
    assert!((4..12).contains(&jobs), "{jobs} jobs for 40 calls");
    assert_eq!(rows(&server), [] as [i64; 0]);
}

/// Whatever the bucket's own rule takes away before its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_made_again_of_rows_that_are_asked_for() {
    let server = Server::start(0).await;
    let sink = open(&load(&server, "orders"));
    let batch = Batch::new(Size::Small, 1);
    let (permit, encoded) = decided(&sink, &batch).await;
    server.warehouse.state().objects.clear();
    let mut outcomes = Vec::new();
    let mut given = None;
    for _ in 0..10 {
        let outcome = sink.commit(&permit, given.as_ref()).await;
        match outcome {
            Ok(CommitOutcome::NeedsRows) => given = Some(encoded.clone()),
            Ok(outcome) => {
                outcomes.push(outcome);
                break;
            }
            Err(fault) => assert!(matches!(fault.verdict, Verdict::Retry { .. }), "{fault}"),
        }
    }
    assert!(given.is_some() && outcomes == [CommitOutcome::Committed], "{outcomes:?}");
    assert_eq!(rows(&server), batch.rows.collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_that_a_file_can_hold_is_loaded_and_json_is_refused_beforehand() {
    let server = Server::start(0).await;
    let model: Vec<(&str, &str)> = crate::types::COLUMNS.into_iter().filter(|(_, kind)| *kind != "JSON").collect();
    let model: Vec<(&str, &str)> = model.into_iter().filter(|(name, _)| *name != "extra").collect();
    let settings = load(&server, "types");
    let sink = open_with(&settings, context_of(&settings, &model));
    let batch = sealed(&model, &records());
    let encoded = sink.encode(&batch).expect("it can be encoded");
    let prepared = sink.prepare(batch.id, &encoded).await.expect("calm").prepared().expect("no row is refused");
    let outcome = sink.commit(&CommitPermit::mint(prepared), None).await.expect("calm");
    assert_eq!((outcome, server.warehouse.rows("types")[0].num_rows()), (CommitOutcome::Committed, 4));
    let refused = (DESCRIPTOR.open)(&settings, context_of(&settings, &crate::types::COLUMNS));
    let fault = refused.err().expect("there is a JSON column");
    assert!(fault.code == "wrong-settings" && fault.hint.contains("column raw is JSON"), "{fault}");
    let identity = (DESCRIPTOR.identity)(&settings).expect("they say where");
    (DESCRIPTOR.open)(&settings, context(identity)).expect("without JSON they are right");
}

//! A server that dies.

use crate::{client_at, settings_at, shape::Shape};
use outflow_api::{CommitOutcome, SealedBatch, Verdict};
use outflow_rig::Postgres;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::{sync::Notify, task::JoinSet};

const SHAPE: Shape<'_> = Shape(&[("number", "BIGINT"), ("name", "VARCHAR")]);
const BATCHES: i64 = 400;
const ROWS: i64 = 200;
const AT_ONCE: i64 = 4;
const DEATHS: u64 = 6;

/// How often a commit was answered.
#[derive(Default)]
struct Progress {
    committed: AtomicU64,
    faults: AtomicU64,
    moved: Notify,
}

impl Progress {
    async fn wait(&self, committed: u64) {
        while self.committed.load(Ordering::SeqCst) < committed {
            self.moved.notified().await;
        }
    }
}

/// As the engine does it: again, until it is said to be there.
async fn deliver(settings: &Value, batch: &SealedBatch, progress: &Progress) {
    loop {
        match SHAPE.try_deliver(settings, batch).await {
            Ok(outcome) => {
                assert!(matches!(outcome, CommitOutcome::Committed | CommitOutcome::AlreadyCommitted), "{outcome:?}");
                progress.committed.fetch_add(1, Ordering::SeqCst);
                return progress.moved.notify_one();
            }
            Err(fault) => {
                assert!(matches!(fault.verdict, Verdict::Retry { .. }), "a server that is dead parks: {fault}");
                progress.faults.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn run(settings: Arc<Value>, first: i64, progress: Arc<Progress>) {
    for batch in (first..BATCHES).step_by(AT_ONCE as usize) {
        let numbers = batch * ROWS..(batch + 1) * ROWS;
        let records: Vec<String> = numbers.map(|n| format!("{{\"number\": {n}, \"name\": \"row {n}\"}}")).collect();
        deliver(&settings, &SHAPE.sealed(&records), &progress).await;
    }
}

/// Its database answers before a commit is on the disk, unless it is asked not to.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_the_middle_of_commits_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let mut server = Postgres::start(folder.path());
    let hasty = format!("ALTER DATABASE {} SET synchronous_commit = off", Postgres::DATABASE);
    client_at(server.port()).await.batch_execute(&hasty).await.expect("it answers");
    let (settings, progress) = (Arc::new(settings_at(server.port(), "killed")), Arc::new(Progress::default()));
    SHAPE.deliver(&settings, &SHAPE.sealed(&[r#"{"number": -1}"#])).await;
    let mut runs = JoinSet::new();
    for first in 0..AT_ONCE {
        runs.spawn(run(Arc::clone(&settings), first, Arc::clone(&progress)));
    }
    for death in 1..=DEATHS {
        progress.wait(death * BATCHES as u64 / (DEATHS + 1)).await;
        tokio::task::block_in_place(|| server.restart());
    }
    while let Some(run) = runs.join_next().await {
        run.expect("each batch is delivered");
    }
    let count = "SELECT count(*), count(DISTINCT number), min(number), max(number) FROM killed";
    let row = client_at(server.port()).await.query_one(count, &[]).await.expect("it answers");
    let [rows, numbers, least, most] = [0, 1, 2, 3].map(|column| row.get::<_, i64>(column));
    println!("{DEATHS} deaths, {} faults", progress.faults.load(Ordering::Relaxed));
    assert_eq!((rows, numbers, least, most), (BATCHES * ROWS + 1, BATCHES * ROWS + 1, -1, BATCHES * ROWS - 1));
    assert!(progress.faults.load(Ordering::Relaxed) >= DEATHS, "nobody was disturbed");
}

use super::*;
use crate::delivery::{self, Trouble};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use outflow_api::{
    BatchId, CommitOutcome, CommitPermit, Encoded, Finding, Generation, Incarnation, PrepareOutcome, Prepared,
    SealedBatch, Sink, SweepReport, SweepScope,
};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize},
    },
};

const LIMITS: CallLimits = CallLimits { per_host: 16, per_credential: 8 };

fn here(lane: u32) -> Caller<'static> {
    Caller { shard: Shard(0), lane: LaneId(lane), remote: None }
}

fn at(remote: &Remote, lane: u32) -> Caller<'_> {
    Caller { remote: Some(remote), ..here(lane) }
}

/// A store that is there or not, and counts who asks.
#[derive(Default)]
struct Store {
    is_up: AtomicBool,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
}

impl Store {
    async fn ask(&self) -> Result<(), Fault> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let at_once = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.at_once_max.fetch_max(at_once, Ordering::Relaxed);
        sleep(Duration::from_millis(20)).await;
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        match self.is_up.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(Fault::retry("unreachable", "connection refused").reaching(Reach::Host)),
        }
    }

    fn count(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

struct StoreSink {
    store: Arc<Store>,
    remote: Remote,
    prepare_asks: bool,
}

#[async_trait]
impl Sink for StoreSink {
    fn remote(&self) -> Option<&Remote> {
        Some(&self.remote)
    }

    fn encode(&self, _: &SealedBatch) -> Result<Encoded, Fault> {
        Ok(Encoded::default())
    }

    async fn prepare(&self, id: BatchId, _: &Encoded) -> Result<PrepareOutcome, Fault> {
        if self.prepare_asks {
            self.store.ask().await?;
        }
        Ok(Prepared { id, token: Bytes::from_static(b"token") }.into())
    }

    async fn commit(&self, _: &CommitPermit, _: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        self.store.ask().await.map(|()| CommitOutcome::Committed)
    }

    async fn abort(&self, _: &Prepared) -> Result<(), Fault> {
        self.store.ask().await
    }

    async fn sweep(&self, _: &SweepScope) -> Result<SweepReport, Fault> {
        Ok(SweepReport::default())
    }

    async fn examine(&self) -> Vec<Finding> {
        Vec::new()
    }
}

fn sink(store: &Arc<Store>, prepare_asks: bool) -> Arc<dyn Sink> {
    Arc::new(StoreSink { store: Arc::clone(store), remote: Remote::new("store:9000", "key a"), prepare_asks })
}

fn batch(lane: u32) -> BatchId {
    let (incarnation, generation) = (Incarnation(1), Generation(1));
    BatchId { incarnation, shard: Shard(0), generation, lane: LaneId(lane), seq: 1 }
}

async fn prepare(calls: &Calls, sink: &Arc<dyn Sink>, lane: u32) -> Result<Prepared, String> {
    let prepared = delivery::prepare(Arc::clone(sink), batch(lane), &Encoded::default(), calls, || ()).await;
    match prepared {
        Ok(delivery::Answer::Prepared(prepared, _)) => Ok(prepared),
        Ok(delivery::Answer::Refused(rows)) => panic!("{rows:?} are refused"),
        Err(Trouble::Park(reason)) => Err(reason.code),
        Err(Trouble::Stop(fault)) => panic!("{fault}"),
    }
}

async fn commit(calls: &Calls, sink: &Arc<dyn Sink>, lane: u32, stalled: &AtomicUsize) -> CommitOutcome {
    let permit = CommitPermit::mint(Prepared { id: batch(lane), token: Bytes::from_static(b"token") });
    let stalled = |_| {
        stalled.fetch_add(1, Ordering::Relaxed);
    };
    let outcome = delivery::commit(|| Some(Arc::clone(sink)), &permit, None, calls, stalled, || ()).await;
    outcome.expect("nobody stops it").expect("nobody gives it up")
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_that_hang_hold_up_nobody_for_long() {
    let calls = Calls::new(LIMITS);
    let hanging = (0..1_000).map(|lane| calls.call(here(lane), pending::<Result<(), Fault>>()));
    let started = Instant::now();
    let healthy = async {
        let answered = calls.call(here(2_000), async { Ok(()) }).await;
        assert!(answered.is_ok());
        started.elapsed()
    };
    let (hung, waited) = tokio::join!(join_all(hanging), healthy);
    assert!(waited <= SOON * 5, "{waited:?}");
    let silent =
        |answer: &Result<(), Failure>| matches!(answer, Err(Failure::Fault(fault)) if fault.code == "no-answer");
    assert!(hung.iter().all(silent));
    // From now on they wait among themselves.
    let again = join_all((0..1_000).map(|lane| calls.call(here(lane), pending::<Result<(), Fault>>())));
    let healthy = async {
        let started = Instant::now();
        assert!(calls.call(here(2_000), async { Ok(()) }).await.is_ok());
        started.elapsed()
    };
    let (_, waited) = tokio::join!(again, healthy);
    assert!(waited < SOON, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_counts_for_its_credential_and_not_for_others_of_the_host() {
    let calls = Calls::new(CallLimits { per_host: 4, per_credential: 2 });
    let (one, other) = (Remote::new("store", "one"), Remote::new("store", "other"));
    let hanging = join_all((0..2).map(|lane| calls.call(at(&one, lane), pending::<Result<(), Fault>>())));
    let third = async {
        let started = Instant::now();
        assert!(calls.call(at(&one, 3), async { Ok(()) }).await.is_ok());
        started.elapsed()
    };
    let elsewhere = async {
        let started = Instant::now();
        assert!(calls.call(at(&other, 4), async { Ok(()) }).await.is_ok());
        started.elapsed()
    };
    let (_, third, elsewhere) = tokio::join!(hanging, third, elsewhere);
    assert!(third >= CALL_MAX && elsewhere < SOON, "{third:?} {elsewhere:?}");
}

#[tokio::test(start_paused = true)]
async fn decided_batches_of_a_dead_store_wait_for_its_circuit_and_are_all_revealed_when_it_is_back() {
    let (calls, store, stalled) = (Calls::new(LIMITS), Arc::new(Store::default()), AtomicUsize::new(0));
    let sink = sink(&store, false);
    let started = Instant::now();
    let commits = async {
        let outcomes = join_all((0..2_000).map(|lane| commit(&calls, &sink, lane, &stalled))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == CommitOutcome::Committed));
        started.elapsed()
    };
    let back = async {
        sleep(Duration::from_secs(600)).await;
        let asked = store.count();
        store.is_up.store(true, Ordering::Relaxed);
        asked
    };
    let (revealed, asked) = tokio::join!(commits, back);
    // Those that had places, and one at 1, 3, 7, 15, 31, 61, 91 … seconds.
    assert!(asked <= LIMITS.per_credential * 2 + 25, "{asked} calls of a store that is gone");
    assert_eq!(store.count() - asked, 2_000, "each batch is sent once when it is back");
    assert_eq!(stalled.load(Ordering::Relaxed), 2_000, "each lane is parked once");
    assert!(store.at_once_max.load(Ordering::Relaxed) <= LIMITS.per_credential);
    assert!(revealed < Duration::from_secs(640), "{revealed:?}");
}

#[tokio::test(start_paused = true)]
async fn lanes_of_a_dead_store_park_at_once_and_are_told_to_go_on_together() {
    let (calls, store) = (Calls::new(LIMITS), Arc::new(Store::default()));
    let sink = sink(&store, true);
    let first = join_all((0..1_000).map(|lane| prepare(&calls, &sink, lane))).await;
    let parked = |result: &Result<Prepared, String>| result.as_ref().is_err_and(|code| code == "circuit-open");
    assert!(first.iter().all(parked), "{:?}", first.iter().find(|result| !parked(result)));
    assert!(store.count() <= LIMITS.per_credential * 2, "{} calls", store.count());
    store.is_up.store(true, Ordering::Relaxed);
    sleep(Duration::from_secs(1)).await;
    let invited = calls.resumable(Shard(0));
    assert_eq!(invited.len(), 1, "one is asked to try");
    assert!(prepare(&calls, &sink, invited[0].0).await.is_ok());
    let mut resumed = Vec::new();
    while let some @ [_, ..] = &calls.resumable(Shard(0))[..] {
        assert!(some.len() <= RESUMED_AT_ONCE);
        resumed.extend_from_slice(some);
    }
    assert_eq!(resumed.len(), 1_000);
    assert!(join_all(resumed.iter().map(|lane| prepare(&calls, &sink, lane.0))).await.iter().all(Result::is_ok));
    assert_eq!(calls.status().open_hosts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_asks_nobody_neither_closes_a_circuit_nor_takes_its_try() {
    let (calls, store, stalled) = (Calls::new(LIMITS), Arc::new(Store::default()), AtomicUsize::new(0));
    let (staging, small) = (sink(&store, true), sink(&store, false));
    join_all((0..10).map(|lane| prepare(&calls, &staging, lane))).await;
    sleep(Duration::from_secs(1)).await;
    assert!(prepare(&calls, &small, 1).await.is_ok());
    assert_eq!(calls.status().open_hosts, 1);
    store.is_up.store(true, Ordering::Relaxed);
    assert_eq!(commit(&calls, &small, 1, &stalled).await, CommitOutcome::Committed);
    assert_eq!(calls.status().open_hosts, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_given_up_leave_their_places_and_the_next_try_to_others() {
    let calls = Calls::new(LIMITS);
    let remote = Remote::new("store", "one");
    let failing = || async {
        sleep(SOON / 10).await;
        Err::<(), Fault>(Fault::retry("unreachable", "refused").reaching(Reach::Host))
    };
    join_all((0..5).map(|lane| calls.call(at(&remote, lane), failing()))).await;
    let hung = calls.call(at(&remote, 7), pending::<Result<(), Fault>>());
    assert!(timeout(Duration::from_millis(100), hung).await.is_ok_and(|answer| answer.is_err()), "it is open");
    sleep(Duration::from_secs(1)).await;
    let tried = timeout(Duration::from_millis(100), calls.call(at(&remote, 7), pending::<Result<(), Fault>>())).await;
    assert!(tried.is_err(), "the try hangs and is given up");
    sleep(Duration::from_secs(2)).await;
    let through = || async {
        sleep(Duration::from_millis(1)).await;
        Ok::<(), Fault>(())
    };
    assert!(calls.call(at(&remote, 8), through()).await.is_ok());
    let status = calls.status();
    assert_eq!((status.under_way, status.waiting, status.open_hosts, status.openings), (0, 0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_of_an_open_circuit_names_it_and_a_lane_is_not_told_of_anothers_place() {
    let calls = Calls::new(LIMITS);
    let remote = Remote::new("store:9000", "access key 12");
    let failing = || async { Err::<(), Fault>(Fault::retry("unreachable", "at s3://acme").reaching(Reach::Host)) };
    join_all((0..3).map(|lane| calls.call(at(&remote, lane), failing()))).await;
    let shown = calls.status().circuits.remove(0);
    assert_eq!((&*shown.name, &*shown.code, shown.next_try_s), ("host store:9000", "unreachable", 1));
    assert!(shown.cause.contains("s3://acme"));
    match calls.call(at(&remote, 9), failing()).await {
        Err(Failure::Open(fault, _)) => {
            assert!(fault.code == "circuit-open" && fault.hint.contains("store:9000"), "{fault}");
            assert!(!fault.hint.contains("acme"), "{fault}");
        }
        _ => panic!("it is open"),
    }
}

//! A sink's calls, repeated until they answer. The only place where a fault becomes a wait.

use crate::{
    calls::{Caller, Calls, Failure},
    retry::Waits,
};
use bytes::Bytes;
use outflow_api::{
    BatchId, CommitOutcome, CommitPermit, Delivered, Encoded, Fault, PrepareOutcome, Prepared, RECEIPT_BYTES_MAX, Sink,
    TOKEN_BYTES_MAX, Verdict,
};
use outflow_engine::Reason;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// A prepare that fails this long parks its lane; the rows are read again later.
const PREPARE_MAX: Duration = Duration::from_secs(30);
/// A reveal that fails this long is reported; it is decided, so it is tried on.
const REVEAL_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) enum Trouble {
    Park(Reason),
    /// Belief and sight disagree, or somebody newer is here: the shard stops.
    Stop(Fault),
}

pub(crate) enum Answer {
    /// And by what it could be removed.
    Prepared(Prepared, Bytes),
    /// Rows of the batch, and why.
    Refused(Vec<(usize, String)>),
}

pub(crate) fn reason(fault: &Fault) -> Reason {
    Reason { code: fault.code.into(), hint: fault.to_string() }
}

fn caller(id: BatchId, sink: &dyn Sink) -> Caller<'_> {
    Caller { shard: id.shard, lane: id.lane, remote: sink.remote() }
}

pub(crate) async fn prepare(
    sink: Arc<dyn Sink>,
    id: BatchId,
    encoded: &Encoded,
    calls: &Calls,
    repeated: impl Fn(),
) -> Result<Answer, Trouble> {
    let (started, mut waits) = (Instant::now(), Waits::new());
    loop {
        let fault = match calls.call(caller(id, &*sink), sink.prepare(id, encoded)).await {
            Ok(PrepareOutcome::Refused { rows }) => return Ok(Answer::Refused(rows)),
            Ok(PrepareOutcome::Prepared(prepared)) if prepared.token.len() > TOKEN_BYTES_MAX => Fault::park(
                outflow_api::Blame::Us,
                "token-too-large",
                format!(
                    "what identifies the batch takes {} bytes, at most {TOKEN_BYTES_MAX} are kept: \
                         partition the output by less, or flush smaller batches",
                    prepared.token.len()
                ),
            ),
            Ok(PrepareOutcome::Prepared(prepared)) => {
                let receipt = sink.receipt(&prepared);
                // One that is too long for the ledger: the batch cannot be replaced, and is delivered all the same.
                let receipt = if receipt.len() > RECEIPT_BYTES_MAX { Bytes::new() } else { receipt };
                return Ok(Answer::Prepared(prepared, receipt));
            }
            // Its rows are owed, and it is told when it may go on.
            Err(Failure::Open(fault, _)) => return Err(Trouble::Park(reason(&fault))),
            Err(Failure::Fault(fault)) => fault,
        };
        match fault.verdict {
            Verdict::Retry { .. } if started.elapsed() < PREPARE_MAX => {
                tracing::debug!(batch = %id, fault = %fault, "prepare will be repeated");
                repeated();
                sleep(waits.next(&fault)).await;
            }
            Verdict::Retry { .. } | Verdict::Park => return Err(Trouble::Park(reason(&fault))),
            Verdict::Fence | Verdict::Halt => return Err(Trouble::Stop(fault)),
        }
    }
}

/// Until there is an outcome, or no sink any more: somebody gave the batch up. `stalled` hears, once, that it takes
/// long.
pub(crate) async fn commit(
    sink: impl Fn() -> Option<Arc<dyn Sink>>,
    permit: &CommitPermit,
    encoded: Option<&Encoded>,
    calls: &Calls,
    stalled: impl Fn(Reason),
    repeated: impl Fn(),
) -> Result<Option<CommitOutcome>, Fault> {
    let call = |sink: Arc<dyn Sink>| async move { sink.commit(permit, encoded).await };
    tried_on((permit.prepared().id, sink), call, calls, stalled, repeated).await
}

/// As above, of an old batch whose place was taken.
pub(crate) async fn remove(
    sink: impl Fn() -> Option<Arc<dyn Sink>>,
    old: &Delivered,
    calls: &Calls,
    stalled: impl Fn(Reason),
    repeated: impl Fn(),
) -> Result<Option<()>, Fault> {
    let call = |sink: Arc<dyn Sink>| async move { sink.remove(old).await };
    tried_on((old.id, sink), call, calls, stalled, repeated).await
}

async fn tried_on<T, F: Future<Output = Result<T, Fault>>>(
    (id, sink): (BatchId, impl Fn() -> Option<Arc<dyn Sink>>),
    call: impl Fn(Arc<dyn Sink>) -> F,
    calls: &Calls,
    stalled: impl Fn(Reason),
    repeated: impl Fn(),
) -> Result<Option<T>, Fault> {
    let late_at = Instant::now() + REVEAL_PATIENCE;
    let (mut waits, mut reported) = (Waits::new(), false);
    loop {
        let Some(sink) = sink() else { return Ok(None) };
        let (fault, wait, is_hopeless) = match calls.call(caller(id, &*sink), call(Arc::clone(&sink))).await {
            Ok(outcome) => return Ok(Some(outcome)),
            Err(Failure::Open(fault, wait)) => (fault, wait, false),
            Err(Failure::Fault(fault)) => {
                let is_hopeless = match fault.verdict {
                    Verdict::Retry { .. } => false,
                    Verdict::Park => true,
                    Verdict::Fence | Verdict::Halt => return Err(fault),
                };
                tracing::debug!(batch = %id, fault = %fault, "commit or removal will be repeated");
                repeated();
                let wait = waits.next(&fault);
                (fault, wait, is_hopeless)
            }
        };
        let mut rest = std::pin::pin!(calls.rest(sink.remote(), wait));
        if !reported && !is_hopeless && timeout_at(late_at, &mut rest).await.is_ok() {
            continue;
        }
        if !reported {
            reported = true;
            stalled(reason(&fault));
        }
        rest.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{calls::CallLimits, nowhere::Nowhere};
    use outflow_api::{Finding, Generation, Incarnation, LaneId, SealedBatch, Shard, SweepReport, SweepScope};
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Down;

    #[async_trait::async_trait]
    impl Sink for Down {
        fn remote(&self) -> Option<&outflow_api::Remote> {
            None
        }

        fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
            Nowhere.encode(batch)
        }

        async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
            Nowhere.prepare(id, encoded).await
        }

        async fn commit(&self, _: &CommitPermit, _: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
            Err(Fault::retry("down", "the destination is down"))
        }

        async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
            Nowhere.abort(prepared).await
        }

        async fn sweep(&self, scope: &SweepScope) -> Result<SweepReport, Fault> {
            Nowhere.sweep(scope).await
        }

        async fn examine(&self) -> Vec<Finding> {
            Nowhere.examine().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_tried_until_somebody_gives_it_up() {
        let (incarnation, shard, generation, lane) = (Incarnation(1), Shard(0), Generation(1), LaneId(1));
        let id = BatchId { incarnation, shard, generation, lane, seq: 1 };
        let permit = CommitPermit::mint(Prepared { id, token: bytes::Bytes::new() });
        let (asked, calls) = (AtomicU32::new(0), Calls::new(CallLimits { per_host: 8, per_credential: 8 }));
        let sink = || (asked.fetch_add(1, Ordering::Relaxed) < 3).then(|| Arc::new(Down) as Arc<dyn Sink>);
        let outcome = commit(sink, &permit, None, &calls, |_| {}, || {}).await;
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!(asked.into_inner(), 4);
        let outcome = commit(|| Some(Arc::new(Nowhere)), &permit, None, &calls, |_| {}, || {}).await;
        assert!(matches!(outcome, Ok(Some(CommitOutcome::Committed))), "{outcome:?}");
    }
}

//! A sink's calls, repeated until they answer. The only place where a fault becomes a wait.

use crate::retry::Waits;
use outflow_api::{BatchId, CommitOutcome, CommitPermit, Encoded, Fault, Prepared, Sink, TOKEN_BYTES_MAX, Verdict};
use outflow_engine::Reason;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// A call that does not answer in this time is repeated: no client's own patience is trusted.
const CALL_MAX: Duration = Duration::from_secs(120);
/// A prepare that fails this long parks its lane; the rows are read again later.
const PREPARE_MAX: Duration = Duration::from_secs(30);
/// A reveal that fails this long is reported; it is decided, so it is tried on.
const REVEAL_PATIENCE: Duration = Duration::from_secs(10);

pub(crate) enum Trouble {
    Park(Reason),
    /// Belief and sight disagree, or somebody newer is here: the shard stops.
    Stop(Fault),
}

pub(crate) fn reason(fault: &Fault) -> Reason {
    Reason { code: fault.code.into(), hint: fault.to_string() }
}

pub(crate) async fn prepare(
    sink: Arc<dyn Sink>,
    id: BatchId,
    encoded: &Encoded,
    repeated: impl Fn(),
) -> Result<Prepared, Trouble> {
    let (started, mut waits) = (Instant::now(), Waits::new());
    loop {
        let fault = match bounded(sink.prepare(id, encoded)).await {
            Ok(prepared) if prepared.token.len() > TOKEN_BYTES_MAX => Fault::park(
                outflow_api::Blame::Us,
                "token-too-large",
                format!(
                    "what identifies the batch takes {} bytes, at most {TOKEN_BYTES_MAX} are kept: \
                         partition the output by less, or flush smaller batches",
                    prepared.token.len()
                ),
            ),
            Ok(prepared) => return Ok(prepared),
            Err(fault) => fault,
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

/// Until there is an outcome. `stalled` hears, once, that it takes long.
pub(crate) async fn commit(
    sink: Arc<dyn Sink>,
    permit: &CommitPermit,
    encoded: Option<&Encoded>,
    stalled: impl Fn(Reason),
    repeated: impl Fn(),
) -> Result<CommitOutcome, Fault> {
    let (started, mut waits, mut reported) = (Instant::now(), Waits::new(), false);
    loop {
        let fault = match bounded(sink.commit(permit, encoded)).await {
            Ok(outcome) => return Ok(outcome),
            Err(fault) => fault,
        };
        let is_late = match fault.verdict {
            Verdict::Retry { .. } => started.elapsed() >= REVEAL_PATIENCE,
            Verdict::Park => true,
            Verdict::Fence | Verdict::Halt => return Err(fault),
        };
        if is_late && !reported {
            reported = true;
            stalled(reason(&fault));
        }
        tracing::debug!(batch = %permit.prepared().id, fault = %fault, "commit will be repeated");
        repeated();
        sleep(waits.next(&fault)).await;
    }
}

async fn bounded<T>(call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let silent = || Fault::retry("no-answer", format!("the destination did not answer within {CALL_MAX:?}"));
    timeout(CALL_MAX, call).await.unwrap_or_else(|_| Err(silent()))
}

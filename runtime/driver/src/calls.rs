use outflow_api::{Fault, LaneId};
use std::{
    collections::HashSet,
    future::Future,
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// Calls to destinations, all lanes together. A thousand destinations that hang must not keep the others waiting: a
/// call that does not answer soon gives its place back, and who did not answer the last time waits among his like.
pub(crate) struct Calls {
    healthy: Semaphore,
    doubtful: Semaphore,
    /// Lanes whose last call failed, or took long.
    doubted: Mutex<HashSet<LaneId>>,
}

const HEALTHY_MAX: usize = 256;
const DOUBTFUL_MAX: usize = 64;
/// A call that takes longer goes on without a place.
const SOON: Duration = Duration::from_millis(500);
/// A call that does not answer in this time is repeated: no client's own patience is trusted.
const CALL_MAX: Duration = Duration::from_secs(120);

impl Calls {
    pub fn new() -> Calls {
        let (healthy, doubtful) = (Semaphore::new(HEALTHY_MAX), Semaphore::new(DOUBTFUL_MAX));
        Calls { healthy, doubtful, doubted: Mutex::default() }
    }

    pub async fn call<T>(&self, lane: LaneId, call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let places = if self.is_doubted(lane) { &self.doubtful } else { &self.healthy };
        let place = places.acquire().await;
        let mut call = pin!(call);
        let answer = match timeout(SOON, &mut call).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(place);
                self.doubt(lane, true);
                let silent =
                    || Fault::retry("no-answer", format!("the destination did not answer within {CALL_MAX:?}"));
                timeout(CALL_MAX, call).await.unwrap_or_else(|_| Err(silent()))
            }
        };
        self.doubt(lane, answer.is_err());
        answer
    }

    fn is_doubted(&self, lane: LaneId) -> bool {
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner).contains(&lane)
    }

    fn doubt(&self, lane: LaneId, doubted: bool) {
        let mut all = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        match doubted {
            true => all.insert(lane),
            false => all.remove(&lane),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_calls_that_hang_hold_up_nobody_for_long() {
        let calls = Calls::new();
        let hanging = (0..1_000).map(|lane| calls.call(LaneId(lane), pending::<Result<(), Fault>>()));
        let started = tokio::time::Instant::now();
        let healthy = async {
            let answered = calls.call(LaneId(2_000), async { Ok(()) }).await;
            assert!(answered.is_ok());
            started.elapsed()
        };
        let (hung, waited) = tokio::join!(join_all(hanging), healthy);
        assert!(waited <= SOON * 5, "{waited:?}");
        assert!(hung.iter().all(|answer| answer.as_ref().is_err_and(|fault| fault.code == "no-answer")));
        // From now on they wait among themselves.
        let again = join_all((0..1_000).map(|lane| calls.call(LaneId(lane), pending::<Result<(), Fault>>())));
        let healthy = async {
            let started = tokio::time::Instant::now();
            calls.call(LaneId(2_000), async { Ok(()) }).await.expect("it answers at once");
            started.elapsed()
        };
        let (_, waited) = tokio::join!(again, healthy);
        assert!(waited < SOON, "{waited:?}");
    }
}

//! Calls to destinations, all lanes together: how many are under way, to whom, and whether it is of any use to ask.

mod circuit;
mod circuits;
mod party;
mod places;

pub use places::CallLimits;

use crate::status::{CallsStatus, CircuitStatus};
use circuits::{Circuits, Evidence, Refusal, Turn};
use outflow_api::{Fault, LaneId, Reach, Remote, Shard};
use party::Party;
use places::Places;
use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout},
};

/// A thousand destinations that hang must not keep the others waiting: a call that does not answer soon gives its place
/// among all calls back, and who did not answer the last time waits among his like. For its host and its credential it
/// counts to its end: how many of those they take is theirs to say.
///
/// When lanes of a host or a credential fail one after the other, its circuit opens: nothing is sent but a try from
/// time to time, and when that gets through everybody goes on.
pub(crate) struct Calls {
    started: Instant,
    healthy: Semaphore,
    doubtful: Semaphore,
    /// Lanes whose last call failed, or took long.
    doubted: Mutex<HashSet<LaneId>>,
    places: Places,
    circuits: Mutex<Circuits>,
    under_way: AtomicU64,
    waiting: AtomicU64,
}

/// Who calls, and whom.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'c> {
    pub shard: Shard,
    pub lane: LaneId,
    pub remote: Option<&'c Remote>,
}

pub(crate) enum Failure {
    Fault(Fault),
    /// Nobody was asked: the circuit is open. To be asked again after this long, or when it closes.
    Open(Fault, Duration),
}

const HEALTHY_MAX: usize = 256;
const DOUBTFUL_MAX: usize = 64;
/// A call that takes longer goes on without a place.
const SOON: Duration = Duration::from_millis(500);
/// A call that does not answer in this time is repeated: no client's own patience is trusted.
const CALL_MAX: Duration = Duration::from_secs(120);
/// Of circuits that are open, so many are shown by name.
const SHOWN_MAX: usize = 20;
/// Lanes of a shard that a circuit lets go on together: they read again in one pass, and their calls wait for places.
const RESUMED_AT_ONCE: usize = 200;

impl Calls {
    pub fn new(limits: CallLimits) -> Calls {
        Calls {
            started: Instant::now(),
            healthy: Semaphore::new(HEALTHY_MAX),
            doubtful: Semaphore::new(DOUBTFUL_MAX),
            doubted: Mutex::default(),
            places: Places::new(limits),
            circuits: Mutex::default(),
            under_way: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }
    }

    pub async fn call<T>(
        &self,
        caller: Caller<'_>,
        call: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Failure> {
        let waiter = (caller.shard, caller.lane);
        let now = || self.started.elapsed();
        if let Some(remote) = caller.remote {
            self.circuits().ask(remote, waiter, now()).map_err(open)?;
        }
        let places = Counted::one(&self.waiting, self.places(caller)).await;
        if let Some(remote) = caller.remote {
            // It may have opened meanwhile.
            self.circuits().admit(remote, waiter, now()).map_err(open)?;
        }
        let (began, mut call) = (now(), pin!(call));
        let at_once = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        let (answer, is_asked) = match at_once {
            Poll::Ready(answer) => (answer, false),
            Poll::Pending => (Counted::one(&self.under_way, self.patiently(caller.lane, call, places)).await, true),
        };
        self.doubt(caller.lane, answer.is_err());
        if let Some(remote) = caller.remote {
            let evidence = match &answer {
                Err(fault) if is_asked || fault.reach != Reach::Lane => Evidence::Fault(fault),
                Ok(_) | Err(_) if is_asked => Evidence::Answered,
                Ok(_) | Err(_) => Evidence::None,
            };
            let turns = self.circuits().answered(remote, waiter, &evidence, (began, now()));
            turns.into_iter().for_each(|turn| self.tell(&turn));
        }
        answer.map_err(Failure::Fault)
    }

    /// For its host and credential to be held to the call's end, and one among all calls.
    async fn places(&self, caller: Caller<'_>) -> (Option<[places::Place; 2]>, Option<SemaphorePermit<'_>>) {
        let is_doubted = self.is_doubted(caller.lane);
        let own = match caller.remote.map(Party::both) {
            Some([credential, host]) => {
                Some([self.places.take(&credential, is_doubted).await, self.places.take(&host, is_doubted).await])
            }
            None => None,
        };
        let among_all = if is_doubted { &self.doubtful } else { &self.healthy };
        (own, among_all.acquire().await.ok())
    }

    async fn patiently<T>(
        &self,
        lane: LaneId,
        mut call: Pin<&mut impl Future<Output = Result<T, Fault>>>,
        (_own, place): (Option<[places::Place; 2]>, Option<SemaphorePermit<'_>>),
    ) -> Result<T, Fault> {
        if let Ok(answer) = timeout(SOON, &mut call).await {
            return answer;
        }
        drop(place);
        self.doubt(lane, true);
        let hint = || format!("the destination did not answer within {CALL_MAX:?}");
        let silent = || Fault::retry("no-answer", hint()).reaching(Reach::Host);
        timeout(CALL_MAX, call).await.unwrap_or_else(|_| Err(silent()))
    }

    /// So long, or until the circuit that is open closes.
    pub async fn rest(&self, remote: Option<&Remote>, wait: Duration) {
        let mut end = pin!(sleep(wait));
        let Some(remote) = remote else { return end.await };
        let [credential, host] = Party::both(remote).map(|party| self.places.room(&party));
        let mut was_open = false;
        loop {
            let (mut one, mut other) = (pin!(credential.turned.notified()), pin!(host.turned.notified()));
            one.as_mut().enable();
            other.as_mut().enable();
            let is_open = self.circuits().is_open(remote);
            if was_open && !is_open {
                return;
            }
            was_open = is_open;
            tokio::select! {
                () = &mut end => return,
                () = one => {}
                () = other => {}
            }
        }
    }

    /// Lanes of the shard that a circuit has kept from going on, and that may now.
    pub fn resumable(&self, shard: Shard) -> Vec<LaneId> {
        self.circuits().resumable(shard, self.started.elapsed(), RESUMED_AT_ONCE)
    }

    pub fn leave(&self, shard: Shard) {
        self.circuits().leave(shard);
    }

    pub fn status(&self) -> CallsStatus {
        let circuits = self.circuits();
        let mut open: Vec<_> = circuits.open(self.started.elapsed()).collect();
        open.sort_by(|one, other| (other.lanes, other.since, &one.party).cmp(&(one.lanes, one.since, &other.party)));
        let hosts = open.iter().filter(|open| matches!(open.party, Party::Host(_))).count() as u64;
        let shown = open.iter().take(SHOWN_MAX).map(|open| CircuitStatus {
            name: open.party.to_string(),
            code: open.cause.code.to_owned(),
            cause: open.cause.text.clone(),
            lanes: open.lanes as u64,
            open_s: open.since.as_secs(),
            next_try_s: open.wait.as_secs_f64().ceil() as u64,
        });
        CallsStatus {
            under_way: self.under_way.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            openings: circuits.openings,
            open_hosts: hosts,
            open_credentials: open.len() as u64 - hosts,
            circuits: shown.collect(),
        }
    }

    fn tell(&self, turn: &Turn) {
        let party = match turn {
            Turn::Opened { party, cause } => {
                let (code, cause) = (cause.code, &cause.text);
                tracing::warn!(%party, code, %cause, event = "circuit-opened", "circuit opened: its lanes wait");
                party
            }
            Turn::Closed { party, lasted, lanes } => {
                let open_s = lasted.as_secs();
                tracing::info!(%party, open_s, lanes, event = "circuit-closed", "circuit closed: its lanes go on");
                party
            }
        };
        self.places.turned(party);
    }

    fn circuits(&self) -> MutexGuard<'_, Circuits> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Does not repeat the cause's own words: they may name another merchant's place.
fn open(refusal: Refusal) -> Failure {
    let Refusal { party, cause, wait } = refusal;
    let seconds = wait.as_secs_f64().ceil();
    let hint = format!(
        "calls to {party} failed one after the other ({}): none is sent until a try gets through, the next within \
         {seconds} s; then the lane goes on by itself",
        cause.code
    );
    Failure::Open(Fault::park(cause.blame, "circuit-open", hint), wait)
}

/// Counts itself while it is there, however it ends.
struct Counted<'c>(&'c AtomicU64);

impl Counted<'_> {
    async fn one<T>(counter: &AtomicU64, future: impl Future<Output = T>) -> T {
        counter.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(counter);
        future.await
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

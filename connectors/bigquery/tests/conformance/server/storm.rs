use super::wire::Cuts;
use outflow_conformance::sink::Random;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Fine,
    /// Nothing is done, and that is said.
    Refused,
    /// A quota is used up.
    Throttled,
    /// It is done, and the answer is that the service failed.
    Lost,
    /// It is done, and every connection breaks.
    Cut,
    /// The service says that it failed, and does it later.
    Late,
}

pub struct Storm {
    random: Mutex<Random>,
    rages: AtomicBool,
    faults: AtomicUsize,
    cuts: Cuts,
}

impl Storm {
    pub fn new(seed: u64, cuts: Cuts) -> Storm {
        let random = Mutex::new(Random::new(seed));
        Storm { random, rages: AtomicBool::new(false), faults: AtomicUsize::new(0), cuts }
    }

    pub fn rages(&self, rages: bool) {
        self.rages.store(rages, Ordering::SeqCst);
    }

    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::SeqCst)
    }

    /// One request of so many goes wrong.
    pub fn fate(&self, of: usize) -> Fate {
        if !self.rages.load(Ordering::SeqCst) {
            return Fate::Fine;
        }
        let fate = match self.random.lock().unwrap_or_else(PoisonError::into_inner).below(13 * of) {
            0..3 => Fate::Refused,
            3..5 => Fate::Throttled,
            5..8 => Fate::Lost,
            8..10 => Fate::Cut,
            10..13 => Fate::Late,
            _ => return Fate::Fine,
        };
        self.faults.fetch_add(1, Ordering::SeqCst);
        fate
    }

    /// Below so many, while it rages; else 0.
    pub fn below(&self, limit: usize) -> usize {
        let rages = self.rages.load(Ordering::SeqCst);
        if rages { self.random.lock().unwrap_or_else(PoisonError::into_inner).below(limit) } else { 0 }
    }

    pub fn cut(&self) {
        self.cuts.cut();
    }

    /// For a while, without a clock.
    pub async fn dawdle(&self) {
        let turns = self.random.lock().unwrap_or_else(PoisonError::into_inner).below(200);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}

//! Load jobs that failed, so that a batch is neither given up nor tried for ever at once: failed jobs count among those
//! that a table may have in a day.

use outflow_api::{BatchId, SweepScope};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
pub struct Failures(Mutex<HashMap<BatchId, Failure>>);

#[derive(Clone, Copy, Default)]
struct Failure {
    /// So many jobs of the batch failed.
    attempts: u32,
    /// How often the batch was asked for since the last of them.
    asked: u32,
}

impl Failures {
    fn state(&self) -> MutexGuard<'_, HashMap<BatchId, Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first attempt that is not known to have failed.
    pub fn known(&self, id: BatchId) -> u32 {
        self.state().get(&id).map_or(0, |failure| failure.attempts.saturating_sub(1))
    }

    /// Whether it is time for the next job after so many failed: each waits for one call more than the one before. The
    /// first call hears of the failure.
    pub fn is_tried_again(&self, id: BatchId, attempts: u32) -> bool {
        let mut state = self.state();
        let failure = state.entry(id).or_default();
        if failure.attempts != attempts {
            *failure = Failure { attempts, asked: 0 };
            return false;
        }
        failure.asked += 1;
        failure.asked >= attempts
    }

    pub fn forget(&self, id: BatchId) {
        self.state().remove(&id);
    }

    /// Batches whose end another owner saw.
    pub fn sweep(&self, scope: &SweepScope) {
        let is_old = |id: &BatchId| {
            id.incarnation == scope.incarnation && id.shard == scope.shard && id.generation < scope.below
        };
        let is_pending = |id: &BatchId| scope.keep.iter().any(|prepared| prepared.id == *id);
        self.state().retain(|id, _| !is_old(id) || is_pending(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Generation, Incarnation, LaneId, Shard};

    #[test]
    fn each_job_after_a_failure_waits_longer_and_the_failure_is_told_first() {
        let (incarnation, shard, generation) = (Incarnation(1), Shard(2), Generation(3));
        let id = BatchId { incarnation, shard, generation, lane: LaneId(4), seq: 5 };
        let failures = Failures::default();
        let asked_before = |attempts: u32| (0..100).take_while(|_| !failures.is_tried_again(id, attempts)).count();
        assert_eq!([1, 2, 3, 4].map(asked_before), [1, 2, 3, 4]);
        assert_eq!(failures.known(id), 3);
        failures.forget(id);
        assert_eq!((failures.known(id), failures.is_tried_again(id, 1)), (0, false));
    }
}

//! Stretches of streams that are kept for batches. A stream holds at most one of them, behind all that is there, so a
//! batch that is never decided leaves no hole before another one. It is used again when its batch is known to be whole;
//! nobody but the process that made it does so.

use outflow_api::{BatchId, SweepScope};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
pub struct Reservations(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the batches that are not known to be whole.
    kept: HashMap<BatchId, End>,
    free: Vec<End>,
}

/// Where the next row of a stream goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    pub stream: String,
    pub offset: u64,
}

impl Reservations {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That which was used last, for the service forgets those that are idle.
    pub fn take(&self) -> Option<End> {
        self.state().free.pop()
    }

    pub fn give_back(&self, end: End) {
        self.state().free.push(end);
    }

    /// What an earlier preparation of the batch kept is not used again: its token may be the one that is journaled.
    pub fn keep(&self, id: BatchId, end: End) {
        self.state().kept.insert(id, end);
    }

    /// The batch is whole, as the service says. Of a batch that is committed again, or was prepared elsewhere, nothing
    /// is known here.
    pub fn done(&self, id: BatchId, end: &End, rows: u64) {
        let mut state = self.state();
        if state.kept.get(&id) == Some(end) {
            state.kept.remove(&id);
            state.free.push(End { stream: end.stream.clone(), offset: end.offset + rows });
        }
    }

    pub fn forget(&self, id: BatchId) {
        self.state().kept.remove(&id);
    }

    /// Batches whose end another owner saw.
    pub fn sweep(&self, scope: &SweepScope) {
        let is_old = |id: &BatchId| {
            id.incarnation == scope.incarnation && id.shard == scope.shard && id.generation < scope.below
        };
        let is_pending = |id: &BatchId| scope.keep.iter().any(|prepared| prepared.id == *id);
        self.state().kept.retain(|id, _| !is_old(id) || is_pending(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::{Generation, Incarnation, LaneId, Shard};

    fn id(seq: u32) -> BatchId {
        let (incarnation, shard, generation) = (Incarnation(1), Shard(2), Generation(3));
        BatchId { incarnation, shard, generation, lane: LaneId(4), seq }
    }

    fn end(stream: &str, offset: u64) -> End {
        End { stream: stream.to_owned(), offset }
    }

    #[test]
    fn a_stream_is_free_again_once_its_batch_is_whole_and_only_once() {
        let reservations = Reservations::default();
        reservations.keep(id(1), end("a", 10));
        assert_eq!(reservations.take(), None);
        reservations.done(id(1), &end("a", 10), 5);
        reservations.done(id(1), &end("a", 10), 5);
        assert_eq!((reservations.take(), reservations.take()), (Some(end("a", 15)), None));
    }

    #[test]
    fn a_batch_that_is_prepared_twice_frees_the_stream_that_it_is_in_and_no_other() {
        let reservations = Reservations::default();
        reservations.keep(id(1), end("a", 0));
        reservations.keep(id(1), end("b", 0));
        reservations.done(id(1), &end("a", 0), 5);
        assert_eq!(reservations.take(), None);
        reservations.done(id(1), &end("b", 0), 5);
        assert_eq!((reservations.take(), reservations.take()), (Some(end("b", 5)), None));
    }

    #[test]
    fn what_older_owners_kept_is_forgotten_but_for_what_is_pending() {
        let reservations = Reservations::default();
        let pending = outflow_api::Prepared { id: id(2), token: Vec::new().into() };
        (1..=2).for_each(|seq| reservations.keep(id(seq), end("a", u64::from(seq))));
        let (incarnation, shard, below) = (Incarnation(1), Shard(2), Generation(4));
        reservations.sweep(&SweepScope { incarnation, shard, below, keep: vec![pending] });
        reservations.done(id(1), &end("a", 1), 1);
        assert_eq!(reservations.take(), None);
        reservations.done(id(2), &end("a", 2), 1);
        assert_eq!(reservations.take(), Some(end("a", 3)));
    }
}

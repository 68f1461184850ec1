use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// One budget for all that waits in this process: raw records, columns on their way, encoded pieces.
#[derive(Clone)]
pub struct Budget {
    bytes_max: usize,
    used: Counter,
    /// Of those, bytes of blocks that no shard has looked into: most of them are copied and given back.
    arriving: Counter,
    /// Of those, bytes of batches that are being encoded and delivered: they need not be asked to go.
    leaving: Counter,
    /// Of those, bytes that no encoder has begun with.
    queued: Counter,
}

type Counter = Arc<AtomicUsize>;

/// Some bytes of the budget; given back when dropped.
pub(crate) struct Reserved {
    bytes: usize,
    of: Counter,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Budget {
        let [used, arriving, leaving, queued] = <[Counter; 4]>::default();
        Budget { bytes_max, used, arriving, leaving, queued }
    }

    /// Never refuses: who holds the bytes already can only say so. The reader looks before it takes more.
    pub(crate) fn reserve(&self, bytes: usize) -> Reserved {
        reserve(&self.used, bytes)
    }

    /// The second one is given back when a shard has looked at them.
    pub(crate) fn reserve_arriving(&self, bytes: usize) -> (Reserved, Reserved) {
        (self.reserve(bytes), reserve(&self.arriving, bytes))
    }

    /// As `reserve`, for what is on its way out.
    pub(crate) fn reserve_leaving(&self, bytes: usize) -> (Reserved, Reserved) {
        (self.reserve(bytes), self.leave(bytes))
    }

    /// Bytes that are reserved already are on their way out.
    pub(crate) fn leave(&self, bytes: usize) -> Reserved {
        reserve(&self.leaving, bytes)
    }

    /// As `leave`, and wait for an encoder.
    pub(crate) fn queue(&self, bytes: usize) -> (Reserved, Reserved) {
        (self.leave(bytes), reserve(&self.queued, bytes))
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub fn used(&self) -> usize {
        load(&self.used)
    }

    // The budget is meant as resident memory. What the client fetches ahead, encoders' own buffers and the allocator's
    // spare pages take half of it: measured in tests/bench.

    /// From here on lanes are sealed early; but only as many as encoders have soon done with, for whatever waits for
    /// them makes no room, and would have grown.
    pub(crate) fn is_pressed(&self) -> bool {
        self.staying() >= self.twentieths(7) && load(&self.queued) < self.bytes_max / 40
    }

    /// Lanes were sealed early, or soon are.
    pub(crate) fn is_tight(&self) -> bool {
        self.staying() >= self.twentieths(6)
    }

    fn staying(&self) -> usize {
        self.used().saturating_sub(load(&self.leaving)).saturating_sub(load(&self.arriving))
    }

    fn twentieths(&self, count: usize) -> usize {
        self.bytes_max / 20 * count
    }

    /// From here on nothing more is read, until `has_room` again.
    pub(crate) fn is_full(&self) -> bool {
        self.used() >= self.twentieths(10)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.used() < self.twentieths(9)
    }

    /// Of what waits in one shard, as much as has to go of all that stays. A shard that gave way for all of them would
    /// be left with its smallest lanes.
    pub(crate) fn part_to_go(&self, waiting: usize) -> usize {
        let staying = self.staying();
        let soon_done = self.twentieths(1).saturating_sub(load(&self.queued));
        let excess = staying.saturating_sub(self.twentieths(6)).min(soon_done);
        (waiting as u128 * excess as u128 / staying.max(1) as u128) as usize
    }
}

fn reserve(of: &Counter, bytes: usize) -> Reserved {
    of.fetch_add(bytes, Ordering::Relaxed);
    Reserved { bytes, of: Arc::clone(of) }
}

fn load(counter: &Counter) -> usize {
    counter.load(Ordering::Relaxed)
}

impl Reserved {
    /// It holds so much by now.
    pub(crate) fn resize(&mut self, bytes: usize) {
        match bytes >= self.bytes {
            true => self.of.fetch_add(bytes - self.bytes, Ordering::Relaxed),
            false => self.of.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        self.bytes = bytes;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_gives_the_same_part_of_what_it_holds() {
        let budget = Budget::new(2_000);
        let held = budget.reserve(800);
        assert!(budget.is_pressed());
        assert_eq!([0, 80, 8_000].map(|waiting| budget.part_to_go(waiting)), [0, 10, 1_000]);
        let leaving = budget.leave(200);
        assert!(!budget.is_pressed());
        assert_eq!(budget.part_to_go(80), 0);
        drop((held, leaving));
        assert_eq!(budget.part_to_go(80), 0);
    }

    #[test]
    fn no_more_lanes_are_sealed_than_encoders_have_soon_done_with() {
        let budget = Budget::new(2_000);
        let _held = budget.reserve(1_000);
        assert_eq!(budget.part_to_go(1_000), 100);
        let (_leaving, queued) = budget.queue(60);
        assert!(!budget.is_pressed());
        drop(queued);
        assert!(budget.is_pressed());
    }

    #[test]
    fn what_nobody_has_looked_at_presses_nobody_and_takes_room() {
        let budget = Budget::new(2_000);
        let (held, arriving) = budget.reserve_arriving(1_000);
        assert!(budget.is_full() && !budget.is_pressed());
        drop(arriving);
        assert!(budget.is_full() && budget.is_pressed());
        drop(held);
        assert!(budget.has_room() && !budget.is_pressed());
    }
}

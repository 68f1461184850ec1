use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// One budget for all that waits in this process: raw records, columns on their way, encoded pieces.
#[derive(Clone)]
pub struct Budget {
    bytes_max: usize,
    used: Arc<AtomicUsize>,
    /// Of those, bytes of batches that are being encoded and delivered: they need not be asked to go.
    leaving: Arc<AtomicUsize>,
}

/// Some bytes of the budget; given back when dropped.
pub(crate) struct Reserved {
    bytes: usize,
    used: Arc<AtomicUsize>,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Budget {
        Budget { bytes_max, used: Arc::default(), leaving: Arc::default() }
    }

    /// Never refuses: who holds the bytes already can only say so. The reader looks before it takes more.
    pub(crate) fn reserve(&self, bytes: usize) -> Reserved {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Reserved { bytes, used: Arc::clone(&self.used) }
    }

    /// As `reserve`, for what is on its way out.
    pub(crate) fn reserve_leaving(&self, bytes: usize) -> (Reserved, Reserved) {
        (self.reserve(bytes), self.leave(bytes))
    }

    /// Bytes that are reserved already are on their way out.
    pub(crate) fn leave(&self, bytes: usize) -> Reserved {
        self.leaving.fetch_add(bytes, Ordering::Relaxed);
        Reserved { bytes, used: Arc::clone(&self.leaving) }
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    // The budget is meant as resident memory. What the client fetches ahead, encoders' own buffers and the allocator's
    // spare pages take half of it: measured in tests/bench.

    /// From here on lanes are sealed early.
    pub(crate) fn is_pressed(&self) -> bool {
        self.staying() >= self.bytes_max / 20 * 5
    }

    fn staying(&self) -> usize {
        self.used().saturating_sub(self.leaving.load(Ordering::Relaxed))
    }

    /// From here on nothing more is read, until `has_room` again.
    pub(crate) fn is_full(&self) -> bool {
        self.used() >= self.bytes_max / 20 * 9
    }

    /// Of what waits in one shard, as much as has to go of all that stays. A shard that gave way for all of them would
    /// be left with its smallest lanes.
    pub(crate) fn part_to_go(&self, waiting: usize) -> usize {
        let staying = self.staying();
        let excess = staying.saturating_sub(self.bytes_max / 20 * 4);
        (waiting as u128 * excess as u128 / staying.max(1) as u128) as usize
    }

    pub(crate) fn has_room(&self) -> bool {
        self.used() < self.bytes_max / 20 * 7
    }
}

impl Reserved {
    /// It holds so much by now.
    pub(crate) fn resize(&mut self, bytes: usize) {
        match bytes >= self.bytes {
            true => self.used.fetch_add(bytes - self.bytes, Ordering::Relaxed),
            false => self.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        self.bytes = bytes;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_gives_the_same_part_of_what_it_holds() {
        let budget = Budget::new(2_000);
        let held = budget.reserve(600);
        assert!(budget.is_pressed());
        assert_eq!([0, 60, 6_000].map(|waiting| budget.part_to_go(waiting)), [0, 20, 2_000]);
        let leaving = budget.leave(200);
        assert!(!budget.is_pressed());
        assert_eq!(budget.part_to_go(60), 0);
        drop((held, leaving));
        assert_eq!(budget.part_to_go(60), 0);
    }
}

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// One budget for all that waits in this process: raw records, columns on their way, encoded pieces.
#[derive(Clone)]
pub struct Budget {
    bytes_max: usize,
    used: Arc<AtomicUsize>,
}

/// Some bytes of the budget; given back when dropped.
pub(crate) struct Reserved {
    bytes: usize,
    used: Arc<AtomicUsize>,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Budget {
        Budget { bytes_max, used: Arc::default() }
    }

    /// Never refuses: who holds the bytes already can only say so. The reader looks before it takes more.
    pub(crate) fn reserve(&self, bytes: usize) -> Reserved {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Reserved { bytes, used: Arc::clone(&self.used) }
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    // The budget is meant as resident memory. What the client fetches ahead, encoders' own buffers and the allocator's
    // spare pages take three quarters of it: measured in tests/bench.

    /// From here on lanes are sealed early.
    pub(crate) fn is_pressed(&self) -> bool {
        self.used() >= self.bytes_max / 20 * 3
    }

    /// From here on nothing more is read, until `has_room` again.
    pub(crate) fn is_full(&self) -> bool {
        self.used() >= self.bytes_max / 20 * 5
    }

    pub(crate) fn has_room(&self) -> bool {
        self.used() < self.bytes_max / 20 * 4
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

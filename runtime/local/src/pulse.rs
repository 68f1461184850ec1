use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Wakes readers of this process when something was appended.
#[derive(Default)]
pub(crate) struct Pulse {
    beats: Mutex<u64>,
    changed: Condvar,
}

impl Pulse {
    pub fn beats(&self) -> u64 {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn beat(&self) {
        *self.beats.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Returns at once if it beat since `seen`.
    pub fn wait(&self, seen: u64, at_most: Duration) {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(beats, at_most, |beats| *beats == seen));
    }
}

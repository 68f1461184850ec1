use crate::Status;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the newest status hangs. Cheap to clone, to publish on and to look at; nobody waits for a reader.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Arc<Status>>>);

impl Board {
    pub fn publish(&self, status: Status) {
        // A whole value is put in place of another: a panic elsewhere cannot leave half of one.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }

    pub fn look(&self) -> Arc<Status> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

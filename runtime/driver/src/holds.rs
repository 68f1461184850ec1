use outflow_api::Shard;
use outflow_catalogue::Needs;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the shards that run in this process may still ask the catalogue for. One that was taken over and does not know
/// it yet may need more than all journals say.
#[derive(Clone, Default)]
pub(crate) struct Holds(Arc<Mutex<HashMap<Shard, Needs>>>);

/// A shard's. It needs nothing any more when this is dropped.
pub(crate) struct Hold {
    all: Holds,
    shard: Shard,
}

impl Holds {
    pub fn hold(&self, shard: Shard, needs: Needs) -> Hold {
        self.locked().insert(shard, needs);
        Hold { all: self.clone(), shard }
    }

    /// Of all of them, if there are any.
    pub fn needs(&self) -> Option<Needs> {
        self.locked().values().copied().reduce(Needs::and)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Shard, Needs>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    pub fn set(&self, needs: Needs) {
        self.all.locked().insert(self.shard, needs);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.all.locked().remove(&self.shard);
    }
}

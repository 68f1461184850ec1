//! Who wants to know how lanes stand asks every shard that runs here, past its mail and past whoever moves shards
//! about: people do not wait behind rows.

use crate::shard::{LaneState, Which};
use outflow_api::Shard;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

pub(crate) struct Look {
    pub which: Which,
    pub answer: oneshot::Sender<Vec<LaneState>>,
}

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Looks(Arc<Mutex<BTreeMap<Shard, mpsc::UnboundedSender<Look>>>>);

impl Looks {
    /// Of this shard, from now on; its last task's are over.
    pub fn open(&self, shard: Shard) -> mpsc::UnboundedReceiver<Look> {
        let (sender, looks) = mpsc::unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, sender);
        looks
    }

    /// Of all shards; one that ends meanwhile says nothing.
    pub async fn ask(&self, which: Which) -> Vec<LaneState> {
        let asked: Vec<oneshot::Receiver<Vec<LaneState>>> = {
            let shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let ask = |sender: &mpsc::UnboundedSender<Look>| {
                let (answer, states) = oneshot::channel();
                let _ = sender.send(Look { which: which.clone(), answer });
                states
            };
            shards.values().map(ask).collect()
        };
        let mut all = Vec::new();
        for states in asked {
            all.extend(states.await.unwrap_or_default());
        }
        all
    }
}

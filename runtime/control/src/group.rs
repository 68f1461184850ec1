use crate::Status;
use serde::Serialize;
use std::sync::Arc;

/// The workers that share the shards, as this one knows them: any of them answers for all.
pub trait Group: Send + Sync {
    /// This one first.
    fn workers(&self) -> Vec<Worker>;
}

#[derive(Clone, Debug, Serialize)]
pub struct Worker {
    /// How others reach it: host and port.
    pub worker_id: String,
    pub shards: Vec<u32>,
    /// The one that answers.
    pub is_here: bool,
    /// Why nothing newer is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// As it said last; of some seconds ago.
    #[serde(skip)]
    pub status: Option<Arc<Status>>,
}

//! The other workers: who they are is Kafka's group's word, how their shards stand is theirs. Any worker answers for
//! all; one that does not answer is named, and holds up nobody.

mod merge;

pub use merge::{details, pages};

use crate::client::{Daemon, Place};
use outflow_api::Cluster;
use outflow_control::{Board, Group, Status, Worker};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};
use tokio::task::{JoinSet, spawn_blocking};

/// Cheap to clone.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    /// Our own name.
    name: String,
    board: Board,
    /// How others are reached.
    place: Place,
    peers: Mutex<BTreeMap<String, Peer>>,
}

#[derive(Clone, Default)]
struct Peer {
    shards: Vec<u32>,
    status: Option<Arc<Status>>,
    trouble: Option<String>,
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer is of no use to whoever waits for ours.
const ANSWER_MAX: Duration = Duration::from_secs(2);
const ASKED_AT_ONCE: usize = 16;

impl Fleet {
    /// `place`: how others are asked; its url is the scheme alone. Ends when the last handle is gone.
    pub fn start(name: String, board: Board, place: Place, cluster: Arc<dyn Cluster>) -> Fleet {
        let fleet = Fleet(Arc::new(Inner { name, board, place, peers: Mutex::default() }));
        let watched = Arc::downgrade(&fleet.0);
        let watch = move || watch(&watched, cluster.as_ref());
        thread::Builder::new().name("fleet".into()).spawn(watch).expect("a thread can be started");
        fleet
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What every other worker answers; who does not is left out.
    pub async fn ask<T: DeserializeOwned + Send + 'static>(&self, path: &str) -> Vec<T> {
        let mut asked = JoinSet::new();
        let peers: Vec<String> = self.0.peers().into_keys().collect();
        for peer in peers {
            let (inner, path) = (Arc::clone(&self.0), path.to_owned());
            asked.spawn(async move { spawn_blocking(move || inner.get::<T>(&peer, &path).ok()).await.ok().flatten() });
        }
        asked.join_all().await.into_iter().flatten().collect()
    }
}

impl Group for Fleet {
    fn workers(&self) -> Vec<Worker> {
        let status = self.0.board.look();
        let shards = status.shards.iter().filter(|(_, shard)| shard.owned).map(|(shard, _)| *shard).collect();
        let own = Worker { worker_id: self.0.name.clone(), shards, is_here: true, trouble: None, status: Some(status) };
        let peers = self.0.peers().into_iter().map(|(worker_id, peer)| {
            let Peer { shards, status, trouble } = peer;
            Worker { worker_id, shards, is_here: false, trouble, status }
        });
        [own].into_iter().chain(peers).collect()
    }
}

impl Inner {
    fn peers(&self) -> BTreeMap<String, Peer> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn get<T: DeserializeOwned>(&self, peer: &str, path: &str) -> Result<T, String> {
        let place = Place { url: format!("{}://{peer}", self.place.url), ..self.place.clone() };
        let told = Daemon::patient(&place, ANSWER_MAX).and_then(|daemon| daemon.get(path));
        let told = told.map_err(|error| error.to_string())?;
        serde_json::from_str(&told).map_err(|error| format!("its answer is not understood: {error}"))
    }

    /// Of a worker that does not answer, what it said before is no longer true.
    fn look(&self, peer: &str) -> Peer {
        match self.get::<Status>(peer, "v1/status") {
            Ok(status) => Peer { status: Some(Arc::new(status)), ..Peer::default() },
            Err(trouble) => Peer { trouble: Some(trouble), ..Peer::default() },
        }
    }
}

fn watch(inner: &Weak<Inner>, cluster: &dyn Cluster) {
    while let Some(inner) = inner.upgrade() {
        match cluster.members() {
            Ok(members) => {
                let others: Vec<_> = members.into_iter().filter(|member| member.name != inner.name).collect();
                let mut seen = BTreeMap::new();
                for some in others.chunks(ASKED_AT_ONCE) {
                    thread::scope(|scope| {
                        let asked: Vec<_> =
                            some.iter().map(|member| scope.spawn(|| inner.look(&member.name))).collect();
                        for (member, peer) in some.iter().zip(asked) {
                            let peer = peer.join().unwrap_or_default();
                            let shards = member.shards.iter().map(|shard| shard.0).collect();
                            seen.insert(member.name.clone(), Peer { shards, ..peer });
                        }
                    });
                }
                *inner.peers.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            }
            Err(fault) => tracing::debug!(%fault, "the group does not say who is in it"),
        }
        drop(inner);
        thread::sleep(LOOK_EVERY);
    }
}

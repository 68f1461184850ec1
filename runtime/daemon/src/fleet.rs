//! The other workers: who they are is Kafka's group's word, how their shards stand is theirs. Any worker answers for
//! all; one that does not answer is named, and holds up nobody.

mod merge;
mod way;

pub use merge::{details, pages};

use crate::client::{Place, Told};
use outflow_api::Cluster;
use outflow_control::{Board, Group, Status, Worker};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};
use tokio::task::JoinSet;
use way::Way;

/// Cheap to clone.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    /// Our own name.
    name: String,
    board: Board,
    way: Way,
    /// None before the first look.
    peers: Mutex<Option<BTreeMap<String, Peer>>>,
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
    /// `place`: how others are asked now; its url is the scheme alone. Ends when the last handle is gone.
    pub fn start(
        name: String,
        board: Board,
        place: impl Fn() -> Result<Place, String> + Send + Sync + 'static,
        cluster: Arc<dyn Cluster>,
    ) -> Fleet {
        let way = Way::new(place, ANSWER_MAX);
        let fleet = Fleet(Arc::new(Inner { name, board, way, peers: Mutex::default() }));
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
        let path = path.to_owned();
        let answers = self.each(move |inner, peer| inner.get::<T>(peer, &path)).await;
        answers.into_iter().filter_map(|(_, answer)| answer.ok()).collect()
    }

    /// Tells all others to do something; answers who did not, and why.
    pub async fn put(&self, path: &str, body: Value) -> Vec<(String, String)> {
        let path = path.to_owned();
        let told = self.each(move |inner, peer| inner.put(peer, &path, &body)).await;
        told.into_iter().filter_map(|(peer, answer)| Some((peer, answer.err()?))).collect()
    }

    async fn each<T: Send + 'static>(
        &self,
        call: impl Fn(&Inner, &str) -> Result<T, String> + Clone + Send + 'static,
    ) -> Vec<(String, Result<T, String>)> {
        let mut asked = JoinSet::new();
        for peer in self.0.peers().into_keys() {
            let (inner, call) = (Arc::clone(&self.0), call.clone());
            asked.spawn_blocking(move || {
                let answer = call(&inner, &peer);
                (peer, answer)
            });
        }
        asked.join_all().await
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
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    fn get<T: DeserializeOwned>(&self, peer: &str, path: &str) -> Result<T, String> {
        let told = self.way.to(peer)?.get(path).map_err(|error| error.to_string())?;
        serde_json::from_str(&told).map_err(|error| format!("its answer is not understood: {error}"))
    }

    fn put(&self, peer: &str, path: &str, body: &Value) -> Result<(), String> {
        let told = self.way.to(peer)?.send("PUT", path, Some(body)).and_then(Told::sound);
        told.map(drop).map_err(|error| error.to_string())
    }

    /// Who was there before the first look is no news.
    fn see(&self, seen: BTreeMap<String, Peer>) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = peers.as_ref() {
            for worker in seen.keys().filter(|name| !before.contains_key(*name)) {
                tracing::info!(peer = worker, event = "worker-joined", "another worker takes part");
            }
            for worker in before.keys().filter(|name| !seen.contains_key(*name)) {
                tracing::info!(peer = worker, event = "worker-left", "another worker is gone");
            }
            for (worker, peer) in &seen {
                let was_silent = before.get(worker).is_none_or(|before| before.trouble.is_some());
                if let (false, Some(trouble)) = (was_silent, &peer.trouble) {
                    tracing::warn!(peer = worker, trouble, event = "worker-silent", "another worker does not answer");
                }
            }
        }
        *peers = Some(seen);
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
        inner.way.renew();
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
                inner.see(seen);
            }
            Err(fault) => tracing::debug!(%fault, "the group does not say who is in it"),
        }
        drop(inner);
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    /// Answers one request, and hands it on.
    fn worker(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let name = listener.local_addr().expect("it is bound").to_string();
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while !request.ends_with(b"}") {
                let read = stream.read(&mut buffer).expect("it is sent");
                assert!(read > 0, "the request ends early");
                request.extend(&buffer[..read]);
            }
            let head = format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("it is answered");
            String::from_utf8(request).expect("text")
        });
        (name, asked)
    }

    #[tokio::test]
    async fn what_all_others_are_told_reaches_each_and_who_does_not_do_it_is_named() {
        let (well, asked) = worker("200 OK");
        let (unwilling, also_asked) = worker("503 Service Unavailable");
        let gone = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let place = || Ok(Place { url: "http".to_owned(), token: Some("t".to_owned()), ca: None, json: true });
        let (way, board) = (Way::new(place, ANSWER_MAX), Board::default());
        let fleet = Fleet(Arc::new(Inner { name: "here:1".to_owned(), board, way, peers: Mutex::default() }));
        fleet.0.see([&well, &unwilling, &gone.to_string()].map(|name| (name.clone(), Peer::default())).into());
        let failed = fleet.put("admin/loggers/root", json!({ "level": "WARN" })).await;
        let mut failed: Vec<String> = failed.into_iter().map(|(name, _)| name).collect();
        failed.sort_unstable();
        let mut wanted = [unwilling, gone.to_string()];
        wanted.sort_unstable();
        assert_eq!(failed, wanted);
        for asked in [asked, also_asked] {
            let request = asked.join().expect("it was asked");
            assert!(request.starts_with("PUT /admin/loggers/root HTTP/1.1"), "{request}");
            assert!(request.ends_with(r#"{"level":"WARN"}"#), "{request}");
        }
    }
}

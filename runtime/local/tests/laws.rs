//! The journal's laws, against a folder.

use outflow_api::{Cluster, Journal, Ledger, Offset, Shard, SourceEvent, Transaction};
use outflow_conformance::journal::{self, Harness, sample::DEAD_LETTER_TOPIC};
use outflow_local::LocalCluster;
use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

const SHARDS: u32 = 64;

struct Folder {
    folder: tempfile::TempDir,
    next: AtomicU32,
}

impl Folder {
    fn new() -> Folder {
        Folder { folder: tempfile::tempdir().expect("a folder"), next: AtomicU32::new(0) }
    }

    fn log(root: &Path, shard: Shard) -> std::path::PathBuf {
        root.join(format!("journal/{}/journal.log", shard.0))
    }
}

impl Harness for Folder {
    fn fresh_shard(&self) -> Shard {
        Shard(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// By a cluster of its own, so that nothing is shared in memory.
    fn journal(&self, shard: Shard) -> Box<dyn Journal> {
        let cluster = LocalCluster::open(self.folder.path(), SHARDS).expect("opens");
        cluster.journal(shard).expect("the shard exists")
    }

    /// Written elsewhere, then put here without its last bytes: so no dead letter and no ledger row got out.
    fn die_within(&self, shard: Shard, transaction: &Transaction) -> bool {
        let elsewhere = tempfile::tempdir().expect("a folder");
        let cluster = LocalCluster::open(elsewhere.path(), SHARDS).expect("opens");
        let (here, there) = (Folder::log(self.folder.path(), shard), Folder::log(elsewhere.path(), shard));
        fs::copy(&here, &there).expect("copied");
        let mut journal = cluster.journal(shard).expect("the shard exists");
        journal.acquire().expect("nothing hinders the acquire");
        journal::done(&mut *journal, transaction);
        let bytes = fs::read(&there).expect("readable");
        fs::write(&here, &bytes[..bytes.len() - 1_000]).expect("writable");
        true
    }

    fn ledger(&self, shard: Shard) -> Box<dyn Ledger> {
        let cluster = LocalCluster::open(self.folder.path(), SHARDS).expect("opens");
        cluster.ledger(shard).expect("the shard exists")
    }

    fn dead_letters(&self, shard: Shard) -> Option<Vec<Vec<u8>>> {
        let cluster = LocalCluster::open(self.folder.path(), SHARDS).expect("opens");
        let Ok(topic) = cluster.topic(DEAD_LETTER_TOPIC) else { return Some(Vec::new()) };
        let partition = outflow_api::TopicPartition { topic: topic.info().id, partition: shard.0 };
        let mut source = cluster.source().expect("a source");
        source.assign(&[(partition, Offset::ZERO)]).expect("assigned");
        let mut values = Vec::new();
        loop {
            let mut events = Vec::new();
            source.poll(Duration::from_secs(10), &mut events).expect("polled");
            for event in events {
                match event {
                    SourceEvent::Fetched { block, .. } => {
                        values.extend((0..block.len()).filter_map(|row| block.get(row).value.map(<[u8]>::to_vec)));
                    }
                    SourceEvent::AtEnd { .. } => return Some(values),
                    SourceEvent::Failed { fault, .. } => panic!("{fault}"),
                }
            }
        }
    }
}

#[test]
fn a_folder_keeps_every_law_of_a_journal() {
    let harness = Folder::new();
    for (name, law) in journal::laws() {
        println!("{name}");
        law(&harness);
    }
}

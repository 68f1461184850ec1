//! How long a new owner takes after a million decisions, each a transaction of its own.
//!
//! `cargo run --release -p outflow-local --example million -- FOLDER [DECISIONS]`: the folder's disk decides how long
//! the writing takes (one sync per decision); on a file system in memory it is a minute at most.

use outflow_api::{
    AppendOutcome, BatchId, Cluster, Fault, FeedId, LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset, Shard, TopicId,
    TopicPartition, Track, Transaction,
};
use outflow_local::LocalCluster;
use std::{collections::BTreeMap, time::Instant};

const LANES: u32 = 1_000;

fn main() -> Result<(), Fault> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or_else(|| Fault::halt("no-folder", "name a folder to write to"))?;
    let decisions: u32 = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let cluster = LocalCluster::open(folder, 1)?;
    let mut journal = cluster.journal(Shard(0))?;
    let first = journal.acquire()?;
    let partition = TopicPartition { topic: TopicId(1), partition: 0 };
    let started = Instant::now();
    for seq in 1..=decisions {
        let lane = LaneId(seq % LANES);
        let next = BTreeMap::from([(partition, Offset(i64::from(seq)))]);
        let floors = BTreeMap::from([(Track { feed: FeedId(0), partition }, Offset(i64::from(seq)))]);
        let record = LaneRecord { next, ..LaneRecord::default() };
        let (incarnation, generation) = (first.incarnation, first.generation);
        let batch = BatchId { incarnation, shard: Shard(0), generation, lane, seq };
        let ledger = vec![LedgerRow { batch, event: LedgerEvent::Revealed }];
        let lanes = vec![(lane, Some(record))];
        match journal.append(&Transaction { lanes, floors, ledger, ..Transaction::default() }) {
            AppendOutcome::Done => {}
            other => return Err(Fault::halt("not-done", format!("decision {seq}: {other:?}"))),
        }
    }
    println!("{decisions} decisions written in {:.1} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    let found = cluster.journal(Shard(0))?.acquire()?;
    let seconds = started.elapsed().as_secs_f64();
    println!("acquired in {seconds:.3} s, {} bytes read, {} lanes", found.bytes_read, found.lanes.len());
    Ok(())
}

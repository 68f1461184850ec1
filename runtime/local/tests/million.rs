use outflow_api::{AppendOutcome, Cluster, LaneId, LaneRecord, Offset, Shard, TopicId, TopicPartition, Transaction};
use outflow_local::LocalCluster;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const TRANSACTIONS: i64 = 1_000;
const LANES: u32 = 1_000;

/// A thousand transactions, each of which decides for a thousand lanes.
#[test]
fn after_a_million_decisions_an_owner_reads_what_is_live() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = LocalCluster::open(folder.path(), 1).expect("opens");
    let mut journal = cluster.journal(Shard(0)).expect("the shard");
    journal.acquire().expect("acquired");
    let partition = TopicPartition { topic: TopicId(1), partition: 0 };
    for number in 1..=TRANSACTIONS {
        let next = BTreeMap::from([(partition, Offset(number))]);
        let record = LaneRecord { next, ..LaneRecord::default() };
        let lanes = (0..LANES).map(|lane| (LaneId(lane), Some(record.clone()))).collect();
        let outcome = journal.append(&Transaction { lanes, ..Transaction::default() });
        assert!(matches!(outcome, AppendOutcome::Done), "{outcome:?}");
    }
    let started = Instant::now();
    let found = cluster.journal(Shard(0)).expect("the shard").acquire().expect("acquired");
    let took = started.elapsed();
    println!("acquire after {TRANSACTIONS} × {LANES} decisions: {took:?}, {} bytes", found.bytes_read);
    assert!(found.lanes.len() == LANES as usize);
    assert!(found.lanes.values().all(|record| record.next.get(&partition) == Some(&Offset(TRANSACTIONS))));
    assert!(found.bytes_read < 8 << 20, "{} bytes were read", found.bytes_read);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

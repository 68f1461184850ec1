use outflow_api::{AppendOutcome, Cluster, LaneId, LaneRecord, Offset, Shard, TopicId, TopicPartition, Transaction};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const TRANSACTIONS: i64 = 1_000;
const LANES: u32 = 1_000;

/// What a new owner's recovery took.
#[derive(Debug)]
pub struct Recovery {
    pub took: Duration,
    pub bytes_read: u64,
}

/// A thousand transactions, each of which decides for a thousand lanes, and then another owner, who knows the last
/// decision for every lane.
///
/// # Panics
/// If it does not.
pub fn after_a_million_decisions(cluster: &dyn Cluster) -> Recovery {
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
    let recovery = Recovery { took: started.elapsed(), bytes_read: found.bytes_read };
    println!("{TRANSACTIONS} × {LANES} decisions: {recovery:?}");
    assert_eq!(found.lanes.len(), LANES as usize);
    assert!(found.lanes.values().all(|record| record.next.get(&partition) == Some(&Offset(TRANSACTIONS))));
    recovery
}

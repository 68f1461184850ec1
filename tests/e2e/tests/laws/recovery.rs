use outflow_api::{AppendOutcome, Cluster, LaneId, LaneRecord, Offset, Shard, TopicId, TopicPartition, Transaction};
use outflow_e2e::alone;
use outflow_kafka::{KafkaCluster, KafkaSettings};
use outflow_rig::Kafka;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const TRANSACTIONS: i64 = 1_000;
const LANES: u32 = 1_000;
/// What the broker's cleaner may not have come to yet: a few segments.
const BYTES_MAX: u64 = 192 << 20;

/// Written by the journal itself, not by the daemon: a thousand transactions that decide for a thousand lanes each.
#[test]
fn after_a_thousand_transactions_of_a_thousand_lanes_an_owner_reads_a_bounded_journal() {
    let _turn = alone();
    let cluster = KafkaCluster::new(KafkaSettings::new(Kafka::shared().bootstrap(), "million", 1));
    let cluster = cluster.expect("the settings are valid");
    cluster.prepare().expect("the broker is ours");
    let mut journal = cluster.journal(Shard(0)).expect("the shard");
    journal.acquire().expect("nobody else owns it");
    let partition = TopicPartition { topic: TopicId(1), partition: 0 };
    let started = Instant::now();
    for number in 1..=TRANSACTIONS {
        let next = BTreeMap::from([(partition, Offset(number))]);
        let record = LaneRecord { next, ..LaneRecord::default() };
        let lanes = (0..LANES).map(|lane| (LaneId(lane), Some(record.clone()))).collect();
        let outcome = journal.append(&Transaction { lanes, ..Transaction::default() });
        assert!(matches!(outcome, AppendOutcome::Done), "{outcome:?}");
    }
    let wrote = started.elapsed();
    drop(journal);
    let started = Instant::now();
    let found = cluster.journal(Shard(0)).expect("the shard").acquire().expect("nobody else owns it");
    let took = started.elapsed();
    println!(
        "{} lane decisions in {TRANSACTIONS} transactions written in {wrote:?}; owned again in {took:?}, {} bytes read",
        TRANSACTIONS * i64::from(LANES),
        found.bytes_read
    );
    assert_eq!(found.lanes.len(), LANES as usize);
    assert!(found.lanes.values().all(|record| record.next.get(&partition) == Some(&Offset(TRANSACTIONS))));
    assert!(found.bytes_read < BYTES_MAX, "{} bytes were read", found.bytes_read);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

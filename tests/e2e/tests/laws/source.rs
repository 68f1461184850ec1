use outflow_demo::{Events, MERCHANTS};
use outflow_e2e::{Connector, Lake, Site, alone, committed_offsets, ends, event, records};
use outflow_rig::{Kafka, wait_until};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const ANSWER: Duration = Duration::from_secs(30);
const DELIVERED: Duration = Duration::from_secs(90);
const COMPACTED: Duration = Duration::from_secs(120);

/// Transactions of 50 events each; every third one is aborted, the last one among them. Answers how many were
/// committed: those are numbered from 0, the others from a million.
fn write_transactions(kafka: &Kafka, topic: &str, transactions: u64) -> u64 {
    let mut config = kafka.config();
    config.set("transactional.id", "shop").set("linger.ms", "5");
    let producer: BaseProducer = config.create().expect("the settings are valid");
    producer.init_transactions(ANSWER).expect("the broker answers");
    let (mut kept, mut aborted) = (Events::new(5, MERCHANTS), Events::new(6, MERCHANTS));
    aborted.skip_to(1_000_000);
    for transaction in 1..=transactions {
        producer.begin_transaction().expect("the last one is over");
        let is_kept = transaction % 3 != 0;
        for _ in 0..50 {
            let (key, value) = event(if is_kept { &mut kept } else { &mut aborted });
            producer.send(BaseRecord::to(topic).key(&key).payload(&value)).expect("there is room");
        }
        producer.flush(ANSWER).expect("the broker answers");
        let ended = if is_kept { producer.commit_transaction(ANSWER) } else { producer.abort_transaction(ANSWER) };
        ended.expect("the broker answers");
    }
    kept.number()
}

#[test]
fn a_transactional_topic_is_read_to_lag_0_without_its_aborted_records() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic("transactional", 3, &[]);
    let kept = write_transactions(kafka, "transactional", 60);
    let site = Site::new("transactional", kafka);
    let lake = Lake::Folder(site.folder().join("lake"));
    site.configure(&Connector::new("transactional", "transactional", &lake));
    let worker = site.start("worker", &[]);
    let ends = ends(kafka, "transactional");
    assert!(ends.iter().sum::<i64>() > kept as i64 + 1_000, "markers and aborted records take offsets as well");
    let lag = || worker.status().map(|status| status["connectors"]["transactional"].clone());
    let all_read = |one: &Value| one["lag_records"] == 0 && one["rows_visible"].as_u64() == Some(kept);
    wait_until("lag 0", DELIVERED, || lag().is_some_and(|one| all_read(&one)));
    let metrics = worker.get("/metrics").expect("it answers");
    assert!(metrics.contains("outflow_lag_records{connector=\"transactional\"} 0"), "{metrics}");
    wait_until("the group's offsets to be the topic's ends", ANSWER, || {
        committed_offsets(kafka, "connect-transactional", "transactional") == ends
    });
    lake.count(kept).assert_exactly_once(kept);
    worker.drain();
    println!("{kept} events of committed transactions, ends {ends:?}");
}

/// 40 keys again and again, until the broker has thrown older values away.
#[test]
fn a_compacted_topic_is_read_to_lag_0_with_the_last_value_of_every_key() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "1"),
        ("segment.ms", "100"),
    ];
    kafka.create_topic("compacted", 2, &eager);
    let producer: BaseProducer = kafka.config().create().expect("the settings are valid");
    let mut events = Events::new(8, MERCHANTS);
    wait_until("the topic to be compacted", COMPACTED, || {
        for key in 0..40u32 {
            let (_, value) = event(&mut events);
            producer.send(BaseRecord::to("compacted").key(&key.to_be_bytes()).payload(&value)).expect("there is room");
        }
        producer.flush(ANSWER).expect("the broker answers");
        let held = records(kafka, "compacted").len() as u64;
        held < events.number() / 2 && events.number() > 2_000
    });
    let last: BTreeMap<_, _> = records(kafka, "compacted").into_iter().map(|one| (one.key, one.value)).collect();
    assert_eq!(last.len(), 40);
    let number = |value: Vec<u8>| serde_json::from_slice::<Value>(&value).expect("our own")["number"].as_i64();
    let last: BTreeSet<i64> = last.into_values().flatten().filter_map(number).collect();
    let site = Site::new("compacted", kafka);
    let lake = Lake::Folder(site.folder().join("lake"));
    site.configure(&Connector::new("compacted", "compacted", &lake));
    let worker = site.start("worker", &[]);
    let ends = ends(kafka, "compacted");
    wait_until("the group's offsets to be the topic's ends", DELIVERED, || {
        committed_offsets(kafka, "connect-compacted", "compacted") == ends
    });
    worker.drain();
    let count = lake.count(events.number());
    assert_eq!([count.keys, count.numbers], [count.rows; 2], "each row once: {count:?}");
    let delivered: BTreeSet<i64> = lake.numbers().into_iter().collect();
    assert!(last.is_subset(&delivered), "{:?} are not delivered", last.difference(&delivered));
    println!("{} events written, {} left by compaction and delivered", events.number(), count.rows);
}

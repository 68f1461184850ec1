use outflow_api::{
    Cluster, LaneId, LaneRecord, Offset, OffsetRange, Source, SourceEvent, TopicId, TopicPartition, Transaction,
};
use outflow_kafka::{KafkaCluster, KafkaSettings};
use outflow_rig::Kafka;
use rdkafka::{
    ClientConfig, Message, Offset as Place, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

pub const LIMIT: Duration = Duration::from_secs(60);
pub const STEP: Duration = Duration::from_millis(100);

pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn settings(kafka: &Kafka, shards: u32) -> KafkaSettings {
    KafkaSettings::new(kafka.bootstrap(), unique("group"), shards)
}

pub fn cluster(kafka: &Kafka, shards: u32) -> KafkaCluster {
    let cluster = KafkaCluster::new(settings(kafka, shards)).expect("the settings are valid");
    cluster.prepare().expect("the broker is ours");
    cluster
}

pub fn partition(cluster: &KafkaCluster, topic: &str, partition: u32) -> TopicPartition {
    let topics = cluster.topics(&[topic.to_owned()]).expect("the topic was made");
    TopicPartition { topic: topics[0].id, partition }
}

pub fn writer(kafka: &Kafka, transactional_id: Option<&str>) -> BaseProducer {
    let mut config: ClientConfig = kafka.config();
    config.set("message.max.bytes", "30000000").set("queue.buffering.max.kbytes", "200000");
    if let Some(id) = transactional_id {
        config.set("transactional.id", id);
    }
    let producer: BaseProducer = config.create().expect("the settings are valid");
    if transactional_id.is_some() {
        producer.init_transactions(LIMIT).expect("the broker answers");
    }
    producer
}

pub fn send(producer: &BaseProducer, topic: &str, partition: i32, key: &str, value: &[u8]) {
    let record = BaseRecord::to(topic).partition(partition).key(key).payload(value);
    producer.send(record).map_err(|(error, _)| error).expect("there is room");
}

pub fn flush(producer: &BaseProducer) {
    producer.flush(LIMIT).expect("the broker answers");
}

pub type Record = (Option<Vec<u8>>, Option<Vec<u8>>);

/// All that is committed in one partition.
pub fn committed(kafka: &Kafka, topic: &str, partition: i32) -> Vec<Record> {
    let mut config = kafka.config();
    config.set("group.id", unique("reader")).set("isolation.level", "read_committed");
    let reader: BaseConsumer = config.set("enable.partition.eof", "true").create().expect("the settings are valid");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Place::Beginning).expect("a valid place");
    reader.assign(&list).expect("a valid assignment");
    let (mut records, started) = (Vec::new(), Instant::now());
    loop {
        assert!(started.elapsed() < LIMIT, "{topic} has no end");
        match reader.poll(STEP) {
            Some(Ok(record)) => records.push((record.key().map(Vec::from), record.payload().map(Vec::from))),
            Some(Err(KafkaError::PartitionEOF(_))) => return records,
            Some(Err(error)) => panic!("{topic}: {error}"),
            None => {}
        }
    }
}

/// What a source answered of one partition, its chain already checked.
#[derive(Default)]
pub struct Seen {
    pub next: Option<Offset>,
    pub records: Vec<(i64, Option<Vec<u8>>)>,
    pub end: Option<Offset>,
}

#[derive(Default)]
pub struct Watch {
    pub seen: BTreeMap<TopicPartition, Seen>,
    pub failed: Vec<(TopicPartition, outflow_api::Fault)>,
}

impl Watch {
    pub fn assign(&mut self, source: &mut dyn Source, partition: TopicPartition, start: i64) {
        source.assign(&[(partition, Offset(start))]).expect("the broker answers");
        self.seen.insert(partition, Seen { next: Some(Offset(start)), ..Seen::default() });
    }

    pub fn poll(&mut self, source: &mut dyn Source) -> usize {
        let mut events = Vec::new();
        source.poll(STEP, &mut events).expect("the source goes on");
        let count = events.len();
        for event in events {
            match event {
                SourceEvent::Fetched { range, block } => {
                    let seen = self.seen.get_mut(&block.partition()).expect("only what was assigned is answered");
                    assert_eq!(seen.next, Some(range.start), "ranges chain");
                    seen.next = Some(range.next);
                    for row in 0..block.len() {
                        let record = block.get(row);
                        assert!(range.contains(record.offset), "{:?} in {range:?}", record.offset);
                        seen.records.push((record.offset.0, record.value.map(<[u8]>::to_vec)));
                    }
                }
                SourceEvent::AtEnd { partition, end } => {
                    let seen = self.seen.get_mut(&partition).expect("only what was assigned is answered");
                    assert_eq!(seen.next, Some(end), "the end is where the chain ends");
                    seen.end = Some(end);
                }
                SourceEvent::Failed { partition, fault } => self.failed.push((partition, fault)),
            }
        }
        count
    }

    pub fn until(&mut self, what: &str, source: &mut dyn Source, done: impl Fn(&Watch) -> bool) {
        let started = Instant::now();
        while !done(self) {
            assert!(started.elapsed() < LIMIT, "waited for {what}; failed: {:?}", self.failed);
            self.poll(source);
        }
    }

    pub fn offsets(&self, partition: TopicPartition) -> Vec<i64> {
        self.seen[&partition].records.iter().map(|(offset, _)| *offset).collect()
    }

    pub fn at_end(&self, partition: TopicPartition, end: i64) -> bool {
        self.seen[&partition].end == Some(Offset(end))
    }
}

/// A decision that can be told from all others.
pub fn decision(lane: u32, next: i64) -> Transaction {
    let partition = TopicPartition { topic: TopicId(7), partition: 0 };
    let owed = outflow_api::Ranges::of(OffsetRange::new(Offset(next), Offset::OPEN));
    let record = LaneRecord { owed: BTreeMap::from([(partition, owed)]), ..LaneRecord::default() };
    Transaction { lanes: vec![(LaneId(lane), Some(record))], ..Transaction::default() }
}

pub fn decided(recovered: &outflow_api::Recovered, lane: u32) -> Option<i64> {
    let owed = recovered.lanes.get(&LaneId(lane))?.owed.values().next()?.first()?;
    Some(owed.start.0)
}

/// Brokers that come back need some seconds.
pub fn eventually(journal: &mut dyn outflow_api::Journal) -> outflow_api::Recovered {
    let started = Instant::now();
    loop {
        match journal.acquire() {
            Ok(recovered) => return recovered,
            Err(fault) => assert!(started.elapsed() < LIMIT * 2, "{fault}"),
        }
    }
}

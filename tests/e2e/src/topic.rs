use outflow_demo::{Events, MERCHANTS};
use outflow_rig::Kafka;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A record as a bare consumer sees it.
#[derive(Clone, Debug)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

/// Numbered events, all at once.
pub fn produce(kafka: &Kafka, topic: &str, numbers: Range<u64>) {
    produce_with(kafka, topic, numbers, |_| OwnedHeaders::new());
}

/// With headers made of each event's key.
pub fn produce_with(kafka: &Kafka, topic: &str, numbers: Range<u64>, headers: impl Fn(&[u8]) -> OwnedHeaders) {
    send_all(kafka, topic, numbers, headers, None);
}

/// As if they had been written so long ago.
pub fn produce_aged(kafka: &Kafka, topic: &str, numbers: Range<u64>, age: Duration) {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(age);
    send_all(kafka, topic, numbers, |_| OwnedHeaders::new(), i64::try_from(then.as_millis()).ok());
}

fn send_all(
    kafka: &Kafka,
    topic: &str,
    numbers: Range<u64>,
    headers: impl Fn(&[u8]) -> OwnedHeaders,
    timestamp_ms: Option<i64>,
) {
    let producer: BaseProducer = kafka
        .config()
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .create()
        .expect("the settings are valid");
    let mut events = Events::new(11, MERCHANTS);
    events.skip_to(numbers.start);
    while events.number() < numbers.end {
        let (key, value) = crate::event(&mut events);
        let record = || {
            let record = BaseRecord::to(topic).key(&key).payload(&value).headers(headers(&key));
            timestamp_ms.into_iter().fold(record, BaseRecord::timestamp)
        };
        while producer.send(record()).is_err() {
            producer.poll(Duration::from_millis(20));
        }
    }
    producer.flush(LIMIT).expect("the broker answers");
}

/// The next offset of each partition.
pub fn ends(kafka: &Kafka, topic: &str) -> Vec<i64> {
    let client: BaseConsumer = kafka.config().create().expect("the settings are valid");
    let metadata = client.fetch_metadata(Some(topic), LIMIT).expect("the broker answers");
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let end = |partition| {
        let partition = i32::try_from(partition).expect("few partitions");
        client.fetch_watermarks(topic, partition, LIMIT).expect("the broker answers").1
    };
    (0..partitions).map(end).collect()
}

/// What a group has committed, per partition: -1001 is nothing.
pub fn committed_offsets(kafka: &Kafka, group: &str, topic: &str) -> Vec<i64> {
    let client: BaseConsumer = kafka.config().set("group.id", group).create().expect("the settings are valid");
    let mut partitions = TopicPartitionList::new();
    (0..ends(kafka, topic).len()).for_each(|one| {
        partitions.add_partition(topic, i32::try_from(one).expect("few"));
    });
    let committed = client.committed_offsets(partitions, LIMIT).expect("the broker answers");
    committed.elements().iter().map(|one| one.offset().to_raw().unwrap_or(-1)).collect()
}

/// Everything that is committed in a topic.
pub fn records(kafka: &Kafka, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    each_record(kafka, topic, |record| records.push(record));
    records
}

/// Everything that is committed in a topic, one after the other.
pub fn each_record(kafka: &Kafka, topic: &str, mut look: impl FnMut(Record)) {
    let client: BaseConsumer = kafka
        .config()
        .set("group.id", "counting")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .expect("the settings are valid");
    let mut partitions = TopicPartitionList::new();
    let count = ends(kafka, topic).len();
    for partition in 0..count {
        let partition = i32::try_from(partition).expect("few partitions");
        partitions.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    }
    client.assign(&partitions).expect("partitions that exist");
    let (mut ended, started) = (0, Instant::now());
    while ended < count {
        assert!(started.elapsed() < LIMIT, "topic {topic} cannot be read to its end");
        match client.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => look(record(&message)),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("topic {topic} cannot be read: {error}"),
            None => {}
        }
    }
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().map(|headers| {
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

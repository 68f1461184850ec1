use crate::workload::{PARTITIONS, TOPIC, Workload, events, happened_at};
use outflow_demo::Events;
use outflow_rig::Kafka;
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    time::Duration,
};

/// What a busy producer sends: lz4, as much as 50 ms bring, at most 128 KiB a batch.
const SETTINGS: [(&str, &str); 6] = [
    ("compression.type", "lz4"),
    ("linger.ms", "50"),
    ("batch.size", "131072"),
    ("enable.idempotence", "true"),
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "262144"),
];
pub const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Starts a broker and writes the events of so many merchants to a topic, and to a file if somebody reads it.
pub fn produce(events_wanted: u64, merchants: u32, has_file: bool) -> Workload {
    let folder = Workload::folder();
    let broker = folder.path().join("kafka");
    std::fs::create_dir_all(&broker).expect("our own folder can be written");
    let kafka = Kafka::start(&broker);
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let file = folder.path().join("events.ndjson");
    let bytes = write(&kafka, has_file.then_some(&file), events_wanted, events(merchants));
    let workload = Workload { kafka, file, events: events_wanted, bytes, folder };
    assert_eq!(in_topic(&workload.kafka, TOPIC), events_wanted, "the topic does not hold what was sent");
    workload
}

/// That of a busy producer, but for `settings`.
pub fn producer(kafka: &Kafka, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = kafka.config();
    for (key, value) in SETTINGS.iter().chain(settings) {
        config.set(*key, *value);
    }
    config.create().expect("the settings are valid")
}

fn write(kafka: &Kafka, file: Option<&PathBuf>, wanted: u64, mut events: Events) -> u64 {
    let producer = producer(kafka, &[]);
    let create = |path| BufWriter::with_capacity(1 << 20, File::create(path).expect("our own folder can be written"));
    let mut file = file.map(create);
    let (mut event, mut bytes) = (Vec::new(), 0);
    for number in 0..wanted {
        event.clear();
        let made = events.append(happened_at(number), &mut event);
        send(&producer, BaseRecord::to(TOPIC).key(events.key(made)).payload(&event));
        bytes += event.len() as u64;
        event.push(b'\n');
        if let Some(file) = &mut file {
            file.write_all(&event).expect("there is room for the events on the disk");
        }
    }
    producer.flush(ANSWER_LIMIT).expect("the broker answers");
    if let Some(mut file) = file {
        file.flush().expect("there is room for the events on the disk");
    }
    bytes
}

/// Waits while the producer's own queue is full.
pub fn send(producer: &BaseProducer, record: BaseRecord<'_, [u8], Vec<u8>>) {
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => record = again,
            Err((error, _)) => panic!("the broker takes every event: {error}"),
        }
        producer.poll(Duration::from_millis(20));
    }
}

/// Events that a topic holds.
pub fn in_topic(kafka: &Kafka, topic: &str) -> u64 {
    let consumer: BaseConsumer = kafka.config().create().expect("the settings are valid");
    let ends = (0..PARTITIONS).map(|partition| {
        let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT).expect("the broker answers");
        u64::try_from(high - low).expect("an end is not before its start")
    });
    ends.sum()
}

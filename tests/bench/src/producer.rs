use crate::workload::{PARTITIONS, TOPIC, Workload, events, happened_at};
use outflow_rig::Kafka;
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    fs::File,
    io::{BufWriter, Write},
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
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Starts a broker and writes the events to a topic and to a file.
pub fn produce(events_wanted: u64) -> Workload {
    let folder = Workload::folder();
    let broker = folder.path().join("kafka");
    std::fs::create_dir_all(&broker).expect("our own folder can be written");
    let kafka = Kafka::start(&broker);
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let file = folder.path().join("events.ndjson");
    let bytes = write(&kafka, &file, events_wanted);
    let workload = Workload { kafka, file, events: events_wanted, bytes, folder };
    assert_eq!(in_topic(&workload), events_wanted, "the topic does not hold what was sent");
    workload
}

fn write(kafka: &Kafka, file: &std::path::Path, wanted: u64) -> u64 {
    let mut config = kafka.config();
    for (key, value) in SETTINGS {
        config.set(key, value);
    }
    let producer: BaseProducer = config.create().expect("the settings are valid");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(file).expect("our own folder can be written"));
    let (mut events, mut event, mut bytes) = (events(), Vec::new(), 0);
    for number in 0..wanted {
        event.clear();
        let made = events.append(happened_at(number), &mut event);
        send(&producer, BaseRecord::to(TOPIC).key(events.key(made)).payload(&event));
        bytes += event.len() as u64;
        event.push(b'\n');
        file.write_all(&event).expect("there is room for the events on the disk");
    }
    producer.flush(ANSWER_LIMIT).expect("the broker answers");
    file.flush().expect("there is room for the events on the disk");
    bytes
}

/// Waits while the producer's own queue is full.
fn send(producer: &BaseProducer, record: BaseRecord<'_, [u8], Vec<u8>>) {
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

fn in_topic(workload: &Workload) -> u64 {
    let consumer: BaseConsumer = workload.kafka.config().create().expect("the settings are valid");
    let ends = (0..PARTITIONS).map(|partition| {
        let (low, high) = consumer.fetch_watermarks(TOPIC, partition, ANSWER_LIMIT).expect("the broker answers");
        u64::try_from(high - low).expect("an end is not before its start")
    });
    ends.sum()
}

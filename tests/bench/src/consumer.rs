use crate::{
    meter::{Usage, usage},
    workload::{PARTITIONS, TOPIC, Workload},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::{Value, json};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// CPU, memory and seconds of a consumer that does nothing else, in a process of its own.
pub fn measure(workload: &Workload) -> (Usage, f64) {
    let own = std::env::current_exe().expect("a process knows its program");
    let (bootstrap, events) = (workload.kafka.bootstrap(), workload.events.to_string());
    let output = Command::new(own).args(["consume", &bootstrap, TOPIC, &events]).output().expect("it is our own");
    assert!(output.status.success(), "the consumer failed: {}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let number = |name: &str| answer[name].as_f64().expect("it prints what it used");
    (Usage { cpu_s: number("cpu_s"), peak_mb: number("peak_mb") }, number("wall_s"))
}

/// Reads that many events and says what it took.
pub fn consume(bootstrap: &str, topic: &str, events: u64) {
    let started = Instant::now();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "bench").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("the settings are valid");
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(topic, partition, Offset::Beginning).expect("a beginning is an offset");
    }
    consumer.assign(&partitions).expect("partitions can be assigned by hand");
    let (mut seen, mut bytes) = (0, 0);
    while seen < events {
        let message = consumer.poll(SILENCE_LIMIT).expect("the topic holds more").expect("the broker answers");
        bytes += message.payload_len();
        seen += 1;
    }
    let Usage { cpu_s, peak_mb } = usage(std::process::id());
    let wall_s = started.elapsed().as_secs_f64();
    println!("{}", json!({ "cpu_s": cpu_s, "peak_mb": peak_mb, "wall_s": wall_s, "bytes": bytes }));
}

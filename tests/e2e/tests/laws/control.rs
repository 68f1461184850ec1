//! Three workers, steered over REST through any of them.

use outflow_e2e::{Daemon, Lake, Producer, Site, alone};
use outflow_rig::{
    Kafka,
    http::{Answer, ask},
    wait_until,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TOPIC: &str = "steered.events";
const LIMIT: Duration = Duration::from_secs(60);
const PER_SECOND: u64 = 1_000;
/// Of a change, until every worker has it.
const APPLIED_MAX: Duration = Duration::from_secs(5);

fn asks(worker: &Daemon, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(worker.port(), method, path, &["Content-Type: application/json"], &body).expect("it answers")
}

fn told(worker: &Daemon, path: &str) -> Value {
    serde_json::from_str(&asks(worker, "GET", path, &Value::Null).body).unwrap_or_default()
}

fn config(lake: &Lake, age: &str) -> Value {
    let Lake::Folder(folder) = lake else { panic!("a folder") };
    json!({
        "connector.class": "outflow.ObjectStoreSinkConnector", "topics": TOPIC, "model.unknown": "keep",
        "model.columns": "[{name: number, type: BIGINT, required: true}]",
        "flush.age": age, "sink.url": folder.display().to_string(),
    })
}

/// Of the shards that it has.
fn generations(worker: &Daemon) -> Vec<(String, Value)> {
    let shards = told(worker, "/v1/status")["shards"].as_object().cloned().unwrap_or_default();
    shards.into_iter().map(|(shard, one)| (shard, one["generation"].clone())).collect()
}

/// Waits until a worker's answer says that these, and no others, have all shards between them.
fn wait_whole(asked: &Daemon, workers: &[&Daemon]) {
    let mut wanted: Vec<String> = workers.iter().map(|worker| format!("127.0.0.1:{}", worker.port())).collect();
    wanted.sort();
    wait_until(&format!("{} to know {wanted:?}", asked.name), LIMIT, || {
        let state = told(asked, "/connectors/events/status");
        let tasks = state["tasks"].as_array().cloned().unwrap_or_default();
        let mut known: Vec<String> =
            tasks.iter().map(|task| task["worker_id"].as_str().unwrap_or_default().to_owned()).collect();
        known.sort();
        known.dedup();
        known == wanted && tasks.len() == 4 && tasks.iter().all(|task| task["state"] == "RUNNING")
    });
}

#[test]
fn any_of_three_workers_answers_for_all_and_changes_all_and_kills_lose_and_double_nothing() {
    let _turn = alone();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let kafka = Kafka::start(folder.path());
    kafka.create_topic(TOPIC, 8, &[]);
    let site = Site::new("steered", &kafka);
    let lake = Lake::Folder(site.folder().join("lake"));
    let start = |name: &str| site.start(name, &["config:"]);
    let (one, two) = (start("one"), start("two"));
    [&one, &two].iter().for_each(|worker| worker.wait_owning());
    assert_eq!(asks(&one, "PUT", "/connectors/events/config", &config(&lake, "1s")).status, 201);
    let producer = Producer::start(&kafka, TOPIC, PER_SECOND);
    wait_whole(&two, &[&one, &two]);

    // A third one comes; each of them answers for all.
    let three = start("three");
    for asked in [&one, &two, &three] {
        wait_whole(asked, &[&one, &two, &three]);
    }

    // What is changed through one of them is there for all, without a rebalance.
    let before = [&one, &two, &three].map(generations);
    let changed = Instant::now();
    assert_eq!(asks(&three, "PUT", "/connectors/events/config", &config(&lake, "500ms")).status, 200);
    wait_until("the change everywhere", APPLIED_MAX, || {
        [&one, &two, &three].iter().all(|worker| told(worker, "/connectors/events/config")["flush.age"] == "500ms")
    });
    let took = changed.elapsed();
    assert_eq!(before, [&one, &two, &three].map(generations), "nobody had to own anything again");

    // Paused through one, resumed through another, while one is killed and another leaves.
    assert_eq!(asks(&two, "PUT", "/connectors/events/pause", &Value::Null).status, 202);
    wait_until("the pause everywhere", APPLIED_MAX, || {
        [&one, &two, &three]
            .iter()
            .all(|worker| told(worker, "/connectors/events/status")["connector"]["state"] == "PAUSED")
    });
    one.kill();
    assert_eq!(asks(&three, "PUT", "/connectors/events/resume", &Value::Null).status, 202);
    wait_whole(&three, &[&two, &three]);
    two.drain();
    wait_whole(&three, &[&three]);
    let four = start("four");
    wait_whole(&three, &[&three, &four]);
    wait_whole(&four, &[&three, &four]);

    let produced = producer.stop();
    wait_until("no lag, by each of them", LIMIT, || {
        [&three, &four].iter().all(|worker| {
            let lag = told(worker, "/v1/lag");
            lag["lag_records"] == 0 && lag["shards"].as_array().map(Vec::len) == Some(4)
        })
    });
    wait_until("the offsets of all shards, wherever they are", LIMIT, || {
        let offsets = told(&four, "/connectors/events/offsets");
        let decided = offsets["offsets"].as_array().into_iter().flatten();
        let decided: u64 = decided.filter_map(|one| one["offset"]["kafka_offset"].as_u64()).sum();
        assert!(decided <= produced, "{decided} of {produced}");
        decided == produced
    });
    three.drain();
    four.drain();
    lake.count(produced).assert_exactly_once(produced);
    println!("{produced} events; a change was everywhere after {took:?}");
}

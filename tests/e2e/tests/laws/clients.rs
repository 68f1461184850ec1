//! Kafka Connect's clients drive ours: real ones where they can be had, and the calls of those that can't be had here,
//! in the order in which they make them.

use outflow_e2e::{Daemon, Site, alone};
use outflow_rig::{Kafka, http::ask, java, python, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const JSON: &str = "Content-Type: application/json";

fn start(group: &str) -> (Site, Daemon, Value) {
    let kafka = Kafka::shared();
    kafka.create_topic(group, 2, &[]);
    let site = Site::new(group, kafka);
    let worker = site.start("worker", &["config:"]);
    worker.wait_owning();
    let config = json!({
        "connector.class": "outflow.ObjectStoreSinkConnector", "tasks.max": "1", "topics": group,
        "model.columns": "[{name: number, type: BIGINT}]",
        "sink.url": site.folder().join("lake").display().to_string(),
    });
    (site, worker, config)
}

#[test]
fn two_python_clients_drive_a_worker() {
    let _turn = alone();
    let (_site, worker, config) = start("clients-python");
    let url = format!("http://127.0.0.1:{}", worker.port());
    let told = python(include_str!("../../clients/clients.py"), &[&url, &config.to_string()]);
    assert_eq!(told.trim(), "done");
    worker.drain();
}

#[test]
fn a_java_client_drives_a_worker() {
    let _turn = alone();
    let (_site, worker, config) = start("clients-java");
    let url = format!("http://127.0.0.1:{}", worker.port());
    let jars = ["org.sourcelab:kafka-connect-client:4.0.4", "org.slf4j:slf4j-nop:1.7.36"];
    let told = java(
        "connect-client-4.0.4",
        &jars,
        "Clients.java",
        include_str!("../../clients/Clients.java"),
        &[&url, &config.to_string()],
    );
    assert_eq!(told.trim(), "done");
    worker.drain();
}

/// Answers the body, and holds the status against what the client takes.
fn call(worker: &Daemon, method: &str, path: &str, body: &Value, status: u16) -> Value {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = ask(worker.port(), method, path, &[JSON], &text).expect("it answers");
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_default()
}

fn waits(worker: &Daemon, path: &str, pointer: &str, wanted: &str) {
    wait_until(&format!("{path} to say {wanted}"), LIMIT, || {
        let answer = ask(worker.port(), "GET", path, &[], "").expect("it answers");
        serde_json::from_str::<Value>(&answer.body).unwrap_or_default().pointer(pointer) == Some(&json!(wanted))
    });
}

const NOTHING: Value = Value::Null;

/// Creates, reads until every key and value is as it was written and none is there beside them, updates, deletes.
#[test]
fn the_calls_of_terraforms_provider_come_to_their_end() {
    let _turn = alone();
    let (_site, worker, config) = start("clients-terraform");
    call(&worker, "POST", "/connectors", &json!({ "name": "tf", "config": config }), 201);
    let mut wanted = config;
    wanted["name"] = "tf".into();
    assert_eq!(call(&worker, "GET", "/connectors/tf/config", &NOTHING, 200), wanted);
    wanted["flush.age"] = "30s".into();
    call(&worker, "PUT", "/connectors/tf/config", &wanted, 200);
    assert_eq!(call(&worker, "GET", "/connectors/tf/config", &NOTHING, 200), wanted);
    let status = call(&worker, "GET", "/connectors/tf/status", &NOTHING, 200);
    let connector = status["connector"].as_object().expect("an object");
    assert!(connector.values().all(Value::is_string), "the provider reads texts alone: {status}");
    call(&worker, "DELETE", "/connectors/tf", &NOTHING, 204);
    call(&worker, "GET", "/connectors/tf", &NOTHING, 404);
    worker.drain();
}

/// A Kubernetes operator reconciles: plugins, config, state, offsets, loggers; exact codes.
#[test]
fn the_calls_of_strimzis_operator_come_to_their_end() {
    let _turn = alone();
    let (_site, worker, config) = start("clients-strimzi");
    let plugins = call(&worker, "GET", "/connector-plugins", &NOTHING, 200);
    assert!(plugins.as_array().is_some_and(|all| all.iter().any(|one| one["class"] == config["connector.class"])));
    call(&worker, "GET", "/connectors/st/config", &NOTHING, 404);
    call(&worker, "PUT", "/connectors/st/config", &config, 201);
    waits(&worker, "/connectors/st/status", "/connector/state", "RUNNING");
    call(&worker, "PUT", "/connectors/st/config", &config, 200);
    call(&worker, "GET", "/connectors/st/topics", &NOTHING, 200);
    call(&worker, "PUT", "/connectors/st/pause", &NOTHING, 202);
    waits(&worker, "/connectors/st/status", "/connector/state", "PAUSED");
    call(&worker, "PUT", "/connectors/st/resume", &NOTHING, 202);
    call(&worker, "POST", "/connectors/st/restart?includeTasks=true&onlyFailed=false", &NOTHING, 202);
    call(&worker, "POST", "/connectors/st/tasks/0/restart", &NOTHING, 204);
    call(&worker, "PUT", "/connectors/st/stop", &NOTHING, 204);
    waits(&worker, "/connectors/st/status", "/connector/state", "STOPPED");
    call(&worker, "GET", "/connectors/st/offsets", &NOTHING, 200);
    call(&worker, "DELETE", "/connectors/st/offsets", &NOTHING, 200);
    call(&worker, "GET", "/admin/loggers", &NOTHING, 200);
    call(&worker, "PUT", "/admin/loggers/outflow_kafka", &json!({ "level": "WARN" }), 200);
    call(&worker, "DELETE", "/connectors/st", &NOTHING, 204);
    call(&worker, "GET", "/connectors/st/status", &NOTHING, 404);
    worker.drain();
}

/// kcctl, Kafbat UI and Redpanda Console: lists with a slash and expanded, topics connector by connector, dry runs.
#[test]
fn the_calls_of_command_lines_and_web_pages_come_to_their_end() {
    let _turn = alone();
    let (_site, worker, config) = start("clients-pages");
    let version = call(&worker, "GET", "/", &NOTHING, 200);
    let numbers: Vec<u32> =
        version["version"].as_str().unwrap_or_default().splitn(3, '.').take(2).flat_map(str::parse).collect();
    assert!(numbers >= vec![3, 7], "{version}: features are known by it");
    assert!(!version["kafka_cluster_id"].as_str().unwrap_or_default().is_empty(), "{version}");
    let dry = call(&worker, "PUT", "/connector-plugins/ObjectStoreSinkConnector/config/validate", &config, 200);
    assert_eq!(dry["error_count"], 1, "it has no name yet: {dry}");
    call(&worker, "PUT", "/connectors/ui/config", &config, 201);
    call(&worker, "GET", "/connectors/", &NOTHING, 200);
    waits(&worker, "/connectors?expand=status&expand=info", "/ui/status/tasks/0/state", "RUNNING");
    let all = call(&worker, "GET", "/connectors?expand=info&expand=status", &NOTHING, 200);
    assert!(all["ui"]["info"]["config"].as_object().is_some_and(|config| config.values().all(Value::is_string)));
    call(&worker, "GET", "/connectors/ui/topics", &NOTHING, 200);
    call(&worker, "GET", "/connectors/ui/tasks", &NOTHING, 200);
    call(&worker, "GET", "/connectors/ui/tasks/0/status", &NOTHING, 200);
    call(&worker, "DELETE", "/connectors/ui/offsets", &NOTHING, 400);
    let unknown = json!({ "connector.class": "org.example.None" });
    let told = call(&worker, "PUT", "/connector-plugins/None/config/validate", &unknown, 500);
    let prefix = "Failed to find any class that implements Connector";
    assert!(told["message"].as_str().is_some_and(|message| message.starts_with(prefix)), "{told}");
    call(&worker, "DELETE", "/connectors/ui", &NOTHING, 204);
    worker.drain();
}

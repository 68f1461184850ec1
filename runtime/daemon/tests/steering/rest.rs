//! Configuration that is put over REST, beside that of files.

use crate::site::{Daemon, LIMIT, PROGRAM, Site};
use outflow_local::{LocalTopic, RecordToWrite};
use outflow_rig::{
    http::{Answer, ask},
    wait_until,
};
use serde_json::{Value, json};
use std::process::Command;

const ALL: [&str; 2] = ["1001", "1002"];
const CLASS: &str = "outflow.ObjectStoreSinkConnector";

pub fn asks(daemon: &Daemon<'_>, method: &str, path: &str, body: &Value) -> Answer {
    let url = daemon.url().expect("it listens");
    let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(port, method, path, &["Content-Type: application/json"], &body).expect("it answers")
}

pub fn status(daemon: &Daemon<'_>, method: &str, path: &str, body: &Value) -> u16 {
    let answer = asks(daemon, method, path, body);
    // Of a test that fails, the reason.
    println!("{method} {path}: {} {}", answer.status, answer.body);
    answer.status
}

/// Of a connector that delivers all orders to one folder.
pub fn lake(site: &Site, folder: &str) -> Value {
    json!({
        "connector.class": CLASS,
        "tasks.max": "3",
        "topics": "orders",
        "model.columns": "[{name: number, type: BIGINT, required: true}]",
        "flush.age": "100ms",
        "flush.bytes": "1MiB",
        "sink.url": site.path().join("lake").join(folder).display().to_string(),
        "sink.file.type": "ndjson",
        "sink.file.compression": "none",
    })
}

fn state(daemon: &Daemon<'_>, connector: &str) -> Value {
    serde_json::from_str(&asks(daemon, "GET", &format!("/connectors/{connector}/status"), &Value::Null).body)
        .unwrap_or_default()
}

fn wait_state(daemon: &Daemon<'_>, connector: &str, wanted: &str) {
    wait_until(&format!("{connector} to be {wanted}"), LIMIT, || {
        state(daemon, connector)["connector"]["state"] == wanted
    });
}

#[test]
fn a_connector_that_is_put_delivers_everything_once_over_kills_and_is_returned_as_it_was_put() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let config = lake(&site, "all");
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &config), 201);
    site.produce(&["1001", "9"], 0..10);
    site.wait_for("1001", 0..10, 1);
    site.wait_for("all", 0..10, 2);
    daemon.kill();
    site.produce(&["9"], 10..20);
    let daemon = site.start();
    wait_until("the rest", LIMIT, || site.delivered("all").len() == 20);
    assert!(site.delivered("all").iter().all(|(number, count)| *count == if *number < 10 { 2 } else { 1 }));
    let mut wanted = config;
    wanted["name"] = "all".into();
    let told: Value =
        serde_json::from_str(&asks(&daemon, "GET", "/connectors/all/config", &Value::Null).body).expect("JSON");
    assert_eq!(told, wanted);
    let names = asks(&daemon, "GET", "/connectors", &Value::Null).body;
    assert_eq!(names, r#"["all","orders"]"#);
    assert!(daemon.told(&["connectors", "list"]).contains("RUNNING"));
    assert_eq!(status(&daemon, "DELETE", "/connectors/all", &Value::Null), 204);
    assert_eq!(status(&daemon, "GET", "/connectors/all", &Value::Null), 404);
    daemon.drain();
}

#[test]
fn a_paused_connector_delivers_nothing_over_a_restart_and_a_stopped_one_has_no_tasks() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &lake(&site, "all")), 201);
    site.produce(&["9"], 0..10);
    site.wait_for("all", 0..10, 1);
    assert_eq!(status(&daemon, "PUT", "/connectors/all/pause", &Value::Null), 202);
    wait_state(&daemon, "all", "PAUSED");
    daemon.kill();
    site.produce(&["9", "1001"], 10..20);
    let daemon = site.start();
    site.wait_for("1001", 10..20, 1);
    site.wait_for("all", 0..10, 1);
    assert_eq!(state(&daemon, "all")["tasks"][1]["state"], "PAUSED");
    assert_eq!(status(&daemon, "PUT", "/connectors/all/stop", &Value::Null), 204);
    wait_state(&daemon, "all", "STOPPED");
    assert_eq!(state(&daemon, "all")["tasks"], json!([]));
    assert_eq!(status(&daemon, "PUT", "/connectors/all/resume", &Value::Null), 202);
    wait_until("the rest", LIMIT, || site.delivered("all").len() == 20);
    assert!(site.delivered("all").iter().all(|(number, count)| *count == if *number < 10 { 1 } else { 2 }));
    daemon.drain();
}

#[test]
fn a_new_connector_gets_all_that_its_topic_has_and_one_that_is_made_again_goes_on_where_it_was_left() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.produce(&["9", "1001"], 0..10);
    site.wait_for("1001", 0..10, 1);
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &lake(&site, "all")), 201);
    site.wait_for("all", 0..10, 2);
    assert_eq!(status(&daemon, "PUT", "/connectors/all/stop", &Value::Null), 204);
    wait_until("all to be decided", LIMIT, || {
        asks(&daemon, "GET", "/connectors/all/offsets", &Value::Null).body.matches("\"kafka_offset\":10").count() == 2
    });
    assert_eq!(status(&daemon, "DELETE", "/connectors/all", &Value::Null), 204);
    site.produce(&["9", "1001"], 10..20);
    site.wait_for("1001", 0..20, 1);
    let made = json!({ "name": "all", "config": lake(&site, "all"), "initial_state": "PAUSED" });
    assert_eq!(status(&daemon, "POST", "/connectors", &made), 201);
    wait_state(&daemon, "all", "PAUSED");
    site.produce(&["9"], 20..30);
    assert_eq!(status(&daemon, "PUT", "/connectors/all/resume", &Value::Null), 202);
    let wanted = |number: u64| if number < 20 { 2 } else { 1 };
    wait_until("the rest", LIMIT, || site.delivered("all").len() == 30);
    wait_until("the rest twice", LIMIT, || {
        let seen = site.delivered("all");
        let more = seen.iter().find(|(number, count)| **count > wanted(**number));
        assert!(more.is_none(), "more than there is: {more:?}");
        seen.iter().all(|(number, count)| *count == wanted(*number))
    });
    daemon.drain();
}

#[test]
fn what_a_connector_has_not_delivered_when_it_is_removed_is_delivered_once_when_it_is_made_again() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let mut config = lake(&site, "all");
    config["flush.age"] = "1h".into();
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &config), 201);
    site.produce(&["9", "1001"], 0..10);
    site.wait_for("1001", 0..10, 1);
    assert_eq!(status(&daemon, "DELETE", "/connectors/all", &Value::Null), 204);
    site.produce(&["9"], 10..20);
    config["flush.age"] = "100ms".into();
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &config), 201);
    site.produce(&["9"], 20..30);
    let wanted = |number: u64| if number < 10 { 2 } else { 1 };
    wait_until("all of it", LIMIT, || {
        let seen = site.delivered("all");
        let more = seen.iter().find(|(number, count)| **count > wanted(**number));
        assert!(more.is_none(), "more than there is: {more:?}");
        seen.len() == 30 && seen.iter().all(|(number, count)| *count == wanted(*number))
    });
    daemon.drain();
}

#[test]
fn a_pattern_reads_the_topics_that_fit_it_and_those_that_come_later_from_their_beginning() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let mut config = lake(&site, "all");
    config.as_object_mut().expect("an object").remove("topics");
    config["topics.regex"] = "orders([.]eu)?".into();
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &config), 201);
    assert_eq!(asks(&daemon, "GET", "/connectors/all/topics", &Value::Null).body, r#"{"all":{"topics":["orders"]}}"#);
    site.produce(&["9"], 0..10);
    site.wait_for("all", 0..10, 1);
    let write = |topic: &LocalTopic, number: u64| {
        let value = format!("{{\"number\":{number}}}");
        let (timestamp_ms, value) = (1, Some(value.as_bytes()));
        topic.append(0, &[RecordToWrite { timestamp_ms, key: None, value, headers: &[] }]).expect("our own topic");
    };
    let (eu, us) = (site.create_topic("orders.eu"), site.create_topic("orders.us"));
    write(&eu, 10);
    write(&us, 99);
    site.wait_for("all", 0..11, 1);
    write(&eu, 11);
    site.wait_for("all", 0..12, 1);
    let told = asks(&daemon, "GET", "/connectors/all/config", &Value::Null).body;
    assert!(told.contains("orders([.]eu)?") && !told.contains("\"topics\""), "as it was put: {told}");
    daemon.drain();
}

#[test]
fn offsets_that_are_put_back_deliver_exactly_these_records_once_more() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &lake(&site, "all")), 201);
    site.produce(&["9"], 0..20);
    site.wait_for("all", 0..20, 1);
    let back = |partition: u32, offset: i64| {
        json!({ "offsets": [ { "partition": { "kafka_topic": "orders",
        "kafka_partition": partition }, "offset": { "kafka_offset": offset } } ] })
    };
    assert_eq!(status(&daemon, "PATCH", "/connectors/all/offsets", &back(0, 5)), 400, "it is not stopped");
    assert_eq!(status(&daemon, "PUT", "/connectors/all/stop", &Value::Null), 204);
    wait_until("all to be decided", LIMIT, || {
        asks(&daemon, "GET", "/connectors/all/offsets", &Value::Null).body.matches("\"kafka_offset\":10").count() == 2
    });
    let refused = asks(&daemon, "PATCH", "/connectors/all/offsets", &back(0, 11));
    assert!(refused.status == 400 && refused.body.contains("would never be delivered"), "{}", refused.body);
    assert_eq!(status(&daemon, "PATCH", "/connectors/all/offsets", &back(7, 1)), 400);
    let told = asks(&daemon, "PATCH", "/connectors/all/offsets", &back(0, 5));
    assert!(told.status == 200 && told.body.contains("once more"), "{}", told.body);
    assert_eq!(status(&daemon, "PUT", "/connectors/all/resume", &Value::Null), 202);
    // Partition 0 has the even numbers.
    let twice = |number: u64| number.is_multiple_of(2) && number >= 10;
    wait_until("these records", LIMIT, || {
        site.delivered("all").iter().all(|(number, count)| *count == if twice(*number) { 2 } else { 1 })
    });
    daemon.drain();
}

#[test]
fn a_merchant_that_is_put_gets_his_rows_and_is_asked_for_before_what_he_is_owed_is_dropped() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let sink = |id: &str| {
        json!({ "type": "object_store", "url": site.path().join("lake").join(id).display().to_string(),
        "file": { "type": "ndjson", "compression": "none" } })
    };
    let body = json!({ "deliver": [ { "connector": "orders", "sink": sink("2001") } ] });
    assert_eq!(status(&daemon, "PUT", "/v1/merchants/2001", &body), 201);
    assert_eq!(status(&daemon, "PUT", "/v1/merchants/2001", &body), 200);
    wait_until("the merchant to be known to the shards", LIMIT, || {
        site.produce(&["2001"], 0..1);
        !site.delivered("2001").is_empty()
    });
    let clash = json!({ "deliver": [ { "connector": "orders", "sink": sink("2001") } ] });
    let refused = asks(&daemon, "PUT", "/v1/merchants/2002", &clash);
    assert!(refused.status == 400 && refused.body.contains("same place"), "{}", refused.body);
    let refused = asks(&daemon, "PUT", "/v1/merchants/1001", &body);
    assert!(refused.status == 403 && refused.body.contains("1001.yaml"), "{}", refused.body);
    let unknown = json!({ "deliver": [ { "connector": "ordes", "sink": sink("2003") } ] });
    let refused = asks(&daemon, "PUT", "/v1/merchants/2003", &unknown);
    assert!(refused.status == 400 && refused.body.contains("did you mean `orders`"), "{}", refused.body);
    let told: Value =
        serde_json::from_str(&asks(&daemon, "POST", "/v1/merchants/2001/test", &Value::Null).body).expect("JSON");
    assert_eq!(told["ok"], true, "{told}");
    daemon.told(&["merchants", "pause", "2001"]);
    daemon.wait_state("2001", "paused");
    site.produce(&["2001"], 1..2);
    wait_until("a debt", LIMIT, || daemon.delivery("2001")["lag_records"].as_u64().is_some_and(|lag| lag > 0));
    assert_eq!(status(&daemon, "DELETE", "/v1/merchants/2001", &Value::Null), 409);
    assert_eq!(status(&daemon, "DELETE", "/v1/merchants/2001?undelivered=drop", &Value::Null), 204);
    daemon.wait_state("2001", "removed");
    assert!(!site.delivered("2001").contains_key(&1));
    daemon.drain();
}

#[test]
fn files_and_rest_do_not_touch_what_is_the_others() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let refused = asks(&daemon, "PUT", "/connectors/orders/config", &lake(&site, "all"));
    assert!(refused.status == 403 && refused.body.contains("files"), "{}", refused.body);
    assert_eq!(status(&daemon, "DELETE", "/connectors/orders", &Value::Null), 403);
    let flat: Value =
        serde_json::from_str(&asks(&daemon, "GET", "/connectors/orders/config", &Value::Null).body).expect("JSON");
    assert_eq!((&flat["topics"], &flat["merchant.key"]), (&"orders".into(), &"true".into()), "{flat}");
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &lake(&site, "all")), 201);
    // A file that says something new leaves alone what came over REST.
    site.merchant("1003", "");
    wait_until("the new merchant", LIMIT, || {
        daemon.json(&["merchants", "show", "1003", "--json"])["deliveries"][0]["state"] == "live"
    });
    assert_eq!(status(&daemon, "GET", "/connectors/all", &Value::Null), 200);
    site.produce(&["9"], 0..10);
    site.wait_for("all", 0..10, 1);
    daemon.drain();
}

#[test]
fn two_writers_do_not_overwrite_each_other() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let url = daemon.url().expect("it listens");
    let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let put = |tag: &str, age: &str| {
        let mut config = lake(&site, "all");
        config["flush.age"] = age.into();
        let headers = [format!("If-Match: {tag}"), "Content-Type: application/json".to_owned()];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        ask(port, "PUT", "/connectors/all/config", &headers, &config.to_string()).expect("it answers")
    };
    assert_eq!(put("*", "1s").status, 404, "there is none yet");
    assert_eq!(status(&daemon, "POST", "/connectors", &json!({ "name": "all", "config": lake(&site, "all") })), 201);
    assert_eq!(status(&daemon, "POST", "/connectors", &json!({ "name": "all", "config": lake(&site, "all") })), 409);
    let known = asks(&daemon, "GET", "/connectors/all/config", &Value::Null);
    let tag = known.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned();
    assert_eq!(put(&tag, "1s").status, 200);
    assert_eq!(put(&tag, "2s").status, 412, "somebody was faster");
    assert!(asks(&daemon, "GET", "/connectors/all/config", &Value::Null).body.contains("\"flush.age\":\"1s\""));
    daemon.drain();
}

#[test]
fn a_connector_that_somebody_else_has_changed_meanwhile_is_not_stopped_by_who_would_remove_it() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let port = daemon.url().and_then(|url| url.rsplit_once(':')?.1.parse().ok()).expect("a port");
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &lake(&site, "all")), 201);
    let remove = |tag: &str| {
        let tag = format!("If-Match: {tag}");
        ask(port, "DELETE", "/connectors/all", &[&tag], "").expect("it answers").status
    };
    let known = asks(&daemon, "GET", "/connectors/all/config", &Value::Null);
    let tag = known.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned();
    let mut config = lake(&site, "all");
    config["flush.age"] = "200ms".into();
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &config), 200);
    assert_eq!(remove(&tag), 412, "it is not what was read");
    assert_eq!(state(&daemon, "all")["connector"]["state"], "RUNNING");
    site.produce(&["9"], 0..10);
    site.wait_for("all", 0..10, 1);
    let known = asks(&daemon, "GET", "/connectors/all/config", &Value::Null);
    let tag = known.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned();
    assert_eq!(remove(&tag), 204);
    daemon.drain();
}

#[test]
fn a_wrong_configuration_is_told_key_by_key_and_nothing_of_it_is_kept() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let mut config = lake(&site, "all");
    for (key, text) in [
        ("flush.rows", "many"),
        ("flsh.age", "1s"),
        ("sink.secret_access_key", "hunter2"),
        ("errors.tolerance", "some"),
    ] {
        config[key] = text.into();
    }
    let refused = asks(&daemon, "PUT", "/connectors/all/config", &config);
    assert_eq!(refused.status, 400);
    let path = "/connector-plugins/ObjectStoreSink/config/validate";
    let told: Value = serde_json::from_str(&asks(&daemon, "PUT", path, &config).body).expect("JSON");
    for key in ["flush.rows", "flsh.age", "sink.secret_access_key", "errors.tolerance"] {
        assert!(refused.body.contains(key), "{key}: {}", refused.body);
        let one = told["configs"].as_array().into_iter().flatten().find(|one| one["value"]["name"] == key);
        let errors = one.and_then(|one| one["value"]["errors"].as_array().map(Vec::len));
        assert_eq!(errors, Some(1), "{key}: {told}");
    }
    assert!(!refused.body.contains("hunter2"), "{}", refused.body);
    assert_eq!(told["error_count"], 5, "and it has no name: {told}");
    assert_eq!(status(&daemon, "GET", "/connectors/all", &Value::Null), 404);
    let mut config = lake(&site, "all");
    config["topics"] = "nowhere".into();
    let refused = asks(&daemon, "PUT", "/connectors/all/config", &config);
    assert!(refused.status == 400 && refused.body.contains("nowhere"), "{}", refused.body);
    config["connector.class"] = "org.example.Unknown".into();
    let refused = asks(&daemon, "PUT", "/connectors/all/config", &config);
    assert!(refused.body.contains("Failed to find any class that implements Connector"), "{}", refused.body);
    daemon.drain();
}

#[test]
fn over_tls_a_token_of_the_right_role_is_asked_for_and_never_shown() {
    let site = Site::new(&ALL);
    for (name, text) in [
        ("certificate.pem", include_str!("tls/certificate.pem")),
        ("key.pem", include_str!("tls/key.pem")),
        ("ca.pem", include_str!("tls/ca.pem")),
    ] {
        site.write(name, text);
    }
    let made = Command::new(PROGRAM).arg("token").output().expect("the program starts");
    let made = String::from_utf8_lossy(&made.stdout).into_owned();
    let word =
        |line: &str| made.lines().find_map(|one| one.strip_prefix(line)?.split_whitespace().next()).expect("told");
    let (token, hash) = (word("token"), word("sha256"));
    let rest = format!(
        "rest: {{ listen: \"0.0.0.0:0\", advertise: \"localhost:1\", \
         tls: {{ certificate: certificate.pem, key: key.pem }}, \
         tokens: [ {{ name: eva, role: viewer, sha256: {hash} }} ] }}"
    );
    let lines: Vec<String> = Site::worker()
        .lines()
        .map(|line| if line.starts_with("rest:") { rest.clone() } else { line.to_owned() })
        .collect();
    site.write("outflow.yaml", &lines.join("\n"));
    let daemon = site.launch(&[]);
    wait_until("it to listen", LIMIT, || daemon.url().is_some());
    let port = daemon.url().and_then(|url| url.rsplit_once(':').map(|(_, port)| port.to_owned())).expect("a port");
    let ca = site.path().join("ca.pem").display().to_string();
    let url = format!("https://localhost:{port}");
    let asks = |args: &[&str], token: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(args).args(["--url", &url, "--ca", &ca]).env("OUTFLOW_TOKEN", token);
        let output = command.output().expect("the program starts");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    wait_until("the connector to be there", LIMIT, || asks(&["connectors", "list"], token).contains("orders"));
    let told = asks(&["connectors", "pause", "orders"], token);
    assert!(told.contains("a viewer may not do this"), "{told}");
    let told = asks(&["connectors", "list"], "guessed");
    assert!(told.contains("a token is needed"), "{told}");
    let told = Command::new(PROGRAM).args(["lag", "--url", &url]).output().expect("the program starts");
    assert!(String::from_utf8_lossy(&told.stderr).contains("certificate"), "nobody vouches for it: {told:?}");
    let log = daemon.drain();
    assert!(!log.contains(token) && !log.contains("guessed"), "{log}");
}

#[test]
fn a_worker_without_files_is_ready_and_takes_all_over_rest_and_one_of_files_alone_takes_commands_alone() {
    let site = Site::new(&[]);
    site.write("outflow.yaml", &Site::worker().replace("config: [ connectors/*.yaml, merchants/*.yaml ]\n", ""));
    let daemon = site.start();
    wait_until("it to be ready", LIMIT, || status(&daemon, "GET", "/health", &Value::Null) == 200);
    assert_eq!(asks(&daemon, "GET", "/connectors", &Value::Null).body, "[]");
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &lake(&site, "all")), 201);
    site.produce(&["9"], 0..10);
    site.wait_for("all", 0..10, 1);
    daemon.drain();
    site.write("outflow.yaml", &Site::worker().replace("rest: {", "rest: { read_only: true,"));
    let daemon = site.start();
    let refused = asks(&daemon, "PUT", "/connectors/all/config", &lake(&site, "all"));
    assert!(refused.status == 403 && refused.body.contains("read_only"), "{}", refused.body);
    assert_eq!(status(&daemon, "PUT", "/connectors/all/pause", &Value::Null), 202);
    wait_state(&daemon, "all", "PAUSED");
    daemon.drain();
}

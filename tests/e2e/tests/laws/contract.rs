//! The same requests to a real Kafka Connect worker and to ours: status codes and shapes of answers are compared, and
//! where they differ, it is said here and why.

use outflow_e2e::{Site, alone, produce};
use outflow_rig::{
    Connect, Kafka,
    http::{Answer, ask},
    wait_until,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);
const JSON: &str = "Content-Type: application/json";

/// A worker, and a kind of connector that it has.
struct Side {
    port: u16,
    class: &'static str,
    simple: &'static str,
    config: Value,
}

impl Side {
    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let fill = |text: &str| {
            let (config, mut other) = (self.config.to_string(), self.config.clone());
            // Another place.
            for place in ["sink.url", "file"] {
                if let Some(text) = other[place].as_str() {
                    other[place] = format!("{text}-d").into();
                }
            }
            let text = text.replace("{config}", &config).replace("{other}", &other.to_string());
            text.replace("{class}", self.class).replace("{simple}", self.simple)
        };
        let (path, body) = (fill(path), fill(body));
        let ask = || ask(self.port, method, &path, &[JSON], &body).expect("it answers");
        // Connect asks to be asked again while it rebalances, which it does behind every change.
        let is_busy = |answer: &Answer| answer.status == 409 && answer.body.contains("rebalanc");
        let mut answer = ask();
        wait_until("the rebalance to end", LIMIT, || {
            if is_busy(&answer) {
                answer = ask();
            }
            !is_busy(&answer)
        });
        answer
    }

    fn wait(&self, path: &str, holds: impl Fn(&Answer) -> bool) {
        let mut last = String::new();
        wait_until(path, LIMIT, || {
            let answer = self.ask("GET", path, "");
            if answer.body != last {
                println!("{}: {path}: {} {}", self.class, answer.status, answer.body);
                last.clone_from(&answer.body);
            }
            holds(&answer)
        });
    }
}

/// Steps, and behind which of them both are waited for.
const STEPS: [(&str, &str, &str); 64] = [
    ("GET", "/", ""),
    ("GET", "/health", ""),
    ("GET", "/connectors", ""),
    ("GET", "/connectors/", ""),
    ("GET", "/connectors?expand=info&expand=status", ""),
    ("GET", "/connectors/none", ""),
    ("GET", "/connectors/none/config", ""),
    ("GET", "/connectors/none/status", ""),
    ("GET", "/connectors/none/tasks", ""),
    ("GET", "/connectors/none/tasks/0/status", ""),
    ("GET", "/connectors/none/offsets", ""),
    ("PUT", "/connectors/none/pause", ""),
    ("PUT", "/connectors/none/resume", ""),
    ("PUT", "/connectors/none/stop", ""),
    ("POST", "/connectors/none/restart", ""),
    ("PATCH", "/connectors/none/config", "{\"a\": \"b\"}"),
    ("DELETE", "/connectors/none", ""),
    ("DELETE", "/connectors/none/offsets", ""),
    ("POST", "/connectors", "{"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {}}"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {\"connector.class\": \"org.example.None\"}}"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {\"name\": \"d\", \"connector.class\": \"{class}\"}}"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {\"connector.class\": \"{class}\"}}"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {config}, \"initial_state\": \"asleep\"}"),
    ("PUT", "/connectors/c/config", "{\"connector.class\": \"{class}\", \"tasks.max\": \"many\"}"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {config}}"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {config}}"),
    ("GET", "/connectors", ""),
    ("GET", "/connectors?expand=info&expand=status", ""),
    ("GET", "/connectors?expand=nothing", ""),
    ("GET", "/connectors/c", ""),
    ("GET", "/connectors/c/config", ""),
    ("GET", "/connectors/c/status", ""),
    ("GET", "/connectors/c/tasks", ""),
    ("GET", "/connectors/c/tasks/0/status", ""),
    ("GET", "/connectors/c/tasks/99/status", ""),
    ("GET", "/connectors/c/tasks/x/status", ""),
    ("POST", "/connectors/c/tasks/0/restart", ""),
    ("POST", "/connectors/c/tasks/99/restart", ""),
    ("POST", "/connectors/c/restart", ""),
    ("POST", "/connectors/c/restart?includeTasks=true", ""),
    ("PUT", "/connectors/c/config", "{config}"),
    ("PUT", "/connectors/d/config", "{other}"),
    ("DELETE", "/connectors/d", ""),
    ("PATCH", "/connectors/c/config", "{\"tasks.max\": \"2\", \"errors.log.enable\": null}"),
    ("GET", "/connectors/c/topics", ""),
    ("PATCH", "/connectors/c/offsets", "{\"offsets\": []}"),
    ("DELETE", "/connectors/c/offsets", ""),
    ("PUT", "/connectors/c/pause", ""),
    ("PUT", "/connectors/c/resume", ""),
    ("PUT", "/connectors/c/stop", ""),
    ("GET", "/connector-plugins", ""),
    ("GET", "/connector-plugins/{class}/config", ""),
    ("GET", "/connector-plugins/org.example.None/config", ""),
    ("PUT", "/connector-plugins/{class}/config/validate", "{config}"),
    ("PUT", "/connector-plugins/{simple}/config/validate", "{\"connector.class\": \"{class}\"}"),
    ("PUT", "/connector-plugins/{class}/config/validate", "{\"topics\": \"a\"}"),
    ("PUT", "/connector-plugins/org.example.None/config/validate", "{\"connector.class\": \"org.example.None\"}"),
    ("GET", "/admin/loggers", ""),
    ("GET", "/admin/loggers/root", ""),
    ("PUT", "/admin/loggers/root", "{\"level\": \"loud\"}"),
    ("PUT", "/admin/loggers/org.example?scope=worker", "{\"level\": \"WARN\"}"),
    ("PUT", "/admin/loggers/org.example?scope=cluster", "{\"level\": \"ERROR\"}"),
    ("GET", "/nowhere", ""),
];

/// Where we answer in another way, and why.
const DIFFERENCES: [(&str, &str, &str, &str); 5] = [
    ("POST", "/connectors", "{", "a body that cannot be read is the caller's mistake: 400, and never 500"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {config}, \"initial_state\": \"asleep\"}", "the same"),
    ("PUT", "/connector-plugins/{class}/config/validate", "{\"topics\": \"a\"}", "the same"),
    ("POST", "/connectors", "{\"name\": \"c\", \"config\": {config}}", "tasks are shards, which are there already"),
    ("PUT", "/connectors/d/config", "{other}", "the same"),
];

/// Names of keys and kinds of values; of lists, those of all items.
fn shape(value: &Value, at: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    match value {
        // Keys of a configuration, names of connectors and of loggers are not the interface's own.
        Value::Object(fields) if at.ends_with("config") || is_named(fields) => {
            all.insert(format!("{at}: named"));
            fields.values().for_each(|value| all.extend(shape(value, &format!("{at}.*"))));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| all.extend(shape(value, &format!("{at}.{key}"))))
        }
        Value::Array(items) => {
            all.insert(format!("{at}: list"));
            // Whether there are any recommendations is each key's affair.
            let items = items.iter().filter(|item| !item.is_string());
            items.for_each(|item| all.extend(shape(item, &format!("{at}[]"))));
        }
        Value::Null => {}
        Value::String(_) => drop(all.insert(format!("{at}: text"))),
        Value::Number(_) => drop(all.insert(format!("{at}: number"))),
        Value::Bool(_) => drop(all.insert(format!("{at}: flag"))),
    }
    all
}

fn is_named(fields: &Map<String, Value>) -> bool {
    fields.contains_key("c") || fields.contains_key("root")
}

fn shape_of(answer: &Answer, at: &str) -> BTreeSet<String> {
    if answer.body.trim().is_empty() {
        return [": nothing".to_owned()].into();
    }
    serde_json::from_str(&answer.body).map_or_else(|_| [": no JSON".to_owned()].into(), |value| shape(&value, at))
}

/// What Connect does behind its answer is waited for on both sides.
fn settle(side: &Side, (method, path, _): (&str, &str, &str), answer: &Answer) {
    let has = |state: &'static str| move |answer: &Answer| answer.body.contains(state);
    match (method, path) {
        ("POST", "/connectors") if answer.status == 201 => {
            side.wait("/connectors/c/tasks/0/status", has("\"RUNNING\""));
        }
        ("POST", path) if path.contains("restart") && answer.status < 300 => {
            side.wait("/connectors/c/tasks/0/status", has("\"RUNNING\""));
        }
        ("PUT", "/connectors/c/config") | ("PATCH", "/connectors/c/config") if answer.status < 300 => {
            side.wait("/connectors/c/tasks/0/status", has("\"RUNNING\""));
        }
        ("PUT", "/connectors/d/config") if answer.status < 300 => {
            side.wait("/connectors/d/tasks/0/status", has("\"RUNNING\""));
        }
        ("DELETE", "/connectors/d") => side.wait("/connectors/d", |answer| answer.status == 404),
        ("PUT", "/connectors/c/pause") => side.wait("/connectors/c/status", has("\"PAUSED\"")),
        ("PUT", "/connectors/c/resume") => side.wait("/connectors/c/tasks/0/status", has("\"RUNNING\"")),
        ("PUT", "/connectors/c/stop") => side.wait("/connectors/c/status", has("\"STOPPED\"")),
        _ => {}
    }
}

#[test]
fn we_answer_as_kafka_connect_does_but_for_what_is_named_here() {
    let _turn = alone();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    // Each has a broker of its own: we refuse a connector whose consumer group somebody else uses.
    let (kafka, own) = (Kafka::start(folder.path()), Kafka::shared());
    for kafka in [&kafka, own] {
        kafka.create_topic("contract", 4, &[]);
        produce(kafka, "contract", 0..1_000);
    }
    let (theirs_folder, site) = (tempfile::tempdir().expect("there is a temporary folder"), Site::new("contract", own));
    let connect = Connect::start(theirs_folder.path(), &kafka);
    let worker = site.start("worker", &["config:"]);
    worker.wait_owning();
    let theirs = Side {
        port: connect.port(),
        class: "org.apache.kafka.connect.file.FileStreamSinkConnector",
        simple: "FileStreamSinkConnector",
        config: json!({ "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max": "1",
            "topics": "contract", "file": theirs_folder.path().join("c").display().to_string(),
            "errors.log.enable": "true" }),
    };
    let ours = Side {
        port: worker.port(),
        class: "outflow.ObjectStoreSinkConnector",
        simple: "ObjectStoreSinkConnector",
        config: json!({ "connector.class": "outflow.ObjectStoreSinkConnector", "tasks.max": "1", "topics": "contract",
            "model.columns": "[{name: n, type: BIGINT}]", "errors.log.enable": "true",
            "sink.url": site.folder().join("contract").display().to_string() }),
    };
    let mut differences = Vec::new();
    for step in STEPS {
        let (method, path, body) = step;
        let [one, other] = [&theirs, &ours].map(|side| {
            let answer = side.ask(method, path, body);
            println!("{}: {method} {path} {body}: {} {}", side.class, answer.status, answer.body);
            settle(side, step, &answer);
            answer
        });
        let at = if path == "/connectors/c/config" && method == "GET" { "config" } else { "" };
        let differs = one.status != other.status || shape_of(&one, at) != shape_of(&other, at);
        let is_known = DIFFERENCES.iter().any(|(m, p, b, _)| (*m, *p, *b) == step);
        // The second time a connector is made, both refuse it.
        if differs != is_known && !(is_known && one.status == 409) {
            differences.push(format!(
                "{method} {path} {body}\n  Connect {}: {}\n  ours    {}: {}",
                one.status, one.body, other.status, other.body
            ));
        }
    }
    assert!(differences.is_empty(), "not as it is named here:\n{}", differences.join("\n"));
    worker.drain();
}

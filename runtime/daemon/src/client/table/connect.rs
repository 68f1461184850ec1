//! Kafka Connect's answers for people.

use super::{plain, table};
use serde_json::Value;

pub fn connectors(all: &Value) -> String {
    let all: Vec<(&String, &Value)> = all.as_object().into_iter().flatten().collect();
    if all.is_empty() {
        return "there are no connectors\n".to_owned();
    }
    let row = |(name, one): &(&String, &Value)| {
        let tasks = one["status"]["tasks"].as_array();
        let in_state = |state: &str| tasks.into_iter().flatten().filter(|task| task["state"] == state).count();
        vec![
            plain(name),
            text(&one["status"]["connector"]["state"]),
            format!("{} of {}", in_state("RUNNING"), tasks.map_or(0, Vec::len)),
            in_state("FAILED").to_string(),
            text(&one["info"]["config"]["topics"]),
            text(&one["info"]["config"]["connector.class"]),
        ]
    };
    table(
        &["CONNECTOR", "STATE", "TASKS RUNNING", "FAILED", "TOPICS", "CLASS"].map(str::to_owned),
        &all.iter().map(row).collect::<Vec<_>>(),
    )
}

pub fn connector(one: &Value) -> String {
    let status = &one["status"];
    let mut shown = format!("{}   {}\n\n", text(&status["name"]), text(&status["connector"]["state"]));
    let tasks: Vec<Vec<String>> = status["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| [&task["id"], &task["state"], &task["worker_id"], &task["trace"]].map(text).to_vec())
        .collect();
    if !tasks.is_empty() {
        shown += &table(&["TASK", "STATE", "WORKER", "WHY"].map(str::to_owned), &tasks);
        shown.push('\n');
    }
    let config = one["info"]["config"].as_object().into_iter().flatten();
    let config: Vec<Vec<String>> = config.map(|(key, value)| vec![plain(key), text(value)]).collect();
    shown + &table(&["KEY", "VALUE"].map(str::to_owned), &config)
}

pub fn validation(told: &Value) -> String {
    let configs = told["configs"].as_array().into_iter().flatten();
    let wrong: Vec<Vec<String>> = configs
        .flat_map(|one| {
            let errors = one["value"]["errors"].as_array().into_iter().flatten();
            errors.map(|error| vec![text(&one["value"]["name"]), text(error)])
        })
        .collect();
    if wrong.is_empty() {
        return "ok    nothing is wrong with it\n".to_owned();
    }
    table(&["KEY", "WRONG"].map(str::to_owned), &wrong)
}

pub fn offsets(told: &Value) -> String {
    let rows = told["offsets"].as_array().into_iter().flatten().map(|one| {
        let at = &one["partition"];
        [&at["kafka_topic"], &at["kafka_partition"], &one["offset"]["kafka_offset"]].map(text).to_vec()
    });
    table(&["TOPIC", "PARTITION", "DECIDED UP TO"].map(str::to_owned), &rows.collect::<Vec<_>>())
}

pub fn plugins(told: &Value) -> String {
    let rows = told.as_array().into_iter().flatten();
    let rows = rows.map(|one| [&one["class"], &one["type"], &one["version"]].map(text).to_vec());
    table(&["CLASS", "TYPE", "VERSION"].map(str::to_owned), &rows.collect::<Vec<_>>())
}

pub fn steps(told: &Value) -> String {
    let rows = told["steps"].as_array().into_iter().flatten().map(|one| {
        let result = if one["ok"] == true { "ok" } else { "FAIL" };
        vec![result.to_owned(), text(&one["connector"]), text(&one["step"]), text(&one["seen"])]
    });
    table(&["", "CONNECTOR", "STEP", "SEEN"].map(str::to_owned), &rows.collect::<Vec<_>>())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

//! The description of all paths, held against what is answered.

use crate::{access::ROUTES, json, start, working};
use serde_json::{Map, Value};

/// A path of the description that fits one that was asked.
fn described<'d>(paths: &'d Map<String, Value>, asked: &str) -> Option<&'d Value> {
    let asked: Vec<&str> = asked.trim_end_matches('/').split('/').collect();
    let fits = |path: &str, with_names: bool| {
        let path: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        path.len() == asked.len()
            && path.iter().zip(&asked).all(|(one, other)| one == other || with_names && one.starts_with('{'))
    };
    let exact = paths.iter().find(|(path, _)| fits(path, false));
    // Names of actions are no names of paths.
    let named = || paths.iter().filter(|(path, _)| fits(path, true)).min_by_key(|(path, _)| path.matches('{').count());
    exact.or_else(named).map(|(_, operations)| operations)
}

/// What an answer has that its description does not, or the other way round.
fn wrong(all: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return wrong(all, all.pointer(&name[1..]).expect("what is named is there"), value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().any(|choice| wrong(all, choice, value, at).is_empty());
        return if fits { Vec::new() } else { vec![format!("{at}: fits none of its choices: {value}")] };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Vec::new(),
    };
    if !kinds.contains(&kind) {
        return vec![format!("{at}: {kind} is none of {kinds:?}")];
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return vec![format!("{at}: {value} is none of its words")];
    }
    match value {
        Value::Array(items) => {
            items.iter().flat_map(|item| wrong(all, &schema["items"], item, &format!("{at}[]"))).collect()
        }
        Value::Object(fields) => {
            let known = schema["properties"].as_object();
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing =
                required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{at}.{name} is missing"));
            let others = fields.iter().flat_map(|(name, value)| {
                let at = format!("{at}.{name}");
                match (known.and_then(|known| known.get(name)), &schema["additionalProperties"]) {
                    (Some(schema), _) => wrong(all, schema, value, &at),
                    (None, Value::Bool(false)) => vec![format!("{at} is not described")],
                    (None, schema) => wrong(all, schema, value, &at),
                }
            });
            missing.chain(others).collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_route_is_described_and_every_answer_is_as_its_description_says() {
    let running = start().await;
    running.board.publish(working());
    let all = json(&running.get("/openapi.json").await.1);
    let paths = all["paths"].as_object().expect("an object").clone();
    for (method, path, _) in ROUTES.iter().filter(|(_, path, _)| *path != "/nowhere") {
        let id = path.replace("10%2F01", "1001").replace("1002", "1001");
        let operations = described(&paths, &id).unwrap_or_else(|| panic!("{path} is not described"));
        let operation = &operations[method.to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not described");
        let body = match id.as_str() {
            "/admin/loggers/root" => "{\"level\": \"INFO\"}",
            id if id.contains("offsets") => {
                "{\"offsets\": [{\"partition\": {\"kafka_topic\": \"o\", \"kafka_partition\": 0}, \"offset\": null}]}"
            }
            id if id.ends_with("/replay") => "{\"from\": \"earliest\", \"mode\": \"again\", \"confirm\": true}",
            "/connectors" => "{\"name\": \"new\", \"config\": {}}",
            "/v1/merchants" | "/v1/dry-run" => "{\"merchant\": \"1001\"}",
            "/v1/import" => "{\"merchant\": \"7\", \"config\": {}}",
            _ => "{}",
        };
        let (status, answer) = running.ask(method, &id, &["Content-Type: application/json"], body).await;
        let told = &operation["responses"][status.to_string()];
        let told = if told.is_null() { &operation["responses"]["default"] } else { told };
        assert!(told.is_object(), "{method} {id}: {status} is not described: {answer}");
        let lines = &told["content"]["application/x-ndjson"]["schema"];
        if !lines.is_null() {
            let wrong = answer.lines().flat_map(|line| wrong(&all, lines, &json(line), ""));
            let found: Vec<String> = wrong.collect();
            assert!(found.is_empty() && !answer.is_empty(), "{method} {id}: {status}: {found:?}");
            continue;
        }
        let schema = &told["content"]["application/json"]["schema"];
        match schema.is_null() {
            true => assert!(answer.is_empty() || path == &"/metrics", "{method} {id}: {answer}"),
            false => {
                let found = wrong(&all, schema, &json(&answer), "");
                assert!(found.is_empty(), "{method} {id}: {status}: {found:?}");
            }
        }
        let is_refused = status >= 400 && !path.ends_with("/reset");
        assert!(!is_refused, "{method} {id}: {status} {answer}: nothing was held against the description");
    }
}

//! Keys of Kafka Connect's own that mean something here, in our terms.

use crate::{definition::Plugin, problem::Problem};
use std::collections::BTreeMap;

/// What a flat configuration says, in our own dotted keys: each with the key that people wrote, and the text.
pub type Own = BTreeMap<String, (String, String)>;

/// Of one key that people wrote.
pub type Wrong = (String, Problem);

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const NO_SCHEMAS: [&str; 2] = ["key.converter.schemas.enable", "value.converter.schemas.enable"];

/// Keys that are kept and shown, and change nothing here: what they steer in Connect is done otherwise, or always.
const KEPT: [&str; 14] = [
    "name",
    "connector.class",
    "connector.plugin.version",
    "tasks.max",
    "tasks.max.enforce",
    "config.action.reload",
    "key.converter",
    "header.converter",
    "errors.log.enable",
    "errors.log.include.messages",
    "errors.retry.timeout",
    "errors.retry.delay.max.ms",
    "errors.deadletterqueue.topic.replication.factor",
    "errors.deadletterqueue.context.headers.enable",
];

/// Replaces Connect's keys; notes those that ask for what cannot be.
pub fn translated(flat: &BTreeMap<String, String>, plugin: &Plugin) -> (Own, Vec<Wrong>) {
    let (mut own, mut wrong) = (Own::new(), Vec::new());
    let mut implied = Own::new();
    if let Some(kind) = plugin.sink {
        implied.insert("sink.type".to_owned(), ("connector.class".to_owned(), kind.to_owned()));
    }
    implied.insert("format".to_owned(), ("format".to_owned(), "json".to_owned()));
    for (key, text) in flat {
        let mut say = |own_key: &str, text: &str| {
            implied.insert(own_key.to_owned(), (key.clone(), text.to_owned()));
        };
        let refused: Option<Problem> = match key.as_str() {
            "name" => {
                say("connector", text);
                None
            }
            "connector" => Some(Problem::new("`connector` is the files' word for it").hint("write `name`")),
            "errors.deadletterqueue.topic.name" => {
                if !text.trim().is_empty() {
                    say("dead_letters.topic", text);
                }
                None
            }
            "errors.tolerance" => tolerance(text, flat, &mut say),
            "value.converter" => converter(text),
            "transforms" | "predicates" => some(text, "records are shaped by `model` here; transformations do not run"),
            key if NO_SCHEMAS.contains(&key) => (text.trim() != "false").then(|| {
                Problem::new(format!("`{key}` can't be `{text}`"))
                    .allowed("false")
                    .hint("the model says what a record's fields are; envelopes with schemas are not read")
            }),
            key if KEPT.contains(&key)
                || key.starts_with("key.converter.")
                || key.starts_with("producer.override.") =>
            {
                None
            }
            key if key.starts_with("consumer.override.") => consumer(key, text),
            key => {
                own.insert(key.to_owned(), (key.to_owned(), text.clone()));
                None
            }
        };
        wrong.extend(refused.map(|problem| (key.clone(), problem)));
    }
    // What people say in our words is the last word.
    implied.extend(own);
    (implied, wrong)
}

fn some(text: &str, hint: &str) -> Option<Problem> {
    (!text.trim().is_empty()).then(|| Problem::new(format!("`{text}` is not possible")).hint(hint))
}

fn tolerance(text: &str, flat: &BTreeMap<String, String>, say: &mut impl FnMut(&str, &str)) -> Option<Problem> {
    let has_topic =
        ["errors.deadletterqueue.topic.name", "dead_letters.topic"].iter().any(|key| flat.contains_key(*key));
    match text.trim().to_ascii_lowercase().as_str() {
        "all" if has_topic => say("dead_letters.percent_max", "100"),
        "all" => {
            let problem = Problem::new("`errors.tolerance: all` would drop bad records unseen");
            return Some(problem.hint("name a topic for them: `errors.deadletterqueue.topic.name`"));
        }
        "none" if has_topic => say("dead_letters.percent_max", "0"),
        "none" => (),
        _ => return Some(Problem::new(format!("`errors.tolerance` can't be `{text}`")).allowed("none, all")),
    }
    None
}

fn converter(text: &str) -> Option<Problem> {
    let is_json = text == JSON || JSON.rsplit('.').next() == Some(text);
    (!is_json && !text.trim().is_empty()).then(|| Problem::new(format!("`{text}` is not possible")).allowed(JSON))
}

/// One reader serves all connectors: what a consumer of one's own could be told says nothing here, unless it asks for
/// what exactly once cannot give.
fn consumer(key: &str, text: &str) -> Option<Problem> {
    let asks = |wrong: &str| text.trim().eq_ignore_ascii_case(wrong);
    let (refused, allowed) = match key.trim_start_matches("consumer.override.") {
        "isolation.level" => (asks("read_uncommitted"), "read_committed"),
        "enable.auto.commit" => (asks("true"), "false"),
        "auto.offset.reset" => (!asks("earliest"), "earliest"),
        "group.id" => (true, "leave it out: positions stand in the journal, and are shown as group connect-<name>"),
        _ => return None,
    };
    refused.then(|| Problem::new(format!("`{key}` can't be `{text}`")).allowed(allowed))
}

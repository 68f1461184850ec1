//! What a revision would change, in words. Names of settings alone: what they say may be a secret's reference.

use crate::dry_run::Names;
use outflow_api::{ConfigRevision, LaneId};
use outflow_catalogue::{Catalogue, ConnectorEntry, LaneEntry, Start, partition_name};
use outflow_control::{Change, Effect, Past, PastSpan, Refusal};
use outflow_driver::Sample;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A topic may have thousands.
const SPANS_MAX: usize = 100;

pub fn of(
    catalogue: &Catalogue,
    revision: &ConfigRevision,
    owed: &BTreeMap<u32, u64>,
    sample: &Sample,
    names: &Names,
) -> Result<Vec<Change>, Refusal> {
    let mut changes = Vec::new();
    for entry in &revision.entries {
        let content = entry.content.as_deref();
        match entry.object.split_once('/') {
            Some(("connector", name)) => {
                changes.extend(of_connector(name, catalogue.connector(name), content.map(read).transpose()?));
            }
            Some(("lane", id)) => {
                let id = LaneId(id.parse().unwrap_or_default());
                let old = catalogue.lane(id).filter(|_| !catalogue.is_gone(id));
                let past = |lane: &LaneEntry| past(lane, sample, names);
                changes.extend(of_lane(old, content.map(read).transpose()?, owed.get(&id.0).copied(), past));
            }
            _ => {}
        }
    }
    changes.sort_by_key(|change| change.lane.is_some());
    Ok(changes)
}

fn read<T: DeserializeOwned>(content: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(content).map_err(|error| Refusal::internal(format!("our own draft cannot be read: {error}")))
}

fn of_connector(name: &str, old: Option<&ConnectorEntry>, new: Option<ConnectorEntry>) -> Option<Change> {
    let (effect, settings, told) = match (old, &new) {
        (None, Some(_)) => (Effect::Added, Vec::new(), format!("connector {name} is added")),
        (_, None) => (Effect::Removed, Vec::new(), format!("connector {name} is removed")),
        (Some(old), Some(new)) => {
            let settings = differing(&connector(old), &connector(new));
            if settings.is_empty() {
                // A lane of a new schedule leaves a mark there, which is nobody's setting.
                return None;
            }
            let rows = if old.version == new.version { "" } else { "; rows from then on have the new shape" };
            let told = format!("connector {name} is changed in {}{rows}", settings.join(", "));
            (Effect::Changed, settings, told)
        }
    };
    let connector = name.to_owned();
    Some(Change {
        effect,
        connector,
        merchant: None,
        lane: None,
        identity: None,
        settings,
        past: None,
        owed: None,
        told,
    })
}

fn of_lane(
    old: Option<&LaneEntry>,
    new: Option<LaneEntry>,
    owed: Option<u64>,
    past: impl Fn(&LaneEntry) -> Option<Past>,
) -> Option<Change> {
    let lane = new.as_ref().or(old)?.clone();
    let whose = lane.merchant.as_ref().map_or_else(String::new, |id| format!(" for merchant {id}"));
    let what = format!("delivery of {}{whose} to {}", lane.connector, lane.identity);
    let mut change = Change {
        effect: Effect::Added,
        connector: lane.connector.clone(),
        merchant: lane.merchant.clone(),
        lane: Some(lane.lane),
        identity: Some(lane.identity.clone()),
        settings: Vec::new(),
        past: None,
        owed: None,
        told: String::new(),
    };
    match (old, &new) {
        (None, _) => {
            change.past = past(&lane);
            let from = match &change.past {
                None => "it begins where its connector stands then".to_owned(),
                Some(Past { records: Some(records), .. }) => format!("{records} records are read for its history"),
                Some(_) => "its history is read".to_owned(),
            };
            change.told = format!("{what} is added; {from}");
        }
        (Some(_), None) => {
            (change.effect, change.owed) = (Effect::Removed, owed);
            let still = match owed {
                Some(0) => "it owes nothing".to_owned(),
                Some(owed) => format!("what it still owes is delivered ({owed} records to look through)"),
                None => "what it still owes is delivered".to_owned(),
            };
            change.told = format!("{what} is removed; {still}");
        }
        (Some(old), Some(new)) => {
            change.effect = Effect::Changed;
            change.settings = differing(&place(old), &place(new));
            let rows = if old.version == new.version { "" } else { "; rows from then on go by it" };
            change.told = format!("{what} is changed in {}{rows}", change.settings.join(", "));
        }
    }
    Some(change)
}

/// What is read for a lane that begins in the past.
fn past(lane: &LaneEntry, sample: &Sample, names: &Names) -> Option<Past> {
    let Start::From(from) = &lane.start else { return None };
    let (mut records, mut partitions) = (Some(0), Vec::new());
    for (key, name) in names {
        let Some(start) = from.get(&partition_name(*key)) else { continue };
        let log = sample.logs.get(key);
        let length = log.map(|log| (log.next.0 - log.start.0.max(*start)).max(0) as u64);
        records = records.zip(length).map(|(sum, length)| sum + length);
        if partitions.len() < SPANS_MAX {
            let to = log.map(|log| log.next.0);
            partitions.push(PastSpan { topic: name.clone(), partition: key.partition, from: *start, to });
        }
    }
    Some(Past { records, partitions })
}

/// As people set it.
fn connector(entry: &ConnectorEntry) -> Value {
    let mut all = entry.shape.clone();
    if let Some(shape) = all.as_object_mut() {
        shape.remove("version");
    }
    all["topics"] = entry.topics.iter().map(|topic| topic.name.as_str()).collect();
    all["flush"] = json!(entry.flush);
    all["dead_letters"] = json!({ "topic": entry.dead_letters, "percent_max": entry.reject_percent_max });
    all
}

/// As people set it.
fn place(entry: &LaneEntry) -> Value {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let mut all = parsed(&entry.place);
    if let Some(place) = all.as_object_mut() {
        place.remove("version");
    }
    let kind = all["sink"]["type"].take();
    all["sink"] = parsed(&entry.settings);
    all["sink"]["type"] = kind;
    all["flush"] = json!(entry.flush);
    all["source"] = entry.source.as_str().into();
    all
}

/// Dotted names of what is not the same.
fn differing(old: &Value, new: &Value) -> Vec<String> {
    match (old.as_object(), new.as_object()) {
        (Some(old), Some(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let each = keys.into_iter().flat_map(|key| {
                let within = differing(old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null));
                within.into_iter().map(move |name| if name.is_empty() { key.clone() } else { format!("{key}.{name}") })
            });
            each.collect()
        }
        _ if old == new => Vec::new(),
        _ => vec![String::new()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_what_it_says_is_not() {
        let old = json!({ "sink": { "url": "a", "key": "${env:A}", "file": { "type": "parquet" } }, "without": ["x"] });
        let new =
            json!({ "sink": { "url": "a", "key": "${env:B}", "file": { "type": "ndjson" } }, "only": { "in": [] } });
        assert_eq!(differing(&old, &new), ["only", "sink.file.type", "sink.key", "without"]);
        assert_eq!(differing(&old, &old), [""; 0]);
    }
}

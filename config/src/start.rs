use crate::{
    limits,
    problem::Problem,
    section::Section,
    yaml::{Node, Tree},
};
use chrono::DateTime;
use serde_json::Value;

/// Where a delivery begins when it is new.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// With the records that come from now on.
    #[default]
    Latest,
    /// With the oldest that Kafka still has.
    Earliest,
    /// With the first records of this time or later: milliseconds since 1970 UTC.
    Timestamp(i64),
    /// At these offsets; partitions that are not named begin at the latest. By topic and partition.
    Offsets(Box<[StartOffset]>),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StartOffset {
    pub topic: Box<str>,
    pub partition: i32,
    pub offset: i64,
}

const ALLOWED: &str = "latest, earliest, { timestamp: 2026-11-01T00:00:00Z }, { offset: { \"orders/0\": 123 } }";

pub fn start(delivery: &Section<'_>) -> Option<Start> {
    let node = delivery.get("start")?;
    match &node.tree {
        Tree::Map(_) => {
            let section = delivery.section("start", &["timestamp", "offset"])?;
            match (section.get("timestamp"), section.get("offset")) {
                (Some(_), None) => timestamp(&section),
                (None, Some(node)) => offsets(&section, node),
                _ => {
                    let message = format!("`{}` names one place to start at", delivery.path("start"));
                    section.report.note(section.at, Problem::new(message).allowed(ALLOWED));
                    None
                }
            }
        }
        _ => match node.text() {
            Some("latest") => Some(Start::Latest),
            Some("earliest") => Some(Start::Earliest),
            _ => {
                let problem = Problem::new(format!("`{}` can't be {}", delivery.path("start"), node.shown()));
                delivery.report.note(node.at, problem.allowed(ALLOWED));
                None
            }
        },
    }
}

fn timestamp(section: &Section<'_>) -> Option<Start> {
    let read = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis());
    let sound = |text: &str| match read(text) {
        Some(millis) if millis >= 0 => Ok(()),
        _ => Err("a time since 1970 as RFC 3339 has it: 2026-11-01T00:00:00Z".to_owned()),
    };
    Some(Start::Timestamp(read(&section.text("timestamp", sound)?)?))
}

fn offsets(start: &Section<'_>, node: &Node) -> Option<Start> {
    let section = Section::open(start.report, &start.path("offset"), node)?;
    if section.entries().is_empty() || section.entries().len() > limits::START_OFFSETS_MAX {
        let message = format!("`{}` names {} partitions", start.path("offset"), section.entries().len());
        let problem = Problem::new(message).allowed(format!("1 to {} partitions", limits::START_OFFSETS_MAX));
        section.report.note(section.at, problem);
        return None;
    }
    let mut offsets = Vec::with_capacity(section.entries().len());
    for (key, node) in section.entries() {
        let place = key.name.rsplit_once('/').and_then(|(topic, partition)| Some((topic, partition.parse().ok()?)));
        let offset = match &node.tree {
            Tree::Scalar(Value::Number(number)) => number.as_i64().filter(|offset| *offset >= 0),
            _ => None,
        };
        match (place, offset) {
            (Some((topic, partition)), Some(offset)) if partition >= 0 => {
                offsets.push(StartOffset { topic: topic.into(), partition, offset });
            }
            _ => {
                let problem = Problem::new(format!("`{}` is no topic, partition and offset", section.path(&key.name)));
                section.report.note(key.at, problem.allowed("\"topic/partition\": offset, such as \"orders/0\": 123"));
            }
        }
    }
    offsets.sort();
    Some(Start::Offsets(offsets.into()))
}

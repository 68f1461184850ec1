use crate::{
    definition::Plugin,
    flat::flattened,
    flush::{Flush, flush_change},
    limits,
    model::model,
    names,
    problem::{Problem, Problems, Report},
    routing::{Routing, routing},
    section::Section,
    sink::{SinkConfig, sink},
    yaml::{self, Node, Tree},
};
use outflow_api::{Model, SinkDescriptor};
use regex::{Regex, RegexBuilder};
use std::{collections::BTreeMap, sync::Arc};

/// What is read, how it is shaped, and where it goes.
#[derive(Clone, Debug)]
pub struct ConnectorConfig {
    pub name: String,
    /// Empty where a pattern says which.
    pub topics: Vec<String>,
    /// Of whole names.
    pub topics_pattern: Option<Regex>,
    pub format: Format,
    pub model: Model,
    pub flush: Flush,
    pub dead_letters: Option<DeadLetters>,
    /// Each merchant says where to; without it, all records go to the one sink.
    pub routing: Option<Routing>,
    /// With routing, of the merchants that nobody configured, if they are wanted.
    pub sink: Option<SinkConfig>,
    /// All of it as Kafka Connect's clients read it: dotted paths and texts, references as they were written.
    pub flat: Arc<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Json,
}

pub const FORMATS: [(&str, Format); 1] = [("json", Format::Json)];

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetters {
    pub topic: String,
    /// If the topic has to be created; as many as there are shards by default.
    pub partitions: Option<u32>,
    /// More of a batch than this, in percent, parks the lane: a wrong model must not empty a topic into it.
    pub percent_max: u64,
}

pub const KEYS: [&str; 9] =
    ["connector", "topics", "format", "merchant", "unknown_merchants", "model", "flush", "dead_letters", "sink"];

/// Checks one connector's file, given as text.
pub fn connector(file: &str, text: &str, sinks: &[&SinkDescriptor]) -> Result<ConnectorConfig, Problems> {
    yaml::read(file, text, |report, node| check(report, node, sinks))
}

pub fn check(report: &Report<'_>, node: &Node, sinks: &[&SinkDescriptor]) -> Option<ConnectorConfig> {
    let section = Section::new(report, "", node, &KEYS)?;
    section.require("connector", "give the connector a name: `connector: orders`");
    let name = section.text("connector", names::name);
    let topics = topics(&section);
    let format = match section.require("format", "say `format: json`") {
        Some(_) => section.choice("format", &FORMATS),
        None => None,
    };
    let model = model(&section);
    let flush = flush_change(&section).over(&Flush::default());
    let (topics, topics_pattern) = topics.unzip();
    let dead_letters = dead_letters(&section, topics.as_deref().unwrap_or_default());
    let routing = routing(&section);
    let sink = if section.get("sink").is_some() { sink(&section, sinks) } else { None };
    let kind = sink.as_ref().filter(|_| routing.is_none()).map(|sink| sink.kind.as_str());
    let plugin = Plugin::all(sinks).into_iter().find(|plugin| plugin.sink == kind);
    let flat = plugin.map(|plugin| flattened(node, &plugin)).unwrap_or_default();
    Some(ConnectorConfig {
        flat: flat.into(),
        name: name?,
        topics: topics?,
        topics_pattern: topics_pattern?,
        format: format?,
        model: model?,
        flush,
        dead_letters,
        routing,
        sink,
    })
}

fn topics(section: &Section<'_>) -> Option<(Vec<String>, Option<Regex>)> {
    let node = section.require("topics", "say what is read: `topics: [ commerce.orders ]`")?;
    if matches!(node.tree, Tree::Map(_)) {
        let pattern = section.section("topics", &["regex"])?;
        let node = pattern.require("regex", "give a pattern of whole names: `topics: { regex: \"commerce[.].*\" }`")?;
        let text = pattern.text("regex", names::not_empty)?;
        let compiled = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(limits::PATTERN_BYTES_MAX).build();
        return match compiled {
            Ok(compiled) => Some((Vec::new(), Some(compiled))),
            Err(error) => {
                let problem = Problem::new(format!("`topics.regex` can't be `{text}`: {error}"));
                let allowed = "a regular expression without look-around and back-references";
                section.report.note(node.at, problem.allowed(allowed));
                None
            }
        };
    }
    let topics = section.texts("topics", names::topic)?;
    if topics.is_empty() || topics.len() > limits::TOPICS_MAX {
        let problem = Problem::new(format!("`topics` has {} names", topics.len()));
        section.report.note(node.at, problem.allowed(format!("1 to {} topics", limits::TOPICS_MAX)));
    }
    for (index, (at, topic)) in topics.iter().enumerate() {
        if topics[..index].iter().any(|(_, other)| other == topic) {
            section.report.note(*at, Problem::new(format!("topic `{topic}` is there twice")).hint("keep one of them"));
        }
    }
    Some((topics.into_iter().map(|(_, topic)| topic).collect(), None))
}

fn dead_letters(connector: &Section<'_>, topics: &[String]) -> Option<DeadLetters> {
    let section = connector.section("dead_letters", &["topic", "partitions", "percent_max"])?;
    let node = section.require("topic", "name the topic: `dead_letters: { topic: orders.dead }`")?;
    let topic = section.text("topic", names::topic)?;
    if topics.contains(&topic) {
        let problem = Problem::new(format!("dead letters would come back into `{topic}`, which is read"));
        section.report.note(node.at, problem.hint("choose another topic for them"));
    }
    let partitions = section.number("partitions", limits::DEAD_LETTER_PARTITIONS, 1) as u32;
    let percent_max = section.number("percent_max", limits::DEAD_LETTER_PERCENT, limits::DEAD_LETTER_PERCENT_DEFAULT);
    Some(DeadLetters { topic, partitions: section.get("partitions").map(|_| partitions), percent_max })
}

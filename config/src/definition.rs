//! What a connector's flat configuration may say, key by key: for clients that ask before they write.

use crate::limits;
use outflow_api::{SettingKind, SinkDescriptor};

/// A kind of connector, as Kafka Connect's clients choose one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plugin {
    /// `connector.class`.
    pub class: String,
    /// None: records go where their merchants want them.
    pub sink: Option<&'static str>,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    pub name: String,
    pub kind: DefinitionKind,
    pub is_required: bool,
    pub default: Option<String>,
    /// Which keys belong together.
    pub group: &'static str,
    pub meaning: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefinitionKind {
    Text,
    Flag,
    Number,
    /// Texts behind commas.
    List,
    Class,
    Secret,
    /// A YAML or JSON list in one text.
    Yaml,
}

/// Where records go is each merchant's word.
const MERCHANTS: &str = "Merchants";

impl Plugin {
    /// One for each kind of sink, and one for merchants.
    pub fn all(sinks: &[&SinkDescriptor]) -> Vec<Plugin> {
        let of_sinks = sinks.iter().map(|sink| Plugin { class: class(&camel(sink.kind)), sink: Some(sink.kind) });
        of_sinks.chain([Plugin { class: class(MERCHANTS), sink: None }]).collect()
    }

    /// By its full name, its simple name, or that without the word `Connector` at its end.
    pub fn named(name: &str, sinks: &[&SinkDescriptor]) -> Option<Plugin> {
        Plugin::all(sinks).into_iter().find(|plugin| plugin.goes_by(name))
    }

    pub fn goes_by(&self, name: &str) -> bool {
        let simple = self.simple();
        name == self.class || name == simple || Some(name) == simple.strip_suffix("Connector")
    }

    fn simple(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }

    /// All keys, in the order in which people would fill them in.
    pub fn definitions(&self, sinks: &[&SinkDescriptor]) -> Vec<Definition> {
        let mut all = common(self);
        let own = sinks.iter().filter(|sink| self.sink.is_none_or(|kind| kind == sink.kind));
        all.extend(own.flat_map(|sink| sink.settings).map(|setting| Definition {
            name: format!("sink.{}", setting.name),
            kind: match setting.kind {
                SettingKind::Text => DefinitionKind::Text,
                SettingKind::Flag => DefinitionKind::Flag,
                SettingKind::Number => DefinitionKind::Number,
                SettingKind::Secret => DefinitionKind::Secret,
            },
            is_required: false,
            default: None,
            group: "Sink",
            meaning: setting.meaning.to_owned(),
        }));
        all
    }
}

fn class(simple: &str) -> String {
    format!("outflow.{simple}SinkConnector")
}

fn camel(kind: &str) -> String {
    let words = kind.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect()
}

/// Keys of every connector: name, kind, default (or `required`), group, meaning.
const COMMON: [(&str, DefinitionKind, &str, &str, &str); 24] = {
    use DefinitionKind::{Class, Flag, List, Number, Text, Yaml};
    [
        ("name", Text, "required", "Common", "the connector's name: at most 100 of a-z A-Z 0-9 . _ -"),
        ("connector.class", Class, "required", "Common", "what kind of connector this is"),
        ("tasks.max", Number, "1", "Common", "kept and shown; the tasks are the installation's shards"),
        ("key.converter", Class, "", "Common", "of keys; they are read as they are"),
        ("value.converter", Class, "", "Common", "JSON, or left out: `format` says it"),
        ("topics", List, "", "Common", "what is read: 1 to 100 topics behind commas"),
        ("topics.regex", Text, "", "Common", "or a pattern of whole names; new ones are found soon"),
        ("errors.tolerance", Text, "", "Errors", "none: a bad record parks its lane; all: it is a dead letter"),
        ("errors.deadletterqueue.topic.name", Text, "", "Errors", "the same as dead_letters.topic"),
        ("format", Text, "json", "Records", "of the records' values: json"),
        ("merchant.key", Flag, "", "Merchants", "true: a record's key says whose it is"),
        ("merchant.header", Text, "", "Merchants", "the header that says whose a record is"),
        ("merchant.path", Text, "", "Merchants", "the field that says whose a record is: store_id"),
        ("unknown_merchants", Text, "drop", "Merchants", "of others: drop, dead_letter, default"),
        ("model.columns", Yaml, "required", "Model", "[{name: order_id, type: BIGINT, path: id, required: true}, …]"),
        ("model.unknown", Text, "ignore", "Model", "fields that no column names: ignore, keep, reject"),
        ("model.lineage", Flag, "true", "Model", "adds _topic, _partition, _offset, _timestamp"),
        ("flush.rows", Number, "100000", "Flush", "a batch is sealed at whichever limit comes first"),
        ("flush.bytes", Text, "64MiB", "Flush", "of raw records: 1KiB to 4GiB, at most half of the worker's memory"),
        ("flush.age", Text, "60s", "Flush", "100ms to 1d"),
        ("dead_letters.topic", Text, "", "Errors", "for records that do not fit; else the first parks its lane"),
        ("dead_letters.partitions", Number, "", "Errors", "where the topic is created: as many as shards"),
        ("dead_letters.percent_max", Number, "10", "Errors", "more of a batch than this parks its lane"),
        ("sink.type", Text, "", "Sink", "the kind of the sink; connector.class says it"),
    ]
};

fn common(plugin: &Plugin) -> Vec<Definition> {
    const { assert!(limits::DEAD_LETTER_PERCENT_DEFAULT == 10 && limits::FLUSH_ROWS_DEFAULT == 100_000) };
    let definition =
        |(name, kind, default, group, meaning): (&str, DefinitionKind, &str, &'static str, &str)| Definition {
            name: name.to_owned(),
            kind,
            is_required: default == "required",
            default: Some(default.to_owned()).filter(|default| !matches!(default.as_str(), "" | "required")),
            group,
            meaning: meaning.to_owned(),
        };
    let mut all: Vec<Definition> = COMMON.into_iter().map(definition).collect();
    if let (Some(kind), Some(own)) = (plugin.sink, all.last_mut()) {
        own.default = Some(kind.to_owned());
    }
    all
}

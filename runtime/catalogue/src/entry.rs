use bytes::Bytes;
use outflow_api::{Fault, FeedId, LaneId, Revision, TopicId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is read and how it is shaped.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConnectorEntry {
    /// The revision in which what a row becomes last changed.
    pub version: Revision64,
    pub topics: Vec<Topic>,
    /// Format and model, as they are pinned.
    pub shape: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<MerchantKey>,
    pub unknown: Unknown,
    /// Schedule in seconds (0: live) → the feed that follows it.
    pub feeds: BTreeMap<u32, u32>,
    pub flush: FlushEntry,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<String>,
    pub reject_percent_max: u64,
    /// Nothing is read for it until somebody lets it go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// As `paused`, and people see it without tasks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

impl ConnectorEntry {
    pub fn is_held(&self) -> bool {
        self.paused || self.stopped
    }
}

/// A number as the config log writes it.
pub type Revision64 = u64;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    /// The topic's own id, in hex.
    pub id: String,
}

impl Topic {
    pub fn new(name: &str, id: TopicId) -> Topic {
        Topic { name: name.to_owned(), id: format!("{:032x}", id.0) }
    }

    pub fn id(&self) -> TopicId {
        TopicId(u128::from_str_radix(&self.id, 16).unwrap_or_default())
    }
}

/// Where a record says whose it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MerchantKey {
    Key,
    Header(String),
    /// Names of fields, from the top level down.
    Path(Vec<String>),
}

/// What becomes of records that no merchant claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    Drop,
    DeadLetter,
    Default,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlushEntry {
    pub rows: u64,
    pub bytes: u64,
    pub age_ms: u64,
}

/// Where a lane begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Where its connector stands when the lane is published.
    #[default]
    Latest,
    /// Topic id in hex and partition (`…/0`) → offset.
    From(BTreeMap<String, i64>),
}

/// One destination of one connector: a merchant's, or the connector's own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LaneEntry {
    pub lane: u32,
    pub feed: u32,
    /// The revision in which where it goes or what is left out last changed.
    pub version: Revision64,
    pub connector: String,
    /// `None`: the connector's own lane, for everything or for what nobody claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// All rows become dead letters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejects: bool,
    pub identity: String,
    /// Kind, settings without references, filters: pinned. JSON text, for there are tens of thousands.
    pub place: Box<str>,
    /// The settings with their references, as they are today. JSON text.
    pub settings: Box<str>,
    pub flush: FlushEntry,
    #[serde(default, skip_serializing_if = "is_latest")]
    pub start: Start,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub schedule: u32,
    /// Where it was configured.
    pub source: String,
}

fn is_latest(start: &Start) -> bool {
    *start == Start::Latest
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl LaneEntry {
    pub fn id(&self) -> LaneId {
        LaneId(self.lane)
    }

    pub fn feed(&self) -> FeedId {
        FeedId(self.feed)
    }
}

/// Numbers that never fall: ids are never used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub lanes: u32,
    pub feeds: u32,
}

/// Which sets of files were published: one that was superseded is not published again by a worker that is behind.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sources {
    pub digest: String,
    pub superseded: Vec<String>,
}

pub(crate) enum Object {
    Connector(String),
    Lane(LaneId),
    Counters,
    Sources,
    Command(Revision),
    /// What somebody put over REST, by its name: `connector/orders`, `merchant/1001`.
    Document(String),
}

impl Object {
    pub fn parse(name: &str) -> Option<Object> {
        Some(match name.split_once('/') {
            Some(("connector", name)) => Object::Connector(name.to_owned()),
            Some(("lane", id)) => Object::Lane(LaneId(id.parse().ok()?)),
            Some(("document", name)) => Object::Document(name.to_owned()),
            Some(("command", revision)) => Object::Command(Revision(revision.parse().ok()?)),
            None if name == "counters" => Object::Counters,
            None if name == "sources" => Object::Sources,
            _ => return None,
        })
    }

    pub fn name(&self) -> String {
        match self {
            Object::Connector(name) => format!("connector/{name}"),
            Object::Lane(id) => format!("lane/{}", id.0),
            Object::Counters => "counters".to_owned(),
            Object::Sources => "sources".to_owned(),
            Object::Command(revision) => format!("command/{}", revision.0),
            Object::Document(name) => format!("document/{name}"),
        }
    }
}

pub(crate) fn encode(entry: &impl Serialize) -> Bytes {
    serde_json::to_vec(entry).expect("entries are plain JSON").into()
}

pub(crate) fn decode<T: DeserializeOwned>(object: &str, content: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(content).map_err(|error| unreadable(object).because(error))
}

pub(crate) fn decode_text(object: &str, content: &[u8]) -> Result<Box<str>, Fault> {
    str::from_utf8(content).map(Into::into).map_err(|error| unreadable(object).because(error))
}

pub(crate) fn unreadable(object: &str) -> Fault {
    let hint = format!(
        "the config log says something of {object} that this build cannot read: run the build that wrote it, or a \
         newer one"
    );
    Fault::halt("config-unreadable", hint)
}

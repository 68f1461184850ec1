use crate::Refusal;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A connector's configuration as Kafka Connect's clients write it: dotted keys and texts.
pub type Flat = BTreeMap<String, String>;

/// What Kafka Connect's interface asks of connectors. Tasks are the installation's shards.
#[async_trait]
pub trait Connectors: Send + Sync {
    fn names(&self) -> Result<Vec<String>, Refusal>;
    fn info(&self, name: &str) -> Result<Info, Refusal>;
    async fn state(&self, name: &str) -> Result<ConnectorState, Refusal>;
    async fn put(&self, put: Put) -> Result<Kept, Refusal>;
    /// `force`: a decided batch that its destination does not take is given up.
    async fn remove(&self, name: &str, expected: Expected, force: bool) -> Result<(), Refusal>;
    async fn stand(&self, name: &str, standing: Standing) -> Result<(), Refusal>;
    /// Whatever is parked is tried again at once; `task`: of this shard alone.
    async fn restart(&self, name: &str, task: Option<u32>) -> Result<(), Refusal>;
    fn topics(&self, name: &str) -> Result<Vec<String>, Refusal>;
    async fn offsets(&self, name: &str) -> Result<Vec<TopicOffset>, Refusal>;
    /// `None`: all partitions to their beginning. Answers what will come of it.
    async fn alter(&self, name: &str, offsets: Option<Vec<Wish>>) -> Result<String, Refusal>;

    fn plugins(&self) -> Vec<PluginInfo>;
    fn keys(&self, plugin: &str) -> Result<Vec<KeyInfo>, Refusal>;
    fn validate(&self, plugin: &str, config: &Flat) -> Result<Validation, Refusal>;
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Info {
    pub name: String,
    pub config: Flat,
    pub tasks: Vec<TaskId>,
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Of the config log; none of what files say.
    #[serde(skip)]
    pub revision: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Sink,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TaskId {
    pub connector: String,
    pub task: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConnectorState {
    pub name: String,
    pub connector: WorkerState,
    pub tasks: Vec<TaskState>,
    #[serde(rename = "type")]
    pub kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WorkerState {
    pub state: RunState,
    pub worker_id: String,
    /// Of the plugin.
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TaskState {
    pub id: u32,
    pub state: RunState,
    pub worker_id: String,
    /// Of the plugin.
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// In Connect's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunState {
    Unassigned,
    Running,
    Paused,
    Failed,
    Restarting,
    Stopped,
}

/// Whether anything is read for a connector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    #[default]
    Running,
    Paused,
    Stopped,
}

impl Standing {
    pub const ALL: [(&str, Standing); 3] =
        [("RUNNING", Standing::Running), ("PAUSED", Standing::Paused), ("STOPPED", Standing::Stopped)];
}

/// What must be there before it is changed: else somebody else was faster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Anything,
    Nothing,
    Something,
    /// As this revision of the config log said it.
    Revision(u64),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    pub name: String,
    pub config: Flat,
    pub expected: Expected,
    /// Of a new one.
    pub standing: Standing,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    pub info: Info,
    pub is_new: bool,
}

/// Up to here everything is decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicOffset {
    pub topic: String,
    pub partition: u32,
    pub offset: i64,
}

/// Where somebody wants a partition to stand; `None` is its beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    pub topic: String,
    pub partition: u32,
    pub offset: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PluginInfo {
    pub class: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub version: String,
}

/// As Connect describes a key of a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyInfo {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub required: bool,
    pub default_value: Option<String>,
    pub importance: String,
    pub documentation: String,
    pub group: Option<String>,
    pub width: String,
    pub display_name: String,
    pub dependents: Vec<String>,
    pub order_in_group: i32,
}

/// A configuration that was looked at, key by key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Validation {
    /// The plugin's class.
    pub name: String,
    pub error_count: usize,
    pub groups: Vec<String>,
    pub configs: Vec<Judgement>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Judgement {
    /// None of a key that nobody knows.
    pub definition: Option<KeyInfo>,
    pub value: JudgedValue,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct JudgedValue {
    pub name: String,
    pub value: Option<String>,
    pub recommended_values: Vec<String>,
    pub errors: Vec<String>,
    pub visible: bool,
}

use crate::{Expected, Refusal};
use async_trait::async_trait;
use outflow_api::{Fault, Finding};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What people may ask of a worker: of all shards, wherever they are.
#[async_trait]
pub trait Steering: Send + Sync {
    async fn merchants(&self, wanted: Wanted) -> Result<Page, Refusal>;
    /// `is_local`: of this worker's shards alone.
    async fn merchant(&self, id: &str, is_local: bool) -> Result<Detail, Refusal>;
    /// One delivery, whosever: without a merchant it is the connector's own.
    async fn lane(&self, lane: u32, is_local: bool) -> Result<Detail, Refusal>;
    async fn act(&self, merchant: &str, request: Request) -> Result<Accepted, Refusal>;
    /// What a file would say of him.
    async fn put(&self, id: &str, content: Value, expected: Expected) -> Result<Placed, Refusal>;
    /// As it was put.
    fn content(&self, id: &str) -> Result<Content, Refusal>;
    async fn remove(&self, id: &str, undelivered: Option<Undelivered>, expected: Expected) -> Result<(), Refusal>;
    /// Asks his destinations for all that a delivery asks, and leaves nothing there.
    async fn test(&self, id: &str, connector: Option<&str>) -> Result<Vec<Step>, Refusal>;
}

/// What becomes of the records that a removed merchant has not got yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undelivered {
    /// They are delivered.
    Keep,
    /// They never are.
    Drop,
}

impl Undelivered {
    pub const ALL: [(&str, Undelivered); 2] = [("keep", Undelivered::Keep), ("drop", Undelivered::Drop)];
}

/// A merchant that was put over REST.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placed {
    pub merchant: String,
    /// Of the config log, for `If-Match`.
    pub revision: u64,
    #[serde(skip)]
    pub is_new: bool,
}

/// As it was put, and the revision of the config log that says so.
#[derive(Clone, PartialEq, Debug)]
pub struct Content {
    pub content: Value,
    pub revision: u64,
}

/// Of a test: what was asked, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    pub connector: String,
    pub step: String,
    pub ok: bool,
    /// What was seen, or what is wrong and how it is mended.
    pub seen: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Step {
    pub fn new(connector: &str, finding: Finding) -> Step {
        match finding.result {
            Ok(seen) => Step { connector: connector.to_owned(), step: finding.subject, ok: true, seen, code: None },
            Err(fault) => Step::failed(connector, &finding.subject, &fault),
        }
    }

    pub fn failed(connector: &str, step: &str, fault: &Fault) -> Step {
        let (connector, step, code) = (connector.to_owned(), step.to_owned(), Some(fault.code.to_string()));
        Step { connector, step, ok: false, seen: fault.hint.to_string(), code }
    }
}

/// Which merchants are listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub connector: Option<String>,
    /// Without it, deliveries that were removed are left out.
    pub state: Option<State>,
    pub alarm: Option<Alarm>,
    pub prefix: Option<String>,
    /// The last id of the page before.
    pub after: Option<String>,
    pub limit: usize,
    /// Of this worker's shards alone.
    pub local: bool,
}

/// How a delivery stands: the worst of the worker's shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Live,
    /// It reads again what the live stream has passed.
    Behind,
    /// Its destination fails, or is too slow; it is tried again by itself.
    Parked,
    /// By a person.
    Paused,
    /// It is delivered in passes.
    Scheduled,
    /// No file names it any more; what it still owes is delivered.
    Removed,
}

impl State {
    pub const ALL: [State; 6] =
        [State::Live, State::Behind, State::Parked, State::Paused, State::Scheduled, State::Removed];

    pub fn name(self) -> &'static str {
        match self {
            State::Live => "live",
            State::Behind => "behind",
            State::Parked => "parked",
            State::Paused => "paused",
            State::Scheduled => "scheduled",
            State::Removed => "removed",
        }
    }
}

/// What is wrong with a delivery though it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alarm {
    /// The topics will remove what it has not delivered, sooner than people want.
    Retention,
}

impl Alarm {
    pub const ALL: [Alarm; 1] = [Alarm::Retention];

    pub fn name(self) -> &'static str {
        match self {
            Alarm::Retention => "retention",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Page {
    pub merchants: Vec<Merchant>,
    /// There are more behind this id: ask with `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// States and numbers are of these.
    pub shards: Vec<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Merchant {
    pub merchant: String,
    pub deliveries: Vec<Delivery>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    pub connector: String,
    pub lane: u32,
    /// Where it goes.
    pub identity: String,
    /// Seconds between two passes; 0 is live.
    pub schedule: u32,
    pub state: State,
    /// Why it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Offsets to look through until it has caught up: records of others are among them.
    pub lag_records: u64,
    /// Age of the oldest record that is not delivered; 0 if there is none, null if it is not known.
    pub lag_seconds: Option<u64>,
    /// Until retention by time removes that record; null where nothing is owed, nothing is removed or it is not known.
    pub retention_left_seconds: Option<u64>,
    /// Records that retention by size removes first; null where there is no such retention.
    pub records_left: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
    /// Read, and not yet in a decided batch.
    pub open_rows: u64,
    /// Replays, histories and mended debts under way, over all shards.
    pub runs: u64,
    /// A decided batch waits to become visible.
    pub pending: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<Replacement>,
    /// Of one merchant, where something is not delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<OwedPartition>,
}

/// The last that was asked for, as far as the worker's shards have taken it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Repair {
    /// The revision of the config log that asked for it.
    pub run: u64,
    /// Records that are read for what is missing, rows of others among them.
    pub records: u64,
    /// Why nothing is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The last that was asked for, as far as the worker's shards have taken it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Replacement {
    /// The revision of the config log that asked for it.
    pub run: u64,
    /// Records that are read again, rows of others among them.
    pub records: u64,
    /// Of these, how many were not asked for: they lie in batches that have rows which were.
    pub widened: u64,
    /// Old batches that are to be removed, in all.
    pub batches: u64,
    /// Of these, how many are still there: they go when all that takes their place is visible.
    pub left: u64,
    /// Why one of them is not removed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hangs: Option<String>,
    /// Why nothing is sent and nothing removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwedPartition {
    pub topic: String,
    pub partition: u32,
    /// The first offset that is not delivered.
    pub owed_from: i64,
    /// Of the topic's log: what is below is gone.
    pub log_start: i64,
    /// Offsets that retention may still remove before it comes to what is owed.
    pub offsets_until_loss: u64,
    /// Owed, and gone already.
    pub offsets_lost: u64,
    pub lag_seconds: Option<u64>,
    pub retention_left_seconds: Option<u64>,
    pub records_left: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Detail {
    #[serde(flatten)]
    pub merchant: Merchant,
    pub shards: Vec<u32>,
    /// What cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Without it: all of the merchant's.
    pub connector: Option<String>,
    /// One of his deliveries alone.
    pub lane: Option<u32>,
    /// The caller's own: a call that is repeated with it takes effect once.
    pub id: Option<String>,
    pub confirm: bool,
    pub act: Act,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    Pause,
    Resume,
    Mend,
    Skip,
    Abandon,
    /// Once more, knowing that rows double.
    Replay {
        from: Begin,
        to: Until,
    },
    /// What is missing of it, as the ledger shows.
    Repair {
        from: Begin,
        to: Until,
    },
    /// Once more, in place of what was delivered of it.
    Replace {
        from: Begin,
        to: Until,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begin {
    Earliest,
    /// Milliseconds since 1970 UTC.
    Timestamp(i64),
    /// `topic/partition` → the first offset.
    Offsets(BTreeMap<String, i64>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Until {
    Now,
    /// `topic/partition` → behind the last offset.
    Offsets(BTreeMap<String, i64>),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// The caller's, or the one that it was given.
    pub id: String,
    /// Of the config log: shards take it one after the other.
    pub revision: u64,
    pub lanes: Vec<u32>,
    /// Something was asked with this id before: nothing was done now.
    pub repeated: bool,
    /// Of a repair: records that are missing so far, rows of others among them. None where the ledger is too long to
    /// be counted at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
}

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One worker at one moment. Counters count since the process started; they never fall.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    pub phase: Phase,
    /// Of Kafka; empty until it is known.
    pub cluster_id: String,
    /// By name.
    pub connectors: BTreeMap<String, ConnectorStatus>,
    /// All shards of the installation, by number.
    pub shards: BTreeMap<u32, ShardStatus>,
    /// Of the process's own buffers, and what it may hold.
    pub memory_bytes: u64,
    pub memory_bytes_max: u64,
    pub calls: CallsStatus,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Starting,
    Running,
    /// Told to stop: it decides and reveals what it has, and takes nothing new.
    Draining,
    /// It will not go on by itself.
    Failed {
        code: String,
        hint: String,
    },
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConnectorStatus {
    pub records_read: u64,
    /// Of those, records that no merchant claims.
    pub records_unclaimed: u64,
    /// Revealed at the destination.
    pub rows_visible: u64,
    pub batches_visible: u64,
    /// As encoded.
    pub bytes_visible: u64,
    /// Gone to the dead letters.
    pub rows_rejected: u64,
    /// Records of our partitions that are not visible yet.
    pub lag_records: u64,
    /// Age of the oldest of them, as far as known; null is unknown.
    pub lag_seconds: Option<u64>,
    /// Until retention removes the first of them; null where it never does.
    pub retention_left_seconds: Option<u64>,
    /// Lanes, and partitions of which not all is read, with less time left than `alarms.retention_left`.
    pub retention_alarms: u64,
    /// Calls to the destination that are repeated after a fault.
    pub retries: u64,
    /// The worst ones, if there are many: `lanes_parked` counts all.
    pub parked: Vec<ParkedLane>,
    pub lanes_parked: u64,
    /// Lanes that read again what the live stream has passed.
    pub lanes_behind: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ParkedLane {
    pub lane: u32,
    pub shard: u32,
    pub merchant: Option<String>,
    /// The fault's code and hint.
    pub code: String,
    pub hint: String,
}

/// Calls to destinations.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallsStatus {
    pub under_way: u64,
    /// For a place: of all, of their host, or of their credential.
    pub waiting: u64,
    /// Hosts and credentials that nothing is sent to but a try from time to time.
    pub open_hosts: u64,
    pub open_credentials: u64,
    /// Circuits that were opened since the start.
    pub openings: u64,
    /// Those that most lanes wait for.
    pub circuits: Vec<Circuit>,
}

/// A host, or a credential at a host, whose lanes wait.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Circuit {
    pub name: String,
    /// The last fault's code, and all of it.
    pub code: String,
    pub cause: String,
    pub lanes: u64,
    pub open_s: u64,
    pub next_try_s: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ShardStatus {
    pub owned: bool,
    pub generation: u64,
    /// Connectors whose own lanes are held here, with nothing under way.
    #[serde(default)]
    pub held: Vec<String>,
    pub partitions: Vec<PartitionStatus>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PartitionStatus {
    pub topic: String,
    pub partition: u32,
    /// Where a restart would begin to read.
    pub floor: i64,
    /// What is read next.
    pub position: i64,
    /// The log's end, as last seen.
    pub end: i64,
    /// Why it is read no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Connector → up to where everything of it is decided, and of its own lane delivered; those that read the topic
    /// live.
    #[serde(default)]
    pub floors: BTreeMap<String, i64>,
}

impl Status {
    pub fn shards_owned(&self) -> usize {
        self.shards.values().filter(|shard| shard.owned).count()
    }

    pub fn retention_alarms(&self) -> u64 {
        self.connectors.values().map(|connector| connector.retention_alarms).sum()
    }

    /// Why this worker does no work, for as long as it does none.
    pub fn not_ready(&self) -> Option<String> {
        match &self.phase {
            Phase::Starting => Some("starting: no shard is owned yet".to_owned()),
            Phase::Draining => Some("draining: this worker was told to stop".to_owned()),
            Phase::Failed { code, hint } => Some(format!("{code}: {hint}")),
            Phase::Running if self.shards_owned() == 0 => Some(format!(
                "none of {} shards is owned: other workers have them all, or are leaving",
                self.shards.len()
            )),
            Phase::Running => None,
        }
    }
}

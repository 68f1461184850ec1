use outflow_api::{Offset, OffsetRange, Shard, TopicPartition, Track};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counters of this process, for people. Proof is the ledger and the destination, never these.
#[derive(Clone, Default)]
pub struct Status(Arc<Mutex<Summary>>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub connectors: BTreeMap<String, ConnectorStatus>,
    pub shards: BTreeMap<Shard, ShardStatus>,
    /// Connector → its topics' names.
    pub topics: BTreeMap<String, Vec<String>>,
    pub memory_bytes: u64,
    pub memory_bytes_max: u64,
    pub calls: CallsStatus,
    /// Why the worker as a whole can't go on right now.
    pub trouble: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectorStatus {
    pub records_read: u64,
    /// Of those, records that no merchant claims.
    pub records_unclaimed: u64,
    pub rows_visible: u64,
    pub rows_rejected: u64,
    pub batches_visible: u64,
    pub bytes_visible: u64,
    /// Calls to the destination that were repeated after a fault.
    pub retries: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardStatus {
    pub generation: u64,
    /// How long owning took, and what it read.
    pub recovery_ms: u64,
    pub recovery_bytes: u64,
    pub partitions: BTreeMap<TopicPartition, PartitionStatus>,
    pub floors: BTreeMap<Track, Offset>,
    /// By connector.
    pub lanes: BTreeMap<String, LaneCounts>,
    /// The first hundred of them.
    pub parked: Vec<LaneStatus>,
    /// By connector, of its own lanes, those of merchants not among them.
    pub own: BTreeMap<String, OwnLane>,
}

/// A connector's own lane, or all of them, if there is something to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnLane {
    /// By a person; nothing is decided meanwhile.
    pub is_held: bool,
    /// A decided batch waits to become visible.
    pub is_pending: bool,
    /// The first offset of each partition that is not delivered.
    pub undelivered: BTreeMap<TopicPartition, Offset>,
}

impl OwnLane {
    pub(crate) fn and(&mut self, other: OwnLane) {
        self.is_held &= other.is_held;
        self.is_pending |= other.is_pending;
        for (key, offset) in other.undelivered {
            self.undelivered.entry(key).and_modify(|known| *known = offset.min(*known)).or_insert(offset);
        }
    }
}

/// Lanes about which there is something to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneCounts {
    pub active: u64,
    pub open_rows: u64,
    pub behind: u64,
    pub parked: u64,
    /// Records that the lane furthest behind has to look through.
    pub owed: u64,
    /// Age of the oldest record that is not delivered, as far as known; none is unknown.
    pub lag_ms: Option<u64>,
    /// Until retention removes the first of them; none where it never does.
    pub retention_left_ms: Option<u64>,
    /// Lanes, and partitions of which not all is read, with less time left than people want.
    pub retention_alarms: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionStatus {
    pub topic: String,
    pub position: Offset,
    pub floor: Offset,
    /// The log's own bounds, some seconds old.
    pub log: Option<OffsetRange>,
    pub failed: Option<String>,
}

/// Calls to destinations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallsStatus {
    pub under_way: u64,
    /// For a place.
    pub waiting: u64,
    /// Circuits that were opened since the start, and those that are open now.
    pub openings: u64,
    pub open_hosts: u64,
    pub open_credentials: u64,
    /// The worst of them.
    pub circuits: Vec<CircuitStatus>,
}

/// A host or a credential that nothing is sent to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CircuitStatus {
    pub name: String,
    /// Of the last fault.
    pub code: String,
    pub cause: String,
    /// Lanes that wait for it.
    pub lanes: u64,
    pub open_s: u64,
    pub next_try_s: u64,
}

/// A parked lane.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneStatus {
    pub lane: u32,
    pub connector: String,
    pub merchant: Option<String>,
    pub code: String,
    pub hint: String,
}

impl Status {
    pub fn summary(&self) -> Summary {
        self.lock().clone()
    }

    pub(crate) fn connector(&self, name: &str, change: impl FnOnce(&mut ConnectorStatus)) {
        let mut summary = self.lock();
        if let Some(connector) = summary.connectors.get_mut(name) {
            return change(connector);
        }
        change(summary.connectors.entry(name.to_owned()).or_default());
    }

    /// Counts a repeated call of this connector.
    pub(crate) fn repeats_of(&self, connector: &str) -> impl Fn() + Send + Sync + 'static {
        let (status, connector) = (self.clone(), connector.to_owned());
        move || status.connector(&connector, |connector| connector.retries += 1)
    }

    pub(crate) fn shard(&self, shard: Shard, change: impl FnOnce(&mut ShardStatus)) {
        change(self.lock().shards.entry(shard).or_default());
    }

    pub(crate) fn released(&self, shard: Shard) {
        self.lock().shards.remove(&shard);
    }

    pub(crate) fn topics(&self, topics: BTreeMap<String, Vec<String>>) {
        let mut summary = self.lock();
        // Who has nothing to do is shown as well: no lag is an answer.
        for connector in topics.keys() {
            summary.connectors.entry(connector.clone()).or_default();
        }
        summary.topics = topics;
    }

    pub(crate) fn memory(&self, bytes: usize, bytes_max: usize) {
        let mut summary = self.lock();
        (summary.memory_bytes, summary.memory_bytes_max) = (bytes as u64, bytes_max as u64);
    }

    pub(crate) fn calls(&self, calls: CallsStatus) {
        self.lock().calls = calls;
    }

    pub(crate) fn trouble(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    fn lock(&self) -> MutexGuard<'_, Summary> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

use outflow_api::{LaneId, Shard};
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushLimits {
    pub rows_max: u64,
    pub bytes_max: u64,
    pub age_ms_max: u64,
}

/// How the shard works: always today's values, never pinned.
#[derive(Clone, Debug)]
pub struct Settings {
    pub shard: Shard,
    pub flush: FlushLimits,
    /// Lanes with limits of their own.
    pub flush_of: BTreeMap<LaneId, FlushLimits>,
    /// Between two transactions: their cost is paid per tick, not per lane.
    pub tick_ms: u64,
    /// Floors alone are worth a transaction only this often.
    pub floor_ms: u64,
    /// What a restart may have to read again, in time and in offsets of a partition.
    pub replay_ms_max: u64,
    pub replay_offsets_max: i64,
    /// A parked lane is tried again after this long, twice as long each time, up to the bound.
    pub park_ms_first: u64,
    pub park_ms_max: u64,
    /// A lane whose debt ends this near to the reader's position turns live.
    pub join_offsets: i64,
    /// A reveal that takes longer lets its lane fall into debt as soon as its next batch is full.
    pub slow_reveal_ms: u64,
    /// More rejected rows per hundred than this, of a thousand rows or more, park the lane: a wrong model must not
    /// empty a topic into the dead letters.
    pub reject_percent_max: u64,
    /// Lanes with a share of their own.
    pub reject_percent_of: BTreeMap<LaneId, u64>,
    pub lanes_per_decision_max: usize,
    pub bytes_per_decision_max: usize,
}

impl Settings {
    pub fn new(shard: Shard) -> Settings {
        Settings {
            shard,
            flush: FlushLimits { rows_max: 100_000, bytes_max: 64 << 20, age_ms_max: 60_000 },
            flush_of: BTreeMap::new(),
            tick_ms: 50,
            floor_ms: 1_000,
            replay_ms_max: 60_000,
            replay_offsets_max: 2_000_000,
            park_ms_first: 1_000,
            park_ms_max: 300_000,
            join_offsets: 10_000,
            slow_reveal_ms: 10_000,
            reject_percent_max: 10,
            reject_percent_of: BTreeMap::new(),
            lanes_per_decision_max: 1_000,
            bytes_per_decision_max: 3 << 20,
        }
    }

    pub fn flush(&self, lane: LaneId) -> FlushLimits {
        self.flush_of.get(&lane).copied().unwrap_or(self.flush)
    }

    pub fn reject_percent(&self, lane: LaneId) -> u64 {
        self.reject_percent_of.get(&lane).copied().unwrap_or(self.reject_percent_max)
    }
}

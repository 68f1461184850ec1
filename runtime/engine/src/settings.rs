use outflow_api::Shard;

/// When a lane's open rows become a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushLimits {
    pub rows_max: u64,
    pub bytes_max: u64,
    pub age_ms_max: u64,
}

impl Default for FlushLimits {
    fn default() -> FlushLimits {
        FlushLimits { rows_max: 100_000, bytes_max: 64 << 20, age_ms_max: 60_000 }
    }
}

/// How the shard works: always today's values, never pinned.
#[derive(Clone, Debug)]
pub struct Settings {
    pub shard: Shard,
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
    pub lanes_per_decision_max: usize,
    pub bytes_per_decision_max: usize,
}

impl Settings {
    pub fn new(shard: Shard) -> Settings {
        Settings {
            shard,
            tick_ms: 50,
            floor_ms: 1_000,
            replay_ms_max: 60_000,
            replay_offsets_max: 2_000_000,
            park_ms_first: 1_000,
            park_ms_max: 300_000,
            join_offsets: 10_000,
            slow_reveal_ms: 10_000,
            lanes_per_decision_max: 1_000,
            bytes_per_decision_max: 3 << 20,
        }
    }
}

use crate::{Rng, catalogue::SCHEDULED};
use outflow_api::{FeedId, Shard};
use outflow_engine::{FlushLimits, Settings};

/// What one run is like. Each draws its own; rates are per mille, and many are zero.
#[derive(Clone, Debug)]
pub struct Options {
    /// Journals that deliver to the same destinations; with more than one, shards bear the same numbers.
    pub installations: u32,
    pub shards: u32,
    pub topics: u32,
    pub partitions: u32,
    pub keys: u32,
    pub lanes: u32,
    pub rows_first: u64,
    pub steps: u64,
    pub settings: Limits,
    pub faults: Faults,
}

#[derive(Clone, Debug)]
pub struct Limits {
    pub rows_max: u64,
    pub age_ms: u64,
    pub tick_ms: u64,
    pub floor_ms: u64,
    pub replay_offsets_max: i64,
    pub park_ms: u64,
    pub join_offsets: i64,
    pub slow_reveal_ms: u64,
    pub lanes_per_decision: usize,
    /// A batch is cut before it has more dead letters.
    pub letters_max: usize,
    pub fetch_max: u64,
    pub debt_rows_max: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub crash: u64,
    pub zombie: u64,
    pub takeover: u64,
    pub drain: u64,
    /// A call has no effect and no answer; it is tried again.
    pub fail: u64,
    /// A call has its effect and no answer.
    pub lost: u64,
    /// A call is executed once more, whenever.
    pub again: u64,
    /// An answer is delivered twice.
    pub echo: u64,
    pub give_up: u64,
    pub stall: u64,
    pub refused: u64,
    pub unknown: u64,
    pub hidden: u64,
    pub slow_commit: u64,
    pub expiry: u64,
    pub forget_rows: u64,
    pub revise: u64,
    /// A revision that defines nothing and commands something.
    pub command: u64,
    /// A connector is paused, or resumed: its feed is not read.
    pub pause: u64,
    /// A pass of a scheduled feed begins.
    pub pass: u64,
    /// A worker reads the config log late.
    pub lag: u64,
    /// A crash that comes with new definitions: somebody deployed.
    pub deploy: u64,
    pub grow: u64,
    pub partition: u64,
    pub pressure: u64,
    pub resume: u64,
    pub jump: u64,
    /// The oldest rows of a ledger go.
    pub trim: u64,
    pub hole: u64,
    pub misfit: u64,
    pub refuse_row: u64,
    /// One lane's destination takes nothing until all others are served.
    pub dead_lane: u64,
}

impl Options {
    pub fn draw(rng: &mut Rng) -> Options {
        let mut rate = |max: u64| if rng.chance(400) { 0 } else { 1 + rng.below(max) };
        let faults = Faults {
            crash: rate(40),
            zombie: rate(1_000),
            takeover: rate(10),
            drain: rate(10),
            fail: rate(300),
            lost: rate(200),
            again: rate(100),
            echo: rate(400),
            give_up: rate(150),
            stall: rate(200),
            refused: rate(150),
            unknown: rate(150),
            hidden: rate(300),
            slow_commit: rate(250),
            expiry: rate(60),
            forget_rows: rate(600),
            revise: rate(60),
            command: rate(50),
            pause: rate(30),
            pass: 1 + rate(200),
            lag: rate(1_000),
            deploy: rate(1_000),
            grow: rate(60),
            partition: rate(10),
            pressure: rate(20),
            resume: rate(20),
            jump: rate(10),
            trim: rate(3),
            hole: rate(250),
            misfit: rate(500),
            refuse_row: rate(300),
            dead_lane: rate(700),
        };
        let settings = Limits {
            rows_max: rng.between(1, 8),
            age_ms: rng.between(5, 300),
            tick_ms: rng.between(0, 30),
            floor_ms: rng.between(10, 200),
            replay_offsets_max: rng.between(4, 60) as i64,
            park_ms: rng.between(1, 200),
            join_offsets: rng.between(0, 20) as i64,
            slow_reveal_ms: rng.between(0, 100),
            lanes_per_decision: rng.between(1, 6) as usize,
            letters_max: rng.between(1, 4) as usize,
            fetch_max: rng.between(1, 8),
            debt_rows_max: rng.between(1, 12),
        };
        let several = rng.chance(200);
        Options {
            installations: if several { 2 } else { 1 },
            shards: rng.between(1, 2) as u32,
            topics: rng.between(1, 2) as u32,
            partitions: rng.between(1, 3) as u32,
            keys: rng.between(1, 8) as u32,
            lanes: rng.between(2, 5) as u32,
            rows_first: rng.between(0, 24),
            steps: rng.between(100, 900),
            settings,
            faults,
        }
    }
}

impl Limits {
    /// Rows of a scheduled feed wait for the end of the pass.
    pub fn flush(&self, feed: FeedId) -> FlushLimits {
        let age_ms_max = if feed == SCHEDULED { u64::MAX } else { self.age_ms };
        FlushLimits { rows_max: self.rows_max, bytes_max: u64::MAX, age_ms_max }
    }

    pub fn settings(&self, shard: Shard) -> Settings {
        let mut settings = Settings::new(shard);
        settings.tick_ms = self.tick_ms;
        settings.floor_ms = self.floor_ms;
        settings.replay_ms_max = u64::MAX;
        settings.replay_offsets_max = self.replay_offsets_max;
        settings.park_ms_first = self.park_ms;
        settings.park_ms_max = self.park_ms * 8;
        settings.join_offsets = self.join_offsets;
        settings.slow_reveal_ms = self.slow_reveal_ms;
        settings.lanes_per_decision_max = self.lanes_per_decision;
        settings
    }
}

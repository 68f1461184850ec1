use outflow_api::{Offset, TopicPartition};
use outflow_driver::LaneState;
use std::collections::{BTreeMap, HashMap};

/// How lanes stand in this worker's shards.
#[derive(Default)]
pub struct Standings(HashMap<u32, Standing>);

/// One lane, over the shards.
#[derive(Clone, Default)]
pub struct Standing {
    pub open_rows: u64,
    pub owed: u64,
    pub runs: u64,
    pub is_behind: bool,
    pub pending: bool,
    pub is_held: bool,
    /// Code and hint of one of them.
    pub parked: Option<(String, String)>,
    /// The first that is owed, and the log's start.
    pub owed_from: BTreeMap<TopicPartition, (Offset, Offset)>,
}

impl Standings {
    pub fn new(states: Vec<LaneState>) -> Standings {
        let mut all: HashMap<u32, Standing> = HashMap::new();
        for state in states {
            let one = all.entry(state.lane).or_default();
            one.open_rows += state.open_rows;
            one.owed += state.owed;
            one.runs += state.runs as u64;
            one.is_behind |= state.is_behind;
            one.pending |= state.has_pending;
            // What a person did says more than what happens to be wrong elsewhere.
            if one.parked.is_none() || state.is_held && !one.is_held {
                one.parked = state.parked.or(one.parked.take());
            }
            one.is_held |= state.is_held;
            one.owed_from.extend(state.owed_from);
        }
        Standings(all)
    }

    /// None of a lane about which there is nothing to say: it is live.
    pub fn of(&self, lane: u32) -> Option<&Standing> {
        self.0.get(&lane)
    }
}

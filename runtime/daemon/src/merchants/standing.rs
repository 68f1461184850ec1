use outflow_api::TopicPartition;
use outflow_control::Repair;
use outflow_driver::{LaneState, Repaired, Stay, Undelivered, oldest};
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
    pub repair: Option<Repair>,
    /// Code and hint of one of them.
    pub parked: Option<(String, String)>,
    pub undelivered: BTreeMap<TopicPartition, Undelivered>,
}

impl Standing {
    /// None is unknown.
    pub fn lag_seconds(&self) -> Option<u64> {
        Some(oldest(self.undelivered.values().map(|one| one.age_ms))? / 1_000)
    }

    pub fn stay(&self) -> Stay {
        self.undelivered.values().map(|one| one.stay).fold(Stay::default(), Stay::and)
    }
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
            one.repair = newest(one.repair.take(), state.repaired);
            one.undelivered.extend(state.undelivered);
        }
        Standings(all)
    }

    /// None of a lane about which there is nothing to say: it is live.
    pub fn of(&self, lane: u32) -> Option<&Standing> {
        self.0.get(&lane)
    }
}

/// Shards that took the same run are one answer.
fn newest(known: Option<Repair>, of_shard: Option<Repaired>) -> Option<Repair> {
    let Some(Repaired { run, outcome }) = of_shard else { return known };
    let (records, refused) = outcome.map_or_else(|why| (0, Some(why)), |records| (records, None));
    match known {
        Some(known) if known.run > run => Some(known),
        Some(known) if known.run == run => {
            Some(Repair { run, records: known.records + records, refused: known.refused.or(refused) })
        }
        _ => Some(Repair { run, records, refused }),
    }
}

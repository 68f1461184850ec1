use outflow_api::TopicPartition;
use outflow_control::{Repair, Replacement};
use outflow_driver::{self as driver, LaneState, Repaired, Stay, Undelivered, oldest};
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
    pub replacement: Option<Replacement>,
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
            let left = state.removals as u64;
            one.replacement = newest_replacement(one.replacement.take(), state.replaced, left);
            one.undelivered.extend(state.undelivered);
        }
        Standings(all)
    }

    pub fn lanes(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
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

/// As above. A shard whose owner is new does not know what was found, and what is left to be removed.
fn newest_replacement(
    known: Option<Replacement>,
    of_shard: Option<driver::Replacement>,
    left: u64,
) -> Option<Replacement> {
    let own = of_shard.map(|driver::Replacement { run, outcome, hangs }| {
        let all = Replacement { run, left, hangs, ..Replacement::default() };
        match outcome {
            Ok(found) => {
                Replacement { records: found.offsets, widened: found.widened, batches: found.batches as u64, ..all }
            }
            Err(why) => Replacement { refused: Some(why), ..all },
        }
    });
    let own = own.or_else(|| (left > 0).then(|| Replacement { left, ..Replacement::default() }));
    let (Some(known), Some(own)) = (&known, &own) else { return known.or(own) };
    let (known, own) = if known.run < own.run { (own, known) } else { (known, own) };
    let of_one = own.run == known.run || own.run == 0;
    let sum = |one: fn(&Replacement) -> u64| one(known) + if of_one { one(own) } else { 0 };
    let first =
        |one: fn(&Replacement) -> &Option<String>| one(known).clone().or_else(|| one(own).clone().filter(|_| of_one));
    Some(Replacement {
        run: known.run,
        records: sum(|one| one.records),
        widened: sum(|one| one.widened),
        batches: sum(|one| one.batches),
        left: sum(|one| one.left),
        hangs: first(|one| &one.hangs),
        refused: first(|one| &one.refused),
    })
}

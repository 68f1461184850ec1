//! A journal is a map; here is the map.

use super::{
    Harness, acquired, done,
    sample::{full_lane, revision, small_lane, track},
};
use outflow_api::{
    Applied, LaneId, LaneRecord, Offset, Recovered, Revision, RevisionRecord, Shard, Track, Transaction,
};
use std::collections::BTreeMap;

const SEED: u64 = 0x0ddb_a115;
const TRANSACTIONS: u32 = 120;

#[derive(Default)]
struct Model {
    lanes: BTreeMap<LaneId, LaneRecord>,
    floors: BTreeMap<Track, Offset>,
    revisions: BTreeMap<Revision, RevisionRecord>,
    applied: Applied,
}

/// xorshift64*: small, seeded, the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

pub fn many_transactions_equal_a_model(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    let (mut dice, mut model) = (Dice(SEED), Model::default());
    for step in 0..TRANSACTIONS {
        let transaction = transaction(&mut dice, &model, shard);
        done(&mut *journal, &transaction);
        model.apply(transaction);
        if dice.below(20) == 0 || step == TRANSACTIONS - 1 {
            let (new, found) = acquired(harness, shard);
            model.assert_is(&found, step);
            journal = new;
        }
    }
}

fn transaction(dice: &mut Dice, model: &Model, shard: Shard) -> Transaction {
    let mut lanes = BTreeMap::new();
    for _ in 0..dice.below(8) {
        let record = match dice.below(4) {
            0 => None,
            1 => Some(full_lane(shard, vec![dice.below(256) as u8; dice.below(3_000) as usize])),
            _ => Some(small_lane(dice.below(1 << 40) as i64)),
        };
        lanes.insert(LaneId(dice.below(30) as u32), record);
    }
    let mut floors = BTreeMap::new();
    if dice.below(2) == 0 {
        floors = model.floors.clone();
        let floor = floors.entry(track(dice.below(3) as u32, 7, dice.below(5) as u32)).or_insert(Offset::ZERO);
        *floor = Offset(floor.0 + dice.below(1_000) as i64);
    }
    let mut transaction = Transaction { lanes: lanes.into_iter().collect(), floors, ..Transaction::default() };
    if dice.below(4) == 0 {
        let revision = Revision(model.applied.revision.0 + dice.below(2));
        transaction.applied = Some(Applied { revision, commands: dice.below(9) as u32 });
    }
    match dice.below(6) {
        0 => {
            let newest = model.revisions.keys().last().map_or(0, |revision| revision.0);
            transaction.revisions.push(revision(newest + 1 + dice.below(3), dice.below(500) as i64));
        }
        1 => transaction.revisions_gone.extend(model.revisions.keys().next()),
        _ => {}
    }
    transaction
}

impl Model {
    fn apply(&mut self, transaction: Transaction) {
        for (lane, record) in transaction.lanes {
            match record {
                Some(record) => drop(self.lanes.insert(lane, record)),
                None => drop(self.lanes.remove(&lane)),
            }
        }
        if !transaction.floors.is_empty() {
            self.floors = transaction.floors;
        }
        self.applied = transaction.applied.unwrap_or(self.applied);
        self.revisions.extend(transaction.revisions.into_iter().map(|record| (record.revision, record)));
        transaction.revisions_gone.iter().for_each(|revision| drop(self.revisions.remove(revision)));
    }

    fn assert_is(&self, found: &Recovered, step: u32) {
        assert_eq!(found.lanes, self.lanes, "lanes after step {step} of seed {SEED:#x}");
        assert_eq!(found.floors, self.floors, "floors after step {step} of seed {SEED:#x}");
        assert_eq!(found.applied, self.applied, "applied after step {step} of seed {SEED:#x}");
        let revisions: Vec<_> = self.revisions.values().cloned().collect();
        assert_eq!(found.revisions, revisions, "revisions after step {step} of seed {SEED:#x}");
    }
}

//! What is written is what is found.

use super::{
    Harness, acquired, done, ledger, recovered,
    sample::{dead_letter, full_lane, lanes, ledger_row, revision, small_lane, track},
};
use outflow_api::{Applied, LaneId, Offset, Revision, Transaction};
use std::collections::BTreeMap;

pub fn a_new_journal_is_empty(harness: &dyn Harness) {
    let found = recovered(harness, harness.fresh_shard());
    assert!(found.lanes.is_empty() && found.floors.is_empty() && found.revisions.is_empty(), "{found:?}");
    assert_eq!(found.applied, Applied::default());
}

pub fn a_decision_answered_done_is_recovered(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    for next in 1..=3 {
        done(&mut *journal, &lanes([(next, Some(small_lane(i64::from(next))))]));
    }
    drop(journal);
    let expected = (1..=3).map(|next| (LaneId(next), small_lane(i64::from(next)))).collect();
    assert_eq!(recovered(harness, shard).lanes, expected);
}

pub fn every_part_of_a_lane_survives_unchanged(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    let full = full_lane(shard, (0..=255).collect());
    let parts = [
        full_lane(shard, Vec::new()),
        outflow_api::LaneRecord { next: full.next.clone(), ..Default::default() },
        outflow_api::LaneRecord { owed: full.owed.clone(), ..Default::default() },
        outflow_api::LaneRecord { feed: full.feed, runs: full.runs.clone(), ..Default::default() },
        outflow_api::LaneRecord { pending: full.pending.clone(), ..Default::default() },
        outflow_api::LaneRecord { spent: full.spent.clone(), ..Default::default() },
        outflow_api::LaneRecord { replacing: full.replacing.clone(), ..Default::default() },
        outflow_api::LaneRecord { parked: full.parked.clone(), ..Default::default() },
        full,
    ];
    let all: BTreeMap<_, _> = (0..).map(LaneId).zip(parts).collect();
    let written = all.iter().map(|(lane, record)| (*lane, Some(record.clone()))).collect();
    done(&mut *journal, &Transaction { lanes: written, ..Transaction::default() });
    assert_eq!(recovered(harness, shard).lanes, all);
}

pub fn floors_and_revisions_survive_unchanged(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    let floors = BTreeMap::from([
        (track(0, 7, 0), Offset(12)),
        (track(1, 7, 0), Offset(3)),
        (track(u32::MAX, u128::MAX, 9), Offset(i64::MAX - 1)),
    ]);
    let revisions: Vec<_> = [1, 2, 300].map(|number| revision(number, number as i64 * 10)).into();
    let newest_first = revisions.iter().rev().cloned().collect();
    let all = Transaction { floors: floors.clone(), revisions: newest_first, ..Transaction::default() };
    done(&mut *journal, &all);
    // What a transaction does not name stays.
    done(&mut *journal, &lanes([(1, Some(small_lane(1)))]));
    done(&mut *journal, &Transaction { revisions_gone: vec![Revision(2)], ..Transaction::default() });
    let found = recovered(harness, shard);
    assert_eq!(found.floors, floors);
    assert_eq!(found.revisions, [revisions[0].clone(), revisions[2].clone()], "rising, without the one that is gone");
}

pub fn the_mark_of_what_is_applied_comes_with_its_effects(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    let mark = Applied { revision: Revision(1 << 40), commands: u32::MAX };
    for commands in [0, 1, u32::MAX] {
        let applied = Some(Applied { commands, ..mark });
        done(&mut *journal, &Transaction { applied, ..lanes([(1, Some(small_lane(i64::from(commands))))]) });
    }
    // What a transaction does not name stays.
    done(&mut *journal, &lanes([(2, Some(small_lane(1)))]));
    let found = recovered(harness, shard);
    assert_eq!(found.applied, mark);
    assert_eq!(found.lanes.get(&LaneId(1)), Some(&small_lane(i64::from(u32::MAX))));
}

pub fn the_last_value_wins(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    for next in 1..=20 {
        let floors = BTreeMap::from([(track(2, 7, 0), Offset(next))]);
        let revisions = vec![revision(5, next)];
        done(&mut *journal, &Transaction { floors, revisions, ..lanes([(1, Some(small_lane(next)))]) });
    }
    let found = recovered(harness, shard);
    assert_eq!(found.lanes, BTreeMap::from([(LaneId(1), small_lane(20))]));
    assert_eq!(found.floors, BTreeMap::from([(track(2, 7, 0), Offset(20))]));
    assert_eq!(found.revisions, [revision(5, 20)]);
}

pub fn a_tombstone_forgets(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    done(&mut *journal, &lanes([(1, Some(small_lane(1))), (2, Some(small_lane(2)))]));
    done(&mut *journal, &lanes([(1, None), (77, None)]));
    let (mut journal, found) = acquired(harness, shard);
    assert_eq!(found.lanes, BTreeMap::from([(LaneId(2), small_lane(2))]));
    done(&mut *journal, &lanes([(1, Some(small_lane(9)))]));
    let expected = BTreeMap::from([(LaneId(1), small_lane(9)), (LaneId(2), small_lane(2))]);
    assert_eq!(recovered(harness, shard).lanes, expected, "a lane may return");
}

pub fn idle_lanes_leave_nothing(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    for round in 0..5 {
        let some = round * 200..(round + 1) * 200;
        done(&mut *journal, &lanes(some.clone().map(|lane| (lane, Some(small_lane(1))))));
        done(&mut *journal, &lanes(some.map(|lane| (lane, None))));
    }
    assert_eq!(recovered(harness, shard).lanes, BTreeMap::new());
}

pub fn ledger_and_dead_letters_come_with_the_decision(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    for number in 0..6 {
        let rows = vec![ledger_row(shard, number)];
        let dead_letters = vec![dead_letter(shard, 2 * number), dead_letter(shard, 2 * number + 1)];
        done(&mut *journal, &Transaction { ledger: rows, dead_letters, ..lanes([(number, Some(small_lane(1)))]) });
    }
    // Neither a new owner nor the next one may send anything again.
    drop(recovered(harness, shard));
    drop(recovered(harness, shard));
    assert_eq!(ledger(harness, shard), (0..6).map(|number| ledger_row(shard, number)).collect::<Vec<_>>());
    if let Some(letters) = harness.dead_letters(shard) {
        let expected: Vec<_> = (0..12).map(|number| format!("{}/{number}", shard.0).into_bytes()).collect();
        assert_eq!(letters, expected);
    }
}

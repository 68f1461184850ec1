//! One owner at a time, and everybody knows which.

use super::{
    Harness, acquired, done, ledger, recovered,
    sample::{dead_letter, full_lane, lanes, ledger_row, small_lane},
};
use outflow_api::{AppendOutcome, LaneId, Transaction};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

pub fn each_acquire_raises_the_generation(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let mut last = recovered(harness, shard).generation;
    for round in 0..3 {
        let (mut journal, found) = acquired(harness, shard);
        assert!(found.generation > last, "{:?} after {last:?}", found.generation);
        last = found.generation;
        if round == 1 {
            done(&mut *journal, &lanes([(1, Some(small_lane(1)))]));
        }
    }
}

pub fn the_incarnation_is_stable(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let first = recovered(harness, shard).incarnation;
    let (mut journal, second) = acquired(harness, shard);
    done(&mut *journal, &lanes([(1, Some(small_lane(1)))]));
    assert_eq!((second.incarnation, recovered(harness, shard).incarnation), (first, first));
}

pub fn shards_have_incarnations_of_their_own(harness: &dyn Harness) {
    let one = recovered(harness, harness.fresh_shard()).incarnation;
    let other = recovered(harness, harness.fresh_shard()).incarnation;
    assert_ne!(one, other);
}

pub fn an_older_owner_is_fenced_and_leaves_nothing(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut older, _) = acquired(harness, shard);
    done(&mut *older, &lanes([(1, Some(small_lane(1)))]));
    let (mut newer, found) = acquired(harness, shard);
    assert_eq!(found.lanes, BTreeMap::from([(LaneId(1), small_lane(1))]));

    let rows = vec![ledger_row(shard, 3)];
    let dead_letters = vec![dead_letter(shard, 3)];
    let late =
        Transaction { ledger: rows, dead_letters, ..lanes([(1, Some(small_lane(99))), (2, Some(small_lane(99)))]) };
    let outcome = older.append(&late);
    assert!(matches!(outcome, AppendOutcome::Fenced), "expected Fenced, got {outcome:?}");
    done(&mut *newer, &lanes([(3, Some(small_lane(3)))]));
    drop((older, newer));

    let expected = BTreeMap::from([(LaneId(1), small_lane(1)), (LaneId(3), small_lane(3))]);
    assert_eq!(recovered(harness, shard).lanes, expected);
    assert_eq!(ledger(harness, shard), []);
    assert!(harness.dead_letters(shard).is_none_or(|letters| letters.is_empty()));
}

pub fn a_fenced_owner_can_acquire_again(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut first, _) = acquired(harness, shard);
    let (mut second, _) = acquired(harness, shard);
    done(&mut *second, &lanes([(2, Some(small_lane(2)))]));
    assert!(matches!(first.append(&lanes([(1, None)])), AppendOutcome::Fenced));
    let (mut first, found) = acquired(harness, shard);
    assert_eq!(found.lanes, BTreeMap::from([(LaneId(2), small_lane(2))]));
    done(&mut *first, &lanes([(1, Some(small_lane(1)))]));
    assert!(matches!(second.append(&lanes([(2, None)])), AppendOutcome::Fenced));
    assert_eq!(recovered(harness, shard).lanes.len(), 2);
}

/// Two threads take the shard from one another while they write. Each of them writes pairs of lanes with one number.
pub fn two_owners_at_once_lose_and_mix_nothing(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let until = Instant::now() + Duration::from_secs(2);
    let work = |lane: u32| {
        let mut done_up_to = 0;
        while Instant::now() < until {
            let mut journal = harness.journal(shard);
            let Ok(found) = journal.acquire() else { continue };
            let seen = found.lanes.get(&LaneId(lane)).map_or(0, |record| {
                assert_eq!(found.lanes.get(&LaneId(lane + 1)), Some(record), "half a transaction");
                record.next.values().next().expect("a sample has one").0
            });
            assert!(seen >= done_up_to, "{done_up_to} was answered Done, {seen} was found");
            for next in seen + 1..seen + 20 {
                let pair = lanes([(lane, Some(small_lane(next))), (lane + 1, Some(small_lane(next)))]);
                match journal.append(&pair) {
                    AppendOutcome::Done => done_up_to = next,
                    AppendOutcome::Refused(fault) => panic!("{fault}"),
                    AppendOutcome::Fenced | AppendOutcome::Unknown(_) => break,
                }
            }
        }
        done_up_to
    };
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| work(10));
        let other = work(20);
        (one.join().expect("the law holds"), other)
    });
    let found = recovered(harness, shard).lanes;
    for (lane, next) in [(10, one), (20, other)].into_iter().filter(|(_, next)| *next > 0) {
        let there = found.get(&LaneId(lane)).expect("it was answered Done");
        assert!(there.next.values().all(|there| there.0 >= next), "{next} was answered Done, {there:?} was found");
        assert_eq!(found.get(&LaneId(lane + 1)), Some(there), "half a transaction");
    }
}

pub fn a_transaction_cut_short_is_invisible(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    done(&mut *journal, &lanes([(1, Some(small_lane(1)))]));
    drop(journal);
    let many = (0..50).map(|lane| (lane, Some(full_lane(shard, vec![7; 500]))));
    let rows = vec![ledger_row(shard, 3)];
    let dead_letters = vec![dead_letter(shard, 3)];
    if !harness.die_within(shard, &Transaction { ledger: rows, dead_letters, ..lanes(many) }) {
        return;
    }
    let (mut journal, found) = acquired(harness, shard);
    assert_eq!(found.lanes, BTreeMap::from([(LaneId(1), small_lane(1))]));
    assert_eq!(ledger(harness, shard), []);
    assert!(harness.dead_letters(shard).is_none_or(|letters| letters.is_empty()));
    done(&mut *journal, &lanes([(2, Some(small_lane(2)))]));
    assert_eq!(recovered(harness, shard).lanes.len(), 2);
}

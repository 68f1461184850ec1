//! What a repair is computed from.

use super::{
    Harness, acquired, done, ledger,
    sample::{lanes, ledger_row, small_lane},
};
use outflow_api::{LedgerEvent, LedgerRow, Transaction};

/// A ledger without this row has lost others as well, or was begun beside an older journal.
pub fn the_ledger_begins_before_anything_is_decided(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (_, found) = acquired(harness, shard);
    for _ in 0..2 {
        let mut rows = Vec::new();
        harness.ledger(shard).read(&mut |row| rows.push(row)).expect("nothing hinders the reading");
        let [LedgerRow { batch, event: LedgerEvent::Began }] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((batch.incarnation, batch.shard), (found.incarnation, shard));
        // It is said once, whoever comes next.
        drop(acquired(harness, shard));
    }
}

/// Else a repair sends again what was decided a moment ago.
pub fn the_ledger_shows_every_decision_at_once(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let (mut journal, _) = acquired(harness, shard);
    let mut expected = Vec::new();
    let mut reader = harness.ledger(shard);
    for number in 0..20 {
        let rows: Vec<_> = (0..number % 3).map(|row| ledger_row(shard, 10 * number + row)).collect();
        expected.extend(rows.clone());
        done(&mut *journal, &Transaction { ledger: rows, ..lanes([(number, Some(small_lane(1)))]) });
        if number % 7 == 0 {
            assert_eq!(ledger(harness, shard), expected, "behind transaction {number}");
            let mut again = Vec::new();
            reader.read(&mut |row| again.push(row)).expect("nothing hinders the reading");
            assert_eq!(again[1..], expected, "a reader may be asked again");
        }
    }
}

pub fn the_ledger_remembers_what_the_journal_forgets(harness: &dyn Harness) {
    let shard = harness.fresh_shard();
    let mut expected = Vec::new();
    for number in 0..4 {
        let (mut journal, _) = acquired(harness, shard);
        expected.push(ledger_row(shard, number));
        let rows = vec![ledger_row(shard, number)];
        done(&mut *journal, &Transaction { ledger: rows, ..lanes([(1, Some(small_lane(1)))]) });
        done(&mut *journal, &lanes([(1, None)]));
    }
    drop(acquired(harness, shard));
    assert_eq!(ledger(harness, shard), expected);
}

//! Accidents that the simulation found, each as the few events that led to it.

use bytes::Bytes;
use outflow_api::{
    BatchId, Generation, Incarnation, LaneId, LaneRecord, Offset, OffsetRange, Pending, Ranges, Recovered, Revision,
    Shard, TopicId, TopicPartition,
};
use outflow_engine::{
    Action, DebtRead, Decision, Engine, Event, FlushLimits, Journaled, PreparedBatch, Reason, Revealed, Settings, Taken,
};
use std::collections::BTreeMap;

const PARTITION: TopicPartition = TopicPartition { topic: TopicId(7), partition: 0 };
const LANE: LaneId = LaneId(1);

struct Owner {
    engine: Engine,
    now_ms: u64,
    first: Vec<Action>,
}

impl Owner {
    fn of(floor: i64, lane: Option<LaneRecord>) -> Owner {
        let recovered = Recovered {
            incarnation: Incarnation(5),
            generation: Generation(9),
            floors: if lane.is_some() { BTreeMap::from([(PARTITION, Offset(floor))]) } else { BTreeMap::new() },
            lanes: lane.into_iter().map(|record| (LANE, record)).collect(),
            revisions: Vec::new(),
            bytes_read: 0,
        };
        let mut settings = Settings::new(Shard(0));
        settings.flush = FlushLimits { rows_max: 2, bytes_max: u64::MAX, age_ms_max: 1_000 };
        let mut first = Vec::new();
        let starts = BTreeMap::from([(PARTITION, Offset::ZERO)]);
        let engine = Engine::recover(settings, recovered, &starts, 0, &mut first);
        Owner { engine, now_ms: 0, first }
    }

    fn hears(&mut self, event: Event) -> Vec<Action> {
        self.now_ms += 100;
        let mut actions = Vec::new();
        self.engine.handle(self.now_ms, event, &mut actions);
        actions
    }

    fn fetches(&mut self, start: i64, next: i64) -> Vec<Action> {
        let rows = (next - start) as u64;
        let (version, first) = (Revision(1), Offset(start));
        let taken = vec![Taken { lane: LANE, version, partition: PARTITION, first, rows, bytes: rows }];
        self.hears(Event::Fetched { partition: PARTITION, range: range(start, next), taken })
    }
}

fn range(start: i64, next: i64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(next))
}

fn id(seq: u32) -> BatchId {
    BatchId { incarnation: Incarnation(5), shard: Shard(0), generation: Generation(9), lane: LANE, seq }
}

fn prepared(seq: u32, covers: OffsetRange, rejected: &[i64]) -> Event {
    let rejected: Vec<Offset> = rejected.iter().copied().map(Offset).collect();
    Event::Prepared(PreparedBatch {
        id: id(seq),
        token: Bytes::from_static(b"t"),
        covers: BTreeMap::from([(PARTITION, covers)]),
        rows: (covers.next.0 - covers.start.0) as u64 - rejected.len() as u64,
        rejected: if rejected.is_empty() { BTreeMap::new() } else { BTreeMap::from([(PARTITION, rejected)]) },
        rows_hash: 1,
        letter_bytes: 1,
        rest: Vec::new(),
    })
}

fn reason() -> Reason {
    Reason { code: "down".into(), hint: "the destination is down".into() }
}

fn decision(actions: &[Action]) -> &Decision {
    let found = actions.iter().find_map(|action| match action {
        Action::Append(decision) => Some(decision),
        _ => None,
    });
    found.expect("something is to be written")
}

fn record(actions: &[Action]) -> LaneRecord {
    decision(actions).transaction.lanes[0].1.clone().expect("no tombstone")
}

fn standing(next: i64, owed: Option<OffsetRange>) -> LaneRecord {
    LaneRecord {
        next: BTreeMap::from([(PARTITION, Offset(next))]),
        owed: owed.into_iter().map(|range| (PARTITION, Ranges::of(range))).collect(),
        ..LaneRecord::default()
    }
}

fn pending(start: i64, next: i64) -> Pending {
    Pending {
        id: BatchId { generation: Generation(3), ..id(1) },
        token: Bytes::new(),
        covers: BTreeMap::from([(PARTITION, range(start, next))]),
        version: Revision(1),
        rejected: BTreeMap::new(),
        rows: 1,
        rows_hash: 1,
    }
}

#[test]
fn a_lane_that_falls_behind_before_the_reader_is_back_owes_no_decided_row() {
    let pending = pending(5, 10);
    let batch = pending.id;
    let mut owner = Owner::of(0, Some(LaneRecord { pending: Some(pending), ..standing(10, None) }));
    let actions = owner.hears(Event::RevealStalled { batch, reason: reason() });
    assert_eq!(record(&actions).owed[&PARTITION].as_slice(), [OffsetRange::new(Offset(10), Offset::OPEN)]);
}

#[test]
fn a_lane_that_joins_before_the_reader_is_back_still_owes_what_is_below_its_next() {
    let mut owner = Owner::of(0, Some(standing(15, Some(OffsetRange::new(Offset(10), Offset::OPEN)))));
    let joined = record(&owner.hears(Event::Tick));
    assert_eq!(joined.owed[&PARTITION].as_slice(), [range(10, 15)]);
    assert_eq!(joined.next[&PARTITION], Offset(15));
}

#[test]
fn a_lane_that_falls_behind_leaves_no_gap_between_its_next_and_its_debt() {
    let pending = pending(0, 2);
    let batch = pending.id;
    let mut owner = Owner::of(0, Some(LaneRecord { pending: Some(pending), ..standing(2, None) }));
    // Rows 2 to 5 are somebody else's today; after a crash they may be routed anew.
    owner.hears(Event::Fetched { partition: PARTITION, range: range(0, 6), taken: Vec::new() });
    let actions = owner.hears(Event::RevealStalled { batch, reason: reason() });
    assert_eq!(record(&actions).owed[&PARTITION].as_slice(), [OffsetRange::new(Offset(2), Offset::OPEN)]);
}

#[test]
fn the_first_transaction_names_every_partition_so_that_none_is_taken_for_new() {
    let mut owner = Owner::of(0, None);
    owner.fetches(0, 2);
    let actions = owner.hears(prepared(1, range(0, 2), &[]));
    assert_eq!(decision(&actions).transaction.floors, BTreeMap::from([(PARTITION, Offset(2))]));
    let mut idle = Owner::of(0, None);
    idle.now_ms = 2_000;
    let actions = idle.hears(Event::Tick);
    assert_eq!(decision(&actions).transaction.floors, BTreeMap::from([(PARTITION, Offset(0))]));
}

#[test]
fn an_answer_that_comes_twice_aborts_no_decided_batch() {
    let mut owner = Owner::of(0, None);
    owner.fetches(0, 2);
    owner.hears(prepared(1, range(0, 2), &[]));
    assert!(matches!(owner.hears(Event::Journaled(Journaled::Done))[0], Action::Reveal { .. }));
    assert!(owner.hears(prepared(1, range(0, 2), &[])).is_empty());
}

#[test]
fn nothing_is_revealed_while_the_dead_letters_of_refused_rows_are_on_their_way() {
    let mut owner = Owner::of(0, None);
    owner.fetches(0, 2);
    owner.hears(prepared(1, range(0, 2), &[]));
    owner.hears(Event::Journaled(Journaled::Done));
    let rows = BTreeMap::from([(PARTITION, vec![Offset(1)])]);
    let refused = Event::Revealed { batch: id(1), outcome: Revealed::Rejected { rows } };
    assert_eq!(decision(&owner.hears(refused.clone())).letters.len(), 1);
    assert!(owner.hears(Event::Revealed { batch: id(1), outcome: Revealed::NeedsRows }).is_empty());
    assert!(matches!(owner.hears(Event::Journaled(Journaled::Done))[0], Action::Reveal { read_rows: true, .. }));
    assert!(owner.hears(refused).is_empty(), "its dead letter is out");
}

#[test]
fn a_refused_decision_remembers_which_dead_letters_are_out() {
    let spent = BTreeMap::from([(PARTITION, vec![Offset(0)])]);
    let mut owner = Owner::of(2, Some(LaneRecord { spent: spent.clone(), ..standing(2, Some(range(0, 2))) }));
    let asked = owner.first.iter().find_map(|action| match action {
        Action::ReadDebt { batch, .. } => Some(*batch),
        _ => None,
    });
    let covers = BTreeMap::from([(PARTITION, range(0, 2))]);
    let batch = asked.expect("debt is read at once");
    owner.hears(Event::DebtRead(DebtRead { batch, version: Revision(1), covers, rows: 2 }));
    let actions = owner.hears(prepared(2, range(0, 2), &[0, 1]));
    let letters = &decision(&actions).letters[0];
    assert_eq!(letters.rows, BTreeMap::from([(PARTITION, vec![Offset(1)])]));
    let actions = owner.hears(Event::Journaled(Journaled::Refused(reason())));
    assert_eq!(record(&actions).spent, spent);
}

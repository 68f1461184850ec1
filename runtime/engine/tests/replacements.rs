//! P32: a run takes the place of what is there: whole batches, the new before the old, each step in the journal.

use bytes::Bytes;
use outflow_api::{
    Applied, BatchId, Delivered, FeedId, Generation, Incarnation, LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset,
    OffsetRange, Pending, Pins, Ranges, Recovered, Replacing, Revision, Run, Shard, TopicId, TopicPartition, Track,
};
use outflow_engine::{
    Act, Action, Command, Deliveries, Engine, Event, FlushLimits, Journaled, Publication, Reason, Replaced, Revealed,
    Settings, Taken,
};
use std::collections::BTreeMap;

const PARTITION: TopicPartition = TopicPartition { topic: TopicId(7), partition: 0 };
const FEED: FeedId = FeedId(0);
const LANE: LaneId = LaneId(1);
const OWN: Incarnation = Incarnation(5);
const RUN: Revision = Revision(3);

fn range(start: i64, next: i64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(next))
}

fn ranges(start: i64, next: i64) -> BTreeMap<TopicPartition, Ranges> {
    BTreeMap::from([(PARTITION, Ranges::of(range(start, next)))])
}

fn batch(seq: u32) -> BatchId {
    BatchId { incarnation: OWN, shard: Shard(0), generation: Generation(1), lane: LANE, seq }
}

fn receipt(seq: u32) -> Bytes {
    Bytes::from(format!("receipt {seq}"))
}

fn old(seq: u32) -> Delivered {
    Delivered { id: batch(seq), receipt: receipt(seq) }
}

fn row(seq: u32, event: LedgerEvent) -> LedgerRow {
    LedgerRow { batch: batch(seq), event }
}

fn began() -> LedgerRow {
    LedgerRow { batch: BatchId { lane: LaneId(0), ..batch(0) }, event: LedgerEvent::Began }
}

fn decided(seq: u32, start: i64, next: i64) -> LedgerRow {
    let covers = BTreeMap::from([(PARTITION, range(start, next))]);
    let (version, receipt) = (Revision(1), receipt(seq));
    row(seq, LedgerEvent::Decided { covers, version, run: None, rows: 1, rejected: 0, rows_hash: 0, receipt })
}

/// As the live stream delivers: decided, and visible.
fn delivered(seq: u32, start: i64, next: i64) -> [LedgerRow; 2] {
    [decided(seq, start, next), row(seq, LedgerEvent::Revealed)]
}

fn ledger(rows: impl IntoIterator<Item = [LedgerRow; 2]>) -> Vec<LedgerRow> {
    [began()].into_iter().chain(rows.into_iter().flatten()).collect()
}

fn standing() -> LaneRecord {
    LaneRecord { next: BTreeMap::from([(PARTITION, Offset(80))]), ..LaneRecord::default() }
}

fn replacing(old: Vec<Delivered>) -> Option<Replacing> {
    Some(Replacing { run: RUN, old })
}

struct Owner {
    engine: Engine,
    now_ms: u64,
    ledger: Vec<LedgerRow>,
    /// What it does before it hears of anything.
    first: Vec<Action>,
}

impl Owner {
    fn of(record: LaneRecord, ledger: Vec<LedgerRow>) -> Owner {
        let recovered = Recovered {
            incarnation: OWN,
            generation: Generation(9),
            floors: BTreeMap::from([(Track { feed: FEED, partition: PARTITION }, Offset(60))]),
            lanes: BTreeMap::from([(LANE, record)]),
            revisions: Vec::new(),
            applied: Applied::default(),
            bytes_read: 0,
        };
        let mut first = Vec::new();
        let engine = Engine::recover(Settings::new(Shard(0)), recovered, &BTreeMap::new(), 0, &mut first);
        Owner { engine, now_ms: 0, ledger, first }
    }

    fn hears(&mut self, event: Event) -> Vec<Action> {
        self.now_ms += 100;
        let mut actions = Vec::new();
        self.engine.handle(self.now_ms, event, &mut actions);
        actions
    }

    fn is_told(&mut self, acts: impl IntoIterator<Item = Act>) -> Vec<Action> {
        let commands = acts.into_iter().map(|act| Command { lane: LANE, feed: FEED, act }).collect();
        let publication = Publication { revision: RUN, defines: false, feeds: BTreeMap::new(), commands };
        self.hears(Event::Published(publication))
    }

    fn answer(&self, asked: &Action) -> Event {
        let Action::ReadDeliveries { command, lane, ranges } = asked else { panic!("{asked:?}") };
        let mut deliveries = Deliveries::new(*lane, ranges.clone());
        self.ledger.iter().for_each(|row| deliveries.see(row));
        Event::DeliveriesRead { command: *command, deliveries: Ok(deliveries) }
    }

    /// Told, and answered as often as it asks; with the ranges that it asked for.
    fn replaces(&mut self, start: i64, next: i64) -> (Vec<Action>, Vec<BTreeMap<TopicPartition, Ranges>>) {
        let mut actions = self.is_told([Act::Replace { by: Revision(2), ranges: ranges(start, next) }]);
        let mut all = Vec::new();
        while let Some(question) = asked(&actions) {
            let Action::ReadDeliveries { ranges, .. } = &question else { unreachable!("it is one") };
            all.push(ranges.clone());
            let answer = self.answer(&question);
            if actions.iter().any(|action| matches!(action, Action::Append(_))) {
                self.hears(Event::Journaled(Journaled::Done));
            }
            actions = self.hears(answer);
        }
        (actions, all)
    }
}

fn asked(actions: &[Action]) -> Option<Action> {
    actions.iter().find(|action| matches!(action, Action::ReadDeliveries { .. })).cloned()
}

fn outcome(actions: &[Action]) -> Result<Replaced, Reason> {
    let told = actions.iter().find_map(|action| match action {
        Action::Replaced { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    told.expect("it is told what came of it")
}

fn removed(actions: &[Action]) -> Vec<Delivered> {
    let removals = actions.iter().filter_map(|action| match action {
        Action::Remove(old) => Some(old.clone()),
        _ => None,
    });
    removals.collect()
}

fn written(actions: &[Action]) -> Option<(LaneRecord, Vec<LedgerRow>)> {
    actions.iter().find_map(|action| match action {
        Action::Append(decision) => {
            let lane = decision.transaction.lanes.iter().find(|(lane, _)| *lane == LANE)?;
            Some((lane.1.clone().unwrap_or_default(), decision.transaction.ledger.clone()))
        }
        _ => None,
    })
}

#[test]
fn whole_batches_are_replaced_with_all_that_they_cover_and_what_else_has_rows_there() {
    let batches = [delivered(1, 0, 10), delivered(2, 10, 30), delivered(3, 30, 40), delivered(4, 25, 28)];
    let mut owner = Owner::of(standing(), ledger(batches));
    let (actions, all) = owner.replaces(12, 14);
    assert_eq!(all, [ranges(12, 14), ranges(10, 30)], "a batch reaches further, and so does the next question");
    assert_eq!(outcome(&actions), Ok(Replaced { offsets: 20, widened: 18, batches: 2 }));
    let (record, _) = written(&actions).expect("it is decided");
    assert_eq!(record.replacing, replacing(vec![old(2), old(4)]));
    assert_eq!((record.runs.len(), &record.runs[0].owed), (1, &ranges(10, 30)));
    assert_eq!((record.runs[0].id, record.runs[0].by), (Some(RUN), Pins::to(Revision(2))));
    assert!(removed(&actions).is_empty());
}

#[test]
fn an_answer_about_fewer_offsets_that_comes_again_is_not_taken_for_one_about_all() {
    let mut owner = Owner::of(standing(), ledger([delivered(2, 10, 30), delivered(4, 25, 28)]));
    let first = asked(&owner.is_told([Act::Replace { by: Revision(2), ranges: ranges(12, 14) }])).expect("asked");
    let answer = owner.answer(&first);
    owner.hears(Event::Journaled(Journaled::Done));
    let second = asked(&owner.hears(answer.clone())).expect("asked again");
    let actions = owner.hears(answer);
    assert!(asked(&actions).is_none() && written(&actions).is_none(), "the second answer is waited for");
    let answer = owner.answer(&second);
    assert_eq!(outcome(&owner.hears(answer)).map(|replaced| replaced.batches), Ok(2));
}

#[test]
fn what_is_lost_or_removed_or_has_no_row_is_not_there_to_be_replaced() {
    let mut rows = ledger([delivered(1, 0, 10), delivered(2, 0, 10)]);
    rows.push(row(2, LedgerEvent::Removed { run: Revision(2) }));
    rows.extend([decided(3, 0, 10), row(3, LedgerEvent::Lost { spent: BTreeMap::new() })]);
    let letters = decided(4, 0, 20);
    let LedgerEvent::Decided { covers, version, run, rejected, rows_hash, .. } = letters.event else {
        unreachable!("it is decided")
    };
    let receipt = Bytes::new();
    rows.push(row(4, LedgerEvent::Decided { covers, version, run, rows: 0, rejected, rows_hash, receipt }));
    let mut owner = Owner::of(standing(), rows);
    let (actions, _) = owner.replaces(0, 10);
    assert_eq!(outcome(&actions), Ok(Replaced { offsets: 10, widened: 0, batches: 1 }));
    assert_eq!(written(&actions).expect("it is decided").0.replacing, replacing(vec![old(1)]));
}

#[test]
fn where_nobody_knows_what_is_there_or_it_cannot_be_removed_nothing_is_sent() {
    let mut without_receipt = decided(1, 0, 10);
    if let LedgerEvent::Decided { receipt, .. } = &mut without_receipt.event {
        *receipt = Bytes::new();
    }
    let many = |count: u32| ledger((0..count).map(|seq| delivered(seq, 0, 10)));
    let mut older = ledger([delivered(1, 0, 10)]);
    older[1].batch.incarnation = Incarnation(4);
    let mut large = many(9);
    for row in &mut large {
        if let LedgerEvent::Decided { receipt, .. } = &mut row.event {
            *receipt = Bytes::from(vec![7; 16 << 10]);
        }
    }
    let cases = [
        (delivered(1, 0, 10).to_vec(), "ledger-incomplete"),
        (older, "ledger-mixed"),
        (vec![began(), without_receipt, row(1, LedgerEvent::Revealed)], "no-receipt"),
        (vec![began(), decided(1, 0, 10), row(1, LedgerEvent::Abandoned)], "unproven"),
        (many(1_001), "too-many-batches"),
        (large, "too-many-batches"),
        (ledger([delivered(1, 0, 90)]), "unsettled"),
    ];
    for (rows, code) in cases {
        let mut owner = Owner::of(standing(), rows);
        let (actions, _) = owner.replaces(0, 10);
        assert_eq!(outcome(&actions).expect_err(code).code, code);
        let (record, _) = written(&actions).expect("the mark moves");
        assert!(record.runs.is_empty() && record.replacing.is_none());
    }
}

#[test]
fn what_is_owed_or_replaced_already_is_refused_and_what_is_to_come_is_left_to_come() {
    let owed = LaneRecord { owed: ranges(5, 8), ..standing() };
    let (actions, _) = Owner::of(owed, ledger([])).replaces(0, 10);
    assert_eq!(outcome(&actions).expect_err("it comes by itself").code, "unsettled");
    let under_way = LaneRecord { replacing: replacing(vec![old(1)]), ..standing() };
    let (actions, _) = Owner::of(under_way, ledger([])).replaces(0, 10);
    assert_eq!(outcome(&actions).expect_err("one at a time").code, "replace-under-way");
    let (actions, all) = Owner::of(standing(), ledger([delivered(1, 70, 80)])).replaces(70, 200);
    assert_eq!((all, outcome(&actions).map(|replaced| replaced.offsets)), (vec![ranges(70, 80)], Ok(10)));
}

#[test]
fn a_batch_that_begins_below_the_floor_is_left_to_come_as_a_whole() {
    let mut owner = Owner::of(LaneRecord::default(), ledger([]));
    let flush = FlushLimits { rows_max: 2, ..FlushLimits::default() };
    let track = Track { feed: FEED, partition: PARTITION };
    let fetched = |start, next, first| {
        let taken = vec![Taken { lane: LANE, version: Revision(1), first: Offset(first), rows: 1, bytes: 1, flush }];
        Event::Fetched { track, range: range(start, next), taken }
    };
    owner.hears(fetched(60, 75, 70));
    owner.now_ms = 10_000;
    owner.hears(Event::Tick);
    // Sealed while the floor above it is being written.
    let actions = owner.hears(fetched(75, 80, 79));
    let sealed = actions.iter().find_map(|action| match action {
        Action::Prepare(spec) => Some(spec.covers.clone()),
        _ => None,
    });
    assert_eq!(sealed, Some(BTreeMap::from([(PARTITION, range(60, 80))])));
    owner.hears(Event::Journaled(Journaled::Done));
    assert_eq!(owner.engine.floors().next(), Some((track, Offset(70))), "the floor has passed where the batch begins");
    let (actions, all) = owner.replaces(50, 70);
    assert_eq!(all, [ranges(50, 60)], "should the lane fall behind, it owes the batch from its beginning on");
    assert_eq!(outcome(&actions).map(|replaced| replaced.offsets), Ok(10));
}

fn of_run(seq: u32) -> Pending {
    Pending {
        id: batch(seq),
        token: Bytes::from_static(b"token"),
        covers: BTreeMap::from([(PARTITION, range(0, 10))]),
        version: Revision(2),
        run: Some(RUN),
        by: Pins::to(Revision(2)),
        rejected: BTreeMap::new(),
        rows: 1,
        rows_hash: 0,
    }
}

#[test]
fn nothing_is_removed_before_the_journal_knows_that_all_of_the_run_is_visible() {
    let run = Run { id: Some(RUN), by: Pins::to(Revision(2)), owed: ranges(0, 10), spent: BTreeMap::new() };
    let all = replacing(vec![old(1)]);
    let owing = Owner::of(LaneRecord { runs: vec![run], replacing: all.clone(), ..standing() }, Vec::new());
    assert!(removed(&owing.first).is_empty());
    let record = LaneRecord { pending: Some(of_run(7)), replacing: all, ..standing() };
    let mut owner = Owner::of(record, Vec::new());
    assert!(removed(&owner.first).is_empty());
    let actions = owner.hears(Event::Revealed { batch: batch(7), outcome: Revealed::Committed });
    assert!(removed(&actions).is_empty() && written(&actions).is_some(), "visible, and not yet journaled");
    assert_eq!(removed(&owner.hears(Event::Journaled(Journaled::Done))), [old(1)]);
}

#[test]
fn each_removal_is_in_the_ledger_and_a_new_owner_goes_on_with_the_rest() {
    let mut owner = Owner::of(LaneRecord { replacing: replacing(vec![old(1), old(2)]), ..standing() }, Vec::new());
    assert_eq!(removed(&owner.first), [old(1), old(2)]);
    let actions = owner.hears(Event::Removed { batch: batch(1) });
    let (record, rows) = written(&actions).expect("it is written");
    assert_eq!(
        (record.replacing.clone(), rows),
        (replacing(vec![old(2)]), vec![row(1, LedgerEvent::Removed { run: RUN })])
    );
    let mut heir = Owner::of(record, Vec::new());
    assert_eq!(removed(&heir.first), [old(2)]);
    let (record, _) = written(&heir.hears(Event::Removed { batch: batch(2) })).expect("it is written");
    assert_eq!(record.replacing, None);
    let echo = owner.hears(Event::Removed { batch: batch(1) });
    assert!(written(&echo).is_none(), "once");
}

#[test]
fn only_so_many_are_removed_at_a_time_and_none_of_a_paused_lane() {
    let all: Vec<Delivered> = (1..=9).map(old).collect();
    let mut owner = Owner::of(LaneRecord { replacing: replacing(all.clone()), ..standing() }, Vec::new());
    assert_eq!(removed(&owner.first), all[..4]);
    assert_eq!(removed(&owner.hears(Event::Removed { batch: batch(2) })), all[4..5]);
    owner.hears(Event::Journaled(Journaled::Done));
    owner.is_told([Act::Pause]);
    assert!(removed(&owner.hears(Event::Removed { batch: batch(1) })).is_empty());
}

#[test]
fn who_skips_or_abandons_the_new_keeps_the_old() {
    for act in [Act::Skip, Act::Abandon] {
        let record = LaneRecord { pending: Some(of_run(7)), replacing: replacing(vec![old(1)]), ..standing() };
        let mut owner = Owner::of(record, Vec::new());
        let actions = owner.is_told([act.clone()]);
        assert_eq!(written(&actions).expect("it is obeyed").0.replacing, None, "{act:?}");
        owner.hears(Event::Journaled(Journaled::Done));
        assert!(removed(&owner.hears(Event::Tick)).is_empty());
        assert!(!owner.engine.is_removing(batch(1)));
    }
}

#[test]
fn a_batch_of_the_offsets_is_waited_for_and_one_that_hangs_is_not() {
    let waiting = || LaneRecord { pending: Some(Pending { run: None, ..of_run(7) }), ..standing() };
    let mut owner = Owner::of(waiting(), ledger([delivered(1, 0, 10)]));
    let act = || Act::Replace { by: Revision(2), ranges: ranges(0, 10) };
    let actions = owner.is_told([act()]);
    assert!(asked(&actions).is_none());
    owner.hears(Event::Journaled(Journaled::Done));
    let actions = owner.hears(Event::Revealed { batch: batch(7), outcome: Revealed::Committed });
    assert!(asked(&actions).is_none(), "the ledger does not have it yet");
    let actions = owner.hears(Event::Journaled(Journaled::Done));
    assert!(asked(&actions).or_else(|| asked(&owner.hears(Event::Tick))).is_some());
    let mut owner = Owner::of(waiting(), ledger([delivered(1, 0, 10)]));
    owner.now_ms = Settings::new(Shard(0)).slow_reveal_ms;
    assert_eq!(outcome(&owner.is_told([act()])).expect_err("others wait behind it").code, "unsettled");
}

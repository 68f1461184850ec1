//! P32: a repair sends what the ledger shows missing, and nothing that is delivered, owed, under way or unproven.

use outflow_api::{
    Applied, BatchId, FeedId, Generation, Incarnation, LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset, OffsetRange,
    Pins, Ranges, Recovered, Revision, Run, Shard, TopicId, TopicPartition, Track,
};
use outflow_engine::{Account, Act, Action, Command, Engine, Event, Journaled, Publication, Reason, Settings};
use std::collections::BTreeMap;

const PARTITION: TopicPartition = TopicPartition { topic: TopicId(7), partition: 0 };
const FEED: FeedId = FeedId(0);
const LANE: LaneId = LaneId(1);
const OWN: Incarnation = Incarnation(5);

fn range(start: i64, next: i64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(next))
}

fn ranges(all: &[(i64, i64)]) -> BTreeMap<TopicPartition, Ranges> {
    let mut ranges = Ranges::default();
    all.iter().for_each(|(start, next)| ranges.insert(range(*start, *next)));
    if all.is_empty() { BTreeMap::new() } else { BTreeMap::from([(PARTITION, ranges)]) }
}

fn row(incarnation: Incarnation, lane: LaneId, seq: u32, event: LedgerEvent) -> LedgerRow {
    LedgerRow { batch: BatchId { incarnation, shard: Shard(0), generation: Generation(1), lane, seq }, event }
}

fn decided(run: Option<u64>, start: i64, next: i64) -> LedgerEvent {
    let (covers, version, run) = (BTreeMap::from([(PARTITION, range(start, next))]), Revision(1), run.map(Revision));
    let receipt = Default::default();
    LedgerEvent::Decided { covers, version, run, rows: 1, rejected: 0, rows_hash: 0, receipt }
}

fn skipped(run: Option<u64>, start: i64, next: i64) -> LedgerEvent {
    LedgerEvent::Skipped { run: run.map(Revision), covers: BTreeMap::from([(PARTITION, range(start, next))]) }
}

fn lost(spent: &[i64]) -> LedgerEvent {
    let spent = spent.iter().map(|offset| Offset(*offset)).collect();
    LedgerEvent::Lost { spent: BTreeMap::from([(PARTITION, spent)]) }
}

fn began() -> LedgerRow {
    row(OWN, LaneId(0), 0, LedgerEvent::Began)
}

/// What is missing of [0, 100), by a ledger of these events, each with its batch's number.
fn missing(events: impl IntoIterator<Item = (u32, LedgerEvent)>) -> BTreeMap<TopicPartition, Ranges> {
    let mut account = Account::new(LANE, ranges(&[(0, 100)]));
    account.see(&began());
    events.into_iter().for_each(|(seq, event)| account.see(&row(OWN, LANE, seq, event)));
    account.missing().expect("the ledger is whole")
}

#[test]
fn what_the_live_stream_passed_is_missing_only_where_it_was_skipped() {
    let revealed = LedgerEvent::Revealed;
    let live = [(1, decided(None, 20, 30)), (1, revealed.clone()), (2, decided(None, 70, 100)), (2, revealed)];
    assert_eq!(missing(live.clone()), ranges(&[(0, 20)]), "what came before it was never its own");
    assert_eq!(missing(live.into_iter().chain([(3, skipped(None, 40, 50))])), ranges(&[(0, 20), (40, 50)]));
}

#[test]
fn whatever_run_delivered_it_it_is_delivered() {
    let skip = || [(1, decided(None, 0, 10)), (1, LedgerEvent::Revealed), (2, skipped(None, 10, 50))];
    let by = |run| [(3, decided(run, 20, 30)), (3, LedgerEvent::Revealed)];
    for run in [Some(4), None] {
        assert_eq!(missing(skip().into_iter().chain(by(run))), ranges(&[(10, 20), (30, 50)]));
    }
    // A replay that was skipped takes nothing away from what was there.
    assert_eq!(
        missing([(1, decided(None, 0, 100)), (1, LedgerEvent::Revealed), (2, skipped(Some(9), 0, 100))]),
        ranges(&[])
    );
}

#[test]
fn without_proof_that_it_never_comes_nothing_is_missing() {
    let before = || [(1, skipped(None, 0, 50)), (2, decided(Some(4), 0, 50))];
    assert_eq!(missing(before()), ranges(&[]), "no outcome yet");
    assert_eq!(missing(before().into_iter().chain([(2, LedgerEvent::Abandoned)])), ranges(&[]));
    assert_eq!(missing(before().into_iter().chain([(2, lost(&[7]))])), ranges(&[(0, 7), (8, 50)]), "letters are out");
}

#[test]
fn a_dead_letter_is_missing_unless_more_batches_took_its_row_than_there_are_letters() {
    let of_letters = |letters, events: &[(u32, LedgerEvent)]| {
        let mut account = Account::of_letters(LANE, ranges(&[(3, 4), (7, 9)]), letters);
        account.see(&began());
        events.iter().for_each(|(seq, event)| account.see(&row(OWN, LANE, *seq, event.clone())));
        account.missing().expect("the ledger is whole")
    };
    let revealed = LedgerEvent::Revealed;
    let live = [(1, decided(None, 0, 10)), (1, revealed.clone())];
    assert_eq!(of_letters(1, &live), ranges(&[(3, 4), (7, 9)]), "the batch left them out");
    let sent = [&live[..], &[(2, decided(Some(4), 7, 8))]].concat();
    assert_eq!(of_letters(1, &sent), ranges(&[(3, 4), (8, 9)]), "it may be there");
    let sent = [&sent[..], &[(2, revealed)]].concat();
    assert_eq!(of_letters(1, &sent), ranges(&[(3, 4), (8, 9)]), "it is there");
    assert_eq!(of_letters(2, &sent), ranges(&[(3, 4), (7, 9)]), "it was refused once more");
    let gone = [(1, decided(None, 0, 10)), (1, lost(&[3])), (2, decided(None, 0, 10)), (2, LedgerEvent::Revealed)];
    assert_eq!(of_letters(1, &gone), ranges(&[(3, 4), (7, 9)]), "its letter is out, and who read it again made none");
}

#[test]
fn a_ledger_that_may_have_lost_something_answers_nothing() {
    let code = |rows: &[LedgerRow]| {
        let mut account = Account::new(LANE, ranges(&[(0, 100)]));
        rows.iter().for_each(|row| account.see(row));
        account.missing().map_err(|reason| reason.code)
    };
    let own = row(OWN, LANE, 1, decided(None, 0, 10));
    let older = |start| row(Incarnation(4), LANE, 1, decided(None, start, start + 10));
    assert_eq!(code(&[]), Err("ledger-incomplete".to_owned()));
    assert_eq!(code(std::slice::from_ref(&own)), Err("ledger-incomplete".to_owned()));
    assert_eq!(code(&[older(20), began(), own.clone()]), Err("ledger-mixed".to_owned()));
    assert_eq!(code(&[older(100), began(), own]), Ok(ranges(&[])), "an older journal elsewhere disturbs nobody");
}

struct Owner {
    engine: Engine,
    now_ms: u64,
}

impl Owner {
    fn of(floor: i64, record: LaneRecord) -> Owner {
        let recovered = Recovered {
            incarnation: OWN,
            generation: Generation(9),
            floors: BTreeMap::from([(Track { feed: FEED, partition: PARTITION }, Offset(floor))]),
            lanes: BTreeMap::from([(LANE, record)]),
            revisions: Vec::new(),
            applied: Applied::default(),
            bytes_read: 0,
        };
        let engine = Engine::recover(Settings::new(Shard(0)), recovered, &BTreeMap::new(), 0, &mut Vec::new());
        Owner { engine, now_ms: 0 }
    }

    fn hears(&mut self, event: Event) -> Vec<Action> {
        self.now_ms += 100;
        let mut actions = Vec::new();
        self.engine.handle(self.now_ms, event, &mut actions);
        actions
    }

    fn is_told(&mut self, acts: impl IntoIterator<Item = Act>) -> Vec<Action> {
        let commands = acts.into_iter().map(|act| Command { lane: LANE, feed: FEED, act }).collect();
        let (revision, feeds) = (Revision(3), BTreeMap::new());
        self.hears(Event::Published(Publication { revision, defines: false, feeds, commands }))
    }

    /// The mark of the revision itself is written meanwhile.
    fn asks(&mut self, acts: impl IntoIterator<Item = Act>) -> Action {
        let question = asked(&self.is_told(acts)).expect("the ledger is asked");
        self.hears(Event::Journaled(Journaled::Done));
        question
    }

    fn hears_of_ledger(&mut self, asked: &Action, rows: &[LedgerRow]) -> Vec<Action> {
        let Action::ReadLedger { command, lane, ranges, letters } = asked else { panic!("{asked:?}") };
        let mut account = Account::of_letters(*lane, ranges.clone(), *letters);
        rows.iter().for_each(|row| account.see(row));
        self.hears(Event::LedgerRead { command: *command, account: Ok(account) })
    }
}

fn repair(start: i64, next: i64) -> Act {
    Act::Repair { by: Revision(2), ranges: ranges(&[(start, next)]), letters: 0 }
}

fn asked(actions: &[Action]) -> Option<Action> {
    actions.iter().find(|action| matches!(action, Action::ReadLedger { .. })).cloned()
}

fn written(actions: &[Action]) -> Option<(LaneRecord, Option<Applied>)> {
    actions.iter().find_map(|action| match action {
        Action::Append(decision) => {
            let lane = decision.transaction.lanes.iter().find(|(lane, _)| *lane == LANE)?;
            Some((lane.1.clone().unwrap_or_default(), decision.transaction.applied))
        }
        _ => None,
    })
}

fn outcome(actions: &[Action]) -> Option<Result<u64, Reason>> {
    actions.iter().find_map(|action| match action {
        Action::Repaired { outcome, .. } => Some(outcome.clone()),
        _ => None,
    })
}

fn standing(next: i64) -> LaneRecord {
    LaneRecord { next: BTreeMap::from([(PARTITION, Offset(next))]), ..LaneRecord::default() }
}

const MARK: Applied = Applied { revision: Revision(3), commands: 1 };

#[test]
fn only_what_can_no_longer_change_by_itself_is_asked_for() {
    let run =
        Run { id: Some(Revision(2)), by: Pins::to(Revision(2)), owed: ranges(&[(30, 40)]), spent: BTreeMap::new() };
    let owed = ranges(&[(10, 20)]);
    let mut owner = Owner::of(60, LaneRecord { owed, runs: vec![run], ..standing(80) });
    let actions = owner.is_told([repair(0, 200)]);
    let Some(Action::ReadLedger { ranges: found, .. }) = asked(&actions) else { panic!("{actions:?}") };
    assert_eq!(found, ranges(&[(0, 10), (20, 30), (40, 80)]), "behind `next` the live stream comes");
    assert_eq!(written(&actions), None, "the mark waits");
}

#[test]
fn the_run_shares_the_transaction_that_moves_the_mark() {
    let mut owner = Owner::of(60, standing(80));
    let question = owner.asks([repair(0, 50), Act::Pause]);
    assert!(asked(&owner.hears(Event::Tick)).is_none(), "once");
    let actions = owner.hears_of_ledger(&question, &[began(), row(OWN, LANE, 3, skipped(None, 20, 40))]);
    let (record, applied) = written(&actions).expect("it is decided");
    assert_eq!(outcome(&actions), Some(Ok(40)), "before the first live row nothing was passed");
    assert_eq!(record.runs[0].owed, ranges(&[(0, 40)]));
    assert_eq!(
        (record.runs[0].id, record.runs[0].by, applied),
        (Some(Revision(3)), Pins::to(Revision(2)), Some(Applied { commands: 2, ..MARK }))
    );
    assert!(record.parked.is_some(), "what came behind it follows at once");
}

#[test]
fn a_repair_waits_until_the_ledger_has_what_was_commanded_before() {
    let mut owner = Owner::of(60, LaneRecord { owed: ranges(&[(10, 20)]), ..standing(80) });
    let actions = owner.is_told([Act::Skip, repair(0, 50)]);
    assert!(asked(&actions).is_none(), "that these are skipped is being written");
    assert!(written(&actions).is_some());
    let actions = owner.hears(Event::Journaled(Journaled::Done));
    assert!(asked(&actions).or_else(|| asked(&owner.hears(Event::Tick))).is_some());
}

#[test]
fn a_refused_repair_moves_the_mark_and_sends_nothing() {
    for rows in [vec![], vec![row(Incarnation(4), LaneId(0), 0, LedgerEvent::Began)]] {
        let mut owner = Owner::of(60, standing(80));
        let question = owner.asks([repair(0, 50)]);
        let actions = owner.hears_of_ledger(&question, &rows);
        let refused = outcome(&actions).expect("it is told").expect_err("nobody knows");
        assert!(refused.code == "ledger-incomplete" && refused.hint.contains("again"), "{refused:?}");
        let (record, applied) = written(&actions).expect("it is decided");
        assert_eq!((record.runs.len(), applied), (0, Some(MARK)));
    }
}

#[test]
fn what_lies_in_too_many_pieces_is_refused_before_it_outgrows_a_transaction() {
    let mut owner = Owner::of(9_000, standing(9_000));
    let question = owner.asks([repair(0, 9_000)]);
    let skips =
        (0..1_001).map(|piece| row(OWN, LANE, piece, skipped(None, 2 * i64::from(piece), 2 * i64::from(piece) + 1)));
    let rows: Vec<LedgerRow> = [began()].into_iter().chain(skips).collect();
    let actions = owner.hears_of_ledger(&question, &rows);
    assert_eq!(outcome(&actions).expect("it is told").expect_err("too many").code, "too-many-pieces");
}

//! Accidents that the simulation found, each as the few events that led to it.

use bytes::Bytes;
use outflow_api::{
    Applied, BatchId, FeedId, Generation, Incarnation, LaneId, LaneRecord, Offset, OffsetRange, Parked, Pending, Pins,
    Ranges, Recovered, Revision, Shard, TopicId, TopicPartition, Track,
};
use outflow_engine::{
    Act, Action, Command, DebtRead, Decision, Engine, Event, FlushLimits, Journaled, PreparedBatch, Publication,
    Reason, Revealed, Settings, Taken,
};
use std::collections::BTreeMap;

const PARTITION: TopicPartition = TopicPartition { topic: TopicId(7), partition: 0 };
const FEED: FeedId = FeedId(0);
const TRACK: Track = Track { feed: FEED, partition: PARTITION };
const LANE: LaneId = LaneId(1);
const FLUSH: FlushLimits = FlushLimits { rows_max: 2, bytes_max: u64::MAX, age_ms_max: 1_000 };

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
            floors: if lane.is_some() { BTreeMap::from([(TRACK, Offset(floor))]) } else { BTreeMap::new() },
            lanes: lane.into_iter().map(|record| (LANE, record)).collect(),
            revisions: Vec::new(),
            applied: Applied::default(),
            bytes_read: 0,
        };
        let settings = Settings::new(Shard(0));
        let mut first = Vec::new();
        let starts = BTreeMap::from([(TRACK, Offset::ZERO)]);
        let engine = Engine::recover(settings, recovered, &starts, 0, &mut first);
        Owner { engine, now_ms: 0, first }
    }

    fn recovers(settings: Settings, lanes: BTreeMap<LaneId, LaneRecord>, floors: BTreeMap<Track, Offset>) -> Owner {
        let recovered = Recovered {
            incarnation: Incarnation(5),
            generation: Generation(9),
            floors,
            lanes,
            revisions: Vec::new(),
            applied: Applied::default(),
            bytes_read: 0,
        };
        let mut first = Vec::new();
        let engine = Engine::recover(settings, recovered, &BTreeMap::new(), 0, &mut first);
        Owner { engine, now_ms: 0, first }
    }

    /// Everything that it does on hearing of these commands.
    fn is_told(&mut self, revision: u64, acts: impl IntoIterator<Item = Act>) -> Vec<Action> {
        let commands = acts.into_iter().map(|act| Command { lane: LANE, feed: FEED, act }).collect();
        let (revision, feeds) = (Revision(revision), BTreeMap::new());
        self.hears(Event::Published(Publication { revision, defines: true, feeds, commands }))
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
        let taken = vec![Taken { lane: LANE, version, first, rows, bytes: rows, flush: FLUSH }];
        self.hears(Event::Fetched { track: TRACK, range: range(start, next), taken })
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
        receipt: Bytes::new(),
        covers: BTreeMap::from([(PARTITION, covers)]),
        rows: (covers.next.0 - covers.start.0) as u64 - rejected.len() as u64,
        rejected: if rejected.is_empty() { BTreeMap::new() } else { BTreeMap::from([(PARTITION, rejected)]) },
        rows_hash: 1,
        letter_bytes: 1,
        rest: Vec::new(),
        reject_percent_max: 10,
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

fn record_of(actions: &[Action]) -> Option<LaneRecord> {
    decision(actions).transaction.lanes[0].1.clone()
}

fn record(actions: &[Action]) -> LaneRecord {
    record_of(actions).expect("no tombstone")
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
        run: None,
        by: Pins::OWN_OFFSETS,
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
    owner.hears(Event::Fetched { track: TRACK, range: range(0, 6), taken: Vec::new() });
    let actions = owner.hears(Event::RevealStalled { batch, reason: reason() });
    assert_eq!(record(&actions).owed[&PARTITION].as_slice(), [OffsetRange::new(Offset(2), Offset::OPEN)]);
}

#[test]
fn the_first_transaction_names_every_partition_so_that_none_is_taken_for_new() {
    let mut owner = Owner::of(0, None);
    owner.fetches(0, 2);
    let actions = owner.hears(prepared(1, range(0, 2), &[]));
    assert_eq!(decision(&actions).transaction.floors, BTreeMap::from([(TRACK, Offset(2))]));
    let mut idle = Owner::of(0, None);
    idle.now_ms = 2_000;
    let actions = idle.hears(Event::Tick);
    assert_eq!(decision(&actions).transaction.floors, BTreeMap::from([(TRACK, Offset(0))]));
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
fn a_batch_of_which_rows_are_refused_is_owed_and_the_live_stream_goes_on_behind_it() {
    let mut owner = Owner::of(0, None);
    owner.fetches(0, 2);
    let refused = Event::RowsRefused { batch: id(1) };
    let actions = owner.hears(refused.clone());
    let lane = record(&actions);
    assert_eq!(lane.owed[&PARTITION].as_slice(), [range(0, 2)]);
    assert_eq!((lane.next[&PARTITION], lane.parked), (Offset(2), None));
    assert_eq!(debt_read(&actions), (range(0, 2), Pins::OWN_OFFSETS));
    assert!(owner.hears(refused).is_empty(), "an answer that comes twice gives nothing up");
    let late = owner.hears(prepared(1, range(0, 2), &[]));
    assert!(matches!(late[..], [Action::Abort { .. }]), "an id stands for its rows: {late:?}");
    assert_eq!(owner.engine.wanted(LANE, PARTITION, range(0, 4)).as_slice(), [range(2, 4)]);
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
    let covers = range(0, 2);
    let batch = asked.expect("debt is read at once");
    owner.hears(Event::DebtRead(DebtRead { batch, version: Revision(1), covers, rows: 2 }));
    let actions = owner.hears(prepared(2, range(0, 2), &[0, 1]));
    let letters = &decision(&actions).letters[0];
    assert_eq!(letters.rows, BTreeMap::from([(PARTITION, vec![Offset(1)])]));
    let actions = owner.hears(Event::Journaled(Journaled::Refused(reason())));
    assert_eq!(record(&actions).spent, spent);
}

fn replay(by: u64, start: i64, next: i64) -> Act {
    Act::Replay { by: Revision(by), ranges: BTreeMap::from([(PARTITION, Ranges::of(range(start, next)))]) }
}

fn paused() -> LaneRecord {
    let parked = Some(Parked { code: "paused".into(), hint: String::new(), held: true });
    LaneRecord { parked, ..standing(20, Some(OffsetRange::new(Offset(20), Offset::OPEN))) }
}

#[test]
fn two_runs_of_one_entry_do_not_overwrite_one_another() {
    let mut owner = Owner::of(20, Some(standing(20, None)));
    let record = record(&owner.is_told(3, [replay(1, 0, 5), replay(2, 3, 9)]));
    let runs: Vec<_> = record.runs.iter().map(|run| (run.id, run.by, run.owed[&PARTITION].as_slice())).collect();
    let id = Some(Revision(3));
    let by = |revision| Pins::to(Revision(revision));
    assert_eq!(runs, [(id, by(1), &[range(0, 5)][..]), (id, by(2), &[range(3, 9)][..])]);
}

#[test]
fn a_paused_lane_that_skips_what_it_owes_stays_paused_and_owes_what_comes() {
    let mut owner = Owner::of(20, Some(standing(20, Some(range(0, 9)))));
    let record = record(&owner.is_told(3, [Act::Pause, Act::Skip]));
    assert!(record.parked.is_some_and(|parked| parked.held));
    assert_eq!(record.owed[&PARTITION].as_slice(), [OffsetRange::new(Offset(20), Offset::OPEN)]);
}

#[test]
fn a_partition_that_came_while_a_lane_was_paused_is_owed() {
    let other = TopicPartition { partition: 1, ..PARTITION };
    let floors = BTreeMap::from([(TRACK, Offset(20)), (Track { partition: other, ..TRACK }, Offset::ZERO)]);
    // The last owner wrote the new floor, and did not come to write the lane.
    let mut owner = Owner::recovers(Settings::new(Shard(0)), BTreeMap::from([(LANE, paused())]), floors);
    let record = record(&owner.hears(Event::Tick));
    assert_eq!(record.owed[&other].as_slice(), [OffsetRange::new(Offset::ZERO, Offset::OPEN)]);
}

#[test]
fn a_lane_that_is_paused_before_there_is_any_partition_owes_the_first_one() {
    let lane = LaneRecord { owed: BTreeMap::new(), next: BTreeMap::new(), ..paused() };
    let mut owner = Owner::recovers(Settings::new(Shard(0)), BTreeMap::from([(LANE, lane)]), BTreeMap::new());
    let record = record(&owner.hears(Event::TracksAdded(BTreeMap::from([(TRACK, Offset::ZERO)]))));
    assert_eq!(record.owed[&PARTITION].as_slice(), [OffsetRange::new(Offset::ZERO, Offset::OPEN)]);
}

#[test]
fn a_replay_ends_where_the_lane_has_been_not_where_a_reader_was_set_back_to() {
    let mut owner = Owner::of(10, Some(standing(15, None)));
    let record = record(&owner.is_told(3, [replay(1, 0, 20)]));
    assert_eq!(record.runs[0].owed[&PARTITION].as_slice(), [range(0, 15)]);
}

fn debt_read(actions: &[Action]) -> (OffsetRange, Pins) {
    let asked = actions.iter().find_map(|action| match action {
        Action::ReadDebt { range, by, .. } => Some((*range, *by)),
        _ => None,
    });
    asked.expect("what is owed is read")
}

#[test]
fn what_is_mended_changes_its_shape_and_stays_whose_it_is() {
    let mut owner = Owner::of(20, Some(LaneRecord { parked: paused().parked, ..standing(20, Some(range(0, 9))) }));
    owner.is_told(2, [replay(1, 3, 5)]);
    owner.hears(Event::Journaled(Journaled::Done));
    let actions = owner.is_told(3, [Act::Mend]);
    let mended = record(&actions);
    let runs: Vec<_> = mended.runs.iter().map(|run| (run.id, run.by)).collect();
    let newest = Revision(3);
    let own = Pins::OWN_OFFSETS.reshaped(newest);
    assert_eq!(runs, [(None, own), (Some(Revision(2)), Pins::to(Revision(1)).reshaped(newest))]);
    assert!(mended.owed.is_empty() && mended.parked.is_none());
    assert!(mended.owes(PARTITION, Offset(8)) && !mended.owes(PARTITION, Offset(9)));
    let actions = owner.hears(Event::Journaled(Journaled::Done));
    assert_eq!(debt_read(&actions), (range(0, 9), own), "what is owed of the live stream comes first");
}

#[test]
fn what_is_mended_twice_is_one_debt() {
    let mut owner = Owner::of(20, Some(standing(20, Some(range(0, 9)))));
    owner.is_told(3, [Act::Mend]);
    owner.hears(Event::Journaled(Journaled::Done));
    let mended = record(&owner.is_told(4, [Act::Mend]));
    let runs: Vec<_> = mended.runs.iter().map(|run| (run.id, run.by, run.owed[&PARTITION].as_slice())).collect();
    assert_eq!(runs, [(None, Pins::OWN_OFFSETS.reshaped(Revision(4)), &[range(0, 9)][..])]);
}

#[test]
fn definitions_that_a_run_is_read_by_are_needed() {
    let mut owner = Owner::of(20, Some(standing(20, None)));
    owner.is_told(3, [replay(1, 0, 5)]);
    assert_eq!(owner.engine.oldest_revision(), Some(Revision(1)));
}

#[test]
fn a_retired_feed_goes_with_a_lane_that_has_been_ahead_of_its_reader() {
    let mut owner = Owner::of(10, Some(standing(15, None)));
    let actions = owner.hears(Event::FeedRetired(FEED));
    assert!(actions.is_empty(), "a floor alone waits");
    owner.now_ms = 2_000;
    let actions = owner.hears(Event::Tick);
    let transaction = &decision(&actions).transaction;
    assert_eq!((&transaction.lanes[..], transaction.floors[&TRACK]), (&[(LANE, None)][..], Offset(15)));
    owner.hears(Event::Journaled(Journaled::Done));
    assert_eq!(owner.engine.tracks().count(), 0);
}

#[test]
fn a_feed_that_is_retired_while_its_floor_is_being_written_waits_for_the_answer() {
    let mut owner = Owner::of(0, None);
    owner.now_ms = 2_000;
    assert!(!owner.hears(Event::Tick).is_empty());
    owner.hears(Event::FeedRetired(FEED));
    assert_eq!(owner.engine.tracks().count(), 1);
    owner.hears(Event::Journaled(Journaled::Done));
    assert_eq!(owner.engine.tracks().count(), 0);
}

#[test]
fn what_a_retired_feed_holds_is_sealed_at_once() {
    let mut owner = Owner::of(0, None);
    assert!(owner.fetches(0, 1).is_empty());
    assert!(matches!(owner.hears(Event::FeedRetired(FEED))[0], Action::Prepare(_)));
}

#[test]
fn what_is_cut_off_a_batch_is_sealed_as_soon_as_the_slot_is_free() {
    let mut owner = Owner::of(0, None);
    owner.fetches(0, 2);
    let Event::Prepared(mut cut) = prepared(1, range(0, 1), &[]) else { unreachable!() };
    cut.rest = vec![(
        PARTITION,
        Taken { lane: LANE, version: Revision(1), first: Offset(1), rows: 1, bytes: 1, flush: FLUSH },
    )];
    owner.hears(Event::Prepared(cut));
    let actions = owner.hears(Event::Journaled(Journaled::Done));
    assert!(actions.iter().any(|action| matches!(action, Action::Prepare(_))), "{actions:?}");
}

#[test]
fn commands_wait_for_a_transaction_that_has_room() {
    let settings = Settings { bytes_per_decision_max: 1, ..Settings::new(Shard(0)) };
    let mut owner = Owner::recovers(settings, BTreeMap::new(), BTreeMap::from([(TRACK, Offset(20))]));
    let command = |lane| Command { lane: LaneId(lane), feed: FEED, act: Act::Pause };
    let commands = (1..=3).map(command).collect();
    let publication = Publication { revision: Revision(1), commands, ..Publication::default() };
    let actions = owner.hears(Event::Published(publication));
    let transaction = &decision(&actions).transaction;
    assert_eq!(transaction.applied, Some(Applied { revision: Revision(1), commands: 1 }));
    assert_eq!(transaction.lanes.len(), 1);
}

#[test]
fn an_answer_that_comes_twice_aborts_no_batch_whose_end_is_not_yet_journaled() {
    let mut owner = Owner::of(0, None);
    owner.fetches(0, 2);
    owner.hears(prepared(1, range(0, 2), &[]));
    owner.hears(Event::Journaled(Journaled::Done));
    let abandoned = record_of(&owner.is_told(1, [Act::Abandon]));
    assert!(abandoned.is_none_or(|record| record.pending.is_none()));
    assert!(owner.hears(prepared(1, range(0, 2), &[])).is_empty());
}

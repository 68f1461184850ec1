//! Fifty thousand lanes in one shard: an event costs what it is about, and a lane that is idle costs nothing.

use bytes::Bytes;
use outflow_api::{
    Applied, BatchId, FeedId, Generation, Incarnation, LaneId, LaneRecord, Offset, OffsetRange, Parked, Ranges,
    Recovered, Revision, RevisionRecord, Shard, TopicId, TopicPartition, Track,
};
use outflow_engine::{
    Action, BatchSpec, Decision, Engine, Event, FlushLimits, Journaled, PreparedBatch, Revealed, Settings, Taken,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const LANES: u32 = 50_000;
const LANES_OF_BLOCK: u32 = 1_000;
const PARTITION: TopicPartition = TopicPartition { topic: TopicId(7), partition: 0 };
const TRACK: Track = Track { feed: FeedId(0), partition: PARTITION };
/// Far above what a slow and busy machine needs, far below what looking at every lane would take.
const ONE_LANE_MAX: Duration = Duration::from_micros(500);

struct Shop {
    engine: Engine,
    now_ms: u64,
}

impl Shop {
    fn open() -> Shop {
        Shop::recovered(Offset::ZERO, BTreeMap::new(), Vec::new())
    }

    fn recovered(floor: Offset, lanes: BTreeMap<LaneId, LaneRecord>, revisions: Vec<RevisionRecord>) -> Shop {
        let recovered = Recovered {
            incarnation: Incarnation(5),
            generation: Generation(9),
            floors: BTreeMap::from([(TRACK, floor)]),
            lanes,
            revisions,
            applied: Applied::default(),
            bytes_read: 0,
        };
        let mut out = Vec::new();
        let engine = Engine::recover(Settings::new(Shard(0)), recovered, &BTreeMap::new(), 0, &mut out);
        Shop { engine, now_ms: 0 }
    }

    fn hears(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.engine.handle(self.now_ms, event, &mut actions);
        actions
    }

    /// One row for each of a thousand lanes.
    fn fetches(&mut self, block: u32) -> Vec<Action> {
        let start = i64::from(block * LANES_OF_BLOCK);
        let range = OffsetRange::new(Offset(start), Offset(start + i64::from(LANES_OF_BLOCK)));
        let flush = FlushLimits { rows_max: 100, ..FlushLimits::default() };
        let row = |at: u32| Taken {
            lane: LaneId((block * LANES_OF_BLOCK + at) % LANES),
            version: Revision(1),
            first: Offset(start + i64::from(at)),
            rows: 1,
            bytes: 100,
            flush,
        };
        self.hears(Event::Fetched { track: TRACK, range, taken: (0..LANES_OF_BLOCK).map(row).collect() })
    }
}

fn prepared(spec: BatchSpec) -> Event {
    Event::Prepared(PreparedBatch {
        id: spec.id,
        token: Bytes::from_static(b"token"),
        receipt: Bytes::new(),
        covers: spec.covers,
        rows: 1,
        rejected: BTreeMap::new(),
        rows_hash: 1,
        letter_bytes: 0,
        rest: Vec::new(),
        reject_percent_max: 10,
    })
}

/// Of each action, what the rest of the test needs.
#[derive(Default)]
struct Asked {
    specs: Vec<BatchSpec>,
    reveals: Vec<BatchId>,
    decisions: Vec<Decision>,
}

impl Asked {
    fn note(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Prepare(spec) => self.specs.push(spec),
                Action::Append(decision) => self.decisions.push(decision),
                Action::Reveal { pending, .. } => self.reveals.push(pending.id),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Answers every transaction, as long as there are any.
fn journal(shop: &mut Shop, asked: &mut Asked) -> usize {
    let mut transactions = 0;
    while let Some(decision) = asked.decisions.pop() {
        assert!(decision.transaction.lanes.len() <= 1_000);
        transactions += 1;
        shop.now_ms += 50;
        asked.note(shop.hears(Event::Journaled(Journaled::Done)));
        shop.now_ms += 50;
        asked.note(shop.hears(Event::Tick));
    }
    transactions
}

fn timed<T>(what: &str, events: u32, work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    let each = started.elapsed() / events;
    println!("{what}: {} ns each of {events}", each.as_nanos());
    (done, each)
}

#[test]
fn fifty_thousand_lanes_cost_what_happens_to_them_and_leave_nothing() {
    let mut shop = Shop::open();
    let blocks = LANES / LANES_OF_BLOCK;
    timed("blocks of 1,000 new lanes", blocks, || (0..blocks).for_each(|block| drop(shop.fetches(block))));
    let more = blocks..2 * blocks;
    timed("blocks of 1,000 known lanes", blocks, || more.for_each(|block| drop(shop.fetches(block))));
    assert_eq!(shop.engine.lane_views().count(), LANES as usize);
    let (actions, each) =
        timed("events about one lane", 1_000, || (0..1_000).map(|lane| shop.hears(Event::Resume(LaneId(lane)))).last());
    assert!(actions.is_some_and(|actions| actions.is_empty()) && each < ONE_LANE_MAX, "{each:?} for one lane");

    // Everything is old: one tick seals it all.
    shop.now_ms = 70_000;
    let mut asked = Asked::default();
    timed("a tick that seals", LANES, || asked.note(shop.hears(Event::Tick)));
    assert_eq!(asked.specs.len(), LANES as usize);
    let specs = std::mem::take(&mut asked.specs);
    let (_, each) = timed("prepared batches", LANES, || {
        specs.into_iter().for_each(|spec| asked.note(shop.hears(prepared(spec))));
    });
    assert!(each < ONE_LANE_MAX, "{each:?} for one lane");
    shop.now_ms += 50;
    asked.note(shop.hears(Event::Tick));
    let (transactions, _) = timed("decided lanes", LANES, || journal(&mut shop, &mut asked));
    assert!((50..=60).contains(&transactions), "{transactions} transactions");
    assert_eq!(asked.reveals.len(), LANES as usize);
    let reveals = std::mem::take(&mut asked.reveals);
    let (_, each) = timed("revealed batches", LANES, || {
        for batch in reveals {
            asked.note(shop.hears(Event::Revealed { batch, outcome: Revealed::Committed }));
        }
    });
    assert!(each < ONE_LANE_MAX, "{each:?} for one lane");
    timed("forgotten lanes", LANES, || journal(&mut shop, &mut asked));
    assert_eq!(shop.engine.lane_views().count(), 0, "an idle lane costs nothing");
    assert_eq!(shop.engine.floors().collect::<Vec<_>>(), [(TRACK, Offset(100_000))]);
}

#[test]
fn which_definitions_fifty_thousand_debts_still_need_is_known_without_a_look_at_them() {
    let parked = Parked { code: "paused".into(), hint: String::new(), held: true };
    let owing = |lane: u32| LaneRecord {
        owed: BTreeMap::from([(PARTITION, Ranges::of(OffsetRange::new(Offset(i64::from(lane)), Offset::OPEN)))]),
        parked: Some(parked.clone()),
        ..LaneRecord::default()
    };
    let revision = |number, start| RevisionRecord {
        revision: Revision(number),
        starts: BTreeMap::from([(PARTITION, Offset(start))]),
    };
    // All owe rows of the second, and the first is nobody's any more.
    let lanes = (20..LANES + 20).map(|lane| (LaneId(lane), owing(lane))).collect();
    let mut shop = Shop::recovered(Offset(70_000), lanes, vec![revision(1, 0), revision(2, 10), revision(3, 60_000)]);
    let (floors, mut gone) = (1_000, Vec::new());
    let (_, each) = timed("floors with 50,000 debts", floors, || {
        for _ in 0..floors {
            shop.now_ms += 1_000;
            for action in shop.hears(Event::Tick) {
                let Action::Append(decision) = action else { panic!("{action:?}") };
                gone.extend(decision.transaction.revisions_gone);
                drop(shop.hears(Event::Journaled(Journaled::Done)));
            }
        }
    });
    assert_eq!(gone, [Revision(1)]);
    assert!(each < ONE_LANE_MAX, "{each:?} for each");
}

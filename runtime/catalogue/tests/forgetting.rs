//! P20: what is forgotten is missed by nobody who is past it.

mod fixtures;

use bytes::Bytes;
use outflow_api::{
    Applied, BatchId, ConfigEntry, ConfigRevision, FeedId, Forgotten, Generation, Incarnation, LaneId, LaneRecord,
    Pending, Pin, Pins, Recovered, Revision, RevisionRecord, Run, Shard,
};
use outflow_catalogue::{
    Catalogue, CommandEntry, Draft, Needs, Order, Start, Wanted, WantedConnector, WantedLane, draft,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const MERCHANTS: [&str; 4] = ["1001", "1002", "1003", "1004"];

fn connector(shape: u64, rows: u64) -> WantedConnector {
    let mut wanted = fixtures::connector(json!(shape));
    wanted.entry.flush.rows = rows;
    wanted
}

/// At a place, with a key to it.
fn lane(merchant: &str, (place, key): (u64, u64), schedule: u32) -> WantedLane {
    WantedLane {
        settings: json!({ "key": key }).to_string().into(),
        schedule,
        start: Start::From(BTreeMap::from([("00000000000000000000000000000007/0".into(), 5)])),
        ..fixtures::lane(merchant, &format!("{merchant}'s place {place}"))
    }
}

/// The files of day after day: keys change daily, places and shapes now and then; some go and come back.
fn day(number: u64) -> Wanted {
    let lanes = MERCHANTS.iter().zip(0..).filter(|(_, at)| (number / 4 + at) % 5 != 4 || number < 4);
    let lanes = lanes.map(|(merchant, at)| {
        let schedule = if at == 1 && number > 6 { 3600 } else { 0 };
        lane(merchant, (number / (3 + at), number * (at % 2)), schedule)
    });
    let connectors = if number % 11 == 10 { Vec::new() } else { vec![connector(number / 5, number)] };
    Wanted { connectors, lanes: lanes.collect(), digest: format!("day {number}"), ..Wanted::default() }
}

fn published(days: u64) -> Vec<ConfigRevision> {
    let (mut catalogue, mut all) = (Catalogue::default(), Vec::new());
    for number in 1..=days {
        let Draft::Publish(revision) = draft(&catalogue, &day(number), false) else { continue };
        catalogue.apply(&revision).expect("it follows");
        all.push(revision);
    }
    all
}

fn catalogue(all: &[ConfigRevision]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    all.iter().for_each(|revision| catalogue.apply(revision).expect("it follows"));
    catalogue
}

fn without(all: &[ConfigRevision], forgotten: &Forgotten) -> Vec<ConfigRevision> {
    let gone: BTreeSet<_> = forgotten.entries.iter().cloned().collect();
    let left = all.iter().cloned().map(|ConfigRevision { revision, mut entries }| {
        entries.retain(|ConfigEntry { object, .. }| !gone.contains(&(revision, object.clone())));
        ConfigRevision { revision, entries }
    });
    left.collect()
}

fn past(routed: u64, taken: u64) -> Needs {
    Needs { routed: Revision(routed), taken: Revision(taken) }
}

/// All that may be asked of it by shards with these needs.
fn answers(catalogue: &Catalogue, needs: Needs) -> Vec<String> {
    let mut all = Vec::new();
    for revision in (needs.routed.0..=catalogue.revision().0).map(Revision) {
        let Some(routes) = catalogue.routes("orders") else { continue };
        let change = catalogue.change(revision).filter(|_| revision > needs.taken);
        all.push(format!("{change:?}"));
        // As rows are routed.
        let revision = catalogue.routing(revision);
        let entry = routes.entry(revision);
        all.push(format!("{revision:?}: {entry:?}"));
        for merchant in MERCHANTS {
            for lane in routes.merchant(merchant.as_bytes()) {
                let Some((version, _)) = lane.at(Pin::to(revision)) else { continue };
                let version = version.max(Revision(entry.map_or(0, |entry| entry.version)));
                let definition = catalogue.definition(lane.lane, version);
                assert!(definition.is_some() || entry.is_none(), "{merchant} at {revision:?}: {:?}", lane.lane);
                // Limits of a connector are today's, wherever they stand.
                let definition = definition.map(|one| (one.lane, one.connector.shape, one.connector.topics));
                all.push(format!("{merchant} at {revision:?}: {:?}, {version:?}, {definition:?}", lane.lane));
            }
        }
    }
    all.extend(MERCHANTS.map(|merchant| format!("{merchant}: {:?}", catalogue.merchant(merchant))));
    let feeds: Vec<_> = catalogue.feeds().collect();
    let lanes: Vec<_> = (0..40).map(|lane| (catalogue.lane(LaneId(lane)), catalogue.is_gone(LaneId(lane)))).collect();
    all.push(format!("{feeds:?} {lanes:?} {}", catalogue.digest()));
    for number in [1, 2, catalogue.revision().0, 100] {
        all.push(match draft(catalogue, &day(number), number > 2) {
            Draft::Nothing => "nothing".to_owned(),
            Draft::Superseded => "superseded".to_owned(),
            Draft::Moved => "moved".to_owned(),
            Draft::Taken(why) => why,
            Draft::Publish(revision) => format!("{revision:?}"),
        });
    }
    all
}

#[test]
fn a_worker_that_starts_after_forgetting_knows_all_that_is_needed() {
    let all = published(40);
    let whole = catalogue(&all);
    let mut most = 0;
    for taken in 0..=all.len() as u64 {
        for routed in taken.saturating_sub(7)..=taken {
            let forgotten = whole.forgettable(past(routed, taken), Revision(0));
            most = most.max(forgotten.entries.len());
            let left = catalogue(&without(&all, &forgotten));
            let mut running = catalogue(&all);
            running.forget(forgotten.until, None);
            let needs = past(routed, taken);
            let expected = answers(&whole, needs);
            assert_eq!(answers(&left, needs), expected, "{needs:?}");
            assert_eq!(answers(&running, needs), expected, "{needs:?}, while it runs");
            assert_eq!(running.contents(), left.contents(), "no more is held than somebody holds who starts");
        }
    }
    let entries: usize = all.iter().map(|revision| revision.entries.len()).sum();
    println!("{most} of {entries} entries of {} revisions are forgotten in the end", all.len());
    assert!(most * 3 > entries, "{most} of {entries}");
}

#[test]
fn what_is_forgotten_bit_by_bit_is_what_is_forgotten_at_once() {
    let all = published(40);
    let (end, mut left, mut gone) = (Revision(all.len() as u64), all.clone(), Vec::new());
    let mut forgotten = Revision(0);
    for until in (3..end.0).step_by(7).chain([end.0]) {
        // Each time by a worker that has just started.
        let next = catalogue(&left).forgettable(past(until, until), forgotten);
        left = without(&left, &next);
        forgotten = next.until;
        gone.extend(next.entries);
    }
    gone.sort();
    assert_eq!(gone, catalogue(&all).forgettable(past(end.0, end.0), Revision(0)).entries);
}

#[test]
fn a_shard_that_asks_for_what_is_forgotten_is_told_so_and_no_other_is() {
    let all = published(40);
    let whole = catalogue(&all);
    let lefts = (8..=all.len() as u64).step_by(8).map(|end| {
        let needs = past(end - 3, end);
        let forgotten = whole.forgettable(needs, Revision(0));
        let mut left = catalogue(&without(&all, &forgotten));
        left.forget(forgotten.until, None);
        assert!(left.knows(needs), "who was asked is not refused: {needs:?}");
        left
    });
    let lefts: Vec<Catalogue> = lefts.collect();
    let (mut wrong, mut refused) = (0, 0);
    for taken in (0..=all.len() as u64).step_by(3) {
        for needs in (taken.saturating_sub(9)..=taken).step_by(3).map(|routed| past(routed, taken)) {
            let expected = answers(&whole, needs);
            for left in &lefts {
                let is_right = answers(left, needs) == expected;
                assert!(is_right || !left.knows(needs), "{needs:?} runs on wrong definitions: {:?}", left.forgotten());
                wrong += u64::from(!is_right);
                refused += u64::from(!left.knows(needs));
            }
        }
    }
    println!("{refused} are refused, {wrong} would have run on wrong definitions");
    assert!(wrong > 20 && refused < 2 * wrong, "{refused} are refused for {wrong}");
}

#[test]
fn a_change_of_which_nothing_is_left_but_its_number_still_divides_those_before_from_those_after() {
    let mut all = Catalogue::default();
    let mut published = Vec::new();
    // Another path in the same place, then another key.
    for (number, path, key) in [(1, "a", 1), (2, "b", 1), (3, "b", 2)] {
        let place = json!({ "path": path }).to_string().into();
        let (connectors, lanes) = (vec![connector(1, 1)], vec![WantedLane { place, ..lane("1001", (1, key), 0) }]);
        let wanted = Wanted { connectors, lanes, digest: format!("{number}"), ..Wanted::default() };
        let Draft::Publish(revision) = draft(&all, &wanted, false) else { panic!("{number} is new") };
        all.apply(&revision).expect("it follows");
        published.push(revision);
    }
    let forgotten = all.forgettable(past(3, 3), Revision(0));
    let mut left = catalogue(&without(&published, &forgotten));
    left.forget(forgotten.until, None);
    assert!(left.knows(past(2, 3)) && !left.knows(past(1, 3)), "{forgotten:?}");
}

#[test]
fn what_a_shard_that_runs_may_still_ask_for_stays_in_memory_until_it_is_past_it() {
    let all = published(40);
    let (whole, end) = (catalogue(&all), all.len() as u64);
    let mut running = catalogue(&all);
    let mut held = running.contents();
    for behind in (0..end).step_by(5) {
        let needs = past(behind.saturating_sub(2), behind);
        running.forget(Revision(end), Some(needs));
        assert_eq!(answers(&running, needs), answers(&whole, needs), "{needs:?}");
        assert!(running.contents() <= held && !running.has_dropped(Revision(end)));
        held = running.contents();
    }
    running.forget(Revision(end), None);
    assert!(running.has_dropped(Revision(end)) && running.contents() < held);
}

#[test]
fn a_replay_that_is_not_taken_yet_keeps_the_definitions_that_it_names() {
    let mut all = published(12);
    let order = Order::Replay { lane: 1, by: 0, ranges: BTreeMap::new() }.routed_by(Revision(4));
    let command = CommandEntry { id: "once".into(), orders: vec![order] };
    let content = Some(serde_json::to_vec(&command).expect("plain JSON").into());
    let revision = Revision(all.len() as u64 + 1);
    let object = format!("command/{}", revision.0);
    all.push(ConfigRevision { revision, entries: vec![ConfigEntry { object, content }] });
    let catalogue = catalogue(&all);
    let before = past(revision.0 - 1, revision.0 - 1);
    assert_eq!(catalogue.forgettable(before, Revision(0)).until, catalogue.routing(Revision(4)));
    assert!(catalogue.routing(Revision(4)) < Revision(8), "or nothing is shown");
    let taken = catalogue.forgettable(past(revision.0, revision.0), Revision(0));
    assert_eq!(taken.until, revision);
    assert!(!taken.entries.iter().any(|(_, object)| object.starts_with("command/")), "a repeated call is recognised");
}

fn pending(by: Pins) -> Pending {
    let (incarnation, shard, generation) = (Incarnation(1), Shard(0), Generation(1));
    Pending {
        id: BatchId { incarnation, shard, generation, lane: LaneId(1), seq: 1 },
        token: Bytes::new(),
        covers: BTreeMap::new(),
        version: Revision(1),
        run: Some(Revision(7)),
        by,
        rejected: BTreeMap::new(),
        rows: 0,
        rows_hash: 0,
    }
}

fn shard(applied: u64, known: &[u64]) -> Recovered {
    let revisions = known.iter().map(|known| RevisionRecord { revision: Revision(*known), starts: BTreeMap::new() });
    Recovered {
        incarnation: Incarnation(1),
        generation: Generation(1),
        floors: BTreeMap::new(),
        lanes: BTreeMap::new(),
        revisions: revisions.collect(),
        applied: Applied { revision: Revision(applied), commands: 0 },
        bytes_read: 0,
    }
}

#[test]
fn a_shard_needs_what_its_rows_and_runs_name_and_the_revision_before_the_one_it_takes() {
    assert_eq!(Needs::of(&shard(0, &[])), past(0, 0));
    assert_eq!(Needs::of(&shard(9, &[])), past(8, 8), "the revision that is being taken may be half taken");
    assert_eq!(Needs::of(&shard(9, &[5, 9])), past(5, 8), "rows that may be read again");
    let run = Run { id: Some(Revision(7)), by: Pins::to(Revision(3)), owed: BTreeMap::new(), spent: BTreeMap::new() };
    let lane = LaneRecord { feed: FeedId(1), runs: vec![run], ..LaneRecord::default() };
    let mut owing = shard(9, &[5, 9]);
    owing.lanes.insert(LaneId(1), lane);
    assert_eq!(Needs::of(&owing), past(3, 8), "a run");
    // All of it is decided, and may have to be read again.
    let lane = owing.lanes.get_mut(&LaneId(1)).expect("just inserted");
    lane.runs.clear();
    lane.pending = Some(pending(Pins::to(Revision(4))));
    assert_eq!(Needs::of(&owing), past(4, 8), "a decided batch of a run");
    assert_eq!(past(3, 8).and(past(5, 6)), past(3, 6), "the neediest of all shards");
}

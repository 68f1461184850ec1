//! Every version of every record that was ever released stays readable.
//!
//! `golden/<record>.v<version>.hex` holds a key (first line) and its value (second line) as hex. To add a version:
//! raise `VERSION` of that record, keep the old branch of its `read`, run this test, and save the bytes that it
//! prints as the new file. Old files are never changed.

use bytes::Bytes;
use outflow_api::{
    Applied, BatchId, ConfigEntry, ConfigRevision, Delivered, FeedId, Generation, Incarnation, LaneId, LaneRecord,
    LedgerEvent, LedgerRow, Offset, OffsetRange, Parked, Pending, Pins, Ranges, Recovered, Replacing, Revision,
    RevisionRecord, Run, Shard, TopicId, TopicPartition, Track, Transaction,
};
use outflow_journal::{KeyValue, Replay, barrier, config, decode_ledger, encode, encode_ledger, incarnation};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

/// Names of records with the versions that were released.
const RELEASED: [(&str, u8); 23] = [
    ("lane", 2),
    ("lane-live", 2),
    ("lane-replacing", 2),
    ("lane-tombstone", 1),
    ("floors", 1),
    ("revision", 1),
    ("applied", 1),
    ("incarnation", 1),
    ("barrier", 1),
    ("ledger-decided", 1),
    ("ledger-decided-for-receipt", 1),
    ("ledger-removed", 1),
    ("ledger-revealed", 1),
    ("ledger-began", 1),
    ("ledger-lost", 1),
    ("ledger-lost-but", 1),
    ("ledger-abandoned", 1),
    ("ledger-skipped", 1),
    ("config-entry", 1),
    ("config-gone", 1),
    ("config-complete", 1),
    ("config-barrier", 1),
    ("config-forgotten", 1),
];

fn at(topic: u128, partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicId(topic), partition }
}

fn range(start: i64, next: i64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(next))
}

fn batch() -> BatchId {
    BatchId {
        incarnation: Incarnation(0x4f1c_0000_1111_2222),
        shard: Shard(3),
        generation: Generation(42),
        lane: LaneId(7),
        seq: 1,
    }
}

fn covers() -> BTreeMap<TopicPartition, OffsetRange> {
    BTreeMap::from([(at(1, 0), range(1_000, 2_000)), (at(u128::MAX, 300), range(0, 1))])
}

/// As version 1 could say it.
fn lane_of_version_1() -> LaneRecord {
    let mut owed = Ranges::of(range(10, 20));
    owed.insert(OffsetRange::new(Offset(500), Offset::OPEN));
    let pending = Pending {
        id: batch(),
        token: Bytes::from_static(b"\x01token"),
        covers: covers(),
        version: Revision(9),
        run: Some(Revision(11)),
        by: Pins::to(Revision(9)),
        rejected: BTreeMap::from([(at(1, 0), vec![Offset(1_001), Offset(1_007)])]),
        rows: 998,
        rows_hash: 0xfeed_beef,
    };
    let run = |id, by| Run {
        id: Some(Revision(id)),
        by: Pins::to(Revision(by)),
        owed: BTreeMap::from([(at(1, 2), Ranges::of(range(10, 500)))]),
        spent: BTreeMap::from([(at(1, 2), vec![Offset(12), Offset(300)])]),
    };
    LaneRecord {
        feed: FeedId(300),
        next: BTreeMap::from([(at(1, 0), Offset(2_000)), (at(1, 1), Offset(0))]),
        owed: BTreeMap::from([(at(1, 2), owed)]),
        runs: vec![run(11, 9), run(12, 12)],
        pending: Some(pending),
        spent: BTreeMap::from([(at(1, 2), vec![Offset(11)])]),
        parked: Some(Parked {
            code: "no-such-bucket".to_owned(),
            hint: "create it – it is gone".to_owned(),
            held: true,
        }),
        replacing: None,
    }
}

/// Mended by revision 13.
fn lane() -> LaneRecord {
    let mut lane = lane_of_version_1();
    lane.pending.iter_mut().for_each(|pending| pending.by = pending.by.reshaped(Revision(13)));
    let mended = |run: Run| Run { by: run.by.reshaped(Revision(13)), ..run };
    let own = Run { id: None, by: Pins::OWN_OFFSETS, ..lane.runs[0].clone() };
    lane.runs = [own].into_iter().chain(lane.runs).map(mended).collect();
    lane
}

/// As most lanes are: one entry, of the live run.
fn live_lane() -> LaneRecord {
    let pending = lane().pending.expect("it has one");
    let pending = Pending { run: None, by: Pins::OWN_OFFSETS, rejected: BTreeMap::new(), ..pending };
    LaneRecord {
        next: BTreeMap::from([(at(1, 0), Offset(2_000))]),
        pending: Some(pending),
        parked: Some(Parked { code: "throttled".to_owned(), hint: String::new(), held: false }),
        ..LaneRecord::default()
    }
}

/// Run 11 is visible, and of what it takes the place of two batches are left.
fn replacing_lane() -> LaneRecord {
    let old = |seq, receipt: &'static [u8]| Delivered {
        id: BatchId { seq, ..batch() },
        receipt: Bytes::from_static(receipt),
    };
    let old = vec![old(8, b"\x01receipt"), old(9, b"\x01other")];
    LaneRecord { replacing: Some(Replacing { run: Revision(11), old }), ..live_lane() }
}

fn floors() -> BTreeMap<Track, Offset> {
    let track = |feed, partition| Track { feed: FeedId(feed), partition };
    BTreeMap::from([
        (track(0, at(1, 0)), Offset(1_000)),
        (track(0, at(2, 0)), Offset(i64::from(u32::MAX) * 1_000)),
        (track(300, at(1, 0)), Offset(7)),
    ])
}

const APPLIED: Applied = Applied { revision: Revision(300), commands: 2 };

fn revision() -> RevisionRecord {
    let starts = BTreeMap::from([(at(1, 0), Offset(17))]);
    RevisionRecord { revision: Revision(9), starts }
}

fn row(event: LedgerEvent) -> LedgerRow {
    LedgerRow { batch: batch(), event }
}

fn lost_but() -> LedgerEvent {
    LedgerEvent::Lost { spent: BTreeMap::from([(at(1, 0), vec![Offset(1_001), Offset(1_999)])]) }
}

fn decided() -> LedgerRow {
    row(LedgerEvent::Decided {
        covers: covers(),
        version: Revision(9),
        run: Some(Revision(11)),
        rows: 998,
        rejected: 2,
        rows_hash: 0xfeed_beef,
        receipt: Bytes::new(),
    })
}

fn decided_for_receipt() -> LedgerRow {
    let mut row = decided();
    if let LedgerEvent::Decided { receipt, .. } = &mut row.event {
        *receipt = Bytes::from_static(b"\x01receipt");
    }
    row
}

/// What a revision says of two objects.
fn published() -> ConfigRevision {
    let entry = |object: &str, content: Option<&'static [u8]>| ConfigEntry {
        object: object.to_owned(),
        content: content.map(Bytes::from_static),
    };
    let entries = vec![entry("connector/orders", Some(br#"{"topics":["orders"]}"#)), entry("lane/17", None)];
    ConfigRevision { revision: Revision(1), entries }
}

fn config_record(at: usize) -> KeyValue {
    config::encode(&published()).nth(at).expect("two entries and their end")
}

/// What this build writes.
fn written(name: &str) -> KeyValue {
    let mut transaction = Transaction::default();
    match name {
        "lane" => transaction.lanes.push((LaneId(7), Some(lane()))),
        "lane-live" => transaction.lanes.push((LaneId(7), Some(live_lane()))),
        "lane-replacing" => transaction.lanes.push((LaneId(7), Some(replacing_lane()))),
        "lane-tombstone" => transaction.lanes.push((LaneId(7), None)),
        "floors" => transaction.floors = floors(),
        "revision" => transaction.revisions.push(revision()),
        "applied" => transaction.applied = Some(APPLIED),
        "incarnation" => return incarnation(Incarnation(0x4f1c_0000_1111_2222)),
        "barrier" => return barrier(77),
        "ledger-decided" => return encode_ledger(&decided()),
        "ledger-decided-for-receipt" => return encode_ledger(&decided_for_receipt()),
        "ledger-removed" => return encode_ledger(&row(LedgerEvent::Removed { run: Revision(11) })),
        "ledger-revealed" => return encode_ledger(&row(LedgerEvent::Revealed)),
        "ledger-began" => return encode_ledger(&row(LedgerEvent::Began)),
        "ledger-lost" => return encode_ledger(&row(LedgerEvent::Lost { spent: BTreeMap::new() })),
        "ledger-lost-but" => return encode_ledger(&row(lost_but())),
        "ledger-abandoned" => return encode_ledger(&row(LedgerEvent::Abandoned)),
        "ledger-skipped" => {
            return encode_ledger(&row(LedgerEvent::Skipped { run: Some(Revision(11)), covers: covers() }));
        }
        "config-entry" => return config_record(0),
        "config-gone" => return config_record(1),
        "config-complete" => return config_record(2),
        "config-barrier" => return config::barrier(77),
        "config-forgotten" => return config::forgotten(Revision(300)),
        other => unreachable!("{other} has no sample"),
    }
    encode(&transaction).pop().expect("one record")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn text(record: &KeyValue) -> String {
    format!("{}\n{}\n", hex(&record.key), record.value.as_deref().map_or_else(|| "-".to_owned(), hex))
}

fn golden(name: &str, version: u8) -> Option<KeyValue> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.v{version}.hex"));
    let text = fs::read_to_string(path).ok()?;
    let (key, value) = text.trim_end().split_once('\n').expect("a line of key and one of value");
    Some(KeyValue { key: unhex(key), value: (value != "-").then(|| unhex(value)) })
}

fn replayed(record: &KeyValue) -> Recovered {
    let mut replay = Replay::new();
    let own = incarnation(Incarnation(5));
    replay.apply(&own.key, own.value.as_deref(), 0).expect("just written");
    let mut gone = Transaction { lanes: vec![(LaneId(7), Some(LaneRecord::default()))], ..Transaction::default() };
    if record.value.is_some() {
        gone.lanes.clear();
    }
    for earlier in encode(&gone) {
        replay.apply(&earlier.key, earlier.value.as_deref(), 1).expect("just written");
    }
    replay.apply(&record.key, record.value.as_deref(), 12).expect("every released version is readable");
    assert_eq!(replay.saw(77), (record.key == b"B").then_some(12));
    replay.finish(Generation(12), 100)
}

/// The config log whose records are this one, and the others of a revision as this build writes them.
fn config_log(name: &str, record: &KeyValue) -> config::Replay {
    let mut records: Vec<KeyValue> = (0..3).map(config_record).collect();
    match ["config-entry", "config-gone", "config-complete"].iter().position(|own| *own == name) {
        Some(at) => records[at] = record.clone(),
        None => records.push(record.clone()),
    }
    let mut replay = config::Replay::default();
    let mut apply = |record: KeyValue| replay.apply(&record.key, record.value.as_deref(), 12);
    records.into_iter().try_for_each(&mut apply).expect("every released version is readable");
    replay
}

fn assert_means(name: &str, version: u8, record: &KeyValue) {
    let ledger = |record: &KeyValue| {
        decode_ledger(&record.key, record.value.as_deref().expect("no tombstones in the ledger")).expect("readable")
    };
    match name {
        "lane" => {
            let lane = if version == 1 { lane_of_version_1() } else { lane() };
            assert_eq!(replayed(record).lanes, BTreeMap::from([(LaneId(7), lane)]));
        }
        "lane-live" => assert_eq!(replayed(record).lanes, BTreeMap::from([(LaneId(7), live_lane())])),
        "lane-replacing" => assert_eq!(replayed(record).lanes, BTreeMap::from([(LaneId(7), replacing_lane())])),
        "lane-tombstone" => assert_eq!(replayed(record).lanes, BTreeMap::new()),
        "floors" => assert_eq!(replayed(record).floors, floors()),
        "revision" => assert_eq!(replayed(record).revisions, [revision()]),
        "applied" => assert_eq!(replayed(record).applied, APPLIED),
        "incarnation" => assert_eq!(replayed(record).incarnation, Incarnation(0x4f1c_0000_1111_2222)),
        "barrier" => assert_eq!(replayed(record).generation, Generation(12)),
        "ledger-decided" => assert_eq!(ledger(record), decided()),
        "ledger-decided-for-receipt" => assert_eq!(ledger(record), decided_for_receipt()),
        "ledger-removed" => assert_eq!(ledger(record), row(LedgerEvent::Removed { run: Revision(11) })),
        "ledger-revealed" => assert_eq!(ledger(record), row(LedgerEvent::Revealed)),
        "ledger-began" => assert_eq!(ledger(record), row(LedgerEvent::Began)),
        "ledger-lost" => assert_eq!(ledger(record), row(LedgerEvent::Lost { spent: BTreeMap::new() })),
        "ledger-lost-but" => assert_eq!(ledger(record), row(lost_but())),
        "ledger-abandoned" => assert_eq!(ledger(record), row(LedgerEvent::Abandoned)),
        "ledger-skipped" => {
            assert_eq!(ledger(record), row(LedgerEvent::Skipped { run: Some(Revision(11)), covers: covers() }))
        }
        "config-entry" | "config-gone" | "config-complete" => {
            assert_eq!(config_log(name, record).take(), [published()]);
        }
        "config-barrier" => assert!(config_log(name, record).saw(77)),
        "config-forgotten" => assert_eq!(config_log(name, record).forgotten(), Revision(300)),
        other => unreachable!("{other} has no meaning"),
    }
}

/// No lane of version 1 replaced anything.
fn versions(name: &str, newest: u8) -> std::ops::RangeInclusive<u8> {
    if name == "lane-replacing" { 2..=newest } else { 1..=newest }
}

#[test]
fn every_released_version_of_every_record_is_readable() {
    let mut missing = String::new();
    for (name, newest) in RELEASED {
        for version in versions(name, newest) {
            match golden(name, version) {
                Some(record) => assert_means(name, version, &record),
                None => missing += &format!("golden/{name}.v{version}.hex\n{}", text(&written(name))),
            }
        }
    }
    assert!(missing.is_empty(), "these files are missing; this build writes them as:\n{missing}");
}

#[test]
fn what_is_written_today_is_the_newest_golden_file() {
    for (name, newest) in RELEASED {
        let now = text(&written(name));
        let kept = golden(name, newest).as_ref().map(text);
        assert_eq!(
            kept.as_deref(),
            Some(now.as_str()),
            "{name} is written in another way than version {newest}: raise its version, keep the old reader, save \
             this as golden/{name}.v{}.hex and list it in RELEASED:\n{now}",
            newest + 1
        );
    }
}

#[test]
fn every_golden_file_is_a_released_version() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let files = fs::read_dir(folder).expect("golden files").map(|file| file.expect("it is there").file_name());
    let files: BTreeSet<String> = files.map(|file| file.to_string_lossy().into_owned()).collect();
    let released = RELEASED
        .iter()
        .flat_map(|(name, newest)| versions(name, *newest).map(move |version| format!("{name}.v{version}.hex")));
    assert_eq!(files, released.collect());
}

//! Folders of every released format stay readable.
//!
//! To add a version: raise it where the bytes are written, keep the old reader, name the new format in `RELEASED` and
//! run this test: it writes the new folder and asks to keep it. Old folders are never changed.

use bytes::Bytes;
use outflow_api::{
    AppendOutcome, BatchId, Cluster, ConfigEntry, ConfigRevision, DeadLetter, Generation, Incarnation, Journal, LaneId,
    LaneRecord, LedgerEvent, LedgerRow, Offset, Publication, Revision, Shard, SourceEvent, TopicId, TopicPartition,
    Transaction,
};
use outflow_local::{LocalCluster, RecordToWrite};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const RELEASED: [&str; 2] = ["v1", "v2"];
const FILES: [&str; 8] = [
    "cluster",
    "journal/0/journal.log",
    "journal/0/ledger.log",
    "topics/orders/topic",
    "topics/orders/0/00000000000000000000.log",
    "topics/orders/1/00000000000000000000.log",
    "topics/dead/topic",
    "topics/dead/0/00000000000000000000.log",
];
/// The others hold random ids.
const SAME_EACH_TIME: [&str; 2] = [LEDGER, "topics/orders/0/00000000000000000000.log"];
const LEDGER: &str = "journal/0/ledger.log";

fn golden(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(version)
}

fn copy(from: &Path, to: &Path) {
    for file in FILES {
        let target = to.join(file);
        fs::create_dir_all(target.parent().expect("in a folder")).expect("made");
        fs::copy(from.join(file), target).unwrap_or_else(|error| panic!("{} {file}: {error}", from.display()));
    }
}

fn lane(next: i64) -> LaneRecord {
    let partition = TopicPartition { topic: TopicId(7), partition: 0 };
    LaneRecord { next: BTreeMap::from([(partition, Offset(next))]), ..LaneRecord::default() }
}

fn row(seq: u32) -> LedgerRow {
    let (incarnation, generation) = (Incarnation(1), Generation(2));
    LedgerRow {
        batch: BatchId { incarnation, shard: Shard(0), generation, lane: LaneId(4), seq },
        event: LedgerEvent::Revealed,
    }
}

fn append(journal: &mut dyn Journal, transaction: &Transaction) {
    let outcome = journal.append(transaction);
    assert!(matches!(outcome, AppendOutcome::Done), "{outcome:?}");
}

/// State of one owner, decisions of the next, dead letters with the last of them.
fn write_folder(folder: &Path) {
    let cluster = LocalCluster::open(folder, 1).expect("opens");
    let topic = cluster.create_topic("orders", 2).expect("created");
    let headers = [("trace", Some(b"1".as_slice())), ("none", None)];
    let full = RecordToWrite { timestamp_ms: 17, key: Some(b"key"), value: Some(b"value"), headers: &headers };
    topic.append(0, &[full, RecordToWrite::default()]).expect("appended");
    topic.append(0, &[full]).expect("appended");
    topic.append(1, &[full]).expect("appended");
    let mut journal = cluster.journal(Shard(0)).expect("the shard");
    let lanes = |lane_id, record| Transaction { lanes: vec![(LaneId(lane_id), record)], ..Transaction::default() };
    journal.acquire().expect("acquired");
    append(&mut *journal, &lanes(1, Some(lane(1))));
    append(&mut *journal, &lanes(2, Some(lane(2))));
    journal.acquire().expect("acquired");
    append(&mut *journal, &Transaction { ledger: vec![row(1), row(2)], ..lanes(1, None) });
    let letter = DeadLetter {
        topic: "dead".to_owned(),
        timestamp_ms: 18,
        key: None,
        value: Some(Bytes::from_static(b"wrong")),
        headers: vec![("code".to_owned(), Bytes::from_static(b"not-json"))],
    };
    let ledger = vec![row(3)];
    append(&mut *journal, &Transaction { ledger, dead_letters: vec![letter], ..lanes(3, Some(lane(3))) });
}

fn values(cluster: &LocalCluster, topic: &str) -> Vec<Option<Vec<u8>>> {
    let topic = cluster.topic(topic).expect("there");
    let at = TopicPartition { topic: topic.info().id, partition: 0 };
    let mut source = cluster.source().expect("a source");
    source.assign(&[(at, Offset::ZERO)]).expect("assigned");
    let (mut events, mut values) = (Vec::new(), Vec::new());
    while !events.iter().any(|event| !matches!(event, SourceEvent::Fetched { .. })) {
        source.poll(Duration::from_secs(10), &mut events).expect("polled");
    }
    for event in events {
        match event {
            SourceEvent::Fetched { block, .. } => {
                values.extend((0..block.len()).map(|row| block.get(row).value.map(<[u8]>::to_vec)));
            }
            SourceEvent::AtEnd { .. } => {}
            SourceEvent::Failed { fault, .. } => panic!("{fault}"),
        }
    }
    values
}

fn assert_readable(folder: &Path) {
    let cluster = LocalCluster::open(folder, 1).expect("opens");
    let found = cluster.journal(Shard(0)).expect("the shard").acquire().expect("acquired");
    assert_eq!(found.lanes, BTreeMap::from([(LaneId(2), lane(2)), (LaneId(3), lane(3))]));
    let mut rows = Vec::new();
    cluster.ledger(Shard(0)).expect("the shard").read(&mut |row| rows.push(row)).expect("readable");
    // Folders before v2 do not say where their ledger begins.
    rows.retain(|row| row.event != LedgerEvent::Began);
    assert_eq!(rows, [row(1), row(2), row(3)]);
    let value = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!(values(&cluster, "orders"), [value(b"value"), None, value(b"value")]);
    assert_eq!(values(&cluster, "dead"), [value(b"wrong")]);
    // The folder is older than the config log.
    assert_eq!(configuration(folder), []);
}

fn published() -> [ConfigRevision; 2] {
    let entry = |object: &str, content| ConfigEntry { object: object.to_owned(), content };
    let entries = vec![entry("connector/orders", Some(Bytes::from_static(b"{}"))), entry("lane/1", None)];
    [ConfigRevision { revision: Revision(1), entries }, ConfigRevision { revision: Revision(2), entries: Vec::new() }]
}

fn configuration(folder: &Path) -> Vec<ConfigRevision> {
    let mut log = LocalCluster::open(folder, 1).expect("opens").config_log().expect("opens");
    let found = log.read(Duration::ZERO).expect("readable");
    assert!(log.is_current());
    found
}

#[test]
fn folders_of_every_released_format_are_readable() {
    for version in RELEASED {
        let kept = golden(version);
        if !kept.exists() {
            let new = tempfile::tempdir().expect("a folder");
            write_folder(new.path());
            copy(new.path(), &kept);
            panic!("{} was missing and has been written: keep it if the format is meant to change", kept.display());
        }
        let folder = tempfile::tempdir().expect("a folder");
        copy(&kept, folder.path());
        assert_readable(folder.path());
    }
}

#[test]
fn what_is_written_today_is_the_newest_format() {
    let folder = tempfile::tempdir().expect("a folder");
    write_folder(folder.path());
    let kept = golden(RELEASED.last().expect("one"));
    for file in SAME_EACH_TIME {
        let bytes = |root: &Path| {
            let bytes = fs::read(root.join(file)).expect("readable");
            // Its first frame names the journal, by a random id.
            let length = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes")) as usize;
            if file == LEDGER { bytes[24 + length..].to_vec() } else { bytes }
        };
        assert!(bytes(folder.path()) == bytes(&kept), "{file} is written in another way: this is a new version");
    }
    assert_readable(folder.path());
}

#[test]
fn a_config_log_is_written_and_read_as_it_was_released() {
    let kept = golden("config-log.v1");
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = LocalCluster::open(folder.path(), 1).expect("opens").config_log().expect("opens");
    for revision in published() {
        let answer = log.publish(&revision);
        assert!(matches!(answer, Publication::Done), "{answer:?}");
    }
    let written = fs::read(folder.path().join("config/log")).expect("readable");
    if !kept.exists() {
        fs::write(&kept, &written).expect("written");
        panic!("{} was missing and has been written: keep it if the format is meant to change", kept.display());
    }
    assert!(fs::read(&kept).expect("readable") == written, "it is written in another way: this is a new version");
    fs::copy(&kept, folder.path().join("config/log")).expect("copied");
    assert_eq!(configuration(folder.path()), published());
}

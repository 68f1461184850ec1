use outflow_api::{Cluster, MembershipEvent, Offset, OffsetRange, Shard, Source, SourceEvent, TopicPartition};
use outflow_local::{LocalCluster, LocalTopic, RecordToWrite};
use std::{
    fs,
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(20);

fn open(folder: &Path) -> LocalCluster {
    LocalCluster::with_segment_bytes(folder, 2, 4_000).expect("the folder opens")
}

fn write(topic: &LocalTopic, partition: u32, numbers: std::ops::Range<i64>) -> OffsetRange {
    let texts: Vec<String> = numbers.map(|number| format!("{number:0>100}")).collect();
    let record = |text: &'static str| RecordToWrite { value: Some(text.as_bytes()), ..RecordToWrite::default() };
    let records: Vec<_> = texts.iter().map(|text| record(String::leak(text.clone()))).collect();
    topic.append(partition, &records).expect("appended")
}

fn at(topic: &LocalTopic, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic.info().id, partition }
}

fn reader(cluster: &LocalCluster, partition: TopicPartition, from: i64) -> Box<dyn Source> {
    let mut source = cluster.source().expect("a source");
    source.assign(&[(partition, Offset(from))]).expect("assigned");
    source
}

/// Numbers up to `count` of them, and that their ranges chain from `from`.
fn read(source: &mut dyn Source, from: i64, count: usize) -> Vec<i64> {
    let (mut numbers, mut position, started) = (Vec::new(), Offset(from), Instant::now());
    while numbers.len() < count {
        assert!(started.elapsed() < LIMIT, "{} of {count} records after {LIMIT:?}", numbers.len());
        let mut events = Vec::new();
        source.poll(Duration::from_millis(100), &mut events).expect("polled");
        for event in events {
            match event {
                SourceEvent::Fetched { range, block } => {
                    assert_eq!(range.start, position, "ranges chain");
                    position = range.next;
                    numbers.extend((0..block.len()).map(|row| number(block.get(row).value)));
                }
                SourceEvent::AtEnd { end, .. } => assert_eq!(end, position),
                SourceEvent::Failed { fault, .. } => panic!("{fault}"),
            }
        }
    }
    numbers
}

fn number(value: Option<&[u8]>) -> i64 {
    let text = std::str::from_utf8(value.expect("a value")).expect("text").trim_start_matches('0');
    if text.is_empty() { 0 } else { text.parse().expect("a number") }
}

fn failure(source: &mut dyn Source) -> outflow_api::Fault {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < LIMIT, "no failure after {LIMIT:?}");
        let mut events = Vec::new();
        source.poll(Duration::from_millis(100), &mut events).expect("polled");
        for event in events {
            if let SourceEvent::Failed { fault, .. } = event {
                return fault;
            }
        }
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    let topic = cluster.create_topic("orders", 1).expect("created");
    let headers = [("a", Some(b"1".as_slice())), ("a", None), ("b", Some(b""))];
    let full = RecordToWrite { timestamp_ms: 17, key: Some(b"key"), value: Some(b"value"), headers: &headers };
    let large = vec![7u8; 3 << 20];
    let records = [
        full,
        RecordToWrite::default(),
        RecordToWrite { value: Some(&large), key: Some(b""), ..RecordToWrite::default() },
    ];
    assert_eq!(topic.append(0, &records).expect("appended"), OffsetRange::new(Offset(0), Offset(3)));
    let mut source = reader(&open(folder.path()), at(&topic, 0), 0);
    let (mut seen, started) = (Vec::new(), Instant::now());
    while seen.len() < 3 && started.elapsed() < LIMIT {
        let mut events = Vec::new();
        source.poll(LIMIT, &mut events).expect("polled");
        for event in events {
            let SourceEvent::Fetched { block, .. } = event else { continue };
            seen.extend((0..block.len()).map(|row| (std::sync::Arc::clone(&block), row)));
        }
    }
    let views: Vec<_> = seen.iter().map(|(block, row)| block.get(*row)).collect();
    assert_eq!((views[0].timestamp_ms, views[0].key, views[0].value), (17, full.key, full.value));
    assert_eq!(views[0].headers.iter().collect::<Vec<_>>(), headers);
    assert_eq!((views[1].key, views[1].value), (None, None));
    assert_eq!((views[2].key, views[2].value), (Some(b"".as_slice()), Some(large.as_slice())));
}

#[test]
fn every_reader_sees_every_record_once_while_many_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    let topic = cluster.create_topic("orders", 1).expect("created");
    // Two threads on one handle, one on a cluster of its own: as another process.
    let others = open(folder.path());
    let other_topic = others.topic("orders").expect("there");
    let start = Barrier::new(5);
    let write_all = |topic: &LocalTopic, writer: i64| {
        start.wait();
        (0..40).for_each(|step| {
            write(topic, 0, writer * 1_000 + step * 5..writer * 1_000 + step * 5 + 5);
        });
    };
    let read_all = |cluster: &LocalCluster| {
        let mut source = reader(cluster, at(&topic, 0), 0);
        start.wait();
        read(&mut *source, 0, 600)
    };
    let (one, two) = thread::scope(|scope| {
        scope.spawn(|| write_all(&topic, 1));
        scope.spawn(|| write_all(&topic, 2));
        scope.spawn(|| write_all(&other_topic, 3));
        let one = scope.spawn(|| read_all(&cluster));
        let two = scope.spawn(|| read_all(&others));
        (one.join().expect("reads"), two.join().expect("reads"))
    });
    assert_eq!(one, two, "one order for all");
    for writer in 1..=3 {
        let own: Vec<i64> = one.iter().copied().filter(|number| number / 1_000 == writer).collect();
        assert_eq!(own, (writer * 1_000..writer * 1_000 + 200).collect::<Vec<_>>(), "a writer's order is kept");
    }
    assert!(fs::read_dir(folder.path().join("topics/orders/0")).expect("there").count() > 10, "many segments");
}

#[test]
fn a_reader_starts_anywhere_and_waits_for_what_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    let topic = cluster.create_topic("orders", 2).expect("created");
    (0..20).for_each(|step| {
        write(&topic, 1, step * 10..step * 10 + 10);
    });
    for from in [0, 1, 9, 10, 115, 199, 200] {
        let mut source = reader(&open(folder.path()), at(&topic, 1), from);
        assert_eq!(read(&mut *source, from, 200 - from as usize), (from..200).collect::<Vec<_>>());
        assert_eq!(source.bounds(at(&topic, 1)).expect("bounds"), OffsetRange::new(Offset(0), Offset(200)));
    }
    let mut source = reader(&cluster, at(&topic, 1), 200);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| read(&mut *source, 200, 3));
        write(&topic, 1, 200..203);
        assert_eq!(waiting.join().expect("reads"), [200, 201, 202]);
    });
}

#[test]
fn a_paused_partition_is_silent_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    let topic = cluster.create_topic("orders", 2).expect("created");
    (0..2).for_each(|partition| {
        write(&topic, partition, 0..30);
    });
    let mut source = reader(&cluster, at(&topic, 0), 0);
    source.assign(&[(at(&topic, 1), Offset(0))]).expect("assigned");
    source.pause(&[at(&topic, 0)]);
    for _ in 0..5 {
        let mut events = Vec::new();
        source.poll(Duration::from_millis(5), &mut events).expect("polled");
        for event in events {
            let of = match event {
                SourceEvent::Fetched { range: _, block } => block.partition(),
                SourceEvent::AtEnd { partition, .. } | SourceEvent::Failed { partition, .. } => partition,
            };
            assert_eq!(of, at(&topic, 1));
        }
    }
    source.resume(&[at(&topic, 0)]);
    source.unassign(&[at(&topic, 1)]);
    assert_eq!(read(&mut *source, 0, 30), (0..30).collect::<Vec<_>>());
}

#[test]
fn what_was_deleted_or_cut_off_is_said_with_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    let topic = cluster.create_topic("orders", 1).expect("created");
    (0..20).for_each(|step| {
        write(&topic, 0, step * 10..step * 10 + 10);
    });
    let start = topic.trim_below(0, Offset(100)).expect("trimmed");
    assert!(start > Offset(0) && start <= Offset(100), "whole segments only: {start:?}");
    assert_eq!(topic.bounds(0).expect("bounds"), OffsetRange::new(start, Offset(200)));

    let fault = failure(&mut *reader(&cluster, at(&topic, 0), 5));
    assert_eq!(fault.code, "offsets-gone");
    assert!(fault.hint.contains(&format!("offsets 5 to {}", start.0 - 1)), "{fault}");
    let fault = failure(&mut *reader(&cluster, at(&topic, 0), 201));
    assert_eq!(fault.code, "log-truncated");
    assert!(fault.hint.contains("ends at offset 200") && fault.hint.contains("201"), "{fault}");
    let mut source = reader(&cluster, at(&topic, 0), start.0);
    assert_eq!(read(&mut *source, start.0, 200 - start.0 as usize), (start.0..200).collect::<Vec<_>>());
}

#[test]
fn a_topic_made_anew_is_another_topic() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    let old = cluster.create_topic("orders", 1).expect("created");
    write(&old, 0, 0..10);
    let mut source = reader(&cluster, at(&old, 0), 0);
    assert_eq!(read(&mut *source, 0, 10).len(), 10);
    assert_eq!(cluster.create_topic("orders", 1).err().expect("it is there").code, "topic-exists");
    cluster.delete_topic("orders").expect("deleted");
    let new = cluster.create_topic("orders", 1).expect("created");
    assert_ne!(new.info().id, old.info().id);
    write(&new, 0, 0..20);
    assert_eq!(failure(&mut *source).code, "topic-recreated");
    let record = RecordToWrite::default();
    assert_eq!(old.append(0, &[record]).expect_err("the old one is gone").code, "topic-recreated");
    assert_eq!(failure(&mut *reader(&open(folder.path()), at(&old, 0), 3)).code, "topic-recreated");
    let names = ["orders".to_owned()];
    assert_eq!(open(folder.path()).topics(&names).expect("there")[0].id, new.info().id, "an id is for ever");
}

#[test]
fn a_torn_end_is_cut_off_and_damage_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let topic = open(folder.path()).create_topic("orders", 1).expect("created");
    (0..3).for_each(|step| {
        write(&topic, 0, step * 5..step * 5 + 5);
    });
    let segment = folder.path().join("topics/orders/0/00000000000000000000.log");
    let whole = fs::read(&segment).expect("readable");
    for cut in (2 * whole.len() / 3 + 1..whole.len()).step_by(7) {
        fs::write(&segment, &whole[..cut]).expect("written");
        let cluster = open(folder.path());
        let mut source = reader(&cluster, at(&topic, 0), 0);
        assert_eq!(read(&mut *source, 0, 10), (0..10).collect::<Vec<_>>());
        assert_eq!(write(&cluster.topic("orders").expect("there"), 0, 90..91).start, Offset(10));
        assert_eq!(read(&mut *source, 10, 1), [90]);
    }
    for at_byte in [0, 5, 30, whole.len() / 2] {
        let mut damaged = whole.clone();
        damaged[at_byte] ^= 1;
        fs::write(&segment, &damaged).expect("written");
        let cluster = open(folder.path());
        let fault = failure(&mut *reader(&cluster, at(&topic, 0), 0));
        assert_eq!(fault.code, "topic-damaged", "{fault}");
        let refused = cluster.topic("orders").expect("there").append(0, &[RecordToWrite::default()]);
        assert_eq!(refused.expect_err("nothing may be cut off").code, "topic-damaged");
        assert_eq!(fs::read(&segment).expect("readable"), damaged);
    }
}

#[test]
fn one_process_runs_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    let mut first = cluster.membership().expect("free");
    let events = first.poll(Duration::ZERO).expect("polled");
    assert!(matches!(&events[..], [MembershipEvent::Assigned(all)] if *all == [Shard(0), Shard(1)]), "{events:?}");
    assert!(first.poll(Duration::ZERO).expect("polled").is_empty());
    let fault = open(folder.path()).membership().err().expect("in use");
    assert_eq!(fault.code, "folder-in-use");
    assert!(fault.hint.contains(&format!("process {} ", std::process::id())), "{fault}");
    assert!(cluster.examine(&[], &[])[0].result.is_err());
    first.leave();
    assert!(open(folder.path()).membership().is_ok());
}

#[test]
fn wrong_names_and_numbers_are_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    for name in ["", "..", "../orders", "a/b", ".hidden", &"x".repeat(250)] {
        assert_eq!(cluster.create_topic(name, 1).err().expect("refused").code, "wrong-name", "{name:?}");
    }
    assert_eq!(cluster.create_topic("orders", 0).err().expect("refused").code, "wrong-partitions");
    assert_eq!(cluster.topics(&["orders".to_owned()]).expect_err("missing").code, "topic-missing");
    let topic = cluster.create_topic("orders", 2).expect("created");
    assert!(topic.append(2, &[]).expect_err("refused").hint.contains("0 to 1"));
    let large = vec![0; 65 << 20];
    let record = RecordToWrite { value: Some(&large), ..RecordToWrite::default() };
    assert_eq!(topic.append(0, &[record]).expect_err("refused").code, "record-too-large");
    assert_eq!(cluster.journal(Shard(2)).err().expect("refused").code, "wrong-shard");
    let fault = LocalCluster::open(folder.path(), 3).err().expect("refused");
    assert_eq!(fault.code, "folder-differs");
    assert!(fault.hint.contains("shards=2"), "{fault}");
}

#[test]
fn positions_for_people_name_the_topic() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = open(folder.path());
    let topic = cluster.create_topic("orders", 2).expect("created");
    cluster.report("shop", &[(at(&topic, 0), Offset(7)), (at(&topic, 1), Offset(9))]).expect("reported");
    let text = fs::read_to_string(folder.path().join("positions/shop.json")).expect("written");
    assert_eq!(
        text,
        "[\n  { \"topic\": \"orders\", \"partition\": 0, \"offset\": 7 },\n  \
         { \"topic\": \"orders\", \"partition\": 1, \"offset\": 9 }\n]\n"
    );
    let found = cluster.examine(&["orders".to_owned(), "carts".to_owned()], &["dead".to_owned()]);
    assert_eq!(found.iter().map(|finding| finding.result.is_ok()).collect::<Vec<_>>(), [true, true, false, true]);
}

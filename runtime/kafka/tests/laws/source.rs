use crate::common::{LIMIT, STEP, Watch, cluster, flush, partition, send, unique, writer};
use outflow_api::{Cluster, Offset, SourceEvent};
use outflow_rig::Kafka;
use rdkafka::{
    Offset as Place, TopicPartitionList,
    admin::AdminOptions,
    producer::{BaseRecord, Producer},
};
use std::time::{Duration, Instant};

#[test]
fn ranges_chain_over_transaction_markers_and_aborted_records_to_the_end() {
    let kafka = Kafka::shared();
    let (topic, id) = (unique("transactional"), unique("writer"));
    kafka.create_topic(&topic, 2, &[]);
    let producer = writer(kafka, Some(&id));
    for round in 0..6 {
        producer.begin_transaction().expect("the broker answers");
        for row in 0..50 {
            send(&producer, &topic, row % 2, "k", format!("{round}-{row}").as_bytes());
        }
        flush(&producer);
        // The last one is aborted: the end lies behind records that nobody sees.
        match round % 3 {
            2 => producer.abort_transaction(LIMIT).expect("the broker answers"),
            _ => producer.commit_transaction(LIMIT).expect("the broker answers"),
        }
    }
    let cluster = cluster(kafka, 1);
    let mut source = cluster.source().expect("the broker answers");
    let mut watch = Watch::default();
    for number in 0..2 {
        let partition = partition(&cluster, &topic, number);
        watch.assign(&mut *source, partition, 0);
        let end = source.bounds(partition).expect("the broker answers").next;
        assert_eq!(end, Offset(6 * 26));
        watch.until("the end", &mut *source, |watch| watch.at_end(partition, end.0));
        assert_eq!(watch.seen[&partition].records.len(), 4 * 25);
        let aborted = |value: &Option<Vec<u8>>| value.as_ref().is_some_and(|v| v[0] == b'2' || v[0] == b'5');
        assert!(watch.seen[&partition].records.iter().all(|(_, value)| !aborted(value)));
    }
}

#[test]
fn ranges_chain_over_the_holes_of_compaction() {
    let kafka = Kafka::shared();
    let topic = unique("compacted");
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "500"),
    ];
    kafka.create_topic(&topic, 1, &eager);
    let producer = writer(kafka, None);
    let started = Instant::now();
    let cluster = cluster(kafka, 1);
    let partition = partition(&cluster, &topic, 0);
    send(&producer, &topic, 0, "first", b"stays at offset 0");
    let mut written = 1;
    loop {
        // New segments begin with new records: old ones are compacted sooner or later.
        (0..100).for_each(|row| send(&producer, &topic, 0, &format!("k{}", row % 5), b"v"));
        flush(&producer);
        written += 100;
        let mut source = cluster.source().expect("the broker answers");
        let mut watch = Watch::default();
        watch.assign(&mut *source, partition, 0);
        watch.until("the end", &mut *source, |watch| watch.at_end(partition, written));
        let offsets = watch.offsets(partition);
        if offsets.len() < usize::try_from(written).expect("positive") {
            assert!(offsets.windows(2).any(|pair| pair[1] > pair[0] + 1), "holes");
            return;
        }
        assert!(started.elapsed() < LIMIT, "nothing was compacted");
        std::thread::sleep(STEP);
    }
}

#[test]
fn pausing_and_resuming_lose_nothing_and_answer_nothing_meanwhile() {
    let kafka = Kafka::shared();
    let topic = unique("paused");
    kafka.create_topic(&topic, 2, &[]);
    let producer = writer(kafka, None);
    let value = vec![b'x'; 500];
    (0..60_000).for_each(|row| {
        send(&producer, &topic, row % 2, "k", &value);
        if row % 10_000 == 0 {
            flush(&producer);
        }
    });
    flush(&producer);
    let cluster = cluster(kafka, 1);
    let both = [0, 1].map(|number| partition(&cluster, &topic, number));
    let mut source = cluster.source().expect("the broker answers");
    let mut watch = Watch::default();
    both.iter().for_each(|partition| watch.assign(&mut *source, *partition, 0));
    let mut round = 0;
    let started = Instant::now();
    while both.iter().any(|partition| !watch.at_end(*partition, 30_000)) {
        assert!(started.elapsed() < LIMIT);
        watch.poll(&mut *source);
        let victim = both[round % 2];
        source.pause(&[victim]);
        let before = watch.seen[&victim].records.len();
        for _ in 0..round % 3 {
            watch.poll(&mut *source);
        }
        assert_eq!(watch.seen[&victim].records.len(), before, "a paused partition answered");
        source.resume(&[victim]);
        round += 1;
    }
    for partition in both {
        assert_eq!(watch.offsets(partition), (0..30_000).collect::<Vec<_>>());
    }
    assert!(round > 3, "{round} pauses");
}

#[test]
fn unassigning_and_assigning_again_starts_where_it_is_told() {
    let kafka = Kafka::shared();
    let topic = unique("again");
    kafka.create_topic(&topic, 1, &[]);
    let producer = writer(kafka, None);
    (0..1000).for_each(|_| send(&producer, &topic, 0, "k", b"v"));
    flush(&producer);
    let cluster = cluster(kafka, 1);
    let partition = partition(&cluster, &topic, 0);
    let mut source = cluster.source().expect("the broker answers");
    for start in [0, 700, 3, 999, 0] {
        let mut watch = Watch::default();
        watch.assign(&mut *source, partition, start);
        watch.until("the end", &mut *source, |watch| watch.at_end(partition, 1000));
        assert_eq!(watch.offsets(partition), (start..1000).collect::<Vec<_>>());
        source.unassign(&[partition]);
        let mut late = Vec::new();
        source.poll(Duration::ZERO, &mut late).expect("the source goes on");
        assert!(late.is_empty(), "{late:?}");
    }
}

#[test]
fn offsets_below_the_log_are_a_loss_told_with_numbers() {
    let kafka = Kafka::shared();
    let topic = unique("deleted");
    kafka.create_topic(&topic, 1, &[]);
    let producer = writer(kafka, None);
    (0..100).for_each(|_| send(&producer, &topic, 0, "k", b"v"));
    flush(&producer);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Place::Offset(40)).expect("an offset");
    let deleted = futures::executor::block_on(kafka.admin().delete_records(&before, &AdminOptions::new()));
    deleted.expect("the broker answers");
    let cluster = cluster(kafka, 1);
    let fault = failure(&cluster, &topic, 15);
    assert_eq!(fault.code, "offsets-gone");
    assert!(fault.hint.contains("offset 15 ") && fault.hint.contains("starts at 40"), "{fault}");
    assert!(fault.hint.contains("up to 25 records"), "{fault}");
}

#[test]
fn offsets_above_the_log_are_a_truncation() {
    let kafka = Kafka::shared();
    let topic = unique("short");
    kafka.create_topic(&topic, 1, &[]);
    let producer = writer(kafka, None);
    (0..10).for_each(|_| send(&producer, &topic, 0, "k", b"v"));
    flush(&producer);
    let fault = failure(&cluster(kafka, 1), &topic, 500);
    assert_eq!(fault.code, "log-truncated");
    assert!(fault.hint.contains("500") && fault.hint.contains("ends at 10"), "{fault}");
}

fn failure(cluster: &dyn Cluster, topic: &str, start: i64) -> outflow_api::Fault {
    let id = cluster.topics(&[topic.to_owned()]).expect("the topic was made")[0].id;
    let partition = outflow_api::TopicPartition { topic: id, partition: 0 };
    let mut source = cluster.source().expect("the broker answers");
    let mut watch = Watch::default();
    watch.assign(&mut *source, partition, start);
    watch.until("the failure", &mut *source, |watch| !watch.failed.is_empty());
    assert!(watch.seen[&partition].records.is_empty());
    watch.failed.remove(0).1
}

#[test]
fn a_topic_made_anew_is_never_read_as_the_old_one() {
    let kafka = Kafka::shared();
    // The new topic is longer than what was read of the old one: offsets alone would not tell.
    let topic = unique("anew");
    kafka.create_topic(&topic, 1, &[]);
    let producer = writer(kafka, None);
    (0..10).for_each(|_| send(&producer, &topic, 0, "k", b"old"));
    flush(&producer);
    let cluster = cluster(kafka, 1);
    let partition = partition(&cluster, &topic, 0);
    let mut source = cluster.source().expect("the broker answers");
    let mut watch = Watch::default();
    watch.assign(&mut *source, partition, 0);
    watch.until("the end", &mut *source, |watch| watch.at_end(partition, 10));
    let fresh = std::thread::scope(|scope| {
        let remake = scope.spawn(|| {
            kafka.delete_topic(&topic);
            kafka.create_topic(&topic, 1, &[]);
            let producer = writer(kafka, None);
            (0..100).for_each(|_| send(&producer, &topic, 0, "k", b"new"));
            flush(&producer);
        });
        watch.until("the failure", &mut *source, |watch| !watch.failed.is_empty());
        remake.join()
    });
    fresh.expect("the topic was made anew");
    assert!(["topic-recreated", "topic-unknown"].contains(&watch.failed[0].1.code), "{}", watch.failed[0].1);
    assert_eq!(watch.offsets(partition), (0..10).collect::<Vec<_>>());
    // Whoever comes back with what the journal knows of the old topic is told too, at once.
    watch.failed.clear();
    watch.assign(&mut *source, partition, 10);
    watch.until("the failure", &mut *source, |watch| !watch.failed.is_empty());
    assert_eq!(watch.failed[0].1.code, "topic-recreated");
    let mut other = crate::common::cluster(kafka, 1).source().expect("the broker answers");
    watch.failed.clear();
    watch.assign(&mut *other, partition, 10);
    watch.until("the failure", &mut *other, |watch| !watch.failed.is_empty());
    assert_eq!(watch.failed[0].1.code, "topic-recreated");
}

#[test]
fn records_come_as_they_were_sent_and_20_megabytes_come_through() {
    let kafka = Kafka::shared();
    let topic = unique("large");
    kafka.create_topic(&topic, 1, &[("max.message.bytes", "30000000")]);
    let producer = writer(kafka, None);
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: "trace", value: Some("abc") })
        .insert(rdkafka::message::Header { key: "none", value: None::<&str> });
    let small = BaseRecord::to(&topic).partition(0).key("key").payload("value").timestamp(1234).headers(headers);
    producer.send(small).map_err(|(error, _)| error).expect("there is room");
    let tombstone = BaseRecord::<[u8], [u8]>::to(&topic).partition(0).key(b"gone");
    producer.send(tombstone).map_err(|(error, _)| error).expect("there is room");
    let large: Vec<u8> = (0..20_000_000u32).map(|at| (at % 251) as u8).collect();
    (0..3).for_each(|_| {
        send(&producer, &topic, 0, "large", &large);
        flush(&producer);
    });
    let cluster = cluster(kafka, 1);
    let partition = partition(&cluster, &topic, 0);
    let mut source = cluster.source().expect("the broker answers");
    source.assign(&[(partition, Offset(0))]).expect("the broker answers");
    let (mut events, started) = (Vec::new(), Instant::now());
    while !events.iter().any(|event| matches!(event, SourceEvent::AtEnd { .. })) {
        assert!(started.elapsed() < LIMIT);
        source.poll(STEP, &mut events).expect("the source goes on");
    }
    let blocks = events.iter().filter_map(|event| match event {
        SourceEvent::Fetched { block, .. } => Some(block),
        _ => None,
    });
    let records: Vec<_> = blocks.flat_map(|block| (0..block.len()).map(|row| block.get(row))).collect();
    assert_eq!(records.len(), 5);
    assert_eq!((records[0].timestamp_ms, records[0].key), (1234, Some(b"key".as_slice())));
    let headers: Vec<_> = records[0].headers.iter().collect();
    assert_eq!(headers, [("trace", Some(b"abc".as_slice())), ("none", None)]);
    assert_eq!((records[1].key, records[1].value), (Some(b"gone".as_slice()), None));
    assert!(records[2..].iter().all(|record| record.value == Some(&large[..])));
}

//! A coordinator that dies right behind an answered commit may forget its markers for good (kafka-lease, section 8):
//! what was answered as done must stay done, whatever its producer or the next owner does then.

use crate::{
    common::{LIMIT, STEP, cluster, decided, decision, eventually, unique},
    door::Door,
};
use outflow_api::{AppendOutcome, Cluster, DeadLetter, Journal, Shard, Transaction};
use outflow_kafka::KafkaCluster;
use outflow_rig::Kafka;
use rdkafka::{
    Message, Offset as Place, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Headers,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const SHARDS: u32 = 4;
const ROUNDS: u64 = 2;
const WIDE: usize = 30;

/// Decision `number` of a shard, and its dead letter.
fn numbered(letters: &str, number: i64) -> Transaction {
    // An old one would fall to the topic's retention.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let letter = DeadLetter {
        topic: letters.to_owned(),
        timestamp_ms: i64::try_from(now).expect("this century"),
        key: None,
        value: Some(number.to_string().into_bytes().into()),
        headers: Vec::new(),
    };
    Transaction { dead_letters: vec![letter], ..decision(1, number) }
}

/// Decides on and on until an answer is in doubt. Answers the last number that was done, and the last that was tried.
fn decide_until_doubt(journal: &mut dyn Journal, letters: &str, first: i64) -> (i64, i64) {
    let mut number = first;
    loop {
        match journal.append(&numbered(letters, number)) {
            AppendOutcome::Done => number += 1,
            AppendOutcome::Unknown(_) | AppendOutcome::Fenced => return (number - 1, number),
            AppendOutcome::Refused(fault) => panic!("{fault}"),
        }
    }
}

/// One shard while the broker dies: its owner goes on for as long as it is told "done", also while the next one takes
/// over, so that a transaction of the same producer is aborted behind a decision.
fn own_through(cluster: &KafkaCluster, shard: u32, letters: &str, first: i64, killed: &AtomicBool) -> i64 {
    let mut journal = cluster.journal(Shard(shard)).expect("the settings work");
    eventually(&mut *journal);
    std::thread::scope(|scope| {
        let owner = scope.spawn(|| decide_until_doubt(&mut *journal, letters, first));
        let started = Instant::now();
        while !killed.load(Ordering::Acquire) {
            assert!(started.elapsed() < LIMIT, "nobody kills the broker");
            std::thread::yield_now();
        }
        let mut next = cluster.journal(Shard(shard)).expect("the settings work");
        let recovered = eventually(&mut *next);
        let (done, tried) = owner.join().expect("it answers");
        let seen = decided(&recovered, 1).unwrap_or(0);
        assert!(seen == done || seen == tried, "shard {shard}: {done} was done, {tried} tried, and {seen} is seen");
        // What was read stays so, and the letters' partition takes more.
        let outcome = next.append(&numbered(letters, seen + 1));
        assert!(matches!(outcome, AppendOutcome::Done), "{outcome:?}");
        seen + 1
    })
}

#[test]
fn what_was_answered_as_done_outlives_its_broker_with_all_its_dead_letters() {
    let folder = tempfile::tempdir().expect("a folder");
    let kafka = Kafka::start(folder.path());
    let cluster = cluster(&kafka, SHARDS);
    let letters = unique("letters");
    cluster.provide(&[(letters.clone(), None)]).expect("the broker is ours");
    let mut last = [0; SHARDS as usize];
    for round in 0..ROUNDS {
        let killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let owners: Vec<_> = (0..SHARDS)
                .map(|shard| {
                    let (cluster, letters, killed, first) = (&cluster, &letters, &killed, last[shard as usize] + 1);
                    scope.spawn(move || own_through(cluster, shard, letters, first, killed))
                })
                .collect();
            // Some hundred decisions later, in the middle of one.
            let journaled = || ends(&kafka, &letters) > (round + 1) * 200;
            outflow_rig::wait_until("decisions", LIMIT, journaled);
            kafka.kill();
            kafka.restart();
            killed.store(true, Ordering::Release);
            for (shard, owner) in owners.into_iter().enumerate() {
                last[shard] = owner.join().expect("its owners agree");
            }
        });
    }
    for shard in 0..SHARDS {
        let seen = letters_of(&kafka, &letters, shard);
        let decided: Vec<i64> = (1..=last[shard as usize]).collect();
        assert_eq!(seen, decided, "dead letters of shard {shard}: one for each decision");
    }
}

fn reader(kafka: &Kafka) -> BaseConsumer {
    let mut config = kafka.config();
    config.set("group.id", unique("reader")).set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true").create().expect("the settings are valid")
}

fn ends(kafka: &Kafka, topic: &str) -> u64 {
    let reader = reader(kafka);
    let end = |shard: u32| reader.fetch_watermarks(topic, shard.cast_signed(), LIMIT).map_or(0, |(_, end)| end);
    (0..SHARDS).map(end).sum::<i64>().cast_unsigned()
}

/// What a reader of committed letters sees, barriers skipped.
fn letters_of(kafka: &Kafka, topic: &str, shard: u32) -> Vec<i64> {
    let reader = reader(kafka);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, shard.cast_signed(), Place::Beginning).expect("a valid offset");
    reader.assign(&list).expect("it is there");
    let (started, mut seen) = (Instant::now(), Vec::new());
    loop {
        assert!(started.elapsed() < LIMIT, "the letters have no end");
        match reader.poll(STEP) {
            Some(Ok(message)) => {
                let is_barrier =
                    message.headers().is_some_and(|all| all.iter().any(|one| one.key == "__outflow.barrier"));
                let text = message.payload().map(|payload| String::from_utf8_lossy(payload).into_owned());
                assert_eq!(is_barrier, text.is_none(), "only barriers are empty");
                seen.extend(text.map(|text| text.parse::<i64>().expect("a number")));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return seen,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
}

/// The accident itself, aimed: the broker dies between its "committed" and the client's hearing of it, and may forget
/// the markers. What has none shares the fate of the same producer's next transaction, so it is not done.
#[test]
fn nothing_is_done_whose_markers_were_forgotten_and_the_next_owner_sees_it_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Door::new();
    let kafka = Arc::new(Kafka::start_behind(folder.path(), door.port()));
    door.open(kafka.door());
    let mut settings = crate::common::settings(&kafka, 1);
    let direct = KafkaCluster::new(settings.clone()).expect("the settings are valid");
    direct.prepare().expect("the broker is ours");
    // The more partitions a transaction has, the longer it takes to mark them all.
    let letters: Vec<String> = (0..WIDE).map(|_| unique("letters")).collect();
    let topics: Vec<_> = letters.iter().map(|name| (name.clone(), None)).collect();
    direct.provide(&topics).expect("the broker is ours");
    let wide = |number| {
        let letters = letters.iter().flat_map(|topic| numbered(topic, number).dead_letters);
        Transaction { dead_letters: letters.collect(), ..decision(1, number) }
    };
    settings.bootstrap = format!("127.0.0.1:{}", door.port());
    let watched = KafkaCluster::new(settings.clone()).expect("the settings are valid");
    watched.provide(&topics).expect("the broker is ours");
    let mut journal = watched.journal(Shard(0)).expect("the settings work");
    eventually(&mut *journal);
    assert!(matches!(journal.append(&wide(1)), AppendOutcome::Done));
    let victim = Arc::clone(&kafka);
    door.behind_next_commit(move || victim.kill());
    let is_done = std::thread::scope(|scope| {
        let owner = scope.spawn(|| matches!(journal.append(&wide(2)), AppendOutcome::Done));
        outflow_rig::wait_until("the broker's death", LIMIT, || door.has_acted());
        kafka.restart();
        owner.join().expect("it answers")
    });
    let own = [&settings.journal_topic].into_iter().chain(&letters);
    let unmarked = own.filter(|topic| !is_marked(&kafka, topic)).count();
    assert!(!is_done || unmarked == 0, "done, while {unmarked} partitions have no marker");
    let mut next = direct.journal(Shard(0)).expect("the settings work");
    assert_eq!(decided(&eventually(&mut *next), 1), Some(2), "the coordinator had said \"committed\"");
    for topic in &letters {
        assert_eq!(letters_of(&kafka, topic, 0), [1, 2], "dead letters of both decisions");
    }
}

fn is_marked(kafka: &Kafka, topic: &str) -> bool {
    let end = |isolation: &str| {
        let reader: BaseConsumer = kafka.config().set("isolation.level", isolation).create().expect("valid settings");
        reader.fetch_watermarks(topic, 0, LIMIT).expect("the broker answers").1
    };
    end("read_committed") == end("read_uncommitted")
}

/// P7: another shard's open transaction, or one without markers, would block this one's reading and compaction.
#[test]
fn a_shard_writes_its_own_partitions_alone() {
    let kafka = Kafka::shared();
    let settings = crate::common::settings(kafka, 3);
    let cluster = KafkaCluster::new(settings.clone()).expect("the settings are valid");
    cluster.prepare().expect("the broker is ours");
    let letters = unique("letters");
    cluster.provide(&[(letters.clone(), None)]).expect("the broker is ours");
    let mut journal = cluster.journal(Shard(1)).expect("the settings work");
    eventually(&mut *journal);
    assert!(matches!(journal.append(&numbered(&letters, 1)), AppendOutcome::Done));
    let reader = reader(kafka);
    for topic in [&settings.journal_topic, &settings.ledger_topic, &letters] {
        let end = |shard| reader.fetch_watermarks(topic, shard, Duration::from_secs(20)).expect("it is there").1;
        assert_eq!((end(0), end(2)), (0, 0), "{topic}");
        assert!(end(1) > 0, "{topic}");
    }
}

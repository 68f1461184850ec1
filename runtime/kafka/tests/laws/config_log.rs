use crate::common::{LIMIT, cluster, committed, settings, unique, writer};
use outflow_api::{Cluster, ConfigLog, ConfigRevision, Forgotten, Publication, Revision, Shard};
use outflow_conformance::config_log::{
    Harness, behind, done, entry, laws, published, read_until_current, read_up_to, revision, sample,
};
use outflow_kafka::{KafkaCluster, KafkaSettings};
use outflow_rig::Kafka;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::{
    thread,
    time::{Duration, Instant},
};

struct OnKafka<'a> {
    kafka: &'a Kafka,
    settings: KafkaSettings,
}

impl OnKafka<'_> {
    fn new(kafka: &Kafka) -> OnKafka<'_> {
        let harness = OnKafka { kafka, settings: settings(kafka, 1) };
        harness.cluster().prepare().expect("the broker is ours");
        harness
    }

    fn cluster(&self) -> KafkaCluster {
        KafkaCluster::new(self.settings.clone()).expect("the settings are valid")
    }

    /// A publisher that never comes to its end.
    fn begin(&self, revision: &ConfigRevision) -> BaseProducer {
        let producer = writer(self.kafka, Some(&format!("{}-config", self.settings.group)));
        producer.begin_transaction().expect("the broker answers");
        for entry in outflow_journal::config::encode(revision) {
            let record = BaseRecord::to(&self.settings.config_topic).partition(0);
            let mut record: BaseRecord<'_, [u8], [u8]> = record.key(entry.key.as_slice());
            record.payload = entry.value.as_deref();
            producer.send(record).map_err(|(error, _)| error).expect("there is room");
        }
        producer.flush(LIMIT).expect("the broker answers");
        producer
    }
}

impl Harness for OnKafka<'_> {
    fn open(&self) -> Box<dyn ConfigLog> {
        self.cluster().config_log().expect("the broker answers")
    }

    fn die_within(&self, revision: &ConfigRevision) -> bool {
        drop(self.begin(revision));
        true
    }
}

#[test]
fn the_laws_of_a_config_log_hold() {
    for (name, law) in laws() {
        println!("{name}");
        law(&OnKafka::new(Kafka::shared()));
    }
}

#[test]
fn a_revision_is_seen_by_every_worker_within_moments() {
    const READERS: usize = 4;
    let harness = OnKafka::new(Kafka::shared());
    let mut publisher = harness.open();
    done(&mut *publisher, &sample(1, "a"));
    let mut readers: Vec<_> = (0..READERS).map(|_| harness.open()).collect();
    readers.iter_mut().for_each(|reader| drop(read_until_current(&mut **reader)));
    let (mut delays, began) = (Vec::<Duration>::new(), Instant::now());
    for number in 2..=12 {
        delays.extend(thread::scope(|scope| {
            let waiting = readers.iter_mut().map(|reader| {
                scope.spawn(move || {
                    assert_eq!(read_up_to(&mut **reader, number), [sample(number, "a")]);
                    Instant::now()
                })
            });
            let waiting: Vec<_> = waiting.collect();
            done(&mut *publisher, &sample(number, "a"));
            let answered = Instant::now();
            let seen = waiting.into_iter().map(|thread| thread.join().expect("it reads"));
            seen.map(|seen| seen.saturating_duration_since(answered)).collect::<Vec<_>>()
        }));
    }
    println!("a publication takes {:?}", began.elapsed() / 11);
    delays.sort_unstable();
    println!("seen after the answer: median {:?}, last {:?}", delays[delays.len() / 2], delays[delays.len() - 1]);
    assert!(delays[delays.len() / 2] < Duration::from_millis(200), "{delays:?}");
}

#[test]
fn a_publisher_that_is_fenced_in_the_middle_leaves_nothing() {
    let harness = OnKafka::new(Kafka::shared());
    let mut log = harness.open();
    done(&mut *log, &sample(1, "a"));
    let zombie = harness.begin(&sample(2, "zombie"));
    let mut reader = harness.open();
    assert_eq!(read_until_current(&mut *reader), [sample(1, "a")], "an open transaction hides nothing before it");
    done(&mut *log, &sample(2, "a"));
    zombie.commit_transaction(LIMIT).expect_err("it was followed");
    done(&mut *log, &sample(3, "a"));
    let expected: Vec<_> = (1..=3).map(|number| sample(number, "a")).collect();
    assert_eq!(published(&harness), expected);
    assert_eq!(read_up_to(&mut *reader, 3), expected[1..]);
}

/// Nothing of them can be read, and yet they are the end.
#[test]
fn a_log_that_ends_with_what_was_aborted_or_holds_nothing_else_becomes_current() {
    let harness = OnKafka::new(Kafka::shared());
    let abort = || harness.begin(&sample(1, "a")).abort_transaction(LIMIT).expect("the broker answers");
    abort();
    assert_eq!(published(&harness), []);
    done(&mut *harness.open(), &sample(1, "a"));
    abort();
    assert_eq!(published(&harness), [sample(1, "a")]);
    let mut late = harness.open();
    behind(&mut *late, &sample(1, "b"));
    assert_eq!(read_until_current(&mut *late), [sample(1, "a")]);
}

/// A log of its own whose topic is compacted within a second.
fn compacted_soon(more: &[(&str, &str)]) -> OnKafka<'static> {
    let kafka = Kafka::shared();
    let harness = OnKafka { kafka, settings: settings(kafka, 1) };
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "300"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "300"),
    ];
    kafka.create_topic(&harness.settings.config_topic, 1, &[&eager, more].concat());
    harness
}

#[test]
fn compaction_takes_old_barriers_and_what_was_aborted_and_nothing_else() {
    let harness = compacted_soon(&[]);
    let (kafka, topic) = (harness.kafka, &harness.settings.config_topic);
    let (mut log, mut expected, started) = (harness.open(), Vec::new(), Instant::now());
    let barriers = || {
        let key = outflow_journal::config::barrier(0).key;
        committed(kafka, topic, 0).iter().filter(|(found, _)| found.as_ref() == Some(&key)).count()
    };
    while barriers() == expected.len() || expected.len() < 5 {
        assert!(started.elapsed() < LIMIT, "nothing was compacted");
        let number = expected.len() as u64 + 1;
        // Keys that are committed later, or never.
        drop(harness.begin(&revision(number, vec![entry("lane/0", "aborted"), entry("lane/900", "aborted")])));
        expected.push(sample(number, "a"));
        done(&mut *log, &expected[expected.len() - 1]);
    }
    assert_eq!(published(&harness), expected);
    assert_eq!(read_up_to(&mut *log, expected.len() as u64), expected);
}

/// Tombstones and what they stand for go at any time, in any order: revisions stay whole, and lost entries are told.
#[test]
fn compaction_takes_what_was_forgotten_and_readers_of_all_times_agree() {
    let harness = compacted_soon(&[("delete.retention.ms", "1")]);
    let say = |number: u64| revision(number, vec![entry("lane/1", number.to_string()), entry("lane/2", "stays")]);
    let stays = |number: u64| revision(number, vec![entry("lane/2", "stays")]);
    let (mut log, mut early, started) = (harness.open(), harness.open(), Instant::now());
    (1..=4).for_each(|number| done(&mut *log, &say(number)));
    let entries = (1..4).map(|number| (Revision(number), "lane/1".to_owned())).collect();
    let answer = log.forget(&Forgotten { until: Revision(4), entries });
    assert!(matches!(answer, Publication::Done), "{answer:?}");
    let mut number = 4;
    loop {
        let found = published(&harness);
        for (at, found) in (1..=number).zip(&found) {
            assert!(*found == say(at) || at < 4 && *found == stays(at), "{found:?}");
        }
        assert_eq!(found.len() as u64, number);
        if (1..4).all(|at| found[at as usize - 1] == stays(at)) {
            break;
        }
        assert!(started.elapsed() < LIMIT, "nothing was compacted");
        number += 1;
        done(&mut *log, &say(number));
    }
    let seen: Vec<_> = (1..=number).map(say).collect();
    let read = read_up_to(&mut *early, number);
    assert_eq!(read[3..], seen[3..], "to one that was open all the time");
    let mut late = harness.open();
    read_until_current(&mut *late);
    assert_eq!(late.forgotten(), Revision(4));
}

#[test]
fn a_journal_is_looked_at_without_disturbing_its_owner() {
    let kafka = Kafka::shared();
    let cluster = cluster(kafka, 2);
    assert!(cluster.peek(Shard(0)).expect("the broker answers").is_none(), "nobody ever owned it");
    let mut owner = cluster.journal(Shard(0)).expect("the settings work");
    owner.acquire().expect("the broker answers");
    for number in 1..=3 {
        let decision = crate::common::decision(1, number);
        assert!(matches!(owner.append(&decision), outflow_api::AppendOutcome::Done));
        let seen = cluster.peek(Shard(0)).expect("the broker answers").expect("it has an owner");
        assert_eq!(crate::common::decided(&seen, 1), Some(number));
    }
    assert!(cluster.peek(Shard(1)).expect("the broker answers").is_none());
}

#[test]
fn a_late_publisher_fences_nobody() {
    let harness = OnKafka::new(Kafka::shared());
    let (mut late, mut log) = (harness.open(), harness.open());
    done(&mut *log, &sample(1, "a"));
    assert_eq!(read_up_to(&mut *late, 1).len(), 1);
    let working = harness.begin(&sample(2, "b"));
    behind(&mut *late, &sample(1, "late"));
    working.commit_transaction(LIMIT).expect("it was not disturbed");
    assert_eq!(read_up_to(&mut *late, 2), [sample(2, "b")]);
}

#[test]
fn a_config_topic_of_several_partitions_or_without_compaction_is_refused() {
    let kafka = Kafka::shared();
    for (partitions, policy, code) in [(2, "compact", "config-partitions"), (1, "delete", "journal-setting")] {
        let settings = settings(kafka, 2);
        kafka.create_topic(&settings.config_topic, partitions, &[("cleanup.policy", policy)]);
        let topic = settings.config_topic.clone();
        let cluster = KafkaCluster::new(settings).expect("the settings are valid");
        let fault = cluster.prepare().expect_err("the topic is of no use");
        assert_eq!(fault.code, code, "{fault}");
        assert!(fault.hint.contains(&topic), "{fault}");
        let findings = cluster.examine(&[], &[]);
        let finding = findings.iter().find(|finding| finding.subject == format!("config log {topic}"));
        assert!(finding.expect("it is looked at").result.as_ref().is_err_and(|fault| fault.code == code));
    }
}

#[test]
fn a_log_that_is_not_there_or_was_made_anew_is_told() {
    let kafka = Kafka::shared();
    let mut nowhere = settings(kafka, 1);
    nowhere.config_topic = unique("missing");
    let missing = KafkaCluster::new(nowhere).expect("the settings are valid").config_log().err().expect("never made");
    assert_eq!(missing.code, "topic-unknown", "{missing}");
    let harness = OnKafka::new(kafka);
    let mut log = harness.open();
    (1..=3).for_each(|number| done(&mut *log, &sample(number, "a")));
    kafka.delete_topic(&harness.settings.config_topic);
    harness.cluster().prepare().expect("the broker is ours");
    let started = Instant::now();
    let fault = loop {
        assert!(started.elapsed() < LIMIT, "nothing was told");
        match log.read(Duration::from_millis(100)) {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.code, "config-lost", "{fault}");
}

/// What was published, as far as anybody was told.
#[derive(Default)]
struct Told {
    done: Vec<ConfigRevision>,
    /// Attempts that may have been heard.
    unknown: Vec<ConfigRevision>,
}

impl Told {
    /// Publishes until it is told to end; each attempt can be told from all others.
    fn publish(&mut self, log: &mut dyn ConfigLog, ends: impl Fn() -> bool) {
        let mut newest = self.done.last().map_or(0, |last| last.revision.0);
        for attempt in 0.. {
            if ends() {
                return;
            }
            let text = format!("attempt {attempt} after {newest} {}", unique("of"));
            let lanes = (0..3_000).map(|lane| entry(format!("lane/{lane}"), format!("{text:>300}")));
            let next = revision(newest + 1, lanes.collect());
            match log.publish(&next) {
                Publication::Done => {
                    newest += 1;
                    self.done.push(next);
                }
                Publication::Unknown(_) => self.unknown.push(next),
                Publication::Refused(fault) => assert_eq!(fault.verdict, outflow_api::Verdict::Retry { after: None }),
                Publication::Behind => {}
            }
            let read = log.read(Duration::from_millis(20)).expect("a broker's absence is no fault");
            newest = read.last().map_or(newest, |last| last.revision.0.max(newest));
        }
    }

    fn check(&self, found: &[ConfigRevision]) {
        for revision in &self.done {
            assert!(found.contains(revision), "revision {:?} was answered as done", revision.revision);
        }
        for revision in found {
            let was_tried = self.done.contains(revision) || self.unknown.contains(revision);
            assert!(was_tried, "revision {:?} is there in part, or mixed", revision.revision);
        }
    }
}

#[test]
fn a_broker_killed_amid_publications_takes_back_nothing_and_halves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let kafka = Kafka::start(folder.path());
    let harness = OnKafka::new(&kafka);
    let (mut log, mut watcher, mut told) = (harness.open(), harness.open(), Told::default());
    let mut watched = Vec::new();
    for round in 0..4 {
        thread::scope(|scope| {
            let killer = scope.spawn(|| {
                thread::sleep(Duration::from_millis(700 + round * 37));
                kafka.kill();
                kafka.restart();
            });
            told.publish(&mut *log, || killer.is_finished());
        });
        // The next publication decides what was in doubt.
        let before = told.done.len();
        let started = Instant::now();
        while told.done.len() == before {
            assert!(started.elapsed() < LIMIT * 2, "nothing can be published after the broker's restart");
            let (count, once) = (told.done.len(), std::cell::Cell::new(false));
            told.publish(&mut *log, || once.replace(true) || count > before);
        }
        let found = published(&harness);
        told.check(&found);
        watched.extend(read_up_to(&mut *watcher, found.len() as u64));
        assert!(watched == found, "a reader that was open all the time sees something else");
        println!("round {round}: {} done, {} unknown, {} there", told.done.len(), told.unknown.len(), found.len());
    }
}

/// kafka-lease: the coordinator may forget the markers of a commit that it has answered.
#[test]
fn a_broker_killed_right_behind_the_answer_takes_nothing_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let kafka = Kafka::start(folder.path());
    let harness = OnKafka::new(&kafka);
    let mut log = harness.open();
    let mut expected = Vec::new();
    for number in 1..=4 {
        let lanes = (0..500).map(|lane| entry(format!("lane/{lane}"), vec![number as u8; 500]));
        expected.push(revision(number, lanes.collect()));
        done(&mut *log, &expected[expected.len() - 1]);
        kafka.kill();
        kafka.restart();
        // The shards' own first words may wait for the coordinator.
        let started = Instant::now();
        while harness.cluster().journal(Shard(0)).expect("the settings work").acquire().is_err() {
            assert!(started.elapsed() < LIMIT, "the broker does not come back");
        }
        assert!(published(&harness) == expected, "revision {number} was answered as done and is not there");
    }
}

#[test]
fn shards_and_publishers_do_not_disturb_one_another() {
    let kafka = Kafka::shared();
    let cluster = cluster(kafka, 2);
    let mut journals: Vec<_> = (0..2).map(|shard| cluster.journal(Shard(shard)).expect("the settings work")).collect();
    journals.iter_mut().for_each(|journal| drop(journal.acquire().expect("the broker answers")));
    let mut log = cluster.config_log().expect("the broker answers");
    (1..=3).for_each(|number| done(&mut *log, &sample(number, "a")));
    for journal in &mut journals {
        let outcome = journal.append(&crate::common::decision(1, 5));
        assert!(matches!(outcome, outflow_api::AppendOutcome::Done), "{outcome:?}");
    }
    done(&mut *log, &sample(4, "a"));
}

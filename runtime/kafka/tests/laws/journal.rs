use crate::common::{cluster, decided, decision, eventually, unique};
use outflow_api::{AppendOutcome, Cluster, DeadLetter, Generation, Journal, Shard, Transaction};
use outflow_rig::Kafka;
use std::time::Duration;

fn done(journal: &mut dyn Journal, transaction: &Transaction) {
    let outcome = journal.append(transaction);
    assert!(matches!(outcome, AppendOutcome::Done), "{outcome:?}");
}

#[test]
fn a_takeover_sees_every_decision_and_the_generation_rises() {
    let cluster = cluster(Kafka::shared(), 2);
    let mut generation = Generation(0);
    let mut incarnation = None;
    for owner in 0..4 {
        let mut journal = cluster.journal(Shard(1)).expect("the broker answers");
        let recovered = journal.acquire().expect("the broker answers");
        assert!(owner == 0 || recovered.generation > generation);
        assert_eq!(*incarnation.get_or_insert(recovered.incarnation), recovered.incarnation);
        generation = recovered.generation;
        for lane in 0..20 {
            assert_eq!(decided(&recovered, lane), (owner > 0).then_some(i64::from(owner * 100 + 9)));
        }
        for tick in 0..10 {
            let lanes = (0..20).flat_map(|lane| decision(lane, i64::from((owner + 1) * 100 + tick)).lanes).collect();
            done(&mut *journal, &Transaction { lanes, ..Transaction::default() });
        }
    }
}

#[test]
fn an_owner_that_was_followed_is_fenced_and_writes_nothing() {
    let cluster = cluster(Kafka::shared(), 1);
    let mut old = cluster.journal(Shard(0)).expect("the broker answers");
    old.acquire().expect("the broker answers");
    done(&mut *old, &decision(1, 10));
    let mut new = cluster.journal(Shard(0)).expect("the broker answers");
    assert_eq!(decided(&new.acquire().expect("the broker answers"), 1), Some(10));
    let outcome = old.append(&decision(1, 11));
    assert!(matches!(outcome, AppendOutcome::Fenced), "{outcome:?}");
    assert!(!matches!(old.append(&decision(1, 12)), AppendOutcome::Done), "an owner that was fenced stays so");
    done(&mut *new, &decision(2, 20));
    let recovered = old.acquire().expect("it may own again");
    assert_eq!((decided(&recovered, 1), decided(&recovered, 2)), (Some(10), Some(20)));
}

#[test]
fn what_would_fail_is_refused_before_anything_is_sent() {
    let kafka = Kafka::shared();
    let cluster = cluster(kafka, 1);
    let mut journal = cluster.journal(Shard(0)).expect("the broker answers");
    journal.acquire().expect("the broker answers");
    let letter = |topic: &str, bytes: usize| DeadLetter {
        topic: topic.to_owned(),
        timestamp_ms: 5,
        key: Some(bytes::Bytes::from_static(b"k")),
        value: Some(vec![0; bytes].into()),
        headers: vec![("__connect.errors.topic".to_owned(), bytes::Bytes::from_static(b"orders"))],
    };
    let with = |dead_letters| Transaction { dead_letters, ..decision(1, 5) };
    let refused = |journal: &mut dyn Journal, transaction: Transaction, code: &str| {
        let outcome = journal.append(&transaction);
        assert!(matches!(&outcome, AppendOutcome::Refused(fault) if fault.code == code), "{outcome:?}");
    };
    refused(&mut *journal, with(vec![letter(&unique("missing"), 10)]), "dead-letters-refused");
    let letters = unique("letters");
    kafka.create_topic(&letters, 3, &[]);
    refused(&mut *journal, with(vec![letter(&letters, 1_100_000)]), "dead-letter-too-large");
    let lanes = (0..2000).flat_map(|lane| decision(lane, 1).lanes).collect();
    refused(&mut *journal, Transaction { lanes, ..Transaction::default() }, "transaction-too-many-lanes");
    // The owner goes on.
    done(&mut *journal, &with((0..3).map(|_| letter(&letters, 900_000)).collect()));
    let mut next = cluster.journal(Shard(0)).expect("the broker answers");
    assert_eq!(decided(&next.acquire().expect("the broker answers"), 1), Some(5));
}

/// kafka-lease: a coordinator that dies right behind an answered commit may forget its markers for good.
#[test]
fn a_broker_killed_behind_an_answered_commit_hides_no_decision_from_the_next_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let kafka = Kafka::start(folder.path());
    let cluster = cluster(&kafka, 4);
    for round in 1..=3 {
        let mut journals: Vec<_> =
            (0..4).map(|shard| cluster.journal(Shard(shard)).expect("the settings work")).collect();
        journals.iter_mut().for_each(|journal| drop(eventually(&mut **journal)));
        for journal in &mut journals {
            let lanes = (0..50).flat_map(|lane| decision(lane, round).lanes).collect();
            done(&mut **journal, &Transaction { lanes, ..Transaction::default() });
        }
        kafka.kill();
        kafka.restart();
        for shard in 0..4 {
            let mut next = cluster.journal(Shard(shard)).expect("the settings work");
            let recovered = eventually(&mut *next);
            let lanes = (0..50).filter(|lane| decided(&recovered, *lane) == Some(round)).count();
            assert_eq!(lanes, 50, "round {round}, shard {shard}: decisions that were answered and are not seen");
        }
    }
}

#[test]
fn a_broker_stopped_amid_appends_answers_done_or_unknown_and_reading_tells_the_truth() {
    let folder = tempfile::tempdir().expect("a folder");
    let kafka = Kafka::start(folder.path());
    let cluster = cluster(&kafka, 1);
    let mut journal = cluster.journal(Shard(0)).expect("the settings work");
    let (mut next, mut known, mut unknown) = (0, None, 0);
    eventually(&mut *journal);
    for round in 0..4 {
        let pause = Duration::from_millis(2 + round * 7);
        let outcomes: Vec<(i64, bool)> = std::thread::scope(|scope| {
            let stopper = scope.spawn(|| {
                std::thread::sleep(pause);
                kafka.pause();
                // The second half is longer than the transaction's time-out, and than a tick's patience.
                std::thread::sleep(if round < 2 { Duration::from_secs(2) } else { Duration::from_secs(40) });
                kafka.resume();
            });
            let mut outcomes = Vec::new();
            while !stopper.is_finished() {
                next += 1;
                match journal.append(&decision(1, next)) {
                    AppendOutcome::Done => outcomes.push((next, true)),
                    AppendOutcome::Unknown(_) => {
                        outcomes.push((next, false));
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            stopper.join().expect("the broker goes on");
            outcomes
        });
        for (value, done) in outcomes {
            if done {
                known = Some(value);
            } else {
                unknown += 1;
            }
        }
        let mut owner = cluster.journal(Shard(0)).expect("the settings work");
        let seen = decided(&eventually(&mut *owner), 1);
        assert!(seen == known || seen == Some(next), "seen {seen:?}, done {known:?}, last {next}");
        known = seen;
        // What was read stays so: nothing of the owner before appears later.
        let mut again = cluster.journal(Shard(0)).expect("the settings work");
        assert_eq!(decided(&eventually(&mut *again), 1), seen);
        journal = again;
    }
    assert!(unknown > 0, "no append was in doubt");
}

//! One publication at a time, each on the one before.

use super::{Harness, LIMIT, behind, done, entry, gone, published, read_up_to, revision, sample};
use bytes::Bytes;
use outflow_api::{ConfigRevision, Publication};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

pub fn of_two_publishers_of_one_revision_one_is_done(harness: &dyn Harness) {
    let (mut one, mut other) = (harness.open(), harness.open());
    done(&mut *one, &sample(1, "one"));
    for log in [&mut one, &mut other] {
        assert_eq!(read_up_to(&mut **log, 1), [sample(1, "one")]);
    }
    done(&mut *other, &sample(2, "other"));
    behind(&mut *one, &sample(2, "one"));
    for log in [&mut one, &mut other] {
        assert_eq!(read_up_to(&mut **log, 2), [sample(2, "other")]);
    }
    done(&mut *one, &sample(3, "one"));
    assert_eq!(published(harness), [sample(1, "one"), sample(2, "other"), sample(3, "one")]);
}

/// What one publisher tried, and whether it must be there, can't be there, or may be.
struct Attempt {
    revision: ConfigRevision,
    is_there: Option<bool>,
}

pub fn publishers_at_once_lose_and_mix_nothing(harness: &dyn Harness) {
    const ENOUGH: u64 = 12;
    let count = AtomicU64::new(0);
    let work = |author: &str| {
        let (mut log, mut attempts, mut newest, started) = (harness.open(), Vec::new(), 0, Instant::now());
        while count.load(Ordering::Relaxed) < ENOUGH && started.elapsed() < LIMIT {
            // Who was behind waits for what the others publish.
            let wait = Duration::from_millis(if attempts.is_empty() { 0 } else { 50 });
            let read = log.read(wait).expect("readable");
            newest = read.last().map_or(newest, |last| last.revision.0);
            let revision = sample(newest + 1, &format!("{author} {}", attempts.len()));
            let is_there = match log.publish(&revision) {
                Publication::Done => Some(true),
                Publication::Behind => Some(false),
                Publication::Unknown(_) => None,
                Publication::Refused(fault) => panic!("{fault}"),
            };
            count.fetch_add(u64::from(is_there == Some(true)), Ordering::Relaxed);
            attempts.push(Attempt { revision, is_there });
        }
        attempts
    };
    let attempts: Vec<Attempt> = thread::scope(|scope| {
        let threads = ["one", "two", "three"].map(|author| scope.spawn(move || work(author)));
        threads.into_iter().flat_map(|thread| thread.join().expect("the law holds")).collect()
    });
    let found = published(harness);
    assert!(count.load(Ordering::Relaxed) >= ENOUGH, "{} publications within {LIMIT:?}", found.len());
    for Attempt { revision, is_there } in &attempts {
        let was_found = found.contains(revision);
        assert!(is_there.is_none_or(|expected| expected == was_found), "{revision:?}: {is_there:?}, {was_found}");
    }
    let unknown = attempts.iter().filter(|attempt| attempt.is_there.is_none()).count();
    println!("  {} attempts, {} revisions, {unknown} in doubt at first", attempts.len(), found.len());
    let tried = |revision: &ConfigRevision| attempts.iter().any(|attempt| attempt.revision == *revision);
    assert!(found.iter().all(tried), "a revision that nobody wrote: {found:?}");
}

pub fn another_number_is_behind_and_changes_nothing(harness: &dyn Harness) {
    let mut log = harness.open();
    for number in [0, 2, 3, u64::MAX] {
        behind(&mut *log, &sample(number, "wrong"));
    }
    done(&mut *log, &sample(1, "right"));
    done(&mut *log, &sample(2, "right"));
    for number in [0, 1, 2, 4, 5, u64::MAX] {
        behind(&mut *log, &sample(number, "wrong"));
        behind(&mut *harness.open(), &sample(number, "wrong"));
    }
    done(&mut *log, &sample(3, "right"));
    let expected: Vec<_> = (1..=3).map(|number| sample(number, "right")).collect();
    assert_eq!(published(harness), expected);
    assert_eq!(read_up_to(&mut *log, 3), expected);
}

/// Without having read what the other published.
pub fn a_publisher_that_was_followed_is_behind_and_goes_on(harness: &dyn Harness) {
    let (mut old, mut new) = (harness.open(), harness.open());
    done(&mut *old, &sample(1, "old"));
    done(&mut *new, &sample(2, "new"));
    done(&mut *new, &sample(3, "new"));
    behind(&mut *old, &revision(2, vec![gone("lane/1"), entry("lane/2", "late")]));
    behind(&mut *new, &sample(3, "new"));
    assert_eq!(read_up_to(&mut *old, 3), [sample(1, "old"), sample(2, "new"), sample(3, "new")]);
    done(&mut *old, &sample(4, "old"));
    let expected = [sample(1, "old"), sample(2, "new"), sample(3, "new"), sample(4, "old")];
    assert_eq!(published(harness), expected);
}

pub fn a_publisher_that_died_leaves_nothing(harness: &dyn Harness) {
    let (mut log, mut reader) = (harness.open(), harness.open());
    done(&mut *log, &sample(1, "a"));
    let lanes = (0..200).map(|lane| entry(format!("lane/{lane}"), vec![7; 500]));
    if !harness.die_within(&revision(2, lanes.collect())) {
        return;
    }
    assert_eq!(read_up_to(&mut *reader, 1), [sample(1, "a")]);
    assert_eq!(published(harness), [sample(1, "a")]);
    done(&mut *log, &sample(2, "a"));
    done(&mut *harness.open(), &sample(3, "b"));
    let expected = [sample(1, "a"), sample(2, "a"), sample(3, "b")];
    assert_eq!(published(harness), expected);
    assert_eq!(read_up_to(&mut *reader, 3), expected[1..]);
}

pub fn what_is_too_large_is_refused_and_changes_nothing(harness: &dyn Harness) {
    let mut log = harness.open();
    let lanes =
        |count: u32, content: &Bytes| (0..count).map(|lane| entry(format!("lane/{lane}"), content.clone())).collect();
    let (small, large) = (Bytes::new(), Bytes::from(vec![0; 890 << 10]));
    let too_large = [
        lanes(100_001, &small),
        lanes(300, &large),
        vec![entry("lane/1", vec![0; 900 << 10])],
        vec![entry("", "")],
        vec![entry("x".repeat(1_001), "")],
        vec![entry("lane/1", "a"), gone("lane/1")],
    ];
    for (number, entries) in (1..).zip(too_large) {
        match log.publish(&revision(number, entries)) {
            Publication::Refused(fault) => assert!(!fault.hint.is_empty()),
            other => panic!("expected Refused, got {other:?}"),
        }
        done(&mut *log, &sample(number, "a"));
    }
    assert_eq!(published(harness), (1..=6).map(|number| sample(number, "a")).collect::<Vec<_>>());
}

//! What was published is read: whole, in order, once, by everybody.

use super::{Harness, LIMIT, done, entry, gone, published, read_until_current, read_up_to, revision, sample};
use bytes::Bytes;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

pub fn a_new_log_is_empty(harness: &dyn Harness) {
    let mut log = harness.open();
    assert_eq!(read_until_current(&mut *log), []);
    assert_eq!(log.read(Duration::from_millis(50)).expect("readable"), []);
    assert!(log.is_current());
}

pub fn every_reader_reads_every_revision_in_order(harness: &dyn Harness) {
    let (mut publisher, mut early) = (harness.open(), harness.open());
    for number in 1..=3 {
        done(&mut *publisher, &sample(number, "a"));
    }
    let mut amid = harness.open();
    let first = read_up_to(&mut *early, 3);
    for number in 4..=9 {
        done(&mut *publisher, &sample(number, "a"));
    }
    let all: Vec<_> = (1..=9).map(|number| sample(number, "a")).collect();
    assert_eq!([first, read_up_to(&mut *early, 9)].concat(), all);
    assert_eq!(read_up_to(&mut *amid, 9), all);
    assert_eq!(published(harness), all, "to one that is opened later");
    assert_eq!(read_up_to(&mut *publisher, 9), all, "to the publisher itself");
    for log in [&mut publisher, &mut early, &mut amid] {
        assert_eq!(log.read(Duration::ZERO).expect("readable"), [], "each once");
        assert!(log.is_current());
    }
}

pub fn content_and_absence_come_back_as_written(harness: &dyn Harness) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let all = [
        revision(1, Vec::new()),
        revision(2, vec![entry("b", every_byte), gone("a"), entry("c", "")]),
        revision(3, vec![entry("merchant/1001 – Müller & Söhne", "x"), entry("x".repeat(1_000), vec![0; 899 << 10])]),
        revision(4, vec![gone("b"), entry("a", "it is back")]),
        revision(5, Vec::new()),
    ];
    let mut log = harness.open();
    all.iter().for_each(|revision| done(&mut *log, revision));
    assert_eq!(published(harness), all);
}

pub fn a_reader_opened_amid_publications_reads_a_prefix(harness: &dyn Harness) {
    const COUNT: u64 = 40;
    let answered = AtomicU64::new(0);
    let check = || {
        let before = answered.load(Ordering::SeqCst);
        let found = published(harness);
        let newest = found.len() as u64;
        assert!(newest >= before, "{before} were answered as done, {newest} were found");
        assert_eq!(found, (1..=newest).map(|number| sample(number, "a")).collect::<Vec<_>>());
        newest
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = harness.open();
            for number in 1..=COUNT {
                done(&mut *log, &sample(number, "a"));
                answered.store(number, Ordering::SeqCst);
            }
        });
        let started = Instant::now();
        while check() < COUNT {
            assert!(started.elapsed() < LIMIT, "{COUNT} publications take more than {LIMIT:?}");
        }
    });
}

/// Long before its patience ends.
pub fn a_waiting_reader_is_woken(harness: &dyn Harness) {
    let (mut reader, mut publisher) = (harness.open(), harness.open());
    read_until_current(&mut *reader);
    let (found, waited) = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let found = reader.read(LIMIT).expect("readable");
            (found, Instant::now())
        });
        done(&mut *publisher, &sample(1, "a"));
        let answered = Instant::now();
        let (found, at) = waiting.join().expect("it reads");
        (found, at.saturating_duration_since(answered))
    });
    assert_eq!(found, [sample(1, "a")]);
    assert!(waited < Duration::from_secs(5), "it was read {waited:?} after it was published");
}

/// As many lanes as an installation may have.
pub fn a_large_publication_comes_whole(harness: &dyn Harness) {
    let lane = |lane: u32| entry(format!("lane/{lane}"), Bytes::from(format!("{lane:0>500}")));
    let large = revision(1, (0..60_000).map(lane).collect());
    let started = Instant::now();
    done(&mut *harness.open(), &large);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(20), "60,000 entries take {took:?}");
    let started = Instant::now();
    // Compared without being shown.
    assert!(published(harness) == [large], "the publication came back in another form");
    println!("  60,000 entries: published in {took:?}, read in {:?}", started.elapsed());
}

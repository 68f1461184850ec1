//! Contents that nobody needs go, sooner or later; revisions stay.

use super::{Harness, LIMIT, done, entry, published, read_until_current, read_up_to, revision, sample};
use outflow_api::{ConfigLog, ConfigRevision, Forgotten, Publication, Revision};
use std::{
    thread,
    time::{Duration, Instant},
};

fn object(number: u64, object: &str) -> (Revision, String) {
    (Revision(number), object.to_owned())
}

fn forgotten(until: u64, entries: Vec<(Revision, String)>) -> Forgotten {
    Forgotten { until: Revision(until), entries }
}

fn forget(log: &mut dyn ConfigLog, forgotten: &Forgotten) {
    let started = Instant::now();
    loop {
        match log.forget(forgotten) {
            Publication::Done => return,
            // Another publisher is at work.
            Publication::Behind if started.elapsed() < LIMIT => drop(log.read(Duration::from_millis(20))),
            other => panic!("expected Done, got {other:?}"),
        }
    }
}

/// Without what was forgotten: an implementation may take its time.
fn left(all: Vec<ConfigRevision>, forgotten: &Forgotten) -> Vec<ConfigRevision> {
    let without = |ConfigRevision { revision: number, mut entries }: ConfigRevision| {
        entries.retain(|entry| !forgotten.entries.contains(&(number, entry.object.clone())));
        revision(number.0, entries)
    };
    all.into_iter().map(without).collect()
}

pub fn what_is_forgotten_goes_and_nothing_else(harness: &dyn Harness) {
    let (mut log, mut early) = (harness.open(), harness.open());
    (1..=4).for_each(|number| done(&mut *log, &sample(number, "a")));
    let all: Vec<_> = (1..=4).map(|number| sample(number, "a")).collect();
    assert_eq!(read_up_to(&mut *early, 3)[..3], all[..3]);
    let first = forgotten(3, vec![object(1, "connector/orders"), object(2, "connector/orders"), object(2, "lane/1")]);
    forget(&mut *log, &first);
    assert_eq!(log.forgotten(), Revision(3));
    let mut late = harness.open();
    assert_eq!(left(read_until_current(&mut *late), &first), left(all.clone(), &first));
    assert_eq!(late.forgotten(), Revision(3), "whoever opens it later knows");
    // Again, and less: a mark never falls.
    forget(&mut *harness.open(), &forgotten(2, vec![object(1, "connector/orders")]));
    let mut late = harness.open();
    assert_eq!(left(read_until_current(&mut *late), &first), left(all, &first));
    assert_eq!(late.forgotten(), Revision(3));
    done(&mut *log, &sample(5, "a"));
    done(&mut *harness.open(), &sample(6, "b"));
    for reader in [&mut early, &mut late] {
        assert!(read_up_to(&mut **reader, 6).ends_with(&[sample(5, "a"), sample(6, "b")]));
        assert_eq!(reader.read(Duration::ZERO).expect("readable"), [], "each once");
    }
}

pub fn nothing_is_forgotten_beyond_the_end(harness: &dyn Harness) {
    let mut log = harness.open();
    done(&mut *log, &sample(1, "a"));
    let answer = log.forget(&forgotten(2, vec![object(1, "connector/orders")]));
    assert!(matches!(answer, Publication::Behind), "{answer:?}");
    assert_eq!(published(harness), [sample(1, "a")]);
    assert_eq!(harness.open().forgotten(), Revision(0));
}

pub fn publishers_and_those_who_forget_lose_nothing(harness: &dyn Harness) {
    const COUNT: u64 = 30;
    let say = |number: u64| revision(number, vec![entry("lane/1", number.to_string()), entry("lane/2", "stays")]);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let (mut log, started) = (harness.open(), Instant::now());
            let mut number = 1;
            while number <= COUNT {
                assert!(started.elapsed() < LIMIT, "{number} revisions within {LIMIT:?}");
                match log.publish(&say(number)) {
                    Publication::Done => number += 1,
                    Publication::Refused(fault) => panic!("{fault}"),
                    Publication::Behind | Publication::Unknown(_) => {
                        let newest = log.read(Duration::from_millis(20)).expect("readable");
                        number = newest.last().map_or(number, |last| number.max(last.revision.0 + 1));
                    }
                }
            }
        });
        let mut log = harness.open();
        let mut newest = 0;
        while !publisher.is_finished() {
            let read = log.read(Duration::from_millis(20)).expect("readable");
            newest = read.last().map_or(newest, |last| last.revision.0);
            if newest > 1 {
                let old = (1..newest).map(|number| object(number, "lane/1"));
                let _ = log.forget(&forgotten(newest, old.collect()));
            }
        }
    });
    let found = published(harness);
    assert_eq!(found.len() as u64, COUNT);
    for (number, found) in (1..).zip(found) {
        let (said, stays) = (say(number), revision(number, vec![entry("lane/2", "stays")]));
        assert!(found == said || number < COUNT && found == stays, "{found:?}");
    }
}

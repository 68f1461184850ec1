//! The laws of a [`ConfigLog`], for every implementation. Each takes a log to which nobody has ever published:
//!
//! ```no_run
//! fn keeps_the_laws(harness: &dyn outflow_conformance::config_log::Harness) {
//!     for (name, law) in outflow_conformance::config_log::laws() {
//!         println!("{name}");
//!         law(harness);
//!     }
//! }
//! ```
//! A law that does not hold panics.

pub mod forgetting;
pub mod publishing;
pub mod reading;

use bytes::Bytes;
use outflow_api::{ConfigEntry, ConfigLog, ConfigRevision, Publication, Revision};
use std::time::{Duration, Instant};

pub trait Harness: Sync {
    /// Another instance of the same log, as another process would have it.
    fn open(&self) -> Box<dyn ConfigLog>;

    /// A publisher begins to write this and dies before the end. False: it can't be brought about here.
    fn die_within(&self, _revision: &ConfigRevision) -> bool {
        false
    }
}

pub type Law = (&'static str, fn(&dyn Harness));

pub fn laws() -> Vec<Law> {
    vec![
        ("a_new_log_is_empty", reading::a_new_log_is_empty),
        ("every_reader_reads_every_revision_in_order", reading::every_reader_reads_every_revision_in_order),
        ("content_and_absence_come_back_as_written", reading::content_and_absence_come_back_as_written),
        ("a_reader_opened_amid_publications_reads_a_prefix", reading::a_reader_opened_amid_publications_reads_a_prefix),
        ("a_waiting_reader_is_woken", reading::a_waiting_reader_is_woken),
        ("a_large_publication_comes_whole", reading::a_large_publication_comes_whole),
        ("what_is_forgotten_goes_and_nothing_else", forgetting::what_is_forgotten_goes_and_nothing_else),
        ("nothing_is_forgotten_beyond_the_end", forgetting::nothing_is_forgotten_beyond_the_end),
        ("publishers_and_those_who_forget_lose_nothing", forgetting::publishers_and_those_who_forget_lose_nothing),
        ("of_two_publishers_of_one_revision_one_is_done", publishing::of_two_publishers_of_one_revision_one_is_done),
        ("publishers_at_once_lose_and_mix_nothing", publishing::publishers_at_once_lose_and_mix_nothing),
        ("another_number_is_behind_and_changes_nothing", publishing::another_number_is_behind_and_changes_nothing),
        (
            "a_publisher_that_was_followed_is_behind_and_goes_on",
            publishing::a_publisher_that_was_followed_is_behind_and_goes_on,
        ),
        ("a_publisher_that_died_leaves_nothing", publishing::a_publisher_that_died_leaves_nothing),
        (
            "what_is_too_large_is_refused_and_changes_nothing",
            publishing::what_is_too_large_is_refused_and_changes_nothing,
        ),
    ]
}

/// Of what should take a moment.
pub const LIMIT: Duration = Duration::from_secs(60);

pub fn revision(number: u64, entries: Vec<ConfigEntry>) -> ConfigRevision {
    ConfigRevision { revision: Revision(number), entries }
}

pub fn entry(object: impl Into<String>, content: impl Into<Bytes>) -> ConfigEntry {
    ConfigEntry { object: object.into(), content: Some(content.into()) }
}

pub fn gone(object: impl Into<String>) -> ConfigEntry {
    ConfigEntry { object: object.into(), content: None }
}

/// Says something else under each number and author.
pub fn sample(number: u64, author: &str) -> ConfigRevision {
    let lane = |lane: u64| entry(format!("lane/{lane}"), format!("{author}, {number}"));
    let lanes = (0..number % 7).map(lane);
    let all = lanes.chain([entry("connector/orders", format!("{author}, {number}")), gone("connector/carts")]);
    revision(number, all.collect())
}

/// # Panics
/// If the answer is anything but Done.
pub fn done(log: &mut dyn ConfigLog, revision: &ConfigRevision) {
    let answer = log.publish(revision);
    assert!(matches!(answer, Publication::Done), "expected Done for {:?}, got {answer:?}", revision.revision);
}

/// # Panics
/// If the answer is anything but Behind.
pub fn behind(log: &mut dyn ConfigLog, revision: &ConfigRevision) {
    let answer = log.publish(revision);
    assert!(matches!(answer, Publication::Behind), "expected Behind for {:?}, got {answer:?}", revision.revision);
}

/// What it answers from here on, up to this revision.
///
/// # Panics
/// If a revision is missing, or comes twice, or does not come.
pub fn read_up_to(log: &mut dyn ConfigLog, newest: u64) -> Vec<ConfigRevision> {
    let (mut all, started) = (Vec::<ConfigRevision>::new(), Instant::now());
    while all.last().is_none_or(|last| last.revision.0 < newest) {
        assert!(started.elapsed() < LIMIT, "revision {newest} was not read within {LIMIT:?}");
        for next in log.read(Duration::from_secs(1)).expect("readable") {
            let expected = all.last().map_or(next.revision.0, |last| last.revision.0 + 1);
            assert_eq!(next.revision.0, expected, "revisions rise without gap");
            all.push(next);
        }
    }
    all
}

/// Everything that had been published when it was opened, and perhaps more.
///
/// # Panics
/// If it does not become current, or does not begin with revision 1.
pub fn read_until_current(log: &mut dyn ConfigLog) -> Vec<ConfigRevision> {
    let (mut all, started) = (Vec::<ConfigRevision>::new(), Instant::now());
    while !log.is_current() {
        assert!(started.elapsed() < LIMIT, "the log is not read to its end within {LIMIT:?}");
        all.extend(log.read(Duration::from_secs(1)).expect("readable"));
    }
    let numbers = all.iter().map(|revision| revision.revision.0);
    assert!(numbers.eq(1..=all.len() as u64), "revisions rise without gap from 1 on");
    all
}

/// What a new reader finds.
pub fn published(harness: &dyn Harness) -> Vec<ConfigRevision> {
    read_until_current(&mut *harness.open())
}

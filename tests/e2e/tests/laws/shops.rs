//! What laws of merchants share: sites, places, and what is due at them.

use outflow_e2e::{Census, Connector, Daemon, Due, Lake, Merchant, Record, Site, each_record, produce};
use outflow_rig::{Kafka, wait_until};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

pub const DELIVERED: Duration = Duration::from_secs(120);
pub const LOOK_EVERY: Duration = Duration::from_millis(300);
pub const BRISK: &str = "{ rows: 5000, bytes: 4MiB, age: 1s }";
/// The largest merchant of the demo; the next ones follow.
pub const FIRST: u32 = 1001;

pub fn key(record: &Record) -> String {
    String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned()
}

/// One connector whose records' keys are merchants, and the place below which each of them has his own.
pub fn site(name: &str, kafka: &Kafka) -> (Site, Lake) {
    kafka.create_topic(name, 8, &[]);
    let site = Site::new(name, kafka);
    let root = Lake::Folder(site.folder().join("lake"));
    site.configure(&Connector { flush: BRISK.into(), ..Connector::routed(name, name, "{ key: true }") });
    (site, root)
}

pub fn place(root: &Lake, merchant: impl ToString) -> Lake {
    root.below(&merchant.to_string())
}

/// Each in a file of his own, and delivered below `root`.
pub fn publish(site: &Site, connector: &str, root: &Lake, merchants: impl IntoIterator<Item = u32>) {
    for merchant in merchants {
        let own = Merchant::new(merchant).delivered(connector, &place(root, merchant), "");
        site.merchant(&merchant.to_string(), &own);
    }
}

/// Until all of this is there; answers how long that took. Looks once more for what is there too much.
pub fn wait_settled(root: &Lake, dues: &[Due]) -> Duration {
    let started = Instant::now();
    loop {
        let census = Census::take(root, dues);
        if census.missing == 0 || started.elapsed() > DELIVERED {
            census.assert_settled();
            return started.elapsed();
        }
        thread::sleep(LOOK_EVERY);
    }
}

pub fn wait_logged(worker: &Daemon, words: &str) {
    wait_until(&format!("{words:?} in the log"), Duration::from_secs(20), || worker.log().contains(words));
}

/// Numbers of this merchant's events.
pub fn numbers_of(kafka: &Kafka, topic: &str, merchant: u32) -> BTreeSet<i64> {
    let mut numbers = BTreeSet::new();
    each_record(kafka, topic, |record| {
        if key(&record) == merchant.to_string() {
            let event: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("our own");
            numbers.extend(event["number"].as_i64());
        }
    });
    numbers
}

/// Events, chunk by chunk, and merchants' rows of them.
pub struct Chunks<'a> {
    pub kafka: &'a Kafka,
    pub topic: &'a str,
    pub next: u64,
}

impl Chunks<'_> {
    /// Answers the numbers of the chunk.
    pub fn produce(&mut self, count: u64) -> Range<i64> {
        let from = self.next;
        self.next += count;
        produce(self.kafka, self.topic, from..self.next);
        from as i64..self.next as i64
    }

    /// Waits until all of this merchant's rows of everything are there.
    pub fn wait_all(&self, merchant: u32, lake: &Lake) {
        let expected = numbers_of(self.kafka, self.topic, merchant);
        wait_until("all rows of a merchant", DELIVERED, || lake.numbers().len() >= expected.len());
        let mut numbers = lake.numbers();
        numbers.sort_unstable();
        assert_eq!(numbers, expected.into_iter().collect::<Vec<_>>(), "{merchant} has other rows");
    }
}

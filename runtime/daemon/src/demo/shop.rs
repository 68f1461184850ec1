use outflow_api::Fault;
use outflow_demo::{Events, Kind, MERCHANTS};
use outflow_local::{LocalCluster, LocalTopic, RecordToWrite};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

const PARTITIONS: u32 = 4;
const SEED: u64 = 7;
/// Events between two looks at the clock and at `stop`.
const CHUNK: u64 = 2_000;

/// Makes events into the demo's topics, by number: the topics themselves know how many there are.
pub struct Shop {
    topics: BTreeMap<&'static str, LocalTopic>,
    events: Events,
    until: u64,
    counter: Counter,
}

/// How many events there are, for the progress line.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where an event lies in the chunk's bytes.
struct Made {
    merchant_key: Range<usize>,
    value: Range<usize>,
}

impl Shop {
    pub fn open(cluster: &LocalCluster, events: u64) -> Result<Shop, Fault> {
        let mut topics = BTreeMap::new();
        for kind in Kind::ALL {
            let name = kind.topic();
            topics.insert(name, cluster.topic(name).or_else(|_| cluster.create_topic(name, PARTITIONS))?);
        }
        let mut made = 0;
        for topic in topics.values() {
            for partition in 0..PARTITIONS {
                made += topic.bounds(partition)?.next.0 as u64;
            }
        }
        let mut shop = Shop { topics, events: Events::new(SEED, MERCHANTS), until: 0, counter: Counter::default() };
        shop.events.skip_to(made);
        shop.until = (made / events + 1) * events;
        shop.counter.0.store(made, Ordering::Relaxed);
        Ok(shop)
    }

    pub fn made(&self) -> u64 {
        self.counter.get()
    }

    pub fn counter(&self) -> Counter {
        self.counter.clone()
    }

    /// Until all are made, or somebody stops us.
    pub fn make(mut self, rate: u64, stop: &watch::Receiver<bool>) -> Result<(), Fault> {
        let (started, first) = (Instant::now(), self.events.number());
        while self.events.number() < self.until && !*stop.borrow() {
            let count = CHUNK.min(self.until - self.events.number());
            self.chunk(count)?;
            self.counter.0.store(self.events.number(), Ordering::Relaxed);
            if rate > 0 {
                let due = Duration::from_secs_f64((self.events.number() - first) as f64 / rate as f64);
                thread::sleep(due.saturating_sub(started.elapsed()));
            }
        }
        Ok(())
    }

    fn chunk(&mut self, count: u64) -> Result<(), Fault> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let mut bytes = Vec::new();
        let mut of: BTreeMap<(&'static str, u32), Vec<Made>> = BTreeMap::new();
        for _ in 0..count {
            let start = bytes.len();
            let event = self.events.append(now_ms, &mut bytes);
            let end = bytes.len();
            bytes.extend_from_slice(self.events.key(event));
            let made = Made { value: start..end, merchant_key: end..bytes.len() };
            of.entry((event.kind.topic(), event.merchant % PARTITIONS)).or_default().push(made);
        }
        for ((topic, partition), made) in of {
            let records: Vec<RecordToWrite<'_>> = made
                .into_iter()
                .map(|made| RecordToWrite {
                    timestamp_ms: now_ms,
                    key: Some(&bytes[made.merchant_key]),
                    value: Some(&bytes[made.value]),
                    headers: &[],
                })
                .collect();
            self.topics[topic].append(partition, &records)?;
        }
        Ok(())
    }
}

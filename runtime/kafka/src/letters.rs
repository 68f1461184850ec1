use crate::{
    KafkaSettings,
    settings::BATCH_BYTES_MAX,
    topics::{Settled, Topics},
};
use outflow_api::{Blame, DeadLetter, Fault, Shard, Transaction, Verdict};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// A topic may change its settings, or go.
const FRESH: Duration = Duration::from_secs(60);
/// Other shards may share a partition of a dead letter topic: their transactions end within this.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);
/// Says that a record of a dead letter topic is no letter.
const BARRIER: &str = "__outflow.barrier";
/// What Kafka adds to a record, its batch, and each header.
const RECORD_BYTES: usize = 128;
const HEADER_BYTES: usize = 10;

/// Where dead letters go, looked at before a transaction begins: once it has begun, a topic that refuses them would
/// leave the shard in doubt.
pub(crate) struct Letters {
    settings: Arc<KafkaSettings>,
    topics: Arc<Topics>,
    shard: Shard,
    known: RefCell<BTreeMap<String, Target>>,
}

#[derive(Clone, Copy)]
struct Target {
    partition: i32,
    record_bytes_max: usize,
    seen: Instant,
}

impl Letters {
    pub(crate) fn new(settings: Arc<KafkaSettings>, topics: Arc<Topics>, shard: Shard) -> Letters {
        Letters { settings, topics, shard, known: RefCell::default() }
    }

    pub(crate) fn check(&self, transaction: &Transaction) -> Result<(), Fault> {
        for letter in &transaction.dead_letters {
            let target = self.target(&letter.topic)?;
            let bytes = bytes(letter);
            if bytes > target.record_bytes_max {
                let hint = format!(
                    "a dead letter of {bytes} bytes does not fit into topic {}, which takes {}: raise its \
                     max.message.bytes, or the connector's limits must leave it out",
                    letter.topic, target.record_bytes_max
                );
                return Err(Fault::park(Blame::Us, "dead-letter-too-large", hint));
            }
        }
        Ok(())
    }

    /// The shard has one partition in each topic: nobody else's open transaction can block what it writes.
    fn target(&self, topic: &str) -> Result<Target, Fault> {
        if let Some(known) = self.known.borrow().get(topic)
            && known.seen.elapsed() < FRESH
        {
            return Ok(*known);
        }
        let found = self.topics.find(topic).map_err(|fault| refused(topic, fault))?;
        if !found.may_write {
            let hint = format!("our user may not write topic {topic}: grant Write, with kafka-acls");
            return Err(Fault::park(Blame::Us, "dead-letters-denied", hint));
        }
        let record_bytes_max = self.topics.record_bytes_max(&self.settings, topic);
        if record_bytes_max < BATCH_BYTES_MAX * 2 {
            let hint = format!(
                "topic {topic} takes records of {record_bytes_max} bytes: set max.message.bytes to at least {}",
                BATCH_BYTES_MAX * 2
            );
            return Err(Fault::park(Blame::Us, "dead-letters-too-small", hint));
        }
        let partition = (self.shard.0 % found.partitions.max(1)).cast_signed();
        let target = Target { partition, record_bytes_max, seen: Instant::now() };
        self.known.borrow_mut().insert(topic.to_owned(), target);
        Ok(target)
    }

    /// Where a predecessor's letters have no marker: its coordinator died behind the answer and forgot them. The next
    /// transaction of this id decides their fate as well, so it must be one that commits: the barrier's.
    pub(crate) fn unsettled(&self) -> Vec<(String, i32)> {
        let unsettled = |topic: &String| {
            let partition = self.target(topic).ok()?.partition;
            let settled = self.topics.settled(topic, partition.cast_unsigned(), SETTLE_LIMIT);
            matches!(settled, Ok(Settled::No { .. })).then(|| (topic.clone(), partition))
        };
        self.topics.dead_letters().iter().filter_map(unsettled).collect()
    }

    /// The partitions that this transaction's letters go to.
    pub(crate) fn partitions<'a>(&self, transaction: &'a Transaction) -> BTreeSet<(&'a str, i32)> {
        let known = self.known.borrow();
        let of = |letter: &'a DeadLetter| Some((letter.topic.as_str(), known.get(&letter.topic)?.partition));
        transaction.dead_letters.iter().filter_map(of).collect()
    }

    pub(crate) fn record<'a>(&self, letter: &'a DeadLetter) -> BaseRecord<'a, [u8], [u8]> {
        let partition = self.known.borrow().get(&letter.topic).map_or(0, |target| target.partition);
        let headers = letter.headers.iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(&value[..]) })
        });
        let record = BaseRecord::to(&letter.topic).partition(partition).timestamp(letter.timestamp_ms.max(0));
        let mut record = record.headers(headers);
        record.key = letter.key.as_deref();
        record.payload = letter.value.as_deref();
        record
    }
}

/// Without key and value; readers skip it by its header.
pub(crate) fn barrier(topic: &str, partition: i32) -> BaseRecord<'_, [u8], [u8]> {
    let headers = OwnedHeaders::new().insert(Header { key: BARRIER, value: Some("not a dead letter") });
    BaseRecord::to(topic).partition(partition).headers(headers)
}

fn bytes(letter: &DeadLetter) -> usize {
    let body = [&letter.key, &letter.value].into_iter().flatten().map(|bytes| bytes.len()).sum::<usize>();
    let headers = letter.headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_BYTES).sum::<usize>();
    RECORD_BYTES + body + headers
}

/// A dead letter topic that can't be had holds up the lanes that need it, not the shard.
fn refused(topic: &str, fault: Fault) -> Fault {
    match fault.verdict {
        Verdict::Retry { .. } => fault,
        _ => Fault::park(Blame::Us, "dead-letters-refused", format!("dead letter topic {topic}")).because(fault),
    }
}

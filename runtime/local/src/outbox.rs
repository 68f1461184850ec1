use crate::{
    RecordToWrite,
    cluster::Shared,
    cursor::Cursor,
    partition::PartitionLog,
    record::Decision,
    wire::{Take, put_bytes, put_count},
};
use bytes::Bytes;
use outflow_api::{DeadLetter, Fault, Offset, Shard, TopicId, TopicInfo, TopicPartition};
use std::{collections::BTreeMap, sync::Arc};

/// Dead letters of one decision for one topic.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Letters {
    topic: TopicInfo,
    partition: u32,
    /// The topic's end before the decision: its letters can only be at or above it.
    from: Offset,
    letters: Vec<DeadLetter>,
}

/// Before the decision: makes topics that are missing, and answers where the letters will go.
pub(crate) fn address(shared: &Arc<Shared>, shard: Shard, letters: &[DeadLetter]) -> Result<Vec<Letters>, Fault> {
    let mut by_topic: BTreeMap<&str, Vec<DeadLetter>> = BTreeMap::new();
    for letter in letters {
        by_topic.entry(&letter.topic).or_default().push(letter.clone());
    }
    let address = |(name, letters)| {
        let topic = shared.topic_or_new(name, shared.shards)?;
        let partition = shard.0 % topic.partitions;
        let at = TopicPartition { topic: topic.id, partition };
        let from = shared.log(name, at).end()?;
        Ok(Letters { topic, partition, from, letters })
    };
    by_topic.into_iter().map(address).collect()
}

/// Behind the decision. A topic that was made anew meanwhile gets the letters of the old one too: better than none.
pub(crate) fn send(shared: &Arc<Shared>, decision: Decision, all: &[Letters]) -> Result<(), Fault> {
    for letters in all {
        let log = letters.log(shared)?;
        let headers: Vec<Vec<_>> = letters.letters.iter().map(headers).collect();
        let record = |(letter, headers)| RecordToWrite { headers, ..record(letter) };
        let records: Vec<_> = letters.letters.iter().zip(headers.iter().map(Vec::as_slice)).map(record).collect();
        log.append(&records, Some(decision))?;
    }
    Ok(())
}

fn headers(letter: &DeadLetter) -> Vec<(&str, Option<&[u8]>)> {
    letter.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_ref()))).collect()
}

fn record(letter: &DeadLetter) -> RecordToWrite<'_> {
    let (key, value) = (letter.key.as_deref(), letter.value.as_deref());
    RecordToWrite { timestamp_ms: letter.timestamp_ms, key, value, headers: &[] }
}

/// A new owner sends what the last one decided and did not send any more.
pub(crate) fn send_missing(shared: &Arc<Shared>, decision: Decision, all: &[Letters]) -> Result<(), Fault> {
    for letters in all {
        let sent = letters.count_sent(&letters.log(shared)?, decision)?;
        let mut rest = letters.clone();
        drop(rest.letters.drain(..sent.min(rest.letters.len())));
        if !rest.letters.is_empty() {
            send(shared, decision, &[rest])?;
        }
    }
    Ok(())
}

impl Letters {
    fn log(&self, shared: &Arc<Shared>) -> Result<Arc<PartitionLog>, Fault> {
        let topic = shared.topic_or_new(&self.topic.name, self.topic.partitions)?;
        let partition = self.partition.min(topic.partitions - 1);
        Ok(shared.log(&topic.name, TopicPartition { topic: topic.id, partition }))
    }

    /// Several frames may have been torn in the middle: the first letters are there, in their order.
    fn count_sent(&self, log: &Arc<PartitionLog>, decision: Decision) -> Result<usize, Fault> {
        let bounds = log.bounds()?;
        let mut from = self.from.clamp(bounds.start, bounds.next);
        let (mut cursor, mut sent) = (Cursor::open(log, from)?, 0);
        while let Some(batch) = cursor.read(from, bounds.next)? {
            if batch.decision == Some(decision) {
                sent += batch.count as usize;
            }
            from = Offset(batch.next());
        }
        Ok(sent)
    }
}

pub(crate) fn put(out: &mut Vec<u8>, all: &[Letters]) {
    put_count(out, all.len());
    for Letters { topic, partition, from, letters } in all {
        put_bytes(out, Some(topic.name.as_bytes()));
        out.extend_from_slice(&topic.id.0.to_le_bytes());
        out.extend_from_slice(&topic.partitions.to_le_bytes());
        out.extend_from_slice(&partition.to_le_bytes());
        out.extend_from_slice(&from.0.to_le_bytes());
        put_count(out, letters.len());
        for DeadLetter { topic: _, timestamp_ms, key, value, headers } in letters {
            out.extend_from_slice(&timestamp_ms.to_le_bytes());
            put_bytes(out, key.as_deref());
            put_bytes(out, value.as_deref());
            put_count(out, headers.len());
            for (name, value) in headers {
                put_bytes(out, Some(name.as_bytes()));
                put_bytes(out, Some(value));
            }
        }
    }
}

pub(crate) fn take(take: &mut Take<'_>) -> Option<Vec<Letters>> {
    let count = take.u32()?;
    (0..count).map(|_| take_letters(take)).collect()
}

fn take_letters(take: &mut Take<'_>) -> Option<Letters> {
    let name = take.text()?.to_owned();
    let id = TopicId(u128::from_le_bytes(take.fixed()?));
    let (partitions, partition, from) = (take.u32()?, take.u32()?, Offset(take.i64()?));
    let count = take.u32()?;
    let letters = (0..count).map(|_| take_letter(take, &name)).collect::<Option<_>>()?;
    Some(Letters { topic: TopicInfo { name, id, partitions }, partition, from, letters })
}

fn take_letter(take: &mut Take<'_>, topic: &str) -> Option<DeadLetter> {
    let timestamp_ms = take.i64()?;
    let mut bytes = || take.bytes().map(|bytes| bytes.map(Bytes::copy_from_slice));
    let (key, value) = (bytes()?, bytes()?);
    let count = take.u32()?;
    let mut header = || Some((take.text()?.to_owned(), Bytes::copy_from_slice(take.bytes()??)));
    let headers = (0..count).map(|_| header()).collect::<Option<_>>()?;
    Some(DeadLetter { topic: topic.to_owned(), timestamp_ms, key, value, headers })
}

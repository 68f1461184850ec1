use crate::{
    cluster::Shared,
    cursor::{Cursor, truncated},
    partition::PartitionLog,
};
use outflow_api::{Blame, Fault, Offset, OffsetRange, RecordBlock, Source, SourceEvent, TopicPartition, Verdict};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Per partition and poll; a single frame may be larger.
const FETCH_BYTES: usize = 1 << 20;
/// Over all partitions of a poll: what a reader may hold ahead of its caller.
const POLL_BYTES: usize = 8 << 20;
/// Appends of other processes wake nobody here, so we look: often at first, then seldom.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_SELDOM: Duration = Duration::from_millis(40);

/// How often a reader without news looks whether its topic is still the same one.
const TOPIC_CHECK: Duration = Duration::from_millis(500);

/// Tails partitions of the folder's topics. Any number of these may read at once.
pub struct LocalSource {
    shared: Arc<Shared>,
    readings: BTreeMap<TopicPartition, Reading>,
    /// Goes on behind the partition that was served last, so that none starves.
    turn: Option<TopicPartition>,
}

struct Reading {
    log: Option<Arc<PartitionLog>>,
    cursor: Option<Cursor>,
    next: Offset,
    paused: bool,
    failed: bool,
    told_end: Option<Offset>,
    topic_checked: Instant,
}

impl LocalSource {
    pub(crate) fn new(shared: Arc<Shared>) -> LocalSource {
        LocalSource { shared, readings: BTreeMap::new(), turn: None }
    }

    fn look(&mut self, out: &mut Vec<SourceEvent>) {
        let behind = |turn: &TopicPartition| self.turn.is_some_and(|last| *turn > last);
        let (mut order, before): (Vec<_>, Vec<_>) = self.readings.keys().copied().partition(behind);
        order.extend(before);
        let mut bytes = 0;
        for partition in order {
            let Some(reading) = self.readings.get_mut(&partition).filter(|reading| !reading.paused && !reading.failed)
            else {
                continue;
            };
            match reading.step(partition, &self.shared) {
                Ok(None) => continue,
                Ok(Some(event)) => {
                    if let SourceEvent::Fetched { block, .. } = &event {
                        bytes += block.payload_bytes();
                    }
                    out.push(event);
                }
                Err(fault) => {
                    reading.failed = true;
                    out.push(SourceEvent::Failed { partition, fault });
                }
            }
            self.turn = Some(partition);
            if bytes >= POLL_BYTES {
                break;
            }
        }
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for partition in partitions {
            if let Some(reading) = self.readings.get_mut(partition) {
                reading.paused = paused;
            }
        }
    }
}

impl Source for LocalSource {
    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), Fault> {
        for (partition, next) in partitions {
            self.readings.insert(*partition, Reading::at(*next));
        }
        Ok(())
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|partition| drop(self.readings.remove(partition)));
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, true);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, false);
    }

    fn poll(&mut self, wait: Duration, out: &mut Vec<SourceEvent>) -> Result<(), Fault> {
        let (started, before, mut pause) = (Instant::now(), out.len(), LOOK_FIRST);
        loop {
            let seen = self.shared.pulse.beats();
            self.look(out);
            let left = wait.saturating_sub(started.elapsed());
            if out.len() > before || left.is_zero() {
                return Ok(());
            }
            self.shared.pulse.wait(seen, left.min(pause));
            pause = (pause * 2).min(LOOK_SELDOM);
        }
    }

    fn bounds(&mut self, partition: TopicPartition) -> Result<OffsetRange, Fault> {
        find(&self.shared, partition)?.bounds()
    }

    /// Looks through the log from its start: there is no index of times.
    fn offset_at(&mut self, partition: TopicPartition, timestamp_ms: i64) -> Result<Offset, Fault> {
        let log = find(&self.shared, partition)?;
        let OffsetRange { start, next: end } = log.bounds()?;
        let mut cursor = Cursor::open(&log, start)?;
        let mut from = start;
        while let Some(batch) = cursor.read(from, end)? {
            let next = Offset(batch.next());
            let mut block = RecordBlock::new(partition);
            batch.push_to(&mut block, from);
            let late = (0..block.len()).map(|row| block.get(row)).find(|record| record.timestamp_ms >= timestamp_ms);
            if let Some(record) = late {
                return Ok(record.offset);
            }
            from = next;
        }
        Ok(end)
    }
}

impl Reading {
    fn at(next: Offset) -> Reading {
        let topic_checked = Instant::now();
        Reading { log: None, cursor: None, next, paused: false, failed: false, told_end: None, topic_checked }
    }

    fn step(&mut self, partition: TopicPartition, shared: &Arc<Shared>) -> Result<Option<SourceEvent>, Fault> {
        let log = match &self.log {
            Some(log) => Arc::clone(log),
            None => Arc::clone(self.log.insert(find(shared, partition)?)),
        };
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None => self.cursor.insert(Cursor::open(&log, self.next)?),
        };
        let end = log.end()?;
        if self.next > end {
            return Err(truncated(&log, self.next, end));
        }
        if self.next == end {
            if self.topic_checked.elapsed() > TOPIC_CHECK {
                log.check_topic()?;
                self.topic_checked = Instant::now();
            }
            let told = self.told_end.replace(end) == Some(end);
            return Ok((!told).then_some(SourceEvent::AtEnd { partition, end }));
        }
        let mut block = RecordBlock::new(partition);
        let start = self.next;
        while block.payload_bytes() < FETCH_BYTES {
            let Some(batch) = cursor.read(self.next, end)? else { break };
            let next = Offset(batch.next());
            batch.push_to(&mut block, self.next).ok_or_else(|| unreadable(&log, self.next))?;
            self.next = next;
        }
        let range = OffsetRange::new(start, self.next);
        Ok(Some(SourceEvent::Fetched { range, block: Arc::new(block) }))
    }
}

fn find(shared: &Arc<Shared>, partition: TopicPartition) -> Result<Arc<PartitionLog>, Fault> {
    let info = shared.topic_of(partition.topic)?.filter(|info| partition.partition < info.partitions);
    let Some(info) = info else {
        let hint = format!("no topic here has the partition {partition:?}; was the topic deleted, or made anew?");
        return Err(Fault::new(Verdict::Park, Blame::Us, "topic-recreated", hint));
    };
    Ok(shared.log(&info.name, partition))
}

fn unreadable(log: &PartitionLog, offset: Offset) -> Fault {
    let (topic, partition) = (&log.topic, log.partition.partition);
    let hint = format!("topic {topic} partition {partition}: the records at offset {} have no known form", offset.0);
    Fault::halt("topic-damaged", hint)
}

use crate::{
    KafkaSettings, fault,
    log::{ClientLog, forward},
    native::{Batch, BulkQueue},
    recreated::changed_id,
    runs,
    topics::Topics,
};
use outflow_api::{Fault, Offset, OffsetRange, RecordBlock, Source, SourceEvent, TopicId, TopicPartition, Verdict};
use rdkafka::{
    Offset as Place, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode as Code,
};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

/// A poll answers at most so many messages; of 780 bytes they are 3 MiB.
const MESSAGES_MAX: usize = 4096;
/// A doubt is looked into at most so often, and for so long at a time: the other partitions wait meanwhile.
const DOUBT_PAUSE: Duration = Duration::from_millis(500);
const DOUBT_LIMIT: Duration = Duration::from_secs(3);

/// Reads by hand-given assignment.
pub(crate) struct KafkaSource {
    bulk: BulkQueue,
    seats: Seats,
}

/// A partition is *seated* while the client fetches it. Pausing and doubting unseat it, and it is seated again at our
/// own position: nothing rests on the client's memory of where it was.
struct Seats {
    topics: Arc<Topics>,
    standings: HashMap<TopicPartition, Standing>,
    /// Of the topics that are assigned, by name as messages carry it.
    ids: HashMap<Arc<str>, TopicId>,
    /// Which id the client believes a name to have: it reads on when a topic is made anew.
    believed: BTreeMap<String, u128>,
    failed: Vec<SourceEvent>,
    doubts_at: Instant,
}

struct Standing {
    name: Arc<str>,
    /// Where the next range starts.
    position: Offset,
    paused: bool,
    seated: bool,
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// The client said that it cannot go on: look whether that is so.
    Stopped,
    /// The client saw that the log lost its end.
    Truncated,
}

impl Standing {
    fn wanted(&self) -> bool {
        !self.paused && self.doubt.is_none()
    }
}

impl KafkaSource {
    pub(crate) fn new(settings: &KafkaSettings, topics: Arc<Topics>) -> Result<KafkaSource, Fault> {
        let log = ClientLog::default();
        let made = settings.source().create_with_context(log.clone());
        let consumer = made.map_err(|error| fault::of_error(error, "making the reader", &log))?;
        let seats = Seats {
            topics,
            standings: HashMap::new(),
            ids: HashMap::new(),
            believed: BTreeMap::new(),
            failed: Vec::new(),
            doubts_at: Instant::now(),
        };
        Ok(KafkaSource { bulk: BulkQueue::new(consumer), seats })
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for partition in partitions {
            if let Some(standing) = self.seats.standings.get_mut(partition) {
                standing.paused = paused;
            }
        }
        if let Err(fault) = self.seats.seat(self.bulk.consumer()) {
            tracing::warn!("pausing or resuming: {fault}");
        }
    }
}

impl Source for KafkaSource {
    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), Fault> {
        for (partition, start) in partitions {
            self.seats.remove(*partition, self.bulk.consumer());
            match self.seats.place(*partition, *start) {
                Err(fault) if matches!(fault.verdict, Verdict::Retry { .. }) => return Err(fault),
                Err(fault) => self.seats.failed.push(SourceEvent::Failed { partition: *partition, fault }),
                Ok(()) => {}
            }
        }
        self.seats.seat(self.bulk.consumer())
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|partition| self.seats.remove(*partition, self.bulk.consumer()));
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, true);
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, false);
    }

    fn poll(&mut self, wait: Duration, out: &mut Vec<SourceEvent>) -> Result<(), Fault> {
        self.seats.settle_doubts(self.bulk.consumer())?;
        out.append(&mut self.seats.failed);
        let wait = if out.is_empty() { wait } else { Duration::ZERO };
        let batch = self.bulk.fetch(wait, MESSAGES_MAX);
        self.seats.read_log(&self.bulk);
        let mut from = 0;
        while from < batch.len() {
            let run = runs::run_at(&batch, from);
            from = run.end;
            self.seats.read_run(&batch, run, self.bulk.consumer(), out)?;
        }
        out.append(&mut self.seats.failed);
        self.seats.seat(self.bulk.consumer())
    }

    fn bounds(&mut self, partition: TopicPartition) -> Result<OffsetRange, Fault> {
        let name = self.seats.topics.name(partition.topic)?;
        self.seats.topics.bounds(&name, partition.partition, crate::topics::LIMIT)
    }

    fn offset_at(&mut self, partition: TopicPartition, timestamp_ms: i64) -> Result<Offset, Fault> {
        let name = self.seats.topics.name(partition.topic)?;
        self.seats.topics.offset_at(&name, partition.partition, timestamp_ms)
    }
}

impl Seats {
    fn place(&mut self, partition: TopicPartition, start: Offset) -> Result<(), Fault> {
        let name: Arc<str> = self.topics.name(partition.topic)?.into();
        if start.0 < 0 || start == Offset::OPEN {
            let hint = format!("topic {name}, partition {}: {} is no offset", partition.partition, start.0);
            return Err(Fault::halt("bad-offset", hint));
        }
        // An older topic of this name can't be read any more, wherever the client believes to be.
        let believed = self.believed.get(&*name).is_none_or(|id| *id == partition.topic.0);
        self.ids.insert(Arc::clone(&name), partition.topic);
        let doubt = (!believed).then_some(Doubt::Stopped);
        self.standings.insert(partition, Standing { name, position: start, paused: false, seated: false, doubt });
        Ok(())
    }

    /// Makes the client fetch what should be fetched, and nothing else.
    fn seat(&mut self, consumer: &BaseConsumer<ClientLog>) -> Result<(), Fault> {
        let (mut come, mut go) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (partition, standing) in &mut self.standings {
            let (wanted, number) = (standing.wanted(), partition.partition.cast_signed());
            if wanted && !standing.seated {
                let place = Place::Offset(standing.position.0);
                come.add_partition_offset(&standing.name, number, place).expect("`place` refused what is no offset");
            } else if !wanted && standing.seated {
                go.add_partition(&standing.name, number);
            }
            standing.seated = wanted;
        }
        let trouble = |error| fault::of_error(error, "assigning partitions", consumer.context());
        if go.count() > 0 {
            consumer.incremental_unassign(&go).map_err(trouble)?;
        }
        if come.count() > 0 {
            consumer.incremental_assign(&come).map_err(trouble)?;
        }
        Ok(())
    }

    fn remove(&mut self, partition: TopicPartition, consumer: &BaseConsumer<ClientLog>) {
        let Some(standing) = self.standings.remove(&partition) else { return };
        if !standing.seated {
            return;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&standing.name, partition.partition.cast_signed());
        if let Err(error) = consumer.incremental_unassign(&list) {
            tracing::warn!("unassigning topic {}, partition {}: {error}", standing.name, partition.partition);
        }
    }

    /// Reads the client's log up to now. What it fetched under a topic's new id was queued after the line that tells
    /// of it, so a topic that was made anew is known before its first record is looked at.
    fn read_log(&mut self, bulk: &BulkQueue) {
        for (level, line) in bulk.log_lines() {
            if let Some((name, id)) = changed_id(&line) {
                for (partition, standing) in &mut self.standings {
                    if *standing.name == *name && partition.topic.0 != id {
                        standing.doubt.get_or_insert(Doubt::Stopped);
                    }
                }
                self.believed.insert(name.to_owned(), id);
            }
            forward(level, &line);
        }
    }

    fn read_run(
        &mut self,
        batch: &Batch<'_>,
        run: Range<usize>,
        consumer: &BaseConsumer<ClientLog>,
        out: &mut Vec<SourceEvent>,
    ) -> Result<(), Fault> {
        let message = batch.get(run.start);
        let topic = message.topic().and_then(|name| self.ids.get(&*name).copied());
        let partition = topic.zip(u32::try_from(message.partition()).ok());
        let partition = partition.map(|(topic, partition)| TopicPartition { topic, partition });
        let standing = partition.and_then(|partition| self.standings.get_mut(&partition));
        let (Some(partition), Some(standing)) = (partition, standing) else {
            return match message.error() {
                Some(Code::Fatal) => Err(Fault::halt("kafka-failed", message.error_text())),
                _ => Ok(()),
            };
        };
        if !standing.wanted() {
            return Ok(());
        }
        match message.error() {
            None => runs::read(batch, run, partition, &mut standing.position, out),
            Some(Code::PartitionEOF) => at_end(partition, standing, Offset(message.offset()), out),
            Some(code) => {
                if let Some(fault) = stumbled(partition, standing, code, &message.error_text()) {
                    self.remove(partition, consumer);
                    self.failed.push(SourceEvent::Failed { partition, fault });
                }
            }
        }
        Ok(())
    }

    /// Asks the brokers about each partition that the client stumbled over: some are lost, others go on.
    fn settle_doubts(&mut self, consumer: &BaseConsumer<ClientLog>) -> Result<(), Fault> {
        let now = Instant::now();
        if now < self.doubts_at || self.standings.values().all(|standing| standing.doubt.is_none()) {
            return Ok(());
        }
        self.doubts_at = now + DOUBT_PAUSE;
        let mut answers = Vec::new();
        for (partition, standing) in self.standings.iter().filter(|(_, standing)| standing.doubt.is_some()) {
            let answer = self.look(*partition, standing);
            let unreachable = answer.as_ref().is_err_and(|fault| matches!(fault.verdict, Verdict::Retry { .. }));
            answers.push((*partition, answer));
            // The others would wait for the same brokers, each for its own time-out.
            if unreachable {
                break;
            }
        }
        for (partition, answer) in answers {
            match answer {
                Ok(()) => drop(self.standings.get_mut(&partition).map(|standing| standing.doubt = None)),
                Err(fault) if matches!(fault.verdict, Verdict::Retry { .. }) => {
                    tracing::warn!("{partition:?} is not read for now: {fault}");
                }
                Err(fault) => {
                    self.standings.remove(&partition);
                    self.failed.push(SourceEvent::Failed { partition, fault });
                }
            }
        }
        self.seat(consumer)
    }

    fn look(&self, partition: TopicPartition, standing: &Standing) -> Result<(), Fault> {
        let what = format!("topic {}, partition {}", standing.name, partition.partition);
        let topic = self.topics.describe(&[&standing.name], DOUBT_LIMIT)?.remove(0);
        let topic = topic.map_err(|code| fault::of_code(code, &what, self.topics.log()))?;
        if topic.id != partition.topic.0 {
            return Err(fault::topic_recreated(&standing.name));
        }
        if partition.partition >= topic.partitions {
            return Err(fault::topic_gone(&what));
        }
        let bounds = self.topics.bounds(&standing.name, partition.partition, DOUBT_LIMIT)?;
        if standing.position < bounds.start {
            return Err(fault::offsets_gone(&what, standing.position, bounds.start));
        }
        if standing.position > bounds.next || standing.doubt == Some(Doubt::Truncated) {
            return Err(fault::log_truncated(&what, standing.position, bounds.next));
        }
        Ok(())
    }
}

/// The end is the client's position: behind transaction markers, and behind records that were aborted or compacted.
fn at_end(partition: TopicPartition, standing: &mut Standing, end: Offset, out: &mut Vec<SourceEvent>) {
    if end < standing.position {
        return;
    }
    if end > standing.position {
        let range = OffsetRange::new(standing.position, end);
        standing.position = end;
        out.push(SourceEvent::Fetched { range, block: Arc::new(RecordBlock::new(partition)) });
    }
    out.push(SourceEvent::AtEnd { partition, end });
}

fn stumbled(partition: TopicPartition, standing: &mut Standing, code: Code, text: &str) -> Option<Fault> {
    let what = format!("topic {}, partition {}", standing.name, partition.partition);
    match code {
        Code::AutoOffsetReset
        | Code::OffsetOutOfRange
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicId
        | Code::LogTruncation => {
            tracing::info!("{what}: {text}");
            let truncated = code == Code::LogTruncation || text.contains("truncation");
            standing.doubt = Some(if truncated { Doubt::Truncated } else { Doubt::Stopped });
        }
        Code::TopicAuthorizationFailed => return Some(fault::of_code(code, &what, &ClientLog::default())),
        // The client tries these again by itself.
        _ => tracing::warn!("{what}: {text}"),
    }
    None
}

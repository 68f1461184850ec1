use crate::{
    KafkaSettings, fault,
    log::ClientLog,
    topics::{LIMIT, Topics},
};
use outflow_api::{ConfigRevision, Fault, Offset, Verdict};
use outflow_journal::config::{READ_BYTES, Replay};
use rdkafka::{
    Message, Offset as Place, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use std::time::{Duration, Instant};

/// The log has one.
pub(crate) const PARTITION: u32 = 0;
/// Without any record: a broker may come back meanwhile.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(100);

/// Reads what is committed, from the log's start on.
pub(crate) struct ConfigReader {
    consumer: BaseConsumer<ClientLog>,
    topic: String,
    replay: Replay,
    /// Of what was committed when this was opened.
    end: Offset,
    reached_end: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Record,
    Nothing,
}

impl ConfigReader {
    pub(crate) fn open(settings: &KafkaSettings, topics: &Topics) -> Result<ConfigReader, Fault> {
        let topic = settings.config_topic.clone();
        let end = topics.bounds(&topic, PARTITION, LIMIT)?.next;
        let log = ClientLog::default();
        let made = settings.recovery().create_with_context(log.clone());
        let consumer: BaseConsumer<ClientLog> =
            made.map_err(|error| fault::of_error(error, "making the config log's reader", &log))?;
        let mut list = TopicPartitionList::new();
        let placed = list.add_partition_offset(&topic, PARTITION.cast_signed(), Place::Beginning);
        let assigned = placed.and_then(|()| consumer.assign(&list));
        assigned.map_err(|error| fault::of_error(error, &format!("assigning config log {topic}"), &log))?;
        Ok(ConfigReader { consumer, topic, replay: Replay::default(), end, reached_end: end == Offset::ZERO })
    }

    pub(crate) fn replay(&self) -> &Replay {
        &self.replay
    }

    pub(crate) fn is_current(&self) -> bool {
        self.reached_end && self.replay.bytes() == 0 && !self.replay.is_short()
    }

    pub(crate) fn read(&mut self, wait: Duration) -> Result<Vec<ConfigRevision>, Fault> {
        let (started, had_reached) = (Instant::now(), self.reached_end);
        while self.replay.bytes() == 0 && self.reached_end == had_reached {
            let left = wait.saturating_sub(started.elapsed());
            // Records that lie ready are taken even without patience.
            if self.step(left.min(STEP))? == Step::Nothing && left.is_zero() {
                break;
            }
        }
        self.drain()?;
        Ok(self.replay.take())
    }

    /// What lies ready.
    pub(crate) fn drain(&mut self) -> Result<(), Fault> {
        while self.replay.bytes() < READ_BYTES && self.step(Duration::ZERO)? == Step::Record {}
        Ok(())
    }

    /// False: it is silent for too long before that.
    pub(crate) fn read_until(&mut self, done: impl Fn(&Replay) -> bool) -> Result<bool, Fault> {
        let mut heard = Instant::now();
        while !done(&self.replay) {
            match self.step(STEP)? {
                Step::Record => heard = Instant::now(),
                Step::Nothing if heard.elapsed() > SILENCE_LIMIT => return Ok(false),
                Step::Nothing => {}
            }
        }
        Ok(true)
    }

    fn step(&mut self, wait: Duration) -> Result<Step, Fault> {
        match self.consumer.poll(wait) {
            None => Ok(Step::Nothing),
            Some(Ok(message)) => {
                let offset = message.offset();
                self.replay.apply(message.key().unwrap_or_default(), message.payload(), offset)?;
                self.reached_end |= offset + 1 >= self.end.0;
                Ok(Step::Record)
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                let is_end = self.is_at_end();
                // What takes entries away is committed before they go: whoever misses them finds it before the end.
                if is_end && self.replay.is_short() {
                    return Err(self.replay.lost());
                }
                self.reached_end |= is_end;
                Ok(Step::Nothing)
            }
            Some(Err(error)) => {
                let fault = self.fault(error);
                // Brokers that are away come back; the client's log says so.
                if fault.verdict == Verdict::Halt { Err(fault) } else { Ok(Step::Nothing) }
            }
        }
    }

    /// The end that was met may be one from before a change of leaders. The last records may be markers, or of no
    /// transaction that counts; where all are, there is no position.
    fn is_at_end(&self) -> bool {
        let positions = self.consumer.position().map(|list| list.elements().iter().map(|at| at.offset()).next());
        !matches!(positions, Ok(Some(Place::Offset(position))) if position < self.end.0)
    }

    fn fault(&self, error: KafkaError) -> Fault {
        if matches!(error.rdkafka_error_code(), Some(Code::AutoOffsetReset | Code::OffsetOutOfRange)) {
            return fault::config_lost(&self.topic).because(error);
        }
        fault::of_error(error, &format!("reading config log {}", self.topic), self.consumer.context())
    }
}

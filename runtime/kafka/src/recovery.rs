use crate::{KafkaSettings, fault, log::ClientLog};
use outflow_api::{Fault, Generation, Offset, Shard};
use outflow_journal::Replay;
use rdkafka::{
    Message, Offset as Place, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use std::time::{Duration, Instant};

/// Without any record: a broker may come back meanwhile.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Reads a journal up to a barrier.
pub(crate) struct Reader(BaseConsumer<ClientLog>);

impl Reader {
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Reader, Fault> {
        let log = ClientLog::default();
        let made = settings.recovery().create_with_context(log.clone());
        let reader: BaseConsumer<ClientLog> =
            made.map_err(|error| fault::of_error(error, "making the journal's reader", &log))?;
        let topic = &settings.journal_topic;
        let warm = reader.fetch_metadata(Some(topic), crate::topics::LIMIT);
        warm.map_err(|error| fault::of_error(error, &format!("looking up topic {topic}"), &log))?;
        Ok(Reader(reader))
    }

    /// All that was decided up to the barrier, the barrier's offset, and the bytes read.
    pub(crate) fn read(&self, topic: &str, shard: Shard, nonce: u128) -> Result<(Replay, Generation, u64), Fault> {
        // The barrier is there: an end that is met before is an older one.
        let (replay, bytes) = self.follow(topic, shard, |replay, _| replay.saw(nonce).is_some())?;
        let offset = replay.saw(nonce).expect("it was just seen");
        Ok((replay, Generation(offset.cast_unsigned()), bytes))
    }

    /// All that is decided below an offset that was the log's last stable one.
    pub(crate) fn read_to(&self, topic: &str, shard: Shard, end: Offset) -> Result<(Replay, u64), Fault> {
        self.follow(topic, shard, |_, position| position >= end)
    }

    /// From the start on, until it is done; which is asked after each record, and at each end that is met.
    fn follow(
        &self,
        topic: &str,
        shard: Shard,
        done: impl Fn(&Replay, Offset) -> bool,
    ) -> Result<(Replay, u64), Fault> {
        let what = format!("reading journal {topic}, partition {}", shard.0);
        let trouble = |error| fault::of_error(error, &what, self.0.context());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, shard.0.cast_signed(), Place::Beginning).map_err(trouble)?;
        self.0.incremental_assign(&list).map_err(trouble)?;
        let (mut replay, mut bytes, mut heard) = (Replay::new(), 0, Instant::now());
        loop {
            let position = match self.0.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let (key, value) = (message.key().unwrap_or_default(), message.payload());
                    bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
                    replay.apply(key, value, message.offset())?;
                    heard = Instant::now();
                    Some(Offset(message.offset() + 1))
                }
                // The last records may be markers.
                Some(Err(KafkaError::PartitionEOF(_))) => self.position(),
                None => None,
                Some(Err(error)) => {
                    let fault = fault::of_error(error, &what, self.0.context());
                    if fault.verdict == outflow_api::Verdict::Halt {
                        return Err(fault);
                    }
                    None
                }
            };
            if position.is_some_and(|position| done(&replay, position)) {
                return Ok((replay, bytes));
            }
            if heard.elapsed() > SILENCE_LIMIT {
                return Err(fault::barrier_unseen(topic, shard));
            }
        }
    }

    fn position(&self) -> Option<Offset> {
        let positions = self.0.position().ok()?;
        match positions.elements().first()?.offset() {
            Place::Offset(position) => Some(Offset(position)),
            _ => None,
        }
    }
}

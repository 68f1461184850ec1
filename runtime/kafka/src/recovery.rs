use crate::{KafkaSettings, fault, log::ClientLog};
use outflow_api::{Fault, Generation, Shard};
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
        let what = format!("reading journal {topic}, partition {}", shard.0);
        let trouble = |error| fault::of_error(error, &what, self.0.context());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, shard.0.cast_signed(), Place::Beginning).map_err(trouble)?;
        self.0.incremental_assign(&list).map_err(trouble)?;
        let (mut replay, mut bytes, mut heard) = (Replay::new(), 0, Instant::now());
        loop {
            match self.0.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let (key, value) = (message.key().unwrap_or_default(), message.payload());
                    bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
                    replay.apply(key, value, message.offset())?;
                    if let Some(offset) = replay.saw(nonce) {
                        return Ok((replay, Generation(offset.cast_unsigned()), bytes));
                    }
                    heard = Instant::now();
                }
                // The barrier is there: the end that was seen is an older one.
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => {
                    let fault = fault::of_error(error, &what, self.0.context());
                    if fault.verdict == outflow_api::Verdict::Halt {
                        return Err(fault);
                    }
                }
            }
            if heard.elapsed() > SILENCE_LIMIT {
                return Err(fault::barrier_unseen(topic, shard));
            }
        }
    }
}

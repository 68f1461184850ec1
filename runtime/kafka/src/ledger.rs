use crate::{
    KafkaSettings, fault,
    log::ClientLog,
    topics::{LIMIT, Topics},
};
use outflow_api::{Fault, Ledger, LedgerRow, Offset, Shard, Verdict};
use rdkafka::{
    Message, Offset as Place, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Without any record: a broker may come back meanwhile.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(100);

/// One shard's partition of the ledger. A client for each reading: it is asked for when a person asks.
pub(crate) struct KafkaLedger {
    settings: Arc<KafkaSettings>,
    topics: Arc<Topics>,
    shard: Shard,
}

impl KafkaLedger {
    pub(crate) fn new(settings: Arc<KafkaSettings>, topics: Arc<Topics>, shard: Shard) -> KafkaLedger {
        KafkaLedger { settings, topics, shard }
    }

    fn open(&self, log: &ClientLog, what: &str) -> Result<BaseConsumer<ClientLog>, Fault> {
        let trouble = |error| fault::of_error(error, what, log);
        let consumer: BaseConsumer<ClientLog> =
            self.settings.recovery().create_with_context(log.clone()).map_err(trouble)?;
        let mut list = TopicPartitionList::new();
        let (topic, partition) = (&self.settings.ledger_topic, self.shard.0.cast_signed());
        list.add_partition_offset(topic, partition, Place::Beginning).map_err(trouble)?;
        consumer.assign(&list).map_err(trouble)?;
        Ok(consumer)
    }
}

impl Ledger for KafkaLedger {
    /// Up to the end of what is committed: a decision that was answered Done has its markers, and lies below it.
    fn read(&mut self, each: &mut dyn FnMut(LedgerRow)) -> Result<(), Fault> {
        let (topic, log) = (&self.settings.ledger_topic, ClientLog::default());
        let bounds = self.topics.bounds(topic, self.shard.0, LIMIT)?;
        if bounds.is_empty() {
            return Ok(());
        }
        let what = format!("reading ledger {topic}, partition {}", self.shard.0);
        let consumer = self.open(&log, &what)?;
        let mut heard = Instant::now();
        loop {
            match consumer.poll(STEP) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let row =
                        outflow_journal::decode_ledger_record(message.key().unwrap_or_default(), message.payload())?;
                    row.into_iter().for_each(&mut *each);
                    if message.offset() + 1 >= bounds.next.0 {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) if has_reached(&consumer, bounds.next) => return Ok(()),
                // The end that was met is one from before a change of leaders.
                None | Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => {
                    let fault = fault::of_error(error, &what, &log);
                    if fault.verdict == Verdict::Halt {
                        return Err(fault);
                    }
                }
            }
            if heard.elapsed() > SILENCE_LIMIT {
                return Err(fault::ledger_silent(topic, self.shard));
            }
        }
    }
}

/// The last records may be markers, or of no transaction that counts; where all are, there is no position.
fn has_reached(consumer: &BaseConsumer<ClientLog>, end: Offset) -> bool {
    let positions = consumer.position().map(|list| list.elements().iter().map(|at| at.offset()).next());
    !matches!(positions, Ok(Some(Place::Offset(position))) if position < end.0)
}

use crate::{
    KafkaSettings, append, fault,
    letters::{self, Letters},
    log::ClientLog,
    recovery::Reader,
    topics::{Settled, Topics},
};
use outflow_api::{AppendOutcome, Fault, Generation, Incarnation, Journal, Recovered, Shard, Transaction};
use outflow_journal::{KeyValue, Replay};
use rdkafka::{
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) type ShardProducer = BaseProducer<ClientLog>;

/// Fencing waits for the transaction of the owner before, which librdkafka asks about every half second.
const INIT_LIMIT: Duration = Duration::from_secs(30);
/// What a transaction left open may need to disappear by itself.
const HANGING_LIMIT: Duration = Duration::from_secs(5);

/// One shard's partition of the journal. The transactional id is the lease: whoever inits it last is the owner.
pub(crate) struct KafkaJournal {
    settings: Arc<KafkaSettings>,
    topics: Arc<Topics>,
    shard: Shard,
    letters: Letters,
    /// Present while we may be the owner.
    producer: Option<ShardProducer>,
}

impl KafkaJournal {
    pub(crate) fn new(settings: Arc<KafkaSettings>, topics: Arc<Topics>, shard: Shard) -> KafkaJournal {
        let letters = Letters::new(Arc::clone(&settings), Arc::clone(&topics), shard);
        KafkaJournal { settings, topics, shard, letters, producer: None }
    }

    fn own(&mut self) -> Result<Recovered, Fault> {
        let log = ClientLog::default();
        let made = self.settings.producer(self.shard).create_with_context(log.clone());
        let producer: ShardProducer = made.map_err(|error| fault::of_error(error, "making the writer", &log))?;
        // A warm connection and a reader in wait: taking over then costs milliseconds.
        let reader = Reader::new(&self.settings)?;
        let journal = &self.settings.journal_topic;
        for topic in [journal, &self.settings.ledger_topic] {
            let found = producer.client().fetch_metadata(Some(topic), crate::topics::LIMIT);
            found.map_err(|error| append::fault(&producer, error, &format!("looking up topic {topic}")))?;
        }
        producer.init_transactions(INIT_LIMIT).map_err(|error| {
            let id = self.settings.transactional_id(self.shard);
            append::fault(&producer, error, &format!("fencing the owner before us, transactional id {id}"))
        })?;
        let nonce = random();
        self.write_barrier(&producer, nonce)?;
        self.wait_until_settled(&Transaction::default())?;
        let (mut replay, generation, bytes) = reader.read(journal, self.shard, nonce)?;
        self.ensure_incarnation(&producer, &mut replay, generation)?;
        self.producer = Some(producer);
        Ok(replay.finish(generation, bytes))
    }

    /// Resolves whatever dangles of this id, in each partition that the shard writes: a coordinator that died behind
    /// an answered commit may have forgotten the markers, and the next transaction of the id brings them. Dead letter
    /// topics are other people's reading: they get a barrier only where one is needed.
    fn write_barrier(&self, producer: &ShardProducer, nonce: u128) -> Result<(), Fault> {
        let barrier = outflow_journal::barrier(nonce);
        let unsettled = self.letters.unsettled();
        self.write(producer, "writing the barrier", |producer| {
            for topic in [&self.settings.journal_topic, &self.settings.ledger_topic] {
                append::send(producer, self.record(topic, &barrier))?;
            }
            unsettled.iter().try_for_each(|(topic, at)| append::send(producer, letters::barrier(topic, *at)))
        })
    }

    /// With the first row of the ledger: from here on it has every decision.
    fn ensure_incarnation(
        &self,
        producer: &ShardProducer,
        replay: &mut Replay,
        generation: Generation,
    ) -> Result<(), Fault> {
        if replay.incarnation().is_some() {
            return Ok(());
        }
        let incarnation = Incarnation(random() as u64);
        let drawn = outflow_journal::incarnation(incarnation);
        let began = outflow_journal::ledger_began(incarnation, self.shard, generation);
        self.write(producer, "writing the incarnation", |producer| {
            append::send(producer, self.record(&self.settings.journal_topic, &drawn))?;
            append::send(producer, self.record(&self.settings.ledger_topic, &began))
        })?;
        replay.apply(&drawn.key, drawn.value.as_deref(), generation.0.cast_signed())
    }

    fn write(
        &self,
        producer: &ShardProducer,
        doing: &str,
        send_all: impl FnOnce(&ShardProducer) -> Result<(), KafkaError>,
    ) -> Result<(), Fault> {
        match append::transact(producer, send_all) {
            AppendOutcome::Done => Ok(()),
            AppendOutcome::Fenced => Err(fault::fenced(&format!("{doing}, shard {}", self.shard.0))),
            AppendOutcome::Refused(fault) | AppendOutcome::Unknown(fault) => Err(fault),
        }
    }

    /// Into the shard's own partition, which nobody else writes (P7).
    fn record<'a>(&self, topic: &'a str, entry: &'a KeyValue) -> BaseRecord<'a, [u8], [u8]> {
        let record = BaseRecord::to(topic).partition(self.shard.0.cast_signed()).key(entry.key.as_slice());
        match &entry.value {
            Some(value) => record.payload(value),
            None => record,
        }
    }

    /// Behind a commit nothing of ours may be undecided.
    ///
    /// "Committed" is the coordinator's word alone: the markers may still be missing, and a coordinator that dies now
    /// may forget them. Records without a marker would share the fate of this producer's next transaction, and an abort
    /// of that would take back what was answered as done: so nothing is done, and nothing else is begun, before the
    /// markers are seen.
    fn wait_until_settled(&self, transaction: &Transaction) -> Result<(), Fault> {
        let own = [&self.settings.journal_topic, &self.settings.ledger_topic];
        let own = own.map(|topic| (topic.as_str(), self.shard.0.cast_signed()));
        for (topic, partition) in own.into_iter().chain(self.letters.partitions(transaction)) {
            let partition = partition.cast_unsigned();
            if let Settled::No { stable, high } = self.topics.settled(topic, partition, HANGING_LIMIT)? {
                return Err(fault::hanging(topic, partition, stable, high));
            }
        }
        Ok(())
    }
}

impl Journal for KafkaJournal {
    fn acquire(&mut self) -> Result<Recovered, Fault> {
        self.producer = None;
        self.own()
    }

    fn append(&mut self, transaction: &Transaction) -> AppendOutcome {
        let Some(producer) = &self.producer else {
            return AppendOutcome::Unknown(Fault::retry("journal-not-owned", "the journal has to be acquired first"));
        };
        if let Err(fault) = outflow_journal::check(transaction).and_then(|()| self.letters.check(transaction)) {
            return AppendOutcome::Refused(fault);
        }
        let (journal, ledger) = (outflow_journal::encode(transaction), &transaction.ledger);
        let letters = &self.letters;
        let outcome = append::transact(producer, |producer| {
            for entry in &journal {
                append::send(producer, self.record(&self.settings.journal_topic, entry))?;
            }
            for row in ledger {
                let entry = outflow_journal::encode_ledger(row);
                append::send(producer, self.record(&self.settings.ledger_topic, &entry))?;
            }
            transaction.dead_letters.iter().try_for_each(|letter| append::send(producer, letters.record(letter)))
        });
        let outcome = match outcome {
            AppendOutcome::Done => {
                self.wait_until_settled(transaction).map_or_else(AppendOutcome::Unknown, |()| outcome)
            }
            other => other,
        };
        if !matches!(outcome, AppendOutcome::Done) {
            self.producer = None;
        }
        outcome
    }
}

/// The system's randomness, by way of the seeds of hash maps.
pub(crate) fn random() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(Instant::now()));
    half() << 64 | half()
}

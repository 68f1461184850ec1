use crate::{
    KafkaSettings, append,
    config_reader::{ConfigReader, PARTITION},
    fault,
    journal::{ShardProducer, random},
    log::ClientLog,
    topics::{LIMIT, Topics},
};
use outflow_api::{AppendOutcome, ConfigLog, ConfigRevision, Fault, Forgotten, Publication, Revision, Verdict};
use outflow_journal::{KeyValue, config};
use rdkafka::producer::{BaseRecord, Producer};
use std::{sync::Arc, time::Duration};

/// A predecessor's large transaction may have to be aborted first.
const INIT_LIMIT: Duration = Duration::from_secs(30);
/// Below the transaction's time-out.
const WRITE_LIMIT: Duration = Duration::from_secs(100);

/// One partition for all shards. Whoever publishes takes its transactional id, for one publication.
pub(crate) struct KafkaConfigLog {
    settings: Arc<KafkaSettings>,
    topics: Arc<Topics>,
    reader: ConfigReader,
}

impl KafkaConfigLog {
    pub(crate) fn open(settings: Arc<KafkaSettings>, topics: Arc<Topics>) -> Result<KafkaConfigLog, Fault> {
        let reader = ConfigReader::open(&settings, &topics)?;
        Ok(KafkaConfigLog { settings, topics, reader })
    }

    /// Fences every other publisher, and reads all that they have published.
    ///
    /// The barrier resolves what dangles of the id: a coordinator that died behind an answered commit may have
    /// forgotten its markers, and the next transaction brings them. That it is read, committed, proves that nothing
    /// before it is undecided.
    fn lead(&mut self) -> Result<ShardProducer, Fault> {
        let log = ClientLog::default();
        let made = self.settings.publisher().create_with_context(log.clone());
        let producer: ShardProducer = made.map_err(|error| fault::of_error(error, "making the publisher", &log))?;
        let topic = &self.settings.config_topic;
        let warm = producer.client().fetch_metadata(Some(topic), LIMIT);
        warm.map_err(|error| append::fault(&producer, error, &format!("looking up topic {topic}")))?;
        producer.init_transactions(INIT_LIMIT).map_err(|error| {
            let id = self.settings.publishing_id();
            append::fault(&producer, error, &format!("fencing the publisher before us, transactional id {id}"))
        })?;
        let nonce = random();
        let barrier = config::barrier(nonce);
        match append::transact(&producer, |producer| append::send(producer, record(topic, &barrier))) {
            AppendOutcome::Done => {}
            AppendOutcome::Refused(fault) | AppendOutcome::Unknown(fault) if !append::is_fenced(&producer) => {
                return Err(fault::config_unmarked(topic).because(fault));
            }
            _ => return Err(fault::fenced("publishing")),
        }
        if self.reader.read_until(|replay| replay.saw(nonce))? { Ok(producer) } else { Err(self.unseen("our barrier")) }
    }

    fn write(&mut self, producer: &ShardProducer, revision: &ConfigRevision) -> Publication {
        let topic = &self.settings.config_topic;
        let outcome = append::transact_within(producer, WRITE_LIMIT, |producer| {
            config::encode(revision).try_for_each(|entry| append::send(producer, record(topic, &entry)))
        });
        match outcome {
            AppendOutcome::Done => self.read_back(revision.revision),
            AppendOutcome::Fenced => Publication::Behind,
            AppendOutcome::Refused(fault) | AppendOutcome::Unknown(fault) => {
                Publication::Unknown(fault::config_unknown(revision.revision).because(fault))
            }
        }
    }

    fn write_forgotten(&mut self, producer: &ShardProducer, forgotten: &Forgotten) -> Publication {
        // A mark never falls: entries up to the highest one are missing.
        let until = forgotten.until.max(self.reader.replay().forgotten());
        let forgotten = Forgotten { until, entries: forgotten.entries.clone() };
        let topic = &self.settings.config_topic;
        let outcome = append::transact_within(producer, WRITE_LIMIT, |producer| {
            config::encode_forgotten(&forgotten).try_for_each(|entry| append::send(producer, record(topic, &entry)))
        });
        match outcome {
            AppendOutcome::Done => {
                let seen = self.reader.read_until(|replay| replay.forgotten() >= until);
                let unseen = |log: &Self| log.unseen(&format!("what was forgotten up to revision {}", until.0));
                match seen {
                    Ok(true) => Publication::Done,
                    Ok(false) => Publication::Unknown(unseen(self)),
                    Err(fault) => Publication::Unknown(fault),
                }
            }
            AppendOutcome::Fenced => Publication::Behind,
            AppendOutcome::Refused(fault) | AppendOutcome::Unknown(fault) => Publication::Unknown(fault),
        }
    }

    /// "Committed" is the coordinator's word alone, and he may die and forget the markers. What is read, committed, is
    /// so for everybody and for ever.
    fn read_back(&mut self, revision: Revision) -> Publication {
        match self.reader.read_until(|replay| replay.newest() >= revision) {
            Ok(true) => Publication::Done,
            Ok(false) => Publication::Unknown(self.unseen(&format!("revision {}", revision.0))),
            Err(fault) => Publication::Unknown(fault),
        }
    }

    fn unseen(&self, what: &str) -> Fault {
        let topic = &self.settings.config_topic;
        let stable = self.topics.bounds(topic, PARTITION, LIMIT).map(|bounds| bounds.next);
        let high = self.topics.high_watermark(topic, PARTITION, LIMIT);
        match (stable, high) {
            (Ok(stable), Ok(high)) => fault::config_unseen(topic, what, stable, high),
            (Err(fault), _) | (_, Err(fault)) => fault,
        }
    }
}

impl ConfigLog for KafkaConfigLog {
    fn read(&mut self, wait: Duration) -> Result<Vec<ConfigRevision>, Fault> {
        self.reader.read(wait)
    }

    fn is_current(&self) -> bool {
        self.reader.is_current()
    }

    fn publish(&mut self, revision: &ConfigRevision) -> Publication {
        if let Err(fault) = config::check(revision).and_then(|()| self.reader.drain()) {
            return Publication::Refused(fault);
        }
        // Who is late fences nobody.
        if revision.revision <= self.reader.replay().newest() {
            return Publication::Behind;
        }
        match self.lead() {
            Ok(_) if revision.revision.0 != self.reader.replay().newest().0 + 1 => Publication::Behind,
            Ok(producer) => self.write(&producer, revision),
            Err(fault) if fault.verdict == Verdict::Fence => Publication::Behind,
            Err(fault) => Publication::Refused(fault),
        }
    }

    fn forget(&mut self, forgotten: &Forgotten) -> Publication {
        if let Err(fault) = self.reader.drain() {
            return Publication::Refused(fault);
        }
        match self.lead() {
            Ok(_) if forgotten.until > self.reader.replay().newest() => Publication::Behind,
            Ok(producer) => self.write_forgotten(&producer, forgotten),
            Err(fault) if fault.verdict == Verdict::Fence => Publication::Behind,
            Err(fault) => Publication::Refused(fault),
        }
    }

    fn forgotten(&self) -> Revision {
        self.reader.replay().forgotten()
    }
}

fn record<'a>(topic: &'a str, entry: &'a KeyValue) -> BaseRecord<'a, [u8], [u8]> {
    let record = BaseRecord::to(topic).partition(PARTITION.cast_signed()).key(entry.key.as_slice());
    match &entry.value {
        Some(value) => record.payload(value),
        None => record,
    }
}

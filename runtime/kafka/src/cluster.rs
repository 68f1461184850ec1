use crate::{
    KafkaSettings,
    config_log::KafkaConfigLog,
    examine,
    journal::KafkaJournal,
    ledger::KafkaLedger,
    members,
    membership::KafkaMembership,
    prepare,
    recovery::Reader,
    report, retention,
    source::KafkaSource,
    topics::{LIMIT, Topics},
};
use outflow_api::{
    Cluster, ConfigLog, Fault, Finding, Generation, Journal, Ledger, Member, Membership, Offset, Recovered, Retention,
    Shard, Source, TopicInfo, TopicPartition,
};
use rdkafka::consumer::Consumer;
use std::{collections::BTreeMap, sync::Arc};

pub struct KafkaCluster {
    settings: Arc<KafkaSettings>,
    topics: Arc<Topics>,
}

impl KafkaCluster {
    /// Wrong settings are refused here; whether a broker answers is found out by the first call.
    pub fn new(settings: KafkaSettings) -> Result<KafkaCluster, Fault> {
        settings.check()?;
        let topics = Arc::new(Topics::new(&settings)?);
        Ok(KafkaCluster { settings: Arc::new(settings), topics })
    }
}

impl Cluster for KafkaCluster {
    fn topics(&self, names: &[String]) -> Result<Vec<TopicInfo>, Fault> {
        self.topics.infos(names)
    }

    fn topic_names(&self) -> Result<Vec<String>, Fault> {
        let settings = &self.settings;
        let own = [&settings.journal_topic, &settings.ledger_topic, &settings.config_topic];
        let names = self.topics.names()?.into_iter();
        Ok(names.filter(|name| !name.starts_with("__") && !own.contains(&name)).collect())
    }

    fn retention(&self, names: &[String]) -> Result<BTreeMap<String, Retention>, Fault> {
        retention::retention(&self.settings, &self.topics, names)
    }

    fn prepare(&self) -> Result<(), Fault> {
        prepare::prepare(&self.settings, &self.topics)
    }

    fn provide(&self, dead_letters: &[(String, Option<u32>)]) -> Result<(), Fault> {
        prepare::provide(&self.settings, &self.topics, dead_letters)
    }

    fn admit(&self, connectors: &[String]) -> Result<(), Fault> {
        prepare::admit(&self.settings, &self.topics, connectors)
    }

    fn name(&self) -> Result<String, Fault> {
        let unknown = || Fault::retry("cluster-unnamed", "no broker has said yet which cluster it belongs to");
        self.topics.client().client().fetch_cluster_id(LIMIT).ok_or_else(unknown)
    }

    fn members(&self) -> Result<Vec<Member>, Fault> {
        members::members(&self.settings, &self.topics)
    }

    fn source(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(KafkaSource::new(&self.settings, Arc::clone(&self.topics))?))
    }

    fn journal(&self, shard: Shard) -> Result<Box<dyn Journal>, Fault> {
        Ok(Box::new(KafkaJournal::new(Arc::clone(&self.settings), Arc::clone(&self.topics), shard)))
    }

    fn peek(&self, shard: Shard) -> Result<Option<Recovered>, Fault> {
        let journal = &self.settings.journal_topic;
        let bounds = self.topics.bounds(journal, shard.0, LIMIT)?;
        if bounds.is_empty() {
            return Ok(None);
        }
        let (replay, bytes) = Reader::new(&self.settings)?.read_to(journal, shard, bounds.next)?;
        // A barrier may be all that there is.
        Ok(replay.incarnation().map(|_| replay.finish(Generation(0), bytes)))
    }

    fn ledger(&self, shard: Shard) -> Result<Box<dyn Ledger>, Fault> {
        Ok(Box::new(KafkaLedger::new(Arc::clone(&self.settings), Arc::clone(&self.topics), shard)))
    }

    fn membership(&self) -> Result<Box<dyn Membership>, Fault> {
        Ok(Box::new(KafkaMembership::new(&self.settings)?))
    }

    fn config_log(&self) -> Result<Box<dyn ConfigLog>, Fault> {
        Ok(Box::new(KafkaConfigLog::open(Arc::clone(&self.settings), Arc::clone(&self.topics))?))
    }

    fn report(&self, connector: &str, floors: &[(TopicPartition, Offset)]) -> Result<(), Fault> {
        report::report(&self.settings, &self.topics, connector, floors)
    }

    fn examine(&self, topics: &[String], dead_letters: &[String]) -> Vec<Finding> {
        examine::examine(&self.settings, &self.topics, topics, dead_letters)
    }
}

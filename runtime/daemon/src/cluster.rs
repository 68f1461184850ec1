use outflow_api::{Cluster, Fault};
use outflow_config::{ClusterConfig, Config, SystemEnvironment};
use outflow_kafka::{KafkaCluster, KafkaSettings};
use outflow_local::LocalCluster;
use std::{error::Error, sync::Arc};

/// Where records come from and decisions are kept; `name`: what others call this worker.
pub fn open(config: &Config, name: Option<String>) -> Result<Arc<dyn Cluster>, Box<dyn Error>> {
    let worker = &config.worker;
    Ok(match &worker.cluster {
        ClusterConfig::Local { folder } => Arc::new(LocalCluster::open(folder, worker.shards)?),
        ClusterConfig::Kafka(kafka) => {
            let mut settings = KafkaSettings::new(kafka.bootstrap.clone(), worker.group.clone(), worker.shards);
            settings.properties = kafka.resolve(&SystemEnvironment)?;
            settings.journal_topic = worker.journal.topic.clone();
            settings.ledger_topic = worker.journal.ledger.clone();
            settings.replication = worker.journal.replication;
            settings.session_timeout = worker.session_timeout;
            settings.instance = worker.instance_id.clone();
            settings.name = name;
            Arc::new(KafkaCluster::new(settings)?)
        }
    })
}

/// All dead letter topics.
pub fn dead_letters(config: &Config) -> Vec<String> {
    config.connectors.iter().filter_map(|connector| Some(connector.dead_letters.as_ref()?.topic.clone())).collect()
}

/// All topics that are read.
pub fn topics(config: &Config) -> Vec<String> {
    let topics = config.connectors.iter().flat_map(|connector| connector.topics.iter().cloned());
    topics.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

pub fn wrong_definition(message: impl Into<String>) -> Fault {
    Fault::park(outflow_api::Blame::Us, "definition-unusable", message)
}

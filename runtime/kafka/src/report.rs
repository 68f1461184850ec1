use crate::{KafkaSettings, fault, log::ClientLog, topics::Topics};
use outflow_api::{Fault, Offset, TopicPartition};
use rdkafka::{
    Offset as Place, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
};

/// As Kafka Connect names them.
pub(crate) fn group(connector: &str) -> String {
    format!("connect-{connector}")
}

/// Commits as a member of nothing; brokers refuse that where the group has members. A client for each call: it is
/// called once a minute or so, and a few dozen idle clients would cost more.
pub(crate) fn report(
    settings: &KafkaSettings,
    topics: &Topics,
    connector: &str,
    floors: &[(TopicPartition, Offset)],
) -> Result<(), Fault> {
    if floors.is_empty() {
        return Ok(());
    }
    let (log, group) = (ClientLog::default(), group(connector));
    let doing = format!("committing positions for group {group}");
    let trouble = |error| fault::of_error(error, &doing, &log);
    let mut list = TopicPartitionList::new();
    for (partition, floor) in floors {
        let name = topics.name(partition.topic)?;
        list.add_partition_offset(&name, partition.partition.cast_signed(), Place::Offset(floor.0)).map_err(trouble)?;
    }
    let made = settings.reporter(&group).create_with_context(log.clone());
    let committer: BaseConsumer<ClientLog> = made.map_err(trouble)?;
    committer.commit(&list, CommitMode::Sync).map_err(trouble)
}

use crate::{
    KafkaSettings, fault,
    report::group,
    settings::BATCH_BYTES_MAX,
    topics::{LIMIT, Topics, admin_options},
};
use outflow_api::Fault;
use rdkafka::{
    TopicPartitionList,
    admin::{NewTopic, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode as Code,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Small segments and an eager cleaner: a new owner reads the journal from its start.
pub(crate) const JOURNAL: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "33554432"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("max.compaction.lag.ms", "600000"),
    ("unclean.leader.election.enable", "false"),
];
/// It remembers for ever.
pub(crate) const LEDGER: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("unclean.leader.election.enable", "false")];

pub(crate) fn prepare(settings: &KafkaSettings, topics: &Topics) -> Result<(), Fault> {
    let metadata = topics.client().fetch_metadata(None, LIMIT);
    let metadata = metadata.map_err(|error| fault::of_error(error, "connecting", topics.log()))?;
    let brokers = metadata.brokers().len();
    for (name, configs) in [(&settings.journal_topic, &JOURNAL[..]), (&settings.ledger_topic, &LEDGER[..])] {
        match topics.describe(&[name], LIMIT)?.remove(0) {
            Ok(_) => {}
            Err(Code::UnknownTopicOrPartition) => create(settings, topics, name, settings.shards, configs, brokers)?,
            Err(code) => return Err(fault::of_code(code, &format!("topic {name}"), topics.log())),
        }
        check(settings, topics, name, configs)?;
    }
    Ok(())
}

/// With the broker's own settings: how long dead letters are kept is the platform's affair.
pub(crate) fn provide(
    settings: &KafkaSettings,
    topics: &Topics,
    dead_letters: &[(String, Option<u32>)],
) -> Result<(), Fault> {
    topics.are_dead_letters(dead_letters.iter().map(|(name, _)| name.clone()));
    let metadata = topics.client().fetch_metadata(None, LIMIT);
    let metadata = metadata.map_err(|error| fault::of_error(error, "connecting", topics.log()))?;
    for (name, partitions) in dead_letters {
        if let Err(Code::UnknownTopicOrPartition) = topics.describe(&[name], LIMIT)?.remove(0) {
            let partitions = partitions.unwrap_or(settings.shards);
            create(settings, topics, name, partitions, &[], metadata.brokers().len())?;
        }
    }
    Ok(())
}

fn create(
    settings: &KafkaSettings,
    topics: &Topics,
    name: &str,
    partitions: u32,
    configs: &[(&str, &str)],
    brokers: usize,
) -> Result<(), Fault> {
    let replication = settings.replication.map_or(brokers.clamp(1, 3), usize::from);
    let replication = i32::try_from(replication).unwrap_or(1);
    let partitions = partitions.cast_signed();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
    let topic = configs.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let topic = if replication >= 3 { topic.set("min.insync.replicas", "2") } else { topic };
    let doing = format!("creating topic {name} with {partitions} partitions and {replication} replicas");
    let admin = topics.admin(settings)?;
    let answer = futures::executor::block_on(admin.create_topics([&topic], &admin_options()));
    let answer = answer.map_err(|error| fault::of_error(error, &doing, topics.log()))?;
    match answer.into_iter().next() {
        // Another worker was faster.
        Some(Ok(_)) | None | Some(Err((_, Code::TopicAlreadyExists))) => {}
        Some(Err((_, code))) => return Err(fault::of_code(code, &doing, topics.log())),
    }
    tracing::info!("created topic {name}: {partitions} partitions, {replication} replicas");
    wait_until_known(topics, name)
}

fn wait_until_known(topics: &Topics, name: &str) -> Result<(), Fault> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let metadata = topics.client().fetch_metadata(Some(name), LIMIT);
        let metadata = metadata.map_err(|error| fault::of_error(error, "connecting", topics.log()))?;
        let led = |topic: &rdkafka::metadata::MetadataTopic| {
            topic.error().is_none() && topic.partitions().iter().all(|partition| partition.leader() >= 0)
        };
        if metadata.topics().iter().all(led) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Fault::retry("kafka-unreachable", format!("topic {name} was created and has no leader yet")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What is wrong for exactly once is refused; what is slow or risky is told.
pub(crate) fn check(
    settings: &KafkaSettings,
    topics: &Topics,
    name: &str,
    wanted: &[(&str, &str)],
) -> Result<(), Fault> {
    let found = topics.find(name)?;
    if found.partitions != settings.shards {
        let hint = format!(
            "topic {name} has {} partitions and the configuration says {} shards: they must be equal; set shards: {}, \
             or name other journal and ledger topics",
            found.partitions, settings.shards, found.partitions
        );
        return Err(Fault::halt("journal-partitions", hint));
    }
    if !found.may_read || !found.may_write {
        return Err(fault::of_code(Code::TopicAuthorizationFailed, &format!("topic {name}"), topics.log()));
    }
    let configs = match topics.configs(settings, name) {
        Ok(configs) => configs,
        Err(fault) if fault.code == "kafka-denied" => {
            tracing::warn!("the settings of topic {name} are not checked: {fault}");
            return Ok(());
        }
        Err(fault) => return Err(fault),
    };
    for (key, value) in wanted {
        if configs.get(*key).is_some_and(|is| !same(is, value)) {
            let fault = wrong_setting(name, key, &configs[*key], value);
            if is_vital(key) {
                return Err(fault);
            }
            tracing::warn!("{fault}");
        }
    }
    check_size(name, &configs)
}

/// A journal that is not compacted grows for ever, or, worse, forgets; a ledger that is compacted or expires forgets;
/// a leader that lacks what was acknowledged makes both forget.
fn is_vital(key: &str) -> bool {
    ["cleanup.policy", "retention.ms", "unclean.leader.election.enable"].contains(&key)
}

fn same(is: &str, wanted: &str) -> bool {
    match (is.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(is), Ok(wanted)) => is == wanted,
        _ => is == wanted,
    }
}

fn check_size(name: &str, configs: &BTreeMap<String, String>) -> Result<(), Fault> {
    let least = outflow_journal::ENTRY_BYTES_MAX + BATCH_BYTES_MAX;
    match configs.get("max.message.bytes").and_then(|text| text.parse::<usize>().ok()) {
        Some(most) if most < least => {
            Err(wrong_setting(name, "max.message.bytes", &most.to_string(), &least.to_string()))
        }
        _ => Ok(()),
    }
}

fn wrong_setting(topic: &str, key: &str, is: &str, must: &str) -> Fault {
    let hint = format!(
        "topic {topic}: {key} is {is} and must be {must}; mend it with kafka-configs --alter --entity-type topics \
         --entity-name {topic} --add-config {key}={must}"
    );
    Fault::halt("journal-setting", hint)
}

/// Before the first record is read: nobody else may use the groups that show our positions, and a journal that is empty
/// beside committed positions is a journal that was lost.
pub(crate) fn admit(settings: &KafkaSettings, topics: &Topics, connectors: &[String]) -> Result<(), Fault> {
    let groups: Vec<String> = connectors.iter().map(|connector| group(connector)).collect();
    refuse_members(topics, &groups)?;
    if !is_empty(settings, topics)? {
        return Ok(());
    }
    groups.iter().try_for_each(|group| refuse_positions(settings, topics, group))
}

fn refuse_members(topics: &Topics, groups: &[String]) -> Result<(), Fault> {
    let busy = topics.busy_groups()?;
    let Some(group) = groups.iter().find(|group| busy.contains(group)) else { return Ok(()) };
    let hint = format!(
        "group {group} has active members: something else, a Kafka Connect worker perhaps, runs this connector; stop \
         it first (kafka-consumer-groups --describe --members --group {group} shows who)"
    );
    Err(Fault::halt("group-has-members", hint))
}

fn is_empty(settings: &KafkaSettings, topics: &Topics) -> Result<bool, Fault> {
    for shard in 0..settings.shards {
        if topics.high_watermark(&settings.journal_topic, shard, LIMIT)?.0 > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn refuse_positions(settings: &KafkaSettings, topics: &Topics, group: &str) -> Result<(), Fault> {
    let trouble = |error| fault::of_error(error, &format!("reading the positions of group {group}"), topics.log());
    let metadata = topics.client().fetch_metadata(None, LIMIT).map_err(trouble)?;
    let mut all = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
        for partition in topic.partitions() {
            all.add_partition(topic.name(), partition.id());
        }
    }
    if all.count() == 0 {
        return Ok(());
    }
    let reader: BaseConsumer = settings.reporter(group).create().map_err(trouble)?;
    let committed = reader.committed_offsets(all, LIMIT).map_err(trouble)?;
    let elements = committed.elements();
    let Some(found) = elements.iter().find(|element| matches!(element.offset(), rdkafka::Offset::Offset(_))) else {
        return Ok(());
    };
    let hint = format!(
        "the journal {} is empty, and group {group} has committed positions ({}, partition {}): was the journal lost, \
         or does this connector come from Kafka Connect? To begin anew from the start of its topics, delete the group \
         with kafka-consumer-groups --delete --group {group}",
        settings.journal_topic,
        found.topic(),
        found.partition()
    );
    Err(Fault::halt("journal-lost", hint))
}

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

/// A topic of ours, as it must be.
pub(crate) struct OwnTopic<'a> {
    pub(crate) what: &'static str,
    pub(crate) name: &'a str,
    pub(crate) partitions: u32,
    configs: &'static [(&'static str, &'static str)],
    /// What a batch of records may have, with what Kafka adds.
    batch_bytes: usize,
}

/// Small segments and an eager cleaner: a new owner reads the journal, and a new worker the config log, from its start.
const COMPACTED: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "33554432"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("max.compaction.lag.ms", "600000"),
    ("unclean.leader.election.enable", "false"),
];
/// It remembers for ever.
const LEDGER: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("unclean.leader.election.enable", "false")];

pub(crate) fn own_topics(settings: &KafkaSettings) -> [OwnTopic<'_>; 3] {
    let batch_bytes = outflow_journal::ENTRY_BYTES_MAX + BATCH_BYTES_MAX;
    let partitions = settings.shards;
    let (journal, ledger, config) = (&settings.journal_topic, &settings.ledger_topic, &settings.config_topic);
    // The largest entry goes alone.
    let alone = outflow_journal::config::ENTRY_BYTES_MAX + (16 << 10);
    [
        OwnTopic { what: "journal", name: journal, partitions, configs: &COMPACTED, batch_bytes },
        OwnTopic { what: "ledger", name: ledger, partitions, configs: &LEDGER, batch_bytes },
        OwnTopic { what: "config log", name: config, partitions: 1, configs: &COMPACTED, batch_bytes: alone },
    ]
}

pub(crate) fn prepare(settings: &KafkaSettings, topics: &Topics) -> Result<(), Fault> {
    let metadata = topics.client().fetch_metadata(None, LIMIT);
    let metadata = metadata.map_err(|error| fault::of_error(error, "connecting", topics.log()))?;
    let brokers = metadata.brokers().len();
    for own in own_topics(settings) {
        let OwnTopic { name, partitions, configs, .. } = own;
        match topics.describe(&[name], LIMIT)?.remove(0) {
            Ok(_) => {}
            Err(Code::UnknownTopicOrPartition) => create(settings, topics, name, partitions, configs, brokers)?,
            Err(code) => return Err(fault::of_code(code, &format!("topic {name}"), topics.log())),
        }
        check(settings, topics, &own)?;
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
pub(crate) fn check(settings: &KafkaSettings, topics: &Topics, own: &OwnTopic<'_>) -> Result<(), Fault> {
    let name = own.name;
    let found = topics.find(name)?;
    if found.partitions != own.partitions {
        return Err(wrong_partitions(settings, own, found.partitions));
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
    for (key, value) in own.configs {
        if configs.get(*key).is_some_and(|is| !same(is, value)) {
            let fault = wrong_setting(name, key, &configs[*key], value);
            if is_vital(key) {
                return Err(fault);
            }
            tracing::warn!("{fault}");
        }
    }
    check_size(own, &configs)
}

fn wrong_partitions(settings: &KafkaSettings, own: &OwnTopic<'_>, found: u32) -> Fault {
    let name = own.name;
    if own.name == settings.config_topic {
        let hint = format!(
            "topic {name} has {found} partitions; the config log must have one, in which revisions have one order: \
             delete the topic if nothing was published there, or name another config topic"
        );
        return Fault::halt("config-partitions", hint);
    }
    let shards = settings.shards;
    let hint = format!(
        "topic {name} has {found} partitions and the configuration says {shards} shards: they must be equal; set \
         shards: {found}, or name other journal and ledger topics"
    );
    Fault::halt("journal-partitions", hint)
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

fn check_size(own: &OwnTopic<'_>, configs: &BTreeMap<String, String>) -> Result<(), Fault> {
    let OwnTopic { name, batch_bytes: least, .. } = *own;
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
         or does this connector come from Kafka Connect? `outflow restore FILE` puts a backup of the journal back. To \
         begin anew from the start of its topics, delete the group with kafka-consumer-groups --delete --group {group}",
        settings.journal_topic,
        found.topic(),
        found.partition()
    );
    Err(Fault::halt("journal-lost", hint))
}

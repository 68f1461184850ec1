use crate::common::{cluster, partition, settings, unique};
use outflow_api::{Cluster, Offset, Shard};
use outflow_kafka::KafkaCluster;
use outflow_rig::Kafka;
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use std::time::Duration;

#[test]
fn own_topics_are_made_once_and_checked_ever_after() {
    let settings = settings(Kafka::shared(), 3);
    for _ in 0..2 {
        let cluster = KafkaCluster::new(settings.clone()).expect("the settings are valid");
        cluster.prepare().expect("the broker is ours");
        let names = [settings.journal_topic.clone(), settings.ledger_topic.clone()];
        let topics = cluster.topics(&names).expect("both are there");
        assert!(topics.iter().all(|topic| topic.partitions == 3));
        let findings = cluster.examine(&[], &[]);
        assert!(findings.iter().all(|finding| finding.result.is_ok()), "{findings:?}");
    }
}

#[test]
fn a_journal_that_is_not_compacted_is_refused_with_the_command_that_mends_it() {
    let kafka = Kafka::shared();
    let settings = settings(kafka, 1);
    kafka.create_topic(&settings.journal_topic, 1, &[("cleanup.policy", "delete")]);
    let cluster = KafkaCluster::new(settings.clone()).expect("the settings are valid");
    let fault = cluster.prepare().expect_err("it would forget");
    assert_eq!(fault.code, "journal-setting");
    let command = format!("--entity-name {} --add-config cleanup.policy=compact", settings.journal_topic);
    assert!(fault.hint.contains("is delete and must be compact") && fault.hint.contains(&command), "{fault}");
}

#[test]
fn another_number_of_shards_than_partitions_is_refused() {
    let kafka = Kafka::shared();
    let settings = settings(kafka, 4);
    kafka.create_topic(&settings.journal_topic, 2, &[("cleanup.policy", "compact")]);
    let fault = KafkaCluster::new(settings).expect("the settings are valid").prepare().expect_err("two and four");
    assert_eq!(fault.code, "journal-partitions");
    assert!(fault.hint.contains("has 2 partitions") && fault.hint.contains("4 shards"), "{fault}");
}

#[test]
fn positions_for_people_are_shown_and_an_empty_journal_beside_them_is_refused() {
    let kafka = Kafka::shared();
    let (topic, connector) = (unique("reported"), unique("connector"));
    kafka.create_topic(&topic, 2, &[]);
    let cluster = cluster(kafka, 1);
    cluster.admit(std::slice::from_ref(&connector)).expect("nobody else is there");
    let floors = [(partition(&cluster, &topic, 0), Offset(17)), (partition(&cluster, &topic, 1), Offset(4))];
    cluster.report(&connector, &floors).expect("the broker answers");
    let reader: BaseConsumer =
        kafka.config().set("group.id", format!("connect-{connector}")).create().expect("the settings are valid");
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&topic, 0, 1);
    let found = reader.committed_offsets(asked, Duration::from_secs(20)).expect("the broker answers");
    let found: Vec<_> = found.elements().iter().map(|element| element.offset()).collect();
    assert_eq!(found, [rdkafka::Offset::Offset(17), rdkafka::Offset::Offset(4)]);
    let fault = cluster.admit(std::slice::from_ref(&connector)).expect_err("positions, and no journal");
    assert_eq!(fault.code, "journal-lost");
    cluster.journal(Shard(0)).expect("the broker answers").acquire().expect("the broker answers");
    cluster.admit(&[connector]).expect("a journal that has its barrier is no empty one");
}

#[test]
fn a_group_with_members_is_refused() {
    let kafka = Kafka::shared();
    let (topic, connector) = (unique("taken"), unique("connector"));
    kafka.create_topic(&topic, 1, &[]);
    for protocol in ["classic", "consumer"] {
        let mut config = kafka.config();
        config.set("group.id", format!("connect-{connector}-{protocol}")).set("group.protocol", protocol);
        let member: BaseConsumer = config.create().expect("the settings are valid");
        member.subscribe(&[&topic]).expect("a valid name");
        let joined = || {
            member.poll(Duration::from_millis(50));
            member.assignment().is_ok_and(|assignment| assignment.count() == 1)
        };
        outflow_rig::wait_until("the member", Duration::from_secs(30), joined);
        let cluster = cluster(kafka, 1);
        let fault = cluster.admit(&[format!("{connector}-{protocol}")]).expect_err("somebody is there");
        assert_eq!(fault.code, "group-has-members", "{protocol}");
    }
}

#[test]
fn a_missing_topic_and_a_dead_broker_are_told_apart() {
    let kafka = Kafka::shared();
    let missing = unique("missing");
    let fault = cluster(kafka, 1).topics(std::slice::from_ref(&missing)).expect_err("it was never made");
    assert_eq!(fault.code, "topic-unknown");
    assert!(fault.hint.contains(&missing), "{fault}");
    let mut nowhere = settings(kafka, 1);
    nowhere.bootstrap = "127.0.0.1:1".to_owned();
    let findings = KafkaCluster::new(nowhere).expect("the settings are valid").examine(&[missing], &[]);
    let fault = findings[0].result.as_ref().expect_err("nobody listens there");
    assert_eq!((findings.len(), fault.code), (1, "kafka-unreachable"));
}

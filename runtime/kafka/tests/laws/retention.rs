use crate::common::{cluster, unique};
use outflow_api::{Cluster, Retention};
use outflow_rig::Kafka;

#[test]
fn how_long_a_topic_keeps_its_records_is_read_as_the_broker_has_it() {
    let kafka = Kafka::shared();
    let topics: [(&[(&str, &str)], Retention); 4] = [
        (&[("retention.ms", "7200000")], Retention { ms: Some(7_200_000), bytes: None }),
        (&[("retention.ms", "-1"), ("retention.bytes", "1000000")], Retention { ms: None, bytes: Some(1_000_000) }),
        (&[("cleanup.policy", "compact"), ("retention.ms", "7200000")], Retention::default()),
        // The broker's own default is a week.
        (&[], Retention { ms: Some(604_800_000), bytes: None }),
    ];
    let topics = topics.map(|(configs, expected)| {
        let name = unique("kept");
        kafka.create_topic(&name, 1, configs);
        (name, expected)
    });
    let names: Vec<String> = topics.iter().map(|(name, _)| name.clone()).collect();
    let told = cluster(kafka, 1).retention(&names).expect("the broker answers");
    assert_eq!(told, topics.into());
}

#[test]
fn of_a_topic_that_is_not_there_nothing_is_known() {
    let kafka = Kafka::shared();
    let name = unique("kept");
    kafka.create_topic(&name, 1, &[]);
    let told = cluster(kafka, 1).retention(&[name.clone(), unique("missing")]).expect("the broker answers");
    assert_eq!(told.into_keys().collect::<Vec<_>>(), [name]);
}

use crate::common::{Watch, partition, unique};
use outflow_api::{Cluster, Publication, Shard};
use outflow_conformance::config_log;
use outflow_kafka::{KafkaCluster, KafkaSettings};
use outflow_rig::Kafka;
use std::sync::OnceLock;

/// One broker with TLS and rights for all tests of this file.
fn secure() -> &'static Kafka {
    static SECURE: OnceLock<(tempfile::TempDir, Kafka)> = OnceLock::new();
    let start = || {
        let folder = tempfile::tempdir().expect("a folder");
        let kafka = Kafka::start_secure(folder.path());
        (folder, kafka)
    };
    &SECURE.get_or_init(start).1
}

fn settings(mechanism: &str, password: &str) -> KafkaSettings {
    let kafka = secure();
    let mut settings = KafkaSettings::new(kafka.secure_bootstrap(), unique("secure"), 1);
    let certificate = kafka.certificate().display().to_string();
    for (key, value) in [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", kafka.user().0),
        ("sasl.password", password),
        ("ssl.ca.location", certificate.as_str()),
    ] {
        settings.properties.insert(key.to_owned(), value.to_owned());
    }
    settings
}

fn connect(settings: &KafkaSettings) -> KafkaCluster {
    KafkaCluster::new(settings.clone()).expect("the settings are valid")
}

#[test]
fn tls_and_both_kinds_of_passwords_work_with_exactly_the_rights_that_are_told() {
    let kafka = secure();
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let settings = settings(mechanism, kafka.user().1);
        let cluster = connect(&settings);
        let topic = unique("guarded");
        kafka.create_topic(&topic, 1, &[]);
        let fault = cluster.prepare().expect_err("no right to make topics");
        assert_eq!(fault.code, "kafka-denied", "{fault}");
        let prefix = ["--resource-pattern-type", "prefixed"];
        kafka.allow(&["Read", "Describe"], &["--topic", &topic]);
        kafka.allow(
            &["Create", "Read", "Write", "Describe", "DescribeConfigs"],
            &[&["--topic", &settings.group], &prefix[..]].concat(),
        );
        kafka.allow(&["Read", "Describe"], &["--group", &settings.group]);
        kafka.allow(&["Write", "Describe"], &[&["--transactional-id", &settings.group], &prefix[..]].concat());
        cluster.prepare().expect("all rights are there");
        let kept = || cluster.retention(std::slice::from_ref(&topic)).expect("what we may not see is left out");
        assert!(kept().is_empty(), "a topic's settings are seen without the right");
        kafka.allow(&["DescribeConfigs"], &["--topic", &topic]);
        assert_eq!(kept().len(), 1);
        cluster.journal(Shard(0)).expect("the settings work").acquire().expect("all rights are there");
        let mut log = cluster.config_log().expect("all rights are there");
        config_log::done(&mut *log, &config_log::sample(1, "a"));
        assert_eq!(config_log::read_up_to(&mut *log, 1), [config_log::sample(1, "a")]);
        let findings = cluster.examine(std::slice::from_ref(&topic), &[]);
        assert!(findings.iter().all(|finding| finding.result.is_ok()), "{findings:?}");
        let (mut source, mut watch) = (cluster.source().expect("the settings work"), Watch::default());
        let partition = partition(&cluster, &topic, 0);
        watch.assign(&mut *source, partition, 0);
        watch.until("the end", &mut *source, |watch| watch.at_end(partition, 0));
    }
}

#[test]
fn a_wrong_password_is_told_as_such_and_never_printed() {
    let settings = settings("PLAIN", "hunter2");
    let fault = connect(&settings).prepare().expect_err("the wrong password");
    assert_eq!(fault.code, "kafka-authentication", "{fault}");
    assert!(!fault.to_string().contains("hunter2") && !format!("{settings:?}").contains("hunter2"), "{fault}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_told_as_such() {
    let mut settings = settings("PLAIN", secure().user().1);
    settings.properties.remove("ssl.ca.location");
    let fault = connect(&settings).prepare().expect_err("an unknown certificate");
    assert_eq!(fault.code, "kafka-tls", "{fault}");
}

#[test]
fn a_missing_right_on_a_source_names_the_topic_and_the_right() {
    let kafka = secure();
    let topic = unique("forbidden");
    kafka.create_topic(&topic, 1, &[]);
    let cluster = connect(&settings("PLAIN", kafka.user().1));
    let fault = cluster.topics(std::slice::from_ref(&topic)).expect_err("not even Describe");
    assert_eq!(fault.code, "kafka-denied", "{fault}");
    kafka.allow(&["Describe"], &["--topic", &topic]);
    let partition = partition(&cluster, &topic, 0);
    let (mut source, mut watch) = (cluster.source().expect("the settings work"), Watch::default());
    watch.assign(&mut *source, partition, 0);
    watch.until("the failure", &mut *source, |watch| !watch.failed.is_empty());
    assert_eq!(watch.failed[0].1.code, "kafka-denied");
    assert!(watch.failed[0].1.hint.contains(&topic) && watch.failed[0].1.hint.contains("Read"));
}

#[test]
fn a_missing_right_on_the_transactional_id_is_told() {
    let kafka = secure();
    let settings = settings("PLAIN", kafka.user().1);
    let prefix = ["--resource-pattern-type", "prefixed"];
    kafka.allow(
        &["Create", "Read", "Write", "Describe", "DescribeConfigs"],
        &[&["--topic", &settings.group], &prefix[..]].concat(),
    );
    let cluster = connect(&settings);
    cluster.prepare().expect("all rights on topics are there");
    let fault = cluster.journal(Shard(0)).expect("the settings work").acquire().expect_err("no right to fence");
    assert_eq!(fault.code, "kafka-denied", "{fault}");
    assert!(fault.hint.contains("transactional id"), "{fault}");
    kafka.allow(&["Read", "Describe"], &["--group", &settings.group]);
    let answer = cluster.config_log().expect("it may be read").publish(&config_log::sample(1, "a"));
    assert!(matches!(&answer, Publication::Refused(fault) if fault.code == "kafka-denied"), "{answer:?}");
}

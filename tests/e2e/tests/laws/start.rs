use outflow_e2e::{Connector, Daemon, Lake, Site, alone, produce};
use outflow_rig::{Kafka, wait_until};
use std::time::Duration;

const SAID: Duration = Duration::from_secs(60);

fn site(name: &str, kafka: &Kafka, topic: &str) -> (Site, Lake) {
    let site = Site::new(name, kafka);
    let lake = Lake::Folder(site.folder().join("lake"));
    site.configure(&Connector::new(name, topic, &lake));
    (site, lake)
}

/// Waits until it has ended by itself; answers its log.
fn ended(worker: Daemon) -> String {
    wait_until("the program to end", SAID, || !worker.is_alive());
    worker.log()
}

fn assert_says(log: &str, words: &[&str]) {
    for word in words {
        assert!(log.contains(word), "{word:?} is not in: {log}");
    }
    println!("{}", log.lines().last().unwrap_or_default());
}

#[test]
fn a_missing_topic_is_named_and_ends_the_program() {
    let _turn = alone();
    let (site, _) = site("missing", Kafka::shared(), "nowhere");
    let log = ended(site.start("worker", &[]));
    assert_says(&log, &["nowhere", "topic"]);
}

#[test]
fn wrong_credentials_are_named_without_the_password_and_end_the_program() {
    let _turn = alone();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let kafka = Kafka::start_secure(folder.path());
    let (site, _) = site("strange", &kafka, "orders");
    let password = site.write("password", "not-the-secret").display().to_string();
    let line = format!(
        "kafka: {{ bootstrap: \"{}\", security: {{ protocol: SASL_SSL, mechanism: SCRAM-SHA-256, username: outflow, \
         password: \"${{file:{password}}}\", ca: \"{}\" }} }}",
        kafka.secure_bootstrap(),
        kafka.certificate().display()
    );
    let log = ended(site.start("worker", &[&line]));
    assert_says(&log, &["credentials", "kafka-authentication"]);
    assert!(!log.contains("not-the-secret"));
}

/// It can be told to stop meanwhile, and begins when the broker comes.
#[test]
fn a_broker_that_is_away_is_named_and_waited_for() {
    let _turn = alone();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let kafka = Kafka::start(folder.path());
    kafka.create_topic("away", 4, &[]);
    produce(&kafka, "away", 0..1_000);
    let (site, lake) = site("away", &kafka, "away");
    kafka.kill();
    let (worker, stopped) = (site.start("worker", &[]), site.start("stopped", &[]));
    for one in [&worker, &stopped] {
        wait_until("the broker to be named", SAID, || one.log().contains("kafka-unreachable"));
    }
    assert_says(&stopped.drain(), &["kafka-unreachable", &kafka.bootstrap()]);
    kafka.restart();
    wait_until("the events", SAID, || {
        assert!(worker.is_alive(), "{}", worker.log());
        lake.count(1_000).rows >= 1_000
    });
    worker.drain();
    lake.count(1_000).assert_exactly_once(1_000);
}

#[test]
fn a_destination_without_its_bucket_or_with_wrong_credentials_is_named_by_a_check() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic("checked", 1, &[]);
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let s3 = outflow_rig::S3::start(folder.path());
    let site = Site::new("checked", kafka);
    let lake = Lake::bucket(&s3, "nobucket/checked");
    site.configure(&Connector::new("checked", "checked", &lake));
    let log = ended(site.check());
    assert_says(&log, &["FAIL", "bucket-missing"]);
    s3.create_bucket("nobucket");
    let log = ended(site.check());
    assert!(!log.contains("FAIL"), "{log}");
    let wrong = Connector {
        sink: Some(lake.sink().replace("E2E_SECRET_ACCESS_KEY", "HOME")),
        ..Connector::new("checked", "checked", &lake)
    };
    site.configure(&wrong);
    let log = ended(site.check());
    assert_says(&log, &["FAIL", "bad-credentials"]);
}

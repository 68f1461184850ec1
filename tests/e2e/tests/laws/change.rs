use outflow_e2e::{Connector, Lake, Producer, Site, alone, count, produce};
use outflow_rig::{Kafka, S3, wait_until};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const DELIVERED: Duration = Duration::from_secs(150);
const LIVE: Duration = Duration::from_secs(20);

/// Debt of the old place stays the old place's, in the old shape; what comes later goes to the new one.
#[test]
fn rows_owed_under_an_old_destination_arrive_there_and_later_ones_at_the_new_each_once() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let s3 = S3::start(folder.path());
    s3.create_bucket("old");
    s3.create_bucket("new");
    kafka.create_topic("moving", 4, &[]);
    let site = Site::new("moving", kafka);
    let [old, new] = ["old/events", "new/events"].map(|path| Lake::bucket(&s3, path));
    let mut connector = Connector::new("moving", "moving", &old);
    site.configure(&connector);
    let worker = site.start("worker", &[]);
    produce(kafka, "moving", 0..3_000);
    wait_until("the first rows", DELIVERED, || old.count(3_000).rows >= 3_000);
    s3.hide_bucket("old");
    produce(kafka, "moving", 3_000..6_000);
    wait_until("the lane to park", DELIVERED, || worker.parked("moving").len() == 4);
    worker.drain();
    connector.sink = Some(new.sink());
    connector.columns.push("{ name: store_id, type: BIGINT }".into());
    site.configure(&connector);
    produce(kafka, "moving", 6_000..9_000);
    let worker = site.start("worker", &[]);
    wait_until("rows at the new place", DELIVERED, || new.numbers().iter().any(|number| *number >= 6_000));
    s3.show_bucket("old");
    wait_until("all rows", DELIVERED, || count(&[&old, &new], 0..9_000).rows >= 9_000);
    worker.drain();
    count(&[&old, &new], 0..9_000).assert_exactly_once(9_000);
    let [at_old, at_new] = [old, new].map(|lake| lake.numbers().into_iter().collect::<BTreeSet<_>>());
    assert!(at_old.iter().all(|number| *number < 6_000), "a later row went to the old place");
    let owed = at_old.iter().filter(|number| **number >= 3_000).count();
    assert!(owed > 0, "no debt was left under the old configuration: nothing was shown");
    println!(
        "{} rows at the old place, {owed} of them after the change; {} at the new one",
        at_old.len(),
        at_new.len()
    );
}

/// Nothing of these rows was decided when the worker died; each has one shape in the end.
#[test]
fn a_new_column_over_a_kill_doubles_and_loses_nothing() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic("shaped", 4, &[]);
    let site = Site::new("shaped", kafka);
    let lake = Lake::Folder(site.folder().join("lake"));
    let mut connector = Connector::new("shaped", "shaped", &lake);
    for change in 0..4u64 {
        site.configure(&connector);
        let worker = site.start("worker", &["instance_id: first"]);
        let before = lake.files();
        produce(kafka, "shaped", change * 5_000..change * 5_000 + 5_000);
        wait_until("some files", DELIVERED, || lake.files() > before);
        worker.kill();
        connector.columns.push(format!("{{ name: column_{change}, type: VARCHAR, path: event_type }}"));
    }
    site.configure(&connector);
    let worker = site.start("worker", &["instance_id: first"]);
    wait_until("all rows", DELIVERED, || lake.count(20_000).rows >= 20_000);
    worker.drain();
    lake.count(20_000).assert_exactly_once(20_000);
}

/// The worker runs on: what the file says is in force some moments later.
#[test]
fn a_changed_connector_is_live_without_a_restart_and_doubles_and_loses_nothing() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic("changing", 4, &[]);
    let site = Site::new("changing", kafka);
    let [old, new] = ["old", "new"].map(|name| Lake::Folder(site.folder().join(name)));
    let mut connector = Connector::new("changing", "changing", &old);
    site.configure(&connector);
    let worker = site.start("worker", &[]);
    let producer = Producer::start(kafka, "changing", 1_000);
    wait_until("the first files", DELIVERED, || old.files() > 4);
    connector.columns.push("{ name: store_id, type: BIGINT }".into());
    site.configure(&connector);
    let started = Instant::now();
    wait_until("a file with the column", LIVE, || old.columns().contains(&"store_id".to_owned()));
    let column = started.elapsed();
    connector.sink = Some(new.sink());
    site.configure(&connector);
    let started = Instant::now();
    wait_until("files at the new place", LIVE, || new.files() > 4);
    println!("a new column is live after {column:?}, a new place after {:?}", started.elapsed());
    site.write("connectors/changing.yaml", "connector: changing\ntopics: [\n");
    wait_until("the broken file to be named", LIVE, || worker.log().contains("what is in force stays"));
    let files = new.files();
    wait_until("deliveries to go on", LIVE, || new.files() > files + 4);
    let produced = producer.stop();
    wait_until("all rows", DELIVERED, || count(&[&old, &new], 0..produced).rows >= produced);
    worker.drain();
    count(&[&old, &new], 0..produced).assert_exactly_once(produced);
}

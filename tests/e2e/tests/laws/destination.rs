use outflow_e2e::{Connector, Daemon, Lake, Producer, Site, Watcher, alone, count, produce};
use outflow_rig::{Kafka, S3, wait_until};
use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const DELIVERED: Duration = Duration::from_secs(150);
const PER_SECOND: u64 = 500;

/// Two connectors: one into the place that gets into trouble, one into a folder that does not.
struct Beside {
    site: Site,
    lake: Lake,
    other: Lake,
    worker: Daemon,
}

fn beside(name: &str, kafka: &Kafka, lake: &Lake) -> Beside {
    let other_name = format!("{name}-other");
    for topic in [name, &other_name] {
        kafka.create_topic(topic, 4, &[]);
    }
    let site = Site::new(name, kafka);
    let other = Lake::Folder(site.folder().join("other"));
    site.configure(&Connector::new(name, name, lake));
    site.configure(&Connector::new(&other_name, &other_name, &other));
    let worker = site.start("worker", &[]);
    worker.wait_owning();
    Beside { site, lake: lake.clone(), other, worker }
}

impl Beside {
    fn wait_parked(&self, connector: &str) -> (String, String) {
        let mut seen = None;
        wait_until("the lane to park", DELIVERED, || {
            seen = self.worker.parked(connector).pop();
            seen.is_some()
        });
        println!("{connector} is parked: {seen:?}");
        seen.expect("just seen")
    }

    /// Whatever happens to the one, the other goes on.
    fn wait_other(&self) {
        let before = self.other.files();
        wait_until("the other connector to go on", Duration::from_secs(20), || self.other.files() > before + 2);
    }
}

fn wait_rows(lake: &Lake, expected: u64) {
    let started = Instant::now();
    while lake.count(expected).numbers < expected && started.elapsed() < DELIVERED {
        thread::sleep(Duration::from_secs(1));
    }
    lake.count(expected).assert_exactly_once(expected);
}

#[test]
fn a_store_that_is_killed_and_comes_back_gets_every_row_once() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let mut s3 = S3::start(folder.path());
    s3.create_bucket("lake");
    let beside = beside("down", kafka, &Lake::bucket(&s3, "lake/down"));
    let mut watcher = Watcher::start(&beside.lake);
    let (one, two) = (Producer::start(kafka, "down", PER_SECOND), Producer::start(kafka, "down-other", PER_SECOND));
    for _ in 0..3 {
        thread::sleep(Duration::from_secs(2));
        s3.kill();
        beside.wait_other();
        s3.restart();
        watcher.check();
    }
    let (one, two) = (one.stop(), two.stop());
    wait_rows(&beside.lake, one);
    wait_rows(&beside.other, two);
    beside.worker.drain();
    println!("{one} events over 3 deaths of the store; the watcher: {:?}", watcher.finish());
}

#[test]
fn a_bucket_that_vanishes_parks_its_lane_and_the_one_made_anew_gets_all_later_rows_once() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let s3 = S3::start(folder.path());
    s3.create_bucket("lake");
    let beside = beside("vanished", kafka, &Lake::bucket(&s3, "lake/vanished"));
    produce(kafka, "vanished", 0..4_000);
    wait_rows(&beside.lake, 4_000);
    // A reveal may still wait for its word in the journal; the next rows would join it.
    wait_until("lag 0", DELIVERED, || {
        beside.worker.status().is_some_and(|status| status["connectors"]["vanished"]["lag_records"] == 0)
    });
    s3.remove_bucket("lake");
    produce(kafka, "vanished", 4_000..9_000);
    let other = Producer::start(kafka, "vanished-other", PER_SECOND);
    let (code, hint) = beside.wait_parked("vanished");
    assert!(code == "bucket-missing" && hint.contains("lake"), "{code}: {hint}");
    beside.wait_other();
    s3.create_bucket("lake");
    wait_until("the rows", DELIVERED, || count(&[&beside.lake], 4_000..9_000).numbers >= 5_000);
    let sent = other.stop();
    wait_rows(&beside.other, sent);
    beside.worker.drain();
    count(&[&beside.lake], 4_000..9_000).assert_exactly_once(5_000);
    drop(beside.site);
}

/// Mounted by root only; unmounted when it goes.
struct SmallDisk<'a>(&'a Path);

impl SmallDisk<'_> {
    fn mount(at: &Path) -> Option<SmallDisk<'_>> {
        std::fs::create_dir_all(at).expect("our own folder can be written");
        let mut command = Command::new("mount");
        let status = command.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(at).output().ok()?;
        status.status.success().then_some(SmallDisk(at))
    }

    fn grow(&self) {
        let status = Command::new("mount").args(["-o", "remount,size=256m"]).arg(self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "a mounted disk can be made larger");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l".as_ref(), self.0.as_os_str()]).status();
    }
}

#[test]
fn a_full_disk_parks_its_lane_until_there_is_room() {
    let _turn = alone();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let place = folder.path().join("small");
    let Some(disk) = SmallDisk::mount(&place) else {
        println!("SKIPPED: a disk of 3 MB can be mounted by root only");
        return;
    };
    let kafka = Kafka::shared();
    let beside = beside("full", kafka, &Lake::Folder(place.join("lake")));
    let mut watcher = Watcher::start(&beside.lake);
    produce(kafka, "full", 0..40_000);
    let other = Producer::start(kafka, "full-other", PER_SECOND);
    let (code, hint) = beside.wait_parked("full");
    assert!(hint.contains("small") && hint.contains("full"), "{code}: {hint}");
    beside.wait_other();
    disk.grow();
    wait_rows(&beside.lake, 40_000);
    wait_rows(&beside.other, other.stop());
    watcher.check();
    println!("the watcher: {:?}", watcher.finish());
    beside.worker.drain();
}

/// Each event has some 4 KB that do not compress: batches of 3,000 rows make objects above 5 MiB in several parts.
#[test]
fn large_objects_in_parts_are_revealed_once_whatever_dies_between_staging_and_completing() {
    let _turn = alone();
    let kills = std::env::var("OUTFLOW_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let kafka = Kafka::shared();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let s3 = S3::start(folder.path());
    s3.create_bucket("lake");
    kafka.create_topic("large", 4, &[]);
    let events = write_large(kafka, "large", 4_000 * (kills + 2));
    let site = Site::new("large", kafka);
    let lake = Lake::bucket(&s3, "lake/large");
    let connector = Connector::new("large", "large", &lake);
    site.configure(&Connector { flush: "{ rows: 3000, bytes: 64MiB, age: 2s }".into(), ..connector });
    let mut watcher = Watcher::start(&lake);
    let (mut random, mut staged) = (fastrand::Rng::with_seed(kills), 0);
    let lines = ["instance_id: first", "shards: 2"];
    for _ in 0..kills {
        let worker = site.start("worker", &lines);
        let before = s3.staged_files("lake").len();
        let started = Instant::now();
        while s3.staged_files("lake").len() <= before && started.elapsed() < Duration::from_secs(10) {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(random.u64(0..400)));
        staged += u64::from(!s3.staged_files("lake").is_empty());
        worker.kill();
        watcher.check();
    }
    let worker = site.start("worker", &lines);
    wait_rows(&lake, events);
    worker.drain();
    let left = s3.staged_files("lake");
    println!(
        "{events} events, {kills} kills, {staged} with parts staged, {} files left; the watcher: {:?}",
        left.len(),
        watcher.finish()
    );
}

fn write_large(kafka: &Kafka, topic: &str, events: u64) -> u64 {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    let mut config = kafka.config();
    config.set("queue.buffering.max.kbytes", "131072").set("linger.ms", "20").set("enable.idempotence", "true");
    let producer: BaseProducer = config.create().expect("the settings are valid");
    let mut random = fastrand::Rng::with_seed(1);
    for number in 0..events {
        let noise: String = (0..4_000).map(|_| random.alphanumeric()).collect();
        let value = format!("{{\"number\":{number},\"noise\":\"{noise}\"}}");
        while producer.send(BaseRecord::to(topic).key(&number.to_be_bytes()).payload(&value)).is_err() {
            producer.poll(Duration::from_millis(20));
        }
    }
    producer.flush(Duration::from_secs(60)).expect("the broker answers");
    events
}

use outflow_demo::{Events, MERCHANTS};
use outflow_e2e::{Connector, Daemon, Lake, Record, Site, alone, event, records};
use outflow_rig::{Kafka, wait_until};
use rdkafka::{
    ClientConfig,
    admin::{AlterConfig, ResourceSpecifier},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{collections::BTreeMap, time::Duration};

const ANSWER: Duration = Duration::from_secs(30);
const DELIVERED: Duration = Duration::from_secs(120);
const LARGE: usize = 20 << 20;
const LIMIT: &str = "33554432";
const ROUNDS: usize = 6;

fn producer(kafka: &Kafka) -> BaseProducer {
    let mut config: ClientConfig = kafka.config();
    config.set("message.max.bytes", "31457280").set("enable.idempotence", "true");
    config.create().expect("the settings are valid")
}

/// Every kind of record that fits no model, and the code that its dead letter has. `number` makes them differ.
fn poison(number: usize) -> Vec<(Option<Vec<u8>>, &'static str)> {
    let text = |text: &str| Some(text.replace('#', &number.to_string()).into_bytes());
    let deep = format!("{{\"number\":1,\"x\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    vec![
        (None, "null-payload"),
        (Some(Vec::new()), "empty-payload"),
        (Some(b"{\"number\":1,\"event_id\":\"\xff\xfe\"}".to_vec()), "not-utf8"),
        (Some(vec![0, 0, 0, 0, 42, 2, 4, 6]), "registry-payload"),
        (Some(deep.into_bytes()), "too-deep"),
        (text("{\"number\":9223372036854775808#}"), "out-of-range"),
        (text("{\"number\":\"seven #\"}"), "wrong-type"),
        (text("{\"event_id\":\"no number #\"}"), "missing-required"),
        (text("{\"number\":#"), "not-json"),
        (text("[#]"), "not-an-object"),
    ]
}

/// Good events between them; answers how many those are, and the codes of the others by count.
fn write_mixed(kafka: &Kafka, topic: &str) -> (u64, BTreeMap<String, usize>) {
    let (producer, mut events, mut codes) = (producer(kafka), Events::new(9, MERCHANTS), BTreeMap::new());
    let send_good = |events: &mut Events, many: u64| {
        for _ in 0..many {
            let (key, value) = event(events);
            producer.send(BaseRecord::to(topic).key(&key).payload(&value)).expect("there is room");
        }
    };
    for round in 0..ROUNDS {
        for (value, code) in poison(round) {
            let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("abc") });
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).key(&b"poison"[..]).headers(headers);
            record.payload = value.as_deref();
            producer.send(record).expect("there is room");
            *codes.entry(code.to_owned()).or_default() += 1;
            send_good(&mut events, 97);
        }
        producer.flush(ANSWER).expect("the broker answers");
    }
    // Large and whole; and large and broken, whose dead letter leaves the value out.
    let large = format!("{{\"number\":{},\"x\":\"{}\"}}", events.number(), "a".repeat(LARGE));
    events.skip_to(events.number() + 1);
    producer.send(BaseRecord::to(topic).key("large").payload(&large)).expect("there is room");
    let broken = format!("{{\"number\":true,\"x\":\"{}\"}}", "b".repeat(LARGE));
    producer.send(BaseRecord::to(topic).key("large").payload(&broken)).expect("there is room");
    *codes.entry("wrong-type".to_owned()).or_default() += 1;
    send_good(&mut events, 500);
    producer.flush(ANSWER).expect("the broker answers");
    (events.number(), codes)
}

fn codes(letters: &[Record]) -> BTreeMap<String, usize> {
    letters.iter().fold(BTreeMap::new(), |mut codes, letter| {
        *codes.entry(letter.headers["__connect.errors.exception.class.name"].clone()).or_default() += 1;
        codes
    })
}

/// Where each one came from: no two letters may say the same.
fn origins(letters: &[Record]) -> std::collections::BTreeSet<(String, String, String)> {
    let header = |letter: &Record, name: &str| letter.headers[&format!("__connect.errors.{name}")].clone();
    let origin = |letter| (header(letter, "topic"), header(letter, "partition"), header(letter, "offset"));
    letters.iter().map(origin).collect()
}

fn connector(name: &str, lake: &Lake, letters: &str) -> Connector {
    let connector = Connector::new(name, name, lake);
    // Small batches: a kill finds some of them decided and some not.
    Connector {
        dead_letters: Some(letters.to_owned()),
        flush: "{ rows: 200, bytes: 1MiB, age: 500ms }".into(),
        ..connector
    }
}

#[test]
fn good_records_arrive_once_and_each_bad_one_is_one_dead_letter_with_connects_headers_across_kills() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic("mixed", 3, &[("max.message.bytes", LIMIT)]);
    let (good, bad) = write_mixed(kafka, "mixed");
    let site = Site::new("mixed", kafka);
    let lake = Lake::Folder(site.folder().join("lake"));
    site.configure(&connector("mixed", &lake, "mixed.dead"));
    kafka.create_topic("mixed.dead", 4, &[("max.message.bytes", "2097152")]);
    for kill in 1..=3 {
        let worker = site.start("worker", &[]);
        wait_until("some files", DELIVERED, || lake.files() > kill * 2);
        worker.kill();
    }
    let worker = site.start("worker", &[]);
    let expected: usize = bad.values().sum();
    wait_until("all dead letters", DELIVERED, || {
        assert!(worker.is_alive(), "{}", worker.log());
        records(kafka, "mixed.dead").len() >= expected
    });
    wait_until("all good ones", DELIVERED, || lake.count(good).rows >= good);
    worker.drain();
    lake.count(good).assert_exactly_once(good);
    let letters = records(kafka, "mixed.dead");
    assert_eq!(codes(&letters), bad);
    assert_eq!(origins(&letters).len(), letters.len(), "a record has two dead letters");
    let names = ["topic", "partition", "offset", "connector.name", "task.id", "stage", "class.name"];
    let others = ["exception.class.name", "exception.message"];
    for letter in &letters {
        for name in names.iter().chain(&others) {
            let name = format!("__connect.errors.{name}");
            assert!(letter.headers.contains_key(&name), "{name} is missing in {:?}", letter.headers);
        }
        assert_eq!(letter.headers["__connect.errors.connector.name"], "mixed");
    }
    let kept = letters.iter().filter(|letter| letter.headers.get("trace").is_some_and(|value| value == "abc")).count();
    assert_eq!(kept, expected - 1, "a dead letter keeps its record's own headers");
    let large: Vec<_> = letters.iter().filter(|one| one.key.as_deref() == Some(b"large")).collect();
    assert_eq!(large.len(), 1);
    assert!(large[0].value.is_none() && large[0].headers.contains_key("__connect.errors.value.omitted.bytes"));
    println!("{good} good events, {expected} dead letters, 3 kills: {bad:?}");
}

fn wait_parked(worker: &Daemon, connector: &str) -> (String, String) {
    let mut seen = None;
    wait_until("the lane to park", DELIVERED, || {
        seen = worker.parked(connector).pop();
        seen.is_some()
    });
    seen.expect("just seen")
}

fn set_limit(kafka: &Kafka, topic: &str, bytes: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", bytes);
    let answer = futures::executor::block_on(kafka.admin().alter_configs([&change], &Default::default()));
    answer.expect("the broker answers").remove(0).expect("the setting can be changed");
}

/// A second connector has no bad records: it must not even notice.
#[test]
fn a_dead_letter_topic_that_refuses_parks_its_lane_until_it_is_mended() {
    let _turn = alone();
    let kafka = Kafka::shared();
    for topic in ["refused", "healthy"] {
        kafka.create_topic(topic, 2, &[("max.message.bytes", LIMIT)]);
    }
    kafka.create_topic("refused.dead", 4, &[("max.message.bytes", "1000")]);
    let (good, bad) = write_mixed(kafka, "refused");
    outflow_e2e::produce(kafka, "healthy", 0..5_000);
    let site = Site::new("refused", kafka);
    let [lake, other] = ["refused", "healthy"].map(|name| Lake::Folder(site.folder().join(name)));
    site.configure(&connector("refused", &lake, "refused.dead"));
    site.configure(&Connector::new("healthy", "healthy", &other));
    let worker = site.start("worker", &[]);
    let (code, hint) = wait_parked(&worker, "refused");
    println!("parked for {code}: {hint}");
    assert!(hint.contains("refused.dead") && hint.contains("max.message.bytes"), "{hint}");
    let metrics = worker.get("/metrics").expect("it answers");
    let line = format!("outflow_lanes_parked_by_code{{connector=\"refused\",code=\"{code}\"}}");
    assert!(metrics.contains(&line), "{line} is not in {metrics}");
    wait_until("the other connector to deliver", DELIVERED, || other.count(5_000).rows >= 5_000);
    other.count(5_000).assert_exactly_once(5_000);
    assert!(records(kafka, "refused.dead").is_empty());
    set_limit(kafka, "refused.dead", "2097152");
    let expected: usize = bad.values().sum();
    wait_until("all dead letters", DELIVERED, || records(kafka, "refused.dead").len() >= expected);
    wait_until("all good ones", DELIVERED, || lake.count(good).rows >= good);
    worker.drain();
    lake.count(good).assert_exactly_once(good);
    let letters = records(kafka, "refused.dead");
    assert_eq!((codes(&letters), origins(&letters).len()), (bad, letters.len()));
}

use outflow_e2e::{Connector, Daemon, Lake, Site, alone, produce, records};
use outflow_rig::{Kafka, http::ask, wait_until};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::{ops::Range, time::Duration};

const LIMIT: Duration = Duration::from_secs(120);
const GOOD: u64 = 3_000;
const BAD: Range<u64> = GOOD..GOOD + 300;

/// Whose `event_id` is a number, which a VARCHAR does not take.
fn write_bad(kafka: &Kafka, topic: &str) {
    let producer: Result<BaseProducer, _> = kafka.config().set("enable.idempotence", "true").create();
    let producer = producer.expect("the settings are valid");
    for number in BAD {
        let (key, value) = ((number / 2).to_string(), format!("{{\"number\":{number},\"event_id\":{number}}}"));
        producer.send(BaseRecord::to(topic).key(&key).payload(&value)).expect("there is room");
    }
    producer.flush(LIMIT).expect("the broker answers");
}

fn send_again(worker: &Daemon) -> Value {
    let path = "/v1/dead-letters/send-again";
    let answer = ask(worker.port(), "POST", path, &["Content-Type: application/json"], "{\"connector\":\"resend\"}");
    answer.ok().and_then(|answer| serde_json::from_str(&answer.body).ok()).unwrap_or_default()
}

#[test]
fn dead_letters_that_are_sent_again_after_a_mend_are_there_once_however_often_and_whoever_dies() {
    let _turn = alone();
    let kafka = Kafka::shared();
    for topic in ["resend", "resend.dead"] {
        kafka.create_topic(topic, 3, &[("max.message.bytes", "2097152")]);
    }
    produce(kafka, "resend", 0..GOOD);
    write_bad(kafka, "resend");
    let site = Site::new("resend", kafka);
    let lake = Lake::Folder(site.folder().join("lake"));
    let mut connector = Connector::new("resend", "resend", &lake);
    connector.dead_letters = Some("resend.dead, percent_max: 100".to_owned());
    site.configure(&connector);
    let worker = site.start("worker", &[]);
    let bad = BAD.end - BAD.start;
    wait_until("all good ones", LIMIT, || lake.count(GOOD).rows >= GOOD);
    wait_until("all dead letters", LIMIT, || records(kafka, "resend.dead").len() as u64 >= bad);
    let page: Value =
        serde_json::from_str(&worker.get("/v1/dead-letters?limit=1000").expect("an answer")).expect("JSON");
    let letters = page["dead_letters"].as_array().map_or(0, Vec::len);
    assert_eq!((letters as u64, page["next"].is_null()), (bad, true), "{page}");
    connector.columns[1] = "{ name: event_id, type: BIGINT }".to_owned();
    site.configure(&connector);
    wait_until("the mended model", LIMIT, || worker.log().matches("configuration published").count() >= 2);
    let mut sent = 0;
    let mut worker = Some(worker);
    for _ in 0..3 {
        wait_until("somebody to send", LIMIT, || {
            let told = send_again(worker.as_ref().expect("it is started again"));
            sent += told["rows"].as_u64().unwrap_or_default();
            told["rows"].is_u64()
        });
        worker.take().expect("it is started again").kill();
        let next = site.start("worker", &[]);
        next.wait_owning();
        worker = Some(next);
    }
    let worker = worker.expect("the last one");
    wait_until("nothing to be sent any more", LIMIT, || {
        let told = send_again(&worker);
        sent += told["rows"].as_u64().unwrap_or_default();
        told["rows"] == 0 && told["delivered"] == bad
    });
    wait_until("all of them", LIMIT, || lake.count(BAD.end).rows >= BAD.end);
    // Whoever is mistaken doubles rows now.
    send_again(&worker);
    worker.drain();
    lake.count(BAD.end).assert_exactly_once(BAD.end);
    assert_eq!(records(kafka, "resend.dead").len() as u64, bad, "none became a dead letter again");
    println!("{bad} dead letters, asked to be sent {sent} times in all, 3 kills");
}

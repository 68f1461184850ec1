use crate::shops::{BRISK, DELIVERED, FIRST, place, publish, wait_logged};
use outflow_e2e::{Connector, Daemon, Lake, Site, alone, produce_aged};
use outflow_rig::{Kafka, wait_until};
use serde_json::Value;
use std::{fs, time::Duration};

const HOUR_S: u64 = 3_600;
/// Half an hour before the topic may remove them.
const AGE_S: u64 = HOUR_S * 3 / 2;

fn delivery(worker: &Daemon) -> Value {
    let shown = worker.get(&format!("/v1/merchants/{FIRST}")).unwrap_or_default();
    let shown: Value = serde_json::from_str(&shown).unwrap_or_default();
    shown.pointer("/deliveries/0").cloned().unwrap_or_default()
}

fn wait_delivery(worker: &Daemon, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Value::Null;
    wait_until(what, DELIVERED, || {
        seen = delivery(worker);
        is_so(&seen)
    });
    seen
}

fn seconds(delivery: &Value, key: &str) -> u64 {
    delivery[key].as_u64().unwrap_or_default()
}

fn assert_alarming(worker: &Daemon) {
    let is_known = |one: &Value| one["state"] == "parked" && one["alarm"] == "retention";
    let first = wait_delivery(worker, "the alarm", is_known);
    let (lag, left) = (seconds(&first, "lag_seconds"), seconds(&first, "retention_left_seconds"));
    assert!((AGE_S..AGE_S + 600).contains(&lag) && lag + left <= 2 * HOUR_S && lag + left >= 2 * HOUR_S - 2, "{first}");
    let later = wait_delivery(worker, "time to pass", |one| seconds(one, "lag_seconds") >= lag + 2);
    assert!(seconds(&later, "retention_left_seconds") < left, "{first} {later}");
    let alarming = || worker.get("/v1/merchants?alarm=retention").unwrap_or_default();
    wait_until("one merchant alone to alarm", DELIVERED, || {
        let page: Value = serde_json::from_str(&alarming()).unwrap_or_default();
        let ids = page["merchants"].as_array().map(|all| all.iter().map(|one| one["merchant"].clone()).collect());
        ids == Some(vec![Value::from(FIRST.to_string())])
    });
    wait_until("the metric", DELIVERED, || {
        worker.get("/metrics").unwrap_or_default().contains("outflow_retention_alarms{connector=\"ages\"} 1\n")
    });
    wait_logged(worker, "retention will remove what a lane has not delivered");
}

#[test]
fn a_parked_merchant_shows_how_old_its_debt_is_and_alarms_before_the_topic_removes_it() {
    let _turn = alone();
    let kafka = Kafka::shared();
    kafka.create_topic("ages", 4, &[("retention.ms", &(2 * HOUR_S * 1_000).to_string())]);
    let site = Site::new("ages", kafka);
    let root = Lake::Folder(site.folder().join("lake"));
    site.configure(&Connector { flush: BRISK.into(), ..Connector::routed("ages", "ages", "{ key: true }") });
    publish(&site, "ages", &root, [FIRST, FIRST + 1]);
    // A file where a folder must be.
    let in_the_way = site.folder().join("lake").join(FIRST.to_string());
    fs::create_dir_all(site.folder().join("lake")).expect("our own folder can be written");
    fs::write(&in_the_way, "in the way").expect("our own folder can be written");
    let worker = site.start("worker", &[]);
    wait_logged(&worker, "configuration published");
    worker.wait_owning();
    produce_aged(kafka, "ages", 0..2_000, Duration::from_secs(AGE_S));
    let healthy = place(&root, FIRST + 1);
    wait_until("the other merchant's rows", DELIVERED, || healthy.files() > 0);
    assert_alarming(&worker);
    worker.kill();
    let worker = site.start("worker", &[]);
    assert_alarming(&worker);
    fs::remove_file(&in_the_way).expect("nobody else takes it away");
    wait_delivery(&worker, "everything to be delivered", |one| one["state"] == "live" && one["lag_seconds"] == 0);
    let settled = delivery(&worker);
    assert_eq!((&settled["retention_left_seconds"], &settled["alarm"]), (&Value::Null, &Value::Null), "{settled}");
    wait_until("no alarm", DELIVERED, || {
        let connector = worker.status().unwrap_or_default()["connectors"]["ages"].clone();
        connector["retention_alarms"] == 0 && connector["lag_seconds"] == 0
    });
    worker.drain();
}

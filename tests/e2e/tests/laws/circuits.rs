use crate::shops::{BRISK, DELIVERED, FIRST, key, wait_logged};
use outflow_e2e::{Census, Connector, Daemon, Due, Gate, Lake, Merchant, Producer, Site, alone, dues};
use outflow_rig::{Kafka, S3, wait_until};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const MERCHANTS: u32 = 160;
const PER_SECOND: u64 = 400;
const PER_CREDENTIAL: u64 = 8;
const DEAD_FOR_S: u64 = 20;
/// The longest wait between two tries, and what the try itself takes.
const TRIED: Duration = Duration::from_secs(40);
/// Of rows of merchants whose host is well, from the topic to a reader.
const FRESH: Duration = Duration::from_secs(15);

/// One connector; most merchants behind the gate, every eighth at a host that is well.
struct Crowd {
    site: Site,
    worker: Daemon,
    gated: (Lake, BTreeSet<String>),
    well: (Lake, BTreeSet<String>),
}

fn crowd(kafka: &Kafka, s3: &S3, gate: &Gate) -> Crowd {
    kafka.create_topic("crowd", 8, &[]);
    let site = Site::new("crowd", kafka);
    site.configure(&Connector { flush: BRISK.into(), ..Connector::routed("crowd", "crowd", "{ key: true }") });
    let (well, gated): (Vec<u32>, Vec<u32>) = (FIRST..FIRST + MERCHANTS).partition(|id| id % 8 == 0);
    let behind = Lake::Bucket { endpoint: gate.endpoint(), path: "lake/gated".into() };
    for (name, merchants, lake) in [("gated", &gated, &behind), ("well", &well, &Lake::bucket(s3, "lake/well"))] {
        let list: String = merchants.iter().map(|id| format!("{id}\n")).collect();
        site.write(&format!("merchants/{name}.csv"), &format!("id\n{list}"));
        let each = Merchant::each_of(&format!("{name}.csv"), "${row:id}");
        site.merchant(name, &each.delivered("crowd", &lake.below("${row:id}"), "start: earliest"));
    }
    let calls = format!("calls: {{ per_host: {}, per_credential: {PER_CREDENTIAL} }}", PER_CREDENTIAL * 2);
    let worker = site.start("worker", &[&calls]);
    worker.wait_owning();
    let names = |merchants: Vec<u32>| merchants.iter().map(u32::to_string).collect();
    let (gated, well) = ((Lake::bucket(s3, "lake/gated"), names(gated)), (Lake::bucket(s3, "lake/well"), names(well)));
    Crowd { site, worker, gated, well }
}

impl Crowd {
    fn calls(&self) -> Value {
        self.worker.status().unwrap_or_default()["calls"].clone()
    }
}

fn due_at(kafka: &Kafka, merchants: &BTreeSet<String>) -> Vec<Due> {
    dues(kafka, "crowd", |record| Some(key(record)).filter(|key| merchants.contains(key)))
}

/// Until everything of now is there; rows that come later do not count.
fn wait_there(what: &str, kafka: &Kafka, (lake, merchants): &(Lake, BTreeSet<String>), limit: Duration) -> Duration {
    let (due, started) = (due_at(kafka, merchants), Instant::now());
    wait_until(what, limit, || Census::take(lake, &due).missing == 0);
    started.elapsed()
}

#[test]
fn lanes_of_a_dead_host_are_tried_one_at_a_time_and_all_catch_up_when_it_is_back() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let s3 = S3::start(folder.path());
    s3.create_bucket("lake");
    let gate = Gate::start(s3.port());
    let crowd = crowd(kafka, &s3, &gate);
    let producer = Producer::start_with(kafka, "crowd", PER_SECOND, MERCHANTS);
    wait_there("rows of everybody", kafka, &crowd.gated, DELIVERED);
    gate.shut();
    let before = gate.attempts();
    wait_logged(&crowd.worker, "circuit opened");
    let fresh = wait_there("rows of those who are well", kafka, &crowd.well, FRESH);
    let long = || crowd.calls()["circuits"][0]["open_s"].as_u64().is_some_and(|open_s| open_s >= DEAD_FOR_S);
    wait_until("the host to be dead for long", Duration::from_secs(60), long);
    let calls = crowd.calls();
    println!("while it is dead: {calls}");
    let name = calls["circuits"][0]["name"].as_str().unwrap_or_default().to_owned();
    assert_eq!(format!("http://{}", name.trim_start_matches("host ")), gate.endpoint());
    assert!(calls["circuits"][0]["lanes"].as_u64() > Some(u64::from(MERCHANTS) / 2), "{calls}");
    let metrics = crowd.worker.get("/metrics").unwrap_or_default();
    assert!(metrics.contains("outflow_circuits_open{of=\"host\"} 1"), "{metrics}");
    let parked = crowd.worker.parked("crowd");
    assert!(parked.iter().any(|(code, _)| code == "circuit-open"), "{parked:?}");
    let fresh_still = wait_there("rows of those who are well", kafka, &crowd.well, FRESH);
    // Calls that were under way, a few before it opened, and then one at a time: 1, 2, 4, 8, 16, 30 seconds apart.
    let attempts = gate.attempts() - before;
    assert!(attempts <= PER_CREDENTIAL * 2 + 12, "{attempts} connections to a host that is dead");
    gate.open();
    let opened = Instant::now();
    wait_until("a try", TRIED, || crowd.worker.log().contains("circuit closed"));
    let closed = opened.elapsed();
    let produced = producer.stop();
    let caught_up = wait_there("everything", kafka, &crowd.gated, DELIVERED);
    println!(
        "{produced} events, {attempts} connections in {DEAD_FOR_S} s and more of death; others' rows after {fresh:?} \
         and {fresh_still:?}; closed {closed:?} after its return, caught up {caught_up:?} later"
    );
    wait_there("everything", kafka, &crowd.well, DELIVERED);
    crowd.worker.drain();
    for (lake, merchants) in [&crowd.gated, &crowd.well] {
        Census::take(lake, &due_at(kafka, merchants)).assert_settled();
    }
    drop(crowd.site);
}

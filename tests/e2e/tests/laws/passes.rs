use crate::shops::{Chunks, DELIVERED, FIRST, key, place, publish, site, wait_settled};
use outflow_e2e::{Census, Due, Merchant, Record, alone, produce};
use outflow_rig::{Kafka, wait_until};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn second_of_minute() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() % 60)
}

#[test]
fn a_scheduled_merchant_is_delivered_in_passes() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let (site, root) = site("passes", kafka);
    publish(&site, "passes", &root, [FIRST]);
    let [slow, live] = [FIRST + 1, FIRST].map(|id| place(&root, id));
    site.merchant("slow", &Merchant::new(FIRST + 1).delivered("passes", &slow, "schedule: 1m"));
    // There must be time to see that nothing comes before the minute is full.
    wait_until("a minute that is not nearly over", DELIVERED, || second_of_minute() < 40);
    produce(kafka, "passes", 0..5_000);
    let worker = site.start("worker", &[]);
    let dues = |id: u32| move |record: &Record| (key(record) == id.to_string()).then(|| key(record));
    let own = outflow_e2e::dues(kafka, "passes", dues(FIRST));
    wait_settled(&root, &own);
    if second_of_minute() > 40 {
        assert_eq!(slow.files(), 0, "a scheduled merchant's rows came before the minute was full");
    }
    let started = Instant::now();
    wait_until("the pass", DELIVERED, || slow.files() > 0);
    let second = second_of_minute();
    println!("the pass came after {:?}, in second {second} of the minute", started.elapsed());
    let both = |record: &Record| dues(FIRST)(record).or_else(|| dues(FIRST + 1)(record));
    let all = outflow_e2e::dues(kafka, "passes", both);
    wait_settled(&root, &all);
    produce(kafka, "passes", 5_000..6_000);
    let more = outflow_e2e::dues(kafka, "passes", dues(FIRST));
    wait_until("live rows", DELIVERED, || live.offsets().len() >= more.len());
    worker.drain();
    // What came after the pass waits for the next one.
    let more: Vec<Due> = more.into_iter().chain(all.into_iter().filter(|due| due.place != FIRST.to_string())).collect();
    Census::take(&root, &more).assert_settled();
}

#[test]
fn a_schedule_that_changes_loses_and_doubles_nothing() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let (site, root) = site("schedules", kafka);
    let mut chunks = Chunks { kafka, topic: "schedules", next: 0 };
    let [steady, his] = [FIRST, FIRST + 1].map(|id| place(&root, id));
    let schedule = |more: &str| site.merchant("his", &Merchant::new(FIRST + 1).delivered("schedules", &his, more));
    publish(&site, "schedules", &root, [FIRST]);
    schedule("start: earliest");
    chunks.produce(3_000);
    let worker = site.start("worker", &[]);
    chunks.wait_all(FIRST + 1, &his);
    schedule("start: earliest, schedule: 1m");
    let published = |count| worker.log().matches("configuration published").count() >= count;
    wait_until("the schedule", DELIVERED, || published(2));
    wait_until("rows to wait for a pass", DELIVERED, || {
        let chunk = chunks.produce(300);
        chunks.wait_all(FIRST, &steady);
        !his.numbers().iter().any(|number| chunk.contains(number))
    });
    chunks.produce(1_000);
    // Rows of before the change are the old schedule's still, and come with its next pass.
    schedule("start: earliest");
    wait_until("live rows", DELIVERED, || published(3));
    chunks.produce(1_000);
    worker.kill();
    let worker = site.start("worker", &[]);
    chunks.wait_all(FIRST + 1, &his);
    worker.drain();
    chunks.wait_all(FIRST, &steady);
    chunks.wait_all(FIRST + 1, &his);
}

use super::{Finding, Size, met};
use crate::{
    duckdb,
    ground::{Ground, topic_of},
    load::{Load, Pace},
    merchants::{Merchants, folder_of, ids},
    probe::Probe,
    producer::{self, in_topic},
    rounds::say,
    site::BY_KEY,
    table::machine,
    visible::Visible,
    worker::Worker,
    workload::{FIRST_MERCHANT, events, happened_at, parquet_files},
};
use outflow_rig::Kafka;
use rdkafka::producer::{BaseRecord, Producer};
use serde_json::json;
use std::{
    path::Path,
    time::{Duration, Instant},
};

const SITE: &str = "catch-up";
const FLUSH: &str = "{ rows: 20000, bytes: 16MiB, age: 20s }";
const FLUSH_OF_LATE: &str = "flush: { age: 1s }";
/// The one who buys most: a tenth of all records are his.
const LATE: u32 = FIRST_MERCHANT;
const PARTITION: i32 = 0;
const GOAL_S: f64 = 10.0;
const LIMIT: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For what is too large to be looked at often.
const LOOK_SELDOM: Duration = Duration::from_secs(1);

pub fn size(quick: bool) -> Size {
    let (lanes, events, rate) = if quick { (500, 20_000, 100) } else { (10_000, 1_000_000, 500) };
    Size { lanes, events, rate, ..Size::default() }
}

/// One merchant is paused while the others of his partition get theirs, and is resumed while they get more.
pub fn run(size: Size) -> Finding {
    let ground = Ground::new();
    let site = ground.site(SITE, &[]);
    let (lake, topic) = (site.lake(), topic_of(SITE));
    site.connector(&topic, FLUSH, BY_KEY);
    site.merchants(&Merchants::with_folders("others", ids(1..size.lanes), &lake));
    site.merchants(&Merchants { more: FLUSH_OF_LATE, ..Merchants::with_folders("late", vec![LATE], &lake) });
    let worker = site.start();
    worker.wait_ready();
    let mut probe = Probe::new(&ground.kafka, &topic, PARTITION, LATE, &lake);
    probe.send();
    worker.wait("the first event", LOOK_EVERY, LIMIT, || probe.visible() >= probe.sent);
    worker.post(&format!("/v1/merchants/{LATE}/pause"));
    worker.wait("the pause", LOOK_EVERY, LIMIT, || worker.state_of(LATE) == "paused");
    let backlog = fill(&ground.kafka, &topic, size);
    wait_for(&worker, &lake, size.events - backlog + probe.sent);
    assert_eq!(probe.visible(), probe.sent, "a paused merchant got rows");
    say(&format!("{backlog} of {} records are owed; the others have theirs", size.events));
    let pace = Pace { topic: topic.clone(), rate: size.rate, merchants: size.lanes, without: Some(LATE) };
    let load = Load::start(&ground.kafka, pace);
    let took = catch_up(&worker, &mut probe, backlog);
    let sent = load.finish().events();
    let events = size.events + sent + probe.sent;
    assert_eq!(in_topic(&ground.kafka, &topic), events, "the topic does not hold what was sent");
    wait_for(&worker, &lake, events);
    worker.kill();
    duckdb::assert_delivered(&site.files(), events);
    say("counted by DuckDB: every event once, in its own merchant's folder");
    let files = parquet_files(&folder_of(&lake, LATE)).len();
    finding(size, backlog, files, &took)
}

/// All into one partition, whosesoever they are. Answers how many are his who is late.
fn fill(kafka: &Kafka, topic: &str, size: Size) -> u64 {
    let producer = producer::producer(kafka, &[]);
    let (mut events, mut event, mut his) = (events(size.lanes), Vec::new(), 0);
    for number in 0..size.events {
        event.clear();
        let made = events.append(happened_at(number), &mut event);
        let record = BaseRecord::to(topic).partition(PARTITION).key(events.key(made)).payload(&event);
        producer::send(&producer, record);
        his += u64::from(FIRST_MERCHANT + made.merchant == LATE);
    }
    producer.flush(producer::ANSWER_LIMIT).expect("the broker answers");
    his
}

fn wait_for(worker: &Worker, lake: &Path, events: u64) {
    let mut visible = Visible::default();
    worker.wait("all events", LOOK_SELDOM, LIMIT, || visible.rows(lake) >= events);
}

/// Seconds from the order to go on.
struct Took {
    /// Until what he was owed is visible.
    backlog_s: f64,
    /// Until the worker calls him live.
    live_s: f64,
    /// Until an event that was made when he had his backlog is visible.
    fresh_s: f64,
}

fn catch_up(worker: &Worker, probe: &mut Probe, backlog: u64) -> Took {
    let (before, resumed) = (probe.sent, Instant::now());
    worker.post(&format!("/v1/merchants/{LATE}/resume"));
    worker.wait("the backlog", LOOK_EVERY, LIMIT, || probe.visible() >= before + backlog);
    let backlog_s = resumed.elapsed().as_secs_f64();
    probe.send();
    let (mut live_s, mut fresh_s) = (None, None);
    let seconds = || resumed.elapsed().as_secs_f64();
    worker.wait("a new event, and a lane that is live", LOOK_EVERY, LIMIT, || {
        if fresh_s.is_none() && probe.visible() > before + backlog {
            fresh_s = Some(seconds());
        }
        if live_s.is_none() && worker.state_of(LATE) == "live" {
            live_s = Some(seconds());
        }
        live_s.is_some() && fresh_s.is_some()
    });
    let [live_s, fresh_s] = [live_s, fresh_s].map(|seconds| seconds.expect("just seen"));
    say(&format!("the backlog after {backlog_s:.1} s, live after {live_s:.1} s, a new event after {fresh_s:.1} s"));
    Took { backlog_s, live_s, fresh_s }
}

fn finding(size: Size, backlog: u64, files: usize, took: &Took) -> Finding {
    let Took { backlog_s, live_s, fresh_s } = *took;
    let all_s = backlog_s.max(live_s).max(fresh_s);
    let text = format!(
        "{} records in one partition while one of {} merchants was paused, {backlog} of them his; {} events/s for the \
         others while he caught up; flush limits `{FLUSH}`, his `{FLUSH_OF_LATE}`; {files} files for him; {}.\n\n\
         | from `resume` | seconds |\n|---|---|\n| his backlog is visible | {backlog_s:.1} |\n\
         | the worker calls him live | {live_s:.1} |\n| an event made after his backlog is visible | {fresh_s:.1} |\n\
         | all of them; goal: {GOAL_S} s | {all_s:.1}, {} |\n",
        size.events,
        size.lanes,
        size.rate,
        machine(),
        met(all_s <= GOAL_S),
    );
    let values = json!({
        "lanes": size.lanes, "records": size.events, "backlog": backlog, "backlog_s": backlog_s, "live_s": live_s,
        "fresh_s": fresh_s, "files": files,
    });
    Finding { text, values }
}

use super::{Finding, Size, met};
use crate::{
    duckdb,
    ground::{Ground, topic_of},
    merchants::{Merchants, ids},
    probe::Probe,
    rounds::say,
    site::{BY_KEY, Site},
    table::{machine, median},
    workload::FIRST_MERCHANT,
};
use serde_json::json;
use std::time::{Duration, Instant};

const SITE: &str = "start";
const FLUSH: &str = "{ rows: 20000, bytes: 16MiB, age: 200ms }";
const GOAL_S: f64 = 10.0;
const LIMIT: Duration = Duration::from_secs(300);
const SEND_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub fn size(quick: bool) -> Size {
    let (lanes, rounds) = if quick { (2_000, 1) } else { (50_000, 5) };
    Size { lanes, rounds, ..Size::default() }
}

/// Starts on an empty journal, which publishes every merchant, and then again and again.
pub fn run(size: Size) -> Finding {
    let Size { lanes, rounds, .. } = size;
    let ground = Ground::new();
    let site = ground.site(SITE, &[]);
    let lake = site.lake();
    site.connector(&topic_of(SITE), FLUSH, BY_KEY);
    site.merchants(&Merchants::with_folders("all", ids(0..lanes), &lake));
    let mut probe = Probe::new(&ground.kafka, &topic_of(SITE), 0, FIRST_MERCHANT + lanes / 2, &lake);
    let first_s = start(&site, &mut probe);
    let again_s: Vec<f64> = (0..rounds).map(|_| start(&site, &mut probe)).collect();
    duckdb::assert_delivered(&site.files(), probe.sent);
    say("counted by DuckDB: every event once");
    let middle_s = median(again_s.iter().copied()).expect("there is one round at least");
    let worst_s = again_s.iter().copied().fold(0.0, f64::max);
    let text = format!(
        "{lanes} merchants from one list; {rounds} later starts; flush limits `{FLUSH}`; {}.\n\n\
         | from the process's start to a new event's row | seconds | goal: {GOAL_S} s |\n|---|---|---|\n\
         | the first start, which publishes all merchants | {first_s:.1} | {} |\n\
         | later starts, median | {middle_s:.1} | {} |\n| later starts, longest | {worst_s:.1} | {} |\n",
        machine(),
        met(first_s <= GOAL_S),
        met(middle_s <= GOAL_S),
        met(worst_s <= GOAL_S),
    );
    Finding { text, values: json!({ "lanes": lanes, "first_s": first_s, "again_s": again_s }) }
}

/// Seconds until an event that was made after the process's start is visible; then the worker stops in order.
fn start(site: &Site, probe: &mut Probe) -> f64 {
    let (before, started) = (probe.sent, Instant::now());
    let worker = site.start();
    probe.send();
    let mut sent_at = Instant::now();
    worker.wait("a new event", LOOK_EVERY, LIMIT, || {
        if sent_at.elapsed() >= SEND_EVERY {
            probe.send();
            sent_at = Instant::now();
        }
        probe.visible() > before
    });
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("a new event {seconds:.1} s after the start"));
    worker.wait("all events", LOOK_EVERY, LIMIT, || probe.visible() >= probe.sent);
    worker.drain();
    seconds
}

use super::{Finding, Size, met};
use crate::{
    duckdb,
    ground::{Ground, topic_of},
    load::{Load, Pace},
    merchants::{Merchants, ids},
    probe::Probe,
    producer::in_topic,
    rounds::say,
    site::{BY_KEY, Site},
    table::machine,
    worker::Worker,
    workload::{FIRST_MERCHANT, PARTITIONS, parquet_files},
};
use serde_json::json;
use std::time::{Duration, Instant};

const FLUSH: &str = "{ rows: 20000, bytes: 16MiB, age: 5m }";
const PROBES: &str = "flush: { age: 200ms }";
const GOAL_S: f64 = 10.0;
const LIMIT: Duration = Duration::from_secs(300);
const SEND_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How the worker is known to its group: a newcomer waits until the dead one's session is over, one who has the dead
/// one's `instance_id` does not.
const IDENTITIES: [(&str, &str); 2] = [("static", "instance_id: bench"), ("dynamic", "session_timeout: 6s")];

pub fn size(quick: bool) -> Size {
    let (lanes, rate, seconds) = if quick { (500, 300, 10) } else { (10_000, 5_000, 120) };
    Size { lanes, rate, seconds, ..Size::default() }
}

struct Restarted {
    line: &'static str,
    /// Read again, as the worker says.
    above_floors: i64,
    first_s: f64,
    all_s: f64,
    events: u64,
    files: usize,
    /// The producer behind its pace.
    late: Duration,
}

/// A restart begins to read at the floors, behind the rows that waited in memory. It flows again when new events of
/// merchants who want them soon are visible in every partition: then the worker has come to the end of each.
pub fn run(size: Size) -> Finding {
    let ground = Ground::new();
    let runs = IDENTITIES.map(|(name, line)| restart(&ground, &format!("restart-{name}"), line, size));
    let mut text = format!(
        "{} merchants, {} events/s for {} s before `kill -9` and on through the restart; flush limits `{FLUSH}`, of \
         one probe in each of {PARTITIONS} partitions `{PROBES}`; `replay_distance_max` as by default (60 s); {}.\n\n\
         | worker | records to read again | s to the first probe's new row | s to all probes' | goal: {GOAL_S} s \
         | events | files | producer late by |\n\
         |---|---|---|---|---|---|---|---|\n",
        size.lanes,
        size.rate,
        size.seconds,
        machine(),
    );
    for Restarted { line, above_floors, first_s, all_s, events, files, late } in &runs {
        let goal = met(*all_s <= GOAL_S);
        let late = late.as_millis();
        text += &format!(
            "| `{line}` | {above_floors} | {first_s:.1} | {all_s:.1} | {goal} | {events} | {files} | {late} ms |\n"
        );
    }
    let values = runs.iter().map(|run| {
        json!({
            "worker": run.line, "records_above_floors": run.above_floors, "first_s": run.first_s, "all_s": run.all_s,
        })
    });
    Finding { text, values: values.collect() }
}

fn restart(ground: &Ground, name: &str, line: &'static str, size: Size) -> Restarted {
    let site = ground.site(name, &[line, "drain_deadline: 5m"]);
    let (lake, topic) = (site.lake(), topic_of(name));
    site.connector(&topic, FLUSH, BY_KEY);
    site.merchants(&Merchants::with_folders("all", ids(0..size.lanes), &lake));
    let probed = ids(size.lanes..size.lanes + PARTITIONS as u32);
    site.merchants(&Merchants { more: PROBES, ..Merchants::with_folders("probes", probed, &lake) });
    let probe =
        |partition| Probe::new(&ground.kafka, &topic, partition, FIRST_MERCHANT + size.lanes + partition as u32, &lake);
    let mut probes: Vec<Probe> = (0..PARTITIONS).map(probe).collect();
    let worker = site.start();
    worker.wait_ready();
    probes.iter_mut().for_each(Probe::send);
    worker.wait("the probes", LOOK_EVERY, LIMIT, || probes.iter_mut().all(|probe| probe.visible() >= probe.sent));
    let pace = Pace { topic: topic.clone(), rate: size.rate, merchants: size.lanes, without: None };
    let load = Load::start(&ground.kafka, pace);
    std::thread::sleep(Duration::from_secs(size.seconds.into()));
    let above_floors = worker.records_above_floors();
    let killed = Instant::now();
    worker.kill();
    let (worker, [first_s, all_s]) = start(&site, &mut probes, killed);
    say(&format!("{line}: new rows after {first_s:.1} s, in every partition after {all_s:.1} s"));
    let sent = load.finish();
    // Whatever was sent before these is read when they are visible, and delivered when the worker has stopped.
    probes.iter_mut().for_each(Probe::send);
    worker.wait("the last events", LOOK_EVERY, LIMIT, || probes.iter_mut().all(|probe| probe.visible() >= probe.sent));
    worker.drain();
    let events = sent.events() + probes.iter().map(|probe| probe.sent).sum::<u64>();
    assert_eq!(in_topic(&ground.kafka, &topic), events, "the topic does not hold what was sent");
    duckdb::assert_delivered(&site.files(), events);
    say("counted by DuckDB: every event once, in its own merchant's folder");
    let files = parquet_files(&lake).len();
    std::fs::remove_dir_all(lake).expect("our own folder can be removed");
    Restarted { line, above_floors, first_s, all_s, events, files, late: sent.late }
}

/// Seconds from the old process's end to the first and to the last probe's new row.
fn start(site: &Site, probes: &mut [Probe], killed: Instant) -> (Worker, [f64; 2]) {
    let (before, mut first_s): (Vec<u64>, _) = (probes.iter().map(|probe| probe.sent).collect(), None);
    let worker = site.start();
    let mut send_at = Instant::now();
    worker.wait("new events in every partition", LOOK_EVERY, LIMIT, || {
        if send_at <= Instant::now() {
            probes.iter_mut().for_each(Probe::send);
            send_at = Instant::now() + SEND_EVERY;
        }
        let reached: Vec<bool> =
            probes.iter_mut().zip(&before).map(|(probe, before)| probe.visible() > *before).collect();
        if reached.contains(&true) {
            first_s.get_or_insert_with(|| killed.elapsed().as_secs_f64());
        }
        !reached.contains(&false)
    });
    let all_s = killed.elapsed().as_secs_f64();
    (worker, [first_s.unwrap_or(all_s), all_s])
}

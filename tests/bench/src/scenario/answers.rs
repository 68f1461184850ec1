use super::{Finding, Size, met};
use crate::{
    dead::{Dead, SLOW_ANSWER},
    ground::{Ground, topic_of},
    load::{Load, Pace},
    merchants::{Merchants, ids},
    rounds::say,
    site::{BY_KEY, Site},
    table::machine,
    worker::Worker,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const FLUSH: &str = "{ rows: 20000, bytes: 16MiB, age: 60s }";
/// Every so many merchants' destinations are dead.
const DEAD_OF: u32 = 50;
/// Until so many of those that are dead are known to be: first batches are due after a minute.
const PARKED_PERCENT: u64 = 30;
const WARM_UP_MAX: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const GOAL_MS: f64 = 50.0;
/// A merchant in the middle, one whose destination is dead, and pages: the first, one behind many, one that is rare.
const PATHS: [&str; 12] = [
    "/connectors?expand=info&expand=status",
    "/connectors/{c}",
    "/connectors/{c}/status",
    "/connectors/{c}/offsets",
    "/v1/status",
    "/v1/lag",
    "/v1/workers",
    "/v1/merchants?limit=100",
    "/v1/merchants?limit=100&after=0030000",
    "/v1/merchants?limit=100&state=parked",
    "/v1/merchants/{m}",
    "/metrics",
];

pub fn size(quick: bool) -> Size {
    let (lanes, rate, seconds) = if quick { (1_000, 200, 5) } else { (50_000, 2_000, 60) };
    Size { lanes, rate, seconds, ..Size::default() }
}

/// What a worker under load answers, and how soon: one question after the other, all kinds in turns.
pub fn run(size: Size) -> Finding {
    let (ground, dead) = (Ground::new(), Dead::listen());
    let site = ground.site("answers", &[]);
    configure(&site, &dead, size.lanes);
    let worker = site.start();
    worker.wait_ready();
    let load = Load::start(
        &ground.kafka,
        Pace { topic: topic_of("answers"), rate: size.rate, merchants: size.lanes, without: None },
    );
    let parked = wait_parked(&worker, u64::from(size.lanes / DEAD_OF) * PARKED_PERCENT / 100);
    let asked = ask(&worker, size);
    load.finish();
    worker.kill();
    finding(size, parked, &asked)
}

/// How many there are then.
fn wait_parked(worker: &Worker, wanted: u64) -> u64 {
    let until = Instant::now() + WARM_UP_MAX;
    loop {
        let lag = worker.get("/v1/lag").unwrap_or_default();
        let parked = lag["connectors"]["answers"]["lanes_parked"].as_u64().unwrap_or_default();
        if parked >= wanted || Instant::now() > until {
            return parked;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn configure(site: &Site, dead: &Dead, lanes: u32) {
    site.connector(&topic_of("answers"), FLUSH, BY_KEY);
    let (healthy, others): (Vec<u32>, Vec<u32>) = ids(0..lanes).into_iter().partition(|id| id % DEAD_OF != DEAD_OF / 2);
    site.merchants(&Merchants::with_folders("healthy", healthy, &site.lake()));
    dead.sinks().into_iter().enumerate().for_each(|(way, (name, sink))| {
        let ids = others.iter().copied().skip(way).step_by(3).collect();
        site.merchants(&Merchants { name, ids, sink, more: "" });
    });
}

/// Path → how long each answer took, in milliseconds, the shortest first.
fn ask(worker: &Worker, size: Size) -> BTreeMap<&'static str, Vec<f64>> {
    let middle = ids(0..size.lanes)[size.lanes as usize / 2].to_string();
    let mut asked: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let until = Instant::now() + Duration::from_secs(size.seconds.into());
    while Instant::now() < until {
        for path in PATHS {
            let started = Instant::now();
            let answer = worker.text(&path.replace("{c}", "answers").replace("{m}", &middle));
            assert!(answer.is_some_and(|answer| !answer.is_empty()), "{path} is not answered");
            asked.entry(path).or_default().push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    asked.values_mut().for_each(|all| all.sort_by(f64::total_cmp));
    asked
}

fn finding(size: Size, parked: u64, asked: &BTreeMap<&'static str, Vec<f64>>) -> Finding {
    let mut text = format!(
        "{} merchants, {} of them dead: one third refuses connections, one takes requests and never answers, one \
         answers after {} s; {parked} lanes parked when it began; {} events/s; each path asked in turns for {} s; \
         {}.\n\n\
         | path | asked | p50 ms | p99 ms | max ms | goal: p99 at most {GOAL_MS} ms |\n|---|---|---|---|---|---|\n",
        size.lanes,
        size.lanes / DEAD_OF,
        SLOW_ANSWER.as_secs(),
        size.rate,
        size.seconds,
        machine(),
    );
    let mut values = json!({});
    for path in PATHS {
        let all = &asked[path];
        let quantile = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
        let (p50, p99, max) = (quantile(0.5), quantile(0.99), quantile(1.0));
        say(&format!("{path}: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"));
        let goal = met(p99 <= GOAL_MS);
        text += &format!("| `{path}` | {} | {p50:.1} | {p99:.1} | {max:.1} | {goal} |\n", all.len());
        values[path] = json!({ "p50_ms": p50, "p99_ms": p99, "max_ms": max, "asked": all.len() });
    }
    Finding { text, values }
}

use super::{Finding, Size, met};
use crate::{
    dead::{Dead, SLOW_ANSWER},
    duckdb::{self, Ages},
    ground::{Ground, topic_of},
    load::{Load, Pace, Sent},
    merchants::{Merchants, folder_of, folder_sink, ids},
    rounds::say,
    sight::{Sight, now_ms},
    site::{BY_KEY, Site},
    table::{machine, median},
    visible::Visible,
    worker::Worker,
};
use serde_json::json;
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

const FLUSH: &str = "{ rows: 20000, bytes: 16MiB, age: 2s }";
/// Every tenth merchant's destination dies.
const DEAD_OF: u32 = 10;
/// At first everything is new: folders, connections, who is dead.
const WARM_UP: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The dead may cost the others so much of their freshness.
const GOAL_SHARE: f64 = 0.1;
const GOAL_MS: f64 = 100.0;

pub fn size(quick: bool) -> Size {
    let (lanes, rate, seconds, rounds) = if quick { (500, 200, 10, 1) } else { (10_000, 2_000, 60, 5) };
    Size { lanes, rate, seconds, rounds, ..Size::default() }
}

struct Run {
    ages: Ages,
    files: usize,
    /// Cores that the worker used.
    cores: f64,
    late: Duration,
}

/// Pairs of runs, one with all destinations well and one with a tenth of them dead, the first of a pair in turns.
pub fn run(size: Size) -> Finding {
    let (ground, dead) = (Ground::new(), Dead::listen());
    let pairs: Vec<[Run; 2]> = (0..size.rounds)
        .map(|round| {
            let healthy = || measure(&ground, &format!("healthy-{round}"), None, size);
            let sick = || measure(&ground, &format!("dead-{round}"), Some(&dead), size);
            if round % 2 == 0 {
                let first = healthy();
                [first, sick()]
            } else {
                let first = sick();
                [healthy(), first]
            }
        })
        .collect();
    finding(size, &pairs, dead.connections())
}

/// How old the rows of the merchants are whose destinations are well in every run.
fn measure(ground: &Ground, name: &str, dead: Option<&Dead>, size: Size) -> Run {
    let site = ground.site(name, &[]);
    site.connector(&topic_of(name), FLUSH, BY_KEY);
    let (healthy, others): (Vec<u32>, Vec<u32>) =
        ids(0..size.lanes).into_iter().partition(|id| id % DEAD_OF != DEAD_OF / 2);
    site.merchants(&Merchants::with_folders("healthy", healthy.clone(), &site.lake()));
    match dead {
        None => {
            let sink = folder_sink(&site.folder().join("others").join("${row:id}"), "");
            site.merchants(&Merchants { name: "others", ids: others, sink, more: "" });
        }
        Some(dead) => dead.sinks().into_iter().enumerate().for_each(|(way, (name, sink))| {
            let ids = others.iter().copied().skip(way).step_by(3).collect();
            site.merchants(&Merchants { name, ids, sink, more: "" });
        }),
    }
    let folders: Vec<PathBuf> = healthy.iter().map(|merchant| folder_of(&site.lake(), *merchant)).collect();
    folders.iter().for_each(|folder| fs::create_dir_all(folder).expect("our own folder can be written"));
    let sight = Sight::of(folders.iter().map(PathBuf::as_path));
    let worker = site.start();
    worker.wait_ready();
    let pace = Pace { topic: topic_of(name), rate: size.rate, merchants: size.lanes, without: None };
    let load = Load::start(&ground.kafka, pace);
    std::thread::sleep(WARM_UP);
    let (since, before, looked) = (now_ms(), worker.usage(), Instant::now());
    std::thread::sleep(Duration::from_secs(size.seconds.into()));
    let until = now_ms();
    let cores = (worker.usage().cpu_s - before.cpu_s) / looked.elapsed().as_secs_f64();
    let sent = load.finish();
    count(&site, worker, &sight, &sent, &healthy, (since, until), cores)
}

fn count(
    site: &Site,
    worker: Worker,
    sight: &Sight,
    sent: &Sent,
    healthy: &[u32],
    made: (u128, u128),
    cores: f64,
) -> Run {
    let (lake, events) = (site.lake(), sent.events_of(healthy));
    let mut visible = Visible::default();
    worker.wait("all rows of the healthy", LOOK_EVERY, LIMIT, || visible.rows(&lake) >= events);
    worker.kill();
    let sights = site.folder().join("sights.csv");
    let files = sight.write(&sights);
    let ages = duckdb::ages(&site.files(), &sights, made, events);
    let Ages { p50, p99, max, .. } = ages;
    say(&format!("p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms; {files} files, {cores:.2} cores"));
    fs::remove_dir_all(site.folder()).expect("our own folder can be removed");
    Run { ages, files, cores, late: sent.late }
}

fn finding(size: Size, pairs: &[[Run; 2]], connections: [u64; 2]) -> Finding {
    assert!(connections.iter().all(|count| *count > 0), "nobody called the dead: {connections:?}");
    let mut text = format!(
        "{} events/s to {} merchants for {} s after {} s of warm-up, {} pairs of runs; dead are {}: one third refuses \
         connections, one takes requests and never answers, one answers after {} s ({connections:?} connections to the \
         last two); flush limits `{FLUSH}`; {}.\n\n\
         | pair | destinations | p50 ms | p99 ms | max ms | rows | files | worker's cores | producer late by |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        size.rate,
        size.lanes,
        size.seconds,
        WARM_UP.as_secs(),
        pairs.len(),
        size.lanes / DEAD_OF,
        SLOW_ANSWER.as_secs(),
        machine(),
    );
    for (pair, runs) in (1..).zip(pairs) {
        for (run, what) in runs.iter().zip(["healthy", "a tenth dead"]) {
            let (Ages { rows, p50, p99, max }, files, cores) = (&run.ages, run.files, run.cores);
            let late = run.late.as_millis();
            text += &format!(
                "| {pair} | {what} | {p50:.0} | {p99:.0} | {max:.0} | {rows} | {files} | {cores:.2} | {late} ms |\n"
            );
        }
    }
    text += "\n| | healthy ms | difference ms | goal ms | |\n|---|---|---|---|---|\n";
    let mut values = json!({ "lanes": size.lanes, "rate": size.rate, "pairs": pairs.len() });
    for (name, of) in QUANTILES {
        let middle = |values: &mut dyn Iterator<Item = f64>| median(values).expect("there is one pair at least");
        let healthy = middle(&mut pairs.iter().map(|[healthy, _]| of(&healthy.ages)));
        let difference = middle(&mut pairs.iter().map(|[healthy, dead]| of(&dead.ages) - of(&healthy.ages)));
        let goal = GOAL_MS.max(GOAL_SHARE * healthy);
        let verdict = met(difference <= goal);
        text += &format!(
            "| {name}, medians of the pairs | {healthy:.0} | {difference:+.0} | at most {goal:.0} | {verdict} |\n"
        );
        values[name] = json!({ "healthy_ms": healthy, "difference_ms": difference, "goal_ms": goal });
    }
    Finding { text, values }
}

type Quantile = (&'static str, fn(&Ages) -> f64);
const QUANTILES: [Quantile; 2] = [("p50", |ages| ages.p50), ("p99", |ages| ages.p99)];

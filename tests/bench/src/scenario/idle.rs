use super::{Finding, Size};
use crate::{
    ground::{Ground, topic_of},
    merchants::{Merchants, ids},
    rounds::say,
    site::{BY_KEY, Site},
    table::machine,
    worker::Worker,
};
use serde_json::json;
use std::time::{Duration, Instant};

const FLUSH: &str = "{ rows: 20000, bytes: 16MiB, age: 60s }";
/// Memory that moves by less, in MiB, for so long has settled.
const SETTLED_MIB: f64 = 2.0;
const SETTLED_FOR: Duration = Duration::from_secs(10);
const SETTLE_LIMIT: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub fn size(quick: bool) -> Size {
    let (lanes, seconds) = if quick { (2_000, 5) } else { (50_000, 60) };
    Size { lanes, seconds, ..Size::default() }
}

/// What a worker that has nothing to do holds and uses.
struct Rest {
    resident_mib: f64,
    peak_mib: f64,
    cpu_ms_per_s: f64,
}

/// One merchant, two fifths of all, and all; each number in an installation of its own, whose topic stays empty.
pub fn run(size: Size) -> Finding {
    let ground = Ground::new();
    let measured: Vec<(u32, [Rest; 2])> =
        [1, size.lanes * 2 / 5, size.lanes].into_iter().map(|lanes| (lanes, rests(&ground, lanes, size))).collect();
    let [base, base_again] = [0, 1].map(|start| measured[0].1[start].resident_mib);
    let mut text = format!(
        "No events; memory once it has moved by less than {SETTLED_MIB} MiB for {} s, CPU of the {} s after that; \
         {}.\n\n\
         | merchants | first start: MiB | KiB a merchant | later start: MiB | KiB a merchant | peak MiB \
         | CPU ms a second |\n\
         |---|---|---|---|---|---|---|\n",
        SETTLED_FOR.as_secs(),
        size.seconds,
        machine(),
    );
    for (lanes, [first, again]) in &measured {
        let each = |rest: &Rest, base: f64| match lanes {
            1 => String::new(),
            _ => format!("{:.2}", (rest.resident_mib - base) * 1024.0 / f64::from(lanes - 1)),
        };
        text += &format!(
            "| {lanes} | {:.0} | {} | {:.0} | {} | {:.0} | {:.1} |\n",
            first.resident_mib,
            each(first, base),
            again.resident_mib,
            each(again, base_again),
            first.peak_mib.max(again.peak_mib),
            again.cpu_ms_per_s,
        );
    }
    let values = measured.iter().map(|(lanes, [first, again])| {
        json!({
            "lanes": lanes, "resident_mib": first.resident_mib, "resident_mib_again": again.resident_mib,
            "peak_mib": first.peak_mib.max(again.peak_mib), "cpu_ms_per_s": again.cpu_ms_per_s,
        })
    });
    Finding { text, values: values.collect() }
}

/// Of the first start, which publishes the merchants, and of one that finds them published.
fn rests(ground: &Ground, lanes: u32, size: Size) -> [Rest; 2] {
    let name = format!("idle-{lanes}");
    let site = ground.site(&name, &[]);
    site.connector(&topic_of(&name), FLUSH, BY_KEY);
    site.merchants(&Merchants::with_folders("all", ids(0..lanes), &site.lake()));
    [0, 1].map(|_| rest(&site, size))
}

fn rest(site: &Site, size: Size) -> Rest {
    let worker = site.start();
    worker.wait_ready();
    settle(&worker);
    let (before, looked) = (worker.usage(), Instant::now());
    std::thread::sleep(Duration::from_secs(size.seconds.into()));
    let (after, resident_mib) = (worker.usage(), worker.resident_mb());
    let cpu_ms_per_s = (after.cpu_s - before.cpu_s) * 1e3 / looked.elapsed().as_secs_f64();
    say(&format!("at rest: {resident_mib:.0} MiB, {cpu_ms_per_s:.1} ms of CPU a second"));
    worker.drain();
    Rest { resident_mib, peak_mib: after.peak_mb, cpu_ms_per_s }
}

fn settle(worker: &Worker) {
    let (mut level, mut since) = (worker.resident_mb(), Instant::now());
    worker.wait("its memory to settle", LOOK_EVERY, SETTLE_LIMIT, || {
        let now = worker.resident_mb();
        if (now - level).abs() > SETTLED_MIB {
            (level, since) = (now, Instant::now());
        }
        since.elapsed() >= SETTLED_FOR
    });
}

use super::{Finding, Size, met};
use crate::{
    duckdb,
    meter::Usage,
    outflow::{self, FLUSH_OF_MERCHANTS, Lanes},
    producer,
    rounds::say,
    site::MEMORY_MIB,
    table::machine,
    workload::{EVENTS, EVENTS_QUICK, parquet_files},
};
use serde_json::json;

/// Above `memory`, in MiB.
const ALLOWANCE: u32 = 150;

pub fn size(quick: bool) -> Size {
    Size { lanes: 50_000, events: if quick { EVENTS_QUICK } else { EVENTS }, ..Size::default() }
}

/// As the merchants of the rounds, but more of them.
pub fn run(size: Size) -> Finding {
    let Size { lanes, events, .. } = size;
    say(&format!("{events} events of {lanes} merchants into a topic"));
    let workload = producer::produce(events, lanes, false);
    let delivered = outflow::measure(&workload, "merchants", Lanes::Merchants(lanes));
    let lake = workload.subfolder("merchants").join("lake");
    let files = parquet_files(&lake).len() as u64;
    duckdb::assert_delivered(&delivered.files, events);
    say("counted by DuckDB: every event once, in its own merchant's folder");
    let Usage { cpu_s, peak_mb } = delivered.usage;
    let (per_million, per_s) = (cpu_s * 1e6 / events as f64, events as f64 / delivered.wall_s);
    let limit = MEMORY_MIB + ALLOWANCE;
    let goal = met(peak_mb <= f64::from(limit));
    let text = format!(
        "{events} events, {lanes} merchants by Zipf's law, one round; flush limits `{FLUSH_OF_MERCHANTS}`, `memory: \
         {MEMORY_MIB}MiB`; {}.\n\n\
         | CPU s per million events | peak MiB | goal: at most {limit} MiB | events/s | files | rows a file |\n\
         |---|---|---|---|---|---|\n\
         | {per_million:.1} | {peak_mb:.0} | {goal} | {per_s:.0} | {files} | {:.0} |\n",
        machine(),
        events as f64 / files as f64,
    );
    let values = json!({
        "lanes": lanes, "events": events, "cpu_s_per_million": per_million, "peak_rss_mib": peak_mb,
        "events_per_s": per_s.round(), "files": files,
    });
    Finding { text, values }
}

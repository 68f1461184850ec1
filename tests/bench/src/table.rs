use crate::{
    outflow::{FLUSH, FLUSH_OF_MERCHANTS},
    rounds::{Plan, Results, Run, System},
};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Medians of a system's runs; the peak is the highest.
struct Summary {
    cpu_s_per_million: f64,
    events_per_s: f64,
    peak_mb: f64,
    files: u64,
    megabytes: f64,
}

fn summary(plan: &Plan, results: &Results, system: System) -> Option<Summary> {
    let runs: Vec<&Run> = results.runs.iter().filter(|run| run.system == system).collect();
    let last = runs.last()?;
    let events = plan.events as f64;
    Some(Summary {
        cpu_s_per_million: median(runs.iter().map(|run| run.cpu_s * 1e6 / events))?,
        events_per_s: median(runs.iter().map(|run| events / run.wall_s))?,
        peak_mb: runs.iter().map(|run| run.peak_mb).fold(0.0, f64::max),
        files: last.files,
        megabytes: last.bytes as f64 / 1e6,
    })
}

pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Median over the rounds of CPU against DuckDB's of the same round.
fn ratio(results: &Results, system: System) -> Option<f64> {
    let of = |system| results.runs.iter().filter(move |run| run.system == system);
    let rounds = of(System::Duckdb).count();
    match of(system).count() {
        0 => None,
        runs if runs == rounds => {
            median(of(system).zip(of(System::Duckdb)).map(|(run, duckdb)| run.cpu_s / duckdb.cpu_s))
        }
        _ => Some(median(of(system).map(|run| run.cpu_s))? / median(of(System::Duckdb).map(|run| run.cpu_s))?),
    }
}

fn title(system: System) -> &'static str {
    match system {
        System::Outflow => "**Outflow**, Kafka → Parquet, exactly once",
        System::Merchants => "**Outflow**, the same, to the folders of 10,000 merchants",
        System::Duckdb => "DuckDB 1.5.5, local NDJSON file → Parquet (no Kafka, no exactly once)",
        System::Connect => "Kafka Connect 4.3.1 + Iceberg sink 1.12.0, Kafka → Parquet (2 tasks, 10 s commits)",
        System::Consumer => "limit: a bare rdkafka consumer that drops everything",
    }
}

pub fn markdown(plan: &Plan, results: &Results) -> String {
    let mut text = format!(
        "{} events of {:.0} bytes on average, {}; Outflow's flush limits: `{FLUSH}`, of \
         merchants `{FLUSH_OF_MERCHANTS}`.\n\n\
         | system | CPU s per million events | × DuckDB | peak MB | events/s | files | MB |\n\
         |---|---|---|---|---|---|---|\n",
        plan.events,
        results.event_bytes,
        machine()
    );
    for system in System::value_variants() {
        let name = title(*system);
        let row = match summary(plan, results, *system) {
            Some(row) => {
                let ratio = ratio(results, *system).map_or("".to_owned(), |ratio| format!("{ratio:.2}"));
                let Summary { cpu_s_per_million, events_per_s, peak_mb, files, megabytes } = row;
                format!(
                    "{cpu_s_per_million:.2} | {ratio} | {peak_mb:.0} | {events_per_s:.0} | {files} | {megabytes:.0}"
                )
            }
            None => "skipped | | | | |".to_owned(),
        };
        text += &format!("| {name} | {row} |\n");
    }
    text
}

pub fn json(plan: &Plan, results: &Results) -> Value {
    let own = summary(plan, results, System::Outflow);
    let peers = [System::Duckdb, System::Connect, System::Consumer].map(|system| {
        let name = format!("{system:?}").to_lowercase();
        let value = summary(plan, results, system).map_or(json!("skipped"), |summary| described(&summary));
        (name, value)
    });
    let mut value = own.map_or(json!({}), |summary| described(&summary));
    let merchants = summary(plan, results, System::Merchants);
    value["merchants"] = merchants.map_or(json!("skipped"), |summary| described(&summary));
    value["cpu_ratio_to_duckdb"] = json!(ratio(results, System::Outflow));
    value["events"] = json!(plan.events);
    value["event_bytes"] = json!(results.event_bytes.round());
    value["peers"] = Value::Object(peers.into_iter().collect());
    value
}

fn described(summary: &Summary) -> Value {
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    json!({
        "cpu_s_per_million": rounded(summary.cpu_s_per_million),
        "peak_rss_mb": rounded(summary.peak_mb),
        "events_per_s": summary.events_per_s.round(),
        "files": summary.files,
        "megabytes": rounded(summary.megabytes),
    })
}

/// Cores and processor, for hosts differ; and whether it is worth anything.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { ", a debug build: figures mean nothing" } else { "" };
    format!("{cores} cores ({}){build}", processor())
}

fn processor() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or("unknown processor".to_owned(), |(_, name)| name.to_owned())
}

/// Between the marks of what was run: nothing, or ` --only start`.
///
/// # Panics
/// If the README is gone or has lost its marks.
pub fn write_readme(options: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).expect("the README is beside the sources");
    fs::write(path, replaced(&text, options, table).expect("the README has its marks"))
        .expect("the README can be written");
}

fn replaced(text: &str, options: &str, table: &str) -> Option<String> {
    let [begin, end] = ["begin", "end"].map(|what| format!("<!-- made by `cargo xtask bench{options}`: {what} -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn plan() -> Plan {
        Plan { quick: true, events: 1_000_000, systems: vec![] }
    }

    fn run(system: System, cpu_s: f64) -> Run {
        Run { system, cpu_s, wall_s: 2.0, peak_mb: 100.0, files: 3, bytes: 5_000_000 }
    }

    #[test]
    fn the_ratio_compares_the_two_of_each_round() {
        let runs = [(1.0, 2.0), (4.0, 5.0), (9.0, 10.0)];
        let runs = runs.map(|(own, duckdb)| [run(System::Duckdb, duckdb), run(System::Outflow, own)]);
        let results = Results { runs: runs.concat(), event_bytes: 780.0 };
        assert_eq!(ratio(&results, System::Outflow), Some(0.8));
        let answer = json(&plan(), &results);
        assert_eq!(
            (answer["cpu_s_per_million"].as_f64(), answer["events_per_s"].as_f64()),
            (Some(4.0), Some(500_000.0))
        );
        assert_eq!((answer["peak_rss_mb"].as_f64(), &answer["peers"]["connect"]), (Some(100.0), &json!("skipped")));
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let mark = |options: &str, what: &str| format!("<!-- made by `cargo xtask bench{options}`: {what} -->\n");
        let part = |options: &str, text: &str| mark(options, "begin") + text + &mark(options, "end");
        let whole = |one: &str, other: &str| format!("a\n{}b\n{}c\n", part("", one), part(" --only start", other));
        assert_eq!(replaced(&whole("1\n", "2\n"), "", "3\n"), Some(whole("3\n", "2\n")));
        assert_eq!(replaced(&whole("1\n", "2\n"), " --only start", "3\n"), Some(whole("1\n", "3\n")));
        assert_eq!(replaced("a", "", "3\n"), None);
    }

    #[test]
    fn every_run_that_is_written_down_has_its_place_in_the_readme() {
        let readme = include_str!("../README.md");
        let named = Scenario::value_variants().iter().map(|scenario| format!(" --only {}", scenario.name()));
        for options in named.chain([String::new()]) {
            assert!(replaced(readme, &options, "").is_some(), "no marks of `cargo xtask bench{options}`");
        }
    }
}

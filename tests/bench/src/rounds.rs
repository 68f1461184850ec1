use crate::{
    connect, consumer, duckdb,
    meter::Usage,
    outflow::{self, Lanes},
    producer, workload,
};
use clap::ValueEnum;
use std::{path::Path, time::Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum System {
    Outflow,
    /// The same with ten thousand merchants, each with a folder of its own.
    Merchants,
    Duckdb,
    Connect,
    Consumer,
}

pub struct Plan {
    pub quick: bool,
    pub events: u64,
    pub systems: Vec<System>,
}

impl Plan {
    /// The one that the README's table is made of.
    pub fn is_whole(&self) -> bool {
        !self.quick && self.events == workload::EVENTS && self.systems == System::value_variants()
    }

    fn has(&self, system: System) -> bool {
        self.systems.contains(&system)
    }

    /// In turns, so that what else the machine does hits both.
    fn rounds(&self) -> u32 {
        if self.quick { 1 } else { 3 }
    }
}

pub fn chosen(quick: bool, only: &[System]) -> Vec<System> {
    let by_default = |system: &System| !quick || [System::Outflow, System::Merchants, System::Duckdb].contains(system);
    let wanted = |system: &System| if only.is_empty() { by_default(system) } else { only.contains(system) };
    System::value_variants().iter().copied().filter(wanted).collect()
}

/// One run of one system.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub system: System,
    pub cpu_s: f64,
    pub wall_s: f64,
    pub peak_mb: f64,
    /// Parquet files that were made, and their bytes.
    pub files: u64,
    pub bytes: u64,
}

pub struct Results {
    pub runs: Vec<Run>,
    pub event_bytes: f64,
}

pub fn run(plan: &Plan) -> Results {
    let started = Instant::now();
    say(&format!("{} events into a topic and a file", plan.events));
    let workload = producer::produce(plan.events, workload::MERCHANTS, true);
    let event_bytes = workload.bytes as f64 / workload.events as f64;
    say(&format!("{event_bytes:.0} bytes an event, {:.1} s", started.elapsed().as_secs_f64()));
    let mut runs = Vec::new();
    for round in 1..=plan.rounds() {
        let truth = plan.has(System::Duckdb).then(|| run_duckdb(&workload, &mut runs));
        if plan.has(System::Outflow) {
            run_outflow(&workload, round, truth.as_ref(), &mut runs);
        }
        if plan.has(System::Merchants) {
            run_merchants(&workload, round, &mut runs);
        }
    }
    if plan.has(System::Consumer) {
        let (used, wall_s) = consumer::measure(&workload);
        add(&mut runs, System::Consumer, used, wall_s, None);
    }
    if plan.has(System::Connect) {
        let (used, wall_s) = connect::measure(&workload);
        add(&mut runs, System::Connect, used, wall_s, Some(&workload.subfolder("warehouse")));
    }
    Results { runs, event_bytes }
}

fn run_duckdb(workload: &workload::Workload, runs: &mut Vec<Run>) -> duckdb::Counted {
    let folder = workload.subfolder("duckdb");
    let target = folder.join("events.parquet");
    let duckdb::Converted { cpu_s, wall_s, peak_mb } = duckdb::convert(workload, &target);
    add(runs, System::Duckdb, Usage { cpu_s, peak_mb }, wall_s, Some(&folder));
    let counted = duckdb::count(&target.display().to_string(), "event_id");
    assert_eq!((counted.rows, counted.distinct), (workload.events, workload.events), "DuckDB lost events");
    counted
}

/// # Panics
/// If a row is missing, doubled or different: a benchmark of wrong results is none.
fn run_outflow(workload: &workload::Workload, round: u32, truth: Option<&duckdb::Counted>, runs: &mut Vec<Run>) {
    let name = format!("outflow-{round}");
    let delivered = outflow::measure(workload, &name, Lanes::One);
    let lake = workload.subfolder(&name).join("lake");
    add(runs, System::Outflow, delivered.usage, delivered.wall_s, Some(&lake));
    let counted = duckdb::count(&delivered.files, "(_topic, _partition, _offset)");
    assert_eq!(counted.rows, workload.events, "rows that DuckDB counted, events");
    assert_eq!(counted.distinct, workload.events, "distinct (topic, partition, offset), events");
    if let Some(truth) = truth {
        assert_eq!(counted.values, truth.values, "values differ from those that DuckDB read from the file");
    }
    say("counted by DuckDB: every event once, with the values that it reads itself");
    std::fs::remove_dir_all(lake).expect("our own folder can be removed");
}

/// # Panics
/// If a row is missing or doubled, or stands in another merchant's folder.
fn run_merchants(workload: &workload::Workload, round: u32, runs: &mut Vec<Run>) {
    let name = format!("merchants-{round}");
    let delivered = outflow::measure(workload, &name, Lanes::Merchants(workload::MERCHANTS));
    let lake = workload.subfolder(&name).join("lake");
    add(runs, System::Merchants, delivered.usage, delivered.wall_s, Some(&lake));
    duckdb::assert_delivered(&delivered.files, workload.events);
    say("counted by DuckDB: every event once, in its own merchant's folder");
    std::fs::remove_dir_all(lake).expect("our own folder can be removed");
}

fn add(runs: &mut Vec<Run>, system: System, used: Usage, wall_s: f64, folder: Option<&Path>) {
    let files = folder.map(workload::parquet_files).unwrap_or_default();
    let (count, bytes) = (files.len() as u64, files.iter().map(|(_, bytes)| bytes).sum());
    let Usage { cpu_s, peak_mb } = used;
    say(&format!("{system:?}: {cpu_s:.1} s of CPU in {wall_s:.1} s, {peak_mb:.0} MB, {count} files"));
    runs.push(Run { system, cpu_s, wall_s, peak_mb, files: count, bytes });
}

pub fn say(line: &str) {
    println!("bench: {line}");
}

//! CPU, memory and throughput from a Kafka topic to visible Parquet files, beside others on the same machine and the
//! same events; and scenarios: starts, freshness, catching up. Comes in: nothing but the release binary of the daemon
//! beside our own. Goes out: tables, and JSON objects. What was delivered is counted by DuckDB, never by the one who
//! delivered it.

mod columns;
mod connect;
mod consumer;
mod dead;
mod duckdb;
mod ground;
mod load;
mod merchants;
mod meter;
mod outflow;
mod page_views;
mod probe;
mod producer;
mod rounds;
mod scenario;
mod sight;
mod site;
mod subject;
mod table;
mod visible;
mod worker;
mod workload;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use scenario::{Scenario, Size};
use std::process::ExitCode;
use subject::Subject;

#[derive(Parser)]
#[command(name = "outflow-bench")]
struct Arguments {
    /// A million events, one round, DuckDB as the only peer; scenarios: small, to see that they work
    #[arg(long)]
    quick: bool,
    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,
    /// Another number of events; the README's tables are written for the own sizes alone
    #[arg(long)]
    events: Option<u64>,
    /// Of a scenario: another number of merchants
    #[arg(long)]
    lanes: Option<u32>,
    /// Of a scenario: other events a second
    #[arg(long)]
    rate: Option<u32>,
    /// Of a scenario: how long it is under load, or looked at
    #[arg(long)]
    seconds: Option<u32>,
    /// Of a scenario: another number of rounds
    #[arg(long)]
    rounds: Option<u32>,
    /// Measure these alone; may be given several times. Scenarios run only when they are named
    #[arg(long, value_enum)]
    only: Vec<Subject>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// A consumer that counts and drops: the limit of what any reader can reach. Run by the benchmark itself.
    #[command(hide = true)]
    Consume { bootstrap: String, topic: String, events: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Part::Consume { bootstrap, topic, events }) = &arguments.part {
        consumer::consume(bootstrap, topic, *events);
        return ExitCode::SUCCESS;
    }
    let (systems, scenarios) = subject::split(&arguments.only);
    if arguments.only.is_empty() || !systems.is_empty() {
        compare(&arguments, &systems);
    }
    scenarios.into_iter().for_each(|scenario| play(&arguments, scenario));
    ExitCode::SUCCESS
}

/// The table of all systems.
fn compare(arguments: &Arguments, only: &[rounds::System]) {
    let default = if arguments.quick { workload::EVENTS_QUICK } else { workload::EVENTS };
    let plan = rounds::Plan {
        quick: arguments.quick,
        events: arguments.events.unwrap_or(default),
        systems: rounds::chosen(arguments.quick, only),
    };
    let results = rounds::run(&plan);
    let table = table::markdown(&plan, &results);
    println!("\n{table}");
    if plan.is_whole() && !cfg!(debug_assertions) {
        table::write_readme("", &table);
    }
    if arguments.json {
        println!("{}", table::json(&plan, &results));
    }
}

fn play(arguments: &Arguments, scenario: Scenario) {
    let name = scenario.name();
    let size = arguments.changed(&name, scenario.size(arguments.quick));
    rounds::say(&format!("{name}: {size:?}"));
    let finding = scenario.run(size);
    let is_whole = size == scenario.size(false) && !cfg!(debug_assertions);
    let title = if is_whole { "" } else { "Not the whole scenario, or not a release build: " };
    println!("\n{title}{}", finding.text);
    if is_whole {
        table::write_readme(&format!(" --only {name}"), &finding.text);
    }
    if arguments.json {
        println!("{}", finding.values);
    }
}

impl Arguments {
    /// The scenario's own size, but for what was asked for.
    fn changed(&self, name: &str, own: Size) -> Size {
        let number = |option: &str, wanted: Option<u64>, own: u64| {
            if wanted == Some(0) || (wanted.is_some() && own == 0) {
                let why = if own == 0 { format!("{name} has no use for it") } else { "it is at least 1".to_owned() };
                Arguments::command().error(ErrorKind::ValueValidation, format!("--{option}: {why}")).exit();
            }
            wanted.unwrap_or(own)
        };
        let small = |option, wanted: Option<u32>, own: u32| {
            let chosen = number(option, wanted.map(u64::from), own.into());
            u32::try_from(chosen).expect("both of them are")
        };
        Size {
            lanes: small("lanes", self.lanes, own.lanes),
            events: number("events", self.events, own.events),
            rate: small("rate", self.rate, own.rate),
            seconds: small("seconds", self.seconds, own.seconds),
            rounds: small("rounds", self.rounds, own.rounds),
        }
    }
}

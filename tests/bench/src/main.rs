//! CPU, memory and throughput from a Kafka topic to visible Parquet files, beside others on the same machine and the
//! same events. Comes in: nothing but the release binary of the daemon beside our own. Goes out: a table, and one JSON
//! object. What was delivered is counted by DuckDB, never by the one who delivered it.

mod columns;
mod connect;
mod consumer;
mod duckdb;
mod meter;
mod outflow;
mod producer;
mod rounds;
mod table;
mod workload;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "outflow-bench")]
struct Arguments {
    /// A million events, one round, DuckDB as the only peer
    #[arg(long)]
    quick: bool,
    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,
    /// How many events; the table of the README is written only for the workload's own number
    #[arg(long)]
    events: Option<u64>,
    /// Measure these alone; may be given several times
    #[arg(long, value_enum)]
    only: Vec<rounds::System>,
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
    let default = if arguments.quick { workload::EVENTS_QUICK } else { workload::EVENTS };
    let plan = rounds::Plan {
        quick: arguments.quick,
        events: arguments.events.unwrap_or(default),
        systems: rounds::chosen(arguments.quick, &arguments.only),
    };
    let results = rounds::run(&plan);
    let table = table::markdown(&plan, &results);
    println!("\n{table}");
    if plan.is_whole() {
        table::write_readme(&table);
    }
    if arguments.json {
        println!("{}", table::json(&plan, &results));
    }
    ExitCode::SUCCESS
}

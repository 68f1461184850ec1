//! `cargo xtask`: the one entry point for work on the project. Comes in: a subcommand. Goes out: what the tools print,
//! the time of each step, and an exit code that is zero only if everything passed. Decides nothing that a person could
//! not type: each step prints its command.

mod commands;
mod mutant;
mod report;
mod scratch;
mod simulation;
mod tools;

use clap::{Parser, Subcommand};
use report::Report;
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tests, simulation and benchmarks of Outflow")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// All that CI runs: format, lints, unit and integration tests, simulation and a sixth of its mutants, end to end
    Test,
    /// 100,000 seeds and 50 kills; takes an hour or more and records the result in tests/long.md
    Long,
    /// The seeded simulation of the core
    Sim {
        /// How many worlds to run
        #[arg(long)]
        seeds: Option<u64>,
        /// Replay this one world
        #[arg(long, conflicts_with = "seeds")]
        seed: Option<u64>,
        /// Apply the accident tests/simulation/mutants/NAME.mutant to a copy of the sources and expect it to be found;
        /// `all` for each of them
        #[arg(long, value_name = "NAME")]
        mutant: Option<String>,
    },
    /// The daemon as a process against real servers
    E2e {
        /// Only tests whose name contains this
        name: Option<String>,
    },
    /// CPU, memory and throughput beside DuckDB and Kafka Connect; writes the table of tests/bench/README.md
    Bench {
        /// Those of the benchmark: `--quick`, `--json`, `--only NAME`; `-- --help` lists them all
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

fn main() -> ExitCode {
    std::env::set_current_dir(root()).expect("the sources are where they were compiled");
    let mut report = Report::new();
    match Arguments::parse().command {
        Task::Test => commands::test(&mut report),
        Task::Long => commands::long(&mut report),
        Task::Sim { seeds, seed, mutant: None } => simulation::run(&mut report, seeds, seed),
        Task::Sim { seeds, seed, mutant: Some(name) } => simulation::mutants(&mut report, &name, seeds, seed),
        Task::E2e { name } => commands::end_to_end(&mut report, name.as_deref()),
        Task::Bench { options } => return commands::bench(&options),
    }
    report.finish()
}

fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("it is two folders deep").to_owned()
}

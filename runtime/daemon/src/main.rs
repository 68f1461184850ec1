//! The program `outflow`: reads the configuration, wires the crates, runs. Nothing is decided here.

mod allocator;
mod check;
mod cluster;
mod demo;
mod health;
mod log;
mod opener;
mod progress;
mod run;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// One stream in, many warehouses out, each exactly once.
#[derive(Parser)]
#[command(name = "outflow", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read topics and deliver, until SIGTERM or Ctrl-C: then deliver what was read and stop.
    Run {
        /// The worker's file.
        #[arg(long, short, default_value = "outflow.yaml", env = "OUTFLOW_CONFIG")]
        config: PathBuf,
    },
    /// Check the configuration, and say what is wrong, where, and what is allowed.
    Check {
        /// The worker's file.
        #[arg(long, short, default_value = "outflow.yaml", env = "OUTFLOW_CONFIG")]
        config: PathBuf,
        /// Also look at brokers, topics, rights, our own topics and the destinations.
        #[arg(long)]
        connect: bool,
    },
    /// Make shop events and deliver them to Parquet files in a folder: no Kafka, no cloud. Stop it in any way, start
    /// it again: it goes on.
    Demo(demo::Options),
}

fn main() -> ExitCode {
    allocator::keep_pages();
    let result = match Arguments::parse().command {
        Command::Run { config } => run::run(&config),
        Command::Check { config, connect } => check::check(&config, connect),
        Command::Demo(options) => demo::demo(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! The program `outflow`: reads the configuration, wires the crates, runs. Nothing is decided here.

mod allocator;
mod backup;
mod check;
mod client;
mod cluster;
mod connectors;
mod demo;
mod documents;
mod dry_run;
mod events;
mod files;
mod fleet;
mod health;
mod letters;
mod log;
mod loggers;
mod merchants;
mod opener;
mod plan;
mod progress;
mod quotas;
mod renewal;
mod run;
mod token;

use clap::{CommandFactory, Parser, Subcommand};
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
        /// Also if these files were published before and others since: they are the newest again.
        #[arg(long)]
        publish_again: bool,
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
    /// Save what a group needs to go on in one file: config log and journals, no rows and no ledger. Its workers may
    /// run meanwhile.
    Backup(backup::BackupOptions),
    /// Make an empty group go on from a backup. What was delivered since is delivered again, except where the
    /// destination recognises it.
    Restore(backup::RestoreOptions),
    /// See and steer the merchants of a running daemon.
    Merchants(client::MerchantsOptions),
    /// See and steer the connectors of a running daemon.
    Connectors(client::ConnectorsOptions),
    /// See rows that fit nowhere, and deliver them once more.
    DeadLetters(client::DeadLettersOptions),
    /// Save all that is configured, one document a line.
    Export(client::ExportOptions),
    /// Put what an export holds, as far as it differs from what is in force.
    Import(client::ImportOptions),
    /// How many records are not visible yet, by connector.
    Lag(client::LagOptions),
    /// What happened in the last hours, newest first.
    Events(client::EventsOptions),
    /// Make a token for `rest.tokens`, and the hash of it that stands there.
    Token,
    /// Completions for a shell: `source <(outflow completion bash)`.
    Completion { shell: clap_complete::Shell },
    /// Make shop events and deliver them to Parquet files in a folder: no Kafka, no cloud. Stop it in any way, start
    /// it again: it goes on.
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { config, publish_again } => run::run(&config, publish_again),
        Command::Check { config, connect } => check::check(&config, connect),
        Command::Backup(options) => backup::backup(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Merchants(options) => client::merchants(&options),
        Command::Connectors(options) => client::connectors(&options),
        Command::DeadLetters(options) => client::dead_letters(&options),
        Command::Export(options) => client::export(&options),
        Command::Import(options) => client::import(&options),
        Command::Lag(options) => client::lag(&options),
        Command::Events(options) => client::events(&options),
        Command::Token => token::token(),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "outflow", &mut std::io::stdout());
            Ok(())
        }
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

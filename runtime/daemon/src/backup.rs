//! What a group needs to go on, without a row, as one file; and a group that goes on from it.

mod collect;
mod file;
mod moved;
mod restore;
mod shard;

use crate::cluster;
use clap::Args;
use outflow_api::{Cluster, ConfigRevision, Recovered, Revision, Shard};
use outflow_catalogue::{Catalogue, Needs, Topic};
use outflow_config::{Config, SystemEnvironment};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    error::Error,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

type Failure = Box<dyn Error>;

#[derive(Args)]
pub struct BackupOptions {
    /// `-` is standard output. What was there before is replaced when the new one is whole.
    file: PathBuf,
    /// The worker's file.
    #[arg(long, short, default_value = "outflow.yaml", env = "OUTFLOW_CONFIG")]
    config: PathBuf,
}

#[derive(Args)]
pub struct RestoreOptions {
    /// `-` is standard input.
    file: PathBuf,
    /// The worker's file.
    #[arg(long, short, default_value = "outflow.yaml", env = "OUTFLOW_CONFIG")]
    config: PathBuf,
    /// The topics are copies of those of the backup, with other ids and the same offsets in each partition, as a
    /// mirror that keeps offsets makes them. Where offsets differ records are lost or delivered twice.
    #[arg(long)]
    topics_by_name: bool,
    /// The journals are there, and only the config log was lost: nothing is delivered twice.
    #[arg(long)]
    config_log_only: bool,
}

/// Whose it is, and of when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Header {
    /// Of the file; another number is another format.
    format: u32,
    /// Of the program that wrote it.
    program: String,
    group: String,
    /// Kafka's cluster id, or `local`.
    cluster: String,
    /// Milliseconds since 1970 UTC.
    taken_at_ms: u64,
    shards: u32,
    /// Up to here the config log's entries may be missing (P20).
    forgotten: u64,
}

#[derive(Debug)]
struct Backup {
    header: Header,
    /// Of connectors in force, as far as they were there.
    topics: Vec<Topic>,
    /// Shards that nobody ever owned have none.
    journals: BTreeMap<Shard, Recovered>,
    revisions: Vec<ConfigRevision>,
}

pub fn backup(options: &BackupOptions) -> Result<(), Failure> {
    let config = outflow_config::load(&options.config, outflow_registry::sinks(), &SystemEnvironment)?;
    let cluster = cluster::open(&config, None)?;
    let header = Header {
        format: file::FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        group: config.worker.group.clone(),
        cluster: cluster.name()?,
        taken_at_ms: SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64,
        shards: config.worker.shards,
        forgotten: 0,
    };
    let backup = collect::collect(cluster.as_ref(), header)?;
    if options.file == Path::new("-") {
        file::write(&backup, &mut BufWriter::new(io::stdout().lock()))?;
    } else {
        replace(&options.file, &backup).map_err(|error| format!("{}: {error}", options.file.display()))?;
    }
    eprintln!("saved: {}", told(&backup));
    Ok(())
}

/// Whole or not at all.
fn replace(path: &Path, backup: &Backup) -> Result<(), Failure> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut out = BufWriter::new(File::create(&new)?);
    file::write(backup, &mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

pub fn restore(options: &RestoreOptions) -> Result<(), Failure> {
    let config = outflow_config::load(&options.config, outflow_registry::sinks(), &SystemEnvironment)?;
    let backup = if options.file == Path::new("-") {
        file::read(&mut io::stdin().lock())
    } else {
        File::open(&options.file).map_err(Failure::from).and_then(|file| file::read(&mut BufReader::new(file)))
    };
    let backup = backup.map_err(|error| format!("{}: {error}", options.file.display()))?;
    check_shards(&backup, &config)?;
    let cluster = cluster::open(&config, None)?;
    let how = restore::How { topics_by_name: options.topics_by_name, config_log_only: options.config_log_only };
    let backup = restore::restore(cluster.as_ref(), &config.worker.cluster, backup, how)?;
    let Header { group, cluster, .. } = &backup.header;
    println!("restored into group {}: {}, of group {group} on cluster {cluster}", config.worker.group, told(&backup));
    if !options.config_log_only {
        println!(
            "what was delivered after the backup is delivered again, unless its destination knows it; the ledger is \
             not in a backup, so `replay --mode repair` and `replace` are refused for what is older"
        );
    }
    println!("start the workers");
    let _ = io::stdout().flush();
    Ok(())
}

fn check_shards(backup: &Backup, config: &Config) -> Result<(), Failure> {
    let (theirs, ours) = (backup.header.shards, config.worker.shards);
    if theirs == ours {
        return Ok(());
    }
    let hint = "partitions belong to shards by their number, so it cannot change";
    Err(format!("the backup has {theirs} shards and the worker's file says {ours}: set shards: {theirs}; {hint}")
        .into())
}

fn told(backup: &Backup) -> String {
    let lanes: usize = backup.journals.values().map(|journal| journal.lanes.len()).sum();
    let (journals, shards) = (backup.journals.len(), backup.header.shards);
    format!("{} revisions, journals of {journals} of {shards} shards with {lanes} lanes", backup.revisions.len())
}

/// All that a config log says; nothing is dropped.
fn catalogue(revisions: &[ConfigRevision], forgotten: Revision) -> Result<Catalogue, Failure> {
    let mut catalogue = Catalogue::default();
    revisions.iter().try_for_each(|revision| catalogue.apply(revision))?;
    catalogue.forget(forgotten, Some(Needs::default()));
    Ok(catalogue)
}

/// The first shard whose owner would ask this config log for what it does not have, or has forgotten.
fn unserved<'a>(
    catalogue: &Catalogue,
    mut journals: impl Iterator<Item = (&'a Shard, &'a Recovered)>,
) -> Option<&'a Shard> {
    let is_served = |journal: &Recovered| {
        let named = journal.revisions.last().map_or(journal.applied.revision, |last| last.revision);
        named.max(journal.applied.revision) <= catalogue.revision() && catalogue.knows(Needs::of(journal))
    };
    journals.find(|(_, journal)| !is_served(journal)).map(|(shard, _)| shard)
}

/// What the journals of all shards say.
fn journals(cluster: &dyn Cluster, shards: u32) -> Result<BTreeMap<Shard, Recovered>, Failure> {
    let mut all = BTreeMap::new();
    for shard in (0..shards).map(Shard) {
        all.extend(cluster.peek(shard)?.map(|journal| (shard, journal)));
    }
    Ok(all)
}

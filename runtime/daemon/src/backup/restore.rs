//! A group that is empty, or half restored from the same backup, becomes what the backup says.

use super::{
    Backup, Failure, catalogue,
    collect::read_all,
    journals,
    moved::Moved,
    shard::{self, Found},
    unserved,
};
use outflow_api::{
    Cluster, ConfigLog, ConfigRevision, Fault, Forgotten, Offset, OffsetRange, Publication, Recovered, Revision, Shard,
    TopicPartition, Verdict,
};
use outflow_catalogue::Catalogue;
use outflow_config::ClusterConfig;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

const PUBLISH_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Clone, Copy)]
pub struct How {
    pub topics_by_name: bool,
    pub config_log_only: bool,
}

/// Answers the backup as it was restored, with the topics of today.
pub fn restore(cluster: &dyn Cluster, kind: &ClusterConfig, backup: Backup, how: How) -> Result<Backup, Failure> {
    cluster.prepare()?;
    // A folder's lock says that nobody runs there; brokers say who is in the group.
    let _alone = match kind {
        ClusterConfig::Local { .. } => Some(cluster.membership()?),
        ClusterConfig::Kafka(_) => None,
    };
    if let Some(member) = cluster.members()?.first() {
        let hint = "stop all workers; one that was killed is forgotten after session_timeout";
        return Err(format!("worker {} is in the group: {hint}", member.name).into());
    }
    let moved = moved(cluster, &backup, how.topics_by_name)?;
    let backup = Backup {
        journals: backup.journals.into_iter().map(|(shard, journal)| (shard, moved.journal(journal))).collect(),
        revisions: backup.revisions.into_iter().map(|revision| moved.revision(revision)).collect(),
        ..backup
    };
    check_positions(cluster, &backup, &moved)?;
    let mut log = cluster.config_log()?;
    let there = read_all(log.as_mut())?;
    let forgotten = log.forgotten().max(Revision(backup.header.forgotten));
    check_config_log(&there, &backup, forgotten)?;
    let newer = if there.len() > backup.revisions.len() { &there } else { &backup.revisions };
    let catalogue = catalogue(newer, forgotten)?;
    if how.config_log_only {
        check_served(&catalogue, &journals(cluster, backup.header.shards)?)?;
    } else {
        check_served(&catalogue, &backup.journals)?;
        restore_journals(cluster, &backup)?;
    }
    publish(log.as_mut(), &backup, there.len())?;
    Ok(backup)
}

/// Positions belong to a topic's id: a topic of the same name may have other records at the same offsets.
fn moved(cluster: &dyn Cluster, backup: &Backup, by_name: bool) -> Result<Moved, Failure> {
    let mut moved = Moved::default();
    for topic in &backup.topics {
        let found = cluster.topics(std::slice::from_ref(&topic.name))?;
        let today = found.first().map(|info| info.id).filter(|id| *id != topic.id());
        if today.is_some() && !by_name {
            let name = &topic.name;
            return Err(format!(
                "topic {name} is not the one of the backup: its id differs. If it is a copy with the same offsets in \
                 each partition, restore with --topics-by-name; if not, the backup says nothing of its records"
            )
            .into());
        }
        moved.0.extend(today.map(|today| (topic.id(), today)));
    }
    Ok(moved)
}

/// A copy that ends before a position has other offsets, or is not whole yet.
fn check_positions(cluster: &dyn Cluster, backup: &Backup, moved: &Moved) -> Result<(), Failure> {
    let new: BTreeSet<_> = moved.0.values().collect();
    let mut highest: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for journal in backup.journals.values() {
        for (track, floor) in journal.floors.iter().filter(|(track, _)| new.contains(&track.partition.topic)) {
            let at = highest.entry(track.partition).or_default();
            *at = (*at).max(*floor);
        }
    }
    if highest.is_empty() {
        return Ok(());
    }
    let mut source = cluster.source()?;
    for (at, position) in highest {
        let OffsetRange { next, .. } = source.bounds(at)?;
        if next < position {
            let (partition, position, next) = (at.partition, position.0, next.0);
            return Err(format!(
                "partition {partition} of a topic ends at offset {next}, and the backup stands at {position}: it is no \
                 copy with the same offsets, or not whole yet"
            )
            .into());
        }
    }
    Ok(())
}

/// What is there must say the same as the backup, as far as both go.
fn check_config_log(there: &[ConfigRevision], backup: &Backup, forgotten: Revision) -> Result<(), Failure> {
    let mut pairs = there.iter().zip(&backup.revisions);
    if let Some((other, _)) = pairs.find(|(there, ours)| !is_same(there, ours, forgotten)) {
        return Err(format!(
            "the config log is not empty, and its revision {} is not the backup's: to restore, stop all workers and \
             delete journal and config topics (on the embedded cluster the folders journal and config), or restore \
             into another group",
            other.revision.0
        )
        .into());
    }
    Ok(())
}

/// What either side has forgotten may be missing on the other.
fn is_same(one: &ConfigRevision, other: &ConfigRevision, forgotten: Revision) -> bool {
    let said = |revision: &ConfigRevision| -> BTreeMap<String, _> {
        revision.entries.iter().map(|entry| (entry.object.clone(), entry.content.clone())).collect()
    };
    let (mut one_said, mut other_said) = (said(one), said(other));
    if one.revision <= forgotten {
        let both: BTreeSet<String> = one_said.keys().filter(|name| other_said.contains_key(*name)).cloned().collect();
        one_said.retain(|name, _| both.contains(name));
        other_said.retain(|name, _| both.contains(name));
    }
    one_said == other_said
}

fn restore_journals(cluster: &dyn Cluster, backup: &Backup) -> Result<(), Failure> {
    let there = journals(cluster, backup.header.shards)?;
    let mut wanted = Vec::new();
    for shard in (0..backup.header.shards).map(Shard) {
        let journal = backup.journals.get(&shard);
        match (Found::of(there.get(&shard), journal), journal) {
            (Found::Same, _) | (Found::Empty, None) => {}
            (Found::Empty | Found::Unfinished, Some(journal)) => wanted.push((shard, journal)),
            (Found::Unfinished, None) | (Found::Other, _) => {
                return Err(format!(
                    "the journal of shard {} is not empty, and not as the backup says: it knows more than a backup. \
                     If only the config log was lost, restore with --config-log-only; to go back to the backup, stop \
                     all workers and delete journal and config topics (on the embedded cluster the folders journal \
                     and config)",
                    shard.0
                )
                .into());
            }
        }
    }
    wanted.iter().try_for_each(|(shard, _)| shard::begin(cluster, *shard))?;
    wanted.iter().try_for_each(|(shard, journal)| shard::fill(cluster, *shard, journal))
}

/// The journals go on with this config log: it has all that they name, and may still ask for.
fn check_served(catalogue: &Catalogue, journals: &BTreeMap<Shard, Recovered>) -> Result<(), Failure> {
    let Some(shard) = unserved(catalogue, journals.iter()) else { return Ok(()) };
    Err(format!(
        "the journal of shard {} names revisions that the config log does not have, or has forgotten: take a newer \
         backup, or go back to this one with journals and config log",
        shard.0
    )
    .into())
}

/// Under their own numbers, which the journals name; each with what was left of it.
fn publish(log: &mut dyn ConfigLog, backup: &Backup, known: usize) -> Result<(), Failure> {
    for revision in backup.revisions.iter().skip(known) {
        publish_one(log, revision)?;
    }
    let until = Revision(backup.header.forgotten);
    let mark = Forgotten { until, entries: Vec::new() };
    let started = Instant::now();
    while log.forgotten() < until {
        match log.forget(&mark) {
            Publication::Done => return Ok(()),
            other if started.elapsed() > PUBLISH_MAX => return Err(given_up("what is forgotten", other)),
            _ => drop(log.read(PAUSE)?),
        }
    }
    Ok(())
}

/// Where it is not known whether it was published, the same again says so: it is behind, and what is read is the same.
fn publish_one(log: &mut dyn ConfigLog, revision: &ConfigRevision) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let outcome = log.publish(revision);
        let may_pass = |fault: &Fault| matches!(fault.verdict, Verdict::Retry { .. });
        match outcome {
            Publication::Done => {
                // What was read on the way takes memory until it is answered.
                log.read(Duration::ZERO)?;
                return Ok(());
            }
            Publication::Refused(fault) if !may_pass(&fault) => return Err(fault.into()),
            other if started.elapsed() > PUBLISH_MAX => {
                return Err(given_up(&format!("revision {}", revision.revision.0), other));
            }
            _ => {}
        }
        if let Some(read) = log.read(PAUSE)?.iter().find(|read| read.revision == revision.revision) {
            return match is_same(read, revision, Revision(0)) {
                true => Ok(()),
                false => Err("somebody else publishes: stop all workers, and restore again".into()),
            };
        }
    }
}

fn given_up(what: &str, outcome: Publication) -> Failure {
    let why = match outcome {
        Publication::Refused(fault) | Publication::Unknown(fault) => fault.to_string(),
        Publication::Behind | Publication::Done => "others publish: stop all workers".to_owned(),
    };
    format!("{what} could not be published: {why}; restore again: it goes on").into()
}

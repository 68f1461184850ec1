use super::{Backup, Failure, Header, catalogue, journals, unserved};
use outflow_api::{Cluster, ConfigLog, ConfigRevision, Revision};
use outflow_catalogue::{Catalogue, Topic};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const STEP: Duration = Duration::from_millis(100);
/// Of a log that says nothing more and does not end.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The config log may forget what a journal needed a moment ago.
const TRIES: usize = 5;

/// Beside a group at work, or at rest. Journals name revisions, so they are read first.
pub fn collect(cluster: &dyn Cluster, header: Header) -> Result<Backup, Failure> {
    for _ in 0..TRIES {
        let journals = journals(cluster, header.shards)?;
        let mut log = cluster.config_log()?;
        let revisions = read_all(log.as_mut())?;
        let forgotten = log.forgotten().0;
        let mut backup = Backup { header: Header { forgotten, ..header.clone() }, topics: vec![], journals, revisions };
        if backup.journals.is_empty() && backup.revisions.is_empty() {
            let group = &backup.header.group;
            return Err(format!("group {group} has neither journal nor config log: is this its worker's file?").into());
        }
        let catalogue = catalogue(&backup.revisions, Revision(forgotten))?;
        if unserved(&catalogue, backup.journals.iter()).is_none() {
            backup.topics = topics(cluster, &catalogue);
            return Ok(backup);
        }
    }
    Err("the config log has forgotten what a shard's journal needs: see why that shard does not run".into())
}

/// From where it stands to its end.
pub fn read_all(log: &mut dyn ConfigLog) -> Result<Vec<ConfigRevision>, Failure> {
    let (mut all, mut heard) = (Vec::new(), Instant::now());
    while !log.is_current() {
        let read = log.read(STEP)?;
        if !read.is_empty() {
            heard = Instant::now();
        } else if heard.elapsed() > SILENCE_MAX {
            return Err(format!("the config log is silent behind revision {}, before its end", all.len()).into());
        }
        all.extend(read);
    }
    Ok(all)
}

/// Those of connectors in force; one that is gone, or was made anew, has nothing that could be read on.
fn topics(cluster: &dyn Cluster, catalogue: &Catalogue) -> Vec<Topic> {
    let entries = catalogue.connector_names().filter_map(|name| catalogue.connector(name));
    let named: BTreeSet<_> = entries.flat_map(|entry| &entry.topics).map(|topic| (&topic.name, topic.id())).collect();
    let is_there = |name: &String, id| {
        let found = cluster.topics(std::slice::from_ref(name));
        found.is_ok_and(|found| found.first().is_some_and(|info| info.id == id))
    };
    named.into_iter().filter(|(name, id)| is_there(name, *id)).map(|(name, id)| Topic::new(name, id)).collect()
}

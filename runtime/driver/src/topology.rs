use crate::{catch_up::CatchUp, entrance::blocking};
use outflow_api::{Cluster, Fault, OffsetRange, Retention, TopicId, TopicInfo, TopicPartition};
use outflow_catalogue::Catalogue;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// The topics that are read, as the cluster has them now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Topology {
    pub topics: BTreeMap<String, TopicInfo>,
    names: BTreeMap<TopicId, Arc<str>>,
    /// None was not looked up.
    retention: Option<BTreeMap<TopicId, Retention>>,
}

/// How long topics keep their records seldom changes.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// What was looked up when.
#[derive(Default)]
pub(crate) struct Surveys {
    retention_at: Option<Instant>,
}

impl Surveys {
    /// Whether the next one should ask how long topics keep their records: topics that are new are not waited for.
    pub fn with_retention(&mut self, known: &Topology, names: &BTreeSet<String>) -> bool {
        let is_due = self.retention_at.is_none_or(|at| at.elapsed() >= RETENTION_EVERY)
            || names.iter().any(|name| !known.topics.contains_key(name));
        if is_due {
            self.retention_at = Some(Instant::now());
        }
        is_due
    }
}

/// These topics as they are now, and the logs of all their partitions.
pub(crate) async fn survey(
    cluster: Arc<dyn Cluster>,
    catch_up: CatchUp,
    names: Vec<String>,
    with_retention: bool,
) -> Result<(Topology, BTreeMap<TopicPartition, OffsetRange>), Fault> {
    let look = move || {
        let mut topology = Topology::look_up(cluster.as_ref(), &names)?;
        if with_retention {
            topology.look_up_retention(cluster.as_ref(), &names);
        }
        Ok(topology)
    };
    let topology = blocking(look).await?;
    let all = topology.names().keys().flat_map(|topic| topology.partitions(*topic)).collect();
    catch_up.bounds(all).await.map(|bounds| (topology, bounds))
}

impl Topology {
    fn look_up(cluster: &dyn Cluster, names: &[String]) -> Result<Topology, Fault> {
        let infos = cluster.topics(names)?;
        let named = infos.iter().map(|info| (info.id, info.name.as_str().into())).collect();
        let topics = infos.into_iter().map(|info| (info.name.clone(), info)).collect();
        Ok(Topology { topics, names: named, retention: None })
    }

    /// How long the topics keep their records.
    fn look_up_retention(&mut self, cluster: &dyn Cluster, names: &[String]) {
        match cluster.retention(names) {
            Ok(told) => {
                let id = |name: String| self.topics.get(&name).map(|info| info.id);
                self.retention = Some(told.into_iter().filter_map(|(name, one)| Some((id(name)?, one))).collect());
            }
            Err(fault) => tracing::warn!(code = fault.code, %fault, "how long topics keep records is not known"),
        }
    }

    /// What was not looked up is as it was.
    pub fn or_retention_of(self, known: &Topology) -> Topology {
        Topology { retention: self.retention.or_else(|| known.retention.clone()), ..self }
    }

    /// None is unknown.
    pub fn retention(&self, topic: TopicId) -> Option<Retention> {
        self.retention.as_ref()?.get(&topic).copied()
    }

    pub fn name(&self, topic: TopicId) -> Arc<str> {
        self.names.get(&topic).cloned().unwrap_or_else(|| "unknown".into())
    }

    pub fn names(&self) -> &BTreeMap<TopicId, Arc<str>> {
        &self.names
    }

    pub fn partitions(&self, topic: TopicId) -> impl Iterator<Item = TopicPartition> {
        let count = self.topics.values().find(|info| info.id == topic).map_or(0, |info| info.partitions);
        (0..count).map(move |partition| TopicPartition { topic, partition })
    }
}

/// Connector → its topics' names.
pub(crate) fn names_of(catalogue: &Catalogue) -> BTreeMap<String, Vec<String>> {
    let topics = |name: &str| {
        let entry = catalogue.connector(name);
        entry.map_or_else(Vec::new, |entry| entry.topics.iter().map(|topic| topic.name.clone()).collect())
    };
    catalogue.connector_names().map(|name| (name.to_owned(), topics(name))).collect()
}

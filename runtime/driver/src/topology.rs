use outflow_api::{Cluster, Fault, TopicId, TopicInfo, TopicPartition};
use std::{collections::BTreeMap, sync::Arc};

/// The topics that are read, as the cluster has them now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Topology {
    pub topics: BTreeMap<String, TopicInfo>,
    names: BTreeMap<TopicId, Arc<str>>,
}

impl Topology {
    pub fn look_up(cluster: &dyn Cluster, names: &[String]) -> Result<Topology, Fault> {
        let infos = cluster.topics(names)?;
        let named = infos.iter().map(|info| (info.id, info.name.as_str().into())).collect();
        Ok(Topology { topics: infos.into_iter().map(|info| (info.name.clone(), info)).collect(), names: named })
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

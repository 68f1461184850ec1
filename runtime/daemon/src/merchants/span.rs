use crate::merchants::Ranges;
use outflow_api::{Cluster, Offset, OffsetRange, Source, TopicPartition};
use outflow_catalogue::{Topic, partition_name};
use outflow_config::nearest;
use outflow_control::{Begin, Refusal, Until};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be read once more, in people's words.
pub struct Span {
    pub topics: Vec<Topic>,
    pub from: Begin,
    pub to: Until,
}

impl Span {
    /// In offsets of today's logs. Blocking.
    pub fn resolve(&self, cluster: &dyn Cluster) -> Result<Ranges, Refusal> {
        let names: Vec<String> = self.topics.iter().map(|topic| topic.name.clone()).collect();
        let infos = cluster.topics(&names)?;
        let mut partitions = BTreeMap::new();
        for topic in &self.topics {
            let Some(info) = infos.iter().find(|info| info.name == topic.name) else { continue };
            if info.id != topic.id() {
                let why = "was made anew, and the worker has not taken the new one yet: ask again in some seconds";
                return Err(Refusal::unavailable(format!("topic {} {why}", topic.name)));
            }
            for partition in 0..info.partitions {
                let key = TopicPartition { topic: info.id, partition };
                partitions.insert(format!("{}/{partition}", topic.name), key);
            }
        }
        self.check_names(&partitions)?;
        let mut source = cluster.source()?;
        let mut ranges = Ranges::new();
        for (name, key) in &partitions {
            if let Some(range) = self.of(name, *key, source.as_mut())? {
                let OffsetRange { start, next } = range;
                ranges.insert(partition_name(*key), vec![(start.0, next.0)]);
            }
        }
        if ranges.is_empty() {
            return Err(Refusal::wrong("no record lies in what was asked for: nothing would be delivered"));
        }
        Ok(ranges)
    }

    fn check_names(&self, partitions: &BTreeMap<String, TopicPartition>) -> Result<(), Refusal> {
        let from = if let Begin::Offsets(offsets) = &self.from { Some(offsets) } else { None };
        let to = if let Until::Offsets(offsets) = &self.to { Some(offsets) } else { None };
        let named: BTreeSet<&String> = from.into_iter().chain(to).flat_map(BTreeMap::keys).collect();
        let Some(unknown) = named.into_iter().find(|name| !partitions.contains_key(*name)) else { return Ok(()) };
        let guess = nearest(unknown, partitions.keys().map(String::as_str)).or(partitions.keys().next().map(|n| &**n));
        let allowed =
            guess.map_or_else(String::new, |name| format!("; allowed are this connector's, such as {name:?}"));
        Err(Refusal::wrong(format!("{unknown:?} is no topic and partition{allowed}")))
    }

    /// None if the partition has no part in it.
    fn of(&self, name: &str, key: TopicPartition, source: &mut dyn Source) -> Result<Option<OffsetRange>, Refusal> {
        let log = source.bounds(key)?;
        let start = match &self.from {
            Begin::Earliest => Some(log.start.0),
            Begin::Timestamp(at_ms) => Some(source.offset_at(key, *at_ms)?.0),
            Begin::Offsets(offsets) => offsets.get(name).copied(),
        };
        let next = match &self.to {
            Until::Now => Some(log.next.0),
            Until::Offsets(offsets) => offsets.get(name).copied(),
        };
        let (Some(start), Some(next)) = (start, next) else { return Ok(None) };
        let held = log.start.0..=log.next.0;
        if let Some(outside) = [start, next].into_iter().find(|offset| !held.contains(offset)) {
            return Err(Refusal::wrong(format!(
                "{name}: offset {outside} is not in the log, which holds {} to {}",
                log.start.0, log.next.0
            )));
        }
        // A timestamp may lie behind the end that was named.
        if start > next && matches!(self.from, Begin::Offsets(_)) {
            return Err(Refusal::wrong(format!("{name}: {start} to {next} ends before it starts")));
        }
        let range = (start < next).then_some(OffsetRange { start: Offset(start), next: Offset(next) });
        Ok(range)
    }
}

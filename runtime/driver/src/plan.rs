use outflow_api::{Blame, Cluster, Fault, TopicPartition};
use outflow_catalogue::{Start, Topic, Wanted, partition_name};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// What the files ask for. Topics are names here; what they are today is looked up when it is published.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Entries without topics.
    pub wanted: Wanted,
    /// By connector.
    pub topics: BTreeMap<String, Vec<String>>,
    /// Of connectors that name none.
    pub patterns: BTreeMap<String, TopicPattern>,
    /// Topic, and its partitions if they were asked for.
    pub dead_letters: Vec<(String, Option<u32>)>,
    /// Also if these files were superseded, at the start.
    pub forced: bool,
    /// Lanes that begin elsewhere than where their connector stands, by their place in `wanted.lanes`.
    pub starts: BTreeMap<usize, From>,
}

/// Which topics a connector reads.
#[derive(Clone)]
pub struct TopicPattern(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl TopicPattern {
    pub fn new(matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> TopicPattern {
        TopicPattern(Arc::new(matches))
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopicPattern")
    }
}

/// As many as may be named.
const MATCHES_MAX: usize = 100;

/// Where a new lane begins, as its file says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    Earliest,
    /// Milliseconds since 1970 UTC.
    Timestamp(i64),
    /// Topic's name and partition → offset.
    Offsets(BTreeMap<(String, u32), i64>),
    /// Where its connector was left: topic id in hex and partition → offset; others at their first record. A new
    /// connector gets all that its topics have, whoever else has read it.
    Left(BTreeMap<String, i64>),
}

impl Plan {
    pub fn topic_names(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.topics.values().flatten().collect();
        names.into_iter().cloned().collect()
    }

    /// Names of topics by connector, those of patterns as they are now.
    fn matched(
        &self,
        cluster: &dyn Cluster,
        dead_letters: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<String>>, Fault> {
        let mut topics = self.topics.clone();
        if self.patterns.is_empty() {
            return Ok(topics);
        }
        let own: BTreeSet<&String> = self.dead_letters.iter().map(|(name, _)| name).chain(dead_letters).collect();
        let all = cluster.topic_names()?;
        for (connector, pattern) in &self.patterns {
            let read = all.iter().filter(|name| (pattern.0)(name.as_str()) && !own.contains(name));
            let mut read: Vec<String> = read.cloned().collect();
            if read.len() > MATCHES_MAX {
                let hint = format!(
                    "`topics.regex` of connector {connector} fits {} topics; allowed are {MATCHES_MAX}",
                    read.len()
                );
                return Err(Fault::park(Blame::Us, "too-many-topics", hint));
            }
            read.sort();
            topics.insert(connector.clone(), read);
        }
        Ok(topics)
    }

    /// With the topics' own ids, and with offsets where lanes begin in the past.
    ///
    /// `is_new`: lanes by their place in `wanted.lanes`; of the others it is known where they began. `dead_letters`: of
    /// all connectors, which no pattern reads.
    pub(crate) fn resolve(
        &self,
        cluster: &dyn Cluster,
        is_new: &BTreeSet<usize>,
        dead_letters: &BTreeSet<String>,
    ) -> Result<Wanted, Fault> {
        let topics = self.matched(cluster, dead_letters)?;
        let names: BTreeSet<&String> = topics.values().flatten().collect();
        let infos = cluster.topics(&names.into_iter().cloned().collect::<Vec<_>>())?;
        let mut wanted = self.wanted.clone();
        for connector in &mut wanted.connectors {
            let names = topics.get(&connector.name).map_or(&[][..], Vec::as_slice);
            let topics = names.iter().filter_map(|name| infos.iter().find(|info| info.name == *name));
            connector.entry.topics = topics.map(|info| Topic::new(&info.name, info.id)).collect();
        }
        if is_new.is_empty() {
            return Ok(wanted);
        }
        let mut source = cluster.source()?;
        let mut found: BTreeMap<(TopicPartition, Option<i64>), i64> = BTreeMap::new();
        for (at, from) in self.starts.iter().filter(|(at, _)| is_new.contains(at)) {
            let Some(lane) = wanted.lanes.get_mut(*at) else { continue };
            let names = topics.get(&lane.connector).map_or(&[][..], Vec::as_slice);
            let mut offsets = BTreeMap::new();
            for info in names.iter().filter_map(|name| infos.iter().find(|info| info.name == *name)) {
                for partition in 0..info.partitions {
                    let key = TopicPartition { topic: info.id, partition };
                    let time = match from {
                        From::Earliest | From::Left(_) => Some(None),
                        From::Timestamp(at_ms) => Some(Some(*at_ms)),
                        From::Offsets(_) => None,
                    };
                    let offset = match (from, time) {
                        (From::Offsets(offsets), _) => offsets.get(&(info.name.clone(), partition)).copied(),
                        (_, None) => None,
                        // Asked once for all lanes that begin there.
                        (_, Some(time)) => Some(match found.get(&(key, time)) {
                            Some(offset) => *offset,
                            None => {
                                let offset = match time {
                                    None => source.bounds(key)?.start.0,
                                    Some(at_ms) => source.offset_at(key, at_ms)?.0,
                                };
                                found.insert((key, time), offset);
                                offset
                            }
                        }),
                    };
                    let name = partition_name(key);
                    let left = if let From::Left(left) = from { left.get(&name).copied() } else { None };
                    // What retention has removed meanwhile is gone.
                    offsets.extend(offset.map(|offset| (name, left.map_or(offset, |left| left.max(offset)))));
                }
            }
            lane.start = Start::From(offsets);
        }
        Ok(wanted)
    }
}

//! A connector's offsets: up to them everything is decided. Who puts them back has the records delivered once more, as
//! a run; nobody takes them forward, for that would leave records out unseen.

use crate::{
    connectors::Connectors,
    merchants::{Ranges, span::Span, target::known_connector},
};
use outflow_catalogue::{Order, Topic};
use outflow_control::{Begin, Group, Refusal, TopicOffset, Until, Wish, Worker};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// A shard tells how it stands some times a second, and a decided batch is given its destination's patience.
const REST_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Of all shards whose workers say how they stand.
pub fn of(connectors: &Connectors, name: &str) -> Result<Vec<TopicOffset>, Refusal> {
    let configuration = connectors.configuration()?;
    known_connector(&configuration.catalogue(), name)?;
    Ok(of_workers(&connectors.fleet.workers(), name))
}

fn of_workers(workers: &[Worker], name: &str) -> Vec<TopicOffset> {
    let mut offsets = Vec::new();
    for status in workers.iter().filter_map(|worker| worker.status.as_deref()) {
        for one in status.shards.values().flat_map(|shard| &shard.partitions) {
            let (topic, partition) = (one.topic.clone(), one.partition);
            offsets.extend(one.floors.get(name).map(|offset| TopicOffset { topic, partition, offset: *offset }));
        }
    }
    offsets.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    offsets
}

/// Of one that is stopped: waits until its own lane is held in every shard, with nothing under way. Topic id in hex and
/// partition → the first offset that is not delivered.
pub async fn at_rest(connectors: &Connectors, name: &str) -> Result<BTreeMap<String, i64>, Refusal> {
    let (configuration, shards) = (connectors.configuration()?, connectors.steering.shards()?);
    let topics = configuration.catalogue().connector(name).map(|entry| entry.topics.clone()).unwrap_or_default();
    let id = |name: &str| topics.iter().find(|topic| topic.name == *name).map(|topic| topic.id.clone());
    let until = Instant::now() + REST_MAX;
    loop {
        // Both are of one look at each shard.
        let workers = connectors.fleet.workers();
        let statuses = workers.iter().filter_map(|worker| worker.status.as_deref());
        let at_rest =
            statuses.flat_map(|status| &status.shards).filter(|(_, shard)| shard.held.iter().any(|one| one == name));
        if at_rest.map(|(shard, _)| *shard).collect::<BTreeSet<u32>>().len() == shards as usize {
            let offsets = of_workers(&workers, name).into_iter();
            return Ok(offsets
                .filter_map(|one| Some((format!("{}/{}", id(&one.topic)?, one.partition), one.offset)))
                .collect());
        }
        if Instant::now() > until {
            return Err(Refusal::unavailable(format!(
                "connector {name:?} is stopped, but not every shard has said within {REST_MAX:?} that nothing of it is \
                 under way (a worker is away, or its destination does not answer): ask again; `?force=true` gives up \
                 a decided batch that waits for its destination, which may or may not be there then"
            )));
        }
        sleep(LOOK_EVERY).await;
    }
}

pub async fn alter(connectors: &Connectors, name: &str, wishes: Option<Vec<Wish>>) -> Result<String, Refusal> {
    let configuration = connectors.configuration()?;
    let (topics, lane) = {
        let catalogue = configuration.catalogue();
        known_connector(&catalogue, name)?;
        let entry = catalogue.connector(name);
        if !entry.is_some_and(|entry| entry.stopped) {
            return Err(Refusal::malformed(format!(
                "connector {name:?} must be stopped before its offsets are changed: PUT /connectors/{name}/stop"
            )));
        }
        if entry.is_some_and(|entry| entry.merchant.is_some()) {
            return Err(Refusal::malformed(format!(
                "the records of connector {name:?} are its merchants': each is put back by himself, with POST \
                 /v1/merchants/{{id}}/replay"
            )));
        }
        let lane = Connectors::own_lanes(&catalogue, name).first().copied();
        (entry.map(|entry| entry.topics.clone()).unwrap_or_default(), lane)
    };
    let Some(lane) = lane else { return Err(Refusal::malformed(format!("connector {name:?} delivers nothing"))) };
    let at: BTreeMap<String, i64> =
        of(connectors, name)?.into_iter().map(|one| (format!("{}/{}", one.topic, one.partition), one.offset)).collect();
    let wishes: BTreeMap<String, Option<i64>> = match wishes {
        Some(wishes) => {
            wishes.into_iter().map(|one| (format!("{}/{}", one.topic, one.partition), one.offset)).collect()
        }
        None => at.keys().map(|partition| (partition.clone(), None)).collect(),
    };
    let ranges = ranges(connectors, topics, &at, wishes).await?;
    let partitions = ranges.len();
    if partitions == 0 {
        return Ok("nothing was delivered behind these offsets yet: nothing is to be delivered again".to_owned());
    }
    let by = configuration.catalogue().revision().0;
    connectors.order(vec![Order::Replay { lane: lane.0, by, ranges }]).await?;
    tracing::info!(connector = name, partitions, event = "ordered", "offsets put back by a person");
    Ok(format!(
        "the records from these offsets on are delivered once more, in {partitions} partitions, when the connector is \
         resumed; what is at the destination already will be there twice"
    ))
}

/// From where people want it to where everything is decided.
async fn ranges(
    connectors: &Connectors,
    topics: Vec<Topic>,
    at: &BTreeMap<String, i64>,
    wishes: BTreeMap<String, Option<i64>>,
) -> Result<Ranges, Refusal> {
    let (mut from, mut until, mut whole) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (partition, wish) in wishes {
        let Some(now) = at.get(&partition).copied() else {
            let known: Vec<&str> = at.keys().map(String::as_str).collect();
            return Err(Refusal::malformed(format!(
                "{partition:?} is no partition of this connector's that a worker reads now; allowed: {}",
                known.join(", ")
            )));
        };
        match wish {
            None => drop(whole.insert(partition, now)),
            Some(wish) if wish > now => {
                return Err(Refusal::malformed(format!(
                    "{partition}: {wish} lies behind {now}, up to which everything is decided: the records between \
                     would never be delivered; allowed: 0 to {now}"
                )));
            }
            Some(wish) if wish == now => {}
            Some(wish) => {
                from.insert(partition.clone(), wish);
                until.insert(partition, now);
            }
        }
    }
    let spans = [(Begin::Offsets(from), until), (Begin::Earliest, whole)];
    let spans = spans.into_iter().filter(|(_, until)| !until.is_empty());
    let spans: Vec<Span> =
        spans.map(|(from, until)| Span { topics: topics.clone(), from, to: Until::Offsets(until) }).collect();
    let cluster = Arc::clone(&connectors.cluster);
    let resolved = spawn_blocking(move || {
        let mut all = Ranges::new();
        for span in spans {
            match span.resolve(cluster.as_ref()) {
                Ok(ranges) => all.extend(ranges),
                // Nothing lies there.
                Err(refusal) if refusal.message().starts_with("no record") => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(all)
    });
    resolved.await.unwrap_or_else(|_| Err(Refusal::unavailable("looking up offsets failed: ask again")))
}

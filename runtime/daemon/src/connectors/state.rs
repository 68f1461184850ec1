//! How a connector stands, in Connect's words. A task is a shard, wherever it is.

use crate::{connectors::Connectors, merchants::target::known_connector};
use outflow_control::{ConnectorState, Group, Kind, Refusal, RunState, Status, TaskState, Worker, WorkerState};
use outflow_driver::Standing;

/// It runs although merchants' lanes are parked; it has failed where it cannot go on by itself, or where its own
/// destination refuses it.
pub fn state(connectors: &Connectors, name: &str) -> Result<ConnectorState, Refusal> {
    let (configuration, shards) = (connectors.configuration()?, connectors.steering.shards()?);
    let (standing, topics) = {
        let catalogue = configuration.catalogue();
        known_connector(&catalogue, name)?;
        let entry = catalogue.connector(name);
        let topics = entry.map(|entry| &entry.topics).into_iter().flatten().map(|topic| topic.name.clone());
        (entry.map(Standing::of).unwrap_or_default(), topics.collect::<Vec<String>>())
    };
    let (workers, version) = (connectors.fleet.workers(), env!("CARGO_PKG_VERSION").to_owned());
    let task = |id: u32| {
        let owner = workers.iter().find(|worker| worker.shards.contains(&id));
        let trace = owner.and_then(|owner| trace(owner, id, name, &topics));
        let state = match (owner, standing, &trace) {
            (None, ..) => RunState::Unassigned,
            (_, _, Some(_)) => RunState::Failed,
            (_, Standing::Running, None) => RunState::Running,
            (_, Standing::Paused | Standing::Stopped, None) => RunState::Paused,
        };
        let worker_id = owner.map_or_else(String::new, |owner| owner.worker_id.clone());
        TaskState { id, state, worker_id, version: version.clone(), trace }
    };
    let tasks = if standing == Standing::Stopped { 0..0 } else { 0..shards };
    let state = match standing {
        Standing::Running => RunState::Running,
        Standing::Paused => RunState::Paused,
        Standing::Stopped => RunState::Stopped,
    };
    let worker_id = connectors.fleet.name().to_owned();
    Ok(ConnectorState {
        name: name.to_owned(),
        connector: WorkerState { state, worker_id, version: version.clone(), trace: None },
        tasks: tasks.map(task).collect(),
        kind: Kind::Sink,
    })
}

/// Why it does not go on there. Of a worker that says nothing, nothing is known.
fn trace(owner: &Worker, shard: u32, connector: &str, topics: &[String]) -> Option<String> {
    let status: &Status = owner.status.as_deref()?;
    let partitions = status.shards.get(&shard).into_iter().flat_map(|shard| &shard.partitions);
    let failed = partitions.filter(|one| topics.contains(&one.topic)).find_map(|one| one.failed.clone());
    let parked = status.connectors.get(connector).into_iter().flat_map(|one| &one.parked);
    let own = parked.filter(|lane| lane.shard == shard && lane.merchant.is_none() && lane.code != "paused");
    failed.or_else(|| own.map(|lane| format!("{}: {}", lane.code, lane.hint)).next())
}

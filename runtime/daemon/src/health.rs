use crate::{merchants::Merchants, progress};
use outflow_api::Fault;
use outflow_control::{
    Board, CallsStatus, Circuit, ConnectorStatus, Control, ParkedLane, PartitionStatus, Phase, ShardStatus,
    Status as Shown,
};
use outflow_driver::{Status, Summary};
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::interval};

const PUBLISH_EVERY: Duration = Duration::from_millis(500);
const PARKED_SHOWN_MAX: usize = 20;

/// Binds at once, so that a taken port is an error at the start; answers until it is aborted.
pub async fn start(
    address: SocketAddr,
    status: Status,
    merchants: Merchants,
    stop: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Fault> {
    let control = Control::bind(address).await?;
    let board = Board::default();
    let published = board.clone();
    Ok(tokio::spawn(async move {
        let publish = async {
            let mut tick = interval(PUBLISH_EVERY);
            loop {
                tick.tick().await;
                published.publish(shown(&status.summary(), *stop.borrow()));
            }
        };
        tokio::select! {
            served = control.serve(board, Arc::new(merchants), env!("CARGO_PKG_VERSION"), std::future::pending()) => {
                if let Err(fault) = served {
                    tracing::error!(code = fault.code, %fault, "no more health and metrics");
                }
            }
            () = publish => {}
        }
    }))
}

fn shown(summary: &Summary, is_draining: bool) -> Shown {
    let failed = summary.shards.values().flat_map(|shard| shard.partitions.values()).find_map(|one| one.failed.clone());
    let phase = match failed.or(summary.trouble.clone()) {
        Some(hint) => Phase::Failed { code: "source-failed".into(), hint },
        None if is_draining => Phase::Draining,
        None if summary.shards.is_empty() => Phase::Starting,
        None => Phase::Running,
    };
    // Also those of which nothing was read yet.
    let names: BTreeSet<&String> = summary.topics.keys().chain(summary.connectors.keys()).collect();
    let connectors = names.into_iter().map(|name| {
        let of = summary.connectors.get(name).cloned().unwrap_or_default();
        let lanes = summary.shards.values().filter_map(|shard| shard.lanes.get(name));
        let (lanes_parked, lanes_behind) =
            lanes.fold((0, 0), |(parked, behind), lanes| (parked + lanes.parked, behind + lanes.behind));
        let parked =
            summary.shards.iter().flat_map(|(shard, status)| status.parked.iter().map(move |lane| (shard.0, lane)));
        let parked = parked.filter(|(_, lane)| lane.connector == *name).take(PARKED_SHOWN_MAX);
        let parked = parked.map(|(shard, lane)| ParkedLane {
            lane: lane.lane,
            shard,
            merchant: lane.merchant.clone(),
            code: lane.code.clone(),
            hint: lane.hint.clone(),
        });
        let parked = parked.collect();
        let overdue = progress::overdue(summary, name);
        let status = ConnectorStatus {
            records_read: of.records_read,
            records_unclaimed: of.records_unclaimed,
            rows_visible: of.rows_visible,
            batches_visible: of.batches_visible,
            bytes_visible: of.bytes_visible,
            rows_rejected: of.rows_rejected,
            lag_records: progress::lag_of(summary, name),
            lag_seconds: overdue.lag_ms.map(|lag| lag / 1_000),
            retention_left_seconds: overdue.retention_left_ms.map(|left| left / 1_000),
            retention_alarms: overdue.retention_alarms,
            retries: of.retries,
            parked,
            lanes_parked,
            lanes_behind,
        };
        (name.clone(), status)
    });
    let shards = summary.shards.iter().map(|(shard, status)| {
        let partitions = status.partitions.iter().map(|(key, partition)| PartitionStatus {
            topic: partition.topic.clone(),
            partition: key.partition,
            floor: partition.floor.0,
            position: partition.position.0,
            end: partition.log.map_or(partition.position.0, |log| log.next.0),
        });
        let partitions = partitions.collect();
        (shard.0, ShardStatus { owned: true, generation: status.generation, partitions })
    });
    Shown {
        phase,
        connectors: connectors.collect(),
        shards: shards.collect(),
        memory_bytes: summary.memory_bytes,
        memory_bytes_max: summary.memory_bytes_max,
        calls: calls(&summary.calls),
    }
}

fn calls(calls: &outflow_driver::CallsStatus) -> CallsStatus {
    let circuit = |open: &outflow_driver::CircuitStatus| Circuit {
        name: open.name.clone(),
        code: open.code.clone(),
        cause: open.cause.clone(),
        lanes: open.lanes,
        open_s: open.open_s,
        next_try_s: open.next_try_s,
    };
    CallsStatus {
        under_way: calls.under_way,
        waiting: calls.waiting,
        open_hosts: calls.open_hosts,
        open_credentials: calls.open_credentials,
        openings: calls.openings,
        circuits: calls.circuits.iter().map(circuit).collect(),
    }
}

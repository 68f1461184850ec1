use crate::progress;
use outflow_api::{Cluster, TopicPartition};
use outflow_catalogue::Catalogue;
use outflow_config::Rest;
use outflow_control::{
    Access, Asked, Board, CallsStatus, Circuit, ConnectorStatus, Control, Entry, ParkedLane, PartitionStatus, Phase,
    Role, ShardStatus, Status as Told, Tls, Token,
};
use outflow_driver::{Configuration, Status, Steering, Summary};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::interval};

const PUBLISH_EVERY: Duration = Duration::from_millis(500);
const PARKED_SHOWN_MAX: usize = 20;

/// Who may ask.
pub fn people(rest: &Rest) -> Vec<Token> {
    let token = |token: &outflow_config::Token| Token {
        name: token.name.clone(),
        role: match &token.role {
            outflow_config::Role::Admin => Role::Admin,
            outflow_config::Role::Operator => Role::Operator,
            outflow_config::Role::Viewer => Role::Viewer,
            outflow_config::Role::Merchant(id) => Role::Merchant(id.clone()),
        },
        sha256: token.sha256,
    };
    rest.tokens.iter().map(token).collect()
}

/// Where it listens, and who may ask.
pub fn entry(rest: &Rest) -> Entry {
    let access = Access::new(people(rest), rest.requests_per_second);
    let tls = rest.tls.as_ref().map(|tls| Tls { certificate: tls.certificate.clone(), key: tls.key.clone() });
    Entry { listen: rest.listen, tls, access }
}

/// Of the cluster's name, until it answers.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What is shown, and where from.
pub struct Shown {
    pub board: Board,
    pub status: Status,
    pub steering: Steering,
}

/// Answers until it is aborted.
pub fn start(
    control: Control,
    shown: Shown,
    asked: Asked,
    cluster: Arc<dyn Cluster>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let Shown { board, status, steering } = shown;
    let (published, name) = (board.clone(), cluster_name(cluster));
    tokio::spawn(async move {
        let publish = async {
            let mut tick = interval(PUBLISH_EVERY);
            loop {
                tick.tick().await;
                let cluster_id = name.get().cloned().unwrap_or_default();
                let configuration = steering.configuration().ok();
                let told = told(&status.summary(), configuration.as_ref(), *stop.borrow());
                published.publish(Told { cluster_id, ..told });
            }
        };
        tokio::select! {
            served = control.serve(board, asked, env!("CARGO_PKG_VERSION"), std::future::pending()) => {
                if let Err(fault) = served {
                    tracing::error!(code = fault.code, %fault, "no more health and metrics");
                }
            }
            () = publish => {}
        }
    })
}

/// Asked on a thread of its own: a cluster that is away must not hold up anybody.
fn cluster_name(cluster: Arc<dyn Cluster>) -> Arc<OnceLock<String>> {
    let name = Arc::new(OnceLock::new());
    let told = Arc::downgrade(&name);
    let ask = move || {
        while let Some(name) = told.upgrade() {
            match cluster.name() {
                Ok(known) => return drop(name.set(known)),
                Err(fault) => tracing::debug!(%fault, "the cluster does not say its name yet"),
            }
            drop(name);
            thread::sleep(ASK_AGAIN);
        }
    };
    thread::Builder::new().name("cluster-name".into()).spawn(ask).expect("a thread can be started");
    name
}

fn told(summary: &Summary, configuration: Option<&Configuration>, is_draining: bool) -> Told {
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
    let catalogue = configuration.map(Configuration::catalogue);
    let shards = summary.shards.iter().map(|(shard, status)| {
        let partitions = status.partitions.iter().map(|(key, partition)| PartitionStatus {
            topic: partition.topic.clone(),
            partition: key.partition,
            floor: partition.floor.0,
            position: partition.position.0,
            end: partition.log.map_or(partition.position.0, |log| log.next.0),
            failed: partition.failed.clone(),
            floors: catalogue.as_ref().map_or_else(BTreeMap::new, |catalogue| floors(status, *key, catalogue)),
        });
        let partitions = partitions.collect();
        let held = status.own.iter().filter(|(_, own)| own.is_held && !own.is_pending).map(|(name, _)| name.clone());
        (shard.0, ShardStatus { owned: true, generation: status.generation, held: held.collect(), partitions })
    });
    Told {
        phase,
        cluster_id: String::new(),
        connectors: connectors.collect(),
        shards: shards.collect(),
        memory_bytes: summary.memory_bytes,
        memory_bytes_max: summary.memory_bytes_max,
        calls: calls(&summary.calls),
    }
}

/// Of the connectors that read it live.
fn floors(
    shard: &outflow_driver::ShardStatus,
    partition: TopicPartition,
    catalogue: &Catalogue,
) -> BTreeMap<String, i64> {
    let own = shard.floors.iter().filter(|(track, _)| track.partition == partition);
    let live = own.filter_map(|(track, floor)| {
        let feed = catalogue.feed(track.feed).filter(|feed| feed.schedule == 0 && feed.retired.is_none())?;
        let own = shard.own.get(&*feed.connector).and_then(|own| own.undelivered.get(&partition));
        Some((feed.connector.to_string(), own.map_or(floor.0, |first| first.0.min(floor.0))))
    });
    live.collect()
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

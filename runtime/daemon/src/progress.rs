use outflow_driver::{LaneCounts, Status, Summary, oldest_known};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, interval};

/// A line now and then, as long as something moves.
pub async fn log(status: Status, every: Duration) {
    let mut tick = interval(every);
    let (mut before, mut at) = (0, Instant::now());
    loop {
        tick.tick().await;
        let summary = status.summary();
        let visible = rows_visible(&summary);
        let rate = (visible - before) as f64 / at.elapsed().as_secs_f64().max(0.001);
        if visible > before || lag(&summary) > 0 || !parked(&summary).is_empty() {
            tracing::info!(
                rows_visible = visible,
                rows_per_s = rate as u64,
                lag_records = lag(&summary),
                parked = ?parked(&summary),
                "progress"
            );
        }
        (before, at) = (visible, Instant::now());
    }
}

/// The last words.
pub fn summary(summary: &Summary) {
    for (name, connector) in &summary.connectors {
        eprintln!(
            "{name}: {} records read, {} rows visible in {} batches ({:.1} MB), {} rejected",
            connector.records_read,
            connector.rows_visible,
            connector.batches_visible,
            connector.bytes_visible as f64 / 1e6,
            connector.rows_rejected,
        );
    }
}

pub fn rows_visible(summary: &Summary) -> u64 {
    summary.connectors.values().map(|connector| connector.rows_visible + connector.rows_rejected).sum()
}

/// Records in the topics that are not decided yet, of all connectors.
pub fn lag(summary: &Summary) -> u64 {
    summary.topics.keys().map(|connector| lag_of(summary, connector)).sum()
}

/// What no lane has taken yet, and what a lane that is behind still owes.
pub fn lag_of(summary: &Summary, connector: &str) -> u64 {
    let topics = summary.topics.get(connector);
    let partitions = summary.shards.values().flat_map(|shard| shard.partitions.values());
    let own = partitions.filter(|partition| topics.is_some_and(|topics| topics.contains(&partition.topic)));
    let ahead = own.filter_map(|partition| Some((partition.log?.next.0 - partition.floor.0).max(0) as u64));
    let owed = summary.shards.values().filter_map(|shard| shard.lanes.get(connector)).map(|lanes| lanes.owed);
    ahead.chain(owed).sum()
}

/// Over the shards: the oldest record that is known of, the least time left, all alarms.
pub fn overdue(summary: &Summary, connector: &str) -> LaneCounts {
    let shards = summary.shards.values().filter_map(|shard| shard.lanes.get(connector));
    shards.fold(LaneCounts { lag_ms: Some(0), ..LaneCounts::default() }, |all, one| LaneCounts {
        lag_ms: oldest_known([all.lag_ms, one.lag_ms]),
        retention_left_ms: all.retention_left_ms.into_iter().chain(one.retention_left_ms).min(),
        retention_alarms: all.retention_alarms + one.retention_alarms,
        ..all
    })
}

/// Connector → how many of its lanes are parked, and the code of one of them.
pub fn parked(summary: &Summary) -> BTreeMap<String, (u64, String)> {
    let mut parked: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for shard in summary.shards.values() {
        for (connector, lanes) in shard.lanes.iter().filter(|(_, lanes)| lanes.parked > 0) {
            parked.entry(connector.clone()).or_default().0 += lanes.parked;
        }
        for lane in &shard.parked {
            parked.entry(lane.connector.clone()).or_default().1.clone_from(&lane.code);
        }
    }
    parked
}

use crate::{
    columns,
    meter::{Usage, usage},
    workload::{TOPIC, Workload},
};
use outflow_rig::{Connect, create_iceberg_table, wait_until};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

const TABLE: &str = "bench.events";
const CONTROL_TOPIC: &str = "control-iceberg";
const TASKS: u32 = 2;
const COMMIT_INTERVAL_MS: u32 = 10_000;
const LIMIT: Duration = Duration::from_secs(1_800);

/// CPU from the moment that a warm worker is given the connector until all rows are committed.
pub fn measure(workload: &Workload) -> (Usage, f64) {
    let warehouse = workload.subfolder("warehouse");
    create_iceberg_table(&warehouse, TABLE, &columns::iceberg());
    workload.kafka.create_topic(CONTROL_TOPIC, 1, &[]);
    let connect = Connect::start(&workload.subfolder("connect"), &workload.kafka);
    let before = usage(connect.pid());
    let started = Instant::now();
    let settings = settings(&warehouse).to_string();
    connect.request("PUT", "/connectors/bench/config", &settings).expect("the worker takes the connector");
    let metadata = warehouse.join("bench/events/metadata");
    let mut asked = Instant::now();
    wait_until("Connect to commit all rows", LIMIT, || {
        if asked.elapsed() > Duration::from_secs(5) {
            asked = Instant::now();
            let status = connect.request("GET", "/connectors/bench/status", "").unwrap_or_default();
            assert!(!status.contains("FAILED"), "the connector failed: {status}");
        }
        committed(&metadata) >= workload.events
    });
    let after = usage(connect.pid());
    assert_eq!(committed(&metadata), workload.events, "Connect committed more rows than there are events");
    (Usage { cpu_s: after.cpu_s - before.cpu_s, peak_mb: after.peak_mb }, started.elapsed().as_secs_f64())
}

fn settings(warehouse: &Path) -> Value {
    json!({
        "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
        "tasks.max": TASKS.to_string(),
        "topics": TOPIC,
        "iceberg.tables": TABLE,
        "iceberg.catalog.type": "hadoop",
        "iceberg.catalog.warehouse": warehouse.display().to_string(),
        "iceberg.control.topic": CONTROL_TOPIC,
        "iceberg.control.commit.interval-ms": COMMIT_INTERVAL_MS.to_string(),
    })
}

/// Rows of the newest snapshot, as the table itself says.
fn committed(metadata: &Path) -> u64 {
    let version = fs::read_to_string(metadata.join("version-hint.text")).unwrap_or_default();
    let text = fs::read_to_string(metadata.join(format!("v{}.metadata.json", version.trim()))).unwrap_or_default();
    let table: Value = serde_json::from_str(&text).unwrap_or_default();
    let is_current = |snapshot: &&Value| snapshot["snapshot-id"] == table["current-snapshot-id"];
    let snapshot = table["snapshots"].as_array().and_then(|snapshots| snapshots.iter().find(is_current));
    snapshot.and_then(|snapshot| snapshot["summary"]["total-records"].as_str()?.parse().ok()).unwrap_or(0)
}

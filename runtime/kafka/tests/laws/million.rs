use crate::common;
use outflow_conformance::journal::after_a_million_decisions;
use outflow_rig::Kafka;
use std::time::Duration;

/// How much of it is still there to be read is up to the broker's cleaner, which runs every second here, and by default
/// four times a minute.
#[test]
fn after_a_million_decisions_a_new_owner_is_there_within_seconds() {
    let recovery = after_a_million_decisions(&common::cluster(Kafka::shared(), 1));
    assert!(recovery.bytes_read < 128 << 20 && recovery.took < Duration::from_secs(30), "{recovery:?}");
}

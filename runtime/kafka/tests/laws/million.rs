use crate::common;
use outflow_conformance::journal::after_a_million_decisions;
use outflow_rig::Kafka;
use std::time::Duration;

/// The broker takes older decisions away in the background, a quarter of a minute later at the earliest: the worst
/// case is that it has not come to it, and everything is read.
#[test]
fn after_a_million_decisions_a_new_owner_is_there_within_seconds() {
    let recovery = after_a_million_decisions(&common::cluster(Kafka::shared(), 1));
    assert!(recovery.bytes_read < 128 << 20 && recovery.took < Duration::from_secs(30), "{recovery:?}");
}

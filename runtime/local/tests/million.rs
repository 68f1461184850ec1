use outflow_conformance::journal::after_a_million_decisions;
use outflow_local::LocalCluster;
use std::time::Duration;

#[test]
fn after_a_million_decisions_an_owner_reads_what_is_live() {
    let folder = tempfile::tempdir().expect("a folder");
    let recovery = after_a_million_decisions(&LocalCluster::open(folder.path(), 1).expect("opens"));
    assert!(recovery.bytes_read < 8 << 20 && recovery.took < Duration::from_secs(10), "{recovery:?}");
}

//! What happened in the last hours.

use crate::site::{Daemon, LIMIT, Site};
use outflow_rig::{http::ask, wait_until};
use serde_json::Value;
use std::fs;

const ALL: [&str; 2] = ["1001", "1002"];

/// Kinds, the oldest first.
fn kinds(daemon: &Daemon<'_>, query: &[&str]) -> Vec<String> {
    let page = daemon.json(&[&["events", "--json"], query].concat());
    let events = page["events"].as_array().cloned().unwrap_or_default();
    events.iter().rev().filter_map(|event| event["kind"].as_str().map(str::to_owned)).collect()
}

fn wait_kind(daemon: &Daemon<'_>, query: &[&str], kind: &str) {
    wait_until(&format!("{kind} of {query:?}"), LIMIT, || kinds(daemon, query).iter().any(|known| known == kind));
}

#[test]
fn a_lane_that_parks_and_goes_on_is_told_once_each_and_to_its_merchant_alone() {
    let site = Site::new(&ALL);
    // Where a folder should be.
    let place = site.path().join("lake/1002");
    fs::create_dir_all(site.path().join("lake")).and_then(|()| fs::write(&place, "")).expect("our own folder");
    let daemon = site.start();
    site.produce(&ALL, 0..10);
    site.wait_for("1001", 0..10, 1);
    daemon.wait_state("1002", "parked");
    let of_1002 = ["--merchant", "1002"];
    let of_lanes = |kind: &str| {
        let page = daemon.json(&["events", "--json", "--merchant", "1002", "--kind", kind]);
        let events = page["events"].as_array().cloned().unwrap_or_default();
        let shards = events.iter().filter_map(|event| event["shard"].as_u64());
        let mut shards: Vec<u64> = shards.collect();
        shards.sort_unstable();
        shards
    };
    // A shard tells it some time behind: who is mended before that has nothing to tell.
    wait_until("both shards to park", LIMIT, || of_lanes("lane-parked") == [0, 1]);
    // Tried in vain.
    daemon.told(&["merchants", "resume", "1002"]);
    wait_kind(&daemon, &of_1002, "ordered");
    fs::remove_file(&place).expect("our own file");
    daemon.told(&["merchants", "resume", "1002"]);
    site.wait_for("1002", 0..10, 1);
    wait_until("both shards to go on", LIMIT, || of_lanes("lane-goes-on") == [0, 1]);
    assert_eq!(of_lanes("lane-parked"), [0, 1], "each once, however often it was tried");
    let parked = daemon.json(&["events", "--json", "--merchant", "1002", "--kind", "lane-parked", "--level", "warn"]);
    let parked = &parked["events"][0];
    assert_eq!((&parked["connector"], &parked["merchant"]), (&"orders".into(), &"1002".into()), "{parked}");
    assert!(parked["code"].is_string() && parked["lane"].is_u64() && parked["fields"]["hint"].is_string(), "{parked}");
    assert_eq!(kinds(&daemon, &["--merchant", "1001"]), [] as [&str; 0]);
    let told = daemon.told(&["events", "--merchant", "1002"]);
    assert!(told.contains("lane-goes-on") && told.contains("orders, 1002, lane"), "{told}");
    daemon.drain();
}

#[test]
fn files_shards_people_and_connectors_leave_events_and_pages_show_each_once() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    site.merchant("1003", "");
    wait_kind(&daemon, &[], "revision-taken");
    site.write("merchants/1003.yaml", "merchant: 1003\ndeliver: [ { conector: orders } ]\n");
    wait_kind(&daemon, &["--level", "error"], "file-refused");
    let url = daemon.url().expect("it listens");
    let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let put = |path: &str| ask(port, "PUT", path, &[], "").expect("it answers").status;
    assert_eq!(put("/connectors/orders/pause"), 202);
    for (query, kind) in [
        (&["--connector", "orders"][..], "ordered"),
        (&["--kind", "asked"], "asked"),
        (&[], "shard-owned"),
        (&[], "worker-listens"),
        (&[], "config-published"),
    ] {
        wait_kind(&daemon, query, kind);
    }
    let whole = daemon.json(&["events", "--json", "--limit", "1000"]);
    let ids = |page: &Value| -> Vec<String> {
        let events = page["events"].as_array().cloned().unwrap_or_default();
        events.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)).collect()
    };
    let (wanted, mut seen, mut after) = (ids(&whole), Vec::new(), None::<String>);
    assert!(wanted.is_sorted_by(|one, other| one > other) && wanted.len() > 5, "{whole}");
    loop {
        let mut args = vec!["events", "--json", "--limit", "3"];
        args.extend(after.as_ref().into_iter().flat_map(|after| ["--after", after.as_str()]));
        let page = daemon.json(&args);
        seen.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen[seen.len() - wanted.len()..], wanted);
    assert_eq!(kinds(&daemon, &["--since", "2000-01-01T00:00:00Z"]).len(), kinds(&daemon, &["--since", "1h"]).len());
    let refused = daemon.refused(&["events", "--since", "yesterday"]);
    assert!(refused.contains("15m"), "{refused}");
    daemon.drain();
}

#[test]
fn what_is_remembered_does_not_depend_on_what_the_log_shows() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let url = daemon.url().expect("it listens");
    let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let level = |query: &str, level: &str| {
        let (path, body) = (format!("/admin/loggers/root{query}"), format!("{{\"level\": \"{level}\"}}"));
        ask(port, "PUT", &path, &["Content-Type: application/json"], &body).expect("it answers").status
    };
    assert_eq!(level("?scope=cluster", "ERROR"), 204);
    daemon.told(&["merchants", "pause", "1001"]);
    wait_kind(&daemon, &["--merchant", "1001"], "ordered");
    assert!(!daemon.log().contains("ordered by a person"), "{}", daemon.log());
    assert_eq!(level("?scope=worker", "INFO"), 200);
    daemon.told(&["merchants", "resume", "1001"]);
    daemon.wait_log("ordered by a person");
    assert_eq!(kinds(&daemon, &["--merchant", "1001", "--kind", "ordered"]).len(), 2);
    daemon.drain();
}

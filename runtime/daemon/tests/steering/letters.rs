//! Rows that fit nowhere, looked up and sent again.

use crate::site::{CONNECTOR, Daemon, LIMIT, Site};
use outflow_rig::wait_until;
use serde_json::Value;
use std::collections::BTreeMap;

const ALL: [&str; 2] = ["1001", "1002"];

/// Every odd number of the second merchant is a text, which the model does not take.
fn value(id: &str, number: u64) -> String {
    if id == "1002" && number % 2 == 1 {
        format!("{{\"number\":\"odd {number}\"}}")
    } else {
        format!("{{\"number\":{number}}}")
    }
}

fn site() -> Site {
    let site = Site::new(&ALL);
    site.write("connectors/orders.yaml", &connector(CONNECTOR));
    site
}

fn connector(text: &str) -> String {
    format!("{text}dead_letters: {{ topic: orders.dead }}\n")
}

fn mend(site: &Site, daemon: &Daemon<'_>, revision: u64) {
    site.write("connectors/orders.yaml", &connector(&CONNECTOR.replace("BIGINT, required: true", "VARCHAR")));
    daemon.wait_log(&format!("configuration published revision={revision}"));
}

fn letters(daemon: &Daemon<'_>, more: &[&str]) -> Vec<Value> {
    let told = daemon.json(&[&["dead-letters", "list", "--json"], more].concat());
    told["dead_letters"].as_array().cloned().unwrap_or_default()
}

fn wait_letters(daemon: &Daemon<'_>, count: usize) {
    wait_until(&format!("{count} dead letters"), LIMIT, || letters(daemon, &[]).len() == count);
}

/// Not before the batches that they were left out of are known to be visible: of each partition in its time.
fn send(daemon: &Daemon<'_>, rows: u64) {
    let mut sent = 0;
    wait_until(&format!("{rows} rows to be sent"), LIMIT, || {
        sent += daemon.json(&["dead-letters", "send-again", "--json"])["rows"].as_u64().unwrap_or_default();
        sent >= rows
    });
}

/// How often each of the texts is there.
fn odd(site: &Site) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for row in site.rows("1002") {
        if let Some(text) = row["number"].as_str().filter(|text| text.starts_with("odd")) {
            *all.entry(text.to_owned()).or_default() += 1;
        }
    }
    all
}

fn once(numbers: std::ops::Range<u64>) -> BTreeMap<String, u64> {
    numbers.filter(|number| number % 2 == 1).map(|number| (format!("odd {number}"), 1)).collect()
}

#[test]
fn a_dead_letter_says_whose_it_is_where_its_record_is_and_why() {
    let site = site();
    let daemon = site.start();
    site.produce_with(&ALL, 0..10, value);
    wait_letters(&daemon, 5);
    for letter in letters(&daemon, &["--merchant", "1002"]) {
        let told = ["connector", "merchant", "topic", "code"].map(|key| letter[key].as_str().unwrap_or_default());
        assert_eq!(told, ["orders", "1002", "orders", "wrong-type"], "{letter}");
        assert!(letter["value"]["text"].as_str().is_some_and(|text| text.contains("odd")), "{letter}");
    }
    assert_eq!(letters(&daemon, &["--merchant", "1001"]), Vec::<Value>::new());
    assert_eq!(letters(&daemon, &["--code", "another"]), Vec::<Value>::new());
    assert_eq!(letters(&daemon, &["--since", "1d"]).len(), 5);
    let mut seen = Vec::new();
    let mut after = Vec::new();
    // Page by page.
    loop {
        let rest: Vec<&str> = after.iter().map(String::as_str).collect();
        let page = daemon.json(&[&["dead-letters", "list", "--json", "--limit", "2"][..], &rest[..]].concat());
        seen.extend(page["dead_letters"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next"].as_str() else { break };
        after = vec!["--after".to_owned(), next.to_owned()];
    }
    assert_eq!(seen, letters(&daemon, &[]));
    let refused = daemon.refused(&["dead-letters", "list", "--connector", "order"]);
    assert!(refused.contains("did you mean \"orders\""), "{refused}");
    daemon.drain();
}

#[test]
fn what_is_sent_again_before_it_is_mended_is_a_dead_letter_again_and_afterwards_there_once_over_kills() {
    let site = site();
    let daemon = site.start();
    site.produce_with(&ALL, 0..10, value);
    wait_letters(&daemon, 5);
    send(&daemon, 5);
    wait_letters(&daemon, 10);
    mend(&site, &daemon, 3);
    send(&daemon, 5);
    daemon.kill();
    let daemon = site.start();
    wait_until("what was mended", LIMIT, || odd(&site) == once(0..10));
    wait_until("all to be known as delivered", LIMIT, || {
        let told = daemon.told(&["dead-letters", "send-again"]);
        told.contains("nothing is to be sent") && told.contains("5 were delivered since")
    });
    site.produce_with(&["1002"], 10..12, |_, number| format!("{{\"number\":\"odd {number}\"}}"));
    let all = [&once(0..10), &BTreeMap::from([("odd 10".to_owned(), 1), ("odd 11".to_owned(), 1)])];
    let all: BTreeMap<String, u64> = all.into_iter().flatten().map(|(text, count)| (text.clone(), *count)).collect();
    wait_until("what came behind it", LIMIT, || odd(&site) == all);
    assert_eq!(letters(&daemon, &[]).len(), 10, "nothing was refused any more");
    daemon.drain();
    assert_eq!(odd(&site), all);
}

#[test]
fn two_who_send_the_same_again_at_once_send_it_once() {
    let site = site();
    let daemon = site.start();
    site.produce_with(&ALL, 0..200, value);
    wait_letters(&daemon, 100);
    daemon.told(&["merchants", "pause", "1002"]);
    daemon.wait_state("1002", "paused");
    mend(&site, &daemon, 3);
    send(&daemon, 100);
    for _ in 0..2 {
        daemon.told(&["dead-letters", "send-again", "--merchant", "1002", "--id", "mine"]);
    }
    assert!(daemon.told(&["dead-letters", "send-again", "--id", "mine"]).contains("before"), "an id is known");
    daemon.told(&["merchants", "resume", "1002"]);
    wait_until("what was mended", LIMIT, || odd(&site).len() == 100);
    daemon.wait_state("1002", "live");
    daemon.drain();
    assert_eq!(odd(&site), once(0..200));
}

#[test]
fn letters_that_cannot_be_sent_are_counted_with_the_reason() {
    let site = Site::new(&ALL);
    site.write("connectors/orders.yaml", &connector(&format!("{CONNECTOR}unknown_merchants: dead_letter\n")));
    let daemon = site.start();
    site.produce_with(&["1002", "7"], 0..4, value);
    wait_letters(&daemon, 6);
    std::fs::remove_file(site.path().join("merchants/1002.yaml")).expect("it is there");
    daemon.wait_state("1002", "removed");
    let told = daemon.told(&["dead-letters", "send-again"]);
    for part in ["nothing is to be sent", "2 are left: of a delivery that was removed", "4 are left: no merchant's"] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    daemon.drain();
}

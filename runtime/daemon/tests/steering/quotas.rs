//! What a destination's quotas cannot carry is refused before it is tried.

use crate::{
    ALL,
    site::{self, Site},
};
use serde_json::{Value, json};
use std::process::Command;

/// A table of one project. Nobody is asked: there are no rows.
fn sink(id: &str) -> Value {
    json!({
        "type": "bigquery", "project": "shop", "dataset": "lake", "table": format!("orders_{id}"), "anonymous": true,
        "endpoint": "http://127.0.0.1:9", "rest_endpoint": "http://127.0.0.1:9", "allow_http": true,
    })
}

fn merchant(id: &str, age: &str) -> Value {
    let delivery = json!({ "connector": "orders", "sink": sink(id), "flush": { "age": age } });
    json!({ "merchant": id, "config": { "deliver": [delivery] } })
}

/// Whether all of them are taken, and what is said.
fn import(site: &Site, daemon: &site::Daemon<'_>, documents: &[Value]) -> (bool, String) {
    let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
    site.write("documents", &lines);
    let output = daemon.ask(&["import", &site.path().join("documents").display().to_string(), "--json"]);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn merchants_that_a_projects_quota_cannot_carry_are_refused_with_the_arithmetic() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let (is_taken, told) = import(&site, &daemon, &["2001", "2002", "2003"].map(|id| merchant(id, "1s")));
    assert!(!is_taken, "{told}");
    let sum = "3600 s ÷ 1 s × 3 lanes = 10800";
    assert!(told.contains(sum) && told.contains("project shop: 10000 an hour are allowed"), "{told}");
    let (is_taken, told) = import(&site, &daemon, &[merchant("2003", "2s"), merchant("2001", "2s")]);
    assert!(is_taken, "{told}");
    let (is_taken, told) = import(&site, &daemon, &[merchant("2004", "900ms")]);
    assert!(!is_taken && told.contains("= 4000"), "{told}");
    let (is_taken, told) = import(&site, &daemon, &[merchant("2004", "1h")]);
    assert!(is_taken, "{told}");
    daemon.drain();
}

#[test]
fn a_check_of_files_says_what_a_quota_cannot_carry() {
    let site = Site::new(&ALL);
    let check = || {
        let config = site.path().join("outflow.yaml");
        let output = Command::new(site::PROGRAM).args(["check", "--config"]).arg(config).output().expect("it starts");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert!(check().0);
    let file = |age: &str| {
        let deliver = json!([{ "connector": "orders", "sink": sink("1004"), "flush": { "age": age } }]);
        site.write("merchants/1004.yaml", &format!("merchant: 1004\ndeliver: {deliver}\n"));
    };
    file("100ms");
    let (passed, told) = check();
    assert!(!passed && told.contains("FAIL  quotas") && told.contains("1004.yaml"), "{told}");
    assert!(told.contains("3600 s ÷ 0.1 s × 1 lanes = 36000") && told.contains("of 1 s or more"), "{told}");
    file("1s");
    let (passed, told) = check();
    assert!(passed, "{told}");
}

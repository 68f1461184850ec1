//! All that is configured goes out, and comes in again.

use crate::{ALL, site::Site};
use serde_json::{Value, json};
use std::fs;

fn merchant(site: &Site, id: &str, age: &str) -> Value {
    let url = site.path().join("lake").join(id).display().to_string();
    let sink = json!({ "type": "object_store", "url": url, "file": { "type": "ndjson", "compression": "none" } });
    let delivery = json!({ "connector": "orders", "sink": sink, "flush": { "age": age } });
    json!({ "merchant": id, "config": { "deliver": [delivery] } })
}

fn connector(site: &Site) -> Value {
    let config = json!({
        "connector.class": "outflow.ObjectStoreSinkConnector", "topics": "orders", "sink.file.type": "ndjson",
        "model.columns": "[{name: number, type: BIGINT}]", "sink.url": site.path().join("lake/all"),
        "flush.bytes": "1MiB",
    });
    json!({ "connector": "all", "config": config, "state": "PAUSED" })
}

fn write(site: &Site, documents: &[Value]) -> String {
    let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
    site.write("documents", &lines);
    site.path().join("documents").display().to_string()
}

fn exported(site: &Site, daemon: &crate::site::Daemon<'_>) -> Vec<Value> {
    let file = site.path().join("exported");
    daemon.told(&["export", &file.display().to_string()]);
    let text = fs::read_to_string(file).expect("just written");
    text.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect()
}

#[test]
fn documents_are_put_once_judged_without_being_put_and_refused_one_by_one() {
    let site = Site::new(&ALL);
    let daemon = site.start();
    let file = write(&site, &[connector(&site), merchant(&site, "2001", "100ms"), merchant(&site, "2002", "100ms")]);
    let told = daemon.told(&["import", &file, "--dry-run"]);
    assert!(told.contains("created connector all") && told.contains("it would be: 3 created, 0 changed"), "{told}");
    assert_eq!(exported(&site, &daemon).len(), 4, "the connector and the merchants of files");
    assert!(daemon.told(&["import", &file]).contains("3 created, 0 changed, 0 the same, 0 refused"));
    assert!(daemon.told(&["import", &file]).contains("0 created, 0 changed, 3 the same, 0 refused"));
    let all = exported(&site, &daemon);
    let origins: Vec<&str> = all.iter().filter_map(|one| one["origin"].as_str()).collect();
    assert_eq!(origins, ["rest", "files", "files", "files", "files", "rest", "rest"]);
    assert_eq!((&all[0]["connector"], &all[0]["state"]), (&json!("all"), &json!("PAUSED")));
    assert_eq!(all[5]["config"]["deliver"], merchant(&site, "2001", "100ms")["config"]["deliver"], "as it was put");
    let back = site.path().join("exported").display().to_string();
    assert!(daemon.told(&["import", &back]).contains("0 created, 0 changed, 7 the same, 0 refused"));
    let mut foreign = merchant(&site, "2003", "100ms");
    foreign["config"]["deliver"][0]["sink"]["url"] =
        merchant(&site, "2002", "1s")["config"]["deliver"][0]["sink"]["url"].take();
    let documents = [merchant(&site, "2001", "200ms"), merchant(&site, "1001", "1s"), foreign];
    let file = write(&site, &documents);
    let judged = daemon.refused(&["import", &file, "--dry-run"]);
    assert!(judged.contains("not all of it was taken"), "{judged}");
    for option in ["--dry-run", "--json"] {
        let output = daemon.ask(&["import", &file, option]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = ["changed", "stands in the file", "the same place"];
        words.iter().for_each(|word| assert!(told.contains(word), "{word:?} is not in: {told}"));
    }
    site.produce(&["2001", "1001"], 0..10);
    ["2001", "1001"].iter().for_each(|id| site.wait_for(id, 0..10, 1));
    daemon.drain();
}

#[test]
fn an_export_makes_the_same_configuration_in_another_group_and_holds_no_secret() {
    let site = Site::new(&ALL);
    site.merchant("1002", ", schedule: 6h, flush: { age: 250ms }, only: { path: kind, in: [ a, b ] }");
    site.write("secret", "very-secret");
    let reference = format!("${{file:{}}}", site.path().join("secret").display());
    let sink = json!({
        "type": "object_store", "url": "s3://lake/2001", "region": "eu-west-1",
        "access_key_id": reference, "secret_access_key": reference,
    });
    let rest = json!({ "merchant": "2001", "config": { "deliver": [{ "connector": "orders", "sink": sink }] } });
    let file = write(&site, &[rest]);
    let daemon = site.start();
    daemon.told(&["import", &file]);
    let mut all = exported(&site, &daemon);
    daemon.drain();
    let text = fs::read_to_string(site.path().join("exported")).expect("just written");
    assert!(!text.contains("very-secret") && text.contains("${file:"), "{text}");
    let other = Site::new(&[]);
    let worker = Site::worker();
    other.write("outflow.yaml", worker.split_once("config:").expect("it names its files").0);
    let daemon = other.start();
    let back = site.path().join("exported").display().to_string();
    for args in [vec!["import", &back, "--dry-run"], vec!["import", &back]] {
        let told = daemon.told(&args);
        assert!(told.contains("5 created, 0 changed, 0 the same, 0 refused"), "{told}");
    }
    let there = exported(&other, &daemon);
    all.iter_mut().for_each(|one| one["origin"] = "rest".into());
    assert_eq!(there, all);
    // A merchant begins where his connector stands when shards come to him: a command behind him says that they have.
    daemon.told(&["merchants", "pause", "1001"]);
    daemon.wait_state("1001", "paused");
    daemon.told(&["merchants", "resume", "1001"]);
    daemon.wait_state("1001", "live");
    other.produce(&["1001"], 0..10);
    site.wait_for("1001", 0..10, 1);
    daemon.drain();
}

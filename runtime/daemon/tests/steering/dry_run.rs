//! What would happen, and that it is what then happens.

use crate::{
    rest::{asks, lake, status},
    site::{self, Daemon, LIMIT, Site},
};
use outflow_rig::{
    http::{Answer, ask},
    wait_until,
};
use serde_json::{Value, json};

const ALL: [&str; 2] = ["1001", "1002"];

/// With a column that is nobody's business, and one to choose by.
fn site() -> Site {
    let site = Site::new(&ALL);
    let more = "required: true }, { name: email, type: VARCHAR }, { name: kind, type: VARCHAR }";
    site.write("connectors/orders.yaml", &site::CONNECTOR.replace("required: true }", more));
    site
}

fn value(id: &str, number: u64) -> String {
    let kind = if number < 5 { "made" } else { "paid" };
    format!("{{\"number\":{number},\"email\":\"{id}@example.com\",\"kind\":\"{kind}\"}}")
}

fn merchant(site: &Site, id: &str, more: &Value) -> Value {
    let url = site.path().join("lake").join(id).display().to_string();
    let sink = json!({ "type": "object_store", "url": url, "file": { "type": "ndjson", "compression": "none" } });
    let mut delivery = json!({ "connector": "orders", "sink": sink });
    for (key, value) in more.as_object().into_iter().flatten() {
        delivery[key] = value.clone();
    }
    json!({ "deliver": [ delivery ] })
}

/// # Panics
/// If it is refused.
fn tried(daemon: &Daemon<'_>, path: &str, body: &Value) -> Value {
    let answer = asks(daemon, "POST", path, body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

#[test]
fn a_dry_run_of_a_merchant_changes_nothing_and_says_what_the_put_then_does() {
    let site = site();
    let daemon = site.start();
    site.produce_with(&["1001", "1002", "2001", "3001"], 0..10, value);
    site.wait_for("1001", 0..10, 1);
    let more = json!({ "start": "earliest", "without": ["email"], "only": { "path": "kind", "in": ["paid"] } });
    let config = merchant(&site, "2001", &more);
    let asked = json!({ "merchant": "2001", "config": config });
    let told = tried(&daemon, "/v1/dry-run", &asked);
    assert_eq!(tried(&daemon, "/v1/dry-run", &asked), told, "nothing has changed");
    assert_eq!(status(&daemon, "GET", "/v1/merchants/2001", &Value::Null), 404);
    let change = &told["changes"][0];
    assert_eq!((told["ok"].as_bool(), told["changes"].as_array().map(Vec::len)), (Some(true), Some(1)), "{told}");
    assert_eq!((&change["effect"], &change["past"]["records"]), (&"added".into(), &40.into()), "{told}");
    assert_eq!(told["sample"], json!([{ "connector": "orders", "records": 40, "of_others": 20, "unclaimed": 10 }]));
    let delivery = &told["deliveries"][0];
    assert_eq!((&delivery["rows"], &delivery["left_out"]), (&5.into(), &5.into()), "{told}");
    let own = [("number", "BIGINT", true), ("kind", "VARCHAR", false)]
        .map(|(name, kind, required)| json!({ "name": name, "type": kind, "required": required }));
    let columns = delivery["columns"].as_array().expect("columns");
    assert_eq!((&columns[..2], &columns[2]["name"]), (&own[..], &"_topic".into()), "{told}");
    assert!(!told.to_string().contains("@example.com"), "what is left out is not shown: {told}");
    assert!(site.rows("2001").is_empty(), "nothing was delivered");
    // Now in earnest.
    assert_eq!(status(&daemon, "PUT", "/v1/merchants/2001", &config), 201);
    site.wait_for("2001", 5..10, 1);
    let shown = delivery["shown"].as_array().expect("rows");
    assert_eq!(sorted(shown), sorted(&site.rows("2001")));
    assert_eq!(daemon.delivery("2001")["lane"], change["lane"]);
    let again = tried(&daemon, "/v1/dry-run", &asked);
    assert_eq!((&again["changes"], &again["deliveries"]), (&json!([]), &told["deliveries"]), "all of it is in force");
    assert!(again["revision"].as_u64() > told["revision"].as_u64(), "the put made one");
    daemon.drain();
}

#[test]
fn a_merchants_own_dry_run_shows_his_rows_alone_as_they_are_in_force_and_where_a_record_does_not_fit() {
    let site = site();
    site.merchant("1001", ", hash: [ email ]");
    let dead = "dead_letters: { topic: dead, percent_max: 50 }\nmodel:";
    let connector = std::fs::read_to_string(site.path().join("connectors/orders.yaml")).expect("just written");
    site.write("connectors/orders.yaml", &connector.replace("model:", dead));
    let daemon = site.start();
    site.produce_with(&ALL, 0..4, value);
    site.produce_with(&["1001"], 4..5, |_, _| "{\"number\":\"four\"}".to_owned());
    let told = tried(&daemon, "/v1/merchants/1001/dry-run", &Value::Null);
    assert_eq!((&told["changes"], told["deliveries"].as_array().map(Vec::len)), (&json!([]), Some(1)), "{told}");
    let delivery = &told["deliveries"][0];
    assert_eq!((&delivery["rows"], &delivery["rejected"]), (&4.into(), &1.into()), "{told}");
    let rejection = &delivery["rejections"][0];
    // Partition 0 has the even numbers, of both merchants in turn.
    let place = [&rejection["topic"], &rejection["partition"], &rejection["offset"], &rejection["code"]];
    assert_eq!(place, [&json!("orders"), &json!(0), &json!(4), &json!("wrong-type")]);
    assert!(!told.to_string().contains("@example.com"), "neither another's nor in the clear: {told}");
    site.wait_for("1001", 0..4, 1);
    assert_eq!(sorted(delivery["shown"].as_array().expect("rows")), sorted(&site.rows("1001")));
    assert_eq!(told["ok"], true, "there is a topic for what does not fit");
    let newest = tried(&daemon, "/v1/merchants/1001/dry-run", &json!({ "records": 2 }));
    assert_eq!((&newest["sample"][0]["records"], &newest["deliveries"][0]["rejected"]), (&2.into(), &1.into()));
    let none = tried(&daemon, "/v1/merchants/1001/dry-run", &json!({ "records": 0 }));
    assert_eq!((&none["sample"][0]["records"], &none["deliveries"][0]["columns"]), (&0.into(), &delivery["columns"]));
    daemon.drain();
}

#[test]
fn a_dry_run_of_a_connector_names_columns_that_differ_and_what_its_merchants_would_get() {
    let site = site();
    let daemon = site.start();
    let mut config = lake(&site, "all");
    let new = tried(&daemon, "/v1/dry-run", &json!({ "connector": "all", "config": config }));
    let effects: Vec<&Value> = new["changes"].as_array().into_iter().flatten().map(|one| &one["effect"]).collect();
    assert_eq!(effects, ["added", "added"], "the connector and its lane: {new}");
    assert_eq!(status(&daemon, "GET", "/connectors/all", &Value::Null), 404);
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &config), 201);
    site.produce_with(&["1001"], 0..10, value);
    site.wait_for("all", 0..10, 1);
    config["model.columns"] = "[{name: number, type: VARCHAR}, {name: kind, type: VARCHAR}]".into();
    config["flush.age"] = "300ms".into();
    config["sink.url"] = site.path().join("lake/other").display().to_string().into();
    let told = tried(&daemon, "/v1/dry-run", &json!({ "connector": "all", "config": config }));
    let changes = told["changes"].as_array().expect("changes");
    let of = |effect: &str| changes.iter().find(|one| one["effect"] == effect).expect("one of them");
    assert_eq!(of("changed")["settings"], json!(["flush.age_ms", "model.columns"]), "{told}");
    assert_eq!((&of("removed")["owed"], &of("added")["past"]), (&0.into(), &Value::Null), "{told}");
    let delivery = &told["deliveries"][0];
    let differs = json!([{ "name": "number", "was": "BIGINT required", "becomes": "VARCHAR" },
        { "name": "kind", "was": null, "becomes": "VARCHAR" }]);
    assert_eq!((&delivery["column_changes"], &delivery["rejected"]), (&differs, &10.into()), "{told}");
    let trouble = delivery["trouble"].as_str().unwrap_or_default();
    assert!(told["ok"] == false && trouble.contains("dead letters"), "{told}");
    let told = tried(&daemon, "/v1/dry-run", &json!({ "connector": "orders" }));
    assert_eq!((&told["deliveries"][0]["merchant"], &told["deliveries"][0]["rows"]), (&"1001".into(), &10.into()));
    assert_eq!(told["deliveries"].as_array().map(Vec::len), Some(1), "no record names anybody else: {told}");
    daemon.drain();
}

/// As its ETag says.
fn with(daemon: &Daemon<'_>, method: &str, path: &str, tag: &str, body: &Value) -> Answer {
    let port = daemon.url().and_then(|url| url.rsplit_once(':')?.1.parse().ok()).expect("a port");
    let tag = format!("If-Match: {tag}");
    ask(port, method, path, &[&tag, "Content-Type: application/json"], &body.to_string()).expect("it answers")
}

#[test]
fn what_a_put_refuses_its_dry_run_refuses_in_the_same_words() {
    let site = site();
    let daemon = site.start();
    assert_eq!(status(&daemon, "PUT", "/connectors/all/config", &lake(&site, "all")), 201);
    let (mut nowhere, mut wrong) = (lake(&site, "new"), lake(&site, "new"));
    nowhere["topics"] = "nowhere".into();
    wrong["flush.rows"] = "many".into();
    let connectors = [
        ("orders", lake(&site, "new"), 403),
        ("other", lake(&site, "all"), 400),
        ("new", nowhere, 400),
        ("new", wrong, 400),
    ];
    for (name, config, expected) in connectors {
        let put = asks(&daemon, "PUT", &format!("/connectors/{name}/config"), &config);
        let dry = asks(&daemon, "POST", "/v1/dry-run", &json!({ "connector": name, "config": config }));
        assert_eq!((put.status, &put.body), (expected, &dry.body), "{name}");
    }
    let mut unknown = merchant(&site, "2001", &json!({}));
    unknown["deliver"][0]["connector"] = "ordes".into();
    let merchants = [
        ("1001", merchant(&site, "1001", &json!({})), 403),
        ("2001", merchant(&site, "1002", &json!({})), 400),
        ("2001", merchant(&site, "2001", &json!({ "without": ["mail"] })), 400),
        ("2001", unknown, 400),
    ];
    for (id, config, expected) in merchants {
        let put = asks(&daemon, "PUT", &format!("/v1/merchants/{id}"), &config);
        let dry = asks(&daemon, "POST", "/v1/dry-run", &json!({ "merchant": id, "config": config }));
        assert_eq!((put.status, &put.body), (expected, &dry.body), "{id}");
    }
    let stale = with(&daemon, "PUT", "/connectors/all/config", "\"999\"", &lake(&site, "all"));
    let dry = json!({ "connector": "all", "config": lake(&site, "all") });
    let dry = with(&daemon, "POST", "/v1/dry-run", "\"999\"", &dry);
    assert_eq!((stale.status, &stale.body), (412, &dry.body));
    for body in [json!({ "connector": "ordes" }), json!({ "merchant": "100" })] {
        let told = asks(&daemon, "POST", "/v1/dry-run", &body);
        assert!(told.status == 404 && told.body.contains("did you mean"), "{}", told.body);
    }
    daemon.drain();
}

#[test]
fn a_shell_is_told_what_would_happen_and_fails_if_something_would_park() {
    let site = site();
    let daemon = site.start();
    site.produce_with(&["1001", "2001"], 0..3, value);
    site.wait_for("1001", 0..3, 1);
    let file = site.path().join("2001.json").display().to_string();
    site.write("2001.json", &merchant(&site, "2001", &json!({ "without": ["email"] })).to_string());
    let told = daemon.told(&["merchants", "dry-run", "2001", "--file", &file]);
    for part in ["for merchant 2001", "is added", "number", "BIGINT", "3 rows, 0 rejected", "3 of other merchants"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = daemon.told(&["merchants", "dry-run", "1001", "--records", "1"]);
    assert!(told.contains("nothing would change") && told.contains("1 of the newest records"), "{told}");
    let mut config = lake(&site, "all");
    config["model.columns"] = "[{name: number, type: BOOLEAN}]".into();
    site.write("all.json", &config.to_string());
    let file = site.path().join("all.json").display().to_string();
    let output = daemon.ask(&["connectors", "dry-run", "all", "--file", &file]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && told.contains("FAIL") && told.contains("orders/0 offset 0"), "{told}");
    assert_eq!(daemon.json(&["connectors", "dry-run", "orders", "--json"])["ok"], true);
    daemon.drain();
}

#[test]
fn what_a_merchant_who_goes_has_not_got_yet_is_told_before() {
    let site = site();
    let daemon = site.start();
    assert_eq!(status(&daemon, "PUT", "/v1/merchants/2001", &merchant(&site, "2001", &json!({}))), 201);
    daemon.wait_state("2001", "live");
    daemon.told(&["merchants", "pause", "2001"]);
    daemon.wait_state("2001", "paused");
    site.produce_with(&["2001"], 0..10, value);
    wait_until("a debt", LIMIT, || daemon.delivery("2001")["lag_records"] == 10);
    let elsewhere = merchant(&site, "2002", &json!({}));
    let told = tried(&daemon, "/v1/dry-run", &json!({ "merchant": "2001", "config": elsewhere }));
    let gone = told["changes"].as_array().into_iter().flatten().find(|one| one["effect"] == "removed");
    assert_eq!(gone.map(|one| one["owed"].clone()), Some(10.into()), "{told}");
    daemon.drain();
}

#[test]
fn a_connector_that_would_take_a_column_from_under_a_merchants_filter_is_told_before() {
    let site = site();
    let daemon = site.start();
    let config = json!({
        "connector.class": "outflow.MerchantsSinkConnector", "topics": "orders", "merchant.key": "true",
        "flush.bytes": "1MiB", "flush.age": "100ms",
        "model.columns": "[{name: number, type: BIGINT}, {name: email, type: VARCHAR}]",
    });
    assert_eq!(status(&daemon, "PUT", "/connectors/shop/config", &config), 201);
    let mut of_shop = merchant(&site, "2001", &json!({ "without": ["email"] }));
    of_shop["deliver"][0]["connector"] = "shop".into();
    assert_eq!(status(&daemon, "PUT", "/v1/merchants/2001", &of_shop), 201);
    site.produce_with(&["2001"], 0..2, value);
    let mut without = config.clone();
    without["model.columns"] = "[{name: number, type: BIGINT}]".into();
    let told = tried(&daemon, "/v1/dry-run", &json!({ "connector": "shop", "config": without }));
    let trouble = told["deliveries"][0]["trouble"].as_str().unwrap_or_default();
    assert!(told["ok"] == false && trouble.contains("email"), "{told}");
    let told = tried(&daemon, "/v1/dry-run", &json!({ "connector": "shop", "config": config }));
    assert_eq!((&told["ok"], &told["deliveries"][0]["rows"]), (&true.into(), &2.into()), "{told}");
    assert!(!told.to_string().contains("@example.com"), "{told}");
    daemon.drain();
}

#[test]
fn of_dry_runs_that_are_asked_for_at_once_one_is_at_work_and_others_are_told_to_ask_again() {
    let site = site();
    let daemon = site.start();
    site.produce_with(&ALL, 0..1_000, value);
    let asked = || asks(&daemon, "POST", "/v1/dry-run", &json!({ "connector": "orders", "records": 1_000 }));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16).map(|_| scope.spawn(asked)).collect();
        all.into_iter().map(|one| one.join().expect("it answers")).collect()
    });
    assert!(answers.iter().any(|answer| answer.status == 200));
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(answer.status == 503 && answer.body.contains("ask again"), "{}", answer.body);
    }
    assert_eq!(asked().status, 200, "afterwards it is free");
    daemon.drain();
}

use crate::shops::{BRISK, DELIVERED, FIRST, LOOK_EVERY, key, place, wait_settled};
use outflow_e2e::{Census, Connector, Due, Lake, Merchant, Record, Site, alone, dues, produce, produce_with, records};
use outflow_rig::{Kafka, wait_until};
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::Value;
use std::{collections::BTreeSet, thread, time::Instant};

/// Where a dead letter came from.
fn origin(letter: &Record) -> (i32, i64) {
    let number = |name: &str| letter.headers.get(name).and_then(|text| text.parse::<i64>().ok());
    let partition = number("__connect.errors.partition").expect("Connect's header");
    (partition as i32, number("__connect.errors.offset").expect("Connect's header"))
}

#[test]
fn rows_of_unknown_merchants_are_dropped_dead_lettered_or_sent_to_the_default_lane() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let topic = "unknown";
    kafka.create_topic(topic, 4, &[]);
    let site = Site::new(topic, kafka);
    let roots = ["drop", "dead_letter", "default"].map(|name| (name, Lake::Folder(site.folder().join(name))));
    for (unknown, root) in &roots {
        let mut connector = Connector::routed(unknown, topic, "{ key: true }");
        (connector.flush, connector.dead_letters) = (BRISK.into(), Some(format!("unknown.{unknown}.dead")));
        connector.more.push(format!("unknown_merchants: {unknown}"));
        connector.sink = (*unknown == "default").then(|| root.below("default").sink());
        site.configure(&connector);
    }
    let known = FIRST..FIRST + 20;
    for id in known.clone() {
        let deliver = |own: Merchant, (name, root): &(&str, Lake)| own.delivered(name, &place(root, id), "");
        site.merchant(&id.to_string(), &roots.iter().fold(Merchant::new(id), deliver));
    }
    produce(kafka, topic, 0..10_000);
    let worker = site.start("worker", &["instance_id: first"]);
    wait_until("some rows", DELIVERED, || roots[2].1.files() > 10);
    worker.kill();
    produce(kafka, topic, 10_000..15_000);
    let worker = site.start("worker", &["instance_id: first"]);
    let is_known = |record: &Record| known.contains(&key(record).parse().expect("merchants are numbers"));
    let mine = dues(kafka, topic, |record| is_known(record).then(|| key(record)));
    let all = dues(kafka, topic, |record| Some(if is_known(record) { key(record) } else { "default".into() }));
    let unknown: BTreeSet<(i32, i64)> =
        all.iter().filter(|due| due.place == "default").map(|due| (due.partition, due.offset)).collect();
    for (name, root) in &roots {
        wait_settled(root, if *name == "default" { &all } else { &mine });
    }
    wait_until("all dead letters", DELIVERED, || records(kafka, "unknown.dead_letter.dead").len() >= unknown.len());
    worker.drain();
    for (name, root) in &roots {
        Census::take(root, if *name == "default" { &all } else { &mine }).assert_settled();
    }
    let letters: Vec<(i32, i64)> = records(kafka, "unknown.dead_letter.dead").iter().map(origin).collect();
    assert_eq!(letters.len(), unknown.len(), "a dead letter came twice or not at all");
    assert_eq!(letters.into_iter().collect::<BTreeSet<_>>(), unknown);
    assert!(records(kafka, "unknown.drop.dead").is_empty() && records(kafka, "unknown.default.dead").is_empty());
    println!("{} rows of merchants, {} of nobody", mine.len(), unknown.len());
}

/// A column of every row, as text.
fn column(lake: &Lake, name: &str) -> Vec<String> {
    lake.texts(name)
}

#[test]
fn a_merchant_by_header_or_by_json_path_and_only_some_event_types() {
    let _turn = alone();
    let kafka = Kafka::shared();
    let topic = "shapes";
    kafka.create_topic(topic, 4, &[]);
    let site = Site::new(topic, kafka);
    let roots = [("header", "{ header: shop }"), ("path", "{ path: store_id }")];
    let roots = roots.map(|(name, key)| (name, key, Lake::Folder(site.folder().join(name))));
    for (name, key, _) in &roots {
        let mut connector = Connector::routed(name, topic, key);
        connector.flush = BRISK.into();
        connector.columns.push("{ name: event_type, type: VARCHAR }".into());
        connector.columns.push("{ name: geo, type: \"STRUCT<country VARCHAR, city VARCHAR>\" }".into());
        site.configure(&connector);
    }
    let more = "only: { path: event_type, in: [order_created, page_view] }, without: [created_at, geo.city], \
                hash: [event_id]";
    for (id, more) in [(FIRST, more), (FIRST + 1, "")] {
        let deliver = |own: Merchant, (name, _, root): &(&str, &str, Lake)| own.delivered(name, &place(root, id), more);
        site.merchant(&id.to_string(), &roots.iter().fold(Merchant::new(id), deliver));
    }
    // The header names the next merchant: who looks at the key or into the record gets another one.
    produce_with(kafka, topic, 0..6_000, |key| {
        let next: u32 = String::from_utf8_lossy(key).parse().expect("merchants are numbers");
        OwnedHeaders::new().insert(Header { key: "shop", value: Some(&(next + 1).to_string()) })
    });
    let worker = site.start("worker", &[]);
    let event = |record: &Record| -> Value {
        serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("our own")
    };
    let is_wanted = |id: &str, record: &Record| {
        id == (FIRST + 1).to_string()
            || id == FIRST.to_string()
                && ["order_created", "page_view"].iter().any(|kind| event(record)["event_type"] == *kind)
    };
    let by_path = dues(kafka, topic, |record| Some(key(record)).filter(|id| is_wanted(id, record)));
    let by_header = dues(kafka, topic, |record| {
        let id = record.headers.get("shop").cloned();
        id.filter(|id| is_wanted(id, record))
    });
    assert!(!by_header.is_empty() && by_path.len() > 500);
    let [(_, _, header), (_, _, path)] = &roots;
    wait_settled(path, &by_path);
    wait_strangers(header, &by_header);
    worker.drain();
    Census::take(path, &by_path).assert_settled();
    let [chosen, whole] = [FIRST, FIRST + 1].map(|id| place(path, id));
    let ids = column(&chosen, "event_id");
    assert!(
        ids.iter().all(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())),
        "{:?}",
        ids.first()
    );
    assert!(column(&whole, "event_id").iter().all(|id| id.contains('-')), "nobody asked for this to be hashed");
    let (less, more) = (chosen.columns(), whole.columns());
    println!("{less:?} of {more:?}");
    assert!(more.contains(&"created_at".to_owned()) && !less.contains(&"created_at".to_owned()));
    let geo = column(&chosen, "geo");
    assert!(geo.iter().any(|geo| geo.contains("country")) && geo.iter().all(|geo| !geo.contains("city")));
    // What was left out is not unknown either.
    assert!(column(&chosen, "_unknown").iter().all(|rest| !rest.contains("created_at") && !rest.contains("\"geo\"")));
}

/// By a header that names somebody else than the record itself does: the place is the header's.
fn wait_strangers(root: &Lake, dues: &[Due]) {
    let mut census = Census::take(root, dues);
    let started = Instant::now();
    while census.missing > 0 && started.elapsed() < DELIVERED {
        thread::sleep(LOOK_EVERY);
        census = Census::take(root, dues);
    }
    assert_eq!([census.missing, census.doubled, census.foreign], [0; 3], "{census:?}");
    assert_eq!(census.strange, census.rows, "the record's own merchant was asked: {census:?}");
}

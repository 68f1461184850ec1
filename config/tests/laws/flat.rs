//! A connector's flat configuration, as Kafka Connect's clients write it.

use crate::common::{Folder, LAKE, Vault};
use outflow_config::{Judged, Plugin, UnknownMerchants, judge};
use std::{collections::BTreeMap, time::Duration};

const LAKE_CLASS: &str = "outflow.ObjectStoreSinkConnector";
const RIGHT: [(&str, &str); 6] = [
    ("name", "orders"),
    ("connector.class", LAKE_CLASS),
    ("topics", "commerce.orders, commerce.carts"),
    (
        "model.columns",
        "[{name: id, type: BIGINT}, {\"name\": \"mail\", \"type\": \"VARCHAR\", \"path\": \"customer.mail\"}]",
    ),
    ("sink.url", "/lake/orders"),
    ("sink.file.type", "parquet"),
];

fn flat(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    RIGHT.iter().chain(more).map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

fn judged(more: &[(&str, &str)]) -> Judged {
    let flat = flat(more);
    let plugin = Plugin::named(&flat["connector.class"], &[&LAKE]).expect("a class that there is");
    judge(&flat, &plugin, &[&LAKE], &Vault)
}

/// The keys that are wrong.
fn wrong(more: &[(&str, &str)]) -> Vec<String> {
    let judged = judged(more);
    assert_eq!(judged.connector.is_none(), !judged.wrong.is_empty(), "{judged:?}");
    judged.wrong.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn a_flat_configuration_says_what_a_file_would_say() {
    let more = [("flush.rows", "500"), ("flush.age", "5s"), ("model.unknown", "keep"), ("model.lineage", "false")];
    let connector = judged(&more).connector.expect("it is right");
    assert_eq!(connector.topics, ["commerce.orders", "commerce.carts"]);
    assert_eq!((connector.flush.rows, connector.flush.age), (500, Duration::from_secs(5)));
    assert_eq!((connector.model.columns.len(), connector.model.lineage), (2, false));
    let sink = connector.sink.as_ref().expect("the class says which");
    assert_eq!((sink.kind.as_str(), &sink.settings["file"]["type"]), ("object_store", &"parquet".into()));
    assert_eq!(*connector.flat, flat(&more), "it is kept as it was written");
}

#[test]
fn topics_are_named_or_are_those_of_a_pattern_of_whole_names() {
    let of = |pattern: &str| {
        let mut flat = flat(&[("topics.regex", pattern)]);
        flat.remove("topics");
        let plugin = Plugin::named(LAKE_CLASS, &[&LAKE]).expect("a class that there is");
        judge(&flat, &plugin, &[&LAKE], &Vault)
    };
    let connector = of("commerce[.](orders|carts)").connector.expect("it is right");
    let pattern = connector.topics_pattern.expect("it was given");
    let read = |name: &str| pattern.is_match(name);
    assert!(read("commerce.orders") && !read("commerce.orders.dead") && !read("xcommerce.carts"));
    assert_eq!(connector.topics, [""; 0]);
    for wrong in ["commerce(", "(?=a)b", ""] {
        assert_eq!(of(wrong).wrong.first().map(|(key, _)| key.as_str()), Some("topics.regex"), "{wrong}");
    }
    assert_eq!(wrong(&[("topics.regex", "commerce.*")]).len(), 1, "both say what is read");
}

#[test]
fn merchants_have_a_class_of_their_own() {
    let mut more =
        vec![("connector.class", "MerchantsSink"), ("merchant.header", "store"), ("unknown_merchants", "default")];
    more.push(("sink.type", "object_store"));
    let routing = judged(&more).connector.expect("it is right").routing.expect("it has merchants");
    assert_eq!(routing.unknown, UnknownMerchants::Default);
}

#[test]
fn connects_own_keys_keep_their_meaning() {
    let dead = ("errors.deadletterqueue.topic.name", "orders.dead");
    let letters = |more: &[(&str, &str)]| judged(more).connector.expect("it is right").dead_letters.expect("a topic");
    assert_eq!((letters(&[dead]).topic.as_str(), letters(&[dead]).percent_max), ("orders.dead", 10));
    assert_eq!(letters(&[dead, ("errors.tolerance", "all")]).percent_max, 100);
    assert_eq!(letters(&[dead, ("errors.tolerance", "none")]).percent_max, 0);
    assert_eq!(letters(&[dead, ("errors.tolerance", "all"), ("dead_letters.percent_max", "5")]).percent_max, 5);
    let kept = [
        ("tasks.max", "8"),
        ("errors.log.enable", "true"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("consumer.override.fetch.min.bytes", "1"),
        ("consumer.override.auto.offset.reset", "earliest"),
        ("transforms", ""),
    ];
    assert_eq!(wrong(&kept), [""; 0]);
    for refused in [
        ("errors.tolerance", "all"),
        ("errors.tolerance", "most"),
        ("value.converter", "io.confluent.connect.avro.AvroConverter"),
        ("value.converter.schemas.enable", "true"),
        ("consumer.override.isolation.level", "read_uncommitted"),
        ("consumer.override.auto.offset.reset", "latest"),
        ("consumer.override.group.id", "mine"),
        ("transforms", "mask"),
        ("connector", "orders"),
    ] {
        assert_eq!(wrong(&[refused]), [refused.0], "{refused:?}");
    }
}

#[test]
fn every_mistake_is_told_at_the_key_that_was_written_or_left_out() {
    for (key, text) in [
        ("flush.rows", "many"),
        ("flush.age", "soon"),
        ("flsh.age", "5s"),
        ("format", "avro"),
        ("model.columns", "[{name: id, type: BIGNT}]"),
        ("model.columns", "[{name: id"),
        ("model.lineage", "maybe"),
        ("name", "no spaces"),
        ("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t", "deep"),
        ("topics", "a,,b c"),
        ("sink.file.compression", "rar"),
        ("sink.secret_access_key", "hunter2"),
        ("sink.url", "${env:PLACE}"),
        ("errors.deadletterqueue.topic.name", "commerce.orders"),
    ] {
        let judged = judged(&[(key, text)]);
        assert!(judged.wrong.iter().any(|(at, _)| at == key), "{key}: {text}: {judged:?}");
        assert!(!judged.problems().contains("hunter2"), "{judged:?}");
    }
    let without = |key: &str| {
        let mut flat = flat(&[]);
        flat.remove(key);
        let plugin = Plugin::named(LAKE_CLASS, &[&LAKE]).expect("a class that there is");
        judge(&flat, &plugin, &[&LAKE], &Vault).wrong.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(without("topics"), ["topics"]);
    assert_eq!(without("name"), ["name"]);
    assert_eq!(without("model.columns"), ["model"]);
    assert_eq!(wrong(&[("flush", "5s"), ("flush.age", "5s")]).len(), 1, "one is a part of the other");
}

#[test]
fn a_file_is_shown_in_the_flat_form_and_what_is_shown_says_the_same_again() {
    let folder = Folder::new();
    folder.write(
        "connectors/all.yaml",
        "connector: all\ntopics: [ a, b ]\nformat: json\nmodel:\n  columns:\n    - { name: id, type: BIGINT }\n\
         flush: { rows: 500 }\nsink: { type: object_store, url: /lake/all, access_key: \"${env:KEY}\" }\n",
    );
    let config = folder.right();
    for connector in &config.connectors {
        let plugin = Plugin::named(&connector.flat["connector.class"], &[&LAKE]).expect("a class that there is");
        let again = judge(&connector.flat, &plugin, &[&LAKE], &Vault);
        let again = again.connector.unwrap_or_else(|| panic!("{}: {:?}", connector.name, connector.flat));
        assert_eq!((&again.name, &again.topics, &again.flush), (&connector.name, &connector.topics, &connector.flush));
        assert_eq!((&again.model, &again.routing), (&connector.model, &connector.routing));
        let settings = |one: &outflow_config::ConnectorConfig| one.sink.as_ref().map(|sink| sink.settings.clone());
        assert_eq!(settings(&again), settings(connector));
    }
    let all = config.connectors.iter().find(|one| one.name == "all").expect("it was written");
    assert_eq!((all.flat["topics"].as_str(), all.flat["sink.access_key"].as_str()), ("a,b", "${env:KEY}"));
}

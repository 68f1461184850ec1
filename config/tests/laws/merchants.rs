use crate::common::{Folder, LAKE, merchant};
use outflow_config::{Environment, Loader, Only, Problem, Start, StartOffset};
use std::{fs, io, path::Path, time::Duration};

const RIGHT: &str = "merchant: \"1001\"
deliver:
  - connector: orders
    sink:
      type: object_store
      url: /lake/1001
      access_key_id: \"${env:KEY}\"
    flush: { age: 5m }
    schedule: hourly
    start: latest
    only: { path: event.type, in: [ paid, created, paid ] }
    without: [ customer.phone ]
    hash: [ email ]
";

/// What is said after one replacement in a file that is right.
fn after(from: &str, to: &str) -> Vec<Problem> {
    assert!(RIGHT.contains(from), "{from}");
    let folder = Folder::new();
    folder.write("merchants/1001.yaml", RIGHT.replacen(from, to, 1));
    folder.refused()
}

fn one(from: &str, to: &str) -> Problem {
    let problems = after(from, to);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let problem = problems.into_iter().next().expect("just counted");
    assert!(problem.allowed.is_some() || problem.hint.is_some(), "{problem}");
    assert_eq!(problem.file, "merchants/1001.yaml");
    problem
}

#[test]
fn a_merchant_says_which_records_and_where() {
    let folder = Folder::new();
    folder.write("merchants/1001.yaml", RIGHT);
    let config = folder.right();
    let [merchant] = &config.merchants[..] else { panic!("{:?}", config.refused) };
    let [delivery] = &merchant.deliver[..] else { panic!("one delivery") };
    assert_eq!((merchant.id.as_ref(), delivery.connector.as_ref(), delivery.kind), ("1001", "orders", "object_store"));
    assert!(merchant.file.ends_with("merchants/1001.yaml"));
    assert_eq!(delivery.settings.as_ref(), r#"{"access_key_id":"${env:KEY}","url":"/lake/1001"}"#);
    assert_eq!(delivery.identity.0, "/lake/1001");
    let flush = delivery.flush(&config.connectors[0].flush);
    assert_eq!((flush.rows, flush.age), (100_000, Duration::from_secs(300)));
    assert_eq!((delivery.schedule, &delivery.start), (Some(3600), &Start::Latest));
    let only = Only { path: vec!["event".into(), "type".into()], values: vec!["created".into(), "paid".into()] };
    assert_eq!(delivery.only.as_deref(), Some(&only));
    assert_eq!((&delivery.without[..], &delivery.hash[..]), (&["customer.phone".into()][..], &["email".into()][..]));
}

#[test]
fn each_mistake_is_shown_where_it_stands() {
    let shown = one("schedule: hourly", "schedul: hourly").to_string();
    let expected = "error: unknown key `schedul` in `deliver[0]`
 --> merchants/1001.yaml:9:5
  |
9 |     schedul: hourly
  |     ^
  = allowed: connector, sink, flush, schedule, start, only, without, hash
  = hint: did you mean `schedule`?";
    assert_eq!(shown, expected);
    let problem = &after("url: /lake/1001", "url: \"/lake/${env:L}\"")[0];
    assert_eq!((problem.line, problem.column), (6, 12), "the sink's own complaint stands at the setting");
    let problem = one("    url: /lake/1001", "    url: /lake/1001\n      access_key: hunter2");
    assert!(problem.message.contains("under `deliver[0].sink.access_key`"), "{problem}");
    assert!(!problem.to_string().contains("hunter2"));
    assert_eq!(one("age: 5m", "age: 5").message, "`deliver[0].flush.age` can't be `5`");
    assert_eq!(one("type: object_store", "type: object_stor").hint.as_deref(), Some("did you mean `object_store`?"));
    assert_eq!(one("connector: orders", "connector: order").hint.as_deref(), Some("did you mean `orders`?"));
    assert!(one("email", "customer.emial").message.contains("`hash` names `customer.emial`"));
    assert!(one("customer.phone", "phone").message.contains("`without` names `phone`"));
    assert!(
        one("  - connector: orders\n", "  - merchant: 'x'\n    connector: orders\n").message.contains("unknown key")
    );
}

#[test]
fn an_id_is_text_or_a_whole_number() {
    let id = |written: &str| {
        let folder = Folder::new();
        folder.write("merchants/1001.yaml", RIGHT.replace("\"1001\"", written));
        folder.right().merchants.first().map(|merchant| merchant.id.to_string())
    };
    assert_eq!(id("1001").as_deref(), Some("1001"));
    assert_eq!(id("0042").as_deref(), Some("0042"));
    assert_eq!(id("Skull & Candy é").as_deref(), Some("Skull & Candy é"));
    for (written, said) in
        [("1.50", "whole number"), ("''", "can't be"), ("true", "whole number"), ("\"a\\tb\"", "can't be")]
    {
        assert!(one("\"1001\"", written).message.contains(said), "{written}");
    }
    assert!(one("\"1001\"", &"x".repeat(201)).allowed.expect("a limit").contains("1 to 200 bytes"));
    assert!(one("\"1001\"", "\"${env:ID}\"").message.contains("must be explicit"));
    assert_eq!(one("merchant: \"1001\"\n", "").message, "`merchant` is missing");
}

#[test]
fn a_schedule_divides_a_day() {
    for (written, seconds) in [("daily", 86_400), ("15m", 900), ("1d", 86_400), ("90s", 90)] {
        let folder = Folder::new();
        folder.write("merchants/1001.yaml", RIGHT.replace("hourly", written));
        assert_eq!(folder.right().merchants[0].deliver[0].schedule, Some(seconds));
    }
    for written in ["7m", "30s", "2d", "61s", "weekly", "3600", "60500ms"] {
        let problem = one("hourly", written);
        assert_eq!(problem.message, format!("`deliver[0].schedule` can't be `{written}`"));
        assert!(problem.allowed.expect("what is").contains("divide a day"));
    }
}

#[test]
fn a_start_is_a_place_in_the_topics() {
    let start = |written: &str| {
        let folder = Folder::new();
        folder.write("merchants/1001.yaml", RIGHT.replace("start: latest", written));
        folder.right().merchants[0].deliver[0].start.clone()
    };
    assert_eq!((start("start: earliest"), start("")), (Start::Earliest, Start::Latest));
    assert_eq!(start("start: { timestamp: 2026-11-01T00:00:00Z }"), Start::Timestamp(1_793_491_200_000));
    assert_eq!(start("start: { timestamp: '2026-11-01T01:00:00+01:00' }"), Start::Timestamp(1_793_491_200_000));
    let offset = StartOffset { topic: "commerce.orders".into(), partition: 0, offset: 123 };
    assert_eq!(start("start: { offset: { commerce.orders/0: 123 } }"), Start::Offsets([offset].into()));
    for written in [
        "lastest",
        "5",
        "{ timestamp: yesterday }",
        "{ offset: {} }",
        "{ offset: { commerce.orders: 1 } }",
        "{ offset: { commerce.orders/0: -1 } }",
        "{ offset: { commerce.orders/-1: 1 } }",
        "{ offset: { commerce.carts/0: 1 } }",
        "{ timestamp: 2026-11-01T00:00:00Z, offset: { commerce.orders/0: 1 } }",
    ] {
        one("start: latest", &format!("start: {written}"));
    }
}

#[test]
fn what_is_wanted_of_the_rows_is_bounded() {
    let many = (0..101).map(|index| format!("v{index}")).collect::<Vec<_>>().join(", ");
    assert!(one("[ paid, created, paid ]", &format!("[ {many} ]")).message.contains("101 values"));
    assert!(one("[ paid, created, paid ]", "[]").message.contains("0 values"));
    assert!(one("[ paid, created, paid ]", "[ 1 ]").message.contains("must be text"));
    assert_eq!(one("path: event.type, ", "").message, "`deliver[0].only.path` is missing");
    assert!(one("[ customer.phone ]", "[ id, customer, email ]").message.contains("`email`"));
    let problems = after("    hash: [ email ]\n", "");
    assert_eq!(problems, []);
    assert!(one("hash: [ email ]", "hash: [ id ]").message.contains("which is BIGINT"));
    let all = after("[ customer.phone ]\n    hash: [ email ]", "[ id, email, customer ]");
    assert!(all[0].message.contains("every column"), "{all:?}");
    let delivery = "  - { connector: orders, sink: { type: object_store, url: /a } }\n".repeat(17);
    let problem = one(&RIGHT[RIGHT.find("  - ").expect("a delivery")..], &delivery);
    assert_eq!(problem.message, "`deliver` has 17 deliveries");
}

#[test]
fn an_entry_is_refused_alone_and_what_is_around_them_refuses_all() {
    let entry = |id: &str, more: &str| {
        let sink = format!("{{ type: object_store, url: /{id} }}");
        format!("  - merchant: '{id}'\n    deliver: [ {{ connector: orders, sink: {sink}{more} }} ]\n")
    };
    let folder = Folder::new();
    let text = format!("merchants:\n{}{}{}", entry("a", ""), entry("b", ", schedule: 7m"), entry("c", ""));
    folder.write("merchants/all.yaml", &text);
    let config = folder.right();
    let ids: Vec<&str> = config.merchants.iter().map(|merchant| merchant.id.as_ref()).collect();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(config.refused.problems.len(), 1);
    assert_eq!(config.refused.problems[0].message, "`merchants[1].deliver[0].schedule` can't be `7m`");
    assert_eq!(config.refused.merchants, ["b".into()].into());
    folder.write("merchants/all.yaml", format!("{text}merchnts: []\n"));
    let config = folder.right();
    assert!(config.merchants.is_empty());
    assert_eq!(config.refused.problems.len(), 2);
    assert_eq!(config.refused.merchants.len(), 3);
}

#[test]
fn two_that_exclude_each_other_are_both_refused_and_name_each_other() {
    let folder = Folder::new();
    folder.write("merchants/a.yaml", merchant("a"));
    folder.write("merchants/b.yaml", merchant("b").replace("/lake/b", "/lake/a"));
    folder.write("merchants/c.yaml", merchant("c"));
    let problems = folder.refused();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert_eq!((problems[0].file.as_str(), problems[0].line), ("merchants/a.yaml", 3));
    assert!(problems[0].message.ends_with("deliver to the same place, also in merchants/b.yaml:3"), "{}", problems[0]);
    assert!(problems[1].message.ends_with("also in merchants/a.yaml:3"), "{}", problems[1]);
    assert_eq!(folder.right().merchants.len(), 1);
    folder.write("merchants/b.yaml", merchant("a").replace("/lake/a", "/lake/b"));
    let problems = folder.refused();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert_eq!(problems[0].message, "merchant `a` is there twice for `orders`, also in merchants/b.yaml:3");
    assert_eq!(problems[1].message, "merchant `a` is there twice for `orders`, also in merchants/a.yaml:3");
}

#[test]
fn one_merchant_may_have_several_places_but_none_twice() {
    let folder = Folder::new();
    let more = "  - { connector: orders, sink: { type: object_store, url: /lake/other } }\n";
    folder.write("merchants/a.yaml", merchant("a") + more);
    assert_eq!(folder.right().merchants[0].deliver.len(), 2);
    folder.write("merchants/a.yaml", merchant("a") + &more.replace("other", "a"));
    let problems = folder.refused();
    assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_connector_without_merchants_takes_none_and_its_place_is_its_own() {
    let folder = Folder::new();
    let plain = "connector: carts\ntopics: [carts]\nformat: json\nmodel: { columns: [{ name: id, type: INT }] }\n\
                 sink: { type: object_store, url: /lake/carts }\n";
    folder.write("connectors/carts.yaml", plain);
    folder.write("merchants/a.yaml", merchant("a").replace("orders", "carts"));
    assert!(folder.refused()[0].message.contains("does not say where a record's merchant stands"));
    folder.write("merchants/a.yaml", merchant("a").replace("/lake/a", "/lake/carts"));
    assert_eq!(folder.refused()[0].message, "connector `carts` itself delivers to the same place");
}

#[test]
fn a_ninth_schedule_of_a_connector_is_refused() {
    let folder = Folder::new();
    for (index, schedule) in ["1m", "2m", "3m", "4m", "5m", "6m", "8m", "9m", "10m", "1m"].iter().enumerate() {
        let text = merchant(&format!("m{index}")).replace("orders,", &format!("orders, schedule: {schedule},"));
        folder.write(&format!("merchants/{index}.yaml"), text);
    }
    let problems = folder.refused();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(
        (problems[0].file.as_str(), problems[0].allowed.as_deref()),
        ("merchants/8.yaml", Some("1m, 2m, 3m, 4m, 5m, 6m, 8m, 9m"))
    );
}

/// Knows one variable.
struct One;

impl Environment for One {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "KNOWN").then(|| "hunter2".to_owned())
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[test]
fn a_secret_that_is_not_there_refuses_its_merchant_alone() {
    let folder = Folder::new();
    folder.write("merchants/a.yaml", RIGHT.replace("${env:KEY}", "${file:/run/secrets/1001}"));
    folder.write("merchants/b.yaml", RIGHT.replace("${env:KEY}", "${env:KNOWN}").replace("1001", "1002"));
    let loaded = Loader::new(folder.path().join("outflow.yaml"), &[&LAKE], &One).load().expect("it starts");
    let config = loaded.config;
    assert_eq!((config.merchants.len(), config.merchants[0].id.as_ref()), (1, "1002"));
    assert!(config.refused.problems[0].message.contains("${file:/run/secrets/1001} can't be read"));
    assert_eq!(config.refused.problems[0].line, 7);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_can_not_be_told_is_a_connectors_where_connectors_are() {
    let folder = Folder::new();
    folder.write("merchants/a.yaml", merchant("a"));
    for text in ["", "{{{", "- a", "some: thing", "\u{0}"] {
        folder.write("merchants/b.yaml", text);
        let config = folder.right();
        assert_eq!((config.merchants.len(), config.refused.problems.len(), config.refused.files.len()), (1, 1, 1));
        folder.write("connectors/b.yaml", text);
        folder.load().expect_err("it may be a connector");
        folder.remove("connectors/b.yaml");
    }
    folder.write("merchants/b.yaml", [b'a', 0xff]);
    assert_eq!(folder.refused()[0].message, "the file is not UTF-8 at its byte 2");
    folder.write("merchants/b.yaml", vec![b' '; (1 << 20) + 1]);
    assert!(folder.refused()[0].message.contains("more than 1048576 bytes"));
    folder.remove("merchants/b.yaml");
    fs::create_dir(folder.path().join("merchants/b.yaml")).expect("made");
    assert!(folder.refused()[0].message.contains("can't be read"));
}

#[test]
fn a_wrong_connector_refuses_the_start_wherever_it_stands() {
    let folder = Folder::new();
    folder.write("merchants/a.yaml", "connector: carts\ntopics: [ carts\n");
    assert!(folder.load().expect_err("a connector").to_string().contains("this is not YAML"));
    folder.write("merchants/a.yaml", "conector: carts\ntopics: [ carts ]\n");
    assert!(folder.load().expect_err("a connector").to_string().contains("did you mean `connector`?"));
    folder.remove("connectors/orders.yaml");
    folder.write("merchants/a.yaml", merchant("a"));
    assert!(folder.load().expect_err("no connector").to_string().contains("no connector file was found"));
}

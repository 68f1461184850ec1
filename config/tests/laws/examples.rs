use crate::common::{LAKE, Vault};
use outflow_api::{SqlType, UnknownFields};
use outflow_config::{ClusterConfig, Config, MerchantKey, Start, UnknownMerchants, load};
use std::{fs, path::Path, time::Duration};

fn example(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    load(&path, outflow_registry::sinks(), &Vault).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_example_loads() {
    let config = example("kafka.yaml");
    let names: Vec<&str> = config.connectors.iter().map(|connector| connector.name.as_str()).collect();
    let all = ["carts", "orders", "orders_local", "orders_now", "page_views", "page_views_insights"];
    assert_eq!(names, all);
    let orders = &config.connectors[1];
    assert_eq!(orders.model.columns[0].path, ["id"]);
    assert_eq!(orders.model.columns[1].path, ["created_at"]);
    assert_eq!(orders.model.columns[2].sql_type, SqlType::Decimal { precision: 18, scale: 2 });
    assert_eq!(orders.model.columns[3].path, ["customer", "email"]);
    assert_eq!(orders.model.columns[4].path, ["extra", "old.id"]);
    assert_eq!(orders.model.unknown, UnknownFields::Keep);
    assert_eq!((orders.flush.rows, orders.flush.bytes), (100_000, 64 << 20));
    let carts = &config.connectors[0];
    assert_eq!(carts.flush.age, Duration::from_secs(300));
    assert!(carts.model.lineage);
}

#[test]
fn the_embedded_worker_needs_nothing_but_a_folder() {
    let Config { worker, connectors, .. } = example("embedded.yaml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/outflow-data");
    assert_eq!(worker.cluster, ClusterConfig::Local { folder });
    assert_eq!((worker.group.as_str(), worker.shards, worker.memory), ("outflow", 4, 512 << 20));
    assert_eq!(worker.alarms.retention_left.as_secs(), 24 * 60 * 60);
    assert_eq!(worker.journal.topic, "outflow-journal");
    assert_eq!(connectors.len(), 1);
}

#[test]
fn the_marketplace_delivers_to_its_merchants() {
    let config = example("marketplace.yaml");
    assert_eq!(config.refused.problems, []);
    let ids: Vec<&str> = config.merchants.iter().map(|merchant| merchant.id.as_ref()).collect();
    assert_eq!(ids, ["2001", "2002", "3001", "3002", "3003", "1001"]);
    let [live, hourly] = &config.merchants[5].deliver[..] else { panic!("two deliveries") };
    assert_eq!((live.connector.as_ref(), live.schedule, &live.start), ("orders", None, &Start::Earliest));
    assert_eq!(live.flush(&config.connectors[0].flush).age, Duration::from_secs(300));
    assert_eq!((hourly.connector.as_ref(), hourly.schedule), ("page_views", Some(3600)));
    assert_eq!(hourly.without[..], ["visitor.ip".into()]);
    assert_eq!(hourly.hash[..], ["visitor.id".into()]);
    let routing = config.connectors[1].routing.as_ref().expect("by merchant");
    assert_eq!(routing.merchant, MerchantKey::Path(vec!["shop".to_owned(), "id".to_owned()]));
    assert_eq!(routing.unknown, UnknownMerchants::Default);
}

#[test]
fn secrets_are_filled_in_late_and_never_printed() {
    let config = example("kafka.yaml");
    assert!(!format!("{config:?}").contains("hunter2"));
    let ClusterConfig::Kafka(kafka) = &config.worker.cluster else { panic!("the example reads from Kafka") };
    let properties = kafka.resolve(&Vault).expect("the vault answers all");
    assert_eq!(properties["sasl.password"], "hunter2");
    assert_eq!(properties["sasl.mechanism"], "SCRAM-SHA-512");
    assert_eq!(properties["security.protocol"], "SASL_SSL");
    assert_eq!(properties["ssl.ca.location"], "/etc/ssl/kafka-ca.pem");
    assert_eq!(properties["socket.keepalive.enable"], "true");
    let sink = config.connectors[1].sink.as_ref().expect("it has one");
    let orders = outflow_config::resolve(&sink.settings, &Vault).expect("the vault answers all");
    assert_eq!(orders["secret_access_key"], "hunter2");
}

#[test]
fn a_reference_that_nobody_answers_is_shown_at_its_line() {
    struct Empty;
    impl outflow_config::Environment for Empty {
        fn variable(&self, _: &str) -> Option<String> {
            None
        }
        fn file(&self, _: &Path) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kafka.yaml");
    let problems = load(&path, &[&LAKE], &Empty).expect_err("nothing is there");
    let user = problems.0.iter().find(|problem| problem.message.contains("KAFKA_USER")).expect("it is missing");
    assert_eq!((user.line, user.column), (7, 15));
    assert!(problems.to_string().contains("${file:/run/secrets/kafka} can't be read"));
}

#[test]
fn files_of_one_folder_must_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    let connector = "connector: one\ntopics: [outflow-journal]\nformat: json\n\
                     model: { columns: [{ name: id, type: INT }] }\n\
                     flush: { bytes: 2GiB }\nsink: { type: object_store, url: /lake }\n";
    write("outflow.yaml", "local: { folder: data }\nconfig: [ 'c*.yaml' ]\n");
    write("c1.yaml", connector);
    write("c2.yaml", connector);
    let shown = || load(&folder.path().join("outflow.yaml"), &[&LAKE], &Vault).expect_err("wrong").to_string();
    let text = shown();
    assert!(text.contains("connector `one` is there twice, first in"), "{text}");
    assert!(text.contains("deliver to the same place"), "{text}");
    assert!(text.contains("more than half of `memory`"), "{text}");
    assert!(text.contains("uses our own topic `outflow-journal`"), "{text}");
    write("outflow.yaml", "local: { folder: data }\nconfig: [ other/*.yaml ]\n");
    assert!(shown().contains("no connector file was found"));
    write("outflow.yaml", "local: { folder: data }\nconfig: [ other.yaml ]\n");
    assert!(shown().contains("there is no such file"));
    fs::remove_file(folder.path().join("outflow.yaml")).expect("removed");
    assert!(shown().contains("the file can't be read"));
}

use crate::common::LAKE;
use outflow_config::{ConnectorConfig, Pinned, connector, pinned};
use serde_json::json;

const ORDERS: &str = "connector: orders
topics: [commerce.orders]
format: json
model:
  columns:
    - { name: id, type: int, required: true }
    - { name: email, type: VARCHAR, path: customer.email }
  unknown: keep
sink:
  type: object_store
  url: s3://lake/orders
  secret_access_key: \"${env:OLD}\"
  file: { compression: zstd }
";

fn read(text: &str) -> ConnectorConfig {
    connector("orders.yaml", text, &[&LAKE]).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn what_is_pinned_is_canonical_and_holds_no_reference() {
    let expected = concat!(
        r#"{"connector":"orders","format":"json","model":{"columns":["#,
        r#"{"name":"id","path":["id"],"required":true,"type":"BIGINT"},"#,
        r#"{"name":"email","path":["customer","email"],"required":false,"type":"VARCHAR"}],"#,
        r#""lineage":true,"unknown":"keep"},"sink":{"settings":{"file":{"compression":"zstd"},"#,
        r#""url":"s3://lake/orders"},"type":"object_store"},"topics":["commerce.orders"],"version":1}"#
    );
    assert_eq!(pinned(&read(ORDERS)).to_string(), expected);
}

#[test]
fn how_rows_get_there_changes_no_pin() {
    let other = ORDERS.replace("${env:OLD}", "${file:/new}").replace("sink:", "flush: { age: 5s }\nsink:");
    assert_eq!(pinned(&read(&other)), pinned(&read(ORDERS)));
    let bucket = ORDERS.replace("s3://lake", "s3://sea");
    assert_ne!(pinned(&read(&bucket)), pinned(&read(ORDERS)));
}

#[test]
fn an_older_revision_is_opened_with_todays_credentials() {
    let old = Pinned::read(&pinned(&read(ORDERS))).expect("just written");
    let ConnectorConfig { name, topics, format, model, sink, .. } = read(ORDERS);
    assert_eq!((&old.connector, &old.topics, old.format, &old.model), (&name, &topics, format, &model));
    assert_eq!(old.kind, sink.kind);
    let today = ORDERS.replace("${env:OLD}", "${env:NEW}").replace("lake", "sea").replace("zstd", "snappy");
    let settings = old.settings_with(&read(&today).sink.settings);
    let expected = json!({
        "url": "s3://lake/orders", "secret_access_key": "${env:NEW}", "file": { "compression": "zstd" },
    });
    assert_eq!(settings, expected);
}

#[test]
fn a_pin_of_another_version_is_refused() {
    let mut newer = pinned(&read(ORDERS));
    newer["version"] = 2.into();
    assert!(Pinned::read(&newer).expect_err("newer").to_string().contains("newer version"));
    assert!(Pinned::read(&json!({})).is_err());
}

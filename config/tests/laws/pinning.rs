use crate::common::LAKE;
use outflow_config::{ConnectorConfig, Only, Place, Shape, connector, pinned, pinned_place, pinned_shape};
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
    let shape = Shape::read(&pinned(&read(ORDERS))).expect("just written");
    let old = Place::read(&pinned(&read(ORDERS))).expect("just written");
    let ConnectorConfig { name, topics, format, model, routing, sink, .. } = read(ORDERS);
    assert_eq!(shape, Shape { connector: name, topics, format, model, routing });
    assert_eq!(old.kind, sink.expect("it has one").kind);
    let today = ORDERS.replace("${env:OLD}", "${env:NEW}").replace("lake", "sea").replace("zstd", "snappy");
    let settings = old.settings_with(&read(&today).sink.expect("it has one").settings);
    let expected = json!({
        "url": "s3://lake/orders", "secret_access_key": "${env:NEW}", "file": { "compression": "zstd" },
    });
    assert_eq!(settings, expected);
}

#[test]
fn a_pin_of_another_version_is_refused() {
    let mut newer = pinned(&read(ORDERS));
    newer["version"] = 3.into();
    assert!(Shape::read(&newer).expect_err("newer").to_string().contains("newer version"));
    assert!(Place::read(&newer).expect_err("newer").to_string().contains("newer version"));
    assert!(Shape::read(&json!({})).is_err());
    assert!(Place::read(&json!({})).is_err());
}

#[test]
fn whose_a_record_is_belongs_to_the_pinned_shape() {
    let merchants = |written: &str| {
        let (before, _) = ORDERS.split_once("sink:").expect("it has one");
        read(&format!("{before}{written}"))
    };
    let by_path = merchants("merchant: { path: shop.id }");
    let shape = pinned_shape(&by_path);
    assert_eq!(pinned(&by_path), shape, "there is no place but the merchants'");
    assert_eq!(shape["version"], 2, "an older program must not take all records for one lane's");
    assert_eq!((&shape["merchant"], &shape["unknown_merchants"]), (&json!({ "path": ["shop", "id"] }), &json!("drop")));
    assert!(Place::read(&shape).is_err());
    for written in ["merchant: { key: true }", "merchant: { header: store }", "merchant: { path: shop.id }"] {
        let connector = merchants(written);
        let read = Shape::read(&pinned_shape(&connector)).expect("just written");
        assert_eq!(read.routing, connector.routing);
        assert_eq!(pinned_shape(&connector) == shape, connector.routing == by_path.routing);
    }
}

#[test]
fn a_deliverys_place_is_pinned_without_references_and_in_one_spelling() {
    let only = Only { path: vec!["type".to_owned()], values: vec!["b".to_owned(), "a".to_owned()] };
    let settings = r#"{"url":"s3://a/b","access_key":"${env:KEY}"}"#;
    let place = pinned_place("object_store", settings, Some(&only), &["y", "x"], &["z"]);
    let expected = concat!(
        r#"{"hash":["z"],"only":{"in":["a","b"],"path":["type"]},"#,
        r#""sink":{"settings":{"url":"s3://a/b"},"type":"object_store"},"version":2,"without":["x","y"]}"#
    );
    assert_eq!(place.to_string(), expected);
    let read = Place::read(&place).expect("just written");
    assert_eq!((read.without, read.hash), (vec!["x".to_owned(), "y".to_owned()], vec!["z".to_owned()]));
    assert_eq!(read.only.expect("it is there").values, ["a", "b"]);
    let bare = pinned_place("object_store", settings, None, &[""; 0], &[""; 0]);
    let bare = Place::read(&bare).expect("just written");
    assert_eq!(
        bare.settings_with(&json!({ "url": "s3://c", "access_key": "${env:NEW}" })),
        json!({ "url": "s3://a/b", "access_key": "${env:NEW}" })
    );
}

//! The demo's orders and their model.

use outflow_api::{
    Column, Model, Offset, RecordBlock, RowSlice, Rows, SqlType, TopicId, TopicPartition, UnknownFields,
};
use outflow_demo::{CONNECTORS, Events, Kind};
use serde_json::Value;
use std::sync::Arc;

const NOW_MS: i64 = 1_795_766_400_000;

pub fn texts(count: usize) -> Vec<String> {
    let mut events = Events::new(7, 300);
    let mut texts = Vec::new();
    while texts.len() < count {
        let mut text = Vec::new();
        if events.append(NOW_MS, &mut text).kind == Kind::Order {
            texts.push(String::from_utf8(text).expect("events are text"));
        }
    }
    texts
}

/// As they come: orders, carts, page views.
pub fn events(count: usize) -> Vec<String> {
    let mut events = Events::new(7, 300);
    let event = |_| {
        let mut text = Vec::new();
        events.append(NOW_MS, &mut text);
        String::from_utf8(text).expect("events are text")
    };
    (0..count).map(event).collect()
}

pub fn rows(texts: &[String]) -> Rows {
    let mut block = RecordBlock::new(TopicPartition { topic: TopicId(1), partition: 3 });
    for (offset, text) in texts.iter().enumerate() {
        block.push(Offset(offset as i64), NOW_MS, None, Some(text.as_bytes()), []);
    }
    let rows = 0..block.len();
    Rows::new(vec![RowSlice { block: Arc::new(block), rows }])
}

/// As the demo's connector declares it.
pub fn model() -> Model {
    let (_, text) = CONNECTORS.iter().find(|(name, _)| *name == "orders.yaml").expect("the demo has orders");
    let connector: Value = serde_saphyr::from_str(text).expect("the demo's file is YAML");
    let columns = connector["model"]["columns"].as_array().expect("a list").iter().map(|column| {
        let name = column["name"].as_str().expect("a name");
        Column {
            name: name.to_owned(),
            sql_type: SqlType::parse(column["type"].as_str().expect("a type")).expect("a known type"),
            path: column["path"].as_str().unwrap_or(name).split('.').map(str::to_owned).collect(),
            required: column["required"] == true,
            hashed: Vec::new(),
        }
    });
    Model { columns: columns.collect(), unknown: UnknownFields::Ignore, lineage: true, skipped: Vec::new() }
}

/// Twenty leaves, lineage among them.
pub fn narrow() -> Model {
    let without = ["customer", "billing_address", "shipping_address", "line_items", "payment", "coupons", "attributes"];
    let none: [&str; 0] = [];
    model().filtered(&without, &none).expect("the demo has these columns")
}

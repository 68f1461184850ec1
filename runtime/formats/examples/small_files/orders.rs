//! The demo's orders and their model.

use outflow_api::{Model, Offset, RecordBlock, RowSlice, Rows, TopicId, TopicPartition};
use outflow_demo::{Events, Kind, orders_model};
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

/// Twenty leaves, lineage among them.
pub fn narrow() -> Model {
    let without = ["customer", "billing_address", "shipping_address", "line_items", "payment", "coupons", "attributes"];
    let none: [&str; 0] = [];
    orders_model().filtered(&without, &none).expect("the demo has these columns")
}

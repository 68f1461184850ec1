use crate::{
    load::SETTINGS,
    merchants::folder_of,
    producer::{self, ANSWER_LIMIT},
    visible::Visible,
    workload::{events, happened_at},
};
use outflow_demo::Events;
use outflow_rig::Kafka;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::path::{Path, PathBuf};

/// A merchant who gets an event now and then, in one partition: who sees it in his folder knows how far the worker is.
pub struct Probe {
    producer: BaseProducer,
    events: Events,
    topic: String,
    partition: i32,
    merchant: u32,
    folder: PathBuf,
    seen: Visible,
    pub sent: u64,
}

impl Probe {
    pub fn new(kafka: &Kafka, topic: &str, partition: i32, merchant: u32, lake: &Path) -> Probe {
        let producer = producer::producer(kafka, &SETTINGS);
        let (topic, folder) = (topic.to_owned(), folder_of(lake, merchant));
        Probe { producer, events: events(1), topic, partition, merchant, folder, seen: Visible::default(), sent: 0 }
    }

    /// # Panics
    /// If the broker does not take it.
    pub fn send(&mut self) {
        let mut event = Vec::new();
        self.events.append(happened_at(self.sent), &mut event);
        let (key, event) = (self.merchant.to_string(), sold_by(self.merchant, &event));
        let record = BaseRecord::to(&self.topic).partition(self.partition).key(key.as_bytes()).payload(&event);
        producer::send(&self.producer, record);
        self.producer.flush(ANSWER_LIMIT).expect("the broker answers");
        self.sent += 1;
    }

    /// Rows in the folder.
    pub fn visible(&mut self) -> u64 {
        self.seen.rows(&self.folder)
    }
}

/// The event, as one of another merchant.
fn sold_by(merchant: u32, event: &[u8]) -> Vec<u8> {
    const FIELD: &str = "\"store_id\":";
    let text = std::str::from_utf8(event).expect("events are JSON");
    let (before, rest) = text.split_once(FIELD).expect("every event says whose it is");
    let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("{before}{FIELD}{merchant}{rest}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn an_event_of_another_merchant_is_the_same_but_for_its_merchant() {
        let mut event = Vec::new();
        events(1).append(happened_at(0), &mut event);
        let mut wanted: Value = serde_json::from_slice(&event).expect("events are JSON");
        wanted["store_id"] = 77.into();
        assert_eq!(serde_json::from_slice::<Value>(&sold_by(77, &event)).expect("events are JSON"), wanted);
    }
}

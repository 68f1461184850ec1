use super::{column::Text, time};
use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use outflow_api::{RecordView, TopicId};
use std::{collections::HashMap, sync::Arc};

/// Where each row came from. Topics are plain text: every writer and reader takes it, and Parquet makes a dictionary
/// of it by itself.
pub struct Lineage<'a> {
    names: &'a HashMap<TopicId, String>,
    topics: Text,
    partitions: Vec<i64>,
    offsets: Vec<i64>,
    /// The broker's time; none where the broker has none.
    timestamps: Vec<Option<i64>>,
}

impl<'a> Lineage<'a> {
    pub fn new(names: &'a HashMap<TopicId, String>) -> Lineage<'a> {
        let (topics, partitions, offsets, timestamps) = (Text::new(), Vec::new(), Vec::new(), Vec::new());
        Lineage { names, topics, partitions, offsets, timestamps }
    }

    pub fn append(&mut self, record: &RecordView) {
        let topic = self.names.get(&record.partition.topic);
        let name = topic.expect("a decoder is made with the names of all topics that its rows come from");
        self.topics.push_with(|out| out.extend_from_slice(name.as_bytes()));
        self.partitions.push(i64::from(record.partition.partition));
        self.offsets.push(record.offset.0);
        let known = (record.timestamp_ms >= 0).then_some(record.timestamp_ms);
        self.timestamps.push(known.and_then(time::from_epoch_millis));
    }

    pub fn finish(self) -> Vec<ArrayRef> {
        let timestamps = TimestampMicrosecondArray::from(self.timestamps).with_timezone("UTC");
        let (partitions, offsets) = (Int64Array::from(self.partitions), Int64Array::from(self.offsets));
        vec![Arc::new(self.topics.finish()), Arc::new(partitions), Arc::new(offsets), Arc::new(timestamps)]
    }
}

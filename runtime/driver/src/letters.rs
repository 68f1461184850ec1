use bytes::Bytes;
use outflow_api::{DeadLetter, LaneId, RecordView, Shard};

/// A larger record's dead letter goes without its value: it says where the record is, and a dead letter topic with
/// usual limits takes it.
pub(crate) const VALUE_BYTES_MAX: usize = 512 * 1024;

pub(crate) struct Cause<'a> {
    pub code: &'a str,
    pub message: &'a str,
}

/// In the terms of Kafka Connect, so that the tools people have for its dead letters work.
pub(crate) fn letter(
    to: &str,
    (connector, lane): (&str, LaneId),
    shard: Shard,
    topic: &str,
    record: &RecordView<'_>,
    cause: &Cause<'_>,
) -> DeadLetter {
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let value = record.value.filter(|value| value.len() <= VALUE_BYTES_MAX);
    let mut headers: Vec<(String, Bytes)> = record
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Bytes::copy_from_slice(value?))))
        .collect();
    let mut add = |name: &str, value: Bytes| headers.push((format!("__connect.errors.{name}"), value));
    add("topic", text(topic));
    add("partition", text(&record.partition.partition.to_string()));
    add("offset", text(&record.offset.0.to_string()));
    add("connector.name", text(connector));
    add("lane.id", text(&lane.0.to_string()));
    add("task.id", text(&shard.0.to_string()));
    add("stage", text("VALUE_CONVERTER"));
    add("class.name", text("outflow"));
    add("exception.class.name", text(cause.code));
    add("exception.message", text(cause.message));
    if value.is_none() && record.value.is_some() {
        add("value.omitted.bytes", text(&record.value.map_or(0, <[u8]>::len).to_string()));
    }
    DeadLetter {
        topic: to.to_owned(),
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(Bytes::copy_from_slice),
        value: value.map(Bytes::copy_from_slice),
        headers,
    }
}

pub(crate) fn letter_bytes(letter: &DeadLetter) -> usize {
    let headers: usize = letter.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    64 + headers + letter.key.as_ref().map_or(0, Bytes::len) + letter.value.as_ref().map_or(0, Bytes::len)
}

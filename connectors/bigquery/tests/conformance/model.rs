//! Records of a declared model, sealed as the engine seals them.

use outflow_api::{
    BatchId, Column, Decoder, Generation, Incarnation, LaneId, Model, Offset, OffsetRange, Origin, RecordBlock,
    RowSlice, Rows, SealedBatch, Shard, SinkContext, SqlType, TopicId, TopicPartition, UnknownFields,
};
use outflow_bigquery::DESCRIPTOR;
use outflow_formats::JsonDecoder;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

const PARTITION: TopicPartition = TopicPartition { topic: TopicId(7), partition: 2 };
const TIMESTAMP_MS: i64 = 1_790_000_000_123;
static BATCHES: AtomicU32 = AtomicU32::new(1);

/// Names and types; none of them required.
pub fn decoder(columns: &[(&str, &str)]) -> JsonDecoder {
    let column = |(name, sql_type): &(&str, &str)| Column {
        name: (*name).to_owned(),
        sql_type: SqlType::parse(sql_type).expect("a valid type"),
        path: vec![(*name).to_owned()],
        required: false,
        hashed: Vec::new(),
    };
    let columns = columns.iter().map(column).collect();
    let model = Model { columns, unknown: UnknownFields::Ignore, lineage: true, skipped: Vec::new() };
    JsonDecoder::new(&model, &[(PARTITION.topic, "orders".to_owned())]).expect("a valid model")
}

pub fn context(settings: &Value, columns: &[(&str, &str)]) -> SinkContext {
    let identity = (DESCRIPTOR.identity)(settings).expect("the settings are right");
    SinkContext { identity, decoder: Arc::new(decoder(columns)) }
}

/// Under an id of its own. At offsets from 0 on.
pub fn sealed(columns: &[(&str, &str)], records: &[String]) -> SealedBatch {
    sealed_from(0, columns, records)
}

/// At offsets from this one on.
pub fn sealed_from(first: i64, columns: &[(&str, &str)], records: &[String]) -> SealedBatch {
    let mut block = RecordBlock::new(PARTITION);
    for (at, record) in records.iter().enumerate() {
        block.push(Offset(first + at as i64), TIMESTAMP_MS, None, Some(record.as_bytes()), []);
    }
    let count = records.len();
    let rows = Rows::new(vec![RowSlice { block: Arc::new(block), rows: 0..count }]);
    let decoded = decoder(columns).decode(&rows);
    assert_eq!(decoded.rejected, []);
    let seq = BATCHES.fetch_add(1, Ordering::Relaxed);
    let (incarnation, shard, generation, lane) = (Incarnation(0xbeef), Shard(1), Generation(1), LaneId(1));
    SealedBatch {
        id: BatchId { incarnation, shard, generation, lane, seq },
        connector: "types".into(),
        batches: decoded.batches,
        origins: vec![Origin {
            topic: "orders".into(),
            partition: PARTITION,
            covers: OffsetRange::new(Offset(first), Offset(first + count as i64)),
            rows: 0..count,
        }],
        timestamp_ms_max: TIMESTAMP_MS,
    }
}

//! Batches of any columns, made of records as Kafka has them.

use crate::open;
use outflow_api::{
    BatchId, Column, CommitOutcome, CommitPermit, Decoder, Fault, Generation, Incarnation, LaneId, Model, Offset,
    OffsetRange, Origin, RecordBlock, RowSlice, Rows, SealedBatch, Shard, Sink, SinkContext, SqlType, TopicId,
    TopicPartition, UnknownFields,
};
use outflow_formats::JsonDecoder;
use outflow_postgres::DESCRIPTOR;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

const TOPIC: TopicId = TopicId(7);
const TIMESTAMP_MS: i64 = 1_790_000_000_123;
static BATCHES: AtomicU32 = AtomicU32::new(1);

/// Names and types of the columns that a model has.
#[derive(Clone, Copy)]
pub struct Shape<'a>(pub &'a [(&'a str, &'a str)]);

impl Shape<'_> {
    fn decoder(&self) -> JsonDecoder {
        let columns = self.0.iter().map(|(name, sql_type)| Column {
            name: (*name).to_owned(),
            sql_type: SqlType::parse(sql_type).expect("a valid type"),
            path: vec![(*name).to_owned()],
            required: false,
            hashed: Vec::new(),
        });
        let (columns, unknown) = (columns.collect::<Vec<_>>(), UnknownFields::Ignore);
        let model = Model { columns, unknown, lineage: true, skipped: Vec::new() };
        JsonDecoder::new(&model, &[(TOPIC, "orders".to_owned())]).expect("a valid model")
    }

    pub fn open(&self, settings: &Value) -> Arc<dyn Sink> {
        let identity = (DESCRIPTOR.identity)(settings).expect("the settings are right");
        open(settings, SinkContext { identity, decoder: Arc::new(self.decoder()) })
    }

    /// Under an id that no other batch has.
    pub fn sealed(&self, records: &[impl AsRef<str>]) -> SealedBatch {
        self.sealed_from(0, 0, records)
    }

    /// Of records that lie there one behind the other.
    pub fn sealed_from(&self, partition: u32, first: i64, records: &[impl AsRef<str>]) -> SealedBatch {
        let (partition, count) = (TopicPartition { topic: TOPIC, partition }, records.len());
        let mut block = RecordBlock::new(partition);
        for (offset, record) in (first..).zip(records) {
            block.push(Offset(offset), TIMESTAMP_MS, None, Some(record.as_ref().as_bytes()), []);
        }
        let decoded = self.decoder().decode(&Rows::new(vec![RowSlice { block: Arc::new(block), rows: 0..count }]));
        assert_eq!(decoded.rejected, []);
        let (incarnation, shard, lane) = (Incarnation(0xbeef), Shard(1), LaneId(1));
        let seq = BATCHES.fetch_add(1, Ordering::Relaxed);
        SealedBatch {
            id: BatchId { incarnation, shard, generation: Generation(1), lane, seq },
            connector: "types".into(),
            batches: decoded.batches,
            origins: vec![Origin {
                topic: "orders".into(),
                partition,
                covers: OffsetRange::new(Offset(first), Offset(first + count as i64)),
                rows: 0..count,
            }],
            timestamp_ms_max: TIMESTAMP_MS,
        }
    }

    pub async fn try_deliver(&self, settings: &Value, batch: &SealedBatch) -> Result<CommitOutcome, Fault> {
        let sink = self.open(settings);
        let encoded = sink.encode(batch).expect("it can be encoded");
        let prepared =
            sink.prepare(batch.id, &encoded).await.expect("nothing is sent").prepared().expect("no row is refused");
        sink.commit(&CommitPermit::mint(prepared), Some(&encoded)).await
    }

    /// Answers the rows that the destination can never take.
    pub async fn deliver(&self, settings: &Value, batch: &SealedBatch) -> Vec<(usize, String)> {
        let committed = self.try_deliver(settings, batch).await.expect("the server takes it");
        assert_eq!(committed, CommitOutcome::Committed);
        self.open(settings).encode(batch).expect("it can be encoded").rejected
    }
}

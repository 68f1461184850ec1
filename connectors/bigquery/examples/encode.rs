//! Rows a second that one core encodes, without a network: `cargo run --release -p outflow-bigquery --example encode`.
//! Orders of the demo, with their line items, as columns already: decoding is every sink's.

use outflow_api::{
    BatchId, Decoder, Generation, Incarnation, LaneId, Offset, OffsetRange, Origin, RecordBlock, RowSlice, Rows,
    SealedBatch, Shard, SinkContext, TopicId, TopicPartition,
};
use outflow_bigquery::DESCRIPTOR;
use outflow_demo::{Events, Kind, orders_model};
use outflow_formats::JsonDecoder;
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};

const PARTITION: TopicPartition = TopicPartition { topic: TopicId(1), partition: 0 };
const ROWS: usize = 100_000;
const ROUNDS: usize = 7;
const AT_MS: i64 = 1_790_000_000_000;

/// As in the daemon.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let topics = [(PARTITION.topic, Kind::Order.topic().to_owned())];
    let decoder = Arc::new(JsonDecoder::new(&orders_model(), &topics).expect("the demo's model is valid"));
    let (batch, decoder): (SealedBatch, Arc<dyn Decoder>) = (sealed(&decoder), decoder);
    measure("append", json!({}), &batch, &decoder);
    measure("upsert", json!({ "mode": "upsert", "key": "order_id", "version": "created_at" }), &batch, &decoder);
}

fn measure(mode: &str, changes: Value, batch: &SealedBatch, decoder: &Arc<dyn Decoder>) {
    let mut settings = json!({ "project": "shop", "dataset": "lake", "table": "orders", "anonymous": true });
    settings.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    let (identity, decoder) = ((DESCRIPTOR.identity)(&settings).expect("they say where"), Arc::clone(decoder));
    let sink = (DESCRIPTOR.open)(&settings, SinkContext { identity, decoder }).expect("they are right");
    let mut seconds: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let encoded = sink.encode(batch).expect("orders can be encoded");
        seconds.push(started.elapsed().as_secs_f64());
        assert_eq!(encoded.rejected, []);
        if seconds.len() == 1 {
            let (bytes, requests) = (encoded.held_bytes(), encoded.pieces.len());
            println!("{mode}: {ROWS} orders, {requests} requests, {} bytes a row", bytes / ROWS);
        }
    }
    seconds.sort_by(f64::total_cmp);
    println!("{mode}: {:.0} rows/s on one core (median of {ROUNDS})", ROWS as f64 / seconds[ROUNDS / 2]);
}

fn sealed(decoder: &JsonDecoder) -> SealedBatch {
    let (mut events, mut buffer) = (Events::new(11, 1_000), Vec::new());
    let mut block = RecordBlock::new(PARTITION);
    let mut count = 0;
    while count < ROWS {
        buffer.clear();
        if events.append(AT_MS, &mut buffer).kind == Kind::Order {
            block.push(Offset(count as i64), AT_MS, None, Some(&buffer), []);
            count += 1;
        }
    }
    let decoded = decoder.decode(&Rows::new(vec![RowSlice { block: Arc::new(block), rows: 0..count }]));
    assert_eq!(decoded.rejected, []);
    let (incarnation, shard, generation, lane) = (Incarnation(1), Shard(0), Generation(1), LaneId(1));
    SealedBatch {
        id: BatchId { incarnation, shard, generation, lane, seq: 1 },
        connector: "orders".into(),
        batches: decoded.batches,
        origins: vec![Origin {
            topic: Kind::Order.topic().into(),
            partition: PARTITION,
            covers: OffsetRange::new(Offset(0), Offset(count as i64)),
            rows: 0..count,
        }],
        timestamp_ms_max: AT_MS,
    }
}

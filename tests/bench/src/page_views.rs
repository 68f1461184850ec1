use crate::workload::{MERCHANTS, events, happened_at};
use outflow_api::{
    BatchId, Column, Decoder, Generation, Incarnation, LaneId, Model, Offset, OffsetRange, Origin, RecordBlock,
    RowSlice, Rows, SealedBatch, Shard, SqlType, TopicId, TopicPartition, UnknownFields,
};
use outflow_demo::Kind;
use outflow_formats::JsonDecoder;
use std::{ops::Range, sync::Arc};

const TOPIC: TopicId = TopicId(1);
/// As the demo's connector of page views has them: name, type, path.
const COLUMNS: [(&str, &str, &str); 16] = [
    ("event_id", "VARCHAR", "event_id"),
    ("store_id", "BIGINT", "store_id"),
    ("created_at", "TIMESTAMP", "created_at"),
    ("event_type", "VARCHAR", "event_type"),
    ("visitor_id", "VARCHAR", "visitor_id"),
    ("session_id", "VARCHAR", "session_id"),
    ("page_type", "VARCHAR", "page.type"),
    ("url", "VARCHAR", "page.url"),
    ("title", "VARCHAR", "page.title"),
    ("referrer", "VARCHAR", "page.referrer"),
    ("product", "STRUCT<product_id BIGINT, sku VARCHAR, name VARCHAR, price DECIMAL(18,2)>", "product"),
    ("device", "STRUCT<type VARCHAR, user_agent VARCHAR>", "device"),
    ("geo", "STRUCT<country VARCHAR, region VARCHAR, city VARCHAR>", "geo"),
    ("load_ms", "BIGINT", "load_ms"),
    ("scroll_depth", "DOUBLE", "scroll_depth"),
    ("logged_in", "BOOLEAN", "logged_in"),
];

/// The model of page views, with lineage.
pub fn decoder() -> JsonDecoder {
    let columns = COLUMNS.map(|(name, sql_type, path)| Column {
        name: name.to_owned(),
        sql_type: SqlType::parse(sql_type).expect("a valid type"),
        path: path.split('.').map(str::to_owned).collect(),
        required: false,
        hashed: Vec::new(),
    });
    let model = Model { columns: columns.into(), unknown: UnknownFields::Ignore, lineage: true, skipped: Vec::new() };
    JsonDecoder::new(&model, &[(TOPIC, "bench.views".to_owned())]).expect("a valid model")
}

/// The first so many page views, one batch behind the other.
pub fn sealed(wanted: u64, batch_rows: usize) -> Vec<SealedBatch> {
    let (mut events, mut buffer, decoder) = (events(MERCHANTS), Vec::new(), decoder());
    let (mut batches, mut taken) = (Vec::new(), 0);
    while taken < wanted {
        let mut block = RecordBlock::new(TopicPartition { topic: TOPIC, partition: 0 });
        let first = taken;
        while taken < wanted && ((taken - first) as usize) < batch_rows {
            buffer.clear();
            let at = happened_at(events.number());
            if events.append(at, &mut buffer).kind == Kind::PageView {
                block.push(Offset(taken as i64), at, None, Some(&buffer), []);
                taken += 1;
            }
        }
        batches.push(seal(&decoder, block, first..taken, batches.len() as u32 + 1));
    }
    batches
}

fn seal(decoder: &JsonDecoder, block: RecordBlock, offsets: Range<u64>, seq: u32) -> SealedBatch {
    let count = (offsets.end - offsets.start) as usize;
    let partition = TopicPartition { topic: TOPIC, partition: 0 };
    let decoded = decoder.decode(&Rows::new(vec![RowSlice { block: Arc::new(block), rows: 0..count }]));
    assert!(decoded.rejected.is_empty(), "an event does not fit its model");
    let (incarnation, shard, generation, lane) = (Incarnation(1), Shard(0), Generation(1), LaneId(1));
    SealedBatch {
        id: BatchId { incarnation, shard, generation, lane, seq },
        connector: "views".into(),
        batches: decoded.batches,
        origins: vec![Origin {
            topic: "bench.views".into(),
            partition,
            covers: OffsetRange::new(Offset(offsets.start as i64), Offset(offsets.end as i64)),
            rows: 0..count,
        }],
        timestamp_ms_max: happened_at(0),
    }
}

use arrow_array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use outflow_api::{
    BatchId, Decoded, Decoder, Generation, Identity, Incarnation, LaneId, Offset, OffsetRange, Origin, Rows,
    SealedBatch, Shard, SinkContext, TopicId, TopicPartition,
};
use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Seeded numbers: one line replays a failure.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }

    /// One time in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// Every object is small.
    Small,
    /// About 300 KB in one shop and little in the others.
    Large,
}

/// A batch by what makes it up: it can be sealed again at any time, the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    pub id: BatchId,
    pub rows: Range<i64>,
    /// Of these, those that the destination refused.
    pub without: BTreeSet<i64>,
}

pub const INCARNATION: Incarnation = Incarnation(0xfeed_beef);
const DAY_MICROS: i64 = 86_400_000_000;
const START_MICROS: i64 = 1_790_000_000_000_000;
static BATCHES: AtomicU32 = AtomicU32::new(1);

impl Batch {
    /// With an id and rows that no other batch of this process has.
    pub fn new(size: Size, generation: u64) -> Batch {
        let seq = BATCHES.fetch_add(1, Ordering::Relaxed);
        let (shard, lane) = (Shard(3), LaneId(7));
        let id = BatchId { incarnation: INCARNATION, shard, generation: Generation(generation), lane, seq };
        let first = i64::from(seq) * 1_000_000;
        let count = if size == Size::Small { 40 } else { 6_000 };
        Batch { id, rows: first..first + count, without: BTreeSet::new() }
    }

    /// The rows that are left of this batch, under an id of their own.
    pub fn anew(&self) -> Batch {
        Batch { id: Batch::new(Size::Small, self.id.generation.0).id, ..self.clone() }
    }

    /// In their order.
    pub fn numbers(&self) -> Vec<i64> {
        self.rows.clone().filter(|row| !self.without.contains(row)).collect()
    }

    pub fn sealed(&self) -> SealedBatch {
        let numbers = self.numbers();
        let (first, second) = numbers.split_at(numbers.len() / 3);
        let partition = TopicPartition { topic: TopicId(1), partition: 0 };
        SealedBatch {
            id: self.id,
            connector: "orders".into(),
            batches: vec![columns(first), columns(second)],
            origins: vec![Origin {
                topic: "commerce.orders".into(),
                partition,
                covers: OffsetRange::new(Offset(self.rows.start), Offset(self.rows.end)),
                rows: 0..numbers.len(),
            }],
            timestamp_ms_max: START_MICROS / 1_000,
        }
    }
}

/// `row BIGINT, shop VARCHAR, at TIMESTAMP, text VARCHAR` and the lineage columns.
pub fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("row", DataType::Int64, false),
        Field::new("shop", DataType::Utf8, true),
        Field::new("at", time(), true),
        Field::new("text", DataType::Utf8, true),
        Field::new("_topic", DataType::Utf8, false),
        Field::new("_partition", DataType::Int64, false),
        Field::new("_offset", DataType::Int64, false),
        Field::new("_timestamp", time(), true),
    ]))
}

fn columns(rows: &[i64]) -> RecordBatch {
    let numbers = || rows.iter().copied();
    let shop = |row: i64| match row % 100 {
        7 => None,
        13 => Some("a/b ü"),
        42 => Some("north"),
        _ => Some("main"),
    };
    // Of little use to a compressor, so that many rows make a large object.
    let text = |row: i64| {
        let mut random = Random::new(row as u64);
        Some((0..3).map(|_| format!("{:016x}", random.number())).collect::<String>())
    };
    let time = |row: i64| START_MICROS + (row % 2) * DAY_MICROS;
    let times = || TimestampMicrosecondArray::from_iter_values(numbers().map(time)).with_timezone("UTC");
    let count = rows.len();
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers())),
        Arc::new(StringArray::from_iter(numbers().map(shop))),
        Arc::new(times()),
        Arc::new(StringArray::from_iter(numbers().map(text))),
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n("commerce.orders", count))),
        Arc::new(Int64Array::from_value(0, count)),
        Arc::new(Int64Array::from_iter_values(numbers())),
        Arc::new(times()),
    ];
    RecordBatch::try_new(schema(), columns).expect("the columns fit the schema")
}

/// For `SinkDescriptor::open`.
pub fn context(identity: Identity) -> SinkContext {
    SinkContext { identity, decoder: Arc::new(Model) }
}

struct Model;

impl Decoder for Model {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn decode(&self, _: &Rows) -> Decoded {
        Decoded { batches: Vec::new(), rejected: Vec::new() }
    }
}

/// Whether the batch is visible: all of its rows, each once, and none that was refused; or none of them.
///
/// # Panics
/// If it is anything between or beyond, with what was found.
pub fn settled(visible: &std::collections::BTreeMap<String, Vec<i64>>, batch: &Batch) -> bool {
    let mut seen: Vec<i64> = visible.values().flatten().copied().filter(|row| batch.rows.contains(row)).collect();
    seen.sort_unstable();
    let names: Vec<&String> = visible.keys().filter(|name| name.contains(&batch.id.to_string())).collect();
    if seen.is_empty() {
        assert!(names.is_empty(), "{names:?} hold no row");
        return false;
    }
    let expected = batch.numbers();
    let (found, wanted) = (seen.len(), expected.len());
    assert!(seen == expected, "{}: {found} rows in {names:?}, not {wanted} once each", batch.id);
    true
}

/// No row of the batch is there; of its objects there may be what has no rows.
pub fn is_gone(visible: &std::collections::BTreeMap<String, Vec<i64>>, batch: &Batch) -> bool {
    !visible.values().flatten().any(|row| batch.rows.contains(row))
}

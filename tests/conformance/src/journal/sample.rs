//! Transactions for the laws.

use bytes::Bytes;
use outflow_api::{
    BatchId, DeadLetter, Generation, Incarnation, LaneId, LaneRecord, LedgerEvent, LedgerRow, Offset, OffsetRange,
    Parked, Pending, Ranges, Revision, RevisionRecord, Shard, TopicId, TopicPartition, Transaction,
};
use std::collections::BTreeMap;

pub const DEAD_LETTER_TOPIC: &str = "laws.dead-letters";

pub fn at(topic: u128, partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicId(topic), partition }
}

pub fn range(start: i64, next: i64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(next))
}

pub fn batch(shard: Shard, seq: u32) -> BatchId {
    BatchId { incarnation: Incarnation(0xabc), shard, generation: Generation(17), lane: LaneId(4), seq }
}

/// Says something, and something else for each `next`.
pub fn small_lane(next: i64) -> LaneRecord {
    LaneRecord { next: BTreeMap::from([(at(7, 0), Offset(next))]), ..LaneRecord::default() }
}

/// With every field set, `u64::MAX` and the open end among them.
pub fn full_lane(shard: Shard, token: Vec<u8>) -> LaneRecord {
    let mut owed = Ranges::of(range(10, 20));
    owed.insert(range(40, 41));
    owed.insert(OffsetRange::new(Offset(500), Offset::OPEN));
    let pending = Pending {
        id: batch(shard, u32::MAX),
        token: Bytes::from(token),
        covers: BTreeMap::from([(at(7, 0), range(1_000, 2_000)), (at(u128::MAX, u32::MAX), range(0, i64::MAX - 1))]),
        version: Revision(u64::MAX),
        rejected: BTreeMap::from([(at(7, 0), vec![Offset(1_001), Offset(1_999)])]),
        rows: u64::MAX,
        rows_hash: u64::MAX,
    };
    LaneRecord {
        next: BTreeMap::from([(at(7, 0), Offset(2_000)), (at(7, 1), Offset::ZERO)]),
        owed: BTreeMap::from([(at(7, 2), owed)]),
        pending: Some(pending),
        spent: BTreeMap::from([(at(7, 2), vec![Offset(11), Offset(12), Offset(40)])]),
        parked: Some(Parked { code: "no-such-bucket".to_owned(), hint: "Bücket – gone".to_owned() }),
    }
}

pub fn lanes(all: impl IntoIterator<Item = (u32, Option<LaneRecord>)>) -> Transaction {
    let lanes = all.into_iter().map(|(lane, record)| (LaneId(lane), record)).collect();
    Transaction { lanes, ..Transaction::default() }
}

pub fn revision(number: u64, content: Vec<u8>) -> RevisionRecord {
    let starts = BTreeMap::from([(at(7, 0), Offset(number as i64 * 10)), (at(8, 3), Offset::ZERO)]);
    RevisionRecord { revision: Revision(number), starts, content: Bytes::from(content) }
}

pub fn ledger_row(shard: Shard, seq: u32) -> LedgerRow {
    let covers = BTreeMap::from([(at(7, 0), range(0, 100))]);
    let event = match seq % 3 {
        0 => LedgerEvent::Decided { covers, version: Revision(1), rows: 98, rejected: 2, rows_hash: 9 },
        1 => LedgerEvent::Revealed,
        _ => LedgerEvent::Lost,
    };
    LedgerRow { batch: batch(shard, seq), event }
}

pub fn dead_letter(shard: Shard, number: u32) -> DeadLetter {
    DeadLetter {
        topic: DEAD_LETTER_TOPIC.to_owned(),
        timestamp_ms: 1_700_000_000_000,
        key: number.is_multiple_of(2).then(|| Bytes::from_static(b"key")),
        value: Some(Bytes::from(format!("{}/{number}", shard.0))),
        headers: vec![("__connect.errors.topic".to_owned(), Bytes::from_static(b"orders"))],
    }
}

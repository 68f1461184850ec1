//! Transactions for the laws.

use bytes::Bytes;
use outflow_api::{
    BatchId, DeadLetter, Delivered, FeedId, Generation, Incarnation, LaneId, LaneRecord, LedgerEvent, LedgerRow,
    Offset, OffsetRange, Parked, Pending, Pins, Ranges, Replacing, Revision, RevisionRecord, Run, Shard, TopicId,
    TopicPartition, Track, Transaction,
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

pub fn track(feed: u32, topic: u128, partition: u32) -> Track {
    Track { feed: FeedId(feed), partition: at(topic, partition) }
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
        run: Some(Revision(8)),
        by: Pins::to(Revision(3)).reshaped(Revision(u64::MAX)),
        rejected: BTreeMap::from([(at(7, 0), vec![Offset(1_001), Offset(1_999)])]),
        rows: u64::MAX,
        rows_hash: u64::MAX,
    };
    let run = Run {
        id: Some(Revision(8)),
        by: Pins::to(Revision(3)).reshaped(Revision(u64::MAX)),
        owed: BTreeMap::from([(at(7, 2), Ranges::of(range(3, 9)))]),
        spent: BTreeMap::from([(at(7, 2), vec![Offset(4)])]),
    };
    let later = Run { id: Some(Revision(9)), spent: BTreeMap::new(), ..run.clone() };
    let mended = Run { id: None, by: Pins::OWN_OFFSETS.reshaped(Revision(9)), ..run.clone() };
    LaneRecord {
        feed: FeedId(u32::MAX),
        next: BTreeMap::from([(at(7, 0), Offset(2_000)), (at(7, 1), Offset::ZERO)]),
        owed: BTreeMap::from([(at(7, 2), owed)]),
        runs: vec![mended, run, later],
        pending: Some(pending),
        spent: BTreeMap::from([(at(7, 2), vec![Offset(11), Offset(12), Offset(40)])]),
        parked: Some(Parked { code: "no-such-bucket".to_owned(), hint: "Bücket – gone".to_owned(), held: true }),
        replacing: Some(Replacing {
            run: Revision(8),
            old: vec![
                Delivered { id: batch(shard, 1), receipt: Bytes::from_static(b"receipt") },
                Delivered { id: batch(shard, 2), receipt: Bytes::new() },
            ],
        }),
    }
}

pub fn lanes(all: impl IntoIterator<Item = (u32, Option<LaneRecord>)>) -> Transaction {
    let lanes = all.into_iter().map(|(lane, record)| (LaneId(lane), record)).collect();
    Transaction { lanes, ..Transaction::default() }
}

pub fn revision(number: u64, start: i64) -> RevisionRecord {
    let starts = BTreeMap::from([(at(7, 0), Offset(start)), (at(8, 3), Offset::ZERO)]);
    RevisionRecord { revision: Revision(number), starts }
}

pub fn ledger_row(shard: Shard, seq: u32) -> LedgerRow {
    let covers = BTreeMap::from([(at(7, 0), range(0, 100))]);
    let run = (seq > 4).then_some(Revision(3));
    let receipt = Bytes::from_static(if run.is_some() { b"receipt" } else { b"" });
    let event = match seq % 6 {
        0 => LedgerEvent::Decided { covers, version: Revision(1), run, rows: 98, rejected: 2, rows_hash: 9, receipt },
        1 => LedgerEvent::Revealed,
        2 => LedgerEvent::Lost { spent: BTreeMap::from([(at(7, 0), vec![Offset(3)])]) },
        3 => LedgerEvent::Abandoned,
        4 => LedgerEvent::Removed { run: Revision(8) },
        _ => LedgerEvent::Skipped { run, covers },
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

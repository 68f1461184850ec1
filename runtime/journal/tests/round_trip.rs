use bytes::Bytes;
use outflow_api::{
    Applied, BatchId, DeadLetter, Delivered, FeedId, Generation, Incarnation, LaneId, LaneRecord, LedgerEvent,
    LedgerRow, Offset, OffsetRange, Parked, Pending, Pins, Ranges, Replacing, Revision, RevisionRecord, Run, Shard,
    TopicId, TopicPartition, Track, Transaction,
};
use outflow_journal::{KeyValue, Replay, check, decode_ledger, encode, encode_ledger, incarnation};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use std::collections::BTreeMap;

fn partition() -> impl Strategy<Value = TopicPartition> {
    (prop_oneof![0u128..3, any::<u128>()], prop_oneof![0u32..4, any::<u32>()])
        .prop_map(|(topic, partition)| TopicPartition { topic: TopicId(topic), partition })
}

fn offset() -> impl Strategy<Value = Offset> {
    prop_oneof![0i64..1_000, any::<i64>(), Just(i64::MAX), Just(i64::MIN)].prop_map(Offset)
}

fn range() -> impl Strategy<Value = OffsetRange> {
    (offset(), offset()).prop_map(|(a, b)| OffsetRange::new(a.min(b), a.max(b)))
}

fn ranges() -> impl Strategy<Value = Ranges> {
    vec(range(), 0..4).prop_map(|all| {
        let mut ranges = Ranges::default();
        all.into_iter().for_each(|range| ranges.insert(range));
        ranges
    })
}

fn per_partition<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = BTreeMap<TopicPartition, T>> {
    btree_map(partition(), value, 0..5)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn batch() -> impl Strategy<Value = BatchId> {
    any::<(u64, u32, u64, u32, u32)>().prop_map(|(incarnation, shard, generation, lane, seq)| BatchId {
        incarnation: Incarnation(incarnation),
        shard: Shard(shard),
        generation: Generation(generation),
        lane: LaneId(lane),
        seq,
    })
}

/// Revisions count from 1.
fn named() -> impl Strategy<Value = Option<Revision>> {
    option::of((1u64..).prop_map(Revision))
}

fn pins() -> impl Strategy<Value = Pins> {
    (named(), named()).prop_map(|(whose, shape)| Pins { whose, shape })
}

fn pending() -> impl Strategy<Value = Pending> {
    let numbers = (any::<(u64, u64, u64)>(), named(), pins());
    (batch(), bytes(), per_partition(range()), per_partition(vec(offset(), 0..5)), numbers).prop_map(
        |(id, token, covers, rejected, ((version, rows, rows_hash), run, by))| Pending {
            id,
            token,
            covers,
            version: Revision(version),
            run,
            by,
            rejected,
            rows,
            rows_hash,
        },
    )
}

fn lane() -> impl Strategy<Value = LaneRecord> {
    let parked = (".{0,20}", ".{0,20}", any::<bool>()).prop_map(|(code, hint, held)| Parked { code, hint, held });
    let spent = || per_partition(vec(offset(), 0..5));
    let run = (named(), pins(), per_partition(ranges()), spent());
    let run = run.prop_map(|(id, by, owed, spent)| Run { id, by, owed, spent });
    let feed = any::<u32>().prop_map(FeedId);
    let stands = (feed, per_partition(offset()), per_partition(ranges()), vec(run, 0..3));
    let delivered = (batch(), bytes()).prop_map(|(id, receipt)| Delivered { id, receipt });
    let replacing = (any::<u64>(), vec(delivered, 0..3)).prop_map(|(run, old)| Replacing { run: Revision(run), old });
    (stands, option::of(pending()), spent(), option::of(parked), option::of(replacing)).prop_map(
        |((feed, next, owed, runs), pending, spent, parked, replacing)| LaneRecord {
            feed,
            next,
            owed,
            runs,
            pending,
            spent,
            parked,
            replacing,
        },
    )
}

fn event() -> impl Strategy<Value = LedgerEvent> {
    let decided = (per_partition(range()), any::<(u64, u64, u64, u64)>(), option::of(1u64..), bytes()).prop_map(
        |(covers, (version, rows, rejected, rows_hash), run, receipt)| LedgerEvent::Decided {
            covers,
            version: Revision(version),
            run: run.map(Revision),
            rows,
            rejected,
            rows_hash,
            receipt,
        },
    );
    let removed = any::<u64>().prop_map(|run| LedgerEvent::Removed { run: Revision(run) });
    let skipped = (option::of(1u64..), per_partition(range()))
        .prop_map(|(run, covers)| LedgerEvent::Skipped { run: run.map(Revision), covers });
    let lost = per_partition(vec(offset(), 0..4)).prop_map(|spent| LedgerEvent::Lost { spent });
    let others = [LedgerEvent::Began, LedgerEvent::Revealed, LedgerEvent::Abandoned];
    prop_oneof![decided, skipped, lost, removed, proptest::sample::select(others.to_vec())]
}

fn replay(records: &[KeyValue]) -> Result<Replay, outflow_api::Fault> {
    let mut replay = Replay::new();
    let own = incarnation(Incarnation(5));
    replay.apply(&own.key, own.value.as_deref(), 0)?;
    for record in records {
        replay.apply(&record.key, record.value.as_deref(), 1)?;
    }
    Ok(replay)
}

proptest! {
    #[test]
    fn a_transaction_is_read_as_it_was_written(
        lanes in btree_map(any::<u32>().prop_map(LaneId), lane(), 0..4),
        floors in btree_map((any::<u32>(), partition()), offset(), 0..5),
        revisions in btree_map(any::<u64>(), per_partition(offset()), 0..3),
        applied in option::of(any::<(u64, u32)>()),
    ) {
        let revisions: Vec<_> = revisions.into_iter().map(|(revision, starts)| RevisionRecord {
            revision: Revision(revision),
            starts,
        }).collect();
        let track = |((feed, partition), floor)| (Track { feed: FeedId(feed), partition }, floor);
        let floors: BTreeMap<Track, Offset> = floors.into_iter().map(track).collect();
        let applied = applied.map(|(revision, commands)| Applied { revision: Revision(revision), commands });
        let transaction = Transaction {
            lanes: lanes.iter().map(|(id, record)| (*id, Some(record.clone()))).collect(),
            floors: floors.clone(),
            revisions: revisions.clone(),
            applied,
            ..Transaction::default()
        };
        let recovered = replay(&encode(&transaction)).expect("readable").finish(Generation(3), 9);
        prop_assert_eq!(&recovered.lanes, &lanes);
        prop_assert_eq!(recovered.floors, floors);
        prop_assert_eq!(&recovered.revisions, &revisions);
        prop_assert_eq!(recovered.applied, applied.unwrap_or_default());
        prop_assert_eq!((recovered.generation, recovered.bytes_read), (Generation(3), 9));

        let gone = Transaction {
            lanes: lanes.keys().map(|id| (*id, None)).collect(),
            revisions_gone: revisions.iter().map(|record| record.revision).collect(),
            ..Transaction::default()
        };
        let both = [encode(&transaction), encode(&gone)].concat();
        let recovered = replay(&both).expect("readable").finish(Generation(3), 9);
        prop_assert!(recovered.lanes.is_empty() && recovered.revisions.is_empty());
    }

    #[test]
    fn a_ledger_row_is_read_as_it_was_written(batch in batch(), event in event()) {
        let row = LedgerRow { batch, event };
        let KeyValue { key, value } = encode_ledger(&row);
        prop_assert_eq!(decode_ledger(&key, &value.expect("no tombstone")).expect("readable"), row);
    }

    #[test]
    fn damaged_bytes_are_a_fault_and_never_a_panic(
        record in lane(),
        cut in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let transaction = Transaction { lanes: vec![(LaneId(7), Some(record))], ..Transaction::default() };
        let KeyValue { key, value } = encode(&transaction).pop().expect("one record");
        let value = value.expect("no tombstone");
        let short = KeyValue { key: key.clone(), value: Some(value[..cut.index(value.len())].to_vec()) };
        let fault = replay(&[short]).err().expect("a part of a record is no record");
        prop_assert_eq!(fault.code, "journal-unreadable");
        prop_assert!(fault.hint.contains("lane 7"), "{}", fault.hint);
        let mut changed = value;
        let at = cut.index(changed.len());
        changed[at] = with;
        let _ = replay(&[KeyValue { key, value: Some(changed) }]);
    }

    #[test]
    fn noise_is_a_fault_and_never_a_panic(
        key in vec(any::<u8>(), 0..12),
        value in option::of(vec(any::<u8>(), 0..80)),
    ) {
        let _ = replay(&[KeyValue { key: key.clone(), value: value.clone() }]);
        let _ = decode_ledger(&key, &value.unwrap_or_default());
    }
}

#[test]
fn an_unknown_version_names_the_record_and_what_is_known() {
    let fault = |key: &[u8], value: Option<&[u8]>| Replay::new().apply(key, value, 31).expect_err("unreadable");
    let newer = fault(b"F", Some(&[9, 0]));
    assert_eq!((newer.code, newer.verdict), ("journal-unreadable", outflow_api::Verdict::Halt));
    assert!(newer.hint.contains("floors at journal offset 31"), "{newer}");
    assert!(newer.hint.contains("version 9, this build knows versions 1 to 1"), "{newer}");
    assert!(fault(b"F", None).hint.contains("a tombstone"));
    assert!(fault(b"Zoo", Some(&[1])).hint.contains("kind 0x5a"));
    assert!(fault(b"I", Some(&[1; 10])).hint.contains("behind the end"));
}

#[test]
fn a_transaction_above_a_limit_is_refused_with_the_limit() {
    let lanes = |count: u32| Transaction {
        lanes: (0..count).map(|lane| (LaneId(lane), None)).collect(),
        ..Transaction::default()
    };
    assert!(check(&lanes(1_000)).is_ok());
    assert_eq!(check(&lanes(1_001)).expect_err("too many").code, "transaction-too-many-lanes");

    let parked = |bytes: usize| {
        let parked = Parked { code: String::new(), hint: "x".repeat(bytes), held: false };
        Some(LaneRecord { parked: Some(parked), ..LaneRecord::default() })
    };
    let large = |count: u32, bytes| Transaction {
        lanes: (0..count).map(|lane| (LaneId(lane), parked(bytes))).collect(),
        ..Transaction::default()
    };
    assert!(check(&large(1, 256 * 1024 - 20)).is_ok());
    let fault = check(&large(1, 256 * 1024 - 12)).expect_err("too large");
    assert_eq!(fault.code, "journal-entry-too-large");
    assert!(fault.hint.contains("lane 0") && fault.hint.contains("262144"), "{fault}");
    assert!(check(&large(16, 255 * 1024)).is_ok());
    assert_eq!(check(&large(17, 255 * 1024)).expect_err("too large").code, "transaction-too-large");

    let letter = DeadLetter {
        topic: "dead".to_owned(),
        timestamp_ms: 0,
        key: None,
        value: Some(Bytes::from(vec![0; 5 << 20])),
        headers: Vec::new(),
    };
    let fault = check(&Transaction { dead_letters: vec![letter], ..Transaction::default() }).expect_err("too large");
    assert_eq!(fault.code, "transaction-too-large");
}

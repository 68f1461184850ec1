//! Of each key its newest row, by the server's own word.

use crate::{client, settings, shape::Shape, with};
use outflow_api::{CommitOutcome, SealedBatch, Verdict};
use outflow_conformance::sink::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SHAPE: Shape<'_> =
    Shape(&[("id", "VARCHAR"), ("line", "BIGINT"), ("at", "TIMESTAMP"), ("note", "VARCHAR"), ("gone", "BOOLEAN")]);
const PARTITIONS: usize = 3;
const BATCHES: usize = 24;
const RECORDS: usize = 40;

fn mode(deleted: bool) -> Value {
    let mode = json!({ "mode": "upsert", "key": ["id", "line"], "version": "at" });
    if deleted { with(&mode, &json!({ "deleted": "gone" })) } else { mode }
}

type Key = (String, i64);
/// Version, partition, offset.
type Age = (usize, usize, i64);

/// What has been written, of all keys.
#[derive(Default)]
struct History {
    newest: BTreeMap<Key, (Age, Option<String>)>,
    ends: [i64; PARTITIONS],
}

impl History {
    fn batch(&mut self, random: &mut Random, deleted: bool) -> SealedBatch {
        let partition = random.below(PARTITIONS);
        let first = self.ends[partition];
        let records: Vec<String> = (0..RECORDS).map(|_| self.record(random, partition, deleted)).collect();
        SHAPE.sealed_from(partition as u32, first, &records)
    }

    /// Few keys and few versions: most are met again, many in one batch.
    fn record(&mut self, random: &mut Random, partition: usize, deleted: bool) -> String {
        let key = (format!("order {}", random.below(9)), random.below(3) as i64);
        let (version, offset) = (random.below(30), self.ends[partition]);
        self.ends[partition] += 1;
        let note = format!("{partition}/{offset}");
        let gone = [json!(null), json!(false), json!(true)][random.below(3)].clone();
        let (age, stays) = ((version, partition, offset), !deleted || gone != json!(true));
        let newest = self.newest.entry(key.clone()).or_insert((age, None));
        if newest.0 <= age {
            *newest = (age, stays.then(|| note.clone()));
        }
        let at = format!("2026-11-29T00:00:{version:02}Z");
        json!({ "id": key.0, "line": key.1, "at": at, "note": note, "gone": gone }).to_string()
    }

    fn visible(&self) -> BTreeMap<Key, String> {
        self.newest.iter().filter_map(|(key, (_, note))| Some((key.clone(), note.clone()?))).collect()
    }
}

async fn visible(table: &str) -> BTreeMap<Key, String> {
    let all = format!("SELECT id, line, note FROM \"{table}\"");
    let rows = client().await.query(&all, &[]).await.expect("it answers");
    let visible: BTreeMap<Key, String> = rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    assert_eq!(visible.len(), rows.len(), "a key is there twice");
    visible
}

fn shuffle<T>(random: &mut Random, all: &mut [T]) {
    (1..all.len()).rev().for_each(|last| all.swap(last, random.below(last + 1)));
}

/// Without a fault: they wait for each other, and never both.
async fn deliver_at_once(settings: &Value, batches: &[SealedBatch]) {
    let outcomes = futures::future::join_all(batches.iter().map(|batch| SHAPE.try_deliver(settings, batch))).await;
    for outcome in outcomes {
        let outcome = outcome.unwrap_or_else(|fault| panic!("{fault}"));
        assert!(matches!(outcome, CommitOutcome::Committed | CommitOutcome::AlreadyCommitted), "{outcome:?}");
    }
}

/// Half of the batches come again: as the same ones, and as those of a replay, whose ids are new.
#[tokio::test(flavor = "multi_thread")]
async fn in_any_order_at_once_and_again_the_newest_row_of_each_key_stays_and_what_is_gone_stays_gone() {
    for seed in 0..8 {
        let (mut random, mut history, deleted) = (Random::new(seed), History::default(), seed % 2 == 1);
        let table = format!("upserted {seed}");
        let settings = with(&settings(&table), &mode(deleted));
        let batches: Vec<SealedBatch> = (0..BATCHES).map(|_| history.batch(&mut random, deleted)).collect();
        let again: Vec<SealedBatch> = batches.iter().step_by(4).map(|batch| twin(batch, batch.id.seq)).collect();
        let replayed: Vec<SealedBatch> =
            batches.iter().step_by(3).map(|batch| twin(batch, batch.id.seq + 1_000_000)).collect();
        let mut all: Vec<SealedBatch> = batches.into_iter().chain(again).chain(replayed).collect();
        shuffle(&mut random, &mut all);
        deliver_at_once(&settings, &all[..1]).await;
        for some in all[1..].chunks(4) {
            deliver_at_once(&settings, some).await;
        }
        let expected = history.visible();
        println!("seed {seed}: {} of {} keys are there", expected.len(), history.newest.len());
        assert!(!deleted || expected.len() < history.newest.len(), "nothing is deleted");
        assert_eq!(visible(&table).await, expected, "seed {seed}");
    }
}

/// The same rows under another id, or once more under their own.
fn twin(batch: &SealedBatch, seq: u32) -> SealedBatch {
    let mut id = batch.id;
    id.seq = seq;
    SealedBatch {
        id,
        connector: std::sync::Arc::clone(&batch.connector),
        batches: batch.batches.clone(),
        origins: batch.origins.clone(),
        timestamp_ms_max: batch.timestamp_ms_max,
    }
}

fn record(id: Option<&str>, second: Option<usize>, note: &str, gone: bool) -> String {
    let at = second.map(|second| format!("2026-11-29T00:00:{second:02}Z"));
    json!({ "id": id, "line": 1, "at": at, "note": note, "gone": gone }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_not_brought_back_by_an_older_row_but_by_a_newer_one() {
    let settings = with(&settings("brought back"), &mode(true));
    let steps = [
        (5, "first", false, true),
        (7, "", true, false),
        (6, "late", false, false),
        (8, "new", false, true),
        (7, "", true, true),
    ];
    for (offset, (second, note, gone, is_there)) in (0..).zip(steps) {
        let batch = SHAPE.sealed_from(0, offset, &[record(Some("a"), Some(second), note, gone)]);
        SHAPE.deliver(&settings, &batch).await;
        assert_eq!(visible("brought back").await.len(), usize::from(is_there), "after {second}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_key_or_version_is_a_dead_letter() {
    let settings = with(&settings("unknown"), &mode(true));
    let long = "k".repeat(3_000);
    let records = [
        record(None, Some(1), "", false),
        record(Some("a"), None, "", false),
        record(Some("b"), Some(1), "", false),
        record(Some(&long), Some(1), "", false),
        record(Some(&long[..1_900]), Some(1), "", false),
    ];
    let rejected = SHAPE.deliver(&settings, &SHAPE.sealed(&records)).await;
    assert_eq!(rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 1, 3], "{rejected:?}");
    assert_eq!(visible("unknown").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_versions_within_a_partition_and_a_key_in_two_of_them_parks() {
    let by_offset = json!({ "mode": "upsert", "key": ["id", "line"], "version": "_offset" });
    let settings = with(&settings("by offset"), &by_offset);
    let one =
        |partition, offset, note: &str| SHAPE.sealed_from(partition, offset, &[record(Some("a"), None, note, false)]);
    SHAPE.deliver(&settings, &one(0, 9, "newer")).await;
    SHAPE.deliver(&settings, &one(0, 8, "older")).await;
    assert_eq!(visible("by offset").await.into_values().collect::<Vec<_>>(), ["newer"]);
    let fault = SHAPE.try_deliver(&settings, &one(1, 10, "elsewhere")).await.expect_err("it cannot be known");
    assert_eq!((fault.code, fault.verdict), ("key-in-two-partitions", Verdict::Park), "{fault}");
    assert_eq!(visible("by offset").await.into_values().collect::<Vec<_>>(), ["newer"]);
}

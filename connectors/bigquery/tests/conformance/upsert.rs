//! Rows replace older ones of their key, whatever order they come in, and however often.

use crate::{
    model::{context, sealed, sealed_from},
    open_with,
    server::{Server, message::Row},
    settings,
    types::{COLUMNS, records},
};
use outflow_api::{Blame, CommitOutcome, CommitPermit, Encoded, Fault, Prepared, SealedBatch, Sink, Verdict};
use outflow_conformance::sink::Random;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const MODEL: [(&str, &str); 4] = [("id", "BIGINT"), ("version", "BIGINT"), ("gone", "BOOLEAN"), ("text", "VARCHAR")];
const CALLS_MAX: usize = 50;

fn upsert(server: &Server, table: &str, changes: Value) -> Value {
    let mut all = json!({ "mode": "upsert", "key": ["id"], "version": "version", "deleted": "gone" });
    all.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    settings(server, table, all)
}

fn sink(settings: &Value) -> Arc<dyn Sink> {
    open_with(settings, context(settings, &MODEL))
}

fn record(id: i64, version: i64, is_gone: bool) -> String {
    format!(r#"{{"id": {id}, "version": {version}, "gone": {is_gone}, "text": "{id} as of {version}"}}"#)
}

/// A batch as the engine has it between its decision and its end.
struct Decided {
    permit: CommitPermit,
    encoded: Encoded,
}

async fn decided(sink: &Arc<dyn Sink>, batch: &SealedBatch) -> Decided {
    let encoded = sink.encode(batch).expect("it can be encoded");
    for _ in 0..CALLS_MAX {
        match sink.prepare(batch.id, &encoded).await {
            Ok(outcome) => {
                let prepared = outcome.prepared().expect("no row is refused");
                return Decided { permit: CommitPermit::mint(prepared), encoded };
            }
            Err(fault) => assert!(matches!(fault.verdict, Verdict::Retry { .. }), "{fault}"),
        }
    }
    panic!("it is not prepared after {CALLS_MAX} calls");
}

/// One try, for better or worse; whether it is done.
async fn try_commit(sink: &Arc<dyn Sink>, batch: &Decided) -> bool {
    match sink.commit(&batch.permit, Some(&batch.encoded)).await {
        Ok(outcome) => outcome == CommitOutcome::Committed,
        Err(fault) => {
            assert!(matches!(fault.verdict, Verdict::Retry { .. }), "a passing fault parks: {fault}");
            false
        }
    }
}

async fn deliver(sink: &Arc<dyn Sink>, batch: &SealedBatch) {
    commit(sink, &decided(sink, batch).await).await;
}

async fn commit(sink: &Arc<dyn Sink>, batch: &Decided) {
    for _ in 0..CALLS_MAX {
        if try_commit(sink, batch).await {
            return;
        }
    }
    panic!("it is not committed after {CALLS_MAX} calls");
}

/// What preparing comes to.
async fn fault(settings: &Value) -> Fault {
    let (sink, batch) = (sink(settings), sealed(&MODEL, &[record(1, 1, false)]));
    let encoded = sink.encode(&batch).expect("it can be encoded");
    sink.prepare(batch.id, &encoded).await.expect_err("the table does not fit")
}

fn texts(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row["text"].as_str().expect("each row has it")).collect()
}

/// Batches of few keys with random versions and deletions, committed in any order, again and again, by two workers,
/// while requests are lost, late, or done twice.
#[tokio::test(flavor = "multi_thread")]
async fn of_each_key_the_newest_stays_whatever_order_batches_come_in_and_however_often() {
    for seed in 0..8 {
        let server = Server::start(seed).await;
        let settings = upsert(&server, "orders", json!({ "request_bytes_max": 3_000 }));
        let (sinks, mut random) = ([sink(&settings), sink(&settings)], Random::new(seed));
        let mut newest: BTreeMap<i64, (i64, i64, bool)> = BTreeMap::new();
        let mut batches: Vec<Decided> = Vec::new();
        server.warehouse.storm.rages(true);
        for batch in 0..12_i64 {
            let mut records = Vec::new();
            for offset in batch * 50..(batch + 1) * 50 {
                let (id, version) = (random.below(20) as i64 - 10, random.below(30) as i64 - 15);
                let is_gone = random.once_in(3);
                records.push(record(id, version, is_gone));
                let there = newest.entry(id).or_insert((version, offset, is_gone));
                *there = (*there).max((version, offset, is_gone));
            }
            let rows = sealed_from(batch * 50, &MODEL, &records);
            batches.push(decided(&sinks[random.below(2)], &rows).await);
        }
        for _ in 0..60 {
            let [one, other] = [random.below(batches.len()), random.below(batches.len())];
            tokio::join!(try_commit(&sinks[0], &batches[one]), try_commit(&sinks[1], &batches[other]));
        }
        server.warehouse.storm.rages(false);
        for batch in &batches {
            commit(&sinks[0], batch).await;
        }
        let seen = server.warehouse.newest("orders");
        let mut seen = texts(&seen);
        let there = newest.iter().filter(|(_, (_, _, is_gone))| !is_gone);
        let expected: Vec<String> = there.map(|(id, (version, ..))| format!("{id} as of {version}")).collect();
        let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preparing_sends_no_row_and_a_commit_asks_for_them() {
    let server = Server::start(0).await;
    let sink = sink(&upsert(&server, "orders", json!({})));
    let batch = decided(&sink, &sealed(&MODEL, &[record(1, 1, false)])).await;
    assert_eq!(server.warehouse.state().appends, 0);
    let outcome = sink.commit(&batch.permit, None).await.expect("nothing is asked");
    assert_eq!((outcome, server.warehouse.state().appends), (CommitOutcome::NeedsRows, 0));
    assert!(try_commit(&sink, &batch).await);
    let once = server.warehouse.newest("orders");
    assert!(try_commit(&sink, &batch).await);
    assert_eq!((server.warehouse.newest("orders"), texts(&once)), (once.clone(), vec!["1 as of 1"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_greater_also_where_it_is_negative_or_extreme() {
    let all = [
        ("BIGINT", ["-9223372036854775808", "-1", "0", "1", "9223372036854775807"]),
        ("DECIMAL(18,2)", ["-9999999999999999.99", "-0.01", "0", "0.01", "9999999999999999.99"]),
        (
            "DECIMAL(38,0)",
            ["-99999999999999999999999999999999999999", "-18446744073709551616", "-1", "0", "18446744073709551616"],
        ),
        ("DATE", ["\"0001-01-01\"", "\"1969-12-31\"", "\"1970-01-01\"", "\"1970-01-02\"", "\"9999-12-31\""]),
        (
            "TIMESTAMP",
            [
                "\"0001-01-01T00:00:00Z\"",
                "\"1969-12-31T23:59:59.999999Z\"",
                "\"1970-01-01T00:00:00Z\"",
                "\"2026-01-01T00:00:00Z\"",
                "\"9999-12-31T23:59:59Z\"",
            ],
        ),
    ];
    let server = Server::start(0).await;
    for (at, (kind, versions)) in all.iter().enumerate() {
        let model = [("id", "BIGINT"), ("version", *kind), ("gone", "BOOLEAN"), ("text", "VARCHAR")];
        let settings = upsert(&server, &format!("orders_{at}"), json!({}));
        let sink = open_with(&settings, context(&settings, &model));
        for older in (0..4).rev() {
            // Key by key: the older one behind the newer, and before it.
            let row = |id: usize, at: usize| format!(r#"{{"id": {id}, "version": {}, "text": "{at}"}}"#, versions[at]);
            let records = [row(older, older + 1), row(older, older), row(older + 9, older), row(older + 9, older + 1)];
            deliver(&sink, &sealed(&model, &records)).await;
            let rows = server.warehouse.newest(&format!("orders_{at}"));
            let of = |id: usize| rows.iter().find(|row| row["id"] == id).expect("it was upserted")["text"].clone();
            let newer = json!((older + 1).to_string());
            assert_eq!([of(older), of(older + 9)], [newer.clone(), newer], "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rows_with_one_version_the_later_record_stays() {
    let server = Server::start(0).await;
    let settings = upsert(&server, "orders", json!({}));
    let sink = sink(&settings);
    let row = |text: &str| format!(r#"{{"id": 1, "version": 5, "text": "{text}"}}"#);
    let batches = [sealed_from(10, &MODEL, &[row("later")]), sealed_from(9, &MODEL, &[row("earlier")])];
    for batch in &batches {
        deliver(&sink, batch).await;
        assert_eq!(texts(&server.warehouse.newest("orders")), ["later"]);
    }
}

/// The window of the guarantee: the service forgets deletions, and then what is older counts as new.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_row_does_not_bring_a_deleted_one_back_for_two_days() {
    let server = Server::start(0).await;
    let sink = sink(&upsert(&server, "orders", json!({})));
    deliver(&sink, &sealed(&MODEL, &[record(1, 5, false)])).await;
    let gone = sealed_from(7, &MODEL, &[record(1, 6, true)]);
    deliver(&sink, &gone).await;
    assert!(server.warehouse.newest("orders").is_empty());
    let older = sealed(&MODEL, &[record(1, 5, false)]);
    deliver(&sink, &older).await;
    assert!(server.warehouse.newest("orders").is_empty());
    server.warehouse.forget_deletions();
    deliver(&sink, &older).await;
    assert_eq!(texts(&server.warehouse.newest("orders")), ["1 as of 5"], "two days later it is back");
    deliver(&sink, &gone).await;
    assert!(server.warehouse.newest("orders").is_empty(), "until its deletion comes again, too");
    deliver(&sink, &sealed_from(8, &MODEL, &[record(1, 7, false)])).await;
    assert_eq!(texts(&server.warehouse.newest("orders")), ["1 as of 7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_key_or_version_and_rows_too_large_are_dead_letters_and_the_others_arrive() {
    let server = Server::start(0).await;
    let sink = sink(&upsert(&server, "orders", json!({ "request_bytes_max": 1_000 })));
    let large = format!(r#"{{"id": 4, "version": 1, "text": "{}"}}"#, "x".repeat(2_000));
    let records = [record(1, 1, false), r#"{"version": 1}"#.into(), r#"{"id": 3}"#.into(), large, record(5, 1, false)];
    let batch = sealed(&MODEL, &records);
    let rejected = sink.encode(&batch).expect("it can be encoded").rejected;
    assert_eq!(rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(rejected[0].1.starts_with("id: without the key"), "{rejected:?}");
    assert!(rejected[1].1.starts_with("version: without a version"), "{rejected:?}");
    assert!(rejected[2].1.contains("at most 1000"), "{rejected:?}");
    deliver(&sink, &batch).await;
    assert_eq!(texts(&server.warehouse.newest("orders")), ["1 as of 1", "5 as of 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_with_its_primary_key_and_how_old_results_may_be() {
    let server = Server::start(0).await;
    let sink = sink(&upsert(&server, "orders", json!({ "key": "id, text", "max_staleness_s": 900 })));
    deliver(&sink, &sealed(&MODEL, &[record(1, 1, false)])).await;
    let body = server.warehouse.body("orders").expect("it was made");
    assert_eq!(body["tableConstraints"]["primaryKey"]["columns"], json!(["id", "text"]));
    assert_eq!(body["maxStaleness"], "0-0 0 0:15:0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_the_primary_key_parks_with_the_statement_that_mends_it_before_anything_is_decided() {
    let server = Server::start(0).await;
    let fields = json!([{ "name": "id", "type": "INT64" }, { "name": "text", "type": "STRING" }]);
    server.warehouse.make("none", fields.clone());
    server.warehouse.make_with_key("another", fields.clone(), json!(["text"]));
    server.warehouse.make_with_key("narrow", fields, json!(["ID"]));
    let parks = async |table: &str, changes: Value, code: &str, hint: &str| {
        let settings = upsert(&server, table, changes);
        let fault = fault(&settings).await;
        assert_eq!((fault.verdict, fault.blame, fault.code), (Verdict::Park, Blame::Merchant, code), "{fault}");
        assert!(fault.hint.contains(hint), "{fault}");
        let seen = sink(&settings).examine().await.into_iter().find_map(|finding| finding.result.err());
        assert_eq!(seen.expect("a check sees it, too").code, code);
    };
    parks("none", json!({}), "primary-key-missing", "ADD PRIMARY KEY (id) NOT ENFORCED").await;
    parks("another", json!({}), "primary-key-differs", "is (text), and the setting `key` names (id)").await;
    parks("narrow", json!({ "add_columns": false }), "column-missing", "add version, gone").await;
    parks("missing", json!({ "create": false }), "table-missing", "create: true").await;
    assert_eq!(server.warehouse.state().appends, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_loses_its_key_or_is_dropped_is_looked_at_again() {
    let server = Server::start(0).await;
    let settings = upsert(&server, "orders", json!({}));
    let sink = sink(&settings);
    deliver(&sink, &sealed(&MODEL, &[record(1, 1, false)])).await;
    let batch = decided(&sink, &sealed_from(1, &MODEL, &[record(2, 1, false)])).await;
    server.warehouse.drop_table("orders");
    let fault = sink.commit(&batch.permit, Some(&batch.encoded)).await.expect_err("it is gone");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "table-missing"), "{fault}");
    server.warehouse.make("orders", json!([{ "name": "id", "type": "INT64" }]));
    let fault = sink.commit(&batch.permit, Some(&batch.encoded)).await.expect_err("it has no key");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "primary-key-missing"), "{fault}");
    server.warehouse.drop_table("orders");
    assert!(try_commit(&sink, &batch).await, "it is made again");
    assert_eq!(texts(&server.warehouse.newest("orders")), ["2 as of 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_goes_in_protobuf_as_it_is_with_its_extremes() {
    let server = Server::start(0).await;
    let settings = settings(&server, "types", json!({ "mode": "upsert", "key": ["number"], "version": "_timestamp" }));
    let sink = open_with(&settings, context(&settings, &COLUMNS));
    let batch = sealed(&COLUMNS, &records());
    let rejected = sink.encode(&batch).expect("it can be encoded").rejected;
    assert_eq!(rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1], "a row without a key");
    deliver(&sink, &batch).await;
    let rows = server.warehouse.newest("types");
    let of = |number: i64| {
        let mut row = rows.iter().find(|row| row["number"] == number).expect("it was upserted").clone();
        row.retain(|name, _| !name.starts_with("_kafka"));
        Value::Object(row)
    };
    let usual = json!({
        "number": 7, "ratio": 0.1, "yes": true, "name": "Zoë \"q\" \\ 🛒", "day": 20_784,
        "at": 1_795_816_799_123_456_i64, "price": "12.500000000", "exact": "0.00000000000000000001",
        "tags": ["a", "ü\""], "item": { "sku": "x", "sizes": [3, 4] },
        "lines": [{ "sku": "a", "price": "1.50" }, { "price": "-0.01" }],
        "extra": [{ "key": "k", "value": "1.00000000000000000000" }, { "key": "n" }],
        "raw": "{\"b\": [1, {\"c\": \"d\"}]}",
    });
    assert_eq!(of(7), usual);
    let lowest = json!({
        "number": i64::MIN, "ratio": f64::MIN, "yes": false, "name": "", "day": -719_162,
        "at": -62_135_596_800_000_000_i64, "price": "-99999999999999999999999999999.999999999",
        "exact": "-999999999999999999.99999999999999999999", "item": {}, "raw": "\"text\"",
    });
    assert_eq!(of(i64::MIN), lowest);
    let highest = json!({
        "number": i64::MAX, "ratio": 5e-324, "day": 2_932_896, "at": 253_402_300_799_999_999_i64,
        "price": "0.000000001", "exact": "999999999999999999.99999999999999999999", "item": {},
        "raw": "[null, true, -0.5]",
    });
    assert_eq!(of(i64::MAX), highest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_another_mode_is_not_committed_in_this_one() {
    let server = Server::start(0).await;
    let rows = sealed(&MODEL, &[record(1, 1, false)]);
    let (append, upsert) = (sink(&settings(&server, "orders", json!({}))), sink(&upsert(&server, "now", json!({}))));
    let prepared = decided(&append, &rows).await;
    let as_if = |there: &Prepared, from: &str, to: &str| {
        let token = String::from_utf8(there.token.to_vec()).expect("JSON").replace(from, to);
        CommitPermit::mint(Prepared { id: there.id, token: token.into_bytes().into() })
    };
    let permit = as_if(prepared.permit.prepared(), "lake/orders", "lake/now");
    let fault = upsert.commit(&permit, Some(&prepared.encoded)).await.expect_err("of pending streams");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "other-mode"), "{fault}");
    let decided = decided(&upsert, &rows).await;
    let permit = as_if(decided.permit.prepared(), "lake/now", "lake/orders");
    let fault = append.commit(&permit, Some(&decided.encoded)).await.expect_err("of changes");
    assert_eq!((fault.verdict, fault.code), (Verdict::Park, "other-mode"), "{fault}");
}

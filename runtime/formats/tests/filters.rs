//! A filtered model against the model that it was made of: what is left out is gone, what is hashed is the hash of what
//! was there, and all the rest is as it was.

mod common;

use arrow_array::{Array, RecordBatch, StringArray, StructArray, cast::AsArray};
use common::{batch, decode, decoder, model, reject};
use outflow_api::{Column, Decoder, Model, UnknownFields};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NONE: [&str; 0] = [];

fn shop() -> Model {
    let columns = [
        "id! BIGINT",
        "email=customer.email VARCHAR",
        "customer STRUCT<phone VARCHAR, age BIGINT>",
        "items ARRAY<STRUCT<sku VARCHAR, note STRUCT<text VARCHAR>, n BIGINT>>",
        "by_name MAP<VARCHAR, STRUCT<secret VARCHAR>>",
        "note VARCHAR",
    ];
    Model { unknown: UnknownFields::Keep, lineage: true, ..model(&columns) }
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hashes(texts: &StringArray) -> Vec<Option<String>> {
    texts.iter().map(|text| text.map(hex)).collect()
}

fn texts(texts: &StringArray) -> Vec<Option<String>> {
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> &'b dyn Array {
    batch.column_by_name(name).expect("the column is there").as_ref()
}

fn items(batch: &RecordBatch) -> &StructArray {
    column(batch, "items").as_list::<i32>().values().as_struct()
}

#[test]
fn a_hash_is_that_of_the_text_without_its_escapes_and_null_stays_null() {
    let model = model(&["a VARCHAR", "b VARCHAR"]).filtered(&NONE, &["a"]).expect("a column");
    let batch =
        batch(&model, &[r#"{"a":"abc","b":"abc"}"#, r#"{"a":"\u0061b\u0063"}"#, r#"{"a":""}"#, r#"{"a":null}"#]);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let found: Vec<_> = column(&batch, "a").as_string::<i32>().iter().collect();
    assert_eq!(found, [Some(abc), Some(abc), Some(nothing), None]);
    assert_eq!(column(&batch, "b").as_string::<i32>().value(0), "abc");
    assert_eq!(reject(&model, r#"{"a":1}"#), ("wrong-type", "field a: VARCHAR expected, a number found".into()));
}

#[test]
fn what_is_left_out_is_neither_kept_nor_rejected_nor_looked_at() {
    let record = r#"{"id":1,"customer":7,"c\u0075stomer":{"email":5},"note":"x","more":true}"#;
    let without = ["email", "customer", "note"];
    let keeps = shop().filtered(&without, &NONE).expect("columns");
    let kept = batch(&keeps, &[record]);
    assert_eq!(column(&kept, "_unknown").as_string::<i32>().value(0), r#"{"more":true}"#);
    let rejects = Model { unknown: UnknownFields::Reject, ..keeps };
    assert_eq!(reject(&rejects, record), ("unknown-field", "field more: no column is read from it".into()));
    assert_eq!(batch(&rejects, &[&record.replace(r#","more":true"#, "")]).num_rows(), 1);
    assert_eq!(reject(&rejects, r#"{"id":1,"customer":{"email":}}"#).0, "not-json");
    assert_eq!(batch(&shop().filtered(&["id"], &NONE).expect("a column"), &["{}"]).num_rows(), 1);
}

#[test]
fn a_model_whose_hash_leads_nowhere_is_refused() {
    let refused = |sql_type: &str, path: &[&str]| {
        let mut model = model(&[&format!("a {sql_type}")]);
        model.columns[0].hashed = vec![path.iter().map(|name| (*name).to_owned()).collect()];
        outflow_formats::JsonDecoder::new(&model, &[]).expect_err("refused").hint
    };
    assert!(refused("BIGINT", &[]).contains("no VARCHAR"));
    assert!(refused("ARRAY<VARCHAR>", &[]).contains("no VARCHAR"));
    assert!(refused("STRUCT<x VARCHAR>", &["y"]).contains("no VARCHAR at \"y\""));
}

#[test]
fn many_short_texts_that_grow_to_hashes_do_not_outgrow_a_column() {
    let model = model(&["l ARRAY<STRUCT<p VARCHAR>>"]).filtered(&NONE, &["l.p"]).expect("a field");
    let record = format!(r#"{{"l":[{}{{}}]}}"#, r#"{"p":""},"#.repeat(1_000_000));
    let records = vec![record.as_bytes(); 10];
    let decoded = decode(&model, &records);
    assert!(decoded.batches.len() > 1 && decoded.rejected.is_empty());
    assert_eq!(decoded.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
}

fn any_text() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 4 => any::<String>().prop_map(Value::from)]
}

/// Fits [`shop`], with fields that it does not know at every level.
fn any_order() -> impl Strategy<Value = Value> {
    let item = (any_text(), any_text(), any::<i64>(), any::<bool>()).prop_map(|(sku, text, n, whole)| {
        let note = if whole { json!({ "text": text, "by": "x" }) } else { Value::Null };
        json!({ "sku": sku, "note": note, "n": n, "other": [n] })
    });
    let items = prop::collection::vec(prop_oneof![1 => Just(Value::Null), 5 => item], 0..5);
    let secrets = prop::collection::btree_map("[a-c]", any_text(), 0..3);
    let customer = (any_text(), any_text(), any::<i64>())
        .prop_map(|(email, phone, age)| json!({ "email": email, "phone": phone, "age": age, "name": "n" }));
    let customer = prop_oneof![1 => Just(Value::Null), 5 => customer];
    (any::<i64>(), customer, items, secrets, any_text(), any_text()).prop_map(
        |(id, customer, items, by, note, more)| {
            let by: serde_json::Map<String, Value> = by.into_iter().map(|(k, v)| (k, json!({ "secret": v }))).collect();
            json!({ "id": id, "customer": customer, "items": items, "by_name": by, "note": note, "more": more })
        },
    )
}

/// What may be left out of [`shop`] together.
const PATHS: [&str; 8] = ["email", "customer", "customer.phone", "items", "items.sku", "items.note", "by_name", "note"];

fn declared_without(model: &Model, without: &[&str]) -> Vec<Column> {
    let type_without = |name: &str| match name {
        "customer" => vec![("phone VARCHAR, ", "customer.phone")],
        "items" => vec![("sku VARCHAR, ", "items.sku"), ("note STRUCT<text VARCHAR>, ", "items.note")],
        _ => Vec::new(),
    };
    let kept = model.columns.iter().filter(|column| !without.contains(&column.name.as_str()));
    let declared = kept.map(|column| {
        let fields = type_without(&column.name).into_iter().filter(|(_, path)| without.contains(path));
        let text = fields.fold(column.sql_type.to_string(), |text, (field, _)| text.replace(field, ""));
        Column { sql_type: outflow_api::SqlType::parse(&text).expect("a type"), ..column.clone() }
    });
    declared.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filtered_model_reads_as_one_that_never_had_the_columns(
        orders in prop::collection::vec(any_order(), 1..6), chosen in prop::sample::subsequence(&PATHS, 0..PATHS.len())
    ) {
        let records: Vec<String> = orders.iter().map(Value::to_string).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let filtered = shop().filtered(&chosen, &NONE).expect("columns and fields");
        let read = batch(&filtered, &records);
        prop_assert_eq!(read.schema(), decoder(&filtered).schema());
        let never = Model { columns: declared_without(&shop(), &chosen), ..shop() };
        let (never, whole) = (batch(&never, &records), batch(&shop(), &records));
        for (field, array) in read.schema().fields().iter().zip(read.columns()) {
            // Unknown fields are those of the model that it was made of.
            let wanted = if field.name() == "_unknown" { &whole } else { &never };
            prop_assert_eq!(array.as_ref(), column(wanted, field.name()), "{}", field.name());
        }
        prop_assert_eq!(read.num_columns(), never.num_columns());
    }

    #[test]
    fn a_hashed_model_reads_the_hash_of_each_text_and_all_else_as_it_is(
        orders in prop::collection::vec(any_order(), 1..6)
    ) {
        let records: Vec<String> = orders.iter().map(Value::to_string).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let paths = ["email", "customer.phone", "items.sku", "items.note.text", "by_name.secret"];
        let hashed = batch(&shop().filtered(&NONE, &paths).expect("texts"), &records);
        let plain = batch(&shop(), &records);
        prop_assert_eq!(hashed.schema(), plain.schema());
        for name in ["id", "note", "_unknown", "_offset"] {
            prop_assert_eq!(column(&hashed, name), column(&plain, name));
        }
        let compared = |of: fn(&RecordBatch) -> StringArray| (texts(&of(&hashed)), hashes(&of(&plain)));
        let found = [
            compared(|batch| column(batch, "email").as_string().clone()),
            compared(|batch| column(batch, "customer").as_struct().column(0).as_string().clone()),
            compared(|batch| items(batch).column(0).as_string().clone()),
            compared(|batch| items(batch).column(1).as_struct().column(0).as_string().clone()),
            compared(|batch| column(batch, "by_name").as_map().values().as_struct().column(0).as_string().clone()),
        ];
        for (texts, hashes) in found {
            prop_assert_eq!(texts, hashes);
        }
        prop_assert_eq!(items(&hashed).column(2), items(&plain).column(2));
    }
}

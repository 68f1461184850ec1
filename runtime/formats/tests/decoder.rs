mod common;

use arrow_array::{
    Array,
    cast::AsArray,
    types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType},
};
use common::{batch, decode, decoder, model, reject, rows};
use outflow_api::{Decoder, Model, UnknownFields};

#[test]
fn each_type_is_read_as_it_is_declared() {
    let model = model(&[
        "i BIGINT",
        "d DOUBLE",
        "b BOOLEAN",
        "v VARCHAR",
        "day DATE",
        "t TIMESTAMP",
        "n DECIMAL(38,4)",
        "j JSON",
        "s STRUCT<x BIGINT, y VARCHAR>",
        "a ARRAY<BIGINT>",
        "m MAP<VARCHAR, DOUBLE>",
    ]);
    let text = r#" { "i":-7,"d":1.5e1,"b":true,"v":"a\u00e9\ud83d\ude00\n","day":"1970-01-02",
        "t":"1970-01-01T00:00:01Z",
        "n":"-12345678901234567890123456789012.3400","j": [1, {"k": "x"}] ,"s":{"y":"z","extra":[{}]},"a":[1,null,3],
        "m":{"p":1,"q":null}} "#;
    let batch = batch(&model, &[text, r#"{"t":1500}"#]);
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), -7);
    assert_eq!(batch.column(1).as_primitive::<Float64Type>().value(0), 15.0);
    assert!(batch.column(2).as_boolean().value(0));
    assert_eq!(batch.column(3).as_string::<i32>().value(0), "aé😀\n");
    assert_eq!(batch.column(4).as_primitive::<Date32Type>().value(0), 1);
    assert_eq!(batch.column(5).as_primitive::<TimestampMicrosecondType>().values()[..], [1_000_000, 1_500_000]);
    let decimal = -123_456_789_012_345_678_901_234_567_890_123_400_i128;
    assert_eq!(batch.column(6).as_primitive::<Decimal128Type>().value(0), decimal);
    assert_eq!(batch.column(7).as_string::<i32>().value(0), r#"[1, {"k": "x"}]"#);
    let members = batch.column(8).as_struct();
    assert!(members.column(0).is_null(0));
    assert_eq!(members.column(1).as_string::<i32>().value(0), "z");
    let items = batch.column(9).as_list::<i32>().value(0);
    assert_eq!(items.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(3)]);
    let entries = batch.column(10).as_map().value(0);
    assert_eq!(entries.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["p", "q"]);
    let absent = |column: usize| batch.column(column).is_null(1);
    assert!((0..11).filter(|column| *column != 5).all(absent), "what is missing is null");
}

#[test]
fn every_misfit_has_its_code_and_names_its_field() {
    let model = model(&[
        "id! BIGINT",
        "price=cart.price DECIMAL(5,2)",
        "items ARRAY<STRUCT<n BIGINT>>",
        "m MAP<VARCHAR, BIGINT>",
        "at TIMESTAMP",
        "d DOUBLE",
    ]);
    let cases = [
        ("[1]", "not-an-object", "object"),
        ("[1", "not-json", "byte 2"),
        ("{} x", "not-json", "byte 3"),
        (r#"{"id":1,}"#, "not-json", "byte 8"),
        (r#"{"id":01}"#, "not-json", "byte 7"),
        (r#"{"x":"\ud800"}"#, "not-json", "surrogate"),
        (r#"{"id":"1"}"#, "wrong-type", "field id: BIGINT expected, a string found"),
        (r#"{"id":1.5}"#, "wrong-type", "field id"),
        (r#"{"id":9223372036854775808}"#, "out-of-range", "field id"),
        (r#"{"id":null}"#, "missing-required", "field id"),
        ("{}", "missing-required", "field id"),
        (r#"{"id":1,"cart":{"price":1.234}}"#, "out-of-range", "field cart.price: DECIMAL(5,2)"),
        (r#"{"id":1,"cart":{"price":"12a"}}"#, "wrong-type", "field cart.price"),
        (r#"{"id":1,"cart":[]}"#, "wrong-type", "field cart: an object expected, an array found"),
        (r#"{"id":1,"items":[{},{"n":true}]}"#, "wrong-type", "field items[1].n: BIGINT expected, a boolean"),
        (r#"{"id":1,"m":{"secret":"x"}}"#, "wrong-type", "field m{}: BIGINT expected"),
        (r#"{"id":1,"at":"yesterday"}"#, "wrong-type", "field at: TIMESTAMP as YYYY-MM-DD"),
        (r#"{"id":1,"at":"2024-02-30T00:00:00Z"}"#, "out-of-range", "field at"),
        (r#"{"id":1,"d":1e999}"#, "out-of-range", "field d"),
        (r#"{"id":tru"#, "not-json", "field id: byte 6"),
    ];
    for (text, code, part) in cases {
        let (found, message) = reject(&model, text);
        assert_eq!(found, code, "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
        assert!(!message.contains("secret") && !message.contains("yesterday"), "a message shows data: {message}");
    }
}

#[test]
fn a_payload_that_is_no_text_says_what_it_is() {
    let model = model(&["a BIGINT"]);
    let large = vec![b' '; outflow_formats::RECORD_BYTES_MAX + 1];
    let values =
        [None, Some(b"".as_slice()), Some(b"\0\0\0\x01\x02rest"), Some(b"\0"), Some(b"{\"a\":\"\xff\"}"), Some(&large)];
    let decoded = decoder(&model).decode(&rows(&values));
    let codes: Vec<_> = decoded.rejected.iter().map(|row| (row.index, row.code)).collect();
    let wanted = ["null-payload", "empty-payload", "registry-payload", "not-json", "not-utf8", "too-large"];
    assert_eq!(codes, wanted.into_iter().enumerate().collect::<Vec<_>>());
    assert!(decoded.rejected[2].message.contains("schema id 258"), "{}", decoded.rejected[2].message);
    assert!(decoded.rejected.iter().all(|row| row.message.len() <= 500));
}

#[test]
fn the_deepest_allowed_record_is_read_and_the_next_is_rejected() {
    let model = model(&["a JSON", "b BIGINT"]);
    let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let allowed = outflow_formats::DEPTH_MAX as usize - 1;
    assert_eq!(batch(&model, &[&nested(allowed)]).num_rows(), 1);
    assert_eq!(reject(&model, &nested(allowed + 1)).0, "too-deep");
    assert_eq!(reject(&model, &format!(r#"{{"a":{}"#, "[".repeat(1_000_000))).0, "too-deep");
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    let model = model(&[
        "a BIGINT",
        "s STRUCT<x BIGINT, y BIGINT>",
        "m MAP<VARCHAR, BIGINT>",
        "deep=p.q BIGINT",
        "list ARRAY<BIGINT>",
    ]);
    let text =
        r#"{"a":1,"a":2,"s":{"x":1,"y":1,"x":2},"m":{"k":1,"l":5,"k":3},"p":{"q":1},"p":{},"list":[1,2],"list":[3]}"#;
    let wanted = r#"{"a":2,"s":{"x":2,"y":1},"m":{"l":5,"k":3},"p":{},"list":[3]}"#;
    assert_eq!(batch(&model, &[text, wanted, text]), batch(&model, &[wanted, wanted, wanted]));
    let many: Vec<String> = (0..40).map(|index| format!(r#""k{}":{index}"#, index % 30)).collect();
    let batch = batch(&model, &[&format!(r#"{{"m":{{{}}}}}"#, many.join(","))]);
    let entries = batch.column(2).as_map().value(0);
    let values = entries.column(1).as_primitive::<Int64Type>().values();
    assert_eq!(values[..], (10..40).collect::<Vec<i64>>());
}

#[test]
fn two_columns_may_read_the_same_field_or_within_it() {
    let model = model(&["whole=c JSON", "part=c.email VARCHAR", "again=c STRUCT<email VARCHAR>", "id=c.id BIGINT"]);
    let batch = batch(&model, &[r#"{"c":{"email":"x","id":4}}"#, r#"{"c":null}"#, "{}"]);
    assert_eq!(
        batch.column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
        [Some(r#"{"email":"x","id":4}"#), None, None]
    );
    assert_eq!(batch.column(1).as_string::<i32>().value(0), "x");
    assert_eq!(batch.column(2).as_struct().column(0).as_string::<i32>().value(0), "x");
    assert_eq!(batch.column(3).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(4), None, None]);
}

#[test]
fn a_key_is_known_however_it_is_spelled_and_ordered() {
    let model = model(&["name BIGINT", "quo\"te BIGINT", "b BIGINT"]);
    let wanted = batch(&model, &[r#"{"name":1,"quo\"te":2,"b":3}"#]);
    let spellings = [
        r#"{"n\u0061me":1,"quo\u0022te":2,"\u0062":3}"#,
        r#"{"b":3,"quo\"te" : 2,"name"   :1}"#,
        r#"{"x":0,"name":1,"y":[],"quo\"te":2,"z":{},"b":3}"#,
    ];
    for text in spellings {
        assert_eq!(batch(&model, &[text]), wanted, "{text}");
        let thrice = batch(&model, &[text, spellings[0], text]);
        assert_eq!(thrice.slice(2, 1), wanted, "{text}, when it was met before");
    }
    assert_eq!(reject(&model, r#"{"quo"te":2}"#).0, "not-json");
}

#[test]
fn unknown_fields_are_ignored_kept_or_rejected_as_declared() {
    let with = |unknown: UnknownFields| Model { unknown, ..model(&["a BIGINT", "b=o.b BIGINT"]) };
    let texts = [r#"{"x":"1 \" }","a":1,"o":{"b":2,"c":3},"y" : [1, 2] }"#, r#"{"a":1}"#];
    assert_eq!(batch(&with(UnknownFields::Ignore), &texts).num_columns(), 2);
    let kept = batch(&with(UnknownFields::Keep), &texts);
    assert_eq!(kept.schema().field(2).name(), "_unknown");
    let kept: Vec<_> = kept.column(2).as_string::<i32>().iter().collect();
    assert_eq!(kept, [Some(r#"{"x":"1 \" }","y":[1, 2]}"#), None]);
    assert_eq!(
        reject(&with(UnknownFields::Reject), texts[0]),
        ("unknown-field", "field x: no column is read from it".into())
    );
    assert_eq!(batch(&with(UnknownFields::Reject), &texts[1..]).num_rows(), 1);
}

#[test]
fn lineage_names_where_each_row_came_from_and_skips_the_rejected() {
    let model = Model { lineage: true, ..model(&["a BIGINT"]) };
    let decoded = decode(&model, &[b"{}", b"{", b"{\"a\":1}"]);
    assert_eq!(decoded.rejected.iter().map(|row| row.index).collect::<Vec<_>>(), [1]);
    let batch = &decoded.batches[0];
    assert_eq!(batch.schema(), decoder(&model).schema());
    assert_eq!(batch.column(1).as_string::<i32>().value(1), "orders");
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().values()[..], [2, 2]);
    assert_eq!(batch.column(3).as_primitive::<Int64Type>().values()[..], [0, 6]);
    let times = batch.column(4).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values()[..], [1_700_000_000_000_000, 1_700_000_000_002_000]);
}

#[test]
fn a_model_that_contradicts_itself_is_refused_with_a_reason() {
    let refused = |model: &Model| {
        let fault = outflow_formats::JsonDecoder::new(model, &[]).expect_err("refused");
        assert_eq!(fault.code, "model-refused");
        fault.hint
    };
    assert!(refused(&model(&[])).contains("columns"));
    assert!(refused(&model(&["a BIGINT", "a=b BIGINT"])).contains("\"a\" is declared twice"));
    assert!(refused(&Model { lineage: true, ..model(&["_offset BIGINT"]) }).contains("_offset"));
    assert!(refused(&Model { unknown: UnknownFields::Keep, ..model(&["_unknown BIGINT"]) }).contains("_unknown"));
    assert!(refused(&model(&["a=b..c BIGINT"])).contains("empty path"));
    assert!(outflow_formats::JsonDecoder::new(&model(&["_offset BIGINT", "_own BIGINT"]), &[]).is_ok());
}

//! The decoder against serde_json: the same records are JSON, and the same values come out.

mod common;

use arrow_array::{Array, RecordBatch, cast::AsArray};
use common::{batch, decode, model};
use outflow_api::{Model, UnknownFields};
use outflow_formats::FieldPath;
use proptest::prelude::*;
use serde_json::Value;

/// Any JSON value, a few levels deep.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e30..1e30_f64).prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[ -~]{0,40}", "[\\x00-\\x1f\"\\\\/é😀]{0,12}"]
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(vec!["a", "b", "c", "n", "s"]).prop_map(str::to_owned), 1 => any_text()]
}

/// The value in one of its many spellings: `dice` decides on blanks and escapes.
fn spelled(value: &Value, dice: &mut impl Iterator<Item = u8>, out: &mut String) {
    let blank = |out: &mut String, dice: &mut dyn Iterator<Item = u8>| {
        out.push_str(["", "", "", " ", "\n", "\t \r"][usize::from(dice.next().unwrap_or(0) % 6)]);
    };
    blank(out, dice);
    match value {
        Value::String(text) => spelled_text(text, dice, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                spelled(item, dice, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                blank(out, dice);
                spelled_text(name, dice, out);
                blank(out, dice);
                out.push(':');
                spelled(field, dice, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
    blank(out, dice);
}

fn spelled_text(text: &str, dice: &mut impl Iterator<Item = u8>, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        if dice.next().unwrap_or(0) < 50 {
            character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            let quoted = serde_json::to_string(&character).expect("text is JSON");
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out.push('"');
}

/// Records that break in the middle of this get beyond the first bytes.
fn any_record() -> impl Strategy<Value = String> {
    (prop::collection::vec((any_key(), any_value()), 0..6), prop::collection::vec(any::<u8>(), 0..200)).prop_map(
        |(fields, dice)| {
            let mut out = String::new();
            spelled(&Value::Object(fields.into_iter().collect()), &mut dice.into_iter().cycle(), &mut out);
            out
        },
    )
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let alphabet: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"a\"",
        b"\"b\"",
        b"1",
        b"0",
        b"-",
        b".5",
        b"e",
        b"E+2",
        b"true",
        b"nul",
        b"null",
        b" ",
        b"\n",
        b"\"",
        b"\\",
        b"\\u",
        b"d83d",
        b"\\ude00",
        b"\xc3\xa9",
        b"\xff",
        b"\x01",
        b"x",
    ];
    let tokens = prop::collection::vec(prop::sample::select(alphabet), 0..24).prop_map(|tokens| tokens.concat());
    let cut = (any_record(), any::<prop::sample::Index>()).prop_map(|(text, at)| {
        let at = at.index(text.len() + 1);
        text.into_bytes()[..at].to_vec()
    });
    let changed = (any_record(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    });
    let within = tokens.clone().prop_map(|tokens| [b"{\"a\":".as_slice(), &tokens, b"}"].concat());
    prop_oneof![tokens, within, cut, changed, prop::collection::vec(any::<u8>(), 0..64)]
}

/// An object that may have a field more than once, as may the objects in it.
fn any_repeating_record() -> impl Strategy<Value = String> {
    let fields = || prop::collection::vec((any_key(), any_value()), 0..5);
    let inner = prop_oneof![any_value().prop_map(|value| vec![(String::new(), value)]), fields()];
    let dice = prop::collection::vec(any::<u8>(), 0..200);
    (prop::collection::vec((any_key(), any::<bool>(), inner), 0..6), dice).prop_map(|(members, dice)| {
        let dice = &mut dice.into_iter().cycle();
        let object = |fields: Vec<(String, String)>, dice: &mut dyn Iterator<Item = u8>| {
            let field = |(name, value): (String, String)| {
                let mut out = String::new();
                spelled(&Value::from(name), &mut &mut *dice, &mut out);
                format!("{out}:{value}")
            };
            format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
        };
        let text = |value: &Value, dice: &mut dyn Iterator<Item = u8>| {
            let mut out = String::new();
            spelled(value, &mut &mut *dice, &mut out);
            out
        };
        let mut fields = Vec::new();
        for (name, nested, inner) in members {
            let inner: Vec<_> = inner.iter().map(|(name, value)| (name.clone(), text(value, dice))).collect();
            let value = match (nested, inner.first()) {
                (false, Some((_, value))) => value.clone(),
                _ => object(inner, dice),
            };
            fields.push((name, value));
        }
        object(fields, dice)
    })
}

/// What serde_json makes of it; a number that no double holds is JSON all the same.
fn is_json_object(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => value.is_object(),
        Err(error) => error.to_string().contains("number out of range") && beyond_doubles(bytes),
    }
}

/// The grammar alone, where values are not looked at.
fn beyond_doubles(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
        && serde_json::from_slice::<std::collections::BTreeMap<String, Skipped>>(bytes).is_ok()
}

#[derive(PartialEq)]
struct Skipped;

impl<'de> serde::Deserialize<'de> for Skipped {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Skipped, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Skipped)
    }
}

fn json_model() -> Model {
    Model { unknown: UnknownFields::Keep, ..model(&["a JSON", "b JSON", "inner=c.a JSON"]) }
}

fn text_at(batch: &RecordBatch, column: usize, row: usize) -> Option<&str> {
    let texts = batch.column(column).as_string::<i32>();
    texts.is_valid(row).then(|| texts.value(row))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_are_json_to_us_exactly_when_they_are_to_serde(bytes in any_bytes()) {
        let nothing = model(&["no_such_field BIGINT"]);
        let decoded = decode(&nothing, &[&bytes]);
        prop_assert_eq!(decoded.rejected.is_empty(), is_json_object(&bytes), "{:?}", decoded.rejected);
    }

    #[test]
    fn json_columns_hold_the_values_that_serde_reads(text in any_record()) {
        let mut wanted: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("records are objects");
        let model = Model { columns: json_model().columns[..2].to_vec(), ..json_model() };
        let batch = batch(&model, &[&text]);
        let read = |column: usize| text_at(&batch, column, 0).map_or(Value::Null, |text| {
            serde_json::from_str(text).expect("a JSON column holds JSON")
        });
        prop_assert_eq!(read(0), wanted.remove("a").unwrap_or_default());
        prop_assert_eq!(read(1), wanted.remove("b").unwrap_or_default());
        let unknown = if wanted.is_empty() { Value::Null } else { Value::Object(wanted) };
        prop_assert_eq!(read(2), unknown);
    }

    #[test]
    fn a_path_finds_the_scalar_that_serde_reads(
        text in prop_oneof![any_record(), any_repeating_record()],
        path in prop::sample::select(vec!["a", "b", "s", "c.a", "a.b", "n.a", "a.a.a", "b.c.n"])
    ) {
        let record: Value = serde_json::from_str(&text).expect("records are objects");
        let wanted = path.split('.').try_fold(&record, |value, step| value.get(step));
        let wanted = wanted.filter(|value| !value.is_null() && !value.is_object() && !value.is_array());
        let found = FieldPath::parse(path).expect("a path").find(text.as_bytes()).map(|found| found.into_owned());
        let found = found.map(|found| match wanted {
            Some(Value::String(_)) => Value::from(String::from_utf8(found).expect("text")),
            _ => serde_json::from_slice(&found).expect("numbers and booleans stay as they are"),
        });
        prop_assert_eq!(found.as_ref(), wanted, "{}", text);
    }

    #[test]
    fn a_path_finds_what_the_decoder_reads(
        text in any_repeating_record(), path in prop::sample::select(vec!["a", "c.n"])
    ) {
        let column = format!("x={path} VARCHAR");
        let decoded = decode(&model(&[&column]), &[text.as_bytes()]);
        if let Some(batch) = decoded.batches.first() {
            let found = FieldPath::parse(path).expect("a path").find(text.as_bytes());
            prop_assert_eq!(found.as_deref(), text_at(batch, 0, 0).map(str::as_bytes), "{}", text);
        }
    }

    #[test]
    fn a_path_looks_for_its_field_in_any_bytes(
        bytes in any_bytes(), path in prop::sample::select(vec!["a", "a.b", "é"])
    ) {
        let found = FieldPath::parse(path).expect("a path").find(&bytes).map(|found| found.into_owned());
        if let Ok(record) = serde_json::from_slice::<Value>(&bytes)
            && let Some(Value::String(text)) = path.split('.').try_fold(&record, |value, step| value.get(step))
        {
            prop_assert_eq!(found, Some(text.clone().into_bytes()));
        }
    }

    #[test]
    fn scalars_are_the_values_that_serde_reads(number in any::<i64>(), double in any::<f64>(), text in any_text(),
                                               dice in prop::collection::vec(any::<u8>(), 1..50)) {
        let mut fields = serde_json::Map::new();
        fields.insert("n".into(), number.into());
        fields.insert("d".into(), double.into());
        fields.insert("s".into(), text.clone().into());
        let mut record = String::new();
        spelled(&Value::Object(fields), &mut dice.into_iter().cycle(), &mut record);
        let batch = batch(&model(&["n BIGINT", "d DOUBLE", "s VARCHAR"]), &[&record]);
        prop_assert_eq!(batch.column(0).as_primitive::<arrow_array::types::Int64Type>().value(0), number);
        prop_assert_eq!(text_at(&batch, 2, 0), Some(text.as_str()));
        if double.is_finite() {
            prop_assert_eq!(batch.column(1).as_primitive::<arrow_array::types::Float64Type>().value(0), double);
        }
    }

    #[test]
    fn a_rejected_record_leaves_no_trace(texts in prop::collection::vec(any_record_for_types(), 1..12)) {
        let model = Model { unknown: UnknownFields::Keep, lineage: false, ..model(&[
            "a! BIGINT", "b ARRAY<STRUCT<n BIGINT, s VARCHAR>>", "m=c.m MAP<VARCHAR, ARRAY<BOOLEAN>>",
            "s STRUCT<t TIMESTAMP, d DECIMAL(9,2)>",
            "j=c JSON",
        ]) };
        let all: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let together = decode(&model, &all);
        let rejected: Vec<usize> = together.rejected.iter().map(|row| row.index).collect();
        let fits = (0..all.len()).filter(|index| !rejected.contains(index));
        let kept: Vec<&[u8]> = fits.map(|index| all[index]).collect();
        let alone = decode(&model, &kept);
        prop_assert!(alone.rejected.is_empty());
        prop_assert_eq!(&together.batches, &alone.batches);
        for (index, text) in all.iter().enumerate() {
            prop_assert_eq!(decode(&model, &[text]).rejected.is_empty(), !rejected.contains(&index));
        }
    }
}

/// Nearly right for the model of the test, and wrong in many places.
fn any_record_for_types() -> impl Strategy<Value = String> {
    let number = || prop_oneof![6 => "-?[1-9][0-9]{0,4}", 1 => Just("\"x\"".to_owned()), 1 => Just("null".to_owned())];
    let item = (number(), any_text()).prop_map(|(n, s)| format!(r#"{{"n":{n},"s":{}}}"#, Value::from(s)));
    let list = prop::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(",")));
    let flags = prop::sample::select(vec!["[true]", "[]", "[false,null]", "null", "[true,1]", "[true,"]);
    let map = prop::collection::vec(("[a-c]", flags), 0..4).prop_map(|entries| {
        entries.iter().map(|(key, flags)| format!("\"{key}\":{flags}")).collect::<Vec<_>>().join(",")
    });
    let time = prop::sample::select(vec!["\"2024-01-01T00:00:00Z\"", "17", "null", "\"2024-13-01T00:00:00Z\"", "{}"]);
    let decimal = prop::sample::select(vec!["1.25", "\"7\"", "0.001", "99999999.99"]);
    (number(), list, map, time, decimal, any::<bool>()).prop_map(|(a, b, m, t, d, twice)| {
        let repeated = if twice { r#","b":[{"s":"again"}],"c":{}"# } else { "" };
        format!(r#"{{"b":{b},"c":{{"m":{{{m}}}}},"x":{b},"s":{{"t":{t},"d":{d}}}{repeated},"a":{a}}}"#)
    })
}

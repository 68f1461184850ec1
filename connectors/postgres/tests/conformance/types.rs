//! Every type of a model, out and back by the server's own words.

use crate::{client, settings, shape::Shape};

const COLUMNS: [(&str, &str); 11] = [
    ("number", "BIGINT"),
    ("ratio", "DOUBLE"),
    ("yes", "BOOLEAN"),
    ("name", "VARCHAR"),
    ("day", "DATE"),
    ("at", "TIMESTAMP"),
    ("price", "DECIMAL(38,9)"),
    ("tags", "ARRAY<VARCHAR>"),
    ("item", "STRUCT<sku VARCHAR, quantity BIGINT>"),
    ("extra", "MAP<VARCHAR, BIGINT>"),
    ("raw", "JSON"),
];

const SHAPE: Shape<'_> = Shape(&COLUMNS);

/// All columns of the model as the server prints them, by rising offset.
async fn printed(table: &str) -> Vec<Vec<Option<String>>> {
    let client = client().await;
    client.batch_execute("SET timezone = 'UTC'").await.expect("it answers");
    let columns: Vec<String> = COLUMNS.iter().map(|(name, _)| format!("\"{name}\"::text")).collect();
    let all = format!("SELECT {} FROM \"{table}\" ORDER BY _offset", columns.join(", "));
    let rows = client.query(&all, &[]).await.expect("it answers");
    rows.iter().map(|row| (0..COLUMNS.len()).map(|index| row.get(index)).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_went_with_its_extremes() {
    let settings = settings("every type");
    let records = [
        r#"{"number": 7, "ratio": 0.1, "yes": true, "name": "Zoë \"q\" \\ \n 🛒", "day": "2026-11-27",
            "at": "2026-11-27T23:59:59.123456+02:00", "price": "12.50", "tags": ["a", null, "ü\""],
            "item": {"sku": "x", "quantity": 3}, "extra": {"k": 1, "n": null}, "raw": {"b": [1, {"c": "d"}]}}"#,
        "{}",
        r#"{"number": -9223372036854775808, "ratio": -1.7976931348623157e308, "yes": false, "name": "",
            "day": "0001-01-01", "at": "0001-01-01T00:00:00Z",
            "price": "-99999999999999999999999999999.999999999", "tags": [], "item": {}, "extra": {}, "raw": "text"}"#,
        r#"{"number": 9223372036854775807, "ratio": 5e-324, "day": "9999-12-31", "at": "9999-12-31T23:59:59.999999Z",
            "price": 0.000000001, "item": {"sku": null, "quantity": -1}, "raw": 12345678901234567890.5}"#,
    ];
    assert_eq!(SHAPE.deliver(&settings, &SHAPE.sealed(&records)).await, []);
    let expected: [[Option<&str>; 11]; 4] = [
        [
            Some("7"),
            Some("0.1"),
            Some("true"),
            Some("Zoë \"q\" \\ \n 🛒"),
            Some("2026-11-27"),
            Some("2026-11-27 21:59:59.123456+00"),
            Some("12.500000000"),
            Some(r#"["a", null, "ü\""]"#),
            Some(r#"{"sku": "x", "quantity": 3}"#),
            Some(r#"{"k": 1, "n": null}"#),
            Some(r#"{"b": [1, {"c": "d"}]}"#),
        ],
        [None; 11],
        [
            Some("-9223372036854775808"),
            Some("-1.7976931348623157e+308"),
            Some("false"),
            Some(""),
            Some("0001-01-01"),
            Some("0001-01-01 00:00:00+00"),
            Some("-99999999999999999999999999999.999999999"),
            Some("[]"),
            Some(r#"{"sku": null, "quantity": null}"#),
            Some("{}"),
            Some("\"text\""),
        ],
        [
            Some("9223372036854775807"),
            Some("5e-324"),
            None,
            None,
            Some("9999-12-31"),
            Some("9999-12-31 23:59:59.999999+00"),
            Some("0.000000001"),
            None,
            Some(r#"{"sku": null, "quantity": -1}"#),
            None,
            Some("12345678901234567890.5"),
        ],
    ];
    let expected = expected.map(|row| row.map(|value| value.map(str::to_owned)).to_vec()).to_vec();
    assert_eq!(printed("every type").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_can_never_take_is_a_dead_letter_and_the_others_arrive() {
    let settings = settings("zero bytes");
    let records = [
        r#"{"number": 1, "name": "a"}"#,
        r#"{"number": 2, "name": "a\u0000b"}"#,
        r#"{"number": 3, "raw": {"deep": ["\u0000"]}}"#,
        r#"{"number": 4, "tags": ["\u0000"]}"#,
        r#"{"number": 5, "name": "\\u0000"}"#,
        r#"{"number": 6, "raw": [1e131072]}"#,
        r#"{"number": 7, "raw": {"small": -1e-16384}}"#,
        r#"{"number": 8, "raw": [-9.9e131071, 1e-16383]}"#,
    ];
    let rejected = SHAPE.deliver(&settings, &SHAPE.sealed(&records)).await;
    assert_eq!(rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
    assert!(rejected[..3].iter().all(|(_, why)| why.contains("zero byte")), "{rejected:?}");
    assert!(rejected[3..].iter().all(|(_, why)| why.contains("digits")), "{rejected:?}");
    let numbers: Vec<Option<String>> = printed("zero bytes").await.into_iter().map(|mut row| row.remove(0)).collect();
    assert_eq!(numbers, ["1", "5", "8"].map(|number| Some(number.to_owned())));
}

//! The connector files of the demo and its events belong together.

use outflow_api::{Column, SqlType};
use outflow_config::{ConnectorConfig, connector};
use outflow_demo::{Events, Kind, MERCHANTS, config_files};
use serde_json::Value;
use std::{collections::HashSet, path::Path};

const NOW: i64 = 1_795_766_400_000;

fn connectors() -> Vec<ConnectorConfig> {
    let mut files = config_files(Path::new("/srv/a \"lake\""));
    files.retain(|(name, _)| !name.starts_with("merchants."));
    let read = |(file, text): &(&str, String)| {
        connector(file, text, outflow_registry::sinks()).unwrap_or_else(|wrong| panic!("{wrong}"))
    };
    files.iter().map(read).collect()
}

/// Is it there, and has it the column's type?
fn fits(column: &Column, event: &Value) -> bool {
    let value = column.path.iter().try_fold(event, |value, step| value.get(step));
    value.is_some_and(|value| if value.is_null() { !column.required } else { has_type(&column.sql_type, value) })
}

fn has_type(sql_type: &SqlType, value: &Value) -> bool {
    match sql_type {
        SqlType::BigInt => value.is_i64(),
        SqlType::Double | SqlType::Decimal { .. } => value.is_number(),
        SqlType::Boolean => value.is_boolean(),
        SqlType::Varchar => value.is_string(),
        SqlType::Date => value.as_str().is_some_and(|text| text.len() == 10),
        SqlType::Timestamp => value == "2026-11-27T08:00:00.000Z",
        SqlType::Struct(fields) => {
            fields.iter().all(|field| value.get(&field.name).is_some_and(|inner| has_type(&field.sql_type, inner)))
        }
        SqlType::Array(item) => value.as_array().is_some_and(|items| items.iter().all(|one| has_type(item, one))),
        SqlType::Map(item) => value.as_object().is_some_and(|fields| fields.values().all(|one| has_type(item, one))),
        SqlType::Json => true,
    }
}

#[test]
fn every_event_has_the_columns_of_its_model() {
    let connectors = connectors();
    let mut events = Events::new(7, MERCHANTS);
    let (mut out, mut seen, mut ids) = (Vec::new(), [0; 3], HashSet::new());
    for _ in 0..20_000 {
        out.clear();
        let event = events.append(NOW, &mut out);
        let json: Value = serde_json::from_slice(&out).expect("JSON");
        let connector = connectors.iter().find(|one| one.topics == [event.kind.topic()]).expect("each kind has one");
        for column in &connector.model.columns {
            assert!(fits(column, &json), "{} of {json}", column.name);
        }
        assert_eq!(json["store_id"].to_string().as_bytes(), events.key(event));
        assert!(ids.insert(json["event_id"].to_string()), "an event's id is its own");
        seen[event.kind as usize] += 1;
    }
    assert!(Kind::ALL.iter().all(|kind| seen[*kind as usize] > 1000), "{seen:?}");
}

#[test]
fn an_order_adds_up() {
    let mut events = Events::new(7, MERCHANTS);
    let mut out = Vec::new();
    let cents = |value: &Value| (value.as_f64().expect("a number") * 100.0).round() as i64;
    for _ in 0..5_000 {
        out.clear();
        if events.append(NOW, &mut out).kind != Kind::Order {
            continue;
        }
        let order: Value = serde_json::from_slice(&out).expect("JSON");
        let lines = order["line_items"].as_array().expect("a list");
        assert_eq!(lines.iter().map(|line| cents(&line["total"])).sum::<i64>(), cents(&order["subtotal"]));
        let total = cents(&order["subtotal"]) - cents(&order["discount"]) + cents(&order["shipping"]);
        assert_eq!(total + cents(&order["tax"]), cents(&order["total_inc_tax"]));
    }
}

#[test]
fn the_files_go_where_they_are_told() {
    let (own, of_merchants): (Vec<_>, Vec<_>) = connectors().into_iter().partition(|one| one.sink.is_some());
    let urls: Vec<Value> = own.into_iter().filter_map(|one| Some(one.sink?.settings["url"].clone())).collect();
    let folder = |name: &str| format!("/srv/a \"lake\"/lake/{name}");
    assert_eq!(urls, ["orders", "carts", "page_views"].map(folder));
    let names: Vec<_> = of_merchants.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["marketplace"], "who has no destination of his own delivers to merchants");
    assert!(of_merchants.iter().all(|one| one.routing.is_some()));
}

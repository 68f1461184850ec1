use crate::CONNECTORS;
use outflow_api::{Column, Model, SqlType, UnknownFields};
use serde_json::Value;

/// Of orders, as the demo's connector declares it: what examples and measurements shape events by.
///
/// # Panics
/// Never: the file is our own.
pub fn orders_model() -> Model {
    let (_, text) = CONNECTORS[0];
    let connector: Value = serde_saphyr::from_str(text).expect("the demo's file is YAML");
    let columns = connector["model"]["columns"].as_array().expect("a list").iter().map(|column| {
        let name = column["name"].as_str().expect("a name");
        Column {
            name: name.to_owned(),
            sql_type: SqlType::parse(column["type"].as_str().expect("a type")).expect("a known type"),
            path: column["path"].as_str().unwrap_or(name).split('.').map(str::to_owned).collect(),
            required: column["required"] == true,
            hashed: Vec::new(),
        }
    });
    Model { columns: columns.collect(), unknown: UnknownFields::Ignore, lineage: true, skipped: Vec::new() }
}

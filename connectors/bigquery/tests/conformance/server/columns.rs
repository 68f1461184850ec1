//! Columns as both interfaces write them, and what the tables' interface refuses.

use bigquery_storage::google::cloud::bigquery::storage::v1::{
    TableFieldSchema,
    table_field_schema::{Mode, Type},
};
use serde_json::{Value, json};
use std::collections::HashSet;

const RESERVED: [&str; 6] = ["_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER"];

/// Of a table's JSON, as a stream tells it.
pub fn fields(json: &Value) -> Vec<TableFieldSchema> {
    json.as_array().map(|fields| fields.iter().map(field).collect()).unwrap_or_default()
}

fn field(json: &Value) -> TableFieldSchema {
    let number = |name: &str| json[name].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    TableFieldSchema {
        name: json["name"].as_str().unwrap_or_default().to_owned(),
        r#type: type_of(json["type"].as_str().unwrap_or_default()).map_or(0, i32::from),
        mode: Mode::from_str_name(json["mode"].as_str().unwrap_or("NULLABLE")).map_or(0, i32::from),
        fields: fields(&json["fields"]),
        max_length: number("maxLength"),
        precision: number("precision"),
        scale: number("scale"),
        ..TableFieldSchema::default()
    }
}

/// Old and new names, as the tables' interface takes both.
fn type_of(name: &str) -> Option<Type> {
    let name = match name {
        "INTEGER" => "INT64",
        "FLOAT" | "FLOAT64" => "DOUBLE",
        "BOOLEAN" => "BOOL",
        "RECORD" => "STRUCT",
        other => other,
    };
    Type::from_str_name(name).filter(|found| *found != Type::Unspecified && name != "TYPE_UNSPECIFIED")
}

/// Of a new table.
pub fn check(fields: &Value) -> Result<(), String> {
    let fields = fields.as_array().filter(|fields| !fields.is_empty()).ok_or("a table or a RECORD without fields")?;
    let mut seen = HashSet::new();
    for field in fields {
        let name = field["name"].as_str().unwrap_or_default();
        let upper = name.to_ascii_uppercase();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.len() <= 300;
        if !is_name || RESERVED.iter().any(|prefix| upper.starts_with(prefix)) {
            return Err(format!("Invalid field name {name:?}"));
        }
        if !seen.insert(upper) {
            return Err(format!("Field {name} already exists in schema"));
        }
        let sql = field["type"].as_str().and_then(type_of).ok_or_else(|| format!("Invalid type of field {name}"))?;
        Mode::from_str_name(field["mode"].as_str().unwrap_or("NULLABLE")).ok_or_else(|| format!("mode of {name}"))?;
        match sql {
            Type::Struct => check(&field["fields"])?,
            _ if !field["fields"].is_null() => return Err(format!("Field {name} is no RECORD and has fields")),
            _ => {}
        }
    }
    Ok(())
}

/// Columns may be added if rows that are there can be without them, and REQUIRED ones relaxed; nothing else.
pub fn check_change(old: &Value, new: &Value) -> Result<(), String> {
    let empty = Vec::new();
    let (old, new) = (old.as_array().unwrap_or(&empty), new.as_array().unwrap_or(&empty));
    for field in old {
        let found = new.iter().find(|other| other["name"] == field["name"]);
        let name = &field["name"];
        let found = found.ok_or_else(|| format!("Field {name} is missing in new schema"))?;
        let relaxes = field["mode"] == "REQUIRED" && found["mode"] == "NULLABLE";
        if found["type"] != field["type"] || (found["mode"] != field["mode"] && !relaxes) {
            return Err(format!("Field {name} has changed type or mode"));
        }
        check_change(&field["fields"], &found["fields"])?;
    }
    let is_new = |field: &&Value| !old.iter().any(|other| other["name"] == field["name"]);
    match new.iter().filter(is_new).find(|field| field["mode"] == "REQUIRED") {
        Some(field) => Err(format!("Cannot add required field {} to an existing schema", field["name"])),
        None => Ok(()),
    }
}

/// Partitioned and clustered by what can be.
pub fn check_layout(body: &Value) -> Result<(), String> {
    let find = |name: &Value| {
        let fields = body["schema"]["fields"].as_array();
        fields.and_then(|fields| fields.iter().find(|field| field["name"] == *name)).cloned()
    };
    let partition = &body["timePartitioning"];
    if !partition.is_null() {
        let kind = find(&partition["field"]).map(|field| field["type"].clone());
        let units = json!(["HOUR", "DAY", "MONTH", "YEAR"]);
        let known = units.as_array().is_some_and(|units| units.contains(&partition["type"]));
        if !known || !matches!(kind.as_ref().and_then(Value::as_str), Some("TIMESTAMP" | "DATE" | "DATETIME")) {
            return Err("The field specified for partitioning can not be used".to_owned());
        }
    }
    check_key(body)?;
    let staleness = &body["maxStaleness"];
    if !staleness.is_null() && !staleness.as_str().is_some_and(is_interval) {
        return Err("Invalid value for maxStaleness".to_owned());
    }
    let clustering = body["clustering"]["fields"].as_array().cloned().unwrap_or_default();
    if clustering.len() > 4 || clustering.iter().any(|name| find(name).is_none()) {
        return Err("The field specified for clustering cannot be found in the schema".to_owned());
    }
    Ok(())
}

/// Up to 16 columns of types that compare.
fn check_key(body: &Value) -> Result<(), String> {
    let key = body["tableConstraints"]["primaryKey"]["columns"].as_array().cloned().unwrap_or_default();
    let fields = self::fields(&body["schema"]["fields"]);
    let compares = |name: &Value| {
        let is_named =
            |field: &&TableFieldSchema| name.as_str().is_some_and(|name| field.name.eq_ignore_ascii_case(name));
        let field = fields.iter().find(is_named);
        let kinds =
            [Type::Int64, Type::String, Type::Bool, Type::Date, Type::Timestamp, Type::Numeric, Type::Bignumeric];
        field.is_some_and(|field| field.mode() != Mode::Repeated && kinds.contains(&field.r#type()))
    };
    if key.len() <= 16 && key.iter().all(compares) {
        return Ok(());
    }
    Err("The fields specified for the primary key can not be used".to_owned())
}

/// Years, months, days, hours, minutes, seconds.
fn is_interval(text: &str) -> bool {
    let numbers = |text: &str, mark: char| {
        text.split(mark).map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<u32>>>().map(|all| all.len())
    };
    let parts: Vec<&str> = text.split(' ').collect();
    let [months, days, time] = parts[..] else { return false };
    numbers(months, '-') == Some(2) && numbers(days, ' ') == Some(1) && numbers(time, ':') == Some(3)
}

use outflow_api::{SqlType, StructField};

/// All that the events hold, as one wide table: every system parses and writes every field.
const COLUMNS: &[(&str, &str)] = &[
    ("event_id", "VARCHAR"),
    ("store_id", "BIGINT"),
    ("created_at", "TIMESTAMP"),
    ("event_type", "VARCHAR"),
    ("visitor_id", "VARCHAR"),
    ("session_id", "VARCHAR"),
    ("page", "STRUCT<type VARCHAR, url VARCHAR, title VARCHAR, referrer VARCHAR>"),
    ("product", "STRUCT<product_id BIGINT, sku VARCHAR, name VARCHAR, price DECIMAL(18,2)>"),
    ("device", "STRUCT<type VARCHAR, user_agent VARCHAR>"),
    ("geo", "STRUCT<country VARCHAR, region VARCHAR, city VARCHAR>"),
    ("load_ms", "BIGINT"),
    ("scroll_depth", "DOUBLE"),
    ("logged_in", "BOOLEAN"),
    ("cart_id", "VARCHAR"),
    ("customer_id", "BIGINT"),
    ("checkout_step", "VARCHAR"),
    ("id", "BIGINT"),
    ("status", "VARCHAR"),
    ("currency", "VARCHAR"),
    ("subtotal", "DECIMAL(18,2)"),
    ("discount", "DECIMAL(18,2)"),
    ("shipping", "DECIMAL(18,2)"),
    ("tax", "DECIMAL(18,2)"),
    ("total_inc_tax", "DECIMAL(18,2)"),
    (
        "customer",
        "STRUCT<id BIGINT, email VARCHAR, first_name VARCHAR, last_name VARCHAR, phone VARCHAR, \
         accepts_marketing BOOLEAN>",
    ),
    ("billing_address", ADDRESS),
    ("shipping_address", ADDRESS),
    (
        "line_items",
        "ARRAY<STRUCT<id BIGINT, product_id BIGINT, sku VARCHAR, name VARCHAR, quantity BIGINT, price DECIMAL(18,2), \
         total DECIMAL(18,2), tax DECIMAL(18,2), options STRUCT<size VARCHAR, colour VARCHAR>>>",
    ),
    ("payment", "STRUCT<method VARCHAR, provider VARCHAR, captured BOOLEAN>"),
    ("coupons", "ARRAY<VARCHAR>"),
    ("channel", "VARCHAR"),
    ("ip", "VARCHAR"),
    ("attributes", "MAP<VARCHAR, VARCHAR>"),
];

const ADDRESS: &str =
    "STRUCT<name VARCHAR, street VARCHAR, city VARCHAR, region VARCHAR, postcode VARCHAR, country VARCHAR>";

fn parsed() -> impl Iterator<Item = (&'static str, SqlType)> {
    COLUMNS.iter().map(|(name, text)| (*name, SqlType::parse(text).expect("a test reads them all")))
}

/// The `columns` of a connector file.
pub fn yaml() -> String {
    parsed().map(|(name, sql_type)| format!("    - {{ name: {name}, type: \"{sql_type}\" }}\n")).collect()
}

/// The `columns` of DuckDB's `read_json`.
pub fn duckdb() -> String {
    let columns: Vec<String> = parsed().map(|(name, kind)| format!("{name}: '{}'", duckdb_type(&kind))).collect();
    format!("{{{}}}", columns.join(", "))
}

fn duckdb_type(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Array(item) => format!("{}[]", duckdb_type(item)),
        SqlType::Map(value) => format!("MAP(VARCHAR, {})", duckdb_type(value)),
        SqlType::Struct(fields) => {
            let field = |field: &StructField| format!("\"{}\" {}", field.name, duckdb_type(&field.sql_type));
            format!("STRUCT({})", fields.iter().map(field).collect::<Vec<String>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

/// An Iceberg schema as its own JSON.
pub fn iceberg() -> String {
    let mut last = 0;
    let fields = parsed().map(|(name, sql_type)| StructField { name: name.to_owned(), sql_type }).collect();
    let table = iceberg_type(&SqlType::Struct(fields), &mut last);
    table.replacen('{', "{\"schema-id\":0,", 1)
}

/// Every field, item, key and value has a number of its own; nulls are allowed everywhere.
fn iceberg_type(sql_type: &SqlType, last: &mut u32) -> String {
    let mut number = || {
        *last += 1;
        *last
    };
    match sql_type {
        SqlType::BigInt => "\"long\"".to_owned(),
        SqlType::Double => "\"double\"".to_owned(),
        SqlType::Boolean => "\"boolean\"".to_owned(),
        SqlType::Varchar | SqlType::Json => "\"string\"".to_owned(),
        SqlType::Date => "\"date\"".to_owned(),
        SqlType::Timestamp => "\"timestamptz\"".to_owned(),
        SqlType::Decimal { precision, scale } => format!("\"decimal({precision}, {scale})\""),
        SqlType::Array(item) => {
            let id = number();
            let item = iceberg_type(item, last);
            format!(r#"{{"type":"list","element-id":{id},"element-required":false,"element":{item}}}"#)
        }
        SqlType::Map(value) => {
            let (key_id, value_id) = (number(), number());
            let value = iceberg_type(value, last);
            format!(r#"{{"type":"map","key-id":{key_id},"key":"string","value-id":{value_id},"value-required":false,"#)
                + &format!(r#""value":{value}}}"#)
        }
        SqlType::Struct(fields) => {
            let mut field = |field: &StructField| {
                *last += 1;
                let (id, name) = (*last, &field.name);
                let kind = iceberg_type(&field.sql_type, last);
                format!(r#"{{"id":{id},"name":"{name}","required":false,"type":{kind}}}"#)
            };
            let fields: Vec<String> = fields.iter().map(&mut field).collect();
            format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload;
    use serde_json::Value;

    #[test]
    fn every_field_of_every_event_has_its_column() {
        let mut events = workload::events(workload::MERCHANTS);
        let mut buffer = Vec::new();
        for number in 0..2_000 {
            buffer.clear();
            events.append(workload::happened_at(number), &mut buffer);
            let event: Value = serde_json::from_slice(&buffer).expect("events are JSON");
            let fields = event.as_object().expect("an object");
            let unknown: Vec<&String> =
                fields.keys().filter(|field| !COLUMNS.iter().any(|(name, _)| name == field)).collect();
            assert!(unknown.is_empty(), "no column for {unknown:?}");
        }
    }

    #[test]
    fn all_systems_are_given_the_same_types() {
        let schema: Value = serde_json::from_str(&iceberg()).expect("valid JSON");
        assert_eq!(schema["fields"].as_array().map(Vec::len), Some(COLUMNS.len()));
        assert!(duckdb().contains(r#"page: 'STRUCT("type" VARCHAR, "url" VARCHAR"#));
        assert_eq!(yaml().lines().count(), COLUMNS.len());
    }
}

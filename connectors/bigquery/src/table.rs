//! The table that rows go to: what it must be, what it lacks, and how it is made.

use crate::{
    settings::{Mode as UpsertMode, Settings, Unit, wrong},
    types::{Column, Kind, Mode},
};
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    TableFieldSchema,
    table_field_schema::{Mode as FoundMode, Type},
};
use outflow_api::{Blame, Fault};
use serde_json::{Value, json};

/// Columns that a table lacks, by their paths; none if rows fit.
///
/// # Errors
/// If a column is there and takes other values.
pub fn lacks(table: &str, columns: &[Column], found: &[TableFieldSchema]) -> Result<Vec<String>, Fault> {
    let mut lacking = Vec::new();
    compare(table, columns, found, "", &mut lacking)?;
    Ok(lacking)
}

fn compare(
    table: &str,
    columns: &[Column],
    found: &[TableFieldSchema],
    path: &str,
    lacking: &mut Vec<String>,
) -> Result<(), Fault> {
    for column in columns {
        let name = format!("{path}{}", column.name);
        match found.iter().find(|field| field.name.eq_ignore_ascii_case(&column.name)) {
            None => lacking.push(name),
            Some(field) => {
                fits(column, field).map_err(|why| unfit(table, &format!("column {name} {why}")))?;
                compare(table, column.members(), &field.fields, &format!("{name}."), lacking)?;
            }
        }
    }
    let known = |field: &TableFieldSchema| columns.iter().any(|column| column.name.eq_ignore_ascii_case(&field.name));
    let needed = |field: &&TableFieldSchema| field.mode() == FoundMode::Required && !known(field);
    match found.iter().find(needed) {
        Some(field) => {
            let name = format!("{path}{}", field.name);
            let mend = format!("ALTER TABLE `{table}` ALTER COLUMN {name} DROP NOT NULL");
            Err(unfit(table, &format!("column {name} is REQUIRED, and the model does not have it: {mend}")))
        }
        None => Ok(()),
    }
}

fn unfit(table: &str, what: &str) -> Fault {
    Fault::park(Blame::Merchant, "column-type", format!("rows do not fit {table}: {what}"))
}

fn fits(column: &Column, field: &TableFieldSchema) -> Result<(), String> {
    let is_array = field.mode() == FoundMode::Repeated;
    if is_array != (column.mode == Mode::Repeated) {
        let (is, needs) = if is_array { ("is", "no") } else { ("is no", "an") };
        return Err(format!("{is} array, and rows need {needs} array: deliver to another table, or change the model"));
    }
    if field.mode() == FoundMode::Required && column.mode == Mode::Nullable {
        return Err(
            "is REQUIRED, and the model lets it be null: ALTER COLUMN … DROP NOT NULL, or `required: true`".into()
        );
    }
    let takes = match (&column.kind, field.r#type()) {
        (Kind::Int64, Type::Int64)
        | (Kind::Float64, Type::Double)
        | (Kind::Bool, Type::Bool)
        | (Kind::String | Kind::Json, Type::String)
        | (Kind::Date, Type::Date)
        | (Kind::Timestamp, Type::Timestamp)
        | (Kind::Json, Type::Json)
        | (Kind::Struct(_), Type::Struct) => true,
        (Kind::Numeric { precision, scale }, Type::Numeric)
        | (Kind::BigNumeric { precision, scale }, Type::Bignumeric) => holds(field, *precision, *scale),
        _ => false,
    };
    if takes {
        return Ok(());
    }
    let (found, sql) = (field.r#type().as_str_name(), column.kind.sql());
    Err(format!("is {}, and rows need {sql}: deliver to another table, or change the model", shown(found, field)))
}

/// NUMERIC without parameters holds all that a NUMERIC can.
fn holds(field: &TableFieldSchema, precision: u8, scale: u8) -> bool {
    let integers = i64::from(precision - scale);
    field.precision == 0 || (field.scale >= i64::from(scale) && field.precision - field.scale >= integers)
}

fn shown(sql: &str, field: &TableFieldSchema) -> String {
    match field.precision {
        0 => sql.to_owned(),
        precision => format!("{sql}({precision},{})", field.scale),
    }
}

/// Settings that name columns are of no use for a model that lacks them.
pub fn check(settings: &Settings, columns: &[Column]) -> Result<(), Fault> {
    let find = |name: &str| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    if let Some(name) = &settings.partition_by {
        let kind = find(name).filter(|column| column.mode != Mode::Repeated).map(|column| &column.kind);
        match (kind, settings.partition_unit) {
            (Some(Kind::Timestamp), _) | (Some(Kind::Date), Unit::Day | Unit::Month | Unit::Year) => {}
            (Some(Kind::Date), Unit::Hour) => {
                return Err(wrong(format!(
                    "partition_by: {name} is a DATE, which has no hours: use day, month or year"
                )));
            }
            _ => return Err(wrong(format!("partition_by: {name} is no TIMESTAMP or DATE column of the model"))),
        }
    }
    for name in settings.cluster_by() {
        let fit = |column: &&Column| {
            let clusters = !matches!(column.kind, Kind::Float64 | Kind::Json | Kind::Struct(_));
            clusters && column.mode != Mode::Repeated
        };
        if find(name).filter(fit).is_none() {
            let hint = format!(
                "cluster_by: {name} is no column of the model by which BigQuery clusters: BIGINT, VARCHAR, BOOLEAN, \
                 DATE, TIMESTAMP or DECIMAL"
            );
            return Err(wrong(hint));
        }
    }
    Ok(())
}

/// By its primary key the service knows which row a change is of.
///
/// # Errors
/// If the table has none, or another one.
pub fn check_key(table: &str, key: &[&str], body: &Value) -> Result<(), Fault> {
    let columns = body["tableConstraints"]["primaryKey"]["columns"].as_array();
    let found: Vec<&str> = columns.into_iter().flatten().filter_map(Value::as_str).collect();
    let is_in = |name: &str, names: &[&str]| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    if found.is_empty() {
        let key = key.join(", ");
        let hint = format!(
            "{table} has no primary key, and mode upsert needs one: ALTER TABLE `{table}` ADD PRIMARY KEY ({key}) NOT \
             ENFORCED"
        );
        return Err(Fault::park(Blame::Merchant, "primary-key-missing", hint));
    }
    if found.len() == key.len() && key.iter().all(|name| is_in(name, &found)) {
        return Ok(());
    }
    let hint = format!(
        "the primary key of {table} is ({}), and the setting `key` names ({}): make them the same",
        found.join(", "),
        key.join(", ")
    );
    Err(Fault::park(Blame::Merchant, "primary-key-differs", hint))
}

/// The columns of a table's JSON.
pub fn fields(json: &Value) -> Vec<TableFieldSchema> {
    let field = |json: &Value| {
        let text = |name: &str| json[name].as_str().unwrap_or_default();
        let number = |name: &str| text(name).parse().unwrap_or(0);
        // Tables know their types by older names, too.
        let kind = match text("type") {
            "INTEGER" => "INT64",
            "FLOAT" | "FLOAT64" => "DOUBLE",
            "BOOLEAN" => "BOOL",
            "RECORD" => "STRUCT",
            other => other,
        };
        TableFieldSchema {
            name: text("name").to_owned(),
            r#type: Type::from_str_name(kind).unwrap_or_default().into(),
            mode: FoundMode::from_str_name(text("mode")).unwrap_or(FoundMode::Nullable).into(),
            fields: fields(&json["fields"]),
            precision: number("precision"),
            scale: number("scale"),
            ..TableFieldSchema::default()
        }
    };
    json.as_array().into_iter().flatten().map(field).collect()
}

/// As the tables' interface writes a span of time.
fn interval(seconds: u32) -> String {
    format!("0-0 0 {}:{}:{}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// The body of `tables.insert`.
pub fn made(settings: &Settings, columns: &[Column]) -> Value {
    let Settings { project, dataset, table, .. } = settings;
    let mut body = json!({
        "tableReference": { "projectId": project, "datasetId": dataset, "tableId": table },
        "schema": { "fields": columns.iter().map(field).collect::<Vec<Value>>() },
    });
    if let Some(column) = &settings.partition_by {
        let unit = match settings.partition_unit {
            Unit::Hour => "HOUR",
            Unit::Day => "DAY",
            Unit::Month => "MONTH",
            Unit::Year => "YEAR",
        };
        body["timePartitioning"] = json!({ "type": unit, "field": column });
    }
    if settings.cluster_by.is_some() {
        body["clustering"] = json!({ "fields": settings.cluster_by() });
    }
    if settings.mode == UpsertMode::Upsert {
        body["tableConstraints"] = json!({ "primaryKey": { "columns": settings.key.columns() } });
    }
    if let Some(seconds) = settings.max_staleness_s {
        body["maxStaleness"] = json!(interval(seconds));
    }
    body
}

/// What is there, as the tables' interface writes it, and behind it what is lacking. Nothing that is there changes.
pub fn added(found: &Value, columns: &[Column]) -> Value {
    let mut fields = found.as_array().cloned().unwrap_or_default();
    for column in columns {
        let same =
            |field: &&mut Value| field["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&column.name));
        match fields.iter_mut().find(same) {
            Some(there) if !column.members().is_empty() => there["fields"] = added(&there["fields"], column.members()),
            Some(_) => {}
            // No row that is there has it.
            None => fields.push(field(&Column { mode: relaxed(column.mode), ..column.clone() })),
        }
    }
    Value::Array(fields)
}

fn relaxed(mode: Mode) -> Mode {
    if mode == Mode::Required { Mode::Nullable } else { mode }
}

fn field(column: &Column) -> Value {
    let mode = match column.mode {
        Mode::Nullable => "NULLABLE",
        Mode::Required => "REQUIRED",
        Mode::Repeated => "REPEATED",
    };
    let mut made = json!({ "name": column.name, "type": column.kind.sql(), "mode": mode });
    if !column.members().is_empty() {
        made["type"] = json!("RECORD");
        made["fields"] = column.members().iter().map(field).collect();
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Kind, mode: Mode) -> Column {
        Column { name: name.to_owned(), kind, mode }
    }

    fn columns() -> Vec<Column> {
        let sku = column("sku", Kind::String, Mode::Nullable);
        vec![
            column("id", Kind::Int64, Mode::Required),
            column("price", Kind::Numeric { precision: 18, scale: 2 }, Mode::Nullable),
            column("items", Kind::Struct(vec![sku]), Mode::Repeated),
        ]
    }

    fn there(name: &str, r#type: Type, mode: FoundMode, fields: Vec<TableFieldSchema>) -> TableFieldSchema {
        TableFieldSchema {
            name: name.to_owned(),
            r#type: r#type.into(),
            mode: mode.into(),
            fields,
            ..Default::default()
        }
    }

    fn whole() -> Vec<TableFieldSchema> {
        let sku = there("sku", Type::String, FoundMode::Nullable, Vec::new());
        vec![
            there("ID", Type::Int64, FoundMode::Nullable, Vec::new()),
            there("price", Type::Numeric, FoundMode::Nullable, Vec::new()),
            there("items", Type::Struct, FoundMode::Repeated, vec![sku]),
            there("theirs", Type::Geography, FoundMode::Nullable, Vec::new()),
        ]
    }

    #[test]
    fn a_table_lacks_what_it_does_not_have_at_any_depth() {
        let lacking = |found: &[TableFieldSchema]| lacks("t", &columns(), found).expect("nothing is in the way");
        assert_eq!(lacking(&whole()), [""; 0]);
        assert_eq!(lacking(&[]), ["id", "price", "items"]);
        let mut found = whole();
        found[2].fields.clear();
        found.remove(0);
        assert_eq!(lacking(&found), ["id", "items.sku"]);
    }

    #[test]
    fn a_column_that_takes_other_values_is_named_with_what_mends_it() {
        let told = |change: fn(&mut Vec<TableFieldSchema>)| {
            let mut found = whole();
            change(&mut found);
            lacks("t", &columns(), &found).expect_err("they do not fit").to_string()
        };
        assert!(told(|found| found[0].r#type = Type::String.into()).contains("id is STRING, and rows need INT64"));
        let narrow = told(|found| (found[1].precision, found[1].scale) = (10, 2));
        assert!(narrow.contains("price is NUMERIC(10,2), and rows need NUMERIC"), "{narrow}");
        assert!(told(|found| found[1].mode = FoundMode::Required.into()).contains("DROP NOT NULL"));
        assert!(told(|found| found[2].mode = FoundMode::Nullable.into()).contains("is no array"));
        assert!(told(|found| found[3].mode = FoundMode::Required.into()).contains("theirs is REQUIRED"));
        assert!(told(|found| found[2].fields[0].r#type = Type::Bytes.into()).contains("items.sku is BYTES"));
    }

    #[test]
    fn a_table_without_the_primary_key_is_told_the_statement_that_gives_it_one() {
        let told = |found: Value| {
            let body = json!({ "tableConstraints": { "primaryKey": { "columns": found } } });
            check_key("p.d.t", &["id", "line"], &body).map_err(|fault| fault.to_string())
        };
        told(json!(["LINE", "id"])).expect("the same");
        let none = told(Value::Null).expect_err("it has none");
        assert!(none.contains("ALTER TABLE `p.d.t` ADD PRIMARY KEY (id, line) NOT ENFORCED"), "{none}");
        for other in [json!(["id"]), json!(["id", "row"]), json!(["id", "line", "row"])] {
            assert!(told(other).expect_err("another one").starts_with("primary-key-differs: "));
        }
    }

    #[test]
    fn what_is_added_stands_behind_what_is_there_and_may_be_null() {
        let found = json!([
            { "name": "items", "type": "RECORD", "mode": "REPEATED", "fields": [{ "name": "theirs", "type": "DATE" }] },
            { "name": "price", "type": "NUMERIC", "description": "kept" },
        ]);
        let expected = json!([
            { "name": "items", "type": "RECORD", "mode": "REPEATED", "fields": [
                { "name": "theirs", "type": "DATE" },
                { "name": "sku", "type": "STRING", "mode": "NULLABLE" },
            ] },
            { "name": "price", "type": "NUMERIC", "description": "kept" },
            { "name": "id", "type": "INT64", "mode": "NULLABLE" },
        ]);
        assert_eq!(added(&found, &columns()), expected);
    }

    #[test]
    fn a_table_is_made_with_partitions_and_clusters_of_columns_that_have_them() {
        let read = |changes: Value| {
            let mut settings = json!({ "project": "p", "dataset": "d", "table": "t" });
            settings.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
            Settings::read(&settings).expect("right")
        };
        let mut columns = columns();
        columns.push(column("at", Kind::Timestamp, Mode::Nullable));
        let settings = read(json!({ "partition_by": "at", "partition_unit": "month", "cluster_by": "id, price" }));
        check(&settings, &columns).expect("it has them");
        let body = made(&settings, &columns);
        assert_eq!(body["timePartitioning"], json!({ "type": "MONTH", "field": "at" }));
        assert_eq!(body["clustering"], json!({ "fields": ["id", "price"] }));
        assert_eq!(body["schema"]["fields"][0], json!({ "name": "id", "type": "INT64", "mode": "REQUIRED" }));
        assert!(body["tableConstraints"].is_null() && body["maxStaleness"].is_null());
        let upsert = json!({ "mode": "upsert", "key": ["id"], "version": "at", "max_staleness_s": 5_430 });
        let body = made(&read(upsert), &columns);
        assert_eq!(body["tableConstraints"], json!({ "primaryKey": { "columns": ["id"] } }));
        assert_eq!(body["maxStaleness"], "0-0 0 1:30:30");
        let told = |changes: Value| check(&read(changes), &columns).expect_err("refused").to_string();
        assert!(told(json!({ "partition_by": "id" })).contains("no TIMESTAMP or DATE column"));
        assert!(told(json!({ "cluster_by": "items" })).contains("by which BigQuery clusters"));
        columns.push(column("day", Kind::Date, Mode::Nullable));
        let hours = read(json!({ "partition_by": "day", "partition_unit": "hour" }));
        assert!(check(&hours, &columns).expect_err("refused").to_string().contains("has no hours"));
    }
}

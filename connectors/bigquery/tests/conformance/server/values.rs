//! Which rows a table refuses, and why.

use arrow_array::{Array, RecordBatch, cast::AsArray, types::Decimal128Type};
use arrow_schema::{DataType, Schema, TimeUnit};
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    TableFieldSchema,
    table_field_schema::{Mode, Type},
};

/// Why no row of such a schema is taken: which, and whether it is for columns that the table does not have.
pub struct Mismatch {
    pub is_extra: bool,
    pub why: String,
}

pub fn check_schema(schema: &Schema, fields: &[TableFieldSchema]) -> Result<(), Mismatch> {
    let names = schema.fields().iter().map(|field| (field.name().as_str(), field.data_type()));
    check_fields(&names.collect::<Vec<_>>(), fields)
}

fn check_fields(given: &[(&str, &DataType)], fields: &[TableFieldSchema]) -> Result<(), Mismatch> {
    for (name, data_type) in given {
        let Some(field) = find(fields, name) else {
            return Err(Mismatch { is_extra: true, why: format!("Input schema has more fields: {name}") });
        };
        let inner = match (field.mode(), data_type) {
            (Mode::Repeated, DataType::List(item)) => item.data_type(),
            (Mode::Repeated, _) => return Err(mismatch(name, data_type, field)),
            (_, data_type) => data_type,
        };
        match (field.r#type(), inner) {
            (Type::Struct, DataType::Struct(members)) => {
                let members = members.iter().map(|member| (member.name().as_str(), member.data_type()));
                check_fields(&members.collect::<Vec<_>>(), &field.fields)?;
            }
            (sql, inner) if takes(sql, inner) => {}
            _ => return Err(mismatch(name, data_type, field)),
        }
    }
    let left_out = |field: &&TableFieldSchema| {
        field.mode() == Mode::Required && !given.iter().any(|(name, _)| field.name.eq_ignore_ascii_case(name))
    };
    match fields.iter().find(left_out) {
        Some(field) => Err(Mismatch { is_extra: false, why: format!("Required field {} is missing", field.name) }),
        None => Ok(()),
    }
}

fn find<'f>(fields: &'f [TableFieldSchema], name: &str) -> Option<&'f TableFieldSchema> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}

fn mismatch(name: &str, data_type: &DataType, field: &TableFieldSchema) -> Mismatch {
    let why = format!("Field {name} of Arrow type {data_type} is no {}", field.r#type().as_str_name());
    Mismatch { is_extra: false, why }
}

/// The documented table of Arrow types.
fn takes(sql: Type, data_type: &DataType) -> bool {
    match (sql, data_type) {
        (Type::Int64, DataType::Int64)
        | (Type::Double, DataType::Float64)
        | (Type::Bool, DataType::Boolean)
        | (Type::String | Type::Json, DataType::Utf8)
        | (Type::Date, DataType::Date32) => true,
        (Type::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, Some(zone))) => &**zone == "UTC",
        (Type::Numeric, DataType::Decimal128(precision, scale)) => {
            (0..=9).contains(scale) && precision.cast_signed() - scale <= 29
        }
        (Type::Bignumeric, DataType::Decimal256(precision, scale)) => {
            (0..=38).contains(scale) && precision.cast_signed() - scale <= 38
        }
        _ => false,
    }
}

/// Rising by row, one reason each.
pub fn refused(rows: &RecordBatch, fields: &[TableFieldSchema]) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
        let Some(known) = find(fields, field.name()) else { continue };
        let reasons = (0..rows.num_rows()).filter_map(|row| Some((row, why_refused(array, row, known)?)));
        found.extend(reasons);
    }
    found.sort();
    found.dedup_by_key(|(row, _)| *row);
    found
}

fn why_refused(array: &dyn Array, at: usize, field: &TableFieldSchema) -> Option<String> {
    let name = &field.name;
    if array.is_null(at) {
        return match field.mode() {
            Mode::Required => Some(format!("Field {name}: null value in a REQUIRED field")),
            Mode::Repeated => Some(format!("Field {name}: a repeated field is null, and not empty")),
            _ => None,
        };
    }
    if field.mode() == Mode::Repeated {
        let items = array.as_list::<i32>().value(at);
        let single = TableFieldSchema { mode: Mode::Required.into(), ..field.clone() };
        return (0..items.len()).find_map(|item| why_refused(&items, item, &single));
    }
    match field.r#type() {
        Type::Struct => {
            let parts = array.as_struct();
            let names = parts.fields().iter().zip(parts.columns());
            names
                .filter_map(|(part, values)| Some((find(&field.fields, part.name())?, values)))
                .find_map(|(known, values)| why_refused(values, at, known))
        }
        Type::String => {
            let (length, most) = (array.as_string::<i32>().value(at).chars().count() as i64, field.max_length);
            (most > 0 && length > most).then(|| format!("Field {name}: maximum length {most}, length {length}"))
        }
        Type::Json => {
            let text = array.as_string::<i32>().value(at);
            let broken = serde_json::from_str::<serde_json::Value>(text).is_err();
            broken.then(|| format!("Field {name}: invalid JSON"))
        }
        Type::Numeric if field.precision > 0 => {
            let value = array.as_primitive::<Decimal128Type>().value(at).unsigned_abs();
            let digits = (field.precision - field.scale) as u32;
            let DataType::Decimal128(_, scale) = array.data_type() else { return None };
            let integer = value / 10_u128.pow(u32::from(scale.cast_unsigned()));
            (integer >= 10_u128.pow(digits)).then(|| format!("Field {name}: numeric out of range"))
        }
        _ => None,
    }
}

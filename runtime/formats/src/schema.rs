use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use outflow_api::{SqlType, StructField};
use std::{collections::HashMap, sync::Arc};

const EXTENSION_KEY: &str = "ARROW:extension:name";
const JSON_EXTENSION: &str = "arrow.json";

/// Names of the parts of lists and maps are those that the Parquet specification gives them.
pub fn data_type(sql_type: &SqlType) -> DataType {
    match sql_type {
        SqlType::BigInt => DataType::Int64,
        SqlType::Double => DataType::Float64,
        SqlType::Boolean => DataType::Boolean,
        SqlType::Varchar | SqlType::Json => DataType::Utf8,
        SqlType::Date => DataType::Date32,
        SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        SqlType::Decimal { precision, scale } => DataType::Decimal128(*precision, scale.cast_signed()),
        SqlType::Struct(fields) => DataType::Struct(struct_fields(fields)),
        SqlType::Array(item) => DataType::List(element_field(item)),
        SqlType::Map(value) => DataType::Map(entries_field(value), false),
    }
}

/// A JSON column is text with Arrow's mark for JSON, so that writers can tell it from VARCHAR.
pub fn field(name: &str, sql_type: &SqlType, nullable: bool) -> FieldRef {
    let field = Field::new(name, data_type(sql_type), nullable);
    let metadata = match sql_type {
        SqlType::Json => HashMap::from([(EXTENSION_KEY.to_owned(), JSON_EXTENSION.to_owned())]),
        _ => HashMap::new(),
    };
    Arc::new(field.with_metadata(metadata))
}

/// Is this a column of JSON text?
pub fn is_json(field: &Field) -> bool {
    *field.data_type() == DataType::Utf8
        && field.metadata().get(EXTENSION_KEY).is_some_and(|name| name == JSON_EXTENSION)
}

/// The other way round: what a column is, as people write it. None of what no model makes.
pub fn sql_type(field: &Field) -> Option<SqlType> {
    Some(match field.data_type() {
        DataType::Int64 => SqlType::BigInt,
        DataType::Float64 => SqlType::Double,
        DataType::Boolean => SqlType::Boolean,
        DataType::Utf8 if is_json(field) => SqlType::Json,
        DataType::Utf8 => SqlType::Varchar,
        DataType::Date32 => SqlType::Date,
        DataType::Timestamp(..) => SqlType::Timestamp,
        DataType::Decimal128(precision, scale) => {
            SqlType::Decimal { precision: *precision, scale: scale.cast_unsigned() }
        }
        DataType::Struct(fields) => {
            let member =
                |field: &FieldRef| Some(StructField { name: field.name().clone(), sql_type: sql_type(field)? });
            SqlType::Struct(fields.iter().map(member).collect::<Option<_>>()?)
        }
        DataType::List(item) => SqlType::Array(Box::new(sql_type(item)?)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(parts) => SqlType::Map(Box::new(sql_type(parts.get(1)?)?)),
            _ => return None,
        },
        _ => return None,
    })
}

pub(crate) fn struct_fields(fields: &[StructField]) -> Fields {
    fields.iter().map(|member| field(&member.name, &member.sql_type, true)).collect()
}

pub(crate) fn element_field(item: &SqlType) -> FieldRef {
    field("element", item, true)
}

pub(crate) fn entries_field(value: &SqlType) -> FieldRef {
    let parts = Fields::from(vec![field("key", &SqlType::Varchar, false), field("value", value, true)]);
    Arc::new(Field::new("key_value", DataType::Struct(parts), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_columns_type_is_told_as_its_model_writes_it() {
        let text = "STRUCT<a BIGINT, b DOUBLE, c BOOLEAN, d VARCHAR, e DATE, f TIMESTAMP, g DECIMAL(18,2), \
                    h ARRAY<JSON>, i MAP<VARCHAR, ARRAY<BIGINT>>>";
        let column = field("all", &SqlType::parse(text).expect("a type"), true);
        assert_eq!(sql_type(&column).map(|told| told.to_string()).as_deref(), Some(text));
    }
}

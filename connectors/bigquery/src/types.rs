//! What a column of a model becomes in BigQuery.

use crate::settings::wrong;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use outflow_api::{Fault, SqlType, StructField};
use outflow_formats::sql_type;
use std::{collections::HashSet, sync::Arc};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub mode: Mode,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    Int64,
    Float64,
    Bool,
    String,
    Date,
    Timestamp,
    Numeric { precision: u8, scale: u8 },
    BigNumeric { precision: u8, scale: u8 },
    Json,
    Struct(Vec<Column>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Nullable,
    Required,
    /// ARRAY, and MAP, whose entries are structs. It holds no null, and is never null itself: that is an empty one.
    Repeated,
}

/// Digits of a NUMERIC before and behind the point; a BIGNUMERIC has 38 of each, which is more than any model has.
const NUMERIC_INTEGERS: u8 = 29;
const NUMERIC_SCALE: u8 = 9;
const NAME_CHARS_MAX: usize = 300;
const DEPTH_MAX: usize = 15;
const RESERVED: [&str; 9] = [
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
    "_CHANGE_SEQUENCE_NUMBER",
    "_CHANGE_TYPE",
    "_CHANGE_TIMESTAMP",
];
/// BigQuery keeps `_partition…` to itself, and the four belong together.
const LINEAGE: [(&str, &str); 4] = [
    ("_topic", "_kafka_topic"),
    ("_partition", "_kafka_partition"),
    ("_offset", "_kafka_offset"),
    ("_timestamp", "_kafka_timestamp"),
];

/// What BigQuery calls a column of the model.
pub fn renamed(name: &str) -> &str {
    LINEAGE.iter().find(|(ours, _)| *ours == name).map_or(name, |(_, new)| new)
}

/// All columns of a model.
pub fn columns(schema: &Schema) -> Result<Vec<Column>, Fault> {
    let column = |field: &Arc<Field>| {
        let name = renamed(field.name());
        let unknown = || wrong(format!("column {name} is {}, which no model has", field.data_type()));
        let mode = if field.is_nullable() { Mode::Nullable } else { Mode::Required };
        column(name, &sql_type(field).ok_or_else(unknown)?, mode, name, 0)
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<Column>, Fault>>()?;
    alike(&columns, "")?;
    Ok(columns)
}

fn column(name: &str, sql_type: &SqlType, mode: Mode, path: &str, depth: usize) -> Result<Column, Fault> {
    named(name, path)?;
    if depth > DEPTH_MAX {
        return Err(wrong(format!("column {path} is nested deeper than {DEPTH_MAX} levels: declare a part as JSON")));
    }
    let kind = match sql_type {
        SqlType::BigInt => Kind::Int64,
        SqlType::Double => Kind::Float64,
        SqlType::Boolean => Kind::Bool,
        SqlType::Varchar => Kind::String,
        SqlType::Date => Kind::Date,
        SqlType::Timestamp => Kind::Timestamp,
        SqlType::Json => Kind::Json,
        SqlType::Decimal { precision, scale } => decimal(*precision, *scale),
        SqlType::Struct(fields) => Kind::Struct(members(fields, path, depth)?),
        SqlType::Array(item) => return repeated(name, item, path, depth),
        SqlType::Map(value) => {
            let part =
                |name: &str, sql_type: &SqlType| StructField { name: name.to_owned(), sql_type: sql_type.clone() };
            let entry = SqlType::Struct(vec![part("key", &SqlType::Varchar), part("value", value)]);
            return repeated(name, &entry, path, depth);
        }
    };
    Ok(Column { name: name.to_owned(), kind, mode })
}

fn repeated(name: &str, item: &SqlType, path: &str, depth: usize) -> Result<Column, Fault> {
    if matches!(item, SqlType::Array(_) | SqlType::Map(_)) {
        return Err(wrong(format!(
            "column {path} is an array of {item}, and BigQuery has no arrays of arrays: declare it as JSON, or put a \
             STRUCT between the two"
        )));
    }
    let item = column(name, item, Mode::Nullable, path, depth)?;
    Ok(Column { mode: Mode::Repeated, ..item })
}

fn members(fields: &[StructField], path: &str, depth: usize) -> Result<Vec<Column>, Fault> {
    let member = |field: &StructField| {
        let path = format!("{path}.{}", field.name);
        column(&field.name, &field.sql_type, Mode::Nullable, &path, depth + 1)
    };
    let members = fields.iter().map(member).collect::<Result<Vec<Column>, Fault>>()?;
    alike(&members, &format!("{path}."))?;
    Ok(members)
}

fn decimal(precision: u8, scale: u8) -> Kind {
    let fits = scale <= NUMERIC_SCALE && precision - scale <= NUMERIC_INTEGERS;
    if fits { Kind::Numeric { precision, scale } } else { Kind::BigNumeric { precision, scale } }
}

fn named(name: &str, path: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins_well || !name.chars().all(allowed) || name.len() > NAME_CHARS_MAX {
        return Err(wrong(format!(
            "column {path}: a name in BigQuery is of letters, digits and _, does not begin with a digit, and has at \
             most {NAME_CHARS_MAX} characters: rename it in the model"
        )));
    }
    let upper = name.to_ascii_uppercase();
    match RESERVED.iter().find(|prefix| upper.starts_with(**prefix)) {
        Some(prefix) => Err(wrong(format!("column {path}: BigQuery keeps names that begin with {prefix} to itself"))),
        None => Ok(()),
    }
}

/// BigQuery does not tell `Id` from `id`.
fn alike(columns: &[Column], path: &str) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    match columns.iter().find(|column| !seen.insert(column.name.to_ascii_lowercase())) {
        Some(twice) => {
            let name = &twice.name;
            Err(wrong(format!("column {path}{name} is there twice, for BigQuery does not tell capital letters apart")))
        }
        None => Ok(()),
    }
}

impl Kind {
    /// As SQL names it.
    pub fn sql(&self) -> &'static str {
        match self {
            Kind::Int64 => "INT64",
            Kind::Float64 => "FLOAT64",
            Kind::Bool => "BOOL",
            Kind::String => "STRING",
            Kind::Date => "DATE",
            Kind::Timestamp => "TIMESTAMP",
            Kind::Numeric { .. } => "NUMERIC",
            Kind::BigNumeric { .. } => "BIGNUMERIC",
            Kind::Json => "JSON",
            Kind::Struct(_) => "STRUCT",
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Kind::Int64 => DataType::Int64,
            Kind::Float64 => DataType::Float64,
            Kind::Bool => DataType::Boolean,
            Kind::String | Kind::Json => DataType::Utf8,
            Kind::Date => DataType::Date32,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Numeric { precision, scale } => DataType::Decimal128(*precision, scale.cast_signed()),
            Kind::BigNumeric { precision, scale } => DataType::Decimal256(*precision, scale.cast_signed()),
            Kind::Struct(members) => DataType::Struct(members.iter().map(Column::field).collect()),
        }
    }
}

impl Column {
    /// As rows carry it.
    pub fn field(&self) -> Field {
        match self.mode {
            Mode::Repeated => {
                let item = Field::new("element", self.kind.data_type(), true);
                Field::new(&self.name, DataType::List(Arc::new(item)), true)
            }
            Mode::Nullable => Field::new(&self.name, self.kind.data_type(), true),
            Mode::Required => Field::new(&self.name, self.kind.data_type(), false),
        }
    }

    pub fn members(&self) -> &[Column] {
        match &self.kind {
            Kind::Struct(members) => members,
            _ => &[],
        }
    }
}

pub fn schema(columns: &[Column]) -> Arc<Schema> {
    Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<Field>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<Column, Fault> {
        column(name, &SqlType::parse(text).expect("a type"), Mode::Nullable, name, 0)
    }

    fn kind(text: &str) -> Kind {
        of("c", text).expect("BigQuery has it").kind
    }

    #[test]
    fn a_decimal_is_numeric_as_long_as_that_holds_all_its_digits() {
        assert_eq!(kind("DECIMAL(18,2)"), Kind::Numeric { precision: 18, scale: 2 });
        assert_eq!(kind("DECIMAL(38,9)"), Kind::Numeric { precision: 38, scale: 9 });
        assert_eq!(kind("DECIMAL(29,0)"), Kind::Numeric { precision: 29, scale: 0 });
        assert_eq!(kind("DECIMAL(30,0)"), Kind::BigNumeric { precision: 30, scale: 0 });
        assert_eq!(kind("DECIMAL(38,10)"), Kind::BigNumeric { precision: 38, scale: 10 });
        assert_eq!(kind("DECIMAL(10,10)"), Kind::BigNumeric { precision: 10, scale: 10 });
    }

    #[test]
    fn what_bigquery_does_not_have_is_refused_with_a_way_out() {
        let told = |name: &str, text: &str| of(name, text).expect_err("refused").to_string();
        assert!(told("c", "ARRAY<ARRAY<BIGINT>>").contains("declare it as JSON"));
        assert!(told("c", "STRUCT<a MAP<VARCHAR, ARRAY<MAP<VARCHAR, BIGINT>>>>").contains("c.a.value is an array"));
        assert!(told("_PARTITIONTIME", "BIGINT").contains("keeps names that begin with _PARTITION"));
        assert!(told("c", "STRUCT<_file_1 BIGINT>").contains("c._file_1"));
        assert!(told("größe", "BIGINT").contains("letters, digits and _"));
        assert!(told("1st", "BIGINT").contains("does not begin with a digit"));
        assert!(told("c", "STRUCT<a BIGINT, A BIGINT>").contains("c.A is there twice"));
        of("c", "MAP<VARCHAR, ARRAY<STRUCT<a ARRAY<BIGINT>>>>").expect("a struct is between them");
    }

    #[test]
    fn columns_that_say_where_a_row_comes_from_get_names_that_bigquery_allows() {
        let names = ["row", "_topic", "_partition", "_offset"].map(|name| Field::new(name, DataType::Int64, false));
        let names: Vec<String> =
            columns(&Schema::new(names.to_vec())).expect("allowed").into_iter().map(|column| column.name).collect();
        assert_eq!(names, ["row", "_kafka_topic", "_kafka_partition", "_kafka_offset"]);
    }
}

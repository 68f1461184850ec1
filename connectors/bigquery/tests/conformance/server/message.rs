//! Rows as protobuf messages: read by the description that came with them, and by nothing else.

use super::values::Mismatch;
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    TableFieldSchema,
    table_field_schema::{Mode, Type as Sql},
};
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

pub type Row = Map<String, Value>;

/// Columns that say what a row changes, and are none of the table's.
pub const PSEUDO: [&str; 2] = ["_CHANGE_TYPE", "_CHANGE_SEQUENCE_NUMBER"];

/// A description that needs no other one: each type is within it, and each name is there once.
pub fn check_self_contained(root: &DescriptorProto) -> Result<(), String> {
    let mut names: HashSet<&str> = HashSet::new();
    let types = root.nested_type.iter().map(DescriptorProto::name);
    let mut all = root.field.iter().map(FieldDescriptorProto::name).chain(types);
    if let Some(twice) = all.find(|name| !names.insert(*name)) {
        return Err(format!("{twice} is already defined in {}", root.name()));
    }
    for message in root.nested_type.iter().chain([root]) {
        let mut numbers = HashSet::new();
        for field in &message.field {
            let number = field.number();
            if !(1..=536_870_911).contains(&number) || (19_000..20_000).contains(&number) || !numbers.insert(number) {
                return Err(format!("field {} has number {number}", field.name()));
            }
            if field.r#type() == Type::Message {
                type_of(root, field).ok_or_else(|| format!("{} is not defined", field.type_name()))?;
            }
        }
    }
    Ok(())
}

fn type_of<'d>(root: &'d DescriptorProto, field: &FieldDescriptorProto) -> Option<&'d DescriptorProto> {
    root.nested_type.iter().find(|nested| nested.name() == field.type_name())
}

/// Whether rows of such a description fit the table.
pub fn check(root: &DescriptorProto, fields: &[TableFieldSchema]) -> Result<(), Mismatch> {
    check_message(root, root, fields)
}

fn check_message(
    root: &DescriptorProto,
    message: &DescriptorProto,
    fields: &[TableFieldSchema],
) -> Result<(), Mismatch> {
    for given in message.field.iter().filter(|field| !PSEUDO.contains(&field.name())) {
        let name = given.name();
        let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) else {
            return Err(Mismatch { is_extra: true, why: format!("Input schema has more fields: {name}") });
        };
        let is_array = field.mode() == Mode::Repeated;
        if is_array != (given.label() == Label::Repeated) || !takes(field.r#type(), given.r#type()) {
            let why =
                format!("Field {name} of {} is no {}", given.r#type().as_str_name(), field.r#type().as_str_name());
            return Err(Mismatch { is_extra: false, why });
        }
        if given.r#type() == Type::Message {
            let nested = type_of(root, given).expect("the description is self-contained");
            check_message(root, nested, &field.fields)?;
        }
    }
    Ok(())
}

/// Of the documented table, what has no other meaning.
fn takes(sql: Sql, given: Type) -> bool {
    matches!(
        (sql, given),
        (Sql::Int64 | Sql::Timestamp, Type::Int64)
            | (Sql::Double, Type::Double)
            | (Sql::Bool, Type::Bool)
            | (Sql::Date, Type::Int32)
            | (Sql::String | Sql::Json | Sql::Numeric | Sql::Bignumeric, Type::String)
            | (Sql::Struct, Type::Message)
    )
}

/// Fields that are not there are not in it.
pub fn decode(root: &DescriptorProto, message: &DescriptorProto, mut bytes: &[u8]) -> Result<Row, String> {
    let mut row = Row::new();
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).map_err(|error| error.to_string())?;
        let field = message.field.iter().find(|field| field.number() == number as i32);
        let field = field.ok_or_else(|| format!("field {number} is not described"))?;
        let value = value(root, field, wire, &mut bytes)?;
        match field.label() {
            Label::Repeated => match row.entry(field.name()).or_insert_with(|| json!([])) {
                Value::Array(items) => items.push(value),
                _ => unreachable!("a field has one label"),
            },
            _ => {
                row.insert(field.name().to_owned(), value);
            }
        }
    }
    Ok(row)
}

fn value(
    root: &DescriptorProto,
    field: &FieldDescriptorProto,
    wire: WireType,
    bytes: &mut &[u8],
) -> Result<Value, String> {
    let name = field.name();
    match (field.r#type(), wire) {
        (Type::Int64, WireType::Varint) => Ok(json!(varint(bytes)?.cast_signed())),
        (Type::Int32, WireType::Varint) => {
            let wide = varint(bytes)?.cast_signed();
            i32::try_from(wide).map(|value| json!(value)).map_err(|_| format!("{name} is beyond 32 bits"))
        }
        (Type::Bool, WireType::Varint) => Ok(json!(varint(bytes)? != 0)),
        (Type::Double, WireType::SixtyFourBit) => {
            let (value, rest) = bytes.split_first_chunk::<8>().ok_or("it is cut off")?;
            *bytes = rest;
            Ok(json!(f64::from_le_bytes(*value)))
        }
        (Type::String, WireType::LengthDelimited) => {
            let text = std::str::from_utf8(delimited(bytes)?).map_err(|_| format!("{name} is not UTF-8"))?;
            Ok(json!(text))
        }
        (Type::Message, WireType::LengthDelimited) => {
            let nested = type_of(root, field).ok_or("a type is missing")?;
            decode(root, nested, delimited(bytes)?).map(Value::Object)
        }
        (kind, wire) => Err(format!("{name} is {}, and comes as {wire:?}", kind.as_str_name())),
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    decode_varint(bytes).map_err(|error| error.to_string())
}

fn delimited<'b>(bytes: &mut &'b [u8]) -> Result<&'b [u8], String> {
    let length = varint(bytes)? as usize;
    let (value, rest) = bytes.split_at_checked(length).ok_or("it is cut off")?;
    *bytes = rest;
    Ok(value)
}

/// Why a table does not take a row.
pub fn why_refused(row: &Row, fields: &[TableFieldSchema]) -> Option<String> {
    fields.iter().find_map(|field| {
        let value = row.iter().find(|(name, _)| name.eq_ignore_ascii_case(&field.name)).map(|(_, value)| value);
        match (value, field.mode()) {
            (None, Mode::Required) => Some(format!("Field {}: null value in a REQUIRED field", field.name)),
            (None, _) => None,
            (Some(Value::Array(items)), Mode::Repeated) => items.iter().find_map(|item| of_value(item, field)),
            (Some(value), _) => of_value(value, field),
        }
    })
}

fn of_value(value: &Value, field: &TableFieldSchema) -> Option<String> {
    let name = &field.name;
    let text = value.as_str().unwrap_or_default();
    let wrong = |is_wrong: bool, what: &str| is_wrong.then(|| format!("Field {name}: {what}"));
    match field.r#type() {
        Sql::Struct => why_refused(value.as_object()?, &field.fields),
        Sql::String => wrong(field.max_length > 0 && text.chars().count() as i64 > field.max_length, "too long"),
        Sql::Json => wrong(serde_json::from_str::<Value>(text).is_err(), "invalid JSON"),
        Sql::Numeric => wrong(!is_decimal(text, 29, 9), "invalid NUMERIC"),
        Sql::Bignumeric => wrong(!is_decimal(text, 38, 38), "invalid BIGNUMERIC"),
        // From year 1 to year 9999.
        Sql::Date => wrong(!(-719_162..=2_932_896).contains(&value.as_i64()?), "invalid DATE"),
        Sql::Timestamp => {
            let allowed = -62_135_596_800_000_000..=253_402_300_799_999_999;
            wrong(!allowed.contains(&value.as_i64()?), "invalid TIMESTAMP")
        }
        _ => None,
    }
}

fn is_decimal(text: &str, integers: usize, decimals: usize) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (before, behind) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let needed = before.trim_start_matches('0').len();
    digits(before) && digits(behind) && needed <= integers && behind.trim_end_matches('0').len() <= decimals
}

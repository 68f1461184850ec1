//! What a row is as a protobuf message: a description that needs no other one.

use crate::types::{Column, Kind, Mode};
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

pub const CHANGE_TYPE: &str = "_CHANGE_TYPE";
pub const CHANGE_SEQUENCE_NUMBER: &str = "_CHANGE_SEQUENCE_NUMBER";

/// Fields have the numbers of their columns, from 1 on; behind them the two that say what a row changes.
pub fn of_changes(columns: &[Column]) -> DescriptorProto {
    let mut nested = Nested { prefix: prefix(columns), types: Vec::new() };
    let mut field = nested.fields(columns);
    for name in [CHANGE_TYPE, CHANGE_SEQUENCE_NUMBER] {
        field.push(described(name, field.len(), Label::Optional, Type::String, None));
    }
    DescriptorProto { name: Some("Row".to_owned()), field, nested_type: nested.types, ..DescriptorProto::default() }
}

/// Types of structs. They stand side by side in the row's own, as the service wants it.
struct Nested {
    prefix: String,
    types: Vec<DescriptorProto>,
}

/// Names of types and of fields share one space.
fn prefix(columns: &[Column]) -> String {
    let mut prefix = "Struct".to_owned();
    while begins(columns, &prefix) {
        prefix.push('_');
    }
    prefix
}

fn begins(columns: &[Column], prefix: &str) -> bool {
    columns.iter().any(|column| column.name.starts_with(prefix) || begins(column.members(), prefix))
}

impl Nested {
    fn fields(&mut self, columns: &[Column]) -> Vec<FieldDescriptorProto> {
        columns.iter().enumerate().map(|(at, column)| self.field(column, at)).collect()
    }

    fn field(&mut self, column: &Column, at: usize) -> FieldDescriptorProto {
        let label = if column.mode == Mode::Repeated { Label::Repeated } else { Label::Optional };
        let (kind, type_name) = match &column.kind {
            Kind::Int64 | Kind::Timestamp => (Type::Int64, None),
            Kind::Float64 => (Type::Double, None),
            Kind::Bool => (Type::Bool, None),
            Kind::Date => (Type::Int32, None),
            // Decimals are written out: their digits are exact, and the service takes them so.
            Kind::String | Kind::Json | Kind::Numeric { .. } | Kind::BigNumeric { .. } => (Type::String, None),
            Kind::Struct(members) => (Type::Message, Some(self.message(members))),
        };
        described(&column.name, at, label, kind, type_name)
    }

    fn message(&mut self, members: &[Column]) -> String {
        let field = self.fields(members);
        let name = format!("{}{}", self.prefix, self.types.len() + 1);
        self.types.push(DescriptorProto { name: Some(name.clone()), field, ..DescriptorProto::default() });
        name
    }
}

fn described(name: &str, at: usize, label: Label, kind: Type, type_name: Option<String>) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(at as i32 + 1),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name,
        ..FieldDescriptorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Kind) -> Column {
        Column { name: name.to_owned(), kind, mode: Mode::Nullable }
    }

    #[test]
    fn structs_are_types_of_the_row_itself_under_names_that_no_column_has() {
        let inner = Kind::Struct(vec![column("Struct_", Kind::Date)]);
        let outer = Kind::Struct(vec![column("a", inner.clone()), column("b", inner)]);
        let row = of_changes(&[column("Structure", Kind::Json), column("s", outer)]);
        let names: Vec<&str> = row.nested_type.iter().map(DescriptorProto::name).collect();
        assert_eq!(names, ["Struct__1", "Struct__2", "Struct__3"]);
        assert!(row.nested_type.iter().all(|nested| nested.nested_type.is_empty()));
        assert_eq!((row.field[1].type_name(), row.nested_type[2].field[0].type_name()), ("Struct__3", "Struct__1"));
        let numbers: Vec<(&str, i32)> = row.field.iter().map(|field| (field.name(), field.number())).collect();
        assert_eq!(numbers, [("Structure", 1), ("s", 2), (CHANGE_TYPE, 3), (CHANGE_SEQUENCE_NUMBER, 4)]);
    }
}

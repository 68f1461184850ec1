use crate::schema::field;
use arrow_schema::{Schema, SchemaRef};
use outflow_api::{Blame, Fault, Model, SqlType, UnknownFields};
use std::{collections::HashSet, sync::Arc};

pub const UNKNOWN: &str = "_unknown";
pub const LINEAGE: [(&str, SqlType, bool); 4] = [
    ("_topic", SqlType::Varchar, false),
    ("_partition", SqlType::BigInt, false),
    ("_offset", SqlType::BigInt, false),
    ("_timestamp", SqlType::Timestamp, true),
];

const COLUMNS_MAX: usize = 10_000;

/// Where the declared columns are found: a tree of the objects that paths lead through.
#[derive(Default, Debug)]
pub struct Group {
    pub places: Vec<Place>,
}

/// A field that columns are read from, or fields within it, or both.
#[derive(Debug)]
pub struct Place {
    pub name: String,
    /// Columns that are this field's value; none, and nothing within, where the model skips it.
    pub columns: Vec<usize>,
    pub within: Option<Group>,
}

impl Group {
    pub fn of(model: &Model) -> Group {
        let mut root = Group::default();
        for (index, column) in model.columns.iter().enumerate() {
            let (last, parents) = column.path.split_last().expect("checked: no path is empty");
            let group = parents.iter().fold(&mut root, |group, name| group.place(name).within.get_or_insert_default());
            group.place(last).columns.push(index);
        }
        for name in &model.skipped {
            root.place(name);
        }
        root
    }

    fn place(&mut self, name: &str) -> &mut Place {
        let index = self.places.iter().position(|place| place.name == name).unwrap_or_else(|| {
            self.places.push(Place { name: name.to_owned(), columns: Vec::new(), within: None });
            self.places.len() - 1
        });
        &mut self.places[index]
    }
}

pub fn schema(model: &Model) -> SchemaRef {
    let mut fields: Vec<_> =
        model.columns.iter().map(|column| field(&column.name, &column.sql_type, !column.required)).collect();
    if model.unknown == UnknownFields::Keep {
        fields.push(field(UNKNOWN, &SqlType::Json, true));
    }
    if model.lineage {
        fields.extend(LINEAGE.iter().map(|(name, sql_type, nullable)| field(name, sql_type, *nullable)));
    }
    Arc::new(Schema::new(fields))
}

/// What a model must satisfy before a record is read by it.
pub fn check(model: &Model) -> Result<(), Fault> {
    let refuse = |hint: String| Err(Fault::park(Blame::Us, "model-refused", hint));
    if model.columns.is_empty() || model.columns.len() > COLUMNS_MAX {
        return refuse(format!("the model needs 1 to {COLUMNS_MAX} columns; declare them under model.columns"));
    }
    let mut names = HashSet::new();
    for column in &model.columns {
        let name = &column.name;
        if name.is_empty() {
            return refuse("a column of the model has no name; give it one".to_owned());
        }
        if !names.insert(name.as_str()) {
            return refuse(format!("column {name:?} is declared twice; names of columns must differ"));
        }
        let ours = (model.lineage && LINEAGE.iter().any(|(lineage, ..)| lineage == name))
            || (model.unknown == UnknownFields::Keep && name == UNKNOWN);
        if ours {
            return refuse(format!("column {name:?} has the name of a column that Outflow adds; name it otherwise"));
        }
        if column.path.is_empty() || column.path.iter().any(String::is_empty) {
            return refuse(format!("column {name:?} has an empty path; name the field that it is read from"));
        }
        if column.path.len() > super::DEPTH_MAX as usize {
            return refuse(format!("the path of column {name:?} has more than {} steps", super::DEPTH_MAX));
        }
        if let Some(wrong) = wrong_type(&column.sql_type) {
            return refuse(format!("column {name:?}: {wrong}"));
        }
        if let Some(path) = column.hashed.iter().find(|path| !is_text(&column.sql_type, path)) {
            return refuse(format!("column {name:?} has no VARCHAR at {:?} that could be hashed", path.join(".")));
        }
    }
    Ok(())
}

fn is_text(sql_type: &SqlType, path: &[String]) -> bool {
    match path {
        [] => *sql_type == SqlType::Varchar,
        [name, rest @ ..] => {
            let field = sql_type.fields().iter().find(|field| field.name == *name);
            field.is_some_and(|field| is_text(&field.sql_type, rest))
        }
    }
}

/// Types made by hand may be what the type parser refuses.
fn wrong_type(sql_type: &SqlType) -> Option<String> {
    match sql_type {
        SqlType::Decimal { precision, scale } if !(1..=38).contains(precision) || scale > precision => {
            Some(format!("DECIMAL({precision},{scale}) needs 1 ≤ p ≤ 38 and 0 ≤ s ≤ p"))
        }
        SqlType::Struct(fields) if fields.is_empty() => Some("a STRUCT needs a field".to_owned()),
        SqlType::Struct(fields) => {
            let names: HashSet<_> = fields.iter().map(|field| &field.name).collect();
            if names.len() < fields.len() {
                return Some("a STRUCT names a field twice".to_owned());
            }
            fields.iter().find_map(|field| wrong_type(&field.sql_type))
        }
        SqlType::Array(item) | SqlType::Map(item) => wrong_type(item),
        _ => None,
    }
}

use crate::{nearest::nearest, problem::Problem};
use outflow_api::{Column, Model, SqlType};

/// A column of a model, or a field of a STRUCT column.
#[derive(Clone, PartialEq, Debug)]
pub struct Field<'a> {
    pub column: &'a Column,
    /// Names of fields from the column down; empty for the column itself.
    pub fields: Vec<&'a str>,
    pub sql_type: &'a SqlType,
}

/// What `customer.email` names: the column of that whole name, or else a field of the STRUCT column `customer`.
pub fn field<'a>(model: &'a Model, dotted: &str) -> Option<Field<'a>> {
    let whole = model.columns.iter().find(|column| column.name == dotted);
    let whole = whole.map(|column| Field { column, fields: Vec::new(), sql_type: &column.sql_type });
    whole.or_else(|| {
        model.columns.iter().find_map(|column| {
            let below = dotted.strip_prefix(column.name.as_str())?.strip_prefix('.')?;
            let mut found = Field { column, fields: Vec::new(), sql_type: &column.sql_type };
            for name in below.split('.') {
                let SqlType::Struct(fields) = found.sql_type else { return None };
                let next = fields.iter().find(|field| field.name == name)?;
                found.fields.push(&next.name);
                found.sql_type = &next.sql_type;
            }
            Some(found)
        })
    })
}

/// What is wrong with a delivery's `without` and `hash` under a connector's model.
pub fn check(model: &Model, without: &[Box<str>], hash: &[Box<str>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut found = |key: &str, named: &[Box<str>]| -> Vec<(String, Vec<String>)> {
        let mut paths = Vec::new();
        for name in named {
            match field(model, name) {
                Some(field) if key == "hash" && *field.sql_type != SqlType::Varchar => {
                    let problem = Problem::new(format!("`hash` can't take `{name}`, which is {}", field.sql_type));
                    problems.push(problem.allowed("columns and fields of type VARCHAR"));
                }
                Some(field) => paths.push((name.to_string(), path_of(&field))),
                None => problems.push(not_there(model, key, name)),
            }
        }
        paths
    };
    let (left_out, hashed) = (found("without", without), found("hash", hash));
    for (index, (name, path)) in left_out.iter().enumerate() {
        let others = left_out.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
        if let Some((below, _)) = others.chain(&hashed).find(|(_, other)| other.starts_with(path)) {
            let problem = Problem::new(format!("`without` leaves out `{name}`, and with it `{below}`"));
            problems.push(problem.hint(format!("say nothing more about `{below}`")));
        }
    }
    if problems.is_empty() {
        let left_out: Vec<Vec<String>> = left_out.into_iter().map(|(_, path)| path).collect();
        problems.extend(nothing_stays(model, &left_out));
    }
    problems
}

fn path_of(field: &Field<'_>) -> Vec<String> {
    std::iter::once(field.column.name.as_str()).chain(field.fields.iter().copied()).map(str::to_owned).collect()
}

fn not_there(model: &Model, key: &str, name: &str) -> Problem {
    let mut known = Vec::new();
    for column in &model.columns {
        names_below(&column.name, &column.sql_type, &mut known);
    }
    let problem = Problem::new(format!("`{key}` names `{name}`, which the connector's model has not"));
    let problem = problem.allowed("columns, and fields of STRUCT columns: customer.email");
    match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem,
    }
}

fn names_below(name: &str, sql_type: &SqlType, known: &mut Vec<String>) {
    known.push(name.to_owned());
    if let SqlType::Struct(fields) = sql_type {
        fields.iter().for_each(|field| names_below(&format!("{name}.{}", field.name), &field.sql_type, known));
    }
}

/// A table without columns is none, and neither is a STRUCT without fields.
fn nothing_stays(model: &Model, left_out: &[Vec<String>]) -> Option<Problem> {
    let named = |path: &[String]| left_out.iter().any(|one| one == path);
    if model.columns.iter().all(|column| named(std::slice::from_ref(&column.name))) {
        return Some(Problem::new("`without` leaves out every column").hint("at least one column must stay"));
    }
    let emptied = left_out.iter().filter_map(|path| {
        let parent = &path[..path.len() - 1];
        let field = field(model, &parent.join("."))?;
        let SqlType::Struct(fields) = field.sql_type else { return None };
        let all = fields.iter().all(|one| named(&[parent, std::slice::from_ref(&one.name)].concat()));
        all.then(|| parent.join("."))
    });
    emptied.into_iter().next().map(|name| {
        let problem = Problem::new(format!("`without` leaves out every field of `{name}`"));
        problem.hint(format!("leave out `{name}` itself"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use outflow_api::UnknownFields;

    fn model() -> Model {
        let columns = [
            ("id", "BIGINT"),
            ("old.id", "VARCHAR"),
            ("customer", "STRUCT<email VARCHAR, address STRUCT<city VARCHAR, zip BIGINT>>"),
            ("items", "ARRAY<STRUCT<sku VARCHAR>>"),
        ];
        let column = |(name, sql_type): (&str, &str)| Column {
            name: name.to_owned(),
            sql_type: SqlType::parse(sql_type).expect("a type"),
            path: vec![name.to_owned()],
            required: false,
            hashed: Vec::new(),
        };
        let (columns, skipped) = (columns.map(column).into(), Vec::new());
        Model { columns, unknown: UnknownFields::Ignore, lineage: true, skipped }
    }

    fn told(without: &[&str], hash: &[&str]) -> String {
        let boxed = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<Box<str>>>();
        let problems = check(&model(), &boxed(without), &boxed(hash));
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn columns_and_fields_are_found_by_their_dotted_names() {
        let model = model();
        let found = field(&model, "customer.address.city").expect("it is there");
        assert_eq!((found.column.name.as_str(), found.fields), ("customer", vec!["address", "city"]));
        assert_eq!(field(&model, "old.id").expect("a dot in its name").fields, Vec::<&str>::new());
        assert_eq!(told(&["customer.email", "old.id"], &["customer.address.city"]), "");
    }

    #[test]
    fn what_the_model_has_not_is_refused_with_what_was_meant() {
        assert!(told(&["customer.emial"], &[]).contains("did you mean `customer.email`?"));
        assert!(told(&["items.sku"], &[]).contains("fields of STRUCT columns"));
        assert!(told(&[], &["customer.address.zip"]).contains("which is BIGINT"));
        assert!(told(&["customer"], &["customer.email"]).contains("and with it `customer.email`"));
        assert!(told(&["id"], &["old.id"]).is_empty());
    }

    #[test]
    fn something_stays() {
        assert!(told(&["customer", "id", "items", "old.id"], &[]).contains("every column"));
        assert!(told(&["customer.address.city", "customer.address.zip"], &[]).contains("`customer.address` itself"));
        assert!(told(&["customer.address", "customer.email"], &[]).contains("`customer` itself"));
    }
}

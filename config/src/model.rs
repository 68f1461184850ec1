use crate::{
    limits, names,
    problem::Problem,
    section::Section,
    yaml::{Node, Tree},
};
use outflow_api::{Column, Model, SqlType, SqlTypeError, UnknownFields};
use std::collections::HashMap;

/// Columns that we add ourselves.
const OUR_OWN: [&str; 5] = ["_topic", "_partition", "_offset", "_timestamp", "_unknown"];
const COLUMN_HINT: &str = "a column is written as { name: order_id, type: BIGINT, path: id, required: true }";

pub const UNKNOWN: [(&str, UnknownFields); 3] =
    [("ignore", UnknownFields::Ignore), ("keep", UnknownFields::Keep), ("reject", UnknownFields::Reject)];

pub fn model(connector: &Section<'_>) -> Option<Model> {
    connector.require("model", "declare the columns: `model: { columns: [ { name: id, type: BIGINT } ] }`")?;
    let section = connector.section("model", &["columns", "unknown", "lineage"])?;
    let unknown = section.choice("unknown", &UNKNOWN).unwrap_or_default();
    let lineage = section.flag("lineage", true);
    let node = section.require("columns", COLUMN_HINT)?;
    let path = section.path("columns");
    let Tree::List(items) = &node.tree else {
        let message = format!("`{path}` must be a list, not {}", node.kind());
        section.report.note(node.at, Problem::new(message).hint(COLUMN_HINT));
        return None;
    };
    if items.is_empty() || items.len() > limits::COLUMNS_MAX {
        let message = format!("`{path}` has {} columns", items.len());
        section.report.note(node.at, Problem::new(message).allowed(format!("1 to {} columns", limits::COLUMNS_MAX)));
    }
    let mut columns = Vec::new();
    let mut seen = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let Some(column) = column(&section, &format!("{path}[{index}]"), item) else { continue };
        // Warehouses do not tell `Id` from `id`.
        if let Some(first) = seen.insert(column.name.to_lowercase(), item.at.0) {
            let message = format!("column `{}` is there twice, first in line {first}", column.name);
            section.report.note(item.at, Problem::new(message).hint("case makes no difference: rename one of them"));
        }
        columns.push(column);
    }
    Some(Model { columns, unknown, lineage, skipped: Vec::new() })
}

fn column(model: &Section<'_>, name: &str, node: &Node) -> Option<Column> {
    let section = Section::new(model.report, name, node, &["name", "type", "path", "required"])?;
    let (named, typed) = (section.require("name", COLUMN_HINT), section.require("type", COLUMN_HINT));
    let path = path(&section);
    let required = section.flag("required", false);
    let name = named.and_then(|_| section.text("name", column_name));
    let sql_type = typed.and_then(|node| {
        let text = section.text("type", |_| Ok(()))?;
        let wrong = |error: SqlTypeError| {
            let (message, allowed) = error.message.split_once("; allowed: ").unwrap_or((&error.message, ""));
            let problem = Problem::new(format!("`{text}` is no type: {message}, at its character {}", error.at + 1));
            let problem = problem.hint("types with commas stand in quotes: \"DECIMAL(18,2)\"");
            let problem = if allowed.is_empty() { problem } else { problem.allowed(allowed) };
            section.report.note(node.at, problem);
        };
        SqlType::parse(&text).map_err(wrong).ok()
    });
    let (name, sql_type) = (name?, sql_type?);
    let path = path.unwrap_or_else(|| vec![name.clone()]);
    Some(Column { path, name, sql_type, required, hashed: Vec::new() })
}

/// `path: customer.email`, or a list for names that have dots themselves.
pub fn path(section: &Section<'_>) -> Option<Vec<String>> {
    let node = section.get("path")?;
    let steps = match &node.tree {
        Tree::List(_) => section.texts("path", |_| Ok(()))?.into_iter().map(|(_, step)| step).collect(),
        _ => section.text("path", |_| Ok(()))?.split('.').map(str::to_owned).collect::<Vec<_>>(),
    };
    if steps.is_empty() || steps.len() > limits::PATH_MAX || steps.iter().any(String::is_empty) {
        let allowed = format!("1 to {} names of fields: customer.email or [customer, email]", limits::PATH_MAX);
        section.report.note(node.at, Problem::new("the path has an empty step, or too many").allowed(allowed));
    }
    Some(steps)
}

fn column_name(text: &str) -> Result<(), String> {
    names::not_empty(text)?;
    if text.len() > limits::COLUMN_NAME_MAX || text.chars().any(char::is_control) {
        return Err(format!("at most {} bytes and no control characters", limits::COLUMN_NAME_MAX));
    }
    if OUR_OWN.contains(&text.to_lowercase().as_str()) {
        return Err(format!("any other name: {} are added by Outflow", OUR_OWN.join(", ")));
    }
    Ok(())
}

use crate::{
    connector::{ConnectorConfig, FORMATS, Format},
    model::UNKNOWN,
    problem::Problem,
    reference,
};
use outflow_api::{Column, Model, SqlType};
use serde_json::{Map, Value, json};

/// What the rows of a revision become and where they go, for ever; how they get there is always today's config.
#[derive(Clone, PartialEq, Debug)]
pub struct Pinned {
    pub connector: String,
    pub topics: Vec<String>,
    pub format: Format,
    pub model: Model,
    /// The sink's `type`.
    pub kind: String,
    /// Settings without any that hold a reference.
    pub settings: Value,
}

/// Canonical: the same meaning has the same text. Holds no secrets, and nothing that differs between workers.
pub fn pinned(connector: &ConnectorConfig) -> Value {
    let ConnectorConfig { name, topics, format, model, sink, .. } = connector;
    let columns = model.columns.iter().map(|column| {
        let Column { name, sql_type, path, required } = column;
        json!({ "name": name, "path": path, "required": required, "type": sql_type.to_string() })
    });
    let word = |found: Option<&str>| found.expect("each value of the enum has its word").to_owned();
    let unknown = UNKNOWN.iter().find(|(_, unknown)| *unknown == model.unknown).map(|(word, _)| *word);
    let format = FORMATS.iter().find(|(_, known)| known == format).map(|(word, _)| *word);
    canonical(&json!({
        "version": 1,
        "connector": name,
        "topics": topics,
        "format": word(format),
        "model": { "columns": columns.collect::<Vec<_>>(), "lineage": model.lineage, "unknown": word(unknown) },
        "sink": { "type": sink.kind, "settings": without_references(&sink.settings).unwrap_or_else(|| json!({})) },
    }))
}

impl Pinned {
    pub fn read(value: &Value) -> Result<Pinned, Problem> {
        read(value).ok_or_else(|| {
            Problem::new("a pinned definition of a connector can't be read")
                .hint("it was written by a newer version of Outflow: run that version or a newer one")
        })
    }

    /// The pinned settings, with the references (credentials) of today's.
    pub fn settings_with(&self, today: &Value) -> Value {
        overlay(Some(&self.settings), today).unwrap_or_else(|| self.settings.clone())
    }
}

fn read(value: &Value) -> Option<Pinned> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = |value: &Value| value.as_array()?.iter().map(text).collect::<Option<Vec<String>>>();
    let column = |value: &Value| {
        Some(Column {
            name: text(value.get("name")?)?,
            sql_type: SqlType::parse(value.get("type")?.as_str()?).ok()?,
            path: texts(value.get("path")?)?,
            required: value.get("required")?.as_bool()?,
        })
    };
    if value.get("version")? != 1 {
        return None;
    }
    let (model, sink) = (value.get("model")?, value.get("sink")?);
    let unknown = model.get("unknown")?.as_str()?;
    let format = value.get("format")?.as_str()?;
    Some(Pinned {
        connector: text(value.get("connector")?)?,
        topics: texts(value.get("topics")?)?,
        format: FORMATS.iter().find(|(word, _)| *word == format)?.1,
        model: Model {
            columns: model.get("columns")?.as_array()?.iter().map(column).collect::<Option<_>>()?,
            unknown: UNKNOWN.iter().find(|(word, _)| *word == unknown)?.1,
            lineage: model.get("lineage")?.as_bool()?,
        },
        kind: text(sink.get("type")?)?,
        settings: sink.get("settings")?.clone(),
    })
}

fn without_references(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) if reference::has_one(text) => None,
        Value::Object(fields) => {
            let kept: Map<String, Value> =
                fields.iter().filter_map(|(name, value)| Some((name.clone(), without_references(value)?))).collect();
            (!kept.is_empty() || fields.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => Some(items.iter().filter_map(without_references).collect()),
        _ => Some(value.clone()),
    }
}

/// `pinned`, plus what of `today` holds references. Lists are pinned as a whole.
fn overlay(pinned: Option<&Value>, today: &Value) -> Option<Value> {
    match (pinned, today) {
        (None | Some(Value::Object(_)), Value::Object(fields)) => {
            let mut merged = pinned.and_then(Value::as_object).cloned().unwrap_or_default();
            for (name, value) in fields {
                if let Some(value) = overlay(merged.get(name), value) {
                    merged.insert(name.clone(), value);
                }
            }
            (pinned.is_some() || !merged.is_empty()).then_some(Value::Object(merged))
        }
        (_, Value::String(text)) if reference::has_one(text) => Some(today.clone()),
        _ => pinned.cloned(),
    }
}

/// Keys in order, whatever order the map type keeps.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            Value::Object(sorted.into_iter().map(|(name, value)| (name.clone(), canonical(value))).collect())
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        _ => value.clone(),
    }
}

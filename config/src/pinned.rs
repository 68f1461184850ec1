use crate::{
    connector::{ConnectorConfig, FORMATS, Format},
    model::UNKNOWN,
    only::Only,
    problem::Problem,
    reference,
    routing::{MerchantKey, Routing, UNKNOWN_MERCHANTS},
};
use outflow_api::{Column, Model, SqlType};
use serde_json::{Map, Value, json};

/// What the rows of a revision become, for ever.
#[derive(Clone, PartialEq, Debug)]
pub struct Shape {
    pub connector: String,
    pub topics: Vec<String>,
    pub format: Format,
    pub model: Model,
    pub routing: Option<Routing>,
}

/// Where rows of a revision go, and which and what of them, for ever; how they get there is always today's config.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    /// The sink's `type`.
    pub kind: String,
    /// Settings without any that hold a reference.
    pub settings: Value,
    pub only: Option<Only>,
    pub without: Vec<String>,
    pub hash: Vec<String>,
}

/// Readers of the first version know nothing of merchants. What has none of them is still written as they read it,
/// so that a newer program makes no new revision of it.
const FIRST: u64 = 1;
const WITH_MERCHANTS: u64 = 2;

/// Shape and, if the connector has a sink of its own, place in one. Canonical: the same meaning has the same text.
/// Holds no secrets, and nothing that differs between workers.
pub fn pinned(connector: &ConnectorConfig) -> Value {
    let mut pinned = pinned_shape(connector);
    if let Some(sink) = &connector.sink {
        pinned["sink"] = pinned_sink(&sink.kind, &sink.settings);
    }
    canonical(&pinned)
}

pub fn pinned_shape(connector: &ConnectorConfig) -> Value {
    let ConnectorConfig { name, topics, format, model, routing, .. } = connector;
    let columns = model.columns.iter().map(|column| {
        // A connector's model has no filters: those are a merchant's, and pinned as the names that they are.
        let Column { name, sql_type, path, required, hashed: _ } = column;
        json!({ "name": name, "path": path, "required": required, "type": sql_type.to_string() })
    });
    let mut shape = json!({
        "version": if routing.is_some() { WITH_MERCHANTS } else { FIRST },
        "connector": name,
        "topics": topics,
        "format": word(&FORMATS, format),
        "model": {
            "columns": columns.collect::<Vec<_>>(),
            "lineage": model.lineage,
            "unknown": word(&UNKNOWN, &model.unknown),
        },
    });
    if let Some(Routing { merchant, unknown }) = routing {
        shape["merchant"] = match merchant {
            MerchantKey::Key => json!({ "key": true }),
            MerchantKey::Header(name) => json!({ "header": name }),
            MerchantKey::Path(path) => json!({ "path": path }),
        };
        shape["unknown_merchants"] = word(&UNKNOWN_MERCHANTS, unknown).into();
    }
    canonical(&shape)
}

/// Of a merchant's delivery. `settings` is JSON text, as a delivery has it; names in any order.
pub fn pinned_place(
    kind: &str,
    settings: &str,
    only: Option<&Only>,
    without: &[impl AsRef<str>],
    hash: &[impl AsRef<str>],
) -> Value {
    let settings: Value = serde_json::from_str(settings).unwrap_or_else(|_| json!({}));
    let mut place = json!({ "version": WITH_MERCHANTS, "sink": pinned_sink(kind, &settings) });
    if let Some(Only { path, values }) = only {
        place["only"] = json!({ "path": path, "in": sorted(values) });
    }
    for (key, names) in [("without", sorted(without)), ("hash", sorted(hash))] {
        if !names.is_empty() {
            place[key] = names.into();
        }
    }
    canonical(&place)
}

fn pinned_sink(kind: &str, settings: &Value) -> Value {
    json!({ "type": kind, "settings": without_references(settings).unwrap_or_else(|| json!({})) })
}

fn sorted(names: &[impl AsRef<str>]) -> Vec<&str> {
    let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn word<T: PartialEq>(words: &'static [(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, known)| known == value).expect("each value of the enum has its word").0
}

impl Shape {
    /// From what `pinned` or `pinned_shape` wrote.
    pub fn read(value: &Value) -> Result<Shape, Problem> {
        read_shape(value).ok_or_else(|| unreadable("connector"))
    }
}

impl Place {
    /// From what `pinned` (of a connector with a sink) or `pinned_place` wrote.
    pub fn read(value: &Value) -> Result<Place, Problem> {
        read_place(value).ok_or_else(|| unreadable("destination"))
    }

    /// The pinned settings, with the references (credentials) of today's.
    pub fn settings_with(&self, today: &Value) -> Value {
        overlay(Some(&self.settings), today).unwrap_or_else(|| self.settings.clone())
    }
}

fn unreadable(what: &str) -> Problem {
    Problem::new(format!("a pinned definition of a {what} can't be read"))
        .hint("it was written by a newer version of Outflow: run that version or a newer one")
}

fn version(value: &Value) -> Option<u64> {
    value.get("version")?.as_u64().filter(|version| [FIRST, WITH_MERCHANTS].contains(version))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(text).collect()
}

fn meant<T: Copy>(words: &[(&str, T)], value: &Value) -> Option<T> {
    let written = value.as_str()?;
    words.iter().find(|(word, _)| *word == written).map(|(_, value)| *value)
}

fn read_shape(value: &Value) -> Option<Shape> {
    let column = |value: &Value| {
        Some(Column {
            name: text(value.get("name")?)?,
            sql_type: SqlType::parse(value.get("type")?.as_str()?).ok()?,
            path: texts(value.get("path")?)?,
            required: value.get("required")?.as_bool()?,
            hashed: Vec::new(),
        })
    };
    version(value)?;
    let model = value.get("model")?;
    let routing = match value.get("merchant") {
        None => None,
        Some(merchant) => Some(Routing {
            merchant: read_merchant(merchant)?,
            unknown: meant(&UNKNOWN_MERCHANTS, value.get("unknown_merchants")?)?,
        }),
    };
    Some(Shape {
        connector: text(value.get("connector")?)?,
        topics: texts(value.get("topics")?)?,
        format: meant(&FORMATS, value.get("format")?)?,
        model: Model {
            columns: model.get("columns")?.as_array()?.iter().map(column).collect::<Option<_>>()?,
            unknown: meant(&UNKNOWN, model.get("unknown")?)?,
            lineage: model.get("lineage")?.as_bool()?,
            skipped: Vec::new(),
        },
        routing,
    })
}

fn read_merchant(value: &Value) -> Option<MerchantKey> {
    if let Some(name) = value.get("header") {
        return text(name).map(MerchantKey::Header);
    }
    if let Some(path) = value.get("path") {
        return texts(path).map(MerchantKey::Path);
    }
    value.get("key")?.as_bool()?.then_some(MerchantKey::Key)
}

fn read_place(value: &Value) -> Option<Place> {
    version(value)?;
    let names = |key: &str| value.get(key).map_or_else(|| Some(Vec::new()), texts);
    let sink = value.get("sink")?;
    let only = match value.get("only") {
        None => None,
        Some(only) => Some(Only { path: texts(only.get("path")?)?, values: texts(only.get("in")?)? }),
    };
    Some(Place {
        kind: text(sink.get("type")?)?,
        settings: sink.get("settings")?.clone(),
        only,
        without: names("without")?,
        hash: names("hash")?,
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
pub fn canonical(value: &Value) -> Value {
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

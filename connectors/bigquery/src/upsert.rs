//! By what rows replace older ones of their key, as the settings say and the model allows.

use crate::{
    settings::{Mode, Settings, StreamKind, wrong},
    types::{Column, Kind, Mode as ColumnMode, renamed},
};
use outflow_api::Fault;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// Where a row comes from: it decides between two of one version.
const PLACE: [&str; 3] = ["_kafka_topic", "_kafka_partition", "_kafka_offset"];
/// The service's own limits.
const KEY_COLUMNS_MAX: usize = 16;
const COLUMNS_MAX: usize = 2_000;

/// Each by its place among the columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upsert {
    pub key: Vec<usize>,
    /// Greater in a newer row.
    pub version: usize,
    /// Says of a row that its key is gone.
    pub deleted: Option<usize>,
    pub topic: usize,
    pub partition: usize,
    pub offset: usize,
}

/// Names of columns: a list, or behind commas in a flat configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Key(pub Vec<String>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let names = match Value::deserialize(deserializer)? {
            Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
            Value::String(text) => Some(text.split(',').map(|name| name.trim().to_owned()).collect()),
            _ => None,
        };
        names.map(Key).ok_or_else(|| D::Error::custom("key: a list of columns expected, as [ order_id, line ]"))
    }
}

impl Key {
    /// As BigQuery calls them.
    pub fn columns(&self) -> Vec<&str> {
        self.0.iter().map(|name| renamed(name)).collect()
    }
}

impl Upsert {
    /// None: rows are appended.
    ///
    /// # Errors
    /// If the model has not what the settings name.
    pub fn of(settings: &Settings, columns: &[Column]) -> Result<Option<Upsert>, Fault> {
        let Settings { mode: Mode::Upsert, key, version: Some(version), deleted, .. } = settings else {
            return Ok(None);
        };
        if columns.len() > COLUMNS_MAX {
            let given = columns.len();
            let hint = format!("mode upsert: the model has {given} columns, and BigQuery takes {COLUMNS_MAX} there");
            return Err(wrong(hint));
        }
        let position = |name: &str| columns.iter().position(|column| column.name == name);
        let [Some(topic), Some(partition), Some(offset)] = PLACE.map(position) else {
            return Err(wrong("mode upsert needs the columns of lineage: leave model.lineage on"));
        };
        let find = |setting: &str, name: &str| {
            let all = || columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
            position(renamed(name))
                .ok_or_else(|| wrong(format!("{setting}: the model has no column {name:?}, but {}", all())))
        };
        let key = key.0.iter().map(|name| of_key(name, find("key", name)?, columns)).collect::<Result<Vec<_>, _>>()?;
        let version = of_version(version, find("version", version)?, &key, columns)?;
        let deleted = match deleted {
            Some(name) => Some(of_deleted(name, find("deleted", name)?, &key, columns)?),
            None => None,
        };
        Ok(Some(Upsert { key, version, deleted, topic, partition, offset }))
    }
}

fn of_key(name: &str, at: usize, columns: &[Column]) -> Result<usize, Fault> {
    let column = &columns[at];
    let names_no_row = matches!(column.kind, Kind::Float64 | Kind::Json | Kind::Struct(_));
    if names_no_row || column.mode == ColumnMode::Repeated || PLACE.contains(&column.name.as_str()) {
        let hint = format!("key: column {name:?} is DOUBLE, JSON, nested, or a place in Kafka: it names no row");
        return Err(wrong(hint));
    }
    Ok(at)
}

fn of_version(name: &str, at: usize, key: &[usize], columns: &[Column]) -> Result<usize, Fault> {
    let column = &columns[at];
    if PLACE.contains(&column.name.as_str()) {
        // PostgreSQL's rows say of which partition they are, and that is looked up there; BigQuery's are not read.
        return Err(wrong(format!(
            "version: {name:?} orders the records of one partition and says nothing about two, and nobody would see \
             the difference in BigQuery: use a column of the source that rises with each change, or _timestamp"
        )));
    }
    let kind = &column.kind;
    let rises =
        matches!(kind, Kind::Int64 | Kind::Timestamp | Kind::Date | Kind::Numeric { .. } | Kind::BigNumeric { .. });
    if !rises || column.mode == ColumnMode::Repeated || key.contains(&at) {
        let hint = format!("version: {name:?} must be a BIGINT, DECIMAL, DATE or TIMESTAMP outside of the key");
        return Err(wrong(hint));
    }
    Ok(at)
}

fn of_deleted(name: &str, at: usize, key: &[usize], columns: &[Column]) -> Result<usize, Fault> {
    let column = &columns[at];
    if column.kind != Kind::Bool || column.mode == ColumnMode::Repeated || key.contains(&at) {
        return Err(wrong(format!("deleted: column {name:?} must be a BOOLEAN outside of the key")));
    }
    Ok(at)
}

/// # Errors
/// If the settings do not fit together, whatever the model is.
pub fn check(settings: &Settings) -> Result<(), Fault> {
    let Settings { mode, key, version, deleted, max_staleness_s, .. } = settings;
    let names = &key.0;
    match mode {
        Mode::Append | Mode::Load
            if !names.is_empty() || version.is_some() || deleted.is_some() || max_staleness_s.is_some() =>
        {
            Err(wrong("key, version, deleted and max_staleness_s are of mode upsert: set it, or take them out"))
        }
        Mode::Load if settings.stream != StreamKind::Pending => {
            Err(wrong("stream is of mode append: a job loads a file, so take it out"))
        }
        Mode::Append | Mode::Load => Ok(()),
        Mode::Upsert if names.is_empty() || names.len() > KEY_COLUMNS_MAX || version.is_none() => Err(wrong(format!(
            "mode upsert needs a key of 1 to {KEY_COLUMNS_MAX} columns and a version: `key: [ order_id ], version: \
             updated_at`"
        ))),
        Mode::Upsert if (1..names.len()).any(|at| is_in(&names[at], &names[..at])) => {
            Err(wrong("key names a column twice"))
        }
        Mode::Upsert if settings.stream != StreamKind::Pending => {
            Err(wrong("stream is of mode append: changes go by the table's default stream, so take it out"))
        }
        Mode::Upsert if *max_staleness_s == Some(0) => {
            Err(wrong("max_staleness_s must be at least 1: leave it out for results that are always the newest"))
        }
        Mode::Upsert => Ok(()),
    }
}

fn is_in(name: &str, names: &[String]) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(change: &Value) -> Result<Upsert, String> {
        let mut settings = json!({
            "project": "p", "dataset": "d", "table": "t", "mode": "upsert", "key": ["id"], "version": "at",
        });
        let (all, change) = (settings.as_object_mut().expect("it is one"), change.as_object().expect("it is one"));
        all.extend(change.clone());
        let settings = Settings::read(&settings).map_err(|fault| fault.hint)?;
        let column = |(name, kind): (&str, Kind)| Column { name: name.to_owned(), kind, mode: ColumnMode::Nullable };
        let own = [("id", Kind::String), ("at", Kind::Timestamp), ("gone", Kind::Bool), ("ratio", Kind::Float64)];
        let place = ["_kafka_topic", "_kafka_partition", "_kafka_offset", "_kafka_timestamp"];
        let place = place.map(|name| (name, if name == "_kafka_timestamp" { Kind::Timestamp } else { Kind::Int64 }));
        let columns: Vec<Column> = own.into_iter().chain(place).map(column).collect();
        let upsert = Upsert::of(&settings, &columns).map_err(|fault| fault.hint)?;
        upsert.ok_or_else(|| "rows are appended".to_owned())
    }

    #[test]
    fn what_does_not_fit_together_or_the_model_is_refused_with_what_is_allowed() {
        let refused = |change: Value| told(&change).expect_err("it is wrong");
        assert!(refused(json!({ "mode": "append" })).contains("are of mode upsert"));
        assert!(refused(json!({ "key": [] })).contains("1 to 16 columns"));
        let many: Vec<String> = (0..17).map(|n| format!("c{n}")).collect();
        assert!(refused(json!({ "key": many })).contains("1 to 16 columns"));
        assert!(refused(json!({ "version": null })).contains("a version"));
        assert!(refused(json!({ "key": "id, at, ID" })).contains("twice"));
        assert!(refused(json!({ "key": ["idd"] })).contains("but id, at, gone, ratio"));
        assert!(refused(json!({ "key": ["ratio"] })).contains("DOUBLE"));
        assert!(refused(json!({ "key": "id, _offset" })).contains("a place in Kafka"));
        assert!(refused(json!({ "version": "id" })).contains("BIGINT, DECIMAL, DATE or TIMESTAMP"));
        assert!(refused(json!({ "version": "_offset" })).contains("says nothing about two"));
        assert!(refused(json!({ "deleted": "at" })).contains("BOOLEAN"));
        assert!(refused(json!({ "max_staleness_s": 0 })).contains("at least 1"));
        assert!(refused(json!({ "stream": "committed" })).contains("of mode append"));
        assert!(refused(json!({ "key": 7 })).contains("a list of columns expected"));
    }

    #[test]
    fn a_model_without_lineage_is_refused_for_nothing_would_decide_between_rows_of_one_version() {
        let settings = json!({
            "project": "p", "dataset": "d", "table": "t", "mode": "upsert", "key": ["id"], "version": "at",
        });
        let settings = Settings::read(&settings).expect("they fit together");
        let column = |name: &str, kind| Column { name: name.to_owned(), kind, mode: ColumnMode::Nullable };
        let columns = [column("id", Kind::String), column("at", Kind::Timestamp)];
        let fault = Upsert::of(&settings, &columns).expect_err("no place");
        assert!(fault.hint.contains("model.lineage"), "{fault}");
    }

    #[test]
    fn columns_are_found_by_the_names_that_the_model_has() {
        let upsert = told(&json!({ "version": "_timestamp", "deleted": "gone" })).expect("it is right");
        let expected = Upsert { key: vec![0], version: 7, deleted: Some(2), topic: 4, partition: 5, offset: 6 };
        assert_eq!(upsert, expected);
    }
}

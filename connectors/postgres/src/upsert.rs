//! By what rows replace older ones of their key, as the settings say and the model allows.

use crate::{
    settings::{Mode, Settings, wrong},
    types::{Column, Kind},
};
use outflow_api::Fault;

/// Where a row comes from: it decides between two of one version.
const PLACE: [&str; 3] = ["_topic", "_partition", "_offset"];
const OFFSET: &str = "_offset";
/// An index of the server takes little more.
pub const KEY_BYTES_MAX: usize = 2_000;
const KEY_COLUMNS_MAX: usize = 16;

pub struct Upsert {
    pub key: Vec<String>,
    /// The version, then the place: an order of all rows of a key, so that the newest stays whatever order batches come
    /// in, and however often.
    pub order: Vec<String>,
    /// Column that says of a row that its key is gone.
    pub deleted: Option<String>,
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
        let found = |name: &str| columns.iter().find(|column| column.name == name);
        let column = |setting: &str, name: &str| {
            let all = || columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
            found(name).ok_or_else(|| wrong(format!("{setting}: the model has no column {name:?}, but {}", all())))
        };
        if PLACE.iter().any(|name| found(name).is_none()) {
            return Err(wrong("mode upsert needs the columns of lineage: leave model.lineage on"));
        }
        for name in &key.0 {
            let names_no_row = matches!(column("key", name)?.kind, Kind::Double | Kind::Json | Kind::Nested);
            if names_no_row || PLACE.contains(&name.as_str()) {
                let hint =
                    format!("key: column {name:?} is DOUBLE, JSON, nested, or a place in Kafka: it names no row");
                return Err(wrong(hint));
            }
        }
        let rises = matches!(
            column("version", version)?.kind,
            Kind::BigInt | Kind::Timestamp | Kind::Date | Kind::Numeric { .. }
        );
        if !rises || version == "_partition" || key.0.contains(version) {
            let hint = format!("version: {version:?} must be a BIGINT, DECIMAL, DATE or TIMESTAMP outside of the key");
            return Err(wrong(hint));
        }
        if let Some(name) = deleted
            && (column("deleted", name)?.kind != Kind::Boolean || key.0.contains(name))
        {
            return Err(wrong(format!("deleted: column {name:?} must be a BOOLEAN outside of the key")));
        }
        let place = PLACE.iter().copied().filter(|name| *name != version);
        let order = [version.as_str()].into_iter().chain(place).map(str::to_owned).collect();
        Ok(Some(Upsert { key: key.0.clone(), order, deleted: deleted.clone() }))
    }

    /// Offsets of two partitions say nothing about each other.
    pub fn is_by_offset(&self) -> bool {
        self.order[0] == OFFSET
    }
}

/// # Errors
/// If the settings do not fit together, whatever the model is.
pub fn check(settings: &Settings) -> Result<(), Fault> {
    let Settings { mode, key, version, deleted, .. } = settings;
    match mode {
        Mode::Append if !key.0.is_empty() || version.is_some() || deleted.is_some() => {
            Err(wrong("key, version and deleted are of mode upsert: set `mode: upsert`, or take them out"))
        }
        Mode::Append => Ok(()),
        Mode::Upsert if key.0.is_empty() || key.0.len() > KEY_COLUMNS_MAX || version.is_none() => Err(wrong(format!(
            "mode upsert needs a key of 1 to {KEY_COLUMNS_MAX} columns and a version: `key: [ order_id ], version: \
                 updated_at`"
        ))),
        Mode::Upsert if (1..key.0.len()).any(|index| key.0[..index].contains(&key.0[index])) => {
            Err(wrong("key names a column twice"))
        }
        Mode::Upsert => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(change: &Value) -> Result<Upsert, String> {
        let mut settings = json!({
            "host": "h", "database": "d", "table": "t", "user": "u", "mode": "upsert", "key": ["id"], "version": "at",
        });
        let (all, change) = (settings.as_object_mut().expect("it is one"), change.as_object().expect("it is one"));
        all.extend(change.clone());
        let settings = Settings::read(&settings).map_err(|fault| fault.hint)?;
        let column = |(name, kind): (&str, Kind)| Column::new(name, kind, &settings);
        let own = [("id", Kind::Text), ("at", Kind::Timestamp), ("gone", Kind::Boolean), ("ratio", Kind::Double)];
        let place = PLACE.map(|name| (name, Kind::BigInt));
        let columns: Vec<Column> = own.into_iter().chain(place).map(column).collect();
        let upsert = Upsert::of(&settings, &columns).map_err(|fault| fault.hint)?;
        upsert.ok_or_else(|| "rows are appended".to_owned())
    }

    #[test]
    fn what_does_not_fit_together_or_the_model_is_refused_with_what_is_allowed() {
        let refused = |change: Value| told(&change).err().expect("it is wrong");
        assert!(refused(json!({ "mode": "append" })).contains("mode: upsert"));
        assert!(refused(json!({ "key": [] })).contains("1 to 16 columns"));
        assert!(refused(json!({ "version": null })).contains("a version"));
        assert!(refused(json!({ "key": "id, at, id" })).contains("twice"));
        assert!(refused(json!({ "key": ["idd"] })).contains("but id, at, gone, ratio"));
        assert!(refused(json!({ "key": ["ratio"] })).contains("DOUBLE"));
        assert!(refused(json!({ "key": "id, _offset" })).contains("a place in Kafka"));
        assert!(refused(json!({ "version": "id" })).contains("BIGINT, DECIMAL, DATE or TIMESTAMP"));
        assert!(refused(json!({ "deleted": "at" })).contains("BOOLEAN"));
        assert!(refused(json!({ "deleted": "gone", "table": "t".repeat(60) })).contains("at most 55"));
    }

    #[test]
    fn the_place_decides_between_rows_of_one_version() {
        let order = |change: Value| told(&change).expect("it is right").order;
        assert_eq!(order(json!({})), ["at", "_topic", "_partition", "_offset"]);
        assert_eq!(order(json!({ "version": "_offset" })), ["_offset", "_topic", "_partition"]);
    }
}

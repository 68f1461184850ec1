//! Rows that replace others of their primary key.

use super::message::{PSEUDO, Row};
use serde_json::Value;
use std::collections::BTreeMap;

/// The newest of each key, as a reader finds it, and which keys are gone.
#[derive(Default)]
pub struct Changes(BTreeMap<String, Change>);

struct Change {
    sequence: Option<Vec<u64>>,
    /// None: deleted.
    row: Option<Row>,
}

/// What one row says.
pub struct Wanted {
    key: String,
    sequence: Option<Vec<u64>>,
    row: Option<Row>,
}

impl Wanted {
    /// Or why such a row is refused.
    pub fn of(mut row: Row, key: &[&str], changes: &Changes) -> Result<Wanted, String> {
        let [change, sequence] = PSEUDO.map(|name| row.remove(name));
        let is_deletion = match change.as_ref().and_then(Value::as_str) {
            Some("UPSERT") => false,
            Some("DELETE") => true,
            _ => return Err("The given value is not a valid CHANGE_TYPE".to_owned()),
        };
        let sequence = sequence.as_ref().and_then(Value::as_str).map(sections).transpose()?;
        // What the service would then do is not predictable, it says.
        if changes.0.values().next().is_some_and(|other| other.sequence.is_some() != sequence.is_some()) {
            return Err("rows with and without _CHANGE_SEQUENCE_NUMBER are mixed".to_owned());
        }
        let part = |name: &&str| row.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
        let parts: Option<Vec<String>> =
            key.iter().map(|name| part(name).map(|(_, value)| value.to_string())).collect();
        let key = parts.ok_or("a column of the primary key is missing")?.join("/");
        Ok(Wanted { key, sequence, row: (!is_deletion).then_some(row) })
    }
}

fn sections(text: &str) -> Result<Vec<u64>, String> {
    let wrong = || format!("Invalid _CHANGE_SEQUENCE_NUMBER of {} bytes", text.len());
    let section = |part: &str| {
        let is_hex = (1..=16).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u64::from_str_radix(part, 16).ok()).flatten().ok_or_else(wrong)
    };
    let sections = text.split('/').map(section).collect::<Result<Vec<u64>, String>>()?;
    if sections.len() <= 4 { Ok(sections) } else { Err(wrong()) }
}

impl Changes {
    /// The greater number stays; of two that are the same, that which comes later.
    pub fn apply(&mut self, wanted: Wanted) {
        let Wanted { key, sequence, row } = wanted;
        if self.0.get(&key).is_none_or(|there| there.sequence <= sequence) {
            self.0.insert(key, Change { sequence, row });
        }
    }

    /// As if two days had passed.
    pub fn forget_deletions(&mut self) {
        self.0.retain(|_, change| change.row.is_some());
    }

    pub fn rows(&self) -> Vec<Row> {
        self.0.values().filter_map(|change| change.row.clone()).collect()
    }

    /// Of one column, which each row has.
    pub fn numbers(&self, column: &str) -> Vec<i64> {
        let rows = self.0.values().filter_map(|change| change.row.as_ref());
        rows.map(|row| row[column].as_i64().expect("each row has it")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn apply(changes: &mut Changes, row: &Value) -> Result<(), String> {
        let row = row.as_object().expect("an object").clone();
        Wanted::of(row, &["id"], changes).map(|wanted| changes.apply(wanted))
    }

    fn change(change: &str, sequence: &str, id: i64, name: &str) -> Value {
        json!({ "_CHANGE_TYPE": change, "_CHANGE_SEQUENCE_NUMBER": sequence, "id": id, "name": name })
    }

    /// The documentation's own examples.
    #[test]
    fn of_two_rows_of_a_key_that_with_the_greater_number_stays() {
        for (less, more) in [("77", "7B"), ("FFF/B", "FFF/ABC"), ("BA/FFFFFFFF", "ABC"), ("ABC", "FFF/ABC")] {
            for order in [[less, more], [more, less]] {
                let mut changes = Changes::default();
                for sequence in order {
                    apply(&mut changes, &change("UPSERT", sequence, 1, sequence)).expect("it is right");
                }
                assert_eq!(changes.rows()[0]["name"], more, "{less} {more}");
            }
        }
    }

    #[test]
    fn a_deletion_is_remembered_for_two_days() {
        let mut changes = Changes::default();
        apply(&mut changes, &change("DELETE", "2", 1, "")).expect("it is right");
        apply(&mut changes, &change("UPSERT", "1", 1, "older")).expect("it is right");
        assert_eq!(changes.rows(), [] as [Row; 0]);
        changes.forget_deletions();
        apply(&mut changes, &change("UPSERT", "1", 1, "older")).expect("it is right");
        assert_eq!(changes.rows()[0]["name"], "older");
    }

    #[test]
    fn rows_that_do_not_say_what_they_change_are_refused() {
        let mut changes = Changes::default();
        assert!(apply(&mut changes, &change("INSERT", "1", 1, "")).is_err());
        assert!(apply(&mut changes, &json!({ "id": 1 })).is_err());
        for sequence in ["", "g", "1/", "1/2/3/4/5", "12345678901234567"] {
            assert!(apply(&mut changes, &change("UPSERT", sequence, 1, "")).is_err(), "{sequence}");
        }
        apply(&mut changes, &change("UPSERT", "1/2/3/FFFFFFFFFFFFFFFF", 1, "")).expect("it is right");
        assert!(apply(&mut changes, &json!({ "_CHANGE_TYPE": "UPSERT", "id": 1 })).is_err());
        let keyless = json!({ "_CHANGE_TYPE": "UPSERT", "_CHANGE_SEQUENCE_NUMBER": "1" });
        assert!(apply(&mut changes, &keyless).is_err());
    }
}

use crate::{Lake, Record, each_record};
use outflow_rig::{Kafka, python};
use serde_json::Value;
use std::{fmt::Write, fs};

/// A record that must be at a place exactly once: the topic says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub place: String,
    pub partition: i32,
    pub offset: i64,
}

/// What merchants' places hold, against what is due there.
#[derive(Debug)]
pub struct Census {
    pub files: u64,
    pub rows: u64,
    pub missing: u64,
    pub doubled: u64,
    /// Rows that are due elsewhere or nowhere.
    pub foreign: u64,
    /// Rows whose own `store_id` is not the name of the place.
    pub strange: u64,
    pub some: Vec<String>,
}

const SCRIPT: &str = concat!(include_str!("place.py"), "\n", include_str!("census.py"));

/// Reads a topic to its end; `place` says whose each record is.
pub fn dues(kafka: &Kafka, topic: &str, place: impl Fn(&Record) -> Option<String>) -> Vec<Due> {
    let mut dues = Vec::new();
    each_record(kafka, topic, |record| {
        let (partition, offset) = (record.partition, record.offset);
        dues.extend(place(&record).map(|place| Due { place, partition, offset }));
    });
    dues
}

impl Census {
    /// Of all places below this one: folders with the merchants' names, up to a `+`.
    pub fn take(root: &Lake, dues: &[Due]) -> Census {
        let mut lines = String::new();
        for Due { place, partition, offset } in dues {
            writeln!(lines, "{place},{partition},{offset}").expect("writing to a string cannot fail");
        }
        let file = tempfile::NamedTempFile::new().expect("there is a temporary folder");
        fs::write(file.path(), lines).expect("our own file can be written");
        let answer = python(SCRIPT, &[&root.place(), &file.path().display().to_string()]);
        let answer: Value = serde_json::from_str(&answer).expect("the script prints JSON");
        let number = |key: &str| answer[key].as_u64().expect("the script counts");
        let some = answer["some"].as_array().expect("the script lists").iter();
        Census {
            files: number("files"),
            rows: number("rows"),
            missing: number("missing"),
            doubled: number("doubled"),
            foreign: number("foreign"),
            strange: number("strange"),
            some: some.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    /// # Panics
    /// Unless everything that is due is there, each row once, and nothing else.
    pub fn assert_settled(&self) {
        let wrong = [self.missing, self.doubled, self.foreign, self.strange];
        assert_eq!(wrong, [0; 4], "[missing, doubled, foreign, strange] rows: {self:?}");
    }
}

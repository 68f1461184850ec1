use outflow_rig::{S3, python};
use serde_json::{Value, json};
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// A destination, as our connector writes it and as others read it.
#[derive(Clone)]
pub enum Lake {
    Folder(PathBuf),
    Bucket { endpoint: String, path: String },
}

/// What DuckDB counts in the Parquet files that pyarrow lists.
#[derive(Debug)]
pub struct Count {
    pub files: u64,
    pub rows: u64,
    /// Distinct (_topic, _partition, _offset).
    pub keys: u64,
    /// Distinct event numbers.
    pub numbers: u64,
    /// Some of the numbers below the expected count that are not there.
    pub missing: Vec<i64>,
    /// Some of the numbers that are there more than once.
    pub doubled: Vec<i64>,
    /// Some of the numbers that are not below the expected count.
    pub foreign: Vec<i64>,
}

const PLACE: &str = include_str!("place.py");
const COUNT: &str = include_str!("count.py");
const NUMBERS: &str =
    "print([n for one in listing(system()) for n in read(system(), one.path, ['number'])['number'].to_pylist()])";

const OFFSETS: &str = "tables = [read(system(), one.path, ['_partition', '_offset']) for one in listing(system())]
print(json.dumps([row for one in tables for row in zip(*(column.to_pylist() for column in one.columns))]))";

impl Lake {
    /// The place below this one.
    pub fn below(&self, name: &str) -> Lake {
        match self {
            Lake::Folder(path) => Lake::Folder(path.join(name)),
            Lake::Bucket { endpoint, path } => {
                Lake::Bucket { endpoint: endpoint.clone(), path: format!("{path}/{name}") }
            }
        }
    }

    pub fn bucket(s3: &S3, path: &str) -> Lake {
        Lake::Bucket { endpoint: s3.endpoint(), path: path.to_owned() }
    }

    /// Settings of the sink, in YAML's flow style.
    pub fn sink(&self) -> String {
        match self {
            Lake::Folder(path) => format!("type: object_store, url: \"{}\"", path.display()),
            Lake::Bucket { endpoint, path } => format!(
                "type: object_store, url: \"s3://{path}\", endpoint: \"{endpoint}\", allow_http: true, region: {}, \
                 access_key_id: \"${{env:E2E_ACCESS_KEY_ID}}\", secret_access_key: \"${{env:E2E_SECRET_ACCESS_KEY}}\"",
                S3::REGION
            ),
        }
    }

    /// For Python.
    pub fn place(&self) -> String {
        let place = match self {
            Lake::Folder(path) => json!({ "path": path }),
            Lake::Bucket { endpoint, path } => json!({
                "path": path, "endpoint": endpoint, "region": S3::REGION,
                "access_key": S3::ACCESS_KEY_ID, "secret_key": S3::SECRET_ACCESS_KEY,
            }),
        };
        place.to_string()
    }

    /// Of events that are numbered from 0 to below `expected`.
    pub fn count(&self, expected: u64) -> Count {
        count(&[self], 0..expected)
    }

    /// Event numbers, row by row.
    pub fn numbers(&self) -> Vec<i64> {
        let answer = python(&format!("{PLACE}\n{NUMBERS}"), &[&self.place()]);
        serde_json::from_str(&answer).expect("the script prints JSON")
    }

    /// Partition and offset, row by row.
    pub fn offsets(&self) -> Vec<(i32, i64)> {
        let answer = python(&format!("{PLACE}\n{OFFSETS}"), &[&self.place()]);
        serde_json::from_str(&answer).expect("the script prints JSON")
    }

    /// A column of every row, as Python shows it.
    pub fn texts(&self, column: &str) -> Vec<String> {
        let texts = "print(json.dumps([str(value) for one in listing(system())
                  for value in read(system(), one.path, [sys.argv[2]])[sys.argv[2]].to_pylist()]))";
        let answer = python(&format!("{PLACE}\n{texts}"), &[&self.place(), column]);
        serde_json::from_str(&answer).expect("the script prints JSON")
    }

    /// All columns of all files.
    pub fn columns(&self) -> Vec<String> {
        let names = "print(json.dumps(sorted({name for one in listing(system())
                  for name in read(system(), one.path, None).column_names})))";
        let answer = python(&format!("{PLACE}\n{names}"), &[&self.place()]);
        serde_json::from_str(&answer).expect("the script prints JSON")
    }

    /// Files that a lister sees now. Folders only.
    pub fn files(&self) -> usize {
        let Lake::Folder(path) = self else { return 0 };
        files_below(path)
    }
}

/// All lakes together hold events of these numbers.
pub fn count(lakes: &[&Lake], numbers: Range<u64>) -> Count {
    let (from, to) = (numbers.start.to_string(), numbers.end.to_string());
    let places: Vec<String> = lakes.iter().map(|lake| lake.place()).collect();
    let args: Vec<&str> = [&places[0], &from, &to].into_iter().chain(&places[1..]).map(String::as_str).collect();
    let answer = python(&format!("{PLACE}\n{COUNT}"), &args);
    let answer: Value = serde_json::from_str(&answer).expect("the script prints JSON");
    let number = |key: &str| answer[key].as_u64().expect("the script counts");
    let list = |key: &str| {
        let values = answer[key].as_array().expect("the script lists");
        values.iter().filter_map(Value::as_i64).collect()
    };
    Count {
        files: number("files"),
        rows: number("rows"),
        keys: number("keys"),
        numbers: number("numbers"),
        missing: list("missing"),
        doubled: list("doubled"),
        foreign: list("foreign"),
    }
}

impl Count {
    /// # Panics
    /// Unless so many events are there, each exactly once, and nothing else.
    pub fn assert_exactly_once(&self, expected: u64) {
        let holds = [self.rows, self.keys, self.numbers] == [expected; 3]
            && self.missing.is_empty()
            && self.doubled.is_empty()
            && self.foreign.is_empty();
        assert!(holds, "{expected} events were produced; at the destination: {self:?}");
    }
}

fn files_below(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let count = |entry: fs::DirEntry| {
        let path = entry.path();
        if path.is_dir() { files_below(&path) } else { usize::from(path.extension().is_some_and(|e| e == "parquet")) }
    };
    entries.flatten().map(count).sum()
}

use super::{changes::Changes, columns, jobs::Job, message::Row, storm::Storm, wire::Cuts};
use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use bigquery_storage::google::cloud::bigquery::storage::v1::{storage_error::StorageErrorCode, write_stream::Type};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Of project `shop`, dataset `lake`.
pub struct Warehouse {
    pub storm: Storm,
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    /// By `projects/…/datasets/…/tables/…`.
    pub tables: HashMap<String, Table>,
    pub streams: HashMap<String, Stream>,
    pub streams_made: u64,
    /// Requests with rows, whatever became of them.
    pub appends: u64,
    /// Of them so many more, and none behind them.
    pub appends_left: Option<u64>,
    /// Of creations of streams.
    pub quota: Option<u64>,
    pub jobs: HashMap<String, Job>,
    /// Of each job that is started: how often it is asked for before its end.
    pub job_turns: usize,
    /// What becomes of the next ones.
    pub job_failures: VecDeque<(String, String)>,
    /// Files, by bucket and key.
    pub objects: HashMap<String, Bytes>,
    /// Of requests with rows, by number of bytes.
    pub largest_request: usize,
    /// Values of column `row` that no table takes.
    pub refused: BTreeSet<i64>,
    /// Before rows are: behind a request that was refused, no other has its place. The documentation does not say.
    pub checks_offsets_first: bool,
}

pub struct Table {
    /// As `tables.get` answers it.
    pub body: Value,
    pub version: u64,
    /// Committed ones, by their streams.
    pub rows: BTreeMap<String, Vec<RecordBatch>>,
    pub changes: Changes,
}

pub struct Stream {
    pub kind: Type,
    pub table: String,
    pub rows: Vec<RecordBatch>,
    pub count: i64,
    pub is_finalized: bool,
    pub is_committed: bool,
}

pub const DATASET: &str = "projects/shop/datasets/lake";

impl Warehouse {
    pub fn new(seed: u64, cuts: Cuts) -> Warehouse {
        Warehouse { storm: Storm::new(seed, cuts), state: Mutex::default() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As if they had been left alone for days.
    pub fn forget_streams(&self) {
        self.state().streams.clear();
    }

    /// Whoever makes tables by hand.
    pub fn make(&self, table: &str, fields: Value) {
        self.make_with_key(table, fields, Value::Null);
    }

    pub fn make_with_key(&self, table: &str, fields: Value, key: Value) {
        let mut body = json!({ "tableReference": { "tableId": table }, "schema": { "fields": fields } });
        if !key.is_null() {
            body["tableConstraints"] = json!({ "primaryKey": { "columns": key } });
        }
        self.state().make(&body).expect("a table of a test is allowed");
    }

    pub fn body(&self, table: &str) -> Option<Value> {
        self.state().tables.get(&format!("{DATASET}/tables/{table}")).map(|table| table.body.clone())
    }

    pub fn drop_table(&self, table: &str) {
        self.state().tables.remove(&format!("{DATASET}/tables/{table}"));
    }

    /// As if nobody had deleted a row for two days.
    pub fn forget_deletions(&self) {
        self.state().tables.values_mut().for_each(|table| table.changes.forget_deletions());
    }

    /// The newest row of each key.
    pub fn newest(&self, table: &str) -> Vec<Row> {
        let state = self.state();
        let table = state.tables.get(&format!("{DATASET}/tables/{table}"));
        table.map(|table| table.changes.rows()).unwrap_or_default()
    }

    /// Of the newest rows, the values of column `row`.
    pub fn newest_numbers(&self, table: &str) -> Vec<i64> {
        let state = self.state();
        let table = state.tables.get(&format!("{DATASET}/tables/{table}"));
        table.map(|table| table.changes.numbers("row")).unwrap_or_default()
    }

    /// All committed rows, in no order.
    pub fn rows(&self, table: &str) -> Vec<RecordBatch> {
        let state = self.state();
        let table = state.tables.get(&format!("{DATASET}/tables/{table}"));
        table.map(|table| table.rows.values().flatten().cloned().collect()).unwrap_or_default()
    }

    /// The values of column `row`, by the streams that brought them.
    pub fn visible(&self, table: &str) -> BTreeMap<String, Vec<i64>> {
        let state = self.state();
        let Some(table) = state.tables.get(&format!("{DATASET}/tables/{table}")) else { return BTreeMap::new() };
        let rows = |batches: &Vec<RecordBatch>| {
            let column = |batch: &RecordBatch| {
                let column = batch.column_by_name("row").expect("every row has it");
                column.as_primitive::<Int64Type>().values().to_vec()
            };
            batches.iter().flat_map(column).collect()
        };
        table.rows.iter().map(|(stream, batches)| (stream.clone(), rows(batches))).collect()
    }
}

impl State {
    pub fn make(&mut self, body: &Value) -> Result<Value, (u16, String)> {
        let name = body["tableReference"]["tableId"].as_str().unwrap_or_default();
        let path = format!("{DATASET}/tables/{name}");
        if self.tables.contains_key(&path) {
            return Err((409, format!("Already Exists: Table {path}")));
        }
        columns::check(&body["schema"]["fields"]).map_err(|why| (400, why))?;
        columns::check_layout(body).map_err(|why| (400, why))?;
        let mut body = body.clone();
        body["etag"] = json!("v1");
        let table = Table { body: body.clone(), version: 1, rows: BTreeMap::new(), changes: Changes::default() };
        self.tables.insert(path, table);
        Ok(body)
    }

    pub fn change(&mut self, path: &str, etag: Option<&str>, body: &Value) -> Result<Value, (u16, String)> {
        let table = self.tables.get_mut(path).ok_or((404, format!("Not found: Table {path}")))?;
        if etag.is_some_and(|etag| table.body["etag"] != etag) {
            return Err((412, "Precondition check failed.".to_owned()));
        }
        let (old, new) = (&table.body["schema"]["fields"], &body["schema"]["fields"]);
        columns::check(new).and_then(|()| columns::check_change(old, new)).map_err(|why| (400, why))?;
        table.body["schema"] = body["schema"].clone();
        table.version += 1;
        table.body["etag"] = json!(format!("v{}", table.version));
        Ok(table.body.clone())
    }

    /// All of them or none.
    pub fn commit(&mut self, table: &str, names: &[String]) -> Vec<(String, StorageErrorCode)> {
        let why_not = |name: &String| {
            let code = match self.streams.get(name) {
                None => StorageErrorCode::StreamNotFound,
                Some(_) if !self.tables.contains_key(table) => StorageErrorCode::TableNotFound,
                Some(stream) if stream.table != table => StorageErrorCode::InvalidStreamState,
                Some(stream) if stream.kind != Type::Pending => StorageErrorCode::InvalidStreamType,
                Some(stream) if stream.is_committed => StorageErrorCode::StreamAlreadyCommitted,
                Some(stream) if !stream.is_finalized => StorageErrorCode::InvalidStreamState,
                Some(_) => return None,
            };
            Some((name.clone(), code))
        };
        let errors: Vec<_> = names.iter().filter_map(why_not).collect();
        if errors.is_empty() {
            for name in names {
                let stream = self.streams.get_mut(name).expect("it was just seen");
                stream.is_committed = true;
                let rows = std::mem::take(&mut stream.rows);
                self.tables.get_mut(table).expect("it was just seen").rows.insert(name.clone(), rows);
            }
        }
        errors
    }
}

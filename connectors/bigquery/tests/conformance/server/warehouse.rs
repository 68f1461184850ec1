use super::{columns, storm::Storm, wire::Cuts};
use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use bigquery_storage::google::cloud::bigquery::storage::v1::storage_error::StorageErrorCode;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
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
    /// Of creations of streams.
    pub quota: Option<u64>,
    /// Of requests with rows, by number of bytes.
    pub largest_request: usize,
}

pub struct Table {
    /// As `tables.get` answers it.
    pub body: Value,
    pub version: u64,
    /// Committed ones, by their streams.
    pub rows: BTreeMap<String, Vec<RecordBatch>>,
}

pub struct Stream {
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
        let body = json!({ "tableReference": { "tableId": table }, "schema": { "fields": fields } });
        self.state().make(&body).expect("a table of a test is allowed");
    }

    pub fn body(&self, table: &str) -> Option<Value> {
        self.state().tables.get(&format!("{DATASET}/tables/{table}")).map(|table| table.body.clone())
    }

    pub fn drop_table(&self, table: &str) {
        self.state().tables.remove(&format!("{DATASET}/tables/{table}"));
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
        self.tables.insert(path, Table { body: body.clone(), version: 1, rows: BTreeMap::new() });
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

//! Load jobs, and the files that they load.

use super::{
    columns,
    values::{check_schema, refused},
    warehouse::{DATASET, State},
};
use arrow_array::RecordBatch;
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use bigquery_storage::google::cloud::bigquery::storage::v1::{TableFieldSchema, table_field_schema::Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::sync::Arc;

pub const LOCATION: &str = "EU";

pub struct Job {
    body: Value,
    /// It is asked for so often before it comes to its end.
    turns: usize,
    /// Reason and message of what goes wrong in any case.
    doom: Option<(String, String)>,
    is_done: bool,
    error: Option<(String, String)>,
}

impl Job {
    fn shown(&self) -> Value {
        let mut shown = self.body.clone();
        shown["status"] = json!({ "state": if self.is_done { "DONE" } else { "RUNNING" } });
        if let Some((reason, message)) = &self.error {
            shown["status"]["errorResult"] = json!({ "reason": reason, "message": message });
        }
        shown
    }
}

impl State {
    /// A name is used up for ever, whatever became of its job.
    pub fn start_job(
        &mut self,
        body: &Value,
        turns: usize,
        doom: Option<(String, String)>,
    ) -> Result<Value, (u16, String)> {
        let (reference, load) = (&body["jobReference"], &body["configuration"]["load"]);
        let name = reference["jobId"].as_str().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 1_024 || !name.chars().all(allowed) {
            return Err((400, "Invalid job ID".to_owned()));
        }
        if reference["location"] != LOCATION || load["destinationTable"]["datasetId"] != "lake" {
            return Err((404, "Not found: Dataset shop:lake was not found in location".to_owned()));
        }
        let known = load["sourceFormat"] == "PARQUET"
            && load["writeDisposition"] == "WRITE_APPEND"
            && load["createDisposition"] == "CREATE_NEVER"
            && load["parquetOptions"]["enableListInference"] == true;
        if !known {
            return Err((400, "such jobs are not known here".to_owned()));
        }
        if self.jobs.contains_key(name) {
            return Err((409, format!("Already Exists: Job shop:{LOCATION}.{name}")));
        }
        let job = Job { body: body.clone(), turns, doom, is_done: false, error: None };
        self.jobs.insert(name.to_owned(), job);
        self.look_at_job(name, LOCATION)
    }

    /// Which brings it on its way.
    pub fn look_at_job(&mut self, name: &str, location: &str) -> Result<Value, (u16, String)> {
        let missing = || (404, format!("Not found: Job shop:{name}"));
        let job = self.jobs.get_mut(name).filter(|_| location == LOCATION).ok_or_else(missing)?;
        match job.turns.checked_sub(1) {
            Some(turns) => job.turns = turns,
            None if job.is_done => {}
            None => {
                let (load, doom) = (job.body["configuration"]["load"].clone(), job.doom.take());
                let error = doom.map_or_else(|| self.load(name, &load), Err).err();
                let job = self.jobs.get_mut(name).ok_or_else(missing)?;
                (job.is_done, job.error) = (true, error);
            }
        }
        self.jobs.get(name).map(Job::shown).ok_or_else(missing)
    }

    /// All rows of all files, or none.
    fn load(&mut self, name: &str, load: &Value) -> Result<(), (String, String)> {
        let wrong = |reason: &str, message: String| (reason.to_owned(), message);
        let table = load["destinationTable"]["tableId"].as_str().unwrap_or_default();
        let path = format!("{DATASET}/tables/{table}");
        let known = self.tables.get(&path).map(|table| columns::fields(&table.body["schema"]["fields"]));
        let fields = known.ok_or_else(|| wrong("notFound", format!("Not found: Table shop:lake.{table}")))?;
        let mut all = Vec::new();
        for uri in load["sourceUris"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let object = uri.strip_prefix("gs://").and_then(|place| self.objects.get(place));
            let bytes = object.ok_or_else(|| wrong("notFound", format!("Not found: URI {uri}")))?;
            all.extend(rows(bytes.clone(), &fields).map_err(|why| wrong("invalid", why))?);
        }
        if let Some(table) = self.tables.get_mut(&path) {
            table.rows.insert(name.to_owned(), all);
        }
        Ok(())
    }
}

fn rows(file: Bytes, fields: &[TableFieldSchema]) -> Result<Vec<RecordBatch>, String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    let reader = reader.build().map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for batch in reader {
        let batch = as_table_has_it(&batch.map_err(|error| error.to_string())?, fields)?;
        check_schema(&batch.schema(), fields).map_err(|mismatch| mismatch.why)?;
        if let Some((row, why)) = refused(&batch, fields).into_iter().next() {
            return Err(format!("row {row}: {why}"));
        }
        all.push(batch);
    }
    Ok(all)
}

/// Decimals become what the table has; there is no JSON in such files.
fn as_table_has_it(rows: &RecordBatch, fields: &[TableFieldSchema]) -> Result<RecordBatch, String> {
    let (mut columns, mut named) = (Vec::new(), Vec::new());
    for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
        let kind = fields.iter().find(|known| known.name == *field.name()).map(TableFieldSchema::r#type);
        let array = match (kind, array.data_type()) {
            (Some(Type::Json), _) => return Err(format!("{} is JSON", field.name())),
            (Some(Type::Bignumeric), DataType::Decimal128(precision, scale)) => {
                cast(array, &DataType::Decimal256(*precision, *scale)).map_err(|error| error.to_string())?
            }
            _ => Arc::clone(array),
        };
        named.push(Field::new(field.name(), array.data_type().clone(), field.is_nullable()));
        columns.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(named)), columns).map_err(|error| error.to_string())
}

//! One connection with rows.

use super::{
    columns,
    storm::Fate,
    values::{check_schema, refused},
    warehouse::{State, Warehouse},
    write::{refusal, told},
};
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::SchemaRef;
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse, RowError,
    append_rows_request::Rows,
    append_rows_response::{AppendResult, Response},
    storage_error::StorageErrorCode,
};
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;
use tonic::{Code, Status};

/// The lower of the documented ones.
const REQUEST_BYTES_MAX: usize = 10_000_000;

/// What the first request said.
#[derive(Default)]
pub struct Connection {
    stream: Option<String>,
    schema: Option<Bytes>,
}

impl Connection {
    /// # Errors
    /// If it ends the connection.
    pub async fn answer(
        &mut self,
        warehouse: &Arc<Warehouse>,
        request: AppendRowsRequest,
    ) -> Result<AppendRowsResponse, Status> {
        let fate = warehouse.storm.fate(25);
        match fate {
            Fate::Refused => return Err(Status::unavailable("the service is going away")),
            Fate::Throttled => return Err(Status::resource_exhausted("Exceeds 'AppendRows throughput' quota")),
            _ => {}
        }
        warehouse.storm.dawdle().await;
        let answer = self.append(&mut warehouse.state(), request);
        match fate {
            Fate::Cut => {
                warehouse.storm.cut();
                Err(Status::internal("nobody reads this"))
            }
            Fate::Lost | Fate::Late => Err(Status::aborted("the answer is lost")),
            _ => answer,
        }
    }

    fn append(&mut self, state: &mut State, request: AppendRowsRequest) -> Result<AppendRowsResponse, Status> {
        let bytes = request.encoded_len();
        if bytes > REQUEST_BYTES_MAX {
            return Err(Status::invalid_argument(format!("request of {bytes} bytes, limit {REQUEST_BYTES_MAX}")));
        }
        state.largest_request = state.largest_request.max(bytes);
        if !request.write_stream.is_empty() {
            self.stream = Some(request.write_stream.clone());
        }
        let name = self.stream.clone().ok_or_else(|| Status::invalid_argument("the first request names the stream"))?;
        let gone = || refusal(Code::NotFound, StorageErrorCode::StreamNotFound, &name);
        let table = state.streams.get(&name).map(|stream| stream.table.clone()).ok_or_else(gone)?;
        let body = state.tables.get(&table).map(|table| table.body.clone());
        let body = body.ok_or_else(|| refusal(Code::NotFound, StorageErrorCode::TableNotFound, &table))?;
        let fields = columns::fields(&body["schema"]["fields"]);
        let rows = self.rows(&request)?;
        if let Err(mismatch) = check_schema(&rows.schema(), &fields) {
            let code = if mismatch.is_extra {
                StorageErrorCode::SchemaMismatchExtraFields
            } else {
                StorageErrorCode::Unspecified
            };
            return Ok(error(&name, told(Code::InvalidArgument, code, &mismatch.why), Vec::new()));
        }
        let refused = refused(&rows, &fields);
        if !refused.is_empty() {
            let row_error = |(index, message)| RowError { index: index as i64, code: 1, message };
            let status =
                told(Code::InvalidArgument, StorageErrorCode::Unspecified, "Errors found while processing rows");
            return Ok(error(&name, status, refused.into_iter().map(row_error).collect()));
        }
        let stream = state.streams.get_mut(&name).ok_or_else(gone)?;
        if stream.is_finalized {
            return Ok(error(&name, told(Code::InvalidArgument, StorageErrorCode::StreamFinalized, &name), Vec::new()));
        }
        let offset = request.offset.unwrap_or(stream.count);
        if offset != stream.count {
            let (code, storage) = match offset < stream.count {
                true => (Code::AlreadyExists, StorageErrorCode::OffsetAlreadyExists),
                false => (Code::OutOfRange, StorageErrorCode::OffsetOutOfRange),
            };
            return Ok(error(&name, told(code, storage, &format!("expected {}", stream.count)), Vec::new()));
        }
        stream.count += rows.num_rows() as i64;
        stream.rows.push(rows);
        let response = Some(Response::AppendResult(AppendResult { offset: Some(offset) }));
        Ok(AppendRowsResponse { response, write_stream: name, ..AppendRowsResponse::default() })
    }

    fn rows(&mut self, request: &AppendRowsRequest) -> Result<RecordBatch, Status> {
        let invalid = |why: &str| Status::invalid_argument(why.to_owned());
        let Some(Rows::ArrowRows(data)) = &request.rows else { return Err(invalid("rows are Arrow's here")) };
        if let Some(schema) = &data.writer_schema {
            self.schema = Some(schema.serialized_schema.clone());
        }
        let schema = self.schema.as_ref().ok_or_else(|| invalid("the first request has the schema"))?;
        let rows = data.rows.as_ref().ok_or_else(|| invalid("no rows"))?;
        let both = [schema.as_ref(), rows.serialized_record_batch.as_ref()].concat();
        let mut reader = StreamReader::try_new(&both[..], None).map_err(|error| invalid(&error.to_string()))?;
        let _: SchemaRef = reader.schema();
        let batch = reader.next().ok_or_else(|| invalid("no record batch"))?;
        batch.map_err(|error| invalid(&error.to_string()))
    }
}

fn error(stream: &str, status: bigquery_storage::google::rpc::Status, row_errors: Vec<RowError>) -> AppendRowsResponse {
    AppendRowsResponse {
        response: Some(Response::Error(status)),
        row_errors,
        write_stream: stream.to_owned(),
        ..AppendRowsResponse::default()
    }
}

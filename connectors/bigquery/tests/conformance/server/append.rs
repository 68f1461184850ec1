//! One connection with rows.

use super::{
    changes::Wanted,
    columns,
    message::{self, PSEUDO},
    storm::Fate,
    values::{Mismatch, check_schema, refused},
    warehouse::{State, Warehouse},
    write::{refusal, told},
};
use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use arrow_ipc::reader::StreamReader;
use arrow_schema::SchemaRef;
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse, RowError,
    append_rows_request::{ProtoData, Rows},
    append_rows_response::{AppendResult, Response},
    storage_error::StorageErrorCode,
    write_stream::Type,
};
use bytes::Bytes;
use prost::Message;
use prost_types::DescriptorProto;
use std::{collections::BTreeSet, sync::Arc};
use tonic::{Code, Status};

/// The lower of the documented ones.
const REQUEST_BYTES_MAX: usize = 10_000_000;

/// What the first request said.
#[derive(Clone, Default)]
pub struct Connection {
    stream: Option<String>,
    schema: Option<Bytes>,
    descriptor: Option<DescriptorProto>,
}

const DEFAULT: &str = "/streams/_default";

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
        if fate == Fate::Late {
            let (warehouse, mut connection) = (Arc::clone(warehouse), self.clone());
            tokio::spawn(async move {
                warehouse.storm.dawdle().await;
                let _ = connection.append(&mut warehouse.state(), request);
            });
            return Err(Status::aborted("it goes on without you"));
        }
        warehouse.storm.dawdle().await;
        let answer = self.append(&mut warehouse.state(), request);
        match fate {
            Fate::Cut => {
                warehouse.storm.cut();
                Err(Status::internal("nobody reads this"))
            }
            Fate::Lost => Err(Status::aborted("the answer is lost")),
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
        state.appends += 1;
        match &mut state.appends_left {
            Some(0) => return Err(Status::unavailable("the service is going away")),
            Some(left) => *left -= 1,
            None => {}
        }
        if let Some(table) = name.strip_suffix(DEFAULT) {
            return self.change(state, table, &name, &request);
        }
        let gone = || refusal(Code::NotFound, StorageErrorCode::StreamNotFound, &name);
        let table = state.streams.get(&name).map(|stream| stream.table.clone()).ok_or_else(gone)?;
        let body = state.tables.get(&table).map(|table| table.body.clone());
        let body = body.ok_or_else(|| refusal(Code::NotFound, StorageErrorCode::TableNotFound, &table))?;
        let fields = columns::fields(&body["schema"]["fields"]);
        let rows = self.rows(&request)?;
        if rows.schema().fields().iter().any(|field| PSEUDO.contains(&field.name().as_str())) {
            return Err(Status::invalid_argument("rows with _CHANGE_TYPE are taken by the default stream only"));
        }
        if let Err(mismatch) = check_schema(&rows.schema(), &fields) {
            return Ok(unfit(&name, &mismatch));
        }
        let offset = request.offset;
        let count = state.streams.get(&name).map_or(0, |stream| stream.count);
        let has_place = !state.checks_offsets_first || offset.is_none_or(|offset| offset == count);
        let mut refused = refused(&rows, &fields);
        refused.extend(by_number(&rows, &state.refused));
        if !refused.is_empty() && has_place {
            return Ok(row_errors(&name, refused));
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
        match (stream.kind, state.tables.get_mut(&table)) {
            // Seen at once.
            (Type::Committed, Some(table)) => table.rows.entry(name.clone()).or_default().push(rows),
            _ => stream.rows.push(rows),
        }
        let response = Some(Response::AppendResult(AppendResult { offset: Some(offset) }));
        Ok(AppendRowsResponse { response, write_stream: name, ..AppendRowsResponse::default() })
    }

    /// All rows of a request or none.
    fn change(
        &mut self,
        state: &mut State,
        path: &str,
        stream: &str,
        request: &AppendRowsRequest,
    ) -> Result<AppendRowsResponse, Status> {
        let invalid = |why: &str| Status::invalid_argument(why.to_owned());
        let missing = || refusal(Code::NotFound, StorageErrorCode::TableNotFound, path);
        let table = state.tables.get_mut(path).ok_or_else(missing)?;
        if request.offset.is_some() {
            return Err(invalid("offsets are not allowed in the default stream"));
        }
        let Some(Rows::ProtoRows(ProtoData { writer_schema, rows })) = &request.rows else {
            return Err(invalid("changes are not supported in Arrow's format"));
        };
        if let Some(descriptor) = writer_schema.as_ref().and_then(|schema| schema.proto_descriptor.clone()) {
            message::check_self_contained(&descriptor).map_err(Status::invalid_argument)?;
            self.descriptor = Some(descriptor);
        }
        let root = self.descriptor.as_ref().ok_or_else(|| invalid("the first request describes the rows"))?;
        let fields = columns::fields(&table.body["schema"]["fields"]);
        if let Err(mismatch) = message::check(root, &fields) {
            return Ok(unfit(stream, &mismatch));
        }
        let key = table.body["tableConstraints"]["primaryKey"]["columns"].clone();
        let key: Vec<&str> = key.as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
        if key.is_empty() {
            return Err(invalid("_CHANGE_TYPE needs a table with a primary key"));
        }
        let (mut wanted, mut refused) = (Vec::new(), Vec::new());
        for (index, bytes) in rows.iter().flat_map(|rows| &rows.serialized_rows).enumerate() {
            let row = message::decode(root, root, bytes).map_err(Status::invalid_argument)?;
            let why = message::why_refused(&row, &fields).map_or(Ok(()), Err);
            match why.and_then(|()| Wanted::of(row, &key, &table.changes)) {
                Ok(change) => wanted.push(change),
                Err(why) => refused.push((index, why)),
            }
        }
        if !refused.is_empty() {
            return Ok(row_errors(stream, refused));
        }
        wanted.into_iter().for_each(|change| table.changes.apply(change));
        let response = Some(Response::AppendResult(AppendResult { offset: None }));
        Ok(AppendRowsResponse { response, write_stream: stream.to_owned(), ..AppendRowsResponse::default() })
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

fn by_number(rows: &RecordBatch, refused: &BTreeSet<i64>) -> Vec<(usize, String)> {
    let Some(column) = rows.column_by_name("row").filter(|_| !refused.is_empty()) else { return Vec::new() };
    let numbers = column.as_primitive::<Int64Type>().values();
    let found = numbers.iter().enumerate().filter(|(_, number)| refused.contains(number));
    found.map(|(row, _)| (row, "Field row: a constraint of the table does not hold".to_owned())).collect()
}

fn unfit(stream: &str, mismatch: &Mismatch) -> AppendRowsResponse {
    let code = match mismatch.is_extra {
        true => StorageErrorCode::SchemaMismatchExtraFields,
        false => StorageErrorCode::Unspecified,
    };
    error(stream, told(Code::InvalidArgument, code, &mismatch.why), Vec::new())
}

fn row_errors(stream: &str, refused: Vec<(usize, String)>) -> AppendRowsResponse {
    let row_error = |(index, message)| RowError { index: index as i64, code: 1, message };
    let status = told(Code::InvalidArgument, StorageErrorCode::Unspecified, "Errors found while processing rows");
    error(stream, status, refused.into_iter().map(row_error).collect())
}

fn error(stream: &str, status: bigquery_storage::google::rpc::Status, row_errors: Vec<RowError>) -> AppendRowsResponse {
    AppendRowsResponse {
        response: Some(Response::Error(status)),
        row_errors,
        write_stream: stream.to_owned(),
        ..AppendRowsResponse::default()
    }
}

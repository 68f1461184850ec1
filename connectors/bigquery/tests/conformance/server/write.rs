//! The Storage Write service.

use super::{
    append::Connection,
    columns,
    storm::Fate,
    warehouse::{State, Stream, Warehouse},
};
use bigquery_storage::google::{
    cloud::bigquery::storage::v1::{
        AppendRowsRequest, AppendRowsResponse, BatchCommitWriteStreamsRequest, BatchCommitWriteStreamsResponse,
        CreateWriteStreamRequest, FinalizeWriteStreamRequest, FinalizeWriteStreamResponse, GetWriteStreamRequest,
        StorageError, TableSchema, WriteStream, WriteStreamView, storage_error::StorageErrorCode, write_stream::Type,
    },
    rpc,
};
use futures::{StreamExt, future::BoxFuture, stream};
use prost::Message;
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codegen::http,
    server::{Grpc, NamedService},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

const MESSAGE_BYTES_MAX: usize = 64 << 20;
const SOME_TIME: prost_types::Timestamp = prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 };
const ERROR_TYPE: &str = "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError";

#[derive(Clone)]
pub struct WriteService(pub Arc<Warehouse>);

impl NamedService for WriteService {
    const NAME: &'static str = "google.cloud.bigquery.storage.v1.BigQueryWrite";
}

impl Service<http::Request<Body>> for WriteService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let warehouse = Arc::clone(&self.0);
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match method.as_str() {
                "CreateWriteStream" => unary(warehouse, request, create, 15).await,
                "FinalizeWriteStream" => unary(warehouse, request, finalize, 15).await,
                "BatchCommitWriteStreams" => unary(warehouse, request, commit, 3).await,
                "GetWriteStream" => unary(warehouse, request, get, 3).await,
                "AppendRows" => append(warehouse, request).await,
                _ => Status::unimplemented(method).into_http(),
            })
        })
    }
}

async fn unary<Ask, Answer>(
    warehouse: Arc<Warehouse>,
    request: http::Request<Body>,
    act: fn(&mut State, Ask) -> Result<Answer, Status>,
    one_wrong_of: usize,
) -> http::Response<Body>
where
    Ask: Message + Default + 'static,
    Answer: Message + 'static,
{
    let service = service_fn(move |request: Request<Ask>| {
        let warehouse = Arc::clone(&warehouse);
        async move {
            routed(&request)?;
            suffer(&warehouse, request.into_inner(), act, one_wrong_of).await.map(Response::new)
        }
    });
    Grpc::new(ProstCodec::<Answer, Ask>::default()).unary(service, request).await
}

/// Without it the real service does not find the region.
fn routed<T>(request: &Request<T>) -> Result<(), Status> {
    let route = request.metadata().get("x-goog-request-params").and_then(|route| route.to_str().ok());
    match route {
        Some(route) if route.contains("=projects%2F") => Ok(()),
        other => Err(Status::invalid_argument(format!("x-goog-request-params is {other:?}"))),
    }
}

async fn suffer<Ask: Send + 'static, Answer: Send + 'static>(
    warehouse: &Arc<Warehouse>,
    ask: Ask,
    act: fn(&mut State, Ask) -> Result<Answer, Status>,
    one_wrong_of: usize,
) -> Result<Answer, Status> {
    let fate = warehouse.storm.fate(one_wrong_of);
    match fate {
        Fate::Refused => return Err(Status::unavailable("the service is going away")),
        Fate::Throttled => return Err(Status::resource_exhausted("Exceeds quota limit: requests per minute")),
        Fate::Late => {
            let warehouse = Arc::clone(warehouse);
            tokio::spawn(async move {
                warehouse.storm.dawdle().await;
                let _ = act(&mut warehouse.state(), ask);
            });
            return Err(Status::deadline_exceeded("it goes on without you"));
        }
        _ => warehouse.storm.dawdle().await,
    }
    let answer = act(&mut warehouse.state(), ask);
    match fate {
        Fate::Lost => Err(Status::internal("the answer is lost")),
        Fate::Cut => {
            warehouse.storm.cut();
            Err(Status::internal("nobody reads this"))
        }
        _ => answer,
    }
}

async fn append(warehouse: Arc<Warehouse>, request: http::Request<Body>) -> http::Response<Body> {
    let service = service_fn(move |request: Request<Streaming<AppendRowsRequest>>| {
        let warehouse = Arc::clone(&warehouse);
        async move {
            routed(&request)?;
            let state = Some((request.into_inner(), Connection::default(), warehouse));
            let answers = stream::unfold(state, |state| async move {
                let (mut requests, mut connection, warehouse) = state?;
                let answer = match requests.message().await {
                    Ok(Some(request)) => connection.answer(&warehouse, request).await,
                    Ok(None) => return None,
                    Err(status) => Err(status),
                };
                let next = answer.is_ok().then_some((requests, connection, warehouse));
                Some((answer, next))
            });
            Ok(Response::new(answers.boxed()))
        }
    });
    let codec = ProstCodec::<AppendRowsResponse, AppendRowsRequest>::default();
    Grpc::new(codec).apply_max_message_size_config(Some(MESSAGE_BYTES_MAX), None).streaming(service, request).await
}

fn create(state: &mut State, ask: CreateWriteStreamRequest) -> Result<WriteStream, Status> {
    let kind = ask.write_stream.map(|stream| stream.r#type());
    let Some(kind @ (Type::Pending | Type::Committed)) = kind else {
        return Err(Status::invalid_argument(format!("streams are PENDING or COMMITTED here, not {kind:?}")));
    };
    let found = state.tables.get(&ask.parent).map(|table| columns::fields(&table.body["schema"]["fields"]));
    let fields = found.ok_or_else(|| Status::not_found(format!("Requested entity was not found: {}", ask.parent)))?;
    if state.quota.is_some_and(|quota| state.streams_made >= quota) {
        return Err(Status::resource_exhausted("Exceeds quota limit: CreateWriteStream requests per hour"));
    }
    state.streams_made += 1;
    let name = format!("{}/streams/{:016x}", ask.parent, state.streams_made);
    let (table, rows) = (ask.parent, Vec::new());
    let stream = Stream { kind, table, rows, count: 0, is_finalized: false, is_committed: false };
    state.streams.insert(name.clone(), stream);
    let table_schema = Some(TableSchema { fields });
    let (r#type, create_time) = (kind.into(), Some(SOME_TIME));
    Ok(WriteStream { name, r#type, create_time, table_schema, ..WriteStream::default() })
}

fn finalize(state: &mut State, ask: FinalizeWriteStreamRequest) -> Result<FinalizeWriteStreamResponse, Status> {
    let gone = || refusal(Code::NotFound, StorageErrorCode::StreamNotFound, &ask.name);
    let stream = state.streams.get_mut(&ask.name).ok_or_else(gone)?;
    stream.is_finalized = true;
    Ok(FinalizeWriteStreamResponse { row_count: stream.count })
}

fn commit(state: &mut State, ask: BatchCommitWriteStreamsRequest) -> Result<BatchCommitWriteStreamsResponse, Status> {
    let errors = state.commit(&ask.parent, &ask.write_streams);
    if errors.is_empty() {
        let commit_time = Some(SOME_TIME);
        return Ok(BatchCommitWriteStreamsResponse { commit_time, stream_errors: Vec::new() });
    }
    let error = |(entity, code): (String, StorageErrorCode)| {
        let error_message = format!("{}: {entity}", code.as_str_name());
        StorageError { code: code.into(), entity, error_message }
    };
    let stream_errors = errors.into_iter().map(error).collect();
    Ok(BatchCommitWriteStreamsResponse { commit_time: None, stream_errors })
}

fn get(state: &mut State, ask: GetWriteStreamRequest) -> Result<WriteStream, Status> {
    let gone = || refusal(Code::NotFound, StorageErrorCode::StreamNotFound, &ask.name);
    let stream = state.streams.get(&ask.name).ok_or_else(gone)?;
    let missing = || refusal(Code::NotFound, StorageErrorCode::TableNotFound, &stream.table);
    let table = state.tables.get(&stream.table).ok_or_else(missing)?;
    let commit_time = stream.is_committed.then_some(SOME_TIME);
    let fields = || columns::fields(&table.body["schema"]["fields"]);
    let table_schema = (ask.view() == WriteStreamView::Full).then(|| TableSchema { fields: fields() });
    let r#type = stream.kind.into();
    Ok(WriteStream { name: ask.name, r#type, commit_time, table_schema, ..WriteStream::default() })
}

/// With the service's own word in it.
pub fn told(code: Code, storage: StorageErrorCode, message: &str) -> rpc::Status {
    let error = StorageError { code: storage.into(), entity: String::new(), error_message: message.to_owned() };
    let detail = prost_types::Any { type_url: ERROR_TYPE.to_owned(), value: error.encode_to_vec() };
    rpc::Status { code: code as i32, message: message.to_owned(), details: vec![detail] }
}

pub fn refusal(code: Code, storage: StorageErrorCode, entity: &str) -> Status {
    let status = told(code, storage, &format!("{}: {entity}", storage.as_str_name()));
    Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
}

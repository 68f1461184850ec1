//! The Storage Write service, call by call.

use crate::{
    client::Client,
    fault::{self, Act},
    rows,
    types::Column,
};
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse, ArrowRecordBatch, ArrowSchema, BatchCommitWriteStreamsRequest,
    BatchCommitWriteStreamsResponse, CreateWriteStreamRequest, FinalizeWriteStreamRequest, GetWriteStreamRequest,
    RowError, WriteStream,
    append_rows_request::{ArrowData, Rows},
    append_rows_response::{AppendResult, Response},
    write_stream::Type,
};
use futures::stream;
use outflow_api::{BatchId, Fault, Piece};
use std::{sync::Arc, time::Duration};
use tonic::{
    Request, Status,
    codegen::http::Extensions,
    metadata::{MetadataMap, MetadataValue},
};

/// By it the service finds where a request belongs.
const ROUTE: &str = "x-goog-request-params";
/// Write streams of one table.
pub struct Streams {
    pub client: Arc<Client>,
    /// `projects/…/datasets/…/tables/…`
    pub table: String,
    pub timeout: Duration,
    /// When rows are seen of the streams that are made.
    pub kind: Type,
}

/// What a service says to a request whose place is `route`: `parent`, `name` or `write_stream`.
impl Streams {
    pub async fn request<T>(&self, message: T, route: &str, place: &str) -> Result<Request<T>, Fault> {
        let mut metadata = MetadataMap::from_headers(self.client.headers().await?);
        let route = format!("{route}={}", place.replace('/', "%2F"));
        // Names are of such letters as a header may have; where they are not, no table is found either.
        if let Ok(route) = MetadataValue::try_from(route) {
            metadata.insert(ROUTE, route);
        }
        let mut request = Request::from_parts(metadata, Extensions::new(), message);
        request.set_timeout(self.timeout);
        Ok(request)
    }

    fn fault(&self, act: Act) -> impl Fn(Status) -> Fault {
        move |status| fault::of_status(&self.table, act, &status)
    }

    /// Answers the table's columns, too.
    pub async fn create(&self) -> Result<WriteStream, Fault> {
        let stream = WriteStream { r#type: self.kind.into(), ..WriteStream::default() };
        let message = CreateWriteStreamRequest { parent: self.table.clone(), write_stream: Some(stream) };
        let request = self.request(message, "parent", &self.table).await?;
        let answer = self.client.write().await?.create_write_stream(request).await;
        Ok(answer.map_err(self.fault(Act::CreateStream))?.into_inner())
    }

    /// All pieces, in their order, over one connection: the next is sent before the last is answered. Answers which
    /// rows the table refuses, counted among all that were sent and rising; if there are any, the stream is of no use.
    pub async fn append(
        &self,
        stream: &str,
        id: BatchId,
        columns: &[Column],
        pieces: &[Piece],
    ) -> Result<Vec<(u64, String)>, Fault> {
        let schema = ArrowSchema { serialized_schema: rows::schema_message(columns)? };
        let (mut first, mut offset) = (Some(schema), 0);
        let requests: Vec<AppendRowsRequest> = pieces
            .iter()
            .map(|piece| {
                let request = append_request(stream, id, first.take(), offset, piece);
                offset += piece.rows.cast_signed();
                request
            })
            .collect();
        let request = self.request(stream::iter(requests), "write_stream", stream).await?;
        let answers = self.client.write().await?.append_rows(request).await;
        let mut answers = answers.map_err(self.fault(Act::Append))?.into_inner();
        let (mut appended, mut refused) = (0, Vec::new());
        for piece in pieces {
            let answer = match answers.message().await {
                Err(_) if !refused.is_empty() => break,
                answer => answer.map_err(self.fault(Act::Append))?,
            };
            match self.check(answer, appended) {
                Ok(rows) => refused.extend(rows),
                // Behind a request that was refused, others have no place; rows of theirs may be named all the same.
                Err(_) if !refused.is_empty() => {}
                Err(fault) => return Err(fault),
            }
            appended += piece.rows;
        }
        Ok(refused)
    }

    fn check(&self, answer: Option<AppendRowsResponse>, offset: u64) -> Result<Vec<(u64, String)>, Fault> {
        let table = &self.table;
        let Some(answer) = answer else {
            return Err(Fault::retry(
                "service-failed",
                format!("appending rows to {table}: it ended before the last answer"),
            ));
        };
        if !answer.row_errors.is_empty() {
            return Ok(refused_rows(&answer, offset));
        }
        match answer.response {
            Some(Response::AppendResult(AppendResult { offset: at }))
                if at.is_none_or(|at| at.cast_unsigned() == offset) =>
            {
                Ok(Vec::new())
            }
            Some(Response::Error(status)) => Err(fault::of_answer(table, Act::Append, &status)),
            Some(Response::AppendResult(_)) | None => {
                let hint = format!("appending rows to {table}: rows for offset {offset} went elsewhere");
                Err(Fault::retry("stream-unusable", hint))
            }
        }
    }

    /// No row can be appended any more. Answers how many there are.
    pub async fn finalize(&self, stream: &str) -> Result<u64, Fault> {
        let message = FinalizeWriteStreamRequest { name: stream.to_owned() };
        let request = self.request(message, "name", stream).await?;
        let answer = self.client.write().await?.finalize_write_stream(request).await;
        Ok(answer.map_err(self.fault(Act::Finalize))?.into_inner().row_count.cast_unsigned())
    }

    /// The service's own answer, whether good or bad: all depends on what exactly it says.
    pub async fn commit(&self, stream: &str) -> Result<Result<BatchCommitWriteStreamsResponse, Status>, Fault> {
        let (parent, write_streams) = (self.table.clone(), vec![stream.to_owned()]);
        let message = BatchCommitWriteStreamsRequest { parent, write_streams };
        let request = self.request(message, "parent", &self.table).await?;
        let answer = self.client.write().await?.batch_commit_write_streams(request).await;
        Ok(answer.map(tonic::Response::into_inner))
    }

    pub async fn is_committed(&self, stream: &str) -> Result<bool, Fault> {
        let message = GetWriteStreamRequest { name: stream.to_owned(), view: 0 };
        let request = self.request(message, "name", stream).await?;
        let answer = self.client.write().await?.get_write_stream(request).await;
        Ok(answer.map_err(self.fault(Act::LookAtStream))?.into_inner().commit_time.is_some())
    }
}

pub fn append_request(
    stream: &str,
    id: BatchId,
    first: Option<ArrowSchema>,
    offset: i64,
    piece: &Piece,
) -> AppendRowsRequest {
    let serialized_record_batch = match &piece.bytes[..] {
        [one] => one.clone(),
        several => several.concat().into(),
    };
    // In the service's logs, a batch is found by it.
    let trace_id = if first.is_some() { format!("outflow:{id}") } else { String::new() };
    let rows = ArrowRecordBatch { serialized_record_batch, ..ArrowRecordBatch::default() };
    AppendRowsRequest {
        write_stream: stream.to_owned(),
        offset: Some(offset),
        trace_id,
        rows: Some(Rows::ArrowRows(ArrowData { writer_schema: first, rows: Some(rows) })),
        ..AppendRowsRequest::default()
    }
}

/// Counted among the rows that were sent. What the service says may repeat what a row holds: it goes where the row
/// goes, and nowhere else.
fn refused_rows(answer: &AppendRowsResponse, offset: u64) -> Vec<(u64, String)> {
    let row = |error: &RowError| (offset + error.index.cast_unsigned(), fault::shortened(&error.message));
    let mut rows: Vec<_> = answer.row_errors.iter().map(row).collect();
    rows.sort();
    rows.dedup_by_key(|(row, _)| *row);
    rows
}

//! Requests with rows and their answers, where each request stands for itself: what is there stays, and what is not
//! yet there follows.

use crate::{
    fault::{self, Act},
    streams::Streams,
};
use bigquery_storage::google::{
    cloud::bigquery::storage::v1::{
        AppendRowsRequest, AppendRowsResponse, FinalizeWriteStreamRequest, GetWriteStreamRequest, WriteStream,
        WriteStreamView,
        append_rows_response::{AppendResult, Response},
        storage_error::StorageErrorCode,
    },
    rpc,
};
use futures::stream;
use outflow_api::{Blame, Fault};
use tonic::{Code, Status};

/// Refused rows that a message names.
const NAMED_MAX: usize = 3;

/// What became of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    Appended,
    /// By an earlier call: rows are at this offset.
    AlreadyThere,
}

/// Why nothing more can be sent.
#[derive(Debug)]
pub enum Stop {
    /// The stream takes no row any more.
    Finalized,
    /// The service does not know the stream.
    Gone,
    /// The stream ends before the first of these rows.
    TooShort,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

impl Streams {
    /// In their order over one connection, the next before the last is answered. `rows`: how many each of them has.
    pub async fn send(&self, stream: &str, requests: Vec<AppendRowsRequest>, rows: &[u64]) -> Result<Vec<Sent>, Stop> {
        let offsets: Vec<Option<i64>> = requests.iter().map(|request| request.offset).collect();
        let request = self.request(stream::iter(requests), "write_stream", stream).await?;
        let answers = self.client.write().await?.append_rows(request).await;
        let mut answers = answers.map_err(|status| self.stop(&status))?.into_inner();
        let (mut sent, mut first) = (Vec::with_capacity(offsets.len()), 0);
        for (offset, rows) in offsets.iter().zip(rows) {
            let answer = answers.message().await.map_err(|status| self.stop(&status))?;
            sent.push(self.judge(answer, *offset, first)?);
            first += rows;
        }
        Ok(sent)
    }

    /// With the table's columns; or what the service answers where the stream is not there.
    pub async fn look(&self, stream: &str) -> Result<Result<WriteStream, Status>, Fault> {
        let message = GetWriteStreamRequest { name: stream.to_owned(), view: WriteStreamView::Full.into() };
        let request = self.request(message, "name", stream).await?;
        let answer = self.client.write().await?.get_write_stream(request).await;
        Ok(answer.map(tonic::Response::into_inner))
    }

    /// Nobody can append to it any more. Answers how many rows there are.
    pub async fn close(&self, stream: &str) -> Result<Result<u64, Status>, Fault> {
        let message = FinalizeWriteStreamRequest { name: stream.to_owned() };
        let request = self.request(message, "name", stream).await?;
        let answer = self.client.write().await?.finalize_write_stream(request).await;
        Ok(answer.map(|answer| answer.into_inner().row_count.cast_unsigned()))
    }

    fn stop(&self, status: &Status) -> Stop {
        self.named(status.code(), fault::storage_code_of(status))
            .unwrap_or_else(|| Stop::Fault(fault::of_status(&self.table, Act::Append, status)))
    }

    fn named(&self, code: Code, storage: Option<StorageErrorCode>) -> Option<Stop> {
        match (storage, code) {
            (Some(StorageErrorCode::StreamFinalized), _) => Some(Stop::Finalized),
            (Some(StorageErrorCode::StreamNotFound), _) => Some(Stop::Gone),
            (Some(StorageErrorCode::OffsetOutOfRange), _) | (_, Code::OutOfRange) => Some(Stop::TooShort),
            _ => None,
        }
    }

    fn judge(&self, answer: Option<AppendRowsResponse>, offset: Option<i64>, first: u64) -> Result<Sent, Stop> {
        let table = &self.table;
        let Some(answer) = answer else {
            let hint = format!("appending rows to {table}: it ended before the last answer");
            return Err(Fault::retry("service-failed", hint).into());
        };
        if !answer.row_errors.is_empty() {
            return Err(refused_rows(table, &answer, first).into());
        }
        match answer.response {
            Some(Response::AppendResult(AppendResult { offset: at })) if at.is_none() || at == offset => {
                Ok(Sent::Appended)
            }
            Some(Response::Error(status)) => self.of_error(&status, offset.is_some()),
            Some(Response::AppendResult(_)) | None => {
                let hint = format!("appending rows to {table}: rows for offset {offset:?} went elsewhere");
                Err(Fault::park(Blame::Provider, "refused", hint).into())
            }
        }
    }

    fn of_error(&self, status: &rpc::Status, has_offset: bool) -> Result<Sent, Stop> {
        let (code, storage) = (Code::from_i32(status.code), fault::storage_code(&status.details));
        let is_there = storage == Some(StorageErrorCode::OffsetAlreadyExists) || code == Code::AlreadyExists;
        if is_there && has_offset {
            return Ok(Sent::AlreadyThere);
        }
        let fault = || Stop::Fault(fault::of_answer(&self.table, Act::Append, status));
        Err(self.named(code, storage).unwrap_or_else(fault))
    }
}

/// The one place where these modes hear of rows that the table refuses. Counted among the rows that were sent; what
/// they hold is not repeated.
fn refused_rows(table: &str, answer: &AppendRowsResponse, first: u64) -> Fault {
    let named = answer.row_errors.iter().take(NAMED_MAX);
    let named = named.map(|error| format!("row {}: {}", first + error.index.cast_unsigned(), error.message));
    let (count, named) = (answer.row_errors.len(), named.collect::<Vec<_>>().join("; "));
    let hint = format!(
        "{table} refuses {count} rows of a batch ({named}): widen the column, or skip the batch; rows of its other \
         requests may be visible"
    );
    Fault::park(Blame::Merchant, "rows-refused", hint)
}

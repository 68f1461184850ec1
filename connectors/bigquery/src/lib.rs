//! Sink `bigquery`: rows are appended to a table of Google BigQuery by its Storage Write API. A batch is staged in a
//! stream of its own, which nobody sees, and revealed by committing the stream, which can be done once. Touches its
//! table; the guarantee and its limits are in README.md.

mod arrays;
mod client;
mod examine;
mod fault;
mod rows;
mod settings;
mod streams;
mod table;
mod tables;
mod token;
mod types;

use crate::{fault::Act, settings::Settings, streams::Streams, tables::Tables, token::Token, types::Column};
use async_trait::async_trait;
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    StorageError, WriteStream, storage_error::StorageErrorCode,
};
use outflow_api::{
    BatchId, Blame, CommitOutcome, CommitPermit, Encoded, Fault, Finding, Guarantee, Identity, Prepared, Remote,
    SealedBatch, Sink, SinkContext, SinkDescriptor, SweepReport, SweepScope,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tonic::{Code, Status};

pub static DESCRIPTOR: SinkDescriptor = SinkDescriptor {
    kind: "bigquery",
    guarantee: Guarantee::ExactlyOnceWithinWindow,
    removes: false,
    settings: settings::MEANINGS,
    identity,
    open,
};

fn identity(settings: &Value) -> Result<Identity, Fault> {
    Ok(Settings::read(settings)?.identity())
}

fn open(settings: &Value, context: SinkContext) -> Result<Arc<dyn Sink>, Fault> {
    let settings = Settings::read(settings)?;
    if settings.identity() != context.identity {
        let (here, there) = (context.identity.0, settings.identity().0);
        return Err(settings::wrong(format!("the lane belongs to {here}, and these settings lead to {there}")));
    }
    let columns = types::columns(&context.decoder.schema())?;
    table::check(&settings, &columns)?;
    let (client, timeout) = (client::shared(&settings), Duration::from_secs(settings.request_timeout_s));
    let tables = Tables::new(&settings, Arc::clone(&client), timeout);
    let streams = Streams { client, table: settings.path(), timeout };
    let remote = client::remote(&settings);
    Ok(Arc::new(BigQuery { identity: context.identity, remote, settings, columns, streams, tables }))
}

struct BigQuery {
    identity: Identity,
    remote: Remote,
    settings: Settings,
    columns: Vec<Column>,
    streams: Streams,
    tables: Tables,
}

#[async_trait]
impl Sink for BigQuery {
    fn remote(&self) -> Option<&Remote> {
        Some(&self.remote)
    }

    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
        rows::encode(batch, &self.columns, self.settings.request_bytes_max)
    }

    /// Each call stages the rows in a stream of its own; one that was cut off leaves a stream that nobody commits.
    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<Prepared, Fault> {
        let rows = encoded.pieces.iter().map(|piece| piece.rows).sum();
        let stream = if rows == 0 { None } else { Some(self.stage(id, encoded, rows).await?) };
        Ok(Token { identity: self.identity.0.clone(), rows, stream }.write(id))
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        let prepared = permit.prepared();
        let token = Token::read(prepared, &self.identity)?;
        check_rows(prepared.id, &token, encoded)?;
        match &token.stream {
            None => Ok(CommitOutcome::AlreadyCommitted),
            Some(stream) => self.reveal(prepared.id, stream).await,
        }
    }

    /// The service has no call that ends a stream: without a permit nobody commits it, and it goes by itself.
    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
        Token::read(prepared, &self.identity).map(drop)
    }

    /// Streams that nobody commits are not listed by the service, and go by themselves.
    async fn sweep(&self, _scope: &SweepScope) -> Result<SweepReport, Fault> {
        Ok(SweepReport::default())
    }

    async fn examine(&self) -> Vec<Finding> {
        examine::examine(self).await
    }
}

fn check_rows(id: BatchId, token: &Token, encoded: Option<&Encoded>) -> Result<(), Fault> {
    let Some(encoded) = encoded else { return Ok(()) };
    let rows: u64 = encoded.pieces.iter().map(|piece| piece.rows).sum();
    let own = format!("{id}/");
    if rows == token.rows && encoded.pieces.iter().all(|piece| piece.name.starts_with(&own)) {
        return Ok(());
    }
    let hint = format!("the rows of batch {id} that were read again are not those that were decided");
    Err(Fault::park(Blame::Us, "rows-differ", hint))
}

impl BigQuery {
    /// Answers the stream's name: it has all rows, takes no other, and nobody sees it.
    async fn stage(&self, id: BatchId, encoded: &Encoded, rows: u64) -> Result<String, Fault> {
        let stream = self.stream_of_fitting_table().await?.name;
        self.streams.append(&stream, id, &self.columns, &encoded.pieces).await?;
        let staged = self.streams.finalize(&stream).await?;
        if staged == rows {
            return Ok(stream);
        }
        let shown = self.settings.shown();
        let hint =
            format!("{shown}: of {rows} rows that were acknowledged, {staged} were staged; they are staged anew");
        Err(Fault::retry("row-count-differs", hint))
    }

    async fn stream_of_fitting_table(&self) -> Result<WriteStream, Fault> {
        let stream = match self.streams.create().await {
            Err(fault) if self.is_to_be_made(&fault).await? => {
                self.tables.make(&table::made(&self.settings, &self.columns)).await?;
                self.streams.create().await.map_err(|fault| self.of_new_table(fault))?
            }
            Err(fault) if fault.code == "table-missing" => return Err(self.table_missing()),
            other => other?,
        };
        let lacking = self.lacking(&stream)?;
        if lacking.is_empty() {
            return Ok(stream);
        }
        if !self.settings.add_columns {
            return Err(self.columns_missing(&lacking));
        }
        self.tables.add(&self.columns).await?;
        let (shown, names) = (self.settings.shown(), lacking.join(", "));
        let hint = format!("{shown}: columns were added ({names}), and rows follow when the service knows them");
        Err(Fault::retry("schema-spreads", hint))
    }

    /// To those who may not know, the service says of a table that is missing that it is forbidden.
    async fn is_to_be_made(&self, fault: &Fault) -> Result<bool, Fault> {
        match fault.code {
            "table-missing" => Ok(self.settings.create),
            "access-denied" => Ok(self.settings.create && self.tables.table().await?.is_none()),
            _ => Ok(false),
        }
    }

    fn of_new_table(&self, fault: Fault) -> Fault {
        match fault.code {
            "table-missing" => {
                let hint = format!("{} was just made, and is not known everywhere yet", self.settings.shown());
                Fault::retry("schema-spreads", hint)
            }
            _ => fault,
        }
    }

    fn lacking(&self, stream: &WriteStream) -> Result<Vec<String>, Fault> {
        let found = stream.table_schema.as_ref().map_or(&[][..], |schema| &schema.fields[..]);
        table::lacks(&self.settings.shown(), &self.columns, found)
    }

    fn table_missing(&self) -> Fault {
        let hint = format!("there is no table {}: make it, or set create: true", self.settings.shown());
        Fault::park(Blame::Merchant, "table-missing", hint)
    }

    fn columns_missing(&self, lacking: &[String]) -> Fault {
        let (shown, names) = (self.settings.shown(), lacking.join(", "));
        let hint = format!("{shown} lacks columns: add {names}, or set add_columns: true");
        Fault::park(Blame::Merchant, "column-missing", hint)
    }

    async fn reveal(&self, id: BatchId, stream: &str) -> Result<CommitOutcome, Fault> {
        let code = match self.streams.commit(stream).await? {
            Ok(answer) if answer.commit_time.is_some() => return Ok(CommitOutcome::Committed),
            Ok(answer) => match answer.stream_errors.first() {
                Some(StorageError { code, .. }) => StorageErrorCode::try_from(*code).ok(),
                None => None,
            },
            Err(status) => match code_of(&status) {
                Some(code) => Some(code),
                None => return Err(fault::of_status(&self.settings.shown(), Act::Commit, &status)),
            },
        };
        let shown = self.settings.shown();
        match code {
            Some(StorageErrorCode::StreamAlreadyCommitted) => Ok(CommitOutcome::AlreadyCommitted),
            Some(StorageErrorCode::StreamNotFound) => Err(self.stream_gone(id, stream)),
            Some(StorageErrorCode::TableNotFound) => {
                let hint =
                    format!("{shown} is gone, and with it the rows of batch {id}: make it again, abandon the batch");
                Err(Fault::park(Blame::Merchant, "table-missing", hint))
            }
            Some(StorageErrorCode::InvalidStreamState) if self.streams.is_committed(stream).await? => {
                Ok(CommitOutcome::AlreadyCommitted)
            }
            other => {
                let said = other.map_or("nothing more", |code| code.as_str_name());
                let hint = format!("{shown}: the service does not commit batch {id}, and says {said}");
                Err(Fault::retry("commit-refused", hint))
            }
        }
    }

    /// Perhaps it was committed, and the answer got lost, so long ago that the service has forgotten it; perhaps never.
    /// Nothing that can be asked tells the two apart, so nobody guesses.
    fn stream_gone(&self, id: BatchId, stream: &str) -> Fault {
        let shown = self.settings.shown();
        let hint = format!(
            "{shown}: the service no longer knows {stream}, which held batch {id}, and keeps streams for hours only: \
             see by its offsets whether its rows are in the table, then skip the batch, or replay it"
        );
        Fault::park(Blame::Provider, "stream-gone", hint)
    }
}

/// What a refused commit says of the stream.
fn code_of(status: &Status) -> Option<StorageErrorCode> {
    let told = fault::storage_code_of(status).filter(|code| *code != StorageErrorCode::Unspecified);
    told.or_else(|| (status.code() == Code::NotFound).then_some(StorageErrorCode::StreamNotFound))
}

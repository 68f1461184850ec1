//! Sink `bigquery`: rows are appended to a table of Google BigQuery by its Storage Write API, or replace older ones of
//! their key. A batch that is appended is staged in a stream of its own, which nobody sees, and revealed by committing
//! the stream, which can be done once. Touches its table; the guarantees and their limits are in README.md.

mod arrays;
mod cells;
mod changes;
mod client;
mod committed;
mod examine;
mod exchange;
mod failures;
mod fault;
mod fit;
mod jobs;
mod keyed;
mod loads;
mod message;
mod reservations;
mod rows;
mod sequence;
mod settings;
mod staging;
mod streams;
mod table;
mod tables;
mod token;
mod types;
mod upsert;
mod wire;

use crate::{
    committed::Committed,
    fault::Act,
    keyed::Keyed,
    loads::Loads,
    settings::{Mode, Settings, StreamKind},
    staging::Staging,
    streams::Streams,
    tables::Tables,
    token::{Token, Way, of_other_mode},
    types::Column,
    upsert::Upsert,
};
use async_trait::async_trait;
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    StorageError, WriteStream, storage_error::StorageErrorCode, write_stream::Type,
};
use outflow_api::{
    BatchId, Blame, Charge, CommitOutcome, CommitPermit, Encoded, Fault, Finding, Guarantee, Identity, PrepareOutcome,
    Prepared, Remote, SealedBatch, Sink, SinkContext, SinkDescriptor, SweepReport, SweepScope,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tonic::{Code, Status};

pub static DESCRIPTOR: SinkDescriptor = SinkDescriptor {
    kind: "bigquery",
    guarantee: Guarantee::ExactlyOnceWithinWindow,
    removes: false,
    charges,
    settings: settings::MEANINGS,
    identity,
    open,
};

fn identity(settings: &Value) -> Result<Identity, Fault> {
    Ok(Settings::read(settings)?.identity())
}

/// Of a project and a region, says the documentation. Settings do not name the region: all datasets count as in one.
const STREAMS_PER_HOUR: u64 = 10_000;
/// Of the documented 1,500 a table and 100,000 a project, each for a day.
const TABLE_LOADS_PER_HOUR: u64 = 1_500 / 24;
const PROJECT_LOADS_PER_HOUR: u64 = 100_000 / 24;

/// Each batch is staged in a stream of its own if streams are pending ones, or loaded by a job of its own. Committed
/// streams are used again and again, and upserts go by the table's default stream.
fn charges(settings: &Value) -> Vec<Charge> {
    let Ok(settings) = Settings::read(settings) else { return Vec::new() };
    let (project, shown) = (&settings.project, settings.shown());
    let charge = |quota, per_hour_max, otherwise| Charge { quota, per_batch: 1, per_hour_max, otherwise };
    match (settings.mode, settings.stream) {
        (Mode::Append, StreamKind::Pending) => {
            let quota = format!("creations of write streams in BigQuery's project {project}");
            vec![charge(quota, STREAMS_PER_HOUR, "or set `stream: committed`, which takes no stream for a batch")]
        }
        (Mode::Load, _) => {
            let of_table = format!("load jobs into BigQuery's table {shown}");
            let of_project = format!("load jobs in BigQuery's project {project}");
            let otherwise = "or set `mode: append`, which takes no job";
            vec![
                charge(of_table, TABLE_LOADS_PER_HOUR, otherwise),
                charge(of_project, PROJECT_LOADS_PER_HOUR, otherwise),
            ]
        }
        (Mode::Append, StreamKind::Committed) | (Mode::Upsert, _) => Vec::new(),
    }
}

fn open(settings: &Value, context: SinkContext) -> Result<Arc<dyn Sink>, Fault> {
    let settings = Settings::read(settings)?;
    if settings.identity() != context.identity {
        let (here, there) = (context.identity.0, settings.identity().0);
        return Err(settings::wrong(format!("the lane belongs to {here}, and these settings lead to {there}")));
    }
    let columns = types::columns(&context.decoder.schema())?;
    table::check(&settings, &columns)?;
    let upsert = Upsert::of(&settings, &columns)?;
    if settings.mode == Mode::Load {
        loads::check(&columns)?;
    }
    let (client, timeout) = (client::shared(&settings), Duration::from_secs(settings.request_timeout_s));
    let staging = settings.staging.as_deref().map(|url| Staging::open(&settings, url, &client)).transpose()?;
    let tables = Tables::new(&settings, Arc::clone(&client), timeout);
    let kind = match settings.stream {
        StreamKind::Pending => Type::Pending,
        StreamKind::Committed => Type::Committed,
    };
    let streams = Streams { client, table: settings.path(), timeout, kind };
    let remote = client::remote(&settings);
    let table = BigQuery { identity: context.identity, remote, settings, columns, streams, tables };
    Ok(match (upsert, staging, kind) {
        (Some(upsert), ..) => Arc::new(Keyed::new(table, upsert)),
        (_, Some(staging), _) => Arc::new(Loads::new(table, staging)),
        (_, _, Type::Committed) => Arc::new(Committed::new(table)),
        _ => Arc::new(table),
    })
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
    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        let rows = encoded.pieces.iter().map(|piece| piece.rows).sum();
        let way = match rows {
            0 => None,
            _ => match self.stage(id, encoded, rows).await? {
                Staged::Stream(stream) => Some(Way::Pending { stream }),
                Staged::Refused(rows) => return Ok(PrepareOutcome::Refused { rows }),
            },
        };
        Ok(Token::new(&self.identity, rows, way).write(id).into())
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        let prepared = permit.prepared();
        let token = Token::read(prepared, &self.identity)?;
        check_rows(prepared.id, &token, encoded)?;
        match token.way() {
            None => Ok(CommitOutcome::AlreadyCommitted),
            Some(Way::Pending { stream }) => self.reveal(prepared.id, &stream).await,
            Some(other) => Err(of_other_mode(prepared.id, &other)),
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

/// What became of a batch's rows.
enum Staged {
    /// It has all of them, takes no other, and nobody sees it.
    Stream(String),
    /// Rows of the batch that the table refuses, and why. The stream is left alone: it goes by itself.
    Refused(Vec<(usize, String)>),
}

impl BigQuery {
    async fn stage(&self, id: BatchId, encoded: &Encoded, rows: u64) -> Result<Staged, Fault> {
        let stream = self.stream_of_fitting_table().await?.name;
        let refused = self.streams.append(&stream, id, &self.columns, &encoded.pieces).await?;
        if !refused.is_empty() {
            let in_batch = |(sent, why): (u64, String)| (encoded.index_in_batch(sent as usize), why);
            return Ok(Staged::Refused(refused.into_iter().map(in_batch).collect()));
        }
        let staged = self.streams.finalize(&stream).await?;
        if staged == rows {
            return Ok(Staged::Stream(stream));
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
        self.add(&self.lacking(&stream)?).await?;
        Ok(stream)
    }

    /// # Errors
    /// Also if columns were added: they are not known everywhere yet.
    async fn add(&self, lacking: &[String]) -> Result<(), Fault> {
        if lacking.is_empty() {
            return Ok(());
        }
        if !self.settings.add_columns {
            return Err(self.columns_missing(lacking));
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

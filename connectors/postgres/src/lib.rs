//! Sink `postgres`: rows are appended to a table of PostgreSQL, or replace older ones of their keys, each batch in one
//! transaction with a row of a ledger beside the table. Preparing fixes the batch's identity alone; rows are sent when
//! it is decided. Touches its table, the ledger, and in mode upsert a table of keys that are gone; the guarantee and
//! its limits are in README.md.

mod client;
mod examine;
mod fault;
mod json;
mod ledger;
mod merge;
mod numeric;
mod rows;
mod settings;
mod table;
mod token;
mod transaction;
mod types;
mod upsert;

use crate::{
    merge::Merge, settings::Settings, table::Lack, token::Token, transaction::Transaction, types::Column,
    upsert::Upsert,
};
use async_trait::async_trait;
use bytes::Bytes;
use outflow_api::{
    BatchId, Blame, CommitOutcome, CommitPermit, Delivered, Encoded, Fault, Finding, Guarantee, Identity, Piece,
    PrepareOutcome, Prepared, Remote, SealedBatch, Sink, SinkContext, SinkDescriptor, SweepReport, SweepScope,
};
use serde_json::Value;
use std::sync::Arc;
use tokio_postgres::{Client, error::SqlState};

pub static DESCRIPTOR: SinkDescriptor = SinkDescriptor {
    kind: "postgres",
    guarantee: Guarantee::ExactlyOnce,
    removes: true,
    charges: |_| Vec::new(),
    settings: settings::MEANINGS,
    identity,
    open,
};

fn identity(settings: &Value) -> Result<Identity, Fault> {
    Ok(Settings::read(settings)?.identity())
}

fn open(settings: &Value, context: SinkContext) -> Result<Arc<dyn Sink>, Fault> {
    let settings = Settings::read(settings)?;
    let schema = context.decoder.schema();
    let columns = schema.fields().iter().map(|field| Column::of(field, &settings));
    let columns = columns.collect::<Result<Vec<Column>, Fault>>()?;
    if let Some(column) = columns.iter().find(|column| column.name == table::BATCH) {
        return Err(settings::wrong(format!("column {} of the model is the sink's own: rename it", column.name)));
    }
    let host = format!("{}:{}", settings.host.to_ascii_lowercase(), settings.port);
    let remote = Remote::new(&host, &format!("user {} of {}", settings.user, settings.database));
    let merge = Upsert::of(&settings, &columns)?.map(|upsert| Merge::new(&settings, &columns, &upsert));
    Ok(Arc::new(Postgres { settings, identity: context.identity, columns, merge, remote }))
}

struct Postgres {
    settings: Settings,
    identity: Identity,
    columns: Vec<Column>,
    /// None: rows are appended.
    merge: Option<Merge>,
    remote: Remote,
}

/// What one transaction found.
enum Seen {
    Done(CommitOutcome),
    Lacks(Vec<String>),
}

#[async_trait]
impl Sink for Postgres {
    fn remote(&self) -> Option<&Remote> {
        Some(&self.remote)
    }

    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
        let copied = rows::copy(&batch.batches, &self.columns, &ledger::mark(batch.id))?;
        let piece = Piece { name: batch.id.to_string(), rows: copied.rows, bytes: copied.chunks };
        Ok(Encoded { pieces: vec![piece], rejected: copied.rejected })
    }

    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        let rows = encoded.pieces.iter().map(|piece| piece.rows).sum();
        Ok(Token { identity: self.identity.0.clone(), rows }.prepared(id).into())
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        let Prepared { id, token } = permit.prepared();
        let token = Token::read(*id, token, &self.identity)?;
        let piece = encoded.and_then(|encoded| encoded.pieces.first());
        if piece.is_some_and(|piece| piece.name != id.to_string() || piece.rows != token.rows) {
            let hint = format!("the rows that were given for batch {id} are another batch's: this is a bug");
            return Err(Fault::park(Blame::Us, "other-rows", hint));
        }
        client::with(&self.settings, async |client: &Client| {
            match self.attempt(client, *id, token.rows, piece).await? {
                Seen::Done(outcome) => Ok(outcome),
                Seen::Lacks(statements) => {
                    self.make(client, &statements).await?;
                    match self.attempt(client, *id, token.rows, piece).await? {
                        Seen::Done(outcome) => Ok(outcome),
                        Seen::Lacks(_) => Err(Fault::retry("table-changes", "somebody else changes the table")),
                    }
                }
            }
        })
        .await
    }

    /// Nothing of it is there.
    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
        Token::read(prepared.id, &prepared.token, &self.identity).map(drop)
    }

    async fn sweep(&self, _scope: &SweepScope) -> Result<SweepReport, Fault> {
        Ok(SweepReport::default())
    }

    /// What a row that came later has replaced is not there any more: such batches cannot be taken away.
    fn receipt(&self, prepared: &Prepared) -> Bytes {
        if self.merge.is_some() { Bytes::new() } else { prepared.token.clone() }
    }

    async fn remove(&self, old: &Delivered) -> Result<(), Fault> {
        if self.merge.is_some() {
            let hint = format!("batch {} cannot be removed: in mode upsert its rows have replaced others", old.id);
            return Err(Fault::park(Blame::Us, "cannot-remove", hint));
        }
        let token = Token::read(old.id, &old.receipt, &self.identity)?;
        client::with(&self.settings, async |client: &Client| self.take_away(client, old.id, token.rows).await).await
    }

    async fn examine(&self) -> Vec<Finding> {
        examine::examine(&self.settings, &self.columns, self.merge.as_ref()).await
    }
}

impl Postgres {
    async fn begin<'a>(&'a self, client: &'a Client) -> Result<Transaction<'a>, Fault> {
        Transaction::begin(client, &self.settings, &self.columns, self.merge.as_ref()).await
    }

    /// One transaction: the ledger's row, and all rows.
    async fn attempt(&self, client: &Client, id: BatchId, rows: u64, piece: Option<&Piece>) -> Result<Seen, Fault> {
        let transaction = self.begin(client).await?;
        let there = transaction.look().await?;
        let ledger = &transaction.ledger;
        let Some(piece) = piece else {
            // Who only asks makes nothing.
            let known =
                there.has_ledger && ledger.knows(client, id).await.map_err(transaction.fault("reading the ledger"))?;
            return Ok(Seen::Done(if known { CommitOutcome::AlreadyCommitted } else { CommitOutcome::NeedsRows }));
        };
        if let Lack::Statements(statements) = transaction.lacks(&there)? {
            transaction.execute("ROLLBACK").await?;
            return Ok(Seen::Lacks(statements));
        }
        if !ledger.note(client, id, rows).await.map_err(transaction.fault("writing the ledger"))? {
            return Ok(Seen::Done(CommitOutcome::AlreadyCommitted));
        }
        let taken = transaction.send(&piece.bytes).await?;
        if taken != rows {
            let hint = format!("{taken} of {rows} rows of batch {id} arrived, and nobody said why: none is committed");
            return Err(Fault::halt("rows-missing", hint));
        }
        transaction.execute("COMMIT").await?;
        Ok(Seen::Done(CommitOutcome::Committed))
    }

    async fn make(&self, client: &Client, statements: &[String]) -> Result<(), Fault> {
        let all = statements.join("; ");
        match client.batch_execute(&format!("BEGIN; {all}; COMMIT")).await {
            Ok(()) => Ok(()),
            // Somebody else made the same at the same moment.
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Err(Fault::retry("table-changes", "somebody else makes the table").because(error))
            }
            Err(error) => Err(fault::of(&self.settings, &all, error)),
        }
    }

    async fn take_away(&self, client: &Client, id: BatchId, rows: u64) -> Result<(), Fault> {
        let transaction = self.begin(client).await?;
        let noted = transaction.ledger.note_removed(client, id, rows).await;
        noted.map_err(transaction.fault(fault::REMOVING))?;
        let (target, batch, mark) = (self.settings.target(), types::quoted(table::BATCH), ledger::mark_text(id));
        let removed = client.batch_execute(&format!("DELETE FROM {target} WHERE {batch} = '{mark}'")).await;
        removed.map_err(transaction.fault(fault::REMOVING))?;
        transaction.execute("COMMIT").await
    }
}

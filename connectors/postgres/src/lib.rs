//! Sink `postgres`: rows are appended to a table of PostgreSQL, each batch in one transaction with a row of a ledger
//! beside the table. Preparing fixes the batch's identity alone; rows are sent when it is decided. Touches its table and
//! its ledger; the guarantee and its limits are in README.md.

mod client;
mod examine;
mod fault;
mod ledger;
mod numeric;
mod rows;
mod settings;
mod table;
mod token;
mod types;

use crate::{
    ledger::Ledger,
    settings::Settings,
    table::{COLUMNS, Lack, Table},
    token::Token,
    types::Column,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, pin_mut};
use outflow_api::{
    BatchId, Blame, CommitOutcome, CommitPermit, Delivered, Encoded, Fault, Finding, Guarantee, Identity, Piece,
    Prepared, Remote, SealedBatch, Sink, SinkContext, SinkDescriptor, SweepReport, SweepScope,
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use tokio_postgres::{Client, error::SqlState};

pub static DESCRIPTOR: SinkDescriptor = SinkDescriptor {
    kind: "postgres",
    guarantee: Guarantee::ExactlyOnce,
    removes: true,
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
    let columns = schema.fields().iter().map(|field| Column::of(field)).collect::<Result<Vec<Column>, Fault>>()?;
    if let Some(column) = columns.iter().find(|column| column.name == table::BATCH) {
        return Err(settings::wrong(format!("column {} of the model is the sink's own: rename it", column.name)));
    }
    let host = format!("{}:{}", settings.host.to_ascii_lowercase(), settings.port);
    let remote = Remote::new(&host, &format!("user {} of {}", settings.user, settings.database));
    Ok(Arc::new(Postgres { settings, identity: context.identity, columns, remote }))
}

struct Postgres {
    settings: Settings,
    identity: Identity,
    columns: Vec<Column>,
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

    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<Prepared, Fault> {
        let rows = encoded.pieces.iter().map(|piece| piece.rows).sum();
        Ok(Token { identity: self.identity.0.clone(), rows }.prepared(id))
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

    fn receipt(&self, prepared: &Prepared) -> Bytes {
        prepared.token.clone()
    }

    async fn remove(&self, old: &Delivered) -> Result<(), Fault> {
        let token = Token::read(old.id, &old.receipt, &self.identity)?;
        client::with(&self.settings, async |client: &Client| self.take_away(client, old.id, token.rows).await).await
    }

    async fn examine(&self) -> Vec<Finding> {
        examine::examine(&self.settings, &self.columns).await
    }
}

impl Postgres {
    fn fault(&self, what: &str) -> impl Fn(tokio_postgres::Error) -> Fault {
        move |error| fault::of(&self.settings, what, error)
    }

    /// One transaction: the ledger's row, and all rows.
    async fn attempt(
        &self,
        client: &Client,
        id: BatchId,
        rows: u64,
        piece: Option<&Piece>,
    ) -> Result<Seen, Fault> {
        let table = Table::new(&self.settings, &self.columns);
        self.begin(client).await?;
        let (there, has_ledger) = self.look(client).await?;
        if let Lack::Statements(statements) = table.lacks(&there, has_ledger)? {
            // Who only asks makes nothing.
            client.batch_execute("ROLLBACK").await.map_err(self.fault("ROLLBACK"))?;
            return Ok(match piece {
                None if !has_ledger => Seen::Done(CommitOutcome::NeedsRows),
                _ => Seen::Lacks(statements),
            });
        }
        let ledger = Ledger::beside(&self.settings);
        let Some(piece) = piece else {
            let known = ledger.knows(client, id).await.map_err(self.fault("reading the ledger"))?;
            return Ok(Seen::Done(if known { CommitOutcome::AlreadyCommitted } else { CommitOutcome::NeedsRows }));
        };
        if !ledger.note(client, id, rows).await.map_err(self.fault("writing the ledger"))? {
            return Ok(Seen::Done(CommitOutcome::AlreadyCommitted));
        }
        let copied = self.send(client, &table.copy(), piece).await?;
        if copied != rows {
            let hint = format!("{copied} of {rows} rows of batch {id} arrived, and nobody said why: nothing is committed");
            return Err(Fault::halt("rows-missing", hint));
        }
        client.batch_execute("COMMIT").await.map_err(self.fault("COMMIT"))?;
        Ok(Seen::Done(CommitOutcome::Committed))
    }

    async fn begin(&self, client: &Client) -> Result<(), Fault> {
        let limit = self.settings.statement_timeout_s;
        let begin = format!(
            "BEGIN; SET LOCAL statement_timeout = '{limit}s'; SET LOCAL idle_in_transaction_session_timeout = '{limit}s'"
        );
        client.batch_execute(&begin).await.map_err(self.fault("BEGIN"))
    }

    /// The table's columns, with a lock that keeps them as they are; and whether there is a ledger.
    async fn look(&self, client: &Client) -> Result<(BTreeMap<String, String>, bool), Fault> {
        let target = self.settings.target();
        let seen = self.fault("looking at the table");
        let found = client
            .query_one("SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL", &[&target, &Ledger::beside(&self.settings).name])
            .await
            .map_err(&seen)?;
        let (has_table, has_ledger): (bool, bool) = (found.get(0), found.get(1));
        if !has_table {
            return Ok((BTreeMap::new(), has_ledger));
        }
        client.batch_execute(&format!("LOCK TABLE {target} IN ROW EXCLUSIVE MODE")).await.map_err(&seen)?;
        let columns = client.query(COLUMNS, &[&target]).await.map_err(&seen)?;
        Ok((columns.iter().map(|row| (row.get(0), row.get(1))).collect(), has_ledger))
    }

    async fn make(&self, client: &Client, statements: &[String]) -> Result<(), Fault> {
        let all = format!("BEGIN; {}; COMMIT", statements.join("; "));
        match client.batch_execute(&all).await {
            Ok(()) => Ok(()),
            // Somebody else made the same at the same moment.
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Err(Fault::retry("table-changes", "somebody else makes the table").because(error))
            }
            Err(error) => Err(fault::of(&self.settings, &statements.join("; "), error)),
        }
    }

    async fn send(&self, client: &Client, copy: &str, piece: &Piece) -> Result<u64, Fault> {
        let sink = client.copy_in::<_, Bytes>(copy).await.map_err(self.fault("COPY"))?;
        pin_mut!(sink);
        for bytes in &piece.bytes {
            sink.send(bytes.clone()).await.map_err(self.fault("COPY"))?;
        }
        sink.finish().await.map_err(self.fault("COPY"))
    }

    async fn take_away(&self, client: &Client, id: BatchId, rows: u64) -> Result<(), Fault> {
        self.begin(client).await?;
        let ledger = Ledger::beside(&self.settings);
        ledger.note_removed(client, id, rows).await.map_err(self.fault("writing the ledger"))?;
        let (batch, mark) = (types::quoted(table::BATCH), ledger::mark_text(id));
        let remove = format!("DELETE FROM {} WHERE {batch} = '{mark}'", self.settings.target());
        client.batch_execute(&remove).await.map_err(self.fault("removing a batch"))?;
        client.batch_execute("COMMIT").await.map_err(self.fault("COMMIT"))
    }
}

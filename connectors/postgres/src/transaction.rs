//! All that a batch does at the server, together or not at all.

use crate::{
    fault,
    ledger::Ledger,
    merge::Merge,
    settings::Settings,
    table::{COLUMNS, Lack, Table, There},
    types::Column,
};
use bytes::Bytes;
use futures::{SinkExt, pin_mut};
use outflow_api::{Blame, Fault};
use tokio_postgres::{Client, Error};

pub struct Transaction<'a> {
    pub ledger: Ledger,
    client: &'a Client,
    settings: &'a Settings,
    table: Table<'a>,
    merge: Option<&'a Merge>,
}

impl<'a> Transaction<'a> {
    pub async fn begin(
        client: &'a Client,
        settings: &'a Settings,
        columns: &'a [Column],
        merge: Option<&'a Merge>,
    ) -> Result<Transaction<'a>, Fault> {
        let limit = settings.statement_timeout_s;
        // Whoever is at the same batch is waited for, and what is answered as committed outlives the server.
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '{limit}s'; \
             SET LOCAL idle_in_transaction_session_timeout = '{limit}s'; \
             SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
        );
        client.batch_execute(&begin).await.map_err(|error| fault::of(settings, "BEGIN", error))?;
        let (ledger, table) = (Ledger::beside(settings), Table::new(settings, columns, merge));
        Ok(Transaction { ledger, client, settings, table, merge })
    }

    pub fn fault(&self, what: &str) -> impl Fn(Error) -> Fault {
        move |error| fault::of(self.settings, what, error)
    }

    pub async fn execute(&self, statement: &str) -> Result<(), Fault> {
        self.client.batch_execute(statement).await.map_err(self.fault(statement))
    }

    /// The table's columns, with a lock that keeps them as they are.
    pub async fn look(&self) -> Result<There, Fault> {
        const IS_THERE: &str = "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL, \
                                $3::text IS NULL OR to_regclass($3) IS NOT NULL";
        let (target, seen) = (self.settings.target(), self.fault("looking at the table"));
        let deletions = self.merge.and_then(Merge::deletions);
        let found = self.client.query_one(IS_THERE, &[&target, &self.ledger.name, &deletions]).await.map_err(&seen)?;
        let there = There { has_ledger: found.get(1), has_deletions: found.get(2), ..There::default() };
        if !found.get::<_, bool>(0) {
            return Ok(there);
        }
        self.execute(&format!("LOCK TABLE {target} IN ROW EXCLUSIVE MODE")).await?;
        let columns = self.client.query(COLUMNS, &[&target]).await.map_err(&seen)?;
        Ok(There { columns: columns.iter().map(|row| (row.get(0), row.get(1))).collect(), ..there })
    }

    pub fn lacks(&self, there: &There) -> Result<Lack, Fault> {
        self.table.lacks(there)
    }

    /// Answers how many rows the server took.
    pub async fn send(&self, chunks: &[Bytes]) -> Result<u64, Fault> {
        let Some(merge) = self.merge else { return self.copy(&self.table.copy(), chunks).await };
        self.execute(&merge.stage()).await?;
        let rows = self.copy(&merge.copy(), chunks).await?;
        if let Some(question) = merge.has_two_places() {
            let asked = self.client.query_one(&question, &[]).await;
            if asked.map_err(self.fault("looking at the rows' places"))?.get(0) {
                let hint = "rows of one key come from two partitions, and their offsets say nothing about each other: \
                            name another column as `version`";
                return Err(Fault::park(Blame::Us, "key-in-two-partitions", hint));
            }
        }
        for statement in merge.statements() {
            self.client.batch_execute(&statement).await.map_err(self.fault("merging rows"))?;
        }
        Ok(rows)
    }

    async fn copy(&self, copy: &str, chunks: &[Bytes]) -> Result<u64, Fault> {
        let fault = self.fault("COPY");
        let sink = self.client.copy_in::<_, Bytes>(copy).await.map_err(&fault)?;
        pin_mut!(sink);
        for bytes in chunks {
            // Sent when the next one comes: the client's own buffer is one message.
            sink.feed(bytes.clone()).await.map_err(&fault)?;
        }
        sink.finish().await.map_err(&fault)
    }
}

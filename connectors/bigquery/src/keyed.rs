//! Mode `upsert`: rows replace older ones of their key. The service compares them by the number that each row carries,
//! so it does not matter how often a batch is sent, nor in which order: nothing is staged, and a commit sends the rows.

use crate::{
    BigQuery, changes, check_rows,
    exchange::Stop,
    fit::{self, Fit},
    message,
    token::{Token, Way, of_other_mode},
    upsert::Upsert,
};
use async_trait::async_trait;
use bigquery_storage::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, ProtoRows, ProtoSchema,
    append_rows_request::{ProtoData, Rows},
};
use outflow_api::{
    BatchId, Blame, CommitOutcome, CommitPermit, Encoded, Fault, Finding, Piece, PrepareOutcome, Prepared, Remote,
    SealedBatch, Sink, SweepReport, SweepScope, Verdict,
};
use prost::Message;

pub struct Keyed {
    table: BigQuery,
    upsert: Upsert,
    fit: Fit,
}

impl Keyed {
    pub fn new(table: BigQuery, upsert: Upsert) -> Keyed {
        Keyed { table, upsert, fit: Fit::default() }
    }
}

#[async_trait]
impl Sink for Keyed {
    fn remote(&self) -> Option<&Remote> {
        self.table.remote()
    }

    fn encode(&self, batch: &SealedBatch) -> Result<Encoded, Fault> {
        let BigQuery { columns, settings, .. } = &self.table;
        Ok(changes::encode(batch, columns, &self.upsert, settings.request_bytes_max))
    }

    /// Fixes the identity and sends no row. The table is looked at, though: what is wrong with it is better known
    /// before the decision than behind it.
    async fn prepare(&self, id: BatchId, encoded: &Encoded) -> Result<PrepareOutcome, Fault> {
        let rows = encoded.pieces.iter().map(|piece| piece.rows).sum();
        if rows > 0 {
            self.fit.make(&self.table).await?;
        }
        Ok(Token::new(&self.table.identity, rows, Some(Way::Changes)).write(id).into())
    }

    async fn commit(&self, permit: &CommitPermit, encoded: Option<&Encoded>) -> Result<CommitOutcome, Fault> {
        let prepared = permit.prepared();
        let token = Token::read(prepared, &self.table.identity)?;
        check_rows(prepared.id, &token, encoded)?;
        match token.way() {
            None => return Ok(CommitOutcome::AlreadyCommitted),
            Some(Way::Changes) => {}
            Some(other) => return Err(of_other_mode(prepared.id, &other)),
        }
        let Some(encoded) = encoded else { return Ok(CommitOutcome::NeedsRows) };
        self.fit.make(&self.table).await?;
        match self.send(prepared.id, &encoded.pieces).await {
            Ok(()) => Ok(CommitOutcome::Committed),
            Err(fault) => Err(self.of_refusal(fault).await),
        }
    }

    /// Nothing is there that could be taken back, and nobody sends rows without a permit.
    async fn abort(&self, prepared: &Prepared) -> Result<(), Fault> {
        Token::read(prepared, &self.table.identity).map(drop)
    }

    async fn sweep(&self, _scope: &SweepScope) -> Result<SweepReport, Fault> {
        Ok(SweepReport::default())
    }

    async fn examine(&self) -> Vec<Finding> {
        fit::examine(&self.table).await
    }
}

impl Keyed {
    async fn send(&self, id: BatchId, pieces: &[Piece]) -> Result<(), Fault> {
        let stream = format!("{}/streams/_default", self.table.streams.table);
        let schema = ProtoSchema { proto_descriptor: Some(message::of_changes(&self.table.columns)) };
        let mut first = Some(schema);
        let request = |piece: &Piece| request(&stream, id, first.take(), piece);
        let requests = pieces.iter().map(request).collect::<Result<Vec<_>, Fault>>()?;
        let rows: Vec<u64> = pieces.iter().map(|piece| piece.rows).collect();
        match self.table.streams.send(&stream, requests, &rows).await {
            Ok(_) => Ok(()),
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Gone) => Err(self.table.table_missing()),
            Err(Stop::Finalized | Stop::TooShort) => {
                let hint = format!("{}: the service takes no rows by the default stream", self.table.settings.shown());
                Err(Fault::park(Blame::Provider, "refused", hint))
            }
        }
    }

    /// Whoever was refused looks at the table again, next time. A table that is just made is not known everywhere.
    async fn of_refusal(&self, fault: Fault) -> Fault {
        if fault.verdict != Verdict::Park {
            return fault;
        }
        self.fit.doubt();
        match fault.code {
            "table-missing" => match self.table.tables.table().await {
                Ok(Some(_)) => self.table.of_new_table(fault),
                Ok(None) => fault,
                Err(unknown) => unknown,
            },
            _ => fault,
        }
    }
}

fn request(stream: &str, id: BatchId, first: Option<ProtoSchema>, piece: &Piece) -> Result<AppendRowsRequest, Fault> {
    let bytes = match &piece.bytes[..] {
        [one] => one.clone(),
        several => several.concat().into(),
    };
    let rows = ProtoRows::decode(bytes);
    let broken = |error: prost::DecodeError| {
        Fault::halt("rows-not-encoded", "encoded rows cannot be read: this is a bug").because(error)
    };
    // In the service's logs, a batch is found by it.
    let trace_id = if first.is_some() { format!("outflow:{id}") } else { String::new() };
    let data = ProtoData { writer_schema: first, rows: Some(rows.map_err(broken)?) };
    let write_stream = stream.to_owned();
    Ok(AppendRowsRequest { write_stream, trace_id, rows: Some(Rows::ProtoRows(data)), ..AppendRowsRequest::default() })
}
